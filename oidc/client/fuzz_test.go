package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/storage/storagetest"
)

// keyed is a store with one client, which has a key.
type keyed struct {
	client.Store
	c *client.Client
}

func (k keyed) ReadClient(_ context.Context, id string) (*client.Client, error) {
	if id != k.c.ID {
		return nil, client.ErrNotFound
	}
	return k.c, nil
}

// FuzzJWT: whatever is shown as a JWT (a client assertion, a request object, an ID token as a hint) proves nothing but
// what its key has signed.
func FuzzJWT(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	public := jose.JSONWebKey{Key: private.Public(), KeyID: "k", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		f.Fatal(err)
	}
	m := valid()
	m.TokenEndpointAuthMethod, m.JWKS, m.RequireSignedRequestObject = client.MethodKeyJWT, set, true
	c := &client.Client{ID: "keyed", Metadata: m}
	r := client.NewRegistry(client.Config{Store: keyed{c: c}, Now: newClock().now, Issuer: issuer, Keys: storagetest.Ring(f)})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		f.Fatal(err)
	}
	signed, err := signer.Sign([]byte(`{"iss":"keyed","sub":"keyed","aud":"` + issuer + `","exp":1}`))
	if err != nil {
		f.Fatal(err)
	}
	good, err := signed.CompactSerialize()
	if err != nil {
		f.Fatal(err)
	}
	key, err := storagetest.Ring(f).Signer("ES256")
	if err != nil {
		f.Fatal(err)
	}
	hint, err := key.Sign(map[string]any{"iss": issuer, "sub": "s", "aud": "keyed"}, "JWT")
	if err != nil {
		f.Fatal(err)
	}
	for _, raw := range []string{
		good, hint, "eyJhbGciOiJub25lIn0.e30.", "..", "a.b.c.d.e", good[:len(good)-1], strings.Replace(good, ".", "..", 1), good + "=",
		"eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9.e30.AAAA", "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.e30.AAAA", strings.Repeat(".", 100),
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		proven := func(key any) bool {
			jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA})
			if err != nil {
				return false
			}
			_, err = jws.Verify(key)
			return err == nil
		}
		if _, err := r.RequestObject(t.Context(), c, raw); err == nil && !proven(private.Public()) {
			t.Errorf("a request object without the client's signature: %q", raw)
		}
		req := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/token"}, Header: http.Header{}, PostForm: url.Values{
			"client_assertion": {raw}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}}
		if got, err := r.Authenticate(req.WithContext(t.Context())); err == nil {
			t.Errorf("authenticated as %s: the one good assertion has expired", got.Client.ID)
		}
		if h, err := r.ReadHint(t.Context(), raw); err == nil && (!proven(key.Public) || h.Subject != "s") {
			t.Errorf("a hint without our signature: %q", raw)
		}
	})
}
