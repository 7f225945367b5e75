package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shown is what a demo has printed, taken apart.
type shown struct {
	text     string
	exit     int
	rows     map[place][2]map[string]int // begun before and after SIGTERM, by code
	early    time.Duration               // how long before the deadline Run returned
	bare     time.Duration               // how late a bare timer was, if the deadline was reached
	settle   time.Duration               // what phase settle took
	drain    time.Duration               // what phase drain took
	work     counted                     // of replica a, in the report
	eof      time.Duration               // from the beginning of the drain until the silent peer of a saw EOF
	held     time.Duration               // how long the silent peer of b held Stop
	afterSig time.Duration               // from the first line after SIGTERM to the end of the process
}

// counted are the numbers of the work on a server.
type counted struct{ before, arrived, late, completed, cancelled, cut, running int }

var (
	rowLine     = regexp.MustCompile(`^ +(a|b|none) {3,}(\w+) {3,}(.+?) {3,}(.+)$`)
	settleLine  = regexp.MustCompile(`phases .*, settle (\S+?)(?: \([^)]*\))?, drain (\S+?),? `)
	workLine    = regexp.MustCompile(`work      "replica a": (\d+) in flight at the trigger, (\d+) arrived \((\d+) late\): (\d+) completed, (\d+) cancelled, (\d+) cut, (\d+) still running`)
	eofLine     = regexp.MustCompile(`replica a  with the controller: the peer saw EOF at \S+, (\S+) into the drain`)
	heldLine    = regexp.MustCompile(`replica b  bare grpc: Stop had not returned after (\S+), when the peer hung up; it returned \S+ later`)
	earlyLine   = regexp.MustCompile(`deadline  Run returned (\S+) before it`)
	reachedLine = regexp.MustCompile(`deadline  reached: Run returned (\S+) after it, a bare timer (\S+)`)
)

func takeApart(t *testing.T, text string) shown {
	t.Helper()
	s := shown{text: text, rows: make(map[place][2]map[string]int)}
	for line := range strings.Lines(text) {
		if m := rowLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			s.rows[place{m[1], m[2]}] = [2]map[string]int{codesIn(t, m[3]), codesIn(t, m[4])}
		}
	}
	if m := settleLine.FindStringSubmatch(text); m != nil {
		s.settle, s.drain = duration(t, m[1]), duration(t, m[2])
	}
	if m := workLine.FindStringSubmatch(text); m != nil {
		w := &s.work
		for i, n := range []*int{&w.before, &w.arrived, &w.late, &w.completed, &w.cancelled, &w.cut, &w.running} {
			*n = number(t, m[i+1])
		}
	} else {
		t.Errorf("no line about the work")
	}
	if m := eofLine.FindStringSubmatch(text); m != nil {
		s.eof = duration(t, m[1])
	}
	if m := heldLine.FindStringSubmatch(text); m != nil {
		s.held = duration(t, m[1])
	}
	if m := earlyLine.FindStringSubmatch(text); m != nil {
		s.early = duration(t, m[1])
	} else if m := reachedLine.FindStringSubmatch(text); m != nil {
		s.early, s.bare = -duration(t, m[1]), duration(t, m[2])
	} else {
		t.Errorf("no line about the deadline")
	}
	return s
}

func codesIn(t *testing.T, cell string) map[string]int {
	t.Helper()
	codes := make(map[string]int)
	for part := range strings.SplitSeq(cell, ", ") {
		if part == "-" {
			continue
		}
		n, code, _ := strings.Cut(part, " ")
		codes[code] = number(t, n)
	}
	return codes
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Error(err)
	}
	return n
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Error(err)
	}
	return d
}

// failures returns how many RPCs of each kind failed, and with which code.
func (s shown) failures() map[place]map[string]int {
	failed := make(map[place]map[string]int)
	for p, row := range s.rows {
		for _, codes := range row {
			for code, n := range codes {
				if code == "OK" {
					continue
				}
				if failed[p] == nil {
					failed[p] = make(map[string]int)
				}
				failed[p][code] += n
			}
		}
	}
	return failed
}
