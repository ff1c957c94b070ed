package engine

import (
	"context"
	"errors"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// Reasons for which a token is not live.
const (
	ReasonUnknown   = "unknown"             // it never was one of ours, or was purged
	ReasonExpired   = "expired"             //
	ReasonRevoked   = "revoked"             // it, or the whole grant
	ReasonSucceeded = "succeeded"           // a refresh token that was exchanged for a newer one
	ReasonPerson    = "person not allowed"  // disabled, or without a proven address
	ReasonClient    = "client not enabled"  // or gone
	ReasonKind      = "not a kind of token" // that can be asked for
)

// Inspection is what the operator may know of a token, whether it lives or not.
type Inspection struct {
	Kind      string // access_token or refresh_token
	Reason    string // empty: it lives
	Token     *grant.Token
	Grant     *grant.Grant  // nil: a client's own token
	Person    *grant.Person // nil as well
	ExpiresAt time.Time
}

// Inspect tells what became of a token, for the operator: never for a client, who must not learn a reason.
func (e *Engine) Inspect(ctx context.Context, raw string) (Inspection, error) {
	if sig := e.accessHash(raw); sig != nil {
		read, err := e.cfg.Store.ReadToken(ctx, sig)
		if errors.Is(err, grant.ErrNotFound) {
			return Inspection{Kind: "access_token", Reason: ReasonUnknown}, nil
		} else if err != nil {
			return Inspection{}, err
		}
		i := Inspection{Kind: "access_token", Token: &read.Token, Grant: read.Grant, Person: read.Person, ExpiresAt: read.Token.ExpiresAt}
		i.Reason, err = e.orClient(ctx, accessReason(&read, e.now()), read.Token.ClientID)
		return i, err
	}
	id, generation, ok := e.tokens.readRefresh(raw)
	if !ok {
		return Inspection{Reason: ReasonKind}, nil
	}
	read, err := e.cfg.Store.ReadGrant(ctx, id)
	if errors.Is(err, grant.ErrNotFound) {
		return Inspection{Kind: "refresh_token", Reason: ReasonUnknown}, nil
	} else if err != nil {
		return Inspection{}, err
	}
	i := Inspection{Kind: "refresh_token", Grant: &read.Grant, Person: &read.Person, ExpiresAt: read.Grant.RefreshExpiresAt}
	i.Reason, err = e.orClient(ctx, e.refreshReason(&read, generation, e.now()), read.Grant.ClientID)
	return i, err
}

// orClient is a reason, or that the client is to blame.
func (e *Engine) orClient(ctx context.Context, reason, clientID string) (string, error) {
	if reason != "" {
		return reason, nil
	}
	c, err := e.cfg.Clients.Get(ctx, clientID)
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return "", err
	}
	if err != nil || !c.Enabled() {
		return ReasonClient, nil
	}
	return "", nil
}

// accessReason judges an access token's row by our clock; empty: it lives.
func accessReason(read *grant.TokenRead, now time.Time) string {
	switch {
	case !read.Token.RevokedAt.IsZero(), read.Grant != nil && !read.Grant.RevokedAt.IsZero():
		return ReasonRevoked
	case !now.Before(read.Token.ExpiresAt), read.Grant != nil && !now.Before(read.Grant.ExpiresAt):
		return ReasonExpired
	case read.Grant != nil && !read.Person.Allowed():
		return ReasonPerson
	}
	return ""
}

// refreshReason judges a refresh token: of the newest generation, or its predecessor within the grace.
func (e *Engine) refreshReason(read *grant.GrantRead, generation int64, now time.Time) string {
	g := &read.Grant
	switch {
	case !g.RevokedAt.IsZero():
		return ReasonRevoked
	case !now.Before(g.ExpiresAt), !now.Before(g.RefreshExpiresAt):
		return ReasonExpired
	case generation < 1 || generation != g.Generation && (generation != g.Generation-1 || !e.withinGrace(g, now)):
		return ReasonSucceeded
	case !read.Person.Allowed():
		return ReasonPerson
	}
	return ""
}
