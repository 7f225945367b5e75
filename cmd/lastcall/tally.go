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

// counts says how many RPCs ended in which way.
type counts struct {
	codes  map[codes.Code]int
	hungUp int
}

func (c *counts) add(r rpc) {
	if r.hungUp {
		c.hungUp++
		return
	}
	if c.codes == nil {
		c.codes = make(map[codes.Code]int)
	}
	c.codes[r.code]++
}

// String lists the codes, OK first, for example: 12 OK, 2 Unavailable.
func (c *counts) String() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(c.codes)) {
		parts = append(parts, fmt.Sprintf("%d %v", c.codes[code], code))
	}
	if c.hungUp > 0 {
		parts = append(parts, fmt.Sprintf("%d hung up", c.hungUp))
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

// tally is a table of RPCs by replica, method and code, split at the trigger.
func tally(rpcs []rpc, trigger time.Time) string {
	type row struct{ before, after, failed counts }
	rows := make(map[place]*row)
	failures, hungUp := 0, 0
	for _, r := range rpcs {
		if rows[r.place] == nil {
			rows[r.place] = &row{}
		}
		at := rows[r.place]
		if r.begun.Before(trigger) {
			at.before.add(r)
		} else {
			at.after.add(r)
		}
		if r.failed() {
			at.failed.add(r)
			failures++
		}
		if r.hungUp {
			hungUp++
		}
	}
	order := slices.SortedFunc(maps.Keys(rows), func(x, y place) int {
		return cmp.Or(cmp.Compare(x.replica, y.replica), cmp.Compare(x.method, y.method))
	})

	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "replica\tmethod\tbegun before SIGTERM\tbegun after\n")
	for _, p := range order {
		fmt.Fprintf(w, "%s\t%s\t%v\t%v\n", cmp.Or(p.replica, "none"), p.method, &rows[p].before, &rows[p].after)
	}
	_ = w.Flush() // a strings.Builder takes everything
	if hungUp > 0 {
		fmt.Fprintf(&b, "%d had not ended when the clients hung up\n", hungUp)
	}
	if failures == 0 {
		fmt.Fprintf(&b, "of %d RPCs none failed\n", len(rpcs))
		return b.String()
	}
	fmt.Fprintf(&b, "of %d RPCs %d failed:\n", len(rpcs), failures)
	for _, p := range order {
		if rows[p].failed.codes != nil {
			fmt.Fprintf(&b, "  %s on replica %s: %v\n", p.method, cmp.Or(p.replica, "none"), &rows[p].failed)
		}
	}
	return b.String()
}
