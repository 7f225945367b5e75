package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"

	"github.com/lastcall-go/lastcall"
)

// Harmless names errors that are not failures of this step: of a connection that something
// else may have closed before, for example. An error that joins several is harmless if each
// of them is. The report and, but for flushers, the log have it in any case.
//
//	controller.WithCloser("users", conn.Close, controller.Harmless(grpc.ErrClientConnClosing))
func Harmless(errs ...error) StepOption {
	return func(s *stepConfig) {
		if len(errs) == 0 {
			s.errs = append(s.errs, errors.New("Harmless was given no error"))
		}
		for _, err := range errs {
			if err == nil || !canCompare(err) {
				s.errs = append(s.errs, fmt.Errorf("Harmless was given %#v, which no error can be compared with", err)) //nolint:errorlint // it is not what went wrong
				return
			}
		}
		s.harmless = append(s.harmless, errs...)
	}
}

// canCompare reports whether == works for the error: its type may hold a slice.
func canCompare(err error) (ok bool) {
	defer func() { ok = recover() == nil }()
	_ = map[error]bool{err: true}
	return ok
}

// closedBefore are the errors of a closer that mean that there is nothing left to close.
func closedBefore() []error { return []error{os.ErrClosed, net.ErrClosed} }

// notSyncable are the errors of a flusher that mean that there is nothing to flush: fsync
// of a pipe, a terminal or a socket, which keep nothing back.
func notSyncable() []error {
	errs := []error{syscall.EINVAL, syscall.EROFS, syscall.ENOTTY, syscall.ENOTSUP}
	if runtime.GOOS == "windows" {
		errs = append(errs, syscall.Errno(6)) // ERROR_INVALID_HANDLE, of a console
	}
	return errs
}

// call calls the step's function, and marks an error that is harmless.
func (s stepConfig) call(ctx context.Context) error {
	err := s.run(ctx)
	if err != nil && isHarmless(err, s.harmless) {
		return &harmless{err}
	}
	return err
}

// harmless is what a call returns to guard for an error that is not a failure.
type harmless struct{ error }

// isHarmless reports whether err, and each error that it joins, is or wraps one of the
// known errors. Unlike errors.Is it does not take one that is known for all of them.
// It calls methods of err.
func isHarmless(err error, known []error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if _, failed := err.(*lastcall.FailedError); failed { //nolint:errorlint // this very level
			return false
		}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			all := joined.Unwrap()
			return len(all) > 0 && !slices.ContainsFunc(all, func(e error) bool { return !isHarmless(e, known) })
		}
		own, hasIs := err.(interface{ Is(error) bool })
		for _, k := range known {
			if err == k || hasIs && own.Is(k) { //nolint:errorlint // the same
				return true
			}
		}
	}
	return false
}
