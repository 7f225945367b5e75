package httpadapter_test

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/lastcall-go/lastcall/internal/mempipe"
)

// memory is a network whose connections have room for as much as those of TCP have.
func memory() *network { return memoryOf(64 << 10) }

// narrow is a network whose connections have next to no room.
func narrow() *network { return memoryOf(1 << 10) }

func memoryOf(room int) *network {
	lis := &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	return &network{Listener: lis, dial: func(ctx context.Context) (net.Conn, error) {
		near, far := mempipe.New(room)
		select {
		case lis.conns <- far:
			return near, nil
		case <-lis.closed:
			return nil, errors.New("refused")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }
func (*memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
