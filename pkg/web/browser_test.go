package web_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

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
			b.send(route.Methods[0], strings.ReplaceAll(route.Path, "{id}", "x"), "", "")
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
			"__Host-flow=x; __Host-flow=y", "__Host-return=../../", "__Host-waiting=%00",
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
	for _, route := range w.site.Routes() {
		if route.Methods[0] != http.MethodPost || route.Protocol {
			continue
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
			b.send("POST", route.Path, "multipart/form-data; boundary=x", "--x--")
			if got := b.Status == 403; got != c.refused || !c.refused && b.Status != 415 {
				t.Errorf("%s with Sec-Fetch-Site %q, Origin %q: %d", route.Path, c.site, c.origin, b.Status)
			}
			b.header.Set("Sec-Fetch-Site", c.site)
			for _, method := range []string{"GET", "HEAD"} {
				if b.send(method, route.Path, "", ""); b.Status == 403 {
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
	bob := w.browser(t).login("bob@example.test").get(authorizeURL("app", "prompt", "select_account")).want(200, "other-account")
	theirs := regexp.MustCompile(`name="login" value="([^"]+)"`).FindStringSubmatch(bob.Body)[1]
	b.get(authorizeURL("app", "prompt", "select_account")).want(200, "other-account")
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
	if b.post("/language", url.Values{"lang": {"en"}, "page": {"//evil.test"}}); b.URL != "/" {
		t.Errorf("an unknown page leads to %s", b.URL)
	}
}

// TestSurface has the cases D and A4 of requests that are no requests of ours.
func TestSurface(t *testing.T) {
	w := newWorld(t, web.Route{Name: "panic", Path: "/panic", Methods: []string{"GET"}, Kind: web.Own,
		Handler: func(http.ResponseWriter, *http.Request) error { panic("secret-of-the-program") }})
	t.Run("A4 Host header", func(t *testing.T) {
		for _, host := range []string{"evil.test", "op.test.evil.test", "op.test:8443", "", "op.test@evil.test"} {
			b := w.browser(t)
			b.header["Host"] = []string{host}
			for _, path := range []string{"/login", "/register", "/.well-known/openid-configuration", "/nothing"} {
				if b.send("GET", path, "", ""); b.Status != http.StatusMisdirectedRequest || host != "" && strings.Contains(b.Body, host) {
					t.Errorf("Host %q at %s: %d", host, path, b.Status)
				}
			}
		}
		b := w.browser(t)
		for name, value := range map[string]string{"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "javascript",
			"Forwarded": "host=evil.test;proto=http", "X-Forwarded-Prefix": "//evil.test", "X-Original-Url": "/x"} {
			b.header.Set(name, value)
		}
		for _, path := range []string{"/login", "/account/profile", "/.well-known/openid-configuration"} {
			b.send("GET", path, "", "")
			if strings.Contains(b.Body+b.Header.Get("Location"), "evil") || b.Status >= 400 {
				t.Errorf("%s: %d %s", path, b.Status, b.Header.Get("Location"))
			}
		}
	})
	t.Run("D1 sizes", func(t *testing.T) {
		b := w.browser(t)
		if b.send("GET", "/login?i="+strings.Repeat("a", 64<<10), "", ""); b.Status != http.StatusRequestURITooLong {
			t.Errorf("64 KiB of URL: %d", b.Status)
		}
		for _, path := range []string{"/login", "/token", "/register"} {
			if b.send("POST", path, formType, "a="+strings.Repeat("a", 1<<20)); b.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("1 MiB at %s: %d", path, b.Status)
			}
		}
	})
	t.Run("D7 compressed bodies", func(t *testing.T) {
		b := w.browser(t)
		b.header.Set("Content-Encoding", "gzip")
		for _, path := range []string{"/login", "/token", "/register"} {
			if b.send("POST", path, formType, "\x1f\x8b"); b.Status != http.StatusUnsupportedMediaType {
				t.Errorf("gzip at %s: %d", path, b.Status)
			}
		}
	})
	t.Run("D12 a panic is a page with an id", func(t *testing.T) {
		b := w.browser(t)
		b.send("GET", "/panic", "", "")
		b.want(500, "request-id")
		if strings.Contains(b.Body, "secret-of-the-program") || strings.Contains(b.Body, "goroutine") {
			t.Error("the page shows the program's inside")
		}
	})
	t.Run("D13 nothing but the routes", func(t *testing.T) {
		b := w.browser(t)
		for _, path := range []string{"/.git/config", "/debug/pprof/", "/metrics", "/livez", "//login", "/login/", "/login/..;/admin",
			"/%2e%2e/login", "/static/", "/static/../login", "/LOGIN", "/login%00", "/dev/inbox/../../login"} {
			if b.send("GET", path, "", ""); b.Status != 404 {
				t.Errorf("GET %s: %d", path, b.Status)
			}
		}
		for _, route := range w.site.Routes() {
			for _, method := range []string{"TRACE", "PUT", "DELETE", "PATCH", "NONSENSE"} {
				if b.send(method, strings.ReplaceAll(route.Path, "{id}", "x"), "", ""); b.Status != 405 || b.Header.Get("Allow") == "" {
					t.Errorf("%s %s: %d", method, route.Path, b.Status)
				}
			}
		}
	})
	t.Run("D11 the log", func(t *testing.T) {
		b := w.browser(t)
		b.header.Set("User-Agent", "a\x1b[31m\n{\"level\":\"error\"}")
		b.send("GET", "/login?secret=hunter2", "", "")
		b.send("GET", "/nothing/hunter2", "", "")
		b.send("HUNTER2", "/login", "", "")
		if text := w.logs.String(); strings.Contains(strings.ToLower(text), "hunter2") || !strings.Contains(text, `"route":"login"`) {
			t.Errorf("the log: %s", text)
		}
	})
}

// TestForms: what is no form of ours is a 4xx, never a 500, and leaves nothing (R15, A7, A24).
func TestForms(t *testing.T) {
	w := newWorld(t)
	for _, page := range []struct{ path, id, field string }{
		{"/login", "login-submit", "username"}, {"/login", "login-submit", "password"},
		{"/register", "register-submit", "email"}, {"/register", "register-submit", "password"}, {"/register", "register-submit", "name"},
	} {
		b := w.browser(t).get(page.path)
		_, fields := b.form(page.id)
		good := fields.Encode()
		bad := map[string]string{
			"A7 twice":          good + "&" + page.field + "=a@b.test&" + page.field + "=c@d.test",
			"A7 brackets":       good + "&" + page.field + "[]=a",
			"R15 NUL":           good + "&" + page.field + "=alice@b.test%00@evil.test",
			"R15 line end":      good + "&" + page.field + "=a%0d%0aSet-Cookie:x",
			"R15 invalid UTF-8": good + "&" + page.field + "=%ff%fe",
			"long":              good + "&" + page.field + "=" + strings.Repeat("a", 40<<10),
			"many":              good + strings.Repeat("&a=b", 9000),
			"bad escape":        good + "&" + page.field + "=%zz",
			"semicolon":         good + ";" + page.field + "=x",
			"empty":             "",
		}
		for name, body := range bad {
			b.send("POST", page.path, formType, body)
			if b.Status < 400 || b.Status >= 500 || b.jar["__Host-sid"] != "" || b.Header.Get("X") != "" {
				t.Errorf("%s of %s at %s: %d", name, page.field, page.path, b.Status)
			}
		}
		for kind, body := range map[string]string{
			"application/json": `{"email":["a@b.test","c@d.test"]}`, "multipart/form-data; boundary=x": "--x--", "text/plain": good, "": good,
		} {
			if b.send("POST", page.path, kind, body); b.Status != http.StatusUnsupportedMediaType {
				t.Errorf("%q at %s: %d", kind, page.path, b.Status)
			}
		}
	}
	for _, path := range []string{"/login?i=%00", "/login?i=a&i=b", "/login?i=%ff", "/login?i=" + strings.Repeat("a", 9000), "/confirm?t=%0d%0a", "/confirm", "/cancel?t[]=x", "/consent?i=none", "/accounts?i=none", "/register?i=none", "/confirm/done?h=%zz"} {
		if b := w.browser(t).get(path); b.Status < 400 || b.Status >= 500 {
			t.Errorf("GET %s: %d", path, b.Status)
		}
	}
	if _, err := w.queue.RunDue(context.Background()); err != nil || len(w.inbox.List()) != 0 {
		t.Errorf("a mail went out: %v", err)
	}
}

// TestR12: what strangers write is text on our pages.
func TestR12Escaping(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	for _, evil := range []string{`"><script>x</script>`, `'-alert(1)-'`, `</textarea>`, `{{7*7}}`, "\u2028", `javascript:alert(1)`} {
		for _, param := range []string{"state", "nonce", "scope", "client_id", "ui_locales", "login_hint", "redirect_uri"} {
			b := w.browser(t).get(authorizeURL("app", param, evil))
			if b.Status >= 500 || strings.Contains(b.Body, "<script>x") || strings.Contains(b.Body, `"'-alert`) || strings.Contains(b.Body, "49") && strings.Contains(evil, "{{") && strings.Contains(b.Body, ">49<") {
				t.Errorf("%s=%q: %d", param, evil, b.Status)
			}
			if strings.Contains(b.Body, "href=\"javascript:") {
				t.Errorf("%s=%q became a link", param, evil)
			}
		}
	}
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
