package web_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var accountLink = regexp.MustCompile(`https://op\.test(/(?:recover/password|recover/request/details|recover/stop|recover/regain|alarm|allow|account/address/confirm|account/data/file|account/recovery/confirm|reopen)\?t=\S+)`)

// mailed delivers what is due, and gives the newest mail's link of an account.
func (w *world) mailed(t *testing.T) string {
	t.Helper()
	if _, err := w.queue.RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := accountLink.FindStringSubmatch(w.inbox.List()[0].Text)
	if m == nil {
		t.Fatalf("no link in:\n%s", w.inbox.List()[0].Text)
	}
	return m[1]
}

// TestRecover: 4.12: from the site, by a mail, to a new password and back to the site.
func TestRecover(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	const next = "a quite different password"
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "login-submit")
	i := must(url.Parse(b.URL)).Query().Get("i")
	if !strings.Contains(b.Body, `href="/recover?i=`+i+`"`) {
		t.Error("the sign-in page leads to no recovery")
	}
	b.get("/recover?i="+i).want(200, "recover-submit")
	if !strings.Contains(b.Body, "Fabrikam") {
		t.Error("the page does not say where the person is going")
	}
	b.submit("recover-submit", "email", "ada@").want(422, "recover-email-error")
	b.submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
	if u := must(url.Parse(b.URL)); u.Path != "/recover/sent" {
		t.Errorf("at %s", b.URL)
	}
	link := w.mailed(t)
	for range 2 { // A1: a scanner opens it, and changes nothing
		w.browser(t).get(link).want(200, "new-password-submit")
		w.browser(t).send(http.MethodHead, link, "", "")
	}
	b.get(link).submit("new-password-submit", "new-password", "short").want(422, "new-password-error")
	b.submit("new-password-submit", "new-password", next).want(200, "go-on")
	if u := must(url.Parse(b.URL)); u.Path != "/recover/done" || u.RawQuery != "" {
		t.Errorf("at %s", b.URL)
	}
	if !strings.Contains(b.Body, `href="/login?i=`+i+`"`) {
		t.Errorf("the page does not lead on:\n%s", b.Body)
	}
	b.get(link)
	if b.Status != 404 || !b.has("request-id") {
		t.Errorf("the used link: %d", b.Status)
	}
	b.get("/login?i="+i).submit("login-submit", "username", "ada@example.test", "password", password).want(422, "login-submit")
	b.submit("login-submit", "username", "ada@example.test", "password", next).want(200, "consent-allow")

	t.Run("4.24 the same answer for every address", func(t *testing.T) {
		answer := func(email string) string {
			b := w.browser(t).get("/recover")
			b.submit("recover-submit", "email", email).want(200, "go-on")
			return b.URL + b.Body[strings.Index(b.Body, "<main"):]
		}
		if known, unknown := answer("ada@example.test"), answer("nobody@example.test"); known != unknown {
			t.Errorf("%s\n\n%s", known, unknown)
		}
	})
	t.Run("this wasn't me", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", next)
		b.get("/account/password").submit("password-submit", "password", next, "new-password", "one of a stranger's").want(200, "password-submit")
		alarm := w.mailed(t)
		owner := w.browser(t)
		owner.get(alarm).want(200, "alarm-submit")
		if b.get("/account/profile"); b.URL != "/account/profile" {
			t.Errorf("opening the page has signed somebody out: %s", b.URL)
		}
		owner.get(alarm).submit("alarm-submit").want(200, "go-on")
		if b.get("/account/profile"); !b.has("login-submit") {
			t.Errorf("the stranger is at %s", b.URL)
		}
		b.submit("login-submit", "username", "ada@example.test", "password", "one of a stranger's").want(422, "login-submit")
		owner.get(w.mailed(t)).submit("new-password-submit", "new-password", password).want(200, "go-on")
		w.browser(t).loginWith(t, "ada@example.test", password)
	})
}

// loginWith signs in with another password than the usual one.
func (b *browser) loginWith(t *testing.T, email, secret string) *browser {
	t.Helper()
	b.get("/login?next=profile").want(200, "login-submit").submit("login-submit", "username", email, "password", secret)
	return b.want(200, "profile-submit")
}

