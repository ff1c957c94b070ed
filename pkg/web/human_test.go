package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbound"
)

const workBits = 6

var humanSealer = must(keys.NewSealer([]byte(strings.Repeat("h", 32))))

// humanWorld is a server that asks for a human check.
func humanWorld(t *testing.T, when account.HumanCheck) *world {
	t.Helper()
	w := newWorldOf(t, func(c *account.Config) { c.Human = when })
	w.signin.Human = must(human.NewPuzzle(human.PuzzleConfig{Store: w.store, Sealer: humanSealer, Now: w.clock, Bits: workBits}))
	w.signin.HumanAlways = when == account.HumanAlways
	return w
}

func (b *browser) challenge(button string) string {
	b.t.Helper()
	_, fields := b.form(button)
	return fields.Get("human")
}

// worked is what the page's script finds; TestScript of package human compares the two.
func worked(challenge string) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(challenge[len(challenge)-32:] + ":" + strconv.Itoa(n)))
		if binary.BigEndian.Uint32(sum[:])>>(32-workBits) == 0 {
			return strconv.Itoa(n)
		}
	}
}

// digits opens a challenge as only the server can: a person reads them.
func (b *browser) digits(challenge string) string {
	b.t.Helper()
	sealed := must(base64.RawURLEncoding.DecodeString(challenge))
	flow := sha256.Sum256([]byte(b.jar["__Host-flow"]))
	plain, err := humanSealer.Open("form", "human", hex.EncodeToString(flow[:]), sealed)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(plain[24:30])
}

// ways are how a form is answered: pairs for submit.
var ways = map[string]func(b *browser, challenge string) []string{
	"work":   func(_ *browser, challenge string) []string { return []string{"human-work", worked(challenge)} },
	"digits": func(b *browser, challenge string) []string { return []string{"human-answer", b.digits(challenge)} },
}

// asks are the forms that have the check: how one comes there, and what is sent beside it.
var asks = map[string]struct {
	open   func(b *browser, email string)
	button string
	fill   func(email string) []string
	done   string // the path that a good answer leads to
}{
	"register": {func(b *browser, email string) {
		b.get("/register").want(200, "register-submit").submit("register-submit", "email", email, "password", password, "name", "Ada Lovelace").want(200, "terms-submit")
	}, "terms-submit", func(email string) []string { return []string{"terms-email", email} }, "/register/waiting"},
	"sign in": {func(b *browser, _ string) { b.get("/login?next=profile").want(200, "login-submit") }, "login-submit",
		func(email string) []string { return []string{"username", email, "password", password} }, "/account/profile"},
	"recover": {func(b *browser, _ string) { b.get("/recover").want(200, "recover-submit") }, "recover-submit",
		func(email string) []string { return []string{"email", email} }, "/recover/sent"},
	"look up": {func(b *browser, _ string) { b.get("/lookup").want(200, "lookup-submit") }, "lookup-submit",
		func(email string) []string { return []string{"email", email} }, "/lookup/sent"},
	"request": {func(b *browser, _ string) { b.get("/recover/request").want(200, "request-submit") }, "request-submit",
		func(email string) []string { return []string{"account", email, "reach", "reach-" + email} }, "/recover/request/sent"},
}

