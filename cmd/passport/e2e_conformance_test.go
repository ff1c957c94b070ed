//go:build e2e

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/pkg/web/signin"
	"github.com/passport-network/passport/storage/storagetest"
)

// rp is a relying party as conformance suites have them: everything of it stands on one TLS host, and it judges
// what it gets without any library of ours.
type rp struct {
	w      *world
	t      *testing.T
	base   string
	http   *http.Client
	key    *rsa.PrivateKey
	id     string
	secret string
	doc    map[string]any // the registration's answer

	mu    sync.Mutex
	files map[string][]byte
	heard map[string][]*http.Request
}

func (w *world) rp(t *testing.T) *rp {
	t.Helper()
	p := &rp{w: w, t: t, http: w.ca.httpClient(), key: must(rsa.GenerateKey(rand.Reader, 2048)), files: map[string][]byte{}, heard: map[string][]*http.Request{}}
	srv := httptest.NewUnstartedServer(p)
	_, port := must2(net.SplitHostPort(srv.Listener.Addr().String()))
	_, _, pair := w.ca.leaf(t.TempDir())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	p.base = "https://localhost:" + port // the server reaches it by that name
	return p
}

// ServeHTTP keeps what came, and answers with the file of that path.
func (p *rp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what is wrong with it shows in the form
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[r.URL.Path] = append(p.heard[r.URL.Path], r)
	w.Header().Set("Cache-Control", "no-store")
	if body, ok := p.files[r.URL.Path]; ok {
		if strings.HasSuffix(r.URL.Path, ".html") {
			w.Header().Set("Content-Type", "text/html")
		}
		_, _ = w.Write(body)
	}
}

func (p *rp) put(path string, body []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = body
	return p.base + path
}

func (p *rp) calls(path string) []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard[path])
}

// jwks is the key set, with a kid or, as the suite has it, without.
func (p *rp) jwks(kid string) []byte {
	return must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: kid, Use: "sig", Algorithm: "RS256"}}}))
}

