package oidc_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/pkg/limit"
)

func TestCodeExchange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		s := w.site(t, nil)
		out := s.redeem(t, s.code(t, here, "max_age", "100")).tokens()
		if out.Scope != "openid profile" || out.ExpiresIn != 1800 || out.RefreshToken != "" {
			t.Errorf("answer %+v", out)
		}
		header, claims := w.idToken(t, out.IDToken)
		var authTime int64
		w.must(w.raw.QueryRow(`SELECT auth_time / 1000000 FROM login WHERE account_id = '` + account + `'`).Scan(&authTime))

		t.Run("Q052 claims of an ID token", func(t *testing.T) {
			now := float64(w.now().Unix())
			if claims["iss"] != issuer || claims["sub"] != "sub-ada" || claims["aud"] != s.ID || claims["nonce"] != "n-1" {
				t.Errorf("claims %v", claims)
			}
			iat, exp := claims["iat"].(float64), claims["exp"].(float64)
			if iat > now || iat < now-60 || exp-iat != 1800 {
				t.Errorf("iat %v exp %v now %v", iat, exp, now)
			}
			if claims["auth_time"] != float64(authTime) || claims["acr"] != "1" {
				t.Errorf("auth_time %v acr %v", claims["auth_time"], claims["acr"])
			}
		})
		t.Run("Q045 the answer (RFC 6749 §5.1)", func(t *testing.T) {
			a := s.redeem(t, s.code(t, here, "scope", "openid profile bogus"))
			a.tokens() // its headers and members
			var doc map[string]any
			w.must(json.Unmarshal([]byte(a.body), &doc))
			if doc["token_type"] != "Bearer" || doc["expires_in"] != float64(1800) || doc["scope"] != "openid profile" || doc["id_token"] == nil || len(doc) != 5 {
				t.Errorf("%s", a.body)
			}
		})
		t.Run("Q009 every signed JWT names its key", func(t *testing.T) {
			signs := w.site(t, func(c *client.Client) {
				c.Metadata.UserinfoSignedResponseAlg, c.Metadata.AccessTokenFormat = "RS256", client.FormatJWT
			})
			out := signs.redeem(t, signs.code(t, here)).tokens()
			for _, raw := range []string{out.IDToken, out.AccessToken, w.userinfo(t, out.AccessToken).body} {
				if header, _ := w.idToken(t, raw); header["kid"] == nil || header["kid"] == "" { // idToken finds the key by it
					t.Errorf("%v", header)
				}
			}
		})
		t.Run("Q043 what is secret is random, and long", func(t *testing.T) {
			offline := w.site(t, nil)
			seen := map[string]bool{}
			for range 5 {
				code := offline.code(t, here, "scope", "openid offline_access")
				out := offline.redeem(t, code).tokens()
				for _, secret := range []string{code, out.AccessToken, out.RefreshToken} {
					_, random, _ := strings.Cut(secret, "_")
					if raw, err := base64.RawURLEncoding.DecodeString(random); err != nil || len(raw) < 32 || seen[secret] {
						t.Errorf("%q", secret)
					}
					seen[secret] = true
				}
			}
		})
		t.Run("Q053 header", func(t *testing.T) {
			if header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] == "" {
				t.Errorf("header %v", header)
			}
		})
		t.Run("Q055 what scopes ask for stays out of the ID token", func(t *testing.T) {
			for _, name := range []string{"name", "email", "email_verified", "updated_at", "azp"} {
				if claims[name] != nil {
					t.Errorf("%s stands in the ID token", name)
				}
			}
		})
		t.Run("Q055 claims.id_token puts it there", func(t *testing.T) {
			code := s.code(t, here, "claims", `{"id_token":{"email":null,"nickname":null}}`)
			_, claims := w.idToken(t, s.redeem(t, code).tokens().IDToken)
			if claims["email"] != "ada@example.test" || claims["nickname"] != nil {
				t.Errorf("claims %v", claims)
			}
		})
		t.Run("Q056 without openid there is no ID token", func(t *testing.T) {
			out := s.redeem(t, s.code(t, here, "scope", "read", "nonce", "")).tokens()
			if out.IDToken != "" || out.Scope != "read" || out.RefreshToken == "" {
				t.Errorf("answer %+v", out)
			}
		})
		t.Run("Q077 sid only for clients that asked for it, one a login", func(t *testing.T) {
			if claims["sid"] != nil {
				t.Error("sid, though the client did not ask")
			}
			asks := func(c *client.Client) {
				c.Metadata.BackchannelLogoutURI = "https://app.test/logout"
				c.Metadata.BackchannelLogoutSessionRequired = true
			}
			one, two := w.site(t, asks), w.site(t, asks)
			sid := func(s *site) any {
				_, claims := w.idToken(t, s.redeem(t, s.code(t, here)).tokens().IDToken)
				return claims["sid"]
			}
			first := sid(one)
			if first == nil || first != sid(one) || first == sid(two) {
				t.Error("sid is missing, differs within the login, or is the same at two sites")
			}
		})
		t.Run("H18 nothing is invented", func(t *testing.T) {
			code := s.code(t, here, "acr_values", "urn:gold")
			_, claims := w.idToken(t, s.redeem(t, code).tokens().IDToken)
			if claims["rat"] != nil || claims["acr"] != "1" || claims["auth_time"] != float64(authTime) || claims["jti"] != nil {
				t.Errorf("claims %v", claims)
			}
		})
		for _, alg := range []string{"", "RS256", "PS256", "ES256", "EdDSA"} {
			t.Run("H21 H32 at_hash and kid for "+alg, func(t *testing.T) {
				s := w.site(t, func(c *client.Client) { c.Metadata.IDTokenSignedResponseAlg = alg })
				out := s.redeem(t, s.code(t, here)).tokens()
				header, claims := w.idToken(t, out.IDToken)
				sum := sha256.Sum256([]byte(out.AccessToken))
				half := sum[:16]
				if alg == "EdDSA" {
					sum := sha512.Sum512([]byte(out.AccessToken))
					half = sum[:32]
				}
				if claims["at_hash"] != base64.RawURLEncoding.EncodeToString(half) {
					t.Errorf("at_hash %v", claims["at_hash"])
				}
				want := alg
				if alg == "" {
					want = "RS256" // OpenID Connect Registration §2
				}
				if header["alg"] != want {
					t.Errorf("signed with %v", header["alg"])
				}
			})
		}
	})
}

func TestCodeHoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, nil)
		wrong := strings.Repeat("w", 43)

		t.Run("H01 a wrong verifier does not free the code", func(t *testing.T) {
			// A confidential client that need not use PKCE, and did: fosite would take the code without one.
			s := w.site(t, func(c *client.Client) { c.RequirePKCE = false })
			for _, second := range []string{"", verifier, wrong} {
				code := s.code(t, here)
				s.redeem(t, code, "code_verifier", wrong).fails(400, "invalid_grant")
				s.redeem(t, code, "code_verifier", second).fails(400, "invalid_grant")
			}
			s.redeem(t, s.code(t, here)).tokens()
		})
		t.Run("G5 a missing, short, long or odd verifier spends the code; one without a challenge too", func(t *testing.T) {
			for _, v := range []string{"", strings.Repeat("a", 42), strings.Repeat("a", 129), strings.Repeat("ä", 43)} {
				code := s.code(t, here)
				s.redeem(t, code, "code_verifier", v).fails(400, "invalid_grant")
				s.redeem(t, code).fails(400, "invalid_grant")
			}
			s := w.site(t, func(c *client.Client) { c.RequirePKCE = false })
			plain := func() string { return s.code(t, here, "code_challenge", "", "code_challenge_method", "") }
			s.redeem(t, plain()).fails(400, "invalid_grant")
			s.redeem(t, plain(), "code_verifier", "").tokens()
			code := plain()
			if _, _, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error { c.RequirePKCE = true; return nil }); err != nil {
				t.Fatal(err)
			}
			s.redeem(t, code, "code_verifier", "").fails(400, "invalid_grant")
		})
		t.Run("R7 Q049 a wrong redirect_uri spends the code", func(t *testing.T) {
			for _, uri := range []string{"", redirect + "/", withQuery} {
				code := s.code(t, here)
				s.redeem(t, code, "redirect_uri", uri).fails(400, "invalid_grant")
				s.redeem(t, code).fails(400, "invalid_grant")
			}
		})
		t.Run("G1 Q050 H02 H29 replay ends what the code gave", func(t *testing.T) {
			code := s.code(t, here, "scope", "openid offline_access")
			out := s.redeem(t, code).tokens()
			if w.userinfo(t, out.AccessToken).status != 200 {
				t.Fatal("the token opens nothing before the replay")
			}
			w.sleep(30 * time.Minute / 2)
			s.redeem(t, code).fails(400, "invalid_grant")
			w.dead(t, out.AccessToken)
			s.refresh(t, out.RefreshToken).fails(400, "invalid_grant")
			if w.count("audit WHERE event = 'code.replayed' AND client_id = '%s'", s.ID) != 0 {
				t.Error("the world without an audit log has a record")
			}
		})
		t.Run("G1 a replay is recorded once", func(t *testing.T) {
			s := s.at(w.replica(t, &moody{}, nil))
			code := s.code(t, here)
			s.redeem(t, code).tokens()
			for range 3 {
				s.redeem(t, code).fails(400, "invalid_grant")
			}
			if n := w.count("audit WHERE event = 'code.replayed' AND client_id = '%s'", s.ID); n != 1 {
				t.Errorf("%d records", n)
			}
		})
		t.Run("H26 G3 another client's use changes nothing", func(t *testing.T) {
			evil := w.site(t, nil)
			code := s.code(t, here)
			evil.redeem(t, code).fails(400, "invalid_grant")
			evil.redeem(t, code, "code_verifier", wrong).fails(400, "invalid_grant")
			out := s.redeem(t, code).tokens()
			evil.redeem(t, code).fails(400, "invalid_grant")
			if w.userinfo(t, out.AccessToken).status != 200 {
				t.Error("another client ended the owner's tokens with a used code")
			}
		})
		t.Run("G4 H20e an expired code", func(t *testing.T) {
			code, late := s.code(t, here), s.code(t, here)
			w.sleep(59 * time.Second)
			s.redeem(t, code).tokens()
			w.sleep(time.Second)
			s.redeem(t, late).fails(400, "invalid_grant")
		})
		t.Run("H29 no code or token stands in the database", func(t *testing.T) {
			code := s.code(t, here, "scope", "openid offline_access")
			out := s.redeem(t, code).tokens()
			for _, secret := range []string{code, out.AccessToken, out.RefreshToken} {
				for _, column := range []string{"code.redirect_uri", "code.challenge", "code.nonce", "code.cnf", "access_token.cnf",
					"access_token.audience", "authorization_grant.claims", "authorization_grant.sid", "audit.detail"} {
					table, name, _ := strings.Cut(column, ".")
					if w.count("%s WHERE %s LIKE '%%%s%%'", table, name, secret[5:]) != 0 {
						t.Errorf("%s holds a secret", column)
					}
				}
			}
		})
		t.Run("H30 scopes are compared exactly", func(t *testing.T) {
			s := w.site(t, func(c *client.Client) { c.Metadata.Scope = "openid OpenID OFFLINE_ACCESS read" })
			out := s.redeem(t, s.code(t, here, "scope", "openid OFFLINE_ACCESS")).tokens()
			if out.RefreshToken != "" {
				t.Error("OFFLINE_ACCESS counted as offline_access")
			}
			out = s.redeem(t, s.code(t, here, "scope", "OpenID read", "nonce", "")).tokens()
			if out.IDToken != "" {
				t.Error("OpenID counted as openid")
			}
		})
		t.Run("no refresh token without offline_access, or for a client without the grant type", func(t *testing.T) {
			if out := s.redeem(t, s.code(t, here, "scope", "openid")).tokens(); out.RefreshToken != "" {
				t.Error("openid alone gave one")
			}
			s := w.site(t, func(c *client.Client) { c.Metadata.GrantTypes = []string{"authorization_code"} })
			if out := s.redeem(t, s.code(t, here, "scope", "read", "nonce", "")).tokens(); out.RefreshToken != "" {
				t.Error("a client without refresh_token got one")
			}
		})
		t.Run("a person who is no longer allowed", func(t *testing.T) {
			bob, account := w.signedIn(t, "bob")
			code := s.code(t, bob)
			out := s.redeem(t, s.code(t, bob)).tokens()
			w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
			s.redeem(t, code).fails(400, "invalid_grant")
			w.dead(t, out.AccessToken)
			w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			s.redeem(t, code).tokens()
		})
		t.Run("a person disabled between the read and the write", func(t *testing.T) {
			eve, account := w.signedIn(t, "eve")
			m := &moody{}
			s := s.at(w.replica(t, m, nil))
			for write, code := range map[string]string{"Issue": s.code(t, eve), "Redeem": s.rowed(t, eve)} {
				disabled := false
				m.before = func(call string) error {
					if call == write {
						w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
						disabled = true
					}
					return nil
				}
				s.redeem(t, code).fails(400, "invalid_grant")
				if !disabled {
					t.Errorf("%s was not asked", write)
				}
				w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			}
			if w.count("access_token t JOIN authorization_grant g ON g.id = t.grant_id WHERE g.account_id = '%s'", account) != 0 {
				t.Error("tokens were written for a disabled person")
			}
		})
	})
}

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			ready.Done()
			<-start
			fn(i)
		}()
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func TestParallel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		t.Run("G2 H02 64 parallel redemptions of one code, at three replicas", func(t *testing.T) {
			s := w.site(t, nil)
			replicas := []*site{s, s.at(w.replica(t, &moody{}, nil)), s.at(w.replica(t, &moody{}, nil))}
			code := s.code(t, here, "scope", "openid offline_access")
			answers := make([]answer, 64)
			together(64, func(i int) { answers[i] = replicas[i%3].redeem(t, code) })
			var won []engine.TokenOutput
			for _, a := range answers {
				if a.status == http.StatusOK {
					won = append(won, a.tokens())
				} else {
					a.fails(400, "invalid_grant")
				}
			}
			if len(won) != 1 {
				t.Fatalf("%d redemptions won", len(won))
			}
			w.dead(t, won[0].AccessToken)
			s.refresh(t, won[0].RefreshToken).fails(400, "invalid_grant")
		})
		t.Run("G7 H03a 64 parallel refreshes without a grace, at three replicas", func(t *testing.T) {
			s := w.site(t, nil)
			replicas := []*site{s, s.at(w.replica(t, &moody{}, nil)), s.at(w.replica(t, &moody{}, nil))}
			out := s.offline(t, here)
			answers := make([]answer, 64)
			together(64, func(i int) { answers[i] = replicas[i%3].refresh(t, out.RefreshToken) })
			var won []engine.TokenOutput
			for _, a := range answers {
				if a.status == http.StatusOK {
					won = append(won, a.tokens())
				} else {
					a.fails(400, "invalid_grant") // H03d: fosite says invalid_request
				}
			}
			if len(won) != 1 {
				t.Fatalf("%d refreshes won", len(won))
			}
			w.dead(t, won[0].AccessToken)
			s.refresh(t, won[0].RefreshToken).fails(400, "invalid_grant")
		})
		t.Run("G7 H03a 64 parallel refreshes within the grace get one successor", func(t *testing.T) {
			s := w.site(t, nil).at(w.replica(t, &moody{}, func(c *engine.Config) { c.RefreshGrace = engine.RefreshGrace }))
			out := s.offline(t, here)
			answers := make([]answer, 64)
			together(64, func(i int) { answers[i] = s.refresh(t, out.RefreshToken) })
			successors := map[string]bool{}
			for _, a := range answers {
				got := a.tokens()
				successors[got.RefreshToken] = true
				if i := w.userinfo(t, got.AccessToken); i.status != 200 {
					t.Fatalf("an access token of the grace opens nothing: %d %s", i.status, i.body)
				}
			}
			if len(successors) != 1 || successors[out.RefreshToken] {
				t.Fatalf("%d successors", len(successors))
			}
			for next := range successors {
				s.refresh(t, next).tokens()
			}
		})
	})
}

