package systemd

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// listener returns a listener on a duplicate of the descriptor, which is close-on-exec. The
// descriptor itself stays as it is. If another process shares its socket, and uses it in
// nonblocking mode, as Go does, it stays in that mode throughout: a process whose Accept
// blocked would not notice that its listener is closed.
func listener(fd int) (net.Listener, error) {
	switch listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); {
	case err != nil:
		return nil, err
	case listens == 0:
		return nil, errors.New("the socket does not listen: ListenDatagram= and Accept=yes are not supported")
	}
	syscall.ForkLock.RLock() // for the moment before it is close-on-exec
	dup, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(dup)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "")
	defer func() { _ = f.Close() }() // FileListener has a duplicate of its own
	return net.FileListener(f)
}

// closeFD closes a descriptor of which there is a listener.
func closeFD(fd int) { _ = syscall.Close(fd) }
