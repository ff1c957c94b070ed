package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const allClaims = `{"given_name":"Ada","family_name":"King","middle_name":"","nickname":null,"preferred_username":"ada","profile":"https://ada.test/me","picture":"https://op.test/pictures/x","gender":"female","birthdate":"1815-12-10",
	"zoneinfo":"Europe/London","locale":"en-GB","website":"https://ada.test/","phone_number":"+44 20","phone_number_verified":true,
	"address":{"country":"UK","locality":"London"},"sub":"forged","iss":"forged","email":"forged","updated_at":"forged","secret":"x"}`

func TestUserInfo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		w.exec(`UPDATE account SET claims = '%s', updated_at = 1700000000123456 WHERE id = '%s'`, allClaims, account)
		s := w.site(t, nil)
		token := func(scope string, more ...string) string {
			return s.redeem(t, s.code(t, here, append([]string{"scope", scope}, more...)...)).tokens().AccessToken
		}
		ask := func(t *testing.T, method, query, header, contentType, body string) answer {
			t.Helper()
			req, err := http.NewRequest(method, w.server.URL+"/userinfo"+query, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if header != "" {
				req.Header.Set("Authorization", header)
			}
			if contentType != "" {
				req.Header.Set("Content-Type", contentType)
			}
			return w.browser().do(t, req)
		}
		const urlencoded = "application/x-www-form-urlencoded"

		t.Run("Q057 header and body, GET and POST", func(t *testing.T) {
			access := token("openid")
			for _, a := range []answer{
				ask(t, "GET", "", "Bearer "+access, "", ""), ask(t, "GET", "", "bearer "+access, "", ""),
				ask(t, "POST", "", "Bearer "+access, "", ""), ask(t, "POST", "", "Bearer "+access, urlencoded, ""),
				ask(t, "POST", "", "", urlencoded, "access_token="+access),
			} {
				if got := a.claims(); len(got) != 1 || got["sub"] != "sub-ada" {
					t.Errorf("claims %v", got)
				}
				if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
					t.Errorf("headers %v", a.header)
				}
			}
		})
		t.Run("B8 a script of another origin than the token's client is not let in", func(t *testing.T) {
			access := token("openid")
			for origin, in := range map[string]bool{"https://app.test": true, "https://other.test": false, "null": false, "": true} {
				req := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
				req.Header.Set("Authorization", "Bearer "+access)
				if origin != "" {
					req.Header.Set("Origin", origin)
				}
				rec := httptest.NewRecorder()
				rec.Header().Set("Access-Control-Allow-Origin", origin) // the shell knows no client
				w.server.Config.Handler.ServeHTTP(rec, req)
				if _, let := rec.Header()["Access-Control-Allow-Origin"]; rec.Code != http.StatusOK || let != in {
					t.Errorf("%q: %d, let in: %v", origin, rec.Code, let)
				}
			}
		})
		t.Run("H14 G16 never in the URL, never in two places", func(t *testing.T) {
			access := token("openid")
			for _, a := range []answer{
				ask(t, "GET", "?access_token="+access, "", "", ""), ask(t, "GET", "?access_token="+access, "Bearer "+access, "", ""),
				ask(t, "POST", "?access_token="+access, "", urlencoded, ""),
				ask(t, "POST", "", "Bearer "+access, urlencoded, "access_token="+access),
				ask(t, "POST", "", "Basic "+access, urlencoded, "access_token="+access),
				ask(t, "POST", "", "", urlencoded, "access_token="+access+"&access_token="+access),
				ask(t, "POST", "", "", urlencoded, "access_token=%00"),
				ask(t, "POST", "", "", "multipart/form-data; boundary=x", "--x--"),
			} {
				a.fails(400, "invalid_request")
				if !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_request"`) {
					t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
				}
			}
			ask(t, "POST", "", "", urlencoded, strings.Repeat("x", 64<<10+1)).fails(413, "invalid_request")
		})
		t.Run("Q059 errors", func(t *testing.T) {
			for _, a := range []answer{
				ask(t, "GET", "", "", "", ""), ask(t, "GET", "", "Bearer", "", ""), ask(t, "GET", "", "Basic eDp5", "", ""),
				ask(t, "GET", "", "Bearer pp1a_"+strings.Repeat("x", 43), "", ""), ask(t, "POST", "", "", urlencoded, "access_token="),
				ask(t, "GET", "", "Bearer "+strings.Repeat("x", 5000), "", ""),
			} {
				a.fails(401, "invalid_token")
				if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
					t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
				}
			}
			a := ask(t, "GET", "", "Bearer "+token("read", "nonce", ""), "", "")
			a.fails(403, "insufficient_scope")
			if !strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
				t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
			}
		})
		t.Run("Q060 Q061 Q062 claims follow the scopes, with their types", func(t *testing.T) {
			for scope, want := range map[string]map[string]any{
				"openid": {},
				"openid profile": {"name": "ada", "given_name": "Ada", "family_name": "King", "preferred_username": "ada", "profile": "https://ada.test/me",
					"picture": "https://op.test/pictures/x", "gender": "female", "birthdate": "1815-12-10",
					"zoneinfo": "Europe/London", "locale": "en-GB", "website": "https://ada.test/", "updated_at": float64(1700000000)},
				"openid email":   {"email": "ada@example.test", "email_verified": true},
				"openid address": {"address": map[string]any{"country": "UK", "locality": "London"}},
				"openid phone":   {"phone_number": "+44 20", "phone_number_verified": true},
			} {
				want["sub"] = "sub-ada"
				if got := w.userinfo(t, token(scope)).claims(); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v, not %v", scope, got, want)
				}
			}
		})
		t.Run("Q060 claims.userinfo adds to them, and reaches nothing else", func(t *testing.T) {
			access := token("openid", "claims", `{"userinfo":{"email":{"essential":true},"nickname":null,"secret":null,"iss":null},"id_token":{"gender":null}}`)
			want := map[string]any{"sub": "sub-ada", "email": "ada@example.test"}
			if got := w.userinfo(t, access).claims(); !reflect.DeepEqual(got, want) {
				t.Errorf("%v", got)
			}
		})
		t.Run("a token ends with its time, its client and its person", func(t *testing.T) {
			s := w.site(t, nil)
			access := s.redeem(t, s.code(t, here)).tokens().AccessToken
			w.must(w.clients.Disable(t.Context(), s.ID))
			w.dead(t, access)
			w.must(w.clients.Enable(t.Context(), s.ID))
			w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
			w.dead(t, access)
			w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			w.sleep(30*time.Minute - time.Second)
			w.userinfo(t, access).claims()
			w.sleep(time.Second)
			w.dead(t, access)
			offline := s.offline(t, here)
			w.must(w.clients.Delete(t.Context(), s.ID))
			w.dead(t, offline.AccessToken)
		})
	})
}

