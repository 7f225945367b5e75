package httpadapter_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Peer is a client of HTTP/2 that does nothing by itself.
type h2Peer struct {
	conn   net.Conn
	framer *http2.Framer
}

func newH2Peer(t *testing.T, n *network) *h2Peer {
	t.Helper()
	if n.tls != nil {
		n.tls = n.tls.Clone()
		n.tls.NextProtos = []string{"h2"}
	}
	c := n.speak(t)
	raw(t, c, "%s", http2.ClientPreface)
	p := &h2Peer{conn: c, framer: http2.NewFramer(c, c)}
	if err := p.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := p.framer.WriteSettingsAck(); err != nil {
		t.Fatal(err)
	}
	if secured, ok := c.(*tls.Conn); ok && secured.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatal("no HTTP/2")
	}
	return p
}

// request begins a GET on a stream.
func (p *h2Peer) request(t *testing.T, stream uint32) { //nolint:unparam // others may come
	t.Helper()
	var header bytes.Buffer
	enc := hpack.NewEncoder(&header)
	for _, f := range [][2]string{{":method", "GET"}, {":path", "/"}, {":scheme", "http"}, {":authority", "x"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// answer reads until the end of a stream.
func (p *h2Peer) answer(t *testing.T, stream uint32) { //nolint:unparam // others may come
	t.Helper()
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f.Header().StreamID == stream && f.Header().Flags.Has(http2.FlagDataEndStream) {
			return
		}
	}
}

// rest reads until the connection ends, and returns the number of GOAWAYs, and the data.
func (p *h2Peer) rest(t *testing.T) (goAways int, data string) {
	t.Helper()
	for {
		switch f, err := p.framer.ReadFrame(); f := f.(type) {
		case *http2.GoAwayFrame:
			goAways++
		case *http2.DataFrame:
			data += string(f.Data())
		default:
			if err != nil {
				return goAways, data
			}
		}
	}
}
