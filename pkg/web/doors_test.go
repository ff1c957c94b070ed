package web_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// flowOf is the i of the page that the browser shows.
func (b *browser) flowOf() string { return must(url.Parse(b.URL)).Query().Get("i") }

// TestAlready: 4.2, who is signed in and comes to register is told so, and nothing mixes.
func TestAlready(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	t.Run("outside a flow", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get("/register").want(200, "register-add")
		if b.has("register-submit") || !strings.Contains(b.Body, "ada@example.test") || !strings.Contains(b.Body, `id="already-signout" href="/logout"`) ||
			!strings.Contains(b.Body, `id="register-add" href="/register?next=add"`) || b.has("already-go-1") {
			t.Errorf("the page:\n%s", b.Body)
		}
		b.get("/register?next=add").want(200, "register-submit")
		b.post("/language", url.Values{"lang": {"es"}, "page": {"register"}, "next": {"add"}}).want(200, "register-submit")
		if !strings.Contains(b.Body, "Usar mi correo") {
			t.Errorf("not in Spanish:\n%s", b.Body)
		}
		b.register("grace@example.test").want(200, "waiting")
		if b.get("/account/profile"); !strings.Contains(b.Body, "ada@example.test") {
			t.Error("an account that is not confirmed is in the other's place")
		}
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "profile-submit")
		b.get(authorizeURL("app")).want(200, "account-choose-2")
		for _, text := range []string{"ada@example.test", "grace@example.test", `<bdi class="name">Fabrikam</bdi>`, `id="account-other" href="/login?i=`} {
			if !strings.Contains(b.Body, text) {
				t.Errorf("the chooser does not show %s:\n%s", text, b.Body)
			}
		}
	})
	t.Run("in a flow it offers to go on", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get(authorizeURL("app", "prompt", "create")).want(200, "already-go-1")
		if !strings.Contains(b.Body, "Fabrikam") || b.has("register-submit") || b.has("already-account") {
			t.Errorf("the page:\n%s", b.Body)
		}
		i := b.flowOf()
		b.submit("already-go-1").want(200, "consent-allow").submit("consent-allow")
		if back := b.Header.Get("Location"); b.Status != http.StatusSeeOther || !strings.HasPrefix(back, callback) || !strings.Contains(back, "code=") {
			t.Errorf("%d %s", b.Status, back)
		}
		if b.get("/register?next=add&i=" + i); b.Status != http.StatusBadRequest {
			t.Errorf("the flow is over, and the page answers %d", b.Status)
		}
		b.get(authorizeURL("app", "prompt", "create")).want(200, "register-add")
		b.get("/register?next=add&i="+b.flowOf()).register("alan@example.test").want(200, "waiting")
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "consent-allow")
		if !strings.Contains(b.Body, "alan@example.test") {
			t.Errorf("the site would get another account:\n%s", b.Body)
		}
	})
	t.Run("back from the terms the form is there", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get("/register?next=add").submit("register-submit", "email", "new@example.test", "password", password, "name", "New").want(200, "terms-back")
		if b.get("/register?back=1").want(200, "register-submit"); !strings.Contains(b.Body, "new@example.test") {
			t.Errorf("the page:\n%s", b.Body)
		}
	})
	t.Run("nobody: the form at once", func(t *testing.T) {
		w.browser(t).get("/register").want(200, "register-own")
	})
}

