package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// sample is what one run has shown.
type sample struct {
	Row, Case, Peer string
	Values          map[string]float64 `json:",omitempty"` // times in ms, sizes in bytes
	Codes           map[string]int     `json:",omitempty"`
	Closers         []closing          `json:",omitempty"`
	Exit            string
	Hang            bool   `json:",omitempty"` // had to be killed
	Line            bool   // the last log line came out
	Left            int    // goroutines; -1 if main did not get there
	Error           string `json:",omitempty"` // the bench's own
}

// closing is one closer's call.
type closing struct {
	Name  string
	At    float64 // ms after the signal
	Under int     // handlers running then
}

// values returns a value of all samples, sorted. A process that hung counts as infinite.
func values(all []sample, name string) (v []float64) {
	for _, s := range all {
		if x, ok := s.Values[name]; ok {
			v = append(v, x)
		} else if s.Hang {
			v = append(v, math.Inf(1))
		}
	}
	slices.Sort(v)
	return v
}

// quantile returns the q-th of sorted values.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// number prints a value: a time in ms or a size in bytes.
func number(name string, v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "hang"
	case name == "heap" || name == "stack":
		return fmt.Sprintf("%.0f B", v)
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.2f ms", v)
	case math.Abs(v) < 1000:
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.2f s", v/1000)
}

// most returns what most samples say, and how many of them if not all do.
func most(all []sample, say func(sample) string) string {
	votes := map[string]int{}
	for _, s := range all {
		votes[say(s)]++
	}
	names := slices.SortedFunc(maps.Keys(votes), func(a, b string) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a, b))
	})
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return fmt.Sprintf("%s (%d of %d)", names[0], votes[names[0]], len(all))
}

// codes adds the calls of all samples up.
func codes(all []sample) string {
	sum := map[string]int{}
	for _, s := range all {
		for code, n := range s.Codes {
			sum[code] += n
		}
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(sum)) {
		parts = append(parts, fmt.Sprintf("%d %s", sum[code], code))
	}
	return strings.Join(parts, ", ")
}

// closers tells each closer that was called: when, and under how many handlers; and those that
// were not called.
func closers(all []sample, names []string) string {
	var parts []string
	for _, name := range names {
		var at []float64
		under := map[int]bool{}
		for _, s := range all {
			for _, c := range s.Closers {
				if c.Name == name {
					at = append(at, c.At)
					under[c.Under] = true
				}
			}
		}
		slices.Sort(at)
		text := name + " never"
		if len(at) > 0 {
			text = name + " at " + number("", quantile(at, 0.5))
			if n := slices.Max(slices.Collect(maps.Keys(under))); n > 0 {
				text += fmt.Sprintf(" under %d handlers", n)
			}
			if len(at) < len(all) {
				text += fmt.Sprintf(" (%d of %d)", len(at), len(all))
			}
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
