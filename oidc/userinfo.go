package oidc

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

// userinfo is the UserInfo endpoint (OpenID Connect Core §5.3), by GET and POST.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) error {
	if err := p.admit(r); err != nil {
		return fail(w, err)
	}
	read, c, err := p.presented(w, r)
	if err != nil {
		return failUserinfo(w, err)
	}
	p.cfg.NoteClient(r, c.ID)
	p.forgive(r)
	if read.Grant == nil || !slices.Contains(read.Token.Scopes, "openid") {
		return failBearer(w, insufficientScope, "The access token was not issued for this.")
	}
	if origin := r.Header.Get("Origin"); origin != "" && !c.AllowsOrigin(origin) {
		// Only the token names the client: what the shell allowed for any client's origin is taken back.
		w.Header().Del("Access-Control-Allow-Origin")
	}
	// Core §5.4, §5.5: what the token's scopes ask for, and what was asked for by name.
	claims := read.Person.Given(read.Token.Scopes, read.Grant.Asked("userinfo"))
	claims["sub"] = p.cfg.Clients.Subject(c, read.Person.Sub)
	return p.tell(w, c, claims)
}

// presented is the access token of the request, and the client that has it.
func (p *Provider) presented(w http.ResponseWriter, r *http.Request) (grant.TokenRead, *client.Client, error) {
	raw, err := bearer(w, r)
	if err != nil {
		return grant.TokenRead{}, nil, err
	}
	if raw == "" {
		return grant.TokenRead{}, nil, engine.Refuse(invalidToken, "There is no access token.")
	}
	unknown := engine.Refuse(invalidToken, "The access token is unknown, expired or revoked.")
	read, err := p.cfg.Engine.ReadAccess(r.Context(), raw)
	if errors.Is(err, grant.ErrNotFound) {
		return read, nil, unknown
	} else if err != nil {
		return read, nil, err
	}
	c, err := p.cfg.Clients.Get(r.Context(), read.Token.ClientID)
	if errors.Is(err, client.ErrNotFound) || err == nil && !c.Enabled() {
		return read, nil, unknown
	}
	return read, c, err
}

// tell answers with claims: as JSON, or signed. OpenID Connect Core §5.3.2: what the client registered decides, whatever it
// says that it accepts.
func (p *Provider) tell(w http.ResponseWriter, c *client.Client, claims map[string]any) error {
	alg := c.Metadata.UserinfoSignedResponseAlg
	if alg == "" {
		return reply(w, http.StatusOK, claims)
	}
	claims["iss"], claims["aud"] = p.cfg.Issuer, c.ID
	signed, err := p.cfg.Clients.Sign(c, alg, claims, "JWT")
	if err != nil {
		return fail(w, err)
	}
	return replyJWT(w, "application/jwt", signed)
}

// bearer finds the access token: in the header or in the body of a POST (RFC 6750 §2.1, §2.2), never in the URL
// (G16), and in one place only. Empty when there is none.
func bearer(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.URL.Query().Has("access_token") {
		return "", engine.Refuse(engine.InvalidRequest, "An access token must not stand in the URL.")
	}
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", engine.Refuse(engine.InvalidRequest, "There is more than one access token.")
	}
	raw := ""
	if len(header) == 1 {
		scheme, credentials, _ := strings.Cut(header[0], " ")
		if strings.EqualFold(scheme, "Bearer") { // RFC 9110 §11.1: schemes know no case
			raw = strings.TrimSpace(credentials)
		}
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") == "" {
		return raw, nil
	}
	if err := readForm(w, r); err != nil {
		return "", err
	}
	if err := checkForm(r.PostForm); err != nil {
		return "", err
	}
	posted := r.PostForm.Get("access_token")
	if posted != "" && len(header) > 0 {
		return "", engine.Refuse(engine.InvalidRequest, "There is more than one access token.")
	}
	if posted != "" {
		raw = posted
	}
	return raw, nil
}
