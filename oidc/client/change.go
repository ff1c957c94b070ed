package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
)

// operator are the rules for what the operator registers.
var operator = ValidateOptions{AllowLoopbackHTTP: true, Operator: true}

// Create registers a client on the operator's behalf, verified from the start. An empty ID is drawn; an empty
// secret too, unless the client is public; both come back, and the secret never again. c's Metadata is
// validated and its defaults filled in.
//
// Errors: *FieldError, ErrWeakSecret, ErrExists, or the store's.
func (r *Registry) Create(ctx context.Context, c Client, secret string) (created *Client, shown string, err error) {
	now := r.cfg.Now()
	if c.ID == "" {
		c.ID = strings.ToLower(rand.Text())
	}
	c.CreatedAt, c.UpdatedAt, c.Secrets = now, now, nil
	if c.VerifiedAt.IsZero() {
		c.VerifiedAt = now
	}
	if err := c.check(operator); err != nil {
		return nil, "", err
	}
	switch {
	case c.Public() && secret != "":
		return nil, "", refuse("client_secret", "a client with token_endpoint_auth_method none has no secret")
	case c.Public():
	case secret == "":
		secret = newSecretValue()
	default:
		if err := checkSecretValue(secret); err != nil {
			return nil, "", err
		}
	}
	if secret != "" {
		c.Secrets = []Secret{r.newSecret(secret, now)}
	}
	err = r.change(ctx, c.ID, audit.ClientCreated, func(ctx context.Context, revision int64) error {
		c.Revision = revision
		return r.cfg.Store.InsertClient(ctx, &c)
	})
	if err != nil {
		return nil, "", err
	}
	return &c, secret, nil
}

// check validates a client as a whole; it fills defaults.
func (c *Client) check(rules ValidateOptions) error {
	if c.ID == "" || len(c.ID) > maxID || !visible(c.ID) {
		return refuse("client_id", "must be 1 to %d visible ASCII characters", maxID)
	}
	if err := c.Metadata.Validate(rules); err != nil {
		return err
	}
	if c.Public() && !c.RequirePKCE {
		return refuse("require_pkce", "a client without a secret must use PKCE")
	}
	c.Name = c.Metadata.ClientName
	return nil
}

