package frameworks

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"
	gorilla "github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall"
)

// withGorilla echoes messages until the drain begins, and then closes with 1001.
func withGorilla(w http.ResponseWriter, r *http.Request) {
	c, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-lastcall.Draining(r.Context()):
			bye := gorilla.FormatCloseMessage(gorilla.CloseGoingAway, "")
			_ = c.WriteControl(gorilla.CloseMessage, bye, time.Now().Add(time.Second)) // the peer may have gone
		case <-over:
		}
	}()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return // the answer to our Close is such an error
		}
	}
}

// withCoder does the same.
func withCoder(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-lastcall.Draining(r.Context()):
			_ = c.Close(websocket.StatusGoingAway, "") // the peer may have gone
		case <-over:
		}
	}()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// TestWebSockets: clients of either library are told that the server is going away (1001) as the drain
// begins, and the drain ends with the connection.
func TestWebSockets(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	g.GET("/", func(c *gin.Context) { withGorilla(c.Writer, c.Request) })
	for name, handler := range map[string]http.Handler{"gorilla": http.HandlerFunc(withGorilla), "coder": http.HandlerFunc(withCoder), "gorilla in gin": g} {
		t.Run(name, func(t *testing.T) {
			ctl, addr := run(t, handler, lastcall.Budget{Total: 20 * time.Second, Reserve: 5 * time.Second})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, _, err := websocket.Dial(ctx, "ws://"+addr+"/", nil) //nolint:bodyclose // it has none
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.CloseNow() }()
			if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, message, err := c.Read(ctx); err != nil || string(message) != "hello" {
				t.Fatalf("%q, %v", message, err)
			}
			ctl.Shutdown(nil)
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("the client heard %v", err)
			}
			select {
			case <-ctl.Done():
			case <-ctx.Done():
				t.Error("the drain lasts")
			}
		})
	}
}
