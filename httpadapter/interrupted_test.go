package httpadapter_test

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// zipped is a handler behind a wrapper that compresses, as naive as most are.
func zipped(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		gz := gzip.NewWriter(w)
		defer gz.Close()
		next(intoGzip{w, gz}, r)
	}
}

type intoGzip struct {
	http.ResponseWriter
	to io.Writer
}

func (w intoGzip) Write(b []byte) (int, error) { return w.to.Write(b) }

// silentBackend is a backend that does not answer.
type silentBackend struct{}

func (silentBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// What the handler of an interrupted request answers while nothing is out becomes 503, with
// Retry-After, and nothing of what the handler has prepared.
func TestInterruptedHandlersAnswer503(t *testing.T) {
	after := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			answer(w, r)
		}
	}
	for name, handle := range map[string]http.HandlerFunc{
		"400 after the body": func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		},
		"499": after(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(499) }),
		"500 with JSON and an ETag": after(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Etag", "1")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "{}")
		}),
		"a flush":                           after(func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }),
		"a file":                            after(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("half of it")) }),
		"a success":                         after(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some rows") }),
		"201":                               after(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }),
		"a wrapper that compresses nothing": zipped(after(func(http.ResponseWriter, *http.Request) {})),
		"a wrapper that buffers a half": func(w http.ResponseWriter, r *http.Request) {
			buffered := bufio.NewWriter(w)
			defer func() { _ = buffered.Flush() }()
			_, _ = io.WriteString(buffered, "row")
			<-r.Context().Done()
		},
		"a wrapper that compresses a failure": zipped(after(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })),
		"ReverseProxy": (&httputil.ReverseProxy{Transport: silentBackend{}, ErrorLog: discard(), Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "backend"})
		}}).ServeHTTP,
	} {
		for _, how := range []string{h1, h2c, h2, h1s} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := on(t, memory(), how)
					l := begin(t, n, setup{handler: handle})
					body, feed := io.Pipe()
					defer feed.Close()
					came := n.client(t, how).start("POST", "/", body)
					_, _ = feed.Write([]byte("some"))
					time.Sleep(time.Second)
					r := l.shutdown(t)
					a := <-came
					if a.err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.body != "the server is shutting down\n" {
						t.Errorf("%d %q, %v, %v", a.status, a.body, a.header, a.err)
					}
					for _, key := range []string{"Content-Encoding", "Etag", "Transfer-Encoding"} {
						if a.header.Get(key) != "" {
							t.Errorf("%s: %s", key, a.header.Get(key))
						}
					}
					if a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) || how[:2] == "h1" && !a.close {
						t.Errorf("%v, close %v", a.header, a.close)
					}
					wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Cancelled: 1})
				})
			})
		}
	}
}

// What an interrupted handler answers stays if it cannot be taken for something else, and
// with WithAnswersLeft.
func TestInterruptedAnswersThatStay(t *testing.T) {
	half := func(kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	says := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.Header().Set("Location", "/there")
			w.WriteHeader(status)
		}
	}
	left := []httpadapter.Option{httpadapter.WithAnswersLeft()}
	for name, tt := range map[string]struct {
		handle  http.HandlerFunc
		options []httpadapter.Option
		status  int
		broken  bool
	}{
		"an event stream": {half("text/event-stream; charset=utf-8"), nil, 200, false},
		"any case":        {half("Text/Event-Stream"), nil, 200, false},
		"gRPC, any case":  {half("Application/gRPC"), nil, 200, false},
		"an event stream that fails": {func(w http.ResponseWriter, r *http.Request) {
			half("text/event-stream")(w, r)
			http.Error(w, "no", http.StatusInternalServerError) // its header does not go out
		}, nil, 200, false},
		"gRPC":            {half("application/grpc+proto"), nil, 200, false},
		"gRPC-Web":        {half("application/grpc-web"), nil, 200, false},
		"connect":         {half("application/connect+json"), nil, 200, false},
		"JSON":            {half("application/json"), nil, 200, true},
		"JSON, left":      {half("application/json"), left, 200, false},
		"an endless path": {half("application/json"), []httpadapter.Option{httpadapter.WithEndlessPaths("/nothing", "/{$}")}, 200, false},
		"200 before its rows": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}, nil, 0, true},
		"202 before": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			<-r.Context().Done()
		}, nil, 202, false},
		"503": {says(503), nil, 503, false},
		"204": {says(204), nil, 204, false},
		"303": {says(303), nil, 303, false},
		"a failure that was said before": {func(w http.ResponseWriter, r *http.Request) { // of a gateway, as the timer fires
			http.Error(w, "no", http.StatusBadGateway)
			<-r.Context().Done()
		}, nil, 502, false},
		"500, left": {says(500), left, 500, false},
		"201, left": {says(201), left, 201, false},
	} {
		for _, how := range []string{h1, h2c} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := memory()
					l := begin(t, n, setup{handler: tt.handle, adapter: tt.options})
					c := n.client(t, how)
					c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
					came := c.start("GET", "/", nil)
					time.Sleep(time.Second)
					l.shutdown(t)
					if a := <-came; a.status != tt.status || (a.err != nil) != tt.broken {
						t.Errorf("%d %q, %v", a.status, a.body, a.err)
					}
				})
			})
		}
	}
}

