package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/templates"
)

const (
	baseCSP    = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src 'self'; style-src 'self'; font-src 'self'"
	formAction = "; form-action 'self'"
	nonceCSP   = "; script-src 'nonce-N'; connect-src 'self'"
	noScript   = "; script-src 'none'"
	onlyNone   = "default-src 'none'"
	forms      = "POST" // routes that are asked by POST here
)

// expected is what a route must answer with, written down apart from the code: a route that is not here fails.
type expected struct {
	csp     []string // one of
	coop    string
	corp    string
	cache   string
	referer string
	cors    string // "", "*", or "site"
	indexed bool
	framed  bool // any site may
}

func flowPage(csp ...string) expected {
	return expected{csp: csp, coop: "unsafe-none", corp: "same-origin", cache: "no-store", referer: "strict-origin"}
}

func ownPage(csp ...string) expected {
	e := flowPage(csp...)
	e.coop = "same-origin"
	return e
}

func api(cors string) expected {
	return expected{csp: []string{onlyNone}, corp: "same-origin", cache: "no-store", referer: "no-referrer", cors: cors}
}

func document(cache string) expected {
	return expected{csp: []string{onlyNone}, corp: "cross-origin", cache: cache, referer: "no-referrer", cors: "*"}
}

var table = func() map[string]expected {
	// An error page (the answer to a wrong form here) runs no script: the second of the two.
	flow := flowPage(baseCSP+nonceCSP, baseCSP+noScript)
	landing := ownPage(baseCSP + formAction + nonceCSP)
	landing.indexed = true
	_, sessionScript := templates.SessionFrame()
	frame := expected{csp: []string{onlyNone + "; script-src " + sessionScript}, corp: "cross-origin", cache: "public, max-age=300",
		referer: "strict-origin", framed: true}
	static := expected{csp: []string{onlyNone}, corp: "same-origin", cache: "public, max-age=31536000, immutable", referer: "strict-origin"}
	return map[string]expected{
		"login": flow, "accounts": flow, "register": flow, "terms": flow, "waiting": flow, "logout": flow, "language": flow,
		"end_session": flow,
		"consent":     flowPage(baseCSP + noScript),
		"authorize":   flowPage(baseCSP + noScript), "change-password": flowPage(baseCSP + noScript),
		"confirm": ownPage(baseCSP+nonceCSP, baseCSP+noScript), "confirmed": ownPage(baseCSP + nonceCSP),
		"cancel": ownPage(baseCSP+formAction, baseCSP+noScript+formAction), "cancelled": ownPage(baseCSP + formAction),
		"recover": flow, "recover-sent": flow, "lookup": flow, "lookup-sent": flow, "help": flow, "accept": flow, "new-password": ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"recovered": ownPage(baseCSP + formAction), "alarm": ownPage(baseCSP+formAction, baseCSP+noScript+formAction), "alarmed": ownPage(baseCSP + formAction),
		"close": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction), "closed": ownPage(baseCSP + formAction + nonceCSP),
		"file":   ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"data":   ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction),
		"allow":  ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"reopen": ownPage(baseCSP+formAction, baseCSP+noScript+formAction), "reopened": ownPage(baseCSP + formAction),
		"address": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction), "new-address": ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"request": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction), "request-sent": ownPage(baseCSP + formAction + nonceCSP),
		"details": ownPage(baseCSP+formAction, baseCSP+noScript+formAction), "requested": ownPage(baseCSP + formAction),
		"stop": ownPage(baseCSP+formAction, baseCSP+noScript+formAction), "stopped": ownPage(baseCSP + formAction),
		"regain":   ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"recovery": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction), "new-recovery": ownPage(baseCSP+formAction, baseCSP+noScript+formAction),
		"security": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction), "sites": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction),
		"activity": ownPage(baseCSP + formAction + nonceCSP),
		"password": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction),
		"home":     landing, "profile": ownPage(baseCSP+formAction+nonceCSP, baseCSP+noScript+formAction),
		"inbox": ownPage(baseCSP + formAction + nonceCSP), "letter": ownPage(baseCSP + noScript + formAction),
		"token": api("site"), "userinfo": api("site"), "revoke": api("site"), "introspect": api(""),
		"par": api("site"), "device_authorization": api("site"), "register-client": api(""), "manage-client": api(""),
		"device": flow, "device-done": flow, "human-picture": api(""), "human-sound": api(""), "start": flow, "loggedout": flow,
		"logo":          {csp: []string{onlyNone}, corp: "same-origin", cache: "no-store", referer: "strict-origin"}, // there is none here
		"picture":       ownPage(baseCSP + formAction + nonceCSP),
		"pictures":      {csp: []string{onlyNone}, corp: "cross-origin", cache: "no-store", referer: "strict-origin"}, // there is none here
		"check_session": frame,
		"jwks":          document("public, max-age=300"), "discovery": document("public, max-age=3600"), "metadata": document("public, max-age=3600"),
		"static": static,
	}
}()

func TestHeadersOfEveryRoute(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	asked := map[string]bool{}
	for _, route := range w.site.Routes() {
		want, known := table[route.Name]
		if !known {
			t.Errorf("the table knows no route %q (%s)", route.Name, route.Path)
			continue
		}
		asked[route.Name] = true
		for _, method := range route.Methods {
			t.Run(method+" "+route.Path, func(t *testing.T) {
				b := w.browser(t)
				b.header.Set("Origin", "https://app.test")
				b.header.Set("Sec-Fetch-Site", "") // as from a program: the form's own check is what answers
				if route.CORS == 0 {
					b.header.Set("Origin", "")
				}
				b.send(method, address(route.Path), "", "")
				checkHeaders(t, b, want)
				checkCookies(t, b)
			})
		}
	}
	for name := range table {
		if !asked[name] {
			t.Errorf("there is no route %q", name)
		}
	}
}

