package oidc

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

// jwtAnswer is the type of an introspection answer that is signed (RFC 9701 §4, §5).
const jwtAnswer = "application/token-introspection+jwt"

// introspection is what whoever a token is meant for may know of it (RFC 7662 §2.2).
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	Sub       string   `json:"sub,omitempty"`
	Exp       int64    `json:"exp,omitempty"`
	Iat       int64    `json:"iat,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	Iss       string   `json:"iss,omitempty"`
	Aud       any      `json:"aud,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
}

// introspect is the introspection endpoint, for confidential clients: for their own tokens, and for those meant for
// a resource that they serve (H14). Of anything else it says {"active":false} and gives no reason.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	c := authn.Client
	if c.Public() {
		// RFC 7662 §2.1: whoever may scan tokens must have proven who it is.
		return fail(w, engine.Refuse(engine.InvalidClient, "Only confidential clients may ask."))
	}
	token := r.PostForm.Get("token")
	if token == "" {
		return fail(w, engine.Refuse(engine.InvalidRequest, "The token is missing."))
	}
	out, err := p.inspect(r.Context(), token, c)
	if err != nil {
		return fail(w, err)
	}
	if !accepts(r, jwtAnswer) {
		return reply(w, http.StatusOK, out)
	}
	return p.signIntrospection(w, c, out)
}

// signIntrospection answers with a JWT (RFC 9701).
func (p *Provider) signIntrospection(w http.ResponseWriter, c *client.Client, out introspection) error {
	alg := c.Metadata.IntrospectionSignedResponseAlg
	if alg == "" {
		alg = "RS256" // RFC 9701 §6
	}
	signed, err := p.cfg.Clients.Sign(c, alg, map[string]any{
		"iss": p.cfg.Issuer, "aud": c.ID, "iat": p.cfg.Now().Unix(), "token_introspection": out,
	}, "token-introspection+jwt")
	if err != nil {
		return fail(w, err)
	}
	return replyJWT(w, jwtAnswer, signed)
}

// accepts tells whether a request asks for a type by its own name.
func accepts(r *http.Request, want string) bool {
	for _, field := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(field, ",") {
			if kind, _, err := mime.ParseMediaType(one); err == nil && kind == want {
				return true
			}
		}
	}
	return false
}

// inspect reads the one kind of token that raw can be by its format: one round trip.
func (p *Provider) inspect(ctx context.Context, raw string, c *client.Client) (introspection, error) {
	access, err := p.cfg.Engine.ReadAccess(ctx, raw)
	if err == nil {
		return p.inspectAccess(ctx, access, c)
	} else if !errors.Is(err, grant.ErrNotFound) {
		return introspection{}, err
	}
	read, _, err := p.cfg.Engine.ReadRefresh(ctx, raw)
	if errors.Is(err, grant.ErrNotFound) || err == nil && read.Grant.ClientID != c.ID {
		return introspection{}, nil // a refresh token is its own client's affair
	} else if err != nil {
		return introspection{}, err
	}
	g := &read.Grant
	out := introspection{
		Active: true, Scope: strings.Join(g.Scopes, " "), ClientID: g.ClientID, Exp: g.RefreshExpiresAt.Unix(), Iat: g.RotatedAt.Unix(),
		Iss: p.cfg.Issuer, Aud: audience(g.Audience),
	}
	out.person(p.cfg.Clients, c, g, &read.Person)
	return out, nil
}

// person adds who is behind the token, as the client that asks knows them.
func (i *introspection) person(r *client.Registry, c *client.Client, g *grant.Grant, p *grant.Person) {
	i.Sub = r.Subject(c, p.Sub)
	i.AuthTime, i.ACR, i.AMR = g.AuthTime.Unix(), g.ACR, g.AMR
}

func (p *Provider) inspectAccess(ctx context.Context, read grant.TokenRead, c *client.Client) (introspection, error) {
	t := &read.Token
	if t.ClientID != c.ID && !c.Serves(t.Audience) {
		return introspection{}, nil
	}
	if owner, err := p.client(ctx, t.ClientID); err != nil {
		return introspection{}, err
	} else if owner == nil || !owner.Enabled() {
		return introspection{}, nil
	}
	out := introspection{
		Active: true, Scope: strings.Join(t.Scopes, " "), ClientID: t.ClientID, Sub: t.ClientID,
		Exp: t.ExpiresAt.Unix(), Iat: t.IssuedAt.Unix(), TokenType: "Bearer", Iss: p.cfg.Issuer, Aud: audience(t.Audience),
	}
	if read.Person != nil {
		out.person(p.cfg.Clients, c, read.Grant, read.Person)
	}
	return out, nil
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
