package shutdowntest

import (
	"net"
	"runtime"
	"slices"
	"testing"
)

// Files are judged only in tests that are not parallel.
func TestAlone(t *testing.T) {
	for range 2 {
		if !alone(t) {
			t.Error("it is alone")
		}
	}
	t.Run("with others", func(t *testing.T) {
		t.Run("parallel", parallel)
		t.Run("parallel, too", parallel)
	})
}

func parallel(t *testing.T) {
	alone(t) // or not: t can become parallel after that
	t.Parallel()
	if alone(t) {
		t.Error("it is parallel")
	}
}

// A socket is named as the kernel knows it.
func TestSocketName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kit sees descriptors on Linux only")
	}
	k := &kit{alone: true}
	before := k.files()
	want := []string{}
	for kind, at := range map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		lis, err := new(net.ListenConfig).Listen(t.Context(), kind, at)
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { lis.Close() })
		none := map[string]string{"tcp": "0.0.0.0:0", "tcp6": "[::]:0"}[kind]
		want = append(want, "a "+kind+" socket "+lis.Addr().String()+", peer "+none)
	}
	slices.Sort(want)
	if got := k.opened(before); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of the goroutines that were left those of the service come first, and lastcall's last.
func TestLeftovers(t *testing.T) {
	ours := "goroutine 5 [select]:\ngithub.com/lastcall-go/lastcall/drain.(*Group).wait(0x1)\n\t/x/drain/group.go:3 +0x1\ncreated by github.com/lastcall-go/lastcall/drain.New in goroutine 1\n\t/x/drain/group.go:1 +0x1"
	theirs := "goroutine 6 [chan receive]:\nnet/http.(*conn).serve(0x1)\n\t/x/server.go:3 +0x1\ncreated by net/http.(*Server).Serve in goroutine 1\n\t/x/server.go:1 +0x1"
	users := "goroutine 7 [sleep]:\ntime.Sleep(0x1)\n\t/x/time.go:3 +0x1\nexample.com/orders.run(0x1)\n\t/x/orders.go:3 +0x1\ncreated by example.com/orders.New in goroutine 1\n\t/x/orders.go:1 +0x1"
	got := leftovers([]string{ours, theirs, users})
	want := "3 goroutines were left\n  created by example.com/orders.New at orders.go:1: sleep\n  created by net/http.(*Server).Serve at server.go:1: chan receive\n" +
		"  created by github.com/lastcall-go/lastcall/drain.New at group.go:1: select\n" + users
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
