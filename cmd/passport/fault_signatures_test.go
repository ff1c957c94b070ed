//go:build fault && !e2e

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// keys is I16: what was signed is verified by the key set of each replica, and keys were published before they signed.
func (j *judge) keys() {
	sets := map[string]map[string]crypto.PublicKey{}
	for _, base := range j.Replicas {
		set, err := keySet(base)
		if err != nil {
			j.wrong("I16: the keys of %s: %v", base, err)
			continue
		}
		sets[base] = set
	}
	for _, a := range j.acts {
		if a.Outcome != acked || a.ID == "" || a.Op == "letter" {
			continue
		}
		for base, set := range sets {
			if err := verify(a.ID, set); err != nil {
				j.wrong("I16: the ID token of act %d at %s: %v", a.N, base, err)
			}
		}
	}
	if n := j.count(`SELECT count(*) - count(DISTINCT kid) FROM signing_key`); n != 0 {
		j.wrong("I16: %d keys have the name of another", n)
	}
	if n := j.count(`SELECT count(*) FROM signing_key WHERE active_at <> created_at AND active_at < created_at + $1`, j.KeySetMaxAge); n != 0 {
		j.wrong("I16: %d keys signed before every copy of the key set had them", n)
	}
	if n := j.count(`SELECT count(*) FROM (SELECT 1 FROM signing_key WHERE state = 'active' GROUP BY purpose, alg HAVING count(*) > 1) AS twice`); n != 0 {
		j.wrong("I16: %d algorithms have two keys that sign", n)
	}
}

// keySet are the RSA and P-256 keys that a replica publishes.
func keySet(base string) (map[string]crypto.PublicKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	req.Host = visitedHost
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var doc struct {
		Keys []struct{ Kid, Kty, Crv, N, E, X, Y string }
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %w", res.StatusCode, err)
	}
	set := map[string]crypto.PublicKey{}
	number := func(s string) *big.Int {
		raw, _ := base64.RawURLEncoding.DecodeString(s) // what cannot be read verifies nothing
		return new(big.Int).SetBytes(raw)
	}
	for _, k := range doc.Keys {
		if set[k.Kid] != nil {
			return nil, fmt.Errorf("key %q is there twice", k.Kid)
		}
		switch {
		case k.Kty == "RSA":
			set[k.Kid] = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		case k.Crv == "P-256":
			point := make([]byte, 1+2*32)
			point[0] = 4 // uncompressed, SEC 1 §2.3.3
			number(k.X).FillBytes(point[1:33])
			number(k.Y).FillBytes(point[33:])
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", k.Kid, err)
			}
			set[k.Kid] = key
		}
	}
	return set, nil
}

// verify looks at a JWT's signature (RS256, ES256).
func verify(token string, set map[string]crypto.PublicKey) error {
	head, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return err
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(text, &header); err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return err
	}
	signed := sum(head + "." + payload)
	switch key := set[header.Kid].(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, signed, sig)
	case *ecdsa.PublicKey:
		if len(sig) == 64 && ecdsa.Verify(key, signed, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			return nil
		}
		return errors.New("the signature is wrong")
	}
	return fmt.Errorf("no key %s", header.Kid)
}
