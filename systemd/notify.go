package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// name is that of the observer and of the announcer.
const name = "systemd"

// Notify returns the option that tells systemd; see the package documentation for
// what and when. It does not block. Give it to a controller once: New and Add
// refuse a second one. Where the environment has no NOTIFY_SOCKET at the time of the
// call, nothing is ever sent.
//
// The messages are sent by an observer, "systemd", one at a time. A socket that
// takes none blocks that observer, which delays nothing else, and the report says that
// it has not returned.
//
// An announcer, "systemd", waits for STOPPING=1 to be sent, for nine tenths of the time
// of phase announce at most. If the socket that NOTIFY_SOCKET names cannot be reached (it is
// not there, nothing listens on it, or this process may not use it), as in a container that
// was given the variable of its host, that is a warning in the log. Otherwise it fails if
// READY=1 or STOPPING=1 could not be sent, or if the socket has not taken them by then:
// that is in the log and in the report, and the exit code is report.ExitStep if nothing
// worse happened. So a READY=1 that
// was lost is told at the end only. The service does its work until then, but systemd
// sends SIGTERM to one of Type=notify that is not ready after TimeoutStartSec. Messages
// of later phases only repeat what was said; if one cannot be sent it is not reported.
func Notify() controller.Option {
	n := &notifier{told: make(chan struct{})}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		// It is registered all the same, so that two of them are refused everywhere, and
		// not in production only.
		return controller.WithObserver(name, func(report.Step) {})
	}
	return controller.Options(controller.WithObserver(name, n.observe), controller.WithAnnouncer(name, n.announce,
		controller.Harmless(errUnreachable)))
}

// errUnreachable marks a message for which the socket could not be connected to.
var errUnreachable = errors.New("the socket cannot be reached")

// notifier sends what systemd should know. The controller hands it one step at a
// time.
type notifier struct {
	sending atomic.Pointer[string] // the first variable of the last message that was begun
	errs    []error                // of READY=1 and STOPPING=1; not written after told is closed
	told    chan struct{}          // closed when STOPPING=1 has been sent, or cannot be
}

// observe sends a message if the step is a phase or a request. It blocks for as long as the
// socket takes no message.
func (n *notifier) observe(s report.Step) {
	if s.Kind != report.KindPhase && s.Kind != report.KindRequest {
		return
	}
	variables := message(s, time.Now())
	first := variables[0]
	n.sending.Store(&first)
	sent, err := daemon.SdNotify(false, strings.Join(variables, "\n"))
	if err == nil && !sent {
		err = errors.New("NOTIFY_SOCKET was set, and is not any more")
	}
	if s.Kind != report.KindPhase {
		return
	}
	// STATUS alone is a courtesy, and what comes after STOPPING=1 repeats it.
	if err != nil && (s.Phase == lastcall.PhaseServe || s.Phase == lastcall.PhaseAnnounce) {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			err = fmt.Errorf("%w: %v", errUnreachable, err) //nolint:errorlint // the other makes it no failure
		}
		n.errs = append(n.errs, fmt.Errorf("systemd: %s was not sent: %w", first, err))
	}
	if s.Phase == lastcall.PhaseAnnounce {
		close(n.told)
	}
}

// announce waits until STOPPING=1 has been sent. It gives up before its time is over:
// then the log says what is missing, and not only that it took too long.
func (n *notifier) announce(ctx context.Context) error {
	end, _ := ctx.Deadline() // every announcer has one
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)*9/10)
	defer cancel()
	select {
	case <-n.told:
		return errors.Join(n.errs...)
	case <-ctx.Done():
	}
	first := "the first message"
	if sending := n.sending.Load(); sending != nil {
		first = *sending
	}
	return fmt.Errorf("systemd: NOTIFY_SOCKET does not take %s: %w", first, ctx.Err())
}
