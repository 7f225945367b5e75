//go:build unix

// Command foreign has clients of other languages call a server that is replaced again and
// again, and prints how many of their calls were lost. docs/kubernetes.md has its figures.
//
//	go -C bench run ./foreign                      every client that is installed
//	go -C bench run ./foreign -clients grpc-js,wrk -servers lastcall,bare
//	go -C bench run ./foreign -through haproxy,nginx,caddy -clients python,wrk
//
// A balancer leads each connection to the newest server, as a ClusterIP does: the new one
// serves, new connections go to it, and the old one gets its SIGTERM. Behind a proxy there are
// two such pairs, which are replaced in turns. A client that is not installed is skipped,
// and the output says what it needs. Packages of Debian that are unpacked (dpkg -x) and not
// installed are found in $LASTCALL_ROOT.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// plan is what the flags say.
type plan struct {
	rollouts       int
	settle, pause  time.Duration
	servers, names []string
	through        []string // proxies; "" for none
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		os.Exit(serve(os.Args[2:]))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("foreign", flag.ContinueOnError)
	var p plan
	flags.IntVar(&p.rollouts, "rollouts", 5, "how many times the server is replaced")
	flags.DurationVar(&p.settle, "settle", time.Second, "how long a server goes on after its SIGTERM")
	flags.DurationVar(&p.pause, "pause", time.Second, "from the end of a rollout to the next one")
	servers := flags.String("servers", "lastcall,bare", "servers, with commas: lastcall, bare (GracefulStop or Shutdown at SIGTERM, with no settle), stop")
	through := flags.String("through", "", "proxies, with commas: haproxy, nginx, caddy; none by default")
	names := flags.String("clients", "", "clients, with commas; all by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p.servers, p.through = strings.Split(*servers, ","), strings.Split(*through, ",")
	for _, c := range clients() {
		p.names = append(p.names, c.name)
	}
	if *names != "" {
		for name := range strings.SplitSeq(*names, ",") {
			if !slices.Contains(p.names, name) {
				return fmt.Errorf("there is no client %q; there are %s", name, strings.Join(p.names, ", "))
			}
		}
		p.names = strings.Split(*names, ",")
	}
	fmt.Printf("%d rollouts, a settle of %v, %v apart\n\n| client | through | server | lost | of | what |\n|---|---|---|---|---|---|\n", p.rollouts, p.settle, p.pause)
	var failed error
	for _, c := range clients() {
		if !slices.Contains(p.names, c.name) {
			continue
		}
		for _, through := range p.through {
			for _, server := range p.servers {
				found, err := p.measure(c, through, server)
				if err != nil {
					found = result{what: map[string]int{err.Error(): 0}}
					if !errors.Is(err, errMissing) {
						failed = errors.Join(failed, fmt.Errorf("%s with %s: %w", c.name, server, err))
					}
				}
				fmt.Printf("| %s | %s | %s | %d | %d | %s |\n", c.name, through, server, found.lost, found.calls, found)
			}
		}
	}
	return failed
}

// measure has a client call while servers are replaced.
func (p *plan) measure(c client, through, server string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	prepare, err := c.command()
	if err != nil {
		return result{}, err
	}
	all := []*rollout{{proto: c.proto, server: server, settle: p.settle}}
	if through != "" {
		all = append(all, &rollout{proto: c.proto, server: server, settle: p.settle})
	}
	defer func() {
		for _, r := range all {
			r.kill()
		}
	}()
	for _, r := range all {
		if err := r.begin(ctx); err != nil {
			return result{}, err
		}
	}
	addr := all[0].front.Addr().String()
	if through != "" {
		front, end, err := proxy(ctx, through, c.proto, addr, all[1].front.Addr().String())
		if err != nil {
			return result{}, err
		}
		defer end()
		addr = front
	}
	seconds := time.Duration(p.rollouts)*(p.settle+p.pause+time.Second) + time.Second
	cmd := prepare(ctx, addr, max(2, int(seconds/time.Second)))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	time.Sleep(max(p.pause, time.Second)) // the client begins to call meanwhile
	for i := range p.rollouts {
		if err := all[i%len(all)].replace(ctx); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return result{}, err
		}
		time.Sleep(p.pause)
	}
	err = cmd.Wait()
	found := c.read(out.String())
	if found.calls == 0 {
		return result{}, errors.Join(errors.New("it made no call: "+out.String()), err)
	}
	for _, r := range all {
		if err := r.end(); err != nil {
			return result{}, err
		}
	}
	return found, nil
}
