package oidc

import (
	"context"
	"slices"

	"github.com/passport-network/passport/oidc/grant"
)

// readRequest is the one read of an authorization request: who is signed in in the browser with this session,
// judged by our clock as pkg/session does for pages, each with what it allowed the client.
func (p *Provider) readRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error) {
	read, err := p.cfg.Store.ReadRequest(ctx, session, clientID)
	if err != nil {
		return grant.Request{}, err
	}
	now := p.cfg.Now()
	if !now.Before(read.ExpiresAt) {
		return grant.Request{}, nil
	}
	read.Logins = slices.DeleteFunc(read.Logins, func(l grant.Login) bool { return !p.cfg.Sessions.Live(l.AuthTime, now) })
	return read, nil
}
