package child

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// service has handlers that do what the request's body says; see Process.handle.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	p *Process
}

func register(p *Process, s grpc.ServiceRegistrar) {
	testgrpc.RegisterTestServiceServer(s, service{p: p})
}

func (s service) UnaryCall(ctx context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	if err := s.p.handle(ctx, string(req.GetPayload().GetBody())); err != nil {
		return nil, err
	}
	return &testgrpc.SimpleResponse{}, nil
}

// FullDuplexCall goes on until the client or the server ends it.
func (s service) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	end := s.p.begin()
	defer end()
	for {
		if _, err := stream.Recv(); err != nil {
			return stream.Context().Err() // nil after the client's CloseSend
		}
	}
}

// Handler is the same over HTTP: the path is what the handler does.
func (p *Process) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.handle(r.Context(), strings.TrimPrefix(r.URL.Path, "/")) != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// handle is every handler: "" answers at once, "ctx" waits for the end of its context,
// "deaf" ignores that, and a duration takes that long and ignores it, too.
func (p *Process) handle(ctx context.Context, does string) error {
	end := p.begin()
	defer end()
	switch does {
	case "":
		return nil
	case "ctx":
		<-ctx.Done()
		return ctx.Err()
	case "deaf":
		select {}
	}
	d, err := time.ParseDuration(does)
	if err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

// begin counts a handler in, and returns the function that counts it out.
func (p *Process) begin() (end func()) {
	p.running.Add(1)
	return func() {
		p.lastEnd.Store(time.Now().UnixNano())
		p.running.Add(-1)
	}
}

// Protocols returns the protocol of the Spec.
func (p *Process) Protocols() *http.Protocols {
	all := new(http.Protocols)
	switch p.Proto {
	case "h2":
		all.SetHTTP2(true)
	case "h2c":
		all.SetUnencryptedHTTP2(true)
	default:
		all.SetHTTP1(true)
	}
	return all
}

// TLSConfig returns nil if the protocol has no TLS.
func (p *Process) TLSConfig() *tls.Config {
	if p.Proto != "h1tls" && p.Proto != "h2" {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate()}}
}

// certificate returns one that signs itself.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
