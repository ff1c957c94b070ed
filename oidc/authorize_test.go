package oidc_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/oidc/client"
)

// TestAuthorize: sections C and D of the requirements, and the R cases, over HTTP on both databases.
func TestAuthorize(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice := w.person("alice")
		own := w.client(func(c *client.Client) { c.SkipConsent = true })
		here := w.browser() // alice is signed in in it
		here.signIn(t, alice, "")

		t.Run("Q021 GET", func(t *testing.T) { here.authorize(t, to(own)).code() })
		t.Run("Q021 POST with our cookies", func(t *testing.T) { here.post(t, "/authorize", to(own)).code() })
		t.Run("Q022 unknown parameters, unknown scopes, any order", func(t *testing.T) {
			code := here.authorize(t, to(own, "utm", "x", "audience", "https://api.test/", "scope", "bogus profile openid bogus")).code()
			if got := w.grantOf(t, code).scopes; got != "profile openid" {
				t.Errorf("granted %q", got)
			}
		})
		t.Run("Q022 an empty parameter is an absent one", func(t *testing.T) {
			v := to(own)
			v.Set("prompt", "")
			v.Set("max_age", "")
			v.Set("claims", "")
			here.authorize(t, v).code()
		})
		t.Run("Q022 a scope that is not the client's", func(t *testing.T) {
			if got := w.grantOf(t, here.authorize(t, to(own, "scope", "openid address admin OPENID")).code()).scopes; got != "openid" {
				t.Errorf("granted %q", got)
			}
		})
		t.Run("Q023 a registered query stays, byte for byte", func(t *testing.T) {
			for _, v := range []url.Values{to(own, "redirect_uri", withQuery), to(own, "redirect_uri", withQuery, "response_type", "x")} {
				a := here.authorize(t, v)
				if !strings.HasPrefix(a.location, withQuery+"&") {
					t.Errorf("to %s", a.location)
				}
			}
		})
		t.Run("Q024 unknown client", func(t *testing.T) {
			for _, id := range []string{"nobody", "", strings.Repeat("a", 513), own.ID + "\x00", "\xff", "' OR 1=1--"} {
				here.authorize(t, to(own, "client_id", id)).errorPage(400, "error.client_unknown")
			}
		})
		t.Run("Q024 disabled client", func(t *testing.T) {
			off := w.client(nil)
			w.must(w.clients.Disable(t.Context(), off.ID))
			here.authorize(t, to(off)).errorPage(400, "error.client_disabled")
		})
		t.Run("R1 hostile variants of a registered URI", func(t *testing.T) {
			for _, uri := range []string{"https://app.test/cb/", "https://app.test/cb/../x", "https://app.test/cb/..;/x", "https://app.test/cb/%2e%2e/x",
				"https://app.test/cb/%252e%252e/x", `https://app.test/cb\..\x`, "https://APP.test/cb", "HTTPS://app.test/cb", "https://app.test:443/cb",
				"https://app.test./cb", "https://app.test/cb?", "https://app.test/cb#", "https://app.test/cb#x", "https://app.test/cb\x00",
				"https://app.test/cb\r\nX:1", "https://app.test/cb ", "https://app.test/cb?x=1", "https://a@app.test/cb", "https://app.test@evil.test/cb",
				"https://a@b@evil.test/", "https://app.test;@evil.test/", "https://app.test.evil.test/cb", `https://evil.test\@app.test/cb`,
				"https://app.test%2eevil.test/", "//app.test/cb", "/cb", "", "http://app.test/cb", "javascript:alert(1)", "data:text/html,x",
				"https://app.test/cb?x=a%20b&tenant=1", "https://app.test/cb?tenant=1&x=a b"} {
				here.authorize(t, to(own, "redirect_uri", uri)).errorPage(400, "error.redirect_mismatch")
			}
		})
		t.Run("R6 no redirect_uri", func(t *testing.T) {
			single := w.client(func(c *client.Client) { c.Metadata.RedirectURIs = []string{redirect} })
			here.authorize(t, to(own, "redirect_uri", "")).errorPage(400, "error.redirect_mismatch")
			here.authorize(t, to(single, "redirect_uri", "")).errorPage(400, "error.redirect_mismatch")
		})
		t.Run("R3 loopback of a native client", func(t *testing.T) {
			native := w.client(func(c *client.Client) {
				c.Metadata.ApplicationType, c.Metadata.TokenEndpointAuthMethod = "native", "none"
				c.Metadata.RedirectURIs = []string{"http://127.0.0.1/cb"}
			})
			a := w.browser().authorize(t, to(native, "redirect_uri", "http://127.0.0.1:49152/cb"))
			a.page("/login")
			for _, uri := range []string{"http://127.0.0.1:49152/cb?x=1", "http://u@127.0.0.1:1/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb",
				"http://127.0.0.2:1/cb", "http://127.1:1/cb", "http://2130706433/cb", "http://[::ffff:127.0.0.1]/cb", "http://localhost.:1/cb",
				"http://127.0.0.1.nip.io/cb", "https://127.0.0.1:1/cb"} {
				here.authorize(t, to(native, "redirect_uri", uri)).errorPage(400, "error.redirect_mismatch")
			}
		})
		t.Run("R4 private-use schemes", func(t *testing.T) {
			native := w.client(func(c *client.Client) {
				c.Metadata.ApplicationType, c.Metadata.TokenEndpointAuthMethod, c.SkipConsent = "native", "none", true
				c.Metadata.RedirectURIs = []string{"com.example.app:/cb"}
			})
			if a := here.authorize(t, to(native, "redirect_uri", "com.example.app:/cb")); a.status != 303 || !strings.HasPrefix(a.location, "com.example.app:/cb?code=") {
				t.Errorf("%d to %q (%s)", a.status, a.location, a.body)
			}
			for _, uri := range []string{"COM.example.app:/cb", "myapp:/cb", "com.example.app://cb"} {
				here.authorize(t, to(native, "redirect_uri", uri)).errorPage(400, "error.redirect_mismatch")
			}
		})
		t.Run("H10 a row that no registration would have let in", func(t *testing.T) {
			for _, uri := range []string{"javascript:alert(1)", "http://app.test/cb", "data:text/html,x", "http://127.evil.test/cb", "http://127.0.0.1.evil.test/cb"} {
				c := w.client(nil)
				w.exec(`UPDATE client SET metadata = replace(metadata, '%s', '%s'), revision = revision + 1 WHERE client_id = '%s'`, redirect, uri, c.ID)
				here.authorize(t, to(c, "redirect_uri", uri)).errorPage(400, "error.redirect_mismatch")
			}
		})
		t.Run("R13 doubled client_id and redirect_uri", func(t *testing.T) {
			q := "&" + to(own).Encode()
			here.get(t, "/authorize?client_id="+own.ID+q).errorPage(400, "error.client_unknown")
			here.get(t, "/authorize?redirect_uri="+url.QueryEscape(redirect)+q).errorPage(400, "error.redirect_mismatch")
		})
		t.Run("H15 any other parameter doubled", func(t *testing.T) {
			for _, name := range []string{"response_type", "scope", "nonce", "prompt", "max_age", "code_challenge", "code_challenge_method", "response_mode",
				"login_hint", "ui_locales", "claims", "acr_values", "display", "whatever"} {
				v := to(own)
				v[name] = []string{v.Get(name), v.Get(name)}
				if got := here.authorize(t, v).refused("invalid_request").Get("state"); got != "s t+a/t=e" {
					t.Errorf("%s: state %q", name, got)
				}
			}
			v := to(own)
			v.Add("state", "two")
			if here.authorize(t, v).refused("invalid_request").Has("state") {
				t.Error("one of two states came back")
			}
		})
		t.Run("R13 once in the body and once in the query", func(t *testing.T) {
			here.post(t, "/authorize?scope=openid", to(own)).refused("invalid_request")
			here.post(t, "/authorize?client_id="+own.ID, to(own)).errorPage(400, "error.client_unknown")
		})
		t.Run("Q025 the error's words have the characters they may have", func(t *testing.T) {
			for _, v := range []url.Values{to(own, "response_type", `"><script>`), to(own, "prompt", "\"\\\r\nÄ"), to(own, "max_age", "x"), to(own, "claims", "{")} {
				got := here.authorize(t, v).response()
				for name := range got {
					if !slices.Contains([]string{"error", "error_description", "state", "iss"}, name) {
						t.Errorf("%s was added", name)
					}
				}
				if strings.ContainsFunc(got.Get("error_description"), func(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }) {
					t.Errorf("%q", got.Get("error_description"))
				}
			}
		})
		t.Run("Q026 response_type", func(t *testing.T) {
			here.authorize(t, to(own, "response_type", "")).refused("invalid_request")
			here.authorize(t, to(own, "response_type", "device")).refused("unsupported_response_type")
			other := w.client(nil)
			w.exec(`UPDATE client SET metadata = replace(metadata, '"response_types":["code"]', '"response_types":["id_token"]') WHERE client_id = '%s'`, other.ID)
			here.authorize(t, to(other)).refused("unauthorized_client")
		})
		t.Run("Q027 state comes back once and byte for byte", func(t *testing.T) {
			visible := ""
			for c := ' '; c <= '~'; c++ {
				visible += string(c)
			}
			for _, state := range []string{visible, strings.Repeat("x", 1024), strings.Repeat("y", 2048), "ключ\u2028", "%41+%20"} {
				for _, v := range []url.Values{to(own, "state", state), to(own, "state", state, "prompt", "x")} {
					if got := here.authorize(t, v).response()["state"]; len(got) != 1 || got[0] != state {
						t.Errorf("sent %q, got %q", state, got)
					}
				}
			}
		})
		t.Run("H25 no state, no state back", func(t *testing.T) {
			for _, v := range []url.Values{to(own, "state", ""), to(own, "state", "", "prompt", "x")} {
				if a := here.authorize(t, v); a.response().Has("state") {
					t.Error(a.location)
				}
			}
		})
		t.Run("H25 a short state", func(t *testing.T) { here.authorize(t, to(own, "state", "a")).code() })
		t.Run("R15 control characters and broken UTF-8", func(t *testing.T) {
			for _, name := range []string{"state", "nonce", "scope", "login_hint", "ui_locales", "whatever"} {
				for _, bad := range []string{"a\r\nSet-Cookie: x=1", "\x00", "\x7f", "\xff\xfe"} {
					a := here.authorize(t, to(own, name, bad))
					a.refused("invalid_request")
					if a.header.Get("Set-Cookie") != "" {
						t.Errorf("%s %q set a cookie", name, bad)
					}
				}
			}
			here.get(t, "/authorize?"+to(own).Encode()+"&x=%zz").refused("invalid_request")
			here.get(t, "/authorize?"+to(own).Encode()+"&x=1;y=2").refused("invalid_request")
		})
		t.Run("Q028 nonce", func(t *testing.T) {
			for _, nonce := range []string{"", "n", strings.Repeat("~", 2048), `"\<>&+%`} {
				if got := w.grantOf(t, here.authorize(t, to(own, "nonce", nonce)).code()).nonce; got != nonce {
					t.Errorf("sent %q, kept %q", nonce, got)
				}
			}
		})
		t.Run("G5 PKCE", func(t *testing.T) {
			public := w.client(func(c *client.Client) { c.Metadata.TokenEndpointAuthMethod = "none"; c.SkipConsent = true })
			free := w.client(func(c *client.Client) { c.RequirePKCE = false; c.SkipConsent = true })
			for _, c := range []*client.Client{own, public, free} {
				for _, bad := range [][2]string{{"", "S256"}, {challenge, "plain"}, {challenge, ""}, {challenge, "s256"}, {challenge[:42], "S256"},
					{strings.Repeat("a", 129), "S256"}, {challenge[:42] + "=", "S256"}, {challenge[:42] + "+", "S256"}, {challenge[:42] + "ä", "S256"}} {
					here.authorize(t, to(c, "code_challenge", bad[0], "code_challenge_method", bad[1])).refused("invalid_request")
				}
				here.authorize(t, to(c)).code()
			}
			none := []string{"code_challenge", "", "code_challenge_method", ""}
			// H27: before anybody signs in for nothing; the library would see it only afterwards.
			w.browser().authorize(t, to(own, "code_challenge_method", "plain")).refused("invalid_request")
			w.browser().authorize(t, to(own, none...)).refused("invalid_request")
			here.authorize(t, to(own, none...)).refused("invalid_request")
			here.authorize(t, to(public, none...)).refused("invalid_request")
			here.authorize(t, to(free, none...)).code()
			if got := w.grantOf(t, here.authorize(t, to(free)).code()).challenge; got != challenge {
				t.Errorf("Q036: a challenge that need not be sent was lost: %q", got)
			}
		})
		t.Run("Q029 prompt=none", func(t *testing.T) {
			w.browser().authorize(t, to(own, "prompt", "none")).refused("login_required")
			here.authorize(t, to(own, "prompt", "none")).code()
			here.authorize(t, to(own, "prompt", "none login")).refused("invalid_request")
			here.authorize(t, to(own, "prompt", "sometimes")).refused("invalid_request")
			stranger := w.client(nil)
			here.authorize(t, to(stranger, "prompt", "none")).refused("consent_required")
			if n := w.count("interaction WHERE client_id = '%s'", stranger.ID); n != 0 {
				t.Errorf("%d rows were left behind", n)
			}
		})
		t.Run("H17 max_age", func(t *testing.T) {
			here.authorize(t, to(own, "max_age", "0")).page("/login")
			here.authorize(t, to(own, "max_age", "0", "prompt", "none")).refused("login_required")
			here.authorize(t, to(own, "max_age", "10000", "prompt", "none")).code()
			for _, bad := range []string{"-1", "x", "1.5", "1e3", "9999999999999999999999", "0x10", "+1", " 1"} {
				here.authorize(t, to(own, "max_age", bad)).refused("invalid_request")
			}
			zero := int64(0)
			strict := w.client(func(c *client.Client) { c.Metadata.DefaultMaxAge = &zero; c.SkipConsent = true })
			here.authorize(t, to(strict)).page("/login")
			here.authorize(t, to(strict, "max_age", "10000")).code()
		})
		t.Run("Q034 what cannot be satisfied is no error", func(t *testing.T) {
			here.authorize(t, to(own, "display", "hologram", "ui_locales", "tlh xx-YY", "claims_locales", "q", "login_hint", "nobody", "acr_values", "loa9")).code()
		})
		t.Run("Q035 claims", func(t *testing.T) {
			for _, good := range []string{`{}`, `{"userinfo":null}`, `{"userinfo":{"name":null,"email":{"essential":true}},"id_token":{"acr":{"values":["1","2"]},"made_up":{"value":1}},"x":1}`} {
				here.authorize(t, to(own, "claims", good)).code()
			}
			for _, bad := range []string{`{`, `[]`, `null`, `"x"`, `{"userinfo":[]}`, `{"userinfo":{"name":"x"}}`, `{"id_token":{"name":{"essential":"yes"}}}`,
				`{}{}`, `{"id_token":{"name":{"values":"x"}}}`, `{"x":"` + strings.Repeat("y", 4096) + `"}`, `{"id_token":{"sub":{"value":7}}}`} {
				here.authorize(t, to(own, "claims", bad)).refused("invalid_request")
			}
			// What no sub can be is told at once, and not by our own row when the person is on our pages.
			for _, sub := range []string{`"\u0000"`, `"sub-alice\u000a"`, `"\u007f"`, `""`} {
				w.browser().authorize(t, to(own, "claims", `{"id_token":{"sub":{"value":`+sub+`}}}`)).refused("invalid_request")
			}
			here.authorize(t, to(own, "prompt", "none", "claims", `{"id_token":{"sub":{"value":"sub-alice"}}}`)).code()
			here.authorize(t, to(own, "prompt", "none", "claims", `{"id_token":{"sub":{"value":"sub-bob"}}}`)).refused("login_required")
		})
		t.Run("Q037 offline_access", func(t *testing.T) {
			if g := w.grantOf(t, here.authorize(t, to(own, "scope", "openid offline_access")).code()); !g.offline {
				t.Errorf("%+v", g)
			}
			mute := w.client(func(c *client.Client) { c.Metadata.GrantTypes = []string{"authorization_code"}; c.SkipConsent = true })
			if g := w.grantOf(t, here.authorize(t, to(mute, "scope", "openid offline_access")).code()); g.offline || g.scopes != "openid" {
				t.Errorf("%+v", g)
			}
			stranger := w.client(nil)
			here.authorize(t, to(stranger, "scope", "openid offline_access")).page("/consent")
		})
		t.Run("H24 without openid it is plain OAuth", func(t *testing.T) {
			here.authorize(t, to(own, "scope", "profile", "nonce", "")).code()
			here.authorize(t, to(own, "scope", "")).code()
		})
		t.Run("Q068 registration is named as not supported", func(t *testing.T) {
			here.authorize(t, to(own, "registration", "{}")).refused("registration_not_supported")
		})
		t.Run("Q039 H20 errors go where the response would have gone", func(t *testing.T) {
			for _, rt := range []string{"id_token", "id_token token", "token code", "code id_token", "token id_token code"} {
				v := here.authorize(t, to(own, "response_type", rt)).fragment()
				if v.Get("error") != "unauthorized_client" {
					t.Errorf("%s: %v", rt, v)
				}
			}
			for _, rt := range []string{"token", "token token", "code token x"} {
				if v := here.authorize(t, to(own, "response_type", rt)).fragment(); v.Get("error") != "unsupported_response_type" {
					t.Errorf("%s: %v", rt, v)
				}
			}
			if v := here.authorize(t, to(own, "response_type", "id_token", "response_mode", "query")).fragment(); v.Get("error") != "invalid_request" {
				t.Errorf("%v", v)
			}
		})
		t.Run("Q040 form_post, errors too", func(t *testing.T) {
			for v, want := range map[string]string{"": "code=", "x": "error=invalid_request"} {
				a := here.authorize(t, to(own, "response_mode", "form_post", "prompt", v))
				if a.status != 200 || !strings.HasPrefix(a.body, "form_post "+redirect+" ") || !strings.Contains(a.body, want) ||
					strings.Count(a.body, "iss=") != 1 || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			a := w.browser().authorize(t, to(own, "response_mode", "form_post", "prompt", "none"))
			if !strings.Contains(a.body, "error=login_required") {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		t.Run("Q039 fragment on demand", func(t *testing.T) {
			if a := here.authorize(t, to(own, "response_mode", "fragment")); !strings.HasPrefix(a.location, redirect+"#code=") {
				t.Errorf("to %s", a.location)
			}
		})
		t.Run("R8 response modes that are not built", func(t *testing.T) {
			for _, mode := range []string{"web_message", "query.jwt", "jwt", "QUERY", "form_post.jwt"} {
				here.authorize(t, to(own, "response_mode", mode)).refused("invalid_request")
			}
		})
		t.Run("Q042 R9 iss, once, in errors as in answers", func(t *testing.T) {
			// response() proves it for each answer of this test; here is one that no browser would send.
			v := to(own)
			v.Set("iss", "https://evil.test")
			here.authorize(t, v).code()
		})
		t.Run("R10 every redirect is a 303", func(t *testing.T) {
			i := w.browser().authorize(t, to(own)).page("/login") // page() asks for 303
			if i == "" {
				t.Error("no interaction")
			}
		})
		t.Run("R11 nobody vouches for the client: no redirect for a stranger", func(t *testing.T) {
			evil := w.client(nil)
			w.exec(`UPDATE client SET verified_at = NULL WHERE client_id = '%s'`, evil.ID)
			evil = w.freshCopy(t, evil)
			for _, v := range []url.Values{to(evil, "response_type", "x"), to(evil, "prompt", "none login"), to(evil, "code_challenge", "")} {
				w.browser().authorize(t, v).errorPage(400, "error.request_malformed")
				here.authorize(t, v).response()
			}
			w.browser().authorize(t, to(evil, "scope", "bogus")).page("/login")
			w.browser().authorize(t, to(evil, "prompt", "none")).refused("login_required")
		})
		t.Run("R12 markup in what is sent comes back as data alone", func(t *testing.T) {
			for _, x := range []string{`"><script>x</script>`, `'-alert(1)-'`, `</textarea>`, `{{7*7}}`} {
				got := here.authorize(t, to(own, "state", x, "nonce", x, "ui_locales", x, "login_hint", x, "error_description", x, "scope", "openid "+x)).response()
				if got.Get("state") != x || got.Has("error_description") {
					t.Errorf("%v", got)
				}
			}
		})
		t.Run("D5 sizes", func(t *testing.T) { sizes(t, w, here, own) })
		t.Run("H09 only urlencoded bodies are read", func(t *testing.T) {
			for _, kind := range []string{"multipart/form-data; boundary=x", "application/json", "", "text/plain"} {
				req, err := http.NewRequest(http.MethodPost, w.server.URL+"/authorize", strings.NewReader(to(own).Encode()))
				w.must(err)
				req.Header.Set("Content-Type", kind)
				here.do(t, req).errorPage(415, "error.request_malformed")
			}
			req, err := http.NewRequest(http.MethodPost, w.server.URL+"/authorize", strings.NewReader(to(own).Encode()))
			w.must(err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Content-Encoding", "gzip")
			here.do(t, req).errorPage(415, "error.request_malformed")
		})
		t.Run("H27 a faulty request leaves nothing behind", func(t *testing.T) {
			before := [3]int{w.count("interaction"), w.count("authorization_grant"), w.count("code")}
			for _, b := range []*browser{here, w.browser()} {
				for _, change := range [][2]string{{"code_challenge", "x"}, {"prompt", "x"}, {"response_type", "x"}, {"redirect_uri", "https://evil.test"}, {"claims", "x"}} {
					b.authorize(t, to(own, change[0], change[1]))
				}
			}
			if after := [3]int{w.count("interaction"), w.count("authorization_grant"), w.count("code")}; after != before {
				t.Errorf("%v before, %v after", before, after)
			}
		})
		t.Run("D10 SQL in every parameter", func(t *testing.T) {
			for name := range to(own, "prompt", "login", "ui_locales", "es", "login_hint", "x") {
				here.authorize(t, to(own, name, `' OR 1=1--"; drop table account`))
			}
			if w.count("account") == 0 {
				t.Error("the accounts are gone")
			}
		})
	})
}

// sizes: case D5, and D1 as far as this room judges it.
func sizes(t *testing.T, w *world, b *browser, c *client.Client) {
	b.authorize(t, to(c, "state", strings.Repeat("x", 2049))).refused("invalid_request")
	b.authorize(t, to(c, "nonce", strings.Repeat("x", 2049))).refused("invalid_request")
	b.authorize(t, to(c, "scope", strings.Repeat("x", 2049))).refused("invalid_request")
	b.authorize(t, to(c, "scope", strings.Repeat("x ", 51))).refused("invalid_request")
	b.authorize(t, to(c, "scope", "openid"+strings.Repeat(" x", 49))).code()
	many := to(c)
	for n := len(many); n < 64; n++ {
		many.Set(fmt.Sprint("p", n), "x")
	}
	b.authorize(t, many).code()
	many.Set("one-more", "x")
	b.authorize(t, many).refused("invalid_request")
	// What our row would not hold: each within its own bound, together above 8 KiB.
	b.authorize(t, to(c, "state", strings.Repeat("ä", 1024), "nonce", strings.Repeat("ö", 1024))).refused("invalid_request")
	b.authorize(t, to(c, "x", strings.Repeat("x", 17<<10))).errorPage(414, "error.request_too_large")
	b.post(t, "/authorize", to(c, "x", strings.Repeat("x", 65<<10))).errorPage(413, "error.request_too_large")
	chunked, err := http.NewRequest(http.MethodPost, w.server.URL+"/authorize", struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 1<<20))})
	w.must(err)
	chunked.ContentLength = -1
	chunked.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.do(t, chunked).errorPage(413, "error.request_too_large")
}
