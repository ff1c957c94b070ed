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
			if err := w.ProveAddress(ctx, token, who.AccountID, true); err != nil {
				t.Fatal(err)
			}
			if email(who.AccountID) != "New@m.test" {
				t.Errorf("it is %s", email(who.AccountID))
			}
			if _, err := w.signIn("new@m.test", goodPassword, nil); err != nil {
				t.Errorf("with the new address: %v", err)
			}
			if in, err := w.signIn("old@m.test", goodPassword, nil); err != nil || in.AccountID != who.AccountID {
				t.Errorf("with the old address, which stays: %+v %v", in, err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 1 {
				t.Errorf("%d logins", len(l))
			}
			if err := w.ProveAddress(ctx, token, who.AccountID, true); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			if m := w.last("old@m.test"); !strings.Contains(m.Subject, "main address") {
				t.Errorf("the old address was told %q", m.Subject)
			}
		})
		w.run(t, "undone from the old address, for seven days, whatever was done since", func(t *testing.T) {
			who := w.member("victim@m.test", goodPassword)
			// Somebody who has the password moves the account, changes the password, and moves on.
			if err := w.ProveAddress(ctx, link(who.AccountID, "thief@m.test"), who.AccountID, true); err != nil {
				t.Fatal(err)
			}
			alarm := w.link("victim@m.test", "alarm")
			_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ProveAddress(ctx, link(who.AccountID, "thief2@m.test"), who.AccountID, true); err != nil {
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
			if err := w.ProveAddress(ctx, waiting, who.AccountID, true); !errors.Is(err, account.ErrLink) {
				t.Errorf("A13 a change that waited: %v", err)
			}
			if _, err := w.Recover(ctx, w.link("victim@m.test", "recover/password"), "her very own one", ""); err != nil {
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
			if _, err := w.Recover(ctx, w.link("wait@m.test", "recover/password"), another, ""); err != nil {
				t.Fatal(err)
			}
			if err := w.ProveAddress(ctx, token, who.AccountID, true); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
		})
		w.run(t, "a recovery that was mailed to the old address is dead after a move", func(t *testing.T) {
			who := w.member("rec@m.test", goodPassword)
			if err := w.ask("rec@m.test"); err != nil {
				t.Fatal(err)
			}
			recovery := w.link("rec@m.test", "recover/password")
			if err := w.ProveAddress(ctx, link(who.AccountID, "rec2@m.test"), who.AccountID, true); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, recovery, another, ""); !errors.Is(err, account.ErrLink) {
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
			if err := w.ProveAddress(ctx, token, who.AccountID, true); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
			for id, want := range map[string]string{who.AccountID: "me@m.test", owner.AccountID: "taken@m.test", late.AccountID: "late@m.test"} {
				if email(id) != want {
					t.Errorf("%s is %s", want, email(id))
				}
			}
			// A stranger's pending registration ends when the address is proven.
			_, l := w.register("pending@m.test", another)
			if err := w.ProveAddress(ctx, w.linkAfter(func() error { return ask(who.AccountID, "pending@m.test") }, "pending@m.test", "account/address/confirm"), who.AccountID, true); err != nil {
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
			if err := w.ProveAddress(ctx, token, bob.AccountID, true); !errors.Is(err, account.ErrLink) {
				t.Errorf("bob follows it: %v", err)
			}
			if _, err := w.Recover(ctx, token, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("as a recovery: %v", err)
			}
			w.pass(24 * time.Hour)
			if err := w.ProveAddress(ctx, token, who.AccountID, true); !errors.Is(err, account.ErrLink) {
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
				tokens[i] = w.linkAfter(func() error { return ask(ids[i], "prize@m.test") }, "prize@m.test", "account/address/confirm")
			}
			once(t, len(ids), account.ErrLink, func(i int) error { return w.ProveAddress(ctx, tokens[i], ids[i], true) })
		})
	})
}

