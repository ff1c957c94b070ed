//go:build fault && !e2e

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F5: the way to the database is slow, breaks in the middle of one piece of data in twenty, and falls silent without a word. A
// request is answered within its ten seconds; where nobody knows whether a commit arrived, with 503.
func TestFaultBadWire(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	via, line := wired(t, database)
	r := newTrial(t, 2, database, via)
	r.people, r.within = 4, 12*time.Second // a connection that fell silent takes one request its time
	var began time.Time
	r.load(func() {
		began = time.Now()
		r.during("500 ms latency", func() {
			line.bad(500*time.Millisecond, 0, false)
			time.Sleep(long(t, 8*time.Second, time.Minute)) // for so long it is so
		})
		r.during("5 % cut", func() {
			line.bad(0, .05, false)
			time.Sleep(long(t, 8*time.Second, time.Minute)) // for so long it is so
		})
		line.heal()
		time.Sleep(3 * time.Second) // a while of a good one between
		r.during("half-open", func() {
			line.bad(0, 0, true)
			time.Sleep(long(t, 13*time.Second, time.Minute)) // for so long it is so
			line.heal()
		})
		time.Sleep(14 * time.Second) // what begins in the last two must not fail
		for _, one := range r.f.replicas {
			ask(t, one.admin+"/readyz", 200)
		}
	})
	// The time is what is tried: a request works ten seconds at most, two are for what is done when it is over (account.Afterwards), and
	// two more are a busy machine's.
	r.slowest(t, began, 14*time.Second)
	r.statuses(t, 503)
	r.judge("F5 database 500 ms away, 5 % of what is sent breaks the connection, silent for a while")
}

// slowest demands that each request since then had its answer in time.
func (r *trial) slowest(t *testing.T, since time.Time, limit time.Duration) {
	t.Helper()
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	for _, c := range r.f.calls {
		if took := c.end.Sub(c.began); c.began.After(since) && took > limit {
			t.Errorf("%s took %s", c.route, took)
		}
	}
}

// statuses demands that each request that failed was answered, with this status.
func (r *trial) statuses(t *testing.T, want int) {
	t.Helper()
	others := map[string]int{}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	for _, c := range r.f.calls {
		if c.failed() && !c.killed && c.status != want {
			others[fmt.Sprint(c.route, ": ", c.status, " ", c.err)]++
		}
	}
	for what, n := range others {
		t.Errorf("%s, %d times: not %d", what, n, want)
	}
}

// bad makes a bad wire of it.
func (w *wire) bad(late time.Duration, breaks float64, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late, w.breaks, w.silent = late, breaks, silent
}
