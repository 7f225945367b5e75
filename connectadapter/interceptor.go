package connectadapter

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/lastcall-go/lastcall"
)

// Interceptor returns an interceptor for handlers; clients do not notice it. It blocks
// nothing, and may be shared by any number of handlers.
//
// From the timer on, an error that a handler returns becomes Unavailable, whatever it was
// made of: of the handler's own context, of a body that could not be read, or of a server
// behind this one, which is cancelled first. A stream that the timer found running becomes
// Unavailable also if its handler returns nil, because the client could take the part
// that it has for all of the stream. The answer of a unary RPC is left as it is: over gRPC
// and gRPC-Web it is sent; over Connect it is an answer of HTTP like any other, which the
// httpadapter makes 503, and the client Unavailable, unless httpadapter.WithAnswersLeft is given.
// An error of a handler whose context the drain has ended (httpadapter.WithEndlessPaths)
// becomes Unavailable, too.
//
// One error is out of reach: connect-go reads the message of a unary RPC before it asks an
// interceptor. Where the timer finds half of one, the client hears Unavailable over Connect, and
// DeadlineExceeded over gRPC and gRPC-Web.
func Interceptor() connect.Interceptor { return interceptor{} }

type interceptor struct{}

// WrapUnary belongs to connect.Interceptor.
func (interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		if err != nil && !req.Spec().IsClient && (isInterrupted(ctx) || endedByDrain(ctx)) {
			return nil, leaving()
		}
		return resp, err
	}
}

// WrapStreamingClient belongs to connect.Interceptor.
func (interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler belongs to connect.Interceptor.
func (interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := next(ctx, conn)
		if isInterrupted(ctx) || err != nil && endedByDrain(ctx) {
			return leaving()
		}
		return err
	}
}

// isInterrupted reports whether the timer has fired.
func isInterrupted(ctx context.Context) bool {
	at, known := lastcall.TimerAt(ctx)
	return known && !time.Now().Before(at) || errors.Is(context.Cause(ctx), lastcall.ErrTimer)
}

// endedByDrain reports whether the context has ended as the drain began.
func endedByDrain(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), lastcall.ErrDraining)
}

func leaving() error {
	return connect.NewError(connect.CodeUnavailable, errors.New("the server is shutting down"))
}
