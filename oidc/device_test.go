package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
)

// television is a client of the device grant.
func television(c *client.Client) {
	c.Metadata.RedirectURIs, c.Metadata.ResponseTypes = nil, []string{}
	c.Metadata.GrantTypes = []string{client.GrantDevice, "refresh_token"}
	c.Metadata.TokenEndpointAuthMethod = client.MethodNone
}

// device is what the device authorization endpoint gave.
type device struct {
	s               *site
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

func (s *site) device(t *testing.T, changes ...string) device {
	t.Helper()
	a := s.post(t, "/device_authorization", pairs(url.Values{"scope": {"openid profile offline_access"}}, changes))
	d := device{s: s}
	if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &d) != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return d
}

func (d device) poll(t *testing.T) answer {
	t.Helper()
	return d.s.post(t, "/token", url.Values{"grant_type": {client.GrantDevice}, "device_code": {d.DeviceCode}})
}

// typed is the person typing a code.
func (b *browser) typed(t *testing.T, code string) answer {
	t.Helper()
	return b.post(t, "/test/device", url.Values{"user_code": {code}})
}

// toDone expects our page that says what was decided.
func (a answer) toDone(denied bool) {
	a.t.Helper()
	want := map[bool]string{false: "/device/done", true: "/device/done?denied=1"}[denied]
	if a.status != http.StatusSeeOther || a.location != want {
		a.t.Fatalf("%d to %q (%s), not to %s", a.status, a.location, a.body, want)
	}
}

