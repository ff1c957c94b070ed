package account_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestNewBrowser: 4.19, the owner is told of a sign-in from a browser that the account does not know.
func TestNewBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		enter := func(t *testing.T, email, password, known string, b account.Browser) *account.Authenticated {
			t.Helper()
			who, err := w.Authenticate(ctx, account.Attempt{Email: email, Password: password, Known: known, IP: ip()})
			if err == nil {
				err = w.store.InTx(ctx, func(ctx context.Context) error { return w.TellNewBrowser(ctx, *who, b) })
			}
			if err != nil {
				t.Fatal(err)
			}
			return who
		}
		told := func(email string) (n int) {
			for _, l := range w.letters(email) {
				if strings.HasPrefix(l.Subject, "New sign-in") {
					n++
				}
			}
			return n
		}
		firefox := account.Browser{Name: "Firefox", System: "Linux", Network: "203.0.113.0/24"}
		w.run(t, "once for each, and what it says", func(t *testing.T) {
			w.member("ada@n.test", goodPassword) // confirmed in the browser that registered, which is signed in by that
			who := enter(t, "ada@n.test", goodPassword, "", firefox)
			if told("ada@n.test") != 1 {
				t.Fatalf("%d mails about the second browser", told("ada@n.test"))
			}
			l := w.last("ada@n.test")
			for _, body := range []string{l.Text, l.HTML} {
				for _, want := range []string{"Firefox", "Linux", "203.0.113.0/24", w.cfg.Now().Format("2006-01-02 "), "https://op.test/alarm?t="} {
					if !strings.Contains(body, want) {
						t.Errorf("no %q in:\n%s", want, body)
					}
				}
			}
			cookie := w.KnowDevice("", who.Credential)
			enter(t, "ada@n.test", goodPassword, cookie, firefox)
			if told("ada@n.test") != 1 {
				t.Error("a known browser is told of")
			}
			if _, err := w.signIn("ada@n.test", "not this one", nil); !errors.Is(err, account.ErrCredentials) || told("ada@n.test") != 1 {
				t.Errorf("a wrong password is told of: %v", err)
			}
			enter(t, "ada@n.test", goodPassword, w.KnowDevice("", "another credential"), account.Browser{})
			if told("ada@n.test") != 2 || !strings.Contains(w.last("ada@n.test").Text, "an unknown browser") || strings.Contains(w.last("ada@n.test").Text, "network") {
				t.Errorf("%d; the last is\n%s", told("ada@n.test"), w.last("ada@n.test").Text)
			}
			alarm := w.link("ada@n.test", "alarm")
			if err := w.Alarm(ctx, alarm); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("ada@n.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("after the alarm: %v", err)
			}
			if l := w.last("ada@n.test"); !strings.Contains(l.Subject, "is locked") || w.link("ada@n.test", "recover/password") == "" {
				t.Errorf("after the alarm there is:\n%s\n%s", l.Subject, l.Text)
			}
		})
		w.run(t, "the first sign-in of an account that was confirmed elsewhere is no news", func(t *testing.T) {
			_, l := w.register("bob@n.test", goodPassword)
			must(w.Confirm(ctx, account.ConfirmInput{Token: l.confirm, FlowHash: browser(), Password: goodPassword, IP: ip()}))
			enter(t, "bob@n.test", goodPassword, "", firefox)
			if told("bob@n.test") != 0 {
				t.Error("told of the first sign-in")
			}
			enter(t, "bob@n.test", goodPassword, "", firefox)
			if told("bob@n.test") != 1 {
				t.Errorf("%d mails after the second", told("bob@n.test"))
			}
		})
		w.run(t, "the first one with a later password is", func(t *testing.T) {
			who := w.member("cyd@n.test", goodPassword)
			w.pass(time.Hour)
			password := "another good one, chosen later"
			must(w.Set(ctx, who.AccountID, account.Change{Password: &password}))
			enter(t, "cyd@n.test", password, "", firefox)
			if told("cyd@n.test") != 1 {
				t.Errorf("%d mails", told("cyd@n.test"))
			}
		})
		w.run(t, "a budget", func(t *testing.T) {
			w.member("dan@n.test", goodPassword)
			for range 8 {
				enter(t, "dan@n.test", goodPassword, "", firefox)
			}
			if told("dan@n.test") != 5 {
				t.Errorf("%d mails", told("dan@n.test"))
			}
		})
		w.run(t, "no statement more for a known browser, and none outside of the sign-in's transaction for a new one", func(t *testing.T) {
			w.member("eve@n.test", goodPassword)
			who := must(w.Authenticate(ctx, account.Attempt{Email: "eve@n.test", Password: goodPassword, IP: ip()}))
			known := w.KnowDevice("", who.Credential)
			try := func(known string) (calls, within string) {
				calls = w.store.during(func() {
					who = must(w.Authenticate(ctx, account.Attempt{Email: "eve@n.test", Password: goodPassword, Known: known, IP: ip()}))
				})
				within = w.store.during(func() {
					if err := w.store.InTx(ctx, func(ctx context.Context) error { return w.TellNewBrowser(ctx, *who, firefox) }); err != nil {
						t.Fatal(err)
					}
				})
				return strings.ReplaceAll(calls, "login-device", "login-address"), within
			}
			old, oldWithin := try(known)
			fresh, freshWithin := try("")
			fresh = strings.NewReplacer(" Take:login-account", "", " Refund:login-account", "").Replace(fresh) // strangers' tries count twice
			if old != fresh || oldWithin != "" || freshWithin != "Take:new-browser" {
				t.Errorf("known: %s | %s\nnew:   %s | %s", old, oldWithin, fresh, freshWithin)
			}
		})
	})
}

