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
// secret too, unless the client has none by its method; both come back, and the secret never again. c's Metadata is
// validated and its defaults filled in, and what it names is fetched.
//
// Errors: *FieldError, ErrWeakSecret, ErrExists, or the store's.
func (r *Registry) Create(ctx context.Context, c Client, secret string) (created *Client, shown string, err error) {
	if c.VerifiedAt.IsZero() {
		c.VerifiedAt = r.cfg.Now()
	}
	nothing := func(context.Context) error { return nil }
	return r.create(ctx, c, secret, operator, audit.ActorOperator, nothing)
}

// create makes a client; first runs in its transaction, before anything is written.
func (r *Registry) create(ctx context.Context, c Client, secret string, rules ValidateOptions, actor string, first func(ctx context.Context) error) (created *Client, shown string, err error) {
	now := r.cfg.Now()
	if c.ID == "" {
		c.ID = strings.ToLower(rand.Text())
	}
	c.CreatedAt, c.UpdatedAt, c.Secrets = now, now, nil
	if err := c.check(rules); err != nil {
		return nil, "", err
	}
	switch m := &c.Metadata; {
	case !m.hasSecret() && secret != "":
		return nil, "", refuse("client_secret", "a client with token_endpoint_auth_method %s has no secret", m.TokenEndpointAuthMethod)
	case !m.hasSecret():
	case secret == "":
		secret = newSecretValue(m)
	default:
		if err := checkSecretValue(secret, m); err != nil {
			return nil, "", err
		}
	}
	if secret != "" {
		s, err := r.newSecret(secret, &c.Metadata, now)
		if err != nil {
			return nil, "", err
		}
		c.Secrets = []Secret{s}
	}
	logo, err := r.fetchNamed(ctx, nil, &c, rules)
	if err != nil {
		return nil, "", err
	}
	err = r.change(ctx, c.ID, audit.ClientCreated, actor, func(ctx context.Context, revision int64) error {
		if err := first(ctx); err != nil {
			return err
		}
		c.Revision = revision
		if err := r.cfg.Store.InsertClient(ctx, &c); err != nil {
			return err
		}
		return r.keepLogo(ctx, &c, logo)
	})
	if err != nil {
		return nil, "", err
	}
	return &c, secret, nil
}

