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
			if err := closed.Check(t.Context(), r); !errors.Is(err, account.ErrClosed) {
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
				if err := d.Check(t.Context(), form(email, goodPassword)); fieldKey(err) != want {
					t.Errorf("%s registers: %v", email, err)
				}
				w.limits.Add(1)
				if err := d.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: email, IP: ip()}); fieldKey(err) != want {
					t.Errorf("%s as another address: %v", email, err)
				}
			}
		})
	})
}
