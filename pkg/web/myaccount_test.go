package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

var sessionField = regexp.MustCompile(`name="session" value="([^"]+)"`)

// TestSecurity: 4.16, where somebody is signed in.
func TestSecurity(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	w.person("bob@example.test")
	w.client("app")
	here := w.browser(t)
	here.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	here.loginWith(t, "ada@example.test", password)
	there := w.browser(t).loginWith(t, "ada@example.test", password)
	began := w.clock()
	w.pass(10 * time.Minute)
	there.get(authorizeURL("app")).want(200, "consent-allow").submit("consent-allow")
	used := w.clock()
	must(w.store.Purge(t.Context(), used.Add(2*time.Hour), 1000)) // what the site got is over by then; that it was used is not
	bob := w.browser(t).loginWith(t, "bob@example.test", password)
	here.get("/account/security").want(200, "change-password")
	for _, text := range []string{"Firefox on Linux", "this browser", "An unknown browser", "127.0.0.0/24", stamped(began), stamped(used)} {
		if !strings.Contains(here.Body, text) {
			t.Errorf("no %q in:\n%s", text, here.Body)
		}
	}
	ids := sessionField.FindAllStringSubmatch(here.Body, -1)
	if len(ids) != 1 {
		t.Fatalf("%d to be ended: %v", len(ids), ids)
	}
	id := ids[0][1]
	t.Run("B14 another's login is not found", func(t *testing.T) {
		w.browser(t).loginWith(t, "bob@example.test", password) // what he may end has a form
		bob.get("/account/security").want(200, "end-all")
		form := url.Values{"token": {hidden(bob.Body, "token")}, "session": {id}}
		if bob.post("/account/security", form); bob.Status != http.StatusNotFound {
			t.Errorf("%d", bob.Status)
		}
		form.Set("session", "nobody's")
		if bob.post("/account/security", form); bob.Status != http.StatusNotFound {
			t.Errorf("%d", bob.Status)
		}
		if there.get("/account/profile"); !there.has("profile-submit") {
			t.Error("bob has signed ada out")
		}
	})
	t.Run("one is ended", func(t *testing.T) {
		form := url.Values{"token": {hidden(here.Body, "token")}, "session": {id}}
		here.post("/account/security", form).want(200, "told")
		for _, text := range []string{"Signed out there", "Fabrikam", "cannot be told", `href="/account/security"`} {
			if !strings.Contains(here.Body, text) {
				t.Errorf("the report has no %q:\n%s", text, here.Body)
			}
		}
		if here.get(here.URL).want(200, "told"); here.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", here.Header)
		}
		here.get("/account/security")
		if there.get("/account/profile"); !there.has("login-submit") {
			t.Errorf("the other browser is at %s", there.URL)
		}
		if len(sessionField.FindAllString(here.Body, -1)) != 0 {
			t.Error("it is listed still")
		}
	})
	t.Run("a User-Agent is anybody's text", func(t *testing.T) {
		for _, agent := range []string{"Your account is at risk: call +1-800-555-0199 now", "Firefox\u202e on Evil", "Mozilla/5.0 (Call 0800) EvilBrowser/1.0", "<b>x</b>"} {
			stranger := w.browser(t)
			stranger.header.Set("User-Agent", agent)
			stranger.get("/login").submit("login-submit", "username", "ada@example.test", "password", "not this one")
			other := w.browser(t)
			other.header.Set("User-Agent", agent)
			other.loginWith(t, "ada@example.test", password)
		}
		for _, page := range []string{"/account/security", "/account/activity"} {
			here.get(page).want(200, "main")
			for _, text := range []string{"0800", "800-555", "Evil", "\u202e", "<b>x"} {
				if strings.Contains(here.Body, text) {
					t.Errorf("%s says %q", page, text)
				}
			}
		}
	})
	t.Run("all others are ended", func(t *testing.T) {
		others := []*browser{w.browser(t).loginWith(t, "ada@example.test", password), w.browser(t).loginWith(t, "ada@example.test", password)}
		here.get("/account/security").want(200, "end-all").submit("end-all").want(200, "go-on")
		for _, b := range others {
			if b.get("/account/profile"); !b.has("login-submit") {
				t.Errorf("another browser is at %s", b.URL)
			}
		}
		if here.get("/account/profile"); !here.has("profile-submit") {
			t.Error("and this one too")
		}
	})
	t.Run("4.16 all are ended, here too", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		b.get("/login").submit("login-submit", "username", "bob@example.test", "password", password)
		b.get(authorizeURL("app")).want(200, "account-choose-1").submit("account-choose-1").want(200, "consent-allow").submit("consent-allow")
		there := w.browser(t).loginWith(t, "bob@example.test", password)
		b.get("/account/security").want(200, "end-everywhere").submit("end-everywhere").want(200, "told")
		for _, text := range []string{"You are signed out", "Fabrikam", "cannot be told", "Other accounts in this browser stay signed in"} {
			if !strings.Contains(b.Body, text) {
				t.Errorf("the report has no %q:\n%s", text, b.Body)
			}
		}
		if there.get("/account/profile"); !there.has("login-submit") {
			t.Errorf("the other browser is at %s", there.URL)
		}
		if b.get("/account/profile").want(200, "profile-submit"); !strings.Contains(b.Body, "ada@example.test") {
			t.Errorf("who stays is not ada:\n%s", b.Body)
		}
		w.browser(t).loginWith(t, "ada@example.test", password)
		b.get("/account/security").submit("end-everywhere").want(200, "go-on")
		if b.get("/account/profile"); !b.has("login-submit") || b.jar["__Host-sid"] != "" {
			t.Errorf("this browser is at %s", b.URL)
		}
		here.loginWith(t, "ada@example.test", password)
	})
	t.Run("what is over is not shown", func(t *testing.T) {
		w.browser(t).loginWith(t, "ada@example.test", password)
		w.pass(29 * 24 * time.Hour)
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		w.pass(2 * 24 * time.Hour)
		if b.get("/account/security"); len(sessionField.FindAllString(b.Body, -1)) != 0 {
			t.Errorf("it lists:\n%s", b.Body)
		}
	})
}