// TestHuman: 4.4, our own ways at each form.
func TestHuman(t *testing.T) {
	for form, at := range asks {
		for way, solve := range ways {
			t.Run("A21 "+form+" by "+way, func(t *testing.T) {
				w := humanWorld(t, account.HumanAlways)
				const email = "ada@example.test"
				if form != "register" {
					w.person(email)
				}
				send := func(b *browser, pairs ...string) *browser {
					t.Helper()
					return b.submit(at.button, append(at.fill(email), pairs...)...)
				}
				b := w.browser(t)
				at.open(b, email)
				b.want(200, "human")
				first := b.challenge(at.button)
				if csp := b.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; media-src 'self'") {
					t.Errorf("CSP %q", csp)
				}
				send(b).want(422, "human") // no answer
				second := b.challenge(at.button)
				if second == first || second == "" {
					t.Error("the challenge is the same")
				}
				wrong := strconv.Itoa((int(b.digits(second)[0]-'0')+1)%10) + "00000"
				send(b, "human-answer", wrong).want(422, "human-answer-error")
				send(b, "human-work", "x").want(422, "problems")

				other := w.browser(t) // another browser's answer
				at.open(other, email)
				foreign := other.challenge(at.button)
				send(b, append(solve(other, foreign), "human", foreign)...).want(422, "human")
				elsewhere := "recover" // another form's, in this browser
				if form == "recover" {
					elsewhere = "sign in"
				}
				asks[elsewhere].open(b, email)
				foreign = b.challenge(asks[elsewhere].button)
				answer := solve(b, foreign)
				if form == "register" {
					b.get("/register/terms")
				} else {
					at.open(b, email)
				}
				send(b, append(answer, "human", foreign)...).want(422, "human")
				if form != "register" { // whose draft does not last longer
					late := b.challenge(at.button)
					answer := solve(b, late)
					w.pass(31 * time.Minute)
					send(b, append(answer, "human", late)...).want(422, "human")
				}
				right := b.challenge(at.button)
				answer = solve(b, right)
				again := b.clone()
				if send(b, answer...); b.Status != 200 || strings.Split(b.URL, "?")[0] != at.done {
					t.Fatalf("a right answer: %d at %s", b.Status, b.URL)
				}
				if form == "register" { // the second of a double click is answered as the first
					if send(again, answer...); again.Status != 200 || strings.Split(again.URL, "?")[0] != at.done {
						t.Errorf("a double click: %d at %s", again.Status, again.URL)
					}
					return
				}
				send(again, answer...).want(422, "human")
			})
		}
	}
	t.Run("what is wrong with the form does not cost the check for good", func(t *testing.T) {
		w := humanWorld(t, account.HumanAlways)
		b := w.browser(t)
		asks["register"].open(b, "ada@example.test")
		b.submit("terms-submit", "terms-email", "other@example.test", "human-work", worked(b.challenge("terms-submit"))).want(422, "terms-email-error")
		b.submit("terms-submit", "terms-email", "ada@example.test", "human-work", worked(b.challenge("terms-submit"))).want(200, "waiting")
		b = w.browser(t).get("/recover")
		b.submit("recover-submit", "email", "x", "human-work", worked(b.challenge("recover-submit"))).want(422, "recover-email-error").want(422, "human")
	})
	t.Run("the second page of two", func(t *testing.T) {
		w := humanWorld(t, account.HumanAlways)
		w.signin.TwoPages = true
		w.person("ada@example.test")
		b := w.browser(t).get("/login?next=profile").want(200, "username")
		if b.has("human") {
			t.Error("the first page asks")
		}
		b.submit("login-submit", "username", "ada@example.test").want(200, "human")
		b.submit("login-submit", "password", password, "human-work", worked(b.challenge("login-submit"))).want(200, "profile-submit")
	})
	t.Run("picture and sound", func(t *testing.T) {
		w := humanWorld(t, account.HumanAlways)
		b := w.browser(t).get("/login")
		for _, id := range []string{"human-picture", "human-sound"} {
			src := unescaped(regexp.MustCompile(`id="` + id + `"[^>]*src="([^"]+)"`).FindStringSubmatch(b.Body)[1])
			if strings.Contains(src, b.digits(b.challenge("login-submit"))) {
				t.Errorf("the answer stands in %s", src)
			}
			media := b.clone()
			media.send(http.MethodGet, src, "", "")
			if media.Status != 200 || media.Header.Get("Cache-Control") != "no-store" ||
				media.Header.Get("Content-Type") != map[string]string{"human-picture": "image/png", "human-sound": "audio/wav"}[id] {
				t.Errorf("%s: %d %v", id, media.Status, media.Header)
			}
			whole := media.Body
			media.header.Set("Range", "bytes=0-99")
			media.send(http.MethodGet, src, "", "")
			if media.Status != http.StatusPartialContent || media.Body != whole[:100] {
				t.Errorf("%s, a part: %d", id, media.Status)
			}
			if other := w.browser(t).get("/login"); other.send(http.MethodGet, src, "", "").Status != 404 {
				t.Errorf("%s: another browser: %d", id, other.Status)
			}
			for _, bad := range []string{"", "?c=x", "?c=" + strings.Repeat("A", 500)} {
				if media.send(http.MethodGet, "/"+strings.Split(src[1:], "?")[0]+bad, "", ""); media.Status != 404 {
					t.Errorf("%s%s: %d", id, bad, media.Status)
				}
			}
		}
		many := b.clone()
		for range 200 {
			many.send(http.MethodGet, "/human/picture?c="+b.challenge("login-submit"), "", "")
		}
		if many.Status != http.StatusTooManyRequests {
			t.Errorf("two hundred pictures: %d", many.Status)
		}
	})
}

func unescaped(s string) string { return strings.ReplaceAll(s, "&amp;", "&") }

