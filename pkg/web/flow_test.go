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
	"github.com/passport-network/passport/pkg/limit"
)

// TestFirstVisit: from the site through registration and the mail back to the site; then once more without a
// password.
func TestFirstVisit(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "login-submit")
	i := must(url.Parse(b.URL)).Query().Get("i")
	b.get("/register?i="+i).register("ada@example.test").want(200, "waiting")
	confirm, _ := w.links()
	b.get(confirm).want(200, "confirm-submit").submit("confirm-submit").want(200, "consent-allow")
	if !strings.Contains(b.Body, "Fabrikam") || !strings.Contains(b.Body, "app.test") || !strings.Contains(b.Body, "ada@example.test") {
		t.Error("the consent page does not say who asks for what")
	}
	b.submit("consent-allow")
	back := must(url.Parse(b.Header.Get("Location")))
	if b.Status != 303 || !strings.HasPrefix(back.String(), callback) || back.Query().Get("code") == "" || back.Query().Get("state") != "the-state" {
		t.Fatalf("not back at the site: %d %s", b.Status, back)
	}
	b.get(authorizeURL("app"))
	if b.Status != 303 || must(url.Parse(b.Header.Get("Location"))).Query().Get("code") == "" {
		t.Fatalf("known browser, remembered consent: %d %s", b.Status, b.Header)
	}
}

// TestTerms: the second page of registration can be reloaded, read in another language and left for the first, and
// nothing that was typed is lost but the password.
func TestTerms(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	begun := func() (*browser, string) {
		b := w.browser(t)
		b.get(authorizeURL("app")).want(200, "login-submit")
		i := must(url.Parse(b.URL)).Query().Get("i")
		b.get("/register?i="+i).submit("register-submit", "email", "ada@example.test", "password", password, "name", "Ada Lovelace")
		b.want(200, "terms-submit")
		return b, i
	}
	b, i := begun()
	if u := must(url.Parse(b.URL)); u.Path != "/register/terms" || u.Query().Get("i") != i {
		t.Errorf("the page is at %s", b.URL)
	}
	if !strings.Contains(b.Body, "Fabrikam") {
		t.Error("the page does not say where the person is going")
	}
	b.get(b.URL).want(200, "terms-submit")
	b.post("/language", url.Values{"lang": {"es"}, "page": {"terms"}, "i": {i}}).want(200, "terms-submit")
	if !strings.Contains(b.Body, "Lo que aceptas") {
		t.Errorf("not in Spanish:\n%s", b.Body)
	}
	b.get("/register?back=1&i="+i).want(200, "register-submit")
	for text, there := range map[string]bool{`value="ada@example.test"`: true, `value="Ada Lovelace"`: true, password: false} {
		if strings.Contains(b.Body, text) != there {
			t.Errorf("%q: %v", text, !there)
		}
	}
	if b.get("/register?i=" + i); strings.Contains(b.Body, "Ada") {
		t.Error("who comes anew is shown what somebody has typed")
	}
	// Another flow's page, another browser's, one that is too old: there is no such draft.
	for name, ask := range map[string]func(){
		"no flow":         func() { b.get("/register/terms") },
		"another browser": func() { b = w.browser(t).get("/register/terms") },
		"too old":         func() { b, i = begun(); w.pass(31 * time.Minute); b.get("/register/terms") },
	} {
		if ask(); !b.has("register-submit") {
			t.Errorf("%s: %s", name, b.URL)
		}
	}
	// Two tabs: each form is of its own draft.
	b, i = begun()
	one := b.clone()
	b.get("/register").submit("register-submit", "email", "other@example.test", "password", password, "name", "Other").want(200, "terms-submit")
	one.submit("terms-submit", "terms-email", "ada@example.test").want(200, "waiting")
	if !strings.Contains(one.Body, "ada@example.test") {
		t.Error("the tabs mixed")
	}
	_ = i
}

