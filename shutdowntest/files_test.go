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
