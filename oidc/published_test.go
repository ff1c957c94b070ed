package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/oidc/client"
)

// TestEveryPublishedValue does with each value of the discovery document what it promises. A member that is new there
// fails the test until it is tried here.
func TestEveryPublishedValue(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		w.exec(`UPDATE account SET claims = '{"given_name":"Ada","family_name":"King","middle_name":"B","nickname":"ad","preferred_username":"ada","profile":"https://ada.test/","picture":"https://ada.test/p","website":"https://ada.test/","gender":"female","birthdate":"1815-12-10","zoneinfo":"Europe/London","locale":"en-GB","phone_number":"+4420","phone_number_verified":true,"address":{"country":"UK"}}' WHERE id = '%s'`, account)
		var doc map[string]json.RawMessage
		w.must(json.Unmarshal([]byte(w.browser().get(t, "/.well-known/openid-configuration").body), &doc))
		all := func(c *client.Client) {
			front("RS256")(c)
			c.Metadata.GrantTypes = append(c.Metadata.GrantTypes, "client_credentials", client.GrantDevice)
			c.Metadata.Scope = "openid profile email address phone offline_access"
		}
		s := w.site(t, all)
		answers := func(a answer) url.Values { // wherever it was delivered
			t.Helper()
			_, after, _ := strings.Cut(strings.Replace(a.location, "#", "?", 1), "?")
			if form, is := strings.CutPrefix(a.body, "form_post "+redirect+" "); is {
				after = form
			}
			v, err := url.ParseQuery(after)
			if err != nil || v.Has("error") || v.Get("state") == "" {
				t.Errorf("%d to %q: %s", a.status, a.location, a.body)
			}
			return v
		}
		// keyOf makes a key that signs with an algorithm.
		keyOf := func(alg string) key {
			t.Helper()
			if alg == "ES512" {
				private, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
				w.must(err)
				return key{alg, "", private}
			}
			return newKey(t, alg, "")
		}
		signedBy := func(raw, alg, secret string) {
			t.Helper()
			if strings.HasPrefix(alg, "HS") {
				secretJWT(t, raw, secret)
			} else if header, _ := w.idToken(t, raw); header["alg"] != alg {
				t.Errorf("signed with %v, not %s", header["alg"], alg)
			}
		}
		introspects := func(s *site, more url.Values, header http.Header) answer {
			t.Helper()
			v := url.Values{"token": {"x"}}
			for name, list := range more {
				v[name] = list
			}
			return w.form(t, "/introspect", v, header)
		}
		basic := func(s *site) http.Header {
			r := &http.Request{Header: http.Header{}}
			r.SetBasicAuth(url.QueryEscape(s.ID), url.QueryEscape(s.secret))
			return r.Header
		}
		// authenticates proves a client at an endpoint, by a method and, for assertions, an algorithm.
		authenticates := func(path, method, alg string) {
			t.Helper()
			form := url.Values{"token": {"x"}}
			if path == "/token" {
				form = url.Values{"grant_type": {"client_credentials"}}
			}
			var header http.Header
			var k key
			if method == client.MethodKeyJWT {
				k = keyOf(alg)
			}
			s := w.site(t, func(c *client.Client) {
				c.Metadata.TokenEndpointAuthMethod = method
				if method == client.MethodNone {
					public(c)
				}
				if method == client.MethodKeyJWT {
					c.Metadata.JWKS = set(t, k)
				}
			})
			switch method {
			case client.MethodBasic:
				header = basic(s)
			case client.MethodPost:
				form.Set("client_id", s.ID)
				form.Set("client_secret", s.secret)
			case client.MethodNone:
				form.Set("client_id", s.ID)
			case client.MethodKeyJWT:
				form.Set("client_assertion_type", jwtBearer)
				form.Set("client_assertion", k.sign(t, w.asserted(s), nil))
			case client.MethodSecretJWT:
				form.Set("client_assertion_type", jwtBearer)
				form.Set("client_assertion", signWith(t, alg, []byte(s.secret), "", w.asserted(s), nil))
			}
			a := w.form(t, path, form, header)
			if path == "/token" && method == client.MethodNone {
				a.fails(400, "unauthorized_client") // known, and not allowed this grant
			} else if a.status != 200 {
				t.Errorf("%s by %s %s: %d %s", path, method, alg, a.status, a.body)
			}
		}
		methods := func(path string) func(string) {
			return func(method string) {
				alg := map[string]string{client.MethodKeyJWT: "ES256", client.MethodSecretJWT: "HS256"}[method]
				authenticates(path, method, alg)
			}
		}
		algs := func(path string) func(string) {
			return func(alg string) {
				method := client.MethodKeyJWT
				if strings.HasPrefix(alg, "HS") {
					method = client.MethodSecretJWT
				}
				authenticates(path, method, alg)
			}
		}
		truth := func(string) {}
		tries := map[string]func(value string){
			"response_types_supported": func(v string) { answers(here.authorize(t, to(s.Client, "response_type", v))) },
			"response_modes_supported": func(v string) { answers(here.authorize(t, to(s.Client, "response_mode", v))) },
			"scopes_supported": func(v string) {
				if v != "openid" && !slices.Contains(strings.Fields(w.grantOf(t, here.authorize(t, to(s.Client, "scope", "openid "+v)).code()).scopes), v) {
					t.Errorf("scope %s is not granted", v)
				}
			},
			"grant_types_supported": func(v string) {
				switch v {
				case "authorization_code", "refresh_token":
					s.refresh(t, s.offline(t, here).RefreshToken).tokens()
				case "implicit":
					if v := answers(here.authorize(t, to(s.Client, "response_type", "id_token token"))); !v.Has("access_token") {
						t.Errorf("%v", v)
					}
				case "client_credentials":
					s.post(t, "/token", url.Values{"grant_type": {v}}).tokens()
				case client.GrantDevice:
					d := s.device(t)
					here.act(t, "approve", here.typed(t, d.UserCode).page("/consent")).toDone(false)
					d.poll(t).tokens()
				default:
					t.Errorf("%s is not tried", v)
				}
			},
			"subject_types_supported": func(v string) {
				one := w.site(t, func(c *client.Client) { all(c); c.Metadata.SubjectType = v })
				_, claims := w.idToken(t, answers(here.authorize(t, to(one.Client, "response_type", "id_token"))).Get("id_token"))
				if (claims["sub"] == "sub-ada") != (v == "public") {
					t.Errorf("%s: %v", v, claims["sub"])
				}
			},
			"claims_supported": func(v string) {
				asks := w.site(t, func(c *client.Client) {
					all(c)
					c.Metadata.BackchannelLogoutURI, c.Metadata.BackchannelLogoutSessionRequired = "https://app.test/out", true
				})
				got := answers(here.authorize(t, to(asks.Client, "response_type", "code id_token token", "scope", "openid profile email address phone")))
				_, id := w.idToken(t, got.Get("id_token"))
				if id[v] == nil && w.userinfo(t, got.Get("access_token")).claims()[v] == nil {
					t.Errorf("claim %s comes nowhere", v)
				}
			},
			"acr_values_supported": func(v string) {
				_, claims := w.idToken(t, answers(here.authorize(t, to(s.Client, "response_type", "id_token", "acr_values", v))).Get("id_token"))
				if claims["acr"] != v {
					t.Errorf("acr %v", claims["acr"])
				}
			},
			"prompt_values_supported": func(v string) {
				page := map[string]string{"login": "/login", "consent": "/consent", "select_account": "/accounts", "create": "/register"}[v]
				a := here.authorize(t, to(s.Client, "prompt", v))
				if page == "" {
					a.code()
				} else {
					a.page(page)
				}
			},
			"display_values_supported": func(v string) { answers(here.authorize(t, to(s.Client, "display", v))) },
			"ui_locales_supported": func(v string) {
				if got := here.view(t, here.authorize(t, to(s.Client, "ui_locales", v, "prompt", "consent")).page("/consent")); got.UILocales != v {
					t.Errorf("the page is told %q", got.UILocales)
				}
			},
			"claim_types_supported": func(v string) {
				if v != "normal" {
					t.Errorf("%s is not tried", v)
				}
			},
			"id_token_signing_alg_values_supported": func(v string) {
				s := w.site(t, front(v))
				signedBy(answers(here.authorize(t, to(s.Client, "response_type", "id_token"))).Get("id_token"), v, s.secret)
			},
			"userinfo_signing_alg_values_supported": func(v string) {
				s := w.site(t, func(c *client.Client) { c.Metadata.UserinfoSignedResponseAlg = v })
				signedBy(w.userinfo(t, s.redeem(t, s.code(t, here)).tokens().AccessToken).body, v, s.secret)
			},
			"introspection_signing_alg_values_supported": func(v string) {
				s := w.site(t, func(c *client.Client) { c.Metadata.IntrospectionSignedResponseAlg = v })
				header := basic(s)
				header.Set("Accept", "application/token-introspection+jwt")
				signedBy(introspects(s, nil, header).body, v, "")
			},
			"request_object_signing_alg_values_supported": func(v string) {
				if v == "none" {
					answers(here.authorize(t, to(s.Client, "request", unsigned(t, w.object(s)))))
					return
				}
				k := keyOf(v)
				s := w.site(t, func(c *client.Client) { c.Metadata.JWKS, c.Metadata.RequestObjectSigningAlg = set(t, k), v })
				answers(here.authorize(t, to(s.Client, "request", k.sign(t, w.object(s), nil))))
			},
			"code_challenge_methods_supported": func(v string) {
				s.redeem(t, s.code(t, here, "code_challenge_method", v)).tokens()
			},
			"token_endpoint_auth_methods_supported":                    methods("/token"),
			"revocation_endpoint_auth_methods_supported":               methods("/revoke"),
			"introspection_endpoint_auth_methods_supported":            methods("/introspect"),
			"token_endpoint_auth_signing_alg_values_supported":         algs("/token"),
			"revocation_endpoint_auth_signing_alg_values_supported":    algs("/revoke"),
			"introspection_endpoint_auth_signing_alg_values_supported": algs("/introspect"),

			// Booleans: what they promise is tried by the tests named.
			"claims_parameter_supported":  truth,                                           // TestAuthorize
			"request_parameter_supported": truth, "request_uri_parameter_supported": truth, // TestRequestObjects, TestRequestURIs
			"require_request_uri_registration": truth, "require_signed_request_object": truth, // the same
			"require_pushed_authorization_requests":          truth,                                                 // TestPAR
			"authorization_response_iss_parameter_supported": truth,                                                 // every answer of these tests
			"frontchannel_logout_supported":                  truth, "frontchannel_logout_session_supported": truth, // logout.TestReport
			"backchannel_logout_supported": truth, "backchannel_logout_session_supported": truth, // logout.TestNotify
		}
		for name, raw := range doc {
			try := tries[name]
			var list []string
			var boolean bool
			switch {
			case name == "issuer", name == "jwks_uri", name == "check_session_iframe", strings.HasSuffix(name, "_endpoint"):
				continue // main.TestConformance asks each
			case try == nil:
				t.Errorf("%s is published, and tried nowhere", name)
			case json.Unmarshal(raw, &boolean) == nil:
			case json.Unmarshal(raw, &list) != nil || len(list) == 0:
				t.Errorf("%s: %s", name, raw)
			}
			for _, value := range list {
				t.Log(name, value) // shown with what fails
				try(value)
			}
		}
		for name := range tries {
			if doc[name] == nil {
				t.Errorf("%s is tried, and not published", name)
			}
		}
	})
}
