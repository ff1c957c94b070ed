package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
)

// TestInteraction: requests whose person is on our pages, from the first redirect to the answer.
func TestInteraction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice, bob := w.person("alice"), w.person("bob")
		site := w.client(nil)
		own := w.client(func(c *client.Client) { c.SkipConsent = true })
		rows := func(c *client.Client) int { return w.count("interaction WHERE client_id = '%s'", c.ID) }

		t.Run("the first visit: sign in, consent, code; then one redirect", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(site)).page("/login")
			if i2 := b.signIn(t, alice, i).page("/consent"); i2 != i {
				t.Error("the interaction changed its name")
			}
			code := b.act(t, "approve", i).code()
			if g := w.grantOf(t, code); g.account != alice || g.scopes != "openid profile" {
				t.Errorf("%+v", g)
			}
			if rows(site) != 0 {
				t.Error("the interaction is still there")
			}
			if n := w.count("audit WHERE event = 'consent.granted' AND subject = '%s' AND client_id = '%s'", alice, site.ID); n != 1 {
				t.Errorf("%d audit rows", n)
			}
			// Known browser, remembered consent.
			w.calls.reset()
			b.authorize(t, to(site)).code()
			if got := w.calls.list(); got != "ReadRequest" {
				t.Errorf("the store was asked for: %s", got)
			}
			b.authorize(t, to(site, "prompt", "none")).code()
			// More than remembered is asked for, what was agreed to stays agreed to.
			i = b.authorize(t, to(site, "scope", "openid email")).page("/consent")
			b.act(t, "approve", i).code()
			b.authorize(t, to(site, "scope", "openid profile email")).code()
		})
		t.Run("Q038 consent refused", func(t *testing.T) {
			site := w.client(nil)
			b := w.browser()
			b.signIn(t, bob, "")
			i := b.authorize(t, to(site)).page("/consent")
			if got := b.act(t, "deny", i).refused("access_denied").Get("state"); got != "s t+a/t=e" {
				t.Errorf("state %q", got)
			}
			b.act(t, "deny", i).errorPage(400, "error.interaction_gone")
			if n := w.count("audit WHERE event = 'consent.denied' AND subject = '%s' AND client_id = '%s'", bob, site.ID); n != 1 {
				t.Errorf("%d audit rows", n)
			}
			b.act(t, "approve", i).errorPage(400, "error.interaction_gone")
			i = b.authorize(t, to(site, "response_mode", "form_post")).page("/consent")
			if a := b.act(t, "deny", i); !strings.Contains(a.body, "error=access_denied") || a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		t.Run("Q030 prompt=login asks again, and auth_time is later", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			before := w.grantOf(t, b.authorize(t, to(own)).code()).authTime
			w.sleep(2 * time.Second)
			if silent := w.grantOf(t, b.authorize(t, to(own, "prompt", "none")).code()).authTime; silent != before {
				t.Error("Q032: a silent request changed auth_time")
			}
			i := b.authorize(t, to(own, "prompt", "login")).page("/login")
			b.act(t, "continue", i).page("/login") // nobody signed in for it
			other := b.authorize(t, to(own, "prompt", "login")).page("/login")
			b.signIn(t, alice, other).code()
			b.act(t, "continue", i).page("/login") // nor does a sign-in for another request count
			if after := w.grantOf(t, b.signIn(t, alice, i).code()).authTime; after <= before {
				t.Errorf("auth_time %d, before %d", after, before)
			}
		})
		t.Run("Q031 H17 max_age", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			w.sleep(11 * time.Second)
			b.authorize(t, to(own, "max_age", "30")).code()
			b.authorize(t, to(own, "max_age", "10", "prompt", "none")).refused("login_required")
			i := b.authorize(t, to(own, "max_age", "10")).page("/login")
			b.signIn(t, alice, i).code()
			b.authorize(t, to(own, "max_age", "10")).code()
			i = b.authorize(t, to(own, "max_age", "0")).page("/login")
			b.signIn(t, alice, i).code()
		})
		t.Run("Q032 auth_time is of the active sign-in alone", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			before := w.grantOf(t, b.authorize(t, to(own)).code()).authTime
			w.sleep(5 * time.Second)
			other := w.client(func(c *client.Client) { c.SkipConsent = true })
			for _, v := range []url.Values{to(own, "prompt", "none"), to(other), to(own, "max_age", "100")} {
				if now := w.grantOf(t, b.authorize(t, v).code()).authTime; now != before {
					t.Errorf("%v: auth_time %d, not %d", v, now, before)
				}
			}
			i := b.authorize(t, to(own, "prompt", "consent")).page("/consent")
			if now := w.grantOf(t, b.act(t, "approve", i).code()).authTime; now != before {
				t.Errorf("consent changed auth_time to %d from %d", now, before)
			}
		})
		t.Run("Q030 prompt=consent and select_account show their pages", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			i := b.authorize(t, to(own, "prompt", "consent")).page("/consent")
			b.act(t, "continue", i).page("/consent")
			b.act(t, "approve", i).code()
			i = b.authorize(t, to(own, "prompt", "select_account")).page("/accounts")
			v := b.view(t, i)
			b.post(t, "/test/choose", url.Values{"i": {i}, "login": {"of nobody here"}}).page("/accounts")
			b.post(t, "/test/choose", url.Values{"i": {i}, "login": {v.Logins[0].ID}}).code()
		})
		t.Run("prompt=create", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(own, "prompt", "create")).page("/register")
			b.signIn(t, bob, i).code()
		})
		t.Run("two accounts in a browser", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			b.signIn(t, bob, "")
			i := b.authorize(t, to(own)).page("/accounts")
			v := b.view(t, i)
			if len(v.Logins) != 2 || v.Login != nil {
				t.Fatalf("%+v", v)
			}
			b.authorize(t, to(own, "prompt", "none")).refused("account_selection_required")
			code := b.post(t, "/test/choose", url.Values{"i": {i}, "login": {v.Logins[1].ID}}).code()
			if g := w.grantOf(t, code); g.account != v.Logins[1].Person.AccountID {
				t.Errorf("%+v", g)
			}
			if g := w.grantOf(t, b.authorize(t, to(own, "login_hint", "alice@example.test")).code()); g.account != alice {
				t.Errorf("%+v", g)
			}
		})
		t.Run("Q084 a cross-site POST", func(t *testing.T) {
			b, other := w.browser(), w.browser()
			b.signIn(t, alice, "")
			bare := w.browser() // the same browser, as a cross-site POST shows it: without Lax cookies
			a := bare.post(t, "/authorize", to(own))
			i := a.page("/authorize")
			if a.header.Get("Set-Cookie") != "" {
				t.Error("the answer to a cross-site POST sets a cookie: it would sign the person out")
			}
			if b.get(t, "/authorize?i="+i).code() == "" {
				t.Error("no code")
			}
			other.get(t, "/authorize?i="+i).errorPage(400, "error.interaction_gone")

			i = bare.post(t, "/authorize", to(own, "prompt", "login", "login_hint", "alice@example.test")).page("/authorize")
			if got := b.get(t, "/authorize?i="+i).page("/login"); got != i {
				t.Error("a second row for one request")
			}
			if got := b.get(t, "/authorize?i="+i).page("/login"); got != i {
				t.Error("a reload does not work")
			}
			other.get(t, "/authorize?i="+i).errorPage(400, "error.interaction_gone")
			b.signIn(t, alice, i).code()
			w.browser().get(t, "/authorize?i="+w.browser().post(t, "/authorize", to(own, "prompt", "none")).page("/authorize")).refused("login_required")
			other.get(t, "/authorize?i="+strings.Repeat("x", 43)).errorPage(400, "error.interaction_gone")
			other.get(t, "/authorize?i=x").errorPage(400, "error.interaction_gone")
		})
		t.Run("B2 B6 another browser with the same i", func(t *testing.T) {
			mallory := w.browser()
			i := mallory.authorize(t, to(site)).page("/login")
			victim := w.browser()
			victim.signIn(t, alice, "")
			victim.authorize(t, to(site, "prompt", "login")).page("/login") // she has a flow cookie of her own
			for _, what := range []string{"continue", "approve", "deny", "choose"} {
				victim.act(t, what, i).errorPage(400, "error.interaction_gone")
			}
			victim.signIn(t, alice, i).errorPage(400, "error.interaction_gone")
			if got := victim.act(t, "view", i).body; got != oidc.ErrNoInteraction.Error() {
				t.Errorf("she sees %s", got)
			}
			mallory.act(t, "continue", i).page("/login") // nobody is signed in in mallory's browser
		})
		t.Run("B10 the yes is the account's that the page was shown to", func(t *testing.T) {
			site := w.client(nil)
			b := w.browser()
			b.signIn(t, alice, "")
			i := b.authorize(t, to(site)).page("/consent")
			b.act(t, "end", "")
			b.act(t, "approve", i).page("/login")
			b.signIn(t, bob, "")
			b.act(t, "approve", i).page("/accounts")
			if n := w.count("authorization_grant WHERE client_id = '%s'", site.ID); n != 0 {
				t.Errorf("%d grants", n)
			}
			b.post(t, "/test/choose", url.Values{"i": {i}, "login": {b.view(t, i).Logins[0].ID}}).page("/consent")
			if g := w.grantOf(t, b.act(t, "approve", i).code()); g.account != bob {
				t.Errorf("%+v", g)
			}
		})
		t.Run("B10 a yes after another account was chosen in a second tab", func(t *testing.T) {
			site := w.client(nil)
			b := w.browser()
			b.signIn(t, alice, "")
			i := b.authorize(t, to(site)).page("/consent")
			hers := url.Values{"i": {i}, "login": {b.view(t, i).Login.ID}}
			b.signIn(t, bob, i).page("/consent")
			b.post(t, "/test/approve", hers).page("/consent")
			b.post(t, "/test/approve", url.Values{"i": {i}, "login": {"x"}}).page("/consent")
			if n := w.count("authorization_grant WHERE client_id = '%s'", site.ID); n != 0 {
				t.Errorf("alice's page gave away what is bob's: %d grants", n)
			}
			if g := w.grantOf(t, b.act(t, "approve", i).code()); g.account != bob {
				t.Errorf("%+v", g)
			}
		})
		t.Run("B10 two tabs", func(t *testing.T) {
			one, two := w.client(nil), w.client(nil)
			b := w.browser()
			b.signIn(t, alice, "")
			i, j := b.authorize(t, to(one)).page("/consent"), b.authorize(t, to(two, "scope", "openid email")).page("/consent")
			if g := w.grantOf(t, b.act(t, "approve", j).code()); g.scopes != "openid email" {
				t.Errorf("%+v", g)
			}
			if n := w.count("consent WHERE client_id = '%s'", one.ID); n != 0 {
				t.Error("the yes to one is a yes to the other")
			}
			b.act(t, "approve", i).code()
		})
		t.Run("B13 the row is what counts, not the form", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(own)).page("/login")
			code := b.post(t, "/test/signin", url.Values{"account": {alice}, "i": {i}, "scope": {"openid email"}, "redirect_uri": {"https://evil.test"},
				"client_id": {site.ID}, "nonce": {"x"}}).code()
			if g := w.grantOf(t, code); g.scopes != "openid profile" || g.nonce != "n-1" {
				t.Errorf("%+v", g)
			}
		})
		t.Run("B12 nothing of the outside reaches our own parameters", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, alice, "")
			b.authorize(t, to(own, " sub", "sub-bob")).code()
		})
		t.Run("a double submit of consent: one code", func(t *testing.T) {
			site := w.client(nil)
			b := w.browser()
			b.signIn(t, alice, "")
			i := b.authorize(t, to(site)).page("/consent")
			answers := make([]answer, 8)
			var all sync.WaitGroup
			for n := range answers {
				all.Go(func() { answers[n] = b.act(t, "approve", i) })
			}
			all.Wait()
			codes := 0
			for _, a := range answers {
				if a.status == http.StatusSeeOther {
					codes++
				} else {
					a.errorPage(400, "error.interaction_gone")
				}
			}
			if codes != 1 || w.count("authorization_grant WHERE client_id = '%s'", site.ID) != 1 {
				t.Errorf("%d answers to the client", codes)
			}
		})
		t.Run("thirty minutes", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(own)).page("/login")
			w.sleep(31 * time.Minute)
			b.act(t, "continue", i).errorPage(400, "error.interaction_gone")
			b.signIn(t, alice, i).errorPage(400, "error.interaction_gone")
			if got := b.act(t, "view", i).body; got != oidc.ErrNoInteraction.Error() {
				t.Error(got)
			}
		})
		t.Run("A28 whoever is disabled meanwhile gets no code", func(t *testing.T) {
			carol := w.person("carol")
			b := w.browser()
			b.signIn(t, carol, "")
			i := b.authorize(t, to(site)).page("/consent")
			w.exec("UPDATE account SET state = 'disabled' WHERE id = '%s'", carol)
			b.act(t, "approve", i).page("/login")
			b.authorize(t, to(own)).page("/login")
			b.authorize(t, to(own, "prompt", "none")).refused("login_required")
		})
		t.Run("the client is disabled meanwhile", func(t *testing.T) {
			brief := w.client(nil)
			b := w.browser()
			b.signIn(t, alice, "")
			i := b.authorize(t, to(brief)).page("/consent")
			w.must(w.clients.Disable(t.Context(), brief.ID))
			b.act(t, "approve", i).errorPage(400, "error.client_disabled")
			if got := b.act(t, "view", i).body; got != oidc.ErrNoInteraction.Error() {
				t.Error(got)
			}
		})
		t.Run("what a page sees", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(site, "login_hint", "a@b.test", "ui_locales", "es en", "display", "popup", "scope", "openid email nonsense",
				"claims", `{"userinfo":{"phone_number":null,"email":null,"made_up":null,"acr":null}}`)).page("/login")
			v := b.view(t, i)
			if v.ID != i || v.Client.ID != site.ID || v.ClientName != "App" || v.ClientHost != "app.test" || v.LoginHint != "a@b.test" ||
				v.UILocales != "es en" || strings.Join(v.Scopes, " ") != "openid email" || strings.Join(v.Claims, " ") != "phone_number" ||
				len(v.Logins) != 0 || v.Login != nil {
				t.Errorf("%+v", v)
			}
		})
		t.Run("continue to the site", func(t *testing.T) {
			b := w.browser()
			i := b.authorize(t, to(site)).page("/login")
			if name, link, ok := w.provider.ContinueLink(t.Context(), oidc.InteractionHash(i)); !ok || name != "App" || link != "https://app.test/" {
				t.Errorf("%q %q %t", name, link, ok)
			}
			starter := w.client(func(c *client.Client) { c.Metadata.InitiateLoginURI = "https://app.test/start?x=1" })
			i = b.authorize(t, to(starter)).page("/login")
			if _, link, _ := w.provider.ContinueLink(t.Context(), oidc.InteractionHash(i)); link != "https://app.test/start?x=1&iss="+url.QueryEscape(issuer) {
				t.Error(link)
			}
			if _, _, ok := w.provider.ContinueLink(t.Context(), oidc.InteractionHash("nobody's")); ok {
				t.Error("a link out of nothing")
			}
			// The mail is opened the next day: a registration was made in one of two requests.
			kept, lost := b.authorize(t, to(site)).page("/login"), b.authorize(t, to(site)).page("/login")
			w.exec(`UPDATE account SET interaction = %s WHERE id = '%s'`, w.blob(oidc.InteractionHash(kept)), bob)
			if _, err := w.store.Purge(t.Context(), w.now().Add(24*time.Hour), 1000); err != nil {
				t.Fatal(err)
			}
			for i, want := range map[string]bool{kept: true, lost: false} {
				if _, _, ok := w.provider.ContinueLink(t.Context(), oidc.InteractionHash(i)); ok != want {
					t.Errorf("a link: %t, want %t", ok, want)
				}
			}
		})
		t.Run("D8 a known person's rows are bounded", func(t *testing.T) {
			crowd, frank := w.client(func(c *client.Client) { c.SkipConsent = true }), w.person("frank")
			b := w.browser()
			b.signIn(t, frank, "")
			var limited answer
			codes := 0
			for n := range 300 {
				b.ip = fmt.Sprintf("203.0.115.%d", n%250)
				if a := b.authorize(t, to(crowd)); a.status == http.StatusTooManyRequests {
					limited = a
				} else {
					a.code()
					codes++
				}
			}
			if limited.header.Get("Retry-After") == "" {
				t.Error("300 grants at once")
			}
			if codes < 200 || codes > 260 {
				t.Errorf("%d codes", codes)
			}
			b = w.browser()
			b.signIn(t, alice, "")
			b.authorize(t, to(crowd)).code() // another person's are her own
		})
		t.Run("D8 strangers' rows are bounded", func(t *testing.T) {
			crowd := w.client(nil)
			limited := 0
			for range 200 {
				b := w.browser() // no cookies: every request is a stranger's
				b.ip = "198.51.100.7"
				switch a := b.authorize(t, to(crowd)); a.status {
				case http.StatusSeeOther:
				case http.StatusTooManyRequests:
					limited++
					if a.header.Get("Retry-After") == "" || a.header.Get("Set-Cookie") != "" {
						t.Errorf("%v", a.header)
					}
				default:
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
			if n := rows(crowd); limited == 0 || n+limited != 200 || n > 140 {
				t.Errorf("%d rows, %d answers 429", n, limited)
			}
			b := w.browser()
			b.ip = "198.51.100.7"
			if a := b.post(t, "/authorize", to(crowd)); a.status != http.StatusTooManyRequests {
				t.Errorf("a POST: %d", a.status)
			}
			b.ip = "203.0.113.9"
			b.authorize(t, to(crowd)).page("/login")
			// One browser with its cookie, from many networks.
			limited = 0
			for n := range 100 {
				b.ip = "203.0.114." + string(rune('0'+n%10))
				if b.authorize(t, to(crowd)).status == http.StatusTooManyRequests {
					limited++
				}
			}
			if limited < 40 {
				t.Errorf("a browser was limited %d times", limited)
			}
		})
	})
}

