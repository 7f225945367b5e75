package httpadapter_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/report"
)

// On a listener that has TLS net/http waits a second for idle peers of HTTP/2 to go. If the
// timer finds such a peer alone, nothing was lost, and the exit code says so.
func TestTimerFindsIdlePeers(t *testing.T) {
	for name, tt := range map[string]struct {
		before, settling func(*testing.T, *h2Peer)
		handler          http.HandlerFunc
		forced           bool
		lost             bool
	}{
		"no request ever":      {},
		"a request before":     {before: func(t *testing.T, p *h2Peer) { p.request(t, 1); p.answer(t, 1) }},
		"a request in settle":  {settling: func(t *testing.T, p *h2Peer) { p.request(t, 1); p.answer(t, 1) }, lost: true},
		"a request that waits": {before: func(t *testing.T, p *h2Peer) { p.request(t, 1) }, handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, lost: true},
		"a force":              {forced: true, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := tcp(t).secure(t)
			config := n.cert.Clone()
			config.NextProtos = []string{"h2"}
			n.tls = n.tls.Clone()
			n.tls.NextProtos = []string{"h2"}
			handler := tt.handler
			if handler == nil {
				handler = func(http.ResponseWriter, *http.Request) {}
			}
			wrapped := &network{Listener: tls.NewListener(n.Listener, config), dial: n.dial, tls: n.tls, cert: config, plain: true}
			l := begin(t, wrapped, setup{
				budget:  lastcall.Budget{Total: 4 * time.Second, Settle: 300 * time.Millisecond, Reserve: 3200 * time.Millisecond},
				adapter: []httpadapter.Option{httpadapter.WithoutTLS()}, handler: handler,
			})
			p := newH2Peer(t, wrapped)
			ping(t, p)
			if tt.before != nil {
				tt.before(t, p)
				ping(t, p)
			}
			l.trigger()
			for l.Phase() < lastcall.PhaseSettle { // Announce has returned
				time.Sleep(time.Millisecond)
			}
			if tt.settling != nil {
				tt.settling(t, p)
			}
			if tt.forced {
				time.AfterFunc(400*time.Millisecond, l.Force)
			}
			r := l.report(t)
			l.wantWithin(t, 2*time.Second)
			if r.Took() < 350*time.Millisecond {
				t.Errorf("took %v: %v", r.Took(), r)
			}
			want := report.ExitOK
			if tt.lost {
				want = report.ExitInterrupted
			}
			peer := p.conn.LocalAddr().String() + " -> " + p.conn.RemoteAddr().String()
			if r.ExitCode() != want || !tt.lost && (r.Outcome != report.OutcomeIdle || !strings.Contains(r.String(), peer)) {
				t.Errorf("exit code %d, want %d, with %s\n%v", r.ExitCode(), want, peer, r)
			}
		})
	}
}

// ping waits until the server has seen what was sent before.
func ping(t *testing.T, p *h2Peer) {
	t.Helper()
	if err := p.framer.WritePing(false, [8]byte{1}); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.PingFrame); ok && f.IsAck() {
			return
		}
	}
}
