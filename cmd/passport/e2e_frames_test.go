//go:build e2e

package main

import (
	"net/url"
	"strings"
	"testing"
)

// sessionPage is a site's page that frames check_session as Session Management §3.1 has it: it asks once, 500 ms after
// the frame has loaded at most, and shows the answer.
const sessionPage = `<!doctype html><title>session</title><p id="answer" hidden></p>
<iframe id="op" src="ISSUER/check_session" hidden></iframe>
<script>
window.addEventListener('message', function (e) {
  if (e.origin !== 'ISSUER') { return; }
  var p = document.getElementById('answer');
  p.textContent = e.data;
  p.hidden = false;
});
document.getElementById('op').onload = function () {
  this.contentWindow.postMessage(decodeURIComponent(location.hash.slice(1)), '*');
};
</script>`

// TestFrames: what needs frames of other sites, in a real browser: front-channel logout, session management, form_post.
func TestFrames(t *testing.T) {
	w := newWorld(t, "", true)
	w.env = append(w.env, "PASSPORT_OUTBOUND_ALLOW=localhost")
	w.start()
	w.account("alice@example.test", "a good long passphrase")
	p := w.rp(t)
	p.put("/callback", []byte("back"))
	p.put("/post_logout_redirect", []byte("bye"))
	p.put("/session.html", []byte(strings.ReplaceAll(sessionPage, "ISSUER", w.issuer)))
	p.id, p.secret = w.client(map[string]any{
		"client_name": "Frames", "redirect_uris": []string{p.base + "/callback"}, "post_logout_redirect_uris": []string{p.base + "/post_logout_redirect"},
		"response_types": []string{"code", "id_token"}, "grant_types": []string{"authorization_code", "implicit"}, "id_token_signed_response_alg": "RS256",
		"frontchannel_logout_uri": p.base + "/frontchannel_logout?kept=1", "frontchannel_logout_session_required": true,
	}, "--require-pkce=false")
	// Debian's Chromium keeps the cookies of other sites' frames to itself, unless it is told otherwise.
	b := w.browserWith("en", `{"profile":{"cookie_controls_mode":0}}`)
	ask := func(more ...string) string {
		v := url.Values{"client_id": {p.id}, "redirect_uri": {p.base + "/callback"}, "response_type": {"id_token"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return w.issuer + "/authorize?" + v.Encode()
	}
	b.open(ask())
	b.fill("#username", "alice@example.test")
	b.fill("#password", "a good long passphrase")
	b.follow("#login-submit", "#consent-allow")
	b.click("#consent-allow")
	b.arrives(p.base + "/callback")
	got := must(url.ParseQuery(must(url.Parse(b.location())).Fragment))
	state := got.Get("session_state")
	claims := p.idToken(got.Get("id_token"), "n")
	look := func(message string) string {
		t.Helper()
		b.open("about:blank")
		b.open(p.base + "/session.html#" + url.PathEscape(message))
		b.wait("#answer")
		return b.text("#answer")
	}
	t.Run("Q081 the frame says unchanged, and error to what is no question", func(t *testing.T) {
		for message, want := range map[string]string{p.id + " " + state: "unchanged", "x": "error", p.id + " x": "error", p.id + " " + state + "x": "changed", "another " + state: "changed"} {
			if got := look(message); got != want {
				t.Errorf("%q: %s, not %s", message, got, want)
			}
		}
	})
	t.Run("Q081 where the browser keeps the cookie from the frame it is an error, which asks for nothing", func(t *testing.T) {
		b := w.browserWith("en", `{"profile":{"cookie_controls_mode":1}}`)
		b.open(p.base + "/session.html#" + url.PathEscape(p.id+" "+state))
		b.wait("#answer")
		if got := b.text("#answer"); got != "error" {
			t.Errorf("%s", got)
		}
	})
	t.Run("Q040 form_post by itself, by script", func(t *testing.T) {
		b.open(ask("response_mode", "form_post", "prompt", "none"))
		b.arrives(p.base + "/callback")
		calls := p.calls("/callback")
		if last := calls[len(calls)-1]; last.Method != "POST" || last.PostForm.Get("id_token") == "" || last.PostForm.Get("state") != "s" {
			t.Errorf("%s %v", last.Method, last.PostForm)
		}
	})
	t.Run("Q076 the frame is opened, with iss and sid alone, and then the browser is at the site", func(t *testing.T) {
		b.open(w.issuer + "/end_session?" + url.Values{"id_token_hint": {got.Get("id_token")}, "post_logout_redirect_uri": {p.base + "/post_logout_redirect"}, "state": {"x y"}}.Encode())
		b.arrives(p.base + "/post_logout_redirect?state=x+y")
		calls := p.calls("/frontchannel_logout")
		if len(calls) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		if v := calls[0].URL.Query(); len(v) != 3 || v.Get("kept") != "1" || v.Get("iss") != w.issuer || v.Get("sid") != claims["sid"] || claims["sid"] == nil {
			t.Errorf("%v, ID token %v", v, claims)
		}
	})
	t.Run("Q081 and changed after the sign-out", func(t *testing.T) {
		if got := look(p.id + " " + state); got != "changed" {
			t.Errorf("%s", got)
		}
	})
	w.stop()
}
