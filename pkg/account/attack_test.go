package account_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestAttack: what somebody could try with the ways back into an account.
func TestAttack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "I17 budgets of requests tell nobody who has an account", func(t *testing.T) {
			w.member("known@t.test", goodPassword)
			came := map[string]int{}
			for _, name := range []string{"known", "unknown"} {
				// A plus makes no other box, and an account has not that address.
				for i, email := range []string{name, name, name, name, name, name + "+x", name + "+x"} {
					reach := fmt.Sprintf("reach%d-%s@t.test", i, name)
					if err := w.AskRequest(ctx, account.RequestStart{Account: email + "@t.test", Reach: reach, IP: ip()}); err != nil {
						t.Fatal(err)
					}
					came[name] += len(w.letters(reach))
				}
			}
			if came["known"] != came["unknown"] {
				t.Errorf("%v mails came", came)
			}
		})
		w.run(t, "A22 an account of many addresses is not told without end", func(t *testing.T) {
			who := w.member("box0@t.test", goodPassword)
			for i := 1; i < 4; i++ {
				w.add(who.AccountID, fmt.Sprintf("box%d@t.test", i), false)
			}
			before := len(w.letters("box0@t.test"))
			for i := range 20 {
				reach := fmt.Sprintf("bomb%d@t.test", i)
				if err := w.AskRequest(ctx, account.RequestStart{Account: fmt.Sprintf("box%d@t.test", i%4), Reach: reach, IP: ip()}); err != nil {
					t.Fatal(err)
				}
				if len(w.letters(reach)) == 0 {
					continue
				}
				if err := w.OpenRequest(ctx, w.requestToken(reach, "recover/request/details"), account.Knowledge{}); err != nil {
					t.Fatal(err)
				}
				if err := w.TellRequests(ctx); err != nil {
					t.Fatal(err)
				}
				if err := w.StopRequest(ctx, who.AccountID); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(w.letters("box0@t.test")) - before; n == 0 || n > 5 {
				t.Errorf("%d notices", n)
			}
		})
		w.run(t, "A12 an address that a thief has brought long ago can be removed", func(t *testing.T) {
			who := w.member("owner@t.test", goodPassword)
			w.pass(time.Hour)
			bad := w.add(who.AccountID, "thief@t.test", false)
			w.pass(30 * 24 * time.Hour)
			w.limits.Add(1)
			if err := w.RemoveAddress(ctx, who.AccountID, bad); err != nil {
				t.Fatal(err)
			}
			if m := w.last("thief@t.test"); !strings.Contains(m.Subject, "taken from an account") || accountLink.MatchString(m.Text) {
				t.Errorf("the thief has a link:\n%s", m.Text)
			}
			// It may have been the thief who removed the owner's second address: the main one can lock the account.
			if err := w.Alarm(ctx, w.link("owner@t.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "owner@t.test" {
				t.Errorf("it has %s", got)
			}
		})
		w.run(t, "A12 the owner's first address comes back, whichever is the main one by then", func(t *testing.T) {
			who := w.member("oldest@t.test", goodPassword)
			w.pass(time.Hour)
			bad := w.add(who.AccountID, "middle@t.test", true)
			w.pass(8 * 24 * time.Hour)
			w.add(who.AccountID, "newest@t.test", true)
			w.pass(8 * 24 * time.Hour)
			w.limits.Add(1)
			if err := w.RemoveAddress(ctx, who.AccountID, bad); err != nil { // older than the main one, but not the oldest
				t.Fatal(err)
			}
			if m := w.last("middle@t.test"); accountLink.MatchString(m.Text) {
				t.Errorf("it has a link:\n%s", m.Text)
			}
			if err := w.RemoveAddress(ctx, who.AccountID, w.addressID(who.AccountID, "oldest@t.test")); err != nil {
				t.Fatal(err)
			}
			if err := w.Alarm(ctx, w.link("oldest@t.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); !strings.Contains(got, "oldest@t.test") {
				t.Errorf("it has %s", got)
			}
		})
		w.run(t, "A17 the newest mail of a primary address that was moved and removed undoes both", func(t *testing.T) {
			who := w.member("first@t.test", goodPassword)
			w.pass(time.Hour)
			bad := w.add(who.AccountID, "patient@t.test", false)
			w.pass(8 * 24 * time.Hour) // the thief has waited
			w.limits.Add(1)
			if err := w.SetPrimary(ctx, who.AccountID, bad); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
			if err := w.RemoveAddress(ctx, who.AccountID, w.addressID(who.AccountID, "first@t.test")); err != nil {
				t.Fatal(err)
			}
			if err := w.Alarm(ctx, w.link("first@t.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if got := w.has(who.AccountID); got != "first@t.test" {
				t.Errorf("it has %s", got)
			}
		})
		w.run(t, "4.13 an alarm stops a request", func(t *testing.T) {
			who := w.member("awake@t.test", goodPassword)
			w.pass(time.Hour)
			if err := w.SetQuestion(ctx, who.AccountID, "Which street?", "Elm Lane"); err != nil {
				t.Fatal(err)
			}
			alarm := w.link("awake@t.test", "alarm")
			w.request("awake@t.test", "wants@t.test", account.Knowledge{})
			if err := w.Alarm(ctx, alarm); err != nil {
				t.Fatal(err)
			}
			if r := w.requestOf(who.AccountID); r.State != account.RequestStopped {
				t.Errorf("it is %s", r.State)
			}
		})
		w.run(t, "4.13 a request does not outlive that the account is stopped", func(t *testing.T) {
			for name, stop := range map[string]func(id, email string) error{
				"disabled": func(id, _ string) error { _, err := w.Disable(ctx, id); return err },
				"closed":   func(id, email string) error { return w.Close(ctx, id, email) },
			} {
				email := name + "@t.test"
				who := w.member(email, goodPassword)
				w.request(email, "wants-"+email, account.Knowledge{})
				if err := stop(who.AccountID, email); err != nil {
					t.Fatal(err)
				}
				if r := w.requestOf(who.AccountID); r.State != account.RequestStopped {
					t.Errorf("%s: it is %s", name, r.State)
				}
			}
		})
		w.run(t, "4.13 notices that were late are not sent at once", func(t *testing.T) {
			who := w.member("late@t.test", goodPassword)
			w.request("late@t.test", "waits@t.test", account.Knowledge{})
			w.pass(8 * 24 * time.Hour) // nobody sent any
			for range 2 {
				if err := w.TellRequests(ctx); err != nil {
					t.Fatal(err)
				}
			}
			r := w.requestOf(who.AccountID)
			if r.Notices != 1 {
				t.Errorf("%d notices at once", r.Notices)
			}
			if _, err := w.Approve(ctx, r.ID); !errors.Is(err, account.ErrEarly) {
				t.Errorf("approved: %v", err)
			}
			w.week()
			if _, err := w.Approve(ctx, r.ID); err != nil {
				t.Errorf("a week later: %v", err)
			}
		})
		w.run(t, "a transaction that was broken off while it read is run again", func(t *testing.T) {
			who := w.member("again@t.test", goodPassword)
			broken := w.cfg
			broken.Store = &unlucky{recorder: w.store}
			d := must(account.New(broken))
			w.limits.Add(1)
			for name, ask := range map[string]func(context.Context, account.AddressChange) error{"address": d.AskAddress, "backup": d.AskBackup} {
				broken.Store.(*unlucky).left = 1
				if err := ask(ctx, account.AddressChange{AccountID: who.AccountID, Email: name + "-again@t.test", IP: ip()}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	})
}

var errBroken = errors.New("deadlock detected")

// unlucky breaks a transaction off at its first lock, and runs it again.
type unlucky struct {
	*recorder
	left int
}

func (u *unlucky) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	err := u.recorder.InTx(ctx, fn)
	if errors.Is(err, errBroken) {
		err = u.recorder.InTx(ctx, fn)
	}
	return err
}

func (u *unlucky) LockAccount(ctx context.Context, id string) (account.Record, error) {
	if u.left > 0 {
		u.left--
		return account.Record{}, errBroken
	}
	return u.recorder.LockAccount(ctx, id)
}
