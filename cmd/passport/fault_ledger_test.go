//go:build fault && !e2e

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What was done, and what came of it. An act that was begun and not ended is unknown as well.
const (
	acked   = "ack"
	refused = "refused"
	unknown = "unknown"
)

// entry is a line of the ledger: one before an act, one after it.
type entry struct {
	N        int64  `json:"n"`
	Op       string `json:"op"` // see the checker
	Outcome  string `json:"outcome,omitempty"`
	At       int64  `json:"at"`            // when it was begun, in µs
	End      int64  `json:"end,omitempty"` // when its outcome was known
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
	Link     string `json:"link,omitempty"`    // of a mail
	Code     string `json:"code,omitempty"`    // that was redeemed, or what was made began with
	Refresh  string `json:"refresh,omitempty"` // that was presented
	Access   string `json:"access,omitempty"`  // that was given
	Next     string `json:"next,omitempty"`    // the refresh token that was given
	ID       string `json:"id,omitempty"`      // the ID token that was given; of a letter its Message-ID
	Said     string `json:"said,omitempty"`    // what is worth knowing besides
}

// book is the ledger's writer: on the disk each 100 ms.
type book struct {
	mu   sync.Mutex
	file *os.File
	n    int64
}

func newBook(t *testing.T) *book {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{file: f}
	tick, over := time.NewTicker(100*time.Millisecond), make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				_ = f.Sync()
			case <-over:
				return
			}
		}
	}()
	t.Cleanup(func() {
		tick.Stop()
		close(over)
		_ = f.Close()
	})
	return b
}

func (b *book) write(e entry) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// note writes what has happened, not what somebody did: a fault, a letter.
func (b *book) note(e entry) {
	e.N, e.At = atomic.AddInt64(&b.n, 1), time.Now().UnixMicro()
	e.End = e.At
	b.write(e)
}

// act notes what is about to be done, does it, notes what came of it, and tells whether it was acknowledged.
func (b *book) act(e entry, do func(e *entry) (status int, err error)) bool {
	return b.outcome(e, do) == acked
}

func (b *book) outcome(e entry, do func(e *entry) (status int, err error)) string {
	e.N, e.At = atomic.AddInt64(&b.n, 1), time.Now().UnixMicro()
	b.write(e)
	status, err := do(&e)
	var wrong *wrongPage
	if errors.As(err, &wrong) {
		status = max(wrong.status, 400) // a page that is not the one that success has
		err = nil
	}
	switch {
	case err != nil || status >= 500:
		e.Outcome = unknown
	case status < 400:
		e.Outcome = acked
	default:
		e.Outcome = refused
	}
	e.End = time.Now().UnixMicro()
	b.write(e)
	return e.Outcome
}

// readLedger gives each act as it ended; one that never did is unknown.
func readLedger(file string) ([]entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	byNumber, order := map[int64]entry{}, []int64{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if _, ok := byNumber[e.N]; !ok {
			order = append(order, e.N)
		}
		if e.Outcome == "" {
			e.Outcome = unknown
		}
		byNumber[e.N] = e
	}
	acts := make([]entry, 0, len(order))
	for _, n := range order {
		acts = append(acts, byNumber[n])
	}
	return acts, lines.Err()
}
