//go:build pictures || e2e

package web_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/outbound"
)

// telephone is how wide a common one is; narrowest, the smallest. Nothing may lie outside either.
const (
	telephone = 390
	narrowest = 320
)

// camera is a browser at a server of its own, which is led along every page that people see (tour).
type camera struct {
	t          *testing.T
	w          *world
	ctx        context.Context
	name, lang string
	width      int
	look       func(page string) // at each page that the tour comes to
	seen       map[string]bool   // the templates of those
}

// tours runs fn, as a subtest, with a camera for each language, width and scheme of colours that is wanted.
func tours(t *testing.T, fn func(c *camera), wanted func(name string) bool) {
	for _, lang := range []string{"en", "es"} {
		for _, width := range []int{telephone, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				name := lang + "-" + strconv.Itoa(width) + "-" + scheme
				if wanted(name) {
					t.Run(name, func(t *testing.T) { fn(newCamera(t, name, lang, width, scheme)) })
				}
			}
		}
	}
}

func newCamera(t *testing.T, name, lang string, width int, scheme string) *camera {
	w := newWorldOf(t, func(c *account.Config) {
		c.Fields = account.Fields{Name: account.Required, Phone: account.Optional, BirthDate: account.Required}
	})
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Host == widgetHost {
			widget(rw, r)
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/dev/") { // the tour asks for many mails
			r.RemoteAddr = exempted.Addr().Next().String() + ":40000"
		}
		w.handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	// The frame of the human check stays in the page's process: between two of them the focus comes some time after the key, and the
	// next key goes where it was.
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("accept-lang", lang), chromedp.Flag("lang", lang), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-site-isolation-trials", true), chromedp.Flag("disable-features", "Translate,IsolateOrigins,site-per-process"),
		chromedp.Flag("host-resolver-rules", "MAP op.test "+host+", MAP "+widgetHost+" "+host))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	c := &camera{t: t, w: w, ctx: ctx, name: name, lang: lang, width: width, seen: map[string]bool{}}
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(int64(width), 800)); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err == nil { // else the window loses the focus with each page
		_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at runs one action within a minute.
func at[T any](c *camera, action chromedp.Action[T]) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		where, _ := chromedp.Run(c.ctx, chromedp.Location())
		c.t.Fatal(err, where, c.w.logs.failures())
	}
	return v
}

func (c *camera) open(path string) {
	c.t.Helper()
	at(c, chromedp.Steps(chromedp.Navigate(issuer+path), chromedp.WaitReady(chromedp.CSS("main"))))
}

// press clicks and waits for the page that follows.
func (c *camera) press(selector, then string, fill ...string) {
	c.t.Helper()
	for i := 0; i < len(fill); i += 2 {
		at(c, chromedp.SetValue(chromedp.CSS(fill[i]), fill[i+1]))
	}
	at(c, chromedp.Steps(chromedp.Click(chromedp.CSS(selector)), chromedp.WaitReady(chromedp.CSS(then))))
}

func (c *camera) resize(width int) {
	c.t.Helper()
	at(c, chromedp.EmulateViewport(int64(width), 800))
}

