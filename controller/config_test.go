package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	s := time.Second
	tests := []struct {
		total, settle, reserve time.Duration
		want                   []string // parts of the error; none: valid
	}{
		{25 * s, 5 * s, 5 * s, nil},
		{2, 0, 1, nil},
		{math.MaxInt64, math.MaxInt64 - 2, 1, nil},
		{math.MaxInt64, math.MaxInt64 - 1, 1, []string{"Settle", "Reserve 1ns", "Total"}},
		{0, 0, 0, []string{"zero Budget", "DefaultBudget()"}},
		{0, s, s, []string{"Total is 0s, must be positive"}},
		{-s, 0, s, []string{"Total is -1s, must be positive"}},
		{10 * s, -s, s, []string{"Settle is -1s, must not be negative"}},
		{10 * s, s, 0, []string{"Reserve is 0s, must be positive"}},
		{10 * s, s, -s, []string{"Reserve is -1s, must be positive"}},
		{10 * s, 5 * s, 5 * s, []string{"Settle 5s + Reserve 5s leave nothing of Total 10s"}},
		{10 * s, 0, 10 * s, []string{"Settle 0s + Reserve 10s leave nothing of Total 10s"}},
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
func (valueServer) Serve() error  { return nil }

type checkedServer struct{ valueServer }

func (*checkedServer) Check() error { return errors.New("it has no listener") }

type foreignSignal struct{}

func (foreignSignal) Signal()        {}
func (foreignSignal) String() string { return "foreign" }

func TestNewRefuses(t *testing.T) {
	nothing := func() {}
	work := func(context.Context, context.Context) error { return nil }
	one := &server{}
	two := valueServer{1}
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
		"server without name":  {[]controller.Option{controller.WithServer("", two)}, []string{"a server has no name"}},
		"two servers, a name":  {[]controller.Option{controller.WithServer("a", two), controller.WithServer("a", one)}, []string{`two servers with the name "a"`}},
		"a server twice":       {[]controller.Option{controller.WithServer("a", one), controller.WithServer("b", one)}, []string{`servers "a" and "b" are the same server`}},
		"nil server option":    {[]controller.Option{controller.WithServer("a", two, nil)}, []string{`server "a": one of its options is nil`}},
		"nil Serving":          {[]controller.Option{controller.WithServer("a", two, controller.Serving(nil))}, []string{`server "a": Serving was given a nil function`}},
		"empty Behind":         {[]controller.Option{controller.WithServer("a", two, controller.Behind())}, []string{`server "a": Behind was given no name`}},
		"unknown Behind":       {[]controller.Option{controller.WithServer("a", two, controller.Behind("b"))}, []string{`server "a" is Behind "b", but there is no such server`}},
		"behind itself":        {[]controller.Option{controller.WithServer("a", two, controller.Behind("a"))}, []string{`["a"] stand Behind each other in a circle`}},
		"circle":               {[]controller.Option{controller.WithServer("a", two, controller.Behind("b")), controller.WithServer("b", one, controller.Behind("a"))}, []string{`["a" "b"] stand Behind each other`}},
		"Last is Behind":       {[]controller.Option{controller.WithServer("a", two), controller.WithServer("b", one, controller.Last(), controller.Behind("a"))}, []string{`server "b" is Behind "a", but a server that is Last has no part in the drain`}},
		"Behind Last":          {[]controller.Option{controller.WithServer("a", two, controller.Last()), controller.WithServer("b", one, controller.Behind("a"))}, []string{`server "b" is Behind "a", but a server that is Last has no part in the drain`}},
		"Last Behind Last":     {[]controller.Option{controller.WithServer("a", two, controller.Last()), controller.WithServer("b", one, controller.Last(), controller.Behind("a"))}, []string{`server "b" is Behind "a", but a server that is Last`}},
		"Last Behind nobody":   {[]controller.Option{controller.WithServer("b", one, controller.Last(), controller.Behind("a"))}, []string{`server "b" is Behind "a", but there is no such server`}},
		"Last, a name twice":   {[]controller.Option{controller.WithServer("a", two), controller.WithServer("a", one, controller.Last())}, []string{`two servers with the name "a"`}},
		"Last, a server twice": {[]controller.Option{controller.WithServer("a", one), controller.WithServer("b", one, controller.Last())}, []string{`servers "a" and "b" are the same server`}},
		"nil that is Last":     {[]controller.Option{controller.WithServer("a", nil, controller.Last())}, []string{`server "a" is nil`}},
		"Last that can't":      {[]controller.Option{controller.WithServer("a", &checkedServer{}, controller.Last())}, []string{`server "a": it has no listener`}},
		"nil worker option":    {[]controller.Option{controller.WithWorker("w", work, controller.EndsProcess(), nil)}, []string{`worker "w": one of its options is nil`}},
		"nil worker":           {[]controller.Option{controller.WithWorker("w", nil)}, []string{`worker "w" is nil`}},
		"two workers":          {[]controller.Option{controller.WithWorker("w", work), controller.WithWorker("w", work)}, []string{`two workers with the name "w"`}},
		"nil closer":           {[]controller.Option{controller.WithCloser[func()]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, error":    {[]controller.Option{controller.WithCloser[func() error]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, ctx":      {[]controller.Option{controller.WithCloser[func(context.Context)]("db", nil)}, []string{`closer "db" is nil`}},
		"nil closer, both":     {[]controller.Option{controller.WithCloser[func(context.Context) error]("db", nil)}, []string{`closer "db" is nil`}},
		"closer without name":  {[]controller.Option{controller.WithCloser("", nothing)}, []string{"a closer has no name"}},
		"zero timeout":         {[]controller.Option{controller.WithCloser("db", nothing, controller.Timeout(0))}, []string{`closer "db": Timeout is 0s, must be positive`}},
		"nil step option":      {[]controller.Option{controller.WithFlusher("f", nothing, nil)}, []string{`flusher "f": one of its options is nil`}},
		"two flushers":         {[]controller.Option{controller.WithFlusher("f", nothing), controller.WithFlusher("f", nothing)}, []string{`two flushers with the name "f"`}},
		"nil announcer":        {[]controller.Option{controller.WithAnnouncer[func()]("a", nil)}, []string{`announcer "a" is nil`}},
		"nil observer":         {[]controller.Option{controller.WithObserver("o", nil)}, []string{`observer "o" is nil`}},
		"two loggers":          {[]controller.Option{controller.WithLogger(zerolog.Nop()), controller.WithLogger(zerolog.Nop())}, []string{"WithLogger was given twice"}},
		"nil signal":           {[]controller.Option{controller.WithSignals(nil)}, []string{"is no signal of this platform"}},
		"foreign signal":       {[]controller.Option{controller.WithSignals(foreignSignal{})}, []string{"is no signal of this platform"}},
		"SIGKILL":              {[]controller.Option{controller.WithSignals(syscall.SIGTERM, os.Kill)}, []string{"killed cannot be caught"}},
		"unknown signal":       {[]controller.Option{controller.WithSignals(syscall.Signal(999))}, []string{"is no signal of this platform"}},
		"nil channel":          {[]controller.Option{controller.WithSignalChannel(nil)}, []string{"nil channel"}},
		"signals twice":        {[]controller.Option{noSignals, controller.WithSignalChannel(make(chan os.Signal))}, []string{"only one of them"}},
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
	// Many servers behind many are looked at once each.
	var layers []controller.Option
	for layer := range 20 {
		for i := range 4 {
			var opts []controller.ServerOption
			for j := range 4 {
				if layer > 0 {
					opts = append(opts, controller.Behind(fmt.Sprintf("%d-%d", layer-1, j)))
				}
			}
			layers = append(layers, controller.WithServer(fmt.Sprintf("%d-%d", layer, i), valueServer{layer*4 + i}, opts...))
		}
	}
	if _, err := controller.New(budget, layers...); err != nil {
		t.Error(err)
	}
	// The same name for things of different kinds is what people write.
	if _, err := controller.New(budget, controller.WithServer("kafka", two), controller.WithWorker("kafka", work), controller.WithCloser("kafka", nothing)); err != nil {
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
	var none report.Report
	if none.ExitCode() != report.ExitNotRun || none.Err() == nil || none.String() == "" {
		t.Errorf("the zero Report: exit code %d, error %v, %q", none.ExitCode(), none.Err(), none)
	}
	if text, err := none.MarshalJSON(); err != nil || !strings.Contains(string(text), `"outcome":"none"`) || !strings.Contains(string(text), `"path":[]`) {
		t.Errorf("the zero Report is %s, error %v", text, err)
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