// TestLookup: 4.1, 4.20: is there an account? And each way back from one page.
func TestLookup(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "cannot-sign-in")
	i := b.flowOf()
	for _, page := range []string{"/login?i=" + i, "/register?i=" + i, "/help?i=" + i} {
		if b.get(page); !strings.Contains(b.Body, `href="/lookup?i=`+i+`"`) {
			t.Errorf("%s leads to no look-up", page)
		}
	}
	b.get("/lookup?i="+i).want(200, "lookup-submit")
	if !strings.Contains(b.Body, "Fabrikam") {
		t.Error("the page does not say where the person is going")
	}
	b.submit("lookup-submit", "email", "ada@").want(422, "lookup-email-error")
	b.submit("lookup-submit", "email", "ada@example.test").want(200, "go-on")
	if !strings.Contains(b.Body, `href="/login?i=`+i+`"`) {
		t.Errorf("the way back is lost:\n%s", b.Body)
	}
	t.Run("4.24 the same answer for every address", func(t *testing.T) {
		answer := func(email string) string {
			b := w.browser(t).get("/lookup")
			action, fields := b.form("lookup-submit")
			fields.Set("email", email)
			b.send(http.MethodPost, action, formType, fields.Encode())
			to := b.Header.Get("Location")
			b.follow().want(200, "go-on")
			return strings.Join([]string{to, b.URL, b.Body[strings.Index(b.Body, "<main"):]}, " ")
		}
		w.browser(t).get("/register").register("waits@example.test")
		known := answer("ada@example.test")
		for _, email := range []string{"nobody@example.test", "waits@example.test"} {
			if got := answer(email); got != known {
				t.Errorf("%s: %s\n\n%s", email, got, known)
			}
		}
	})
	t.Run("4.20 one page leads to each way back", func(t *testing.T) {
		b := w.browser(t)
		b.get(authorizeURL("app")).want(200, "cannot-sign-in")
		i := b.flowOf()
		if !strings.Contains(b.Body, `href="/help?i=`+i+`"`) {
			t.Errorf("the foot leads elsewhere:\n%s", b.Body)
		}
		b.get("/help?i="+i).want(200, "help-waiting")
		for id, leads := range map[string]string{"help-recover": "recover-submit", "help-lookup": "lookup-submit", "help-register": "register-submit"} {
			_, rest, ok := strings.Cut(b.Body, `id="`+id+`" href="`)
			to, _, _ := strings.Cut(rest, `"`)
			if !ok || !strings.HasSuffix(to, "?i="+i) {
				t.Errorf("#%s leads to %q", id, to)
				continue
			}
			b.clone().get(to).want(200, leads)
		}
		for _, link := range []string{`id="help-request" href="/recover/request"`, `id="help-waiting" href="/register/waiting?i=` + i + `"`} {
			if !strings.Contains(b.Body, link) {
				t.Errorf("no %s in:\n%s", link, b.Body)
			}
		}
		waits := b.clone()
		waits.get("/register?i=" + i).register("lost@example.test")
		waits.get("/help").want(200, "help-waiting").get("/register/waiting").want(200, "resend-submit")
		// Who is lost finds the page also where the flow is over.
		w.browser(t).get("/help?i="+strings.Repeat("A", 43)).want(200, "help-recover")
	})
}

