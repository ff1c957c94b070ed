package web_test

import (
	"html"
	"net/url"
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
		if b.get("/register?back=1").want(200, "register-phone"); !strings.Contains(html.UnescapeString(b.Body), `+442079460123"`) {
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
		syllable, wide := "\u1112\u1161\u11ab", "\U00020000" // nine bytes, three when they are one letter; four, that stay
		address := func(letter string) string {
			return strings.Repeat(letter, 64) + "@" + strings.Repeat(strings.Repeat("d", 44)+".", 4) + "example"
		}
		for name, f := range map[string]struct{ email, password, text, answer string }{
			"the most of all":              {address("k"), "Aa1!" + strings.Repeat("\u2028", 124), strings.Repeat(wide, 100), strings.Repeat(wide, 98) + "zz"},
			"ideographs":                   {address("l"), "Aa1!" + strings.Repeat(wide, 124), strings.Repeat(wide, 100), strings.Repeat(wide, 98) + "zz"},
			"syllables of three":           {address("m"), "Aa1!" + strings.Repeat(syllable, 113), strings.Repeat(syllable, 100), strings.Repeat(syllable, 98) + "zz"},
			"signs that grow when escaped": {address("n"), "Aa1!" + strings.Repeat("\u2028", 124), strings.Repeat("&", 99) + "x", strings.Repeat("$", 98) + "zz"},
			"quotes":                       {address("o"), "Aa1!" + strings.Repeat(`\"`, 62), strings.Repeat(`"`, 99) + "x", strings.Repeat("$", 98) + "zz"},
			"spaces, and a domain of ideographs": {strings.Repeat(" ", 300) + "p@" + strings.Repeat(strings.Repeat("\u4e2d", 50)+".", 3) + "example", "Aa1!" + strings.Repeat("<", 124),
				strings.Repeat(" ", 900) + "Ada" + strings.Repeat(" ", 100), strings.Repeat(" ", 900) + "Elm Lane"},
		} {
			w := newWorldOf(t, func(c *account.Config) {
				c.Fields = account.Fields{Name: account.Required, Phone: account.Required, BirthDate: account.Required, RecoveryAddress: account.Required, RecoveryQuestion: account.Required}
			})
			w.client("app")
			b := w.browser(t)
			b.get(authorizeURL("app")).want(200, "login-submit")
			b.get("/register?i="+must(url.Parse(b.URL)).Query().Get("i")).submit("register-submit", "email", f.email, "password", f.password, "name", f.text,
				"phone", strings.Repeat(" ", 300)+"+44 20 7946 0123", "birthdate", "1985-03-31", "recovery-address", "r"+strings.TrimSpace(f.email)[1:],
				"recovery-question", f.text, "recovery-answer", f.answer)
			if !b.has("terms-email") {
				t.Fatalf("%s: %d at %s", name, b.Status, b.URL)
			}
			if n := len(b.jar["__Host-draft"]); n > 3900 {
				t.Errorf("%s: a cookie of %d bytes", name, n)
			}
			b.submit("terms-submit", "terms-email", f.email).want(200, "waiting")
		}
	})
}