// Update changes a client: change edits a copy, which is then validated as at its creation. The id, the
// secrets and the creation's time stay. A client that needs a secret and had none gets one, which is returned;
// one that becomes public loses its secrets.
//
// Errors: ErrNotFound, *FieldError, change's own, or the store's.
func (r *Registry) Update(ctx context.Context, id string, edit func(c *Client) error) (updated *Client, shown string, err error) {
	err = r.change(ctx, id, audit.ClientChanged, func(ctx context.Context, revision int64) error {
		old, err := r.cfg.Store.ReadClient(ctx, id)
		if err != nil {
			return err
		}
		c := old.clone()
		if err := edit(c); err != nil {
			return err
		}
		c.ID, c.CreatedAt, c.Secrets = old.ID, old.CreatedAt, old.Secrets
		if err := c.check(operator); err != nil {
			return err
		}
		c.UpdatedAt, c.Revision = r.cfg.Now(), revision
		if err := r.cfg.Store.UpdateClient(ctx, c); err != nil {
			return err
		}
		updated = c
		shown, err = r.settleSecrets(ctx, c)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return updated, shown, nil
}

// settleSecrets gives a secret to a client that now needs one, and takes them from one that is now public.
func (r *Registry) settleSecrets(ctx context.Context, c *Client) (shown string, err error) {
	switch {
	case c.Public():
		for _, s := range c.Secrets {
			if err := r.cfg.Store.DeleteClientSecret(ctx, s.ID); err != nil {
				return "", err
			}
		}
		c.Secrets = nil
	case len(c.live(r.cfg.Now())) == 0:
		shown = newSecretValue()
		s := r.newSecret(shown, r.cfg.Now())
		if err := r.cfg.Store.InsertClientSecret(ctx, c.ID, s); err != nil {
			return "", err
		}
		c.Secrets = append([]Secret{s}, c.Secrets...)
	}
	return shown, nil
}

// RotateSecret makes a new secret and returns it. The newest of the old ones lives on for overlap (at most
// 90 days); all others end now.
//
// Errors: ErrNotFound, ErrNoSecret, or the store's.
func (r *Registry) RotateSecret(ctx context.Context, id string, overlap time.Duration) (shown string, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return "", fmt.Errorf("the overlap must lie between 0 and %s", MaxOverlap)
	}
	err = r.change(ctx, id, audit.ClientSecretRotated, func(ctx context.Context, revision int64) error {
		old, err := r.cfg.Store.ReadClient(ctx, id)
		if err != nil {
			return err
		}
		if old.Public() {
			return ErrNoSecret
		}
		now := r.cfg.Now()
		if err := r.endSecrets(ctx, old, now, overlap); err != nil {
			return err
		}
		shown = newSecretValue()
		if err := r.cfg.Store.InsertClientSecret(ctx, id, r.newSecret(shown, now)); err != nil {
			return err
		}
		c := old.clone()
		c.UpdatedAt, c.Revision = now, revision
		return r.cfg.Store.UpdateClient(ctx, c)
	})
	if err != nil {
		return "", err
	}
	return shown, nil
}

// endSecrets lets the newest live secret go on for overlap, and no other.
func (r *Registry) endSecrets(ctx context.Context, c *Client, now time.Time, overlap time.Duration) error {
	live := c.live(now)
	for _, s := range c.Secrets {
		if overlap == 0 || len(live) == 0 || s.ID != live[0].ID {
			if err := r.cfg.Store.DeleteClientSecret(ctx, s.ID); err != nil {
				return err
			}
			continue
		}
		end := now.Add(overlap)
		if !s.ExpiresAt.IsZero() && s.ExpiresAt.Before(end) {
			continue // it was to end earlier already
		}
		if err := r.cfg.Store.ExpireClientSecret(ctx, s.ID, end); err != nil {
			return err
		}
	}
	return nil
}

// Disable stops a client: it can do nothing until Enable. Disabling it again changes nothing.
func (r *Registry) Disable(ctx context.Context, id string) error {
	return r.setDisabled(ctx, id, audit.ClientDisabled, func(c *Client, now time.Time) {
		if c.Enabled() {
			c.DisabledAt = now
		}
	})
}

// Enable undoes Disable.
func (r *Registry) Enable(ctx context.Context, id string) error {
	return r.setDisabled(ctx, id, audit.ClientEnabled, func(c *Client, _ time.Time) { c.DisabledAt = time.Time{} })
}

func (r *Registry) setDisabled(ctx context.Context, id, event string, set func(*Client, time.Time)) error {
	return r.change(ctx, id, event, func(ctx context.Context, revision int64) error {
		old, err := r.cfg.Store.ReadClient(ctx, id)
		if err != nil {
			return err
		}
		c, now := old.clone(), r.cfg.Now()
		set(c, now)
		c.UpdatedAt, c.Revision = now, revision
		return r.cfg.Store.UpdateClient(ctx, c)
	})
}

// Delete removes a client with its consents, grants and tokens. ErrNotFound: there was none.
func (r *Registry) Delete(ctx context.Context, id string) error {
	return r.change(ctx, id, audit.ClientDeleted, func(ctx context.Context, _ int64) error {
		return r.cfg.Store.DeleteClient(ctx, id)
	})
}

// change runs one write: revision, act and audit event in one transaction. RaiseClients comes first, for it
// also keeps two changes of one client from reading the same state.
func (r *Registry) change(ctx context.Context, id, event string, act func(ctx context.Context, revision int64) error) error {
	if id == "" || len(id) > maxID || !visible(id) {
		return ErrNotFound
	}
	err := r.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		revision, err := r.cfg.Store.RaiseClients(ctx)
		if err != nil {
			return err
		}
		if err := act(ctx, revision); err != nil {
			return err
		}
		if r.cfg.Audit == nil {
			return nil
		}
		return r.cfg.Audit.Record(ctx, audit.Event{
			Event: event, ActorKind: audit.ActorOperator, ClientID: id, At: r.cfg.Now(),
		})
	})
	// Also after an error: of a commit it may not say whether it happened.
	r.forget(id)
	var field *FieldError
	if err == nil || errors.As(err, &field) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrNoSecret) {
		return err
	}
	return fmt.Errorf("%s: %w", event, err)
}

// clone copies a client deeply enough to be edited.
func (c *Client) clone() *Client {
	d := *c
	m := &d.Metadata
	for _, list := range []*[]string{&m.RedirectURIs, &m.ResponseTypes, &m.GrantTypes, &m.Contacts,
		&m.DefaultACRValues, &m.RequestURIs, &m.PostLogoutRedirectURIs, &m.Resources, &m.ResourceServerFor} {
		*list = slices.Clone(*list)
	}
	m.JWKS = slices.Clone(m.JWKS)
	if m.DefaultMaxAge != nil {
		age := *m.DefaultMaxAge
		m.DefaultMaxAge = &age
	}
	if m.Localized != nil {
		localized := make(map[string]string, len(m.Localized))
		for k, v := range m.Localized {
			localized[k] = v
		}
		m.Localized = localized
	}
	d.Secrets = slices.Clone(c.Secrets)
	return &d
}
