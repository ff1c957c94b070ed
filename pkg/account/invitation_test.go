package account_test

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

var invitationLink = regexp.MustCompile(`https://op\.test/register\?\S+`)

// TestInvitation: 4.3, registration by invitation.
func TestInvitation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		cfg := w.cfg
		cfg.Door = account.Door{Invitation: true, Deny: []string{"denied.test"}}
		open := w.Directory
		w.Directory = must(account.New(cfg))
		invite := func(n account.NewInvitation) (account.Invitation, string) {
			t.Helper()
			if n.TTL == 0 {
				n.TTL = time.Hour
			}
			i, token, err := w.Invite(ctx, n)
			if err != nil {
				t.Fatal(err)
			}
			return i, token
		}
		try := func(r account.Registration, token string) error {
			w.limits.Add(1)
			r.Invitation = token
			_, err := w.Register(ctx, r)
			return err
		}
		confirm := func(r account.Registration) error {
			_, err := w.Confirm(ctx, account.ConfirmInput{Token: w.last(r.Email).confirm, FlowHash: r.FlowHash, IP: ip()})
			return err
		}
		left := func(id string) (uses, waiting int64) {
			for _, i := range must(w.Invitations(ctx)) {
				if i.ID == id {
					return i.Uses, i.Waiting
				}
			}
			return 0, 0
		}
		expect := func(t *testing.T, id string, uses, waiting int64) {
			t.Helper()
			if u, n := left(id); u != uses || n != waiting {
				t.Errorf("%d uses, %d wait, want %d and %d", u, n, uses, waiting)
			}
		}
		w.run(t, "nobody without one; who has it registers, and comes with its id", func(t *testing.T) {
			i, token := invite(account.NewInvitation{Uses: 2})
			r := form("a@i.test", goodPassword)
			for _, wrong := range []string{"", "x", token[:42] + "!", strings.Repeat("A", 43), token + "A"} {
				if err := try(r, wrong); !errors.Is(err, account.ErrInvitation) {
					t.Errorf("%q: %v", wrong, err)
				}
				r.Invitation = wrong
				if err := checked(ctx, w.Directory, r); !errors.Is(err, account.ErrInvitation) {
					t.Errorf("the first page, %q: %v", wrong, err)
				}
			}
			if len(w.letters("a@i.test")) != 0 {
				t.Error("a mail went")
			}
			if err := try(r, token); err != nil {
				t.Fatal(err)
			}
			expect(t, i.ID, 2, 1)
			if err := confirm(r); err != nil {
				t.Fatal(err)
			}
			expect(t, i.ID, 1, 0)
			if a := must(w.Show(ctx, "a@i.test")); a.Invitation != i.ID {
				t.Errorf("it came by %q", a.Invitation)
			}
			if got, err := w.ReadInvitation(ctx, token); err != nil || got.ID != i.ID {
				t.Errorf("%+v %v", got, err)
			}
		})
		w.run(t, "one for an address fits that address alone", func(t *testing.T) {
			_, token := invite(account.NewInvitation{Uses: 1, Email: "Bound@i.test"})
			if err := try(form("other@i.test", goodPassword), token); fieldKey(err) != "error.email.invited" {
				t.Error(err)
			}
			r := form("bound@I.TEST", goodPassword)
			if err := try(r, token); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "it goes by mail", func(t *testing.T) {
			_, token := invite(account.NewInvitation{Uses: 1, Email: "mail@i.test", Send: true, Language: "es"})
			m := w.last("mail@i.test")
			link := must(url.Parse(invitationLink.FindString(m.Text)))
			if !strings.Contains(m.Subject, "invitan") || link.Query().Get("invitation") != token || !strings.Contains(m.Text, time.Now().UTC().Add(time.Hour).Format(time.DateOnly)) {
				t.Errorf("%q\n%s", m.Subject, m.Text)
			}
			for _, bad := range []account.NewInvitation{{Uses: 0, TTL: time.Hour}, {Uses: 1}, {Uses: account.MaxInvited + 1, TTL: time.Hour}, {Uses: 1, TTL: account.MaxInvitation + 1},
				{Uses: 2, TTL: time.Hour, Email: "x@i.test"}, {Uses: 1, TTL: time.Hour, Send: true}, {Uses: 1, TTL: time.Hour, Email: "x"}, {Uses: 1, TTL: time.Hour, Email: "x@denied.test"}} {
				if _, _, err := w.Invite(ctx, bad); err == nil {
					t.Errorf("%+v is made", bad)
				}
			}
		})
		w.run(t, "late, and revoked", func(t *testing.T) {
			i, token := invite(account.NewInvitation{Uses: 5})
			before, late := form("before@i.test", goodPassword), form("revoked@i.test", goodPassword)
			if err := errors.Join(try(before, token), try(late, token)); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Hour)
			if err := try(form("late@i.test", goodPassword), token); !errors.Is(err, account.ErrInvitation) {
				t.Errorf("late: %v", err)
			}
			if _, err := w.ReadInvitation(ctx, token); !errors.Is(err, account.ErrInvitation) {
				t.Errorf("its link: %v", err)
			}
			if err := confirm(before); err != nil {
				t.Errorf("who was in time cannot confirm: %v", err)
			}
			if err := w.RevokeInvitation(ctx, i.ID); err != nil {
				t.Fatal(err)
			}
			if err := confirm(late); !errors.Is(err, account.ErrInvitation) {
				t.Errorf("with a revoked one: %v", err)
			}
			if a := must(w.Show(ctx, "revoked@i.test")); a.State != account.Pending {
				t.Errorf("it is %s", a.State)
			}
			if err := w.RevokeInvitation(ctx, i.ID); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
		})
		w.run(t, "a use is free again when its registration ends", func(t *testing.T) {
			i, token := invite(account.NewInvitation{Uses: 1, TTL: 30 * 24 * time.Hour})
			cancelled, mistyped, second := form("cancelled@i.test", goodPassword), form("mistyped@i.test", goodPassword), form("second@i.test", goodPassword)
			if err := try(cancelled, token); err != nil {
				t.Fatal(err)
			}
			if err := try(form("else@i.test", goodPassword), token); !errors.Is(err, account.ErrInvitation) {
				t.Errorf("in another browser: %v", err)
			}
			if err := w.Cancel(ctx, w.last("cancelled@i.test").cancel); err != nil {
				t.Fatal(err)
			}
			if err := try(mistyped, token); err != nil {
				t.Fatalf("after it was cancelled: %v", err)
			}
			old := w.last("mistyped@i.test")
			second.FlowHash = mistyped.FlowHash
			if err := try(second, token); err != nil {
				t.Fatalf("another address in the same browser: %v", err)
			}
			if _, err := w.Confirm(ctx, account.ConfirmInput{Token: old.confirm, FlowHash: mistyped.FlowHash, IP: ip()}); !errors.Is(err, account.ErrLink) {
				t.Errorf("the mistyped address: %v", err)
			}
			expect(t, i.ID, 1, 1)
			w.pass(account.PendingLifetime)
			third := form("third@i.test", goodPassword)
			if err := try(third, token); err != nil {
				t.Fatalf("after three days: %v", err)
			}
			if err := confirm(third); err != nil {
				t.Fatal(err)
			}
			if err := try(form("fourth@i.test", goodPassword), token); !errors.Is(err, account.ErrInvitation) {
				t.Errorf("a second account with one use: %v", err)
			}
		})
		w.run(t, "several uses in one browser: the first registration stays", func(t *testing.T) {
			_, token := invite(account.NewInvitation{Uses: 2})
			one, two := form("one@i.test", goodPassword), form("two@i.test", goodPassword)
			two.FlowHash = one.FlowHash
			if err := errors.Join(try(one, token), try(two, token)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(confirm(one), confirm(two)); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "4.7 a mistyped address is corrected with the one use that there is", func(t *testing.T) {
			for _, uses := range []int64{1, 3} {
				i, token := invite(account.NewInvitation{Uses: uses})
				typo, right := form(fmt.Sprintf("typo%d@i.test", uses), goodPassword), form(fmt.Sprintf("right%d@i.test", uses), goodPassword)
				if err := try(typo, token); err != nil {
					t.Fatal(err)
				}
				right.FlowHash, right.Instead = typo.FlowHash, must(w.Pending(ctx, typo.FlowHash)).ID
				if err := try(right, token); err != nil {
					t.Fatal(err)
				}
				expect(t, i.ID, uses, 1)
				if err := confirm(typo); !errors.Is(err, account.ErrLink) {
					t.Errorf("the mail that went astray: %v", err)
				}
				if err := confirm(right); err != nil {
					t.Error(err)
				}
			}
		})
		w.run(t, "A16 one form posted five times at the same moment", func(t *testing.T) {
			i, token := invite(account.NewInvitation{Uses: 1})
			r := form("double@i.test", goodPassword)
			r.Invitation = token
			ids := make([]string, 5)
			var wait sync.WaitGroup
			for n := range ids {
				wait.Go(func() {
					var err error
					if ids[n], err = w.Register(ctx, r); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if n := len(slices.Compact(ids)); n != 1 || len(w.letters("double@i.test")) != 1 {
				t.Errorf("%d registrations, %d mails", n, len(w.letters("double@i.test")))
			}
			expect(t, i.ID, 1, 1)
		})
		w.run(t, "one use, twenty browsers at the same moment", func(t *testing.T) {
			_, token := invite(account.NewInvitation{Uses: 1})
			forms := make([]account.Registration, 20)
			for n := range forms {
				forms[n] = form(random(6)+"@i.test", goodPassword)
				forms[n].Invitation = token
			}
			once(t, len(forms), account.ErrInvitation, func(n int) error {
				_, err := w.Register(ctx, forms[n])
				return err
			})
		})
		w.run(t, "registrations and confirmations at the same moment give no more accounts than uses", func(t *testing.T) {
			i, token := invite(account.NewInvitation{Uses: 3})
			waits := make([]account.Registration, 3)
			tokens := make([]string, 3)
			for n := range waits {
				waits[n] = form(random(6)+"@i.test", goodPassword)
				if err := try(waits[n], token); err != nil {
					t.Fatal(err)
				}
				tokens[n] = w.last(waits[n].Email).confirm
			}
			w.limits.Add(1)
			var emails []string
			var wait sync.WaitGroup
			for n := range waits {
				emails = append(emails, waits[n].Email)
				wait.Go(func() {
					if _, err := w.Confirm(ctx, account.ConfirmInput{Token: tokens[n], FlowHash: waits[n].FlowHash, IP: ip()}); err != nil && !errors.Is(err, account.ErrLink) {
						t.Error(err)
					}
				})
				for range 3 { // the same browser, with another address: its earlier one may end
					r := form(random(6)+"@i.test", goodPassword)
					emails = append(emails, r.Email)
					wait.Go(func() {
						r.FlowHash, r.Invitation = waits[n].FlowHash, token
						if _, err := w.Register(ctx, r); err != nil && !errors.Is(err, account.ErrInvitation) {
							t.Error(err)
						}
					})
				}
			}
			wait.Wait()
			var active, pending int64
			for _, email := range emails {
				a, err := w.Show(ctx, email)
				switch {
				case errors.Is(err, account.ErrNotFound):
				case err != nil:
					t.Error(err)
				case a.State == account.Active:
					active++
				default:
					pending++
				}
			}
			if active+pending > 3 || active+pending == 0 {
				t.Errorf("%d accounts and %d that wait, of 3 uses", active, pending)
			}
			if uses, waiting := left(i.ID); uses != 3-active || waiting != pending {
				t.Errorf("%d uses left and %d wait, with %d accounts and %d that wait", uses, waiting, active, pending)
			}
		})
		w.run(t, "what was begun while the door was open", func(t *testing.T) {
			w.limits.Add(1)
			r := form("early@i.test", goodPassword)
			if _, err := open.Register(ctx, r); err != nil {
				t.Fatal(err)
			}
			if err := confirm(r); err != nil {
				t.Errorf("it has three days: %v", err)
			}
			w.limits.Add(1)
			denied := form("x@denied.test", goodPassword)
			if _, err := open.Register(ctx, denied); err != nil {
				t.Fatal(err)
			}
			link := w.last("x@denied.test").confirm
			if _, err := w.ReadConfirm(ctx, link, nil); !errors.Is(err, account.ErrDomain) {
				t.Errorf("the page, of a domain that is denied since: %v", err)
			}
			if err := confirm(denied); !errors.Is(err, account.ErrDomain) {
				t.Errorf("a domain that is denied since: %v", err)
			}
			// The operator is not bound.
			w.limits.Add(1)
			if _, err := w.Create(ctx, account.NewAccount{Email: "boss@denied.test", Name: "Boss", Password: goodPassword}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Confirm(ctx, account.ConfirmInput{Token: w.last("boss@denied.test").confirm, Password: goodPassword, IP: ip()}); err != nil {
				t.Error(err)
			}
			// Another address, likewise.
			who := must(w.Create(ctx, account.NewAccount{Email: "mover@i.test", Name: "Mo", Confirmed: true}))
			w.limits.Add(1)
			if err := open.AskAddress(ctx, account.AddressChange{AccountID: who.ID, Email: "mo@denied.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			to := w.link("mo@denied.test", "account/address/confirm")
			if _, err := w.ReadAddress(ctx, to, who.ID); !errors.Is(err, account.ErrDomain) {
				t.Error(err)
			}
			if err := w.ProveAddress(ctx, to, who.ID, true); !errors.Is(err, account.ErrDomain) {
				t.Error(err)
			}
			if err := open.ProveAddress(ctx, to, who.ID, true); err != nil {
				t.Errorf("the link is gone: %v", err)
			}
		})
	})
}

// TestDisposable: the built-in list, and that it is one.
func TestDisposable(t *testing.T) {
	list := strings.Fields(account.Disposable)
	if len(list) < 300 || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Errorf("%d domains, in order: %v", len(list), slices.IsSorted(list))
	}
	domain := regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$`)
	for _, d := range list {
		if !domain.MatchString(d) {
			t.Errorf("%q is no domain in lower case", d)
		}
		if slices.Contains([]string{"gmail.com", "outlook.com", "yahoo.com", "icloud.com", "proton.me", "gmx.net", "web.de", "qq.com"}, d) {
			t.Errorf("%s is a provider of mail that is kept", d)
		}
	}
	each(t, func(t *testing.T, w *world) {
		cfg := w.cfg
		cfg.Door.Disposable = true
		strict := must(account.New(cfg))
		for email, want := range map[string]string{
			"a@mailinator.com": "error.email.domain", "a@x.mailinator.com": "error.email.domain", "a@YOPMAIL.com": "error.email.domain",
			"a@notmailinator.example": "", "a@mailinator.com.example": "", "a@example.test": "",
		} {
			if got := fieldKey(checked(t.Context(), strict, form(email, goodPassword))); got != want {
				t.Errorf("%s: %q", email, got)
			}
			if got := fieldKey(checked(t.Context(), w.Directory, form(email, goodPassword))); got != "" {
				t.Errorf("%s where it is off: %q", email, got)
			}
		}
	})
}
