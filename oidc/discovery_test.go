package oidc_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/oidc"
)

// TestDiscovery: section A of the requirements.
func TestDiscovery(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.browser()
		const path = "/.well-known/openid-configuration"
		a := b.get(t, path)
		var m map[string]any
		w.must(json.Unmarshal([]byte(a.body), &m))
		texts := func(name string) (out []string) {
			list, _ := m[name].([]any)
			for _, v := range list {
				out = append(out, v.(string))
			}
			return out
		}

		t.Run("Q001 the issuer, character for character", func(t *testing.T) {
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" || m["issuer"] != issuer {
				t.Errorf("%d %s %v", a.status, a.header.Get("Content-Type"), m["issuer"])
			}
			if other := b.get(t, "/.well-known/oauth-authorization-server"); other.body != a.body {
				t.Error("RFC 8414's document differs")
			}
		})
		t.Run("Q002 every endpoint is a URL of ours that answers", func(t *testing.T) {
			for name, v := range m {
				if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" && name != "check_session_iframe" {
					continue
				}
				path, ours := strings.CutPrefix(v.(string), issuer)
				routed := slices.ContainsFunc(w.provider.Routes(), func(r oidc.Route) bool { return r.Path == path })
				// Package logout has the first, registration the second, pkg/web the third: cmd/passport asks them all.
				elsewhere := []string{"/end_session", "/connect/register", "/check_session"}
				if !ours || !routed && !slices.Contains(elsewhere, path) {
					t.Errorf("%s: %s", name, v)
				}
			}
		})
		t.Run("Q003 the lists", func(t *testing.T) {
			for name, want := range map[string][]string{
				"response_types_supported": {"code", "code id_token", "code id_token token", "code token", "id_token", "id_token token", "none"},
				"response_modes_supported": {"query", "fragment", "form_post"}, "subject_types_supported": {"public", "pairwise"},
				"id_token_signing_alg_values_supported":         {"RS256", "PS256", "ES256", "EdDSA", "HS256"},
				"userinfo_signing_alg_values_supported":         {"RS256", "PS256", "ES256", "EdDSA", "HS256"},
				"introspection_signing_alg_values_supported":    {"RS256", "PS256", "ES256", "EdDSA"},
				"grant_types_supported":                         {"authorization_code", "implicit", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"},
				"token_endpoint_auth_methods_supported":         {"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"},
				"introspection_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"},
				"acr_values_supported":                          {"1"},
				"code_challenge_methods_supported":              {"S256"},
				"prompt_values_supported":                       {"none", "login", "consent", "select_account", "create"},
				"ui_locales_supported":                          {"en", "es"},
			} {
				if got := texts(name); !slices.Equal(got, want) {
					t.Errorf("%s: %v", name, got)
				}
			}
			for _, scope := range []string{"openid", "offline_access"} {
				if !slices.Contains(texts("scopes_supported"), scope) {
					t.Errorf("scope %s", scope)
				}
			}
		})
		t.Run("Q004 what a server that lets clients register must have", func(t *testing.T) {
			for name, must := range map[string][]string{
				"response_types_supported": {"code", "id_token", "id_token token"}, "grant_types_supported": {"authorization_code", "implicit", "refresh_token"},
			} {
				for _, v := range must {
					if !slices.Contains(texts(name), v) {
						t.Errorf("%s lacks %s", name, v)
					}
				}
			}
			if m["registration_endpoint"] != issuer+"/connect/register" {
				t.Errorf("%v", m["registration_endpoint"])
			}
		})
		t.Run("Q005 what has a default is said", func(t *testing.T) {
			for name, want := range map[string]bool{
				"request_parameter_supported": true, "request_uri_parameter_supported": true, "claims_parameter_supported": true,
				"require_request_uri_registration": true, "require_pushed_authorization_requests": false,
				"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
				"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
				"authorization_response_iss_parameter_supported": true,
			} {
				if got, ok := m[name].(bool); !ok || got != want {
					t.Errorf("%s: %v", name, m[name])
				}
			}
		})
		t.Run("Q006 no duplicates, no empties", func(t *testing.T) {
			for name, v := range m {
				if _, isList := v.([]any); !isList {
					continue
				}
				list := texts(name)
				slices.Sort(list)
				if len(list) == 0 || list[0] == "" || len(slices.Compact(slices.Clone(list))) != len(list) {
					t.Errorf("%s: %v", name, list)
				}
			}
		})
		t.Run("Q007 the key set has public keys with their own kid", func(t *testing.T) {
			var set struct {
				Keys []map[string]any `json:"keys"`
			}
			w.must(json.Unmarshal([]byte(b.get(t, "/jwks.json").body), &set))
			kids := map[any]bool{}
			for _, k := range set.Keys {
				kids[k["kid"]] = true
				for _, secret := range []string{"d", "p", "q", "k", "dp", "dq", "qi"} {
					if k[secret] != nil {
						t.Errorf("the key set has %s", secret)
					}
				}
				if k["use"] != "sig" || k["alg"] == nil {
					t.Errorf("%v", k)
				}
			}
			if len(set.Keys) < 4 || len(kids) != len(set.Keys) {
				t.Errorf("%d keys, %d ids", len(set.Keys), len(kids))
			}
		})
		t.Run("ETag, HEAD and If-None-Match", func(t *testing.T) {
			for path, maxAge := range map[string]string{path: "public, max-age=3600", "/jwks.json": "public, max-age=300", "/.well-known/security.txt": "public, max-age=3600"} {
				full := b.get(t, path)
				etag := full.header.Get("ETag")
				if etag == "" || full.header.Get("Cache-Control") != maxAge {
					t.Errorf("%s: %q %q", path, etag, full.header.Get("Cache-Control"))
				}
				head, err := http.NewRequest(http.MethodHead, w.server.URL+path, nil)
				w.must(err)
				if a := b.do(t, head); a.status != 200 || a.body != "" || a.header.Get("ETag") != etag || a.header.Get("Content-Length") != full.header.Get("Content-Length") {
					t.Errorf("HEAD %s: %d %v", path, a.status, a.header)
				}
				for sent, want := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200} {
					req, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
					w.must(err)
					req.Header.Set("If-None-Match", sent)
					if a := b.do(t, req); a.status != want || want == 304 && a.body != "" {
						t.Errorf("%s with %s: %d", path, sent, a.status)
					}
				}
			}
		})
		t.Run("Q008 a rotation changes the key set and its ETag", func(t *testing.T) {
			before := b.get(t, "/jwks.json")
			w.must(w.ring.Rotate(t.Context(), true))
			after := b.get(t, "/jwks.json")
			if before.header.Get("ETag") == after.header.Get("ETag") || before.body == after.body {
				t.Error("it stayed as it was")
			}
		})
		t.Run("change-password", func(t *testing.T) {
			if a := b.get(t, "/.well-known/change-password"); a.status != 303 || a.location != "/account/password" {
				t.Errorf("%d %s", a.status, a.location)
			}
		})
		t.Run("A4 the Host header names nothing", func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, w.server.URL+path, nil)
			w.must(err)
			req.Host = "evil.test"
			req.Header.Set("X-Forwarded-Host", "evil.test")
			if strings.Contains(b.do(t, req).body, "evil") {
				t.Error("evil.test stands in the document")
			}
		})
		t.Run("CORS kinds", func(t *testing.T) {
			for _, r := range w.provider.Routes() {
				want := oidc.CORSNone
				switch r.Name {
				case "discovery", "metadata", "jwks", "security.txt":
					want = oidc.CORSOpen
				case "token", "userinfo", "revoke", "par", "device_authorization":
					want = oidc.CORSClient
				}
				if r.CORS != want {
					t.Errorf("%s: %d", r.Name, r.CORS)
				}
			}
		})
		t.Run("a configuration that lacks a part is refused", func(t *testing.T) {
			for _, bad := range []string{"https://op.test/", "https://op.test/x", "op.test", "https://u@op.test", ""} {
				if _, err := oidc.New(oidc.Config{Issuer: bad}); err == nil {
					t.Errorf("%q", bad)
				}
			}
		})
	})
}
