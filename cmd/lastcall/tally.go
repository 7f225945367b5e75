package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"
)

// endings lists how RPCs ended, by code, OK first, for example: 12 OK, 2 Unavailable.
func endings(rpcs []rpc) string {
	count, hungUp := make(map[codes.Code]int), 0
	for _, r := range rpcs {
		if r.hungUp {
			hungUp++
		} else {
			count[r.code]++
		}
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %v", count[code], code))
	}
	if hungUp > 0 {
		parts = append(parts, fmt.Sprintf("%d hung up", hungUp))
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

// tally is a table of RPCs by replica, method and code, split at the trigger.
func tally(rpcs []rpc, trigger time.Time) string {
	rows := make(map[place][]rpc)
	for _, r := range rpcs {
		rows[r.place] = append(rows[r.place], r)
	}
	order := slices.SortedFunc(maps.Keys(rows), func(x, y place) int {
		return cmp.Or(cmp.Compare(x.replica, y.replica), cmp.Compare(x.method, y.method))
	})
	early := func(r rpc) bool { return r.begun.Before(trigger) }
	late := func(r rpc) bool { return !early(r) }

	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "replica\tmethod\tbegun before SIGTERM\tbegun after\n")
	for _, p := range order {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", cmp.Or(p.replica, "none"), p.method, endings(some(rows[p], early)), endings(some(rows[p], late)))
	}
	_ = w.Flush() // a strings.Builder takes everything
	if n := len(some(rpcs, func(r rpc) bool { return r.hungUp })); n > 0 {
		fmt.Fprintf(&b, "%d had not ended when the clients hung up\n", n)
	}
	failures := len(some(rpcs, rpc.failed))
	if failures == 0 {
		fmt.Fprintf(&b, "of %d RPCs none failed\n", len(rpcs))
		return b.String()
	}
	fmt.Fprintf(&b, "of %d RPCs %d failed:\n", len(rpcs), failures)
	for _, p := range order {
		if failed := some(rows[p], rpc.failed); len(failed) > 0 {
			fmt.Fprintf(&b, "  %s on replica %s: %s\n", p.method, cmp.Or(p.replica, "none"), endings(failed))
		}
	}
	return b.String()
}

func some[T any](all []T, which func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !which(one) })
}
