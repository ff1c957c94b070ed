package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/outbound"
)

// web is where the sites of a test keep what the server fetches, over TLS, and the one client that may.
type web struct {
	server *httptest.Server
	client *outbound.Client

	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	hits  map[string]int
}

func newWeb(t testing.TB) *web {
	t.Helper()
	w := &web{pages: map[string]http.HandlerFunc{}, hits: map[string]int{}}
	w.server = httptest.NewTLSServer(w)
	t.Cleanup(w.server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.client, err = outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: ca, Issuer: issuer}); err != nil {
		t.Fatal(err)
	}
	return w
}

// ServeHTTP answers with the page that is there now.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.hits[r.URL.Path]++
	page := w.pages[r.URL.Path]
	w.mu.Unlock()
	if page == nil {
		http.NotFound(rw, r)
		return
	}
	page(rw, r)
}

// put has a path say something from now on, and gives its address.
func (w *web) put(path, body string) string {
	return w.handle(path, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(body)) })
}

func (w *web) handle(path string, fn http.HandlerFunc) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[path] = fn
	return w.server.URL + path
}

// asked tells how often a path was fetched.
func (w *web) asked(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[path]
}

// key is a key pair of a site.
type key struct {
	alg string
	kid string
	key crypto.Signer
}

// newRSA is slow: one is enough.
var newRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newKey(t *testing.T, alg, kid string) key {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = newRSA()
	}
	if err != nil {
		t.Fatal(err)
	}
	return key{alg, kid, private}
}

// set is the public key set of some keys.
func set(t *testing.T, keys ...key) json.RawMessage {
	t.Helper()
	list := jose.JSONWebKeySet{}
	for _, k := range keys {
		list.Keys = append(list.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.kid, Use: "sig"})
	}
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sign makes a JWT; header adds to its header.
func (k key) sign(t *testing.T, claims any, header map[string]any) string {
	t.Helper()
	return signWith(t, k.alg, k.key, k.kid, claims, header)
}

func signWith(t *testing.T, alg string, secret any, kid string, claims any, header map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	for name, v := range header {
		opts.WithHeader(jose.HeaderKey(name), v)
	}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: secret}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// unsigned is a JWT with the algorithm none.
func unsigned(t *testing.T, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return b64(`{"alg":"none"}`) + "." + b64(string(payload)) + "."
}

// keyed is a site that authenticates with a key of its own.
func keyed(jwks json.RawMessage) func(c *client.Client) {
	return func(c *client.Client) {
		c.Metadata.TokenEndpointAuthMethod, c.Metadata.JWKS = client.MethodKeyJWT, jwks
	}
}

// secretJWT proves a JWT that was signed with a client's secret, and gives its claims.
func secretJWT(t *testing.T, raw, secret string) (claims map[string]any) {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	payload, err := parsed.Verify([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
