package main

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256" // the hashes of at_hash
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// provider is the server under load, as its discovery document tells (OpenID Connect Discovery §4).
type provider struct {
	issuer                               string
	wellKnown, jwks                      *url.URL
	authorize, token, introspect, person *url.URL // nil: it has none
	sendsIss                             bool     // RFC 9207 §3
	document                             []byte   // as it was first answered, and found right
	first                                metadata // what it said

	mu      sync.Mutex
	keySet  []byte             // as it was last found right
	keys    jose.JSONWebKeySet // all that were ever published: none goes
	signer  *jose.JSONWebKey   // of the last ID token; nil: there was none
	fetched time.Time
}

// metadata is what we use of a discovery document.
type metadata struct {
	Issuer     string `json:"issuer"`
	Authorize  string `json:"authorization_endpoint"`
	Token      string `json:"token_endpoint"`
	Introspect string `json:"introspection_endpoint"`
	Userinfo   string `json:"userinfo_endpoint"`
	JWKS       string `json:"jwks_uri"`
	SendsIss   bool   `json:"authorization_response_iss_parameter_supported"`
}

// clockSkew is how far the provider's clock may be off ours.
const clockSkew = 2 * time.Minute

// discover reads the discovery document and the key set.
func discover(ctx context.Context, a *agent, issuer string) (*provider, error) {
	base, err := url.Parse(issuer)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.Fragment != "" {
		return nil, &usageError{fmt.Errorf("the issuer %q is not a URL such as https://passport.example", issuer)}
	}
	p := &provider{issuer: issuer}
	if p.wellKnown, err = url.Parse(strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"); err != nil {
		return nil, err
	}
	got, err := a.get(ctx, p.wellKnown)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its configuration: %w", issuer, faultOf(err))
	}
	if err := p.checkDocument(got); err != nil {
		return nil, fmt.Errorf("ask %s for its configuration: %w", issuer, err)
	}
	p.document = got.body
	if got, err = a.get(ctx, p.jwks); err != nil {
		return nil, fmt.Errorf("ask for the key set: %w", faultOf(err))
	}
	if err := p.checkKeys(got); err != nil {
		return nil, fmt.Errorf("ask for the key set: %w", err)
	}
	return p, nil
}

// checkDocument judges a discovery document. The same bytes as before are right as they were before.
func (p *provider) checkDocument(a *answer) error {
	if a.status != 200 {
		return statusFault(a)
	}
	if p.document != nil && bytes.Equal(a.body, p.document) {
		return nil
	}
	var m metadata
	if err := json.Unmarshal(a.body, &m); err != nil {
		return faultf("not a discovery document", "%v", err)
	}
	if m.Issuer != p.issuer { // Discovery §4.3: it must be the same, to the last slash
		return faultf("wrong iss", "the document is of the issuer %q, not %q: give --issuer as the document has it", m.Issuer, p.issuer)
	}
	if p.document != nil {
		if m != p.first {
			return faultf("another document", "its endpoints are not those of the first")
		}
		return nil // what we do not use may change
	}
	p.first, p.sendsIss = m, m.SendsIss
	for name, e := range map[string]struct {
		raw string
		to  **url.URL
	}{
		"authorization_endpoint": {m.Authorize, &p.authorize}, "token_endpoint": {m.Token, &p.token},
		"introspection_endpoint": {m.Introspect, &p.introspect}, "userinfo_endpoint": {m.Userinfo, &p.person}, "jwks_uri": {m.JWKS, &p.jwks},
	} {
		if e.raw == "" && name != "jwks_uri" {
			continue
		}
		u, err := url.Parse(e.raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return faultf("not a discovery document", "its %s is %q", name, e.raw)
		}
		if p.wellKnown.Scheme == "https" && u.Scheme != "https" { // secrets, codes and tokens go there
			return faultf("not a discovery document", "its %s is plain http: %q", name, e.raw)
		}
		*e.to = u
	}
	return nil
}

// checkKeys judges a key set, and adds what it holds to what we know: one wrong answer shall not make ID tokens wrong.
func (p *provider) checkKeys(a *answer) error {
	if a.status != 200 {
		return statusFault(a)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keySet != nil && bytes.Equal(a.body, p.keySet) {
		return nil
	}
	set, err := readKeys(a.body)
	if err != nil {
		return err
	}
	withdrawn := len(p.keys.Keys) > 0 && !p.stays(set)
	for _, k := range set {
		if !holds(p.keys.Keys, k) {
			p.keys.Keys = append(p.keys.Keys, k)
		}
	}
	p.fetched = time.Now()
	if withdrawn { // until an ID token comes that another key has signed
		return faultf("key withdrawn", "the key that signs is gone")
	}
	p.keySet = a.body
	return nil
}

// readKeys reads the keys of a set, without those of a kind that we do not know (RFC 7517 §5).
func readKeys(body []byte) (keys []jose.JSONWebKey, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, faultf("not a key set", "%v", err)
	}
	for _, raw := range set.Keys {
		var members map[string]any
		if json.Unmarshal(raw, &members) != nil {
			return nil, faultf("not a key set", "one of its keys is no object")
		}
		if members["d"] != nil || members["k"] != nil { // RFC 7518 §6.2.2, §6.3.2, §6.4.1: also of a kind that we do not know
			kid, _ := members["kid"].(string) // it need not have one
			return nil, faultf("secret key published", "%q is private or symmetric", kid)
		}
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, faultf("not a key set", "it has no keys, or none of a kind that passload knows")
	}
	return keys, nil
}

