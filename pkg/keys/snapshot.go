package keys

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// snapshot is everything of the ring at one revision. It never changes once it is made.
type snapshot struct {
	revision int64
	rows     []Row
	keys     map[string]*Key            // kid → every key
	signing  map[string]*Key            // alg → the active key
	hints    map[string]jose.JSONWebKey // kid → what signed once, or does
	set      []byte
	etag     string
	until    time.Time // the first time at which the set changes by itself; zero: never
	secrets  map[string][]byte
}

// newSnapshot opens all rows as of now. ErrWrongSecret when one is sealed under a secret that is not here.
func newSnapshot(s *Sealer, revision int64, rows []Row, secrets []SecretRow, now time.Time, last *snapshot) (*snapshot, error) {
	snap := &snapshot{revision: revision, rows: rows, keys: map[string]*Key{}, signing: map[string]*Key{},
		hints: map[string]jose.JSONWebKey{}, secrets: map[string][]byte{}}
	for _, r := range secrets {
		plain, err := s.Open("secret", "sealed", r.Purpose, r.Sealed)
		if err != nil {
			return nil, fmt.Errorf("the secret %s: %w", r.Purpose, err)
		}
		snap.secrets[r.Purpose] = plain
	}
	slices.SortFunc(rows, func(a, b Row) int {
		// Two active keys of one algorithm cannot be; if they were, the newer one would sign.
		return cmp.Or(rank(a)-rank(b), byAlg(a.Alg, b.Alg), b.ActiveAt.Compare(a.ActiveAt), cmp.Compare(a.KID, b.KID))
	})
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, r := range rows {
		public, err := snap.add(s, r, last)
		if err != nil {
			return nil, err
		}
		if !published(r, now) {
			continue
		}
		set.Keys = append(set.Keys, public)
		if r.State == Retired && (snap.until.IsZero() || r.RemoveAt.Before(snap.until)) {
			snap.until = r.RemoveAt
		}
	}
	var err error
	if snap.set, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("encode the key set: %w", err)
	}
	sum := sha256.Sum256(snap.set)
	snap.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return snap, nil
}

// add takes one row in and returns its public key. Every row is opened, retired ones too: only a public half
// whose sealed private half is there as well is one of ours, and not written into the database by a stranger.
func (snap *snapshot) add(s *Sealer, r Row, last *snapshot) (jose.JSONWebKey, error) {
	k := last.opened(r)
	if k == nil {
		var err error
		if k, err = openRow(s, r); err != nil {
			return jose.JSONWebKey{}, fmt.Errorf("the signing key %s: %w", r.KID, err)
		}
	}
	snap.keys[r.KID] = k
	if r.State == Active && snap.signing[r.Alg] == nil {
		snap.signing[r.Alg] = k
	}
	public := jose.JSONWebKey{Key: k.Public, KeyID: r.KID, Algorithm: r.Alg, Use: "sig"}
	if r.State != Next && !disowned(r) {
		snap.hints[r.KID] = public
	}
	return public, nil
}

// opened finds a key that is open already, so that its signers live on.
func (snap *snapshot) opened(r Row) *Key {
	if snap == nil {
		return nil
	}
	for _, old := range snap.rows {
		if old.KID == r.KID && old.Alg == r.Alg && old.Public == r.Public && bytes.Equal(old.Sealed, r.Sealed) {
			return snap.keys[r.KID]
		}
	}
	return nil
}

// complete tells whether there is a key for every algorithm and a secret for every purpose.
func (snap *snapshot) complete() bool {
	for _, alg := range Algs {
		if snap.signing[alg] == nil {
			return false
		}
	}
	for _, purpose := range purposes {
		if snap.secrets[purpose] == nil {
			return false
		}
	}
	return true
}

func rank(r Row) int { return slices.Index([]string{Active, Next, Retired}, r.State) }

// published tells whether a key stands in the key set.
func published(r Row, now time.Time) bool {
	return r.State != Retired || now.Before(r.RemoveAt)
}

// disowned tells whether a key was retired by hand: who does that may know that a stranger has it, so what it
// signed proves nothing any more, not even as a hint.
func disowned(r Row) bool { return r.State == Retired && !r.RemoveAt.After(r.RetiredAt) }
