package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/lastcall-go/lastcall/controller"
)

// startup hears the signals that come before the controller does, which is when Run
// begins. A first one ends the start, a second one the process.
type startup struct {
	ctx    context.Context // ends with the first signal
	stop   context.CancelFunc
	detach atomic.Pointer[func() bool]
}

func newStartup() *startup {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	return &startup{ctx: ctx, stop: stop}
}

// shutDown has a signal shut the controller down.
func (s *startup) shutDown(ctl *controller.Controller) {
	detach := context.AfterFunc(s.ctx, func() {
		s.stop()
		ctl.Shutdown(context.Cause(s.ctx))
	})
	s.detach.Store(&detach)
}

// fail says that the start has failed, unless that is because a signal came.
func (s *startup) fail(ctl *controller.Controller, err error) {
	if s.ctx.Err() != nil {
		ctl.Shutdown(context.Cause(s.ctx))
		return
	}
	ctl.Fail(err)
}

// observer ends the startup with the first step that the controller tells of: it
// hears the signals itself by then.
func (s *startup) observer() controller.Option {
	return controller.WithObserver("startup", func(controller.Step) {
		(*s.detach.Load())()
		s.stop()
	})
}
