package lastcall_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// TestBudgetFor: every grace period either has a budget that leaves the drain its 2 s and
// the exit its margin, or an error that says which is the shortest.
func TestBudgetFor(t *testing.T) {
	const ms = time.Millisecond
	if b := lastcall.DefaultBudget(); b != (lastcall.Budget{Total: 28 * time.Second, Settle: 5 * time.Second, Reserve: 5 * time.Second}) {
		t.Errorf("DefaultBudget is %v", b)
	}
	for grace := -time.Second; grace <= 100*time.Second; grace += 100 * ms {
		b, err := lastcall.BudgetFor(grace)
		drain := b.Total - b.Settle - b.Reserve
		switch {
		case grace < 5*time.Second:
			if want := fmt.Sprintf("the grace period is %v, must be at least 5s", grace); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("BudgetFor(%v) is %v, %v; want an error that says %q", grace, b, err, want)
			}
			continue
		case err != nil || b.Validate() != nil:
			t.Errorf("BudgetFor(%v) is %v, %v", grace, b, err)
		case b.Total+lastcall.ExitMargin != grace || drain < 2*time.Second || b.Reserve < time.Second || b.Settle > 5*time.Second:
			t.Errorf("BudgetFor(%v) is %v, drain %v", grace, b, drain)
		case b.Settle < 5*time.Second && drain != 2*time.Second:
			t.Errorf("BudgetFor(%v) is %v: Settle gives way to a drain of %v", grace, b, drain)
		}
	}
	if b, err := lastcall.BudgetFor(30); err == nil || !strings.Contains(err.Error(), "the grace period is 30ns: a number without a unit counts nanoseconds; write 30*time.Second") {
		t.Errorf("BudgetFor(30) is %v, %v", b, err)
	}
}

