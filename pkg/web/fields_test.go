package web_test

import (
	"strings"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

// TestSignUpFields: 4.3, the registration form has what the operator asks for.
func TestSignUpFields(t *testing.T) {
	t.Run("the name alone, unless it is said otherwise", func(t *testing.T) {
		b := newWorld(t).browser(t).get("/register").want(200, "register-name")
		if b.has("register-phone") || b.has("register-birthdate") {
			t.Error("more is asked for")
		}
	})
	t.Run("nothing", func(t *testing.T) {
		w := newWorldOf(t, func(c *account.Config) { c.Fields = account.Fields{Name: account.Off, Phone: account.Off} })
		b := w.browser(t).get("/register").want(200, "register-submit")
		if b.has("register-name") || b.has("register-phone") {
			t.Error("something is asked for")
		}
		b.register("ada@example.test").want(200, "waiting")
	})
	w := newWorldOf(t, func(c *account.Config) {
		c.Fields = account.Fields{Name: account.Optional, Phone: account.Required, BirthDate: account.Required}
	})
	b := w.browser(t).get("/register").want(200, "register-birthdate")
	for _, id := range []string{"register-phone", "register-birthdate", "register-name"} {
		_, tag, _ := strings.Cut(b.Body, `<input id="`+id+`"`)
		tag, _, _ = strings.Cut(tag, ">")
		if strings.Contains(tag, " required") != (id != "register-name") {
			t.Errorf("%s: %s", id, tag)
		}
	}
	t.Run("what is wrong is told beside the field, and the rest stands", func(t *testing.T) {
		b.submit("register-submit", "email", "ada@example.test", "password", password, "phone", "020 7946", "birthdate", "1985-03-31").want(422, "register-phone-error")
		if !strings.Contains(b.Body, `value="1985-03-31"`) || !strings.Contains(b.Body, `value="020 7946"`) || strings.Contains(b.Body, password) {
			t.Error(b.Body)
		}
		b.submit("register-submit", "password", password, "phone", "+44 20 7946 0123", "birthdate", "").want(422, "register-birthdate-error")
	})
	t.Run("it travels through the terms into the account", func(t *testing.T) {
		b.submit("register-submit", "password", password, "birthdate", "1985-03-31").want(200, "terms-email")
		if strings.Contains(b.Body, "7946") || strings.Contains(b.Body, "1985") {
			t.Error("the second page tells what is sealed")
		}
		if b.get("/register?back=1").want(200, "register-phone"); !strings.Contains(b.Body, `20 7946 0123"`) {
			t.Error("the way back has lost it")
		}
		b.get("/register/terms").submit("terms-submit", "terms-email", "ada@example.test").want(200, "waiting")
		a, err := w.people.Show(t.Context(), "ada@example.test")
		if err != nil || string(a.Claims) != `{"phone_number":"+442079460123","birthdate":"1985-03-31"}` || a.Name != "" {
			t.Errorf("%+v %v", a, err)
		}
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "profile-submit")
	})
	t.Run("the longest that can be typed still travels", func(t *testing.T) {
		long := strings.Repeat("\u1112\u1161\u11ab", 100)
		c := w.browser(t).get("/register")
		c.submit("register-submit", "email", strings.Repeat("l", 64)+"@"+strings.Repeat(strings.Repeat("d", 49)+".", 3)+"test", "password", "Aa1!"+strings.Repeat("\u1112\u1161\u11ab", 113),
			"name", long, "phone", "+44 20 7946 0123", "birthdate", "1985-03-31").want(200, "terms-email")
	})
}
