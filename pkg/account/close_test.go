package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestClose: 4.18, an account that its owner closes.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "A28 nobody signs in, all ends, and the owner can have it back by mail", func(t *testing.T) {
			who := w.member("ann@c.test", goodPassword)
			w.open(t, who.AccountID)
			in, err := w.signIn("ann@c.test", goodPassword, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.ask("ann@c.test"); err != nil {
				t.Fatal(err)
			}
			recovery := w.link("ann@c.test", "recover/password")
			if err := w.Close(ctx, who.AccountID, "bob@c.test"); fieldKey(err) != "close.mismatch" {
				t.Error(err)
			}
			if err := w.Close(ctx, who.AccountID, " ANN@c.test "); err != nil {
				t.Fatal(err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
				t.Errorf("%d logins left", len(l))
			}
			if err := w.begin(in); err == nil {
				t.Error("a sign-in under way went on")
			}
			if _, err := w.Recover(ctx, recovery, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("a recovery: %v", err)
			}
			if err := w.Close(ctx, who.AccountID, "ann@c.test"); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("a second time: %v", err)
			}
			if _, err := w.signIn("ann@c.test", "not the one", nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("a wrong password: %v", err)
			}
			token := w.link("ann@c.test", "reopen")
			if _, err := w.Recover(ctx, token, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("A3 as a recovery: %v", err)
			}
			w.pass(30*24*time.Hour - time.Minute)
			if v, err := w.ReadReopen(ctx, token); err != nil || v.Email != "ann@c.test" {
				t.Fatalf("%+v %v", v, err)
			}
			if err := w.Reopen(ctx, token); err != nil {
				t.Fatal(err)
			}
			if in, err := w.signIn("ann@c.test", goodPassword, nil); err != nil || in.Reopen != "" || in.AccountID != who.AccountID {
				t.Errorf("%+v %v", in, err)
			}
			if err := w.Reopen(ctx, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			w.pass(60 * 24 * time.Hour)
			if _, err := w.db.Purge(ctx, time.Now().Add(365*24*time.Hour), 1000); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Show(ctx, who.AccountID); err != nil {
				t.Errorf("it is gone all the same: %v", err)
			}
		})
		w.run(t, "or by signing in, which signs nobody in", func(t *testing.T) {
			who := w.member("bea@c.test", goodPassword)
			if err := w.Close(ctx, who.AccountID, "bea@c.test"); err != nil {
				t.Fatal(err)
			}
			mailed := w.link("bea@c.test", "reopen")
			in, err := w.signIn("bea@c.test", goodPassword, nil)
			if err != nil || in.Reopen == "" || in.Credential != "" {
				t.Fatalf("%+v %v", in, err)
			}
			if _, err := w.ReadReopen(ctx, mailed); err != nil {
				t.Errorf("the mail's link: %v", err)
			}
			if err := w.Reopen(ctx, in.Reopen); err != nil {
				t.Fatal(err)
			}
			if _, err := w.ReadReopen(ctx, mailed); !errors.Is(err, account.ErrLink) {
				t.Errorf("the mail's link of an account that is open: %v", err)
			}
		})
		w.run(t, "A28 after 30 days it is gone, its address is free, and its sub is nobody's", func(t *testing.T) {
			who := w.member("cleo@c.test", goodPassword)
			sub := must(w.Show(ctx, who.AccountID)).Sub
			if err := w.Close(ctx, who.AccountID, "cleo@c.test"); err != nil {
				t.Fatal(err)
			}
			token := w.link("cleo@c.test", "reopen")
			w.pass(30 * 24 * time.Hour)
			if err := w.Reopen(ctx, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("when the time is over: %v", err)
			}
			if _, err := w.db.Purge(ctx, w.cfg.Now(), 1000); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Show(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("it is there still: %v", err)
			}
			again := w.member("cleo@c.test", goodPassword)
			if again.AccountID == who.AccountID || must(w.Show(ctx, again.AccountID)).Sub == sub {
				t.Error("somebody else is the same to sites")
			}
		})
		w.run(t, "closed and opened at the same moment", func(t *testing.T) {
			who := w.member("race@c.test", goodPassword)
			if err := w.Close(ctx, who.AccountID, "race@c.test"); err != nil {
				t.Fatal(err)
			}
			token := w.link("race@c.test", "reopen")
			once(t, 8, account.ErrLink, func(_ int) error { return w.Reopen(ctx, token) })
		})
	})
}
