package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// ReadAccess reads a live access token: known, not expired, neither it nor its grant revoked, its person still
// allowed. grant.ErrNotFound for anything else, without asking the database when raw cannot be one.
// Whether its client is still enabled is the caller's question to the registry.
func (e *Engine) ReadAccess(ctx context.Context, raw string) (grant.TokenRead, error) {
	sig := e.accessHash(raw)
	if sig == nil {
		return grant.TokenRead{}, grant.ErrNotFound
	}
	read, err := e.cfg.Store.ReadToken(ctx, sig)
	if err != nil {
		return grant.TokenRead{}, fmt.Errorf("read an access token: %w", err)
	}
	if accessReason(&read, e.now()) != "" {
		return grant.TokenRead{}, grant.ErrNotFound
	}
	return read, nil
}

// ReadRefresh reads a live refresh token: of the newest generation, or its predecessor within the grace.
// grant.ErrNotFound for anything else; a forged one reaches no database.
func (e *Engine) ReadRefresh(ctx context.Context, raw string) (grant.GrantRead, int64, error) {
	id, generation, ok := e.tokens.readRefresh(raw)
	if !ok {
		return grant.GrantRead{}, 0, grant.ErrNotFound
	}
	read, err := e.cfg.Store.ReadGrant(ctx, id)
	if err != nil {
		return grant.GrantRead{}, 0, fmt.Errorf("read a refresh token: %w", err)
	}
	if e.refreshReason(&read, generation, e.now()) != "" {
		return grant.GrantRead{}, 0, grant.ErrNotFound
	}
	return read, generation, nil
}

// Revoke ends a token of the client (RFC 7009): an access token alone; with a refresh token, of whatever
// generation, its whole grant. A token that is unknown, or another client's, is no error and stays as it is
// (§2.2). The formats tell the kinds apart, so no hint is needed. Any error is the database's.
func (e *Engine) Revoke(ctx context.Context, raw string, c *client.Client) error {
	if sig := e.accessHash(raw); sig != nil {
		return e.cfg.Store.RevokeToken(ctx, sig, c.ID, e.now())
	}
	id, _, ok := e.tokens.readRefresh(raw)
	if !ok {
		return nil
	}
	read, err := e.cfg.Store.ReadGrant(ctx, id)
	if errors.Is(err, grant.ErrNotFound) || err == nil && read.Grant.ClientID != c.ID {
		return nil
	} else if err != nil {
		return err
	}
	return e.cfg.Store.RevokeGrant(ctx, id, e.now())
}