// TestWaitingGoesOn: who confirms in another tab goes on to the site from the first.
func TestWaitingGoesOn(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "login-submit")
	i := must(url.Parse(b.URL)).Query().Get("i")
	b.get("/register?i="+i).register("ada@example.test").want(200, "waiting")
	waiting := b.URL
	confirm, _ := w.links()
	b.get(confirm).submit("confirm-submit").want(200, "consent-allow")
	b.get(waiting).want(200, "consent-allow")
	b.submit("consent-allow")
	if b.get(waiting); b.URL != "/account/profile" {
		t.Errorf("with nothing left to do the page leads to %s", b.URL)
	}
}

// TestClosedDoor: 4.3, nobody registers.
func TestClosedDoor(t *testing.T) {
	w := newWorldAt(t, account.Door{Closed: true})
	w.client("app")
	b := w.browser(t)
	for _, page := range []string{"/", "/login"} {
		if b.get(page); b.has("register-link") {
			t.Errorf("%s offers it", page)
		}
	}
	if b.get("/register").want(200, "go-on"); b.has("register-submit") {
		t.Errorf("the form is there:\n%s", b.Body)
	}
	b.get(authorizeURL("app", "prompt", "create"))
	if to := b.Header.Get("Location"); !strings.HasPrefix(to, callback) || !strings.Contains(to, "error=invalid_request") {
		t.Errorf("prompt=create: %d %s", b.Status, to)
	}
	// A form that was open before the door was closed.
	b.get("/login")
	_, fields := b.form("login-submit")
	for _, path := range []string{"/register", "/register/terms"} {
		if b.post(path, url.Values{"token": fields["token"], "email": {"ada@example.test"}, "password": {password}, "name": {"Ada"}}); b.Status != http.StatusForbidden {
			t.Errorf("%s: %d", path, b.Status)
		}
	}
}

// TestGuessedAt: 4.10, strangers use up an account's tries; the browsers that it knows have their own.
func TestGuessedAt(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	laptop := w.browser(t).login("ada@example.test")
	laptop.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "")
	if laptop.jar["__Host-dev"] == "" {
		t.Fatal("no device cookie")
	}
	try := func(b *browser, password string) *browser {
		t.Helper()
		return b.get("/login?next=profile").want(200, "login-submit").submit("login-submit", "username", "ada@example.test", "password", password)
	}
	stranger := w.browser(t)
	for range 10 {
		try(stranger, "not this one").want(422, "login-submit")
	}
	if stranger.jar["__Host-dev"] != "" {
		t.Error("a wrong password makes a browser known")
	}
	// What is denied looks like a wrong password, header by header.
	elsewhere := newWorld(t)
	elsewhere.person("ada@example.test")
	denied, wrong := try(stranger, password).want(422, "login-submit").shape(), try(elsewhere.browser(t), "not this one").shape()
	if denied != wrong {
		t.Errorf("%s\nnot %s", denied, wrong)
	}
	try(w.browser(t), password).want(422, "login-submit")
	try(laptop, password).want(200, "profile-submit")
	// Another password makes all browsers unknown but the one that it was set in.
	const changed = "another good one"
	laptop.get("/account/password").want(200, "password-submit").submit("password-submit", "password", password, "new-password", changed).want(200, "password-submit")
	laptop.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "")
	try(stranger, changed).want(422, "login-submit")
	try(laptop, changed).want(200, "profile-submit")
	w = newWorld(t) // whose networks have all their tries
	w.person("ada@example.test")
	laptop, stranger = w.browser(t).login("ada@example.test"), w.browser(t)
	laptop.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "")
	w.browser(t).get("/recover").want(200, "recover-submit").submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
	phone := w.browser(t)
	phone.get(w.mailed(t)).want(200, "new-password-submit").submit("new-password-submit", "new-password", changed).want(200, "go-on")
	for range 10 {
		try(stranger, "not this one").want(422, "login-submit")
	}
	try(laptop, changed).want(422, "login-submit")
	try(phone, changed).want(200, "profile-submit")
}

