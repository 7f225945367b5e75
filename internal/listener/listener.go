// Package listener is package connset's Listener, for packages that keep their
// connections themselves.
package listener

import "github.com/lastcall-go/lastcall/internal/connset"

type (
	// Listener is connset.Listener.
	Listener = connset.Listener
	// Hooks are connset.Hooks.
	Hooks = connset.Hooks
)

// New is connset.NewListener.
var New = connset.NewListener
