package main

import (
	"io"
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

	mu      sync.Mutex
	ends    map[net.Conn]bool
	dead    bool          // nobody gets through
	latency time.Duration // for each piece of what comes back
	stalled chan struct{} // not nil: nothing moves until it is closed
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
	move := func(to, from net.Conn, back bool) {
		w.pass(to, from, back)
		done <- struct{}{}
	}
	go move(there, here, false)
	go move(here, there, true)
	<-done
	_, _ = here.Close(), there.Close()
	<-done
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, here)
	delete(w.ends, there)
}

func (w *wire) pass(to io.Writer, from io.Reader, back bool) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		w.mu.Lock()
		stalled, latency := w.stalled, w.latency
		w.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		if back && latency > 0 {
			time.Sleep(latency) // a slow wire is what is played here
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
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

// stall lets nothing move, and says nothing of it: a host that is off.
func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled == nil {
		w.stalled = make(chan struct{})
	}
}

// slow delays all answers.
func (w *wire) slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latency = by
}

// heal makes a good wire of it.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled != nil {
		close(w.stalled)
	}
	w.dead, w.stalled, w.latency = false, nil, 0
}
