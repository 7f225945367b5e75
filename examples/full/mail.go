package main

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/drain"
)

// mailer sends mails when the answer that they belong to is out. The controller waits
// for them: they are the work of a server behind the others.
type mailer struct {
	background drain.Watcher
	events     *events
	work       time.Duration
}

// welcome has a mail sent, and does not wait for it.
func (m mailer) welcome(ctx context.Context, guest uint64) {
	err := m.background.Go(ctx, "welcome mail", func(ctx context.Context) { m.send(ctx, guest) })
	if err != nil { // too late for the background, which happens after the timer
		m.send(ctx, guest)
	}
}

// send stands for a call to a mail server. The context is not that of the request: it
// ends when the timer fires.
func (m mailer) send(ctx context.Context, guest uint64) {
	select {
	case <-time.After(m.work):
		m.events.add("mailed", guest)
	case <-ctx.Done():
		m.events.add("not mailed", guest)
	}
}
