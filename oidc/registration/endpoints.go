package registration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/limit"
)

// maxBody bounds a document in bytes: less than the operator may say of a client.
const maxBody = 64 << 10

// register is the client registration endpoint (RFC 7591 §3).
func (g *Registration) register(w http.ResponseWriter, r *http.Request) error {
	token, err := bearer(r)
	if err != nil {
		return g.fail(w, r, err)
	}
	if token == "" {
		if !g.cfg.Open {
			return g.fail(w, r, errNoToken)
		}
		if err := g.admit(r); err != nil {
			return g.fail(w, r, err)
		}
	}
	doc, err := read(w, r)
	if err != nil {
		return g.fail(w, r, err)
	}
	made, err := g.cfg.Clients.Register(r.Context(), doc.metadata, client.RegisterOptions{Token: token, Verified: g.cfg.Verified})
	if err != nil {
		return g.fail(w, r, err)
	}
	return g.answer(w, http.StatusCreated, made)
}

// admit counts a stranger, who leaves a row behind and may make us fetch.
func (g *Registration) admit(r *http.Request) error {
	if g.cfg.Limits == nil {
		return nil
	}
	return g.cfg.Limits.TakeNetwork(r.Context(), g.cfg.ClientIP(r), limit.ClientIP, limit.ClientNet)
}

// admitChange counts a change by a client that has proven its token.
func (g *Registration) admitChange(r *http.Request, c *client.Client) error {
	if g.cfg.Limits == nil || g.cfg.Limits.Exempted(g.cfg.ClientIP(r)) {
		return nil
	}
	if err := g.cfg.Limits.Take(r.Context(), limit.ClientChange, c.ID); err != nil {
		return err
	}
	if c.RegisteredBy == client.ByAnyone {
		return g.admit(r)
	}
	return nil
}

// manage is the client configuration endpoint (RFC 7592 §2).
func (g *Registration) manage(w http.ResponseWriter, r *http.Request) error {
	c, token, err := g.managed(r) // before a stranger's document is looked at
	if err != nil {
		return g.fail(w, r, err)
	}
	if r.Method != http.MethodGet {
		if err := g.admitChange(r, c); err != nil {
			return g.fail(w, r, err)
		}
	}
	switch r.Method {
	case http.MethodPut:
		return g.replace(w, r, c, token)
	case http.MethodDelete:
		if err := g.cfg.Clients.Unregister(r.Context(), c.ID, token); err != nil {
			return g.fail(w, r, err)
		}
		neverStored(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return g.answer(w, http.StatusOK, client.Registered{Client: c, AccessToken: token})
}

// managed is the client whose address it is, and the token that opens it.
func (g *Registration) managed(r *http.Request) (*client.Client, string, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, "", err
	}
	if token == "" {
		return nil, "", errNoToken
	}
	id, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), Path+"/"))
	if err != nil {
		return nil, "", client.ErrToken
	}
	c, err := g.cfg.Clients.Manage(r.Context(), id, token)
	return c, token, err
}

// replace puts a new document in place of the old one, as a whole. It must name the client, and may repeat its secret
// but not choose one (RFC 7592 §2.2).
func (g *Registration) replace(w http.ResponseWriter, r *http.Request, c *client.Client, token string) error {
	doc, err := read(w, r)
	switch {
	case err != nil:
		return g.fail(w, r, err)
	case doc.id != c.ID:
		return g.fail(w, r, &client.FieldError{Field: "client_id", Code: client.CodeMetadata, Reason: "must be the client's own"})
	case doc.secret != "" && !g.cfg.Clients.HoldsSecret(c, doc.secret):
		return g.fail(w, r, &client.FieldError{Field: "client_secret", Code: client.CodeMetadata, Reason: "is not the client's, which cannot choose one"})
	}
	updated, secret, err := g.cfg.Clients.Replace(r.Context(), c.ID, token, doc.metadata, g.cfg.Verified)
	if err != nil {
		return g.fail(w, r, err)
	}
	return g.answer(w, http.StatusOK, client.Registered{Client: updated, Secret: secret, AccessToken: token})
}

