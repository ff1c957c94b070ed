package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

const (
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLife is how long a client may take to send the person with it (RFC 9126 §2.2). Whoever has come with it
	// may then take as long as with any request.
	pushedLife = 90 * time.Second
)

// pushed is the answer of the endpoint (RFC 9126 §2.2).
type pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// par is the pushed authorization request endpoint (RFC 9126 §2). What it keeps is the checked request without the
// client's credentials (H05).
func (p *Provider) par(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	q, err := p.readPush(r, authn.Client)
	if err != nil {
		return fail(w, err)
	}
	if authn.Client.Stranger() && !p.mayBegin(r, nil) {
		return fail(w, tooManyRows)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	id, now := encoded(random[:]), p.cfg.Now()
	err = p.cfg.Store.SaveInteraction(r.Context(), grant.Interaction{
		Hash: InteractionHash(id), Kind: grant.KindPushed, ClientID: q.client.ID, Params: q.params.Encode(),
		CreatedAt: now, ExpiresAt: now.Add(pushedLife + interactionLife),
	})
	if err != nil {
		return fail(w, err)
	}
	return reply(w, http.StatusCreated, pushed{pushedPrefix + id, int64(pushedLife.Seconds())})
}

// readPush checks a pushed request as one at the authorization endpoint.
func (p *Provider) readPush(r *http.Request, c *client.Client) (*request, error) {
	v := maps.Clone(r.PostForm)
	dropOurs(v)
	if v.Has("request_uri") { // RFC 9126 §2.1
		return nil, engine.Refuse(engine.InvalidRequest, "A pushed request has no request_uri.")
	}
	v.Set("client_id", c.ID)
	whole := v
	if raw := v.Get("request"); raw != "" {
		var bad *refusal
		var err error
		if whole, bad, err = p.openObject(r.Context(), c, v, raw); err != nil {
			return nil, err
		} else if bad != nil {
			return nil, engine.Refuse(bad.code, bad.description)
		}
	} else if c.Metadata.RequireSignedRequestObject {
		return nil, engine.Refuse(engine.InvalidRequest, "This client signs its requests (RFC 9101).")
	}
	q, err := prove(c, whole)
	if err != nil {
		return nil, engine.Refuse(engine.InvalidRequest, "The redirect_uri is missing or not registered.")
	}
	if bad := p.check(r.Context(), q, whole, false); bad != nil {
		return nil, engine.Refuse(bad.code, bad.description)
	}
	return q, nil
}

// readPushed is the request behind a request_uri of ours: of the client that pushed it, within its time, and not yet
// spent. Parameters beside it count for nothing (RFC 9126 §4).
func (p *Provider) readPushed(ctx context.Context, c *client.Client, uri string) (url.Values, error) {
	gone := &pageError{http.StatusBadRequest, "error.request_expired"}
	id := strings.TrimPrefix(uri, pushedPrefix)
	if len(id) != 43 {
		return nil, gone
	}
	hash := InteractionHash(id)
	in, err := p.cfg.Store.ReadInteraction(ctx, hash)
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return nil, gone
	case err != nil:
		return nil, err
	case in.Kind != grant.KindPushed, in.ClientID != c.ID, !p.cfg.Now().Before(in.CreatedAt.Add(pushedLife)):
		return nil, gone
	}
	v, err := url.ParseQuery(in.Params)
	if err != nil {
		return nil, err
	}
	v.Set(pushedParam, encoded(hash))
	return v, nil
}
