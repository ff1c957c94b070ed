package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/storage/storagetest"
	"github.com/passport-network/passport/templates"
)

// change edits a client behind the pages' back, as the command does.
func (w *world) change(id string, edit func(c *client.Client)) {
	w.t.Helper()
	_, _, err := w.clients.Update(context.Background(), id, func(c *client.Client) error { edit(c); return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.clients.Poll(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// device asks for a device code as a television does.
func (w *world) device(t *testing.T, id string) (deviceCode, userCode string) {
	t.Helper()
	b := w.browser(t)
	b.header.Set("Sec-Fetch-Site", "")
	b.send("POST", "/device_authorization", formType, url.Values{"client_id": {id}, "scope": {"openid profile"}}.Encode())
	var out struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	if b.Status != 200 || json.Unmarshal([]byte(b.Body), &out) != nil {
		t.Fatalf("%d %s", b.Status, b.Body)
	}
	return out.DeviceCode, out.UserCode
}

// poll is the television asking how far it is.
func (w *world) poll(t *testing.T, id, deviceCode string) (status int, doc map[string]any) {
	t.Helper()
	b := w.browser(t)
	b.header.Set("Sec-Fetch-Site", "")
	b.send("POST", "/token", formType, url.Values{"client_id": {id}, "grant_type": {client.GrantDevice}, "device_code": {deviceCode}}.Encode())
	if err := json.Unmarshal([]byte(b.Body), &doc); err != nil {
		t.Fatalf("%v: %s", err, b.Body)
	}
	return b.Status, doc
}

// TestDevicePage: RFC 8628 §3.3, on our pages.
func TestDevicePage(t *testing.T) {
	w := newWorld(t)
	w.client("tv")
	w.change("tv", func(c *client.Client) { c.Metadata.GrantTypes = append(c.Metadata.GrantTypes, client.GrantDevice) })
	w.person("ada@example.test")

	t.Run("typed in small letters and without a dash, signed in, allowed by name", func(t *testing.T) {
		device, code := w.device(t, "tv")
		b := w.browser(t).get("/device").want(200, "device-submit")
		b.submit("device-submit", "user_code", strings.ToLower(strings.ReplaceAll(code, "-", ""))).want(200, "login-submit")
		b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "consent-allow")
		if !strings.Contains(b.Body, code) || !strings.Contains(b.Body, "Fabrikam") {
			t.Errorf("the page does not say which device of whom:\n%s", b.Body)
		}
		b.submit("consent-allow").want(200, "go-on")
		if b.URL != "/device/done" {
			t.Errorf("at %s", b.URL)
		}
		status, doc := w.poll(t, "tv", device)
		if status != 200 || doc["id_token"] == nil {
			t.Errorf("%d %v", status, doc)
		}
		// Only the token says whose it is; the log knows all the same.
		b.header.Set("Authorization", fmt.Sprint("Bearer ", doc["access_token"]))
		if b.send("GET", "/userinfo", "", ""); b.Status != 200 || !strings.Contains(w.logs.String(), `"route":"userinfo","method":"GET","status":200,`) ||
			!regexp.MustCompile(`"route":"userinfo"[^}]*"client":"tv"`).MatchString(w.logs.String()) {
			t.Errorf("%d: %s", b.Status, w.logs.String())
		}
	})
	t.Run("the complete link only fills the form in", func(t *testing.T) {
		device, code := w.device(t, "tv")
		b := w.browser(t).login("ada@example.test").get("/device?user_code="+code).want(200, "device-submit")
		if _, fields := b.form("device-submit"); fields.Get("user_code") != code {
			t.Errorf("the form has %v", fields)
		}
		if _, doc := w.poll(t, "tv", device); doc["error"] != "authorization_pending" {
			t.Errorf("%v", doc)
		}
		b.submit("device-submit").want(200, "consent-allow").submit("consent-deny").want(200, "go-on")
		if b.URL != "/device/done?denied=1" {
			t.Errorf("at %s", b.URL)
		}
		w.pass(5 * time.Second)
		if _, doc := w.poll(t, "tv", device); doc["error"] != "access_denied" {
			t.Errorf("%v", doc)
		}
	})
	t.Run("nobody vouches for it: no host is named that nothing goes to", func(t *testing.T) {
		w.client("box")
		w.change("box", func(c *client.Client) {
			c.Metadata.GrantTypes = append(c.Metadata.GrantTypes, client.GrantDevice)
			c.Metadata.ClientURI, c.VerifiedAt = "https://bank.test/", time.Time{}
		})
		_, code := w.device(t, "box")
		b := w.browser(t).login("ada@example.test").get("/device?user_code="+code).want(200, "device-submit").submit("device-submit")
		b.want(200, "consent-allow").want(200, "unverified")
		if strings.Contains(b.Body, "bank.test") || strings.Contains(b.Body, "app.test") || !strings.Contains(b.Body, "a device in front of you") {
			t.Errorf("it says:\n%s", b.Body)
		}
	})
	t.Run("a wrong code is told beside the field, and too many are stopped", func(t *testing.T) {
		b := w.browser(t).get("/device")
		b.submit("device-submit", "user_code", "").want(422, "user-code-error")
		b.submit("device-submit", "user_code", "<b>x</b>").want(422, "user-code-error")
		if strings.Contains(b.Body, "<b>x") {
			t.Error("the code came back as markup")
		}
		for range 40 {
			if b.get("/device").submit("device-submit", "user_code", "BCDF-GHJK"); b.Status == http.StatusTooManyRequests {
				b.want(429, "device-submit")
				if b.Header.Get("Retry-After") == "" {
					t.Errorf("%v", b.Header)
				}
				return
			}
		}
		t.Error("forty guesses")
	})
	t.Run("a form of elsewhere does nothing", func(t *testing.T) {
		_, code := w.device(t, "tv")
		b := w.browser(t).login("ada@example.test")
		if b.post("/device", url.Values{"user_code": {code}}); b.Status != http.StatusForbidden {
			t.Errorf("%d", b.Status)
		}
	})
}

// TestStartPage: requirement 82 on our pages.
func TestStartPage(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	b := w.browser(t)
	t.Run("Q082 a site without a door", func(t *testing.T) {
		b.get("/sites/app/start").want(404, "")
		b.get("/sites/nobody/start").want(404, "")
	})
	w.change("app", func(c *client.Client) { c.Metadata.InitiateLoginURI = "https://app.test/start" })
	t.Run("Q082 signed in, by a button, with iss and the page asked for", func(t *testing.T) {
		b.get("/sites/app/start").want(200, "login-submit")
		b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "start-submit")
		b.get("/sites/app/start?target_link_uri=" + url.QueryEscape("https://app.test/x?a=b"))
		b.want(200, "start-submit").submit("start-submit")
		to := must(url.Parse(b.Header.Get("Location")))
		if b.Status != 303 || to.Host != "app.test" || to.Path != "/start" || to.Query().Get("iss") != issuer ||
			to.Query().Get("target_link_uri") != "https://app.test/x?a=b" || to.Query().Has("login_hint") {
			t.Errorf("%d to %s", b.Status, to)
		}
	})
	t.Run("Q082 the host that is shown is the door's", func(t *testing.T) {
		w.change("app", func(c *client.Client) { c.Metadata.ClientURI = "https://home.test/" })
		if b.get("/sites/app/start").want(200, "start-submit"); strings.Contains(b.Body, "home.test") || !strings.Contains(b.Body, `class="host">app.test<`) {
			t.Errorf("it says:\n%s", b.Body)
		}
	})
	t.Run("Q082 a target elsewhere is not shown, nor handed on", func(t *testing.T) {
		b.get("/sites/app/start?target_link_uri="+url.QueryEscape("https://evil.test/")).want(200, "start-submit")
		if strings.Contains(b.Body, "evil.test") {
			t.Error("it stands in the page")
		}
		_, fields := b.form("start-submit")
		fields.Set("target_link_uri", "https://evil.test/")
		if b.post("/sites/app/start", fields); strings.Contains(b.Header.Get("Location"), "evil") {
			t.Errorf("to %s", b.Header.Get("Location"))
		}
	})
	t.Run("one site's form is not another's", func(t *testing.T) {
		w.client("other")
		w.change("other", func(c *client.Client) { c.Metadata.InitiateLoginURI = "https://other.test/start" })
		b.get("/sites/app/start")
		_, fields := b.form("start-submit")
		if b.post("/sites/other/start", fields); b.Status != http.StatusForbidden {
			t.Errorf("%d to %s", b.Status, b.Header.Get("Location"))
		}
	})
	t.Run("an id that is a URL", func(t *testing.T) {
		const id = "https://long.test/id"
		w.client(id)
		w.change(id, func(c *client.Client) { c.Metadata.InitiateLoginURI = "https://long.test/start" })
		b := w.browser(t).get("/sites/"+url.PathEscape(id)+"/start").want(200, "login-submit")
		b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "start-submit")
		if b.submit("start-submit"); !strings.HasPrefix(b.Header.Get("Location"), "https://long.test/start?") {
			t.Errorf("to %s", b.Header.Get("Location"))
		}
	})
}

// withLogo gives a client a picture, fetched over TLS, and edits it beside; it returns the address of the picture here.
func (w *world) withLogo(t *testing.T, id string, edit func(c *client.Client)) string {
	t.Helper()
	pictures := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		badge := image.NewNRGBA(image.Rect(0, 0, 96, 96))
		for y := range 96 {
			for x := range 96 {
				if (x-48)*(x-48)+(y-48)*(y-48) < 46*46 {
					badge.Set(x, y, color.NRGBA{R: 200, G: uint8(80 + x), B: 60, A: 255})
				}
			}
		}
		_ = png.Encode(rw, badge)
	}))
	defer pictures.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pictures.Certificate().Raw})
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: ca, Issuer: issuer}))
	fetching := client.NewRegistry(client.Config{Store: w.store, Now: w.clock, Keys: storagetest.Ring(t), Outbound: out})
	shown, _, err := fetching.Update(context.Background(), id, func(c *client.Client) error {
		c.Metadata.LogoURI = pictures.URL
		edit(c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.clients.Poll(context.Background()); err != nil {
		t.Fatal(err)
	}
	return "/sites/" + id + "/logo.png?v=" + shown.LogoHash
}

// TestSiteShown: requirement 20: who the site is stands on the pages of its flow.
func TestSiteShown(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	logo := w.withLogo(t, "app", func(c *client.Client) {
		c.Metadata.PolicyURI, c.Metadata.TOSURI = "https://app.test/policy", "https://app.test/terms"
		c.Metadata.Localized = map[string]string{"client_name#es": "La Tienda"}
	})
	w.person("ada@example.test")
	b := w.browser(t).get(authorizeURL("app")).want(200, "login-submit")
	t.Run("Q020 logo, policy and terms on the sign-in page and on the consent page", func(t *testing.T) {
		check := func() {
			t.Helper()
			for _, want := range []string{`src="` + logo + `"`, `href="https://app.test/policy"`, `href="https://app.test/terms"`} {
				if !strings.Contains(b.Body, want) {
					t.Errorf("%s lacks %s", b.URL, want)
				}
			}
			if !strings.Contains(b.Header.Get("Content-Security-Policy"), "img-src 'self'") {
				t.Error("the policy would not show it")
			}
		}
		check()
		b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "consent-allow")
		check()
	})
	t.Run("Q020 the picture itself, under the address with its hash for ever", func(t *testing.T) {
		for path, cache := range map[string]string{logo: "public, max-age=31536000, immutable", "/sites/app/logo.png": "no-store", "/sites/app/logo.png?v=old": "no-store"} {
			if b.get(path); b.Status != 200 || b.Header.Get("Content-Type") != "image/png" || b.Header.Get("Cache-Control") != cache || !strings.HasPrefix(b.Body, "\x89PNG") {
				t.Errorf("%s: %d %v", path, b.Status, b.Header)
			}
		}
		w.client("plain")
		b.get("/sites/plain/logo.png").want(404, "")
		b.get("/sites/nobody/logo.png").want(404, "")
	})
	t.Run("Q020 the name in the language that was asked for", func(t *testing.T) {
		if b := w.browser(t).get(authorizeURL("app", "ui_locales", "es")).want(200, "login-submit"); !strings.Contains(b.Body, "La Tienda") || strings.Contains(b.Body, "Fabrikam") {
			t.Error("not in Spanish")
		}
	})
	t.Run("nobody vouches for it: that is said on every page, with its host", func(t *testing.T) {
		b := w.browser(t).get(authorizeURL("app")).want(200, "login-submit")
		if b.has("unverified") || strings.Contains(b.Body, `class="unverified"`) {
			t.Error("of a verified one it is said too")
		}
		w.change("app", func(c *client.Client) { c.VerifiedAt = time.Time{} })
		b = w.browser(t).get(authorizeURL("app")).want(200, "login-submit")
		if !strings.Contains(b.Body, `class="unverified"`) || !strings.Contains(b.Body, "app.test") {
			t.Errorf("the sign-in page does not say so:\n%s", b.Body)
		}
		b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "unverified")
		if !strings.Contains(b.Body, "app.test") {
			t.Error("the consent page does not say where the answer goes")
		}
	})
}

