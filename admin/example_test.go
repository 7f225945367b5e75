package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// An admin port with probes, a page of one's own, and a trigger for scripts on the
// same machine. It is there until the last flusher has run.
func Example() {
	lis, err := net.Listen("tcp", "127.0.0.1:0") // for probes of kubelet an address that it can reach, such as ":9090"
	if err != nil {
		fmt.Println(err)
		return
	}
	version := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "v1.2.3") })
	ctl, err := controller.New(lastcall.DefaultBudget(), controller.WithSignals(),
		controller.WithServer("admin", admin.New(lis,
			admin.Handle("GET /version", version),
			admin.WithTrigger("/shutdown", admin.Loopback()))),
		controller.WithCloser("database", func() { fmt.Print(get(lis, "/readyz")) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan report.Report)
	go func() { done <- ctl.Run(context.Background()) }()

	<-ctl.Serving()
	fmt.Print(get(lis, "/version"))
	fmt.Print(get(lis, "/readyz"))
	ctl.Shutdown(errors.New("asked for"))
	fmt.Println((<-done).Outcome)
	// Output:
	// 200 v1.2.3
	// 200 {"ready":true,"state":"SERVING","phase":"serve"}
	// 503
	// drained
}

// get returns the answer, without the times that a 503 tells.
func get(lis net.Listener, path string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+lis.Addr().String()+path, nil)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error() + "\n"
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Sprintln(answer.StatusCode)
	}
	return fmt.Sprint(answer.StatusCode, " ", string(body))
}
