// Package connectadapter has an interceptor for handlers of connect-go: what the shutdown
// timer interrupts ends with Unavailable, which clients take as a reason to try another
// server, and not with Canceled, which none of them tries again.
//
//	mux.Handle(ordersv1connect.NewOrdersHandler(orders,
//		connect.WithInterceptors(connectadapter.Interceptor(), others...)))
//	h := httpadapter.New(lis, &http.Server{Handler: mux, Protocols: protocols})
//
// It works for unary RPCs and streams, over the protocols Connect, gRPC and gRPC-Web.
// Give it first, so that the other interceptors are inside it.
//
// The handlers are served by an httpadapter.Server, in whose contexts they find
// lastcall.Draining and lastcall.TimerAt. Elsewhere the interceptor does nothing. Streams
// that go on for as long as their client likes, and look at nothing but their contexts,
// end with the drain if their path is given to httpadapter.WithEndlessPaths.
package connectadapter
