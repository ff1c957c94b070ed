package account_test

import (
	"strings"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

// TestLookUp: 4.1, is there an account with this address? The mail tells, and nothing else.
func TestLookUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		look := func(t *testing.T, d *account.Directory, email string) letter {
			t.Helper()
			w.limits.Add(1)
			if err := d.LookUp(ctx, account.RecoveryRequest{Email: email, Language: "en", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			return w.last(email)
		}
		known := w.member("known@l.test", goodPassword)
		w.register("waits@l.test", goodPassword)
		w.member("stopped@l.test", goodPassword)
		if _, err := w.Disable(ctx, "stopped@l.test"); err != nil {
			t.Fatal(err)
		}
		gone := w.member("closing@l.test", goodPassword)
		if err := w.Close(ctx, gone.AccountID, "closing@l.test"); err != nil {
			t.Fatal(err)
		}
		cfg := w.cfg
		cfg.Door.Closed = true
		closed := must(account.New(cfg))
		w.run(t, "the mail says what there is, and what to do", func(t *testing.T) {
			for email, want := range map[string]struct {
				subject string
				leads   []string // to these pages, and no others
			}{
				"known@l.test":   {"You have an account", []string{"/login", "/recover"}},
				"stopped@l.test": {"You have an account", []string{"/login", "/recover"}},
				"closing@l.test": {"You have an account", []string{"/login", "/recover"}},
				"waits@l.test":   {"not confirmed", []string{"/login", "/register"}},
				"nobody@l.test":  {"No account", []string{"/register"}},
			} {
				m := look(t, w.Directory, email)
				if !strings.Contains(m.Subject, want.subject) || m.confirm != "" || accountLink.MatchString(m.Text) {
					t.Errorf("%s: %q\n%s", email, m.Subject, m.Text)
				}
				shut := look(t, closed, email)
				for _, page := range []string{"/login", "/recover", "/register"} {
					has := func(l letter) bool { return strings.Contains(l.Text, "https://op.test"+page+"\n") }
					wanted := strings.Contains(strings.Join(want.leads, " "), page)
					if has(m) != wanted || strings.Contains(m.HTML, `https://op.test`+page+`"`) != wanted {
						t.Errorf("%s: leads to %s: %v\n%s", email, page, has(m), m.Text)
					}
					if has(shut) != (wanted && page != "/register") {
						t.Errorf("%s, while nobody can register: leads to %s: %v", email, page, has(shut))
					}
				}
			}
			// Neither may a recovery of nothing offer what there is not.
			w.limits.Add(1)
			if err := closed.AskRecovery(ctx, account.RecoveryRequest{Email: "nobody@l.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if m := w.last("nobody@l.test"); strings.Contains(m.Text+m.HTML, "/register") {
				t.Errorf("closed, and yet:\n%s", m.Text)
			}
		})
		w.run(t, "A8 to the stored address, and no name of a stranger's", func(t *testing.T) {
			w.limits.Add(1)
			if err := w.LookUp(ctx, account.RecoveryRequest{Email: "KNOWN@L.TEST", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if got := w.letters("KNOWN@L.TEST"); len(got) != 0 {
				t.Errorf("%d mails to the address as it was typed", len(got))
			}
			if m := w.last("known@l.test"); !strings.Contains(m.Text, "Alice Example") {
				t.Errorf("the owner is not greeted:\n%s", m.Text)
			}
			if m := look(t, w.Directory, "waits@l.test"); strings.Contains(m.Text, "Alice") {
				t.Errorf("a name that nobody has proven:\n%s", m.Text)
			}
			for _, bad := range []string{"", "x", "a@b@c", "a@b\r\nBcc: x@y.test"} {
				err := w.LookUp(ctx, account.RecoveryRequest{Email: bad, IP: ip()})
				if f, ok := err.(*account.FieldError); !ok || f.Field != "lookup-email" {
					t.Errorf("%q: %v", bad, err)
				}
			}
		})
		w.run(t, "4.24 the same work for every address", func(t *testing.T) {
			work := map[string]string{}
			for _, email := range []string{"known@l.test", "stopped@l.test", "closing@l.test", "waits@l.test", "nobody@l.test"} {
				runs := w.Hashes()
				before := len(w.letters(email))
				calls := w.store.during(func() { look(t, w.Directory, email) })
				if n := len(w.letters(email)) - before; n != 1 || w.Hashes() != runs {
					t.Errorf("%s: %d mails, %d argon2 runs", email, n, w.Hashes()-runs)
				}
				work[calls] += " " + email
			}
			if len(work) != 1 {
				t.Errorf("different work: %v", work)
			}
		})
		w.run(t, "A22 three mails an hour; what the owner needs for a recovery is left", func(t *testing.T) {
			w.limits.Add(1)
			before := len(w.letters("known@l.test"))
			for range 20 {
				if err := w.LookUp(ctx, account.RecoveryRequest{Email: "known@l.test", IP: ip()}); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(w.letters("known@l.test")) - before; n != 3 {
				t.Errorf("%d mails", n)
			}
			if err := w.ask("known@l.test"); err != nil {
				t.Fatal(err)
			}
			_ = w.link("known@l.test", "recover/password")
			if a := must(w.Show(ctx, known.AccountID)); a.State != account.Active {
				t.Errorf("the account is %s", a.State)
			}
		})
	})
}
