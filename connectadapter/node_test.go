package connectadapter_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/connectadapter"
)

// install returns a folder with the client and the packages of npm that it needs. It is
// kept for later runs.
func install(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool, "is not installed")
		}
	}
	manifest, err := os.ReadFile("testdata/package.json")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(manifest)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "lastcall-connect-node-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "client.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "installed")); err == nil {
		return dir
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("npm could not install: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "installed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// describe writes the descriptors of the service, and of what they import.
func describe(t *testing.T) string {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		if !slices.ContainsFunc(set.File, func(known *descriptorpb.FileDescriptorProto) bool { return known.GetName() == f.Path() }) {
			set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
		}
	}
	add(testgrpc.File_grpc_testing_test_proto)
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "descriptors.bin")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// connect-node hears Unavailable, over its three protocols.
func TestConnectNode(t *testing.T) {
	dir := install(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	obeys := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	ctl := serve(t, lis, handlers(obeys, connect.WithInterceptors(connectadapter.Interceptor())), lastcall.Budget{Total: 4 * time.Second, Reserve: 3500 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", filepath.Join(dir, "client.mjs"), "http://"+lis.Addr().String(), describe(t))
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	var heard []string
	begun := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() != "begun" {
			heard = append(heard, lines.Text())
		} else if begun++; begun == 3 {
			ctl.Shutdown(errors.New("asked for"))
		}
	}
	if err := node.Wait(); err != nil {
		t.Error(err)
	}
	slices.Sort(heard)
	want := []string{
		"connect stream Unavailable", "connect unary Unavailable", "grpc stream Unavailable",
		"grpc unary Unavailable", "grpc-web stream Unavailable", "grpc-web unary Unavailable",
	}
	if !slices.Equal(heard, want) {
		t.Errorf("connect-node heard %q, want %q", heard, want)
	}
}
