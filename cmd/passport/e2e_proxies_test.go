//go:build e2e

package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// proxySays makes oauth2-proxy refresh soon, and show the access token that it has, as it does for nginx's
// auth_request.
var proxySays = []string{
	"OAUTH2_PROXY_COOKIE_REFRESH=1s", "OAUTH2_PROXY_SET_XAUTHREQUEST=true", "OAUTH2_PROXY_PASS_ACCESS_TOKEN=true",
}

// throughProxy is the run of oauth2-proxy, whose site shows #behind and #sign-out, a link, to those it lets in.
func throughProxy(t *testing.T, s *integrated, p *person) {
	p.get(s.base + "/")
	s.signIn(t, p)
	s.at(t, p, "behind")
	token := s.proxyToken(t, p)
	was := s.proxied(t, p, token)
	for range 2 { // the second time with the refresh token that the first one gave
		before := token
		eventually(t, "the proxy refreshes: it does when a session is a second old", func() bool {
			token = s.proxyToken(t, p)
			return token != before
		}, s.logs)
		if now := s.proxied(t, p, token); now != was {
			t.Errorf("before the refresh %+v, after it %+v", was, now)
		}
	}
	p.get(s.base + "/")
	s.at(t, p, "behind")
	p.get(must(p.URL.Parse(attr(p.byID("sign-out"), "href"))).String())
	// Passport sent the browser back to the proxy, and the proxy, which does not know it any more, to sign in.
	if !strings.HasPrefix(p.URL.String(), s.w.issuer+"/") {
		t.Errorf("signing out ends at %s", p.URL)
	}
	s.signIn(t, p)
	s.at(t, p, "behind")
}

// proxyToken is the access token that the proxy has for this browser.
func (s *integrated) proxyToken(t *testing.T, p *person) string {
	t.Helper()
	p.get(s.base + "/oauth2/auth")
	token := p.Header.Get("X-Auth-Request-Access-Token")
	if p.Status != http.StatusAccepted || token == "" {
		t.Fatalf("no token (%d): %v\n%s", p.Status, p.Header, s.logs)
	}
	p.seen.add("access_token", token)
	return token
}

// proxied is who the proxy lets in, and the grant that it does so by.
type proxied struct{ Email, User, Grant string }

// proxied asks the proxy, and the server about the proxy's token.
func (s *integrated) proxied(t *testing.T, p *person, token string) proxied {
	t.Helper()
	p.get(s.base + "/oauth2/userinfo")
	var who proxied
	if err := json.Unmarshal([]byte(p.Body), &who); err != nil || p.Status != http.StatusOK {
		t.Fatalf("userinfo: %v (%d)\n%s\n%s", err, p.Status, p.Body, s.logs)
	}
	var said struct {
		Active   bool
		ClientID string `json:"client_id"`
		Sub      string
		Grant    string
	}
	check(json.Unmarshal(s.w.command("token", "introspect", "--json", token), &said))
	if !said.Active || said.ClientID != s.id || said.Sub != who.User || said.Grant == "" || who.Email != "alice@example.test" {
		t.Fatalf("the proxy knows %+v, the server %+v", who, said)
	}
	who.Grant = said.Grant
	return who
}