// stamped is how a page says a time.
func stamped(at time.Time) string {
	return `<time datetime="` + at.UTC().Format(time.RFC3339) + `">` + at.UTC().Format("2006-01-02 15:04") + ` UTC</time>`
}

// hidden is the value of a hidden field.
func hidden(body, name string) string {
	m := regexp.MustCompile(`name="` + name + `" value="([^"]+)"`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

// TestSites: 4.16, what sites were allowed.
func TestSites(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	w.person("bob@example.test")
	b := w.browser(t).loginWith(t, "ada@example.test", password)
	if b.get("/account/sites").want(200, "main"); !strings.Contains(b.Body, "not used your account at any site") {
		t.Errorf("it says:\n%s", b.Body)
	}
	b.get(authorizeURL("app")).want(200, "consent-allow").submit("consent-allow")
	first := w.clock()
	w.pass(3 * time.Hour)
	b.get(authorizeURL("app"))
	if b.Status != http.StatusSeeOther {
		t.Fatalf("consent was not remembered: %d", b.Status)
	}
	b.redeems("app")
	b.get("/account/sites").want(200, "main")
	for _, text := range []string{"Fabrikam", "app.test", "Your e-mail address", "since " + stamped(first), "last used " + stamped(w.clock())} {
		if !strings.Contains(b.Body, text) {
			t.Errorf("no %q in:\n%s", text, b.Body)
		}
	}
	form := url.Values{"token": {hidden(b.Body, "token")}, "site": {"app"}}
	t.Run("another's form takes nothing back", func(t *testing.T) {
		bob := w.browser(t).loginWith(t, "bob@example.test", password)
		if bob.post("/account/sites", form); bob.Status != http.StatusForbidden {
			t.Errorf("%d", bob.Status)
		}
		if b.get(authorizeURL("app")); b.Status != http.StatusSeeOther {
			t.Error("ada is asked anew")
		}
	})
	b.get("/account/sites")
	form.Set("token", hidden(b.Body, "token"))
	if b.post("/account/sites", form).want(200, "main"); strings.Contains(b.Body, "Fabrikam") {
		t.Errorf("it is there still:\n%s", b.Body)
	}
	b.get(authorizeURL("app")).want(200, "consent-allow")
	b.submit("consent-allow")
	t.Run("the operator's own site, long after it got something", func(t *testing.T) {
		w.client("own")
		w.change("own", func(c *client.Client) { c.SkipConsent, c.Metadata.ClientName = true, "Tailspin" })
		if b.get(authorizeURL("own")); b.Status != http.StatusSeeOther {
			t.Fatalf("%d", b.Status)
		}
		b.redeems("own")
		w.pass(24 * time.Hour)
		b := w.browser(t).loginWith(t, "ada@example.test", password).get("/account/sites").want(200, "main")
		if !strings.Contains(b.Body, "Tailspin") || !strings.Contains(b.Body, "lets it sign you in without asking") || strings.Contains(b.Body, `name="site" value="own"`) {
			t.Errorf("it says:\n%s", b.Body)
		}
	})
	b.loginWith(t, "ada@example.test", password).get("/account/sites")
	for _, site := range []string{"", "nobody", strings.Repeat("x", 10_000)} {
		if b.post("/account/sites", url.Values{"token": {hidden(b.get("/account/sites").Body, "token")}, "site": {site}}); b.Status != http.StatusNotFound {
			t.Errorf("%.20q: %d", site, b.Status)
		}
	}
}

// TestActivity: 4.17.
func TestActivity(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.change("app", func(c *client.Client) { c.Metadata.ClientName = "Fabrikam" })
	w.person("ada@example.test")
	w.browser(t).get("/login").submit("login-submit", "username", "ada@example.test", "password", "not this one")
	b := w.browser(t)
	b.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	b.loginWith(t, "ada@example.test", password)
	b.get(authorizeURL("app")).want(200, "consent-allow").submit("consent-allow")
	b.get("/account/activity").want(200, "main")
	last := 0
	for _, text := range []string{"<bdi>Fabrikam</bdi> was allowed", "Signed in", "Firefox on Linux", "127.0.0.0/24", "A wrong password", "The operator made the account"} {
		i := strings.Index(b.Body, text)
		if i < last {
			t.Errorf("%q is at %d, after %d:\n%s", text, i, last, b.Body)
		}
		last = max(i, last)
	}
	t.Run("older ones", func(t *testing.T) {
		for range 60 {
			w.pass(time.Minute)
			w.browser(t).get("/login").submit("login-submit", "username", "ada@example.test", "password", password)
		}
		b.get("/account/activity").want(200, "main")
		if main, _, _ := strings.Cut(b.Body, "<footer"); strings.Count(main, "<li>") != 50 {
			t.Errorf("%d on the page", strings.Count(main, "<li>"))
		}
		m := regexp.MustCompile(`href="(/account/activity\?before=[^"]+)"`).FindStringSubmatch(b.Body)
		if m == nil {
			t.Fatal("no way to the older ones")
		}
		if b.get(m[1]).want(200, "main"); !strings.Contains(b.Body, "The operator made the account") {
			t.Errorf("they are:\n%s", b.Body)
		}
		if b.get("/account/activity?before=yesterday"); b.Status != http.StatusBadRequest {
			t.Errorf("%d", b.Status)
		}
	})
	t.Run("signed out: here, there, and everywhere", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		w.person("bob@example.test")
		ends := func(b *browser) int {
			return strings.Count(b.get("/account/activity").want(200, "main").Body, "Signed out")
		}
		here := func() *browser { return w.browser(t).loginWith(t, "ada@example.test", password) }
		gone := here()
		gone.get("/login").submit("login-submit", "username", "bob@example.test", "password", password)
		gone.get("/logout").want(200, "logout-yes").submit("logout-yes")
		b := here()
		if n := ends(b); n != 1 {
			t.Errorf("%d after the browser was signed out", n)
		}
		b.get("/logout").submit("logout-yes")
		there := here()
		b = here()
		id := sessionField.FindStringSubmatch(b.get("/account/security").Body)[1]
		b.post("/account/security", url.Values{"token": {hidden(b.Body, "token")}, "session": {id}})
		if n := ends(b); n != 3 || !there.get("/account/profile").has("login-submit") {
			t.Errorf("%d after one was ended there", n)
		}
		here()
		here()
		if b.get("/account/security").submit("end-all"); ends(b) != 5 {
			t.Errorf("%d after all others were ended", ends(b))
		}
		if bob := w.browser(t).loginWith(t, "bob@example.test", password); ends(bob) != 1 {
			t.Errorf("%d of bob's", ends(bob))
		}
		here()
		b.get("/account/password").submit("password-submit", "password", password, "new-password", "another good one").want(200, "password-submit")
		if ends(b) != 5 {
			t.Errorf("%d: a new password says so itself", ends(b))
		}
	})
	t.Run("of nobody else", func(t *testing.T) {
		w.person("bob@example.test")
		bob := w.browser(t).loginWith(t, "bob@example.test", password)
		if bob.get("/account/activity"); strings.Contains(bob.Body, "Fabrikam") {
			t.Errorf("bob sees:\n%s", bob.Body)
		}
	})
}

// TestAddress: 4.15, another address.
var addressID = regexp.MustCompile(`name="(?:primary|remove)" value="([^"]+)"`)

func TestAddress(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	w.person("bob@example.test")
	b := w.browser(t).loginWith(t, "ada@example.test", password)
	b.get("/account/profile").want(200, "change-address")
	b.get("/account/address").want(200, "address-submit").submit("address-submit", "new-email", "ada@").want(422, "new-email-error")
	b.submit("address-submit", "new-email", "ada@example.test").want(422, "new-email-error")
	b.submit("address-submit", "new-email", "countess@example.test").want(200, "address-submit")
	if !strings.Contains(b.Body, "We have sent a message") {
		t.Errorf("it says:\n%s", b.Body)
	}
	link := w.mailed(t)
	// Whoever gets the mail, and is not signed in with this account, is offered nothing (A12: it may be somebody else's).
	if s := w.browser(t).get(link).want(200, "go-on"); s.has("new-address-submit") || strings.Contains(s.Body, "ada@") {
		t.Errorf("a stranger sees:\n%s", s.Body)
	}
	if bob := w.browser(t).loginWith(t, "bob@example.test", password).get(link); bob.Status != http.StatusNotFound {
		t.Errorf("bob: %d", bob.Status)
	}
	b.get(link).want(200, "new-address-submit")
	b.send(http.MethodHead, link, "", "")
	if b.get("/account/profile"); !strings.Contains(b.Body, "ada@example.test") {
		t.Error("reading the link has changed something")
	}
	b.get(link).submit("new-address-submit").want(200, "profile-submit")
	if !strings.Contains(b.Body, "countess@example.test") {
		t.Errorf("it says:\n%s", b.Body)
	}
	undo := w.mailed(t)
	w.browser(t).loginWith(t, "countess@example.test", password)
	t.Run("several, one of them the main one", func(t *testing.T) {
		b.get("/account/address").want(200, "address-primary-2")
		if b.has("address-primary-1") || b.has("address-remove-1") {
			t.Error("the main one can be removed")
		}
		b.submit("address-submit", "new-email", "third@example.test").want(200, "address-waiting")
		b.get(w.mailed(t)).submit("new-address-submit", "primary", "").want(200, "address-remove-3")
		id := addressID.FindAllStringSubmatch(b.Body, -1)
		c := w.browser(t).loginWith(t, "bob@example.test", password).get("/account/address").want(200, "address-submit")
		_, fields := c.form("address-submit")
		for _, name := range []string{"primary", "remove"} {
			fields.Set(name, id[0][1])
			if c.post("/account/address", fields); c.Status != http.StatusNotFound {
				t.Errorf("B14 bob, %s: %d", name, c.Status)
			}
			fields.Del(name)
		}
		b.submit("address-remove-3").want(200, "address-remove-2")
		if b.has("address-3") || strings.Contains(b.Body, "third@") {
			t.Errorf("it says:\n%s", b.Body)
		}
		third := w.mailed(t)
		w.browser(t).get(third).want(200, "alarm-submit")
		b.submit("address-primary-2").want(200, "address-primary-2")
		if b.get("/account/profile"); !strings.Contains(b.Body, "ada@example.test") || strings.Contains(b.Body, "countess@") {
			t.Errorf("it says:\n%s", b.Body)
		}
		b.get("/account/address").submit("address-primary-2").want(200, "address-primary-2")
	})
	t.Run("undone from the old address", func(t *testing.T) {
		owner := w.browser(t)
		owner.get(undo).want(200, "alarm-submit")
		if !strings.Contains(owner.Body, "ada@example.test") {
			t.Errorf("it says:\n%s", owner.Body)
		}
		owner.submit("alarm-submit").want(200, "go-on")
		if b.get("/account/profile"); !b.has("login-submit") {
			t.Errorf("still signed in at %s", b.URL)
		}
		owner.get(w.mailed(t)).submit("new-password-submit", "new-password", "her very own one").want(200, "go-on")
		owner.loginWith(t, "ada@example.test", "her very own one")
	})
	t.Run("A20 a fresh sign-in", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "bob@example.test", password)
		w.pass(6 * time.Minute)
		b.get("/account/address").want(200, "login-submit").submit("login-submit", "username", "bob@example.test", "password", password)
		b.want(200, "address-submit").submit("address-submit", "new-email", "bobby@example.test").want(200, "address-waiting")
		link := w.mailed(t)
		for range 2 { // the link, and then its form, lie there for two hours
			w.pass(2 * time.Hour)
			if b.URL == "/account/address?sent=1" {
				b.get(link).want(200, "login-submit")
			} else {
				b.submit("new-address-submit").want(200, "login-submit")
			}
			if strings.Contains(b.URL, "?t=") {
				t.Errorf("the token stands in %s", b.URL)
			}
			b.submit("login-submit", "password", password).want(200, "new-address-submit")
		}
		b.submit("new-address-submit").want(200, "profile-submit")
		if !strings.Contains(b.Body, "bobby@example.test") {
			t.Errorf("it says:\n%s", b.Body)
		}
	})
}

