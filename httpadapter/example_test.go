package httpadapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// A server is drained: the request in flight is answered, and no time is lost.
func Example() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	began := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-lastcall.Draining(r.Context()) // it takes its time
		_, _ = fmt.Fprintln(w, "order", r.PathValue("id"))
	})

	h := httpadapter.New(lis, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second},
		controller.WithServer("http", h),
		controller.WithSignals(),
	)
	if err != nil {
		panic(err)
	}
	answer := make(chan string)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+lis.Addr().String()+"/orders/17", http.NoBody)
		if err != nil {
			panic(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	go func() {
		<-began
		ctl.Shutdown(errors.New("a new version comes"))
	}()
	got := ctl.Run(context.Background())
	fmt.Print(<-answer)
	for _, w := range got.Work {
		fmt.Println(w.Kind, w.Name, "completed:", w.Completed)
	}
	fmt.Println(got.Outcome, got.ExitCode())
	// Output:
	// order 17
	// request GET /orders/{id} completed: 1
	// drained 0
}

// Server-sent events have no end of their own: the handler ends them when the drain
// begins, and the client connects again, to another server.
func Example_stream() {
	events := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case e := <-events:
				_, _ = fmt.Fprintf(w, "data: %s\n\n", e)
				if http.NewResponseController(w).Flush() != nil {
					return
				}
			case <-lastcall.Draining(r.Context()):
				_, _ = fmt.Fprint(w, "retry: 100\n\n")
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	// Output:
}

// HTTP/2 without TLS, for gRPC and connect behind a proxy, is a field of http.Server.
func ExampleNew() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h := httpadapter.New(lis, &http.Server{Protocols: protocols, Handler: http.NotFoundHandler()})
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithServer("h2c", h), controller.WithSignals())
	if err != nil {
		panic(err)
	}
	ctl.Shutdown(nil)
	fmt.Println(ctl.Run(context.Background()).Outcome)
	// Output: drained
}

// A ServeMux behind middleware that copies the request has to be named, or requests in
// flight have no pattern in logs and reports.
func ExampleWithPattern() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {})
	type user struct{}
	authenticated := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), user{}, "somebody")))
	})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	h := httpadapter.New(lis, &http.Server{Handler: authenticated},
		httpadapter.WithPattern(func(r *http.Request) string {
			_, pattern := mux.Handler(r)
			return pattern
		}))
	fmt.Println(h.Check())
	_ = lis.Close()
	// Output: <nil>
}
