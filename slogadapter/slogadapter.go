// Package slogadapter writes what a shutdown has to tell through a [slog.Logger]: the same
// lines as controller.WithLogger writes through zerolog, with the same keys, which
// docs/report.md lists. Durations are slog durations, so the handler decides how they look.
package slogadapter

import (
	"context"
	"log/slog"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// WithLogger makes logger a log of the name "slog" (see controller.WithLog). The time of a
// record is the instant in which the step was told, not that of the write. Run does not
// wait for a handler that blocks. The report counts the records that the handler returns
// an error for, panics on, or has not taken when Run returns.
//
// A nil logger is an error from New and Add.
func WithLogger(logger *slog.Logger) controller.Option {
	if logger == nil || logger.Handler() == nil { // a zero Logger has none
		return controller.WithLog("slog", nil)
	}
	handler := logger.Handler()
	return controller.WithLog("slog", func(line report.Line) error {
		ctx := context.Background()
		if !handler.Enabled(ctx, line.Level) {
			return nil
		}
		r := slog.NewRecord(line.At, line.Level, line.Message, 0)
		r.AddAttrs(line.Attrs...)
		return handler.Handle(ctx, r)
	})
}
