package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// fault is why an operation does not count. Failures are summed up by kind, so there must be few; the detail is kept
// of the first of each. Neither may hold a token, a code or a password. Only newFault makes one.
type fault struct {
	kind, detail string
	status       int // of an answer that was of the wrong one
}

func (f *fault) Error() string {
	if f.detail == "" {
		return f.kind
	}
	return f.kind + ": " + f.detail
}

// tokenlike is what may be a token: a server may say which it did not like, in its error_description or in the path of an answer.
var tokenlike = regexp.MustCompile(`[A-Za-z0-9_-]{32,}`)

// newFault is where what a server says becomes text of ours.
func newFault(kind, detail string) *fault {
	return &fault{kind: printable(kind, 60), detail: printable(tokenlike.ReplaceAllString(detail, "..."), 400)}
}

func faultf(kind, format string, args ...any) error {
	return newFault(kind, fmt.Sprintf(format, args...))
}

// faultOf sorts any error under a kind.
func faultOf(err error) *fault {
	var f *fault
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return newFault("timeout", "")
	case errors.As(err, &op) && op.Op == "dial":
		return newFault("no connection", op.Error())
	}
	return newFault("connection lost", err.Error())
}

// statusFault is an answer of the wrong status; an OAuth error (RFC 6749 §5.2) gives its code.
func statusFault(a *answer) error {
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	kind := fmt.Sprintf("status %d", a.status)
	// What is not such a document has no code: the status alone tells.
	if json.Unmarshal(a.body, &e) == nil && e.Error != "" {
		kind += " " + e.Error
	}
	detail := a.url.Path
	if e.Description != "" {
		detail += ": " + e.Description
	}
	f := newFault(kind, detail)
	f.status = a.status
	return f
}

// refused tells whether the server said that it did not even begin (RFC 6585 §4, RFC 9110 §15.6.4).
func refused(err error) bool {
	var f *fault
	return errors.As(err, &f) && (f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable)
}

// printable keeps what a server says from breaking our table or a terminal.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}
