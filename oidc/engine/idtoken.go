package engine

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
)

// idTokens makes ID tokens of what the unit of work knows. fosite's own strategy would invent auth_time and acr,
// leak a claim of its own (H18), hash for the wrong algorithm (H21) and know one key only (H32).
type idTokens struct{ engine *Engine }

var _ openid.OpenIDConnectTokenStrategy = (*idTokens)(nil)

// GenerateIDToken makes the ID token of an authorization response, a code exchange or a refresh (OpenID Connect
// Core §2, §3.2.2.10, §3.3.2.11, §12.2).
func (t *idTokens) GenerateIDToken(ctx context.Context, _ time.Duration, _ fosite.Requester) (string, error) {
	w := workOf(ctx)
	g, person := w.mine()
	alg := w.client.IDTokenAlg()
	// What scopes ask for stands at /userinfo; but here where there will be no access token to ask it with (§5.4).
	var scopes []string
	if slices.Equal(w.responses, []string{"id_token"}) {
		scopes = g.Scopes
	}
	claims := person.Given(scopes, g.Asked("id_token"))
	claims["iss"] = t.engine.cfg.Issuer
	claims["sub"] = t.engine.cfg.Clients.Subject(w.client, person.Sub)
	claims["aud"] = g.ClientID
	claims["iat"] = w.now.Unix()
	claims["exp"] = w.now.Add(t.engine.cfg.IDTokenLifetime).Unix()
	// Always there, so that max_age, require_auth_time and default_max_age are met without being remembered.
	claims["auth_time"] = g.AuthTime.Unix()
	if w.access != "" {
		claims["at_hash"] = leftHalf(alg, w.access)
	}
	if w.rawCode != "" {
		claims["c_hash"] = leftHalf(alg, w.rawCode)
	}
	if g.ACR != "" {
		claims["acr"] = g.ACR
	}
	if len(g.AMR) > 0 {
		claims["amr"] = g.AMR
	}
	nonce := w.nonce
	if w.code != nil {
		nonce = w.code.Code.Nonce
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if g.SID != "" && w.client.KnowsSessions() {
		claims["sid"] = g.SID
	}
	signed, err := t.engine.cfg.Clients.Sign(w.client, alg, claims, "JWT")
	if err != nil {
		return "", fmt.Errorf("sign an ID token: %w", err)
	}
	return signed, nil
}

// leftHalf is at_hash and c_hash: the left half of the hash that belongs to the signature's algorithm
// (OpenID Connect Core §3.1.3.6); SHA-512 for Ed25519, which hashes so itself (H21).
func leftHalf(alg, value string) string {
	var sum []byte
	switch {
	case alg == "EdDSA", strings.HasSuffix(alg, "512"):
		h := sha512.Sum512([]byte(value))
		sum = h[:]
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(value))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(value))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
