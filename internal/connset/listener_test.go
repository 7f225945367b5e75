package connset_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/netutil"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// listenOn returns a listener on a socket of this machine.
func listenOn(t *testing.T, network string) net.Listener {
	t.Helper()
	address := map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")}[network]
	if network == "unix" && runtime.GOOS == "windows" {
		t.Skip("on Windows the file of a socket is another matter")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}

// within fails the test if the channel is not closed in time.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// around are listeners that programs put around those of package net.
var around = map[string]func(net.Listener) net.Listener{
	"bare":          func(lis net.Listener) net.Listener { return lis },
	"embedded":      func(lis net.Listener) net.Listener { return embed(lis) },
	"LimitListener": func(lis net.Listener) net.Listener { return netutil.LimitListener(lis, 10) },
	"TLS": func(lis net.Listener) net.Listener {
		return tls.NewListener(lis, &tls.Config{Certificates: make([]tls.Certificate, 1)})
	},
}

// embed returns a type of a user's with the methods of the listener inside.
func embed(lis net.Listener) net.Listener {
	if unix, ok := lis.(*net.UnixListener); ok {
		return struct{ *net.UnixListener }{unix}
	}
	return struct{ *net.TCPListener }{lis.(*net.TCPListener)}
}

// Although the descriptor of the listener was taken, so that it hangs in Accept and Close,
// ours return, the one inside is woken and closed, and nothing is left behind.
func TestDescriptorTaken(t *testing.T) {
	for name, wrap := range around {
		for _, network := range []string{"tcp", "unix"} {
			for _, accepts := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s accepts=%v", name, network, accepts), func(t *testing.T) {
					if network == "unix" && name != "bare" && name != "embedded" {
						t.Skip("its path is gone once it is closed, and before that nothing shows that it hangs")
					}
					lis := listenOn(t, network)
					file, err := faults.TakeDescriptor(lis)
					if err != nil {
						t.Skip(err)
					}
					file.Close() // the description stays as it is
					calls := new(foreign.Calls)
					set := connset.New(wrap(lis), connset.Options{Owner: "test", Calls: calls})
					accepted := make(chan error, 1)
					if accepts {
						go func() { _, err := set.Accept(); accepted <- err }()
						<-set.Accepting()
						time.Sleep(10 * time.Millisecond) // it is in the system call
					} else {
						accepted <- net.ErrClosed
					}
					closed := make(chan struct{})
					go func() { defer close(closed); _ = set.Close() }()
					within(t, "Close", closed)
					if err := <-accepted; !errors.Is(err, net.ErrClosed) {
						t.Errorf("Accept: %v", err)
					}
					calls.Await(5 * time.Second)
					if left := calls.Left(); len(left) > 0 {
						t.Errorf("left: %+v", left)
					}
					if c, err := faults.Dial(t.Context(), lis); err == nil {
						c.Close()
						t.Error("a client is not refused")
					}
				})
			}
		}
	}
}

// A listener whose Addr or SyscallConn hangs or panics accepts and is closed all the same.
func TestQuestionsToListenersHang(t *testing.T) {
	for name, fault := range map[string]func(chan struct{}) faults.Fault{
		"hangs":  func(over chan struct{}) faults.Fault { return faults.Hang(over) },
		"panics": func(chan struct{}) faults.Fault { return faults.Panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			lis, over := listenOn(t, "tcp"), make(chan struct{})
			odd := oddSocket{&faults.Listener{Listener: lis, Faults: faults.In{faults.Addr: fault(over)}}, fault(over)}
			set := connset.New(odd, connset.Options{Owner: "test", Calls: new(foreign.Calls)})
			accepted := make(chan error, 1)
			go func() { _, err := set.Accept(); accepted <- err }()
			c, err := faults.Dial(t.Context(), lis)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := <-accepted; err != nil {
				t.Errorf("Accept: %v", err)
			}
			_ = set.Close()
			refused := make(chan struct{})
			go func() {
				defer close(refused)
				for {
					c, err := faults.Dial(t.Context(), lis)
					if err != nil {
						return
					}
					c.Close()
				}
			}()
			within(t, "Close of the listener inside", refused)
			close(over)
			set.Cut()
		})
	}
}

