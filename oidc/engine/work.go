package engine

import (
	"context"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// work is the unit of work of one request: what was read, once, and what is to be written, once. The adapter
// answers fosite's storage calls out of it; Authorize and Exchange flush it after fosite is through.
type work struct {
	engine *Engine
	client *client.Client // authenticated
	now    time.Time

	issue     *grant.Issuance // authorize: what will be written
	person    *grant.Person   // authorize: for whom
	responses []string        // authorize: the words of response_type
	nonce     string          // authorize: for an ID token that goes to the redirect URI
	rawCode   string          // authorize: the code issued, for c_hash
	sealed    bool            // authorize: that code has no row

	grantType string   // token request: one of those that admissible lets through
	resources []string // token request: the resource parameters

	shown     string           // code exchange: the code presented
	code      *grant.CodeRead  // code exchange, device: a live code of this client
	grant     *grant.GrantRead // refresh: a live grant of this client
	presented int64            // refresh: the generation presented
	graced    bool             // refresh: it is the predecessor, within the grace
	wanted    []string         // refresh: the scope parameter
	original  *fosite.Request  // the authorization as fosite sees it: hydrated once, then the same object (H04)
	next      int64            // the generation of the refresh token to issue

	access  string       // the access token issued, for at_hash
	token   *grant.Token // its row
	refresh bool         // a refresh token was issued

	reused  string       // the audit event of a code or refresh token that was presented again
	suspect *grant.Grant // its grant
	revoked bool         // that was revoked
	failure error        // of the revocation: fosite would swallow it
}

type workKey struct{}

// workOf is the unit of work in ctx; nil when there is none.
func workOf(ctx context.Context) *work {
	w, _ := ctx.Value(workKey{}).(*work)
	return w
}

// mine is the grant that is issued, or that of the code or the refresh token; nil for client_credentials.
func (w *work) mine() (*grant.Grant, *grant.Person) {
	switch {
	case w.issue != nil:
		return &w.issue.Grant, w.person
	case w.code != nil:
		return &w.code.Grant, &w.code.Person
	case w.grant != nil:
		return &w.grant.Grant, &w.grant.Person
	}
	return nil, nil
}

func (w *work) grantID() string {
	if g, _ := w.mine(); g != nil {
		return g.ID
	}
	return ""
}

// mayRefresh: see mayRefresh. A refresh token that was issued may be exchanged while the client has the grant type.
func (w *work) mayRefresh() bool {
	if w.grant != nil {
		return true
	}
	return w.code != nil && mayRefresh(w.client, w.code.Grant.Scopes)
}

// usable: is the authorization still one? Asked at each step.
func (w *work) usable(g *grant.Grant, p *grant.Person) bool {
	return g.RevokedAt.IsZero() && w.now.Before(g.ExpiresAt) && p.Allowed()
}

// lifetime is the access token's, in seconds.
func (w *work) lifetime() int64 { return int64(w.token.ExpiresAt.Sub(w.now).Seconds()) }

// audience is what the access token of a grant is for: all that was granted, or as much of it as the request names
// (RFC 8707 §2.2).
func (w *work) audience(g *grant.Grant) ([]string, error) {
	if len(w.resources) == 0 {
		return g.Audience, nil
	}
	for _, r := range w.resources {
		if !slices.Contains(g.Audience, r) {
			return nil, Refuse(InvalidTarget, "A resource was named that is not part of what was granted.")
		}
	}
	return w.resources, nil
}

// hydrate makes the request that fosite gets for every question about the authorization behind a code or a
// refresh token.
func (w *work) hydrate(g *grant.Grant, p *grant.Person, scopes, audience []string) *fosite.Request {
	req := fosite.NewRequest()
	req.ID = g.ID
	req.RequestedAt = g.CreatedAt
	req.Client = &fositeClient{w.client}
	req.RequestedScope = scopes
	req.GrantedScope = scopes
	req.RequestedAudience = audience
	req.GrantedAudience = audience
	req.Session = newSession(p.Sub)
	w.original = req
	return req
}

// allowed drops the scopes that the client has lost since they were granted (G8).
func (w *work) allowed(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !w.client.AllowsScope(s) })
}

// reuse remembers what was presented again; fosite then asks for the revocation.
func (w *work) reuse(event string, g *grant.Grant) fosite.Requester {
	w.reused, w.suspect = event, g
	return &fosite.Request{ID: g.ID}
}

// revoke ends the suspect grant at once, in its own statement: a revocation is never buffered, for the response
// that it belongs to is an error. The event is recorded where it ended something.
func (w *work) revoke(ctx context.Context) error {
	if w.revoked || !w.suspect.RevokedAt.IsZero() {
		return nil
	}
	cfg := &w.engine.cfg
	if err := cfg.Store.RevokeGrant(ctx, w.suspect.ID, w.now); err != nil {
		w.failure = Failed(err)
		return w.failure
	}
	w.revoked = true
	if cfg.Audit == nil {
		return nil
	}
	if err := cfg.Audit.Record(ctx, audit.Event{
		Event:     w.reused,
		ActorKind: audit.ActorClient,
		ActorID:   w.client.ID,
		Subject:   w.suspect.AccountID,
		ClientID:  w.client.ID,
		Session:   w.suspect.LoginID,
		Detail:    map[string]any{"grant": w.suspect.ID},
		At:        w.now,
	}); err != nil {
		w.failure = Failed(err)
		return w.failure
	}
	return nil
}
