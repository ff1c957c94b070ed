package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

// object are the claims of a good request object; pairs change them, nil takes one away.
func (w *world) object(s *site, changes ...any) map[string]any {
	m := map[string]any{
		"iss": s.ID, "aud": issuer, "exp": w.now().Add(5 * time.Minute).Unix(), "iat": w.now().Unix(),
		"client_id": s.ID, "response_type": "code", "redirect_uri": redirect, "scope": "openid profile", "state": "inside",
		"nonce": "inside", "code_challenge": challenge, "code_challenge_method": "S256",
	}
	for i := 0; i < len(changes); i += 2 {
		if name := changes[i].(string); changes[i+1] == nil {
			delete(m, name)
		} else {
			m[name] = changes[i+1]
		}
	}
	return m
}

// TestRequestObjects: section J, and RFC 9101.
func TestRequestObjects(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		k := newKey(t, "ES256", "k1")
		s := w.site(t, func(c *client.Client) { c.Metadata.JWKS = set(t, k) })
		signed := func(changes ...any) string { return k.sign(t, w.object(s, changes...), nil) }
		// with is a request that has an object beside the parameters that OpenID Connect wants outside.
		with := func(raw string, changes ...string) url.Values {
			return pairs(url.Values{"client_id": {s.ID}, "response_type": {"code"}, "scope": {"openid"}, "request": {raw},
				"redirect_uri": {redirect}, "state": {"outside"}}, changes)
		}
		bad := func(t *testing.T, raw string, changes ...string) {
			t.Helper()
			here.authorize(t, with(raw, changes...)).refused("invalid_request_object")
		}

		t.Run("Q068 Q069 what is inside wins", func(t *testing.T) {
			v := here.authorize(t, with(signed(), "nonce", "outside", "prompt", "sometimes", "code_challenge", "x")).response()
			if v.Get("error") != "invalid_request" {
				t.Errorf("a faulty parameter that the object does not have: %v", v)
			}
			v = here.authorize(t, with(signed(), "nonce", "outside", "code_challenge", "x")).response()
			if v.Get("state") != "inside" || w.grantOf(t, v.Get("code")).nonce != "inside" {
				t.Errorf("%v", v)
			}
			elsewhere := w.site(t, func(c *client.Client) {
				c.Metadata.JWKS, c.Metadata.RedirectURIs = set(t, k), []string{redirect, "https://app.test/second"}
			})
			v2 := with(k.sign(t, w.object(elsewhere, "redirect_uri", "https://app.test/second"), nil), "client_id", elsewhere.ID)
			if a := here.authorize(t, v2); !strings.HasPrefix(a.location, "https://app.test/second?code=") {
				t.Errorf("to %s", a.location)
			}
		})
		t.Run("Q069 an OpenID Connect request has parameters beside its object; another is its object alone", func(t *testing.T) {
			raw := signed("state", nil, "max_age", 10000, "claims", map[string]any{"userinfo": map[string]any{"email": nil}})
			v := here.authorize(t, with(raw)).response()
			if v.Get("state") != "outside" || w.grantOf(t, v.Get("code")).claims != `{"userinfo":{"email":null}}` {
				t.Errorf("%v %q", v, w.grantOf(t, v.Get("code")).claims)
			}
			v = here.authorize(t, with(raw, "scope", "", "response_type", "")).response()
			if v.Has("state") || !v.Has("code") {
				t.Errorf("RFC 9101 §6.3: %v", v)
			}
			if a := here.authorize(t, with(signed("redirect_uri", nil), "scope", "")); a.status != 400 || a.body != "error.redirect_mismatch" {
				t.Errorf("RFC 9101 §6.3: %d %s", a.status, a.body)
			}
		})
		t.Run("Q069 client_id and response_type agree, and no object stands in an object", func(t *testing.T) {
			other := w.site(t, nil)
			bad(t, signed("client_id", other.ID))
			bad(t, signed("iss", other.ID))
			bad(t, signed("response_type", "id_token"))
			bad(t, signed("request", "x.y.z"))
			bad(t, signed("request_uri", "https://app.test/r"))
			here.authorize(t, with(signed(), "response_type", "token")).fragment() // refused where that would have gone
			here.authorize(t, with(signed("client_id", nil, "response_type", nil, "iss", nil, "aud", nil, "exp", nil, "iat", nil))).code()
		})
		for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
			t.Run("Q070 signed with "+alg, func(t *testing.T) {
				k := newKey(t, alg, "")
				s := w.site(t, func(c *client.Client) {
					c.Metadata.JWKS, c.Metadata.RequestObjectSigningAlg = set(t, k), alg
				})
				here.authorize(t, url.Values{"client_id": {s.ID}, "request": {k.sign(t, w.object(s), nil)}}).code()
				here.authorize(t, url.Values{"client_id": {s.ID}, "request": {k.sign(t, w.object(s), map[string]any{"typ": "oauth-authz-req+jwt"})}}).code()
				// Unsigned, or by another algorithm than the one registered.
				strangers := []string{unsigned(t, w.object(s))}
				for _, other := range []string{"RS256", "PS256"} {
					if other != alg {
						strangers = append(strangers, newKey(t, other, "").sign(t, w.object(s), nil))
					}
				}
				for _, raw := range strangers {
					here.authorize(t, url.Values{"client_id": {s.ID}, "redirect_uri": {redirect}, "request": {raw}}).refused("invalid_request_object")
				}
			})
		}
		t.Run("Q070 unsigned, where the registration does not say otherwise", func(t *testing.T) {
			here.authorize(t, with(unsigned(t, w.object(s)))).code()
			here.authorize(t, with(unsigned(t, w.object(s))+"x")).refused("invalid_request_object")
			for _, head := range []string{`{"alg":"None"}`, `{"alg":"NONE"}`, `{"alg":"none","kid":"x"}`, `{"alg":"none","crit":["x"]}`, `{"alg":"none","alg":"none"}`,
				`{"alg":"none","typ":"dpop+jwt"}`, `{}`, `x`} {
				body, err := json.Marshal(w.object(s))
				w.must(err)
				bad(t, b64(head)+"."+b64(string(body))+".")
			}
			only := w.site(t, func(c *client.Client) { c.Metadata.RequestObjectSigningAlg = "none" })
			here.authorize(t, url.Values{"client_id": {only.ID}, "request": {unsigned(t, w.object(only))}}).code()
			must := w.site(t, func(c *client.Client) { c.Metadata.JWKS, c.Metadata.RequireSignedRequestObject = set(t, k), true })
			here.authorize(t, url.Values{"client_id": {must.ID}, "redirect_uri": {redirect}, "request": {unsigned(t, w.object(must))}}).refused("invalid_request_object")
			here.authorize(t, to(must.Client)).refused("invalid_request")
			here.authorize(t, to(must.Client, "request", k.sign(t, w.object(must), nil))).code()
			// What stands beside the object of such a client counts for nothing: it is not signed.
			v := here.authorize(t, to(must.Client, "request", k.sign(t, w.object(must, "state", nil), nil))).response()
			if v.Has("state") {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q070 not for us, not of now", func(t *testing.T) {
			bad(t, signed("aud", "https://other.test"))
			here.authorize(t, with(signed("aud", []string{"https://other.test", issuer}))).code()
			bad(t, signed("exp", w.now().Add(-time.Second).Unix()))
			bad(t, signed("nbf", w.now().Add(time.Hour).Unix()))
			bad(t, signed("iat", w.now().Add(time.Hour).Unix()))
			bad(t, signed("exp", "soon"))
			bad(t, signed("scope", []string{"openid"}))
			bad(t, signed("state", []string{"a"}))
		})
		t.Run("G14 JWTs that are no request object", func(t *testing.T) {
			good := signed()
			jwks := set(t, k)
			stranger := newKey(t, "ES256", "k1")
			for name, raw := range map[string]string{
				"another's key":      stranger.sign(t, w.object(s), nil),
				"unknown kid":        newKey(t, "ES256", "k2").sign(t, w.object(s), nil),
				"HS256 with the set": signWith(t, "HS256", []byte(jwks), "k1", w.object(s), nil),
				"typ of a DPoP":      k.sign(t, w.object(s), map[string]any{"typ": "dpop+jwt"}),
				"crit":               k.sign(t, w.object(s), map[string]any{"crit": []string{"x"}, "x": 1}),
				"b64":                k.sign(t, w.object(s), map[string]any{"b64": true}),
				"altered":            good[:len(good)-6] + "AAAAAA",
				"truncated":          good[:strings.LastIndex(good, ".")],
				"encrypted (G15)":    good + ".x.y",
				"dots":               strings.Repeat(".", 8000),
				"nested":             k.sign(t, w.object(s, "claims", json.RawMessage(strings.Repeat("[", 4000)+strings.Repeat("]", 4000))), nil),
				"empty":              "..",
			} {
				v := with(raw)
				if len(raw) > 8000 {
					if a := here.post(t, "/authorize", v); !strings.Contains(a.location, "error=invalid_request") {
						t.Errorf("%s: %d %s", name, a.status, a.location)
					}
					continue
				}
				if got := here.authorize(t, v).response().Get("error"); got != "invalid_request_object" {
					t.Errorf("%s: %s", name, got)
				}
			}
			// A key that is told in the header is not looked at: nobody is asked for it either.
			uri := w.web.put("/stolen-jwks", string(set(t, stranger)))
			bad(t, stranger.sign(t, w.object(s), map[string]any{"jku": uri, "x5u": uri}))
			if w.web.asked("/stolen-jwks") != 0 {
				t.Error("jku was fetched")
			}
		})
		t.Run("G19 an unsigned object is no way around the rules", func(t *testing.T) {
			other := w.site(t, nil)
			here.authorize(t, with(unsigned(t, w.object(s, "redirect_uri", "https://evil.test/cb")))).errorPage(400, "error.redirect_mismatch")
			bad(t, unsigned(t, w.object(s, "client_id", other.ID)))
			if got := w.grantOf(t, here.authorize(t, with(unsigned(t, w.object(s, "scope", "openid admin")))).code()).scopes; got != "openid" {
				t.Errorf("granted %q", got)
			}
			here.authorize(t, with(unsigned(t, w.object(s, "prompt", "login")))).page("/login")
			here.authorize(t, with(signed(), "request_uri", "https://app.test/r")).refused("invalid_request")
			// Our own rows' parameters cannot be said from inside.
			here.authorize(t, with(unsigned(t, w.object(s, " sub", "sub-bob", " pushed", "AAAA")))).code()
		})
	})
}

