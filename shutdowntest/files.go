package shutdowntest

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// alone reports whether t is not parallel: then no other test runs, since parallel ones
// wait for those that are not. Setenv panics in parallel tests; it is that of a subtest,
// since after a Setenv of its own t could not become parallel.
func alone(t *testing.T) (yes bool) {
	t.Run("alone", func(t *testing.T) {
		defer func() { yes = recover() == nil }()
		t.Setenv("LASTCALL_SHUTDOWNTEST", t.Name())
	})
	return yes
}

// files returns the open files and sockets of the process by their descriptors, on Linux
// and if no other test may open some.
func (k *kit) files() map[string]string {
	all := map[string]string{}
	if !k.alone {
		return all
	}
	const fds = "/proc/self/fd"
	entries, _ := os.ReadDir(fds) // elsewhere there is none
	for _, e := range entries {
		// Neither what package runtime has for itself, nor pipes, which package net keeps for
		// io.Copy, nor the folder that is read here.
		path, err := os.Readlink(filepath.Join(fds, e.Name()))
		if err == nil && (strings.HasPrefix(path, "/") || strings.HasPrefix(path, "socket:")) && !strings.HasPrefix(path, "/proc/") {
			all[e.Name()] = strings.TrimSuffix(path, " (deleted)")
		}
	}
	return all
}

// opened returns the files that are open now and were not before. Those of the kit's own
// clients take a moment to be closed.
func (k *kit) opened(before map[string]string) (files []string) {
	for range settleTimes {
		files = nil
		for fd, path := range k.files() {
			if before[fd] != path {
				files = append(files, path)
			}
		}
		if len(files) == 0 {
			return nil
		}
		time.Sleep(settleTime)
	}
	names := sockets()
	for i, path := range files {
		files[i] = cmp.Or(names[path], path)
	}
	slices.Sort(files)
	return files
}

// sockets returns what the kernel says of the sockets of this machine, by their names in
// the folder of descriptors.
func sockets() map[string]string {
	all := map[string]string{}
	for kind, inode := range map[string]int{"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "unix": 6} {
		table, _ := os.ReadFile("/proc/self/net/" + kind) //nolint:gosec // one of the five
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) <= inode {
				continue
			}
			name := fmt.Sprintf("a %s socket %s, peer %s", kind, address(f[1]), address(f[2]))
			if kind == "unix" {
				name = "a unix socket " + strings.Join(f[inode+1:], " ")
			}
			all["socket:["+f[inode]+"]"] = name
		}
	}
	return all
}

// address reads an address of those tables: words of the machine's order, and a port.
func address(text string) string {
	host, port, _ := strings.Cut(text, ":")
	ip, _ := hex.DecodeString(host)
	for word := range slices.Chunk(ip, 4) {
		if len(word) == 4 {
			binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
		}
	}
	addr, ok := netip.AddrFromSlice(ip)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return text
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)).String()
}
