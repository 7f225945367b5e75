//go:build linux

package systemd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/systemd"
)

// activated is a service that serves HTTP on every listener that it was passed. It says
// what it was passed, and what is left of it, and then that it is ready.
func activated() int {
	passed, err := systemd.Listeners()
	again, errAgain := systemd.Listeners()
	fmt.Printf("error: %v\n", err)
	if err != nil {
		fmt.Printf("sockets: %d\n", sockets())
	}
	for _, name := range slices.Sorted(maps.Keys(passed)) {
		fmt.Printf("%s: %d\n", name, len(passed[name]))
	}
	fmt.Printf("again: %d, %v\n", len(again), errAgain)
	fmt.Printf("environment: %q %q %q\n", os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"))
	fmt.Printf("a child has: %s\n", descriptors())

	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		_, _ = fmt.Fprint(w, os.Getpid())
	})
	opts := []controller.Option{controller.WithFlusher("stdin", func() { // so that it ends with the test
		fmt.Println("done")
	})}
	for name, all := range passed {
		for i, lis := range all {
			opts = append(opts, controller.WithServer(fmt.Sprint(name, i), httpadapter.New(lis, &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute})))
		}
	}
	ctl, err := controller.New(lastcall.Budget{Total: time.Minute, Settle: 50 * time.Millisecond, Reserve: time.Second}, opts...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go func() {
		select {
		case <-ctl.Serving():
			fmt.Println("ready")
		case <-ctl.Done():
		}
	}()
	return ctl.Run(context.Background()).ExitCode()
}

// descriptors says which a child of this process has.
func descriptors() string {
	list, _ := exec.CommandContext(context.Background(), "ls", "/proc/self/fd").Output() // without it, the test fails
	return strings.Join(strings.Fields(string(list)), " ")
}

// sockets returns how many sockets this process has.
func sockets() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd") // without it, the test fails
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// passes is a command that runs a process with descriptors 3 and up, as systemd does:
// LISTEN_PID is the process's own, which sh knows and then gives to what it becomes.
func passes(t *testing.T, env []string, files ...*os.File) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only a child that does not end is killed
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "sh", "-c", `export LISTEN_PID="${LISTEN_PID-$$}"; exec "$0"`, os.Args[0])
	cmd.Env = append(append(os.Environ(), childVariable+"=activated"), env...)
	cmd.ExtraFiles = files
	return cmd
}

// run starts a command and returns what it says until it is ready.
func run(t *testing.T, cmd *exec.Cmd) (said string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		said += lines.Text() + "\n"
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return said
}

// sigterm ends a process, which must end well.
func sigterm(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process: %v", err)
	}
}

// socket opens a listening socket as a service manager has it: not a net.Listener of a Go
// program that accepts on it. It is nonblocking or not, as asked.
func socket(t *testing.T, network, addr string, nonblocking bool) (*os.File, string) {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	if file, ok := lis.(*net.UnixListener); ok {
		file.SetUnlinkOnClose(false)
	}
	raw, err := lis.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(own uintptr) { // in one step: a parallel test may start a child now
		fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		t.Fatal(err)
	}
	addr = lis.Addr().String()
	lis.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, nonblocking); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "")
	t.Cleanup(func() { f.Close() })
	return f, addr
}

// get asks for one page on a connection of its own, and returns the answer.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(text), err
}

// overUnix is a client whose connections all go to one socket.
func overUnix(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
}

