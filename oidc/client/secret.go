package client

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// SecretPrefix begins every secret made here: version 1, kind s.
	SecretPrefix = "pp1s_"
	// minSecret and maxSecret bound a secret that the operator gives, in characters.
	minSecret = 32
	maxSecret = 512
	// minDistinct refuses a given secret that is long only by repetition.
	minDistinct = 8
	// MaxOverlap bounds how long the older of two secrets lives on after a rotation.
	MaxOverlap = 90 * 24 * time.Hour
	// liveSecrets is how many secrets of a client count, and how many comparisons each authentication makes.
	liveSecrets = 2
)

// ErrWeakSecret refuses a given secret. Secrets are kept under one fast HMAC, which is enough for random
// ones only: so a given one must at least look random.
var ErrWeakSecret = errors.New("a client_secret must be random: 32 to 512 visible ASCII characters, at least 8 of them distinct")

// newSecretValue draws a secret of 256 bits, or of the 512 that HS512 wants (RFC 7518 §3.2: the key is no shorter
// than the hash).
func newSecretValue(m *Metadata) string {
	b := make([]byte, 32)
	if m.needsSecretValue() {
		b = make([]byte, 64)
	}
	rand.Read(b) // never fails (crypto/rand)
	return SecretPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func checkSecretValue(s string, m *Metadata) error {
	if len(s) < minSecret || len(s) > maxSecret || !visible(s) || len(s) < m.hashLength() {
		return ErrWeakSecret
	}
	distinct := map[byte]bool{}
	for i := range len(s) {
		distinct[s[i]] = true
	}
	if len(distinct) < minDistinct {
		return ErrWeakSecret
	}
	return nil
}

// visible tells whether all of s is visible ASCII (no space).
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

// hashLength is how long a secret must be at least, in bytes, to be the key of what its client does with it.
func (m *Metadata) hashLength() int {
	switch m.TokenEndpointAuthSigningAlg {
	case "HS512":
		return 64
	case "HS384":
		return 48
	case "":
		if m.TokenEndpointAuthMethod == MethodSecretJWT { // any of them
			return 64
		}
	}
	return 32
}

// newSecret makes what is kept of a secret: its hash or, only as long as that is needed, the sealed secret.
func (r *Registry) newSecret(value string, m *Metadata, now time.Time) (Secret, error) {
	s := Secret{ID: uuid.Must(uuid.NewV7()).String(), CreatedAt: now}
	if !m.needsSecretValue() {
		s.Hash = r.hash(value)
		return s, nil
	}
	var err error
	s.Sealed, err = r.cfg.Keys.Sealer().Seal("client_secret", "sealed", s.ID, []byte(value))
	if err != nil {
		return Secret{}, fmt.Errorf("seal a client secret: %w", err)
	}
	return s, nil
}

func (r *Registry) hash(value string) []byte {
	mac := hmac.New(sha256.New, r.hashKey)
	mac.Write([]byte(value))
	return mac.Sum(nil)
}

// matches compares a presented secret with a client's live ones; c may be nil. The work is the same for a
// client that does not exist: one HMAC and liveSecrets comparisons. An empty hash matches nothing, whatever
// was presented.
func (r *Registry) matches(c *Client, presented string) bool {
	got := r.hash(presented)
	slots := make([][]byte, liveSecrets)
	if c != nil {
		for i, s := range c.live(r.cfg.Now()) {
			if i < liveSecrets {
				slots[i] = r.stored(s)
			}
		}
	}
	dummy := make([]byte, sha256.Size)
	ok := 0
	for _, want := range slots {
		usable := 1
		if len(want) != sha256.Size {
			want, usable = dummy, 0
		}
		ok |= subtle.ConstantTimeCompare(got, want) & usable
	}
	return ok == 1 && presented != ""
}

// stored is the hash to compare with; of a sealed secret it is made here.
func (r *Registry) stored(s Secret) []byte {
	if len(s.Hash) > 0 || len(s.Sealed) == 0 {
		return s.Hash
	}
	value := r.open(s)
	if len(value) == 0 {
		return nil
	}
	return r.hash(string(value))
}

// open gives a sealed secret's value; nil when it is not sealed, or cannot be opened.
func (r *Registry) open(s Secret) []byte {
	if len(s.Sealed) == 0 {
		return nil
	}
	value, err := r.cfg.Keys.Sealer().Open("client_secret", "sealed", s.ID, s.Sealed)
	if err != nil {
		return nil
	}
	return value
}

// values are the values of the client's live secrets, the newest first; none when they are kept as hashes.
func (r *Registry) values(c *Client) [][]byte {
	var list [][]byte
	for _, s := range c.live(r.cfg.Now()) {
		if v := r.open(s); len(v) > 0 {
			list = append(list, v)
		}
	}
	return list
}

// settleSecrets brings a client's secrets in line with what it registered. Without a method that has one, they go.
// One whose value is needed from now on is made anew, for of the old ones only hashes are left; when the value is
// needed no longer, it is hashed.
func (r *Registry) settleSecrets(ctx context.Context, c *Client) (shown string, err error) {
	now := r.cfg.Now()
	sealed := c.Metadata.needsSecretValue()
	var keep, fresh, gone []Secret
	for _, s := range c.Secrets {
		switch value := r.open(s); {
		case !c.Metadata.hasSecret(), sealed && len(value) < c.Metadata.hashLength():
			gone = append(gone, s)
		case !sealed && len(value) > 0:
			gone = append(gone, s)
			hashed := Secret{ID: uuid.Must(uuid.NewV7()).String(), Hash: r.hash(string(value)), CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt}
			fresh = append(fresh, hashed)
		default:
			keep = append(keep, s)
		}
	}
	c.Secrets = append(keep, fresh...)
	if c.Metadata.hasSecret() && len(c.live(now)) == 0 {
		shown = newSecretValue(&c.Metadata)
		s, err := r.newSecret(shown, &c.Metadata, now)
		if err != nil {
			return "", err
		}
		fresh = append(fresh, s)
		c.Secrets = append([]Secret{s}, c.Secrets...)
	}
	for _, s := range gone {
		if err := r.cfg.Store.DeleteClientSecret(ctx, s.ID); err != nil {
			return "", err
		}
	}
	for _, s := range fresh {
		if err := r.cfg.Store.InsertClientSecret(ctx, c.ID, s); err != nil {
			return "", err
		}
	}
	return shown, nil
}
