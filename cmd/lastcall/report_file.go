package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lastcall-go/lastcall/report"
)

// fileHelp says what the commands read.
const fileHelp = `The file is a report, as json.Marshal(report) writes it, or the JSON lines of
report.Recorder; - is stdin.`

// maxFile is how many bytes a file may have: a report has some thousands, and a stream that
// has no end is not one.
const maxFile = 64 << 20

// readFile reads the one file that is named, or stdin. What is wrong with it is wrong usage.
func readFile(args []string) (report.Report, error) {
	if len(args) != 1 || args[0] == "" {
		return report.Report{}, usageError{errors.New("name one file, or - for stdin")}
	}
	name, file := args[0], os.Stdin
	if name == "-" {
		name = "stdin"
	} else {
		var err error
		if file, err = os.Open(name); err != nil { //nolint:gosec // the user names it
			return report.Report{}, usageError{err}
		}
		defer func() { _ = file.Close() }() // it was only read
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return report.Report{}, usageError{err}
	}
	r, err := readReport(text)
	if err != nil {
		return r, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return r, nil
}

var errNeither = errors.New("it is neither a report, which has an outcome, nor lines of steps, which have a kind")

// readReport reads a report, or lines of Steps.
func readReport(text []byte) (r report.Report, err error) {
	switch {
	case len(text) > maxFile:
		return r, fmt.Errorf("it is larger than %d MB", maxFile>>20)
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return r, errors.New("it is UTF-16; a report is UTF-8")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(bytes.TrimSpace(text)) == 0 {
		return r, errors.New("it is empty")
	}
	var one struct {
		Outcome *string
		Kind    *string
	}
	err = json.NewDecoder(bytes.NewReader(text)).Decode(&one)
	_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case wrongType, err == nil && one.Kind == nil && one.Outcome == nil:
		return r, errNeither
	case errors.Is(err, io.ErrUnexpectedEOF):
		return r, located(text, err)
	case err != nil:
		return r, fmt.Errorf("it is neither a report nor lines of steps: %w", located(text, err))
	case one.Kind != nil:
		return report.ReadRecord(bytes.NewReader(text))
	}
	err = json.Unmarshal(text, &r)
	return r, located(text, err)
}

// located adds to an error of JSON where it is.
func located(text []byte, err error) error {
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends at %s, in the middle of a value: it was not written to its end", endOf(text))
	case !ok || syntax.Offset < 0 || syntax.Offset > int64(len(text)):
		return err
	default:
		return fmt.Errorf("%s: %w", endOf(text[:syntax.Offset]), err)
	}
}

// endOf returns where the text before it ends.
func endOf(before []byte) string {
	return fmt.Sprintf("line %d, column %d", bytes.Count(before, []byte("\n"))+1, max(1, len(before)-bytes.LastIndexByte(before, '\n')-1))
}
