package oidc

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// Approve is the person's yes on the consent page: it remembers, issues and answers, in one write. The yes
// counts for the account that the page named (loginID); when a second tab has chosen another one since (B10), or
// for anything else, it is decided anew.
func (p *Provider) Approve(w http.ResponseWriter, r *http.Request, i, loginID string) error {
	f, err := p.load(r, i)
	if err != nil {
		return p.onPage(w, r, err)
	}
	return p.step(w, r, f, loginID != "" && loginID == f.in.LoginID)
}

// Deny is the person's no: access_denied to the client (RFC 6749 §4.1.2.1).
func (p *Provider) Deny(w http.ResponseWriter, r *http.Request, i string) error {
	f, err := p.load(r, i)
	if err != nil {
		return p.onPage(w, r, err)
	}
	drop := func(ctx context.Context) error { return p.drop(ctx, f) }
	if err := p.recorded(r.Context(), audit.ConsentDenied, f, drop); err != nil {
		return p.onPage(w, r, err)
	}
	return p.sendError(w, r, f.q, &refusal{"access_denied", "The person did not agree."})
}

// recorded does what a person decided, and notes it in the same transaction.
func (p *Provider) recorded(ctx context.Context, event string, f *flow, act func(ctx context.Context) error) error {
	if p.cfg.Audit == nil {
		return act(ctx)
	}
	e := audit.Event{Event: event, ActorKind: audit.ActorAnonymous, ClientID: f.q.client.ID, At: p.cfg.Now(),
		Detail: map[string]any{"scopes": f.q.scopes}}
	for _, l := range f.logins {
		if l.ID == f.in.LoginID {
			e.ActorKind, e.ActorID, e.Subject, e.Session = audit.ActorAccount, l.Person.AccountID, l.Person.AccountID, l.ID
		}
	}
	return p.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if err := act(ctx); err != nil {
			return err
		}
		return p.cfg.Audit.Record(ctx, e)
	})
}

// remember is the consent after this yes: what was agreed to before stays agreed to. To a client that nobody vouches
// for, or for a device (RFC 8628 §5.4: it may be another's), a yes counts as long as the login.
func remember(l *grant.Login, q *request, now time.Time) *grant.Consent {
	c := &grant.Consent{Scopes: slices.Clone(q.scopes), Claims: slices.Clone(q.names), GrantedAt: now}
	if !q.client.Verified() || q.isDevice {
		c.LoginID = l.ID
	}
	for _, before := range l.Consents {
		if before.LoginID == c.LoginID {
			c.Scopes = union(before.Scopes, c.Scopes)
			c.Claims = union(before.Claims, c.Claims)
		}
	}
	return c
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// offline reports whether the person is asked for access that outlives the login (Core §11).
func (q *request) offline() bool { return slices.Contains(q.scopes, "offline_access") }
