//go:build !linux

package systemd

import (
	"errors"
	"net"
)

func listener(int) (net.Listener, error) { return nil, errors.ErrUnsupported }

func closeFD(int) {}
