package main

import (
	"io"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// TestForeignPages: what is sent of a page is what a browser would send, with what was given filled in.
func TestForeignPages(t *testing.T) {
	const fields = `<input name=username><input name=password type=password>`
	for _, c := range []struct {
		what, page, given, want string // want: method, path, query or body
	}{
		{"the form with the button", `<form action=/forgot method=post>` + fields + `</form><form action=/in method=post>` + fields + `<button id=login-submit></form>`, "",
			"POST /in password=p&username=u"},
		{"the first, where none has it", `<form action=/a method=post>` + fields + `</form><form action=/b method=post>` + fields + `</form>`, "",
			"POST /a password=p&username=u"},
		{"a button that leads elsewhere", `<form action=/a>` + fields + `<button id=login-submit formaction=/b formmethod=post name=n value=v></form>`, "",
			"POST /b n=v&password=p&username=u"},
		{"a list and a text", `<form method=post action=/a>` + fields + `<select name=l><option>x<option selected>y</option></select>` +
			`<select name=m><option value=1>one<option>two</select><textarea name=t>so be it</textarea><button name=no value=no></form>`, "",
			"POST /a l=y&m=1&password=p&t=so+be+it&username=u"},
		{"what was given, where there is such a control", `<form method=post action=/a>` + fields + `<select name=l><option>x<option>y</select><input name=h type=hidden value=1></form>`,
			"l=y&h=2&none=3", "POST /a h=2&l=y&password=p&username=u"},
		{"boxes", `<form action=/ok method=post><input type=checkbox name=grant_scope value=openid><input type=checkbox name=grant_scope value=offline>` +
			`<input type=checkbox name=grant_scope value=email><input type=checkbox name=other checked><button id=consent-allow></form>`,
			"grant_scope=openid&grant_scope=offline&grant_scope=none", "POST /ok grant_scope=openid&grant_scope=offline&other=on"},
		{"one of several", `<form action=/ok method=post><input type=radio name=r value=1 checked><input type=radio name=r value=2><button id=consent-allow></form>`,
			"r=2", "POST /ok r=2"},
		{"classes in lines", "<form action=/ok method=post><button class='a\n b'></form>", "", "POST /ok "},
	} {
		how := presets["passport"]
		if strings.Contains(c.what, "classes") {
			how.consent = ".b"
		}
		given, err := url.ParseQuery(c.given)
		check(t, err)
		how.fields = given
		typed := false
		r, err := fill(&answer{url: must(url.Parse("https://op.test/login")), status: 200, body: []byte(c.page)}, how, person{"u", "p"}, &typed)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		body, err := io.ReadAll(r.Body)
		check(t, err)
		if got := r.Method + " " + r.URL.RequestURI() + " " + string(body); got != c.want {
			t.Errorf("%s: %s, not %s", c.what, got, c.want)
		}
	}
	t.Run("a button that would put the password into an address", func(t *testing.T) {
		typed := false
		page := `<form action=/a method=post>` + fields + `<button id=login-submit formmethod=get></form>`
		if r, err := fill(&answer{url: must(url.Parse("https://op.test/login")), body: []byte(page)}, presets["passport"], person{"u", "p"}, &typed); err == nil {
			t.Error(r.URL)
		}
	})
	t.Run("the flag", func(t *testing.T) {
		w := newDouble(t).worker(t, "--field", "grant_scope=openid", "--field", "grant_scope=offline", "--field", "a=b=c")
		if want := (url.Values{"grant_scope": {"openid", "offline"}, "a": {"b=c"}}); !reflect.DeepEqual(w.o.pages.fields, want) {
			t.Errorf("%v", w.o.pages.fields)
		}
		if got := call("--field", "x", "discovery"); got.status != 2 || !strings.Contains(got.stderr, "--field") {
			t.Errorf("%+v", got)
		}
	})
}
