package httpadapter_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/httpadapter"
)

// An EventSource comes back after a stream that has ended, and after no status but 200. One
// that has heard nothing yet when its context ends gets an empty stream.
func TestSilentEventStreams(t *testing.T) {
	says := func(prepare func(http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			if r.Method == http.MethodGet {
				prepare(w)
			}
			if <-r.Context().Done(); r.Header.Get("Last-Event-ID") != "" {
				http.Error(w, "no", http.StatusInternalServerError)
			}
		}
	}
	prepared := says(func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/event-stream; charset=utf-8") })
	nothing := says(func(http.ResponseWriter) {})
	for name, tt := range map[string]struct {
		handle         http.HandlerFunc
		method, accept string
		last           string
		status         int
	}{
		"nothing":                      {nothing, "GET", "text/event-stream", "", 200},
		"a failure":                    {nothing, "GET", "text/event-stream", "7", 200},
		"another case":                 {nothing, "GET", "Text/Event-Stream", "", 200},
		"its type":                     {prepared, "GET", "*/*", "", 200},
		"the answer to a POST (MCP)":   {nothing, "POST", "text/event-stream", "", 503},
		"JSON rather than events":      {nothing, "GET", "application/json, text/event-stream", "", 503},
		"a failure of something else":  {nothing, "GET", "*/*", "7", 503},
		"a failure, its type prepared": {prepared, "GET", "*/*", "7", 503}, // http.Error has another type
	} {
		for _, how := range []string{h1, h2c} {
			for at, options := range map[string][]httpadapter.Option{"the timer": nil, "the drain": {httpadapter.WithEndlessPaths("/")}} {
				if options != nil && tt.last != "" {
					continue // what handlers answer is left there
				}
				t.Run(name+" "+how+" at "+at, func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						n := memory()
						l := begin(t, n, setup{handler: tt.handle, adapter: options})
						c := n.client(t, how)
						came := make(chan *http.Response, 1)
						go func() {
							req, _ := http.NewRequestWithContext(context.Background(), tt.method, "http://x/events", nil)
							req.Header.Set("Accept", tt.accept)
							if tt.last != "" {
								req.Header.Set("Last-Event-ID", tt.last)
							}
							resp, err := c.Do(req) //nolint:bodyclose // who takes it closes it
							if err != nil {
								t.Error(err)
							}
							came <- resp
						}()
						time.Sleep(time.Second)
						l.shutdown(t)
						resp := <-came
						if resp == nil {
							return
						}
						defer resp.Body.Close()
						if resp.StatusCode != tt.status || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
							t.Errorf("%s, %v", resp.Status, resp.Header)
						}
						if kind := resp.Header.Get("Content-Type"); (kind == "text/event-stream") != (tt.status == 200) {
							t.Errorf("%s", kind)
						}
					})
				})
			}
		}
	}
}