// stays tells whether a later key set has the key that signs; as long as none has, any of those that there were. The lock is held.
func (p *provider) stays(later []jose.JSONWebKey) bool {
	if p.signer != nil {
		return holds(later, *p.signer)
	}
	return slices.ContainsFunc(p.keys.Keys, func(k jose.JSONWebKey) bool { return holds(later, k) })
}

// holds tells whether a key is among public ones, under the same kid.
func holds(set []jose.JSONWebKey, key jose.JSONWebKey) bool {
	public, ok := key.Key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && slices.ContainsFunc(set, func(k jose.JSONWebKey) bool { return k.KeyID == key.KeyID && public.Equal(k.Key) })
}

// key finds the published keys that may have signed; an unknown kid asks for the key set again, for a key may have
// been rotated while we run.
func (p *provider) key(ctx context.Context, a *agent, kid string) ([]jose.JSONWebKey, error) {
	p.mu.Lock()
	found, old := p.keys.Keys, time.Since(p.fetched) > 5*time.Second
	if kid != "" {
		found = p.keys.Key(kid)
	}
	p.mu.Unlock()
	if len(found) > 0 || !old {
		return found, nil
	}
	got, err := a.get(ctx, p.jwks)
	if err != nil {
		return nil, err
	}
	if err := p.checkKeys(got); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetched = time.Now() // not again at once, even if nothing is new
	return p.keys.Key(kid), nil
}

// claims are those of an ID token that are judged.
type claims struct {
	Iss    string   `json:"iss"`
	Sub    string   `json:"sub"`
	Aud    audience `json:"aud"`
	Azp    string   `json:"azp"`
	Exp    float64  `json:"exp"`
	Iat    float64  `json:"iat"`
	Nonce  string   `json:"nonce"`
	AtHash string   `json:"at_hash"`
}

// audience is one, or a list (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// algs are the signatures that an ID token may have. "none" is not one.
var algs = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512}

// wanted is what an ID token must say.
type wanted struct {
	clientID, secret string
	nonce            string // empty: none was sent
	access           string // the access token beside it, for at_hash
}

// verify judges an ID token (OpenID Connect Core §3.1.3.7).
func (p *provider) verify(ctx context.Context, a *agent, raw string, w wanted) (*claims, error) {
	parsed, err := jose.ParseSignedCompact(raw, algs)
	if err != nil {
		return nil, faultf("bad ID token", "%v", err)
	}
	header := parsed.Signatures[0].Header
	payload, err := p.open(ctx, a, parsed, w.secret)
	if err != nil {
		return nil, err
	}
	c := &claims{}
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, faultf("bad ID token", "%v", err)
	}
	now := time.Now()
	switch {
	case c.Iss != p.issuer:
		return nil, faultf("wrong iss", "the ID token is of %q", c.Iss)
	case !slices.Contains(c.Aud, w.clientID):
		return nil, faultf("wrong aud", "the ID token is not for %q", w.clientID)
	case c.Azp != "" && c.Azp != w.clientID:
		return nil, faultf("wrong azp", "the ID token was issued to another client")
	case c.Sub == "":
		return nil, faultf("wrong sub", "the ID token has none")
	case past(c.Exp):
		return nil, faultf("expired ID token", "or the clocks differ")
	case c.Iat == 0 || now.Add(clockSkew).Before(time.Unix(int64(c.Iat), 0)):
		return nil, faultf("wrong iat", "the ID token is of the future, or the clocks differ")
	case w.nonce != "" && c.Nonce != w.nonce:
		return nil, faultf("wrong nonce", "the ID token is for another request")
	case c.AtHash != "" && c.AtHash != leftHalf(header.Algorithm, w.access):
		return nil, faultf("wrong at_hash", "the ID token is for another access token")
	}
	return c, nil
}

// past tells whether a time of a token (NumericDate, RFC 7519 §2) is over by both clocks.
func past(t float64) bool { return time.Now().Add(-clockSkew).After(time.Unix(int64(t), 0)) }

// open checks the signature and gives what was signed.
func (p *provider) open(ctx context.Context, a *agent, parsed *jose.JSONWebSignature, secret string) ([]byte, error) {
	header := parsed.Signatures[0].Header
	if strings.HasPrefix(header.Algorithm, "HS") { // Core §10.1: by the client's secret, never by what is published
		payload, err := parsed.Verify([]byte(secret))
		if secret == "" || err != nil {
			return nil, faultf("bad signature", "%s", header.Algorithm)
		}
		return payload, nil
	}
	keys, err := p.key(ctx, a, header.KeyID)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := parsed.Verify(k.Key); err == nil {
			p.mu.Lock()
			p.signer = &k
			p.mu.Unlock()
			return payload, nil
		}
	}
	return nil, faultf("bad signature", "%s, by no published key of that kid", header.Algorithm)
}

// leftHalf is at_hash (Core §3.1.3.6); EdDSA takes SHA-512 (Ed25519).
func leftHalf(alg, token string) string {
	h := crypto.SHA256
	switch {
	case alg == "EdDSA" || strings.HasSuffix(alg, "512"):
		h = crypto.SHA512
	case strings.HasSuffix(alg, "384"):
		h = crypto.SHA384
	}
	sum := h.New()
	_, _ = sum.Write([]byte(token)) // a hash takes everything
	b := sum.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(b[:len(b)/2])
}

// lacks names an endpoint that the provider does not publish.
func (p *provider) lacks(endpoint string) error {
	return fmt.Errorf("%s publishes no %s", p.issuer, endpoint)
}