// TestClose: 4.18.
func TestClose(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	b := w.browser(t).loginWith(t, "ada@example.test", password)
	b.get("/account/security").want(200, "close-account")
	b.get("/account/close").want(200, "close-submit").submit("close-submit", "close-email", "bob@example.test").want(422, "close-email-error")
	b.submit("close-submit", "close-email", "ada@example.test").want(200, "go-on")
	if b.get("/account/profile"); !b.has("login-submit") {
		t.Errorf("still signed in at %s", b.URL)
	}
	// Signing in, from a site too, leads to where it can be had back.
	b.get(authorizeURL("app")).want(200, "login-submit").submit("login-submit", "username", "ada@example.test", "password", password)
	b.want(200, "reopen-submit")
	if b.URL != "/reopen" {
		t.Errorf("the address says %s", b.URL)
	}
	if b.get("/account/profile"); !b.has("login-submit") {
		t.Errorf("signed in at %s", b.URL)
	}
	link := w.mailed(t)
	b.get(link).want(200, "reopen-submit").submit("reopen-submit").want(200, "go-on")
	if b.get(link); b.Status != http.StatusNotFound {
		t.Errorf("the used link: %d", b.Status)
	}
	w.browser(t).loginWith(t, "ada@example.test", password)
	t.Run("A20 a fresh sign-in", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		b.get("/account/close").want(200, "close-submit")
		w.pass(6 * time.Minute)
		b.submit("close-submit", "close-email", "ada@example.test").want(200, "login-submit")
	})
}