// check validates a client as a whole; it fills defaults.
func (c *Client) check(rules ValidateOptions) error {
	if c.ID == "" || len(c.ID) > MaxID || !visible(c.ID) {
		return refuse("client_id", "must be 1 to %d visible ASCII characters", MaxID)
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

// Update changes a client on the operator's behalf: edit changes a copy, which is then validated as at its
// creation. The id, the secrets and the creation's time stay. A client that needs a secret and has none that will
// do gets one, which is returned; one whose method has none loses its secrets.
//
// Errors: ErrNotFound, *FieldError, edit's own, or the store's.
func (r *Registry) Update(ctx context.Context, id string, edit func(c *Client) error) (updated *Client, shown string, err error) {
	return r.update(ctx, id, edit, func(*Client) ValidateOptions { return operator }, audit.ActorOperator)
}

// update is Update under the rules for the client as it was.
func (r *Registry) update(ctx context.Context, id string, edit func(c *Client) error, rules func(was *Client) ValidateOptions, actor string) (updated *Client, shown string, err error) {
	for try := 0; ; try++ {
		updated, shown, err = r.updateOnce(ctx, id, edit, rules, actor)
		if !errors.Is(err, ErrChanged) || try == 2 {
			return updated, shown, err
		}
	}
}

// updateOnce fetches what is to be fetched before the transaction, and writes if nobody was faster: else ErrChanged.
func (r *Registry) updateOnce(ctx context.Context, id string, edit func(c *Client) error, rules func(was *Client) ValidateOptions, actor string) (updated *Client, shown string, err error) {
	old, err := r.read(ctx, id)
	if err != nil {
		return nil, "", err
	}
	c := old.clone()
	if err := edit(c); err != nil {
		return nil, "", err
	}
	c.ID, c.CreatedAt, c.Secrets = old.ID, old.CreatedAt, old.Secrets
	opts := rules(old)
	if err := c.check(opts); err != nil {
		return nil, "", err
	}
	logo, err := r.fetchNamed(ctx, old, c, opts)
	if err != nil {
		return nil, "", err
	}
	secrets := c.Secrets
	err = r.change(ctx, id, audit.ClientChanged, actor, func(ctx context.Context, revision int64) error {
		c.Secrets = secrets // as they were, should the transaction run again
		now, err := r.cfg.Store.ReadClient(ctx, id)
		switch {
		case err != nil:
			return err
		case now.Revision != old.Revision:
			return ErrChanged
		}
		c.UpdatedAt, c.Revision = r.cfg.Now(), revision
		if err := r.cfg.Store.UpdateClient(ctx, c); err != nil {
			return err
		}
		if err := r.keepLogo(ctx, c, logo); err != nil {
			return err
		}
		if c.Verified() != old.Verified() {
			if err := r.record(ctx, audit.ClientVerified, actor, id, map[string]any{"verified": c.Verified()}); err != nil {
				return err
			}
		}
		shown, err = r.settleSecrets(ctx, c)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return c, shown, nil
}

// read reads a client from the database, past the cache.
func (r *Registry) read(ctx context.Context, id string) (*Client, error) {
	if id == "" || len(id) > MaxID || !visible(id) {
		return nil, ErrNotFound
	}
	c, err := r.cfg.Store.ReadClient(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read the client: %w", err)
	}
	return c, err
}

// RotateSecret makes a new secret and returns it. The newest of the old ones lives on for overlap (at most
// 90 days); all others end now.
//
// Errors: ErrNotFound, ErrNoSecret, or the store's.
func (r *Registry) RotateSecret(ctx context.Context, id string, overlap time.Duration) (shown string, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return "", fmt.Errorf("the overlap must lie between 0 and %s", MaxOverlap)
	}
	err = r.change(ctx, id, audit.ClientSecretRotated, audit.ActorOperator, func(ctx context.Context, revision int64) error {
		old, err := r.cfg.Store.ReadClient(ctx, id)
		if err != nil {
			return err
		}
		if !old.Metadata.hasSecret() {
			return ErrNoSecret
		}
		now := r.cfg.Now()
		if err := r.endSecrets(ctx, old, now, overlap); err != nil {
			return err
		}
		shown = newSecretValue(&old.Metadata)
		s, err := r.newSecret(shown, &old.Metadata, now)
		if err != nil {
			return err
		}
		if err := r.cfg.Store.InsertClientSecret(ctx, id, s); err != nil {
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
	return r.change(ctx, id, event, audit.ActorOperator, func(ctx context.Context, revision int64) error {
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
	return r.remove(ctx, id, audit.ActorOperator)
}

func (r *Registry) remove(ctx context.Context, id, actor string) error {
	return r.change(ctx, id, audit.ClientDeleted, actor, func(ctx context.Context, _ int64) error {
		return r.cfg.Store.DeleteClient(ctx, id)
	})
}

// change runs one write: revision, act and audit event in one transaction. RaiseClients comes first, for it
// also keeps two changes of one client from reading the same state.
func (r *Registry) change(ctx context.Context, id, event, actor string, act func(ctx context.Context, revision int64) error) error {
	if id == "" || len(id) > MaxID || !visible(id) {
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
		return r.record(ctx, event, actor, id, nil)
	})
	// Also after an error: of a commit it may not say whether it happened.
	r.forget(id)
	var field *FieldError
	if errors.Is(err, ErrResourceTaken) {
		return refuse("resource_server_for", "%v", ErrResourceTaken)
	}
	known := []error{ErrNotFound, ErrExists, ErrNoSecret, ErrChanged, ErrToken}
	if err == nil || errors.As(err, &field) || slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
		return err
	}
	return fmt.Errorf("%s: %w", event, err)
}

// record notes what was done, in the transaction that ctx carries. clientID may be empty.
func (r *Registry) record(ctx context.Context, event, actor, clientID string, detail map[string]any) error {
	if r.cfg.Audit == nil {
		return nil
	}
	e := audit.Event{Event: event, ActorKind: actor, ClientID: clientID, Detail: detail, At: r.cfg.Now()}
	if actor == audit.ActorClient {
		e.ActorID = clientID
	}
	return r.cfg.Audit.Record(ctx, e)
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
