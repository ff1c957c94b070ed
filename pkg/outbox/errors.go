package outbox

import (
	"context"
	"errors"
)

// permanent marks an error after which trying again is useless.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent wraps an error that must not be tried again: the job is given up. nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

func isPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// failure gives an error a kind, the one word of it that is kept.
type failure struct {
	error
	kind string
}

func (f failure) Unwrap() error { return f.error }

// Failure names an error's kind: a constant of lower-case letters, digits and dashes such as "refused". It is
// what the row and the log keep; the error's own text, which may hold an address, is kept nowhere.
func Failure(kind string, err error) error {
	if err == nil {
		return nil
	}
	return failure{err, kind}
}

func kindOf(err error) string {
	var f failure
	switch {
	case errors.As(err, &f):
		return f.kind
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "stopped"
	}
	return "error"
}
