package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/limit"
)

// unverified is a client that nobody vouches for: one that registered openly.
func (w *world) unverified(t *testing.T, change func(c *client.Client)) *client.Client {
	t.Helper()
	c := w.client(change)
	_, _, err := w.clients.Update(t.Context(), c.ID, func(c *client.Client) error {
		c.VerifiedAt = time.Time{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.freshCopy(t, c)
}

// stranger is a site that nobody vouches for.
func (w *world) stranger(t *testing.T, change func(c *client.Client)) *site {
	t.Helper()
	s := w.site(t, change)
	_, _, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error {
		c.VerifiedAt = time.Time{}
		return nil
	})
	w.must(err)
	return &site{w.freshCopy(t, s.Client), w, s.secret}
}

// TestUnverified: 3.10, RFC 9700 §4.11.2.
func TestUnverified(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		alice := w.person("alice")
		here := w.browser()
		here.signIn(t, alice, "")
		c := w.unverified(t, nil)

		t.Run("consent is shown at each sign-in, though it was given", func(t *testing.T) {
			for range 3 {
				i := here.authorize(t, to(c)).page("/consent")
				if here.view(t, i).Remembered {
					t.Error("the page says that the answer is remembered")
				}
				here.act(t, "approve", i).code()
			}
			known := w.client(nil)
			i := here.authorize(t, to(known)).page("/consent")
			if !here.view(t, i).Remembered {
				t.Error("the page says that the answer is not remembered")
			}
			here.act(t, "approve", i).code()
			here.authorize(t, to(known)).code()
		})
		t.Run("prompt=none succeeds within the login in which consent was given, and in no other", func(t *testing.T) {
			c := w.unverified(t, nil)
			here.authorize(t, to(c, "prompt", "none")).refused("consent_required")
			here.act(t, "approve", here.authorize(t, to(c)).page("/consent")).code()
			here.authorize(t, to(c, "prompt", "none")).code()
			here.authorize(t, to(c, "prompt", "none", "scope", "openid profile email")).refused("consent_required")
			elsewhere := w.browser()
			elsewhere.signIn(t, alice, "")
			elsewhere.authorize(t, to(c, "prompt", "none")).refused("consent_required")
		})
		t.Run("skip_consent, and consent for good from when it was verified, count for nothing", func(t *testing.T) {
			own := w.client(func(c *client.Client) { c.SkipConsent = true })
			here.authorize(t, to(own)).code()
			once := w.client(nil)
			here.act(t, "approve", here.authorize(t, to(once)).page("/consent")).code()
			here.authorize(t, to(once)).code()
			for _, c := range []*client.Client{own, once} {
				_, _, err := w.clients.Update(t.Context(), c.ID, func(c *client.Client) error { c.VerifiedAt = time.Time{}; return nil })
				w.must(err)
				c = w.freshCopy(t, c)
				here.authorize(t, to(c)).page("/consent")
				here.authorize(t, to(c, "prompt", "none")).refused("consent_required")
			}
		})
		t.Run("the host that is shown is where the answer goes, not the home page that it names", func(t *testing.T) {
			home := func(c *client.Client) {
				c.Metadata.ClientURI = "https://bank.test/"
				c.Metadata.GrantTypes = []string{"authorization_code", client.GrantDevice}
			}
			c := w.unverified(t, home)
			i := here.authorize(t, to(c)).page("/consent")
			if v := here.view(t, i); v.ClientHost != "app.test" {
				t.Errorf("shown is %q", v.ClientHost)
			}
			// A device has no address. A stranger's shows none; of a site that is known its home page counts.
			for s, want := range map[*site]string{w.stranger(t, home): "", w.site(t, home): "bank.test"} {
				d := s.device(t)
				if v := here.view(t, here.typed(t, d.UserCode).page("/consent")); v.ClientHost != want {
					t.Errorf("of a device is shown %q, not %q", v.ClientHost, want)
				}
			}
		})
		t.Run("D8 who registered without a word draws secrets too: his rows are bounded", func(t *testing.T) {
			s := w.stranger(t, func(c *client.Client) {
				c.Metadata.GrantTypes = []string{"authorization_code", "client_credentials", client.GrantDevice}
			})
			for path, form := range map[string]url.Values{
				"/par": to(s.Client), "/device_authorization": {}, "/token": {"grant_type": {"client_credentials"}},
			} {
				form.Del("client_id")
				ip, limited, passed, began := "198.51.100."+strconv.Itoa(20+len(path)), 0, 0, time.Now()
				for range 3000 { // a slow machine gives the budget time to grow
					if limited == 10 {
						break
					}
					req := s.request(t, path, form)
					if a := (&browser{w: w, http: http.DefaultClient, ip: ip}).do(t, req); a.status == http.StatusTooManyRequests {
						limited++
						if a.header.Get("Retry-After") == "" {
							t.Errorf("%s: %v", path, a.header)
						}
					} else if a.status != http.StatusOK && a.status != http.StatusCreated {
						t.Fatalf("%s: %d %s", path, a.status, a.body)
					} else {
						passed++
					}
				}
				most := limit.Authorize.Burst + int(time.Since(began)/limit.Authorize.Every) + 1
				if limited < 10 || passed < limit.Authorize.Burst || passed > most {
					t.Errorf("%s: %d passed, of %d at most, and %d were refused", path, passed, most, limited)
				}
			}
		})
		t.Run("the first use of a client that anybody may have registered is noted", func(t *testing.T) {
			register := func() *client.Client {
				m := client.Metadata{ClientName: "Open", RedirectURIs: []string{redirect}, GrantTypes: []string{"authorization_code", "client_credentials"}}
				made, err := w.clients.Register(t.Context(), m, client.RegisterOptions{})
				w.must(err)
				return made.Client
			}
			used := func(c *client.Client) bool {
				return w.count("client WHERE client_id = '%s' AND used_at > 0", c.ID) == 1
			}
			c := register()
			i := here.authorize(t, to(c)).page("/consent")
			if used(c) {
				t.Error("nobody has said yes yet")
			}
			if here.act(t, "approve", i).code(); !used(c) {
				t.Error("somebody has signed in there")
			}
			own := w.client(nil)
			if here.act(t, "approve", here.authorize(t, to(own)).page("/consent")).code(); used(own) {
				t.Error("of the operator's own nothing is noted: it costs a write")
			}
		})
		t.Run("R11 errors before anybody signed in are shown here, but for those of prompt=none", func(t *testing.T) {
			stranger := w.browser()
			for _, v := range []url.Values{
				to(c, "response_type", "x"), to(c, "response_type", "id_token"), to(c, "max_age", "x"), to(c, "claims", "{"), to(c, "prompt", "none login"),
				to(c, "request", "x.y.z"), to(c, "request_uri", "https://app.test/r"), to(c, "code_challenge", ""), to(c, "id_token_hint", "x"),
				to(c, "response_mode", "form_post", "response_type", "x"), to(c, "registration", "{}"), to(c, "resource", "https://api.test/"),
			} {
				stranger.authorize(t, v).errorPage(400, "error.request_malformed")
				if a := here.authorize(t, v); a.body == "error.request_malformed" {
					t.Errorf("%v: she is signed in, and sees our page", v)
				}
			}
			stranger.authorize(t, to(c, "prompt", "none")).refused("login_required")
			stranger.authorize(t, to(c, "prompt", "none", "max_age", "x")).refused("invalid_request")
			stranger.authorize(t, to(c, "prompt", "none", "request", "x.y.z")).refused("invalid_request_object")
			stranger.authorize(t, to(c, "prompt", "none", "request_uri", "https://app.test/r")).refused("invalid_request_uri")
			stranger.authorize(t, to(c)).page("/login")
			// A deny is of somebody who has signed in.
			here.act(t, "deny", here.authorize(t, to(c)).page("/consent")).refused("access_denied")
		})
	})
}

