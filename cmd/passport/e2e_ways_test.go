//go:build e2e

package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/storage/storagetest"
)

// TestWays walks the ways of an account that exists in a real browser, with mail over SMTP: back in by a mail, kept signed in,
// other browsers signed out, another password, another address and its undoing by "this wasn't me", closed and opened again,
// and Back after signing out.
func TestWays(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { ways(t, newWorld(t, "", false)) })
	t.Run("postgres", func(t *testing.T) { ways(t, newWorld(t, storagetest.Postgres(t), false)) })
}

const alice = "alice@example.test"

func ways(t *testing.T, w *world) {
	w.start()
	w.account(alice, "a good long passphrase")
	b := w.browser("en")
	b.narrow()

	b.open(w.issuer + "/login")
	b.follow("#recover-link", "#recover-submit")
	b.fill("#recover-email", alice)
	b.follow("#recover-submit", "#go-on")
	b.renew(w.mailed(alice, "/recover/password"), "the second passphrase")

	b.signIn(w, "security", "the second passphrase", "#change-password")
	list, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	check(err)
	kept := false
	for _, c := range list.Cookies {
		kept = kept || strings.Contains(c.Name, "sid") && !c.Session
	}
	if !kept {
		t.Errorf("who is kept signed in has no cookie that outlives the browser: %+v", list.Cookies)
	}

	other := w.person()
	other.get(w.issuer+"/login?next=profile").submit("login-submit", map[string]string{"username": alice, "password": "the second passphrase"})
	b.open(w.issuer + "/account/security")
	b.follow("#end-all", "#go-on")
	if other.get(w.issuer + "/account/profile"); !other.has("login-submit") {
		t.Errorf("the other browser is at %s", other.URL)
	}

	b.open(w.issuer + "/account/password")
	b.fill("#password", "the second passphrase")
	b.fill("#new-password", "the third passphrase")
	b.follow("#password-submit", ".done")

	b.open(w.issuer + "/account/address")
	b.fill("#new-email", "elsewhere@example.test")
	b.follow("#address-submit", ".done")
	b.open(w.mailed("elsewhere@example.test", "/account/address/confirm"))
	b.follow("#new-address-submit", ".done")
	alarm := w.mailed(alice, "/alarm") // of the address before
	b.open(w.issuer + "/account/profile")
	if got := b.text("#profile-email"); !strings.Contains(got, "elsewhere@example.test") {
		t.Errorf("the address is %s", got)
	}
	b.open(alarm)
	b.follow("#alarm-submit", "#go-on")
	b.open(w.issuer + "/account/profile")
	b.wait("#login-submit")
	b.renew(w.mailed(alice, "/recover/password"), "the fourth passphrase")
	b.signIn(w, "profile", "the fourth passphrase", "#profile-submit")
	if got := b.text("#profile-email"); !strings.Contains(got, alice) {
		t.Errorf("the address is %s", got)
	}

	b.open(w.issuer + "/account/close")
	b.fill("#close-email", alice)
	b.follow("#close-submit", "#go-on")
	b.signIn(w, "profile", "the fourth passphrase", "#reopen-submit")
	b.follow("#reopen-submit", "#go-on")
	b.signIn(w, "profile", "the fourth passphrase", "#profile-submit")

	b.open(w.issuer + "/logout")
	b.follow("#logout-yes", "#go-on")
	for range 2 { // B11: over the question whether to sign out
		see(b, chromedp.NavigateBack())
	}
	b.wait("main")
	if b.exists("#profile-submit") {
		t.Error("Back shows the page of who has signed out")
	}
	w.stop()
	if strings.Contains(w.logs.String(), "DATA RACE") {
		t.Error(w.logs)
	}
}

// signIn signs alice in, to be kept so, and waits for where that leads.
func (b *browser) signIn(w *world, next, password, then string) {
	b.t.Helper()
	b.open(w.issuer + "/login?next=" + next)
	b.fill("#username", alice)
	b.fill("#password", password)
	b.click("#keep")
	b.follow("#login-submit", then)
}

// renew sets a new password by a link.
func (b *browser) renew(link, password string) {
	b.t.Helper()
	b.open(link)
	b.fill("#new-password", password)
	b.follow("#new-password-submit", "#go-on")
}

var anyLink = regexp.MustCompile(`http://\S+\?t=\S+`)

// mailed waits for a mail to an address with a link to a page, and gives the newest such link. What it has given once it does
// not give again.
func (w *world) mailed(to, path string) string {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		w.smtp.mu.Lock()
		for i := len(w.smtp.messages) - 1; i >= 0; i-- {
			m := &w.smtp.messages[i]
			for _, link := range anyLink.FindAllString(m.text, -1) {
				if len(m.to) == 1 && m.to[0] == to && strings.HasPrefix(link, w.issuer+path+"?") {
					m.to = nil
					w.smtp.mu.Unlock()
					return link
				}
			}
		}
		w.smtp.mu.Unlock()
		select {
		case <-w.smtp.arrived:
		case <-deadline:
			w.t.Fatalf("no mail to %s leads to %s", to, path)
		}
	}
}