type oddSocket struct {
	net.Listener
	fault faults.Fault
}

func (l oddSocket) SyscallConn() (syscall.RawConn, error) {
	l.fault.Do()
	return nil, errors.ErrUnsupported
}

// After a hand-over of the descriptor the old listener takes no connection from the new
// one, and the socket file stays.
func TestDescriptorHandedOver(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			lis := listenOn(t, network)
			if unix, ok := lis.(*net.UnixListener); ok {
				unix.SetUnlinkOnClose(false)
			}
			file, err := faults.TakeDescriptor(lis)
			if err != nil {
				t.Skip(err)
			}
			calls := new(foreign.Calls)
			set := connset.New(lis, connset.Options{Owner: "test", Calls: calls})
			go func() { _, _ = set.Accept() }()
			<-set.Accepting()
			time.Sleep(10 * time.Millisecond) // it is in the system call
			successor, err := net.FileListener(file)
			if err != nil {
				t.Fatal(err)
			}
			defer successor.Close()
			file.Close()
			_ = set.Close()
			calls.Await(5 * time.Second) // until then a connection may be closed at once
			go func() {
				for {
					c, err := successor.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write([]byte("served"))
					c.Close()
				}
			}()
			for range 20 {
				c, err := faults.Dial(t.Context(), lis)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(c); string(b) != "served" {
					t.Errorf("a client reads %q, %v", b, err)
				}
				c.Close()
			}
		})
	}
}

// The file of a socket is removed with its listener, unless it is another socket's by now,
// or the user has said that it stays.
func TestSocketFile(t *testing.T) {
	for name, wrap := range around {
		for change, tt := range map[string]struct {
			do   func(*testing.T, *net.UnixListener, string)
			gone bool
		}{
			"nothing": {func(*testing.T, *net.UnixListener, string) {}, true},
			"stays":   {func(_ *testing.T, lis *net.UnixListener, _ string) { lis.SetUnlinkOnClose(false) }, false},
			"another takes the path": {func(t *testing.T, _ *net.UnixListener, path string) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Millisecond) // the clock of file systems is coarse
				successor, err := net.Listen("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { successor.Close() })
			}, false},
			"another is renamed to it": {func(t *testing.T, _ *net.UnixListener, path string) {
				successor, err := net.Listen("unix", path+"2")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { successor.Close() })
				if err := os.Rename(path+"2", path); err != nil {
					t.Fatal(err)
				}
			}, false},
			"another got its number": {func(t *testing.T, _ *net.UnixListener, path string) { // as file systems do
				if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
			}, false},
			"it is gone": {func(t *testing.T, _ *net.UnixListener, path string) { _ = os.Remove(path) }, true},
		} {
			t.Run(name+" "+change, func(t *testing.T) {
				lis := listenOn(t, "unix")
				calls := new(foreign.Calls)
				set := connset.New(wrap(lis), connset.Options{Owner: "test", Calls: calls})
				accepted := make(chan error, 1)
				go func() { _, err := set.Accept(); accepted <- err }()
				<-set.Accepting()
				c, err := faults.Dial(t.Context(), lis) // it has come to Accept, so the file is known
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := <-accepted; err != nil {
					t.Fatal(err)
				}
				path := lis.Addr().String()
				tt.do(t, lis.(*net.UnixListener), path)
				_ = set.Close()
				calls.Await(5 * time.Second)
				if left := calls.Left(); len(left) > 0 {
					t.Errorf("left: %+v", left)
				}
				if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) != tt.gone {
					t.Errorf("the file: %v; want it gone: %v", err, tt.gone)
				}
				if files, _ := os.ReadDir(filepath.Dir(path)); len(files) > 1 {
					t.Errorf("left behind: %v", files)
				}
				if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the listener inside is open: %v", err)
				}
				set.Cut()
			})
		}
	}
}
