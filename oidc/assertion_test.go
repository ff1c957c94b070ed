package oidc_test

import (
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/client"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// asserted are the claims of a good client assertion; pairs change them, nil takes one away.
func (w *world) asserted(s *site, changes ...any) map[string]any {
	m := map[string]any{"iss": s.ID, "sub": s.ID, "aud": issuer, "jti": uuid.NewString(), "exp": w.now().Add(time.Minute).Unix(), "iat": w.now().Unix()}
	for i := 0; i < len(changes); i += 2 {
		if name := changes[i].(string); changes[i+1] == nil {
			delete(m, name)
		} else {
			m[name] = changes[i+1]
		}
	}
	return m
}

// proves sends a token request that is authenticated by an assertion.
func (s *site) proves(t *testing.T, w *world, assertion string, changes ...string) answer {
	t.Helper()
	v := pairs(url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {jwtBearer}, "client_assertion": {assertion}}, changes)
	return w.form(t, "/token", v, nil)
}

// form posts a form without any credentials of its own.
func (w *world) form(t *testing.T, path string, v url.Values, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.server.URL+path, strings.NewReader(v.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b := w.browser()
	b.ip = fmt.Sprintf("20.%d.%d.%d", mathrand.IntN(256), mathrand.IntN(256), mathrand.IntN(256)) // no limit is what is tested here
	return b.do(t, req)
}

// TestAssertions: requirement 48 and case G13.
func TestAssertions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		k := newKey(t, "ES256", "k1")
		s := w.site(t, keyed(set(t, k)))
		good := func(changes ...any) string { return k.sign(t, w.asserted(s, changes...), nil) }
		refused := func(t *testing.T, assertion string, changes ...string) {
			t.Helper()
			s.proves(t, w, assertion, changes...).fails(401, "invalid_client")
		}

		t.Run("Q048 private_key_jwt", func(t *testing.T) {
			s.proves(t, w, good()).tokens()
			s.proves(t, w, good(), "client_id", s.ID).tokens()
			s.proves(t, w, good("aud", issuer+"/token")).tokens()
			s.proves(t, w, good("aud", []string{issuer})).tokens()
			s.proves(t, w, good("iat", nil)).tokens()
		})
		for _, alg := range []string{"RS256", "PS256", "ES384", "EdDSA"} {
			t.Run("Q048 signed with "+alg, func(t *testing.T) {
				k := newKey(t, alg, "")
				s := w.site(t, func(c *client.Client) { keyed(set(t, k))(c); c.Metadata.TokenEndpointAuthSigningAlg = alg })
				s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens()
				other := map[string]string{"RS256": "PS256", "PS256": "RS256", "ES384": "RS256", "EdDSA": "RS256"}[alg]
				k.alg = other
				if strings.HasSuffix(alg, "S256") { // the same RSA key by another algorithm than the registered one
					s.proves(t, w, k.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
				}
			})
		}
		t.Run("Q048 client_secret_jwt", func(t *testing.T) {
			s := w.site(t, func(c *client.Client) { c.Metadata.TokenEndpointAuthMethod = client.MethodSecretJWT })
			for _, alg := range []string{"HS256", "HS384", "HS512"} {
				s.proves(t, w, signWith(t, alg, []byte(s.secret), "", w.asserted(s), nil)).tokens()
			}
			s.proves(t, w, signWith(t, "HS256", []byte(strings.Repeat("x", 64)), "", w.asserted(s), nil)).fails(401, "invalid_client")
			s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}).fails(401, "invalid_client") // by Basic
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")                         // by a key
		})
		t.Run("Q047 Q048 exactly the registered method, and one only", func(t *testing.T) {
			basic := w.site(t, nil)
			basic.proves(t, w, k.sign(t, w.asserted(basic), nil)).fails(401, "invalid_client")
			s.proves(t, w, good(), "client_secret", "x").fails(400, "invalid_request")
			w.form(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {jwtBearer}, "client_assertion": {good()}},
				http.Header{"Authorization": {"Basic eDp5"}}).fails(400, "invalid_request")
			w.form(t, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {s.ID}}, nil).fails(401, "invalid_client")
			refused(t, good(), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
			refused(t, good(), "client_assertion_type", "")
			refused(t, good(), "client_id", basic.ID)
		})
		t.Run("Q048 every endpoint takes it", func(t *testing.T) {
			code := here.authorize(t, to(s.Client, "scope", "openid offline_access")).code()
			out := s.proves(t, w, good(), "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier).tokens()
			with := func(path string, v url.Values, aud string) answer {
				v.Set("client_assertion_type", jwtBearer)
				v.Set("client_assertion", good("aud", aud))
				return w.form(t, path, v, nil)
			}
			next := s.proves(t, w, good(), "grant_type", "refresh_token", "refresh_token", out.RefreshToken).tokens()
			if with("/introspect", url.Values{"token": {next.AccessToken}}, issuer+"/introspect").claims()["active"] != true {
				t.Error("introspection")
			}
			push := to(s.Client)
			if a := with("/par", push, issuer+"/par"); a.status != 201 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := with("/revoke", url.Values{"token": {next.AccessToken}}, issuer); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			w.dead(t, next.AccessToken)
			// The address of one endpoint is no audience at another, but for the token endpoint's (RFC 7523 §3).
			with("/introspect", url.Values{"token": {"x"}}, issuer+"/par").fails(401, "invalid_client")
		})
		t.Run("G13 claims", func(t *testing.T) {
			other := w.site(t, keyed(set(t, k)))
			for name, raw := range map[string]string{
				"no exp": good("exp", nil), "exp in 10 years": good("exp", w.now().AddDate(10, 0, 0).Unix()), "exp past": good("exp", w.now().Add(-time.Second).Unix()),
				"exp is text": good("exp", "soon"), "exp negative": good("exp", -1), "exp huge": good("exp", 1e300),
				"nbf to come": good("nbf", w.now().Add(time.Hour).Unix()), "iat to come": good("iat", w.now().Add(time.Hour).Unix()),
				"no jti": good("jti", nil), "empty jti": good("jti", ""), "long jti": good("jti", strings.Repeat("j", 513)),
				"iss is not sub": good("iss", other.ID), "sub is another": good("sub", other.ID), "neither": good("iss", "x", "sub", "x"),
				"aud elsewhere": good("aud", "https://other.test"), "aud of two": good("aud", []string{issuer, "https://other.test"}),
				"aud with a slash": good("aud", issuer+"/"), "another's token endpoint": good("aud", "https://other.test/token"), "no aud": good("aud", nil),
				"aud empty": good("aud", []string{}),
			} {
				if a := s.proves(t, w, raw); a.status != 401 {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
		})
		t.Run("G13 G14 signatures and headers", func(t *testing.T) {
			jwks := set(t, k)
			stranger := newKey(t, "ES256", "k1")
			uri := w.web.put("/jku", string(set(t, stranger)))
			raw := good()
			for name, raw := range map[string]string{
				"none": unsigned(t, w.asserted(s)), "HS256 with the set": signWith(t, "HS256", []byte(jwks), "k1", w.asserted(s), nil),
				"another's key": stranger.sign(t, w.asserted(s), nil), "altered": raw[:len(raw)-6] + "AAAAAA",
				"kid is a path": newKey(t, "ES256", "../../x").sign(t, w.asserted(s), nil), "kid is SQL": newKey(t, "ES256", "' OR 1=1--").sign(t, w.asserted(s), nil),
				"a long kid": newKey(t, "ES256", strings.Repeat("k", 17<<10)).sign(t, w.asserted(s), nil),
				"jku":        stranger.sign(t, w.asserted(s), map[string]any{"jku": uri}), "x5u": stranger.sign(t, w.asserted(s), map[string]any{"x5u": uri}),
				"another kid": signWith(t, "ES256", k.key, "k2", w.asserted(s), nil),
				"crit":        k.sign(t, w.asserted(s), map[string]any{"crit": []string{"exp"}}), "b64": k.sign(t, w.asserted(s), map[string]any{"b64": false}),
				"encrypted": raw + ".x.y", "dots": strings.Repeat(".", 9000), "empty": "..",
			} {
				if a := s.proves(t, w, raw); a.status != 401 {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
			}
			if w.web.asked("/jku") != 0 {
				t.Error("jku or x5u was fetched")
			}
			k384 := newKey(t, "ES384", "")
			strong := w.site(t, keyed(set(t, k384)))
			weak := k384
			strong.proves(t, w, weak.sign(t, w.asserted(strong), nil)).tokens()
		})
		t.Run("G13 a jti once, and for each client its own", func(t *testing.T) {
			raw := good("jti", "one")
			s.proves(t, w, raw).tokens()
			refused(t, raw)
			other := w.site(t, keyed(set(t, k)))
			other.proves(t, w, k.sign(t, w.asserted(other, "jti", "one"), nil)).tokens()
			// A forged assertion burns nothing (H12).
			stranger := newKey(t, "ES256", "k1")
			refused(t, stranger.sign(t, w.asserted(s, "jti", "two"), nil))
			refused(t, good("jti", "two", "aud", "https://other.test"))
			s.proves(t, w, good("jti", "two")).tokens()
			// It is kept as long as the assertion could be used.
			late := good("jti", "three", "exp", w.now().Add(59*time.Minute).Unix())
			s.proves(t, w, late).tokens()
			w.sleep(59*time.Minute - time.Second)
			if _, err := w.store.Purge(t.Context(), w.now(), 1000); err != nil {
				t.Fatal(err)
			}
			refused(t, late)
		})
		t.Run("G13 one jti 32 times at the same moment, at three replicas", func(t *testing.T) {
			replicas := []*world{w, w.replica(t, &moody{}, nil), w.replica(t, &moody{}, nil)}
			raw := good("jti", "race")
			answers := make([]answer, 32)
			together(32, func(n int) { answers[n] = s.proves(t, replicas[n%3], raw) })
			won := 0
			for _, a := range answers {
				if a.status == 200 {
					won++
				} else {
					a.fails(401, "invalid_client")
				}
			}
			if won != 1 {
				t.Errorf("%d won", won)
			}
		})
		t.Run("G12 no error tells why", func(t *testing.T) {
			seen := map[string]bool{}
			for _, raw := range []string{"x", unsigned(t, w.asserted(s)), good("exp", 1), good("aud", "x"), good("iss", "nobody", "sub", "nobody")} {
				seen[s.proves(t, w, raw).body] = true
			}
			if len(seen) != 1 {
				t.Errorf("%v", seen)
			}
		})
	})
}

// TestJWE: case G15. We decrypt nothing, so no bomb goes off: five segments are refused for their number.
func TestJWE(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, keyed(set(t, newKey(t, "ES256", "k1"))))
		for name, head := range map[string]string{
			"p2c": `{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}`,
			"zip": `{"alg":"dir","enc":"A128GCM","zip":"DEF"}`, "empty key": `{"alg":"A256KW","enc":"A128GCM"}`,
		} {
			t.Run("G15 "+name, func(t *testing.T) {
				bomb := b64(head) + ".." + b64("iv") + "." + b64(strings.Repeat("A", 4000)) + "." + b64("tag")
				s.proves(t, w, bomb).fails(401, "invalid_client")
				here.authorize(t, to(s.Client, "request", bomb)).refused("invalid_request_object")
				here.authorize(t, to(s.Client, "id_token_hint", bomb)).refused("invalid_request")
				w.dead(t, bomb)
			})
		}
	})
}

