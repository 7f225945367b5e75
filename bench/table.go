package main

import (
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/bench/child"
)

// on returns a Spec with something changed.
func on(s child.Spec, change func(*child.Spec)) child.Spec {
	change(&s)
	return s
}

func proto(s child.Spec, p string) child.Spec { return on(s, func(s *child.Spec) { s.Proto = p }) }

// silent returns the process without the log of a contestant that has one.
func silent(s child.Spec) child.Spec { return on(s, func(s *child.Spec) { s.Silent = true }) }

func dependencies(s child.Spec, does ...string) child.Spec {
	return on(s, func(s *child.Spec) { s.Closers = does })
}

// rows are all rows, in the order of the page.
func rows(conns int) []row {
	everyRPC := []string{"graceful", "stop", "timer", "errgroup", "oklog", "fx", "kratos", "go-zero", "lastcall", "lastcall-use"}
	everyHTTP := []string{"shutdown", "errgroup", "oklog", "fx", "kratos", "go-zero", "lastcall"}
	sooner := child.Spec{Proto: "grpc", Grace: time.Second, Budget: 2 * time.Second}
	roomy := child.Spec{Proto: "grpc", Grace: 15 * time.Second, Budget: 20 * time.Second}
	startup := on(sooner, func(s *child.Spec) { s.Opening = 300 * time.Millisecond })
	return []row{
		{name: "idle-grpc", title: "100 idle gRPC connections", main: "return", base: "graceful", peers: everyRPC, reps: 15, takes: 45 * time.Second,
			text: "SIGTERM, and nothing to wait for.", cases: []kase{{spec: roomy, drive: idle(100, (*trial).terminate)}}},
		{name: "idle-http", title: "100 idle HTTP connections", main: "return", base: "shutdown", peers: everyHTTP, reps: 11, takes: 120 * time.Second,
			text: "The same, for HTTP/1.1 and HTTP/2 over TLS.",
			cases: []kase{{name: "h1", spec: proto(roomy, "h1"), drive: idle(100, (*trial).terminate)}, {name: "h2", spec: proto(roomy, "h2"), drive: idle(100, (*trial).terminate)},
				{name: "h1, lasting", spec: proto(roomy, "h1"), drive: func(t *trial) error {
					if err := t.lasting(100); err != nil {
						return err
					}
					return t.terminate()
				}}}},
		{name: "unary", title: "1,000 unary calls in flight", main: "tail", more: []string{"return"}, base: "graceful", peers: everyRPC, reps: 7, takes: 80 * time.Second, facts: true,
			text: "Each takes a second; 10 connections. The tail is counted from the last handler's end.",
			cases: []kase{{spec: dependencies(roomy, "quick"), drive: func(t *trial) error {
				c, err := t.dial(10)
				if err != nil {
					return err
				}
				if err := t.unary(c, 1000, "1s"); err != nil {
					return err
				}
				return t.signal(syscall.SIGTERM)
			}}}},

		{name: "stream", title: "An endless stream", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 15 * time.Second, facts: true,
			text: "Its client never ends it, and its handler waits for the next message. Work is to be over after 1 s, the process after 2 s.", cases: []kase{{spec: dependencies(sooner, "quick"), drive: with(stream, (*trial).terminate)}}},
		{name: "deaf", title: "A handler that ignores its context", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 20 * time.Second, facts: true,
			text: "The same budget.", cases: []kase{{spec: dependencies(sooner, "quick"), drive: unary("deaf")}}},
		{name: "wait-for-handlers", title: "The same with grpc.WaitForHandlers", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 20 * time.Second, facts: true,
			text: "Stop then waits for the handler, too.", cases: []kase{{spec: on(dependencies(sooner, "quick"), func(s *child.Spec) { s.WaitForHandlers = true }), drive: unary("deaf")}}},
		{name: "watch", title: "A client that watches the health service", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 15 * time.Second, facts: true,
			text: "It is a client with a call of its own to Watch, which it does not end.", cases: []kase{{spec: sooner, drive: with(watch, (*trial).terminate)}}},
		{name: "silent", title: "A peer that connects and says nothing", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 20 * time.Second, facts: true,
			text: "A port scanner, a TCP probe, a load balancer's connection kept in stock.", cases: []kase{{spec: sooner, drive: with(func(t *trial, _ []*grpc.ClientConn) error { return t.silent() }, (*trial).terminate)}}},
		{name: "closer-hangs", title: "A closer that hangs", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 20 * time.Second, facts: true,
			text: "The second of three; one call in flight takes 300 ms.", cases: []kase{{spec: dependencies(sooner, "quick", "hang", "quick"), drive: unary("300ms")}}},
		{name: "closer-panics", title: "A closer that panics", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 5 * time.Second, facts: true,
			text: "The second of three; one call in flight takes 300 ms.", cases: []kase{{spec: dependencies(sooner, "quick", "panic", "quick"), drive: unary("300ms")}}},
		{name: "second-signal", title: "A second signal", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 20 * time.Second, facts: true,
			text:  "An endless stream; work may take 4 s, the process 5 s. SIGINT comes 1 s after SIGTERM.",
			cases: []kase{{spec: child.Spec{Proto: "grpc", Grace: 4 * time.Second, Budget: 5 * time.Second, Closers: []string{"quick"}}, drive: with(stream, second)}}},
		{name: "startup", title: "A signal during start-up", main: "return", peers: everyRPC, reps: 3, at: 8, takes: 5 * time.Second, facts: true,
			text: "Opening the dependencies takes 300 ms, or until its context ends; SIGTERM comes after 50 ms.", cases: []kase{{spec: startup, drive: opening}}},

		{name: "round-robin", title: "Two backends under round_robin", main: "return", peers: everyRPC, reps: 3, takes: 55 * time.Second, facts: true,
			text: "200 calls a second, 20 ms each; one of the backends gets SIGTERM after 0.5 s.", cases: []kase{{spec: roomy, drive: roundRobin}}},
		{name: "lagging", title: "Fresh connections while endpoints lag", main: "return", peers: everyRPC, reps: 3, at: 4, takes: 10 * time.Second, facts: true,
			text:  "For a second after SIGTERM each of 200 calls a second makes a connection of its own. Contestants that can keep serving do so for 1.5 s.",
			cases: []kase{{spec: child.Spec{Proto: "grpc", Settle: 1500 * time.Millisecond, Grace: 4 * time.Second, Budget: 5 * time.Second}, drive: lagging}}},

		tails(roomy),
		{name: "streams-drained", title: "10,000 streams, drained", main: "tail", more: []string{"return"}, base: "graceful", peers: []string{"graceful", "errgroup", "lastcall", "lastcall-use"}, reps: 3, takes: 20 * time.Second,
			text: "100 connections; the clients end their streams half a second after SIGTERM.", cases: []kase{{spec: roomy, drive: manyStreams(10_000, 500*time.Millisecond)}}},
		{name: "streams-forced", title: "10,000 streams, forced", main: "past timer", more: []string{"return"}, base: "timer", peers: []string{"stop", "timer", "lastcall", "lastcall-use"}, reps: 3, takes: 30 * time.Second,
			text:  "The clients do not end them; the timer fires after 2 s. A bare Stop has none: that one counts from the signal.",
			cases: []kase{{spec: child.Spec{Proto: "grpc", Grace: 2 * time.Second, Budget: 12 * time.Second}, drive: manyStreams(10_000, 0)}}},
		{name: "forced", title: "A forced end", main: "return", base: "stop", peers: []string{"stop", "lastcall", "lastcall-use"}, reps: 15, takes: 60 * time.Second,
			text: "The process is asked to call Stop, or Controller.Force. No call is running, but for the case with a stream.", cases: []kase{
				{name: "a stream", spec: roomy, drive: with(stream, (*trial).forced)},
				{name: "100 idle connections", spec: roomy, drive: idle(100, (*trial).forced)},
				{name: "1,000", spec: roomy, drive: idle(1000, (*trial).forced), reps: 5},
				{name: "10,000", spec: roomy, drive: idle(10_000, (*trial).forced), reps: 3}}},

		{name: "memory", title: "Memory", main: "heap", more: []string{"stack"}, base: "graceful", peers: []string{"graceful", "lastcall", "lastcall-use"}, reps: 3, takes: 20 * time.Second,
			text: "Bytes in the server's process after a collection, for each of so many; 100 streams or calls share a connection, which is not counted. Bare grpc-go is named graceful.",
			cases: []kase{
				{name: fmt.Sprintf("%d idle connections", conns), spec: roomy, drive: held(conns, 0, func(t *trial, _ []*grpc.ClientConn) error { _, err := t.dial(conns); return err })},
				{name: fmt.Sprintf("%d unary calls", conns), spec: roomy, drive: held(conns, conns/100, func(t *trial, c []*grpc.ClientConn) error { return t.unary(c, conns, "ctx") })},
				{name: fmt.Sprintf("%d streams", conns), spec: roomy, drive: held(conns, conns/100, func(t *trial, c []*grpc.ClientConn) error { _, err := t.streams(c, conns); return err })},
			}},
		{name: "starved", title: "Late at the deadline, starved", main: "late", base: "clock", peers: []string{"clock", "lastcall", "lastcall-use"}, reps: 21, takes: 90 * time.Second,
			text:  "GOMAXPROCS=1 and 8 loops that never yield; a handler, a closer and a flusher hang. How long after its own deadline Run returns, and a bare timer (clock).",
			cases: []kase{{spec: child.Spec{Proto: "grpc", Grace: 500 * time.Millisecond, Budget: time.Second, Closers: []string{"hang"}, HangingFlusher: true}, env: []string{"GOMAXPROCS=1"}, drive: with(starved, (*trial).terminate)}}},
		{name: "many", title: "Many closers and workers", main: "return", base: "errgroup", peers: []string{"errgroup", "oklog", "fx", "kratos", "go-zero", "lastcall"}, reps: 5, takes: 85 * time.Second,
			text: "So many workers, which return at once when told, and so many closers, which do nothing.", cases: []kase{many(10), many(1000), many(10_000)}},
		{name: "hops", title: "The last hops", main: "tail", base: "graceful", peers: []string{"graceful", "graceful-log", "errgroup", "lastcall"}, reps: 200, takes: 200 * time.Second,
			text:  "One call of 100 ms in flight. From its handler's end to the return. lastcall and graceful-log write four lines of a log in this time, and in the second case none.",
			cases: []kase{{spec: roomy, drive: request(100 * time.Millisecond)}, {name: "without the log", spec: silent(roomy), drive: request(100 * time.Millisecond)}}},
		{name: "startup-hops", title: "From a signal during start-up to the return", main: "return", base: "graceful", peers: []string{"graceful", "errgroup", "lastcall"}, reps: 200, takes: 90 * time.Second,
			text:  "As in the row on start-up. lastcall writes nine lines of its log, and in the second case none.",
			cases: []kase{{spec: startup, drive: opening}, {name: "without the log", spec: silent(startup), drive: opening}}},
	}
}

// tails is the row of the tails, by protocol and length of the drain.
func tails(roomy child.Spec) row {
	r := row{name: "tail", title: "After the last answer", main: "tail", base: "bare", peers: []string{"graceful", "shutdown", "lastcall"}, reps: 5, at: 6, takes: 60 * time.Second,
		text: "One call or request in flight, for as long as the case says. From its handler's end to the return."}
	for _, p := range []string{"grpc", "h1", "h1tls", "h2", "h2c"} {
		for _, d := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
			r.cases = append(r.cases, kase{name: fmt.Sprintf("%s, %v", p, d), spec: proto(roomy, p), drive: request(d)})
		}
	}
	return r
}

func many(n int) kase {
	return kase{name: fmt.Sprint(n), spec: child.Spec{Grace: 15 * time.Second, Budget: 20 * time.Second, Quick: n, Workers: n, Closers: []string{"quick"}},
		drive: func(t *trial) error {
			time.Sleep(300*time.Millisecond + time.Duration(n/10)*time.Millisecond) // nothing shows that they have all begun
			return t.signal(syscall.SIGTERM)
		}}
}