// The race that TestParallel may or may not run into: somebody else was faster between our read and our write.
func TestLostRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		m := &moody{}
		// first has another server answer a request just before this one writes.
		first := func(call string, fn func()) {
			m.before = func(c string) error {
				if c == call {
					m.before = nil
					fn()
				}
				return nil
			}
		}
		t.Run("H02 a code", func(t *testing.T) {
			plain := w.site(t, nil)
			s := plain.at(w.replica(t, m, nil))
			for write, code := range map[string]string{"Issue": s.code(t, here), "Redeem": s.rowed(t, here)} {
				var won engine.TokenOutput
				first(write, func() { won = plain.redeem(t, code).tokens() })
				s.redeem(t, code).fails(400, "invalid_grant")
				w.dead(t, won.AccessToken)
			}
		})
		t.Run("H03a a refresh token without a grace", func(t *testing.T) {
			plain := w.site(t, nil)
			s := plain.at(w.replica(t, m, nil))
			r0 := s.offline(t, here)
			var r1 engine.TokenOutput
			first("Rotate", func() { r1 = plain.refresh(t, r0.RefreshToken).tokens() })
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			w.dead(t, r1.AccessToken)
			plain.refresh(t, r1.RefreshToken).fails(400, "invalid_grant")
		})
		t.Run("a client disabled at that moment, and enabled again: nobody used anything twice", func(t *testing.T) {
			plain := w.site(t, nil)
			s := plain.at(w.replica(t, m, nil))
			r0 := s.offline(t, here)
			first("Rotate", func() { w.exec(`UPDATE client SET disabled_at = 1 WHERE client_id = '%s'`, s.ID) })
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			if n := w.count("audit WHERE event = 'refresh.reused' AND client_id = '%s'", s.ID); n != 0 {
				t.Errorf("%d records of a reuse", n)
			}
			w.exec(`UPDATE client SET disabled_at = NULL WHERE client_id = '%s'`, s.ID)
			plain.refresh(t, r0.RefreshToken).tokens()
		})
		t.Run("the same within the grace", func(t *testing.T) {
			plain := w.site(t, nil)
			s := plain.at(w.replica(t, m, func(c *engine.Config) { c.RefreshGrace = engine.RefreshGrace }))
			r0 := s.offline(t, here)
			r1 := s.refresh(t, r0.RefreshToken).tokens()
			first("InsertToken", func() { w.exec(`UPDATE client SET disabled_at = 1 WHERE client_id = '%s'`, s.ID) })
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			if n := w.count("audit WHERE event = 'refresh.reused' AND client_id = '%s'", s.ID); n != 0 {
				t.Errorf("%d records of a reuse", n)
			}
			w.exec(`UPDATE client SET disabled_at = NULL WHERE client_id = '%s'`, s.ID)
			plain.refresh(t, r1.RefreshToken).tokens()
		})
		t.Run("H03a a refresh token within the grace, its successor unused, then used", func(t *testing.T) {
			plain := w.site(t, nil)
			s := plain.at(w.replica(t, m, func(c *engine.Config) { c.RefreshGrace = engine.RefreshGrace }))
			r0 := s.offline(t, here)
			var r1, r2 engine.TokenOutput
			first("Rotate", func() { r1 = plain.refresh(t, r0.RefreshToken).tokens() })
			if again := s.refresh(t, r0.RefreshToken).tokens(); again.RefreshToken != r1.RefreshToken {
				t.Error("another successor")
			}
			first("Rotate", func() { r2 = plain.refresh(t, plain.refresh(t, r1.RefreshToken).tokens().RefreshToken).tokens() })
			s.refresh(t, r1.RefreshToken).fails(400, "invalid_grant")
			w.dead(t, r2.AccessToken)
		})
	})
}

