package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// MaxID bounds a client_id in bytes.
const MaxID = 512

// maxCredential bounds what is looked at of a Basic header, whose parts are form-urlencoded (three bytes a character)
// before base64.
const maxCredential = len("Basic ") + (3*MaxID+1+3*maxSecret+2)/3*4

// ErrTwoMethods: one request authenticates in more than one way, or twice (RFC 6749 §2.3: "MUST NOT use more
// than one"). The answer is invalid_request.
var ErrTwoMethods = errors.New("more than one client authentication in one request")

// Authn is a client that proved who it is.
type Authn struct {
	Client     *Client
	Method     string // as registered in token_endpoint_auth_method
	Thumbprint string // of the certificate that it proved with; empty for the methods that exist here, later mTLS
}

// AuthError is a client authentication that failed. The answer is invalid_client.
type AuthError struct {
	ClientID string // what was claimed, for limits; perhaps no client's id
	Reason   string // for a log; never for the answer
}

func (e *AuthError) Error() string { return "client authentication failed: " + e.Reason }

// credentials are what a request presents.
type credentials struct {
	id, secret string
	method     string // MethodNone: nothing but an id
	assertion  *jose.JSONWebSignature
}

// Authenticate tells which client sent r, whose form the caller has parsed. It reads the Authorization header
// and the body alone, never the query (RFC 6749 §2.3.1). Only the method that the client registered counts.
// The result is an Authn, or ErrTwoMethods, an *AuthError, or the store's error.
func (r *Registry) Authenticate(req *http.Request) (Authn, error) {
	cr, err := readCredentials(req)
	if err != nil {
		var failed *AuthError
		if errors.As(err, &failed) {
			r.matches(nil, "") // the work of a wrong secret
		}
		return Authn{}, err
	}
	c, err := r.Get(req.Context(), cr.id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Authn{}, fmt.Errorf("authenticate the client: %w", err)
	}
	// Before any reason to refuse is looked at: all answers take the same work.
	matches := r.matches(c, cr.secret)
	fail := func(reason string) (Authn, error) {
		return Authn{}, &AuthError{ClientID: cr.id, Reason: reason}
	}
	switch {
	case c == nil:
		return fail("unknown client")
	case !c.Enabled():
		return fail("disabled client")
	case c.Metadata.TokenEndpointAuthMethod != cr.method:
		return fail("not by the registered method")
	}
	switch cr.method {
	case MethodNone:
		return Authn{Client: c, Method: cr.method}, nil
	case MethodBasic, MethodPost:
		if !matches {
			return fail("wrong secret")
		}
		return Authn{Client: c, Method: cr.method}, nil
	case MethodKeyJWT, MethodSecretJWT:
		reason, err := r.checkAssertion(req.Context(), c, cr.assertion, req.URL.Path)
		if err != nil {
			return Authn{}, fmt.Errorf("authenticate the client: %w", err)
		}
		if reason != "" {
			return fail(reason)
		}
		return Authn{Client: c, Method: cr.method}, nil
	}
	return fail("unknown method")
}

// readCredentials takes a request's credentials apart, and refuses sizes before anything else.
func readCredentials(req *http.Request) (credentials, error) {
	headers := req.Header.Values("Authorization")
	cr, basic := credentials{method: MethodNone}, len(headers) > 0
	form := req.PostForm
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(form[name]) > 1 {
			return cr, fmt.Errorf("%s given twice: %w", name, ErrTwoMethods)
		}
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	assertion := form.Has("client_assertion") || form.Has("client_assertion_type")
	switch {
	case len(headers) > 1,
		basic && (secret != "" || assertion),
		secret != "" && assertion:
		return cr, ErrTwoMethods
	case len(id) > MaxID, len(secret) > maxSecret, basic && len(headers[0]) > maxCredential:
		return cr, &AuthError{Reason: "oversized credentials"}
	case assertion:
		return readAssertion(cr, form.Get("client_assertion"), form.Get("client_assertion_type"), id)
	case basic:
		return readBasic(cr, headers[0], id)
	case id == "":
		return cr, &AuthError{Reason: "no client authentication"}
	}
	cr.id, cr.secret = id, secret
	if secret != "" {
		cr.method = MethodPost
	}
	return cr, nil
}

// readBasic decodes a Basic header, whose user and password are form-urlencoded (RFC 6749 §2.3.1).
func readBasic(cr credentials, header, bodyID string) (credentials, error) {
	fail := func(reason string) (credentials, error) {
		return cr, &AuthError{ClientID: cr.id, Reason: reason}
	}
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return fail("not the Basic scheme")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return fail("malformed Basic credentials")
	}
	user, password, colon := strings.Cut(string(raw), ":")
	if !colon {
		return fail("malformed Basic credentials")
	}
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	switch {
	case err1 != nil || err2 != nil:
		return fail("malformed Basic credentials")
	case id == "" || len(id) > MaxID || len(secret) > maxSecret:
		return fail("empty or oversized credentials")
	}
	cr.id, cr.secret, cr.method = id, secret, MethodBasic
	if bodyID != "" && bodyID != id {
		// Else the request could act as one client with the secret of another.
		return fail("client_id differs from the Basic user")
	}
	return cr, nil
}
