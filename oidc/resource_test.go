package oidc_test

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/passport-network/passport/oidc/client"
)

const (
	notes  = "https://notes.test/"
	photos = "https://photos.test/"
)

// TestResources: access tokens for resources (RFC 8707), as JWTs (RFC 9068), and who may look at them (RFC 7662, 9701).
func TestResources(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		asks := func(format string) func(c *client.Client) {
			return func(c *client.Client) {
				c.Metadata.Resources, c.Metadata.AccessTokenFormat = []string{notes, photos}, format
			}
		}
		s, jwt := w.site(t, asks(client.FormatOpaque)), w.site(t, asks(client.FormatJWT))
		server := w.site(t, func(c *client.Client) {
			c.Metadata.ResourceServerFor, c.Metadata.SubjectType = []string{notes}, "pairwise"
			c.Metadata.RedirectURIs = []string{"https://notes.test/cb"}
		})
		theirs := w.clients.Subject(server.Client, "sub-ada") // ada as the resource server knows her
		look := func(s *site, token string) map[string]any {
			return s.post(t, "/introspect", url.Values{"token": {token}}).claims()
		}
		both := url.Values{"resource": {notes, photos}}
		authorize := func(s *site, resources url.Values, changes ...string) string {
			v := to(s.Client, append([]string{"scope", "openid profile offline_access"}, changes...)...)
			for name, list := range resources {
				v[name] = list
			}
			return here.authorize(t, v).code()
		}

		t.Run("asked for, and narrowed at the token endpoint", func(t *testing.T) {
			out := s.redeem(t, authorize(s, both)).tokens()
			if got := look(s, out.AccessToken)["aud"]; !reflect.DeepEqual(got, []any{notes, photos}) {
				t.Errorf("aud %v", got)
			}
			code := authorize(s, both)
			out = s.redeem(t, code, "resource", notes).tokens()
			if got := look(s, out.AccessToken)["aud"]; got != notes {
				t.Errorf("aud %v", got)
			}
			next := s.refresh(t, out.RefreshToken, "resource", photos).tokens() // the grant has both still
			if got := look(s, next.AccessToken)["aud"]; got != photos {
				t.Errorf("aud %v", got)
			}
			next = s.refresh(t, next.RefreshToken).tokens()
			if got := look(s, next.AccessToken)["aud"]; !reflect.DeepEqual(got, []any{notes, photos}) {
				t.Errorf("aud %v", got)
			}
		})
		t.Run("unknown ones are invalid_target, wherever they are asked for", func(t *testing.T) {
			here.authorize(t, to(s.Client, "resource", "https://other.test/")).refused("invalid_target")
			here.authorize(t, to(s.Client, "resource", "notes")).refused("invalid_target")
			here.authorize(t, to(w.site(t, nil).Client, "resource", notes)).refused("invalid_target")
			s.redeem(t, authorize(s, url.Values{"resource": {notes}}), "resource", photos).fails(400, "invalid_target")
			out := s.redeem(t, authorize(s, url.Values{"resource": {notes}})).tokens()
			s.refresh(t, out.RefreshToken, "resource", photos).fails(400, "invalid_target")
			s.refresh(t, out.RefreshToken).tokens() // a wrong wish costs nothing
			own := url.Values{"grant_type": {"client_credentials"}, "resource": {"https://other.test/"}}
			s.post(t, "/token", own).fails(400, "invalid_target")
			own.Set("resource", photos)
			if got := look(s, s.post(t, "/token", own).tokens().AccessToken)["aud"]; got != photos {
				t.Errorf("aud %v", got)
			}
			own["resource"] = []string{"", photos, "", photos} // without a value, or again: as if it were not there
			if got := look(s, s.post(t, "/token", own).tokens().AccessToken)["aud"]; got != photos {
				t.Errorf("aud %v", got)
			}
			s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "resource": slices.Repeat([]string{notes}, 11)}).fails(400, "invalid_target")
			v := to(s.Client)
			v["resource"] = make([]string, 11)
			for i := range v["resource"] {
				v["resource"][i] = notes
			}
			here.authorize(t, v).refused("invalid_target")
		})
		t.Run("a JWT access token (RFC 9068)", func(t *testing.T) {
			out := jwt.redeem(t, authorize(jwt, url.Values{"resource": {photos}}, "scope", "openid profile email")).tokens()
			header, claims := w.idToken(t, out.AccessToken)
			if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == nil {
				t.Errorf("%v", header)
			}
			if claims["iss"] != issuer || claims["aud"] != photos || claims["client_id"] != jwt.ID || claims["sub"] != "sub-ada" ||
				claims["scope"] != "openid profile email" || claims["jti"] == "" || claims["acr"] != "1" || claims["auth_time"] == nil ||
				claims["exp"].(float64)-claims["iat"].(float64) != 1800 {
				t.Errorf("%v", claims)
			}
			for _, name := range []string{"name", "email", "nonce", "sid", "at_hash"} {
				if claims[name] != nil {
					t.Errorf("%s stands in it", name)
				}
			}
			if got := w.userinfo(t, out.AccessToken).claims(); got["email"] != "ada@example.test" {
				t.Errorf("%v", got)
			}
			if _, id := w.idToken(t, out.IDToken); id["at_hash"] != half("ES256", out.AccessToken) {
				t.Error("at_hash is another token's")
			}
			// Without a resource it is for us (§3); of a client alone it names the client (§2.2).
			_, claims = w.idToken(t, jwt.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}).tokens().AccessToken)
			if claims["aud"] != issuer || claims["sub"] != jwt.ID || claims["client_id"] != jwt.ID || claims["auth_time"] != nil {
				t.Errorf("%v", claims)
			}
		})
		t.Run("no JWT access token is so long that we would not know it again", func(t *testing.T) {
			var long []string
			for i := range 9 {
				long = append(long, "https://api.test/"+strings.Repeat("a", 1900)+strconv.Itoa(i))
			}
			s := w.site(t, func(c *client.Client) {
				c.Metadata.Resources, c.Metadata.AccessTokenFormat = long, client.FormatJWT
			})
			ask := func(resources []string) answer {
				return s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "resource": resources})
			}
			out := ask(long[:5]).tokens()
			if len(out.AccessToken) < 12<<10 {
				t.Fatalf("%d bytes are none to try", len(out.AccessToken))
			}
			if look(s, out.AccessToken)["active"] != true {
				t.Error("it is not known")
			}
			s.post(t, "/revoke", url.Values{"token": {out.AccessToken}})
			if look(s, out.AccessToken)["active"] != false {
				t.Error("it is not to be revoked")
			}
			ask(long).fails(400, "invalid_target")
		})
		t.Run("a JWT access token is signed so that a resource server can look at it", func(t *testing.T) {
			s := w.site(t, func(c *client.Client) {
				asks(client.FormatJWT)(c)
				c.Metadata.IDTokenSignedResponseAlg = "HS256"
			})
			out := s.redeem(t, authorize(s, nil)).tokens()
			secretJWT(t, out.IDToken, s.secret)
			if header, _ := w.idToken(t, out.AccessToken); header["alg"] != "RS256" {
				t.Errorf("%v", header)
			}
		})
		t.Run("a JWT access token has the subject of whoever receives it", func(t *testing.T) {
			out := jwt.redeem(t, authorize(jwt, url.Values{"resource": {notes}})).tokens()
			_, claims := w.idToken(t, out.AccessToken)
			_, id := w.idToken(t, out.IDToken)
			if claims["sub"] != theirs || id["sub"] != "sub-ada" {
				t.Errorf("access token %v, ID token %v", claims["sub"], id["sub"])
			}
			// For two that know her differently there is no right one.
			jwt.redeem(t, authorize(jwt, both)).fails(400, "invalid_target")
			jwt.redeem(t, authorize(jwt, both), "resource", notes).tokens()
		})
		t.Run("a JWT access token is revoked like any other", func(t *testing.T) {
			out := jwt.redeem(t, authorize(jwt, nil)).tokens()
			jwt.post(t, "/revoke", url.Values{"token": {out.AccessToken}})
			w.dead(t, out.AccessToken)
			if look(jwt, out.AccessToken)["active"] != false {
				t.Error("it is active still")
			}
			next := jwt.refresh(t, out.RefreshToken).tokens()
			jwt.post(t, "/revoke", url.Values{"token": {next.RefreshToken}})
			w.dead(t, next.AccessToken)
		})
		t.Run("G17 one JWT is no other", func(t *testing.T) {
			out := jwt.redeem(t, authorize(jwt, nil)).tokens()
			w.dead(t, out.IDToken)
			here.authorize(t, to(jwt.Client, "prompt", "none", "id_token_hint", out.AccessToken)).refused("invalid_request")
			// One that we signed for the purpose, and never issued.
			w.dead(t, w.sign(t, "ES256", map[string]any{"iss": issuer, "sub": "sub-ada", "aud": issuer, "client_id": jwt.ID, "exp": w.now().Unix() + 600}, "at+jwt"))
			altered := out.AccessToken[:len(out.AccessToken)-6] + "AAAAAA"
			w.dead(t, altered)
		})
		t.Run("the resource server may look, and sees its own subject", func(t *testing.T) {
			out := s.redeem(t, authorize(s, url.Values{"resource": {notes}})).tokens()
			got := look(server, out.AccessToken)
			if got["active"] != true || got["sub"] != theirs || got["client_id"] != s.ID || got["aud"] != notes {
				t.Errorf("%v", got)
			}
			if got := look(s, out.AccessToken); got["sub"] != "sub-ada" {
				t.Errorf("%v", got)
			}
			// What is not meant for it, and what is only its client's affair.
			elsewhere := s.redeem(t, authorize(s, url.Values{"resource": {photos}})).tokens()
			none := s.redeem(t, authorize(s, nil)).tokens()
			for _, token := range []string{elsewhere.AccessToken, none.AccessToken, out.RefreshToken} {
				if got := look(server, token); len(got) != 1 || got["active"] != false {
					t.Errorf("%v", got)
				}
			}
		})
		t.Run("one resource, one server", func(t *testing.T) {
			c := client.Client{RequirePKCE: true}
			c.Metadata.GrantTypes, c.Metadata.ResourceServerFor = []string{"client_credentials"}, []string{notes}
			if _, _, err := w.clients.Create(t.Context(), c, ""); err == nil {
				t.Error("a second client serves the resource")
			}
		})
		t.Run("RFC 9701: a signed answer for who asks for it", func(t *testing.T) {
			out := s.redeem(t, authorize(s, url.Values{"resource": {notes}})).tokens()
			ask := func(s *site, token, accept string) answer {
				t.Helper()
				v := url.Values{"token": {token}}
				req, err := http.NewRequest(http.MethodPost, w.server.URL+"/introspect", strings.NewReader(v.Encode()))
				w.must(err)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("Accept", accept)
				req.SetBasicAuth(s.ID, s.secret)
				return w.browser().do(t, req)
			}
			const kind = "application/token-introspection+jwt"
			a := ask(server, out.AccessToken, kind)
			if a.status != 200 || a.header.Get("Content-Type") != kind || a.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v %s", a.status, a.header, a.body)
			}
			header, claims := w.idToken(t, a.body)
			inside, _ := claims["token_introspection"].(map[string]any)
			if header["typ"] != "token-introspection+jwt" || header["alg"] != "RS256" || claims["iss"] != issuer || claims["aud"] != server.ID || claims["iat"] == nil ||
				claims["sub"] != nil || claims["exp"] != nil || inside["active"] != true || inside["sub"] != theirs {
				t.Errorf("%v %v", header, claims)
			}
			_, claims = w.idToken(t, ask(server, "x", "text/html, "+kind+";q=0.5").body)
			if inside, _ := claims["token_introspection"].(map[string]any); len(inside) != 1 || inside["active"] != false {
				t.Errorf("%v", claims)
			}
			ps := w.site(t, func(c *client.Client) { c.Metadata.IntrospectionSignedResponseAlg = "PS256" })
			if header, _ := w.idToken(t, ask(ps, "x", kind).body); header["alg"] != "PS256" {
				t.Errorf("%v", header)
			}
			if a := ask(server, out.AccessToken, "application/json, */*"); a.claims()["active"] != true {
				t.Errorf("%s", a.body)
			}
		})
	})
}

