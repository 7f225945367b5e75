package hazards_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// Handlers are told of the drain when it begins, and clients with the GOAWAY, which grpc
// holds back while a peer is in its handshake. A client that opens its stream again in
// between, on the same connection, is told at once and loses nothing: it does so until the
// GOAWAY is out, for HandshakeTime at most, or until the drain has ended.
func TestReopenedStreams(t *testing.T) {
	const backoff = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		silent   bool
		reopened int
		took     time.Duration
	}{
		"GOAWAY at once":             {false, 0, 0},
		"GOAWAY after HandshakeTime": {true, 9, time.Second},
	} {
		inVirtualTime(t, name, func(t *testing.T, _ <-chan struct{}) {
			n := memory()
			h := newHandler(func(ctx context.Context) error { <-lastcall.Draining(ctx); return nil })
			l := begin(t, n, setup{service: h.service()})
			conn := n.client(t)
			ended := 0 // streams that ended as their handlers wanted
			client := start(func() error {
				for {
					if err := streamOnce(conn); err != nil {
						return err
					}
					ended++
					time.Sleep(backoff - 1) // not in the instant of the GOAWAY
				}
			})
			<-h.in
			if tt.silent {
				n.silent(t)
			}
			r := l.shutdown(t)
			wantEnd(t, r, report.OutcomeDrained, tt.took)
			if err := client.result(); err == nil || ended != 1+tt.reopened && ended != 2+tt.reopened {
				t.Errorf("%d streams ended well, want %d; then %v", ended, 1+tt.reopened, err)
			}
			if int(h.runs.Load()) != ended {
				t.Errorf("%d handlers ran for %d streams", h.runs.Load(), ended)
			}
		})
	}
}

// streamOnce opens a stream and reads to its end.
func streamOnce(conn *grpc.ClientConn) error {
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
