package promadapter_test

import (
	"flag"
	"os"
	"testing"
)

// checks is how many shutdowns the property tries unless a flag or RAPID_CHECKS says
// otherwise.
const checks = "200"

func TestMain(m *testing.M) {
	flag.Parse()
	given := os.Getenv("RAPID_CHECKS") != ""
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
