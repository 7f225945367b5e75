//go:build !race

package hazards_test

const raceEnabled = false
