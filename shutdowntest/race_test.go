//go:build race

package shutdowntest

// checks is how many each test makes of a service unless -rapid.checks says otherwise: with
// the race detector a check takes five times as long.
const checks = "40"
