package report

import "fmt"

// Result says how a call ended. The zero Result is that of a Step that is not a call, or
// of a call that still runs.
type Result uint8

const (
	_ Result = iota
	// ResultOK: it returned in time and without an error that counts.
	ResultOK
	// ResultFailed: it returned an error.
	ResultFailed
	// ResultPanicked: it panicked.
	ResultPanicked
	// ResultGoexit: it called runtime.Goexit.
	ResultGoexit
	// ResultTimedOut: it had not returned when its time was over.
	ResultTimedOut
)

// String returns the result in words, for example "timed out"; for a value that
// is not a result it returns "Result(n)".
func (r Result) String() string {
	if r == 0 || r > ResultTimedOut {
		return fmt.Sprintf("Result(%d)", uint8(r))
	}
	return [...]string{
		ResultOK: "ok", ResultFailed: "failed", ResultPanicked: "panicked", ResultGoexit: "called runtime.Goexit", ResultTimedOut: "timed out",
	}[r]
}

// MarshalText writes the name that String returns.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