func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		s := w.site(t, nil)
		graced := w.replica(t, &moody{}, func(c *engine.Config) { c.RefreshGrace = engine.RefreshGrace })

		t.Run("Q065 the refreshed ID token", func(t *testing.T) {
			first := s.offline(t, here)
			_, before := w.idToken(t, first.IDToken)
			w.sleep(2 * time.Second)
			second := s.refresh(t, first.RefreshToken).tokens()
			_, after := w.idToken(t, second.IDToken)
			for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr"} {
				if before[name] != after[name] {
					t.Errorf("%s was %v and is %v", name, before[name], after[name])
				}
			}
			if after["iat"].(float64) <= before["iat"].(float64) || after["nonce"] != nil || after["azp"] != nil {
				t.Errorf("claims %v", after)
			}
			if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
				t.Error("a token stayed the same")
			}
			if w.userinfo(t, second.AccessToken).status != 200 {
				t.Error("the new access token opens nothing")
			}
		})
		t.Run("G6 Q064 H03c an older generation ends its grant, and no other", func(t *testing.T) {
			other := s.offline(t, here)
			r0 := s.offline(t, here)
			r1 := s.refresh(t, r0.RefreshToken).tokens()
			r2 := s.refresh(t, r1.RefreshToken).tokens()
			r3 := s.refresh(t, r2.RefreshToken).tokens()
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			for _, token := range []string{r0.AccessToken, r1.AccessToken, r3.AccessToken} {
				w.dead(t, token)
			}
			s.refresh(t, r3.RefreshToken).fails(400, "invalid_grant")
			s.refresh(t, other.RefreshToken).tokens()
		})
		t.Run("H03b reuse ends the grant though there is no row to delete", func(t *testing.T) {
			r0 := s.offline(t, here)
			s.refresh(t, r0.RefreshToken).tokens()
			before := w.count("authorization_grant WHERE revoked_at IS NOT NULL")
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			if w.count("authorization_grant WHERE revoked_at IS NOT NULL") != before+1 {
				t.Error("nothing was revoked")
			}
		})
		t.Run("grace: the predecessor gets the same successor while that is unused and young", func(t *testing.T) {
			s := s.at(graced)
			r0 := s.offline(t, here)
			r1 := s.refresh(t, r0.RefreshToken).tokens()
			w.sleep(9 * time.Second)
			again := s.refresh(t, r0.RefreshToken).tokens()
			if again.RefreshToken != r1.RefreshToken || again.AccessToken == r1.AccessToken {
				t.Error("not the same successor with an access token of its own")
			}
			r2 := s.refresh(t, again.RefreshToken).tokens()
			// Its successor is used now: two generations back, however young.
			s.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			w.dead(t, r2.AccessToken)
			late := s.offline(t, here)
			s.refresh(t, late.RefreshToken).tokens()
			w.sleep(10 * time.Second)
			s.refresh(t, late.RefreshToken).fails(400, "invalid_grant")
		})
		t.Run("H03e H04 idle and absolute limits", func(t *testing.T) {
			if w.count("authorization_grant WHERE refresh_generation > 0 AND (refresh_expires_at IS NULL OR expires_at IS NULL)") != 0 {
				t.Error("H04: a refresh token without an expiry")
			}
			// Nobody has the token before the code is redeemed: it is idle from then, also when that is late.
			for _, late := range []time.Duration{0, 50 * time.Second} {
				code := s.code(t, here, "scope", "openid offline_access")
				w.sleep(late)
				first := s.redeem(t, code).tokens().RefreshToken
				exp, iat := s.post(t, "/introspect", url.Values{"token": {first}}).claims()["exp"], w.now().Unix()
				if got, want := exp.(float64), float64(iat+30*24*60*60); got < want-5 || got > want {
					t.Errorf("redeemed after %v: idle for %v s more than it should be", late, got-want)
				}
			}
			out := s.offline(t, here)
			idle := s.offline(t, here)
			for range 4 { // 4 × 20 days: never idle for 30
				w.sleep(20 * 24 * time.Hour)
				out = s.refresh(t, out.RefreshToken).tokens()
			}
			s.refresh(t, idle.RefreshToken).fails(400, "invalid_grant")
			w.sleep(10*24*time.Hour - time.Minute)
			out = s.refresh(t, out.RefreshToken).tokens()
			if out.ExpiresIn > 60 {
				t.Errorf("an access token outlives its grant: %d", out.ExpiresIn)
			}
			w.sleep(time.Minute)
			s.refresh(t, out.RefreshToken).fails(400, "invalid_grant")
			here.signIn(t, account, "")
		})
		t.Run("H03f G8 Q064 scope narrows, never widens, and what the client lost is gone", func(t *testing.T) {
			out := s.redeem(t, s.code(t, here, "scope", "openid profile email offline_access")).tokens()
			narrow := s.refresh(t, out.RefreshToken, "scope", "openid email").tokens()
			if narrow.Scope != "openid email" || narrow.IDToken == "" {
				t.Errorf("narrowed to %q", narrow.Scope)
			}
			if body := w.userinfo(t, narrow.AccessToken).body; strings.Contains(body, `"name"`) || !strings.Contains(body, `"email"`) {
				t.Errorf("userinfo of a narrowed token: %s", body)
			}
			s.refresh(t, narrow.RefreshToken, "scope", "openid read").fails(400, "invalid_scope")
			s.refresh(t, narrow.RefreshToken, "scope", "openid OPENID").fails(400, "invalid_scope")
			wide := s.refresh(t, narrow.RefreshToken).tokens()
			if wide.Scope != "openid profile email offline_access" {
				t.Errorf("wide again: %q", wide.Scope)
			}
			none := s.refresh(t, wide.RefreshToken, "scope", "email").tokens()
			if none.IDToken != "" || none.Scope != "email" {
				t.Errorf("without openid: %+v", none)
			}
			_, _, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error {
				c.Metadata.Scope = "openid profile offline_access read write address phone"
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			lost := s.refresh(t, none.RefreshToken).tokens()
			if lost.Scope != "openid profile offline_access" {
				t.Errorf("a scope that the client lost came back: %q", lost.Scope)
			}
			s.refresh(t, lost.RefreshToken, "scope", "email").fails(400, "invalid_scope")
		})
		t.Run("Q080 signing out ends what was not granted offline", func(t *testing.T) {
			b, _ := w.signedIn(t, "zoe")
			online := s.redeem(t, s.code(t, b, "scope", "read", "nonce", "")).tokens()
			offline := s.offline(t, b)
			b.post(t, "/test/end", url.Values{})
			s.refresh(t, online.RefreshToken).fails(400, "invalid_grant")
			s.refresh(t, offline.RefreshToken).tokens()
		})
		t.Run("Q066 H26 another client's refresh token", func(t *testing.T) {
			evil := w.site(t, nil)
			r0 := s.offline(t, here)
			evil.refresh(t, r0.RefreshToken).fails(400, "invalid_grant")
			r1 := s.refresh(t, r0.RefreshToken).tokens()
			evil.refresh(t, r0.RefreshToken).fails(400, "invalid_grant") // an old one, by a stranger: no reuse
			s.refresh(t, r1.RefreshToken).tokens()
		})
		t.Run("forged refresh tokens reach no database", func(t *testing.T) {
			asked := 0
			m := &moody{before: func(string) error { asked++; return nil }}
			s := s.at(w.replica(t, m, nil))
			real := s.offline(t, here).RefreshToken
			asked = 0
			raw, _ := base64.RawURLEncoding.DecodeString(real[5:])
			for i := range raw {
				forged := slices.Clone(raw)
				forged[i] ^= 1
				s.refresh(t, "pp1r_"+base64.RawURLEncoding.EncodeToString(forged)).fails(400, "invalid_grant")
			}
			s.refresh(t, "pp1r_"+strings.Repeat("A", len(real)-5)).fails(400, "invalid_grant")
			s.refresh(t, "pp1x_"+real[5:]).fails(400, "invalid_grant")
			if asked != 0 {
				t.Errorf("the database was asked %d times", asked)
			}
			s.refresh(t, real).tokens()
			if asked == 0 {
				t.Error("the counter counts nothing")
			}
		})
		t.Run("G9 the world changed", func(t *testing.T) {
			bob, account := w.signedIn(t, "bob")
			fresh := func() string { return s.offline(t, bob).RefreshToken }
			disabled := fresh()
			w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
			s.refresh(t, disabled).fails(400, "invalid_grant")
			w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			unproven := fresh()
			w.exec(`UPDATE address SET proven_at = NULL WHERE account_id = '%s'`, account)
			s.refresh(t, unproven).fails(400, "invalid_grant")
			w.exec(`UPDATE address SET proven_at = 1 WHERE account_id = '%s'`, account)

			rotated := fresh()
			secret, err := w.clients.RotateSecret(t.Context(), s.ID, 0)
			if err != nil {
				t.Fatal(err)
			}
			s.refresh(t, rotated).fails(401, "invalid_client")
			s.secret = secret
			rotated = s.refresh(t, rotated).tokens().RefreshToken

			w.must(w.clients.Disable(t.Context(), s.ID))
			s.refresh(t, rotated).fails(401, "invalid_client")
			w.must(w.clients.Enable(t.Context(), s.ID))
			s.refresh(t, rotated).tokens()

			all := fresh()
			w.must(w.store.RevokeAll(t.Context(), account))
			s.refresh(t, all).fails(400, "invalid_grant")

			online := s.redeem(t, s.code(t, bob, "scope", "read", "nonce", "")).tokens()
			offline := fresh()
			bob.post(t, "/test/end", url.Values{})
			s.refresh(t, online.RefreshToken).fails(400, "invalid_grant")
			s.refresh(t, offline).tokens()
		})
		t.Run("a public client", func(t *testing.T) {
			s := w.site(t, public)
			out := s.offline(t, here)
			s.refresh(t, out.RefreshToken).tokens()
		})
	})
}

