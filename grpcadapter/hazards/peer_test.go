package hazards_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// A peer is an HTTP/2 client that does only what a test tells it to. It comes from
// network.peer, or from newPeer with a connection of any kind.
//
//	p := n.peer(t, peerConfig{})        sends the preface and its settings
//	id := p.open(t, unaryMethod, end)   HEADERS of a gRPC request; end: with END_STREAM
//	p.data(t, id, message(nil), end)    DATA: message for a whole one, anything for less
//	p.ackPings(t)                       for one that did not until now
//	p.listen()                          for one that was deaf until now
//	p.window(t, id, n)                  gives the server leave to send n more bytes
//	p.goAway(t, i)                      waits for the i-th GOAWAY, counted from 0
//	p.status(t, id)                     waits for the end of a stream
//	p.closed(t)                         waits for the end of the connection
//	p.frames(match)                     what has come so far
type peer struct {
	conn   net.Conn
	framer *http2.Framer

	writing sync.Mutex // one frame at a time
	hpack   *hpack.Encoder
	block   bytes.Buffer
	next    uint32 // the number of the next stream

	leaves bool

	mu    sync.Mutex // guards what is below
	acks  bool
	pings [][8]byte       // not yet acknowledged
	alive map[uint32]bool // the streams that have not ended
	sent  bool            // away, for good
	seen  []frame
	end   error     // why nothing comes any more
	endAt time.Time // and since when
	news  chan struct{}
}

// peerConfig says how a peer is worse than others. The zero peerConfig is a peer
// that reads, acknowledges settings and pings, and never gives the server more
// window than it had at first.
type peerConfig struct {
	deaf       bool   // does not read, until listen
	noPingAcks bool   // does not acknowledge pings, until ackPings
	quiet      bool   // sends no preface and does not read; start sends it, and then it reads
	leaves     bool   // closes its connection after the last GOAWAY and the end of its last stream
	streamSize uint32 // the window of each stream; 0: HTTP/2's default of 65535
	connSize   uint32 // how much the window of the connection is enlarged
}

// frame is what a peer has received.
type frame struct {
	http2.FrameHeader
	at     time.Time
	fields map[string]string // of HEADERS
	data   []byte            // of DATA
	last   uint32            // of GOAWAY: the last stream that the server serves
	code   http2.ErrCode     // of GOAWAY and RST_STREAM
}

// newPeer makes a peer of a connection, which the test's end closes.
func newPeer(t *testing.T, conn net.Conn, config peerConfig) *peer {
	t.Helper()
	p := &peer{conn: conn, next: 1, framer: http2.NewFramer(conn, conn), leaves: config.leaves, acks: !config.noPingAcks, alive: map[uint32]bool{}, news: make(chan struct{})}
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.hpack = hpack.NewEncoder(&p.block)
	t.Cleanup(func() { conn.Close() })
	if !config.quiet {
		p.start(t, config)
	}
	return p
}

// start sends the preface and the settings, and listens unless the peer is deaf.
func (p *peer) start(t *testing.T, config peerConfig) {
	t.Helper()
	var settings []http2.Setting
	if config.streamSize > 0 {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: config.streamSize})
	}
	p.write(t, func() error {
		_, err := io.WriteString(p.conn, http2.ClientPreface)
		return errors.Join(err, p.framer.WriteSettings(settings...))
	})
	if config.connSize > 0 {
		p.window(t, 0, config.connSize)
	}
	if !config.deaf {
		p.listen()
	}
}

// write is for the test's goroutine: a failure ends the test.
func (p *peer) write(t *testing.T, f func() error) {
	t.Helper()
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := f(); err != nil {
		t.Fatalf("the peer cannot write: %v", err)
	}
}

// listen begins to read.
func (p *peer) listen() { go p.read() }

// read records what comes, and acknowledges what has to be.
func (p *peer) read() {
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			p.note(func() { p.end, p.endAt = err, time.Now() })
			return
		}
		got := frame{FrameHeader: f.Header(), at: time.Now()}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			got.fields = map[string]string{}
			for _, field := range f.Fields {
				got.fields[field.Name] = field.Value
			}
		case *http2.DataFrame:
			got.data = bytes.Clone(f.Data())
		case *http2.GoAwayFrame:
			got.last, got.code = f.LastStreamID, f.ErrCode
		case *http2.RSTStreamFrame:
			got.code = f.ErrCode
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.reply(p.framer.WriteSettingsAck)
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				p.ping(f.Data)
			}
		}
		p.note(func() {
			p.seen = append(p.seen, got)
			if isEnd(got) {
				delete(p.alive, got.StreamID)
			}
			p.sent = p.sent || isGoAway(got) && got.last < math.MaxInt32
			if p.leaves && p.sent && len(p.alive) == 0 {
				p.conn.Close()
			}
		})
	}
}

// reply is for the reading goroutine: the connection may be gone.
func (p *peer) reply(f func() error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = f() // a connection that is gone ends the reading as well
}

func (p *peer) ping(data [8]byte) {
	p.mu.Lock()
	acks := p.acks
	if !acks {
		p.pings = append(p.pings, data)
	}
	p.mu.Unlock()
	if acks {
		p.reply(func() error { return p.framer.WritePing(true, data) })
	}
}

