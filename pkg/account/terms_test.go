package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
)

// TestVersions: 4.6, terms and privacy policy with versions.
func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		at := func(terms, privacy string) *account.Directory {
			cfg := w.cfg
			cfg.Versions = account.Versions{Terms: terms, Privacy: privacy}
			return must(account.New(cfg))
		}
		asked := func(t *testing.T, d *account.Directory, id string, want bool) {
			t.Helper()
			if got, err := d.MustAccept(ctx, id); err != nil || got != want {
				t.Errorf("must accept: %v %v", got, err)
			}
		}
		signIn := func(d *account.Directory, email string) bool {
			t.Helper()
			w.limits.Add(1)
			a, err := d.Authenticate(ctx, account.Attempt{Email: email, Password: goodPassword, IP: ip()})
			if err != nil {
				t.Fatal(err)
			}
			return a.Accept
		}
		none := w.Directory
		w.run(t, "without versions nobody is asked, whoever made the account", func(t *testing.T) {
			who := w.member("old@v.test", goodPassword)
			asked(t, none, who.AccountID, false)
			made := must(w.Create(ctx, account.NewAccount{Email: "made@v.test", Password: goodPassword, Name: "Made", Confirmed: true}))
			asked(t, none, made.ID, false)
			if signIn(none, "made@v.test") {
				t.Error("asked at the sign-in")
			}
		})
		one := at("1", "2026-11-01")
		w.run(t, "the registration records them", func(t *testing.T) {
			w.Directory = one
			who := w.member("new@v.test", goodPassword)
			a := must(one.Show(ctx, who.AccountID))
			if a.Terms != "1" || a.Privacy != "2026-11-01" || a.TermsAt.IsZero() {
				t.Errorf("%+v", a)
			}
			asked(t, one, who.AccountID, false)
			if signIn(one, "new@v.test") {
				t.Error("asked again")
			}
		})
		w.run(t, "either change asks anew, by the address; it is recorded, and stands in the log", func(t *testing.T) {
			who := must(one.Show(ctx, "new@v.test"))
			asked(t, at("2", "2026-11-01"), who.ID, true)
			two := at("1", "2026-12-01")
			asked(t, two, who.ID, true)
			if !signIn(two, "new@v.test") {
				t.Error("not asked at the sign-in")
			}
			w.member("other@v.test", goodPassword)
			for _, wrong := range []string{"", "x", "other@v.test", "nobody@v.test"} {
				err := two.AcceptTerms(ctx, who.ID, wrong)
				if f, ok := err.(*account.FieldError); !ok || f.Field != "accept-email" {
					t.Errorf("%q: %v", wrong, err)
				}
			}
			asked(t, two, who.ID, true)
			w.pass(time.Hour)
			if err := two.AcceptTerms(ctx, who.ID, "NEW@v.test"); err != nil {
				t.Fatal(err)
			}
			asked(t, two, who.ID, false)
			a := must(two.Show(ctx, who.ID))
			if a.Terms != "1" || a.Privacy != "2026-12-01" || !a.TermsAt.After(who.TermsAt) || !a.UpdatedAt.Equal(who.UpdatedAt) {
				t.Errorf("%+v", a)
			}
			last := must(w.db.Events(ctx, who.ID, time.Time{}, 1))[0]
			if last.Event != audit.AccountTermsAccepted || last.Detail["privacy"] != "2026-12-01" || last.Detail["terms"] != "1" {
				t.Errorf("%+v", last)
			}
			asked(t, one, who.ID, true) // back to the older ones: asked too
		})
		w.run(t, "an account that the operator made, at its first sign-in", func(t *testing.T) {
			made := must(one.Create(ctx, account.NewAccount{Email: "staff@v.test", Password: goodPassword, Name: "Staff", Confirmed: true}))
			if !signIn(one, "staff@v.test") {
				t.Error("not asked")
			}
			if err := one.AcceptTerms(ctx, made.ID, "staff@v.test"); err != nil {
				t.Fatal(err)
			}
			if signIn(one, "staff@v.test") {
				t.Error("asked again")
			}
		})
		w.run(t, "A13 what somebody else accepted counts for nothing", func(t *testing.T) {
			_, l := w.register("owner@v.test", goodPassword)
			done, err := one.Confirm(ctx, account.ConfirmInput{Token: l.confirm, NewPassword: another, IP: ip()})
			if err != nil {
				t.Fatal(err)
			}
			asked(t, one, done.AccountID, true)
			if a := must(one.Show(ctx, done.AccountID)); a.Terms != "" || a.Privacy != "" || !a.TermsAt.IsZero() {
				t.Errorf("%+v", a)
			}
		})
		w.run(t, "who is not there accepts nothing", func(t *testing.T) {
			who := must(one.Show(ctx, "new@v.test"))
			must(one.Disable(ctx, who.ID))
			if _, err := one.MustAccept(ctx, who.ID); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
			if err := one.AcceptTerms(ctx, who.ID, "new@v.test"); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
		})
	})
}