// TestSuspicion: 4.4, where nobody is suspected nothing is asked, and who is is let through by the check.
func TestSuspicion(t *testing.T) {
	work := func(b *browser, button string, pairs ...string) *browser {
		t.Helper()
		return b.submit(button, append(pairs, "human-work", worked(b.challenge(button)))...)
	}
	t.Run("register", func(t *testing.T) {
		w := humanWorld(t, account.HumanSuspicion)
		for i := 1; i <= 3; i++ {
			b := w.browser(t)
			b.get("/register").register("ada"+strconv.Itoa(i)+"@example.test").want(200, "waiting")
		}
		b := w.browser(t)
		asks["register"].open(b, "ada4@example.test")
		if b.has("human") {
			t.Error("asked before it is known to be wanted")
		}
		b.submit("terms-submit", "terms-email", "ada4@example.test").want(422, "human")
		work(b, "terms-submit", "terms-email", "ada4@example.test").want(200, "waiting")
	})
	t.Run("recover", func(t *testing.T) {
		w := humanWorld(t, account.HumanSuspicion)
		for range 3 {
			w.browser(t).get("/recover").submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
		}
		b := w.browser(t).get("/recover").submit("recover-submit", "email", "ada@example.test").want(422, "human")
		work(b, "recover-submit", "email", "ada@example.test").want(200, "go-on")
	})
	t.Run("sign in", func(t *testing.T) {
		scrub := regexp.MustCompile(`value="[^"]{20,}"|c=[A-Za-z0-9_-]{20,}|nonce="[^"]+"|(?:ada|bob)@example\.test`)
		var pages []string
		for _, email := range []string{"ada@example.test", "bob@example.test"} {
			w := humanWorld(t, account.HumanSuspicion)
			w.person("ada@example.test")
			for i := 1; i <= 10; i++ {
				b := w.browser(t).get("/login?next=profile")
				b.submit("login-submit", "username", email, "password", "not this one").want(422, "login-submit")
				if b.has("human") != (i == 10) {
					t.Errorf("%s, try %d: asked: %v", email, i, b.has("human"))
				}
			}
			// Denied, and looked at and wrong: one page, for known and unknown.
			b := w.browser(t).get("/login?next=profile").submit("login-submit", "username", email, "password", password).want(422, "human")
			pages = append(pages, scrub.ReplaceAllString(b.Body, "-"))
			work(b, "login-submit", "username", email, "password", "not this one").want(422, "human")
			pages = append(pages, scrub.ReplaceAllString(b.Body, "-"))
			if email == "ada@example.test" {
				work(b, "login-submit", "username", email, "password", password).want(200, "profile-submit")
			}
		}
		for i, page := range pages {
			if page != pages[0] {
				t.Errorf("page %d differs:\n%s\n%s", i, page, pages[0])
			}
		}
	})
	t.Run("never", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(t)
		for range 12 {
			b.get("/login").submit("login-submit", "username", "ada@example.test", "password", "not this one").want(422, "login-submit")
		}
		if b.has("human") {
			t.Error("asked")
		}
	})
}

