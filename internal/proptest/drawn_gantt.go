package proptest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
)

func trueGantt(r report.Report) error {
	text, err := draw.Gantt(r)
	if err != nil || len(text) >= draw.MaxLength {
		return errors.Join(err, fmt.Errorf("gantt: %d characters", len(text)))
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("gantt: %s in\n%s", fmt.Sprintf(format, args...), text)
	}
	unit := time.Millisecond
	if length := longer(r); length < 60*time.Millisecond {
		unit = time.Microsecond
	}
	task := regexp.MustCompile(`^    (.*) :(.*)b\d+, (\d+), (\d+)(ms)?$`)
	var bars [][]string
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[5:] {
		if m := task.FindStringSubmatch(line); m != nil {
			bars = append(bars, append([]string{unescape(m[1])}, m[2:]...))
		} else if !strings.HasPrefix(line, "    section ") {
			return wrong("the line %q is not known", line)
		}
	}
	bar := func(name, tag string, from, to time.Time) error {
		since := plus(r, from)
		if from.Before(r.Triggered) {
			from, since = r.Triggered, "before"
		}
		want := fmt.Sprintf("(%s to %s)", since, plus(r, to))
		for i, b := range bars {
			first, _ := strconv.ParseInt(b[2], 10, 64)
			last, _ := strconv.ParseInt(b[3], 10, 64)
			seen := last - int64(to.Sub(r.Triggered)/unit)
			if strings.HasPrefix(b[0], name) && strings.HasSuffix(b[0], want) && first == int64(from.Sub(r.Triggered)/unit) &&
				seen >= 0 && seen <= max(1, int64(longer(r)/unit)/200) && strings.HasPrefix(b[1], tag) {
				bars = slices.Delete(bars, i, i+1)
				return nil
			}
		}
		return wrong("%s %s, %s is not there", name, want, tag)
	}
	for _, s := range r.Steps {
		over := s.Start.Add(s.Duration)
		switch {
		case over.Before(r.Triggered):
		case s.Kind == report.KindPhase && s.Phase >= lastcall.PhaseAnnounce:
			if err := bar(s.Phase.String()+" ", "", s.Start, over); err != nil {
				return err
			}
		case s.Kind == report.KindCall && !strings.Contains(text, "calls are left out"):
			tag := "done, "
			if s.Failed() || s.Abandoned {
				tag = "crit, "
			}
			if err := bar(strings.TrimSpace(string(s.Op)+" "+strings.Join(strings.Fields(s.Name), " ")), tag, s.Start, over); err != nil {
				return err
			}
		}
	}
	for _, e := range ended(r) {
		tag := "crit, "
		if e.Fate == "completed" {
			tag = "done, "
		}
		if err := bar(fmt.Sprintf("%s of %s: %s", strings.Join(strings.Fields(e.name), " "), strings.Join(strings.Fields(e.server), " "), e.Fate), tag, e.Began, e.Ended); err != nil {
			return err
		}
	}
	for name, at := range map[string]time.Time{"timer ": r.Timer, "deadline ": r.Deadline, "Run returns ": r.Ended} {
		if !slices.ContainsFunc(bars, func(b []string) bool {
			return strings.HasPrefix(b[0], name+plus(r, at)) && strings.HasPrefix(b[1], "milestone, ")
		}) {
			return wrong("%s at %s is not there", name, plus(r, at))
		}
	}
	return nil
}

// longer is how long the axis is.
func longer(r report.Report) time.Duration {
	took, total := r.Took(), r.Deadline.Sub(r.Triggered)
	if took >= total/4 {
		return max(took, total)
	}
	return took
}
