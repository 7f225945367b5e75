package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

func TestBudgetValidate(t *testing.T) {
	const s, us = time.Second, time.Microsecond
	tests := []struct {
		total, settle, reserve time.Duration
		want                   []string // parts of the error; none: valid
	}{
		{25 * s, 5 * s, 5 * s, nil},
		{2 * us, 0, us, nil},
		{math.MaxInt64, math.MaxInt64 - us - 1, us, nil},
		{math.MaxInt64, math.MaxInt64 - us, us, []string{"Settle", "Reserve 1µs", "Total"}},
		{25, 5, 5, []string{"Total is 25ns: a number without a unit counts nanoseconds; write 25*time.Second", "Settle is 5ns", "Reserve is 5ns"}},
		{25 * s, 5, 999, []string{"Settle is 5ns", "Reserve is 999ns"}},
		{0, 0, 0, []string{"zero Budget", "DefaultBudget()"}},
		{0, s, s, []string{"Total is 0s, must be positive"}},
		{-s, 0, s, []string{"Total is -1s, must be positive"}},
		{10 * s, -s, s, []string{"Settle is -1s, must not be negative"}},
		{10 * s, s, 0, []string{"Reserve is 0s, must be positive"}},
		{10 * s, s, -s, []string{"Reserve is -1s, must be positive"}},
		{10 * s, 5 * s, 5 * s, []string{"Settle 5s + Reserve 5s leave nothing of Total 10s"}},
		{10 * s, 0, 10 * s, []string{"Reserve 10s must be less than Total 10s"}},
		{-s, -s, -s, []string{"Total is -1s", "Settle is -1s", "Reserve is -1s"}},
	}
	for _, tt := range tests {
		b := lastcall.Budget{Total: tt.total, Settle: tt.settle, Reserve: tt.reserve}
		err := b.Validate()
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%+v: error %v", b, err)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%+v: error %q does not say %q", b, err, part)
			}
		}
		if _, newErr := controller.New(b); (newErr == nil) != (err == nil) || err != nil && newErr.Error() != err.Error() {
			t.Errorf("%+v: New says %v, Validate %v", b, newErr, err)
		}
	}
	if err := lastcall.DefaultBudget().Validate(); err != nil {
		t.Error(err)
	}
}

type valueServer struct{ n int }

func (valueServer) GracefulStop() {}
func (valueServer) Stop()         {}

// fullServer is a FullServer that accepts work at once.
type fullServer struct {
	valueServer
	lastcall.Unimplemented
}

func (fullServer) Serve() error               { return nil }
func (fullServer) Accepting() <-chan struct{} { return always }

type checkedServer struct{ fullServer }

func (*checkedServer) Check() error { return errors.New("it has no listener") }

// mute cannot know when it accepts work.
type mute struct{ fullServer }

func (*mute) Accepting() <-chan struct{} { return nil }

// wrapper is what users write around a FullServer.
type wrapper struct{ lastcall.FullServer }

type panicking struct{ fullServer }

func (*panicking) Accepting() <-chan struct{} { panic("not made by New") }

type onlyAccepting struct{ valueServer }

func (*onlyAccepting) Accepting() <-chan struct{} { return always }

// listening has the Serve of a *grpc.Server.
type listening struct{ valueServer }

func (*listening) Serve(net.Listener) error { return nil }

// partial has some methods of the contract.
type partial struct{ valueServer }

func (*partial) Serve() error                   { return nil }
func (*partial) Announce(context.Context) error { return nil }
func (*partial) Cancel(context.Context, error)  {}
func (*partial) LastArrival() time.Time         { return time.Time{} }

type foreignSignal struct{}

func (foreignSignal) Signal()        {}
func (foreignSignal) String() string { return "foreign" }

