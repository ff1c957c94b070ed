package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/handler/rfc8628"
	"github.com/ory/fosite/storage"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// adapter answers fosite's storage calls out of the unit of work in ctx.
type adapter struct{ engine *Engine }

var (
	_ fosite.Storage                     = (*adapter)(nil)
	_ oauth2.CoreStorage                 = (*adapter)(nil)
	_ oauth2.TokenRevocationStorage      = (*adapter)(nil)
	_ openid.OpenIDConnectRequestStorage = (*adapter)(nil)
	_ pkce.PKCERequestStorage            = (*adapter)(nil)
	_ rfc8628.RFC8628CoreStorage         = (*adapter)(nil)
	_ storage.Transactional              = (*adapter)(nil)
)

// BeginTX, Commit and Rollback do nothing: fosite commits before the ID token is signed, and a failed
// signature would then have spent the code. Our handlers flush after the whole response.
func (*adapter) BeginTX(ctx context.Context) (context.Context, error) { return ctx, nil }
func (*adapter) Commit(context.Context) error                         { return nil }
func (*adapter) Rollback(context.Context) error                       { return nil }

// GetClient is asked by nothing that we assemble, and answers all the same.
func (a *adapter) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	c, err := a.engine.cfg.Clients.Get(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return nil, fosite.ErrNotFound
	} else if err != nil {
		return nil, Failed(err)
	}
	return &fositeClient{c}, nil
}

// Client assertions are oidc/client's (H12).
func (*adapter) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrJTIKnown }
func (*adapter) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// CreateAuthorizeCodeSession, and the two below, have nothing to do: GenerateAuthorizeCode knows all that is kept of a code.
// fosite would give the second the whole code (H29).
func (*adapter) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error {
	return nil
}

func (*adapter) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error {
	return nil
}

func (*adapter) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }

// GetAuthorizeCodeSession is the one read of a code exchange; a fresh code needs none. ErrNotFound, whatever the reason:
// unknown, another client's (then nothing changes for its owner, H26), expired, revoked, or its person is no longer
// allowed. A used one gives ErrInvalidatedAuthorizeCode, upon which fosite revokes.
func (a *adapter) GetAuthorizeCodeSession(ctx context.Context, sig string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	if w.original != nil {
		return w.original, nil
	}
	if sig == "" {
		return nil, fosite.ErrNotFound
	}
	return a.readCode(ctx, w, sig, fosite.ErrInvalidatedAuthorizeCode)
}

// readCode reads the code with this signature, an authorization code or what a device has got (never fresh), into the
// unit of work; used is the error of one that was used before. Of a fresh one nothing says whether it was used elsewhere
// meanwhile: what is not good by it is asked of the database, or a replay that is wrong in something else, too, would end nothing.
func (a *adapter) readCode(ctx context.Context, w *work, sig string, used error) (fosite.Requester, error) {
	if read, ok := a.engine.fresh.take(sig, w.now); ok {
		if req, err := w.redeems(read, used); err == nil {
			return req, nil
		}
	}
	read, err := a.engine.read(ctx, w, []byte(sig))
	if errors.Is(err, grant.ErrNotFound) {
		return nil, fosite.ErrNotFound
	} else if err != nil {
		return nil, Failed(err)
	}
	return w.redeems(read, used)
}

// read asks the database about the code that w shows: for its row, or for what a sealed one has become.
func (e *Engine) read(ctx context.Context, w *work, sig []byte) (grant.CodeRead, error) {
	if !strings.HasPrefix(w.shown, sealedPrefix) {
		return e.cfg.Store.ReadCode(ctx, sig)
	}
	code, ok := e.unseal(w.shown, w.client)
	if !ok {
		return grant.CodeRead{}, grant.ErrNotFound
	}
	promised, err := e.cfg.Store.ReadSealed(ctx, code.Grant.AccountID, code.Grant.ID)
	if err != nil {
		return grant.CodeRead{}, err
	}
	code.Person = promised.Person
	if promised.Grant.ID != "" {
		code.Grant, code.Code.UsedAt = promised.Grant, promised.Grant.CreatedAt
	}
	return code, nil
}

