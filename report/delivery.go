package report

import "fmt"

// Delivery says what an observer, or the logger, was told.
type Delivery struct {
	Op     Op     `json:"op"`             // OpObserve or OpLog; or OpStderr, only if the line was not written
	Name   string `json:"name,omitempty"` // as registered; stderr has none
	Told   int    `json:"told"`           // how many Steps it took
	Failed int    `json:"failed"`         // during how many it panicked or called runtime.Goexit; of the logger also how many lines its writer refused
	Missed int    `json:"missed"`         // how many waited behind one that it had not finished when Run returned
	Busy   bool   `json:"busy"`           // whether it had one that it had not finished
}

// String returns the Delivery in a few words, for example: observer "metrics" has not returned,
// missed 3, failed 0, told 12.
func (d Delivery) String() string {
	name := string(d.Op)
	if d.Name != "" {
		name = fmt.Sprintf("%s %q", d.Op, d.Name)
	}
	busy := ""
	if d.Busy {
		busy = " has not returned,"
	}
	return fmt.Sprintf("%s%s missed %d, failed %d, told %d", name, busy, d.Missed, d.Failed, d.Told)
}