// TestListeners: the protocol by hand. What was passed is there by name, in its order, and
// nothing of it gets to other processes.
func TestListeners(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "http.sock")
	for _, nonblocking := range []bool{false, true} {
		a, _ := socket(t, "tcp", "127.0.0.1:0", nonblocking)
		b, addr := socket(t, "tcp", "127.0.0.1:0", nonblocking)
		c, _ := socket(t, "unix", path, nonblocking)
		cmd := passes(t, []string{"LISTEN_FDS=3", "LISTEN_FDNAMES=grpc:http:grpc"}, a, b, c)
		said := run(t, cmd)
		want := "error: <nil>\ngrpc: 2\nhttp: 1\nagain: 0, <nil>\nenvironment: \"\" \"\" \"\"\na child has: " + descriptors() + "\n"
		if said != want {
			t.Errorf("it said\n%swant\n%s", said, want)
		}
		if text, err := get(t.Context(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+addr); err != nil || text != fmt.Sprint(cmd.Process.Pid) {
			t.Errorf("over TCP: %q, %v", text, err)
		}
		if text, err := get(t.Context(), overUnix(path), "http://unix"); err != nil || text != fmt.Sprint(cmd.Process.Pid) {
			t.Errorf("over the Unix socket: %q, %v", text, err)
		}
		sigterm(t, cmd)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("systemd's file is gone: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListenersNone and what is wrong: descriptors of another process are none, and what cannot be
// right is an error with the values, and nothing is taken or left.
func TestListenersErrors(t *testing.T) {
	t.Parallel()
	datagram, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagram.Close() })
	udp, err := datagram.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	lis, _ := socket(t, "tcp", "127.0.0.1:0", true)
	for name, tt := range map[string]struct {
		env   []string
		files []*os.File
		want  []string
	}{
		"nothing passed":  {nil, nil, []string{"error: <nil>\nagain: 0, <nil>\n"}},
		"another process": {[]string{"LISTEN_PID=1", "LISTEN_FDS=1"}, []*os.File{lis}, []string{"error: <nil>\nagain: 0, <nil>\nenvironment: \"1\" \"1\" \"\"\n"}},
		"no pid":          {[]string{"LISTEN_PID=", "LISTEN_FDS=1"}, []*os.File{lis}, []string{"error: <nil>\nagain: 0, <nil>\n"}},
		"none":            {[]string{"LISTEN_FDS=0"}, nil, []string{"error: <nil>\nagain: 0, <nil>\nenvironment: \"\" \"\" \"\"\n"}},
		"no names":        {[]string{"LISTEN_FDS=1"}, []*os.File{lis}, []string{"error: <nil>\nunknown: 1\n"}},
		"no number":       {[]string{"LISTEN_FDS=one"}, []*os.File{lis}, []string{`LISTEN_FDS is "one", must be a number`}},
		"negative":        {[]string{"LISTEN_FDS=-1"}, nil, []string{`LISTEN_FDS is "-1", must be a number`}},
		"too few names":   {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a"}, []*os.File{lis, lis}, []string{`LISTEN_FDNAMES is "a", which are 1 names for the 2 descriptors`}},
		"too many names":  {[]string{"LISTEN_FDS=1", "LISTEN_FDNAMES=a:b"}, []*os.File{lis}, []string{`LISTEN_FDNAMES is "a:b", which are 2 names for the 1 descriptors`}},
		"a datagram":      {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=a:b"}, []*os.File{lis, udp}, []string{"descriptor 4 (b) of LISTEN_FDS=2: the socket does not listen", "sockets: 2\n", "environment: \"", `"2" "a:b"`}},
		"no socket":       {[]string{"LISTEN_FDS=1"}, []*os.File{os.Stderr}, []string{"descriptor 3 (unknown) of LISTEN_FDS=1: "}},
		"not open":        {[]string{"LISTEN_FDS=9223372036854775807"}, []*os.File{lis}, []string{"of LISTEN_FDS=9223372036854775807: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := passes(t, tt.env, tt.files...)
			said := run(t, cmd)
			sigterm(t, cmd)
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("it said\n%swant in it\n%s", said, want)
				}
			}
		})
	}
}

// activate is systemd's own program for the protocol.
const activate = "systemd-socket-activate"

// TestListenersBySystemd: systemd-socket-activate passes two sockets by name.
func TestListenersBySystemd(t *testing.T) {
	t.Parallel()
	const root = "/opt/root/usr" // where a machine without systemd may have unpacked Debian's package
	program, err := exec.LookPath(activate)
	env := os.Environ()
	if err != nil {
		program = filepath.Join(root, "bin", activate)
		env = append(env, "LD_LIBRARY_PATH="+filepath.Join(root, "lib/x86_64-linux-gnu")+":"+filepath.Join(root, "lib/x86_64-linux-gnu/systemd"))
	}
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("there is no %s: Debian has it in the package systemd", activate)
	}
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-l", a, "-l", b, "--fdname=grpc:http", "-E", childVariable+"=activated", os.Args[0])
	cmd.Env = env
	go func() { // it starts the service when the first connection comes
		for ctx.Err() == nil {
			if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", b); err == nil {
				conn.Close()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	said := run(t, cmd)
	if want := "error: <nil>\ngrpc: 1\nhttp: 1\nagain: 0, <nil>\nenvironment: \"\" \"\" \"\"\na child has: 0 1 2 3\n"; said != want {
		t.Errorf("it said\n%swant\n%s", said, want)
	}
	for _, path := range []string{a, b} {
		if text, err := get(t.Context(), overUnix(path), "http://unix"); err != nil || text != fmt.Sprint(cmd.Process.Pid) {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	sigterm(t, cmd)
}
