package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/passport-network/passport/pkg/web"
)

// TestBrowser has the cases B of a browser under attack.
func TestBrowser(t *testing.T) {
	t.Run("B1 login CSRF", func(t *testing.T) {
		w := newWorld(t)
		w.person("mallory@example.test")
		b := w.browser(t)
		b.get("/login")
		action, fields := b.form("login-submit")
		fields.Set("username", "mallory@example.test")
		fields.Set("password", password)
		cross := b.clone()
		cross.header.Set("Sec-Fetch-Site", "cross-site")
		if cross.post(action, fields); cross.Status != 403 || cross.jar["__Host-sid"] != "" {
			t.Errorf("a cross-site form: %d, cookies %v", cross.Status, cross.jar)
		}
		// A browser without Sec-Fetch-Site and Origin: the token of mallory's own browser is not the victim's.
		victim := w.browser(t)
		victim.header.Set("Sec-Fetch-Site", "")
		victim.get("/login")
		if victim.post(action, fields); victim.Status != 403 || victim.jar["__Host-sid"] != "" {
			t.Errorf("mallory's form in the victim's browser: %d", victim.Status)
		}
		if b.post(action, fields); b.jar["__Host-sid"] == "" {
			t.Error("the honest form does not sign in")
		}
	})
	t.Run("B2 consent CSRF", testConsentCSRF)
	t.Run("B3 logout CSRF", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		b := w.browser(t).login("ada@example.test")
		b.header.Set("Sec-Fetch-Site", "cross-site")
		b.get("/logout").want(200, "logout-yes")
		b.get("/end_session").want(200, "logout-yes")
		b.submit("logout-yes").want(403, "")
		b.header.Set("Sec-Fetch-Site", "same-origin")
		b.get("/account/profile").want(200, "profile-submit")
		b.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "")
		b.get("/account/profile").want(200, "login-submit")
	})
	t.Run("B4 the matrix of Sec-Fetch-Site and Origin", testMatrix)
	t.Run("B5 no page in a frame", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t)
		for _, route := range w.site.Routes() {
			b.send(route.Methods[0], address(route.Path), "", "")
			if route.Kind == web.Frame {
				continue // the session frame shows nothing, and is there to be framed
			}
			csp := b.Header.Get("Content-Security-Policy")
			if b.Header.Get("X-Frame-Options") != "DENY" || strings.Contains(b.Header.Get("Content-Type"), "html") && !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s can be framed: %q", route.Path, csp)
			}
		}
	})
	t.Run("B7 cookie tossing", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		b := w.browser(t).login("ada@example.test")
		real := b.jar["__Host-sid"]
		for _, cookies := range []string{
			"sid=" + real, "__Host-sid=" + real + "; __Host-sid=" + real, "__Host-sid=" + strings.Repeat("x", 8<<10),
			"__Host-sid=\xff\xfe", "__Host-sid=", "__Host-lang=\"<script>\"", strings.Repeat("a=b; ", 180),
			"__Host-flow=x; __Host-flow=y", "__Host-dev=x", "__Host-dev=.....", "__Host-return=../../", "__Host-waiting=%00",
		} {
			c := w.browser(t)
			c.header["Cookie"] = []string{cookies}
			for _, path := range []string{"/account/profile", "/login", "/register/waiting", authorizeURL("none")} {
				if c.send("GET", path, "", ""); c.Status >= 500 {
					t.Errorf("%.40q at %s: %d", cookies, path, c.Status)
				}
			}
			if c.send("GET", "/account/profile", "", ""); c.Status != 303 {
				t.Errorf("%.40q is signed in", cookies)
			}
		}
	})
	t.Run("B10 each form is bound to its flow", func(t *testing.T) {
		w := newWorld(t)
		w.client("app")
		w.client("evil")
		w.person("ada@example.test")
		b := w.browser(t).login("ada@example.test")
		a := b.clone().get(authorizeURL("app")).want(200, "consent-allow")
		e := b.clone().get(authorizeURL("evil")).want(200, "consent-allow")
		_, mine := a.form("consent-allow")
		_, theirs := e.form("consent-allow")
		mine.Set("i", theirs.Get("i"))
		if a.post("/consent", mine); a.Status != 403 {
			t.Errorf("the form of one flow with the id of the other: %d", a.Status)
		}
	})
	t.Run("B10 a yes is of the account on the page", func(t *testing.T) {
		w := newWorld(t)
		w.client("app")
		w.person("ada@example.test")
		w.person("bob@example.test")
		b := w.browser(t).login("ada@example.test").get(authorizeURL("app")).want(200, "consent-allow")
		_, adas := b.form("consent-allow")
		// In a second tab, of the same flow, bob signs in.
		b.get("/login?i="+adas.Get("i")).submit("login-submit", "username", "bob@example.test", "password", password).want(200, "consent-allow")
		// Back in the first, the page names ada still.
		if b.post("/consent", adas).want(200, "consent-allow"); !strings.Contains(b.Body, "bob@example.test") {
			t.Error("the question is not put to bob")
		}
		if b.submit("consent-allow"); !strings.HasPrefix(b.Header.Get("Location"), callback) {
			t.Errorf("his own yes: %d", b.Status)
		}
	})
	t.Run("B11 nothing with data is kept by the browser", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		b := w.browser(t).login("ada@example.test")
		for _, path := range []string{"/", "/account/profile", "/login", "/logout"} {
			if b.get(path); b.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", path, b.Header.Get("Cache-Control"))
			}
		}
	})
	t.Run("B12 a form is its body alone", func(t *testing.T) {
		w := newWorld(t)
		w.person("ada@example.test")
		b := w.browser(t)
		b.get("/login?username=ada@example.test&password="+url.QueryEscape(password)).want(200, "login-submit")
		if strings.Contains(b.Body, "ada@example.test") {
			t.Error("a link fills in the form")
		}
		_, fields := b.form("login-submit")
		fields.Set("username", "ada@example.test")
		fields.Set("password", password)
		if b.post("/login?"+fields.Encode(), nil); b.jar["__Host-sid"] != "" || b.Status < 400 {
			t.Errorf("signed in by the query: %d", b.Status)
		}
		half := url.Values{"token": fields["token"]}
		if b.post("/login?"+fields.Encode(), half).want(422, "login-submit"); b.jar["__Host-sid"] != "" {
			t.Error("signed in by the query and a token")
		}
	})
	t.Run("B13 hidden fields", testHiddenFields)
}

