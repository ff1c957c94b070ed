package client

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/pkg/keys"
)

// ErrHint: it is no ID token of ours.
var ErrHint = errors.New("not an ID token of this server")

// Hint is what an ID token of ours says of whom it is about.
type Hint struct {
	Subject  string   `json:"sub"` // as the client in Audience knows the person
	SID      string   `json:"sid"`
	Audience Audience `json:"aud"`
	Own      bool     `json:"-"` // its audience can have made it itself
}

// ReadHint proves an id_token_hint (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2). It may have expired; its
// signature, issuer and kind must be ours. One that is signed with a client's own secret (HS256) is that client's
// word as much as ours, and is only accepted for that client, as its own. ErrHint, or the store's error.
func (r *Registry) ReadHint(ctx context.Context, raw string) (Hint, error) {
	if len(raw) > keys.MaxToken {
		return Hint{}, ErrHint
	}
	payload, typ, err := r.cfg.Keys.Verify(raw)
	own := err != nil
	if own {
		if payload, typ, err = r.verifySecret(ctx, raw); err != nil {
			return Hint{}, err
		}
	}
	var claims struct {
		Hint
		Issuer string `json:"iss"`
	}
	// Logout tokens and JWT access tokens have the same keys and another typ (RFC 8725 §3.11).
	if typ != "" && !strings.EqualFold(typ, "JWT") || json.Unmarshal(payload, &claims) != nil ||
		claims.Issuer != r.cfg.Issuer || claims.Subject == "" {
		return Hint{}, ErrHint
	}
	claims.Own = own
	return claims.Hint, nil
}

// verifySecret checks what was signed with the secret of the one client that it names as its audience.
func (r *Registry) verifySecret(ctx context.Context, raw string) (payload []byte, typ string, err error) {
	jws, err := parseJWT(raw, []string{"HS256"})
	if err != nil {
		return nil, "", ErrHint
	}
	var claims Hint
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claims) != nil || len(claims.Audience) != 1 {
		return nil, "", ErrHint
	}
	c, err := r.Get(ctx, claims.Audience[0])
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, "", ErrHint
	case err != nil:
		return nil, "", err
	case c.Metadata.IDTokenSignedResponseAlg != "HS256":
		return nil, "", ErrHint
	}
	for _, secret := range r.values(c) {
		if payload, err := jws.Verify(secret); err == nil {
			typ, _ = jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
			return payload, typ, nil
		}
	}
	return nil, "", ErrHint
}
