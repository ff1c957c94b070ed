package account_test

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

var allowPattern = regexp.MustCompile(`https://op\.test/allow\?\S+`)

// TestHundred: 4.10, the end of security.md §6: never a lock, and no guess past the hundredth.
func TestHundred(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		try := func(email, password, known string) (*account.Authenticated, error) {
			w.limits.Add(1) // time goes by: the budgets are whole again
			return w.Authenticate(ctx, account.Attempt{Email: email, Password: password, Known: known, IP: ip()})
		}
		guess := func(t *testing.T, n int, email, known string) {
			t.Helper()
			for i := range n {
				if _, err := try(email, "not this one", known); !errors.Is(err, account.ErrCredentials) {
					t.Fatalf("%s, %d: %v", email, i, err)
				}
			}
		}
		links := func(email string) (tokens []string) {
			for _, l := range w.letters(email) {
				if found := allowPattern.FindString(l.Text); found != "" {
					tokens = append(tokens, must(url.Parse(found)).Query().Get("t"))
				}
			}
			return tokens
		}
		w.run(t, "the hundredth, and what goes on", func(t *testing.T) {
			who := w.member("owner@x.test", goodPassword)
			laptop := w.KnowDevice("", must(try("owner@x.test", goodPassword, "")).Credential)
			guess(t, 99, "owner@x.test", "")
			if _, err := try("owner@x.test", goodPassword, ""); err != nil {
				t.Fatalf("after 99: %v", err)
			}
			guess(t, 100, "owner@x.test", "") // the right one has begun anew
			if n := len(links("owner@x.test")); n != 0 {
				t.Errorf("%d mails before it is wanted", n)
			}
			hashes := w.Hashes()
			if _, err := try("owner@x.test", goodPassword, ""); !errors.Is(err, account.ErrCredentials) || err.Error() != account.ErrCredentials.Error() {
				t.Fatalf("after 100: %v", err)
			}
			if w.Hashes() != hashes+1 {
				t.Error("no password is hashed: that can be measured")
			}
			if a := must(w.Show(ctx, who.AccountID)); a.State != account.Active {
				t.Errorf("the account is %s", a.State)
			}
			tokens := links("owner@x.test")
			if len(tokens) != 1 {
				t.Fatalf("%d mails", len(tokens))
			}
			guess(t, 5, "owner@x.test", laptop)
			if _, err := try("owner@x.test", goodPassword, ""); err == nil {
				t.Error("guesses in a known browser opened it")
			}
			for range 2 {
				if v := must(w.ReadAllow(ctx, tokens[0])); v.Email != "owner@x.test" {
					t.Errorf("%+v", v)
				}
			}
			once(t, 8, account.ErrLink, func(int) error {
				credential, err := w.Allow(ctx, tokens[0])
				if err != nil {
					return err
				}
				phone := w.KnowDevice("", credential)
				if _, err := try("owner@x.test", "not this one", phone); !errors.Is(err, account.ErrCredentials) {
					t.Errorf("the phone, a wrong one: %v", err)
				}
				if _, err := try("owner@x.test", goodPassword, ""); err == nil {
					t.Error("the link opened it for all")
				}
				_, err = try("owner@x.test", goodPassword, phone)
				return err
			})
			if _, err := try("owner@x.test", goodPassword, ""); err != nil {
				t.Errorf("after a right one: %v", err)
			}
		})
		w.run(t, "the operator lets every browser again", func(t *testing.T) {
			who := w.member("cleared@x.test", goodPassword)
			w.member("other@x.test", goodPassword)
			guess(t, 101, "cleared@x.test", "")
			guess(t, 101, "other@x.test", "")
			if err := w.ForgetGuesses(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			if _, err := try("cleared@x.test", goodPassword, ""); err != nil {
				t.Error(err)
			}
			if _, err := try("other@x.test", goodPassword, ""); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("another account too: %v", err)
			}
		})
		w.run(t, "known browsers go on", func(t *testing.T) {
			w.member("laptop@x.test", goodPassword)
			laptop := w.KnowDevice("", must(try("laptop@x.test", goodPassword, "")).Credential)
			guess(t, 101, "laptop@x.test", "")
			if _, err := try("laptop@x.test", goodPassword, laptop); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "a new password begins anew, and the old links are dead", func(t *testing.T) {
			w.member("again@x.test", goodPassword)
			guess(t, 101, "again@x.test", "")
			if err := w.AskRecovery(ctx, account.RecoveryRequest{Email: "again@x.test", Language: "en", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			old := links("again@x.test")
			must(w.Recover(ctx, w.link("again@x.test", "recover/password"), "another anvil under rain", ""))
			if _, err := try("again@x.test", "another anvil under rain", ""); err != nil {
				t.Error(err)
			}
			if _, err := w.Allow(ctx, old[0]); !errors.Is(err, account.ErrLink) {
				t.Errorf("an old link: %v", err)
			}
		})
		w.run(t, "who was not it locks the account by the same mail, and no browser is let in by it any more", func(t *testing.T) {
			w.member("guessed@x.test", goodPassword)
			guess(t, 101, "guessed@x.test", "")
			allow := links("guessed@x.test")
			if err := w.Alarm(ctx, w.link("guessed@x.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Allow(ctx, allow[0]); !errors.Is(err, account.ErrLink) {
				t.Errorf("the other link: %v", err)
			}
			must(w.Recover(ctx, w.link("guessed@x.test", "recover/password"), "another anvil under rain", ""))
			if _, err := try("guessed@x.test", "another anvil under rain", ""); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "A22 the owner has few mails, however long it goes on", func(t *testing.T) {
			w.member("mails@x.test", goodPassword)
			guess(t, 100, "mails@x.test", "")
			for range 10 { // within the hour: the budget of these mails is not made whole
				if _, err := w.Authenticate(ctx, account.Attempt{Email: "mails@x.test", Password: "not this one", IP: ip()}); err == nil {
					t.Fatal("signed in")
				}
			}
			if n := len(links("mails@x.test")); n != 2 {
				t.Errorf("%d mails", n)
			}
		})
		w.run(t, "A15 unknown addresses make the same work", func(t *testing.T) {
			w.member("known@x.test", goodPassword)
			work := func(email string) string {
				return w.store.during(func() { guess(t, 1, email, "") })
			}
			want := work("known@x.test")
			for i := range 3 {
				if got := work(fmt.Sprintf("unknown%d@x.test", i)); got != want {
					t.Errorf("%s\nknown:\n%s", got, want)
				}
			}
		})
	})
}
