package stacks

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
)

// What is read of a profile in the format of pprof, profile.proto, by the numbers of its
// fields: https://github.com/google/pprof/blob/main/proto/profile.proto. The numbers of a
// protocol buffer never change.
const (
	profileSample   = 2
	profileLocation = 4
	profileFunction = 5
	profileString   = 6

	sampleLocation = 1
	sampleValue    = 2
	sampleLabel    = 3

	labelKey  = 1
	labelText = 2

	locationID   = 1
	locationLine = 4

	lineFunction = 1
	lineLine     = 2

	functionID   = 1
	functionName = 2
	functionFile = 4
)

var errFormat = errors.New("stacks: not a profile")

// maxProfile is how many bytes a profile may have when it is unpacked.
const maxProfile = 64 << 20

type profile struct {
	samples   []sample
	locations map[uint64][]line // innermost first: more than one if calls were inlined
	functions map[uint64]function
	strings   []string
}

type sample struct {
	locations []uint64
	count     int64
	labels    [][2]uint64 // keys and texts, as indexes of strings
}

type line struct {
	function uint64
	number   int64
}

type function struct{ name, file uint64 }

// parse reads a profile that is packed with gzip.
func parse(r io.Reader) (*profile, error) {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(packed, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxProfile {
		return nil, errors.New("stacks: the profile is too large")
	}
	p := &profile{locations: map[uint64][]line{}, functions: map[uint64]function{}}
	return p, message(text, p.field)
}

func (p *profile) field(number int, _ uint64, text []byte) error {
	switch number {
	case profileSample:
		var s sample
		defer func() { p.samples = append(p.samples, s) }()
		return message(text, s.field)
	case profileLocation:
		var id uint64
		var lines []line
		err := message(text, func(number int, value uint64, text []byte) error {
			switch number {
			case locationID:
				id = value
			case locationLine:
				v, err := values(text)
				lines = append(lines, line{v[lineFunction], int64(v[lineLine])}) //nolint:gosec // a protocol buffer's int64
				return err
			}
			return nil
		})
		p.locations[id] = lines
		return err
	case profileFunction:
		v, err := values(text)
		p.functions[v[functionID]] = function{v[functionName], v[functionFile]}
		return err
	case profileString:
		p.strings = append(p.strings, string(text))
	}
	return nil
}

func (s *sample) field(number int, value uint64, text []byte) error {
	switch number {
	case sampleLocation:
		return numbers(value, text, func(v uint64) { s.locations = append(s.locations, v) })
	case sampleValue:
		return numbers(value, text, func(v uint64) { s.count = int64(v) }) //nolint:gosec // a protocol buffer's int64
	case sampleLabel:
		v, err := values(text)
		s.labels = append(s.labels, [2]uint64{v[labelKey], v[labelText]})
		return err
	}
	return nil
}

// text returns a string of the profile; "" if there is none.
func (p *profile) text(i uint64) string {
	if i >= uint64(len(p.strings)) {
		return ""
	}
	return p.strings[i]
}

// message calls f for each field of a message: with the value of a number, or with the
// bytes of anything that has a length.
func message(b []byte, f func(number int, value uint64, text []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 > 1<<29 {
			return errFormat
		}
		b = b[n:]
		var value uint64
		var text []byte
		switch tag & 7 {
		case 0:
			if value, n = binary.Uvarint(b); n <= 0 {
				return errFormat
			}
		case 1, 5:
			if n = 8; tag&7 == 5 {
				n = 4
			}
			if len(b) < n {
				return errFormat
			}
		case 2:
			length, m := binary.Uvarint(b)
			if m <= 0 || length > uint64(len(b)-m) { //nolint:gosec // m is at most len(b)
				return errFormat
			}
			n = m + int(length) //nolint:gosec // not longer than b
			text = b[m:n]
		default:
			return errFormat
		}
		b = b[n:]
		if err := f(int(tag>>3), value, text); err != nil {
			return err
		}
	}
	return nil
}

// values returns the numbers of a message, by their field.
func values(b []byte) (v [8]uint64, err error) {
	err = message(b, func(number int, value uint64, _ []byte) error {
		if number < len(v) { // others are not read
			v[number] = value
		}
		return nil
	})
	return v, err
}

// numbers calls f for each number of a repeated field: one, or packed as many.
func numbers(value uint64, packed []byte, f func(uint64)) error {
	if packed == nil {
		f(value)
		return nil
	}
	for len(packed) > 0 {
		v, n := binary.Uvarint(packed)
		if n <= 0 {
			return errFormat
		}
		f(v)
		packed = packed[n:]
	}
	return nil
}
