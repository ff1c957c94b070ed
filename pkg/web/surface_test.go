package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/web"
)

// TestSurface has the cases D and A4 of requests that are no requests of ours.
func TestSurface(t *testing.T) {
	failing := func(name string, err error) web.Route {
		return web.Route{Name: name, Path: "/" + name, Methods: []string{"GET"}, Kind: web.Own,
			Handler: func(http.ResponseWriter, *http.Request) error { return err }}
	}
	w := newWorld(t, failing("busy", &account.Busy{Retry: 1500 * time.Millisecond}),
		failing("limited", &limit.Limited{Rule: "a rule", Retry: time.Minute}),
		failing("today", &limit.Limited{Rule: "a rule", Retry: 8 * time.Hour}),
		failing("broken", errors.New("secret-of-the-database")), web.Route{Name: "panic", Path: "/panic", Methods: []string{"GET"}, Kind: web.Own,
			Handler: func(http.ResponseWriter, *http.Request) error { panic("secret-of-the-program") }},
		failing("away", fmt.Errorf("read a grant: %w", away{})),
		web.Route{Name: "stuck", Path: "/stuck", Methods: []string{"GET"}, Kind: web.Own,
			Handler: func(_ http.ResponseWriter, r *http.Request) error {
				<-r.Context().Done()
				return errors.New("the database said: canceling statement due to user request")
			}})
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
	t.Run("D11 who goes away makes no failure of ours", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		w.logs.Reset()
		r := httptest.NewRequest("GET", issuer+"/account/profile", nil).WithContext(ctx)
		r.AddCookie(&http.Cookie{Name: "__Host-sid", Value: strings.Repeat("A", 43)})
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != 499 || strings.Contains(w.logs.String(), `"failed"`) || !strings.Contains(w.logs.String(), `"status":499`) {
			t.Errorf("%d %s", rec.Code, w.logs.String())
		}
	})
	t.Run("D9 who waits too long for the database is told to come back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rec := httptest.NewRecorder()
			began := time.Now()
			w.handler.ServeHTTP(rec, httptest.NewRequest("GET", issuer+"/stuck", nil))
			if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || time.Since(began) != 10*time.Second {
				t.Errorf("%d after %s", rec.Code, time.Since(began))
			}
		})
	})
	t.Run("errors are pages that say when to come back", func(t *testing.T) {
		for path, want := range map[string]struct {
			status int
			retry  string
			says   string
		}{"/busy": {503, "2", ""}, "/limited": {429, "60", "few minutes"}, "/today": {429, "28800", "some hours"}, "/broken": {500, "", ""},
			"/away": {503, "1", ""}} {
			b := w.browser(t).send("GET", path, "", "").want(want.status, "request-id")
			if b.Header.Get("Retry-After") != want.retry || strings.Contains(b.Body, "secret") || b.Header.Get("Cache-Control") != "no-store" ||
				!strings.Contains(b.Body, want.says) {
				t.Errorf("%s: Retry-After %q", path, b.Header.Get("Retry-After"))
			}
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
				if slices.Contains(route.Methods, method) {
					continue
				}
				if b.send(method, address(route.Path), "", ""); b.Status != 405 || b.Header.Get("Allow") == "" {
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
		t.Run("A7 A24 R15 "+page.path+" "+page.field, func(t *testing.T) {
			for name, body := range bad {
				b.send("POST", page.path, formType, body)
				if b.Status < 400 || b.Status >= 500 || b.jar["__Host-sid"] != "" || b.Header.Get("X") != "" {
					t.Errorf("%s: %d", name, b.Status)
				}
			}
		})
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

	// form_post carries what the site sent, in a page whose one script is named by its hash.
	b := w.browser(t)
	w.person("ada@example.test")
	evil := `"><script>x</script>`
	b.login("ada@example.test").get(authorizeURL("app", "response_mode", "form_post", "state", evil)).want(200, "consent-allow").submit("consent-allow")
	doc := must(html.Parse(strings.NewReader(b.Body)))
	var scripts []string
	fields := map[string]string{}
	for n := range doc.Descendants() {
		if n.Data == "script" && n.FirstChild != nil {
			scripts = append(scripts, n.FirstChild.Data)
		}
		a := map[string]string{}
		for _, attr := range n.Attr {
			a[attr.Key] = attr.Val
		}
		if n.Data == "input" {
			fields[a["name"]] = a["value"]
		}
		if n.Data == "form" && a["action"] != callback {
			t.Errorf("form_post goes to %q", a["action"])
		}
	}
	if len(scripts) != 1 || fields["state"] != evil || fields["code"] == "" || fields["iss"] != issuer {
		t.Fatalf("form_post: %d scripts, fields %v, status %d", len(scripts), fields, b.Status)
	}
	sum := sha256.Sum256([]byte(scripts[0]))
	want := baseCSP + "; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if got := b.Header.Get("Content-Security-Policy"); got != want || b.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("form_post: CSP %q, want %q", got, want)
	}
}

// away is a database that does not serve at the moment.
type away struct{}

func (away) Error() string     { return "secret-of-the-database" }
func (away) Unavailable() bool { return true }

// A server that stops says so in each answer's header; nothing on the way may take that back, or a proxy asks on a connection
// that is closed the next moment.
func TestConnectionEnds(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/login", "/authorize", "/token", "/jwks.json", "/.well-known/openid-configuration", "/nothing", "/account/profile", "/static/app.css"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequestWithContext(t.Context(), method, issuer+path, nil)
			r.Host = "op.test"
			rec := httptest.NewRecorder()
			rec.Header().Set("Connection", "close")
			w.handler.ServeHTTP(rec, r)
			if rec.Header().Get("Connection") != "close" {
				t.Errorf("%s %s: %d", method, path, rec.Code)
			}
		}
	}
}
