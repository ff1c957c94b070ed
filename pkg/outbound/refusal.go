package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"

	"code.dny.dev/ssrf"
)

// ErrRefused is every error of a Client, and the whole text of it: a stranger who registers a URL must not
// learn from the error whether something answers in our network.
var ErrRefused = errors.New("the address could not be fetched")

// refusal keeps the cause for errors.As and Reason, not for its text.
type refusal struct {
	reason string
	cause  error
}

func refuse(reason string, cause error) error { return &refusal{reason, cause} }

func (r *refusal) Error() string { return ErrRefused.Error() }

// Unwrap makes errors.Is(err, ErrRefused) hold, and the cause reachable.
func (r *refusal) Unwrap() []error { return []error{ErrRefused, r.cause} }

// Reason is one word for the log: url, scheme, self, port, address, name, connect, tls, slow, redirect, status,
// encoding, size; "other" for anything else. It holds no address.
func Reason(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return "other"
}

// Forbidden tells of a refusal whether the rules are its reason, so that no later try would fare better.
func Forbidden(err error) bool {
	return slices.Contains([]string{"url", "scheme", "self", "port", "address"}, Reason(err))
}

// class finds the reason of an error of the transport.
func class(err error) string {
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		op     *net.OpError
		timing interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedPort):
		return "port"
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return "address"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timing) && timing.Timeout():
		return "slow"
	case errors.As(err, &dns):
		return "name"
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return "tls"
	case errors.As(err, &op):
		return "connect"
	}
	return "other"
}
