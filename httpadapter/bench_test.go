package httpadapter_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/httpadapter"
)

// How long the drains of BenchmarkTail last. The bar of the project is for 1s to 5s.
func drains(b *testing.B) []time.Duration {
	b.Helper()
	var all []time.Duration
	for text := range strings.SplitSeq(flag.Lookup("drains").Value.String(), ",") {
		d, err := time.ParseDuration(text)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

var _ = flag.String("drains", "200ms", "how long the drains of BenchmarkTail last, for example 1s,2s,3s,4s,5s")

// The time from the end of the last request to the end of the drain, with busy
// clients, of the adapter and of http.Server.Shutdown, in turns. The bar is a tenth.
//
//	go test ./httpadapter -run '^$' -bench Tail -benchtime 20x -drains 1s,2s,3s,4s,5s
func BenchmarkTail(b *testing.B) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		b.Run(how, func(b *testing.B) {
			var ours, theirs []time.Duration
			all := drains(b)
			for i := range b.N {
				drain := all[i%len(all)] + time.Duration(i*37%100)*time.Millisecond // not in step with the polling
				ours = append(ours, tail(b, how, drain, true))
				theirs = append(theirs, tail(b, how, drain, false))
			}
			reportTimes(b, ours, theirs)
		})
	}
}

// The drain of 100 idle connections of HTTP/1.1, of the adapter and of
// http.Server.Shutdown, in turns. The bar is 1.2.
//
//	go test ./httpadapter -run '^$' -bench Idle -benchtime 50x
func BenchmarkIdle(b *testing.B) {
	for _, how := range []string{h1, h1s, h2c, h2} {
		b.Run(how, func(b *testing.B) {
			var ours, theirs []time.Duration
			for range b.N {
				for _, adapter := range []bool{true, false} {
					n := on(b, tcp(b), how)
					var stop func()
					if ok := func(http.ResponseWriter, *http.Request) {}; adapter {
						s := httpadapter.New(n.Listener, &http.Server{Handler: http.HandlerFunc(ok), Protocols: all(), TLSConfig: n.cert}, declare(n)...)
						go func() { _ = s.Serve() }()
						stop = s.GracefulStop
					} else {
						srv := &http.Server{Handler: http.HandlerFunc(ok), Protocols: all(), TLSConfig: n.cert}
						if n.cert != nil {
							go func() { _ = srv.ServeTLS(n.Listener, "", "") }()
						} else {
							go func() { _ = srv.Serve(n.Listener) }()
						}
						stop = func() { _ = srv.Shutdown(context.Background()) }
					}
					for range 100 {
						n.client(b, how).do("GET", "/", nil)
					}
					time.Sleep(5 * time.Millisecond)
					began := time.Now()
					stop()
					if took := time.Since(began); adapter {
						ours = append(ours, took)
					} else {
						theirs = append(theirs, took)
					}
				}
			}
			reportTimes(b, ours, theirs)
		})
	}
}

// reportTimes reports medians.
func reportTimes(b *testing.B, ours, theirs []time.Duration) {
	b.Helper()
	slices.Sort(ours)
	slices.Sort(theirs)
	a, z := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(a.Microseconds()), "µs-lastcall")
	b.ReportMetric(float64(z.Microseconds()), "µs-Shutdown")
	b.ReportMetric(float64(a)/float64(z), "ratio")
}

// What a request costs in the adapter, with a ServeMux and without a network, and over
// a connection.
func BenchmarkRequest(b *testing.B) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, how := range []string{h1, h2c} {
		for _, adapter := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/adapter=%v", how, adapter), func(b *testing.B) {
				n := tcp(b)
				if adapter {
					begin(b, n, setup{server: &http.Server{Handler: mux}})
				} else {
					srv := &http.Server{Handler: mux, Protocols: all()}
					go func() { _ = srv.Serve(n.Listener) }()
					b.Cleanup(func() { srv.Close() })
				}
				c := n.client(b, how)
				c.do("GET", "/orders/1", nil)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if a := c.do("GET", "/orders/1", nil); a.err != nil {
							b.Error(a.err)
						}
					}
				})
			})
		}
	}
}
