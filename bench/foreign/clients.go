//go:build unix

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed clients
var sources embed.FS

// errMissing is wrapped by the errors that name what is not installed.
var errMissing = errors.New("not installed")

// client is a program that calls for some seconds.
type client struct {
	name, proto string
	// command builds the client, and returns what starts it.
	command func() (start, error)
	// read finds in what it has printed how many calls were lost.
	read func(string) result
}

type start func(ctx context.Context, addr string, seconds int) *exec.Cmd

// result is what became of the calls of a client.
type result struct {
	calls, lost int
	what        map[string]int
}

// String lists what was lost.
func (r result) String() string {
	var all []string
	for what, n := range r.what {
		if n > 0 {
			what = fmt.Sprintf("%d %s", n, what)
		}
		all = append(all, what)
	}
	slices.Sort(all)
	return strings.ReplaceAll(strings.Join(all, "; "), "|", "/")
}

// clients returns the clients in the order in which they are run.
func clients() []client {
	seconds := strconv.Itoa
	return []client{
		{"grpc-js", "grpc", node(), readOurs},
		{"grpc-js-no-retries", "grpc", node("noretries"), readOurs},
		{"python", "grpc", python(), readOurs},
		{"python-health", "grpc", python("health"), readOurs},
		{"c++", "grpc", cplusplus, readOurs},
		{"java", "grpc", java, readOurs},
		{"ab -k", "http", tool("ab", func(addr string, s int) []string {
			return []string{"-k", "-r", "-c", "8", "-t", seconds(s), "-n", "1000000", "http://" + addr + "/"}
		}), readBy(`Complete requests: +(\d+)`, `Failed requests: +(\d+)`)},
		{"ab", "http", tool("ab", func(addr string, s int) []string {
			return []string{"-r", "-c", "8", "-t", seconds(s), "-n", "1000000", "http://" + addr + "/"}
		}), readBy(`Complete requests: +(\d+)`, `Failed requests: +(\d+)`)},
		{"wrk", "http", tool("wrk", func(addr string, s int) []string {
			return []string{"-c", "8", "-t", "1", "-d", seconds(s), "http://" + addr + "/"}
		}), readBy(`(\d+) requests in`, `connect (\d+), read (\d+), write (\d+), timeout (\d+)`)},
		{"h2load", "http", tool("h2load", func(addr string, s int) []string {
			return []string{"-c", "8", "-m", "1", "-D", seconds(s), "http://" + addr + "/"}
		}), readBy(`(\d+) done`, `(\d+) failed`)},
		{"h2load --h1", "http", tool("h2load", func(addr string, s int) []string {
			return []string{"--h1", "-c", "8", "-D", seconds(s), "http://" + addr + "/"}
		}), readBy(`(\d+) done`, `(\d+) failed`)},
	}
}

// readOurs reads what the programs in the folder clients print.
func readOurs(out string) result {
	r := result{what: map[string]int{}}
	for line := range strings.Lines(out) {
		switch fields := strings.SplitN(strings.TrimSpace(line), " ", 3); fields[0] {
		case "calls":
			r.calls, _ = strconv.Atoi(fields[1])
		case "lost":
			n, _ := strconv.Atoi(fields[1])
			r.lost += n
			r.what[fields[2]] += n
		}
	}
	return r
}

// readBy adds up the numbers that expressions find.
func readBy(calls, lost string) func(string) result {
	sum := func(expression, out string) (n int) {
		for i, found := range regexp.MustCompile(expression).FindStringSubmatch(out) {
			if i > 0 {
				one, _ := strconv.Atoi(found)
				n += one
			}
		}
		return n
	}
	return func(out string) result { return result{calls: sum(calls, out), lost: sum(lost, out)} }
}

// unpacked is where packages of Debian were unpacked (dpkg -x), and not installed; "" if
// they were not.
func unpacked() string {
	if root := os.Getenv("LASTCALL_ROOT"); root != "" {
		return root
	}
	if _, err := os.Stat("/opt/root/usr"); err == nil {
		return "/opt/root"
	}
	return ""
}

