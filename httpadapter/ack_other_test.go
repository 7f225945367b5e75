//go:build !linux

package httpadapter_test

// acknowledges says whether the adapter knows here what a peer has acknowledged.
const acknowledges = false
