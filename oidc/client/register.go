package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/audit"
)

// ErrToken: a registration token, or a registration access token, is missing, unknown, used up or over.
var ErrToken = errors.New("no such registration token")

// The tokens of registration begin with their version and kind.
const (
	initialPrefix = "pp1i_" // lets somebody register (RFC 7591 §3, initial access token)
	accessPrefix  = "pp1g_" // lets a client manage its registration (RFC 7592)
)

// Kinds names what this room gives out, by how it begins.
var Kinds = map[string]string{
	SecretPrefix: "client secret", initialPrefix: "registration token", accessPrefix: "registration access token",
}

// RegistrationToken lets whoever has it register clients that the operator then vouches for.
type RegistrationToken struct {
	ID        string
	Hash      []byte
	Uses      int64 // that are left
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Registered is a client that registered itself, with what it is told once.
type Registered struct {
	Client      *Client
	Secret      string // empty: none was made
	AccessToken string // of its registration
}

func newToken(prefix string) (token string, hash []byte) {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand)
	token = prefix + base64.RawURLEncoding.EncodeToString(b)
	return token, hashToken(token)
}

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// NewRegistrationToken makes a token for a number of registrations within a time. It is returned once.
func (r *Registry) NewRegistrationToken(ctx context.Context, uses int64, ttl time.Duration) (RegistrationToken, string, error) {
	if uses < 1 || ttl <= 0 {
		return RegistrationToken{}, "", errors.New("a registration token needs at least one use, and a time to live")
	}
	token, hash := newToken(initialPrefix)
	now := r.cfg.Now()
	t := RegistrationToken{ID: uuid.Must(uuid.NewV7()).String(), Hash: hash, Uses: uses, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	err := r.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if err := r.cfg.Store.InsertRegistrationToken(ctx, t); err != nil {
			return err
		}
		return r.record(ctx, audit.RegistrationTokenCreated, audit.ActorOperator, "",
			map[string]any{"id": t.ID, "uses": t.Uses, "expires_at": t.ExpiresAt})
	})
	return t, token, err
}

// RegistrationTokens lists the tokens that can still be used, the oldest first.
func (r *Registry) RegistrationTokens(ctx context.Context) ([]RegistrationToken, error) {
	return r.cfg.Store.ListRegistrationTokens(ctx, r.cfg.Now())
}

// RevokeRegistrationToken ends a token; ErrNotFound.
func (r *Registry) RevokeRegistrationToken(ctx context.Context, id string) error {
	return r.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if err := r.cfg.Store.DeleteRegistrationToken(ctx, id); err != nil {
			return err
		}
		return r.record(ctx, audit.RegistrationTokenRevoked, audit.ActorOperator, "", map[string]any{"id": id})
	})
}

// RegisterOptions say on whose word a client registers itself.
type RegisterOptions struct {
	Token    string // a registration token; empty: openly
	Verified bool   // the operator vouches for clients that register openly
}

// Register is a client's own registration (RFC 7591 §3). With a registration token it is verified, and the token is
// one use poorer. PKCE is demanded of clients without a secret: of others OpenID Connect does not know it.
//
// Errors: ErrToken, *FieldError, or the store's.
func (r *Registry) Register(ctx context.Context, m Metadata, o RegisterOptions) (Registered, error) {
	hash := hashToken(o.Token)
	if o.Token != "" {
		// Asked before anything is fetched: a stranger with a made-up token makes us do nothing.
		if err := r.cfg.Store.CheckRegistrationToken(ctx, hash, r.cfg.Now()); err != nil {
			return Registered{}, err
		}
	}
	c := Client{Metadata: m, RequirePKCE: m.TokenEndpointAuthMethod == MethodNone, RegisteredBy: ByAnyone}
	if o.Token != "" {
		c.RegisteredBy = ByToken
	}
	if o.Token != "" || o.Verified {
		c.VerifiedAt = r.cfg.Now()
	}
	var out Registered
	out.AccessToken, c.RegistrationHash = newToken(accessPrefix)
	spend := func(ctx context.Context) error {
		if o.Token == "" {
			return nil
		}
		return r.cfg.Store.SpendRegistrationToken(ctx, hash, r.cfg.Now())
	}
	var err error
	out.Client, out.Secret, err = r.create(ctx, c, "", ValidateOptions{Trusted: o.Token != ""}, audit.ActorAnonymous, spend)
	return out, err
}

