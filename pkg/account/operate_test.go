package account_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/session"
)

func TestOperate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "create confirmed", func(t *testing.T) {
			stranger, _ := w.register("op@o.test", "a stranger's one")
			a, err := w.Create(ctx, account.NewAccount{
				Email: "Op@O.test", Password: goodPassword, Confirmed: true, Language: "es",
				Claims: []byte(`{"name":"Op Erator","given_name":"Op","address":{"locality":"Lima"},"phone_number_verified":true}`),
			})
			if err != nil || a.State != account.Active || !a.Confirmed || a.Name != "Op Erator" || a.Email != "Op@o.test" ||
				string(a.Claims) != `{"address":{"locality":"Lima"},"given_name":"Op","phone_number_verified":true}` {
				t.Fatalf("%+v %v", a, err)
			}
			if got, err := w.signIn("op@o.test", goodPassword, nil); err != nil || got.AccountID != a.ID {
				t.Errorf("sign in: %+v %v", got, err)
			}
			if _, err := w.Pending(ctx, stranger.FlowHash); !errors.Is(err, account.ErrNoPending) {
				t.Errorf("a stranger's registration survives: %v", err)
			}
			if _, err := w.Create(ctx, account.NewAccount{Email: "op@o.test", Confirmed: true}); !errors.Is(err, account.ErrTaken) {
				t.Errorf("twice: %v", err)
			}
			for _, ref := range []string{a.ID, a.Sub, "OP@o.test"} {
				if s, err := w.Show(ctx, ref); err != nil || s.ID != a.ID {
					t.Errorf("show %s: %+v %v", ref, s, err)
				}
			}
		})
		w.run(t, "create unconfirmed", func(t *testing.T) {
			a, err := w.Create(ctx, account.NewAccount{Email: "wait@o.test", Password: goodPassword, Name: "W"})
			if err != nil || a.State != account.Pending || a.ExpiresAt.IsZero() {
				t.Fatalf("%+v %v", a, err)
			}
			l := w.last("wait@o.test")
			if _, err := w.Confirm(ctx, account.ConfirmInput{Token: l.confirm, Password: goodPassword, IP: ip()}); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "what is refused", func(t *testing.T) {
			for _, n := range []account.NewAccount{
				{Email: "x"}, {Email: "a@o.test", Password: "short"}, {Email: "a@o.test", Name: "a\x00"},
				{Email: "a@o.test", Claims: []byte(`{"sub":"x"}`)}, {Email: "a@o.test", Claims: []byte(`{"email_verified":true}`)},
				{Email: "a@o.test", Claims: []byte(`[]`)}, {Email: "a@o.test", Claims: []byte(`null`)}, {Email: "a@o.test", Claims: []byte(`{"given_name":1}`)},
				{Email: "a@o.test", Claims: []byte(`{"address":{"planet":"Earth"}}`)}, {Email: "a@o.test", Claims: []byte(`{"nickname":"a\u0000b"}`)},
			} {
				var f *account.FieldError
				if a, err := w.Create(ctx, n); !errors.As(err, &f) {
					t.Errorf("%+v: %+v %v", n, a, err)
				}
			}
			for _, ref := range []string{"", "nobody", "nobody@o.test", "a\x00b", "@@"} {
				if _, err := w.Show(ctx, ref); !errors.Is(err, account.ErrNotFound) {
					t.Errorf("show %q: %v", ref, err)
				}
				if _, err := w.Delete(ctx, ref); !errors.Is(err, account.ErrNotFound) {
					t.Errorf("delete %q: %v", ref, err)
				}
			}
		})
		w.run(t, "A17 a new password ends what there is", func(t *testing.T) {
			who := w.member("set@o.test", goodPassword)
			w.open(t, who.AccountID)
			name, password := "New Name", "an entirely new one"
			a, err := w.Set(ctx, "set@o.test", account.Change{Name: &name, Password: &password})
			if err != nil || a.Name != name {
				t.Fatalf("%+v %v", a, err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
				t.Errorf("%d logins left", len(l))
			}
			if _, err := w.signIn("set@o.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the old password: %v", err)
			}
			if _, err := w.signIn("set@o.test", password, nil); err != nil {
				t.Errorf("the new password: %v", err)
			}
		})
		w.run(t, "A17 A28 a sign-in under way ends with the rest", func(t *testing.T) {
			who := w.member("late@o.test", goodPassword)
			password := "an entirely new one"
			for name, act := range map[string]func() error{
				"disable":  func() error { _, err := w.Disable(ctx, who.AccountID); return err },
				"password": func() error { _, err := w.Set(ctx, who.AccountID, account.Change{Password: &password}); return err },
			} {
				if _, err := w.Enable(ctx, who.AccountID); err != nil {
					t.Fatal(err)
				}
				before, now := goodPassword, goodPassword
				if name == "password" {
					now = password
				} else if _, err := w.Set(ctx, who.AccountID, account.Change{Password: &before}); err != nil {
					t.Fatal(err)
				}
				in, err := w.signIn("late@o.test", before, nil)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := act(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := w.begin(in); !errors.Is(err, session.ErrRefused) {
					t.Errorf("%s: signed in: %v", name, err)
				}
				if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
					t.Errorf("%s: %d logins left", name, len(l))
				}
				if _, err := w.Enable(ctx, who.AccountID); err != nil {
					t.Fatal(err)
				}
				if in, err = w.signIn("late@o.test", now, nil); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if err := w.begin(in); err != nil {
					t.Errorf("%s: the next one: %v", name, err)
				}
				if _, err := w.Set(ctx, who.AccountID, account.Change{Password: &before}); err != nil {
					t.Fatal(err)
				}
			}
		})
		w.run(t, "A28 disable, end sessions and delete", func(t *testing.T) {
			who := w.member("end@o.test", goodPassword)
			for name, act := range map[string]func() error{
				"end-sessions": func() error { _, err := w.EndSessions(ctx, who.AccountID); return err },
				"disable":      func() error { _, err := w.Disable(ctx, who.AccountID); return err },
			} {
				if _, err := w.Enable(ctx, who.AccountID); err != nil {
					t.Fatal(err)
				}
				w.open(t, who.AccountID)
				if err := act(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
					t.Errorf("%s: %d logins left", name, len(l))
				}
			}
			calls := w.store.during(func() {
				if a, err := w.Delete(ctx, "end@o.test"); err != nil || a.ID != who.AccountID {
					t.Fatalf("%+v %v", a, err)
				}
			})
			if calls != "ByAddress Record:"+audit.AccountDeleted {
				t.Errorf("did %s", calls)
			}
			if _, err := w.Show(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("still there: %v", err)
			}
			w.member("end@o.test", "the address is free")
		})
		w.run(t, "general information", func(t *testing.T) {
			who := w.member("profile@o.test", goodPassword)
			if err := w.SetProfile(ctx, who.AccountID, account.Profile{Name: "  Bob   Other ", Language: "es"}); err != nil {
				t.Fatal(err)
			}
			p, err := w.Profile(ctx, who.AccountID)
			if err != nil || p.Name != "Bob Other" || p.Language != "es" || p.Email != "profile@o.test" {
				t.Errorf("%+v %v", p, err)
			}
			if err := w.SetProfile(ctx, who.AccountID, account.Profile{Name: "www.evil"}); fieldKey(err) != "error.name.link" {
				t.Error(err)
			}
			if err := w.SetProfile(ctx, "nobody", account.Profile{Name: "N"}); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
		})
	})
}

// begin writes the session of a sign-in, in a new browser.
func (w *world) begin(in *account.Authenticated) error {
	r := httptest.NewRequest("POST", "https://op.test/login", nil)
	_, err := w.sess.SignIn(w.t.Context(), httptest.NewRecorder(), r,
		session.SignIn{AccountID: in.AccountID, Credential: in.Credential, AMR: []string{"pwd"}})
	return err
}

// open signs the account in in a new browser.
func (w *world) open(t *testing.T, accountID string) {
	t.Helper()
	r := httptest.NewRequest("POST", "https://op.test/login", nil)
	if _, err := w.sess.SignIn(t.Context(), httptest.NewRecorder(), r, session.SignIn{AccountID: accountID, AMR: []string{"pwd"}}); err != nil {
		t.Fatal(err)
	}
	if l := must(w.sess.List(t.Context(), accountID)); len(l) != 1 {
		t.Fatalf("%d logins", len(l))
	}
}
