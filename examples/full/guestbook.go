package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
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

// openGuestBook opens the file, or makes it. If another process has it open, that
// is an error after a second.
func openGuestBook(path string) (*guestBook, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
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

// unthanked returns the first guest whom nobody has thanked, or 0.
func (g *guestBook) unthanked() (number uint64, err error) {
	err = g.db.View(func(tx *bbolt.Tx) error {
		if key, _ := tx.Bucket([]byte(bucketUnthanked)).Cursor().First(); key != nil {
			number = binary.BigEndian.Uint64(key)
		}
		return nil
	})
	return number, err
}

// thanked notes that a guest has been thanked.
func (g *guestBook) thanked(number uint64) error {
	return g.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketUnthanked)).Delete(binary.BigEndian.AppendUint64(nil, number))
	})
}
