//go:build e2e

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/pkg/keys"
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
	plain.fill("#human-answer", w.digits(plain))
	plain.follow("#recover-submit", "#go-on")
}

// digits are those that a page shows: opened as only the server can, for it is people who read them.
func (w *world) digits(b *browser) string {
	w.t.Helper()
	sealer := must(keys.NewSealer([]byte(w.setting("PASSPORT_SECRET"))))
	list := must(chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{}))
	i := slices.IndexFunc(list.Cookies, func(c *network.Cookie) bool { return c.Name == "__Host-flow" })
	flow := sha256.Sum256([]byte(list.Cookies[i].Value))
	sealed := must(base64.RawURLEncoding.DecodeString(b.attribute("#human-challenge", "value")))
	return string(must(sealer.Open("form", "human", hex.EncodeToString(flow[:]), sealed))[24:30])
}

// vendorHost is whose human check stands in the pages of TestHumanVendor.
const vendorHost = "challenges.cloudflare.com"

// TestHumanVendor: 4.4, the check of others: its script and its frame run in our page as our policy lets them, and what the
// service says of the answer decides. The double does as developers.cloudflare.com/turnstile has it.
func TestHumanVendor(t *testing.T) {
	w := newWorld(t, "", true)
	var human atomic.Bool
	vendor := http.NewServeMux()
	vendor.HandleFunc("/turnstile/v0/api.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(rw, `for (const e of document.querySelectorAll('.cf-turnstile')) {
	const frame = e.appendChild(document.createElement('iframe')), answer = e.appendChild(document.createElement('input'));
	answer.type = 'hidden', answer.name = 'cf-turnstile-response', answer.id = 'vendor-answer';
	addEventListener('message', m => { if (m.source === frame.contentWindow) answer.value = [m.data, e.dataset.action, e.dataset.cdata].join('~'); });
	frame.src = 'https://`+vendorHost+`/frame';
}`)
	})
	vendor.HandleFunc("/frame", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, `<!doctype html><title>Widget</title><script>parent.postMessage('token', '*')</script>`)
	})
	vendor.HandleFunc("/turnstile/v0/siteverify", func(rw http.ResponseWriter, r *http.Request) {
		if !human.Load() || r.PostFormValue("secret") != "vendor-secret" {
			_, _ = io.WriteString(rw, `{"success": false, "error-codes": ["invalid-input-response"]}`)
			return
		}
		said := strings.Split(r.PostFormValue("response"), "~")
		check(json.NewEncoder(rw).Encode(map[string]any{"success": true, "hostname": "passport.test", "challenge_ts": time.Now().UTC(),
			"error-codes": []string{}, "action": said[1], "cdata": said[2]}))
	})
	double := httptest.NewUnstartedServer(vendor)
	_, _, pair := w.ca.leaf(t.TempDir())
	double.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	double.StartTLS()
	t.Cleanup(double.Close)
	at := strings.TrimPrefix(double.URL, "https://")
	w.hosts = ", MAP " + vendorHost + " " + at
	w.env = append(w.env, "PASSPORT_HUMAN_CHECK=always", "PASSPORT_HUMAN_CHECK_BY=siteverify", "PASSPORT_SITEVERIFY_SITE_KEY=site-key",
		"PASSPORT_SITEVERIFY_SECRET=vendor-secret", "PASSPORT_SITEVERIFY_URL=https://"+at+"/turnstile/v0/siteverify", "PASSPORT_OUTBOUND_ALLOW=127.0.0.1")
	w.start()
	b := w.browser("en")
	ask := func(then string) {
		t.Helper()
		b.fill("#recover-email", "alice@example.test")
		eventually(t, "the widget has answered", func() bool {
			return see(b, chromedp.Evaluate[string](`document.querySelector('#vendor-answer')?.value ?? ''`)) != ""
		})
		b.follow("#recover-submit", then)
	}
	b.open(w.issuer + "/recover")
	ask("#problems")
	human.Store(true)
	ask("#go-on")
}
