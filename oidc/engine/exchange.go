package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// The grant types that the token endpoint knows.
const (
	authorizationCode = "authorization_code"
	refreshToken      = "refresh_token"
	clientCredentials = "client_credentials"
	deviceCode        = client.GrantDevice
)

// TokenOutput is the answer of the token endpoint (RFC 6749 §5.1).
type TokenOutput struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// Exchange answers a token request whose client is authenticated and whose form (r.PostForm, already parsed)
// package oidc has checked for size and duplicates. Its error is always an *Error.
func (e *Engine) Exchange(ctx context.Context, r *http.Request, authn client.Authn) (TokenOutput, error) {
	grantType := r.PostForm.Get("grant_type")
	resources, ok := client.ResourceParameters(r.PostForm["resource"])
	if !ok {
		return TokenOutput{}, Refuse(InvalidTarget, "Too many resources are named.")
	}
	if err := admissible(grantType, r, resources, authn.Client); err != nil {
		return TokenOutput{}, err
	}
	// fosite's own parameter for what RFC 8707 calls resource means nothing here.
	r.PostForm.Del("audience")
	w := &work{engine: e, client: authn.Client, now: e.now(), grantType: grantType, resources: resources}
	if grantType == refreshToken {
		w.wanted = strings.Fields(r.PostForm.Get("scope"))
	}
	ctx = context.WithValue(ctx, workKey{}, w)
	req, err := e.fosite.NewAccessRequest(ctx, r, newSession(""))
	if err != nil {
		return TokenOutput{}, e.refused(ctx, w, err)
	}
	if grantType == clientCredentials {
		for _, s := range req.GetRequestedScopes() {
			req.GrantScope(s) // fosite checked them against the registration and grants nothing
		}
		for _, s := range w.resources {
			req.GrantAudience(s)
		}
	}
	resp, err := e.fosite.NewAccessResponse(ctx, req)
	if err != nil {
		return TokenOutput{}, translated(err) // nothing was written: the code is unspent
	}
	if err := e.flush(ctx, w); err != nil {
		return TokenOutput{}, err
	}
	return answer(w, resp), nil
}

// admissible refuses what fosite would refuse with another code (H20c), or too late.
func admissible(grantType string, r *http.Request, resources []string, c *client.Client) error {
	required := ""
	switch grantType {
	case "":
		return Refuse(InvalidRequest, "The grant_type is missing.")
	case authorizationCode:
		required = "code"
	case refreshToken:
		required = "refresh_token"
	case deviceCode:
		required = "device_code"
	case clientCredentials:
	default:
		return Refuse(UnsupportedGrantType, descriptions[UnsupportedGrantType])
	}
	if !c.HasGrantType(grantType) || grantType == clientCredentials && c.Public() {
		return Refuse(UnauthorizedClient, "This client is not registered for this grant type.")
	}
	if required != "" && r.PostForm.Get(required) == "" {
		return Refuse(InvalidRequest, "The "+required+" is missing.")
	}
	if grantType != clientCredentials {
		return nil
	}
	for _, s := range strings.Fields(r.PostForm.Get("scope")) {
		if s == "openid" || s == "offline_access" || !c.AllowsScope(s) {
			return Refuse(InvalidScope, "A scope was asked for that this client may not have without a person.")
		}
	}
	for _, s := range resources {
		if !c.MayAsk(s) {
			return Refuse(InvalidTarget, "A resource was named that this client may not ask for.")
		}
	}
	return nil
}

// refused ends a request that fosite refused. A code that was live, and its own client's, is spent by that: a
// verifier or redirect_uri may be guessed once. A second presentation then counts as a replay.
func (e *Engine) refused(ctx context.Context, w *work, err error) error {
	if w.failure != nil {
		return w.failure
	}
	out := translated(err)
	if w.code == nil {
		return out
	}
	switch err := e.spend(ctx, w); {
	case errors.Is(err, grant.ErrGone):
		return e.overtaken(ctx, w)
	case err != nil:
		return Failed(err)
	}
	if out.Code == InvalidRequest {
		// fosite's answer to a code without challenge that now must have one.
		out = Refuse(InvalidGrant, descriptions[InvalidGrant])
	}
	return out
}

// spend ends a code that was live, and gives nothing for it.
func (e *Engine) spend(ctx context.Context, w *work) error {
	if w.code.Sealed {
		g := w.code.Grant // live, as one whose code has a row: what comes next is a replay, and recorded
		g.Generation, g.RotatedAt, g.RefreshExpiresAt = 0, time.Time{}, time.Time{}
		g.ExpiresAt = g.CreatedAt.Add(e.brief())
		return e.cfg.Store.SpendSealed(ctx, g)
	}
	return e.cfg.Store.SpendCode(ctx, w.code.Code.Sig, w.now)
}

// flush writes what fosite collected, in one statement that repeats what the read saw.
func (e *Engine) flush(ctx context.Context, w *work) error {
	switch {
	case w.code != nil:
		return e.redeem(ctx, w)
	case w.grant != nil:
		return e.rotate(ctx, w)
	}
	err := e.cfg.Store.InsertToken(ctx, *w.token)
	if errors.Is(err, grant.ErrGone) {
		return Refuse(InvalidClient, "The client is disabled.")
	}
	return failed(err)
}

