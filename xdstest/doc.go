// Package xdstest holds tests only: that an *xds.GRPCServer shuts down as a
// *grpc.Server does. They are a module of their own so that the dependencies of
// package xds are in nobody's go.sum who does not use it.
package xdstest