// lib is where Debian has libraries.
const lib = "/usr/lib/x86_64-linux-gnu"

// look finds a program, and the environment that it needs.
func look(name string) (path string, env []string, err error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, os.Environ(), nil
	}
	for _, dir := range []string{"/usr/bin/", "/usr/sbin/"} {
		path := unpacked() + dir + name
		if _, err := os.Stat(path); err == nil {
			return path, append(os.Environ(), "LD_LIBRARY_PATH="+unpacked()+lib), nil
		}
	}
	return "", nil, fmt.Errorf("%w: %s", errMissing, name)
}

// tool is a client that is a program of its own.
func tool(name string, args func(addr string, seconds int) []string) func() (start, error) {
	return func() (start, error) {
		path, env, err := look(name)
		return func(ctx context.Context, addr string, seconds int) *exec.Cmd {
			cmd := exec.CommandContext(ctx, path, args(addr, seconds)...)
			cmd.Env = env
			return cmd
		}, err
	}
}

// unpack writes the sources of a client to a folder, which is kept for later runs.
func unpack(files ...string) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "lastcall-foreign")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := sources.ReadFile("clients/" + file)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// runs returns what starts a client that takes the address and the seconds behind its own
// arguments, and then more of them.
func runs(env []string, args []string, more ...string) start {
	return func(ctx context.Context, addr string, seconds int) *exec.Cmd {
		all := slices.Concat(args, []string{addr, strconv.Itoa(seconds)}, more)
		cmd := exec.CommandContext(ctx, all[0], all[1:]...)
		cmd.Env = append(os.Environ(), env...)
		return cmd
	}
}

// build runs what a client needs once.
func build(dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w: %s", errMissing, args[0], err, strings.ReplaceAll(string(out), "\n", " "))
	}
	return nil
}

func node(more ...string) func() (start, error) {
	return func() (start, error) {
		dir, err := unpack("client.mjs", "package.json")
		if err == nil {
			err = build(dir, nil, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		}
		return runs(nil, []string{"node", filepath.Join(dir, "client.mjs")}, more...), err
	}
}

func python(more ...string) func() (start, error) {
	return func() (start, error) {
		dir, err := unpack("client.py")
		var env []string
		if root := unpacked(); root != "" {
			env = []string{"PYTHONPATH=" + root + "/usr/lib/python3/dist-packages", "LD_LIBRARY_PATH=" + root + lib}
		}
		if err == nil {
			err = build(dir, env, "python3", "-c", "import grpc")
		}
		return runs(env, []string{"python3", filepath.Join(dir, "client.py")}, more...), err
	}
}

func cplusplus() (start, error) {
	dir, err := unpack("client.cc")
	args, env := []string{"g++", "-std=c++17", "-O1", "client.cc", "-o", "client"}, []string(nil)
	if root := unpacked(); root != "" {
		args = append(args, "-I"+root+"/usr/include", "-L"+root+lib, "-Wl,-rpath-link,"+root+lib)
		env = []string{"LD_LIBRARY_PATH=" + root + lib}
	}
	args = append(args, "-lgrpc++", "-lgrpc", "-lgpr", "-labsl_synchronization", "-Wl,--copy-dt-needed-entries", "-lpthread")
	if err == nil {
		err = build(dir, nil, args...)
	}
	return runs(env, []string{filepath.Join(dir, "client")}), err
}

func java() (start, error) {
	dir, err := unpack("Client.java")
	var jars []string
	for _, root := range []string{unpacked(), ""} {
		found, _ := filepath.Glob(root + "/usr/share/java/*.jar") // its only error is that of the pattern
		jars = append(jars, found...)
	}
	path := strings.Join(append(jars, dir), ":")
	if err == nil {
		err = build(dir, nil, "javac", "-cp", path, "-d", dir, "Client.java")
	}
	return runs(nil, []string{"java", "-cp", path, "Client"}), err
}
