package account_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

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