// TestRequestURIs: requirement 71.
func TestRequestURIs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		k := newKey(t, "ES256", "k1")
		var s *site
		body := ""
		uri := w.web.handle("/object", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(body)) })
		s = w.site(t, func(c *client.Client) {
			c.Metadata.JWKS = set(t, k)
			c.Metadata.RequestURIs = []string{uri, w.web.server.URL + "/registered#some-hash", w.web.server.URL + "/gone"}
		})
		body = k.sign(t, w.object(s), nil)
		with := func(uri string) url.Values {
			return url.Values{"client_id": {s.ID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {redirect},
				"state": {"outside"}, "request_uri": {uri}}
		}
		t.Run("Q071 registered, and fetched each time", func(t *testing.T) {
			if v := here.authorize(t, with(uri)).response(); v.Get("state") != "inside" {
				t.Errorf("%v", v)
			}
			body = unsigned(t, w.object(s, "state", "changed"))
			if v := here.authorize(t, with(uri)).response(); v.Get("state") != "changed" {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q071 the hash of what stands there is checked, and makes it last", func(t *testing.T) {
			sum := sha256.Sum256([]byte(body))
			hashed := uri + "#" + base64.RawURLEncoding.EncodeToString(sum[:])
			here.authorize(t, with(hashed)).code()
			before := w.web.asked("/object")
			here.authorize(t, with(hashed)).code()
			if w.web.asked("/object") != before {
				t.Error("it was fetched again though it cannot change")
			}
			here.authorize(t, with(uri+"#"+strings.Repeat("A", 43))).refused("invalid_request_uri")
		})
		t.Run("Q019 one that is registered with a fragment", func(t *testing.T) {
			w.web.put("/registered", body)
			here.authorize(t, with(w.web.server.URL+"/registered#some-hash")).code()
			here.authorize(t, with(w.web.server.URL+"/registered")).refused("invalid_request_uri")
		})
		t.Run("Q071 S1 what is not registered is not fetched", func(t *testing.T) {
			w.web.put("/stranger", body)
			for _, stranger := range []string{w.web.server.URL + "/stranger", uri + "?x", uri + "/../object", "http://127.0.0.1:1/", "file:///etc/passwd", "https://[::1]/", issuer + "/jwks.json"} {
				here.authorize(t, with(stranger)).refused("invalid_request_uri")
			}
			if w.web.asked("/stranger") != 0 {
				t.Error("it was fetched")
			}
		})
		t.Run("S2 D8 nobody makes us ask a site without end", func(t *testing.T) {
			flood, body := &browser{w: w, http: w.browser().http, ip: "198.51.100.71"}, body
			w.web.put("/flooded", body)
			s := w.site(t, func(c *client.Client) { c.Metadata.RequestURIs = []string{w.web.server.URL + "/flooded"} })
			limited := 0
			for range 150 {
				if a := flood.authorize(t, url.Values{"client_id": {s.ID}, "request_uri": {w.web.server.URL + "/flooded"}}); a.status == http.StatusTooManyRequests {
					limited++
				}
			}
			if n := w.web.asked("/flooded"); limited < 10 || n+limited != 150 {
				t.Errorf("of 150 requests %d were refused, and %d fetched", limited, n)
			}
		})
		t.Run("Q071 S2 what cannot be had", func(t *testing.T) {
			gone := w.web.server.URL + "/gone"
			here.authorize(t, with(gone)).refused("invalid_request_uri")
			w.web.put("/gone", strings.Repeat("x", 1<<20))
			here.authorize(t, with(gone)).refused("invalid_request_uri")
			w.web.handle("/gone", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/object", http.StatusFound) })
			here.authorize(t, with(gone)).refused("invalid_request_uri")
			w.web.put("/gone", "not a JWT")
			here.authorize(t, with(gone)).refused("invalid_request_object")
		})
		t.Run("S1 S2 a registered address that is nobody's business", func(t *testing.T) {
			inside := w.site(t, func(c *client.Client) {
				c.Metadata.RequestURIs = []string{"https://169.254.169.254/latest", "https://10.0.0.1/", "https://[::1]:9/"}
			})
			for _, uri := range inside.Metadata.RequestURIs {
				v := maps.Clone(with(uri))
				v.Set("client_id", inside.ID)
				here.authorize(t, v).refused("invalid_request_uri")
			}
		})
	})
}
