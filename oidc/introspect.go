package oidc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

// introspection is what a token's own client may know of it (RFC 7662 §2.2).
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Sub       string `json:"sub,omitempty"`
	Exp       int64  `json:"exp,omitempty"`
	Iat       int64  `json:"iat,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Iss       string `json:"iss,omitempty"`
	Aud       any    `json:"aud,omitempty"`
}

// introspect is the introspection endpoint, for confidential clients and their own tokens (H14). For anything
// else it says {"active":false} and gives no reason.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	if authn.Client.Public() {
		// RFC 7662 §2.1: whoever may scan tokens must have proven who it is.
		return fail(w, engine.Refuse(engine.InvalidClient, "Only confidential clients may ask."))
	}
	token := r.PostForm.Get("token")
	if token == "" {
		return fail(w, engine.Refuse(engine.InvalidRequest, "The token is missing."))
	}
	out, err := p.inspect(r.Context(), token, authn.Client)
	if err != nil {
		return fail(w, err)
	}
	return reply(w, http.StatusOK, out)
}

// inspect reads the one kind of token that raw can be by its format: one round trip.
func (p *Provider) inspect(ctx context.Context, raw string, c *client.Client) (introspection, error) {
	access, err := p.cfg.Engine.ReadAccess(ctx, raw)
	if err == nil {
		return p.inspectAccess(access, c), nil
	} else if !errors.Is(err, grant.ErrNotFound) {
		return introspection{}, err
	}
	read, _, err := p.cfg.Engine.ReadRefresh(ctx, raw)
	if errors.Is(err, grant.ErrNotFound) || err == nil && read.Grant.ClientID != c.ID {
		return introspection{}, nil
	} else if err != nil {
		return introspection{}, err
	}
	g := &read.Grant
	expires := g.RefreshExpiresAt
	if g.ExpiresAt.Before(expires) {
		expires = g.ExpiresAt
	}
	return introspection{
		Active: true, Scope: strings.Join(g.Scopes, " "), ClientID: g.ClientID, Sub: read.Person.Sub,
		Exp: expires.Unix(), Iat: g.RotatedAt.Unix(), Iss: p.cfg.Issuer, Aud: audience(g.Audience),
	}, nil
}

func (p *Provider) inspectAccess(read grant.TokenRead, c *client.Client) introspection {
	t := &read.Token
	if t.ClientID != c.ID {
		return introspection{}
	}
	out := introspection{
		Active: true, Scope: strings.Join(t.Scopes, " "), ClientID: t.ClientID, Sub: t.ClientID,
		Exp: t.ExpiresAt.Unix(), Iat: t.IssuedAt.Unix(), TokenType: "Bearer", Iss: p.cfg.Issuer, Aud: audience(t.Audience),
	}
	if read.Person != nil {
		out.Sub = read.Person.Sub
	}
	return out
}

// audience is a string where there is one, and absent where there is none (RFC 7519 §4.1.3).
func audience(list []string) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}