// TestInvitation: 4.3, the link of an invitation, and the form behind it.
func TestInvitation(t *testing.T) {
	w := newWorldAt(t, account.Door{Invitation: true})
	w.client("app")
	invite := func(n account.NewInvitation) string {
		t.Helper()
		n.Uses, n.TTL = 1, 24*time.Hour
		_, token, err := w.people.Invite(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	t.Run("without one the page says so, and no form is taken", func(t *testing.T) {
		b := w.browser(t)
		if b.get("/register").want(200, "go-on"); b.has("register-submit") || !strings.Contains(b.Body, "by invitation") {
			t.Errorf("the page:\n%s", b.Body)
		}
		if b.get(authorizeURL("app", "prompt", "create")); !strings.Contains(b.Header.Get("Location"), "error=invalid_request") {
			t.Errorf("prompt=create: %d %s", b.Status, b.Header.Get("Location"))
		}
		if b.get("/.well-known/openid-configuration"); strings.Contains(b.Body, `"create"`) {
			t.Error("discovery offers it")
		}
		for _, wrong := range []string{strings.Repeat("A", 43), "x"} {
			if b.get("/register?invitation=" + wrong); b.Status != http.StatusForbidden || b.jar["__Host-invitation"] != "" {
				t.Errorf("%s: %d", wrong, b.Status)
			}
		}
	})
	t.Run("with one: the token does not stay in the address", func(t *testing.T) {
		token := invite(account.NewInvitation{Email: "ada@example.test"})
		link := "/register?invitation=" + token
		w.browser(t).send(http.MethodGet, link, "", "") // A1: a scanner opens it, and changes nothing
		w.browser(t).send(http.MethodHead, link, "", "")
		b := w.browser(t).send(http.MethodGet, link, "", "")
		if to := b.Header.Get("Location"); b.Status != http.StatusSeeOther || to != "/register" {
			t.Fatalf("%d %s", b.Status, to)
		}
		b.follow().want(200, "register-submit")
		if strings.Contains(b.Body, token) || !strings.Contains(b.Body, `value="ada@example.test"`) {
			t.Errorf("the page:\n%s", b.Body)
		}
		b.submit("register-submit", "email", "eve@example.test", "password", password, "name", "Eve").want(422, "register-email-error")
		late := b.clone()
		b.get("/register").register("ada@example.test").want(200, "waiting")
		// The same link in another browser.
		other := w.browser(t).get(link).want(200, "register-submit")
		other.submit("register-submit", "email", "ada@example.test", "password", password, "name", "Ada").want(200, "terms-submit")
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "profile-submit")
		other.submit("terms-submit", "terms-email", "ada@example.test").want(http.StatusForbidden, "go-on")
		if late.get("/register"); late.has("register-submit") {
			t.Error("a used one still shows the form")
		}
		if other.get(link); other.Status != http.StatusForbidden {
			t.Errorf("the used link: %d", other.Status)
		}
		if text := w.logs.String(); strings.Contains(text, token) {
			t.Error("the token is in the log")
		}
	})
	t.Run("a form without the cookie", func(t *testing.T) {
		token := invite(account.NewInvitation{})
		b := w.browser(t).get("/register?invitation="+token).want(200, "register-submit")
		delete(b.jar, "__Host-invitation")
		b.submit("register-submit", "email", "bob@example.test", "password", password, "name", "Bob").want(http.StatusForbidden, "go-on")
		w.pass(25 * time.Hour)
		if b.get("/register?invitation=" + token); b.Status != http.StatusForbidden {
			t.Errorf("late: %d", b.Status)
		}
	})
	t.Run("where it is not needed it opens nothing", func(t *testing.T) {
		open, closed := newWorld(t), newWorldAt(t, account.Door{Closed: true, Invitation: true})
		token := "/register?invitation=" + strings.Repeat("A", 43)
		open.browser(t).get(token).want(200, "register-submit")
		if b := closed.browser(t).get(token).want(200, "go-on"); b.has("register-submit") || b.jar["__Host-invitation"] != "" {
			t.Error("closed, and yet")
		}
	})
}

// TestDeniedSince: who has registered, and whose domain is denied before the link is followed, is told so.
func TestDeniedSince(t *testing.T) {
	var open account.Config
	w := newWorldOf(t, func(c *account.Config) {
		open = *c
		c.Door.Deny = []string{"denied.test"}
	})
	_, err := must(account.New(open)).Register(t.Context(), account.Registration{FormID: "f", Email: "ada@denied.test", TermsEmail: "ada@denied.test",
		Password: password, Name: "Ada", IP: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	confirm, _ := w.links()
	b := w.browser(t).get(confirm)
	if b.Status != http.StatusForbidden || !strings.Contains(b.Body, "can no longer be used") {
		t.Errorf("%d:\n%s", b.Status, b.Body)
	}
}

// TestAccept: 4.6, terms that have changed stand between the sign-in and the site, and nobody gets past them.
func TestAccept(t *testing.T) {
	w := newWorldOf(t, func(c *account.Config) { c.Versions = account.Versions{Terms: "2", Privacy: "2026-11-01"} })
	w.client("app")
	w.person("ada@example.test") // the operator's: nothing is accepted yet
	code := func(b *browser) bool { return strings.Contains(b.Header.Get("Location"), "code=") }
	t.Run("in a flow", func(t *testing.T) {
		b := w.browser(t)
		b.get(authorizeURL("app")).want(200, "login-submit").submit("login-submit", "username", "ada@example.test", "password", password)
		b.want(200, "accept-submit")
		i := b.flowOf()
		if !strings.HasPrefix(b.URL, "/terms?i=") || !strings.Contains(b.Body, "Fabrikam") || !strings.Contains(b.Body, "ada@example.test") || !strings.Contains(b.Body, "2026-11-01") {
			t.Errorf("%s:\n%s", b.URL, b.Body)
		}
		page := b.clone()
		// No other page leads past it.
		for _, way := range []string{"/authorize?i=" + i, authorizeURL("app"), authorizeURL("app", "prompt", "consent")} {
			b.get(way).want(200, "accept-submit")
		}
		// A yes to the site is none to the terms.
		b.get("/consent?i="+i).want(200, "consent-allow").submit("consent-allow").want(200, "accept-submit")
		page.clone().submit("accept-submit", "email", "eve@example.test").want(422, "accept-email-error")
		page.post("/language", url.Values{"lang": {"es"}, "page": {"accept"}, "i": {i}}).want(200, "accept-submit")
		if !strings.Contains(page.Body, "versi\u00f3n") {
			t.Errorf("not in Spanish:\n%s", page.Body)
		}
		page.submit("accept-submit", "email", "ADA@example.test").want(200, "consent-allow").submit("consent-allow")
		if !code(page) {
			t.Fatalf("%d %s", page.Status, page.Header.Get("Location"))
		}
		if page.get(authorizeURL("app", "prompt", "none")); !code(page) {
			t.Errorf("accepted, and yet: %s", page.Header.Get("Location"))
		}
	})
	t.Run("a browser that is signed in, and a remembered consent", func(t *testing.T) {
		w := newWorld(t)
		w.client("app")
		w.person("ada@example.test")
		b := w.browser(t)
		b.get(authorizeURL("app")).submit("login-submit", "username", "ada@example.test", "password", password).want(200, "consent-allow").submit("consent-allow")
		if b.get(authorizeURL("app")); !code(b) {
			t.Fatal("no remembered consent")
		}
		show := must(w.people.Show(t.Context(), "ada@example.test"))
		// As if she had accepted, and they had changed since.
		if err := w.store.AcceptTerms(t.Context(), show.ID, account.Versions{Terms: "old"}, w.clock()); err != nil {
			t.Fatal(err)
		}
		if b.get(authorizeURL("app", "prompt", "none")); !strings.Contains(b.Header.Get("Location"), "error=interaction_required") {
			t.Errorf("prompt=none: %s", b.Header.Get("Location"))
		}
		b.get(authorizeURL("app")).want(200, "accept-submit").submit("accept-submit", "email", "ada@example.test")
		if !code(b) {
			t.Errorf("%d %s", b.Status, b.Header.Get("Location"))
		}
	})
	t.Run("outside a flow", func(t *testing.T) {
		w.person("bob@example.test")
		b := w.browser(t)
		b.get("/login?next=sites").submit("login-submit", "username", "bob@example.test", "password", password).want(200, "accept-submit")
		if b.URL != "/terms?next=sites" {
			t.Errorf("at %s", b.URL)
		}
		stale := b.clone()
		b.clone().get("/account/data").want(200, "") // what is theirs is theirs
		if b.submit("accept-submit", "email", "bob@example.test"); b.URL != "/account/sites" {
			t.Errorf("at %s", b.URL)
		}
		if b.get("/terms?next=profile"); b.URL != "/account/profile" {
			t.Errorf("nothing to accept, at %s", b.URL)
		}
		if stale.submit("accept-submit", "email", "bob@example.test", "login", "no-such-login"); stale.URL != "/account/sites" {
			t.Errorf("another's login: at %s", stale.URL)
		}
		if b := w.browser(t).get("/terms?next=profile"); !b.has("login-submit") {
			t.Errorf("nobody is signed in, at %s", b.URL)
		}
		if b.get("/login").submit("login-submit", "username", "bob@example.test", "password", password); b.URL != "/" {
			t.Errorf("asked again: %s", b.URL)
		}
	})
	t.Run("another account's page accepts for nobody else", func(t *testing.T) {
		w.person("cyd@example.test")
		w.person("dan@example.test")
		b := w.browser(t)
		b.get("/login").submit("login-submit", "username", "cyd@example.test", "password", password).want(200, "accept-submit")
		b.get("/login").submit("login-submit", "username", "dan@example.test", "password", password).want(200, "accept-submit")
		b.submit("accept-submit", "email", "cyd@example.test").want(422, "accept-email-error")
		b.submit("accept-submit", "email", "dan@example.test")
		for email, want := range map[string]bool{"cyd@example.test": true, "dan@example.test": false} {
			a := must(w.people.Show(t.Context(), email))
			if must(w.people.MustAccept(t.Context(), a.ID)) != want {
				t.Errorf("%s must accept: %v", email, !want)
			}
		}
	})
	t.Run("the registration is a yes", func(t *testing.T) {
		b := w.browser(t)
		b.get(authorizeURL("app")).want(200, "register-link")
		b.get("/register?i="+b.flowOf()).register("new@example.test").want(200, "waiting")
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "consent-allow")
	})
}

// TestNotBuilt: whoever tries a door that there is not yet finds none, signed in or not. The day that one is built its cases
// need tests of their own: here they fail.
func TestNotBuilt(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	stranger, ada := w.browser(t), w.browser(t).loginWith(t, "ada@example.test", password)
	doors := func(words *regexp.Regexp, paths ...string) func(t *testing.T) {
		return func(t *testing.T) {
			for _, path := range paths {
				for _, b := range []*browser{stranger, ada} {
					if b.send(http.MethodGet, path, "", ""); b.Status != http.StatusNotFound {
						t.Errorf("GET %s: %d", path, b.Status)
					}
					if b.post(path, url.Values{"code": {"000000"}}); b.Status != http.StatusNotFound {
						t.Errorf("POST %s: %d", path, b.Status)
					}
				}
			}
			for _, route := range w.site.Routes() {
				if words.MatchString(route.Path + " " + route.Name) {
					t.Errorf("%s (%s) is built: prove its cases", route.Path, route.Name)
				}
			}
			for _, page := range []string{"/account/security", "/account/profile", "/help"} {
				if ada.get(page); words.MatchString(strings.Join(hrefs.FindAllString(ada.Body, -1), " ")) {
					t.Errorf("%s leads there", page)
				}
			}
		}
	}
	t.Run("A10 A27 passkeys", doors(regexp.MustCompile(`(?i)passkey|webauthn|fido`),
		"/login/passkey", "/account/passkeys", "/webauthn/register", "/.well-known/webauthn", "/.well-known/passkey-endpoints"))
	t.Run("A18 A25 A26 one-time codes, and codes for the day that they are lost", doors(regexp.MustCompile(`(?i)totp|otp\b|factor|mfa|backup-code`),
		"/login/code", "/login/totp", "/account/totp", "/account/factors", "/account/backup-codes"))
	t.Run("A10 A14 linked sign-ins", doors(regexp.MustCompile(`(?i)upstream|federat|linked|social|saml|/login/with`),
		"/login/with/google", "/login/callback", "/upstream/callback", "/saml/acs", "/account/linked"))
	t.Run("hosted addresses", doors(regexp.MustCompile(`(?i)mailbox|hosted|webmail`),
		"/register/hosted", "/account/mailbox", "/mailbox"))
}

var hrefs = regexp.MustCompile(`(?:href|action)="[^"]*"`)