func TestClientCredentials(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.site(t, nil)
		ask := func(s *site, scope string) answer {
			return s.post(t, "/token", pairs(url.Values{"grant_type": {"client_credentials"}}, []string{"scope", scope}))
		}
		t.Run("a token for the client itself", func(t *testing.T) {
			out := ask(s, "read write").tokens()
			if out.Scope != "read write" || out.RefreshToken != "" || out.IDToken != "" {
				t.Errorf("answer %+v", out)
			}
			w.userinfo(t, out.AccessToken).fails(403, "insufficient_scope")
			if out := ask(s, "").tokens(); out.Scope != "" {
				t.Errorf("scope %q though none was asked for", out.Scope)
			}
		})
		t.Run("scopes of its registration only, and none that need a person", func(t *testing.T) {
			for _, scope := range []string{"admin", "read admin", "READ", "openid", "read offline_access"} {
				ask(s, scope).fails(400, "invalid_scope")
			}
		})
		t.Run("G18 not for public clients, nor for those not registered for it", func(t *testing.T) {
			ask(w.site(t, public), "").fails(400, "unauthorized_client")
			ask(w.site(t, func(c *client.Client) { c.Metadata.GrantTypes = []string{"authorization_code"} }), "").fails(400, "unauthorized_client")
		})
		t.Run("disabled between the read and the write", func(t *testing.T) {
			m := &moody{}
			s := w.site(t, nil).at(w.replica(t, m, nil))
			m.before = func(string) error {
				w.exec(`UPDATE client SET disabled_at = 1 WHERE client_id = '%s'`, s.ID)
				return nil
			}
			ask(s, "").fails(401, "invalid_client")
		})
	})
}

func TestTokenRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, nil)
		raw := func(t *testing.T, method, query, contentType, body string) answer {
			t.Helper()
			req, err := http.NewRequest(method, w.server.URL+"/token"+query, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", contentType)
			req.SetBasicAuth(s.ID, s.secret)
			return w.browser().do(t, req)
		}
		const urlencoded = "application/x-www-form-urlencoded"
		good := "grant_type=client_credentials"
		raw(t, "POST", "", urlencoded+";charset=utf-8", good).tokens()
		t.Run("Q046 GET", func(t *testing.T) {
			if a := raw(t, "GET", "", "", ""); a.status != 405 {
				t.Errorf("%d", a.status)
			}
		})
		t.Run("H09 multipart, and other types", func(t *testing.T) {
			body := "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n"
			raw(t, "POST", "", "multipart/form-data; boundary=x", body).fails(400, "invalid_request")
			raw(t, "POST", "", "multipart/form-data; boundary=x", body+strings.Repeat("x", 2<<20)).fails(400, "invalid_request")
			raw(t, "POST", "", "application/json", `{"grant_type":"client_credentials"}`).fails(400, "invalid_request")
			raw(t, "POST", "", "", good).fails(400, "invalid_request")
		})
		t.Run("D1 D5 sizes", func(t *testing.T) {
			raw(t, "POST", "", urlencoded, good+"&x="+strings.Repeat("x", 64<<10)).fails(413, "invalid_request")
			raw(t, "POST", "", urlencoded, good+"&scope="+strings.Repeat("x", 2049)).fails(400, "invalid_request")
			raw(t, "POST", "", urlencoded, good+"&scope="+strings.Repeat("x+", 51)).fails(400, "invalid_request")
			raw(t, "POST", "", urlencoded, good+"&client_id="+strings.Repeat("x", 513)).fails(400, "invalid_request")
			many := good
			for i := range 64 {
				many += fmt.Sprintf("&p%d=1", i)
			}
			raw(t, "POST", "", urlencoded, many).fails(400, "invalid_request")
		})
		t.Run("H15 parameters twice", func(t *testing.T) {
			for _, name := range []string{"grant_type", "scope", "code", "unknown"} {
				raw(t, "POST", "", urlencoded, good+"&"+name+"=a&"+name+"=b").fails(400, "invalid_request")
			}
		})
		t.Run("parameters in the URL", func(t *testing.T) {
			raw(t, "POST", "?"+good, urlencoded, "").fails(400, "invalid_request")
			raw(t, "POST", "?client_secret=x", urlencoded, good).fails(400, "invalid_request")
		})
		t.Run("NUL, invalid UTF-8, broken escapes", func(t *testing.T) {
			for _, bad := range []string{"%00", "%ff", "%zz"} {
				for _, name := range []string{"scope", "code", "x"} {
					raw(t, "POST", "", urlencoded, good+"&"+name+"=a"+bad).fails(400, "invalid_request")
				}
				raw(t, "POST", "", urlencoded, good+"&a"+bad+"=1").fails(400, "invalid_request")
			}
		})
		t.Run("H20c H23 H31 G18 grant types", func(t *testing.T) {
			for grantType, code := range map[string]string{
				"": "invalid_request", "password": "unsupported_grant_type", "implicit": "unsupported_grant_type",
				"authorization_code refresh_token": "unsupported_grant_type", "Client_Credentials": "unsupported_grant_type",
				" client_credentials": "unsupported_grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer": "unsupported_grant_type",
				"urn:ietf:params:oauth:grant-type:device_code": "unauthorized_client",
			} {
				s.post(t, "/token", url.Values{"grant_type": {grantType}}).fails(400, code)
			}
			only := w.site(t, func(c *client.Client) { c.Metadata.GrantTypes = []string{"authorization_code"} })
			only.refresh(t, "x").fails(400, "unauthorized_client")
			s.redeem(t, "", "code", "").fails(400, "invalid_request")
			s.refresh(t, "", "refresh_token", "").fails(400, "invalid_request")
		})
		t.Run("H20d H20f H33 only registered codes, in plain characters, nothing of what was sent", func(t *testing.T) {
			hostile := "\"\\\r\n<script>é%"
			for _, a := range []answer{
				s.redeem(t, hostile), s.refresh(t, hostile), s.redeem(t, s.code(t, here), "redirect_uri", hostile),
				s.redeem(t, s.code(t, here), "code_verifier", hostile),
			} {
				a.fails(400, "invalid_grant")
				if strings.Contains(a.body, "<script") {
					t.Errorf("the answer repeats what was sent: %s", a.body)
				}
			}
		})
		t.Run("H11 G17 one kind of token is no other", func(t *testing.T) {
			code := s.code(t, here)
			out := s.offline(t, here)
			for _, token := range []string{code, out.RefreshToken, out.IDToken, "", "pp1a_", out.AccessToken + "x", "Bearer"} {
				w.userinfo(t, token).fails(401, "invalid_token")
			}
			for _, token := range []string{code, out.AccessToken, out.IDToken} {
				s.refresh(t, token).fails(400, "invalid_grant")
			}
			for _, token := range []string{out.AccessToken, out.RefreshToken, "pp1c_" + out.AccessToken[5:], "pp1a_" + code[5:]} {
				s.redeem(t, token).fails(400, "invalid_grant")
			}
			w.userinfo(t, "pp1a_"+code[5:]).fails(401, "invalid_token")
			s.redeem(t, code).tokens()
		})
		t.Run("H13 G12 client authentication", func(t *testing.T) {
			do := func(t *testing.T, body string, user, password string) answer {
				t.Helper()
				req, err := http.NewRequest("POST", w.server.URL+"/token", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", urlencoded)
				if user != "" || password != "" {
					req.SetBasicAuth(user, password)
				}
				return w.browser().do(t, req)
			}
			evil := w.site(t, nil)
			do(t, good+"&client_id="+s.ID+"&client_secret="+s.secret, evil.ID, evil.secret).fails(400, "invalid_request")
			do(t, good+"&client_id="+s.ID, evil.ID, evil.secret).fails(401, "invalid_client")
			do(t, good+"&client_id="+s.ID+"&client_secret="+s.secret, "", "").fails(401, "invalid_client") // registered: basic
			do(t, good+"&client_id="+s.ID, "", "").fails(401, "invalid_client")
			do(t, good, "", "").fails(401, "invalid_client")
			do(t, good, s.ID, "").fails(401, "invalid_client")
			do(t, good, s.ID, "wrong").fails(401, "invalid_client")
			do(t, good, "nobody", "wrong").fails(401, "invalid_client")
			do(t, good, "%00", "x").fails(401, "invalid_client")
			do(t, good, "a\x00b", "x").fails(401, "invalid_client")
			do(t, good, "\xff\xfe", "\xff").fails(401, "invalid_client")
			do(t, good, s.ID, strings.Repeat("x", 9000)).fails(401, "invalid_client")
			do(t, good, s.ID, s.secret).tokens()
		})
		t.Run("a busy site is no flood", func(t *testing.T) {
			s := w.site(t, nil)
			ask := func(secret string) answer {
				req, _ := http.NewRequest("POST", w.server.URL+"/introspect", strings.NewReader("token=x"))
				req.Header.Set("Content-Type", urlencoded)
				req.SetBasicAuth(s.ID, secret)
				return (&browser{w: w, http: http.DefaultClient, ip: "203.0.113.77"}).do(t, req)
			}
			for range limit.Endpoint.Burst + 50 {
				if a := ask(s.secret); a.status != 200 {
					t.Fatalf("a client that proved its secret: %d", a.status)
				}
			}
		})
		t.Run("G12 wrong secrets are counted across replicas; right ones cost the database nothing", func(t *testing.T) {
			s := w.site(t, nil)
			before := w.count("rate")
			s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}).tokens()
			if w.count("rate") != before {
				t.Error("a right secret was counted in the database")
			}
			limited := false
			wrong := &site{s.Client, w, "wrong"}
			for range 31 {
				req, _ := http.NewRequest("POST", w.server.URL+"/token", strings.NewReader(good))
				req.Header.Set("Content-Type", urlencoded)
				req.SetBasicAuth(wrong.ID, wrong.secret)
				a := (&browser{w: w, http: http.DefaultClient, ip: "203.0.113.9"}).do(t, req)
				if limited = a.status == 429; limited {
					a.fails(429, "temporarily_unavailable")
					if a.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
					break
				}
				a.fails(401, "invalid_client")
			}
			if !limited {
				t.Error("31 wrong secrets from one address, and no limit")
			}
		})
	})
}