func TestIntrospection(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		s := w.site(t, nil)
		out := s.offline(t, here)
		look := func(s *site, token string) map[string]any {
			return s.post(t, "/introspect", url.Values{"token": {token}}).claims()
		}
		inactive := func(t *testing.T, got map[string]any) {
			t.Helper()
			if len(got) != 1 || got["active"] != false {
				t.Errorf("%v, not only inactive", got)
			}
		}
		t.Run("an access token", func(t *testing.T) {
			got := look(s, out.AccessToken)
			if got["active"] != true || got["scope"] != "openid profile offline_access" || got["client_id"] != s.ID || got["sub"] != "sub-ada" ||
				got["token_type"] != "Bearer" || got["iss"] != issuer || got["exp"].(float64)-got["iat"].(float64) != 1800 {
				t.Errorf("%v", got)
			}
		})
		t.Run("H14 the expiry of a refresh token is its own", func(t *testing.T) {
			got := look(s, out.RefreshToken)
			if got["active"] != true || got["sub"] != "sub-ada" || got["exp"].(float64)-got["iat"].(float64) != 30*24*3600 {
				t.Errorf("%v", got)
			}
		})
		t.Run("a client's own token", func(t *testing.T) {
			own := s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}).tokens()
			if got := look(s, own.AccessToken); got["active"] != true || got["sub"] != s.ID || got["scope"] != "read" {
				t.Errorf("%v", got)
			}
		})
		t.Run("H14 G11 who may not ask, and what is told", func(t *testing.T) {
			evil := w.site(t, nil)
			inactive(t, look(evil, out.AccessToken))
			inactive(t, look(evil, out.RefreshToken))
			for _, garbage := range []string{"x", "pp1a_", "pp1a_" + strings.Repeat("x", 43), "pp1r_" + strings.Repeat("A", 70), out.IDToken, s.code(t, here)} {
				inactive(t, look(s, garbage))
			}
			w.site(t, public).post(t, "/introspect", url.Values{"token": {out.AccessToken}}).fails(401, "invalid_client")
			w.browser().post(t, "/introspect", url.Values{"token": {out.AccessToken}}).fails(401, "invalid_client")
			req, err := http.NewRequest("POST", w.server.URL+"/introspect", strings.NewReader("token="+out.AccessToken))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Authorization", "Bearer "+out.AccessToken)
			w.browser().do(t, req).fails(401, "invalid_client")
			(&site{s.Client, w, "wrong"}).post(t, "/introspect", url.Values{"token": {out.AccessToken}}).fails(401, "invalid_client")
			s.post(t, "/introspect", url.Values{}).fails(400, "invalid_request")
			s.post(t, "/introspect?token="+out.AccessToken, url.Values{}).fails(400, "invalid_request")
			s.post(t, "/introspect", url.Values{"token": {"a\x00"}}).fails(400, "invalid_request")
			s.post(t, "/introspect", url.Values{"token": {"a", "b"}}).fails(400, "invalid_request")
		})
		t.Run("what ended is inactive", func(t *testing.T) {
			w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
			inactive(t, look(s, out.AccessToken))
			inactive(t, look(s, out.RefreshToken))
			w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			next := s.refresh(t, out.RefreshToken).tokens()
			inactive(t, look(s, out.RefreshToken))
			if look(s, out.AccessToken)["active"] != true || look(s, next.RefreshToken)["active"] != true {
				t.Error("a refresh ended too much")
			}
			s.post(t, "/revoke", url.Values{"token": {next.RefreshToken}})
			for _, token := range []string{out.AccessToken, next.AccessToken, next.RefreshToken} {
				inactive(t, look(s, token))
			}
		})
	})
}

func TestRevocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, nil)
		revoke := func(t *testing.T, s *site, token string, more ...string) {
			t.Helper()
			a := s.post(t, "/revoke", pairs(url.Values{"token": {token}}, more))
			if a.status != 200 || a.body != "" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %q", a.status, a.body)
			}
		}
		t.Run("G10 an access token ends alone", func(t *testing.T) {
			out := s.offline(t, here)
			revoke(t, s, out.AccessToken, "token_type_hint", "refresh_token") // a wrong hint does not matter
			w.dead(t, out.AccessToken)
			s.refresh(t, out.RefreshToken).tokens()
		})
		t.Run("G10 with a refresh token, however old, ends all", func(t *testing.T) {
			out := s.offline(t, here)
			next := s.refresh(t, out.RefreshToken).tokens()
			revoke(t, s, out.RefreshToken)
			w.dead(t, out.AccessToken)
			w.dead(t, next.AccessToken)
			s.refresh(t, next.RefreshToken).fails(400, "invalid_grant")
			revoke(t, s, out.RefreshToken)
		})
		t.Run("G10 another client's token, and an unknown one", func(t *testing.T) {
			out, evil := s.offline(t, here), w.site(t, nil)
			for _, token := range []string{out.AccessToken, out.RefreshToken, "x", "pp1a_" + strings.Repeat("x", 43)} {
				revoke(t, evil, token)
			}
			if w.userinfo(t, out.AccessToken).status != 200 {
				t.Error("another client ended it")
			}
			s.refresh(t, out.RefreshToken).tokens()
		})
		t.Run("H07 a token that only looks like one of ours ends nothing", func(t *testing.T) {
			out := s.offline(t, here)
			forged := "AA"
			if strings.HasSuffix(out.RefreshToken, forged) { // one in 256
				forged = "BA"
			}
			revoke(t, s, out.RefreshToken[:len(out.RefreshToken)-2]+forged)
			s.refresh(t, out.RefreshToken).tokens()
		})
		t.Run("a public client's own", func(t *testing.T) {
			s := w.site(t, public)
			out := s.offline(t, here)
			revoke(t, s, out.RefreshToken)
			s.refresh(t, out.RefreshToken).fails(400, "invalid_grant")
		})
		t.Run("H07 bad requests are not 200", func(t *testing.T) {
			s.post(t, "/revoke", url.Values{}).fails(400, "invalid_request")
			s.post(t, "/revoke", url.Values{"token": {""}}).fails(400, "invalid_request")
			s.post(t, "/revoke", url.Values{"token": {"\xff"}}).fails(400, "invalid_request")
			(&site{s.Client, w, "wrong"}).post(t, "/revoke", url.Values{"token": {"x"}}).fails(401, "invalid_client")
		})
	})
}