// address is one of those that a route answers.
func address(path string) string {
	return strings.NewReplacer("{id}", "none", "{client}", "app", "{picture}", "none").Replace(path)
}

func checkHeaders(t *testing.T, b *browser, want expected) {
	t.Helper()
	h := b.Header
	if b.Status >= 500 {
		t.Fatalf("status %d: %s", b.Status, b.Body)
	}
	csp := h.Get("Content-Security-Policy")
	if _, rest, ok := strings.Cut(csp, "'nonce-"); ok {
		nonce, _, _ := strings.Cut(rest, "'")
		if len(nonce) < 22 {
			t.Errorf("nonce %q is short", nonce)
		}
		csp = strings.Replace(csp, nonce, "N", 1)
	}
	if !slices.Contains(want.csp, csp) {
		t.Errorf("CSP %q, want one of %q", csp, want.csp)
	}
	robots := "noindex"
	if want.indexed {
		robots = ""
	}
	for name, value := range map[string]string{
		"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "X-Content-Type-Options": "nosniff",
		"X-Frame-Options": map[bool]string{false: "DENY"}[want.framed], "Referrer-Policy": want.referer, "Cross-Origin-Resource-Policy": want.corp,
		"Cross-Origin-Opener-Policy": want.coop, "X-Robots-Tag": robots, "Server": "", "X-Powered-By": "",
		"Access-Control-Allow-Credentials": "", "Clear-Site-Data": "",
		"Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
	} {
		if name == "Cross-Origin-Resource-Policy" && want.cors == "site" {
			value = "cross-origin" // to the site that asks here
		}
		if got := h.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if got := h.Get("Cache-Control"); got != want.cache {
		t.Errorf("Cache-Control %q, want %q", got, want.cache)
	}
	origin := map[string]string{"*": "*", "site": "https://app.test"}[want.cors]
	if got := h.Get("Access-Control-Allow-Origin"); got != origin {
		t.Errorf("Access-Control-Allow-Origin %q, want %q", got, origin)
	}
}

func checkCookies(t *testing.T, b *browser) {
	t.Helper()
	ages := map[string]int{"__Host-sid": 0, "__Host-flow": 3 * 24 * 3600, "__Host-dev": 180 * 24 * 3600, "__Host-lang": 365 * 24 * 3600, "__Host-return": 1800, "__Host-waiting": 1800, "__Host-data": 1800, "__Host-invitation": 1800, "__Host-link": 1800}
	for _, c := range b.Cookies {
		if c.Name == "op_bs" { // of no authority: the frame compares it, in pages of other sites
			if c.Path != "/" || c.Domain != "" || !c.Secure || c.HttpOnly || c.SameSite != http.SameSiteNoneMode {
				t.Errorf("cookie %s", c.Raw)
			}
			continue
		}
		age, known := ages[c.Name]
		if !known {
			t.Errorf("unknown cookie %q", c.Name)
		}
		if c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("cookie %s", c.Raw)
		}
		if age > 0 && c.MaxAge > 0 && c.MaxAge != age {
			t.Errorf("cookie %s lives %d s, not %d", c.Name, c.MaxAge, age)
		}
	}
}

// TestB8 holds the rules of 5.4: who may read an answer from another origin.
func TestB8CORS(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	for _, path := range []string{"/token", "/userinfo", "/revoke", "/par", "/device_authorization"} {
		for _, origin := range []string{"null", "https://app.test.evil.test", "http://app.test", "https://app.test:444", "https://APP.test", "https://evil.test"} {
			for _, method := range []string{"OPTIONS", "POST"} {
				b := w.browser(t)
				b.header.Set("Origin", origin)
				b.header.Set("Sec-Fetch-Site", "cross-site")
				b.send(method, path, formType, "a=b")
				if got := b.Header.Get("Access-Control-Allow-Origin"); got != "" {
					t.Errorf("%s %s lets %s read: %q", method, path, origin, got)
				}
			}
		}
		b := w.browser(t)
		b.header.Set("Origin", "https://app.test")
		b.header.Set("Access-Control-Request-Method", "POST")
		b.send("OPTIONS", path, "", "")
		if b.Status != 204 || b.Header.Get("Access-Control-Allow-Origin") != "https://app.test" || !strings.Contains(b.Header.Get("Vary"), "Origin") {
			t.Errorf("preflight of %s: %d %v", path, b.Status, b.Header)
		}
		b.header["Origin"] = []string{"https://app.test", "https://app.test"}
		if b.send("OPTIONS", path, "", ""); b.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: two Origin headers are answered", path)
		}
	}
	// A request that names its client is read by that client's origins alone.
	other := w.browser(t)
	other.header.Set("Origin", "https://other.test")
	w.clientAt("other", "https://other.test/cb")
	for id, want := range map[string]string{"app": "", "other": "https://other.test", "nobody": ""} {
		other.send("POST", "/token", formType, "grant_type=authorization_code&code=x&client_id="+id)
		if got := other.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("/token for %s: %q, want %q", id, got, want)
		}
	}
	for _, route := range w.site.Routes() {
		if route.CORS != 0 {
			continue
		}
		b := w.browser(t)
		b.header.Set("Origin", "https://app.test")
		b.send("OPTIONS", address(route.Path), "", "")
		if b.Status != http.StatusMethodNotAllowed || b.Header.Get("Allow") == "" {
			t.Errorf("OPTIONS %s: %d", route.Path, b.Status)
		}
		for name := range b.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", route.Path, name)
			}
		}
	}
}
