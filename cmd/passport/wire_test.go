package main

import (
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// wire is a TCP connection's way that a test can cut: between a server and its database, for one.
type wire struct {
	on net.Listener
	to string

	mu   sync.Mutex
	ends map[net.Conn]bool
	dead bool // nobody gets through

	late   time.Duration // by how much each piece of data comes late
	breaks float64       // with which probability the connection breaks in its place
	silent bool          // nothing comes through, and nobody is told: not even later, on connections of now
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{on: on, to: to, ends: map[net.Conn]bool{}}
	go w.accept()
	t.Cleanup(func() {
		_ = on.Close()
		w.heal()
		w.cut()
	})
	return w
}

// wired is a database's URL that leads over a wire.
func wired(t *testing.T, database string) (string, *wire) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, u.Host)
	u.Host = w.on.Addr().String()
	return u.String(), w
}

func (w *wire) accept() {
	for {
		here, err := w.on.Accept()
		if err != nil {
			return
		}
		go w.join(here)
	}
}

func (w *wire) join(here net.Conn) {
	there, err := net.Dial("tcp", w.to)
	if err != nil {
		reset(here)
		return
	}
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		reset(here)
		reset(there)
		return
	}
	w.ends[here], w.ends[there] = true, true
	w.mu.Unlock()
	done := make(chan struct{}, 2)
	move := func(to, from net.Conn) {
		w.move(to, from)
		done <- struct{}{}
	}
	go move(there, here)
	go move(here, there)
	<-done
	_, _ = here.Close(), there.Close()
	<-done
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, here)
	delete(w.ends, there)
}

// move passes on what comes, as bad as the wire is.
func (w *wire) move(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for lost := false; ; {
		n, err := from.Read(buf)
		w.mu.Lock()
		late, broken := w.late, w.breaks > 0 && rand.Float64() < w.breaks
		lost = lost || w.silent
		w.mu.Unlock()
		if late > 0 {
			time.Sleep(late)
		}
		if broken {
			reset(to)
			reset(from)
			return
		}
		if n > 0 && !lost {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reset closes a connection as a host that has died does: with RST.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// snap breaks every connection that there is; new ones get through.
func (w *wire) snap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.ends {
		reset(c)
	}
}

// cut breaks every connection and lets no new one through.
func (w *wire) cut() {
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	w.snap()
}

// heal makes a good wire of it.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead, w.late, w.breaks, w.silent = false, 0, 0, false
}
