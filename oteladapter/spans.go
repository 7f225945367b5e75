package oteladapter

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/lastcall-go/lastcall/report"
)

// spans makes spans of Steps: one of the shutdown, from the trigger to the summary, in it
// one of each phase, and in those one of each call. The controller calls observe, one step
// at a time.
//
// What began before the trigger, as the Serve of each server, begins with the shutdown: a
// span of weeks would hide the seconds that matter.
type spans struct {
	tracer trace.Tracer
	begun  map[call]report.Step // calls before the trigger that have not ended
	open   map[call]trace.Span
	root   trace.Span
	inRoot context.Context
	phase  trace.Span
	inHere context.Context // in the phase, or in the shutdown before the first
	start  time.Time
	over   bool
}

type call struct {
	op    report.Op
	name  string
	start int64
}

func callOf(s report.Step) call { return call{s.Op, s.Name, s.Start.UnixNano()} }

func (p *spans) observe(s report.Step) {
	switch {
	case p.over: // the exporter is being flushed
	case s.Kind == report.KindTrigger:
		p.begin(s)
	case p.root == nil:
		p.beforeTrigger(s)
	case s.Kind == report.KindPhase:
		p.endPhase(s.Start)
		p.inHere, p.phase = p.tracer.Start(p.inRoot, "phase "+s.Phase.String(), trace.WithTimestamp(s.Start),
			trace.WithAttributes(attribute.String("lastcall.phase", s.Phase.String()), attribute.String("lastcall.state", s.State.String())))
	case s.Kind == report.KindTransition:
		p.event(s, "state "+s.State.String(), attribute.String("lastcall.state", s.State.String()), attribute.String("lastcall.event", s.Transition.Event.String()))
	case s.Kind == report.KindBegin:
		p.beginCall(s)
	case s.Kind == report.KindCall:
		p.endCall(s)
	case s.Kind == report.KindWork:
		t := report.Sum(s.Work)
		p.event(s, "in flight", attribute.String("lastcall.server", valid(s.Name)), attribute.Int("lastcall.work.in_flight", t.Running))
	case s.Kind == report.KindWarning:
		p.event(s, "warning", attribute.String("lastcall.warning", valid(s.Text)))
	case s.Kind == report.KindSummary:
		p.end(s)
	}
}

func (p *spans) beforeTrigger(s report.Step) {
	if p.begun == nil {
		p.begun = map[call]report.Step{}
	}
	switch s.Kind {
	case report.KindBegin:
		p.begun[callOf(s)] = s
	case report.KindCall:
		delete(p.begun, callOf(s))
	default:
	}
}

func (p *spans) begin(s report.Step) {
	known := *s.Report
	p.start, p.open = s.Start, map[call]trace.Span{}
	p.inRoot, p.root = p.tracer.Start(context.Background(), "shutdown", trace.WithNewRoot(), trace.WithTimestamp(s.Start), trace.WithAttributes(
		attribute.String("lastcall.shutdown.cause", valid(s.Text)),
		attribute.Float64("lastcall.budget.total", known.Budget.Total.Seconds()),
		attribute.Float64("lastcall.budget.settle", known.Budget.Settle.Seconds()),
		attribute.Float64("lastcall.budget.reserve", known.Budget.Reserve.Seconds()),
	))
	p.inHere = p.inRoot
	for _, earlier := range p.begun {
		p.beginCall(earlier)
	}
	p.begun = nil
}

func (p *spans) beginCall(s report.Step) {
	start := s.Start
	if start.Before(p.start) {
		start = p.start
	}
	_, span := p.tracer.Start(p.inHere, string(s.Op)+" "+valid(s.Name), trace.WithTimestamp(start),
		trace.WithAttributes(attribute.String("lastcall.call.op", string(s.Op)), attribute.String("lastcall.call.name", valid(s.Name))))
	p.open[callOf(s)] = span
}

// endCall ends the span of a call. One that has returned after all ended when it was late.
func (p *spans) endCall(s report.Step) {
	key := callOf(s)
	span, ok := p.open[key]
	if !ok { // a question that went wrong: its beginning is not a step
		p.beginCall(s)
		span = p.open[key]
	}
	delete(p.open, key)
	span.SetAttributes(attribute.String("lastcall.call.result", s.Result.String()))
	if s.Failed() {
		span.SetAttributes(attribute.String("error.type", strings.ReplaceAll(s.Result.String(), " ", "_")))
		span.SetStatus(codes.Error, valid(s.Text))
	} else if s.Text != "" {
		span.AddEvent("error", trace.WithAttributes(attribute.String("exception.message", valid(s.Text))))
	}
	span.End(trace.WithTimestamp(s.Start.Add(s.Duration)))
}

func (p *spans) event(s report.Step, name string, attrs ...attribute.KeyValue) {
	p.root.AddEvent(name, trace.WithTimestamp(s.Start), trace.WithAttributes(attrs...))
}

func (p *spans) endPhase(at time.Time) {
	if p.phase != nil {
		p.phase.End(trace.WithTimestamp(at))
	}
}

// end ends all spans. Those of calls that have not returned say so.
func (p *spans) end(s report.Step) {
	p.over = true
	for _, span := range p.open {
		span.SetAttributes(attribute.Bool("lastcall.call.unfinished", true))
		span.End(trace.WithTimestamp(s.Now.At))
	}
	p.endPhase(s.Now.At)
	r := *s.Report
	t := report.Sum(r.Work)
	p.root.SetAttributes(
		attribute.String("lastcall.shutdown.outcome", r.Outcome.String()),
		attribute.Int("lastcall.shutdown.exit_code", r.ExitCode()),
		attribute.Bool("lastcall.shutdown.forced", r.Forced),
		attribute.Int("lastcall.work.completed", t.Completed),
		attribute.Int("lastcall.work.cancelled", t.Cancelled),
		attribute.Int("lastcall.work.cut", t.Cut),
		attribute.Int("lastcall.work.abandoned", t.Running),
	)
	if err := r.Err(); err != nil {
		p.root.SetStatus(codes.Error, valid(err.Error()))
	}
	p.root.End(trace.WithTimestamp(s.Now.At))
}

// valid returns a text as attributes allow it.
func valid(text string) string { return strings.ToValidUTF8(text, "?") }
