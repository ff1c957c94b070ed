package client_test

import (
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

func with(applicationType string, redirects ...string) *client.Client {
	return &client.Client{ID: "c", Metadata: client.Metadata{ApplicationType: applicationType, RedirectURIs: redirects}}
}

func TestR1RedirectExact(t *testing.T) {
	hostile := []string{
		"https://app.test/cb/", "https://app.test/cb/../x", "https://app.test/cb/..;/x", "https://app.test/cb/%2e%2e/x",
		"https://app.test/cb/%252e%252e/x", `https://app.test/cb\..\x`, "https://APP.test/cb", "HTTPS://app.test/cb",
		"https://app.test:443/cb", "https://app.test./cb", "https://app.test/cb?", "https://app.test/cb#",
		"https://app.test/cb#x", "https://app.test/cb%00", "https://app.test/cb%0d%0aX:1", "https://app.test/cb ",
		" https://app.test/cb", "https://app.test/cb?x=1", "https://a@app.test/cb", "https://app.test@evil.test/cb",
		"https://a@b@evil.test/", "https://app.test;@evil.test/", "https://app.test.evil.test/cb",
		`https://evil.test\@app.test/cb`, "https://app.test%2eevil.test/", "//app.test/cb", "/cb", "",
		"http://app.test/cb", "https://app.test/c%62", "https://app.test/cb\x00", "https://app.test/CB",
	}
	for _, kind := range []string{"web", "native"} {
		c := with(kind, "https://app.test/cb")
		if !c.MatchRedirect("https://app.test/cb") {
			t.Errorf("%s: the registered one does not match", kind)
		}
		for _, uri := range hostile {
			if c.MatchRedirect(uri) {
				t.Errorf("%s: %q matches", kind, uri)
			}
		}
	}
	if with("web").MatchRedirect("") || with("web", "").MatchRedirect("") {
		t.Error("the empty one matches")
	}
}

func TestR03Loopback(t *testing.T) {
	good := []string{"http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"}
	bad := []string{
		"http://127.0.0.1:49152/cb?x=1", "http://u@127.0.0.1:1/cb", "http://127.0.0.1:1@evil.test/cb",
		"http://127.0.0.1@evil.test/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:65536/cb",
		"http://127.0.0.1:/cb", "http://127.0.0.1:080/cb", "http://127.0.0.1:+1/cb", "http://127.0.0.1:1",
		"http://127.0.0.2:1/cb", "http://127.1:1/cb", "http://2130706433/cb", "http://0x7f000001/cb",
		"http://[::ffff:127.0.0.1]/cb", "http://[::1]:1/cb", "http://localhost:1/cb", "http://localhost.:1/cb",
		"http://127.0.0.1.nip.io/cb", "http://127.0.0.1.nip.io:1/cb", "https://127.0.0.1:1/cb", "HTTP://127.0.0.1:1/cb",
		"http://127.0.0.1:1/%63b", "http://127.0.0.1:1/cb#", "http://127.0.0.1:1/cb/", "http://127.0.0.1:1//cb",
		"http://127.0.0.1:1\\cb", "http://127.0.0.1:1;/cb", "http://127.0.0.1:1 /cb", "http://127.0.0.1:٣/cb",
	}
	c := with("native", "http://127.0.0.1/cb")
	for _, uri := range good {
		if !c.MatchRedirect(uri) {
			t.Errorf("%q does not match", uri)
		}
	}
	for _, uri := range bad {
		if c.MatchRedirect(uri) {
			t.Errorf("%q matches", uri)
		}
	}
	for _, x := range []struct {
		c    *client.Client
		uri  string
		want bool
	}{
		{with("native", "http://127.0.0.1:8000/cb"), "http://127.0.0.1:9/cb", true},
		{with("native", "http://127.0.0.1:8000/cb"), "http://127.0.0.1/cb", true},
		{with("native", "http://[::1]/cb"), "http://[::1]:9/cb", true},
		{with("native", "http://[::1]/cb"), "http://127.0.0.1:9/cb", false},
		{with("native", "http://127.0.0.1/a%2Fb"), "http://127.0.0.1:9/a/b", false},
		{with("native", "http://127.0.0.1/cb?x=1"), "http://127.0.0.1:9/cb?x=1", true},
		{with("native", "http://127.0.0.1/cb?x=1"), "http://127.0.0.1:9/cb", false},
		{with("native", "http://127.0.0.1?x=1"), "http://127.0.0.1:9?x=1", true},
		{with("native", "http://127.0.0.1"), "http://127.0.0.1:9", true},
		{with("native", "http://127.0.0.1"), "http://127.0.0.1:9.evil.test", false},
		{with("native", "https://127.0.0.1/cb"), "http://127.0.0.1:9/cb", false},
		{with("native", "https://127.0.0.1/cb"), "https://127.0.0.1:9/cb", false},
		{with("native", "http://localhost/cb"), "http://localhost:9/cb", false},
		{with("native", "http://localhost/cb"), "http://localhost/cb", true},
		// Not even for what no validation would have let in.
		{with("native", "http://127.0.0.1.nip.io/cb"), "http://127.0.0.1:9.nip.io/cb", false},
		// A web client runs where it registered, port and all.
		{with("web", "http://127.0.0.1/cb"), "http://127.0.0.1:9/cb", false},
		{with("web", "http://127.0.0.1/cb"), "http://127.0.0.1/cb", true},
	} {
		if got := x.c.MatchRedirect(x.uri); got != x.want {
			t.Errorf("%v, %q: %v", x.c.Metadata.RedirectURIs, x.uri, got)
		}
	}
}

func TestR04PrivateUse(t *testing.T) {
	c := with("native", "com.example.app:/cb")
	for uri, want := range map[string]bool{
		"com.example.app:/cb": true, "COM.example.app:/cb": false, "myapp:/cb": false, "com.example.app://cb": false,
		"com.example.app:/cb?": false, "com.example.app:cb": false,
	} {
		if c.MatchRedirect(uri) != want {
			t.Errorf("%q: %v", uri, !want)
		}
	}
}

func TestR14PostLogoutExact(t *testing.T) {
	c := &client.Client{Metadata: client.Metadata{ApplicationType: "native", RedirectURIs: []string{"https://app.test/cb"},
		PostLogoutRedirectURIs: []string{"https://app.test/bye", "http://127.0.0.1/bye"}}}
	for uri, want := range map[string]bool{
		"https://app.test/bye": true, "https://app.test/bye/": false, "https://app.test/bye?x": false, "": false,
		"https://app.test/cb": false, "https://APP.test/bye": false, "http://127.0.0.1/bye": true, "http://127.0.0.1:9/bye": false,
	} {
		if c.MatchPostLogout(uri) != want {
			t.Errorf("%q: %v", uri, !want)
		}
	}
}

func TestAllowsOrigin(t *testing.T) {
	c := with("web", "https://app.test/cb", "https://app.test/cb2", "https://two.test:443/cb", "https://three.test:8443/cb",
		"http://localhost:3000/cb", "https://[::1]:9/cb")
	for origin, want := range map[string]bool{
		"https://app.test": true, "https://two.test": true, "https://three.test:8443": true, "http://localhost:3000": true,
		"https://[::1]:9": true, "https://two.test:443": false, "null": false, "": false, "*": false,
		"https://app.test.evil.test": false, "http://app.test": false, "https://app.test:444": false,
		"HTTPS://APP.TEST": false, "https://app.test/": false, "https://three.test": false, "http://localhost": false,
	} {
		if c.AllowsOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
	}
	off := with("web", "https://app.test/cb")
	off.DisabledAt = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	if off.AllowsOrigin("https://app.test") {
		t.Error("a disabled client allows an origin")
	}
	app := with("native", "http://127.0.0.1/cb", "com.example.app://host/cb", "https://app.test/cb")
	for origin, want := range map[string]bool{"http://127.0.0.1": false, "com.example.app://host": false, "https://app.test": true} {
		if app.AllowsOrigin(origin) != want {
			t.Errorf("native, %q: %v", origin, !want)
		}
	}
}

func FuzzMatchRedirect(f *testing.F) {
	f.Add("http://127.0.0.1:1@evil.test/cb")
	f.Add("http://[::1]:9/cb")
	f.Add("https://app.test/cb")
	c := with("native", "https://app.test/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb")
	f.Fuzz(func(t *testing.T, uri string) {
		if !c.MatchRedirect(uri) {
			return
		}
		m := client.Metadata{ApplicationType: "native", RedirectURIs: []string{uri}}
		if err := m.Validate(client.ValidateOptions{}); err != nil {
			t.Errorf("%q matches, and could not be registered: %v", uri, err)
		}
	})
}
