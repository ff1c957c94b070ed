package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// add proves another address of an account, and gives its id.
func (w *world) add(id, email string, primary bool) string {
	w.t.Helper()
	ctx := w.t.Context()
	w.limits.Add(1)
	ask := func() error {
		return w.AskAddress(ctx, account.AddressChange{AccountID: id, Email: email, IP: ip()})
	}
	if err := w.ProveAddress(ctx, w.linkAfter(ask, email, "account/address/confirm"), id, primary); err != nil {
		w.t.Fatal(err)
	}
	return w.addressID(id, email)
}

func (w *world) addressID(id, email string) string {
	w.t.Helper()
	for _, a := range must(w.Addresses(w.t.Context(), id)).Proven {
		if a.Email == email {
			return a.ID
		}
	}
	w.t.Fatalf("the account has no %s", email)
	return ""
}

// has tells which addresses an account has, the primary one first.
func (w *world) has(id string) string {
	w.t.Helper()
	a := must(w.Show(w.t.Context(), id))
	return strings.Join(append([]string{a.Email}, a.Others...), " ")
}

// TestAddresses: 4.15, several addresses, one of them the primary.
func TestAddresses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "sign in, register and recover with any of them; sites get the primary one", func(t *testing.T) {
			who := w.member("ann@d.test", goodPassword)
			if err := w.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: "Ann@work.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if l := must(w.Addresses(ctx, who.AccountID)); l.Waiting != "Ann@work.test" || len(l.Proven) != 1 {
				t.Errorf("%+v", l)
			}
			if _, err := w.signIn("ann@work.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("with one that is not proven: %v", err)
			}
			w.add(who.AccountID, "Ann@work.test", false)
			if l := must(w.Addresses(ctx, who.AccountID)); l.Waiting != "" {
				t.Errorf("%+v", l)
			}
			if got := w.has(who.AccountID); got != "ann@d.test Ann@work.test" {
				t.Errorf("it has %s", got)
			}
			if m := w.last("ann@d.test"); !strings.Contains(m.Subject, "Another address") || !accountLink.MatchString(m.Text) {
				t.Errorf("the primary one was told %q", m.Subject)
			}
			in, err := w.signIn("ANN@work.test", goodPassword, nil)
			if err != nil || in.AccountID != who.AccountID {
				t.Fatalf("%+v %v", in, err)
			}
			if err := w.TellNewBrowser(ctx, *in, account.Browser{}); err != nil {
				t.Fatal(err)
			}
			if m := w.last("ann@d.test"); !strings.Contains(m.Subject, "sign-in") {
				t.Errorf("of a new browser the primary one was told %q", m.Subject)
			}
			if _, err := w.Register(ctx, form("ann@work.test", another)); err != nil {
				t.Fatal(err)
			}
			if m := w.last("Ann@work.test"); !strings.Contains(m.Subject, "already have an account") {
				t.Errorf("A15 who registers with it: %q", m.Subject)
			}
			if err := w.ask("ANN@work.test"); err != nil {
				t.Fatal(err)
			}
			if len(w.letters("ANN@work.test")) > 0 {
				t.Error("A8 mail went to the address as it was typed")
			}
			if _, err := w.Recover(ctx, w.link("Ann@work.test", "recover/password"), another, ""); err != nil {
				t.Fatal(err)
			}
			if m := w.last("ann@d.test"); !strings.Contains(m.Subject, "was changed") {
				t.Errorf("the primary one was told %q", m.Subject)
			}
		})
		w.run(t, "tries at each address, and one budget of recoveries whichever is typed", func(t *testing.T) {
			who := w.member("one@d.test", goodPassword)
			w.add(who.AccountID, "two@d.test", false)
			w.limits.Add(1)
			for i := range 30 {
				if _, err := w.signIn([]string{"one@d.test", "two@d.test"}[i%2], "not the one", nil); errors.Is(err, account.ErrLimited) != (i >= 20) {
					t.Fatalf("guess %d: %v", i+1, err)
				}
			}
			before := len(w.letters("one@d.test")) + len(w.letters("two@d.test"))
			for i := range 10 {
				if err := w.ask([]string{"one@d.test", "two@d.test"}[i%2]); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(w.letters("one@d.test")) + len(w.letters("two@d.test")) - before; n != 3 {
				t.Errorf("A22 %d mails", n)
			}
		})
		w.run(t, "another primary one: the one before stays, is told, and undoes it", func(t *testing.T) {
			who := w.member("old@d.test", goodPassword)
			next := w.add(who.AccountID, "new@d.test", false)
			w.pass(8 * 24 * time.Hour) // it is no stranger any more
			w.limits.Add(1)
			if err := w.SetPrimary(ctx, who.AccountID, next); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "new@d.test old@d.test" {
				t.Errorf("it has %s", got)
			}
			if p := must(w.Profile(ctx, who.AccountID)); p.Email != "new@d.test" {
				t.Errorf("sites get %s", p.Email)
			}
			if err := w.SetPrimary(ctx, who.AccountID, next); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("once more: %v", err)
			}
			if err := w.Alarm(ctx, w.link("old@d.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "old@d.test" {
				t.Errorf("undone, it has %s", got)
			}
			if m := w.last("new@d.test"); accountLink.MatchString(m.Text) {
				t.Errorf("the other one has a link:\n%s", m.Text)
			}
			if _, err := w.Recover(ctx, w.link("old@d.test", "recover/password"), another, ""); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "one that is removed is told, and brings itself back for seven days", func(t *testing.T) {
			who := w.member("side@d.test", goodPassword)
			w.pass(time.Second)
			w.add(who.AccountID, "main@d.test", true)
			w.pass(8 * 24 * time.Hour) // not of late the main one, but the oldest
			side := w.addressID(who.AccountID, "side@d.test")
			if err := w.RemoveAddress(ctx, who.AccountID, w.addressID(who.AccountID, "main@d.test")); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("the primary one: %v", err)
			}
			if err := w.ask("side@d.test"); err != nil {
				t.Fatal(err)
			}
			recovery := w.link("side@d.test", "recover/password")
			if err := w.RemoveAddress(ctx, who.AccountID, side); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("side@d.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("with it: %v", err)
			}
			if _, err := w.Recover(ctx, recovery, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("a recovery that lies there: %v", err)
			}
			alarm := w.link("side@d.test", "alarm")
			w.pass(7*24*time.Hour - time.Minute)
			w.limits.Add(1)
			if err := w.Alarm(ctx, alarm); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "main@d.test side@d.test" {
				t.Errorf("it has %s", got)
			}
			if _, err := w.signIn("main@d.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the old password: %v", err)
			}
			w.link("side@d.test", "recover/password")
			if err := w.RemoveAddress(ctx, who.AccountID, w.addressID(who.AccountID, "side@d.test")); err != nil {
				t.Fatal(err)
			}
			alarm = w.link("side@d.test", "alarm")
			w.pass(7 * 24 * time.Hour)
			if err := w.Alarm(ctx, alarm); !errors.Is(err, account.ErrLink) {
				t.Errorf("after seven days: %v", err)
			}
		})
		w.run(t, "A17 what a thief has brought goes with the owner's alarm", func(t *testing.T) {
			who := w.member("owner@d.test", goodPassword)
			w.add(who.AccountID, "owner2@d.test", false)
			w.pass(30 * 24 * time.Hour)
			w.add(who.AccountID, "thief@d.test", false)
			first := w.link("owner@d.test", "alarm")
			w.pass(time.Hour)
			w.add(who.AccountID, "thief2@d.test", true)
			second := w.link("owner@d.test", "alarm")
			for _, email := range []string{"owner@d.test", "owner2@d.test"} {
				if err := w.RemoveAddress(ctx, who.AccountID, w.addressID(who.AccountID, email)); err != nil {
					t.Fatal(err)
				}
			}
			// The newest of hers is enough: what came in the week before it goes too.
			if err := w.Alarm(ctx, second); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "owner@d.test" {
				t.Errorf("it has %s", got)
			}
			for _, email := range []string{"thief@d.test", "thief2@d.test"} {
				if err := w.ask(email); err != nil {
					t.Fatal(err)
				}
				if m := w.last(email); accountLink.MatchString(m.Text) {
					t.Errorf("%s has a link:\n%s", email, m.Text)
				}
			}
			if err := w.Alarm(ctx, first); err != nil { // older: it holds
				t.Error(err)
			}
		})
		w.run(t, "ten, and no more", func(t *testing.T) {
			who := w.member("many0@d.test", goodPassword)
			late := func(i int) string {
				w.limits.Add(1)
				email := fmt.Sprintf("late%d@d.test", i)
				return w.linkAfter(func() error {
					return w.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: email, IP: ip()})
				}, email, "account/address/confirm")
			}
			for i := 1; i < account.MaxAddresses-1; i++ {
				w.add(who.AccountID, fmt.Sprintf("many%d@d.test", i), false)
			}
			link := late(0)
			w.add(who.AccountID, "last@d.test", false) // which ends that link
			if err := w.ProveAddress(ctx, link, who.AccountID, false); !errors.Is(err, account.ErrLink) {
				t.Errorf("the one before: %v", err)
			}
			err := w.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: "eleven@d.test", IP: ip()})
			if fieldKey(err) != "address.many" {
				t.Errorf("an eleventh: %v", err)
			}
		})
		w.run(t, "B14 nobody changes what another has", func(t *testing.T) {
			ann, bob := w.member("b14a@d.test", goodPassword), w.member("b14b@d.test", goodPassword)
			hers := w.add(ann.AccountID, "b14c@d.test", false)
			if err := w.SetPrimary(ctx, bob.AccountID, hers); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
			if err := w.RemoveAddress(ctx, bob.AccountID, hers); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
			if got := w.has(ann.AccountID) + " " + w.has(bob.AccountID); got != "b14a@d.test b14c@d.test b14b@d.test" {
				t.Errorf("they have %s", got)
			}
		})
		w.run(t, "one link, and one address, eight times at the same moment", func(t *testing.T) {
			who := w.member("r@d.test", goodPassword)
			w.limits.Add(1)
			link := w.linkAfter(func() error {
				return w.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: "r2@d.test", IP: ip()})
			}, "r2@d.test", "account/address/confirm")
			once(t, 8, account.ErrLink, func(int) error { return w.ProveAddress(ctx, link, who.AccountID, false) })
			side := w.addressID(who.AccountID, "r2@d.test")
			w.limits.Add(1)
			once(t, 8, account.ErrNotFound, func(i int) error {
				if i%2 == 0 {
					return w.SetPrimary(ctx, who.AccountID, side)
				}
				return w.RemoveAddress(ctx, who.AccountID, side)
			})
			if p := must(w.Addresses(ctx, who.AccountID)).Proven; !p[0].Primary {
				t.Errorf("%+v", p)
			}
		})
	})
}
