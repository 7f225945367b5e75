//go:build go1.27

package httpadapter_test

const (
	// servesTLSOfOthers is whether net/http speaks HTTP/2 on connections that only have the
	// methods of a *tls.Conn.
	servesTLSOfOthers = true
	// tellsHandlerOfXNet is whether connections of h2c.NewHandler are sent GOAWAY.
	tellsHandlerOfXNet = false
)
