package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

func TestConfirm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		confirm := func(token string, flow []byte, password, fresh string) (*account.Confirmed, error) {
			return w.Confirm(ctx, account.ConfirmInput{Token: token, FlowHash: flow, Password: password, NewPassword: fresh, Language: "es", IP: ip()})
		}
		w.run(t, "A1 looking at a link changes nothing", func(t *testing.T) {
			r, l := w.register("look@a1.test", goodPassword)
			for range 3 {
				for _, flow := range [][]byte{nil, browser(), r.FlowHash} {
					if _, err := w.ReadConfirm(ctx, l.confirm, flow); err != nil {
						t.Error(err)
					}
					if _, err := w.ReadCancel(ctx, l.cancel); err != nil {
						t.Error(err)
					}
				}
			}
			if a, err := w.Show(ctx, "look@a1.test"); err != nil || a.State != account.Pending {
				t.Errorf("after looking: %+v %v", a, err)
			}
			if _, err := confirm(l.confirm, r.FlowHash, "", ""); err != nil {
				t.Errorf("the link no longer works: %v", err)
			}
		})
		w.run(t, "A2 the token", func(t *testing.T) {
			r, l := w.register("token@a2.test", goodPassword)
			flipped := strings.Map(func(c rune) rune {
				switch {
				case 'a' <= c && c <= 'z':
					return c - 32
				case 'A' <= c && c <= 'Z':
					return c + 32
				}
				return c
			}, l.confirm)
			for _, bad := range []string{"", l.confirm[:42], l.confirm + "A", flipped, " " + l.confirm, strings.Repeat("A", 10<<20), "\x00" + l.confirm[1:]} {
				if _, err := confirm(bad, r.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
					t.Errorf("%.50q: %v", bad, err)
				}
			}
			if _, err := confirm(l.confirm, r.FlowHash, "", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := confirm(l.confirm, r.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			late, ll := w.register("late@a2.test", goodPassword)
			w.pass(account.PendingLifetime)
			defer w.pass(-account.PendingLifetime)
			if _, err := confirm(ll.confirm, late.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("after three days: %v", err)
			}
			if err := w.Cancel(ctx, ll.cancel); !errors.Is(err, account.ErrLink) {
				t.Errorf("cancel after three days: %v", err)
			}
		})
		w.run(t, "A3 the purpose", func(t *testing.T) {
			r, l := w.register("purpose@a3.test", goodPassword)
			if _, err := confirm(l.cancel, r.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("the cancel token confirms: %v", err)
			}
			if err := w.Cancel(ctx, l.confirm); !errors.Is(err, account.ErrLink) {
				t.Errorf("the confirm token cancels: %v", err)
			}
			if _, err := w.ReadCancel(ctx, l.confirm); !errors.Is(err, account.ErrLink) {
				t.Errorf("the confirm token opens the cancel page: %v", err)
			}
		})
		w.run(t, "another browser needs the password", func(t *testing.T) {
			r, l := w.register("other@b.test", goodPassword)
			for _, flow := range [][]byte{nil, browser()} {
				if _, err := confirm(l.confirm, flow, "", ""); !errors.Is(err, account.ErrNeedPassword) {
					t.Errorf("with no password: %v", err)
				}
				if _, err := confirm(l.confirm, flow, "not this one", ""); !errors.Is(err, account.ErrPassword) {
					t.Errorf("with a wrong one: %v", err)
				}
				if v, err := w.ReadConfirm(ctx, l.confirm, flow); err != nil || v.Here || v.Name != "" {
					t.Errorf("the page tells a name that a stranger may have given: %+v %v", v, err)
				}
			}
			done, err := confirm(l.confirm, browser(), goodPassword, "")
			if err != nil || done.Here {
				t.Fatalf("with the right one: %+v %v", done, err)
			}
			if a, err := w.Show(ctx, done.AccountID); err != nil || a.Name != r.Name {
				t.Errorf("what was set before is lost: %+v %v", a, err)
			}
		})
		w.run(t, "wrong tries are limited as at sign-in", func(t *testing.T) {
			_, l := w.register("tries@b.test", goodPassword)
			limited := 0
			for range 12 {
				if _, err := confirm(l.confirm, browser(), "not this one", ""); errors.Is(err, account.ErrLimited) {
					limited++
				}
			}
			if limited != 2 {
				t.Errorf("%d of 12 refused unseen", limited)
			}
			if _, err := w.signIn("tries@b.test", goodPassword, browser()); !errors.Is(err, account.ErrLimited) {
				t.Errorf("sign-in counts apart: %v", err)
			}
		})
		w.run(t, "A10 classic merge", func(t *testing.T) {
			mallory, ml := w.register("alice@a10.test", "mallory's password")
			alice, al := w.register("alice@a10.test", "alice's password")
			done, err := confirm(al.confirm, alice.FlowHash, "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("alice@a10.test", "mallory's password", mallory.FlowHash); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("mallory's password: %v", err)
			}
			if _, err := confirm(ml.confirm, mallory.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("mallory's link: %v", err)
			}
			if _, err := w.Pending(ctx, mallory.FlowHash); !errors.Is(err, account.ErrNoPending) {
				t.Errorf("mallory still waits: %v", err)
			}
			if got, err := w.signIn("alice@a10.test", "alice's password", nil); err != nil || got.AccountID != done.AccountID {
				t.Errorf("alice: %+v %v", got, err)
			}
		})
		w.run(t, "A11 unexpired session", func(t *testing.T) {
			mallory, l := w.register("alice@a11.test", "mallory's password")
			// Alice opens the only mail that came, mallory's, in her own browser.
			done, err := confirm(l.confirm, browser(), "", "alice's password")
			if err != nil || done.Here {
				t.Fatalf("%+v %v", done, err)
			}
			if b, err := w.sess.List(ctx, done.AccountID); err != nil || len(b) != 0 {
				t.Errorf("somebody is signed in: %+v %v", b, err)
			}
			if _, err := w.Pending(ctx, mallory.FlowHash); !errors.Is(err, account.ErrNoPending) {
				t.Errorf("mallory's browser goes on: %v", err)
			}
			if _, err := w.signIn("alice@a11.test", "mallory's password", mallory.FlowHash); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("mallory's password: %v", err)
			}
			if got, err := w.signIn("alice@a11.test", "alice's password", nil); err != nil || got.Pending {
				t.Errorf("alice: %+v %v", got, err)
			}
		})
		w.run(t, "A12 nothing of the stranger stays", func(t *testing.T) {
			r := form("alice@a12.test", "mallory's password")
			r.Interaction = browser()
			if _, err := w.Register(ctx, r); err != nil {
				t.Fatal(err)
			}
			done, err := confirm(w.last("alice@a12.test").confirm, browser(), "", "alice's password")
			if err != nil {
				t.Fatal(err)
			}
			rec, err := w.db.ByID(ctx, done.AccountID)
			if err != nil || rec.Name != "" || string(rec.Claims) != "{}" || !rec.TermsAt.IsZero() || rec.Language != "es" ||
				rec.BrowserHash != nil || rec.Interaction != nil || done.Interaction != nil {
				t.Errorf("left: %+v %v", rec, err)
			}
		})
		w.run(t, "A13 older links are dead", func(t *testing.T) {
			r, l := w.register("alice@a13.test", goodPassword)
			got, err := w.signIn("alice@a13.test", goodPassword, browser())
			if err != nil || got.Waiting == "" {
				t.Fatalf("%+v %v", got, err)
			}
			if _, err := confirm(l.confirm, r.FlowHash, "", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := w.PendingAt(ctx, got.Waiting); !errors.Is(err, account.ErrNoPending) {
				t.Errorf("the waiting page: %v", err)
			}
			if err := w.Cancel(ctx, l.cancel); !errors.Is(err, account.ErrLink) {
				t.Errorf("the cancel link: %v", err)
			}
			if _, err := w.signIn("alice@a13.test", goodPassword, nil); err != nil {
				t.Errorf("the account is gone: %v", err)
			}
		})
		w.run(t, "A23 a new password has the same rules", func(t *testing.T) {
			_, l := w.register("rules@a23.test", goodPassword)
			if _, err := confirm(l.confirm, nil, "", "short"); fieldKey(err) != "error.password.short" {
				t.Error(err)
			}
			if _, err := confirm(l.confirm, nil, "", "rules@a23.test"); fieldKey(err) != "error.password.common" {
				t.Error(err)
			}
		})
		w.run(t, "cancel", func(t *testing.T) {
			r, l := w.register("cancel@b.test", goodPassword)
			if v, err := w.ReadCancel(ctx, l.cancel); err != nil || v.Email != "cancel@b.test" {
				t.Errorf("%+v %v", v, err)
			}
			if err := w.Cancel(ctx, l.cancel); err != nil {
				t.Fatal(err)
			}
			if err := w.Cancel(ctx, l.cancel); !errors.Is(err, account.ErrLink) {
				t.Errorf("twice: %v", err)
			}
			if _, err := confirm(l.confirm, r.FlowHash, "", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("confirm after cancel: %v", err)
			}
			if _, err := w.Show(ctx, "cancel@b.test"); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("the registration is still there: %v", err)
			}
			w.member("cancel@b.test", "a second beginning")
		})
		w.run(t, "A9 the first of many proofs", func(t *testing.T) { firstProof(t, w) })
		w.run(t, "confirm against cancel", func(t *testing.T) {
			for range 8 {
				email := "race" + strings.ToLower(random(6)) + "@b.test"
				email = strings.NewReplacer("-", "x", "_", "y").Replace(email)
				r, l := w.register(email, goodPassword)
				var won [2]bool
				var wg sync.WaitGroup
				wg.Go(func() { _, err := confirm(l.confirm, r.FlowHash, "", ""); won[0] = outcome(t, err) })
				wg.Go(func() { won[1] = outcome(t, w.Cancel(ctx, l.cancel)) })
				wg.Wait()
				if won[0] == won[1] {
					t.Errorf("confirm and cancel both say %v", won[0])
				}
			}
		})
	})
}

func outcome(t *testing.T, err error) bool {
	if err != nil && !errors.Is(err, account.ErrLink) {
		t.Errorf("neither done nor too late: %v", err)
	}
	return err == nil
}

// firstProof: many pending registrations of one address, all confirmed at the same time, on two servers.
func firstProof(t *testing.T, w *world) {
	ctx := context.Background()
	const many = 8
	var ins [many]account.ConfirmInput
	for i := range many {
		r, l := w.register("first@a9.test", goodPassword)
		if l.confirm == "" {
			t.Fatal("no link")
		}
		ins[i] = account.ConfirmInput{Token: l.confirm, FlowHash: r.FlowHash}
		w.limits.Add(1) // a budget of its own for each mail
	}
	servers := []*account.Directory{w.Directory, w.replica()}
	var won [many]bool
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() { _, err := servers[i%2].Confirm(ctx, ins[i]); won[i] = outcome(t, err) })
	}
	wg.Wait()
	n := 0
	for _, ok := range won {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d proofs of one address were taken", n, many)
	}
	if found, err := w.db.ByAddress(ctx, "first@a9.test", nil, w.cfg.Now()); err != nil || len(found) != 1 || found[0].State != account.Active {
		t.Errorf("left: %+v %v", found, err)
	}
}
