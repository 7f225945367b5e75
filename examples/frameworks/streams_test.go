package frameworks

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echo5 "github.com/labstack/echo/v5"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// streams writes a row each 10 ms until the request's context ends, as the media type of
// the path, with the means of each framework.
func streams() map[string]http.Handler {
	kind := func(path string) string { return strings.ReplaceAll(strings.TrimPrefix(path, "/"), "_", "/") }
	rows := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind(r.URL.Path))
		for r.Context().Err() == nil {
			_, _ = fmt.Fprint(w, "data: row\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.Use(gin.Recovery())
	g.GET("/:kind", func(c *gin.Context) {
		c.Header("Content-Type", kind(c.Request.URL.Path))
		c.Stream(func(w io.Writer) bool {
			_, _ = fmt.Fprint(w, "data: row\n\n")
			time.Sleep(10 * time.Millisecond)
			return c.Request.Context().Err() == nil
		})
	})
	e := echo.New()
	e.GET("/:kind", func(c echo.Context) error {
		rows(c.Response(), c.Request())
		return c.Request().Context().Err() // echo would answer 500
	})
	e5 := echo5.New()
	e5.GET("/:kind", func(c *echo5.Context) error { rows(c.Response(), c.Request()); return c.Request().Context().Err() })
	r := chi.NewRouter()
	r.Use(middleware.Compress(5), middleware.Recoverer)
	r.Get("/{kind}", rows)
	return map[string]http.Handler{"gin": g, "echo": e, "echo 5": e5, "chi": r}
}

// TestStreams: event streams end cleanly, at the drain if they are known to be endless and at
// the timer if not; a part of anything else is broken off.
func TestStreams(t *testing.T) {
	for name, handler := range streams() {
		for _, tt := range []struct {
			kind    string
			endless []httpadapter.Option
			broken  bool
		}{
			{"text_event-stream", nil, false},
			{"text_event-stream", []httpadapter.Option{httpadapter.WithEndlessPaths("GET /text_event-stream")}, false},
			{"application_x-ndjson", []httpadapter.Option{httpadapter.WithEndlessPaths("/{kind}")}, false},
			{"application_x-ndjson", nil, true},
			{"text_csv", nil, true},
		} {
			t.Run(fmt.Sprintf("%s %s %v", name, tt.kind, tt.endless != nil), func(t *testing.T) {
				timer := 200 * time.Millisecond
				if tt.endless != nil {
					timer = 20 * time.Second
				}
				ctl, addr := run(t, handler, lastcall.Budget{Total: timer + 3*time.Second, Reserve: 3 * time.Second}, tt.endless...)
				resp, err := get(t.Context(), "http://"+addr+"/"+tt.kind)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body := bufio.NewReader(resp.Body)
				if _, err := body.ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatal(resp.Status, err)
				}
				asked := time.Now()
				ctl.Shutdown(nil)
				if _, err := io.Copy(io.Discard, body); (err != nil) != tt.broken {
					t.Errorf("the stream ended with %v", err)
				}
				if took := time.Since(asked); tt.endless != nil && took > timer/2 {
					t.Errorf("the stream ended after %v", took)
				}
			})
		}
	}
}
