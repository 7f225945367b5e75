package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// What the protocol calls its variables (sd_listen_fds(3)).
const (
	listenPID     = "LISTEN_PID"
	listenFDs     = "LISTEN_FDS"
	listenFDNames = "LISTEN_FDNAMES"
)

// firstFD is the first descriptor that is passed.
const firstFD = 3

// Listeners returns the listeners that systemd has passed to this process, by their names:
// FileDescriptorName= of the socket unit, which is the unit's own name (orders.socket) by
// default. Listeners of one name keep their order. Where none were passed, or they were passed to
// another process (LISTEN_PID is not this one's), there are none, and no error: a
// program then opens its own.
//
// Call it once, before the program starts other processes. The descriptors are marked
// close-on-exec, and LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are removed from the
// environment, so that no child takes them for its own; a second call returns none. The
// socket itself stays open in systemd: connections that arrive while the service restarts
// wait in its queue. Closing a listener for a Unix socket leaves the socket's file alone.
//
// The error names the variable and its value, or the descriptor, that cannot be right:
// a socket that does not listen (ListenDatagram=, Accept=yes), for example. Then nothing has
// been taken or changed. It does not block. On platforms other than
// Linux descriptors that were passed are an error.
func Listeners() (map[string][]net.Listener, error) {
	if os.Getenv(listenPID) != strconv.Itoa(os.Getpid()) || os.Getenv(listenFDs) == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv(listenFDs))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("systemd: Listeners: %s is %q, must be a number of descriptors", listenFDs, os.Getenv(listenFDs))
	}
	names := strings.Split(os.Getenv(listenFDNames), ":")
	if len(names) != n && os.Getenv(listenFDNames) != "" {
		return nil, fmt.Errorf("systemd: Listeners: %s is %q, which are %d names for the %d descriptors of %s", listenFDNames, os.Getenv(listenFDNames), len(names), n, listenFDs)
	}
	nameOf := func(i int) string {
		if i < len(names) && names[i] != "" {
			return names[i]
		}
		return "unknown" // as sd_listen_fds_with_names has it
	}
	var all []net.Listener
	for i := range n {
		lis, err := listener(firstFD + i)
		if err != nil {
			for _, lis := range all {
				_ = lis.Close() // a duplicate
			}
			return nil, fmt.Errorf("systemd: Listeners: descriptor %d (%s) of %s=%d: %w", firstFD+i, nameOf(i), listenFDs, n, err)
		}
		all = append(all, lis)
	}
	byName := make(map[string][]net.Listener)
	for i, lis := range all {
		closeFD(firstFD + i)
		byName[nameOf(i)] = append(byName[nameOf(i)], lis)
	}
	for _, name := range []string{listenPID, listenFDs, listenFDNames} {
		_ = os.Unsetenv(name) // it has a name that may be unset
	}
	return byName, nil
}
