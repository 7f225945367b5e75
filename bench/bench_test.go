package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/bench/child"
)

// The children of a test are the test's own binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		os.Exit(child.Main(runs(), os.Args[2]))
	}
	os.Exit(m.Run())
}

// measured runs rows once and returns the samples of one contestant in one case.
func measured(t *testing.T, o options, cases ...string) func(row, kase, peer string) sample {
	t.Helper()
	o.reps = 1
	if o.conns == 0 {
		o.conns = 100
	}
	chosen, err := choose(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range chosen {
		chosen[i].at = 8
		chosen[i].cases = slices.DeleteFunc(chosen[i].cases, func(c kase) bool { return len(cases) > 0 && !slices.Contains(cases, c.name) })
	}
	b := bench{rows: chosen, log: t.Output(), binaries: map[string]string{"": os.Args[0]}}
	b.measure()
	return func(row, kase, peer string) sample {
		t.Helper()
		for _, s := range b.Samples {
			if s.Row == row && s.Case == kase && s.Peer == peer {
				if s.Error != "" {
					t.Fatal(s.Error)
				}
				return s
			}
		}
		t.Fatalf("nothing of %s in row %s %s", peer, row, kase)
		return sample{}
	}
}

// called returns the names of the closers that were called, in order.
func called(s sample) string {
	var names []string
	for _, c := range s.Closers {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// What does not depend on how fast the machine is.
func TestFacts(t *testing.T) {
	type fact struct {
		peer, exit, closers string
		line                bool
	}
	for row, facts := range map[string][]fact{
		"stream": {
			{"graceful", "hang", "", false},
			{"timer", "0", "quick1", true},
			{"fx", "1", "", false},
			{"lastcall", "5", "quick1", true},
			{"lastcall-use", "5", "quick1", true},
		},
		"wait-for-handlers": {
			{"timer", "hang", "", false},
			{"lastcall", "4", "quick1", true},
		},
		"closer-hangs": {
			{"graceful", "hang", "quick3 hang2", false},
			{"fx", "1", "quick3 hang2", false},
			{"lastcall", "6", "quick3 hang2 quick1", true},
		},
		"closer-panics": {
			{"timer", "panic", "quick3 panic2", false},
			{"lastcall", "6", "quick3 panic2 quick1", true},
		},
		"second-signal": {
			{"graceful", "hang", "", false},
			{"lastcall", "5", "quick1", true},
		},
	} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			var peers []string
			for _, f := range facts {
				peers = append(peers, f.peer)
			}
			of := measured(t, options{rows: row, peers: strings.Join(peers, ",")})
			for _, want := range facts {
				s := of(row, "", want.peer)
				if got := (fact{want.peer, s.Exit, called(s), s.Line}); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
		})
	}
	t.Run("lagging", func(t *testing.T) {
		t.Parallel()
		of := measured(t, options{rows: "lagging", peers: "graceful,lastcall"})
		if s := of("lagging", "", "lastcall"); len(s.Codes) != 1 || s.Codes["OK"] == 0 {
			t.Errorf("lastcall settles, so that calls on fresh connections are answered, but: %v", s.Codes)
		}
		if s := of("lagging", "", "graceful"); s.Codes["Unavailable"] == 0 {
			t.Errorf("graceful refuses fresh connections at once, but: %v", s.Codes)
		}
	})
}

// Every protocol of HTTP that a row has works, with an answer to the request in flight.
func TestHTTP(t *testing.T) {
	t.Parallel()
	cases := []string{"h1, 50ms", "h1tls, 50ms", "h2, 50ms", "h2c, 50ms"}
	of := measured(t, options{rows: "tail", peers: "shutdown,lastcall"}, cases...)
	for _, c := range cases {
		for _, peer := range []string{"shutdown", "lastcall"} {
			if s := of("tail", c, peer); s.Codes["200"] != 1 || s.Exit != "0" || s.Values["tail"] <= 0 {
				t.Errorf("%s, %s: %+v", peer, c, s)
			}
		}
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	of := measured(t, options{rows: "memory", peers: "graceful"})
	for _, c := range []string{"100 idle connections", "100 unary calls", "100 streams"} {
		if heap := of("memory", c, "graceful").Values["heap"]; heap < 1000 || heap > 100_000 {
			t.Errorf("%s: %.0f bytes of heap each", c, heap)
		}
	}
}

// Another binary is one more contestant, and what -json has written -from prints.
func TestBeforeAndFrom(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "samples.json")
	var out, from, log bytes.Buffer
	args := []string{"-rows", "startup", "-reps", "1", "-peers", "lastcall", "-before", os.Args[0]}
	if code := command(append(args, "-json", file), &out, &log); code != 0 {
		t.Fatalf("code %d: %s", code, &log)
	}
	if code := command(append(args, "-from", file), &from, &log); code != 0 {
		t.Fatalf("code %d: %s", code, &log)
	}
	for _, page := range []string{out.String(), from.String()} {
		if !strings.Contains(page, "\n| lastcall | ") || !strings.Contains(page, "\n| lastcall@before | ") {
			t.Errorf("the page lacks a contestant:\n%s", page)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string // on one of the outputs
	}{
		{[]string{"-list"}, 0, "hops"},
		{[]string{"-list", "-rows", "stream,deaf", "-peers", "fx"}, 0, "fx"},
		{[]string{"-rows", "nonsense"}, 2, `no row "nonsense"; there are: idle-grpc, `},
		{[]string{"-rows", "stream,"}, 2, `no row ""`},
		{[]string{"-peers", "nginx"}, 2, `no contestant "nginx"; there are: graceful, `},
		{[]string{"-reps", "-1"}, 2, "-reps is -1"},
		{[]string{"-reps", "x"}, 2, `"x"`},
		{[]string{"-conns", "5"}, 2, "-conns is 5"},
		{[]string{"-nonsense"}, 2, "-nonsense"},
		{[]string{"stream"}, 2, `unexpected arguments ["stream"]`},
		{[]string{"-before", "/nonexistent/bench"}, 2, "/nonexistent/bench"},
		{[]string{"-from", "/nonexistent.json"}, 1, "/nonexistent.json"},
	} {
		var out bytes.Buffer
		if code := command(tt.args, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%q: code %d, want %d with %q; it says: %s", tt.args, code, tt.code, tt.says, &out)
		}
	}
}

// The names in the table are those of contestants, and every row can be listed.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, r := range rows(1000) {
		if names[r.name] || r.title == "" || r.main == "" || r.reps == 0 || r.takes == 0 || len(r.cases) == 0 {
			t.Errorf("row %q is double or incomplete", r.name)
		}
		names[r.name] = true
		for _, p := range append(slices.Clone(r.peers), r.base) {
			if _, ok := find(p); !ok && p != "" && p != "bare" {
				t.Errorf("row %s has a contestant %q, which there is not", r.name, p)
			}
		}
	}
}