// TestKeep: 4.9, "keep me signed in".
func TestKeep(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	for _, c := range []struct {
		keep string
		age  int // of the cookie in seconds; 0: it goes with the browser
		last time.Duration
	}{{"", 0, 12 * time.Hour}, {"1", 30 * 24 * 60 * 60, 30 * 24 * time.Hour}} {
		b := w.browser(t).get("/login").want(200, "keep")
		b.submit("login-submit", "username", "ada@example.test", "password", "not this one", "keep", c.keep).want(422, "login-submit")
		if ticked := strings.Contains(b.Body, `autocomplete="off" checked`); ticked != (c.keep != "") {
			t.Errorf("keep=%q: after a wrong password it is ticked: %v", c.keep, ticked)
		}
		_, fields := b.form("login-submit")
		fields.Set("username", "ada@example.test")
		fields.Set("password", password)
		if c.keep == "" {
			fields.Del("keep")
		}
		b.send("POST", "/login", "application/x-www-form-urlencoded", fields.Encode())
		found := false
		for _, cookie := range (&http.Response{Header: b.Header}).Cookies() {
			if cookie.Name == "__Host-sid" {
				found = cookie.MaxAge == c.age && cookie.Expires.IsZero()
			}
		}
		if !found {
			t.Errorf("keep=%q: %v", c.keep, b.Header["Set-Cookie"])
		}
		w.pass(c.last - time.Minute)
		if b.get("/account/profile"); !b.has("profile-submit") {
			t.Errorf("keep=%q: signed out before %s", c.keep, c.last)
		}
		w.pass(2 * time.Minute)
		if b.get("/account/profile"); !b.has("login-submit") {
			t.Errorf("keep=%q: signed in after %s", c.keep, c.last)
		}
	}
	t.Run("of two who use a browser, nobody is kept by the other's wish", func(t *testing.T) {
		w.person("bob@example.test")
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		b.get("/login").submit("login-submit", "username", "bob@example.test", "password", password, "keep", "1")
		b.get("/account/profile").want(200, "profile-submit")
		if b.get("/login?next=profile"); strings.Contains(b.Body, "ada@example.test") {
			t.Error("ada is there still")
		}
		w.client("app")
		if b.get(authorizeURL("app", "prompt", "select_account")); strings.Contains(b.Body, "ada@example.test") {
			t.Errorf("ada is there still:\n%s", b.Body)
		}
	})
	b := w.browser(t).get("/login")
	b.submit("login-submit", "username", "ada@example.test", "password", password, "keep", "yes")
	if b.Status != http.StatusBadRequest {
		t.Errorf("keep=yes: %d", b.Status)
	}
}

// TestTwoPages: the address first, then the password; the second page is the same for everybody.
func TestTwoPages(t *testing.T) {
	w := newWorld(t)
	w.signin.TwoPages = true
	w.client("app")
	w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
	confirm, _ := w.links()
	w.browser(t).get(confirm+"&fresh=1").submit("confirm-submit", "new-password", password).want(200, "main")

	ask := func(email string) *browser {
		b := w.browser(t).get(authorizeURL("app")).want(200, "login-submit")
		if b.has("password") {
			t.Error("the first page asks for the password")
		}
		b.submit("login-submit", "username", "").want(422, "username-error")
		return b.submit("login-submit", "username", email).want(200, "password")
	}
	known, unknown := ask("ada@example.test"), ask("bob@example.test")
	same := func(b *browser, email string) string {
		return regexp.MustCompile(`value="[^"]{20,}"|\?i=[A-Za-z0-9_-]+`).ReplaceAllString(strings.ReplaceAll(b.Body, email, "SOMEBODY"), "RANDOM")
	}
	if same(known, "ada@example.test") != same(unknown, "bob@example.test") {
		t.Error("the second page tells who has an account")
	}
	known.submit("login-submit", "password", "").want(422, "password-error")
	known.submit("login-submit", "password", "not the password").want(422, "password")
	known.submit("login-submit", "password", password).want(200, "consent-allow")
	unknown.submit("login-submit", "password", password).want(422, "password")
}

