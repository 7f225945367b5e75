//go:build !race

package shutdowntest

// checks is how many each test makes of a service unless -rapid.checks says otherwise.
const checks = "100"
