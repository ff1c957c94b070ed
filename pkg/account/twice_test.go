package account_test

import (
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestTwice: 5.8, what a database breaks off for the sake of another runs again, and has done nothing the first time: no mail
// goes twice, no budget is taken twice, no link is spent before it was used.
func TestTwice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.store.twice = true
		mails := map[string]int{}
		more := func(what, to string, n int) {
			w.t.Helper()
			mails[to] += n
			if got := len(w.letters(to)); got != mails[to] {
				w.t.Fatalf("%s: %s has %d mails, not %d", what, to, got, mails[to])
			}
		}
		try := func(err error) {
			w.t.Helper()
			if err != nil {
				w.t.Fatal(err)
			}
		}
		w.run(t, "a life of an account", func(t *testing.T) {
			who := w.member("ann@w.test", goodPassword)
			more("registered, and welcome", "ann@w.test", 2)
			w.open(t, who.AccountID)
			w.add(who.AccountID, "new@w.test", true)
			more("another address", "new@w.test", 1)
			more("it is the primary one", "ann@w.test", 1)
			w.backup(who.AccountID, "help@w.test")
			more("a recovery address", "help@w.test", 1)
			more("its owner is told", "new@w.test", 1)
			w.limits.Add(1)
			try(w.ask("new@w.test"))
			more("a recovery", "new@w.test", 1)
			more("and by the other way", "help@w.test", 1)
			_, err := w.Recover(ctx, w.link("new@w.test", "recover/password"), another, "")
			try(err)
			more("a new password", "new@w.test", 1)
			in, err := w.signIn("new@w.test", another, nil)
			try(err)
			if in.AccountID != who.AccountID {
				t.Errorf("%+v", in)
			}
			try(w.AskExport(ctx, who.AccountID))
			w.request("new@w.test", "reach@w.test", account.Knowledge{})
			more("asked, and received", "reach@w.test", 2)
			if r := w.requestOf(who.AccountID); r.Others != 0 || r.State != account.RequestOpen {
				t.Errorf("%+v", r)
			}
			before := len(w.letters("new@w.test"))
			w.week()
			if told := len(w.letters("new@w.test")) - before; told != account.RequestNotices {
				t.Errorf("told %d times", told)
			}
			_, err = w.Approve(ctx, w.requestOf(who.AccountID).ID)
			try(err)
			more("approved", "reach@w.test", 1)
			_, err = w.Regain(ctx, w.requestToken("reach@w.test", "recover/regain"), "her very own one")
			try(err)
			if got := w.has(who.AccountID); got != "reach@w.test ann@w.test" {
				t.Errorf("it has %s", got)
			}
			w.limits.Add(1)
			try(w.Close(ctx, who.AccountID, "reach@w.test"))
			try(w.Reopen(ctx, w.link("reach@w.test", "reopen")))
		})
		w.run(t, "budgets", func(t *testing.T) {
			w.limits.Add(1)
			for range 5 {
				try(w.LookUp(ctx, account.RecoveryRequest{Email: "nobody@w.test", Language: "en", IP: ip()}))
			}
			more("three an hour", "nobody@w.test", 3)
		})
		w.run(t, "an invitation for two", func(t *testing.T) {
			cfg := w.cfg
			cfg.Door = account.Door{Invitation: true}
			d := must(account.New(cfg))
			w.limits.Add(1)
			_, token, err := d.Invite(ctx, account.NewInvitation{Uses: 2, TTL: time.Hour})
			try(err)
			for _, email := range []string{"one@w.test", "two@w.test"} {
				r := form(email, goodPassword)
				r.Invitation = token
				_, err := d.Register(ctx, r)
				try(err)
				_, err = d.Confirm(ctx, account.ConfirmInput{Token: w.last(email).confirm, FlowHash: r.FlowHash, IP: ip()})
				try(err)
			}
			if _, err := d.ReadInvitation(ctx, token); err != account.ErrInvitation {
				t.Errorf("a third use: %v", err)
			}
		})
	})
}
