//go:build e2e

package main

import (
	"crypto/rand"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestHumanCheck: 4.4, the check that a browser does by itself, at every form, for a person who does nothing but fill it in;
// and what stands there for who has no JavaScript.
func TestHumanCheck(t *testing.T) {
	w := newWorld(t, "", true)
	w.env = append(w.env, "PASSPORT_HUMAN_CHECK=always")
	w.start()
	password := "Blue-" + rand.Text()
	b := w.browser("en")
	b.open(w.issuer + "/register")
	b.fill("#register-email", "alice@example.test")
	b.fill("#register-password", password)
	b.fill("#register-name", "Alice")
	b.click("#register-submit")
	b.fill("#terms-email", "alice@example.test")
	b.wait("#human-state")
	b.follow("#terms-submit", "#waiting") // also before the work is done
	b.open(w.smtp.next().link(t, "confirm"))
	b.follow("#confirm-submit", "#profile-submit")

	other := w.browser("en")
	other.open(w.issuer + "/login?next=profile")
	other.fill("#username", "alice@example.test")
	other.fill("#password", "not this one")
	other.follow("#login-submit", "#problems")
	other.fill("#password", password)
	other.follow("#login-submit", "#profile-submit")

	plain := w.browser("en")
	plain.withoutScripts()
	plain.open(w.issuer + "/recover")
	plain.wait("#human-answer")
	plain.wait("#human-sound")
	if wide := see(plain, chromedp.Attributes(chromedp.CSS("#human-picture")))["width"]; wide != "240" {
		t.Errorf("the picture is %q wide", wide)
	}
	plain.fill("#recover-email", "alice@example.test")
	plain.fill("#human-answer", "1")
	plain.follow("#recover-submit", "#human-answer-error")
}