// TestStart: requirement 82.
func TestStart(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		door := func(uri string) func(c *client.Client) {
			return func(c *client.Client) {
				c.Metadata.InitiateLoginURI, c.Metadata.ClientURI = uri, "https://www.app.test/"
			}
		}
		start := func(b *browser, c *client.Client, target string) answer {
			return b.post(t, "/test/start", url.Values{"client": {c.ID}, "target_link_uri": {target}})
		}
		at := func(a answer, base string) url.Values {
			t.Helper()
			to, query, _ := strings.Cut(a.location, "?")
			v, err := url.ParseQuery(query)
			if a.status != http.StatusSeeOther || to != base || err != nil {
				t.Fatalf("%d to %q, not to %s", a.status, a.location, base)
			}
			return v
		}
		t.Run("Q082 iss, and a target that is the site's", func(t *testing.T) {
			c := w.client(door("https://app.test/start"))
			v := at(start(here, c, "https://app.test/x?a=b c"), "https://app.test/start")
			if v.Get("iss") != issuer || v.Get("target_link_uri") != "https://app.test/x?a=b c" || len(v) != 2 {
				t.Errorf("%v", v)
			}
			for _, evil := range []string{"https://evil.test/", "//evil.test/", "javascript:alert(1)", "https://app.test@evil.test/", "https://app.test.evil.test/", "http://app.test/", "https://u@app.test/", "/x", "https://app.test/\r\nx"} {
				if v := at(start(here, c, evil), "https://app.test/start"); v.Has("target_link_uri") {
					t.Errorf("%s was handed on", evil)
				}
			}
			if !oidc.MayTarget(c, "https://www.app.test/page") {
				t.Error("its home page is not its own")
			}
		})
		t.Run("Q082 the site's own query stays", func(t *testing.T) {
			c := w.client(door("https://app.test/start?tenant=a%20b"))
			if a := start(here, c, ""); !strings.HasPrefix(a.location, "https://app.test/start?tenant=a%20b&iss=") {
				t.Errorf("to %s", a.location)
			}
		})
		t.Run("Q082 login_hint only for a site that may know the address", func(t *testing.T) {
			c := w.client(door("https://app.test/start"))
			if v := at(start(here, c, ""), "https://app.test/start"); v.Has("login_hint") {
				t.Errorf("%v", v)
			}
			here.act(t, "approve", here.authorize(t, to(c, "scope", "openid email")).page("/consent")).code()
			if v := at(start(here, c, ""), "https://app.test/start"); v.Get("login_hint") != "ada@example.test" {
				t.Errorf("%v", v)
			}
		})
	})
}

