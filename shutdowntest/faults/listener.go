package faults

import (
	"errors"
	"net"
	"os"
)

// Listener is a listener of which some calls go wrong, or whose connections do. It hides
// what else the listener inside can do: there is no descriptor.
type Listener struct {
	net.Listener
	Faults In
	// OnAccept and OnClose are called instead of those of the listener inside, if not nil.
	OnAccept func() (net.Conn, error)
	OnClose  func() error
	// Conn returns what Accept returns for a connection; nil: the connection itself.
	Conn func(net.Conn) net.Conn
}

// Accept is that of the listener inside, after its Fault.
func (l *Listener) Accept() (net.Conn, error) {
	l.Faults.Do(Accept)
	accept := l.OnAccept
	if accept == nil {
		accept = l.Listener.Accept
	}
	c, err := accept()
	if err == nil && c != nil && l.Conn != nil {
		c = l.Conn(c)
	}
	return c, err
}

// Close is that of the listener inside, after its Fault.
func (l *Listener) Close() error {
	l.Faults.Do(Close)
	if l.OnClose != nil {
		return l.OnClose()
	}
	return l.Listener.Close()
}

// Addr is that of the listener inside, after its Fault.
func (l *Listener) Addr() net.Addr { l.Faults.Do(Addr); return l.Listener.Addr() }

// Conns returns a listener whose connections go wrong.
func Conns(lis net.Listener, faults In) *Listener {
	return &Listener{Listener: lis, Conn: func(c net.Conn) net.Conn { return &Conn{c, faults} }}
}

// Deaf returns a listener whose Close does nothing: Accept goes on until the listener
// inside is closed.
func Deaf(lis net.Listener) *Listener {
	return &Listener{Listener: lis, OnClose: func() error { return nil }}
}

// TakeDescriptor does to a listener of package net what a program does that wants its
// descriptor, for a socket option or a child: from then on Accept blocks in the system
// call, and Close waits for it, for as long as no connection comes. The file is another
// descriptor of the same socket: while it is open, the kernel accepts connections.
func TakeDescriptor(lis net.Listener) (*os.File, error) {
	has, ok := lis.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	file, err := has.File()
	if err == nil {
		file.Fd() // makes the description blocking
	}
	return file, err
}