// redeems puts a code into the unit of work, when it is good.
func (w *work) redeems(read grant.CodeRead, used error) (fosite.Requester, error) {
	switch {
	case read.Code.ClientID != w.client.ID:
		return nil, fosite.ErrNotFound
	case !read.Code.UsedAt.IsZero():
		return w.reuse(audit.CodeReplayed, &read.Grant), used
	case !w.now.Before(read.Code.ExpiresAt), !w.usable(&read.Grant, &read.Person):
		return nil, fosite.ErrNotFound
	}
	audience, err := w.audience(&read.Grant)
	if err != nil {
		return nil, err // the code stays: a mistaken resource gives nobody a guess at it
	}
	w.code = &read
	w.next = 1
	req := w.hydrate(&read.Grant, &read.Person, w.allowed(read.Grant.Scopes), audience)
	if read.Code.RedirectURI != "" {
		req.Form.Set("redirect_uri", read.Code.RedirectURI)
	}
	if read.Code.Challenge != "" {
		req.Form.Set("code_challenge", read.Code.Challenge)
		req.Form.Set("code_challenge_method", read.Code.Method)
	}
	return req, nil
}

// GetDeviceCodeSession reads what a device waits for (RFC 8628 §3.5), once a request. Until the person has decided
// there is nothing but the state.
func (a *adapter) GetDeviceCodeSession(ctx context.Context, sig string, _ fosite.Session) (fosite.DeviceRequester, error) {
	w := workOf(ctx)
	if w.original != nil {
		return &fosite.DeviceRequest{UserCodeState: fosite.UserCodeAccepted, Request: *w.original}, nil
	}
	if sig == "" {
		return nil, fosite.ErrNotFound
	}
	d, early, err := a.engine.cfg.Store.PollDevice(ctx, []byte(sig), w.client.ID, w.now)
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return nil, fosite.ErrNotFound
	case err != nil:
		return nil, Failed(err)
	case d.State != grant.DeviceDenied && !w.now.Before(d.ExpiresAt):
		return nil, Refuse(ExpiredToken, "The device code is over: nobody has allowed it, or it was not fetched, in time.")
	case d.State == grant.DeviceDenied:
		return nil, Refuse(AccessDenied, "The person did not allow this device.")
	case early:
		return nil, Refuse(SlowDown, "The device asks too often: wait five seconds longer each time.")
	case d.State == grant.DevicePending:
		return nil, Refuse(AuthorizationPending, "The person has not decided yet.")
	}
	req, err := a.readCode(ctx, w, sig, fosite.ErrInvalidatedDeviceCode)
	if r, ok := req.(*fosite.Request); ok {
		return &fosite.DeviceRequest{UserCodeState: fosite.UserCodeAccepted, Request: *r}, err
	}
	return nil, err
}

// CreateDeviceAuthSession is never called: the device endpoint is package oidc's (H31).
func (*adapter) CreateDeviceAuthSession(context.Context, string, string, fosite.DeviceRequester) error {
	return errRefused
}

// InvalidateDeviceCodeSession does nothing: Exchange spends the code when it flushes (H02).
func (*adapter) InvalidateDeviceCodeSession(context.Context, string) error { return nil }

// GetPKCERequestSession: ErrNotFound when the code was asked for without a challenge.
func (*adapter) GetPKCERequestSession(ctx context.Context, _ string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	if w.code == nil || w.code.Code.Challenge == "" {
		return nil, fosite.ErrNotFound
	}
	return w.original, nil
}

// DeletePKCERequestSession does nothing: fosite calls it before it checks the verifier, and a wrong one would
// free the code from its challenge (H01).
func (*adapter) DeletePKCERequestSession(context.Context, string) error { return nil }

// InvalidateAuthorizeCodeSession does nothing: Exchange spends the code when it flushes (H02).
func (*adapter) InvalidateAuthorizeCodeSession(context.Context, string) error { return nil }

// GetOpenIDConnectSession: without the scope openid there is no ID token. Compared exactly (H30).
func (*adapter) GetOpenIDConnectSession(ctx context.Context, _ string, _ fosite.Requester) (fosite.Requester, error) {
	w := workOf(ctx)
	if w.original == nil || !slices.Contains(w.original.GrantedScope, "openid") {
		return nil, openid.ErrNoSessionFound
	}
	return w.original, nil
}

// DeleteOpenIDConnectSession: there is no row for it.
func (*adapter) DeleteOpenIDConnectSession(context.Context, string) error { return nil }

