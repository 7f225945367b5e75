package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// How long another process may keep the file, for example one that is just ending;
// and how often that is tried, which is how soon a signal ends the wait.
const (
	lockTime  = 3 * time.Second
	lockTries = 30
)

// The buckets: every guest under a number; and the numbers of those whom nobody
// has thanked yet.
const (
	bucketGuests    = "guests"
	bucketUnthanked = "unthanked"
)

// guestBook is a bbolt file. Its methods may be called by any number of
// goroutines, until Close.
type guestBook struct {
	db     *bbolt.DB
	signed chan struct{} // capacity 1: somebody has signed since it was last received from
}

// openGuestBook opens the file, or makes it. If another process has it open, it waits
// for that, until the context ends or the time for it is over.
func openGuestBook(ctx context.Context, path string) (*guestBook, error) {
	var db *bbolt.DB
	err := bbolterrors.ErrTimeout
	for try := 0; try < lockTries && errors.Is(err, bbolterrors.ErrTimeout) && ctx.Err() == nil; try++ {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTime / lockTries})
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("guest book %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketGuests, bucketUnthanked} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close() // the first error says more
		return nil, fmt.Errorf("guest book %s: %w", path, err)
	}
	return &guestBook{db: db, signed: make(chan struct{}, 1)}, nil
}

// Close waits for the transactions that run, and closes the file.
func (g *guestBook) Close() error { return g.db.Close() }

// sign adds a guest and returns the guest's number. Both are on the disk then.
func (g *guestBook) sign(name string) (uint64, error) {
	var number uint64
	err := g.db.Update(func(tx *bbolt.Tx) error {
		guests := tx.Bucket([]byte(bucketGuests))
		var err error
		if number, err = guests.NextSequence(); err != nil {
			return err
		}
		key := binary.BigEndian.AppendUint64(nil, number)
		if err := guests.Put(key, []byte(name)); err != nil {
			return err
		}
		return tx.Bucket([]byte(bucketUnthanked)).Put(key, nil)
	})
	if err != nil {
		return 0, fmt.Errorf("sign: %w", err)
	}
	select {
	case g.signed <- struct{}{}:
	default:
	}
	return number, nil
}

// unthanked returns the first guests whom nobody has thanked, so many at most.
func (g *guestBook) unthanked(most int) (numbers []uint64, err error) {
	err = g.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket([]byte(bucketUnthanked)).Cursor()
		for key, _ := cursor.First(); key != nil && len(numbers) < most; key, _ = cursor.Next() {
			numbers = append(numbers, binary.BigEndian.Uint64(key))
		}
		return nil
	})
	return numbers, err
}

// thanked notes that a guest has been thanked. Calls that come together share one
// write to the disk.
func (g *guestBook) thanked(number uint64) error {
	return g.db.Batch(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketUnthanked)).Delete(binary.BigEndian.AppendUint64(nil, number))
	})
}

// count returns how many guests there are.
func (g *guestBook) count() (number uint64, err error) {
	err = g.db.View(func(tx *bbolt.Tx) error {
		number = tx.Bucket([]byte(bucketGuests)).Sequence() // nobody leaves
		return nil
	})
	return number, err
}

// waiting returns how many guests nobody has thanked.
func (g *guestBook) waiting() (number int, err error) {
	err = g.db.View(func(tx *bbolt.Tx) error {
		number = tx.Bucket([]byte(bucketUnthanked)).Stats().KeyN
		return nil
	})
	return number, err
}
