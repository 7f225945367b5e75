package controller_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// natsConn has the shape of a connection whose Drain only begins its end, and calls a
// handler when it has come.
type natsConn struct{ onClosed func() }

func (c *natsConn) SetClosedHandler(f func()) { c.onClosed = f }

func (c *natsConn) Drain() error {
	time.AfterFunc(10*time.Millisecond, func() {
		fmt.Println("the last message was handled")
		c.onClosed()
	})
	return nil
}

// A function that only begins the end of a dependency is made a closer by waiting for it.
func ExampleWithCloser_thatOnlyBegins() {
	nc := new(natsConn)
	closed := make(chan struct{})
	nc.SetClosedHandler(func() { close(closed) })
	drain := func(ctx context.Context) error {
		if err := nc.Drain(); err != nil {
			return err
		}
		select {
		case <-closed:
			return nil
		case <-ctx.Done(): // its share of the time is over
			return context.Cause(ctx)
		}
	}
	ctl, err := controller.New(exampleBudget,
		controller.WithCloser("nats", drain))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil)
	fmt.Println(ctl.Run(context.Background()).Outcome)
	// Output:
	// the last message was handled
	// drained
}