// TestPassword: 4.15.
func TestPassword(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	b := w.browser(t)
	// RFC 8615 change-password leads here, by way of the sign-in.
	b.get("/.well-known/change-password").want(200, "login-submit")
	b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "password-submit")
	other, thief := w.browser(t).loginWith(t, "ada@example.test", password), b.clone()
	thief.get("/account/profile").want(200, "profile-submit")
	b.submit("password-submit", "password", "not this one", "new-password", "another good one").want(422, "password-error")
	b.submit("password-submit", "password", password, "new-password", "x").want(422, "new-password-error")
	b.submit("password-submit", "password", password, "new-password", "another good one").want(200, "password-submit")
	if !strings.Contains(b.Body, "is changed") {
		t.Errorf("it says nothing:\n%s", b.Body)
	}
	if other.get("/account/profile"); !other.has("login-submit") {
		t.Errorf("the other browser is at %s", other.URL)
	}
	if thief.get("/account/profile"); !thief.has("login-submit") {
		t.Errorf("who copied the cookie is at %s", thief.URL)
	}
	if b.get("/account/profile"); !b.has("profile-submit") {
		t.Errorf("this browser is at %s", b.URL)
	}
	t.Run("who copied the cookie renews it in that very moment", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		w.browser(t).loginWith(t, "ada@example.test", password) // somewhere, so that a login ends
		b.get("/account/password").want(200, "password-submit")
		sum := func(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }
		stolen, thief := b.jar["__Host-sid"], b.clone()
		thief.jar["__Host-sid"] = strings.Repeat("A", 43)
		done := false
		w.ended = func(ctx context.Context) error {
			if done {
				return nil
			}
			done = true
			_, _, err := w.store.RenewSecret(ctx, sum(stolen), sum(thief.jar["__Host-sid"]), w.clock())
			return err
		}
		b.submit("password-submit", "password", password, "new-password", "another good one").want(200, "login-submit")
		if !done {
			t.Fatal("nothing was renewed")
		}
		if thief.get("/account/profile"); !thief.has("login-submit") {
			t.Errorf("the thief is at %s", thief.URL)
		}
		b.loginWith(t, "ada@example.test", "another good one")
	})
	t.Run("A20 a sign-in of more than five minutes ago is asked for once more", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", "another good one")
		b.get("/account/password").want(200, "password-submit")
		w.pass(5*time.Minute + time.Second)
		b.submit("password-submit", "password", "another good one", "new-password", "yet another good one").want(200, "login-submit")
		if !strings.Contains(b.Body, "Sign in once more") || !strings.Contains(b.Body, `value="ada@example.test"`) {
			t.Errorf("it does not say why:\n%s", b.Body)
		}
		b.submit("login-submit", "username", "ada@example.test", "password", "another good one").want(200, "password-submit")
	})
	t.Run("guessing at an open browser is stopped", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", "another good one")
		for range 30 {
			b.get("/account/password").submit("password-submit", "password", "not this one", "new-password", "another good one")
			if b.Status == http.StatusTooManyRequests && b.Header.Get("Retry-After") != "" {
				return
			}
		}
		t.Error("thirty guesses")
	})
}

// TestNewBrowser: 4.19, a mail about a sign-in from a browser that the account does not know.
func TestNewBrowser(t *testing.T) {
	w := newWorld(t)
	subjects := func() (out []string) {
		must(w.queue.RunDue(t.Context()))
		for _, m := range w.inbox.List() {
			if m.To == "ada@example.test" {
				out = append(out, m.Subject)
			}
		}
		return out
	}
	b := w.browser(t)
	b.get("/register").register("ada@example.test")
	confirm, _ := w.links()
	b.get(confirm).submit("confirm-submit").want(200, "profile-submit")
	if b.jar["__Host-dev"] == "" {
		t.Error("the browser that registered is not known")
	}
	before := len(subjects())
	b.get("/logout").submit("logout-yes").loginWith(t, "ada@example.test", password)
	if n := len(subjects()); n != before {
		t.Errorf("told of the browser that registered: %v", subjects())
	}
	other := w.browser(t)
	other.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	other.get("/login").submit("login-submit", "username", "ada@example.test", "password", "not this one").want(422, "login-submit")
	if n := len(subjects()); n != before {
		t.Errorf("told of a wrong password: %v", subjects())
	}
	other.loginWith(t, "ada@example.test", password)
	if list := subjects(); len(list) != before+1 || list[0] != "New sign-in to Passport" {
		t.Fatalf("%v", list)
	}
	for _, body := range []string{w.inbox.List()[0].Text, w.inbox.List()[0].HTML} {
		for _, want := range []string{"Firefox", "Linux", "127.0.0.0/24", w.clock().Format("2006-01-02 15:04") + " UTC"} {
			if !strings.Contains(body, want) {
				t.Errorf("no %q in:\n%s", want, body)
			}
		}
	}
	link := w.mailed(t)
	other.get("/logout").submit("logout-yes").loginWith(t, "ada@example.test", password)
	if n := len(subjects()); n != before+1 {
		t.Errorf("told once more: %v", subjects())
	}
	t.Run("a User-Agent is anybody's text", func(t *testing.T) {
		c := w.browser(t)
		c.header.Set("User-Agent", "Your account is at risk: call +1-800-555-0199 now")
		c.loginWith(t, "ada@example.test", password)
		must(w.queue.RunDue(t.Context()))
		if m := w.inbox.List()[0]; !strings.Contains(m.Text, "an unknown browser") || strings.Contains(m.Text+m.HTML, "0199") {
			t.Errorf("it says:\n%s", m.Text)
		}
	})
	t.Run("this was not me", func(t *testing.T) {
		w.browser(t).get(link).want(200, "alarm-submit").submit("alarm-submit").want(200, "go-on")
		if other.get("/account/profile"); !other.has("login-submit") {
			t.Errorf("still signed in at %s", other.URL)
		}
		if list := subjects(); list[0] != "Your account at Passport is locked" {
			t.Errorf("%v", list)
		}
		c := w.browser(t)
		c.get(w.mailed(t)).submit("new-password-submit", "new-password", "her very own one").want(200, "go-on")
		before := len(subjects())
		c.loginWith(t, "ada@example.test", "her very own one")
		if len(subjects()) != before {
			t.Errorf("told of the browser in which the password was set: %v", subjects())
		}
	})
}
