package account_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
)

var accountLink = regexp.MustCompile(`https://op\.test/(recover/password|alarm|account/address/confirm|account/data/file|account/recovery/confirm|reopen)\?t=(\S+)`)

// link is the token of the newest mail to an address, which must lead to a page.
func (w *world) link(to, page string) string {
	w.t.Helper()
	m := accountLink.FindStringSubmatch(w.last(to).Text)
	if m == nil || m[1] != page {
		w.t.Fatalf("no link to %s in:\n%s", page, w.last(to).Text)
	}
	return m[2]
}

func (w *world) ask(email string) error {
	return w.AskRecovery(w.t.Context(), account.RecoveryRequest{Email: email, Language: "en", IP: ip()})
}

const another = "an entirely new one"

// TestRecover: 4.12, by link to the address.
func TestRecover(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		// recover asks for a link and gives its token.
		recover := func(email string) string {
			w.t.Helper()
			if err := w.ask(email); err != nil {
				w.t.Fatal(err)
			}
			return w.link(email, "recover/password")
		}
		w.run(t, "A17 a new password ends what the old one gave, and the owner is told", func(t *testing.T) {
			who := w.member("ann@r.test", goodPassword)
			w.open(t, who.AccountID)
			in, err := w.signIn("ann@r.test", goodPassword, nil)
			if err != nil {
				t.Fatal(err)
			}
			older := recover("ann@r.test")
			token := recover("ann@r.test")
			if _, err := w.Recover(ctx, older, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("an older link: %v", err)
			}
			v, err := w.ReadRecovery(ctx, token)
			if err != nil || v.Email != "ann@r.test" {
				t.Errorf("%+v %v", v, err)
			}
			if _, err := w.Recover(ctx, token, "short", ""); fieldKey(err) != "error.password.short" {
				t.Error(err)
			}
			if credential, err := w.Recover(ctx, token, another, ""); err != nil || credential == "" {
				t.Fatal(credential, err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
				t.Errorf("%d logins left", len(l))
			}
			if err := w.begin(in); err == nil {
				t.Error("a sign-in with the old password that was under way went on")
			}
			if _, err := w.signIn("ann@r.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the old password: %v", err)
			}
			if _, err := w.signIn("ann@r.test", another, nil); err != nil {
				t.Errorf("the new password: %v", err)
			}
			if _, err := w.Recover(ctx, token, "yet another one", ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			if m := w.last("ann@r.test"); !strings.Contains(m.Subject, "was changed") {
				t.Errorf("the owner was told %q", m.Subject)
			}
		})
		w.run(t, "A2 A3 a link holds four hours, and for its purpose", func(t *testing.T) {
			w.member("bob@r.test", goodPassword)
			_, pending := w.register("pending@r.test", goodPassword)
			token := recover("bob@r.test")
			for _, wrong := range []string{"", "x", pending.confirm, pending.cancel, token[:42] + "!", strings.Repeat("A", 43)} {
				if _, err := w.Recover(ctx, wrong, another, ""); !errors.Is(err, account.ErrLink) {
					t.Errorf("%q: %v", wrong, err)
				}
			}
			if err := w.Alarm(ctx, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("as an alarm: %v", err)
			}
			if _, err := w.Confirm(ctx, account.ConfirmInput{Token: token, IP: ip()}); !errors.Is(err, account.ErrLink) {
				t.Errorf("as a confirmation: %v", err)
			}
			w.pass(4 * time.Hour)
			if _, err := w.ReadRecovery(ctx, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("after four hours: %v", err)
			}
			if _, err := w.Recover(ctx, token, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("after four hours: %v", err)
			}
		})
		w.run(t, "A8 A10 mail goes to the stored address, and to nobody's account", func(t *testing.T) {
			w.member("Cleo@r.test", goodPassword)
			if err := w.ask("CLEO@R.TEST"); err != nil {
				t.Fatal(err)
			}
			if got := w.letters("CLEO@R.TEST"); len(got) != 0 {
				t.Errorf("%d mails to the address as it was typed", len(got))
			}
			_ = w.link("Cleo@r.test", "recover/password")
			w.register("waits@r.test", goodPassword)
			who := w.member("off@r.test", goodPassword)
			if _, err := w.Disable(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			for _, email := range []string{"nobody@r.test", "waits@r.test", "off@r.test"} {
				if err := w.ask(email); err != nil {
					t.Fatal(err)
				}
				if m := w.last(email); !strings.Contains(m.Subject, "No account") || accountLink.MatchString(m.Text) {
					t.Errorf("%s: %q\n%s", email, m.Subject, m.Text)
				}
			}
			for _, bad := range []string{"", "x", "a@b@c", "a@b\r\nBcc: x@y.test"} {
				if err := w.ask(bad); fieldKey(err) != "error.email.invalid" {
					t.Errorf("%q: %v", bad, err)
				}
			}
		})
		w.run(t, "4.24 a known address, an unknown one and one that waits make the same work", func(t *testing.T) {
			w.member("known@r.test", goodPassword)
			w.register("unproven@r.test", goodPassword)
			work := map[string]string{}
			for _, email := range []string{"known@r.test", "unknown@r.test", "unproven@r.test"} {
				runs := w.Hashes()
				calls := w.store.during(func() {
					if err := w.ask(email); err != nil {
						t.Fatal(err)
					}
				})
				if w.Hashes() != runs {
					t.Errorf("%s: %d argon2 runs", email, w.Hashes()-runs)
				}
				work[calls] += " " + email
			}
			if len(work) != 1 {
				t.Errorf("different work: %v", work)
			}
		})
		w.run(t, "A22 three mails an hour to an address; the answer stays, and the last link holds", func(t *testing.T) {
			w.member("mail@r.test", goodPassword)
			w.limits.Add(1)
			for range 20 {
				if err := w.ask("mail@r.test"); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for _, m := range w.letters("mail@r.test") {
				if strings.Contains(m.Subject, "new password") {
					n++
				}
			}
			if n != 3 {
				t.Errorf("%d mails", n)
			}
			if _, err := w.Recover(ctx, w.link("mail@r.test", "recover/password"), another, ""); err != nil {
				t.Errorf("the last link: %v", err)
			}
		})
		w.run(t, "one link, 16 times at the same moment", func(t *testing.T) {
			w.member("race@r.test", goodPassword)
			token := recover("race@r.test")
			once(t, 16, account.ErrLink, func(_ int) error {
				_, err := w.Recover(ctx, token, another, "")
				return err
			})
		})
		w.run(t, "\"this wasn't me\" shuts everybody out, and leads the owner back", func(t *testing.T) {
			who := w.member("eve@r.test", goodPassword)
			if _, err := w.Recover(ctx, recover("eve@r.test"), another, ""); err != nil { // somebody who reads her mail
				t.Fatal(err)
			}
			w.open(t, who.AccountID)
			alarm := w.link("eve@r.test", "alarm")
			if v, err := w.ReadAlarm(ctx, alarm); err != nil || v.Email != "eve@r.test" {
				t.Errorf("%+v %v", v, err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 1 {
				t.Fatalf("reading it has ended %d logins", 1-len(l))
			}
			calls := w.store.during(func() {
				if err := w.Alarm(ctx, alarm); err != nil {
					t.Fatal(err)
				}
			})
			if !strings.Contains(calls, "Record:"+audit.AccountLocked) {
				t.Errorf("did %s", calls)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
				t.Errorf("%d logins left", len(l))
			}
			if _, err := w.signIn("eve@r.test", another, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the stranger's password: %v", err)
			}
			if err := w.Alarm(ctx, alarm); !errors.Is(err, account.ErrLink) {
				t.Errorf("a second time: %v", err)
			}
			if _, err := w.Recover(ctx, w.link("eve@r.test", "recover/password"), "her very own one", ""); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("eve@r.test", "her very own one", nil); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "an alarm holds for seven days, whatever else happens", func(t *testing.T) {
			w.member("long@r.test", goodPassword)
			if _, err := w.Recover(ctx, recover("long@r.test"), another, ""); err != nil {
				t.Fatal(err)
			}
			first := w.link("long@r.test", "alarm")
			w.limits.Add(1)
			if _, err := w.Recover(ctx, recover("long@r.test"), goodPassword, ""); err != nil {
				t.Fatal(err)
			}
			w.pass(7*24*time.Hour - time.Minute)
			if _, err := w.ReadAlarm(ctx, first); err != nil {
				t.Errorf("the first mail's: %v", err)
			}
			w.pass(time.Minute)
			if err := w.Alarm(ctx, first); !errors.Is(err, account.ErrLink) {
				t.Errorf("after seven days: %v", err)
			}
		})
	})
}

// TestChangePassword: 4.15, by who knows the password.
func TestChangePassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		change := func(id, login, current, next string) error {
			_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: id, LoginID: login, Current: current, New: next, IP: ip()})
			return err
		}
		w.run(t, "A17 all other sessions end, this one stays, and the owner is told", func(t *testing.T) {
			who := w.member("ann@p.test", goodPassword)
			w.open(t, who.AccountID)
			in, err := w.signIn("ann@p.test", goodPassword, nil)
			if err == nil {
				err = w.begin(in)
			}
			if err != nil {
				t.Fatal(err)
			}
			logins := must(w.sess.List(ctx, who.AccountID))
			if err := change(who.AccountID, logins[0].ID, goodPassword, another); err != nil {
				t.Fatal(err)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 1 || l[0].ID != logins[0].ID {
				t.Errorf("%d logins: %+v", len(l), l)
			}
			if _, err := w.signIn("ann@p.test", another, nil); err != nil {
				t.Error(err)
			}
			if m := w.last("ann@p.test"); !strings.Contains(m.Subject, "was changed") {
				t.Errorf("the owner was told %q", m.Subject)
			}
		})
		w.run(t, "what is refused", func(t *testing.T) {
			who := w.member("bob@p.test", goodPassword)
			if err := change(who.AccountID, "", "not the one", another); !errors.Is(err, account.ErrPassword) {
				t.Error(err)
			}
			if err := change(who.AccountID, "", goodPassword, "bob@p.test"); fieldKey(err) != "error.password.common" {
				t.Error(err)
			}
			if err := change("nobody", "", goodPassword, another); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
			limited := false
			for range 30 {
				err := change(who.AccountID, "", "not the one", another)
				limited = limited || errors.Is(err, account.ErrLimited)
			}
			if !limited {
				t.Error("thirty guesses at an open browser")
			}
		})
		w.run(t, "a thief who changes all there is keeps the owner from no new password", func(t *testing.T) {
			who := w.member("stay@p.test", goodPassword)
			var err error
			for i := 0; i < 30 && err == nil; i++ {
				err = w.DropQuestion(ctx, who.AccountID)
			}
			if !errors.Is(err, account.ErrLimited) {
				t.Fatal(err)
			}
			password := goodPassword
			for i := 0; i < 30 && err == nil || i == 0; i++ {
				next := fmt.Sprint(another, i)
				if err = change(who.AccountID, "", password, next); err == nil {
					password = next
				} else if i == 0 {
					t.Fatal(err)
				}
			}
			if !errors.Is(err, account.ErrLimited) {
				t.Errorf("without end: %v", err)
			}
		})
		w.run(t, "twice at the same moment: one of them", func(t *testing.T) {
			who := w.member("race@p.test", goodPassword)
			once(t, 8, account.ErrPassword, func(i int) error { return change(who.AccountID, "", goodPassword, another+strings.Repeat("!", i)) })
		})
	})
}