// TestSessionFrame: requirement 81, the half that is not the authorization response's.
func TestSessionFrame(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t).get("/check_session")
	t.Run("Q081 any site may frame it, and only its own script runs", func(t *testing.T) {
		frame, script := templates.SessionFrame()
		csp := b.Header.Get("Content-Security-Policy")
		if b.Status != 200 || b.Body != string(frame) || csp != "default-src 'none'; script-src "+script || b.Header.Get("X-Frame-Options") != "" {
			t.Errorf("%d %v", b.Status, b.Header)
		}
	})
	t.Run("its script is old enough for every browser", func(t *testing.T) {
		source := must(os.ReadFile(filepath.Join("..", "..", "templates", "check_session.js")))
		for _, word := range []string{"=>", "const ", "let ", "`", "async ", "crypto.subtle"} {
			if bytes.Contains(source, []byte(word)) {
				t.Errorf("%q", word)
			}
		}
	})
}

// TestSignedOut: the page that says so, with its frames.
func TestSignedOut(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.change("app", func(c *client.Client) {
		c.Metadata.FrontchannelLogoutURI, c.Metadata.FrontchannelLogoutSessionRequired = "https://app.test/out?x=1", true
		c.Metadata.PostLogoutRedirectURIs = []string{"https://app.test/bye"}
	})
	w.client("mute")
	w.person("ada@example.test")
	b := w.browser(t).login("ada@example.test")
	for _, id := range []string{"app", "mute"} {
		b.get(authorizeURL(id)).want(200, "consent-allow").submit("consent-allow")
	}
	t.Run("Q076 the frames, and the policy that lets just these in", func(t *testing.T) {
		b := b.clone().get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "go-on")
		if !strings.Contains(b.Body, `<iframe src="https://app.test/out?x=1&amp;iss=https%3A%2F%2Fop.test&amp;sid=`) ||
			strings.Count(b.Body, "<iframe ") != strings.Count(b.Body, ` sandbox="allow-scripts allow-same-origin allow-forms"></iframe>`) {
			t.Errorf("no frame, or one that may lead this page elsewhere:\n%s", b.Body)
		}
		if csp := b.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; frame-src https://app.test") {
			t.Errorf("policy %q", csp)
		}
		for _, want := range []string{"Fabrikam", "was asked to sign you out", "cannot be told"} {
			if !strings.Contains(b.Body, want) {
				t.Errorf("it does not say %q", want)
			}
		}
	})
	t.Run("4.11 one of two accounts", func(t *testing.T) {
		w.person("bob@example.test")
		b := w.browser(t).login("ada@example.test")
		b.get("/login").submit("login-submit", "username", "bob@example.test", "password", password)
		before := b.clone()
		b.get("/logout").want(200, "logout-2").want(200, "logout-yes").submit("logout-1").want(200, "go-on")
		if !strings.Contains(b.Body, "Other accounts in this browser stay signed in") {
			t.Errorf("it says:\n%s", b.Body)
		}
		if b.get("/account/profile").want(200, "profile-submit"); !strings.Contains(b.Body, "ada@example.test") { // bob was the last to sign in
			t.Errorf("the wrong one:\n%s", b.Body)
		}
		if b.get("/logout").want(200, "logout-yes"); b.has("logout-1") {
			t.Error("one is left, and is to be chosen")
		}
		b.submit("logout-yes").want(200, "go-on")
		for _, c := range []*browser{b, before} { // before: a copy of the cookie
			if c.get("/account/profile"); !c.has("login-submit") || c.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", c.URL, c.Header)
			}
		}
		if b.jar["__Host-sid"] != "" {
			t.Error("the cookie is there still")
		}
	})
	t.Run("4.11 the page names a site that cannot be reached, and the frame's cookie is another", func(t *testing.T) {
		w.client("far")
		w.change("far", func(c *client.Client) {
			c.Metadata.ClientName, c.Metadata.BackchannelLogoutURI = "Distant", "https://far.test/out"
		})
		w.person("eve@example.test")
		b := w.browser(t).login("eve@example.test")
		b.get(authorizeURL("far")).want(200, "consent-allow").submit("consent-allow")
		login := must(w.session.List(t.Context(), w.id("eve@example.test")))[0].ID
		state := b.jar["op_bs"]
		b.get("/logout").submit("logout-yes").want(200, "told")
		if err := w.store.SetNotice(t.Context(), login, "far", logout.Trying, w.clock()); err != nil {
			t.Fatal(err)
		}
		if b.get(b.URL).want(200, "told"); !strings.Contains(b.Body, "Distant") || !strings.Contains(b.Body, "could not be reached yet") {
			t.Errorf("it says:\n%s", b.Body)
		}
		if state == "" || b.jar["op_bs"] == state {
			t.Errorf("op_bs was %q and is %q", state, b.jar["op_bs"])
		}
		b.login("eve@example.test").get("/login").submit("login-submit", "username", "ada@example.test", "password", password)
		state = b.jar["op_bs"]
		if b.get("/logout").submit("logout-1").want(200, "go-on"); b.jar["op_bs"] == state {
			t.Error("op_bs is the same after one of two has gone")
		}
	})
	t.Run("Q076 then on to the site: by script, by itself without one, and by a link", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		if b.get(authorizeURL("app")); b.Status != 303 {
			t.Fatalf("the consent of before is not remembered: %d", b.Status)
		}
		b.redeems("app")
		b.get("/end_session?client_id=app&state=s&post_logout_redirect_uri=" + url.QueryEscape("https://app.test/bye"))
		b.want(200, "logout-yes").submit("logout-yes").want(200, "logout-continue")
		const to = "https://app.test/bye?state=s"
		if strings.Count(b.Body, to) != 2 || !strings.Contains(b.Body, `<noscript><meta http-equiv="refresh" content="3; url=`+to) || !strings.Contains(b.Body, `<script src="/static/loggedout.`) {
			t.Errorf("%s", b.Body)
		}
	})
}

// TestReferrer: requirement 44: nothing of a flow reaches the next site by its Referer.
func TestReferrer(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	b := w.browser(t)
	for path, want := range map[string]string{authorizeURL("app"): "strict-origin", "/device": "strict-origin", "/.well-known/openid-configuration": "no-referrer", "/jwks.json": "no-referrer"} {
		t.Run(fmt.Sprintf("Q044 %.20s", path), func(t *testing.T) {
			if b.get(path); b.Header.Get("Referrer-Policy") != want {
				t.Errorf("%q", b.Header.Get("Referrer-Policy"))
			}
		})
	}
	t.Run("Q044 the policy of a page that ends at a site has no form-action", func(t *testing.T) {
		for _, path := range []string{authorizeURL("app"), "/device", "/login", "/logout"} {
			if b.get(path); strings.Contains(b.Header.Get("Content-Security-Policy"), "form-action") {
				t.Errorf("%s: %s", path, b.Header.Get("Content-Security-Policy"))
			}
		}
	})
}