// TestPairwise: section 8 of Core, requirements 16 and 63.
func TestPairwise(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		at := func(hosts ...string) func(c *client.Client) {
			return func(c *client.Client) {
				front("RS256")(c)
				c.Metadata.SubjectType, c.Metadata.RedirectURIs = "pairwise", nil
				for _, h := range hosts {
					c.Metadata.RedirectURIs = append(c.Metadata.RedirectURIs, "https://"+h+"/cb")
				}
				c.Metadata.BackchannelLogoutURI, c.Metadata.UserinfoSignedResponseAlg = "https://app.test/out", ""
			}
		}
		one, again, other := w.site(t, at("app.test")), w.site(t, at("app.test")), w.site(t, at("other.test"))
		sub := func(s *site) string {
			t.Helper()
			uri := s.Metadata.RedirectURIs[0]
			a := here.authorize(t, to(s.Client, "redirect_uri", uri, "response_type", "id_token token"))
			_, fragment, _ := strings.Cut(a.location, "#")
			v, err := url.ParseQuery(fragment)
			w.must(err)
			_, claims := w.idToken(t, v.Get("id_token"))
			if info := w.userinfo(t, v.Get("access_token")).claims(); info["sub"] != claims["sub"] {
				t.Errorf("userinfo says %v, the ID token %v", info["sub"], claims["sub"])
			}
			if got := s.post(t, "/introspect", url.Values{"token": {v.Get("access_token")}}).claims(); got["sub"] != claims["sub"] {
				t.Errorf("introspection says %v, the ID token %v", got["sub"], claims["sub"])
			}
			got, _ := claims["sub"].(string)
			return got
		}
		t.Run("Q063 the same within a sector, another outside, and nobody's sub", func(t *testing.T) {
			a, b, c := sub(one), sub(again), sub(other)
			if a != b || a == c || a == "sub-ada" || c == "sub-ada" || len(a) < 22 || len(a) > 255 || a != sub(one) {
				t.Errorf("%q %q %q", a, b, c)
			}
			bea, _ := w.signedIn(t, "bea")
			v := bea.authorize(t, to(one.Client, "response_type", "id_token")).fragment()
			if _, claims := w.idToken(t, v.Get("id_token")); claims["sub"] == a {
				t.Error("two people have one subject")
			}
		})
		t.Run("Q016 a sector of several hosts", func(t *testing.T) {
			uri := w.web.put("/sector.json", `["https://app.test/cb","https://b.test/cb"]`)
			sector := func(c *client.Client) { at("b.test", "app.test")(c); c.Metadata.SectorIdentifierURI = uri }
			x := w.site(t, sector)
			y := w.site(t, func(c *client.Client) { at("app.test")(c); c.Metadata.SectorIdentifierURI = uri })
			if sub(x) != sub(y) || sub(x) == sub(one) {
				t.Error("the sector is not the host of the sector_identifier_uri")
			}
		})
		t.Run("Q033 a hint, and claims.sub, speak of the client's own subject", func(t *testing.T) {
			v := here.authorize(t, to(one.Client, "response_type", "id_token")).fragment()
			hint, mine := v.Get("id_token"), sub(one)
			here.authorize(t, to(one.Client, "prompt", "none", "id_token_hint", hint)).code()
			// Another client's hint is about the same person all the same.
			public := w.site(t, nil)
			here.authorize(t, to(public.Client, "prompt", "none", "id_token_hint", hint)).code()
			here.authorize(t, to(one.Client, "prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+mine+`"}}}`)).code()
			here.authorize(t, to(one.Client, "prompt", "none", "claims", `{"id_token":{"sub":{"value":"sub-ada"}}}`)).refused("login_required")
			here.authorize(t, to(public.Client, "prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+mine+`"}}}`)).refused("login_required")
			bea, _ := w.signedIn(t, "dora")
			bea.authorize(t, to(one.Client, "prompt", "none", "id_token_hint", hint)).refused("login_required")
		})
	})
}