// A handler that has answered before the timer is not interrupted by it.
func TestAnsweredBeforeTheTimer(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				began := make(chan time.Time, 1)
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "all ")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Until((<-began).Add(usualTimer - time.Nanosecond)))
					_, _ = io.WriteString(w, "of it")
				}})
				came := n.client(t, how).start("GET", "/", nil)
				time.Sleep(time.Second)
				began <- time.Now()
				l.shutdown(t)
				(<-came).wantOK(t, "all of it")
			})
		})
	}
}

// Where the end of the connection is that of an answer (HTTP/1.0, and HTTP/1.1 without
// chunks), a part of one ends with a reset, over TCP, with TLS or without, and however its
// handler ends. An answer with its length needs none.
func TestInterruptedAnswersUntilTheClose(t *testing.T) {
	type end func(w http.ResponseWriter, read <-chan struct{})
	returns := func(http.ResponseWriter, <-chan struct{}) {}
	deaf := func(_ http.ResponseWriter, read <-chan struct{}) { <-read }
	for _, how := range []string{h1, h1s, "TLS of the listener"} {
		for name, tt := range map[string]struct {
			version, header, value string
			ends                   end
		}{
			"no length":                     {"1.0", "Etag", "1", returns},
			"a length":                      {"1.0", "Content-Length", "1000", returns},
			"a deaf handler":                {"1.0", "Etag", "1", deaf},
			"identity":                      {"1.1", "Transfer-Encoding", "identity", returns},
			"identity, and is deaf":         {"1.1", "Transfer-Encoding", "identity", deaf},
			"a panic, as of a ReverseProxy": {"1.0", "Etag", "1", func(http.ResponseWriter, <-chan struct{}) { panic(http.ErrAbortHandler) }},
			"one that goes on": {"1.0", "Etag", "1", func(w http.ResponseWriter, read <-chan struct{}) {
				for !isClosed(read) { // also when writes fail
					_, _ = io.WriteString(w, ".")
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Millisecond)
				}
			}},
		} {
			t.Run(how+" "+name, func(t *testing.T) {
				t.Parallel()
				n := on(t, tcp(t), how)
				options := []httpadapter.Option(nil)
				if how != h1 && how != h1s {
					n.secure(t).plain = true
					n.Listener = newTLSListener(n.Listener, n.cert)
					options = append(options, httpadapter.WithoutTLS())
				}
				read := make(chan struct{})
				l := begin(t, n, setup{
					adapter: options,
					budget:  lastcall.Budget{Total: 2 * time.Second, Reserve: 1800 * time.Millisecond},
					handler: func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set(tt.header, tt.value)
						_, _ = io.WriteString(w, "a part")
						_ = http.NewResponseController(w).Flush()
						<-r.Context().Done()
						tt.ends(w, read)
					},
				})
				c := n.connect(t)
				if how != h1 {
					c = tls.Client(c, n.tls)
				}
				raw(t, c, "GET / HTTP/%s\r\nHost: x\r\n\r\n", tt.version)
				br := bufio.NewReader(c)
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				l.trigger()
				b, err := io.ReadAll(res.Body)
				close(read)
				want := syscall.ECONNRESET
				if strings.TrimRight(string(b), ".") != "a part" || err == nil || how == h1 && !errors.Is(err, want) && (tt.header != "Content-Length" || !errors.Is(err, io.ErrUnexpectedEOF)) {
					t.Errorf("%q, %v", b, err)
				}
				l.report(t)
			})
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
