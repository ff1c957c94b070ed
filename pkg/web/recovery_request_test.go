package web_test

import (
	"net/http"
	"testing"
	"time"
)

// TestRequest: 4.13, through the pages.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	w.person("ada@example.test")
	ask := func(email, reach string) (answer string) {
		t.Helper()
		b := w.browser(t)
		b.get("/recover").want(200, "request-link")
		b.get("/recover/request").want(200, "request-submit").submit("request-submit", "account", "ada@", "reach", reach).want(422, "request-account-error")
		b.submit("request-submit", "account", email, "reach", email).want(422, "request-reach-error")
		b.submit("request-submit", "account", email, "reach", reach).want(200, "go-on")
		answer = b.Body
		link := w.mailed(t)
		b.get(link).want(200, "details-submit")
		b.send(http.MethodHead, link, "", "")
		b.get(link).submit("details-submit", "birthdate", "x").want(422, "request-birthdate-error")
		b.submit("details-submit", "birthdate", "1985-03-31", "answer", "elm lane", "sites", "fabrikam, https://www.app.test/basket?id=1, Contoso", "note", "It is me").want(200, "go-on")
		answer += b.Body
		if b.get(link); b.Status != http.StatusNotFound {
			t.Errorf("the used link: %d", b.Status)
		}
		return answer
	}
	if known, unknown := ask("ada@example.test", "new@example.test"), ask("nobody@example.test", "other@example.test"); len(known) != len(unknown) {
		t.Errorf("4.24 %s\n\n%s", known, unknown)
	}
	tell := func() string {
		t.Helper()
		if err := w.people.TellRequests(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.mailed(t)
	}
	owner := w.browser(t)
	stop := tell()
	owner.get(stop).want(200, "stop-submit")
	owner.send(http.MethodHead, stop, "", "") // A1
	owner.get(stop).submit("stop-submit").want(200, "go-on")
	if owner.get(stop); owner.Status != http.StatusNotFound {
		t.Errorf("the used link: %d", owner.Status)
	}
	t.Run("seen and stopped by who is signed in", func(t *testing.T) {
		b := w.browser(t).loginWith(t, "ada@example.test", password)
		w.pass(time.Hour)
		ask("ada@example.test", "new2@example.test")
		b.get("/account/security").want(200, "stop-request").submit("stop-request").want(200, "change-password")
		if b.has("stop-request") {
			t.Error("it is there still")
		}
	})
	t.Run("given by the operator", func(t *testing.T) {
		w.pass(time.Hour)
		w.browser(t).get(authorizeURL("app")).submit("login-submit", "username", "ada@example.test", "password", password).
			want(200, "consent-allow").submit("consent-allow")
		ask("ada@example.test", "new3@example.test")
		for range 8 {
			if err := w.people.TellRequests(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.pass(24 * time.Hour)
		}
		var id string
		for _, r := range must(w.people.Requests(t.Context())) {
			if r.State == "open" {
				id = r.ID
			}
			if want := map[string]int64{"open": 2, "stopped": 0}[r.State]; r.Sites != 3 || r.SitesRight != want {
				t.Errorf("%s: of %d sites %d are right, want %d", r.State, r.Sites, r.SitesRight, want)
			}
		}
		if _, err := w.people.Approve(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		b := w.browser(t)
		b.get(w.mailed(t)).want(200, "regain-submit").submit("regain-submit", "new-password", "short").want(422, "new-password-error")
		b.submit("regain-submit", "new-password", "her very own one").want(200, "go-on")
		b.loginWith(t, "new3@example.test", "her very own one")
	})
}
