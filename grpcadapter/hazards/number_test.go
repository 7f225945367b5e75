package hazards_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/report"
)

// grpc resets a stream whose header is malformed, and takes its number again. The RPC that
// has it then keeps its connection.
func TestNumberOfAResetStream(t *testing.T) {
	inVirtualTime(t, "", func(t *testing.T, _ <-chan struct{}) {
		n := memory()
		l := begin(t, n, setup{service: fnService{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
			time.Sleep(usualTimer / 2)
			return &testgrpc.SimpleResponse{}, nil
		}}})
		p := n.peer(t, peerConfig{})
		p.write(t, func() error {
			if err := p.hpack.WriteField(hpack.HeaderField{Name: "Capital", Value: "x"}); err != nil {
				return err
			}
			return p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: p.next, BlockFragment: p.block.Bytes(), EndHeaders: true})
		})
		p.nth(t, "RST_STREAM", 0, func(f frame) bool { return f.Type == http2.FrameRSTStream })
		id := p.open(t, unaryMethod, false)
		p.data(t, id, message(nil), true)
		r := l.shutdown(t)
		if r.Outcome != report.OutcomeDrained {
			t.Errorf("%v", r)
		}
		if got := p.frames(func(f frame) bool { return f.StreamID == id && f.Type == http2.FrameHeaders && isEnd(f) }); len(got) != 1 || got[0].fields["grpc-status"] != "0" {
			t.Errorf("the RPC ended with %+v", got)
		}
	})
}
