package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// dial makes n connections to the child and waits until they are up.
func (t *trial) dial(n int) ([]*grpc.ClientConn, error) {
	all := make([]*grpc.ClientConn, n)
	errs := make([]error, n)
	at := make(chan struct{}, 100)
	var wg sync.WaitGroup
	for i := range all {
		at <- struct{}{}
		wg.Go(func() { all[i], errs[i] = connect("passthrough:///" + t.addr); <-at })
	}
	wg.Wait()
	t.undo = append(t.undo, func() {
		for _, c := range all {
			if c != nil {
				_ = c.Close()
			}
		}
	})
	return all, errors.Join(errs...)
}

func connect(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	c, err := grpc.NewClient(target, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.Connect()
	for s := c.GetState(); s != connectivity.Ready; s = c.GetState() {
		if !c.WaitForStateChange(ctx, s) {
			return c, fmt.Errorf("no connection to %s: %v", target, s)
		}
	}
	return c, nil
}

// call makes one unary call, whose handler does what is said, and returns its code.
func call(c grpc.ClientConnInterface, does string) string {
	_, err := testgrpc.NewTestServiceClient(c).UnaryCall(context.Background(), &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: []byte(does)}})
	return status.Code(err).String()
}

// unary starts n calls and waits until their handlers run.
func (t *trial) unary(over []*grpc.ClientConn, n int, does string) error {
	for i := range n {
		t.calls.Go(func() { t.count(call(over[i%len(over)], does)) })
	}
	return t.running(n)
}

// streams opens n streams and waits until their handlers run.
func (t *trial) streams(over []*grpc.ClientConn, n int) ([]testgrpc.TestService_FullDuplexCallClient, error) {
	var all []testgrpc.TestService_FullDuplexCallClient
	for i := range n {
		s, err := testgrpc.NewTestServiceClient(over[i%len(over)]).FullDuplexCall(context.Background(), grpc.WaitForReady(true))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		t.calls.Go(func() {
			_, err := s.Recv()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			t.count(status.Code(err).String())
		})
	}
	return all, t.running(n)
}

// clients makes n clients of HTTP, each with one connection that has had an answer.
func (t *trial) clients(n int) ([]*http.Client, error) {
	var all []*http.Client
	begun := time.Now()
	for len(all) < n {
		tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the child's certificate signs itself
		switch t.spec.Proto {
		case "h2":
			tr.Protocols.SetHTTP2(true)
		case "h2c":
			tr.Protocols.SetUnencryptedHTTP2(true)
		default:
			tr.Protocols.SetHTTP1(true)
		}
		c := &http.Client{Transport: tr}
		t.undo = append(t.undo, tr.CloseIdleConnections)
		switch code := t.get(c, "0s"); {
		case len(all) == 0 && (code == "refused" || code == "reset") && time.Since(begun) < patience: // a contestant that listens itself does so later
			time.Sleep(time.Millisecond)
			continue
		case code != "200":
			return nil, fmt.Errorf("GET: %s", code)
		}
		all = append(all, c)
	}
	return all, nil
}

// get makes one request and returns its code.
func (t *trial) get(c *http.Client, does string) string {
	scheme := "http"
	if t.spec.Proto == "h1tls" || t.spec.Proto == "h2" {
		scheme = "https"
	}
	resp, err := c.Get(scheme + "://" + t.addr + "/" + does)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF), err != nil && strings.Contains(err.Error(), "server closed"):
		return "EOF"
	case err != nil:
		return "error"
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return "cut"
	}
	return fmt.Sprint(resp.StatusCode)
}

// lasting makes n connections of HTTP/1.1 whose peers have had an answer and then do
// nothing: they do not read, and do not close when the server does.
func (t *trial) lasting(n int) error {
	if _, err := t.clients(1); err != nil {
		return err
	}
	for range n {
		c, err := net.Dial("tcp", t.addr)
		if err != nil {
			return err
		}
		t.undo = append(t.undo, func() { _ = c.Close() })
		if _, err := io.WriteString(c, "GET /0s HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
	}
	return nil
}

// silent connects and says nothing.
func (t *trial) silent() error {
	c, err := net.Dial("tcp", t.addr)
	if err == nil {
		t.undo = append(t.undo, func() { _ = c.Close() })
		time.Sleep(4 * calm) // nothing shows that it was accepted
	}
	return err
}