func testConsentCSRF(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	w.person("mallory@example.test")
	ada := w.browser(t).login("ada@example.test")
	ada.get(authorizeURL("app")).want(200, "consent-allow")
	_, fields := ada.form("consent-allow")
	mallory := w.browser(t).login("mallory@example.test")
	mallory.get(authorizeURL("app")).want(200, "consent-allow")
	_, hers := mallory.form("consent-allow")

	cross := ada.clone()
	cross.header.Set("Sec-Fetch-Site", "cross-site")
	if cross.post("/consent", fields); cross.Status != 403 {
		t.Errorf("cross-site consent: %d", cross.Status)
	}
	if ada.clone().post("/consent", hers).Status != 403 {
		t.Error("mallory's form passes in ada's browser")
	}
	if mallory.clone().post("/consent", fields).Status != 403 {
		t.Error("ada's form passes in mallory's browser")
	}
	if got := mallory.clone().get("/consent?i=" + fields.Get("i")).Status; got != 400 {
		t.Errorf("mallory opens ada's flow: %d", got)
	}
	forged := url.Values{"i": {"AAAA"}, "answer": {"allow"}, "token": fields["token"]}
	if ada.clone().post("/consent", forged).Status != 403 {
		t.Error("a forged id passes")
	}
	if ada.post("/consent", fields); ada.Status != 303 || !strings.HasPrefix(ada.Header.Get("Location"), callback) {
		t.Errorf("the honest consent: %d", ada.Status)
	}
}

// testMatrix: every route that a form of ours posts to, under what browsers say of where a request comes from.
func testMatrix(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	for _, route := range w.site.Routes() {
		if route.Methods[0] != http.MethodPost || route.Protocol {
			continue
		}
		passed := http.StatusUnsupportedMediaType
		if route.Upload {
			passed = http.StatusSeeOther // its body is not looked at before somebody is signed in
		}
		for _, c := range []struct {
			site, origin string
			refused      bool
		}{
			{"cross-site", "", true}, {"same-site", "", true}, {"none", "", false}, {"same-origin", "", false},
			{"", "", false}, {"", "null", true}, {"", "https://evil.test", true}, {"", "http://op.test", false}, {"", issuer, false},
		} {
			b := w.browser(t)
			b.header.Set("Sec-Fetch-Site", c.site)
			b.header.Set("Origin", c.origin)
			// multipart is refused by the form itself: what answers 415 has passed the check of its origin.
			b.send("POST", address(route.Path), "multipart/form-data; boundary=x", "--x--")
			if got := b.Status == 403; got != c.refused || !c.refused && b.Status != passed {
				t.Errorf("%s with Sec-Fetch-Site %q, Origin %q: %d", route.Path, c.site, c.origin, b.Status)
			}
			b.header.Set("Sec-Fetch-Site", c.site)
			for _, method := range []string{"GET", "HEAD"} {
				if b.send(method, address(route.Path), "", ""); b.Status == 403 {
					t.Errorf("%s %s is refused", method, route.Path)
				}
			}
		}
	}
}