// TestHumanService: a service of others, whose pages are let in only where it is configured, and what happens when it is down.
func TestHumanService(t *testing.T) {
	up := true
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = r.ParseForm()
		_, _ = w.Write([]byte(`{"success":` + strconv.FormatBool(strings.HasPrefix(r.PostForm.Get("response"), "good")) +
			`,"hostname":"op.test","challenge_ts":"` + time.Now().UTC().Format(time.RFC3339) + `","error-codes":[]}`))
	}))
	t.Cleanup(service.Close)
	out := must(outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(service.URL, "http://")}}))
	serve := func(t *testing.T, vendor string) *world {
		w := humanWorld(t, account.HumanAlways)
		w.signin.Human = must(human.NewVerifier(human.VerifierConfig{Store: w.store, Sealer: humanSealer, Now: w.clock, Outbound: out, Logger: slog.New(slog.DiscardHandler),
			Host: "op.test", Vendor: vendor, URL: service.URL, SiteKey: "the-site-key", Secret: "the-secret"}))
		return w
	}
	t.Run("5.2 what the pages let in", func(t *testing.T) {
		for vendor, sources := range map[string][]string{
			"turnstile":    {"script-src 'nonce-N' https://challenges.cloudflare.com;", "frame-src https://challenges.cloudflare.com"},
			"hcaptcha":     {"script-src 'nonce-N' https://hcaptcha.com https://*.hcaptcha.com;", "frame-src https://hcaptcha.com https://*.hcaptcha.com", "style-src 'self' https://hcaptcha.com https://*.hcaptcha.com;", "connect-src 'self' https://hcaptcha.com https://*.hcaptcha.com"},
			"recaptcha":    {"script-src 'nonce-N' https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/;", "frame-src https://www.google.com/recaptcha/"},
			"recaptcha_v3": {"script-src 'nonce-N' https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/;"},
		} {
			w := serve(t, vendor)
			for form, at := range asks {
				b := w.browser(t)
				at.open(b, "ada@example.test")
				csp := regexp.MustCompile(`'nonce-[^']+'`).ReplaceAllString(b.Header.Get("Content-Security-Policy"), "'nonce-N'")
				for _, source := range sources {
					if !strings.Contains(csp+";", source) {
						t.Errorf("%s, %s: %q lacks %q", vendor, form, csp, source)
					}
				}
				for _, directive := range []string{"script-src", "frame-src", "style-src", "connect-src"} {
					if strings.Count(csp, directive+" ") > 1 {
						t.Errorf("%s: %s twice: a browser reads the first: %q", vendor, directive, csp)
					}
				}
				if !b.has("human") || !strings.Contains(b.Body, "the-site-key") || strings.Contains(b.Body, "the-secret") {
					t.Errorf("%s, %s: it is not shown", vendor, form)
				}
			}
			if b := w.browser(t).get("/register"); strings.Contains(b.Header.Get("Content-Security-Policy"), "https:") {
				t.Errorf("%s: a page without it: %q", vendor, b.Header.Get("Content-Security-Policy"))
			}
			if b := w.browser(t).get("/login"); b.send(http.MethodGet, "/human/picture?c=x", "", "").Status != 404 {
				t.Errorf("%s: pictures of ours: %d", vendor, b.Status)
			}
		}
	})
	for form, at := range asks {
		t.Run("A21 "+form, func(t *testing.T) {
			w := serve(t, "recaptcha")
			const email = "ada@example.test"
			if form != "register" {
				w.person(email)
			}
			send := func(b *browser, pairs ...string) *browser {
				t.Helper()
				return b.submit(at.button, append(at.fill(email), pairs...)...)
			}
			b := w.browser(t)
			at.open(b, email)
			send(b).want(422, "human")
			send(b, "g-recaptcha-response", "bad").want(422, "human")
			send(b, "g-recaptcha-response", strings.Repeat("good", 1<<12)).want(422, "human")
			up = false
			defer func() { up = true }()
			down := b.clone()
			send(down, "g-recaptcha-response", "good1")
			if form == "sign in" { // by its limits alone
				if down.Status != 200 || down.URL != at.done {
					t.Errorf("the service is down: %d at %s", down.Status, down.URL)
				}
			} else if down.Status != http.StatusServiceUnavailable || down.Header.Get("Retry-After") == "" {
				t.Errorf("the service is down: %d", down.Status)
			}
			up = true
			used := w.browser(t)
			at.open(used, email)
			if send(used, "g-recaptcha-response", "good2"); used.Status != 200 || strings.Split(used.URL, "?")[0] != at.done {
				t.Errorf("a person: %d at %s", used.Status, used.URL)
			}
			again := w.browser(t)
			at.open(again, email)
			send(again, "g-recaptcha-response", "good2").want(422, "human")
		})
	}
}

// TestAllow: 4.10, a hundred wrong passwords in a row, and the owner at a new browser.
func TestAllow(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	known := w.browser(t).login("ada@example.test")
	known.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "")
	w.bar(t, "ada@example.test")
	stranger := w.browser(t).login("ada@example.test").want(422, "login-submit")
	if !strings.Contains(stranger.Body, "login-submit") || stranger.jar["__Host-sid"] != "" {
		t.Error("signed in")
	}
	link := w.mailed(t)
	w.browser(t).send(http.MethodHead, link, "", "")
	b := w.browser(t).get(link).want(200, "allow-submit")
	if w.browser(t).login("ada@example.test").want(422, "login-submit"); b.jar["__Host-dev"] != "" {
		t.Error("looking at the link changes something")
	}
	b.submit("allow-submit").want(200, "login-submit")
	if b.jar["__Host-sid"] != "" {
		t.Error("the link signs in")
	}
	w.browser(t).get(link).want(404, "")
	b.submit("login-submit", "username", "ada@example.test", "password", "not this one").want(422, "login-submit")
	b.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "")
	b.get("/account/profile").want(200, "profile-submit")
	if b.get("/account/activity"); !strings.Contains(b.Body, "by mail") {
		t.Error("the owner does not see it")
	}
	// A right password begins anew, for all browsers.
	w.browser(t).login("ada@example.test").get("/account/profile").want(200, "profile-submit")
	w.bar(t, "ada@example.test")
	known.login("ada@example.test").get("/account/profile").want(200, "profile-submit")
}

// bar has an account guessed at a hundred times, as days of tries do.
func (w *world) bar(t *testing.T, email string) {
	t.Helper()
	found := must(w.store.ByAddress(t.Context(), email, nil, w.clock()))
	for range 100 {
		if err := w.store.CountGuess(t.Context(), found[0].PasswordID); err != nil {
			t.Fatal(err)
		}
	}
}
