package engine

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// AuthorizeInput is an authorization request that package oidc has checked and decided to answer with yes.
type AuthorizeInput struct {
	// Params are the checked parameters; read here: response_type, redirect_uri, state, nonce,
	// code_challenge and code_challenge_method.
	Params        url.Values
	Client        *client.Client
	Login         grant.Login
	Scopes        []string // granted
	Audience      []string // granted
	ClaimsRequest string   // the claims parameter as sent, as far as it was agreed to
	Interaction   []byte   // hash of the interaction that this ends; nil: there was none
	Pushed        []byte   // hash of the pushed request that this spends; nil: there was none
	Device        []byte   // Approve: the device that gets it
	DeviceExpires time.Time
	Consent       *grant.Consent
	Offline       bool // offline_access was granted
}

// AuthorizeOutput is what goes to the client's redirect URI.
type AuthorizeOutput struct {
	Params  url.Values // code, access_token with token_type and expires_in, id_token: as the response type says
	GrantID string
}

// Authorize issues what the response type asks for and writes all of it at once, or, where a sealed code is all, nothing.
// grant.ErrGone (wrapped) when the login, the person, the client or the interaction is no longer what it was: nothing was written,
// and the caller decides anew.
// An *Error when the request cannot be answered; any other error is the database's.
func (e *Engine) Authorize(ctx context.Context, in AuthorizeInput) (AuthorizeOutput, error) {
	w, err := e.authorization(in)
	if err != nil {
		return AuthorizeOutput{}, err
	}
	ctx = context.WithValue(ctx, workKey{}, w)
	req, err := authorizeRequest(w, in)
	if err != nil {
		return AuthorizeOutput{}, err
	}
	resp, err := e.fosite.NewAuthorizeResponse(ctx, req, newSession(in.Login.Person.Sub))
	if err != nil {
		return AuthorizeOutput{}, translated(err)
	}
	// H27: fosite finds some faults after its handlers created rows; here nothing is written before it is through.
	w.issue.Token = w.token
	if !w.sealed {
		if err := e.cfg.Store.Issue(ctx, *w.issue); err != nil {
			return AuthorizeOutput{}, fmt.Errorf("issue: %w", err)
		}
	}
	if code := w.issue.Code; code != nil {
		e.fresh.put(grant.CodeRead{Code: *code, Grant: w.issue.Grant, Person: *w.person, Sealed: w.sealed, Epoch: w.issue.Epoch}, w.now)
	}
	params := url.Values{}
	for _, name := range []string{"code", "access_token", "id_token"} {
		if v := resp.GetParameters().Get(name); v != "" {
			params.Set(name, v)
		}
	}
	if w.token != nil {
		params.Set("token_type", "Bearer")
		params.Set("expires_in", strconv.FormatInt(w.lifetime(), 10))
	}
	return AuthorizeOutput{Params: params}, nil
}

// Approve is Authorize for a device (RFC 8628 §3.3): what it gets waits under its own device code.
func (e *Engine) Approve(ctx context.Context, in AuthorizeInput) error {
	w, err := e.authorization(in)
	if err != nil {
		return err
	}
	w.issue.Code = &grant.Code{Sig: in.Device, GrantID: w.issue.Grant.ID, ClientID: in.Client.ID, CreatedAt: w.now, ExpiresAt: in.DeviceExpires}
	if err := e.cfg.Store.Issue(ctx, *w.issue); err != nil {
		return fmt.Errorf("issue: %w", err)
	}
	return nil
}

// authorization begins the unit of work of an authorization: the grant, to which fosite's calls add the rest.
func (e *Engine) authorization(in AuthorizeInput) (*work, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make the grant's id: %w", err)
	}
	now := e.now()
	return &work{engine: e, client: in.Client, now: now, person: &in.Login.Person, issue: e.issuance(id.String(), now, in),
		responses: strings.Fields(in.Params.Get("response_type")), nonce: in.Params.Get("nonce")}, nil
}

