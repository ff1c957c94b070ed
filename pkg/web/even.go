package web

import (
	"net/http"
	"time"
)

// evenStep is many times what the work of a form varies by with the address in it, and less than a person notices.
const evenStep = 25 * time.Millisecond

// even has an answer begin a whole number of steps after its request came. The work is the same whatever is true of the
// address that was typed, but what a database finds takes some tenths of a millisecond more than what it does not find, and
// by that a stranger who asks often enough could tell who has an account (A15). Beside a password's hash it is nothing.
type even struct {
	http.ResponseWriter
	r      *http.Request
	step   *time.Ticker
	waited bool
}

func newEven(w http.ResponseWriter, r *http.Request) *even {
	return &even{ResponseWriter: w, r: r, step: time.NewTicker(evenStep)}
}

// wait is over before the first byte, and at the latest when there is none.
func (e *even) wait() {
	if e.waited {
		return
	}
	e.waited = true
	defer e.step.Stop()
	select {
	case <-e.step.C: // of the steps that have passed the ticker keeps one
	default:
	}
	select {
	case <-e.step.C:
	case <-e.r.Context().Done(): // nobody is there to measure
	}
}

func (e *even) WriteHeader(status int) {
	e.wait()
	e.ResponseWriter.WriteHeader(status)
}

func (e *even) Write(b []byte) (int, error) {
	e.wait()
	return e.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (e *even) Unwrap() http.ResponseWriter { return e.ResponseWriter }
