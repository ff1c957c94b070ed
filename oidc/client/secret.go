package client

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
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

// Sealer opens secrets that are kept sealed. *keys.Sealer is one.
type Sealer interface {
	Open(table, column, row string, sealed []byte) ([]byte, error)
}

// newSecretValue draws a secret of 256 bits.
func newSecretValue() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

func checkSecretValue(s string) error {
	if len(s) < minSecret || len(s) > maxSecret || !visible(s) {
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

func (r *Registry) newSecret(value string, now time.Time) Secret {
	return Secret{ID: uuid.Must(uuid.NewV7()).String(), Hash: r.hash(value), CreatedAt: now}
}

func (r *Registry) hash(value string) []byte {
	mac := hmac.New(sha256.New, r.cfg.HashKey)
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
	if len(s.Hash) > 0 || len(s.Sealed) == 0 || r.cfg.Sealer == nil {
		return s.Hash
	}
	value, err := r.cfg.Sealer.Open("client_secret", "sealed", s.ID, s.Sealed)
	if err != nil || len(value) == 0 {
		return nil
	}
	return r.hash(string(value))
}
