package drain_test

import (
	"context"
	"testing"

	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/internal/contracttest"
)

// TestContract: a group keeps the contract of its kind, with work in the background.
func TestContract(t *testing.T) {
	contracttest.TestContract(t, contracttest.Subject{
		Zero: &drain.Group{},
		New: func(*testing.T) contracttest.Instance {
			g := drain.New()
			return contracttest.Instance{Server: g, Begin: func(handle func(context.Context)) <-chan error {
				result := make(chan error, 1)
				h, err := g.Watcher().Watch(context.Background(), "task")
				if err != nil {
					result <- err
					return result
				}
				go func() {
					defer h.Done()
					handle(h.Context())
					result <- nil
				}()
				return result
			}}
		},
	})
}