// redeem spends the code.
func (e *Engine) redeem(ctx context.Context, w *work) error {
	g := &w.code.Grant
	// The grant has the first refresh token already; of who comes late with the code that is made anew.
	late := w.refresh && (g.Generation == 0 || w.now.Sub(g.RotatedAt) > prompt)
	if late {
		e.firstRefresh(g, w.now)
	}
	var err error
	if w.code.Sealed {
		err = e.cfg.Store.Issue(ctx, grant.Issuance{Grant: *g, Epoch: w.code.Epoch, Token: w.token})
	} else {
		err = e.cfg.Store.Redeem(ctx, grant.Redemption{Sig: w.code.Code.Sig, GrantID: g.ID, ClientID: w.client.ID, At: w.now, Token: w.token,
			Refresh: late, RefreshExpiresAt: g.RefreshExpiresAt})
	}
	if errors.Is(err, grant.ErrGone) {
		return e.overtaken(ctx, w)
	}
	return failed(err)
}

// overtaken ends a request whose code is no longer what it was when it was read, or issued. When it was spent since, two have
// it: the grant ends, and with it what the winner got (RFC 6749 §4.1.2).
func (e *Engine) overtaken(ctx context.Context, w *work) error {
	current, err := e.read(ctx, w, w.code.Code.Sig)
	switch {
	case errors.Is(err, grant.ErrNotFound), err == nil && current.Code.UsedAt.IsZero():
		// The client, the person or the grant was stopped meanwhile. Nothing was used twice.
		return Refuse(InvalidGrant, descriptions[InvalidGrant])
	case err != nil:
		return Failed(err)
	}
	return e.lost(ctx, w, audit.CodeReplayed, &current.Grant)
}

// rotate steps the refresh generation; the predecessor, within the grace, gets an access token and the same
// successor. When the generation moved since it was read, the loser of that race is such a predecessor.
func (e *Engine) rotate(ctx context.Context, w *work) error {
	if !w.graced {
		err := e.cfg.Store.Rotate(ctx, grant.Rotation{
			GrantID:          w.grant.Grant.ID,
			ClientID:         w.client.ID,
			From:             w.presented,
			At:               w.now,
			RefreshExpiresAt: e.refreshExpiry(&w.grant.Grant, w.now),
			Token:            w.token,
		})
		if !errors.Is(err, grant.ErrGone) {
			return failed(err)
		}
		current, err := e.cfg.Store.ReadGrant(ctx, w.grant.Grant.ID)
		if err != nil && !errors.Is(err, grant.ErrNotFound) {
			return Failed(err)
		}
		if err == nil && current.Grant.Generation == w.presented {
			// Nobody was faster: the client, the person or the grant was stopped since the read. No token was
			// used twice, so there is nothing to revoke.
			return Refuse(InvalidGrant, descriptions[InvalidGrant])
		}
		stepped := current.Grant.Generation == w.presented+1 && e.withinGrace(&current.Grant, e.now())
		if err != nil || !stepped || !w.usable(&current.Grant, &current.Person) {
			return e.lost(ctx, w, audit.RefreshReused, &w.grant.Grant)
		}
	}
	err := e.cfg.Store.InsertToken(ctx, *w.token)
	if errors.Is(err, grant.ErrGone) {
		// As above: the client, the person or the grant was stopped meanwhile.
		return Refuse(InvalidGrant, descriptions[InvalidGrant])
	}
	return failed(err)
}

// lost ends a request whose write found another world than its read: the grant is revoked, on its own.
func (e *Engine) lost(ctx context.Context, w *work, event string, g *grant.Grant) error {
	w.reuse(event, g)
	if err := w.revoke(ctx); err != nil {
		return err
	}
	return Refuse(InvalidGrant, descriptions[InvalidGrant])
}

// prompt is how long after the authorization a code is redeemed as a rule: by no more than that the first refresh token seems older
// than it is.
const prompt = 5 * time.Second

// refreshExpiry is the idle limit of a refresh token of now, never past the absolute one (H03e, H04).
func (e *Engine) refreshExpiry(g *grant.Grant, now time.Time) time.Time {
	idle := now.Add(e.cfg.RefreshIdle)
	if g.ExpiresAt.Before(idle) {
		idle = g.ExpiresAt
	}
	return idle
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return Failed(fmt.Errorf("write tokens: %w", err))
}

func answer(w *work, resp fosite.AccessResponder) TokenOutput {
	out := TokenOutput{
		AccessToken: resp.GetAccessToken(),
		TokenType:   "Bearer",
		ExpiresIn:   w.lifetime(),
		Scope:       strings.Join(w.token.Scopes, " "),
	}
	out.RefreshToken, _ = resp.GetExtra("refresh_token").(string)
	if slices.Contains(w.token.Scopes, "openid") {
		out.IDToken, _ = resp.GetExtra("id_token").(string)
	}
	return out
}
