package main

import (
	"encoding/json"
	"net/http"

	"github.com/go-chi/chi/v5"
	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"
)

// maxBody is how long the body of a request may be.
const maxBody = 1 << 20

// newREST returns a JSON API that calls the gRPC server, as a gateway does:
//
//	POST /guests           {"name": "..."}
//	GET  /echo/{message}
//
// Both answer {"message": "..."}. The contexts of the calls are those of the requests:
// if the shutdown ends a request, its call ends, too.
func newREST(greeter hellopb.GreeterClient, echo echopb.EchoClient) *chi.Mux {
	mux := chi.NewRouter()
	mux.Post("/guests", func(w http.ResponseWriter, r *http.Request) {
		var guest struct{ Name string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&guest); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply, err := greeter.SayHello(r.Context(), &hellopb.HelloRequest{Name: guest.Name})
		answer(w, http.StatusCreated, reply.GetMessage(), err)
	})
	mux.Get("/echo/{message}", func(w http.ResponseWriter, r *http.Request) {
		reply, err := echo.UnaryEcho(r.Context(), &echopb.EchoRequest{Message: chi.URLParam(r, "message")})
		answer(w, http.StatusOK, reply.GetMessage(), err)
	})
	return mux
}

// patterns names requests by their routes, for the report and the metrics.
func patterns(mux *chi.Mux) func(*http.Request) string {
	return func(r *http.Request) string { return mux.Find(chi.NewRouteContext(), r.Method, r.URL.Path) }
}

func answer(w http.ResponseWriter, code int, message string, err error) {
	if err != nil {
		s := status.Convert(err)
		http.Error(w, s.Message(), httpStatus(s.Code()))
		return
	}
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client has gone: nobody is left to tell
}

// httpStatus is the HTTP status that says what the gRPC code does.
func httpStatus(code codes.Code) int {
	switch code {
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded, codes.Canceled:
		return http.StatusGatewayTimeout
	case codes.InvalidArgument:
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}