// TestSessionState: requirement 81, the half that is not the frame's.
func TestSessionState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, front("RS256"))
		// state is the cookie, as the frame reads it.
		state := func(b *browser) string {
			t.Helper()
			u, err := url.Parse(w.server.URL)
			w.must(err)
			u.Scheme = "https" // it is Secure
			for _, c := range b.http.Jar.Cookies(u) {
				if c.Name == "op_bs" {
					return c.Value
				}
			}
			t.Fatal("there is no op_bs")
			return ""
		}
		t.Run("Q081 in each successful answer, of client, origin, state and salt", func(t *testing.T) {
			seen := map[string]bool{}
			for _, types := range client.ResponseTypes {
				a := here.authorize(t, to(s.Client, "response_type", types))
				var v url.Values
				if strings.Contains(a.location, "#") {
					v = a.fragment()
				} else {
					v = a.response()
				}
				hash, salt, _ := strings.Cut(v.Get("session_state"), ".")
				sum := sha256.Sum256([]byte(s.ID + " https://app.test " + state(here) + " " + salt))
				if hash != base64.RawURLEncoding.EncodeToString(sum[:]) || salt == "" || seen[salt] {
					t.Errorf("%s: session_state %q of state %q", types, v.Get("session_state"), state(here))
				}
				seen[salt] = true
			}
		})
		t.Run("a browser that has lost its state gets another", func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, w.server.URL+"/authorize?"+to(s.Client).Encode(), nil)
			w.must(err)
			u := req.URL
			for _, c := range here.http.Jar.Cookies(u) {
				if c.Name != "op_bs" {
					req.AddCookie(c)
				}
			}
			a := w.browser().do(t, req)
			a.code()
			found := false
			for _, c := range (&http.Response{Header: a.header}).Cookies() {
				if c.Name == "op_bs" {
					found = c.Secure && !c.HttpOnly && c.SameSite == http.SameSiteNoneMode && len(c.Value) >= 22
				}
			}
			if !found {
				t.Errorf("%v", a.header)
			}
		})
		t.Run("none with an error", func(t *testing.T) {
			if v := w.browser().authorize(t, to(s.Client, "prompt", "none")).response(); v.Has("session_state") {
				t.Errorf("%v", v)
			}
		})
		t.Run("none for an app, which has no frames", func(t *testing.T) {
			c := w.client(func(c *client.Client) {
				c.Metadata.ApplicationType, c.Metadata.TokenEndpointAuthMethod, c.SkipConsent = "native", "none", true
				c.Metadata.RedirectURIs = []string{"com.example.app:/cb"}
			})
			if a := here.authorize(t, to(c, "redirect_uri", "com.example.app:/cb")); !strings.Contains(a.location, "code=") || strings.Contains(a.location, "session_state") {
				t.Errorf("to %s", a.location)
			}
		})
		t.Run("Q081 it changes with a sign-in and with a sign-out", func(t *testing.T) {
			b := w.browser()
			b.signIn(t, w.person("bea"), "")
			in := state(b)
			b.authorize(t, to(s.Client)).code()
			if state(b) != in {
				t.Error("it changed though nobody came or went")
			}
			for _, way := range []string{"/test/end", "/test/leave"} {
				if a := b.post(t, way, url.Values{}); a.status != http.StatusOK {
					t.Fatalf("%s: %d %s", way, a.status, a.body)
				}
				if out := state(b); in == out || len(out) < 22 {
					t.Errorf("%s: %q and %q", way, in, out)
				}
				b.signIn(t, w.person("bea"+way[6:]), "")
				in = state(b)
			}
		})
	})
}
