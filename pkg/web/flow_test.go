package web_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestFirstVisit: from the site through registration and the mail back to the site; then once more without a
// password.
func TestFirstVisit(t *testing.T) {
	w := newWorld(t)
	w.client("app")
	b := w.browser(t)
	b.get(authorizeURL("app")).want(200, "login-submit")
	i := must(url.Parse(b.URL)).Query().Get("i")
	b.get("/register?i="+i).register("ada@example.test").want(200, "waiting")
	confirm, _ := w.links()
	b.get(confirm).want(200, "confirm-submit").submit("confirm-submit").want(200, "consent-allow")
	if !strings.Contains(b.Body, "Fabrikam") || !strings.Contains(b.Body, "app.test") || !strings.Contains(b.Body, "ada@example.test") {
		t.Error("the consent page does not say who asks for what")
	}
	b.submit("consent-allow")
	back := must(url.Parse(b.Header.Get("Location")))
	if b.Status != 303 || !strings.HasPrefix(back.String(), callback) || back.Query().Get("code") == "" || back.Query().Get("state") != "the-state" {
		t.Fatalf("not back at the site: %d %s", b.Status, back)
	}
	b.get(authorizeURL("app"))
	if b.Status != 303 || must(url.Parse(b.Header.Get("Location"))).Query().Get("code") == "" {
		t.Fatalf("known browser, remembered consent: %d %s", b.Status, b.Header)
	}
}