// TestDevice: security.md §6, strangers who guess do not keep the owner out of the browser that the account knows.
func TestDevice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		try := func(email, password, known string) (*account.Authenticated, error) {
			return w.Authenticate(ctx, account.Attempt{Email: email, Password: password, Known: known, IP: ip()})
		}
		// exhaust uses up the budget that the browser has of the account, and tells how much it was.
		exhaust := func(email, known string) (n int) {
			for n < 50 {
				if _, err := try(email, "not this one", known); !errors.Is(err, account.ErrCredentials) {
					return n
				}
				n++
			}
			return n
		}
		known := func(email, had string) string {
			t.Helper()
			who := must(try(email, goodPassword, had))
			return w.KnowDevice(had, who.Credential)
		}
		w.run(t, "two budgets", func(t *testing.T) {
			w.member("owner@d.test", goodPassword)
			laptop := known("owner@d.test", "")
			phone := known("owner@d.test", "")
			if n := exhaust("owner@d.test", ""); n != 10 {
				t.Errorf("%d guesses of strangers were looked at", n)
			}
			if _, err := try("owner@d.test", goodPassword, ""); !errors.Is(err, account.ErrLimited) {
				t.Errorf("from an unknown browser: %v", err)
			}
			if _, err := try("owner@d.test", goodPassword, laptop); err != nil {
				t.Errorf("from the laptop: %v", err)
			}
			if n := exhaust("owner@d.test", laptop); n != 10 {
				t.Errorf("%d guesses were looked at on the laptop", n)
			}
			if _, err := try("owner@d.test", goodPassword, phone); err != nil {
				t.Errorf("from the phone: %v", err)
			}
		})
		w.run(t, "one browser has one budget, however often it signs in", func(t *testing.T) {
			w.member("often@d.test", goodPassword)
			first := known("often@d.test", "")
			exhaust("often@d.test", first)
			w.clock.Add(int64(time.Hour))
			who := must(try("often@d.test", goodPassword, ""))
			again := w.KnowDevice(first, who.Credential)
			if _, err := try("often@d.test", goodPassword, again); !errors.Is(err, account.ErrLimited) || again == first {
				t.Errorf("%v", err)
			}
		})
		w.run(t, "what is no budget of its own", func(t *testing.T) {
			who := w.member("victim@d.test", goodPassword)
			w.member("mallory@d.test", goodPassword)
			mine := known("victim@d.test", "")
			others := known("mallory@d.test", "")
			old := known("victim@d.test", "")
			exhaust("victim@d.test", "")
			last := mine[len(mine)-1:]
			forged := mine[:len(mine)-1] + map[bool]string{true: "A", false: "Q"}[last != "A"]
			many := strings.Repeat(mine+".", 5) + mine
			for name, value := range map[string]string{
				"another account's": others, "forged": forged, "cut": mine[:20], "text": "hello", "too many": many,
				"of its own making": w.KnowDevice("", "another credential"),
			} {
				if _, err := try("victim@d.test", goodPassword, value); !errors.Is(err, account.ErrLimited) {
					t.Errorf("%s: %v", name, err)
				}
			}
			w.clock.Add(int64(181 * 24 * time.Hour))
			if _, err := try("victim@d.test", goodPassword, old); !errors.Is(err, account.ErrLimited) {
				t.Errorf("too old: %v", err)
			}
			w.clock.Add(-int64(181 * 24 * time.Hour))
			if _, err := try("victim@d.test", goodPassword, mine); err != nil {
				t.Errorf("a good one is refused too: %v", err)
			}
			password := "another good one, chosen later"
			must(w.Set(ctx, who.AccountID, account.Change{Password: &password}))
			if _, err := try("victim@d.test", password, mine); !errors.Is(err, account.ErrLimited) {
				t.Errorf("after another password: %v", err)
			}
		})
		w.run(t, "several accounts in one browser", func(t *testing.T) {
			cookie := ""
			emails := []string{"a@s.d.test", "b@s.d.test", "c@s.d.test", "d@s.d.test", "e@s.d.test", "f@s.d.test"}
			for _, email := range emails {
				w.member(email, goodPassword)
				cookie = known(email, cookie)
			}
			again := known("f@s.d.test", cookie)
			if strings.Count(cookie, ".") != 4 || strings.Count(again, ".") != 4 {
				t.Errorf("%s\n%s", cookie, again)
			}
			for i, email := range emails {
				exhaust(email, "")
				if _, err := try(email, goodPassword, again); (err == nil) != (i > 0) {
					t.Errorf("%s: %v", email, err)
				}
			}
		})
	})
}
