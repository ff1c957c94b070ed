package main

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// Whoever has connected is accepted before a listener is closed; whoever has not is not let in any more.
func TestHush(t *testing.T) {
	listen := plainTCP()
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dial := func() (net.Conn, error) { return net.DialTimeout("tcp", l.Addr().String(), 300*time.Millisecond) }
	before, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close() }()
	hushed := make(chan error, 1)
	go func() { hushed <- hush(l) }()
	// The first who is not let in shows that the kernel has been told.
	for ends := time.Now().Add(10 * time.Second); ; {
		late, err := dial()
		if err != nil {
			var net net.Error
			if !errors.As(err, &net) || !net.Timeout() {
				t.Fatalf("refused: %v", err)
			}
			break
		}
		_ = late.Close()
		if time.Now().After(ends) {
			t.Fatal("connections are let in")
		}
	}
	select {
	case err := <-hushed:
		t.Fatalf("somebody still waits to be accepted: %v", err)
	default:
	}
	for done := false; !done; { // who connected, before and between
		if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done = c.RemoteAddr().String() == before.LocalAddr().String()
		_ = c.Close()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	if err := <-hushed; err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
}
