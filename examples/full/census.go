package main

import (
	"context"
	"fmt"
	"time"
)

// census returns a scheduled job: it counts the guests from time to time. When claim
// ends, a count that runs is finished and no other begun.
func census(guests *guestBook, events *events, interval time.Duration) func(claim, work context.Context) error {
	return func(claim, _ context.Context) error {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-claim.Done():
				return nil
			}
			number, err := guests.count()
			if err != nil {
				return fmt.Errorf("census: %w", err)
			}
			events.add("counted", number)
		}
	}
}