// TestDevice: the device grant (RFC 8628).
func TestDevice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		s := w.site(t, television)
		const pending, slow = "authorization_pending", "slow_down"

		t.Run("the whole way", func(t *testing.T) {
			d := s.device(t)
			if d.VerificationURI != issuer+"/device" || d.Complete != issuer+"/device?user_code="+d.UserCode || d.ExpiresIn != 600 || d.Interval != 5 {
				t.Errorf("%+v", d)
			}
			d.poll(t).fails(400, pending)
			i := here.typed(t, d.UserCode).page("/consent") // always: whose device it is shows to the person alone (§5.4)
			var v oidc.View
			w.must(json.Unmarshal([]byte(here.act(t, "view", i).body), &v))
			if v.UserCode != d.UserCode || v.ClientName != "Site" || strings.Join(v.Scopes, " ") != "openid profile offline_access" {
				t.Errorf("%+v", v)
			}
			w.sleep(5 * time.Second)
			d.poll(t).fails(400, pending)
			here.act(t, "approve", i).toDone(false)
			w.sleep(5 * time.Second)
			out := d.poll(t).tokens()
			_, claims := w.idToken(t, out.IDToken)
			if claims["sub"] != "sub-ada" || claims["nonce"] != nil || claims["aud"] != s.ID || out.RefreshToken == "" || out.Scope != "openid profile offline_access" {
				t.Errorf("%+v %v", out, claims)
			}
			s.refresh(t, out.RefreshToken).tokens()
			w.sleep(5 * time.Second)
			d.poll(t).fails(400, "invalid_grant") // a device code once
			w.dead(t, out.AccessToken)
		})
		t.Run("the person signs in first; consent that is remembered is no answer", func(t *testing.T) {
			d, b := s.device(t), w.browser()
			i := b.typed(t, strings.ToLower(strings.ReplaceAll(d.UserCode, "-", ""))).page("/login")
			b.signIn(t, account, i).page("/consent")
			b.act(t, "approve", i).toDone(false)
			d.poll(t).tokens()
			d = s.device(t)
			here.typed(t, " "+d.UserCode+" ").page("/consent")
		})
		t.Run("the person says no", func(t *testing.T) {
			d := s.device(t)
			i := here.typed(t, d.UserCode).page("/consent")
			here.act(t, "deny", i).toDone(true)
			d.poll(t).fails(400, "access_denied")
			w.sleep(5 * time.Second)
			d.poll(t).fails(400, "access_denied")
			if a := here.typed(t, d.UserCode); !strings.Contains(a.body, "no device") {
				t.Errorf("asked again: %d %s", a.status, a.body)
			}
		})
		t.Run("the operator takes the grant away between the code and the yes", func(t *testing.T) {
			s := w.site(t, television)
			d := s.device(t)
			i := here.typed(t, d.UserCode).page("/consent")
			_, _, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error {
				c.Metadata.RedirectURIs, c.Metadata.ResponseTypes = []string{redirect}, []string{"code"}
				c.Metadata.GrantTypes = []string{"authorization_code"}
				return nil
			})
			w.must(err)
			here.act(t, "approve", i).errorPage(400, "error.interaction_gone")
			if a := here.typed(t, d.UserCode); !strings.Contains(a.body, "no device") {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		t.Run("slow_down: each poll that comes too soon adds five seconds (§3.5)", func(t *testing.T) {
			d := s.device(t)
			d.poll(t).fails(400, pending)
			w.sleep(4 * time.Second)
			d.poll(t).fails(400, slow)
			w.sleep(9 * time.Second) // it is ten now
			d.poll(t).fails(400, slow)
			w.sleep(15 * time.Second)
			d.poll(t).fails(400, pending)
			w.sleep(15 * time.Second)
			d.poll(t).fails(400, pending)
		})
		t.Run("ten minutes", func(t *testing.T) {
			d := s.device(t)
			i := here.typed(t, d.UserCode).page("/consent")
			w.sleep(10 * time.Minute)
			d.poll(t).fails(400, "expired_token")
			here.act(t, "approve", i).errorPage(400, "error.interaction_gone")
			if a := here.typed(t, d.UserCode); !strings.Contains(a.body, "no device") {
				t.Errorf("%d %s", a.status, a.body)
			}
			// Allowed in time, fetched too late.
			d = s.device(t)
			i = here.typed(t, d.UserCode).page("/consent")
			here.act(t, "approve", i).toDone(false)
			w.sleep(10 * time.Minute)
			d.poll(t).fails(400, "expired_token")
		})
		t.Run("codes that are none", func(t *testing.T) {
			for _, code := range []string{"", "x", "BCDF-GHJ", "AEIO-UAEI", strings.Repeat("B", 100), "BCDF-GHJK", "\x00", "ＢＣＤＦ-ＧＨＪＫ"} {
				if a := here.typed(t, code); !strings.Contains(a.body, "no device") {
					t.Errorf("%q: %d %s to %s", code, a.status, a.body, a.location)
				}
			}
			for _, code := range []string{"", "x", "pp1d_" + strings.Repeat("A", 43)} {
				want := "invalid_grant"
				if code == "" {
					want = "invalid_request"
				}
				s.post(t, "/token", url.Values{"grant_type": {client.GrantDevice}, "device_code": {code}}).fails(400, want)
			}
		})
		t.Run("another client's device code (G3)", func(t *testing.T) {
			d, other := s.device(t), w.site(t, television)
			i := here.typed(t, d.UserCode).page("/consent")
			here.act(t, "approve", i).toDone(false)
			(device{s: other, DeviceCode: d.DeviceCode}).poll(t).fails(400, "invalid_grant")
			d.poll(t).tokens()
		})
		t.Run("refused at once", func(t *testing.T) {
			w.site(t, nil).post(t, "/device_authorization", url.Values{}).fails(400, "unauthorized_client")
			s.post(t, "/device_authorization", url.Values{"resource": {"https://api.test/"}}).fails(400, "invalid_target")
			s.post(t, "/device_authorization", url.Values{"scope": {strings.Repeat("x ", 51)}}).fails(400, "invalid_request")
			secret := w.site(t, func(c *client.Client) { television(c); c.Metadata.TokenEndpointAuthMethod = client.MethodBasic })
			(&site{secret.Client, w, "wrong"}).post(t, "/device_authorization", url.Values{}).fails(401, "invalid_client")
			secret.device(t)
			if a := w.browser().get(t, "/device_authorization"); a.status != http.StatusMethodNotAllowed {
				t.Errorf("GET: %d", a.status)
			}
		})
		t.Run("the yes counts once, and for one of two browsers", func(t *testing.T) {
			d := s.device(t)
			one, two := here.typed(t, d.UserCode).page("/consent"), here.typed(t, d.UserCode).page("/consent")
			answers := make([]answer, 2)
			together(2, func(n int) { answers[n] = here.act(t, "approve", []string{one, two}[n]) })
			done := 0
			for _, a := range answers {
				if a.location == "/device/done" {
					done++
				}
			}
			if done != 1 {
				t.Errorf("%d of two were told that it is done: %+v", done, answers)
			}
			d.poll(t).tokens()
		})
		t.Run("the first answer stands, whichever tab it came from, and the second is told so", func(t *testing.T) {
			for _, first := range []string{"approve", "deny"} {
				for _, second := range []string{"approve", "deny"} {
					d := s.device(t)
					one, two := here.typed(t, d.UserCode).page("/consent"), here.typed(t, d.UserCode).page("/consent")
					here.act(t, first, one).toDone(first == "deny")
					here.act(t, second, two).errorPage(400, "error.interaction_gone")
					if a := d.poll(t); first == "approve" {
						a.tokens()
					} else {
						a.fails(400, "access_denied")
					}
				}
			}
		})
		t.Run("polled 16 times at the same moment: one token set", func(t *testing.T) {
			d := s.device(t)
			i := here.typed(t, d.UserCode).page("/consent")
			here.act(t, "approve", i).toDone(false)
			answers := make([]answer, 16)
			together(16, func(n int) { answers[n] = d.poll(t) })
			won := 0
			for _, a := range answers {
				if a.status == http.StatusOK {
					won++
				} else if !strings.Contains(a.body, "invalid_grant") && !strings.Contains(a.body, slow) {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			if won > 1 {
				t.Errorf("%d polls won", won)
			}
		})
		t.Run("disabled meanwhile: the person, or the client", func(t *testing.T) {
			d := s.device(t)
			i := here.typed(t, d.UserCode).page("/consent")
			here.act(t, "approve", i).toDone(false)
			w.exec(`UPDATE account SET state = 'disabled' WHERE id = '%s'`, account)
			d.poll(t).fails(400, "invalid_grant")
			w.exec(`UPDATE account SET state = 'active' WHERE id = '%s'`, account)
			off := w.site(t, television)
			d = off.device(t)
			w.must(w.clients.Disable(t.Context(), off.ID))
			d.poll(t).fails(401, "invalid_client")
			if a := here.typed(t, d.UserCode); !strings.Contains(a.body, "no device") {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		t.Run("the yes for a device counts as long as the login, and not for good", func(t *testing.T) {
			both := w.site(t, func(c *client.Client) {
				c.SkipConsent = false
				c.Metadata.GrantTypes = append(c.Metadata.GrantTypes, client.GrantDevice)
			})
			d := both.device(t, "scope", "openid profile")
			here.act(t, "approve", here.typed(t, d.UserCode).page("/consent")).toDone(false)
			here.authorize(t, to(both.Client)).code()
			again := w.browser()
			again.signIn(t, account, "")
			again.authorize(t, to(both.Client)).page("/consent")
		})
		t.Run("neither code stands in the database", func(t *testing.T) {
			d := s.device(t)
			letters := strings.ReplaceAll(d.UserCode, "-", "")
			for _, secret := range []string{d.DeviceCode, d.UserCode, letters} {
				if w.count("device_code WHERE params LIKE '%%%s%%'", secret) != 0 {
					t.Errorf("%s stands there", secret)
				}
			}
			if w.count("device_code WHERE client_id = '%s'", s.ID) == 0 {
				t.Error("there is no row to look at")
			}
		})
		t.Run("codes are not to be found by trying (§5.1)", func(t *testing.T) {
			d, guesser := s.device(t), w.browser()
			guesser.ip = "198.51.100.7"
			stopped := false
			for range 100 {
				if a := guesser.typed(t, "BCDF-GHJK"); strings.Contains(a.body, "limit") || !strings.Contains(a.body, "no device") {
					stopped = true
					break
				}
			}
			if !stopped {
				t.Fatal("a hundred guesses")
			}
			if a := guesser.typed(t, d.UserCode); a.location != "" {
				t.Error("the right one passes while the limit holds")
			}
			here.typed(t, d.UserCode).page("/consent") // from elsewhere
		})
	})
}
