package main

import (
	"fmt"
	"slices"
	"strings"
)

// maxDiffed is how many lines on a side diff compares one by one. A longer change is shown
// as a whole.
const maxDiffed = 2000

// diff returns the lines that differ, as diff -U0 does.
func diff(have, want string) string {
	a, b := slices.Collect(strings.Lines(have)), slices.Collect(strings.Lines(want))
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	a, b = a[start:len(a)-end], b[start:len(b)-end]
	common := commonLines(a, b)
	var out strings.Builder
	i, j := 0, 0
	for _, c := range append(common, [2]int{len(a), len(b)}) {
		if c[0] > i || c[1] > j {
			fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n", start+i+1, c[0]-i, start+j+1, c[1]-j)
		}
		for ; i < c[0]; i++ {
			out.WriteString("-" + strings.TrimRight(a[i], "\r\n") + "\n")
		}
		for ; j < c[1]; j++ {
			out.WriteString("+" + strings.TrimRight(b[j], "\r\n") + "\n")
		}
		i, j = i+1, j+1
	}
	return out.String()
}

// commonLines returns the places of a longest common subsequence.
func commonLines(a, b []string) (pairs [][2]int) {
	if len(a) > maxDiffed || len(b) > maxDiffed {
		return nil
	}
	length := make([][]int, len(a)+1)
	length[len(a)] = make([]int, len(b)+1)
	for i := len(a) - 1; i >= 0; i-- {
		length[i] = make([]int, len(b)+1)
		for j := len(b) - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			pairs = append(pairs, [2]int{i, j})
			i, j = i+1, j+1
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}