func TestNewRefuses(t *testing.T) {
	nothing := func() {}
	work := func(context.Context, context.Context) error { return nil }
	one := &full{server: &server{}}
	two := valueServer{1}
	last := lastcall.Last(&fullServer{})
	up := controller.ServedElsewhere(always)
	serve := func() error { return nil }
	type listener struct{ net.Listener }
	var nilServer *server
	var nilValue *valueServer
	tests := map[string]struct {
		opts []controller.Option
		want []string
	}{
		"nil option":           {[]controller.Option{nil}, []string{"option 1 is nil"}},
		"nil server":           {[]controller.Option{controller.WithServer("grpc", nil)}, []string{`server "grpc" is nil`}},
		"nil pointer":          {[]controller.Option{controller.WithServer("grpc", nilServer)}, []string{`server "grpc" is nil`}},
		"nil value receiver":   {[]controller.Option{controller.WithServer("grpc", nilValue)}, []string{`server "grpc" is nil`}},
		"a server's check":     {[]controller.Option{controller.WithServer("grpc", &checkedServer{})}, []string{`server "grpc": it has no listener`}},
		"server without name":  {[]controller.Option{controller.WithServer("", two, up)}, []string{"a server has no name"}},
		"two servers, a name":  {[]controller.Option{controller.WithServer("a", two, up), controller.WithServer("a", one)}, []string{`two servers with the name "a"`}},
		"a server twice":       {[]controller.Option{controller.WithServer("a", one), controller.WithServer("b", one)}, []string{`servers "a" and "b" are the same server`}},
		"nil server option":    {[]controller.Option{controller.WithServer("a", two, up, nil)}, []string{`server "a": one of its options is nil`}},
		"last, a name twice":   {[]controller.Option{controller.WithServer("a", two, up), controller.WithServer("a", last)}, []string{`two servers with the name "a"`}},
		"last that can't":      {[]controller.Option{controller.WithServer("a", lastcall.Last(&checkedServer{}))}, []string{`server "a": it has no listener`}},
		"last, a server twice": {[]controller.Option{controller.WithServer("a", one), controller.WithServer("b", lastcall.Last(one))}, []string{`servers "a" and "b" are the same server`}},
		"nil that is last":     {[]controller.Option{controller.WithServer("a", lastcall.Last(nil))}, []string{`server "a" is nil`}},
		"nil pointer, last":    {[]controller.Option{controller.WithServer("a", lastcall.Last((*fullServer)(nil)))}, []string{`server "a" is nil`}},

		"empty After":            {[]controller.Option{controller.WithServer("a", two, up, controller.After())}, []string{`server "a": After was given no name`}},
		"empty After, worker":    {[]controller.Option{controller.WithWorker("w", work, controller.After())}, []string{`worker "w": After was given no name`}},
		"unknown After":          {[]controller.Option{controller.WithServer("a", two, up, controller.After("b"))}, []string{`server "a" is After "b", but there is no server and no worker with that name`}},
		"unknown After, worker":  {[]controller.Option{controller.WithWorker("w", work, controller.After("b")), controller.WithCloser("b", nothing)}, []string{`worker "w" is After "b", which is a closer: closers run after all servers and workers`}},
		"unknown After, alone":   {[]controller.Option{controller.WithWorker("w", work, controller.After("b"))}, []string{`worker "w" is After "b", but there is no server and no worker with that name, in this call or an earlier one: there is no other`}},
		"no name After":          {[]controller.Option{controller.WithWorker("w", work, controller.After(""))}, []string{`worker "w" is After "", but there is no server and no worker with that name`}},
		"misspelt After":         {[]controller.Option{controller.WithServer("grpc", two, up, controller.After("gatway")), controller.WithServer("gateway", one), controller.WithWorker("consumer", work), controller.WithServer("admin", last)}, []string{`server "grpc" is After "gatway", but there is no server and no worker with that name, in this call or an earlier one: the others are ["consumer" "gateway"]`}},
		"After itself":           {[]controller.Option{controller.WithServer("a", two, up, controller.After("a"))}, []string{`server "a" is After itself`}},
		"After itself, worker":   {[]controller.Option{controller.WithWorker("w", work, controller.After("w"))}, []string{`worker "w" is After itself`}},
		"circle":                 {[]controller.Option{controller.WithServer("a", two, up, controller.After("b")), controller.WithServer("b", one, controller.After("a"))}, []string{`["a" "b"] stand After each other in a circle`}},
		"circle with a worker":   {[]controller.Option{controller.WithServer("a", two, up, controller.After("w")), controller.WithServer("b", one, controller.After("a")), controller.WithWorker("w", work, controller.After("b"))}, []string{`["a" "w" "b"] stand After each other in a circle`}},
		"circle behind another":  {[]controller.Option{controller.WithServer("a", two, up, controller.After("v")), controller.WithWorker("v", work, controller.After("w")), controller.WithWorker("w", work, controller.After("v"))}, []string{`["v" "w"] stand After each other in a circle`}},
		"last is After":          {[]controller.Option{controller.WithServer("a", two, up), controller.WithServer("b", last, controller.After("a"))}, []string{`server "b" is After "a", but stops last, after everything`}},
		"After one that is last": {[]controller.Option{controller.WithServer("a", last), controller.WithServer("b", one, controller.After("a"))}, []string{`server "b" is After "a", which stops last, after everything`}},
		"worker After last":      {[]controller.Option{controller.WithServer("a", last), controller.WithWorker("w", work, controller.After("a"))}, []string{`worker "w" is After "a", which stops last, after everything`}},
		"last After last":        {[]controller.Option{controller.WithServer("a", last), controller.WithServer("b", lastcall.Last(one), controller.After("a"))}, []string{`server "b" is After "a", but stops last, after everything`}},
		"last After nothing":     {[]controller.Option{controller.WithServer("b", last, controller.After("a"))}, []string{`server "b" is After "a", but there is no server and no worker with that name`}},
		"server and worker":      {[]controller.Option{controller.WithServer("kafka", two, up), controller.WithWorker("kafka", work)}, []string{`there is a server and a worker with the name "kafka"`}},

		"bare, not served":       {[]controller.Option{controller.WithServer("a", two)}, []string{`server "a": the controller cannot know when it accepts work: give it with controller.On(listener), controller.Serving(serve, accepting), or controller.ServedElsewhere(ready)`}},
		"bare, with a Serve":     {[]controller.Option{controller.WithServer("a", &listening{})}, []string{`server "a": the controller cannot know when it accepts work`}},
		"full that cannot know":  {[]controller.Option{controller.WithServer("a", &mute{})}, []string{`server "a": the controller cannot know when it accepts work`}},
		"nil Serving":            {[]controller.Option{controller.WithServer("a", two, controller.Serving(nil, always))}, []string{`server "a": Serving was given a nil function`}},
		"Serving, nil channel":   {[]controller.Option{controller.WithServer("a", two, controller.Serving(serve, nil))}, []string{`server "a": Serving was given a nil channel; it has to be closed once the server accepts work`}},
		"Serving cannot know":    {[]controller.Option{controller.WithServer("a", &mute{}, controller.Serving(serve, nil))}, []string{`server "a": the controller cannot know when it accepts work`}},
		"nil ServedElsewhere":    {[]controller.Option{controller.WithServer("a", two, controller.ServedElsewhere(nil))}, []string{`server "a": ServedElsewhere was given a nil channel`}},
		"nil On":                 {[]controller.Option{controller.WithServer("a", &listening{}, controller.On(nil))}, []string{`server "a": On was given a nil listener`}},
		"On without Serve":       {[]controller.Option{controller.WithServer("a", two, controller.On(listener{}))}, []string{`server "a": On is for servers with a method Serve(net.Listener) error; this one has none`}},
		"On for a FullServer":    {[]controller.Option{controller.WithServer("a", one, controller.On(listener{}))}, []string{`server "a": On is for servers that do not bring their listener; this one is a lastcall.FullServer`}},
		"On and ServedElsewhere": {[]controller.Option{controller.WithServer("a", &listening{}, controller.On(listener{}), up)}, []string{`server "a": only one of On, Serving and ServedElsewhere can say how it is served`}},
		"Serving twice":          {[]controller.Option{controller.WithServer("a", one, controller.Serving(serve, always), controller.Serving(serve, always))}, []string{`server "a": only one of On, Serving and ServedElsewhere can say how it is served`}},
		"wrapper of nothing":     {[]controller.Option{controller.WithServer("a", wrapper{})}, []string{`server "a": its Check panicked: runtime error: invalid memory address`}},
		"last, of nothing":       {[]controller.Option{controller.WithServer("a", lastcall.Last(&wrapper{}))}, []string{`server "a": its Check panicked: runtime error: invalid memory address`}},
		"Accepting panics":       {[]controller.Option{controller.WithServer("a", &panicking{}), controller.WithWorker("w", nil)}, []string{`server "a": its Accepting panicked: not made by New`, `worker "w" is nil`}},
		"only Accepting":         {[]controller.Option{controller.WithServer("a", &onlyAccepting{}, up)}, []string{`server "a": it has Accepting, but is not a lastcall.FullServer`}},
		"part of the contract":   {[]controller.Option{controller.WithServer("a", &partial{}, up)}, []string{`server "a": it has Serve, Announce, Cancel, LastArrival, but is not a lastcall.FullServer: embed lastcall.Unimplemented for the methods that it lacks`}},

		"long Timeout":           {[]controller.Option{controller.WithCloser("db", nothing, controller.Timeout(budget.Total+1))}, []string{`closer "db": Timeout 10.000000001s is longer than the budget's Total 10s`}},
		"long Timeout, announce": {[]controller.Option{controller.WithAnnouncer("a", nothing, controller.Timeout(time.Hour))}, []string{`announcer "a": Timeout 1h0m0s is longer than the budget's Total 10s`}},
		"long Timeout, flush":    {[]controller.Option{controller.WithFlusher("f", nothing, controller.Timeout(time.Hour))}, []string{`flusher "f": Timeout 1h0m0s is longer than the budget's Total 10s`}},
		"long Timeout, Together": {[]controller.Option{controller.Together(controller.WithCloser("db", nothing, controller.Timeout(time.Hour)))}, []string{`closer "db": Timeout 1h0m0s is longer`}},
		"nil worker option":      {[]controller.Option{controller.WithWorker("w", work, controller.EndsProcess(), nil)}, []string{`worker "w": one of its options is nil`}},
		"nil worker":             {[]controller.Option{controller.WithWorker("w", nil)}, []string{`worker "w" is nil`}},
		"two workers":            {[]controller.Option{controller.WithWorker("w", work), controller.WithWorker("w", work)}, []string{`two workers with the name "w"`}},
		"nil closer":             {[]controller.Option{controller.WithCloser[func()]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, error":      {[]controller.Option{controller.WithCloser[func() error]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, ctx":        {[]controller.Option{controller.WithCloser[func(context.Context)]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, both":       {[]controller.Option{controller.WithCloser[func(context.Context) error]("db", nil)}, []string{`closer "db" is nil`}},
		"closer without name":    {[]controller.Option{controller.WithCloser("", nothing)}, []string{"a closer has no name"}},
		"zero timeout":           {[]controller.Option{controller.WithCloser("db", nothing, controller.Timeout(0))}, []string{`closer "db": Timeout is 0s, must be positive`}},
		"Timeout, no unit":       {[]controller.Option{controller.WithCloser("db", nothing, controller.Timeout(5))}, []string{`closer "db": Timeout is 5ns: a number without a unit counts nanoseconds; write 5*time.Second`}},
		"Harmless, nothing":      {[]controller.Option{controller.WithCloser("db", nothing, controller.Harmless())}, []string{`closer "db": Harmless was given no error`}},
		"nil step option":        {[]controller.Option{controller.WithFlusher("f", nothing, nil)}, []string{`flusher "f": one of its options is nil`}},
		"two flushers":           {[]controller.Option{controller.WithFlusher("f", nothing), controller.WithFlusher("f", nothing)}, []string{`two flushers with the name "f"`}},
		"nil announcer":          {[]controller.Option{controller.WithAnnouncer[func()]("a", nil)}, []string{`announcer "a" is nil`}},
		"nil observer":           {[]controller.Option{controller.WithObserver("o", nil)}, []string{`observer "o" is nil`}},
		"two loggers":            {[]controller.Option{controller.WithLogger(zerolog.Nop()), controller.WithLogger(zerolog.Nop())}, []string{`two loggers with the name "zerolog"`}},
		"zero logger":            {[]controller.Option{controller.WithLogger(zerolog.Logger{})}, []string{"WithLogger was given the zero Logger"}},
		"nil signal":             {[]controller.Option{controller.WithSignals(nil)}, []string{"is not a signal of this platform"}},
		"foreign signal":         {[]controller.Option{controller.WithSignals(foreignSignal{})}, []string{"is not a signal of this platform"}},
		"SIGKILL":                {[]controller.Option{controller.WithSignals(syscall.SIGTERM, os.Kill)}, []string{"killed cannot be caught"}},
		"unknown signal":         {[]controller.Option{controller.WithSignals(syscall.Signal(999))}, []string{"is not a signal of this platform"}},
		"nil channel":            {[]controller.Option{controller.WithSignalChannel(nil)}, []string{"nil channel"}},
		"signals twice":          {[]controller.Option{noSignals, controller.WithSignalChannel(make(chan os.Signal))}, []string{"only one of them"}},
		"everything at once": {[]controller.Option{nil, controller.WithServer("", nil), controller.WithWorker("w", nil)},
			[]string{"option 1 is nil", "a server has no name", `worker "w" is nil`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := controller.New(budget, tt.opts...)
			if err == nil || c != nil {
				t.Fatalf("New gave %v, error %v", c, err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
	// Many servers After many are looked at once each.
	var layers []controller.Option
	for layer := range 20 {
		for i := range 4 {
			opts := []controller.ServerOption{up}
			for j := range 4 {
				if layer > 0 {
					opts = append(opts, controller.After(fmt.Sprintf("%d-%d", layer-1, j)))
				}
			}
			layers = append(layers, controller.WithServer(fmt.Sprintf("%d-%d", layer, i), valueServer{layer*4 + i}, opts...))
		}
	}
	if _, err := controller.New(budget, layers...); err != nil {
		t.Error(err)
	}
	// The same name for things of different kinds is what people write.
	if _, err := controller.New(budget, controller.WithServer("kafka", two, up), controller.WithCloser("kafka", nothing), controller.WithFlusher("kafka", nothing), controller.WithAnnouncer("kafka", nothing)); err != nil {
		t.Error(err)
	}
}

func TestAdd(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		add := func(name string) controller.Option { return controller.WithCloser(name, func() { d.note(name) }) }
		for _, name := range []string{"first", "second"} {
			if err := c.Add(add(name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Add(add("third"), add("first")); err == nil || !strings.Contains(err.Error(), `two closers with the name "first"`) {
			t.Errorf("Add of a name that is there: %v", err)
		}
		runAfter(c, time.Minute)
		d.want(t, "second 1m0s", "first 1m0s") // nothing of the Add that failed
		if err := c.Add(add("late")); !errors.Is(err, controller.ErrRan) {
			t.Errorf("Add after Run: %v, want ErrRan", err)
		}
	})
}

func TestMisuse(t *testing.T) {
	c := mustNew(t, budget, noSignals)
	if r := c.Run(nil); r.Err() == nil || r.ExitCode() != report.ExitNotRun { //nolint:staticcheck // a nil context is what is tested
		t.Errorf("Run(nil): %v", r)
	}
	var zero controller.Controller
	zero.Shutdown(nil)
	zero.Force()
	if r := zero.Run(context.Background()); r.Err() == nil || !strings.Contains(r.String(), "not made by New") {
		t.Errorf("Run of a zero Controller: %v", r)
	}
	if _, err := c.Wait(nil); err == nil { //nolint:staticcheck // a nil context is what is tested
		t.Error("Wait(nil) gave no error")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errAsked)
	if _, err := c.Wait(ctx); !errors.Is(err, errAsked) {
		t.Errorf("Wait with a context that has ended: %v, want its cause", err)
	}
}
