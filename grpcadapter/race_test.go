//go:build race

package grpcadapter_test

const raceEnabled = true