// Manage finds the client whose registration access token this is (RFC 7592 §2); ErrToken.
func (r *Registry) Manage(ctx context.Context, id, token string) (*Client, error) {
	if !strings.HasPrefix(token, accessPrefix) {
		return nil, ErrToken
	}
	c, err := r.read(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrToken
	} else if err != nil {
		return nil, err
	}
	if len(c.RegistrationHash) == 0 || subtle.ConstantTimeCompare(c.RegistrationHash, hashToken(token)) != 1 || !c.Enabled() {
		return nil, ErrToken
	}
	return c, nil
}

// own are the rules for what a client says of itself. What the operator has given it already, it may keep.
func (c *Client) own() ValidateOptions {
	return ValidateOptions{Trusted: c.RegisteredBy == ByToken, Has: &c.Metadata}
}

// Replace puts another document in place of the client's, as a whole (RFC 7592 §2.2). The token is looked at once
// more where the change is made. A client that becomes another in the eyes of people loses what the operator has
// granted to the one it was; verified: the operator vouches for clients that register openly.
func (r *Registry) Replace(ctx context.Context, id, token string, m Metadata, verified bool) (updated *Client, shown string, err error) {
	return r.update(ctx, id, func(c *Client) error {
		if subtle.ConstantTimeCompare(c.RegistrationHash, hashToken(token)) != 1 || !c.Enabled() {
			return ErrToken
		}
		if !sameIdentity(&c.Metadata, &m) {
			c.SkipConsent = false
			if c.RegisteredBy == ByAnyone && !verified {
				c.VerifiedAt = time.Time{}
			}
		}
		c.Metadata = m
		c.RequirePKCE = c.RequirePKCE || m.TokenEndpointAuthMethod == MethodNone
		return nil
	}, (*Client).own, audit.ActorClient)
}

// sameIdentity tells whether two documents are of the same site, as people and the operator see it: its names, its
// addresses, and where people are sent. Keys may change: they prove a client, and do not say who it is.
func sameIdentity(a, b *Metadata) bool {
	same := slices.Equal(a.RedirectURIs, b.RedirectURIs) && slices.Equal(a.PostLogoutRedirectURIs, b.PostLogoutRedirectURIs) &&
		maps.Equal(a.Localized, b.Localized)
	for _, pair := range [][2]string{
		{a.ClientName, b.ClientName}, {a.ClientURI, b.ClientURI}, {a.LogoURI, b.LogoURI}, {a.PolicyURI, b.PolicyURI},
		{a.TOSURI, b.TOSURI}, {a.InitiateLoginURI, b.InitiateLoginURI}, {a.SectorIdentifierURI, b.SectorIdentifierURI},
		{a.FrontchannelLogoutURI, b.FrontchannelLogoutURI},
	} {
		same = same && pair[0] == pair[1]
	}
	return same
}

// Unregister removes a client at its own wish (RFC 7592 §2.3).
func (r *Registry) Unregister(ctx context.Context, id, token string) error {
	if _, err := r.Manage(ctx, id, token); err != nil {
		return err
	}
	err := r.remove(ctx, id, audit.ActorClient)
	if errors.Is(err, ErrNotFound) { // twice at the same moment
		return ErrToken
	}
	return err
}

// NoteUse notes that a client gets a token. One that anybody may have registered, and that nobody has used for a month,
// is no site and goes (storage.Purge).
func (r *Registry) NoteUse(ctx context.Context, c *Client) error {
	if c.RegisteredBy != ByAnyone || !c.UsedAt.IsZero() {
		return nil
	}
	if err := r.cfg.Store.NoteClientUse(ctx, c.ID, r.cfg.Now()); err != nil {
		return err
	}
	r.forget(c.ID) // what is read next knows of it: one write is enough
	return nil
}

// HoldsSecret tells whether a secret is one of the client's that live.
func (r *Registry) HoldsSecret(c *Client, secret string) bool { return r.matches(c, secret) }
