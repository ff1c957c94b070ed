//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// integration is a relying party that is not ours: a folder of deploy/integrations, run as its README says.
type integration struct {
	name  string
	site  func(base string) map[string]any // the client's document, for a site at base
	flags []string                         // of passport client create
	env   []string                         // what a test sets otherwise than the folder does
	run   func(t *testing.T, s *integrated, p *person)
}

// integrations are all of them, in the order of deploy/integrations/README.md.
var integrations = []integration{
	{name: "go-oidc", site: webSite("/callback"), run: signInRefreshSignOut},
	{name: "openid-client", site: webSite("/callback"), run: signInRefreshSignOut},
	{name: "oauth4webapi", site: webSite("/callback"), run: signInRefreshSignOut},
	{name: "oidc-client-ts", site: browserApp, run: signInInBrowser},
	{name: "mod_auth_openidc", site: toldSite("/redirect_uri", "/redirect_uri?logout=backchannel"), run: apache},
	{
		name: "spring-security", site: toldSite("/login/oauth2/code/passport", "/logout/connect/back-channel/passport"),
		flags: []string{"--id-token-signed-response-alg", "RS256"}, run: springSecurity, // Spring takes no other by default
	},
	{name: "zitadel-oidc", site: keySite("/callback", "/jwks.json"), run: signInRefreshSignOut},
	{name: "oauth2-proxy", site: webSite("/oauth2/callback"), env: proxySays, run: throughProxy},
	{name: "authlib", site: webSite("/callback"), run: signInRefreshSignOut},
}

// webSite is a site with a secret whose answers come to this path and whose people are at / after signing out.
func webSite(callback string) func(base string) map[string]any {
	return func(base string) map[string]any {
		return map[string]any{
			"redirect_uris": []string{base + callback}, "post_logout_redirect_uris": []string{base + "/"}, "client_uri": base + "/",
			"grant_types": []string{"authorization_code", "refresh_token"}, "scope": "openid profile email offline_access",
		}
	}
}

// keySite is one without a secret: it signs with a key that we fetch from this path of it.
func keySite(callback, keys string) func(base string) map[string]any {
	return func(base string) map[string]any {
		doc := webSite(callback)(base)
		doc["token_endpoint_auth_method"], doc["jwks_uri"] = "private_key_jwt", base+keys
		return doc
	}
}

// integrated is an integration that runs.
type integrated struct {
	w    *world
	id   string // client_id
	base string
	logs *safeBuffer
}

// TestIntegrations runs each through sign-in, refresh and sign-out.
func TestIntegrations(t *testing.T) {
	w := newWorld(t, "", false)
	w.env = append(w.env, "PASSPORT_OUTBOUND_ALLOW=localhost") // the sites that it tells of a sign-out, and whose keys it fetches, are here
	w.start()
	w.account("alice@example.test", "a good long passphrase")
	for _, i := range integrations {
		t.Run(i.name, func(t *testing.T) {
			s := w.integrate(t, i)
			p := w.person()
			p.t = t
			i.run(t, s, p)
			if t.Failed() {
				t.Logf("%s", s.logs)
			}
		})
	}
	w.stop()
	if strings.Contains(w.logs.String(), "DATA RACE") {
		t.Error(w.logs)
	}
}

// integrate registers the site and starts it by its run.sh, which makes what it needs first.
func (w *world) integrate(t *testing.T, i integration) *integrated {
	t.Helper()
	s := &integrated{w: w, base: "http://localhost:" + freePort(), logs: &safeBuffer{}}
	doc := i.site(s.base)
	doc["client_name"] = i.name
	id, secret := w.client(doc, i.flags...)
	s.id = id
	dir := must(filepath.Abs(filepath.Join("..", "..", "deploy", "integrations", i.name)))
	cmd := exec.Command("./run.sh")
	cmd.Dir = dir
	cmd.Env = append(w.env, "PASSPORT_ISSUER="+w.issuer, "CLIENT_ID="+id, "CLIENT_SECRET="+secret, "SITE_URL="+s.base)
	cmd.Env = append(cmd.Env, i.env...)
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts ends with it
	check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	deadline := time.After(10 * time.Minute) // the first time it fetches and compiles
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for {
		if res, err := client.Get(s.base + "/"); err == nil {
			res.Body.Close()
			if res.StatusCode < 500 {
				return s
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", i.name, err, s.logs)
		case <-deadline:
			t.Fatalf("%s does not answer\n%s", i.name, s.logs)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// signIn is what a person does on our pages.
func (s *integrated) signIn(t *testing.T, p *person) {
	t.Helper()
	if !p.has("login-submit") {
		t.Fatalf("not at the sign-in page but at %s (%d):\n%s\n%s", p.URL, p.Status, p.Body, s.logs)
	}
	p.submit("login-submit", map[string]string{"username": "alice@example.test", "password": "a good long passphrase"})
	if p.has("consent-allow") {
		p.submit("consent-allow", nil)
	}
}

// at demands that the person is at the site, on a page with this element, and gives its text.
func (s *integrated) at(t *testing.T, p *person, id string) string {
	t.Helper()
	if !strings.HasPrefix(p.URL.String(), s.base) || p.Status != 200 || !p.has(id) {
		t.Fatalf("no #%s at %s (%d):\n%s\n%s", id, p.URL, p.Status, p.Body, s.logs)
	}
	return text(p, id)
}

// signInRefreshSignOut is the run of the sites that show: #sign-in, a link, to whoever is signed out; #email, #sub,
// #refreshed (how often), the buttons #refresh and #sign-out to others.
func signInRefreshSignOut(t *testing.T, s *integrated, p *person) {
	p.get(s.base + "/")
	s.at(t, p, "sign-in")
	p.get(must(p.URL.Parse(attr(p.byID("sign-in"), "href"))).String())
	s.signIn(t, p)
	if email := s.at(t, p, "email"); email != "alice@example.test" {
		t.Errorf("the site knows %q", email)
	}
	sub := text(p, "sub")
	for n := 1; n <= 2; n++ { // the second with what the first one gave
		p.submit("refresh", nil)
		if got := s.at(t, p, "refreshed"); got != fmt.Sprint(n) {
			t.Errorf("refreshed %s times, not %d", got, n)
		}
		if text(p, "email") != "alice@example.test" || text(p, "sub") != sub || sub == "" {
			t.Errorf("after the refresh it is somebody else:\n%s", p.Body)
		}
	}
	p.submit("sign-out", nil)
	s.at(t, p, "sign-in")
	// Signed out here is signed out there: the next sign-in asks for the password.
	p.get(must(p.URL.Parse(attr(p.byID("sign-in"), "href"))).String())
	s.signIn(t, p)
	s.at(t, p, "email")
}

// text is what an element says.
func text(p *person, id string) string {
	var b strings.Builder
	el := p.byID(id)
	if el == nil {
		return ""
	}
	for n := range el.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return strings.TrimSpace(b.String())
}
