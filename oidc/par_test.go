package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

// TestPAR: requirements 87 and 88 (RFC 9126).
func TestPAR(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, _ := w.signedIn(t, "ada")
		s := w.site(t, nil)
		// push pushes a good request, with changes, and gives its request_uri.
		push := func(t *testing.T, s *site, changes ...string) string {
			t.Helper()
			v := to(s.Client, changes...)
			v.Del("client_id")
			a := s.post(t, "/par", v)
			var out struct {
				RequestURI string `json:"request_uri"`
				ExpiresIn  int    `json:"expires_in"`
			}
			if a.status != http.StatusCreated || json.Unmarshal([]byte(a.body), &out) != nil {
				t.Fatalf("%d %s", a.status, a.body)
			}
			id, ours := strings.CutPrefix(out.RequestURI, "urn:ietf:params:oauth:request_uri:")
			if !ours || len(id) < 43 || out.ExpiresIn < 5 || out.ExpiresIn > 600 || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %v", a.body, a.header)
			}
			return out.RequestURI
		}
		come := func(s *site, uri string, changes ...string) url.Values {
			return pairs(url.Values{"client_id": {s.ID}, "request_uri": {uri}}, changes)
		}

		t.Run("Q087 a pushed request, and what beside it counts for nothing", func(t *testing.T) {
			v := here.authorize(t, come(s, push(t, s), "state", "outside", "redirect_uri", "https://evil.test", "scope", "openid email")).response()
			if v.Get("state") != "s t+a/t=e" || w.grantOf(t, v.Get("code")).scopes != "openid profile" {
				t.Errorf("%v", v)
			}
			s.redeem(t, v.Get("code")).tokens()
		})
		t.Run("Q087 refused at once, as JSON", func(t *testing.T) {
			for _, c := range []struct {
				status int
				code   string
				change []string
			}{
				{400, "invalid_request", []string{"request_uri", "urn:ietf:params:oauth:request_uri:x"}},
				{400, "invalid_request", []string{"redirect_uri", "https://evil.test/cb"}},
				{400, "invalid_request", []string{"redirect_uri", ""}},
				{400, "invalid_request", []string{"code_challenge", ""}},
				{400, "invalid_request", []string{"prompt", "sometimes"}},
				{400, "unsupported_response_type", []string{"response_type", "device"}},
				{400, "unauthorized_client", []string{"response_type", "id_token"}},
				{400, "invalid_target", []string{"resource", "https://api.test/"}},
				{400, "invalid_request_object", []string{"request", "x.y.z"}},
			} {
				v := to(s.Client, c.change...)
				s.post(t, "/par", v).fails(c.status, c.code)
			}
			wrong := &site{s.Client, w, "wrong"}
			wrong.post(t, "/par", to(s.Client)).fails(401, "invalid_client")
			if a := w.browser().get(t, "/par?"+to(s.Client).Encode()); a.status != http.StatusMethodNotAllowed {
				t.Errorf("GET: %d", a.status)
			}
			other := w.site(t, nil)
			v := to(other.Client)
			s.post(t, "/par", v).fails(401, "invalid_client") // another client's name beside our own secret
		})
		t.Run("Q087 nothing of the client's credentials is kept (H05)", func(t *testing.T) {
			post := w.site(t, func(c *client.Client) { c.Metadata.TokenEndpointAuthMethod = client.MethodPost })
			v := to(post.Client)
			v.Set("client_secret", post.secret)
			req, err := http.NewRequest(http.MethodPost, w.server.URL+"/par", strings.NewReader(v.Encode()))
			w.must(err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if a := w.browser().do(t, req); a.status != http.StatusCreated {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if w.count("interaction WHERE client_id = '%s' AND params LIKE '%%%s%%'", post.ID, post.secret) != 0 {
				t.Error("the secret stands in the row")
			}
			if w.count("interaction WHERE client_id = '%s'", post.ID) != 1 {
				t.Error("there is no row to look at")
			}
		})
		t.Run("what begins with a space is ours alone", func(t *testing.T) {
			_ = w.person("eve")
			uri, before := push(t, s, " sub", "sub-eve", " aud", s.ID, " narrowed", "1", " device", "AAAA"), w.count("interaction")
			if w.count("interaction WHERE params LIKE '%%sub-eve%%'") != 0 {
				t.Error("a client has written what only we may")
			}
			here.authorize(t, come(s, uri)).code()
			other := strings.TrimPrefix(push(t, s), "urn:ietf:params:oauth:request_uri:")
			here.authorize(t, come(s, push(t, s, " pushed", other))).code()
			if after := w.count("interaction"); after != before {
				t.Errorf("%d rows, not %d: one client's request has spent another", after, before)
			}
		})
		t.Run("Q088 bound to its client, once, and for ninety seconds", func(t *testing.T) {
			uri, other := push(t, s), w.site(t, nil)
			here.authorize(t, come(other, uri)).errorPage(400, "error.request_expired")
			w.sleep(89 * time.Second)
			here.authorize(t, come(s, uri)).code()
			here.authorize(t, come(s, uri)).errorPage(400, "error.request_expired")
			late := push(t, s)
			w.sleep(90 * time.Second)
			here.authorize(t, come(s, late)).errorPage(400, "error.request_expired")
			for _, made := range []string{"urn:ietf:params:oauth:request_uri:x", "urn:ietf:params:oauth:request_uri:" + strings.Repeat("A", 43), "urn:ietf:params:oauth:request_uri:"} {
				here.authorize(t, come(s, made)).errorPage(400, "error.request_expired")
			}
			// The id of an interaction is not one of a pushed request, nor the other way round.
			i := w.browser().authorize(t, to(s.Client)).page("/login")
			here.authorize(t, come(s, "urn:ietf:params:oauth:request_uri:"+i)).errorPage(400, "error.request_expired")
			id := strings.TrimPrefix(push(t, s), "urn:ietf:params:oauth:request_uri:")
			here.get(t, "/authorize?i="+id).errorPage(400, "error.interaction_gone")
		})
		t.Run("Q088 a sign-in and a reload lie between, and it is spent when that completes", func(t *testing.T) {
			asks := w.site(t, func(c *client.Client) { c.SkipConsent = false })
			b, uri := w.browser(), push(t, asks)
			b.authorize(t, come(asks, uri)).page("/login")
			w.sleep(80 * time.Second)
			i := b.authorize(t, come(asks, uri)).page("/login") // reloaded
			w.sleep(5 * time.Minute)                            // the person takes her time; her interaction is what counts now
			account := w.person("bea")
			b.signIn(t, account, i).page("/consent")
			b.act(t, "approve", i).code()
			b.authorize(t, come(asks, uri)).errorPage(400, "error.request_expired")
		})
		t.Run("Q088 two browsers, or two tabs, get one code between them", func(t *testing.T) {
			asks := w.site(t, func(c *client.Client) { c.SkipConsent = false })
			uri := push(t, asks)
			one := here.authorize(t, come(asks, uri)).page("/consent")
			two := here.authorize(t, come(asks, uri)).page("/consent")
			answers := make([]answer, 2)
			together(2, func(n int) { answers[n] = here.act(t, "approve", []string{one, two}[n]) })
			codes := 0
			for _, a := range answers {
				if strings.Contains(a.location, "code=") {
					codes++
				}
			}
			if codes != 1 {
				t.Errorf("%d codes: %+v", codes, answers)
			}
		})
		t.Run("Q088 a refusal spends it too", func(t *testing.T) {
			asks := w.site(t, func(c *client.Client) { c.SkipConsent = false })
			uri := push(t, asks)
			i := here.authorize(t, come(asks, uri)).page("/consent")
			here.act(t, "deny", i).refused("access_denied")
			here.authorize(t, come(asks, uri)).errorPage(400, "error.request_expired")
			uri = push(t, asks, "prompt", "none")
			w.browser().authorize(t, come(asks, uri)).refused("login_required")
			here.authorize(t, come(asks, uri)).errorPage(400, "error.request_expired")
		})
		t.Run("a client that must push", func(t *testing.T) {
			must := w.site(t, func(c *client.Client) { c.Metadata.RequirePushedRequests = true })
			here.authorize(t, to(must.Client)).refused("invalid_request")
			here.authorize(t, to(must.Client, "request", unsigned(t, w.object(must)))).refused("invalid_request")
			here.authorize(t, come(must, push(t, must))).code()
		})
		t.Run("a pushed request object", func(t *testing.T) {
			k := newKey(t, "ES256", "")
			signs := w.site(t, func(c *client.Client) { c.Metadata.JWKS, c.Metadata.RequireSignedRequestObject = set(t, k), true })
			v := url.Values{"request": {k.sign(t, w.object(signs), nil)}}
			a := signs.post(t, "/par", v)
			var out struct {
				RequestURI string `json:"request_uri"`
			}
			if a.status != http.StatusCreated || json.Unmarshal([]byte(a.body), &out) != nil {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if got := here.authorize(t, come(signs, out.RequestURI)).response(); got.Get("state") != "inside" || !got.Has("code") {
				t.Errorf("%v", got)
			}
			unsignedPush := to(signs.Client)
			unsignedPush.Del("client_id")
			signs.post(t, "/par", unsignedPush).fails(400, "invalid_request")
		})
		t.Run("a public client, by POST to /authorize", func(t *testing.T) {
			p := w.site(t, public)
			here.post(t, "/authorize", come(p, push(t, p))).code()
			// Without cookies the POST is parked, and the pushed request spent when the person has come through.
			uri := push(t, p)
			b := w.browser()
			parked := b.post(t, "/authorize", come(p, uri))
			if parked.status != http.StatusSeeOther || !strings.HasPrefix(parked.location, "/authorize?i=") {
				t.Fatalf("%d to %s", parked.status, parked.location)
			}
			i := b.get(t, parked.location).page("/login")
			b.signIn(t, w.person("cleo"), i).code()
			here.authorize(t, come(p, uri)).errorPage(400, "error.request_expired")
		})
		t.Run("G19 used twice at the same moment", func(t *testing.T) {
			uri := push(t, s)
			answers := make([]answer, 16)
			together(16, func(n int) { answers[n] = here.authorize(t, come(s, uri)) })
			codes := 0
			for _, a := range answers {
				if strings.Contains(a.location, "code=") {
					codes++
				} else if a.status != 400 {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			if codes != 1 {
				t.Errorf("%d codes", codes)
			}
		})
	})
}
