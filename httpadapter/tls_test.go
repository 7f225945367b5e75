package httpadapter_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/netutil"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// Whether TLS is served has to be said where it could be meant; a mistake is an error
// from controller.New that says what to write.
func TestTLSIsDeclared(t *testing.T) {
	n := on(t, memory(), h1s)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeKeyPair(t, n.cert.Certificates[0], file("cert"), file("key"))
	with, without := httpadapter.WithTLS, httpadapter.WithoutTLS
	for name, tt := range map[string]struct {
		config  *tls.Config
		options []httpadapter.Option
		want    string // "": no error
	}{
		"nothing":                {nil, nil, ""},
		"no certificates":        {&tls.Config{}, nil, ""},
		"certificates":           {n.cert, nil, `say WithTLS("", "") to serve TLS with them, or WithoutTLS()`},
		"a function":             {&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errAsked }}, nil, "say WithTLS"},
		"a function for configs": {&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errAsked }}, nil, "say WithTLS"},
		"with":                   {n.cert, []httpadapter.Option{with("", "")}, ""},
		"without":                {n.cert, []httpadapter.Option{without()}, ""},
		"both":                   {n.cert, []httpadapter.Option{with("", ""), without()}, "both WithTLS and WithoutTLS"},
		"with nothing":           {nil, []httpadapter.Option{with("", "")}, "no files, and the http.Server's TLSConfig has no certificates"},
		"files":                  {nil, []httpadapter.Option{with(file("cert"), file("key"))}, ""},
		"files and a config":     {n.cert, []httpadapter.Option{with(file("cert"), file("key"))}, ""},
		"one file":               {nil, []httpadapter.Option{with(file("cert"), "")}, "needs both names, or none"},
		"a missing file":         {nil, []httpadapter.Option{with(file("cert"), file("none"))}, file("none")},
		"the wrong way round":    {nil, []httpadapter.Option{with(file("key"), file("cert"))}, "WithTLS("},
	} {
		t.Run(name, func(t *testing.T) {
			s := httpadapter.New(memory().Listener, &http.Server{TLSConfig: tt.config}, tt.options...)
			_, err := controller.New(usual(), controller.WithServer("http", s))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func writeKeyPair(t *testing.T, cert tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "EC PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// around are connections of a user's type around those with TLS.
type around struct{ *tls.Conn }

type aroundListener struct{ net.Listener }

func (l aroundListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return around{c.(*tls.Conn)}, nil
}

// Listeners that have TLS, and others around them, are served as net/http serves them:
// HTTP/1.1 on each, HTTP/2 where net/http knows the connection.
func TestListenersWithTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		around func(net.Listener) net.Listener
		http2  bool
	}{
		"tls.NewListener":       {func(l net.Listener) net.Listener { return l }, true},
		"netutil.LimitListener": {func(l net.Listener) net.Listener { return netutil.LimitListener(l, 10) }, false},
		"a user's type":         {func(l net.Listener) net.Listener { return aroundListener{l} }, servesTLSOfOthers},
	} {
		for _, how := range []string{h1s, h2} {
			if how == h2 && !tt.http2 {
				continue
			}
			t.Run(name+" "+how, func(t *testing.T) {
				n := on(t, tcp(t), how)
				config := n.cert.Clone()
				if tt.http2 {
					config.NextProtos = []string{"h2", "http/1.1"}
				}
				wrapped := &network{Listener: tt.around(tls.NewListener(n.Listener, config)), dial: n.dial, tls: n.tls, cert: config, plain: true}
				l := begin(t, wrapped, setup{
					adapter: []httpadapter.Option{httpadapter.WithoutTLS()},
					handler: func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/slow" {
							time.Sleep(300 * time.Millisecond)
						}
						_, _ = fmt.Fprint(w, r.ProtoMajor)
					},
				})
				c := wrapped.client(t, how)
				major := map[string]string{h1s: "1", h2: "2"}[how]
				c.do("GET", "/", nil).wantOK(t, major)
				slow := c.start("GET", "/slow", nil)
				time.Sleep(100 * time.Millisecond)
				wantDrained(t, l.shutdown(t))
				(<-slow).wantOK(t, major)
				l.wantWithin(t, time.Second)
			})
		}
	}
}

// TLS in TLS ends Serve with the first connection, and says what to write.
func TestTLSInTLS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := on(t, memory(), h1s)
		s := httpadapter.New(tls.NewListener(n.Listener, n.cert), &http.Server{TLSConfig: n.cert}, httpadapter.WithTLS("", ""))
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		n.connect(t)
		if err := <-served; err == nil || !strings.Contains(err.Error(), "use WithoutTLS") {
			t.Errorf("Serve: %v", err)
		}
	})
}
