package admin_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// servers are the ways in which a listener gets into a controller.
func servers() map[string]func(string, net.Listener) controller.Option {
	return map[string]func(string, net.Listener) controller.Option{
		"grpc": func(name string, lis net.Listener) controller.Option {
			g := grpcadapter.New(lis)
			g.NewServer()
			return controller.WithServer(name, g)
		},
		"wrapped grpc": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, grpcadapter.Use(grpc.NewServer(), grpcadapter.WithListener(grpcadapter.WrapListener(lis))))
		},
		"bare": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, grpc.NewServer(), controller.On(lis))
		},
		"http": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, httpadapter.New(lis, &http.Server{ReadHeaderTimeout: 1}))
		},
		"last": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, lastcall.Last(httpadapter.New(lis, &http.Server{ReadHeaderTimeout: 1})))
		},
		"admin": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, admin.New(lis))
		},
		"drain": func(name string, lis net.Listener) controller.Option {
			g := drain.New()
			g.Listen(lis)
			return controller.WithServer(name, g)
		},
		"a user's wrapper": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, wrapper{httpadapter.New(lis, &http.Server{ReadHeaderTimeout: 1})})
		},
		"a wrapper, last": func(name string, lis net.Listener) controller.Option {
			return controller.WithServer(name, lastcall.Last(wrapper{wrapper{admin.New(lis)}}))
		},
	}
}

// wrapper is a server around another one that changes nothing.
type wrapper struct{ lastcall.FullServer }

// Two servers with one listener are an error, whatever serves it, and from Add, too. One
// address is not one listener: SO_REUSEPORT has two of them at it.
func TestOneListener(t *testing.T) {
	kinds := servers()
	lis, other := listen(t), listen(t)
	for one, first := range kinds {
		for two, second := range kinds {
			const want = `servers "a" and "b" have the same listener`
			if _, err := controller.New(lastcall.DefaultBudget(), first("a", lis), second("b", lis)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s and %s: error %v", one, two, err)
			}
			ctl, err := controller.New(lastcall.DefaultBudget(), first("a", lis))
			if err != nil {
				t.Fatalf("%s: %v", one, err)
			}
			if err := ctl.Add(second("b", lis)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, and %s with Add: error %v", one, two, err)
			}
			if err := ctl.Add(second("b", other)); err != nil {
				t.Errorf("%s and %s on different listeners: %v", one, two, err)
			}
		}
	}
	for what, twice := range map[string]net.Listener{"an address": nowhere{}, "no listener": nil} {
		_, err := controller.New(lastcall.DefaultBudget(), kinds["http"]("a", twice), kinds["http"]("b", twice))
		if err != nil && strings.Contains(err.Error(), "the same listener") {
			t.Errorf("%s twice: %v", what, err)
		}
	}
}

// A server whose listener is closed by other code has failed, and so has the process: it must
// not exit with 0 without a reason.
func TestLostListener(t *testing.T) {
	kinds := servers()
	delete(kinds, "drain") // its accept loop is the user's
	for kind, server := range kinds {
		for _, early := range []bool{true, false} {
			lis := listen(t)
			ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(), controller.WithoutStderr(), server("s", lis))
			if err != nil {
				t.Fatal(err)
			}
			if early {
				_ = lis.Close()
			} else {
				go func() {
					<-ctl.Serving()
					_ = lis.Close()
				}()
			}
			r := ctl.Run(t.Context())
			if was := foreign.IsClosed(ctl.Serving()); was == early {
				t.Errorf("%s, closed before Run %t: it was serving: %t", kind, early, was)
			}
			if err := r.Err(); r.ExitCode() != report.ExitFailed || !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "closed") {
				t.Errorf("%s, closed before Run %t: exit code %d\n%v", kind, early, r.ExitCode(), r)
			}
		}
	}
}

func listen(t *testing.T) net.Listener {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	return lis
}

// nowhere is a listener that has nothing by which it could be known again.
type nowhere struct{ net.Listener }

func (nowhere) Addr() net.Addr { return &net.TCPAddr{Port: 1} }