// CreateAccessTokenSession fills the token's row; the expiry is set here, by our clock.
func (a *adapter) CreateAccessTokenSession(ctx context.Context, sig string, r fosite.Requester) error {
	w := workOf(ctx)
	w.token = &grant.Token{
		Sig:       []byte(sig),
		GrantID:   w.grantID(),
		ClientID:  w.client.ID,
		Scopes:    r.GetGrantedScopes(),
		Audience:  r.GetGrantedAudience(),
		IssuedAt:  w.now,
		ExpiresAt: a.engine.accessExpiry(w),
	}
	return nil
}

// accessExpiry is when an access token ends: never after its grant.
func (e *Engine) accessExpiry(w *work) time.Time {
	expires := w.now.Add(e.cfg.AccessLifetime)
	if g, _ := w.mine(); g != nil && g.ExpiresAt.Before(expires) {
		return g.ExpiresAt
	}
	return expires
}

// GetAccessTokenSession is asked by fosite's introspection alone, which we do not use (H14).
func (*adapter) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// DeleteAccessTokenSession is called by nothing that we assemble.
func (*adapter) DeleteAccessTokenSession(context.Context, string) error { return nil }

// CreateRefreshTokenSession notes that one was made; the flush writes its generation and expiry.
func (*adapter) CreateRefreshTokenSession(ctx context.Context, _, _ string, _ fosite.Requester) error {
	workOf(ctx).refresh = true
	return nil
}

// GetRefreshTokenSession is the one read of a refresh. ErrNotFound as for codes. The newest generation is good; so
// is its predecessor within the grace; any older one is reuse: ErrInactiveToken, upon which fosite revokes.
func (a *adapter) GetRefreshTokenSession(ctx context.Context, sig string, _ fosite.Session) (fosite.Requester, error) {
	w := workOf(ctx)
	if w.original != nil {
		return w.original, nil
	}
	id, generation, ok := a.engine.tokens.readRefresh(sig)
	if !ok {
		return nil, fosite.ErrNotFound
	}
	read, err := a.engine.cfg.Store.ReadGrant(ctx, id)
	if errors.Is(err, grant.ErrNotFound) {
		return nil, fosite.ErrNotFound
	} else if err != nil {
		return nil, Failed(err)
	}
	g := &read.Grant
	reason := a.engine.refreshReason(&read, generation, w.now)
	switch {
	case g.ClientID != w.client.ID, generation < 1, generation > g.Generation:
		return nil, fosite.ErrNotFound
	case reason == ReasonSucceeded:
		return w.reuse(audit.RefreshReused, g), fosite.ErrInactiveToken
	case reason != "":
		return nil, fosite.ErrNotFound
	}
	w.graced = generation < g.Generation
	scopes := w.allowed(g.Scopes)
	for _, s := range w.wanted {
		if !slices.Contains(scopes, s) {
			// RFC 6749 §6: never more than was granted. fosite ignores the parameter (H03f).
			return nil, Refuse(InvalidScope, "A scope was asked for that is not part of what was granted.")
		}
	}
	if len(w.wanted) > 0 {
		scopes = w.wanted
	}
	audience, err := w.audience(g)
	if err != nil {
		return nil, err
	}
	w.grant, w.presented, w.next = &read, generation, generation+1
	return w.hydrate(g, &read.Person, scopes, audience), nil
}

// withinGrace: the newest generation is younger than the grace. now may be before a step that was taken meanwhile,
// for it is of when the request began: without a grace no age is young enough.
func (e *Engine) withinGrace(g *grant.Grant, now time.Time) bool {
	return e.cfg.RefreshGrace > 0 && now.Sub(g.RotatedAt) < e.cfg.RefreshGrace
}

// RotateRefreshToken does nothing: Exchange steps the generation when it flushes (H03a).
func (*adapter) RotateRefreshToken(context.Context, string, string) error { return nil }

// DeleteRefreshTokenSession does nothing: there is no row to delete, and fosite, which calls it first on reuse,
// would not revoke if it were refused (H03b, H03c).
func (*adapter) DeleteRefreshTokenSession(context.Context, string) error { return nil }

// RevokeRefreshToken and RevokeAccessToken end the grant, and with it all its tokens, at once.
func (*adapter) RevokeRefreshToken(ctx context.Context, _ string) error {
	return workOf(ctx).revoke(ctx)
}

func (*adapter) RevokeAccessToken(ctx context.Context, _ string) error {
	return workOf(ctx).revoke(ctx)
}