// TestBudgetTable: docs/platforms.md says what BudgetFor computes.
func TestBudgetTable(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| (\d+) s \| (.*) \|$`).FindAllStringSubmatch(read(t, "docs/platforms.md"), -1)
	if len(rows) < 5 {
		t.Fatalf("%d rows: the test does not see them", len(rows))
	}
	for _, row := range rows {
		grace, err := time.ParseDuration(row[1] + "s")
		if err != nil {
			t.Fatal(err)
		}
		b, err := lastcall.BudgetFor(grace)
		want := fmt.Sprintf("%g s | %g s | %g s | %g s", b.Total.Seconds(), b.Settle.Seconds(), (b.Total - b.Settle - b.Reserve).Seconds(), b.Reserve.Seconds())
		if got := strings.Replace(row[2], "| 0 |", "| 0 s |", 1); err != nil || got != want {
			t.Errorf("BudgetFor(%v): the page has %s, want %s, %v", grace, got, want, err)
		}
	}
}

// The budget comes from a flag, whose default is DefaultBudget. Configuration files and
// libraries that read text with UnmarshalText take a Budget in the same way.
func ExampleParseBudget() {
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	var budget lastcall.Budget
	flags.TextVar(&budget, "budget", lastcall.DefaultBudget(), "`time` for the shutdown")

	if err := flags.Parse([]string{"-budget", "60s,settle=35s"}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(budget)
	// Output: total=58s,settle=35s,reserve=5s
}

// The budget comes from the environment; without the variable it is DefaultBudget.
func ExampleBudgetFromEnv() {
	budget, err := lastcall.BudgetFromEnv("SHUTDOWN_BUDGET")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(budget)
	// Output: total=28s,settle=5s,reserve=5s
}

func TestParseBudget(t *testing.T) {
	const s = time.Second
	for text, want := range map[string]lastcall.Budget{
		"30s":                            lastcall.DefaultBudget(),
		" 30s ":                          lastcall.DefaultBudget(),
		"1m":                             {Total: 58 * s, Settle: 5 * s, Reserve: 5 * s},
		"10s,settle=0s":                  {Total: 8 * s, Reserve: 1600 * time.Millisecond},
		"10s, Settle = 0":                {Total: 8 * s, Reserve: 1600 * time.Millisecond},
		"total=25s,settle=5s,reserve=5s": {Total: 25 * s, Settle: 5 * s, Reserve: 5 * s},
		"reserve=1s,total=3s":            {Total: 3 * s, Reserve: s},
		"total=25s,settle=5s,quiet=1s,minsettle=2s,reserve=5s": {Total: 25 * s, Settle: 5 * s, Quiet: s, MinSettle: 2 * s, Reserve: 5 * s},
	} {
		if got, err := lastcall.ParseBudget(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                    `"" is neither a grace period`,
		"30":                  `"30" has no unit: write 30s`,
		"30,settle=5s":        `"30" has no unit: write 30s`,
		"30s,":                `"" is neither a grace period`,
		"4s":                  "the grace period is 4s, must be at least 5s",
		"-30s":                "the grace period is -30s",
		"total=25s,30s":       `"30s" is not a setting; a grace period comes first`,
		"30s,30s":             `"30s" is not a setting`,
		"30s,drain=5s":        `"drain=5s" sets "drain", must be one of total, settle, quiet, minsettle, reserve`,
		"30s,=5s":             `sets ""`,
		"30s,settle=5":        `"settle=5": "5" is not a duration, such as 5s`,
		"30s,settle=":         `"" is not a duration`,
		"settle=1s,settle=2s": `"settle=2s" sets settle again`,
		"total=25s":           "Reserve is 0s, must be positive",                                  // as Validate says it
		"30s,settle=30s":      "Settle 30s + Reserve 5s leave nothing of Total 28s for the drain", // as Validate says it
		"total=0s":            "the zero Budget",
	} {
		if got, err := lastcall.ParseBudget(text); err == nil || got != (lastcall.Budget{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v; want an error that says %q", text, got, err, want)
		}
	}
}

// TestBudgetFlag: package flag shows the default, and says what is wrong with a value.
func TestBudgetFlag(t *testing.T) {
	var usage strings.Builder
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(&usage)
	var b lastcall.Budget
	flags.TextVar(&b, "budget", lastcall.DefaultBudget(), "`time` for the shutdown")
	flags.PrintDefaults()
	if !strings.Contains(usage.String(), "total=28s,settle=5s,reserve=5s") || b != lastcall.DefaultBudget() {
		t.Errorf("it shows %q, and the budget is %v", usage.String(), b)
	}
	flags.SetOutput(io.Discard)
	const want = `invalid value "4s" for flag -budget: lastcall: budget: the grace period is 4s`
	if err := flags.Parse([]string{"-budget", "4s"}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("it says %v, want %q", err, want)
	}
	if b != lastcall.DefaultBudget() {
		t.Errorf("after an error the budget is %v", b)
	}
}

func TestBudgetFromEnv(t *testing.T) {
	const name = "LASTCALL_TEST_BUDGET"
	for value, want := range map[string]string{
		"10s": "",
		"":    `LASTCALL_TEST_BUDGET is set, but "" names no budget`,
		"\t":  `LASTCALL_TEST_BUDGET is set, but "\t" names no budget`,
		"4s":  `LASTCALL_TEST_BUDGET="4s": lastcall: budget: the grace period is 4s`,
	} {
		t.Setenv(name, value)
		got, err := lastcall.BudgetFromEnv(name)
		switch {
		case want == "":
			if err != nil || got.Total != 8*time.Second {
				t.Errorf("%q is %v, %v", value, got, err)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%q is %v, %v; want an error that says %q", value, got, err, want)
		}
	}
	for _, bad := range []string{"", "A=B", "A\x00"} { // no environment has one
		if got, err := lastcall.BudgetFromEnv(bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q names no environment variable", bad)) {
			t.Errorf("BudgetFromEnv(%q) is %v, %v", bad, got, err)
		}
	}
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
	if got, err := lastcall.BudgetFromEnv(name); err != nil || got != lastcall.DefaultBudget() {
		t.Errorf("unset it is %v, %v", got, err)
	}
}

// FuzzParseBudget: whatever the text, it is a budget that New would accept and that reads
// back as itself, or an error.
func FuzzParseBudget(f *testing.F) {
	for _, text := range []string{"30s", "60s,settle=35s", "total=25s,settle=5s,quiet=1s,minsettle=2s,reserve=5s", "=", ",", "9223372036s", "total=1ns,reserve=-1ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := lastcall.ParseBudget(text)
		if err != nil {
			if b != (lastcall.Budget{}) || err.Error() == "" {
				t.Fatalf("%q is %v, %v", text, b, err)
			}
			return
		}
		if err := b.Validate(); err != nil {
			t.Fatalf("%q is %v: %v", text, b, err)
		}
		if again, err := lastcall.ParseBudget(b.String()); err != nil || again != b {
			t.Fatalf("%q is %v, which reads back as %v, %v", text, b, again, err)
		}
	})
}
