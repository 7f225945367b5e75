package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// thankedAtOnce is how many guests are thanked side by side.
const thankedAtOnce = 8

// thanks returns a worker with the shape of a queue's client: poll, process, ack. When
// claim ends it finishes the guests it has claimed; those left stay in the guest book,
// for the next start.
func thanks(guests *guestBook, events *events) func(claim, work context.Context) error {
	return func(claim, work context.Context) error {
		for claim.Err() == nil {
			batch, err := guests.unthanked(thankedAtOnce)
			if err != nil {
				return fmt.Errorf("next guests: %w", err)
			}
			if len(batch) == 0 {
				select {
				case <-guests.signed:
				case <-claim.Done():
				}
				continue
			}
			group, ctx := errgroup.WithContext(work)
			for _, number := range batch {
				group.Go(func() error { return thank(ctx, guests, events, number) })
			}
			if err := group.Wait(); err != nil {
				return err
			}
		}
		return nil
	}
}

// thank stands for a call to some other system, which would be given the context: it
// ends when the timer fires, or if another guest of the batch cannot be thanked. That
// the guest is taken off the list is the ack.
func thank(ctx context.Context, guests *guestBook, events *events, number uint64) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := guests.thanked(number); err != nil {
		return fmt.Errorf("thank guest %d: %w", number, err)
	}
	events.add("thanked", number)
	return nil
}
