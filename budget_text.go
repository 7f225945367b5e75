package lastcall

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ParseBudget returns the budget that a text describes. Either the text begins with a grace
// period, from which [BudgetFor] computes the budget, and settings after it change that;
// or it has settings alone, and a field that none of them names is zero:
//
//	30s
//	60s,settle=35s
//	total=25s,settle=5s,reserve=5s
//	total=25s,settle=5s,quiet=1s,minsettle=2s,reserve=5s
//
// The error names the part that is wrong, or is that of [Budget.Validate].
func ParseBudget(text string) (Budget, error) {
	var b Budget
	set := make(map[string]bool)
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		name, value, isSetting := strings.Cut(part, "=")
		if !isSetting {
			grace, err := time.ParseDuration(part)
			_, notPlain := strconv.ParseUint(part, 10, 64)
			switch {
			case err != nil && notPlain == nil:
				return Budget{}, fmt.Errorf("lastcall: budget: %q has no unit: write %ss", part, part)
			case err != nil:
				return Budget{}, fmt.Errorf("lastcall: budget: %q is neither a grace period, such as 30s, nor a setting, such as total=25s", part)
			case i > 0:
				return Budget{}, fmt.Errorf("lastcall: budget: %q is not a setting; a grace period comes first", part)
			}
			if b, err = BudgetFor(grace); err != nil {
				return Budget{}, err
			}
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		field := b.field(name)
		if field == nil {
			return Budget{}, fmt.Errorf("lastcall: budget: %q sets %q, must be one of %s", part, name, strings.Join(budgetFields(), ", "))
		}
		if set[name] {
			return Budget{}, fmt.Errorf("lastcall: budget: %q sets %s again", part, name)
		}
		set[name] = true
		d, err := time.ParseDuration(strings.TrimSpace(value))
		if err != nil {
			return Budget{}, fmt.Errorf("lastcall: budget: %q: %q is not a duration, such as 5s", part, strings.TrimSpace(value))
		}
		*field = d
	}
	if err := b.Validate(); err != nil {
		return Budget{}, err
	}
	return b, nil
}

// BudgetFromEnv returns the budget that an environment variable describes, as in
// [ParseBudget], or [DefaultBudget] if the variable is not set. A variable that is set and
// empty is an error, and so is a name that none can have. The error names the variable and
// its value.
func BudgetFromEnv(name string) (Budget, error) {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return Budget{}, fmt.Errorf("lastcall: budget: %q names no environment variable", name)
	}
	text, ok := os.LookupEnv(name)
	if !ok {
		return DefaultBudget(), nil
	}
	if strings.TrimSpace(text) == "" {
		return Budget{}, fmt.Errorf("lastcall: budget: %s is set, but %q names no budget: unset it for the default, or write one, such as 30s", name, text)
	}
	b, err := ParseBudget(text)
	if err != nil {
		return Budget{}, fmt.Errorf("%s=%q: %w", name, text, err)
	}
	return b, nil
}

// budgetFields returns the names of settings, in the order of String.
func budgetFields() []string { return []string{"total", "settle", "quiet", "minsettle", "reserve"} }

// field returns the field that a setting sets, or nil if there is none of that name.
func (b *Budget) field(name string) *time.Duration {
	switch name {
	case "total":
		return &b.Total
	case "settle":
		return &b.Settle
	case "quiet":
		return &b.Quiet
	case "minsettle":
		return &b.MinSettle
	case "reserve":
		return &b.Reserve
	default:
		return nil
	}
}

// String returns the budget as ParseBudget reads it: total=28s,settle=5s,reserve=5s. Fields
// that are zero are left out.
func (b Budget) String() string {
	var settings []string
	for _, name := range budgetFields() {
		if d := *b.field(name); d != 0 {
			settings = append(settings, fmt.Sprintf("%s=%v", name, d))
		}
	}
	return strings.Join(settings, ",")
}

// MarshalText returns what String does; it has no error. With UnmarshalText it makes a
// Budget a flag and a value in configuration files: see the example of ParseBudget.
func (b Budget) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText sets the budget to what [ParseBudget] returns for the text. After an error
// the budget is what it was.
func (b *Budget) UnmarshalText(text []byte) error {
	parsed, err := ParseBudget(string(text))
	if err == nil {
		*b = parsed
	}
	return err
}