// TestHint: id_token_hint, signed now, before a rotation, and by others.
func TestHint(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice, bob := w.person("alice"), w.person("bob")
		own := w.client(func(c *client.Client) { c.SkipConsent = true })
		here := w.browser()
		here.signIn(t, alice, "")
		good := func(sub string) map[string]any {
			return map[string]any{"iss": issuer, "sub": sub, "aud": "another", "exp": 1, "iat": 1}
		}
		hint := func(sub string, more ...string) url.Values {
			return to(own, append([]string{"id_token_hint", w.sign(t, "ES256", good(sub), "JWT")}, more...)...)
		}
		t.Run("Q033 expired, another client's, every algorithm", func(t *testing.T) {
			for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
				here.authorize(t, to(own, "prompt", "none", "id_token_hint", w.sign(t, alg, good("sub-alice"), "JWT"))).code()
			}
		})
		t.Run("Q033 another person", func(t *testing.T) {
			here.authorize(t, hint("sub-bob", "prompt", "none")).refused("login_required")
			w.browser().authorize(t, hint("sub-alice", "prompt", "none")).refused("login_required")
			here.authorize(t, hint("sub-bob")).page("/login")
			b := w.browser()
			i := b.authorize(t, hint("sub-bob")).page("/login")
			b.signIn(t, alice, i).refused("login_required")
			i = b.authorize(t, hint("sub-bob")).page("/login")
			b.signIn(t, bob, i).code()
		})
		t.Run("it is never stored", func(t *testing.T) {
			v := hint("sub-bob")
			w.browser().authorize(t, v).page("/login")
			w.browser().post(t, "/authorize", v).page("/authorize")
			if n := w.count("interaction WHERE params LIKE '%%id_token_hint%%' OR params LIKE '%%%s%%'", v.Get("id_token_hint")); n != 0 {
				t.Errorf("%d rows hold it", n)
			}
		})
		t.Run("Q084 a hint survives the cross-site POST", func(t *testing.T) {
			i := w.browser().post(t, "/authorize", hint("sub-bob", "prompt", "none")).page("/authorize")
			here.get(t, "/authorize?i="+i).refused("login_required")
			i = w.browser().post(t, "/authorize", hint("sub-alice", "prompt", "none")).page("/authorize")
			here.get(t, "/authorize?i="+i).code()
		})
		t.Run("G14 JWTs that are no hint", func(t *testing.T) {
			es := w.sign(t, "ES256", good("sub-alice"), "JWT")
			parts := strings.Split(es, ".")
			wrongIssuer := good("sub-alice")
			wrongIssuer["iss"] = "https://evil.test"
			noSub := good("")
			for name, bad := range map[string]string{
				"altered":       parts[0] + "." + b64(`{"iss":"`+issuer+`","sub":"sub-alice"}`) + "." + parts[2],
				"unsigned":      b64(`{"alg":"none"}`) + "." + parts[1] + ".",
				"HS256":         b64(`{"alg":"HS256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
				"no kid":        b64(`{"alg":"ES256"}`) + "." + parts[1] + "." + parts[2],
				"crit":          b64(`{"alg":"ES256","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
				"logout token":  w.sign(t, "ES256", good("sub-alice"), "logout+jwt"),
				"access token":  w.sign(t, "ES256", good("sub-alice"), "at+jwt"),
				"wrong issuer":  w.sign(t, "ES256", wrongIssuer, "JWT"),
				"no sub":        w.sign(t, "ES256", noSub, "JWT"),
				"dots":          strings.Repeat(".", 4000),
				"five segments": "a.b.c.d.e",
				"long":          es + strings.Repeat("A", 9<<10),
				"text":          "hello",
			} {
				if a := here.authorize(t, to(own, "id_token_hint", bad)); name == "long" {
					a.refused("invalid_request")
				} else if v := a.response(); v.Get("error") != "invalid_request" {
					t.Errorf("%s: %v", name, v)
				}
			}
		})
		t.Run("H19 signed by a key that was rotated out since", func(t *testing.T) {
			old := hint("sub-alice", "prompt", "none")
			w.must(w.ring.Rotate(t.Context(), true))
			fresh, err := w.ring.Signer("ES256")
			w.must(err)
			if header, _, _ := strings.Cut(old.Get("id_token_hint"), "."); strings.Contains(unb64(header), fresh.KID) {
				t.Fatal("nothing was rotated")
			}
			here.authorize(t, old).code()
		})
	})
}

func (b *browser) view(t *testing.T, i string) (v oidc.View) {
	t.Helper()
	a := b.act(t, "view", i)
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(a.body)
	}
	return v
}
