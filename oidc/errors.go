package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/pkg/limit"
)

// This file is the one place that writes what the JSON endpoints answer.

// Errors at /userinfo (RFC 6750 §3.1).
const (
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

// busySeconds is the Retry-After of an answer that a failing database caused.
const busySeconds = 2

// reply writes a JSON answer that nobody may keep (RFC 6749 §5.1). Its one error is that of a value that has no
// JSON, before anything was written.
func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	neverStored(h)
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked has left: there is nobody to tell
	return nil
}

// replyJWT writes an answer that is a JWT.
func replyJWT(w http.ResponseWriter, kind, jwt string) error {
	h := w.Header()
	h.Set("Content-Type", kind)
	neverStored(h)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(jwt)) // whoever asked has left: there is nobody to tell
	return nil
}

func neverStored(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// errorBody is RFC 6749 §5.2's.
type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// fail answers an error of a JSON endpoint. What it returns is for the log alone: the cause where it is our own
// fault, nil where it is the client's. The database's answer to a request is never a 500: the client may come back.
func fail(w http.ResponseWriter, err error) error {
	e, retry := explained(err)
	if e.Status == http.StatusUnauthorized && e.Code == engine.InvalidClient {
		// RFC 6749 §5.2, RFC 9110 §11.6.1: a 401 names a scheme.
		w.Header().Set("WWW-Authenticate", `Basic realm="client", charset="UTF-8"`)
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	var unproven *client.AuthError
	if errors.As(err, &unproven) {
		note(w, e.Code+": "+unproven.Reason)
	} else {
		note(w, e.Code+": "+e.Description)
	}
	if err := reply(w, e.Status, errorBody{e.Code, client.Plain(e.Description)}); err != nil {
		return err
	}
	if e.Status >= http.StatusInternalServerError {
		return err
	}
	return nil
}

// note tells the shell, whose writer takes such notes, why a request is refused: for the log, in words of ours alone.
func note(w http.ResponseWriter, reason string) {
	if to, ok := w.(interface{ NoteReason(reason string) }); ok {
		to.NoteReason(reason)
	}
}

// explained is the map from what went wrong to what is said of it, and after how many seconds to come back.
func explained(err error) (*engine.Error, int) {
	var refused *engine.Error
	var authentication *client.AuthError
	var limited *limit.Limited
	switch {
	case errors.As(err, &refused):
		if refused.Status == http.StatusServiceUnavailable {
			return refused, busySeconds
		}
		return refused, 0
	case errors.Is(err, client.ErrTwoMethods):
		// RFC 6749 §2.3: one method a request.
		return engine.Refuse(engine.InvalidRequest, "The client authenticates in more than one way."), 0
	case errors.As(err, &authentication):
		return engine.Refuse(engine.InvalidClient, "The client's authentication failed."), 0
	case errors.As(err, &limited):
		e := engine.Refuse(engine.Unavailable, "Too many tries. Please come back later.")
		e.Status = http.StatusTooManyRequests
		return e, seconds(limited.Retry)
	}
	return engine.Failed(err), busySeconds
}

// seconds rounds up, so that whoever waits that long is not sent away again.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// failUserinfo answers an error at /userinfo: a bad request in the words of RFC 6750, all else as at any endpoint.
func failUserinfo(w http.ResponseWriter, err error) error {
	if bad := (*engine.Error)(nil); errors.As(err, &bad) && bad.Status == http.StatusBadRequest {
		return failBearer(w, bad.Code, bad.Description)
	}
	return fail(w, err)
}

// failBearer answers an error at /userinfo (RFC 6750 §3).
func failBearer(w http.ResponseWriter, code, description string) error {
	note(w, code+": "+description)
	status := http.StatusUnauthorized
	header := fmt.Sprintf(`Bearer realm="userinfo", error="%s", error_description="%s"`, code, client.Plain(description))
	switch code {
	case engine.InvalidRequest:
		status = http.StatusBadRequest
	case insufficientScope:
		status = http.StatusForbidden
		header += `, scope="openid"`
	}
	w.Header().Set("WWW-Authenticate", header)
	return reply(w, status, errorBody{code, client.Plain(description)})
}
