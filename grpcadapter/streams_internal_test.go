package grpcadapter

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// Which streams are open does not depend on how the bytes are cut, and is what a peer and a
// server that write frames one after the other agree on.
func TestStreams(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s streams
		var buf bytes.Buffer
		framer := http2.NewFramer(&buf, nil)
		feed := func(take func([]byte) bool) {
			for b := buf.Bytes(); len(b) > 0; {
				n := rapid.IntRange(1, len(b)).Draw(rt, "bytes")
				take(b[:n])
				b = b[n:]
			}
			buf.Reset()
		}
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		must(framer.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20}))
		feed(s.wrote) // grpc sends its settings before it has read anything
		if s.none() {
			rt.Fatal("idle before the preface")
		}
		buf.WriteString(http2.ClientPreface)
		must(framer.WriteSettings())
		feed(s.read)
		open, used, next, last := map[uint32]bool{}, false, uint32(1), uint32(maxID)
		some := func() uint32 {
			if ids := slices.Sorted(maps.Keys(open)); len(ids) > 0 {
				return rapid.SampledFrom(ids).Draw(rt, "stream")
			}
			return next + 100
		}
		steps := map[string]func(){
			"begin": func() {
				must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: next, BlockFragment: make([]byte, rapid.IntRange(0, 40).Draw(rt, "size")), EndHeaders: true, EndStream: rapid.Bool().Draw(rt, "end")}))
				if next <= last {
					open[next], used = false, true
				}
				next += 2
				feed(s.read)
			},
			"body": func() {
				must(framer.WriteData(some(), rapid.Bool().Draw(rt, "end"), make([]byte, rapid.IntRange(0, 300).Draw(rt, "size"))))
				feed(s.read)
			},
			"client's trailers": func() {
				if len(open) == 0 {
					return
				}
				must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: some(), EndHeaders: true, EndStream: true}))
				feed(s.read)
			},
			"a number again": func() { // of a stream that grpc has reset, or an error of the connection
				if next == 1 || next-2 > last {
					return
				}
				must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: next - 2, EndHeaders: true}))
				if _, began := open[next-2]; !began {
					open[next-2] = false
				}
				used = true
				feed(s.read)
			},
			"cancel": func() {
				id := some()
				must(framer.WriteRSTStream(id, http2.ErrCodeCancel))
				delete(open, id)
				feed(s.read)
			},
			"answer": func() {
				id := some()
				must(framer.WriteData(id, false, make([]byte, rapid.IntRange(0, 300).Draw(rt, "size"))))
				if _, begun := open[id]; begun {
					open[id] = true // the answer has begun
				}
				feed(s.wrote)
			},
			"trailers": func() {
				id := some()
				must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: make([]byte, 10), EndHeaders: true, EndStream: true}))
				delete(open, id)
				feed(s.wrote)
			},
			"ping": func() {
				must(framer.WritePing(true, [8]byte{0, 1, 1, 1}))
				feed(rapid.SampledFrom([]func([]byte) bool{s.read, s.wrote}).Draw(rt, "who"))
			},
			"goaway": func() {
				if rapid.Bool().Draw(rt, "last") {
					last = min(last, next-2)
				}
				must(framer.WriteGoAway(last, http2.ErrCodeNo, make([]byte, rapid.IntRange(0, 20).Draw(rt, "size"))))
				feed(s.wrote)
			},
			"mark": func() { s.mark(); used = len(open) > 0 },
		}
		names := slices.Sorted(maps.Keys(steps))
		for range rapid.IntRange(0, 60).Draw(rt, "steps") {
			steps[rapid.SampledFrom(names).Draw(rt, "step")]()
			owes := slices.Contains(slices.Collect(maps.Values(open)), true)
			if s.none() != (len(open) == 0) || s.wasIdle() == used || s.owes() != owes || !maps.Equal(s.open, open) {
				rt.Fatalf("open %v, used %v; want %v, %v", s.open, s.used, open, used)
			}
		}
	})
}

// A stream has not ended while the kernel has only the beginning of its last frame.
func TestStreamsHalfWritten(t *testing.T) {
	var s streams
	var last bytes.Buffer
	framer := http2.NewFramer(&last, nil)
	s.read([]byte(http2.ClientPreface))
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	s.wrote(last.Bytes())
	last.Reset()
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	s.read(last.Bytes())
	last.Reset()
	if err := framer.WriteData(1, true, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	for i, b := range last.Bytes() {
		if s.none() {
			t.Fatalf("no stream is open after %d of %d bytes of the answer", i, last.Len())
		}
		s.wrote([]byte{b})
	}
	if !s.none() {
		t.Error("a stream is open after its end")
	}
}

// A peer that has sent the first bytes of a frame is not idle: it may have begun a request.
func TestStreamsHalfRead(t *testing.T) {
	var s streams
	s.read([]byte(http2.ClientPreface))
	if !s.wasIdle() {
		t.Error("not idle after the preface")
	}
	s.read([]byte{0, 0, 10, 1})
	if s.wasIdle() {
		t.Error("idle in the middle of a frame's header")
	}
}

// What is not HTTP/2 in clear is unknown for good.
func TestStreamsOfOthers(t *testing.T) {
	for _, first := range []string{"\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\n", "PRI * HTTP/1.0\r\n\r\nSM\r\n\r\n"} {
		var s streams
		s.read([]byte(first))
		s.read([]byte(http2.ClientPreface))
		if s.none() || s.wasIdle() {
			t.Errorf("%q is taken for HTTP/2", first)
		}
	}
	for _, first := range []string{"hello\n", "220 mx.example.com ESMTP\r\n"} { // credentials that speak first
		var s streams
		var settings bytes.Buffer
		if err := http2.NewFramer(&settings, nil).WriteSettings(); err != nil {
			t.Fatal(err)
		}
		s.wrote([]byte(first))
		s.wrote(settings.Bytes())
		s.read([]byte(http2.ClientPreface))
		s.wrote(settings.Bytes())
		if s.none() || s.wasIdle() {
			t.Errorf("after %q the server is taken to speak HTTP/2", first)
		}
	}
}