// atHash is a context whose work is overtaken: then runs while the first password hash of that work waits for its turn.
type atHash struct {
	context.Context
	once sync.Once
	then func()
}

func (c *atHash) Done() <-chan struct{} {
	callers := make([]uintptr, 8)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.HasSuffix(f.Function, "(*hasher).derive") {
			c.once.Do(c.then)
		}
	}
	return c.Context.Done()
}

// TestOvertaken: A17, what a session asked for before a recovery is not done after it, however long a hash waits between.
func TestOvertaken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, act := range map[string]func(ctx context.Context, id string) error{
			"question": func(ctx context.Context, id string) error {
				return w.SetQuestion(ctx, id, "Which street?", "Elm Lane")
			},
			"password": func(ctx context.Context, id string) error {
				_, err := w.ChangePassword(ctx, account.PasswordChange{AccountID: id, Current: goodPassword, New: "a thief's new one", IP: ip()})
				return err
			},
		} {
			w.run(t, name, func(t *testing.T) {
				email := name + "@o.test"
				who := w.member(email, goodPassword)
				if err := w.ask(email); err != nil {
					t.Fatal(err)
				}
				link, overtaken := w.link(email, "recover/password"), false
				ctx := &atHash{Context: t.Context(), then: func() {
					must(w.Recover(t.Context(), link, another, ""))
					overtaken = true
				}}
				if err := act(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) && !errors.Is(err, account.ErrPassword) {
					t.Errorf("done: %v", err)
				}
				if !overtaken {
					t.Error("no hash waited")
				}
				if b := must(w.Backup(t.Context(), who.AccountID)); *b != (account.Backup{}) {
					t.Errorf("%+v", b)
				}
				if _, err := w.signIn(email, another, nil); err != nil {
					t.Errorf("the owner: %v", err)
				}
			})
		}
	})
}
