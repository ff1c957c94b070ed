package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
)

// Error is an answer that is an error: what people read is the message error.<Key>.
type Error struct {
	Status int
	Key    string
	Retry  time.Duration // Retry-After, when it is known
	Cause  error         // for the log; may be nil
}

// Error is for operators: status, key and cause, never what a person typed.
func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%d %s", e.Status, e.Key)
	}
	return fmt.Sprintf("%d %s: %v", e.Status, e.Key, e.Cause)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// The refusals that more than one room gives.
var (
	ErrNotFound = &Error{Status: http.StatusNotFound, Key: "notfound"}
	ErrForm     = &Error{Status: http.StatusForbidden, Key: "form"}
)

// FieldErrors gives the key of the message that belongs beside a field of a form, by the field's id. Not ok: the error is of no
// field.
func FieldErrors(err error) (keys map[string]string, ok bool) {
	var fault *account.FieldError
	if !errors.As(err, &fault) {
		return nil, false
	}
	return map[string]string{fault.Field: fault.Key}, true
}

// statusGone is what servers call a request whose client did not wait for the answer; nobody reads it.
const statusGone = 499

// explain is the one place where an error becomes a status and a message. ctx is the request's.
func explain(ctx context.Context, err error) *Error {
	var ours *Error
	var limited *limit.Limited
	var busy *account.Busy
	var tooLarge *http.MaxBytesError
	var away interface{ Unavailable() bool } // of the database
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		// Strangers who break off would else make failures of ours, in the log and in the metrics, at will.
		return &Error{Status: statusGone, Key: "busy", Cause: err}
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, oidc.ErrNoInteraction):
		return &Error{Status: http.StatusBadRequest, Key: "interaction_gone", Cause: err}
	case errors.Is(err, account.ErrNotFound): // gone, or stopped, this moment
		return &Error{Status: http.StatusNotFound, Key: "notfound", Cause: err}
	case errors.Is(err, account.ErrLink):
		return &Error{Status: http.StatusNotFound, Key: "link", Cause: err}
	case errors.Is(err, account.ErrInvitation):
		return &Error{Status: http.StatusForbidden, Key: "invitation", Cause: err}
	case errors.Is(err, account.ErrDomain):
		return &Error{Status: http.StatusForbidden, Key: "domain", Cause: err}
	case errors.As(err, &limited):
		if limited.Retry > time.Hour/2 {
			return &Error{Status: http.StatusTooManyRequests, Key: "too_many_hours", Retry: limited.Retry, Cause: err}
		}
		return &Error{Status: http.StatusTooManyRequests, Key: "too_many", Retry: limited.Retry, Cause: err}
	case errors.As(err, &busy):
		return &Error{Status: http.StatusServiceUnavailable, Key: "busy", Retry: busy.Retry, Cause: err}
	case errors.Is(err, account.ErrHumanDown):
		return &Error{Status: http.StatusServiceUnavailable, Key: "human_down", Retry: time.Minute, Cause: err}
	case errors.As(err, &tooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Key: "request_too_large", Cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &away) && away.Unavailable():
		return &Error{Status: http.StatusServiceUnavailable, Key: "busy", Retry: time.Second, Cause: err}
	}
	return &Error{Status: http.StatusInternalServerError, Key: "internal", Cause: err}
}
