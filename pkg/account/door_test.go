package account_test

import (
	"errors"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

// TestDoor: 4.3, who may register, and with which addresses.
func TestDoor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		at := func(d account.Door) *account.Directory {
			t.Helper()
			cfg := w.cfg
			cfg.Door = d
			return must(account.New(cfg))
		}
		w.run(t, "closed: nobody, by whatever page; the operator can", func(t *testing.T) {
			closed := at(account.Door{Closed: true})
			r := form("a@door.test", goodPassword)
			if err := checked(t.Context(), closed, r); !errors.Is(err, account.ErrClosed) {
				t.Error(err)
			}
			if _, err := closed.Register(ctx, r); !errors.Is(err, account.ErrClosed) {
				t.Error(err)
			}
			if len(w.letters("a@door.test")) != 0 {
				t.Error("a mail went")
			}
			if closed.Open() || !w.Open() {
				t.Error("Open says otherwise")
			}
			if _, err := closed.Create(ctx, account.NewAccount{Email: "b@door.test", Confirmed: true}); err != nil {
				t.Error(err)
			}
			// Who registered before the door was closed can still confirm.
			made, l := w.register("c@door.test", goodPassword)
			if _, err := closed.Confirm(ctx, account.ConfirmInput{Token: l.confirm, FlowHash: made.FlowHash, IP: ip()}); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "domains, with all below them", func(t *testing.T) {
			d := at(account.Door{Allow: []string{"corp.test", "xn--schn-7qa.test"}, Deny: []string{"temp.corp.test"}})
			who := w.member("mover@door.test", goodPassword)
			for email, in := range map[string]bool{
				"a@corp.test": true, "a@CORP.test": true, "a@mail.corp.test": true, "a@sch\u00f6n.test": true,
				"a@temp.corp.test": false, "a@x.temp.corp.test": false, "a@notcorp.test": false, "a@corp.test.evil.test": false, "a@other.test": false,
			} {
				want := map[bool]string{true: "", false: "error.email.domain"}[in]
				if err := checked(t.Context(), d, form(email, goodPassword)); fieldKey(err) != want {
					t.Errorf("%s registers: %v", email, err)
				}
				w.limits.Add(1)
				if err := d.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: email, IP: ip()}); fieldKey(err) != want {
					t.Errorf("%s as another address: %v", email, err)
				}
			}
		})
		w.run(t, "the address that a request to the operator is answered at, of an account and of none", func(t *testing.T) {
			w.member("lost@door.test", goodPassword)
			d := at(account.Door{Deny: []string{"temp.test"}, Disposable: true})
			for _, email := range []string{"lost@door.test", "nobody@door.test"} {
				ask := func(d *account.Directory, reach string) error {
					w.limits.Add(1)
					return d.AskRequest(ctx, account.RequestStart{Account: email, Reach: reach, Language: "en", IP: ip()})
				}
				for _, reach := range []string{"r@temp.test", "r@mail.temp.test", "r@mailinator.com"} {
					if err := ask(d, reach); fieldKey(err) != "error.email.domain" {
						t.Errorf("%s, %s: %v", email, reach, err)
					}
				}
				if err := ask(w.Directory, "r@temp.test"); err != nil {
					t.Fatal(err)
				}
				token := w.requestToken("r@temp.test", "recover/request/details")
				if _, err := d.ReadRequest(ctx, token); !errors.Is(err, account.ErrDomain) {
					t.Errorf("denied since, read: %v", err)
				}
				if err := d.OpenRequest(ctx, token, account.Knowledge{}); !errors.Is(err, account.ErrDomain) {
					t.Errorf("denied since, opened: %v", err)
				}
				if err := w.OpenRequest(ctx, token, account.Knowledge{}); err != nil {
					t.Error(err)
				}
			}
			w.week()
			r := must(w.Requests(ctx))
			id := r[len(r)-1].ID
			if _, err := d.Approve(ctx, id); !errors.Is(err, account.ErrDomain) {
				t.Errorf("denied since, approved: %v", err)
			}
			must(w.Approve(ctx, id))
			token := w.requestToken("r@temp.test", "recover/regain")
			if _, err := d.ReadRegain(ctx, token); !errors.Is(err, account.ErrDomain) {
				t.Errorf("denied since, the operator's link read: %v", err)
			}
			if _, err := d.Regain(ctx, token, another); !errors.Is(err, account.ErrDomain) {
				t.Errorf("denied since, the operator's link followed: %v", err)
			}
			if _, err := w.Regain(ctx, token, another); err != nil {
				t.Error(err)
			}
		})
	})
}