func testHiddenFields(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "login-submit")
	_, fields := b.form("login-submit")
	fields.Set("username", "ada@example.test")
	fields.Set("password", password)
	for name := range fields {
		if name == "username" || name == "password" {
			continue
		}
		for _, value := range []string{"", "x", fields.Get(name) + "x", "../..", strings.Repeat("A", 43)} {
			changed := url.Values{}
			for k := range fields {
				changed.Set(k, fields.Get(k))
			}
			changed.Set(name, value)
			c := b.clone()
			if c.post("/login", changed); c.Status < 400 || c.Status >= 500 || c.jar["__Host-sid"] != "" {
				t.Errorf("login with %s=%.20q: %d", name, value, c.Status)
			}
		}
	}
	// What a form has no field for has no effect: the request lives on the server.
	fields.Set("scope", "admin")
	fields.Set("redirect_uri", "https://evil.test/")
	fields.Set("client_id", "evil")
	b.post("/login", fields).want(200, "consent-allow")
	_, fields = b.form("consent-allow")
	fields.Set("redirect_uri", "https://evil.test/")
	if b.post("/consent", fields); !strings.HasPrefix(b.Header.Get("Location"), callback) {
		t.Errorf("the answer went to %q", b.Header.Get("Location"))
	}
	// The chooser takes no login of another browser: nobody is chosen, and the question stays.
	w.person("bob@example.test")
	bob := w.browser(t).login("bob@example.test").get(authorizeURL("app", "prompt", "select_account")).want(200, "account-other")
	theirs := regexp.MustCompile(`name="login" value="([^"]+)"`).FindStringSubmatch(bob.Body)[1]
	b.get(authorizeURL("app", "prompt", "select_account")).want(200, "account-other")
	if !b.has("account-choose-1") || b.has("account-choose-2") {
		t.Errorf("the accounts have other ids:\n%s", b.Body)
	}
	_, chooser := b.form("chooser")
	chooser.Set("login", theirs)
	if b.post("/accounts", chooser); b.Status == 303 || strings.Contains(b.Body, "bob@example.test") {
		t.Errorf("another browser's login was chosen: %d", b.Status)
	}
}

// TestLanguage: the switch wins over what the site asks for, and that over what the browser prefers.
func TestLanguage(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	b := w.browser(t)
	lang := func(want string) {
		t.Helper()
		if !strings.Contains(b.Body, `<html lang="`+want+`"`) {
			t.Errorf("%s is not in %q", b.URL, want)
		}
	}
	b.header.Set("Accept-Language", "es-MX,es;q=0.9,en;q=0.5")
	b.get("/login")
	lang("es")
	b.get(authorizeURL("app", "ui_locales", "en"))
	lang("en")
	b.post("/language", url.Values{"lang": {"es"}, "page": {"login"}, "i": {must(url.Parse(b.URL)).Query().Get("i")}}).want(200, "login-submit")
	lang("es")
	if !strings.HasPrefix(b.URL, "/login?i=") {
		t.Errorf("the switch left the flow: %s", b.URL)
	}
	checkCookies(t, b)
	for _, form := range []url.Values{
		{"lang": {"xx"}, "page": {"login"}}, {"lang": {"es", "en"}}, {"lang": {"es"}, "i": {"//evil.test"}}, {"lang": {"es"}, "page": {"login"}, "next": {"//evil.test"}},
	} {
		if b.post("/language", form); b.Status != 400 {
			t.Errorf("%v: %d", form, b.Status)
		}
	}
	// The question whether to sign out carries a long token, and what the site asked for with it.
	w.person("ada@example.test")
	b = w.browser(t).login("ada@example.test").get("/end_session?client_id=app").want(200, "logout-yes")
	_, fields := b.form("logout-yes")
	b.post("/language", url.Values{"lang": {"es"}, "page": {"logout"}, "i": fields["i"]}).want(200, "logout-yes")
	lang("es")
	if !strings.Contains(b.Body, "app") {
		t.Error("the switch forgot which site asks")
	}
	if b.submit("logout-yes"); b.jar["__Host-sid"] != "" {
		t.Errorf("still signed in: %d", b.Status)
	}
	if b.post("/language", url.Values{"lang": {"es"}, "page": {"logout"}, "i": {"//evil.test"}}); b.Status != 400 {
		t.Errorf("a forged token: %d at %s", b.Status, b.URL)
	}
	if b.post("/language", url.Values{"lang": {"en"}, "page": {"//evil.test"}}); b.URL != "/" {
		t.Errorf("an unknown page leads to %s", b.URL)
	}
}
