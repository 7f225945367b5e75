package main

import (
	"slices"

	"github.com/lastcall-go/lastcall/bench/child"
)

// contestant is what a row compares.
type contestant struct {
	name   string
	what   string
	module string     // whose version is printed
	run    child.Peer // nil for one with a binary of its own
	rpc    bool       // serves gRPC
	http   []string   // the protocols of HTTP that it serves
}

// contestants returns all of them, in the order of the tables.
func contestants() []contestant {
	allHTTP := []string{"h1", "h1tls", "h2", "h2c"}
	return []contestant{
		{"graceful", "bare GracefulStop", "google.golang.org/grpc", graceful, true, nil},
		{"graceful-log", "bare GracefulStop, and four lines of zerolog", "google.golang.org/grpc", logged, true, nil},
		{"stop", "bare Stop", "google.golang.org/grpc", stop, true, nil},
		{"timer", "GracefulStop, and Stop from a timer", "google.golang.org/grpc", timer, true, nil},
		{"shutdown", "http.Server.Shutdown with a deadline, then Close", "", shutdown, false, allHTTP},
		{"errgroup", "errgroup around GracefulStop or Shutdown", "golang.org/x/sync", group, true, allHTTP},
		{"oklog", "a run.Group around GracefulStop or Shutdown", "github.com/oklog/run", oklog, true, allHTTP},
		{"fx", "hooks of an fx.Lifecycle around GracefulStop or Shutdown", "go.uber.org/fx", uberFX, true, allHTTP},
		{"kratos", "a kratos.App with kratos' servers", "github.com/go-kratos/kratos/v2", goKratos, true, allHTTP},
		{"go-zero", "a ServiceGroup with zrpc and rest servers", "github.com/zeromicro/go-zero", nil, true, []string{"h1"}},
		{"clock", "a signal, a timer, the end: what the machine allows", "", clock, true, nil},
		{"lastcall", "lastcall, grpcadapter.New and httpadapter.New", "github.com/lastcall-go/lastcall", lastcallNew, true, allHTTP},
		{"lastcall-use", "lastcall, grpcadapter.Use", "github.com/lastcall-go/lastcall", lastcallUse, true, nil},
	}
}

// runs are the contestants in this binary.
func runs() map[string]child.Peer {
	all := map[string]child.Peer{}
	for _, c := range contestants() {
		if c.run != nil {
			all[c.name] = c.run
		}
	}
	return all
}

// serves reports whether the contestant has a server for a protocol.
func (c contestant) serves(proto string) bool {
	return proto == "" && c.name != "clock" || proto == "grpc" && c.rpc || slices.Contains(c.http, proto)
}

func find(name string) (contestant, bool) {
	for _, c := range contestants() {
		if c.name == name {
			return c, true
		}
	}
	return contestant{}, false
}
