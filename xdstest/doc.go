// Package xdstest holds tests only: that an *xds.GRPCServer shuts down as a
// *grpc.Server does. They are a module of their own, so that the dependencies of
// package xds are not in the go.sum of modules that do not use it.
package xdstest
