package oidc_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
)

// front registers a site for every response type.
func front(alg string) func(c *client.Client) {
	return func(c *client.Client) {
		c.Metadata.ResponseTypes = client.ResponseTypes
		c.Metadata.GrantTypes = []string{"authorization_code", "implicit", "refresh_token"}
		c.Metadata.IDTokenSignedResponseAlg = alg
		c.RequirePKCE = false
	}
}

// has tells which of the things that an authorization response can have are there.
func has(v url.Values) string {
	var list []string
	for _, name := range []string{"code", "id_token", "access_token", "token_type", "expires_in", "refresh_token", "scope"} {
		if v.Has(name) {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func half(alg, value string) string {
	if alg == "EdDSA" {
		sum := sha512.Sum512([]byte(value))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// TestFront: the implicit and hybrid flows (Core §3.2, §3.3), and response type none.
func TestFront(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, front("RS256"))
		gives := map[string]string{
			"id_token":            "id_token",
			"id_token token":      "id_token access_token token_type expires_in",
			"code id_token":       "code id_token",
			"code token":          "code access_token token_type expires_in",
			"code id_token token": "code id_token access_token token_type expires_in",
		}
		t.Run("Q041 each response type has what it names, in the fragment, and no refresh token", func(t *testing.T) {
			for types, want := range gives {
				v := here.authorize(t, to(s.Client, "response_type", types)).fragment()
				if got := has(v); got != want {
					t.Errorf("%s: %s", types, got)
				}
				if v.Get("state") != "s t+a/t=e" || v.Get("session_state") == "" {
					t.Errorf("%s: %v", types, v)
				}
				if v.Has("access_token") && (v.Get("token_type") != "Bearer" || v.Get("expires_in") != "1800") {
					t.Errorf("%s: %v", types, v)
				}
			}
			v := here.authorize(t, to(s.Client, "response_type", "token id_token")).fragment()
			if got := has(v); got != gives["id_token token"] {
				t.Errorf("words in another order: %s", got)
			}
		})
		t.Run("a nonce is asked for before anything else is asked of the person", func(t *testing.T) {
			for types := range gives {
				v := to(s.Client, "response_type", types, "nonce", "")
				if a := w.browser().authorize(t, v); !strings.Contains(types, "id_token") {
					a.page("/login")
				} else if got := a.fragment().Get("error"); got != "invalid_request" {
					t.Errorf("%s: %q", types, got)
				}
			}
		})
		t.Run("Q041 the access token opens userinfo, the code gives more", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "code token", "scope", "openid email offline_access", "prompt", "consent"))
			i := v.page("/consent")
			a := here.act(t, "approve", i).fragment()
			if got := w.userinfo(t, a.Get("access_token")).claims(); got["email"] != "ada@example.test" {
				t.Errorf("%v", got)
			}
			if out := s.redeem(t, a.Get("code")).tokens(); out.RefreshToken == "" || out.IDToken == "" {
				t.Errorf("%+v", out)
			}
		})
		t.Run("Q037 offline_access without a code is left out, and that is told", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "id_token token", "scope", "openid offline_access")).fragment()
			if v.Get("scope") != "openid" {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q050 a code that is used twice ends the front-channel token too", func(t *testing.T) {
			a := here.authorize(t, to(s.Client, "response_type", "code token")).fragment()
			s.redeem(t, a.Get("code")).tokens()
			s.redeem(t, a.Get("code")).fails(400, "invalid_grant")
			w.dead(t, a.Get("access_token"))
		})
		t.Run("Q028 nonce is required where an ID token comes from here", func(t *testing.T) {
			for types := range gives {
				v := here.authorize(t, to(s.Client, "response_type", types, "nonce", "")).fragment()
				if needs := strings.Contains(types, "id_token"); (v.Get("error") == "invalid_request") != needs {
					t.Errorf("%s without nonce: %v", types, v)
				}
			}
		})
		t.Run("Q056 an ID token takes openid", func(t *testing.T) {
			for types := range gives {
				v := here.authorize(t, to(s.Client, "response_type", types, "scope", "profile")).fragment()
				if needs := strings.Contains(types, "id_token"); (v.Get("error") == "invalid_request") != needs {
					t.Errorf("%s without openid: %v", types, v)
				}
			}
		})
		t.Run("Q055 the only ID token has the claims of the scopes", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "id_token", "scope", "openid email")).fragment()
			if _, claims := w.idToken(t, v.Get("id_token")); claims["email"] != "ada@example.test" || claims["email_verified"] != true {
				t.Errorf("%v", claims)
			}
			for _, types := range []string{"id_token token", "code id_token"} {
				v := here.authorize(t, to(s.Client, "response_type", types, "scope", "openid email")).fragment()
				if _, claims := w.idToken(t, v.Get("id_token")); claims["email"] != nil {
					t.Errorf("%s: %v", types, claims)
				}
			}
		})
		t.Run("Q051 both ID tokens of a hybrid flow agree", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "code id_token", "claims", `{"id_token":{"email":null}}`)).fragment()
			_, first := w.idToken(t, v.Get("id_token"))
			_, second := w.idToken(t, s.redeem(t, v.Get("code")).tokens().IDToken)
			for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "email", "nonce"} {
				if first[name] == nil || first[name] != second[name] {
					t.Errorf("%s: %v and %v", name, first[name], second[name])
				}
			}
		})
		for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
			t.Run("Q054 at_hash and c_hash for "+alg, func(t *testing.T) {
				s := w.site(t, front(alg))
				for types := range gives {
					v := here.authorize(t, to(s.Client, "response_type", types)).fragment()
					if !v.Has("id_token") {
						continue
					}
					header, claims := w.idToken(t, v.Get("id_token"))
					for name, of := range map[string]string{"at_hash": "access_token", "c_hash": "code"} {
						want := any(nil)
						if v.Has(of) {
							want = half(alg, v.Get(of))
						}
						if claims[name] != want {
							t.Errorf("%s: %s is %v, not %v", types, name, claims[name], want)
						}
					}
					if header["alg"] != alg {
						t.Errorf("signed with %v", header["alg"])
					}
				}
			})
		}
		t.Run("Q040 form_post for each", func(t *testing.T) {
			for types := range gives {
				a := here.authorize(t, to(s.Client, "response_type", types, "response_mode", "form_post"))
				_, form, _ := strings.Cut(a.body, "form_post "+redirect+" ")
				v, err := url.ParseQuery(form)
				if a.status != http.StatusOK || err != nil || has(v) != gives[types] {
					t.Errorf("%s: %d %s", types, a.status, a.body)
				}
				a = w.browser().authorize(t, to(s.Client, "response_type", types, "response_mode", "form_post", "prompt", "none"))
				if a.status != http.StatusOK || !strings.Contains(a.body, "error=login_required") || !strings.Contains(a.body, "state=") {
					t.Errorf("%s, an error: %d %s", types, a.status, a.body)
				}
			}
		})
		t.Run("Q039 errors of a page come in the fragment too", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(s.Client, "response_type", "code id_token", "prompt", "consent")).page("/login")
			account := w.person("bea")
			b.signIn(t, account, i).page("/consent")
			if v := b.act(t, "deny", i).fragment(); v.Get("error") != "access_denied" || v.Get("state") != "s t+a/t=e" {
				t.Errorf("%v", v)
			}
		})
		t.Run("R8 only what is registered", func(t *testing.T) {
			plain := w.site(t, nil)
			for types := range gives {
				if v := here.authorize(t, to(plain.Client, "response_type", types)).fragment(); v.Get("error") != "unauthorized_client" || has(v) != "" {
					t.Errorf("%s: %v", types, v)
				}
				if v := here.authorize(t, to(s.Client, "response_type", types, "response_mode", "query")).fragment(); v.Get("error") != "invalid_request" || has(v) != "" {
					t.Errorf("%s by query: %v", types, v)
				}
			}
		})
		t.Run("none: nothing but the state", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "none")).response()
			if has(v) != "" || v.Has("error") || v.Get("state") != "s t+a/t=e" {
				t.Errorf("%v", v)
			}
			if v := w.browser().authorize(t, to(s.Client, "response_type", "none", "prompt", "none")).response(); v.Get("error") != "login_required" {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q036 a challenge given is checked in a hybrid flow", func(t *testing.T) {
			code := here.authorize(t, to(s.Client, "response_type", "code id_token")).fragment().Get("code")
			s.redeem(t, code, "code_verifier", strings.Repeat("w", 43)).fails(400, "invalid_grant")
			s.redeem(t, code).fails(400, "invalid_grant")
			none := []string{"code_challenge", "", "code_challenge_method", ""}
			code = here.authorize(t, to(s.Client, append(none, "response_type", "code id_token")...)).fragment().Get("code")
			s.redeem(t, code, "code_verifier", "").tokens()
			required := w.site(t, func(c *client.Client) { front("RS256")(c); c.RequirePKCE = true })
			if v := here.authorize(t, to(required.Client, append(none, "response_type", "code id_token")...)).fragment(); v.Get("error") != "invalid_request" {
				t.Errorf("%v", v)
			}
			// There is no code that a challenge could protect.
			if v := here.authorize(t, to(required.Client, append(none, "response_type", "id_token")...)).fragment(); has(v) != "id_token" {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q090 a wrong or missing verifier, and a code at sixty seconds", func(t *testing.T) {
			s := w.site(t, nil)
			for _, verifier := range []string{"", strings.Repeat("w", 43)} {
				code := s.code(t, here)
				s.redeem(t, code, "code_verifier", verifier).fails(400, "invalid_grant")
				s.redeem(t, code).fails(400, "invalid_grant")
			}
			stolen := s.code(t, here)
			w.site(t, nil).redeem(t, stolen).fails(400, "invalid_grant")
			s.redeem(t, stolen).tokens()
			late := s.code(t, here)
			w.sleep(engine.CodeLifetime)
			s.redeem(t, late).fails(400, "invalid_grant")
		})
		t.Run("the front-channel access token ends like any other", func(t *testing.T) {
			v := here.authorize(t, to(s.Client, "response_type", "id_token token")).fragment()
			seconds, err := strconv.Atoi(v.Get("expires_in"))
			if err != nil {
				t.Fatal(err)
			}
			w.sleep(time.Duration(seconds)*time.Second - time.Second)
			w.userinfo(t, v.Get("access_token")).claims()
			w.sleep(time.Second)
			w.dead(t, v.Get("access_token"))
		})
	})
}