func (p *peer) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.news)
	p.news = make(chan struct{})
}

// ackPings acknowledges the pings that have come, and from now on all.
func (p *peer) ackPings(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	p.acks = true
	pings := p.pings
	p.pings = nil
	p.mu.Unlock()
	for _, data := range pings {
		p.write(t, func() error {
			err := p.framer.WritePing(true, data)
			if p.leaves && errors.Is(err, net.ErrClosed) { // the one before was what the last GOAWAY waited for
				return nil
			}
			return err
		})
	}
}

// open sends the headers of a gRPC request and returns the number of the stream.
func (p *peer) open(t *testing.T, method string, end bool) uint32 {
	t.Helper()
	id := p.next
	p.next += 2
	p.note(func() { p.alive[id] = true })
	p.write(t, func() error {
		p.block.Reset()
		for _, f := range [][2]string{
			{":method", "POST"},
			{":scheme", "http"},
			{":path", method},
			{":authority", "hazards"},
			{"content-type", "application/grpc"},
			{"te", "trailers"},
		} {
			if err := p.hpack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				return err
			}
		}
		return p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: end})
	})
	return id
}

// call sends a whole request with an empty message.
func (p *peer) call(t *testing.T, method string) uint32 {
	t.Helper()
	id := p.open(t, method, false)
	p.data(t, id, message(nil), true)
	return id
}

// data sends part of a request.
func (p *peer) data(t *testing.T, id uint32, data []byte, end bool) {
	t.Helper()
	p.write(t, func() error { return p.framer.WriteData(id, end, data) })
}

// reset ends a stream as a client does that cancels its RPC.
func (p *peer) reset(t *testing.T, id uint32) {
	t.Helper()
	p.write(t, func() error { return p.framer.WriteRSTStream(id, http2.ErrCodeCancel) })
}

// window enlarges the server's window for a stream, or for the connection (0).
func (p *peer) window(t *testing.T, id, n uint32) {
	t.Helper()
	p.write(t, func() error { return p.framer.WriteWindowUpdate(id, n) })
}

// message returns a gRPC message: its length and its bytes.
func message(b []byte) []byte {
	n := len(b)
	return append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

// frames returns what has come so far and matches.
func (p *peer) frames(match func(frame) bool) []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []frame
	for _, f := range p.seen {
		if match(f) {
			found = append(found, f)
		}
	}
	return found
}

// nth waits for the i-th frame that matches, counted from 0.
func (p *peer) nth(t *testing.T, what string, i int, match func(frame) bool) frame {
	t.Helper()
	limit := time.After(patience())
	for {
		p.mu.Lock()
		news, end := p.news, p.end
		p.mu.Unlock()
		if found := p.frames(match); len(found) > i {
			return found[i]
		}
		if end != nil {
			t.Fatalf("the peer waits for %s, and its connection has ended: %v\n%+v", what, end, p.frames(func(frame) bool { return true }))
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("the peer waits for %s, which does not come", what)
		}
	}
}

func isGoAway(f frame) bool { return f.Type == http2.FrameGoAway }

// isEnd reports whether a frame ends its stream.
func isEnd(f frame) bool {
	return f.Type == http2.FrameRSTStream || f.Type == http2.FrameHeaders && f.Flags.Has(http2.FlagHeadersEndStream)
}

func (p *peer) goAway(t *testing.T, i int) frame {
	t.Helper()
	return p.nth(t, "GOAWAY", i, isGoAway)
}

// ended is how a stream came to its end, as the peer has seen it.
type ended struct {
	at     time.Time
	code   codes.Code
	text   string
	reset  bool              // with RST_STREAM, and no status
	fields map[string]string // all of the trailer
	data   []byte            // everything that came before it
}

// status waits for the end of a stream.
func (p *peer) status(t *testing.T, id uint32) ended {
	t.Helper()
	end := p.nth(t, "the end of stream "+strconv.Itoa(int(id)), 0, func(f frame) bool { return f.StreamID == id && isEnd(f) })
	e := ended{at: end.at, code: codes.Unknown, reset: end.Type == http2.FrameRSTStream, fields: maps.Clone(end.fields), data: p.received(id)}
	if n, err := strconv.Atoi(end.fields["grpc-status"]); err == nil {
		e.code, e.text = codes.Code(n), end.fields["grpc-message"]
	}
	return e
}

// received returns the data of a stream that has come so far.
func (p *peer) received(id uint32) []byte {
	var data []byte
	for _, f := range p.frames(func(f frame) bool { return f.StreamID == id && f.Type == http2.FrameData }) {
		data = append(data, f.data...)
	}
	return data
}

// closed waits for the end of the connection, and returns when and how it came:
// io.EOF for a FIN.
func (p *peer) closed(t *testing.T) (time.Time, error) {
	t.Helper()
	limit := time.After(patience())
	for {
		p.mu.Lock()
		news, end, at := p.news, p.end, p.endAt
		p.mu.Unlock()
		if end != nil {
			return at, end
		}
		select {
		case <-news:
		case <-limit:
			t.Fatal("the peer's connection does not end")
		}
	}
}
