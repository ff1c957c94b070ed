//go:build e2e

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// browserApp is an app without a server of its own: a public client, to whose page the answers come.
func browserApp(base string) map[string]any {
	doc := webSite("/callback.html")(base)
	doc["token_endpoint_auth_method"], doc["application_type"] = "none", "web"
	return doc
}

// signInInBrowser runs an app that lives in the browser: it signs in by redirect and by pop-up, refreshes, reads userinfo
// and signs out from a script of another origin than ours, and notices when the person signs out here.
func signInInBrowser(t *testing.T, s *integrated, _ *person) {
	b := s.w.browser("en")
	b.t = t
	said := b.console()

	// By redirect.
	b.open(s.base + "/")
	b.click("#sign-in")
	s.signInAt(b)
	b.wait("#email")
	b.at(s.base + "/")
	s.shows(b)
	sub := b.text("#sub")
	for n := 1; n <= 2; n++ { // the second with what the first one gave
		b.click("#refresh")
		b.until(fmt.Sprintf("document.querySelector('#refreshed').textContent === '%d'", n))
		s.shows(b)
		for _, path := range []string{"/token", "/userinfo"} {
			b.until(fmt.Sprintf("performance.getEntriesByName(%q).length === %d", s.w.issuer+path, n))
		}
	}
	b.open(s.base + "/")
	b.wait("#email") // the tab keeps it
	b.follow("#sign-out", "#sign-in")
	b.at(s.base + "/")

	// By pop-up. Signed out there is signed out here: it asks for the password.
	opened := chromedp.WaitNewTarget(b.ctx, func(*target.Info) bool { return true })
	b.click("#sign-in-popup")
	popup := b.window(chromedp.WithTargetID(soon(t, opened)))
	popupSaid := popup.console()
	s.signInAt(popup)
	closed, err := chromedp.Detached(popup.ctx)
	check(err)
	soon(t, closed)
	b.wait("#email")
	s.shows(b)
	if got := b.text("#sub"); got != sub {
		t.Errorf("the pop-up brought %q, the redirect %q", got, sub)
	}
	if popupSaid.String() != "" {
		t.Errorf("the console of the pop-up says:\n%s", popupSaid)
	}

	// Our frame of session monitoring stands in the app's page and knows who is signed in.
	heard := fmt.Sprintf("new Promise(done => addEventListener('message', e => { if (e.origin === %q) done(e.data) }))", s.w.issuer)
	if got := see(b, chromedp.Evaluate[string](heard, chromedp.EvalAwaitPromise)); got != "unchanged" {
		t.Errorf("the session frame says %q", got)
	}
	if said.String() != "" { // what comes later is of the sign-out
		t.Errorf("the console says:\n%s", said)
	}

	// In another tab the person signs out.
	tab := b.window()
	tab.open(s.w.issuer + "/logout")
	tab.follow("#logout-yes", "#go-on")
	b.wait("#sign-in")
	b.at(s.base + "/")
	if got := b.text("#notice"); got != "You signed out at Passport." {
		t.Errorf("the app says %q", got)
	}
	if !strings.Contains(said.String(), `"login_required"`) { // what a hidden frame got for prompt=none
		t.Errorf("the console says:\n%s", said)
	}
}

// signInAt is what a person does on our pages, in a browser. A public client over plain http asks for consent each time.
func (s *integrated) signInAt(b *browser) {
	b.t.Helper()
	b.fill("#username", "alice@example.test")
	b.fill("#password", "a good long passphrase")
	b.click("#login-submit")
	b.click("#consent-allow")
}

// shows demands that the app knows who is signed in.
func (s *integrated) shows(b *browser) {
	b.t.Helper()
	if email, sub := b.text("#email"), b.text("#sub"); email != "alice@example.test" || sub == "" || b.exists("#signed-out:not([hidden])") {
		b.t.Errorf("the app shows %q (%q), and says %q", email, sub, b.text("#notice"))
	}
}

// window drives another window of the browser: a new one, or one that a page opened.
func (b *browser) window(opts ...chromedp.ContextOption) *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, opts...)
	b.t.Cleanup(cancel)
	check(chromedp.Do(ctx)) // before any that has a time limit, which would be the window's
	return &browser{t: b.t, ctx: ctx, seen: b.seen}
}

// console writes down what the window's pages and the browser say there from now on.
func (b *browser) console() *safeBuffer {
	b.t.Helper()
	said := &safeBuffer{}
	check(chromedp.Listen(b.ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				fmt.Fprintf(said, "%s: %s %s\n", e.Type, arg.Value, arg.Description)
			}
		case *runtime.EventExceptionThrown:
			fmt.Fprintf(said, "exception: %s %+v\n", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		case *log.EventEntryAdded:
			fmt.Fprintf(said, "%s: %s (%s)\n", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}))
	return said
}

// until waits for a condition of the page.
func (b *browser) until(condition string) {
	b.t.Helper()
	see(b, chromedp.Poll[chromedp.Void](condition))
}

// soon is what comes through a channel within half a minute.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
