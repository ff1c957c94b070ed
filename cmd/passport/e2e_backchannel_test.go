//go:build e2e

package main

import (
	"strings"
	"testing"
)

// toldSite is a webSite that Passport tells at this path, server to server, whose session is over.
func toldSite(callback, told string) func(base string) map[string]any {
	return func(base string) map[string]any {
		doc := webSite(callback)(base)
		doc["backchannel_logout_uri"], doc["backchannel_logout_session_required"] = base+told, true
		return doc
	}
}

// apache is the run of mod_auth_openidc, a site of static pages: its links are the module's own doors, and that a
// refresh happened shows in the access token.
func apache(t *testing.T, s *integrated, p *person) {
	p.get(s.base + "/")
	s.at(t, p, "sign-in")
	follow(p, "sign-in")
	s.signIn(t, p)
	if email := s.at(t, p, "email"); email != "alice@example.test" {
		t.Errorf("the site knows %q", email)
	}
	sub := text(p, "sub")
	token := func() string {
		t.Helper()
		return must(p.URL.Parse(attr(p.byID("refresh"), "href"))).Query().Get("access_token")
	}
	seen := map[string]bool{"": true, token(): true}
	for range 2 { // the second with what the first one gave
		follow(p, "refresh")
		s.at(t, p, "email")
		if q := p.URL.Query(); q.Has("error_code") || seen[token()] {
			t.Errorf("the refresh gave no new access token: %q\n%s", q.Get("error_code"), s.logs)
		}
		seen[token()] = true
		if text(p, "email") != "alice@example.test" || text(p, "sub") != sub || sub == "" {
			t.Errorf("after the refresh it is somebody else:\n%s", p.Body)
		}
	}
	follow(p, "sign-out")
	s.at(t, p, "sign-in")
	if p.URL.Path != "/" {
		t.Errorf("after the sign-out at %s", p.URL)
	}
	follow(p, "sign-in") // it asks for the password: signed out here is signed out there
	s.signIn(t, p)
	signOutAtPassport(t, s, p, "/members/", "login-submit")
}

// springSecurity is the run of the site on Spring Security.
func springSecurity(t *testing.T, s *integrated, p *person) {
	signInRefreshSignOut(t, s, p)
	signOutAtPassport(t, s, p, "/", "sign-in")
}

// signOutAtPassport demands that the site forgets whoever signs out at Passport: its page, where p is signed in, shows
// #gone then. In another browser the same person stays.
func signOutAtPassport(t *testing.T, s *integrated, p *person, page, gone string) {
	other := s.w.person()
	other.t = t
	other.get(s.base + "/")
	follow(other, "sign-in")
	s.signIn(t, other)
	s.at(t, other, "email")

	p.get(s.base + page)
	s.at(t, p, "email")
	p.get(s.w.issuer + "/logout")
	p.submit("logout-yes", nil)
	done := p.URL.String()
	if p.URL.Path != "/logout/done" {
		t.Fatalf("not signed out but at %s (%d):\n%s", p.URL, p.Status, p.Body)
	}
	eventually(t, "the site is told", func() bool { return strings.Contains(p.get(done).Body, "has been told") }, s.logs, s.w.logs)
	p.get(s.base + page)
	if p.has("email") || !p.has(gone) {
		t.Errorf("told, the site still knows who was signed in, at %s (%d):\n%s\n%s", p.URL, p.Status, p.Body, s.logs)
	}
	other.get(s.base + page)
	s.at(t, other, "email")
}

// follow opens the link with this id.
func follow(p *person, id string) {
	p.t.Helper()
	link := p.byID(id)
	if link == nil {
		p.t.Fatalf("no #%s at %s (%d):\n%s", id, p.URL, p.Status, p.Body)
	}
	p.get(must(p.URL.Parse(attr(link, "href"))).String())
}
