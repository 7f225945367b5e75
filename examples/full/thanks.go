package main

import (
	"context"
	"fmt"
)

// thanks returns a worker that thanks the guests, one after the other. When claim
// ends it finishes the guest it has claimed; those left stay in the guest book,
// for the next start.
func thanks(guests *guestBook, events *events) func(claim, work context.Context) error {
	return func(claim, work context.Context) error {
		for claim.Err() == nil {
			number, err := guests.unthanked()
			if err != nil {
				return fmt.Errorf("next guest: %w", err)
			}
			if number == 0 {
				select {
				case <-guests.signed:
				case <-claim.Done():
				}
				continue
			}
			if err := thank(work, guests, events, number); err != nil {
				return fmt.Errorf("thank guest %d: %w", number, err)
			}
		}
		return nil
	}
}

// thank stands for a call to some other system, which would be given the context
// work: it ends when the timer fires and not before.
func thank(work context.Context, guests *guestBook, events *events, number uint64) error {
	if err := context.Cause(work); err != nil {
		return err
	}
	if err := guests.thanked(number); err != nil {
		return err
	}
	events.add("thanked", number)
	return nil
}
