package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// assertionType is the one kind of client assertion (RFC 7523 §2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	maxJWT       = 16 << 10
	maxJTI       = 512
	maxAssertion = time.Hour        // from now to exp: so long its jti is kept
	skew         = 30 * time.Second // of the client's clock
)

// ErrReplayed: this client has used this jti before.
var ErrReplayed = errors.New("the jti was used before")

// parseJWT takes a compact JWS of the client's apart; nothing of it is proven. Headers that would change how it is to
// be read are refused, and jku, x5u, x5c and jwk are as if they were not there: a key comes from the registration
// alone (RFC 8725 §3.8; security cases G13, G14).
func parseJWT(raw string, algs []string) (*jose.JSONWebSignature, error) {
	if len(raw) > maxJWT || strings.Count(raw, ".") != 2 {
		return nil, errors.New("not a compact JWS") // five segments would be encrypted (G15)
	}
	list := make([]jose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		list[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(raw, list)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("not a JWS with an algorithm that is accepted here")
	}
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, there := jws.Signatures[0].Protected.ExtraHeaders[name]; there {
			return nil, errors.New("has a header that is not accepted here")
		}
	}
	return jws, nil
}

// Audience is the aud of a JWT: a string, or a list of them (RFC 7519 §4.1.3).
type Audience []string

// UnmarshalJSON reads either form.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// assertion is what a client says of itself (RFC 7523 §3).
type assertion struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
	ID        string   `json:"jti"`
}

// readAssertion reads who a request claims to be by its assertion, and how it is signed.
func readAssertion(cr credentials, raw, kind, id string) (credentials, error) {
	fail := func(reason string) (credentials, error) {
		return cr, &AuthError{ClientID: cr.id, Reason: reason}
	}
	cr.id = id
	if kind != assertionType {
		return fail("another client_assertion_type")
	}
	jws, err := parseJWT(raw, slices.Concat(KeyAlgs, SecretAlgs))
	if err != nil {
		return fail("the client_assertion is " + err.Error())
	}
	var claims assertion
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claims) != nil {
		return fail("the client_assertion is malformed")
	}
	if id != "" && id != claims.Subject || len(claims.Subject) > MaxID {
		return fail("the client_assertion is another client's than client_id")
	}
	cr.id, cr.assertion, cr.method = claims.Subject, jws, MethodKeyJWT
	if slices.Contains(SecretAlgs, jws.Signatures[0].Protected.Algorithm) {
		cr.method = MethodSecretJWT
	}
	return cr, nil
}

// checkAssertion proves a client by its assertion: signed with its own key or secret, meant for us, fresh, and never
// seen before. The jti is spent last: a forged assertion must not burn a real one's (H12). Its error is a reason to
// refuse, or the store's (which is no *AuthError).
func (r *Registry) checkAssertion(ctx context.Context, c *Client, jws *jose.JSONWebSignature, path string) (reason string, err error) {
	alg := jws.Signatures[0].Protected.Algorithm
	if want := c.Metadata.TokenEndpointAuthSigningAlg; want != "" && want != alg {
		return "signed with another algorithm than the registered one", nil
	}
	payload, err := r.assertionPayload(ctx, c, jws)
	if errors.Is(err, errNoKey) {
		return "wrong signature", nil
	} else if err != nil {
		return "", err
	}
	var claims assertion
	if json.Unmarshal(payload, &claims) != nil {
		return "malformed claims", nil
	}
	now := r.cfg.Now()
	switch {
	case claims.Issuer != c.ID || claims.Subject != c.ID:
		return "iss and sub are not the client", nil
	// One audience, and that is us: a list could have been made for another server, which would then be us here
	// (CVE-2025-27370).
	case len(claims.Audience) != 1 || !slices.Contains(r.audiences(path), claims.Audience[0]):
		return "meant for somebody else", nil
	case claims.Expires == nil || !now.Before(moment(*claims.Expires)):
		return "expired", nil
	case moment(*claims.Expires).Sub(now) > maxAssertion+skew:
		return "lives longer than an hour", nil
	case claims.NotBefore != nil && moment(*claims.NotBefore).Sub(now) > skew,
		claims.IssuedAt != nil && moment(*claims.IssuedAt).Sub(now) > skew:
		return "not valid yet", nil
	case claims.ID == "" || len(claims.ID) > maxJTI:
		return "no jti", nil
	}
	// The client is part of the key: one client cannot burn the jti of another.
	sum := sha256.Sum256([]byte(c.ID + "\x00" + claims.ID))
	err = r.cfg.Store.SpendJTI(ctx, sum[:], moment(*claims.Expires).Add(skew))
	if errors.Is(err, ErrReplayed) {
		return "replayed", nil
	} else if err != nil {
		return "", fmt.Errorf("spend a jti: %w", err)
	}
	return "", nil
}

func (r *Registry) assertionPayload(ctx context.Context, c *Client, jws *jose.JSONWebSignature) ([]byte, error) {
	if c.Metadata.TokenEndpointAuthMethod != MethodSecretJWT {
		return r.verify(ctx, c, jws)
	}
	for _, secret := range r.values(c) {
		if payload, err := jws.Verify(secret); err == nil {
			return payload, nil
		}
	}
	return nil, errNoKey
}

// audiences are the names that an assertion may call us by: the issuer, the token endpoint (RFC 7523 §3), and the
// endpoint that was asked (RFC 9126 §2).
func (r *Registry) audiences(path string) []string {
	return []string{r.cfg.Issuer, r.cfg.Issuer + "/token", r.cfg.Issuer + path}
}

// moment is a NumericDate (RFC 7519 §2). What no time.Time can be is long past.
func moment(seconds float64) time.Time {
	const most = 1 << 40
	if !(seconds > 0 && seconds < most) {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}
