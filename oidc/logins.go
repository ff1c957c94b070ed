package oidc

import (
	"context"

	"github.com/passport-network/passport/oidc/grant"
)

// readRequest is the one read of an authorization request: who is signed in in the browser with this session,
// judged by our clock as pkg/session does for pages, each with what it allowed the client.
func (p *Provider) readRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error) {
	read, err := p.cfg.Store.ReadRequest(ctx, session, clientID)
	if err != nil {
		return grant.Request{}, err
	}
	return read.At(p.cfg.Now(), p.cfg.Sessions.Live), nil
}