// TestData: 4.18, all that is known of a person, for that person alone.
func TestData(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	w.person("bob@example.test")
	w.browser(t).loginWith(t, "bob@example.test", password).get(authorizeURL("app")).want(200, "consent-allow").submit("consent-allow")
	b := w.browser(t)
	b.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	b.loginWith(t, "ada@example.test", password)
	b.get(authorizeURL("app")).want(200, "consent-allow").submit("consent-allow")
	b.get("/account/security").want(200, "download-data")
	there := w.browser(t).loginWith(t, "ada@example.test", password)
	there.get("/logout").submit("logout-yes")
	b.get("/account/data").want(200, "data-submit").submit("data-submit").want(200, "data-making")
	if b.has("data-ready") {
		t.Error("it is ready before it is made")
	}
	link := w.mailed(t)
	if b.get("/account/data").want(200, "data-ready"); b.has("data-making") || !strings.Contains(b.Body, w.clock().Add(7*24*time.Hour).Format("2006-01-02 15:04")) {
		t.Errorf("it says:\n%s", b.Body)
	}
	if m := w.inbox.List()[0]; m.To != "ada@example.test" || m.Subject != "Your data from Passport is ready" || !strings.Contains(m.Text, "https://op.test/alarm?t=") {
		t.Errorf("the mail: %+v", m)
	}
	t.Run("the link is worth nothing to anybody else", func(t *testing.T) {
		for range 2 { // A1: a scanner opens it
			if c := w.browser(t).get(link); !c.has("login-submit") || strings.Contains(c.URL, "?t=") {
				t.Errorf("signed out: %s", c.URL)
			}
		}
		bob := w.browser(t).loginWith(t, "bob@example.test", password)
		if bob.get(link); bob.Status != http.StatusNotFound {
			t.Errorf("bob: %d", bob.Status)
		}
		mine := b.clone()
		mine.get("/account/data/file") // signed in, and without the mail
		if mine.Status != http.StatusNotFound {
			t.Errorf("without the link: %d", mine.Status)
		}
		mine.jar["__Host-data"] = strings.Repeat("A", 43)
		if mine.get("/account/data/file"); mine.Status != http.StatusNotFound {
			t.Errorf("another link: %d", mine.Status)
		}
	})
	if b.get(link).want(200, "file-submit"); b.URL != "/account/data/file" {
		t.Errorf("the address says %s", b.URL)
	}
	b.submit("file-submit").want(200, "")
	if b.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(b.Header.Get("Content-Disposition"), "attachment;") ||
		b.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", b.Header)
	}
	var got struct {
		Account struct {
			Sub, Email, Name string
			Confirmed        bool
		}
		Browsers []struct {
			UserAgent  string    `json:"user_agent"`
			Network    string    `json:"network"`
			SignedInAt time.Time `json:"signed_in_at"`
		} `json:"signed_in"`
		Past []struct {
			EndedAt time.Time `json:"ended_at"`
		} `json:"signed_in_before"`
		Sites []struct {
			ClientID string `json:"client_id"`
			Name     string
			Scopes   []string
			Since    time.Time
		}
		Activity []struct {
			Event string
			At    time.Time
		}
	}
	if err := json.Unmarshal([]byte(b.Body), &got); err != nil {
		t.Fatal(err, b.Body)
	}
	if got.Account.Email != "ada@example.test" || got.Account.Sub == "" || !got.Account.Confirmed || got.Account.Name == "" {
		t.Errorf("account %+v", got.Account)
	}
	if len(got.Browsers) != 1 || !strings.Contains(got.Browsers[0].UserAgent, "Firefox") || got.Browsers[0].Network == "" || got.Browsers[0].SignedInAt.IsZero() {
		t.Errorf("browsers %+v", got.Browsers)
	}
	if len(got.Past) != 1 || got.Past[0].EndedAt.IsZero() {
		t.Errorf("before %+v", got.Past)
	}
	if len(got.Sites) != 1 || got.Sites[0].ClientID != "app" || got.Sites[0].Name == "" || !slices.Contains(got.Sites[0].Scopes, "openid") || got.Sites[0].Since.IsZero() {
		t.Errorf("sites %+v", got.Sites)
	}
	var events []string
	for _, e := range got.Activity {
		events = append(events, e.Event)
		if e.At.IsZero() {
			t.Errorf("%s has no time", e.Event)
		}
	}
	for _, want := range []string{"account.created", "login.succeeded", "consent.granted", "account.export_asked"} {
		if !slices.Contains(events, want) {
			t.Errorf("no %s among %v", want, events)
		}
	}
	for name, secret := range map[string]string{"the cookie": b.jar["__Host-sid"], "a hash": "$argon2", "somebody else": "bob@"} {
		if strings.Contains(b.Body, secret) {
			t.Errorf("%s is in it", name)
		}
	}
	if b.get("/account/activity"); !strings.Contains(b.Body, "A file with the data of the account was asked for") || !strings.Contains(b.Body, "The data of the account was downloaded") {
		t.Errorf("the activity says:\n%s", b.Body)
	}
	t.Run("A20 not from a browser that was left open, and the link is found again after the sign-in", func(t *testing.T) {
		_, fields := b.get(link).want(200, "file-submit").form("file-submit")
		w.pass(6 * time.Minute)
		b.get("/account/data").want(200, "login-submit")
		b.post("/account/data/file", fields).want(200, "login-submit").submit("login-submit", "password", password).want(200, "file-submit")
		b.get("/account/data").want(200, "data-submit")
	})
	t.Run("nobody else's form", func(t *testing.T) {
		for _, path := range []string{"/account/data", "/account/data/file"} {
			_, fields := b.get(map[string]string{"/account/data": path, "/account/data/file": link}[path]).form(map[string]string{"/account/data": "data-submit", "/account/data/file": "file-submit"}[path])
			if c := w.browser(t).loginWith(t, "bob@example.test", password).post(path, fields); c.Status != http.StatusForbidden || strings.Contains(c.Body, "ada@") {
				t.Errorf("another's form: %d", c.Status)
			}
			if c := w.browser(t).post(path, fields); !c.has("login-submit") {
				t.Errorf("signed out: %d", c.Status)
			}
		}
	})
	t.Run("a newer one takes its place", func(t *testing.T) {
		w.pass(30 * time.Minute)
		b.loginWith(t, "ada@example.test", password)
		b.get("/account/data").submit("data-submit").want(200, "data-making")
		if b.get(link); b.Status != http.StatusNotFound {
			t.Errorf("the older link: %d", b.Status)
		}
		newer := w.mailed(t)
		b.get(newer).want(200, "file-submit")
		w.pass(7*24*time.Hour - time.Minute)
		b.loginWith(t, "ada@example.test", password).get(newer).want(200, "file-submit")
		w.pass(2 * time.Minute)
		if b.get(newer); b.Status != http.StatusNotFound {
			t.Errorf("after seven days: %d", b.Status)
		}
		if b.get("/account/data").want(200, "data-submit"); b.has("data-ready") {
			t.Error("it is ready still")
		}
	})
	t.Run("not without end", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "bob@example.test", password)
		_, fields := b.get("/account/data").want(200, "data-submit").form("data-submit")
		for range 3 {
			b.post("/account/data", fields).want(200, "data-making")
		}
		if b.post("/account/data", fields).want(429, ""); b.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to come back")
		}
		w.mailed(t)
		ready := 0
		for _, m := range w.inbox.List() {
			if m.To == "bob@example.test" && strings.HasPrefix(m.Subject, "Your data") {
				ready++
			}
		}
		if ready != 1 {
			t.Errorf("%d mails for the five", ready)
		}
	})
}