// A failing database is a 503 that may be tried again; never a 500, never a success (H07, H33).
func TestDatabaseDown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		m := &moody{}
		s := w.site(t, nil).at(w.replica(t, m, nil))
		down := func(call string) {
			m.before = func(c string) error {
				if c == call {
					return errDown
				}
				return nil
			}
		}
		up := func() { m.before = nil }
		const unavailable = "temporarily_unavailable"

		t.Run("code exchange", func(t *testing.T) {
			for call, make := range map[string]func(testing.TB, *browser, ...string) string{
				"ReadSealed": s.code, "Issue": s.code, "ReadCode": s.rowed, "Redeem": s.rowed} {
				code := make(t, here)
				down(call)
				s.redeem(t, code).fails(503, unavailable)
				up()
				s.redeem(t, code).tokens() // nothing was spent
			}
			for call, code := range map[string]string{"SpendSealed": s.code(t, here), "SpendCode": s.rowed(t, here)} {
				down(call)
				s.redeem(t, code, "code_verifier", strings.Repeat("w", 43)).fails(503, unavailable)
				up()
				s.redeem(t, code).tokens()
			}
		})
		t.Run("H07 a replay whose revocation failed", func(t *testing.T) {
			code := s.code(t, here)
			out := s.redeem(t, code).tokens()
			down("RevokeGrant")
			s.redeem(t, code).fails(503, unavailable)
			up()
			s.redeem(t, code).fails(400, "invalid_grant")
			w.dead(t, out.AccessToken)
		})
		t.Run("refresh", func(t *testing.T) {
			out := s.offline(t, here)
			for _, call := range []string{"ReadGrant", "Rotate"} {
				down(call)
				s.refresh(t, out.RefreshToken).fails(503, unavailable)
			}
			up()
			next := s.refresh(t, out.RefreshToken).tokens()
			down("RevokeGrant")
			s.refresh(t, out.RefreshToken).fails(503, unavailable)
			up()
			s.refresh(t, next.RefreshToken).tokens()
		})
		t.Run("client credentials", func(t *testing.T) {
			down("InsertToken")
			s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}).fails(503, unavailable)
			up()
		})
		t.Run("H07 G10 revocation, introspection, userinfo", func(t *testing.T) {
			out := s.offline(t, here)
			for _, c := range []struct{ call, path, token string }{
				{"RevokeToken", "/revoke", out.AccessToken}, {"ReadGrant", "/revoke", out.RefreshToken},
				{"RevokeGrant", "/revoke", out.RefreshToken}, {"ReadToken", "/introspect", out.AccessToken},
				{"ReadGrant", "/introspect", out.RefreshToken},
			} {
				down(c.call)
				s.post(t, c.path, url.Values{"token": {c.token}}).fails(503, unavailable)
			}
			down("ReadToken")
			s.w.userinfo(t, out.AccessToken).fails(503, unavailable)
			up()
			if s.w.userinfo(t, out.AccessToken).status != 200 {
				t.Error("the token died of it")
			}
		})
	})
}

// claims reads a JSON answer.
func (a answer) claims() (v map[string]any) {
	a.t.Helper()
	if a.status != 200 {
		a.t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatal(err)
	}
	return v
}
