package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// flowOf is the i of the page that the browser shows.
func (b *browser) flowOf() string { return must(url.Parse(b.URL)).Query().Get("i") }

// TestAlready: 4.2, who is signed in and comes to register is told so, and nothing mixes.
func TestAlready(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	t.Run("outside a flow", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get("/register").want(200, "register-add")
		if b.has("register-submit") || !strings.Contains(b.Body, "ada@example.test") || !b.has("already-signout") || b.has("already-go-1") {
			t.Errorf("the page:\n%s", b.Body)
		}
		b.get("/register?next=add").want(200, "register-submit")
		b.post("/language", url.Values{"lang": {"es"}, "page": {"register"}, "next": {"add"}}).want(200, "register-submit")
		if !strings.Contains(b.Body, "Usar mi correo") {
			t.Errorf("not in Spanish:\n%s", b.Body)
		}
		b.register("grace@example.test").want(200, "waiting")
		if b.get("/account/profile"); !strings.Contains(b.Body, "ada@example.test") {
			t.Error("an account that is not confirmed is in the other's place")
		}
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "profile-submit")
		b.get(authorizeURL("app")).want(200, "account-choose-2")
		for _, email := range []string{"ada@example.test", "grace@example.test"} {
			if !strings.Contains(b.Body, email) {
				t.Errorf("the chooser does not show %s:\n%s", email, b.Body)
			}
		}
	})
	t.Run("in a flow it offers to go on", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get(authorizeURL("app", "prompt", "create")).want(200, "already-go-1")
		if !strings.Contains(b.Body, "Fabrikam") || b.has("register-submit") || b.has("already-account") {
			t.Errorf("the page:\n%s", b.Body)
		}
		i := b.flowOf()
		b.submit("already-go-1").want(200, "consent-allow").submit("consent-allow")
		if back := b.Header.Get("Location"); b.Status != http.StatusSeeOther || !strings.HasPrefix(back, callback) || !strings.Contains(back, "code=") {
			t.Errorf("%d %s", b.Status, back)
		}
		if b.get("/register?next=add&i=" + i); b.Status != http.StatusBadRequest {
			t.Errorf("the flow is over, and the page answers %d", b.Status)
		}
		b.get(authorizeURL("app", "prompt", "create")).want(200, "register-add")
		b.get("/register?next=add&i="+b.flowOf()).register("alan@example.test").want(200, "waiting")
		confirm, _ := w.links()
		b.get(confirm).submit("confirm-submit").want(200, "consent-allow")
		if !strings.Contains(b.Body, "alan@example.test") {
			t.Errorf("the site would get another account:\n%s", b.Body)
		}
	})
	t.Run("back from the terms the form is there", func(t *testing.T) {
		b := w.browser(t).login("ada@example.test")
		b.get("/register?next=add").submit("register-submit", "email", "new@example.test", "password", password, "name", "New").want(200, "terms-back")
		if b.get("/register?back=1").want(200, "register-submit"); !strings.Contains(b.Body, "new@example.test") {
			t.Errorf("the page:\n%s", b.Body)
		}
	})
	t.Run("nobody: the form at once", func(t *testing.T) {
		w.browser(t).get("/register").want(200, "register-own")
	})
}

// TestLookup: 4.1, 4.20: is there an account? And each way back from one page.
func TestLookup(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "cannot-sign-in")
	i := b.flowOf()
	for _, page := range []string{"/login?i=" + i, "/register?i=" + i, "/help?i=" + i} {
		if b.get(page); !strings.Contains(b.Body, `href="/lookup?i=`+i+`"`) {
			t.Errorf("%s leads to no look-up", page)
		}
	}
	b.get("/lookup?i="+i).want(200, "lookup-submit")
	if !strings.Contains(b.Body, "Fabrikam") {
		t.Error("the page does not say where the person is going")
	}
	b.submit("lookup-submit", "email", "ada@").want(422, "lookup-email-error")
	b.submit("lookup-submit", "email", "ada@example.test").want(200, "go-on")
	if !strings.Contains(b.Body, `href="/login?i=`+i+`"`) {
		t.Errorf("the way back is lost:\n%s", b.Body)
	}
	t.Run("4.24 the same answer for every address", func(t *testing.T) {
		answer := func(email string) string {
			b := w.browser(t).get("/lookup")
			action, fields := b.form("lookup-submit")
			fields.Set("email", email)
			b.send(http.MethodPost, action, formType, fields.Encode())
			to := b.Header.Get("Location")
			b.follow().want(200, "go-on")
			return strings.Join([]string{to, b.URL, b.Body[strings.Index(b.Body, "<main"):]}, " ")
		}
		w.browser(t).get("/register").register("waits@example.test")
		known := answer("ada@example.test")
		for _, email := range []string{"nobody@example.test", "waits@example.test"} {
			if got := answer(email); got != known {
				t.Errorf("%s: %s\n\n%s", email, got, known)
			}
		}
	})
	t.Run("4.20 one page leads to each way back", func(t *testing.T) {
		b := w.browser(t)
		b.get(authorizeURL("app")).want(200, "cannot-sign-in")
		i := b.flowOf()
		if !strings.Contains(b.Body, `href="/help?i=`+i+`"`) {
			t.Errorf("the foot leads elsewhere:\n%s", b.Body)
		}
		b.get("/help?i="+i).want(200, "help-waiting")
		for id, leads := range map[string]string{"help-recover": "recover-submit", "help-lookup": "lookup-submit", "help-register": "register-submit"} {
			_, rest, ok := strings.Cut(b.Body, `id="`+id+`" href="`)
			to, _, _ := strings.Cut(rest, `"`)
			if !ok || !strings.HasSuffix(to, "?i="+i) {
				t.Errorf("#%s leads to %q", id, to)
				continue
			}
			b.clone().get(to).want(200, leads)
		}
		waits := b.clone()
		waits.get("/register?i=" + i).register("lost@example.test")
		waits.get("/help").want(200, "help-waiting").get("/register/waiting").want(200, "resend-submit")
		// Who is lost finds the page also where the flow is over.
		w.browser(t).get("/help?i="+strings.Repeat("A", 43)).want(200, "help-recover")
	})
}