// shoot is where the tour stops: nothing of the page lies outside the window, and then it is looked at.
func (c *camera) shoot(page string) {
	c.t.Helper()
	widths := []int{c.width}
	if c.width == telephone {
		widths = []int{narrowest, telephone}
	}
	for _, width := range widths {
		if len(widths) > 1 {
			c.resize(width)
		}
		if at(c, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > document.documentElement.clientWidth`)) {
			c.t.Errorf("%s is wider than %d px", page, width)
		}
	}
	c.seen[strings.TrimPrefix(at(c, chromedp.Evaluate[string](`document.body.className`)), "p-")] = true
	c.look(page)
}

// everyPage demands that the tour came to everything that there is a template of.
func (c *camera) everyPage() {
	c.t.Helper()
	files, err := os.ReadDir("../../templates/pages")
	if err != nil || len(files) == 0 {
		c.t.Fatal(err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".html"); !c.seen[name] {
			c.t.Errorf("4.21 the tour does not come to the page %q", name)
		}
	}
}

// scripts lets pages run theirs, or not.
func (c *camera) scripts(run bool) {
	c.t.Helper()
	_, err := chromedp.Call(c.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
	if err != nil {
		c.t.Fatal(err)
	}
}

// widgetHost is the double of a service whose human check stands in our pages: a frame as large as the vendor's own.
const widgetHost = "challenges.cloudflare.com"

func widget(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/turnstile/v0/api.js" {
		rw.Header().Set("Content-Type", "text/javascript")
		_, _ = rw.Write([]byte(`for (const e of document.querySelectorAll('.cf-turnstile')) {
	const f = e.appendChild(document.createElement('iframe'));
	f.src = 'https://` + widgetHost + `/frame'; f.title = 'Widget'; f.width = 300; f.height = 65; f.style.border = 'none';
	f.addEventListener('load', () => f.dataset.there = 'yes');
}`))
		return
	}
	rw.Header().Set("Content-Type", "text/html")
	_, _ = rw.Write([]byte(`<!doctype html><title>Widget</title><body style="margin:0;background:#fafafa;border:1px solid #e0e0e0;height:63px;font:14px/63px sans-serif"><label><input type="checkbox" style="margin:16px">I am a person</label>`))
}

// portrait gives an account a picture.
func (c *camera) portrait(email string) {
	c.t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 300, 200))
	for i := range m.Bounds().Dx() * m.Bounds().Dy() {
		x, y := i%300, i/300
		m.Set(x, y, color.NRGBA{uint8(60 + x/2), uint8(200 - y/2), 120, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		c.t.Fatal(err)
	}
	a, err := c.w.people.Show(context.Background(), email)
	if err == nil {
		err = c.w.people.SetPicture(context.Background(), a.ID, b.Bytes())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// check shows the human check: worked at, read, and wrong.
func (c *camera) check() {
	c.w.signin.Human = must(human.NewPuzzle(human.PuzzleConfig{Store: c.w.store, Sealer: humanSealer, Now: c.w.clock, Bits: workBits}))
	c.w.signin.HumanAlways = true
	c.open("/recover")
	c.shoot("human")
	at(c, chromedp.Click(chromedp.CSS("#human-other")))
	c.shoot("human-read")
	c.press("#recover-submit", "#problems", "#recover-email", "ada@example", "#human-answer", "123")
	c.shoot("human-again")
	c.w.signin.Human = must(human.NewVerifier(human.VerifierConfig{Store: c.w.store, Sealer: humanSealer, Now: c.w.clock, Outbound: must(outbound.New(outbound.Config{})),
		Logger: slog.New(slog.DiscardHandler), Host: "op.test", Vendor: "turnstile", SiteKey: "the-site-key", Secret: "the-secret"}))
	c.open("/recover")
	at(c, chromedp.WaitReady(chromedp.CSS("#human-service iframe[data-there]"))) // the focus in a frame is lost when its page comes
	c.shoot("human-service")
	c.w.signin.HumanAlways = false
}

func (c *camera) tour() {
	c.w.client("app")
	ctx := context.Background()
	_, _, err := c.w.clients.Create(ctx, client.Client{ID: "big", Name: "Contoso", RequirePKCE: true, Metadata: client.Metadata{
		ClientName: "Contoso Ltd. Photographic Society", ClientURI: "https://app.test/", RedirectURIs: []string{callback},
		PolicyURI: "https://app.test/privacy", TOSURI: "https://app.test/terms", TokenEndpointAuthMethod: "none",
		GrantTypes: []string{"authorization_code", "refresh_token"}, Scope: "openid profile email phone address offline_access",
		IDTokenSignedResponseAlg: "ES256"}}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.open("/")
	c.shoot("home")
	c.open("/nothing")
	c.shoot("error")
	c.open(authorizeURL("app"))
	c.shoot("signin")
	c.press("#login-submit", "#problems", "#username", "ada@example.com", "#password", "not this one")
	c.shoot("signin-wrong")
	c.w.signin.TwoPages = true
	c.open(authorizeURL("app"))
	c.shoot("signin-address")
	c.press("#login-submit", "#password", "#username", "ada@example.com")
	c.shoot("signin-password")
	c.w.signin.TwoPages = false
	c.open(authorizeURL("app"))
	c.press("#register-link", "#register-submit")
	c.shoot("register")
	c.press("#register-submit", "#problems", "#register-email", "ada@example", "#register-password", password, "#register-name", "Ada Lovelace", "#register-birthdate", "1985-03-31")
	c.shoot("register-wrong")
	c.press("#register-submit", "#terms-submit", "#register-email", "ada@example.com", "#register-password", password)
	c.shoot("terms")
	c.press("#terms-submit", "#waiting", "#terms-email", "ada@example.com")
	c.shoot("waiting")
	confirm, cancel := c.w.links()
	c.open(confirm)
	c.shoot("confirm")
	c.open(cancel)
	c.shoot("cancel")
	c.open("/dev/inbox")
	c.shoot("inbox")
	c.press(".letters a", ".text")
	c.shoot("letter")
	c.open(confirm)
	c.press("#confirm-submit", "#consent-allow")
	c.shoot("consent")
	c.open(authorizeURL("big", "scope", "openid profile email phone address offline_access", "prompt", "consent"))
	c.shoot("consent-more")
	c.w.person("grace@example.com")
	c.press("#other-account", "#chooser")
	c.press("#account-other", "#login-submit")
	c.press("#login-submit", "#consent-allow", "#username", "grace@example.com", "#password", password)
	c.open(authorizeURL("app", "prompt", "select_account"))
	c.shoot("accounts")
	c.open("/")
	c.shoot("home-in")
	c.open("/register")
	c.shoot("already")
	c.open(authorizeURL("app", "prompt", "create"))
	c.shoot("already-flow")
	grace, err := c.w.people.Show(ctx, "grace@example.com")
	if err == nil {
		err = c.w.store.AcceptTerms(ctx, grace.ID, account.Versions{Terms: "another"}, c.w.clock())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.open("/terms?next=profile")
	c.shoot("accept")
	c.press("#accept-submit", "#problems", "#accept-email", "ada@example.com")
	c.shoot("accept-wrong")
	c.press("#accept-submit", "#profile-submit", "#accept-email", "grace@example.com")
	c.open("/account/profile")
	c.shoot("profile")
	c.portrait("grace@example.com")
	c.open("/account/profile")
	c.press("#profile-submit", "#problems", "#profile-phone-number", "020 7946 0123")
	c.shoot("profile-wrong")
	c.press("#profile-submit", ".done", "#profile-phone-number", "+44 20 7946 0123", "#profile-given-name", "Grace", "#profile-street-address", "5 Long Street")
	c.open("/account/profile")
	c.press("#profile-submit", ".done", "#profile-language", c.lang)
	c.shoot("profile-saved")
	c.protocol()
	there := c.w.browser(c.t).loginWith(c.t, "grace@example.com", password) // somewhere else
	if there.get(authorizeURL("app")); there.has("consent-allow") {
		there.submit("consent-allow")
	}
	there.redeems("app")
	for _, page := range []string{"security", "sites", "activity", "password", "address", "data", "close"} {
		c.open("/account/" + page)
		c.shoot(page)
	}
	c.open("/account/data")
	c.press("#data-submit", "#data-making")
	c.shoot("data-making")
	c.open(c.w.mailed(c.t))
	c.shoot("data-file")
	c.open("/account/data")
	c.shoot("data-ready")
	c.open("/account/security")
	c.press("#end-all", "#told")
	c.shoot("signed-out-elsewhere")
	c.open("/account/address")
	c.press("#address-submit", "#address-waiting", "#new-email", "augusta@example.com")
	c.shoot("address-sent")
	c.open(c.w.mailed(c.t))
	c.shoot("new-address")
	c.press("#new-address-submit", "#profile-submit")
	c.open("/account/address")
	c.shoot("address-two")
	c.open("/account/recovery")
	c.press("#recovery-address-submit", "#recovery-waiting", "#recovery-email", "charles@example.com")
	c.open(c.w.mailed(c.t))
	c.shoot("new-recovery")
	c.press("#new-recovery-submit", "#recovery-address")
	c.press("#recovery-question-submit", "#recovery-set", "#recovery-question", "What did the first program count?", "#recovery-answer", "Bernoulli numbers")
	c.shoot("recovery")
	c.open("/logout")
	c.shoot("logout")
	c.press("#logout-yes", "#go-on")
	c.shoot("loggedout")

	c.w.browser(c.t).get("/register").registerWith("alan@example.com", "birthdate", "1912-06-23")
	confirm, cancel = c.w.links()
	c.open(confirm)
	c.shoot("confirm-elsewhere")
	c.open(confirm + "&fresh=1")
	c.shoot("confirm-fresh")
	c.press("#confirm-submit", "#go-on", "#new-password", password)
	c.shoot("confirmed")
	c.open(cancel)
	c.shoot("error-link")

	c.check()
	c.open("/help")
	c.shoot("help")
	c.open("/lookup")
	c.shoot("lookup")
	c.press("#lookup-submit", "#go-on", "#lookup-email", "ada@example.com")
	c.shoot("lookup-sent")
	c.open("/recover")
	c.shoot("recover")
	c.press("#recover-submit", "#go-on", "#recover-email", "ada@example.com")
	c.shoot("recover-sent")
	c.open(c.w.mailed(c.t))
	c.shoot("new-password")
	c.press("#new-password-submit", "#go-on", "#new-password", "a quite different password")
	c.shoot("recovered")
	c.open(c.w.mailed(c.t))
	c.shoot("alarm")
	c.press("#alarm-submit", "#go-on")
	c.shoot("alarmed")
	c.open("/recover/request")
	c.shoot("request")
	c.press("#request-submit", "#go-on", "#request-account", "ada@example.com", "#request-reach", "ada@elsewhere.test")
	c.open(c.w.mailed(c.t))
	c.shoot("details")
	c.press("#details-submit", "#go-on", "#request-sites", "Fabrikam")
	c.shoot("requested")
	if err := c.w.people.TellRequests(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.open(c.w.mailed(c.t))
	c.shoot("stop")
	c.back()
	c.everyPage()
}

// back shows the ways back in that not everybody comes to.
func (c *camera) back() {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			c.t.Helper()
			c.t.Fatal(err)
		}
	}
	c.open("/recover")
	c.press("#recover-submit", "#go-on", "#recover-email", "grace@example.com")
	c.open(c.w.mailed(c.t))
	c.shoot("new-password-question")
	c.press("#new-password-submit", "#problems", "#new-password", "a quite different password", "#recovery-answer", "Prime numbers")
	c.shoot("new-password-wrong")

	c.w.bar(c.t, "alan@example.com")
	c.w.browser(c.t).login("alan@example.com")
	c.open(c.w.mailed(c.t))
	c.shoot("allow")
	c.press("#allow-submit", "#login-submit")
	c.shoot("allowed")
	c.press("#login-submit", "nav", "#username", "alan@example.com", "#password", password)
	c.open("/account/close")
	c.press("#close-submit", "#go-on", "#close-email", "alan@example.com")
	c.shoot("closed")
	c.open("/login")
	c.press("#login-submit", "#reopen-submit", "#username", "alan@example.com", "#password", password)
	c.shoot("reopen")
	c.press("#reopen-submit", "#go-on")
	c.shoot("reopened")

	for range 8 { // a week, with its notices
		c.w.pass(24 * time.Hour)
		fail(c.w.people.TellRequests(ctx))
	}
	requests, err := c.w.people.Requests(ctx)
	fail(err)
	_, err = c.w.people.Approve(ctx, requests[0].ID)
	fail(err)
	c.open(c.w.mailed(c.t))
	c.shoot("regain")
}

// protocol shows what only the protocol's less trodden ways show.
func (c *camera) protocol() {
	c.w.client("stranger")
	c.w.withLogo(c.t, "stranger", func(m *client.Client) {
		m.VerifiedAt = time.Time{}
		m.Metadata.ClientName, m.Metadata.ClientURI = "Free Photo Prints", "https://free-photo-prints.test/"
		m.Metadata.PolicyURI, m.Metadata.TOSURI = "https://free-photo-prints.test/privacy", "https://free-photo-prints.test/terms"
		m.Metadata.InitiateLoginURI = "https://free-photo-prints.test/start"
	})
	c.open(authorizeURL("stranger", "prompt", "login"))
	c.shoot("signin-unverified")
	c.open(authorizeURL("stranger"))
	c.press("#chooser button", "#consent-allow")
	c.shoot("consent-unverified")
	c.open("/sites/stranger/start?target_link_uri=https%3A%2F%2Ffree-photo-prints.test%2Falbum")
	c.shoot("start")

	c.w.client("tv")
	c.w.change("tv", func(m *client.Client) {
		m.Metadata.ClientName, m.Metadata.GrantTypes = "Northwind TV", append(m.Metadata.GrantTypes, client.GrantDevice)
		m.Metadata.BackchannelLogoutURI = "https://app.test/told"
	})
	c.w.change("app", func(m *client.Client) {
		m.Metadata.FrontchannelLogoutURI = "https://app.test/frame"
		m.Metadata.PostLogoutRedirectURIs = []string{"https://app.test/bye"}
	})
	_, code := c.w.device(c.t, "tv")
	c.open("/device")
	c.press("#device-submit", "#problems", "#user-code", "BCDF-GHJK")
	c.shoot("device-wrong")
	c.open("/device?user_code=" + code)
	c.shoot("device")
	c.press("#device-submit", "#chooser") // two are signed in
	c.press("#chooser button", "#consent-allow")
	c.shoot("consent-device")
	c.press("#consent-allow", "#go-on")
	c.shoot("device-done")

	c.scripts(false)
	c.open(authorizeURL("app", "response_mode", "form_post", "prompt", "consent"))
	c.press("#chooser button", "#consent-allow")
	c.press("#consent-allow", "#form-post-submit")
	// What stands there for who runs no script, laid open: those who look at it here run some.
	at(c, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('noscript').forEach(e => e.replaceWith(...e.childNodes));0`))
	c.scripts(true)
	c.shoot("form-post")
}