// TestA1: whoever only looks at the links of a mail changes nothing.
func TestA1Links(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
	confirm, cancel := w.links()
	for _, link := range []string{confirm, cancel} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "GET", "HEAD", "GET"} {
			scanner := w.browser(t)
			scanner.header.Set("Purpose", "prefetch")
			scanner.header.Set("User-Agent", "Mozilla/5.0 (Windows NT) SafeLinks")
			scanner.header.Set("Sec-Fetch-Site", "")
			scanner.send(method, link, "", "")
			if want := map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 405}[method]; scanner.Status != want {
				t.Errorf("%s %s: %d", method, link[:8], scanner.Status)
			}
		}
	}
	b.get("/register/waiting").want(200, "waiting")
	// A scanner that presses buttons without the page's token gets nowhere either.
	token := must(url.Parse(cancel)).Query().Get("t")
	if c := w.browser(t); c.post("/cancel", url.Values{"t": {token}}).Status != 403 {
		t.Errorf("a bare POST cancels: %d", c.Status)
	}
	b.get(confirm).want(200, "confirm-submit").submit("confirm-submit").want(200, "profile-submit")
	// After confirm the cancel link is dead.
	b.get(cancel).want(404, "")
}

// TestMail has the ways that the two links of a mail can go.
func TestMail(t *testing.T) {
	t.Run("confirm in another browser by the password", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
		confirm, _ := w.links()
		other := w.browser(t).get(confirm).want(200, "password")
		other.submit("confirm-submit", "password", "not this one").want(422, "password-error")
		other.submit("confirm-submit", "password", password).want(200, "go-on")
		if other.jar["__Host-sid"] != "" || b.jar["__Host-sid"] != "" {
			t.Error("somebody was signed in")
		}
		b.get("/register/waiting").want(200, "login-submit")
		b.login("ada@example.test").get("/account/profile").want(200, "profile-submit")
	})
	t.Run("confirm in another browser by a new password", func(t *testing.T) {
		w := newWorld(t)
		w.browser(t).get("/register").register("ada@example.test")
		confirm, _ := w.links()
		other := w.browser(t).get(confirm+"&fresh=1").want(200, "new-password")
		other.submit("confirm-submit", "new-password", "short").want(422, "new-password-error")
		other.submit("confirm-submit", "new-password", "another good one 77").want(200, "go-on")
		b := w.browser(t)
		b.login("ada@example.test").want(422, "login-submit")
		b.submit("login-submit", "username", "ada@example.test", "password", "another good one 77").want(200, "")
		b.get("/account/profile").want(200, "profile-submit")
	})
	t.Run("cancel", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
		confirm, cancel := w.links()
		w.browser(t).get(cancel).want(200, "cancel-submit").submit("cancel-submit").want(200, "go-on")
		b.get(confirm).want(404, "")
		b.login("ada@example.test").want(422, "login-submit")
	})
	t.Run("the right password before confirming leads to the waiting page", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
		b.login("ada@example.test").want(200, "waiting")
		other := w.browser(t).login("ada@example.test").want(200, "waiting")
		if other.jar["__Host-sid"] != "" {
			t.Error("an unconfirmed person is signed in")
		}
		other.submit("resend-submit").want(200, "waiting")
		w.links()
		if n := len(w.inbox.List()); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
	t.Run("4.7 a mistyped address is corrected from the waiting page", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t).get("/register").register("adda@example.test").want(200, "waiting-other")
		astray, _ := w.links()
		other := w.browser(t).login("adda@example.test").want(200, "waiting-other") // whoever knows the password
		if strings.Contains(other.Body, "instead") || strings.Contains(other.get("/register?next=instead").Body, `"instead" value="0`) {
			t.Error("another browser can correct it")
		}
		if !strings.Contains(b.Body, `href="/register?next=instead"`) {
			t.Errorf("the page does not lead to it:\n%s", b.Body)
		}
		b.get("/register?next=instead").want(200, "register-submit")
		b.post("/language", url.Values{"lang": {"en"}, "page": {"register"}, "next": {"instead"}}).want(200, "register-submit")
		for _, filled := range []string{`value="adda@example.test"`, `value="Ada Lovelace"`} {
			if !strings.Contains(b.Body, filled) {
				t.Errorf("to be typed again: %s", filled)
			}
		}
		b.submit("register-submit", "email", "ada@example.test", "password", "x", "name", "Ada").want(422, "register-password-error")
		b.submit("register-submit", "password", password).want(200, "terms-back")
		b.get("/register?back=1").submit("register-submit", "password", password).want(200, "terms-submit")
		b.submit("terms-submit", "terms-email", "ada@example.test").want(200, "waiting")
		right, _ := w.links()
		b.get(astray).want(404, "")
		b.get(right).submit("confirm-submit").want(200, "profile-submit")
	})
	t.Run("the interaction is over", func(t *testing.T) {
		w := newWorld(t)
		w.client("app")
		b := w.browser(t).get(authorizeURL("app"))
		b.get("/register?i="+must(url.Parse(b.URL)).Query().Get("i")).register("ada@example.test").want(200, "waiting")
		confirm, _ := w.links()
		w.pass(25 * time.Minute)
		b.get("/register/waiting") // the browser is still there: its cookie lives on
		w.pass(10 * time.Minute)
		b.get(confirm).want(200, "confirm-submit").submit("confirm-submit")
		if b.Status != 200 || !b.has("go-on") {
			t.Errorf("a late confirmation: %d at %s", b.Status, b.URL)
		}
		if !strings.Contains(b.Body, `href="https://app.test/"`) || !strings.Contains(b.Body, "Fabrikam") {
			t.Errorf("it does not lead back to the site: %s", b.Body)
		}
	})
	t.Run("resend is limited", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t).get("/register").register("ada@example.test").want(200, "waiting")
		for range 6 {
			b.submit("resend-submit")
			if b.Status == http.StatusTooManyRequests {
				return
			}
		}
		t.Error("nobody stopped six mails to one address")
	})
}