func (p *rp) sign(kid string, claims map[string]any) string {
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.key}, opts))
	return must(must(signer.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// register registers dynamically, as the suite's modules do.
func (p *rp) register(token string, changes map[string]any) *rp {
	p.t.Helper()
	doc := map[string]any{
		"client_name": "Conformance", "grant_types": []string{"authorization_code", "implicit", "refresh_token"},
		"response_types": []string{"code"}, "redirect_uris": []string{p.base + "/callback"}, "contacts": []string{"certification@example.test"},
		"jwks": json.RawMessage(p.jwks("")), "token_endpoint_auth_method": "client_secret_basic",
		"post_logout_redirect_uris": []string{p.base + "/post_logout_redirect"},
	}
	for name, v := range changes {
		if doc[name] = v; v == nil {
			delete(doc, name)
		}
	}
	if types, _ := doc["response_types"].([]string); !strings.Contains(strings.Join(types, " "), "token") && changes["grant_types"] == nil {
		doc["grant_types"] = []string{"authorization_code", "refresh_token"}
	}
	status, body := p.call("POST", p.w.issuer+"/connect/register", token, doc)
	if status != http.StatusCreated || json.Unmarshal(body, &p.doc) != nil {
		p.t.Fatalf("registration: %d %s", status, body)
	}
	p.id, _ = p.doc["client_id"].(string)
	p.secret, _ = p.doc["client_secret"].(string)
	return p
}

// call sends JSON with a bearer token.
func (p *rp) call(method, address, token string, doc any) (status int, body []byte) {
	p.t.Helper()
	req := must(http.NewRequest(method, address, bytes.NewReader(must(json.Marshal(doc)))))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, must(io.ReadAll(res.Body))
}

// authorize brings a person to the server with a request, lets her sign in and agree where she is asked, and gives
// what came back to the callback.
func (p *rp) authorize(who *person, changes map[string]string) url.Values {
	p.t.Helper()
	v := url.Values{"client_id": {p.id}, "redirect_uri": {p.base + "/callback"}, "response_type": {"code"}, "scope": {"openid"}, "state": {"st-" + rand.Text()}, "nonce": {"no-" + rand.Text()}}
	for name, value := range changes {
		if v.Set(name, value); value == "" {
			v.Del(name)
		}
	}
	before := len(p.calls("/callback"))
	who.stop = p.base + "/callback"
	who.get(p.w.issuer + "/authorize?" + v.Encode())
	if who.has("login-submit") {
		who.submit("login-submit", map[string]string{"username": "alice@example.test", "password": "a good long passphrase"})
	}
	if who.has("consent-allow") {
		who.submit("consent-allow", nil)
	}
	if v.Get("response_mode") == "form_post" {
		// The page sends itself by script; a person without one presses nothing either: she sees a button.
		for n := range who.doc.Descendants() {
			if n.Data == "form" {
				values := url.Values{}
				for in := range n.Descendants() {
					if attr(in, "name") != "" {
						values.Set(attr(in, "name"), attr(in, "value"))
					}
				}
				who.stop = ""
				who.send("POST", attr(n, "action"), values)
			}
		}
		calls := p.calls("/callback")
		if len(calls) != before+1 || calls[before].Method != "POST" || calls[before].Header.Get("Content-Type") != "application/x-www-form-urlencoded" || calls[before].URL.RawQuery != "" {
			p.t.Fatalf("form_post: %d calls, at %s (%d)\n%s", len(calls)-before, who.URL, who.Status, who.Body)
		}
		return p.judge(v, calls[before].PostForm)
	}
	if !strings.HasPrefix(who.URL.String(), p.base+"/callback") {
		p.t.Fatalf("not at the callback but at %s (%d):\n%s", who.URL, who.Status, who.Body)
	}
	got := who.URL.Query()
	if strings.Contains(v.Get("response_type"), "token") {
		got = must(url.ParseQuery(who.URL.Fragment))
	}
	return p.judge(v, got)
}

// judge checks what holds for every answer, and the ID token in it.
func (p *rp) judge(sent, got url.Values) url.Values {
	p.t.Helper()
	if got.Get("state") != sent.Get("state") && !sent.Has("request") && !sent.Has("request_uri") || got.Get("iss") != p.w.issuer {
		p.t.Errorf("sent %v, got %v", sent, got)
	}
	if got.Has("error") {
		return got
	}
	if raw := got.Get("id_token"); raw != "" {
		claims := p.idToken(raw, sent.Get("nonce"))
		for name, of := range map[string]string{"at_hash": "access_token", "c_hash": "code"} {
			want := any(nil)
			if got.Has(of) {
				sum := sha256.Sum256([]byte(got.Get(of)))
				want = base64.RawURLEncoding.EncodeToString(sum[:16])
			}
			if claims[name] != want {
				p.t.Errorf("%s: %s %v, not %v", sent.Get("response_type"), name, claims[name], want)
			}
		}
	}
	if access := got.Get("access_token"); access != "" {
		if status, _ := p.call("GET", p.w.issuer+"/userinfo", access, nil); status != 200 || got.Get("token_type") != "Bearer" {
			p.t.Errorf("the front-channel access token: %d %v", status, got)
		}
	}
	return got
}

// idToken proves an ID token by the published keys.
func (p *rp) idToken(raw, nonce string) (claims map[string]any) {
	p.t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
	if err != nil {
		p.t.Fatalf("%v: %s", err, raw)
	}
	keys := p.w.keySet(p.t).Key(parsed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		p.t.Fatalf("%d keys with the token's kid", len(keys))
	}
	check(json.Unmarshal(must(parsed.Verify(keys[0])), &claims))
	now := time.Now().Unix()
	if claims["iss"] != p.w.issuer || claims["aud"] != p.id || nonce != "" && claims["nonce"] != nonce || claims["exp"].(float64) <= float64(now) ||
		claims["iat"].(float64) > float64(now+60) || claims["sub"] == "" || claims["acr"] != signin.ACRPassword {
		p.t.Errorf("ID token %v", claims)
	}
	return claims
}

// keySet is what the server publishes now.
func (w *world) keySet(t *testing.T) *jose.JSONWebKeySet {
	t.Helper()
	set := &jose.JSONWebKeySet{}
	res, err := w.ca.httpClient().Get(w.issuer + "/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	check(json.Unmarshal(must(io.ReadAll(res.Body)), set))
	return set
}

// token asks the token endpoint, with the client's own way to prove who it is.
func (p *rp) token(form url.Values) (status int, doc map[string]any) {
	p.t.Helper()
	method, _ := p.doc["token_endpoint_auth_method"].(string)
	switch method {
	case "private_key_jwt":
		now := time.Now().Unix()
		kid := ""
		if p.doc["jwks_uri"] != nil {
			kid = p.kid()
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", p.sign(kid, map[string]any{"iss": p.id, "sub": p.id, "aud": p.w.issuer + "/token", "jti": rand.Text(), "iat": now, "nbf": now, "exp": now + 60}))
	case "client_secret_post":
		form.Set("client_id", p.id)
		form.Set("client_secret", p.secret)
	}
	req := must(http.NewRequest("POST", p.w.issuer+"/token", strings.NewReader(form.Encode())))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if method == "client_secret_basic" || method == "" {
		req.SetBasicAuth(url.QueryEscape(p.id), url.QueryEscape(p.secret))
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if !strings.Contains(res.Header.Get("Cache-Control"), "no-store") || res.Header.Get("Content-Type") != "application/json" {
		p.t.Errorf("headers %v", res.Header)
	}
	check(json.Unmarshal(must(io.ReadAll(res.Body)), &doc))
	return res.StatusCode, doc
}

// redeem exchanges a code.
func (p *rp) redeem(code string) (status int, doc map[string]any) {
	p.t.Helper()
	return p.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.base + "/callback"}})
}

// kid is the thumbprint of the key.
func (p *rp) kid() string {
	jwk := jose.JSONWebKey{Key: p.key.Public()}
	return base64.RawURLEncoding.EncodeToString(must(jwk.Thumbprint(crypto.SHA256)))
}

// everyClaim is a person about whom everything is known.
const everyClaim = `{"given_name":"Alice","family_name":"Ñandú","middle_name":"M","nickname":"al","preferred_username":"alice","profile":"https://alice.test/",
	"picture":"https://alice.test/p.png","website":"https://alice.test/","gender":"female","birthdate":"1990-01-31","zoneinfo":"Europe/Madrid","locale":"es-ES",
	"phone_number":"+34600000000","phone_number_verified":true,
	"address":{"formatted":"C/ Mayor 1","street_address":"C/ Mayor 1","locality":"Madrid","region":"M","postal_code":"28013","country":"ES"}}`

// TestConformance is what the OpenID Foundation's plans for providers ask, over TLS, of the program as it is run: with
// dynamically registered clients and with static ones.
func TestConformance(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { conformance(t, newWorld(t, "", true)) })
	t.Run("postgres", func(t *testing.T) { conformance(t, newWorld(t, storagetest.Postgres(t), true)) })
}

func conformance(t *testing.T, w *world) {
	w.env = append(w.env, "PASSPORT_OUTBOUND_ALLOW=localhost", "PASSPORT_SECURITY_CONTACT=mailto:security@passport.test", "PASSPORT_KEYSET_MAX_AGE=30s")
	w.start()
	w.account("alice@example.test", "a good long passphrase", "--name", "Alice Ñandú", "--claims", w.file("claims.json", everyClaim))
	initial := func(uses int) string {
		var made struct{ Token string }
		check(json.Unmarshal(w.command("client", "registration-token", "create", "--uses", fmt.Sprint(uses), "--json"), &made))
		return made.Token
	}
	token := initial(200)
	dynamic := func(t *testing.T, changes map[string]any) *rp {
		t.Helper()
		p := w.rp(t).register(token, changes)
		t.Cleanup(func() { // each module ends so
			if status, body := p.call("DELETE", p.doc["registration_client_uri"].(string), p.doc["registration_access_token"].(string), nil); status != http.StatusNoContent && !t.Failed() {
				t.Errorf("DELETE: %d %s", status, body)
			}
		})
		return p
	}
	// static is registered by the command: everything at once.
	static := func(t *testing.T) *rp {
		t.Helper()
		p := w.rp(t)
		p.id, p.secret = w.client(map[string]any{
			"client_name": "Static", "redirect_uris": []string{p.base + "/callback"}, "post_logout_redirect_uris": []string{p.base + "/post_logout_redirect"},
			"response_types": []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token", "none"},
			"grant_types":    []string{"authorization_code", "implicit", "refresh_token"}, "id_token_signed_response_alg": "RS256",
		}, "--require-pkce=false")
		return p
	}

	t.Run("config", func(t *testing.T) { w.config(t) })
	types := []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}
	for _, mode := range []string{"", "form_post"} {
		for _, responseType := range types {
			name := strings.TrimSpace(responseType + " " + mode)
			registered := map[string]any{"response_types": []string{responseType}}
			if responseType != "code" && !strings.HasPrefix(responseType, "code ") {
				registered["grant_types"] = []string{"implicit"}
			}
			t.Run("dynamic "+name, func(t *testing.T) { dynamic(t, registered).profile(w.person(), responseType, mode) })
			t.Run("static "+name, func(t *testing.T) { static(t).profile(w.person(), responseType, mode) })
		}
	}
	t.Run("dynamic", func(t *testing.T) { dynamicPlan(t, w, token, dynamic) })
	t.Run("logout", func(t *testing.T) { logoutPlan(t, w, dynamic) })
	t.Run("third-party-initiated", func(t *testing.T) {
		p := dynamic(t, map[string]any{"initiate_login_uri": "https://localhost:1/initiate_login"})
		status, body := p.call("GET", p.doc["registration_client_uri"].(string), p.doc["registration_access_token"].(string), nil)
		if status != 200 || !bytes.Contains(body, []byte(`"initiate_login_uri":"https://localhost:1/initiate_login"`)) {
			t.Errorf("%d %s", status, body)
		}
		if status, body = p.call("POST", w.issuer+"/connect/register", token, map[string]any{"redirect_uris": []string{p.base + "/callback"}, "initiate_login_uri": "http://localhost:1/x"}); status != 400 || !bytes.Contains(body, []byte("invalid_client_metadata")) {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("keys that rotate in the running server", func(t *testing.T) { rotate(t, w, static(t)) })
	w.stop()
	if strings.Contains(w.logs.String(), "DATA RACE") {
		t.Error(w.logs)
	}
}

// file writes one into the world's folder.
func (w *world) file(name, body string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	check(os.WriteFile(path, []byte(body), 0o600))
	return path
}

// config is the Config plan: discovery tells the truth.
func (w *world) config(t *testing.T) {
	client := w.ca.httpClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	get := func(address string) (*http.Response, []byte) {
		t.Helper()
		res, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res, must(io.ReadAll(res.Body))
	}
	res, body := get(w.issuer + "/.well-known/openid-configuration")
	var m map[string]any
	check(json.Unmarshal(body, &m))
	t.Run("Q001 Q002 every endpoint is https, ours, and answers", func(t *testing.T) {
		if m["issuer"] != w.issuer || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %v", m["issuer"], res.Header)
		}
		seen := 0
		for name, v := range m {
			if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" && name != "check_session_iframe" {
				continue
			}
			seen++
			address, _ := v.(string)
			if res, _ := get(address); !strings.HasPrefix(address, w.issuer+"/") || res.StatusCode == 404 || res.StatusCode >= 500 {
				t.Errorf("%s: %s answers %d", name, address, res.StatusCode)
			}
		}
		if seen != 11 {
			t.Errorf("%d endpoints", seen)
		}
		if _, other := get(w.issuer + "/.well-known/oauth-authorization-server"); !bytes.Equal(other, body) {
			t.Error("RFC 8414's document differs")
		}
	})
	t.Run("Q007 the key set", func(t *testing.T) {
		_, raw := get(m["jwks_uri"].(string))
		var set struct{ Keys []map[string]any }
		check(json.Unmarshal(raw, &set))
		kids := map[any]bool{}
		for _, k := range set.Keys {
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
				if k[private] != nil {
					t.Errorf("%s is published", private)
				}
			}
			for _, name := range []string{"n", "e", "x", "y"} {
				if s, ok := k[name].(string); ok && (strings.Contains(s, "=") || s == "") {
					t.Errorf("%s is not base64url without padding", name)
				}
			}
			kids[k["kid"]] = true
		}
		if len(kids) != len(set.Keys) || len(kids) < 4 {
			t.Errorf("%d keys, %d kids", len(set.Keys), len(kids))
		}
	})
	t.Run("Q086 TLS 1.2 at least, with forward secrecy and AEAD alone; HSTS", func(t *testing.T) {
		host := strings.TrimPrefix(w.issuer, "https://")
		_, port := must2(net.SplitHostPort(host))
		dial := func(low, high uint16, suites ...uint16) error {
			c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: w.ca.pool, ServerName: "passport.test", MinVersion: low, MaxVersion: high, CipherSuites: suites})
			if err == nil {
				_ = c.Close()
			}
			return err
		}
		if dial(tls.VersionTLS10, tls.VersionTLS11) == nil {
			t.Error("TLS 1.1 is spoken")
		}
		if dial(tls.VersionTLS12, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA) == nil {
			t.Error("CBC is spoken")
		}
		if err := dial(tls.VersionTLS12, tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256); err != nil {
			t.Error(err)
		}
		if err := dial(tls.VersionTLS13, tls.VersionTLS13); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(res.Header.Get("Strict-Transport-Security"), "max-age=") {
			t.Error("no HSTS")
		}
	})
	t.Run("well-known places", func(t *testing.T) {
		if res, body := get(w.issuer + "/.well-known/security.txt"); res.StatusCode != 200 || !bytes.Contains(body, []byte("Contact: mailto:security@passport.test\n")) || !bytes.Contains(body, []byte("Expires: ")) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if res, _ := get(w.issuer + "/.well-known/change-password"); res.StatusCode != 303 {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("what is not built yet answers 404", func(t *testing.T) {
		for _, path := range []string{"/bc-authorize", "/.well-known/openid-federation", "/.well-known/webfinger", "/.well-known/web-identity", "/fedcm/accounts", "/credential"} {
			if res, _ := get(w.issuer + path); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
		}
	})
	t.Run("Q044 what a flow knows reaches nobody by the Referer", func(t *testing.T) {
		for path, want := range map[string]string{"/login": "strict-origin", "/authorize?client_id=nobody": "strict-origin", "/jwks.json": "no-referrer", "/userinfo": "no-referrer"} {
			if res, _ := get(w.issuer + path); res.Header.Get("Referrer-Policy") != want {
				t.Errorf("%s: %q", path, res.Header.Get("Referrer-Policy"))
			}
		}
	})
	t.Run("Q083 pages with stable ids, that need no script", func(t *testing.T) {
		p := w.person()
		p.get(w.issuer + "/login")
		for id, hint := range map[string]string{"username": "username", "password": "current-password", "login-submit": ""} {
			el := p.byID(id)
			if el == nil || hint != "" && attr(el, "autocomplete") != hint {
				t.Errorf("#%s: %v", id, el)
			}
		}
		if p.submit("login-submit", map[string]string{"username": "alice@example.test", "password": "wrong wrong wrong"}); p.Status != 422 || !p.has("login-submit") {
			t.Errorf("a wrong password: %d", p.Status)
		}
		if p.get(w.issuer + "/nothing"); p.Status != 404 || !p.has("request-id") {
			t.Errorf("an error page: %d", p.Status)
		}
	})
	t.Run("Q085 limits are off for this network, fetches allowed to this host", func(t *testing.T) {
		p := w.person()
		for range 60 {
			p.get(w.issuer + "/authorize?client_id=nobody")
			if p.Status == http.StatusTooManyRequests {
				t.Fatal("limited")
			}
		}
	})
}

// profile is what the Basic, Implicit, Hybrid and Form Post plans ask of one response type.
func (p *rp) profile(who *person, responseType, mode string) {
	with := func(pairs ...string) map[string]string {
		m := map[string]string{"response_type": responseType, "response_mode": mode}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	t, code := p.t, strings.HasPrefix(responseType, "code")
	first := p.authorize(who, with())
	if first.Has("error") {
		t.Fatalf("%v", first)
	}
	// finish gives the last ID token and an access token.
	finish := func(got url.Values) (idToken, access string) {
		t.Helper()
		idToken, access = got.Get("id_token"), got.Get("access_token")
		if code {
			status, doc := p.redeem(got.Get("code"))
			if status != 200 {
				t.Fatalf("%d %v", status, doc)
			}
			idToken, _ = doc["id_token"].(string)
			access, _ = doc["access_token"].(string)
		}
		return idToken, access
	}
	idToken, access := finish(first)
	claims := p.idToken(idToken, "")
	if claims["name"] != nil || claims["email"] != nil {
		t.Errorf("what nobody asked for: %v", claims)
	}
	if access != "" {
		p.userinfo(access, claims["sub"])
	}
	for _, m := range []map[string]string{
		with("prompt", "none"), with("prompt", "none", "id_token_hint", idToken), with("prompt", "none", "max_age", "10000"),
	} {
		again, _ := finish(p.authorize(who, m))
		if c := p.idToken(again, ""); c["sub"] != claims["sub"] || c["auth_time"] != claims["auth_time"] {
			t.Errorf("%v: %v, before %v", m, c, claims)
		}
	}
	if got := p.authorize(p.w.person(), with("prompt", "none", "state", strings.Repeat("s", 124)+"-._~")); got.Get("error") != "login_required" {
		t.Errorf("%v", got)
	}
	for _, m := range []map[string]string{
		with("display", "page"), with("display", "popup"), with("login_hint", "buffy@passport.test"), with("ui_locales", "se"), with("claims_locales", "se"),
		with("extra", "foobar"), with("acr_values", signin.ACRPassword), with("scope", "email openid"),
	} {
		if got := p.authorize(who, m); got.Has("error") {
			t.Errorf("%v: %v", m, got)
		}
	}
	all := p.authorize(who, with("scope", "openid email phone address profile"))
	idToken, access = finish(all)
	p.everything(idToken, access)
	essential := with("claims", `{"userinfo":{"name":{"essential":true}}}`)
	if responseType == "id_token" {
		essential["claims"] = `{"id_token":{"name":{"essential":true}}}`
	}
	idToken, access = finish(p.authorize(who, essential))
	named := p.idToken(idToken, "")["name"] != nil
	if named != (responseType == "id_token") || access != "" && p.userinfo(access, nil)["name"] == nil {
		t.Errorf("claims.name: in the ID token %v", named)
	}
	if got := p.authorize(who, with("nonce", "")); got.Has("error") != strings.Contains(responseType, "id_token") {
		t.Errorf("without nonce: %v", got)
	}
	p.requestObject(who, with)
	if code {
		p.codes(who, with)
	}
}

// userinfo asks in the three ways, and demands one answer.
func (p *rp) userinfo(access string, sub any) (claims map[string]any) {
	p.t.Helper()
	for n, ask := range []func() *http.Request{
		func() *http.Request { return must(http.NewRequest("GET", p.w.issuer+"/userinfo", nil)) },
		func() *http.Request { return must(http.NewRequest("POST", p.w.issuer+"/userinfo", nil)) },
		func() *http.Request {
			return must(http.NewRequest("POST", p.w.issuer+"/userinfo", strings.NewReader(url.Values{"access_token": {access}}.Encode())))
		},
	} {
		req := ask()
		if n > 0 {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if n < 2 {
			req.Header.Set("Authorization", "Bearer "+access)
		}
		res, err := p.http.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		body := must(io.ReadAll(res.Body))
		res.Body.Close()
		claims = map[string]any{}
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &claims) != nil || sub != nil && claims["sub"] != sub {
			p.t.Errorf("%d: %d %s", n, res.StatusCode, body)
		}
	}
	return claims
}

// everything demands all standard claims, in their types, where they belong (requirements 55, 61, 62).
func (p *rp) everything(idToken, access string) {
	p.t.Helper()
	claims := p.idToken(idToken, "")
	if access != "" {
		for _, name := range []string{"email", "address", "phone_number", "given_name"} {
			if claims[name] != nil {
				p.t.Errorf("%s is in the ID token though there is an access token", name)
			}
		}
		claims = p.userinfo(access, claims["sub"])
	}
	for _, name := range []string{"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "email", "phone_number"} {
		if s, ok := claims[name].(string); !ok || s == "" {
			p.t.Errorf("%s: %v", name, claims[name])
		}
	}
	for _, name := range []string{"email_verified", "phone_number_verified"} {
		if claims[name] != true {
			p.t.Errorf("%s: %v", name, claims[name])
		}
	}
	if _, ok := claims["updated_at"].(float64); !ok {
		p.t.Errorf("updated_at: %v", claims["updated_at"])
	}
	if address, ok := claims["address"].(map[string]any); !ok || len(address) != 6 {
		p.t.Errorf("address: %v", claims["address"])
	}
}

// requestObject: unsigned ones, whose state and nonce stand inside alone.
func (p *rp) requestObject(who *person, with func(pairs ...string) map[string]string) {
	p.t.Helper()
	inside := map[string]any{"state": "inside", "nonce": "inside", "client_id": p.id, "scope": "openid", "redirect_uri": p.base + "/callback", "response_type": with()["response_type"]}
	if mode := with()["response_mode"]; mode != "" {
		inside["response_mode"] = mode
	}
	raw := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(inside))) + "."
	got := p.authorize(who, with("request", raw, "state", "", "nonce", ""))
	if got.Has("error") || got.Get("state") != "inside" {
		p.t.Errorf("a request object: %v", got)
	}
	if raw := got.Get("id_token"); raw != "" && p.idToken(raw, "")["nonce"] != "inside" {
		p.t.Error("the nonce of the request object is lost")
	}
}

// codes: reuse, refresh, PKCE.
func (p *rp) codes(who *person, with func(pairs ...string) map[string]string) {
	p.t.Helper()
	code := p.authorize(who, with()).Get("code")
	status, doc := p.redeem(code)
	access, _ := doc["access_token"].(string)
	if status != 200 || access == "" {
		p.t.Fatalf("%d %v", status, doc)
	}
	if status, doc := p.redeem(code); status != 400 || doc["error"] != "invalid_grant" {
		p.t.Errorf("used twice: %d %v", status, doc)
	}
	if status, _ := p.call("GET", p.w.issuer+"/userinfo", access, nil); status != 401 {
		p.t.Errorf("the access token of a code that was used twice: %d", status)
	}
	verifier := strings.Repeat("a.~-_Z09", 16)
	sum := sha256.Sum256([]byte(verifier))
	code = p.authorize(who, with("code_challenge_method", "S256", "code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))).Get("code")
	if status, doc := p.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.base + "/callback"}, "code_verifier": {verifier}}); status != 200 {
		p.t.Errorf("PKCE: %d %v", status, doc)
	}
	if grants, _ := p.doc["grant_types"].([]any); p.doc != nil && !slices.Contains(grants, any("refresh_token")) {
		return
	}
	status, doc = p.redeem(p.authorize(who, with("scope", "openid offline_access", "prompt", "consent")).Get("code"))
	refresh, _ := doc["refresh_token"].(string)
	if status != 200 || refresh == "" {
		p.t.Fatalf("offline_access: %d %v", status, doc)
	}
	before := p.idToken(doc["id_token"].(string), "")
	status, doc = p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"openid offline_access"}})
	if status != 200 {
		p.t.Fatalf("refresh: %d %v", status, doc)
	}
	after := p.idToken(doc["id_token"].(string), "")
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp"} {
		if before[name] != after[name] {
			p.t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
	p.userinfo(doc["access_token"].(string), before["sub"])
}

