package shutdowntest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// alone reports whether t is not parallel: then no other test runs, since parallel ones
// wait for those that are not. Setenv panics in parallel tests.
func alone(t *testing.T) (yes bool) {
	defer func() { yes = recover() == nil }()
	t.Setenv("LASTCALL_SHUTDOWNTEST", t.Name())
	return true
}

// files returns the open files of the process by their descriptors, on Linux and if no
// other test may open some.
func (k *kit) files() map[string]string {
	all := map[string]string{}
	if !k.alone {
		return all
	}
	const fds = "/proc/self/fd"
	entries, _ := os.ReadDir(fds) // elsewhere there is none
	for _, e := range entries {
		// Neither sockets and pipes, which have no path, nor the folder that is read here.
		if path, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "/proc/") {
			all[e.Name()] = strings.TrimSuffix(path, " (deleted)")
		}
	}
	return all
}

// opened returns the files that are open now and were not before.
func opened(before, now map[string]string) (files []string) {
	for fd, path := range now {
		if before[fd] != path {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}