// TestThief: somebody has the password, or an open browser, and wants to keep the account from its owner.
func TestThief(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		// move leaves nothing of the address before.
		move := func(id, email string) {
			w.t.Helper()
			w.limits.Add(1)
			old := must(w.Addresses(ctx, id)).Proven[0]
			ask := func() error {
				return w.AskAddress(ctx, account.AddressChange{AccountID: id, Email: email, IP: ip()})
			}
			if err := w.ProveAddress(ctx, w.linkAfter(ask, email, "account/address/confirm"), id, true); err != nil {
				w.t.Fatal(err)
			}
			if err := w.RemoveAddress(ctx, id, old.ID); err != nil {
				w.t.Fatal(err)
			}
		}
		email := func(id string) string { return must(w.Show(ctx, id)).Email }
		back := func(owner string) {
			w.t.Helper()
			if _, err := w.Recover(ctx, w.link(owner, "recover/password"), "her very own one", ""); err != nil {
				w.t.Fatal(err)
			}
			if in, err := w.signIn(owner, "her very own one", nil); err != nil || in.AccountID == "" {
				w.t.Errorf("%+v %v", in, err)
			}
		}
		w.run(t, "his own alarms end with the owner's, which is older", func(t *testing.T) {
			who := w.member("a@t.test", goodPassword)
			move(who.AccountID, "thief@t.test")
			owners := w.link("a@t.test", "alarm")
			var his []string
			for _, p := range []string{another, another + "!"} {
				current := goodPassword
				if len(his) > 0 {
					current = another
				}
				if _, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: current, New: p, IP: ip()}); err != nil {
					t.Fatal(err)
				}
				his = append(his, w.link("thief@t.test", "alarm"))
			}
			// He presses one first: that wins him nothing, for hers is older.
			if err := w.Alarm(ctx, his[0]); err != nil {
				t.Fatal(err)
			}
			if err := w.Alarm(ctx, owners); err != nil {
				t.Fatal(err)
			}
			for _, l := range his {
				if err := w.Alarm(ctx, l); !errors.Is(err, account.ErrLink) {
					t.Errorf("his alarm after hers: %v", err)
				}
			}
			if email(who.AccountID) != "a@t.test" {
				t.Errorf("it is at %s", email(who.AccountID))
			}
			if m := w.last("thief@t.test"); accountLink.MatchString(m.Text) || !strings.Contains(m.Subject, "any more") {
				t.Errorf("he was told %q\n%s", m.Subject, m.Text)
			}
			back("a@t.test")
		})
		w.run(t, "an account that he has closed is opened by the alarm", func(t *testing.T) {
			who := w.member("b@t.test", goodPassword)
			move(who.AccountID, "thief-b@t.test")
			owners := w.link("b@t.test", "alarm")
			if err := w.Close(ctx, who.AccountID, "thief-b@t.test"); err != nil {
				t.Fatal(err)
			}
			reopen := w.link("thief-b@t.test", "reopen")
			if err := w.Alarm(ctx, owners); err != nil {
				t.Fatal(err)
			}
			if err := w.Reopen(ctx, reopen); !errors.Is(err, account.ErrLink) {
				t.Errorf("his link: %v", err)
			}
			back("b@t.test")
		})
		w.run(t, "an owner who has registered anew meanwhile leads him nowhere", func(t *testing.T) {
			who := w.member("c@t.test", goodPassword)
			move(who.AccountID, "thief-c@t.test")
			owners := w.link("c@t.test", "alarm")
			again := w.member("c@t.test", goodPassword)
			before := len(w.letters("thief-c@t.test"))
			if err := w.Alarm(ctx, owners); err != nil {
				t.Fatal(err)
			}
			if a := must(w.Show(ctx, who.AccountID)); a.State != account.Disabled {
				t.Errorf("the account is %s", a.State)
			}
			if err := w.ask("thief-c@t.test"); err != nil {
				t.Fatal(err)
			}
			for _, m := range w.letters("thief-c@t.test")[before:] {
				if accountLink.MatchString(m.Text) {
					t.Errorf("he has a link:\n%s", m.Text)
				}
			}
			if email(again.AccountID) != "c@t.test" {
				t.Error("the owner's new account was touched")
			}
		})
		w.run(t, "the mails that he causes leave the owner's her own", func(t *testing.T) {
			who := w.member("d@t.test", goodPassword)
			w.limits.Add(1)
			for range 10 {
				r := form("d@t.test", another)
				if _, err := w.Register(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			w.linkAfter(func() error { return w.ask("d@t.test") }, "d@t.test", "recover/password")
			// And with the budget of recoveries used up, her alarm still leads her back.
			if _, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()}); err != nil {
				t.Fatal(err)
			}
			alarm := w.link("d@t.test", "alarm")
			for range 10 {
				if err := w.ask("d@t.test"); err != nil {
					t.Fatal(err)
				}
			}
			w.linkAfter(func() error { return w.Alarm(ctx, alarm) }, "d@t.test", "recover/password")
			back("d@t.test")
		})
		w.run(t, "guesses at the password keep the owner from nothing after a recovery", func(t *testing.T) {
			who := w.member("e@t.test", goodPassword)
			for range 30 {
				_, _ = w.signIn("e@t.test", "not the one", nil)
			}
			if _, err := w.signIn("e@t.test", goodPassword, nil); !errors.Is(err, account.ErrLimited) {
				t.Fatalf("there is no limit: %v", err)
			}
			_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, LoginID: "hers", Current: goodPassword, New: another, IP: ip()})
			if err != nil {
				t.Errorf("from her own browser: %v", err)
			}
			if err := w.ask("e@t.test"); err != nil {
				t.Fatal(err)
			}
			back("e@t.test")
		})
		w.run(t, "the operator's word is the last", func(t *testing.T) {
			who := w.member("f@t.test", goodPassword)
			password := "the operator's one"
			for name, act := range map[string]func() error{
				"password": func() error {
					_, err := w.Set(ctx, who.AccountID, account.Change{Password: &password})
					return err
				},
				"disable": func() error {
					if _, err := w.Disable(ctx, who.AccountID); err != nil {
						return err
					}
					_, err := w.Enable(ctx, who.AccountID)
					return err
				},
			} {
				w.limits.Add(1)
				current := goodPassword
				if _, err := w.Set(ctx, who.AccountID, account.Change{Password: &current}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()}); err != nil {
					t.Fatal(err)
				}
				alarm := w.link("f@t.test", "alarm")
				if err := w.ask("f@t.test"); err != nil {
					t.Fatal(err)
				}
				recovery := w.link("f@t.test", "recover/password")
				if err := act(); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Recover(ctx, recovery, another, ""); !errors.Is(err, account.ErrLink) {
					t.Errorf("%s: a recovery from before: %v", name, err)
				}
				if err := w.Alarm(ctx, alarm); !errors.Is(err, account.ErrLink) {
					t.Errorf("%s: an alarm from before: %v", name, err)
				}
			}
		})
		w.run(t, "no more than ten changes at once: no mail is buried", func(t *testing.T) {
			who := w.member("g@t.test", goodPassword)
			limited := 0
			for range 20 {
				_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: goodPassword, IP: ip()})
				if errors.Is(err, account.ErrLimited) {
					limited++
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if limited != 10 {
				t.Errorf("%d of 20 were stopped", limited)
			}
		})
		w.run(t, "plus and dots make no other mail box", func(t *testing.T) {
			for i := range 6 {
				if err := w.ask("h.h+" + string(rune('a'+i)) + "@t.test"); err != nil {
					t.Fatal(err)
				}
				if err := w.ask(strings.Repeat("h.", i) + "h@t.test"); i > 0 && err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for i := range 6 {
				n += len(w.letters("h.h+" + string(rune('a'+i)) + "@t.test"))
			}
			if n > 3 {
				t.Errorf("%d mails", n)
			}
		})
		w.run(t, "what was read before somebody else was faster counts for nothing", func(t *testing.T) {
			for name, his := range map[string]func(id, thief string) error{
				"he asks for a recovery": func(_, thief string) error { return w.ask(thief) },
				"he asks for a move": func(id, thief string) error {
					return w.AskAddress(ctx, account.AddressChange{AccountID: id, Email: "next-" + thief, IP: ip()})
				},
				"he changes the password": func(id, _ string) error {
					_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: id, Current: goodPassword, New: another, IP: ip()})
					return err
				},
				"he closes it": func(id, thief string) error { return w.Close(ctx, id, thief) },
			} {
				owner := strings.ReplaceAll(name, " ", "-") + "@t.test"
				who := w.member(owner, goodPassword)
				move(who.AccountID, "thief-"+owner)
				alarm := w.link(owner, "alarm")
				w.limits.Add(1)
				w.store.first = func() {
					if err := w.Alarm(ctx, alarm); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				_ = his(who.AccountID, "thief-"+owner) // whatever he is told
				if m := w.last("thief-" + owner); accountLink.MatchString(m.Text) {
					t.Errorf("%s: he has a link:\n%s", name, m.Text)
				}
				if a := must(w.Show(ctx, who.AccountID)); a.Email != owner || a.State != account.Active {
					t.Errorf("%s: it is %s at %s", name, a.State, a.Email)
				}
				back(owner)
			}
			// And the other way: he is faster than her alarm.
			who := w.member("slow@t.test", goodPassword)
			if _, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()}); err != nil {
				t.Fatal(err)
			}
			alarm := w.link("slow@t.test", "alarm")
			w.store.first = func() { move(who.AccountID, "thief-slow@t.test") }
			if err := w.Alarm(ctx, alarm); err != nil {
				t.Fatal(err)
			}
			if email(who.AccountID) != "slow@t.test" {
				t.Errorf("it is at %s", email(who.AccountID))
			}
			back("slow@t.test")
		})
		w.run(t, "an alarm, a recovery and a change at the same moment: each is answered", func(t *testing.T) {
			for range 5 {
				w.limits.Add(1)
				email := random(9) + "@t.test"
				email = strings.NewReplacer("-", "x", "_", "y").Replace(email)
				who := w.member(email, goodPassword)
				if _, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: another, IP: ip()}); err != nil {
					t.Fatal(err)
				}
				alarm := w.link(email, "alarm")
				if err := w.ask(email); err != nil {
					t.Fatal(err)
				}
				recovery := w.link(email, "recover/password")
				var wait sync.WaitGroup
				errs := make([]error, 4)
				wait.Go(func() { errs[0] = w.Alarm(ctx, alarm) })
				wait.Go(func() { _, errs[1] = w.Recover(ctx, recovery, "a third one entirely", "") })
				wait.Go(func() {
					_, errs[2] = w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: another, New: goodPassword, IP: ip()})
				})
				wait.Go(func() { errs[3] = w.ask(email) })
				wait.Wait()
				if errs[0] != nil {
					t.Errorf("the alarm: %v", errs[0])
				}
				for _, err := range errs[1:] {
					if err != nil && !errors.Is(err, account.ErrLink) && !errors.Is(err, account.ErrPassword) {
						t.Error(err)
					}
				}
			}
		})
	})
}

// linkAfter is the token of the one mail that act causes, which leads to a page.
func (w *world) linkAfter(act func() error, to, page string) string {
	w.t.Helper()
	before := len(w.letters(to))
	if err := act(); err != nil {
		w.t.Fatal(err)
	}
	if len(w.letters(to)) != before+1 {
		w.t.Fatalf("%d mails to %s", len(w.letters(to))-before, to)
	}
	return w.link(to, page)
}
