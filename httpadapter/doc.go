// Package httpadapter serves an http.Server for a controller: its drain does not poll,
// handlers hear of it, requests in flight are counted by route, and those that the timer
// interrupts are answered.
//
//	h := httpadapter.New(lis, &http.Server{Handler: mux})
//	ctl, err := controller.New(budget, controller.WithServer("http", h))
//
// It covers HTTP/1.x and HTTP/2, with TLS and without (http.Server.Protocols):
//
//   - From the announcement on, HTTP/1.x answers carry "Connection: close"; to a client
//     that is seen to pipeline, from the drain on.
//   - The drain closes the listener and idle HTTP/1.x connections. A request that net/http
//     has begun to read is served, and so is one on a new connection that arrives within the
//     time of [WithHandshakeTime]. If a handler does not read its request's body to the end,
//     the rest has a second to arrive.
//   - Then http.Server.Shutdown is called, once: HTTP/2 connections send GOAWAY, and
//     functions of RegisterOnShutdown run. An HTTP/2 connection is closed when it has no
//     stream and was quiet for 50 ms; the peer may read on. Connections with TLS from the
//     listener (see [WithoutTLS]) are left to net/http, which waits for their peers for a
//     second.
//   - GracefulStop returns when the last handler has returned, the last answer is written,
//     and every connection is closed, those that handlers have hijacked (WebSockets)
//     included: see [WithHijackedLeft]. Their handlers watch lastcall.Draining. With TLS from
//     the listener the Close of such a connection is not seen: it counts until its handler
//     returns.
//   - At the timer the contexts of requests end with its cause. If nothing of an answer has
//     been sent, what the handler then answers becomes 503 with Retry-After, except for a
//     redirect, 204, 304, a 503 of its own, and a success that declares its Content-Length.
//     An answer of which a part has been sent is broken off. Event streams, gRPC and the
//     streams of connect are left as they are; [WithAnswersLeft] leaves everything. An
//     EventSource (a GET that accepts text/event-stream first) to which nothing has been sent
//     gets an empty stream instead of 503, after which it would not reconnect.
//   - The contexts of requests that [WithEndlessPaths] names end when phase drain begins.
//
// A request is not served if it arrives on an idle connection as that is closed, or after
// GOAWAY. Its handler has not been called, so a client may send it again.
//
// New wraps Handler, and Serve wraps ConnState, ConnContext and BaseContext; do not change
// these later. Your hooks are called as without the adapter, with the listener given to New
// and its connections, or *tls.Conn around these. The ResponseWriter has the same optional
// methods as that of net/http. http.MaxBytesReader does not recognise it, but after a 413 the
// connection is closed all the same. A hijacked connection over TCP has the methods of a
// *net.TCPConn, but is not one. An http.Server belongs to one adapter.
//
// Prefer http.Server.Protocols to h2c.NewHandler of golang.org/x/net, whose connections are
// hijacked: they hear of the drain only after http2.ConfigureServer, and with Go 1.27 not
// even then, so that an idle one holds the drain until the timer.
//
// Frameworks (echo, gin, chi) are handlers. An http.Server that other code serves goes into
// the controller with two methods: GracefulStop calls its Shutdown, and Stop its Close.
package httpadapter