func TestProfile(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	b := w.browser(t)
	b.get("/account/profile").want(200, "login-submit").submit("login-submit", "username", "ada@example.test", "password", password)
	b.want(200, "profile-submit")
	if b.URL != "/account/profile" {
		t.Errorf("signed in to %s", b.URL)
	}
	b.submit("profile-submit", "name", "https://evil.test", "language", "en").want(422, "profile-name-error")
	b.get("/account/profile").submit("profile-submit", "name", "Ada King", "language", "es").want(200, "profile-submit")
	if !strings.Contains(b.Body, "Ada King") || !strings.Contains(b.Body, `<html lang="es"`) {
		t.Error("the change is not shown")
	}
	if b.get("/account/profile").submit("profile-submit", "language", "xx"); b.Status != 400 {
		t.Errorf("an unknown language: %d", b.Status)
	}
}

// TestDraftFlood: D4, forms whose passwords we must judge are bounded by network, on both pages of the registration.
func TestDraftFlood(t *testing.T) {
	w := newWorld(t)
	one := w.browser(t)
	one.get("/register").submit("register-submit", "email", "ada@example.test", "password", password, "name", "Ada").want(200, "terms-submit")
	b := w.browser(t)
	for range limit.Draft.Burst - 1 {
		b.get("/register").submit("register-submit", "email", "eve@example.test", "password", "password", "name", "Eve").want(422, "register-password-error")
	}
	b.get("/register").submit("register-submit", "email", "eve@example.test", "password", "password", "name", "Eve")
	if b.Status != http.StatusTooManyRequests || b.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", b.Status)
	}
	again := one.clone()
	if again.submit("terms-submit", "terms-email", "ada@example.test"); again.Status != http.StatusTooManyRequests {
		t.Errorf("the second page: %d", again.Status)
	}
	office := w.browser(t)
	office.from = exempted.Addr().Next().String() + ":1234"
	for range limit.Draft.Burst + 1 {
		office.get("/register").submit("register-submit", "email", "eve@example.test", "password", "password", "name", "Eve").want(422, "register-password-error")
	}
	w.pass(time.Minute)
	one.submit("terms-submit", "terms-email", "ada@example.test").want(200, "waiting")
}

// exempted is a network that the limits by network do not count.
var exempted = netip.MustParsePrefix("198.18.7.0/24")