// issuance is the grant; fosite's calls add the code.
func (e *Engine) issuance(id string, now time.Time, in AuthorizeInput) *grant.Issuance {
	lifetime := e.brief()
	if in.Device != nil {
		lifetime += in.DeviceExpires.Sub(now)
	}
	refresh := mayRefresh(in.Client, in.Scopes)
	if refresh {
		lifetime = e.cfg.RefreshAbsolute
	}
	is := &grant.Issuance{
		Grant: grant.Grant{
			ID:        id,
			AccountID: in.Login.Person.AccountID,
			ClientID:  in.Client.ID,
			LoginID:   in.Login.ID,
			SID:       e.SID(in.Login.ID, in.Client.ID),
			Scopes:    in.Scopes,
			Audience:  in.Audience,
			AuthTime:  in.Login.AuthTime,
			AMR:       in.Login.AMR,
			ACR:       in.Login.ACR,
			Claims:    in.ClaimsRequest,
			Offline:   in.Offline,
			CreatedAt: now,
			ExpiresAt: now.Add(lifetime),
		},
		Epoch:       in.Login.Epoch,
		Consent:     in.Consent,
		Interaction: in.Interaction,
		Pushed:      in.Pushed,
	}
	if refresh && in.Device == nil {
		// Nobody has it before the code is redeemed, but the row need not be written a second time then.
		e.firstRefresh(&is.Grant, now)
	}
	return is
}

// firstRefresh notes the first refresh token of a grant.
func (e *Engine) firstRefresh(g *grant.Grant, now time.Time) {
	g.Generation, g.RotatedAt, g.RefreshExpiresAt = 1, now, e.refreshExpiry(g, now)
}

// brief is how long a grant lives that cannot be refreshed: as long as anything that it may give.
func (e *Engine) brief() time.Duration {
	return e.cfg.CodeLifetime + max(e.cfg.AccessLifetime, e.cfg.IDTokenLifetime)
}

// newCode is the authorization code of a grant, without its Sig. The redirect_uri is kept as it was sent: it must be repeated
// character for character (RFC 6749 §4.1.3). The challenge stands here, where nothing but the code's end removes it (H01).
func (e *Engine) newCode(g *grant.Grant, params url.Values) *grant.Code {
	return &grant.Code{GrantID: g.ID, ClientID: g.ClientID, RedirectURI: params.Get("redirect_uri"),
		Challenge: params.Get("code_challenge"), Method: params.Get("code_challenge_method"), Nonce: params.Get("nonce"),
		CreatedAt: g.CreatedAt, ExpiresAt: g.CreatedAt.Add(e.cfg.CodeLifetime)}
}

// authorizeRequest builds fosite's request by hand: parsing, prompt, max_age and hints are package oidc's, so
// its own checks of them (H15, H17, H19, H20) have nothing to see.
func authorizeRequest(w *work, in AuthorizeInput) (*fosite.AuthorizeRequest, error) {
	redirect, err := url.Parse(in.Params.Get("redirect_uri"))
	if err != nil {
		return nil, Refuse(InvalidRequest, "The redirect_uri is malformed.")
	}
	req := fosite.NewAuthorizeRequest()
	req.SetID(w.issue.Grant.ID)
	req.RequestedAt = w.now
	req.Client = &fositeClient{in.Client}
	req.ResponseTypes = w.responses
	req.RedirectURI = redirect
	req.State = in.Params.Get("state")
	req.RequestedScope = in.Scopes
	req.GrantedScope = in.Scopes
	req.RequestedAudience = in.Audience
	req.GrantedAudience = in.Audience
	for _, name := range []string{"redirect_uri", "nonce", "code_challenge", "code_challenge_method"} {
		if v := in.Params.Get(name); v != "" {
			req.Form.Set(name, v)
		}
	}
	return req, nil
}
