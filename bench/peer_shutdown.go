package main

import (
	"context"

	"github.com/lastcall-go/lastcall/bench/child"
)

// shutdown is net/http's Shutdown with a deadline, and Close after it.
func shutdown(p *child.Process) int {
	return bare(p, func() (run, stop func()) {
		srv := p.HTTPServer()
		return func() {
				if err := p.ServeHTTP(srv); err != nil {
					panic(err)
				}
			}, func() {
				grace, cancel := context.WithTimeout(context.Background(), p.Grace)
				defer cancel()
				if srv.Shutdown(grace) != nil {
					_ = srv.Close()
				}
			}
	})
}