// dynamicPlan is the rest of the Dynamic plan, with private_key_jwt.
func dynamicPlan(t *testing.T, w *world, token string, dynamic func(*testing.T, map[string]any) *rp) {
	keyed := func(t *testing.T, changes map[string]any) *rp {
		t.Helper()
		all := map[string]any{"token_endpoint_auth_method": "private_key_jwt"}
		for name, v := range changes {
			all[name] = v
		}
		return dynamic(t, all)
	}
	t.Run("server", func(t *testing.T) { keyed(t, nil).profile(w.person(), "code", "") })
	t.Run("userinfo RS256", func(t *testing.T) {
		p := keyed(t, map[string]any{"userinfo_signed_response_alg": "RS256"})
		_, doc := p.redeem(p.authorize(w.person(), nil).Get("code"))
		status, body := p.call("GET", w.issuer+"/userinfo", doc["access_token"].(string), nil)
		parsed, err := jose.ParseSignedCompact(string(body), []jose.SignatureAlgorithm{jose.RS256})
		if status != 200 || err != nil {
			t.Fatalf("%d %v %s", status, err, body)
		}
		var claims map[string]any
		check(json.Unmarshal(must(parsed.Verify(w.keySet(t).Key(parsed.Signatures[0].Header.KeyID)[0])), &claims))
		if claims["iss"] != w.issuer || claims["aud"] != p.id || claims["nonce"] != nil || claims["sub"] == nil {
			t.Errorf("%v", claims)
		}
	})
	t.Run("redirect URIs", func(t *testing.T) {
		p := keyed(t, nil)
		who := w.person()
		for _, uri := range []string{"", p.base + "/callback?foo=bar", p.base + "/callback/x", "https://example.org/redirect"} {
			v := url.Values{"client_id": {p.id}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"}}
			if uri != "" {
				v.Set("redirect_uri", uri)
			}
			if who.get(w.issuer + "/authorize?" + v.Encode()); who.Status != 400 || !strings.HasPrefix(who.URL.String(), w.issuer) {
				t.Errorf("%q: at %s (%d)", uri, who.URL, who.Status)
			}
		}
		if status, body := p.call("POST", w.issuer+"/connect/register", token, map[string]any{"redirect_uris": []string{p.base + "/callback#foobar"}}); status != 400 || !bytes.Contains(body, []byte("invalid_redirect_uri")) {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("logo, policy and terms on the sign-in page", func(t *testing.T) {
		var logo bytes.Buffer
		check(png.Encode(&logo, image.NewGray(image.Rect(0, 0, 64, 64))))
		p := w.rp(t)
		p.put("/images/openid.png", logo.Bytes())
		p.register(token, map[string]any{"logo_uri": p.base + "/images/openid.png", "policy_uri": "https://localhost/login.html", "tos_uri": "https://openid.net"})
		who := w.person()
		who.get(w.issuer + "/authorize?" + url.Values{"client_id": {p.id}, "redirect_uri": {p.base + "/callback"}, "response_type": {"code"}, "scope": {"openid"}}.Encode())
		for _, want := range []string{`href="https://localhost/login.html"`, `href="https://openid.net"`, "/logo.png?v="} {
			if !who.has("login-submit") || !strings.Contains(who.Body, want) {
				t.Errorf("no %s at %s", want, who.URL)
			}
		}
		for n := range who.doc.Descendants() {
			if n.Data == "img" && attr(n, "class") == "logo" {
				if who.get(w.issuer + attr(n, "src")); who.Status != 200 || who.Header.Get("Content-Type") != "image/png" {
					t.Errorf("the logo: %d", who.Status)
				}
			}
		}
	})
	t.Run("jwks_uri, and its rotation", func(t *testing.T) {
		p := w.rp(t)
		uri := p.put("/client1_jwks", nil)
		p.put("/client1_jwks", p.jwks(p.kid()))
		p.register(token, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": nil, "jwks_uri": uri})
		who := w.person()
		status, doc := p.redeem(p.authorize(who, map[string]string{"scope": "openid offline_access", "prompt": "consent"}).Get("code"))
		refresh, _ := doc["refresh_token"].(string)
		if status != 200 || refresh == "" || len(p.calls("/client1_jwks")) != 1 {
			t.Fatalf("%d %v, %d fetches", status, doc, len(p.calls("/client1_jwks")))
		}
		// That the new key works a minute later is oidc's Q017: here a kid that is not there yet.
		p.key = must(rsa.GenerateKey(rand.Reader, 2048))
		p.put("/client1_jwks", p.jwks(p.kid()))
		if status, doc := p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); status != 401 || len(p.calls("/client1_jwks")) != 1 {
			t.Errorf("within the minute: %d %v, %d fetches", status, doc, len(p.calls("/client1_jwks")))
		}
	})
	t.Run("sector_identifier_uri", func(t *testing.T) {
		p := w.rp(t)
		uri := p.put("/redirect_uris.json", must(json.Marshal([]string{p.base + "/callback"})))
		p.register(token, map[string]any{"subject_type": "pairwise", "sector_identifier_uri": uri})
		if claims := p.idToken(second(p.redeem(p.authorize(w.person(), nil).Get("code")))["id_token"].(string), ""); len(claims["sub"].(string)) < 22 {
			t.Errorf("%v", claims)
		}
		p.put("/redirect_uris.json", []byte(`["https://example.com/op"]`))
		status, body := p.call("POST", w.issuer+"/connect/register", token, map[string]any{"redirect_uris": []string{p.base + "/callback"}, "subject_type": "pairwise", "sector_identifier_uri": uri})
		if status != 400 || !bytes.Contains(body, []byte("invalid_client_metadata")) {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("request_uri, with the hash of something else, unsigned and signed", func(t *testing.T) {
		for _, alg := range []string{"none", "RS256"} {
			p := w.rp(t)
			fragment := "#" + base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
			uri := p.base + "/requesturi/" + rand.Text() + fragment
			changes := map[string]any{"request_uris": []string{uri}}
			if alg != "none" {
				changes["request_object_signing_alg"] = alg
			}
			p.register(token, changes)
			inside := map[string]any{"state": "inside", "nonce": "inside", "client_id": p.id, "scope": "openid", "redirect_uri": p.base + "/callback", "response_type": "code"}
			raw := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(inside))) + "."
			if alg != "none" {
				inside["aud"], inside["iss"] = w.issuer, p.id
				raw = p.sign("", inside)
			}
			p.put(strings.TrimSuffix(strings.TrimPrefix(uri, p.base), fragment), []byte(raw))
			got := p.authorize(w.person(), map[string]string{"request_uri": uri, "state": "", "nonce": ""})
			if got.Get("state") != "inside" || !got.Has("code") {
				t.Errorf("%s: %v", alg, got)
			}
		}
	})
	t.Run("the assertion's audience is the issuer", func(t *testing.T) {
		p := keyed(t, nil)
		now := time.Now().Unix()
		v := url.Values{"grant_type": {"authorization_code"}, "code": {p.authorize(w.person(), nil).Get("code")}, "redirect_uri": {p.base + "/callback"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {p.sign("", map[string]any{"iss": p.id, "sub": p.id, "aud": w.issuer, "jti": rand.Text(), "iat": now, "exp": now + 60})}}
		res, err := p.http.PostForm(w.issuer+"/token", v)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("another client's refresh token", func(t *testing.T) {
		one, two := keyed(t, nil), keyed(t, nil)
		_, doc := two.redeem(two.authorize(w.person(), map[string]string{"scope": "openid offline_access", "prompt": "consent"}).Get("code"))
		theirs := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {doc["refresh_token"].(string)}}
		if status, doc := one.token(theirs); status != 400 || doc["error"] != "invalid_grant" {
			t.Errorf("%d %v", status, doc)
		}
		if status, doc := two.token(theirs); status != 200 {
			t.Errorf("its owner's goes on: %d %v", status, doc)
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

// logoutPlan is the RP-initiated and the back-channel plan; what needs frames is TestFrames.
func logoutPlan(t *testing.T, w *world, dynamic func(*testing.T, map[string]any) *rp) {
	state := ""
	for c := ' '; c <= '~'; c++ {
		state += string(c)
	}
	t.Run("RP-initiated", func(t *testing.T) {
		p, who := dynamic(t, nil), w.person()
		_, doc := p.redeem(p.authorize(who, nil).Get("code"))
		hint, _ := doc["id_token"].(string)
		leave := func(v url.Values) {
			t.Helper()
			who.stop = p.base + "/post_logout_redirect"
			if who.get(w.issuer + "/end_session?" + v.Encode()); who.has("logout-yes") {
				who.submit("logout-yes", nil)
			}
		}
		good := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {p.base + "/post_logout_redirect"}, "state": {state}}
		leave(good)
		if got := who.URL.Query(); !strings.HasPrefix(who.URL.String(), p.base+"/post_logout_redirect?") || len(got) != 1 || got.Get("state") != state {
			t.Errorf("at %s", who.URL)
		}
		if got := p.authorize(who, map[string]string{"prompt": "none"}); got.Get("error") != "login_required" {
			t.Errorf("Q073: %v", got)
		}
		parts := strings.Split(hint, ".")
		for name, change := range map[string][2]string{
			"bad hint": {"id_token_hint", p.sign("", map[string]any{"iss": p.id, "aud": w.issuer, "sub": "SubjectID"})}, "modified hint": {"id_token_hint", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."},
			"no hint": {"id_token_hint", ""}, "bad URI": {"post_logout_redirect_uri", p.base + "/bad"}, "query added": {"post_logout_redirect_uri", p.base + "/post_logout_redirect?foo=bar"}, "no URI": {"post_logout_redirect_uri", ""},
		} {
			v := url.Values{}
			for k, list := range good {
				v[k] = list
			}
			if v.Set(change[0], change[1]); change[1] == "" {
				v.Del(change[0])
			}
			leave(v)
			if !strings.HasPrefix(who.URL.String(), w.issuer) || who.Status >= 500 {
				t.Errorf("%s: at %s (%d)", name, who.URL, who.Status)
			}
		}
		for _, v := range []url.Values{{}, {"state": {state}}} {
			p.authorize(who, nil)
			leave(v)
			if who.URL.Path != "/logout/done" || who.Status != 200 {
				t.Errorf("%v: at %s (%d)", v, who.URL, who.Status)
			}
		}
	})
	t.Run("back-channel", func(t *testing.T) {
		p := w.rp(t)
		var made struct{ Token string }
		check(json.Unmarshal(w.command("client", "registration-token", "create", "--json"), &made))
		p.register(made.Token, map[string]any{"backchannel_logout_uri": p.base + "/backchannel_logout", "backchannel_logout_session_required": true})
		who := w.person()
		_, doc := p.redeem(p.authorize(who, nil).Get("code"))
		claims := p.idToken(doc["id_token"].(string), "")
		who.stop = p.base
		who.get(w.issuer + "/end_session?" + url.Values{"id_token_hint": {doc["id_token"].(string)}, "post_logout_redirect_uri": {p.base + "/post_logout_redirect"}}.Encode())
		eventually(t, "the site is told", func() bool { return len(p.calls("/backchannel_logout")) > 0 }, w.logs)
		call := p.calls("/backchannel_logout")[0]
		parsed, err := jose.ParseSignedCompact(call.PostForm.Get("logout_token"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil || len(call.PostForm) != 1 || call.TLS.Version != tls.VersionTLS13 {
			t.Fatalf("%v %v", err, call.PostForm)
		}
		var told map[string]any
		check(json.Unmarshal(must(parsed.Verify(w.keySet(t).Key(parsed.Signatures[0].Header.KeyID)[0])), &told))
		if told["sub"] != claims["sub"] || told["sid"] != claims["sid"] || told["sid"] == nil || told["aud"] != p.id || told["nonce"] != nil {
			t.Errorf("%v, ID token %v", told, claims)
		}
	})
}

// rotate: requirement 8, by the command, while the server runs.
func rotate(t *testing.T, w *world, p *rp) {
	kids := func() (list []string) {
		for _, k := range w.keySet(t).Keys {
			list = append(list, k.KeyID)
		}
		return list
	}
	who := w.person()
	_, doc := p.redeem(p.authorize(who, nil).Get("code"))
	hint, _ := doc["id_token"].(string)
	before := w.keySet(t)
	w.command("keys", "rotate", "--now", "--json")
	eventually(t, "the new keys are published", func() bool { return len(kids()) > len(before.Keys) })
	old := map[string]bool{}
	for _, k := range before.Keys {
		old[k.KeyID] = true
		if !slices.Contains(kids(), k.KeyID) {
			t.Errorf("the old key %s has gone", k.KeyID)
		}
	}
	for _, k := range w.keySet(t).Keys {
		if _, isRSA := k.Key.(*rsa.PublicKey); !old[k.KeyID] && !isRSA {
			if k.Algorithm == "EdDSA" {
				t.Error("a key of an algorithm that nobody uses was made")
			}
		}
	}
	_, doc = p.redeem(p.authorize(who, map[string]string{"prompt": "none", "id_token_hint": hint}).Get("code"))
	parsed := must(jose.ParseSignedCompact(doc["id_token"].(string), []jose.SignatureAlgorithm{jose.RS256}))
	if old[parsed.Signatures[0].Header.KeyID] {
		t.Error("the old key signs still")
	}
	p.idToken(doc["id_token"].(string), "")
}
