package account_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestChangeAddress: 4.15, another address in the old one's place.
func TestChangeAddress(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		ask := func(id, email string) error {
			return w.AskAddress(ctx, account.AddressChange{AccountID: id, Email: email, IP: ip()})
		}
		link := func(id, email string) string {
			w.t.Helper()
			if err := ask(id, email); err != nil {
				w.t.Fatal(err)
			}
			return w.link(email, "account/address/confirm")
		}
		email := func(id string) string { return must(w.Profile(ctx, id)).Email }
		w.run(t, "the new one is proven, the old one is told", func(t *testing.T) {
			who := w.member("old@m.test", goodPassword)
			w.open(t, who.AccountID)
			older := link(who.AccountID, "other@m.test")
			token := link(who.AccountID, "New@m.test")
			if email(who.AccountID) != "old@m.test" {
				t.Error("it has changed before anything was proven")
			}
			if _, err := w.ReadAddress(ctx, older, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("an older link: %v", err)
			}
			if v, err := w.ReadAddress(ctx, token, who.AccountID); err != nil || v.Email != "New@m.test" {
				t.Errorf("%+v %v", v, err)
			}
			if err := w.ChangeAddress(ctx, token, who.AccountID); err != nil {
				t.Fatal(err)
			}
			if email(who.AccountID) != "New@m.test" {
				t.Errorf("it is %s", email(who.AccountID))
			}
			if _, err := w.signIn("new@m.test", goodPassword, nil); err != nil {
				t.Errorf("with the new address: %v", err)
			}
			if _, err := w.signIn("old@m.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("with the old address: %v", err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 1 {
				t.Errorf("%d logins", len(l))
			}
			if err := w.ChangeAddress(ctx, token, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			if m := w.last("old@m.test"); !strings.Contains(m.Subject, "address at") {
				t.Errorf("the old address was told %q", m.Subject)
			}
		})
		w.run(t, "undone from the old address, for seven days, whatever was done since", func(t *testing.T) {
			who := w.member("victim@m.test", goodPassword)
			// Somebody who has the password moves the account, changes the password, and moves on.
			if err := w.ChangeAddress(ctx, link(who.AccountID, "thief@m.test"), who.AccountID); err != nil {
				t.Fatal(err)
			}
			alarm := w.link("victim@m.test", "alarm")
			err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ChangeAddress(ctx, link(who.AccountID, "thief2@m.test"), who.AccountID); err != nil {
				t.Fatal(err)
			}
			waiting := link(who.AccountID, "thief3@m.test")
			w.pass(7*24*time.Hour - time.Minute)
			if v, err := w.ReadAlarm(ctx, alarm); err != nil || v.Email != "victim@m.test" {
				t.Fatalf("%+v %v", v, err)
			}
			w.limits.Add(1)
			if err := w.Alarm(ctx, alarm); err != nil {
				t.Fatal(err)
			}
			if email(who.AccountID) != "victim@m.test" {
				t.Errorf("the address is %s", email(who.AccountID))
			}
			if err := w.ChangeAddress(ctx, waiting, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("A13 a change that waited: %v", err)
			}
			if _, err := w.Recover(ctx, w.link("victim@m.test", "recover/password"), "her very own one"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("victim@m.test", "her very own one", nil); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "A13 a change that waits is dead after a recovery or another password", func(t *testing.T) {
			who := w.member("wait@m.test", goodPassword)
			token := link(who.AccountID, "wait2@m.test")
			if err := w.ask("wait@m.test"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, w.link("wait@m.test", "recover/password"), another); err != nil {
				t.Fatal(err)
			}
			if err := w.ChangeAddress(ctx, token, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
		})
		w.run(t, "a recovery that was mailed to the old address is dead after a move", func(t *testing.T) {
			who := w.member("rec@m.test", goodPassword)
			if err := w.ask("rec@m.test"); err != nil {
				t.Fatal(err)
			}
			recovery := w.link("rec@m.test", "recover/password")
			if err := w.ChangeAddress(ctx, link(who.AccountID, "rec2@m.test"), who.AccountID); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, recovery, another); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
		})
		w.run(t, "A9 A15 an address of another account: the same answer, and its owner is told", func(t *testing.T) {
			who, owner := w.member("me@m.test", goodPassword), w.member("taken@m.test", goodPassword)
			if err := ask(who.AccountID, "Taken@m.test"); err != nil {
				t.Error(err)
			}
			if m := w.last("taken@m.test"); !strings.Contains(m.Subject, "already have an account") || accountLink.MatchString(m.Text) {
				t.Errorf("the owner was told %q", m.Subject)
			}
			// One that somebody else proves while the link is under way; the owner's sign-in is not touched.
			token := link(who.AccountID, "late@m.test")
			late := w.member("late@m.test", goodPassword)
			if err := w.ChangeAddress(ctx, token, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
			for id, want := range map[string]string{who.AccountID: "me@m.test", owner.AccountID: "taken@m.test", late.AccountID: "late@m.test"} {
				if email(id) != want {
					t.Errorf("%s is %s", want, email(id))
				}
			}
			// A stranger's pending registration ends when the address is proven.
			_, l := w.register("pending@m.test", another)
			if err := w.ChangeAddress(ctx, w.linkAfter(func() error { return ask(who.AccountID, "pending@m.test") }, "pending@m.test"), who.AccountID); err != nil {
				t.Fatal(err)
			}
			if _, err := w.ReadConfirm(ctx, l.confirm, nil); !errors.Is(err, account.ErrLink) {
				t.Errorf("the stranger's link: %v", err)
			}
		})
		w.run(t, "A2 A3 the link is of one account, for a day, and for its purpose", func(t *testing.T) {
			who, bob := w.member("ann@m.test", goodPassword), w.member("bob@m.test", goodPassword)
			token := link(who.AccountID, "ann2@m.test")
			if _, err := w.ReadAddress(ctx, token, bob.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("bob reads it: %v", err)
			}
			if err := w.ChangeAddress(ctx, token, bob.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("bob follows it: %v", err)
			}
			if _, err := w.Recover(ctx, token, another); !errors.Is(err, account.ErrLink) {
				t.Errorf("as a recovery: %v", err)
			}
			w.pass(24 * time.Hour)
			if err := w.ChangeAddress(ctx, token, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("after a day: %v", err)
			}
			for _, bad := range []string{"", "x", "a@b\r\nBcc: c@d.test"} {
				if err := ask(who.AccountID, bad); fieldKey(err) != "error.email.invalid" {
					t.Errorf("%q: %v", bad, err)
				}
			}
			if err := ask(who.AccountID, "ANN@m.test"); fieldKey(err) != "address.same" {
				t.Error(err)
			}
		})
		w.run(t, "two accounts prove one address at the same moment: one has it", func(t *testing.T) {
			ids, tokens := make([]string, 4), make([]string, 4)
			for i := range ids {
				w.limits.Add(1)
				ids[i] = w.member("race"+string(rune('a'+i))+"@m.test", goodPassword).AccountID
				tokens[i] = w.linkAfter(func() error { return ask(ids[i], "prize@m.test") }, "prize@m.test")
			}
			var wait sync.WaitGroup
			errs := make([]error, len(ids))
			for i := range ids {
				wait.Go(func() { errs[i] = w.ChangeAddress(ctx, tokens[i], ids[i]) })
			}
			wait.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, account.ErrLink) {
					t.Error(err)
				}
			}
			if won != 1 {
				t.Errorf("%d have it", won)
			}
		})
	})
}

// linkAfter is the token of the mail that act causes.
func (w *world) linkAfter(act func() error, to string) string {
	w.t.Helper()
	before := len(w.letters(to))
	if err := act(); err != nil {
		w.t.Fatal(err)
	}
	if len(w.letters(to)) != before+1 {
		w.t.Fatalf("no mail to %s", to)
	}
	return w.link(to, "account/address/confirm")
}
