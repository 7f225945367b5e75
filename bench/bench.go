package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// bench measures rows and prints them.
type bench struct {
	rows     []row
	binaries map[string]string // "" is this one, "@before" and "go-zero" are others
	log      io.Writer

	mu sync.Mutex
	results
}

// results are what -json writes and -from reads.
type results struct {
	About   string // the machine and the versions
	Samples []sample
}

// measure runs every row. In each repetition all contestants take their turn in every
// case, the first of one repetition being the second of the next.
func (b *bench) measure() {
	for _, r := range b.rows {
		begun := time.Now()
		places := make(chan struct{}, max(r.at, 1))
		var wg sync.WaitGroup
		most := 0
		for _, c := range r.cases {
			most = max(most, c.reps)
		}
		for rep := range most {
			for _, c := range r.cases {
				if rep >= c.reps {
					continue
				}
				for i := range r.peers {
					peer := r.peers[(i+rep)%len(r.peers)]
					if who, _ := find(strings.TrimSuffix(peer, before)); !who.serves(c.spec.Proto) {
						continue
					}
					places <- struct{}{}
					wg.Go(func() {
						s := b.once(c, peer)
						s.Row, s.Case, s.Peer = r.name, c.name, peer
						b.add(s)
						<-places
					})
				}
			}
		}
		wg.Wait()
		fmt.Fprintf(b.log, "%s: %.0f s\n", r.name, time.Since(begun).Seconds())
	}
}

func (b *bench) add(s sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Samples = append(b.Samples, s)
	if s.Error != "" {
		fmt.Fprintf(b.log, "%s %s %s: %s\n", s.Row, s.Case, s.Peer, s.Error)
	}
}

// once runs one process.
func (b *bench) once(c kase, peer string) sample {
	spec := c.spec
	spec.Peer = strings.TrimSuffix(peer, before)
	binary := b.binaries[""]
	if strings.HasSuffix(peer, before) {
		binary = b.binaries[before]
	} else if other, ok := b.binaries[peer]; ok && peer != "" {
		binary = other
	}
	t, err := start(binary, spec, c.env)
	if err != nil {
		return sample{Error: err.Error()}
	}
	defer t.done()
	if err := c.drive(t); err != nil {
		return sample{Error: err.Error() + ": " + t.cmd.String()}
	}
	return t.finish()
}

// of returns the samples of one contestant in one case, without the bench's own errors.
func (b *bench) of(r row, c kase, peer string) (all []sample) {
	for _, s := range b.Samples {
		if s.Row == r.name && s.Case == c.name && s.Peer == peer && s.Error == "" {
			all = append(all, s)
		}
	}
	return all
}
