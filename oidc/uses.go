package oidc

import (
	"context"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// Use is what an account has given a site.
type Use struct {
	grant.Use
	Client *client.Client
}

// Uses lists the sites that an account has given something, for its owner, and those that the operator lets ask nobody, where
// it was signed in: of these Scopes is what they may get at each sign-in.
func (p *Provider) Uses(ctx context.Context, accountID string) ([]Use, error) {
	all, err := p.cfg.Store.ListUses(ctx, accountID, p.cfg.Now())
	if err != nil {
		return nil, err
	}
	var list []Use
	for _, u := range all {
		c, err := p.client(ctx, u.ClientID)
		if err != nil {
			return nil, err
		}
		if c == nil || !u.Held && !c.SkipConsent { // gone this moment, or taken back
			continue
		}
		if !u.Held {
			u.Scopes = strings.Fields(c.Metadata.Scope)
		}
		list = append(list, Use{u, c})
	}
	return list, nil
}

// EndUse takes back what an account has given a site: it is asked for anew at the next sign-in there, and the tokens
// that the site holds open nothing. grant.ErrGone: there was nothing.
func (p *Provider) EndUse(ctx context.Context, accountID, clientID string) error {
	now := p.cfg.Now()
	ended := false
	err := p.cfg.Store.InTx(ctx, func(ctx context.Context) (err error) {
		if ended, err = p.cfg.Store.EndUse(ctx, accountID, clientID, now); err != nil || !ended || p.cfg.Audit == nil {
			return err
		}
		return p.cfg.Audit.Record(ctx, audit.Event{Event: audit.ConsentRevoked, ActorKind: audit.ActorAccount, ActorID: accountID,
			Subject: accountID, ClientID: clientID, At: now})
	})
	if err == nil && !ended {
		return grant.ErrGone // a code that was sealed for the site is void all the same
	}
	return err
}