// TestAlgorithms: what a client gets is signed as it registered.
func TestAlgorithms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		t.Run("Q053 HS256 with the client's secret", func(t *testing.T) {
			s := w.site(t, func(c *client.Client) {
				front("HS256")(c)
				c.Metadata.UserinfoSignedResponseAlg = "HS256"
			})
			v := here.authorize(t, to(s.Client, "response_type", "code id_token token")).fragment()
			claims := secretJWT(t, v.Get("id_token"), s.secret)
			if claims["aud"] != s.ID || claims["c_hash"] != half("HS256", v.Get("code")) || claims["at_hash"] != half("HS256", v.Get("access_token")) {
				t.Errorf("%v", claims)
			}
			out := s.redeem(t, v.Get("code")).tokens()
			secretJWT(t, out.IDToken, s.secret)
			a := w.userinfo(t, out.AccessToken)
			if claims := secretJWT(t, a.body, s.secret); claims["sub"] != "sub-ada" || claims["aud"] != s.ID || claims["iss"] != issuer {
				t.Errorf("%v", claims)
			}
			t.Run("Q033 its ID token is a hint for it alone", func(t *testing.T) {
				here.authorize(t, to(s.Client, "prompt", "none", "id_token_hint", out.IDToken)).code()
				forged := signWith(t, "HS256", []byte(strings.Repeat("x", 64)), "", map[string]any{"iss": issuer, "aud": s.ID, "sub": "sub-ada"}, nil)
				here.authorize(t, to(s.Client, "prompt", "none", "id_token_hint", forged)).refused("invalid_request")
				// The secret of one client is no key for tokens of another.
				other := w.site(t, nil)
				mine := signWith(t, "HS256", []byte(s.secret), "", map[string]any{"iss": issuer, "aud": other.ID, "sub": "sub-ada"}, nil)
				here.authorize(t, to(other.Client, "prompt", "none", "id_token_hint", mine)).refused("invalid_request")
			})
		})
		for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
			t.Run("Q058 userinfo signed with "+alg, func(t *testing.T) {
				s := w.site(t, func(c *client.Client) { c.Metadata.UserinfoSignedResponseAlg = alg })
				out := s.redeem(t, s.code(t, here, "scope", "openid email")).tokens()
				a := w.userinfo(t, out.AccessToken)
				if a.status != 200 || a.header.Get("Content-Type") != "application/jwt" || a.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%d %v %s", a.status, a.header, a.body)
				}
				header, claims := w.idToken(t, a.body)
				_, id := w.idToken(t, out.IDToken)
				if header["alg"] != alg || claims["iss"] != issuer || claims["aud"] != s.ID || claims["sub"] != id["sub"] ||
					claims["email"] != "ada@example.test" || claims["nonce"] != nil {
					t.Errorf("%v %v", header, claims)
				}
			})
		}
		t.Run("a client that goes over to HS256 gets a new secret; one that leaves it keeps only a hash", func(t *testing.T) {
			s := w.site(t, nil)
			_, secret, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error {
				c.Metadata.IDTokenSignedResponseAlg = "HS256"
				return nil
			})
			if err != nil || secret == "" || secret == s.secret {
				t.Fatalf("%v: %q", err, secret)
			}
			s.redeem(t, s.code(t, here)).fails(401, "invalid_client") // the old one has ended
			s.secret = secret
			secretJWT(t, s.redeem(t, s.code(t, here)).tokens().IDToken, secret)
			if w.count("client_secret WHERE client_id = '%s' AND sealed IS NOT NULL AND length(sealed) > 0", s.ID) != 1 {
				t.Error("the secret is not sealed")
			}
			_, again, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error {
				c.Metadata.IDTokenSignedResponseAlg = "ES256"
				return nil
			})
			if err != nil || again != "" {
				t.Fatalf("%v: %q", err, again)
			}
			if w.count("client_secret WHERE client_id = '%s' AND sealed IS NOT NULL AND length(sealed) > 0", s.ID) != 0 {
				t.Error("the value is kept though nothing needs it")
			}
			s.redeem(t, s.code(t, here)).tokens()
		})
	})
}
