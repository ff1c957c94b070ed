package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet  = 64 << 10 // bytes
	maxKeys    = 20
	maxKeySets = 1000 // in the process

	minRSA = 2048 // bits
	maxRSA = 8192 // bits: what more costs is the point of sending it (security case S3)

	refetchEvery = time.Minute      // a jwks_uri, over all replicas
	keySetFresh  = 15 * time.Minute // then it is looked at again
	keySetUsable = 24 * time.Hour   // when looking fails
	fetchTakes   = 6 * time.Second  // longer than outbound allows
)

// errNoKey: none of the client's keys made the signature.
var errNoKey = errors.New("no key of the client made this signature")

// checkKeys judges the client's key set: public keys only (RFC 7591 §2), each of which can be read.
func (m *Metadata) checkKeys(ValidateOptions) error {
	switch {
	case len(m.JWKS) == 0:
		return nil
	case m.JWKSURI != "":
		return refuse("jwks", "and jwks_uri exclude each other")
	}
	if _, err := parseKeySet(m.JWKS); err != nil {
		return refuse("jwks", "%v", err)
	}
	return nil
}

// parseKeySet reads a JWK set (RFC 7517 §5). Kinds of keys that we do not know are passed over (§5: "SHOULD ignore");
// of those that we know each must be public, and neither weak nor so large that a signature costs us more than its
// maker.
func parseKeySet(raw []byte) ([]jose.JSONWebKey, error) {
	if len(raw) > maxKeySet {
		return nil, fmt.Errorf("must not be larger than %d bytes", maxKeySet)
	}
	members, err := object(raw)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(members["keys"], &list); err != nil || len(list) == 0 || len(list) > maxKeys {
		return nil, fmt.Errorf("must have 1 to %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	ids := map[string]bool{}
	for _, one := range list {
		var kind struct {
			Type string `json:"kty"`
			Use  string `json:"use"`
		}
		if err := json.Unmarshal(one, &kind); err != nil || kind.Type == "" {
			return nil, errors.New("has a key that cannot be read")
		}
		if !slices.Contains([]string{"RSA", "EC", "OKP", "oct"}, kind.Type) {
			continue
		}
		var key jose.JSONWebKey
		if err := json.Unmarshal(one, &key); err != nil || !key.Valid() {
			if kind.Type == "OKP" {
				continue // X25519 and the like: not for signatures
			}
			return nil, errors.New("has a key that cannot be read")
		}
		// A symmetric key is never public; a private one has become known by being sent here.
		if !key.IsPublic() {
			return nil, errors.New("must hold public keys only")
		}
		if kind.Use == "enc" {
			continue // we encrypt to nobody
		}
		if err := strength(key.Key); err != nil {
			return nil, err
		}
		if key.KeyID != "" && ids[key.KeyID] {
			return nil, errors.New("has two keys with one kid")
		}
		ids[key.KeyID] = true
		keys = append(keys, key)
	}
	return keys, nil
}

func strength(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA || k.E < 3 || k.E%2 == 0 {
			return fmt.Errorf("has an RSA key that does not have %d to %d bits and an odd exponent of at least 3", minRSA, maxRSA)
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return errors.New("has an EC key on another curve than P-256, P-384 and P-521")
		}
	}
	return nil
}

// KeySet is a row of what stood behind a jwks_uri.
type KeySet struct {
	Body      []byte
	TriedAt   time.Time // it was last asked for; zero: never
	EndedAt   time.Time // that attempt was over; before TriedAt: it may be under way
	FetchedAt time.Time // it last answered with a key set; zero: never
}

// keySet is one, read.
type keySet struct {
	keys    []jose.JSONWebKey
	fetched time.Time
}

// verify checks a signature of the client's own keys, and returns what was signed. errNoKey when none of them made
// it, also after the jwks_uri was asked again, where it may be (OpenID Connect Core §10.1.1).
func (r *Registry) verify(ctx context.Context, c *Client, jws *jose.JSONWebSignature) ([]byte, error) {
	m := &c.Metadata
	switch {
	case len(m.JWKS) > 0:
		keys, err := parseKeySet(m.JWKS)
		if err != nil {
			return nil, errNoKey
		}
		return verifyWith(keys, jws)
	case m.JWKSURI == "":
		return nil, errNoKey
	}
	set, err := r.remoteKeys(ctx, m.JWKSURI, time.Time{})
	if err != nil {
		return nil, err
	}
	payload, err := verifyWith(set.keys, jws)
	if err == nil {
		return payload, nil
	}
	// An unknown kid, or a key of the same kid that was replaced: the client may have changed its keys.
	newer, err := r.remoteKeys(ctx, m.JWKSURI, set.fetched)
	if err != nil {
		return nil, err
	}
	return verifyWith(newer.keys, jws)
}

// verifyWith tries the keys that may have made the signature: of its kid and kind, and meant for signing.
func verifyWith(keys []jose.JSONWebKey, jws *jose.JSONWebSignature) ([]byte, error) {
	header := jws.Signatures[0].Protected
	for _, key := range keys {
		switch {
		case key.Use != "" && key.Use != "sig",
			key.KeyID != "" && header.KeyID != "" && key.KeyID != header.KeyID,
			// RFC 8725 §3.1: a key that names its algorithm signs with no other.
			key.Algorithm != "" && key.Algorithm != header.Algorithm,
			!fits(key.Key, header.Algorithm):
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errNoKey
}

// fits tells whether an algorithm is one of the key's kind.
func fits(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return alg[:2] == "RS" || alg[:2] == "PS"
	case *ecdsa.PublicKey:
		return alg == map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512"}[k.Curve]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// remoteKeys is what stands behind a jwks_uri, fetched after a time if that may be: at most once a minute over all
// replicas, so that nobody makes us flood a site with made-up kids (H08). When it may not, or fails, the last known.
func (r *Registry) remoteKeys(ctx context.Context, uri string, after time.Time) (*keySet, error) {
	r.mu.Lock()
	known, _ := r.keySets.get(uri)
	r.mu.Unlock()
	if known != nil && known.fetched.After(after) && r.cfg.Now().Sub(known.fetched) < keySetFresh {
		return known, nil
	}
	done := r.load.DoChan("jwks\x00"+uri, func() (any, error) { return r.loadKeys(uri, after) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case res := <-done:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*keySet), nil
	}
}

// loadKeys takes what another replica has fetched, else fetches, else waits for the one that does. It runs in a
// context of its own: it is for all who wait.
func (r *Registry) loadKeys(uri string, after time.Time) (*keySet, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTakes+loadTimeout)
	defer cancel()
	row, err := r.cfg.Store.ReadKeySet(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("read a key set: %w", err)
	}
	now := r.cfg.Now()
	if row.FetchedAt.After(after) && now.Sub(row.FetchedAt) < keySetFresh {
		return r.keepKeys(uri, row)
	}
	mine, err := r.cfg.Store.ClaimKeySet(ctx, uri, now, now.Add(-refetchEvery))
	if err != nil {
		return nil, fmt.Errorf("claim a key set: %w", err)
	}
	if mine {
		return r.fetchKeys(ctx, uri, row)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if row, err = r.cfg.Store.ReadKeySet(ctx, uri); err != nil {
			return nil, fmt.Errorf("read a key set: %w", err)
		}
		if underWay := row.EndedAt.Before(row.TriedAt) && r.cfg.Now().Sub(row.TriedAt) < fetchTakes; !underWay || row.FetchedAt.After(after) {
			return r.keepKeys(uri, row)
		}
		select {
		case <-ctx.Done():
			return r.keepKeys(uri, row)
		case <-tick.C:
		}
	}
}

// fetchKeys fetches the document, keeps it where it is a key set, and tells whoever waits that the attempt is over.
func (r *Registry) fetchKeys(ctx context.Context, uri string, row KeySet) (*keySet, error) {
	body, err := r.fetchDocument(ctx, uri, maxKeySet)
	if err == nil {
		_, err = parseKeySet(body)
	}
	row.EndedAt = r.cfg.Now()
	if err == nil {
		row.Body, row.FetchedAt = body, row.EndedAt
	}
	if err := r.cfg.Store.SaveKeySet(ctx, uri, row); err != nil {
		return nil, fmt.Errorf("keep a key set: %w", err)
	}
	return r.keepKeys(uri, row)
}

// keepKeys reads a row's keys and keeps them in the process; none when it is too old to be believed.
func (r *Registry) keepKeys(uri string, row KeySet) (*keySet, error) {
	if row.FetchedAt.IsZero() || r.cfg.Now().Sub(row.FetchedAt) > keySetUsable {
		return &keySet{}, nil
	}
	keys, err := parseKeySet(row.Body)
	if err != nil {
		return &keySet{}, nil
	}
	set := &keySet{keys: keys, fetched: row.FetchedAt}
	r.mu.Lock()
	r.keySets.put(uri, set, len(row.Body))
	r.mu.Unlock()
	return set, nil
}
