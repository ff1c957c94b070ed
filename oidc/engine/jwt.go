package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/keys"
)

// typeAccess is the typ of access tokens that are JWTs (RFC 9068 §2.1): nothing else of ours that is signed is one.
const typeAccess = "at+jwt"

// jwtAccess makes an access token as a JWT (RFC 9068 §2.2). It has a row like any other: whoever asks us hears of its
// revocation, while a resource server that looks at its signature alone trusts it until it expires.
func (e *Engine) jwtAccess(ctx context.Context, w *work, scopes, audience []string) (string, error) {
	g, person := w.mine()
	jti := make([]byte, randomBytes)
	if _, err := rand.Read(jti); err != nil {
		return "", err
	}
	claims := map[string]any{
		"iss": e.cfg.Issuer, "client_id": w.client.ID, "sub": w.client.ID,
		"iat": w.now.Unix(), "exp": e.accessExpiry(w).Unix(), "jti": base64.RawURLEncoding.EncodeToString(jti),
		// §3: without a resource, the one that this server itself is.
		"aud": e.cfg.Issuer,
	}
	switch len(audience) {
	case 0:
	case 1:
		claims["aud"] = audience[0]
	default:
		claims["aud"] = audience
	}
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	if person != nil {
		sub, err := e.subjectAt(ctx, w.client, person.Sub, audience)
		if err != nil {
			return "", err
		}
		claims["sub"], claims["auth_time"] = sub, g.AuthTime.Unix()
		if g.ACR != "" {
			claims["acr"] = g.ACR
		}
		if len(g.AMR) > 0 {
			claims["amr"] = g.AMR
		}
	}
	alg := w.client.IDTokenAlg()
	if strings.HasPrefix(alg, "HS") { // a resource server does not have the client's secret
		alg = "RS256"
	}
	signed, err := e.cfg.Clients.Sign(w.client, alg, claims, typeAccess)
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	if len(signed) > keys.MaxToken {
		// It could be neither revoked nor looked at, and hardly sent.
		return "", Refuse(InvalidTarget, "The access token would be too long: name fewer resources.")
	}
	return signed, nil
}

// subjectAt is the person as whoever receives the token knows it: each resource's own server, else the client.
func (e *Engine) subjectAt(ctx context.Context, c *client.Client, sub string, audience []string) (string, error) {
	out := e.cfg.Clients.Subject(c, sub)
	for i, resource := range audience {
		receiver, err := e.cfg.Clients.ResourceServer(ctx, resource)
		if errors.Is(err, client.ErrNotFound) {
			receiver = c
		} else if err != nil {
			return "", Failed(err)
		}
		known := e.cfg.Clients.Subject(receiver, sub)
		if i > 0 && known != out {
			return "", Refuse(InvalidTarget, "These resources know the person by different subjects: name one of them.")
		}
		out = known
	}
	return out, nil
}

// accessHash is the SHA-256 that the row of an access token has; nil when raw cannot be one: neither of our format
// nor a JWT that we signed for this purpose. No database is asked about anything else.
func (e *Engine) accessHash(raw string) []byte {
	if strings.Count(raw, ".") != 2 {
		return hashOf(accessPrefix, raw)
	}
	if _, typ, err := e.cfg.Keys.Verify(raw); err != nil || typ != typeAccess {
		return nil // an ID token is no access token (H11)
	}
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}
