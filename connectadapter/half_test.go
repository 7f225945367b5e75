package connectadapter_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"

	"github.com/lastcall-go/lastcall/connectadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// A request of which the timer finds half a message ends with Unavailable, unless connect-go
// reads it before it asks the interceptor, and says how that went in a trailer.
func TestInterruptedUpload(t *testing.T) {
	for kind, status := range map[string]string{
		"application/proto": "503", "application/connect+proto": `"code":"unavailable"`,
		"application/grpc+proto": "grpc-status: 14", "application/grpc-web+proto": "grpc-status: 14",
	} {
		for _, path := range []string{unaryPath, serverPath, clientPath, bidiPath} {
			isUnary := path == unaryPath
			if kind == "application/proto" && !isUnary || kind == "application/connect+proto" && isUnary {
				continue
			}
			status := status
			if isUnary && strings.HasPrefix(status, "grpc-status") {
				status = "grpc-status: 4"
			}
			t.Run(kind+path, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lis := mempipe.Listen(64 << 10)
					ctl := serve(t, lis, handlers(endings()["the context's error"], connect.WithInterceptors(connectadapter.Interceptor())), budget())
					body, more := io.Pipe()
					t.Cleanup(func() { _ = more.Close() })
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server"+path, body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", kind)
					got := make(chan string, 1)
					go func() {
						resp, err := client(t, lis).Do(req)
						if err != nil {
							got <- err.Error()
							return
						}
						defer resp.Body.Close()
						var all bytes.Buffer
						all.WriteString(resp.Status)
						_, err = all.ReadFrom(resp.Body)
						for _, h := range []http.Header{resp.Header, resp.Trailer} {
							for k, v := range h {
								all.WriteString("\n" + strings.ToLower(k) + ": " + v[0])
							}
						}
						if err != nil {
							all.WriteString(err.Error())
						}
						got <- all.String()
					}()
					_, _ = more.Write([]byte{0, 0, 0, 0, 10, 'x'})
					synctest.Wait()
					ctl.Shutdown(errAsked)
					if said := <-got; !strings.Contains(said, status) {
						t.Errorf("the client heard %q, want %q", said, status)
					}
				})
			})
		}
	}
}