// TestA20: each page of the account is one of those that a browser that was left open does not open, or of the others.
func TestA20(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	dangerous := []string{"/account/address", "/account/address/confirm", "/account/close", "/account/data", "/account/data/file",
		"/account/password", "/account/recovery", "/account/recovery/confirm"}
	harmless := []string{"/account/activity", "/account/closed", "/account/picture", "/account/profile", "/account/security", "/account/sites"}
	var there []string
	for _, route := range w.site.Routes() {
		if strings.HasPrefix(route.Path, "/account/") {
			there = append(there, route.Path)
		}
	}
	slices.Sort(there)
	want := append(slices.Clone(dangerous), harmless...)
	slices.Sort(want)
	if got := slices.Compact(there); !slices.Equal(got, want) {
		t.Errorf("there is %v, judged is %v", got, want)
	}
	for _, path := range dangerous {
		if strings.HasSuffix(path, "/confirm") { // needs a link: TestAddress, TestBackup
			continue
		}
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		w.pass(5*time.Minute - time.Second) // a sign-in has whole seconds
		if b.get(path); strings.HasPrefix(b.URL, "/login") {
			t.Errorf("GET %s: less than five minutes are too long ago", path)
		}
		token := hidden(b.Body, "token")
		w.pass(2 * time.Second)
		if b.get(path); !strings.HasPrefix(b.URL, "/login?next=") || !strings.Contains(b.Body, "Sign in once more") {
			t.Errorf("GET %s after more than five minutes: %s", path, b.URL)
		}
		form := url.Values{"token": {token}, "close-email": {"ada@example.test"}, "new-email": {"eve@example.test"}, "recovery-email": {"eve@example.test"},
			"password": {password}, "new-password": {"another good one"}}
		b.send(http.MethodPost, path, formType, form.Encode())
		if at := b.Header.Get("Location"); !strings.HasPrefix(at, "/login?next=") {
			t.Errorf("POST %s after more than five minutes: %d to %q", path, b.Status, at)
		}
	}
}
