package httpadapter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/contracttest"
)

// TestContract: a Server keeps the contract of its kind, with requests of every protocol.
func TestContract(t *testing.T) {
	for _, how := range []string{h1, h1s, h2, h2c} {
		t.Run(how, func(t *testing.T) {
			contracttest.TestContract(t, contracttest.Subject{
				Zero: &httpadapter.Server{},
				New: func(t *testing.T) contracttest.Instance {
					n := on(t, memory(), how)
					h := &handles{}
					return contracttest.Instance{
						Server: httpadapter.New(n.Listener, &http.Server{Handler: h, Protocols: all(), TLSConfig: n.cert, ErrorLog: discard()}, declare(n)...),
						Begin: func(handle func(context.Context)) <-chan error {
							result := make(chan error, 1)
							c := n.client(t, how) // and a connection of its own
							path := h.add(handle)
							go func() {
								a := c.do(http.MethodGet, path, nil)
								c.CloseIdleConnections()
								if a.err == nil && a.status != http.StatusOK {
									a.err = errors.New(a.body)
								}
								result <- a.err
							}()
							return result
						},
						Idle: func() { n.connect(t) },
					}
				},
			})
		})
	}
}

// handles are what the requests call, by their path.
type handles struct {
	last atomic.Int64
	all  sync.Map
}

func (h *handles) add(handle func(context.Context)) (path string) {
	path = fmt.Sprint("/", h.last.Add(1))
	h.all.Store(path, handle)
	return path
}

func (h *handles) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	handle, _ := h.all.Load(r.URL.Path)
	handle.(func(context.Context))(r.Context())
}
