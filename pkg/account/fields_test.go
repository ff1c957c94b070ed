package account_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// TestFields: 4.3, what the registration form asks for.
func TestFields(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		asking := func(f account.Fields) *account.Directory {
			t.Helper()
			cfg := w.cfg
			cfg.Fields = f
			return must(account.New(cfg))
		}
		all := account.Fields{Name: account.Required, Phone: account.Required, BirthDate: account.Required}
		full := func(email string) account.Registration {
			r := form(email, goodPassword)
			r.Phone, r.BirthDate = " +44 (0)20 7946-0123 ", "1985-03-31"
			return r
		}
		kept := func(t *testing.T, id string) (name string, claims map[string]any) {
			t.Helper()
			a := must(w.Show(ctx, id))
			if err := json.Unmarshal(a.Claims, &claims); err != nil {
				t.Fatal(err)
			}
			return a.Name, claims
		}
		w.run(t, "off, optional, required", func(t *testing.T) {
			for _, c := range []struct {
				fields account.Fields
				change func(*account.Registration)
				want   string
			}{
				{account.Fields{}, func(r *account.Registration) { r.Name = "" }, "error.name.empty"},
				{account.Fields{}, func(r *account.Registration) { r.Phone, r.BirthDate = "x", "y" }, ""},
				{account.Fields{Phone: account.Off, Name: account.Off}, func(r *account.Registration) { r.Name = "https://evil.test" }, ""},
				{account.Fields{Name: account.Optional}, func(r *account.Registration) { r.Name = "" }, ""},
				{account.Fields{Name: account.Optional}, func(r *account.Registration) { r.Name = "https://evil.test" }, "error.name.link"},
				{account.Fields{Phone: account.Optional, BirthDate: account.Optional}, func(r *account.Registration) { r.Phone, r.BirthDate = " ", "" }, ""},
				{account.Fields{Phone: account.Optional}, func(r *account.Registration) { r.Phone = "020 7946 0123" }, "error.phone.invalid"},
				{account.Fields{BirthDate: account.Optional}, func(r *account.Registration) { r.BirthDate = "31/03/1985" }, "error.birthdate.invalid"},
				{all, func(*account.Registration) {}, ""},
				{all, func(r *account.Registration) { r.Phone = "\t" }, "error.phone.empty"},
				{all, func(r *account.Registration) { r.BirthDate = "" }, "error.birthdate.empty"},
			} {
				r := full("check@fields.test")
				c.change(&r)
				if got := fieldKey(checked(t.Context(), asking(c.fields), r)); got != c.want {
					t.Errorf("%+v, %q %q %q: %q, want %q", c.fields, r.Name, r.Phone, r.BirthDate, got, c.want)
				}
			}
		})
		w.run(t, "what is asked for is kept, in its normal form; what is not is dropped", func(t *testing.T) {
			for email, c := range map[string]struct {
				fields account.Fields
				name   string
				claims int
			}{
				"none@fields.test": {account.Fields{}, "Alice Example", 0},
				"bare@fields.test": {account.Fields{Name: account.Off}, "", 0},
				"all@fields.test":  {all, "Alice Example", 2},
			} {
				d, r := asking(c.fields), full(email)
				id := must(d.Register(ctx, r))
				name, claims := kept(t, id)
				if name != c.name || len(claims) != c.claims || c.claims > 0 && (claims["phone_number"] != "+442079460123" || claims["birthdate"] != "1985-03-31") {
					t.Errorf("%s: %q %v", email, name, claims)
				}
				must(d.Confirm(ctx, account.ConfirmInput{Token: w.last(email).confirm, FlowHash: r.FlowHash, IP: ip()}))
				if again, after := kept(t, id); again != name || len(after) != len(claims) {
					t.Errorf("%s, confirmed: %q %v", email, again, after)
				}
			}
		})
		w.run(t, "A10 A11 nothing of it survives the owner's proof with a new password", func(t *testing.T) {
			d := asking(all)
			must(d.Register(ctx, full("alice@fields.test")))
			done := must(d.Confirm(ctx, account.ConfirmInput{Token: w.last("alice@fields.test").confirm, FlowHash: browser(), NewPassword: "alice's own words", IP: ip()}))
			if name, claims := kept(t, done.AccountID); name != "" || len(claims) != 0 {
				t.Errorf("a stranger chose %q %v", name, claims)
			}
		})
		w.run(t, "A24 phone numbers", func(t *testing.T) {
			d := asking(account.Fields{Phone: account.Required})
			for typed, want := range map[string]string{
				"+442079460123": "+442079460123", "+44 (0)20 7946 0123": "+442079460123", "+1-650-253-0000": "+16502530000",
				"＋４４ ２０ ７９４６ ０１２３": "+442079460123", "+34.910.123.456": "+34910123456", "+49 30 901820": "+4930901820",
				"020 7946 0123": "", "0044 20 7946 0123": "", "+": "", "+44": "", "+999 123 456 789": "", "+44 20 7946 0123 4567 890": "", "hello": "",
				"+44\x0020 7946 0123": "", "\xff": "", "+44 20 7946 0123\u202e": "", strings.Repeat("+44 20 7946 0123", 9999): "", "<b>+442079460123</b>": "",
			} {
				r := full("tel" + strings.ToLower(random(4)) + "x@fields.test")
				r.Email = strings.NewReplacer("-", "", "_", "").Replace(r.Email)
				r.TermsEmail, r.Phone = r.Email, typed
				id, err := d.Register(ctx, r)
				if want == "" {
					if fieldKey(err) != "error.phone.invalid" {
						t.Errorf("%.40q: %v", typed, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%q: %v", typed, err)
					continue
				}
				if _, claims := kept(t, id); claims["phone_number"] != want {
					t.Errorf("%q came back as %v", typed, claims)
				}
			}
		})
		w.run(t, "A24 dates of birth", func(t *testing.T) {
			d := asking(account.Fields{BirthDate: account.Required})
			tomorrow := w.cfg.Now().Add(48 * time.Hour).Format(time.DateOnly)
			for typed, good := range map[string]bool{
				"1985-03-31": true, " 1900-01-01 ": true, "2000-02-29": true, w.cfg.Now().Format(time.DateOnly): true,
				"1899-12-31": false, "1900-02-29": false, "1985-02-30": false, "1985-3-1": false, tomorrow: false, "9999-12-31": false,
				"1985": false, "0000-03-31": false, "31.03.1985": false, "1985-03-31T00:00:00Z": false, "1985-03-31\x00": false, "\xff": false,
				"１９８５-03-31": false, strings.Repeat("1", 1<<16): false,
			} {
				r := full("born@fields.test")
				r.BirthDate = typed
				if got := fieldKey(checked(t.Context(), d, r)); (got == "") != good || !good && got != "error.birthdate.invalid" {
					t.Errorf("%.40q: %q", typed, got)
				}
			}
		})
	})
}
