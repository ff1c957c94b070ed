package engine

import (
	"errors"
	"net/http"

	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
)

// The error codes that leave this server at its JSON endpoints (RFC 6749 §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1,
// RFC 8628 §3.5, RFC 8707 §2).
const (
	InvalidRequest       = "invalid_request"
	InvalidClient        = "invalid_client"
	InvalidGrant         = "invalid_grant"
	InvalidScope         = "invalid_scope"
	UnauthorizedClient   = "unauthorized_client"
	UnsupportedGrantType = "unsupported_grant_type"
	ServerError          = "server_error"
	Unavailable          = "temporarily_unavailable"
	InvalidTarget        = "invalid_target"
	AuthorizationPending = "authorization_pending"
	SlowDown             = "slow_down"
	AccessDenied         = "access_denied"
	ExpiredToken         = "expired_token"
)

// Error is a refusal in the protocol's words. Description tells the client's developer what to mend and
// consists of the characters that RFC 6749 §5.2 allows; Cause is for our log alone.
type Error struct {
	Code        string
	Description string
	Status      int
	Cause       error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Code + ": " + e.Cause.Error()
	}
	return e.Code + ": " + e.Description
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Refuse makes an Error of a code and a description, with the status that the code has at a JSON endpoint.
func Refuse(code, description string) *Error {
	status := http.StatusBadRequest
	switch code {
	case InvalidClient:
		status = http.StatusUnauthorized
	case ServerError:
		status = http.StatusInternalServerError
	case Unavailable:
		status = http.StatusServiceUnavailable
	}
	return &Error{Code: code, Description: client.Plain(description), Status: status}
}

// Failed is the Error of a database that did not answer: the client may try again.
func Failed(cause error) *Error {
	e := Refuse(Unavailable, "Please try again in a moment.")
	e.Cause = cause
	return e
}

// descriptions are our own words for fosite's errors: its hints repeat what the client sent (H20f).
var descriptions = map[string]string{
	InvalidRequest:       "The request lacks a parameter or has a malformed one.",
	InvalidGrant:         "The code or token is unknown, expired, used, revoked or not this client's, or its proof does not match.",
	InvalidScope:         "A scope was asked for that this client may not have.",
	UnauthorizedClient:   "This client is not registered for what it asks.",
	UnsupportedGrantType: "This grant type is not supported.",
	InvalidClient:        "The client's authentication failed.",
	ServerError:          "Something went wrong on our side.",
}

// translated maps an error of fosite to one of ours. Codes of fosite's own (H20d) never leave: what is about
// a token becomes invalid_grant, the rest invalid_request or, if fosite means it so, a server error.
func translated(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	code := ServerError
	if fe := (*fosite.RFC6749Error)(nil); errors.As(err, &fe) {
		switch fe.ErrorField {
		case InvalidRequest, InvalidGrant, InvalidScope, UnauthorizedClient, UnsupportedGrantType, InvalidClient:
			code = fe.ErrorField
		case "token_inactive", "invalid_token", "token_expired", "not_found", "scope_not_granted", "request_unauthorized", "token_signature_mismatch":
			code = InvalidGrant
		case "invalid_state", "insufficient_entropy":
			code = InvalidRequest
		}
	}
	e := Refuse(code, descriptions[code])
	e.Cause = err
	return e
}