// TestClientKeys: requirement 17 and case S3: keys behind a jwks_uri.
func TestClientKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		t.Run("Q017 Q067 fetched when needed, kept, and fetched again for an unknown kid, once a minute", func(t *testing.T) {
			old, next := newKey(t, "ES256", "old"), newKey(t, "ES256", "next")
			uri := w.web.put("/jwks", string(set(t, old)))
			s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
			if w.web.asked("/jwks") != 0 {
				t.Error("fetched at registration")
			}
			code := here.authorize(t, to(s.Client, "scope", "openid offline_access")).code()
			out := s.proves(t, w, old.sign(t, w.asserted(s), nil), "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier).tokens()
			s.proves(t, w, old.sign(t, w.asserted(s), nil)).tokens()
			if n := w.web.asked("/jwks"); n != 1 {
				t.Errorf("%d fetches", n)
			}
			// The client rotates: its refresh token works with the new key at once.
			w.web.put("/jwks", string(set(t, next)))
			w.sleep(time.Minute)
			refreshed := s.proves(t, w, next.sign(t, w.asserted(s), nil), "grant_type", "refresh_token", "refresh_token", out.RefreshToken).tokens()
			if n := w.web.asked("/jwks"); n != 2 {
				t.Errorf("%d fetches", n)
			}
			s.proves(t, w, old.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
			// Made-up kids do not make us flood the site: not at this replica, nor at another.
			elsewhere := w.replica(t, &moody{}, nil)
			for range 5 {
				s.proves(t, w, newKey(t, "ES256", uuid.NewString()).sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
				s.proves(t, elsewhere, newKey(t, "ES256", uuid.NewString()).sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
			}
			if n := w.web.asked("/jwks"); n != 2 {
				t.Errorf("%d fetches", n)
			}
			s.proves(t, w, next.sign(t, w.asserted(s), nil), "grant_type", "refresh_token", "refresh_token", refreshed.RefreshToken).tokens()
		})
		t.Run("RFC 8725 a key that names its algorithm signs with no other", func(t *testing.T) {
			k := newKey(t, "RS256", "k")
			named := strings.Replace(string(set(t, k)), `"kty"`, `"alg":"RS256","kty"`, 1)
			s := w.site(t, keyed(json.RawMessage(named)))
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens()
			s.proves(t, w, signWith(t, "PS256", k.key, "k", w.asserted(s), nil)).fails(401, "invalid_client")
		})
		t.Run("Q017 a key that was replaced under its kid", func(t *testing.T) {
			one, two := newKey(t, "ES256", "same"), newKey(t, "ES256", "same")
			uri := w.web.put("/replaced", string(set(t, one)))
			s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
			s.proves(t, w, one.sign(t, w.asserted(s), nil)).tokens()
			w.web.put("/replaced", string(set(t, two)))
			w.sleep(time.Minute)
			s.proves(t, w, two.sign(t, w.asserted(s), nil)).tokens()
		})
		t.Run("the site is down: what is known goes on for a day", func(t *testing.T) {
			k := newKey(t, "ES256", "k")
			uri := w.web.put("/down", string(set(t, k)))
			s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens()
			w.web.handle("/down", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
			w.sleep(23 * time.Hour)
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens()
			w.sleep(2 * time.Hour)
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
			w.web.put("/down", string(set(t, k)))
			w.sleep(time.Minute)
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens()
		})
		t.Run("S3 what a key set may not be", func(t *testing.T) {
			k := newKey(t, "ES256", "k")
			good := strings.TrimSuffix(strings.TrimPrefix(string(set(t, k)), `{"keys":[`), `]}`)
			for name, body := range map[string]string{
				"ten thousand keys": `{"keys":[` + strings.Repeat(good+",", 10_000) + good + `]}`,
				"RSA 512":           `{"keys":[` + good + `,{"kty":"RSA","n":"` + strings.Repeat("_", 85) + `w","e":"AQAB"}]}`,
				"RSA 65536":         `{"keys":[` + good + `,{"kty":"RSA","n":"` + strings.Repeat("_", 10922) + `w","e":"AQAB"}]}`,
				"exponent 1":        `{"keys":[` + good + `,{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `w","e":"AQ"}]}`,
				"a symmetric key":   `{"keys":[` + good + `,{"kty":"oct","k":"AAAA"}]}`,
				"a kid twice":       `{"keys":[` + good + `,` + good + `]}`,
				"21 keys":           string(set(t, append(slices.Repeat([]key{newKey(t, "ES256", "")}, 20), k)...)),
				"not a set":         `[]`, "not JSON": `x`, "empty": `{"keys":[]}`,
				"a private key": `{"keys":[` + strings.TrimSuffix(good, "}") + `,"d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`,
				"another curve": `{"keys":[{"kty":"EC","kid":"k","crv":"secp256k1","x":"AAAA","y":"AAAA"}]}`,
			} {
				uri := w.web.put("/s3-"+url.PathEscape(name), body)
				s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = strings.Replace(uri, "%20", "-", -1) })
				w.web.put(strings.TrimPrefix(s.Metadata.JWKSURI, w.web.server.URL), body)
				if a := s.proves(t, w, k.sign(t, w.asserted(s), nil)); a.status != 401 {
					t.Errorf("%s: %d", name, a.status)
				}
				if w.web.asked(strings.TrimPrefix(s.Metadata.JWKSURI, w.web.server.URL)) != 1 {
					t.Errorf("%s was not fetched", name)
				}
				if name == "ten thousand keys" || name == "RSA 65536" {
					continue // too large for a document too
				}
				c := client.Client{ID: uuid.NewString(), RequirePKCE: true}
				c.Metadata = s.Metadata
				c.Metadata.JWKSURI, c.Metadata.JWKS = "", []byte(body)
				if _, _, err := w.clients.Create(t.Context(), c, ""); err == nil {
					t.Errorf("%s is registered by value", name)
				}
			}
			unknown := `{"keys":[` + good + `,{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"},{"kty":"OKP","crv":"X25519","x":"AAAA"}]}`
			uri := w.web.put("/s3-unknown", unknown)
			s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).tokens() // RFC 7517 §5: unknown kinds are passed over
			enc := strings.Replace(string(set(t, k)), `"use":"sig"`, `"use":"enc"`, 1)
			uri = w.web.put("/s3-enc", enc)
			s = w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
			s.proves(t, w, k.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
		})
		t.Run("S1 a jwks_uri that is nobody's business", func(t *testing.T) {
			k := newKey(t, "ES256", "k")
			away := w.web.handle("/away", func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "http://127.0.0.1:1/", http.StatusFound)
			})
			for _, uri := range []string{"https://169.254.169.254/latest", "https://[::1]:9/", "https://10.0.0.1/jwks", away} {
				s := w.site(t, func(c *client.Client) { keyed(nil)(c); c.Metadata.JWKSURI = uri })
				s.proves(t, w, k.sign(t, w.asserted(s), nil)).fails(401, "invalid_client")
			}
		})
	})
}