// document is what a client sent.
type document struct {
	metadata   client.Metadata
	id, secret string
}

func read(w http.ResponseWriter, r *http.Request) (doc document, err error) {
	malformed := func(reason string) error {
		return &client.FieldError{Field: "document", Code: client.CodeMetadata, Reason: reason}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return doc, malformed("must be application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return doc, malformed("is too large")
	}
	doc.metadata, doc.id, doc.secret, err = client.DecodeRegistered(raw)
	return doc, err
}

// bearer is the token of the request (RFC 6750 §2.1); empty when there is none.
func bearer(r *http.Request) (string, error) {
	switch list := r.Header.Values("Authorization"); len(list) {
	case 0:
		return "", nil
	case 1:
		scheme, token, _ := strings.Cut(list[0], " ")
		if token = strings.TrimSpace(token); strings.EqualFold(scheme, "Bearer") && token != "" {
			return token, nil
		}
	}
	return "", client.ErrToken
}

// errNoToken: one is needed.
var errNoToken = errors.New("a bearer token is needed")

// answer is the client information response (RFC 7591 §3.2.1; RFC 7592 §3).
func (g *Registration) answer(w http.ResponseWriter, status int, made client.Registered) error {
	doc, err := made.Client.Document(made.Secret)
	if err != nil {
		return fmt.Errorf("encode a registration: %w", err)
	}
	doc["registration_client_uri"] = g.cfg.Issuer + Path + "/" + url.PathEscape(made.Client.ID)
	doc["registration_access_token"] = made.AccessToken
	return reply(w, status, doc)
}

func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	neverStored(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked has left: there is nobody to tell
	return nil
}

func neverStored(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// fail answers an error: 400 with what is wrong (RFC 7591 §3.2.2), 401 for tokens (RFC 6750 §3). What it returns is our
// own fault.
func (g *Registration) fail(w http.ResponseWriter, r *http.Request, err error) error {
	type body struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}
	var field *client.FieldError
	var limited *limit.Limited
	note := func(reason string) {
		if to, ok := w.(interface{ NoteReason(reason string) }); ok { // the shell's, for the log
			to.NoteReason(reason)
		}
	}
	switch {
	case errors.As(err, &field):
		name, _, _ := strings.Cut(field.Field, "#") // what stands behind it is the stranger's
		note(field.Code + ": " + name)
		return reply(w, http.StatusBadRequest, body{field.Code, client.Plain(field.Error())})
	case errors.Is(err, errNoToken):
		note("no token")
		w.Header().Set("WWW-Authenticate", `Bearer realm="registration"`)
		return reply(w, http.StatusUnauthorized, body{"invalid_token", "A bearer token is needed."})
	case errors.Is(err, client.ErrToken):
		if g.cfg.Limits != nil { // a token is not to be found by trying
			if over := g.cfg.Limits.TakeNetwork(r.Context(), g.cfg.ClientIP(r), limit.ClientAuthIP, limit.ClientAuthNet); over != nil {
				return g.fail(w, r, over)
			}
		}
		note("unknown token")
		w.Header().Set("WWW-Authenticate", `Bearer realm="registration", error="invalid_token"`)
		return reply(w, http.StatusUnauthorized, body{"invalid_token", "The token is unknown, used up or over."})
	case errors.Is(err, client.ErrChanged):
		return reply(w, http.StatusConflict, body{client.CodeMetadata, "The registration was changed meanwhile. Please try again."})
	case errors.As(err, &limited):
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(limited.Retry.Seconds())))))
		return reply(w, http.StatusTooManyRequests, body{"temporarily_unavailable", "Too many registrations or changes. Please come back later."})
	}
	w.Header().Set("Retry-After", "2")
	if err := reply(w, http.StatusServiceUnavailable, body{"temporarily_unavailable", "Please try again in a moment."}); err != nil {
		return err
	}
	return err
}
