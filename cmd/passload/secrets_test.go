package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSecretsStay: what passload knows of people and clients goes to nobody in the clear, and into no address.
func TestSecretsStay(t *testing.T) {
	t.Run("a form that puts the password into an address", func(t *testing.T) {
		for method, good := range map[string]bool{"post": true, "POST": true, "get": false, "": false} {
			page := &answer{url: must(url.Parse("https://op.test/login")), status: 200,
				body: []byte(`<form method="` + method + `"><input name="username"><input type="password" name="password"><button id="login-submit"></form>`)}
			typed := false
			r, err := fill(page, presets["passport"], person{"alice", "the-password"}, &typed)
			if good != (err == nil) || err != nil && strings.Contains(err.Error(), "the-password") {
				t.Errorf("%q: %v", method, err)
			}
			if good && strings.Contains(r.URL.String(), "the-password") {
				t.Errorf("%q: %s", method, r.URL)
			}
		}
	})
	t.Run("a redirect from https to http", func(t *testing.T) {
		asked := false
		plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
		defer plain.Close()
		secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusSeeOther))
		defer secure.Close()
		a := newAgent(&options{timeout: 10 * time.Second, tls: secure.Client().Transport.(*http.Transport).TLSClientConfig})
		defer a.close()
		a.begin()
		_, err := newBrowser(a).walk(t.Context(), must(url.Parse(secure.URL)), must(url.Parse("https://passload.invalid/callback")), presets["passport"], &person{"alice", "the-password"})
		if err == nil || !strings.Contains(err.Error(), "bad redirect") || asked {
			t.Errorf("asked %v: %v", asked, err)
		}
	})
	t.Run("an endpoint that is plain http", func(t *testing.T) {
		for _, name := range []string{"authorization_endpoint", "token_endpoint", "introspection_endpoint", "userinfo_endpoint", "jwks_uri"} {
			for issuer, good := range map[string]bool{"https://op.test": false, "http://op.test": true} {
				p := &provider{issuer: issuer, wellKnown: must(url.Parse(issuer + "/.well-known/openid-configuration"))}
				doc := `{"issuer":"` + issuer + `","jwks_uri":"https://op.test/jwks.json","` + name + `":"http://op.test/x"}`
				if err := p.checkDocument(&answer{status: 200, body: []byte(doc)}); (err == nil) != good {
					t.Errorf("%s of %s: %v", name, issuer, err)
				}
			}
		}
	})
}

func must(u *url.URL, err error) *url.URL {
	if err != nil {
		panic(err)
	}
	return u
}
