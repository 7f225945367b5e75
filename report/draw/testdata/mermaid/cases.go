// Command mermaid prints, as JSON, drawings of package draw and what mermaid has to
// understand of them. check.mjs reads it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
)

// drawing is one case.
type drawing struct {
	Name string     `json:"name"`
	Text string     `json:"text"`
	Want [][]string `json:"want"` // of a sequence: from, to, text; of a gantt: text, start, end, tags
}

func main() {
	files, err := filepath.Glob("../../../../controller/testdata/*.txt")
	if err != nil || len(files) == 0 {
		log.Fatalf("no transcripts, error %v", err)
	}
	var all []drawing
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		_, after, _ := bytes.Cut(text, []byte("\nJSON\n"))
		for odd, names := range [][]string{nil, {`"quoted" 'x'`, "a: b; c # d, :e", "<b>bold</b>", "#35; &amp;"}, {"end", "section x", "%% comment", "日本 😀"}, {"two\\nlines", "-->> P1", "`_x_` **y**", strings.Repeat("long ", 60)}} {
			json1 := after
			for i, old := range []string{"grpc", "postgres", "consumer", "redis"} {
				if names != nil {
					quoted, _ := json.Marshal(names[i])
					json1 = bytes.ReplaceAll(json1, []byte(`"name":"`+old+`"`), append([]byte(`"name":`), quoted...))
				}
			}
			var r report.Report
			if err := json.Unmarshal(json1, &r); err != nil {
				log.Fatal(err)
			}
			for i := range r.Work {
				w := &r.Work[i]
				w.Slowest[0] = lastcall.EndedWork{Began: r.Begun, Ended: r.Triggered.Add(r.Took() / 2), Fate: "completed"}
				w.Slowest[1] = lastcall.EndedWork{Began: r.Triggered, Ended: r.Triggered.Add(r.Took() / 4), Fate: "cut"}
			}
			title := fmt.Sprintf("%s, names %d", filepath.Base(name), odd)
			all = append(all, cases(title, r)...)
			for range 200 { // long enough to be folded
				r.Steps = append(r.Steps, r.Steps[len(r.Steps)-1])
			}
			all = append(all, cases(title+", folded", r)...)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		log.Fatal(err)
	}
}

func cases(name string, r report.Report) []drawing {
	sequence, err := draw.Sequence(r)
	if err != nil {
		log.Fatal(err)
	}
	gantt, err := draw.Gantt(r)
	if err != nil {
		log.Fatal(err)
	}
	return []drawing{{name + ": sequence", sequence, messages(sequence)}, {name + ": gantt", gantt, tasks(gantt)}}
}

func unescape(text string) string {
	return regexp.MustCompile(`#(\d+);`).ReplaceAllStringFunc(text, func(code string) string {
		n, _ := strconv.Atoi(code[1 : len(code)-1])
		return string(rune(n))
	})
}

// messages reads a sequence line by line.
func messages(text string) (all [][]string) {
	names := make(map[string]string)
	participant := regexp.MustCompile(`(?m)^    participant (\S+) as (.*)$`)
	for _, m := range participant.FindAllStringSubmatch(text, -1) {
		names[m[1]] = unescape(m[2])
	}
	line := regexp.MustCompile(`(?m)^    (?:Note over (P\d+)|(P\d+)(?:->>|-->>|-x|--x)(P\d+)): (.*)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			m[2], m[3] = m[1], m[1]
		}
		all = append(all, []string{names[m[2]], names[m[3]], unescape(m[4])})
	}
	return all
}

// tasks reads a gantt line by line.
func tasks(text string) (all [][]string) {
	section := ""
	line := regexp.MustCompile(`^    (.*) :(.*)b\d+, (\d+), (\d+)(ms)?$`)
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if rest, ok := strings.CutPrefix(l, "    section "); ok {
			section = rest
		}
		if m := line.FindStringSubmatch(l); m != nil {
			if m[5] != "" {
				m[4] = m[3]
			}
			all = append(all, []string{section, unescape(m[1]), m[3], m[4], strings.TrimSuffix(m[2], ", ")})
		}
	}
	return all
}
