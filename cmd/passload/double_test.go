package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// double is a provider that can be told to lie, in one way at a time.
type double struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey
	other  *ecdsa.PrivateKey
	asked  atomic.Int64
	busy   chan struct{} // closed by the fiftieth request

	mu       sync.Mutex
	lie      string
	last     string                // access token
	nonce    string                // the first
	codes    map[string]url.Values // code → the request, and with it the user
	access   map[string]string     // → the user, as below
	refresh  map[string]string
	sessions map[string]string
	signedIn map[string]int // how often who did
	signedOn map[string]int // how often a code of theirs was redeemed
}

func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{t: t, busy: make(chan struct{}), codes: map[string]url.Values{}, access: map[string]string{}, refresh: map[string]string{},
		sessions: map[string]string{}, signedIn: map[string]int{}, signedOn: map[string]int{}}
	var err, err2 error
	d.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	d.other, err2 = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", d.discovery)
	mux.HandleFunc("GET /jwks", d.jwks)
	mux.HandleFunc("GET /authorize", d.authorize)
	mux.HandleFunc("POST /signin", d.signIn)
	mux.HandleFunc("POST /allow", d.allow)
	mux.HandleFunc("POST /token", d.token)
	mux.HandleFunc("POST /introspect", d.introspect)
	mux.HandleFunc("GET /userinfo", d.userinfo)
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.asked.Add(1) == 50 {
			close(d.busy)
		}
		switch d.lies() {
		case "429":
			http.Error(w, "oh", http.StatusTooManyRequests)
		case "500":
			http.Error(w, "oh", http.StatusInternalServerError)
		case "hang up":
			panic(http.ErrAbortHandler)
		case "silence":
			<-r.Context().Done()
		case "not JSON":
			fmt.Fprint(w, "<html>")
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(d.server.Close)
	return d
}

func (d *double) tell(lie string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lie = lie
}

func (d *double) lies() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lie
}

// or is the truth, unless this is the lie.
func (d *double) or(lie, truth, untruth string) string {
	if d.lies() == lie {
		return untruth
	}
	return truth
}

func (d *double) answer(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		d.t.Error(err)
	}
}

func (d *double) discovery(w http.ResponseWriter, _ *http.Request) {
	at := d.server.URL
	d.answer(w, map[string]any{
		"issuer": d.or("another issuer", at, "https://evil.test"), "authorization_endpoint": at + "/authorize", "token_endpoint": d.or("another endpoint", at, "https://evil.test") + "/token",
		"introspection_endpoint": at + "/introspect", "userinfo_endpoint": at + "/userinfo", "jwks_uri": at + "/jwks",
		"authorization_response_iss_parameter_supported": true,
	})
}

func (d *double) jwks(w http.ResponseWriter, _ *http.Request) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: d.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}}
	switch d.lies() {
	case "no keys":
		set.Keys = nil
	case "a key more":
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: d.other.Public(), KeyID: "2"})
	case "a private key":
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: d.other, KeyID: "2"})
	case "a symmetric key":
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: []byte("a secret of somebody else's, 32 bytes"), KeyID: "2"})
	case "kinds that nobody knows", "nothing but kinds that nobody knows", "a private key of a kind that nobody knows":
		raw := []any{
			map[string]string{"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AQ", "y": "AQ"}, map[string]string{"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AQ"},
			map[string]string{"kty": "\x1b[2J", "kid": "\x1b"}, map[string]string{"kty": "RSA", "kid": "broken"},
		}
		if d.lies() == "kinds that nobody knows" {
			raw = append(raw, set.Keys[0])
		}
		if d.lies() == "a private key of a kind that nobody knows" {
			raw = append(raw, map[string]string{"kty": "EC", "crv": "secp256k1", "kid": "\x1b", "x": "AQ", "y": "AQ", "d": "AQ"})
		}
		d.answer(w, map[string]any{"keys": raw})
		return
	case "another key":
		set.Keys[0].Key, set.Keys[0].KeyID = d.other.Public(), "2"
	case "another key of that kid":
		set.Keys[0].Key = d.other.Public()
	}
	d.answer(w, set)
}

func (d *double) authorize(w http.ResponseWriter, r *http.Request) {
	user := ""
	if cookie, err := r.Cookie("session"); err == nil {
		d.mu.Lock()
		user = d.sessions[cookie.Value]
		d.mu.Unlock()
	}
	switch {
	case d.lies() == "round and round":
		http.Redirect(w, r, r.URL.String(), http.StatusSeeOther)
	case d.lies() == "escapes in a path":
		http.Redirect(w, r, "/%1b[2J", http.StatusSeeOther)
	case d.lies() == "a strange page":
		fmt.Fprint(w, "<title>Are you human?</title><form><input name=captcha></form>")
	case user != "" && d.lies() == "login_required":
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?error=login_required&iss="+url.QueryEscape(d.server.URL)+"&state="+r.FormValue("state"), http.StatusSeeOther)
	case user == "" && d.lies() == "no password":
		d.back(w, r, r.URL.Query(), "alice")
	case user == "" || d.lies() == "signed out":
		// Another form, a hidden field of the same name as the user's, a box that is not ticked.
		fmt.Fprintf(w, `<!doctype html><title>Sign in</title><form action="/search"><input name=q></form>
			<form method="post" action="/signin"><input type=hidden name=back value="%s"><input name=user type=text>
			<input name=pass type=password><input type=checkbox name=keep value=1><button name=do value=in class="x go">Go</button></form>`, r.URL.RawQuery)
	default:
		d.back(w, r, r.URL.Query(), user)
	}
}

func (d *double) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("user") == "" || r.PostForm.Get("pass") != "open sesame" ||
		r.PostForm.Get("do") != "in" || r.PostForm.Has("keep") || d.lies() == "signed out" {
		fmt.Fprint(w, `<form method="post" action="/signin"><input name=user><input name=pass type=password></form>`)
		return
	}
	session := rand.Text()
	d.mu.Lock()
	d.sessions[session] = r.PostForm.Get("user")
	d.signedIn[r.PostForm.Get("user")]++
	d.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "session", Value: session, Path: "/"})
	back := r.PostForm.Get("back") + "&user=" + r.PostForm.Get("user")
	fmt.Fprintf(w, `<title>Allow?</title><form method="post" action="allow?%s"><button id="no" name="answer" value="no">No</button>
		<button id="yes" name="answer" value="yes">Yes</button></form>`, strings.ReplaceAll(back, "&", "&amp;"))
}

func (d *double) allow(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("answer") != "yes" {
		d.t.Errorf("consent: %v", r.PostForm)
	}
	d.back(w, r, r.URL.Query(), r.URL.Query().Get("user"))
}

func (d *double) back(w http.ResponseWriter, r *http.Request, asked url.Values, user string) {
	code := rand.Text()
	asked.Set("user", user)
	d.mu.Lock()
	d.codes[code] = asked
	d.mu.Unlock()
	to := url.Values{"code": {code}, "state": {d.or("state", asked.Get("state"), "of another")}, "iss": {d.or("iss", d.server.URL, "https://evil.test")}}
	switch d.lies() {
	case "no iss":
		to.Del("iss")
	case "no code":
		to.Del("code")
	case "denied":
		to.Del("code")
		to.Set("error", "access_denied")
	}
	http.Redirect(w, r, asked.Get("redirect_uri")+"?"+to.Encode(), http.StatusSeeOther)
}

func (d *double) token(w http.ResponseWriter, r *http.Request) {
	if d.lies() == "429 at the token endpoint" {
		http.Error(w, "oh", http.StatusTooManyRequests)
		return
	}
	id, secret, _ := r.BasicAuth()
	if err := r.ParseForm(); err != nil || id != "load" || secret != "s3cret" || d.lies() == "invalid_client" {
		w.WriteHeader(http.StatusUnauthorized)
		d.answer(w, map[string]string{"error": "invalid_client"})
		return
	}
	nonce, offline, good, user := "", false, true, ""
	d.mu.Lock()
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		asked := d.codes[r.PostForm.Get("code")]
		delete(d.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		good = asked != nil && asked.Get("code_challenge") == base64.RawURLEncoding.EncodeToString(sum[:]) && asked.Get("redirect_uri") == r.PostForm.Get("redirect_uri")
		nonce, offline, user = asked.Get("nonce"), strings.Contains(asked.Get("scope"), "offline_access"), asked.Get("user")
		d.signedOn[user]++
	case "refresh_token":
		user = d.refresh[r.PostForm.Get("refresh_token")]
		good, offline = user != "", true
		delete(d.refresh, r.PostForm.Get("refresh_token"))
	}
	d.mu.Unlock()
	if !good || d.lies() == "invalid_grant" {
		w.WriteHeader(http.StatusBadRequest)
		d.answer(w, map[string]string{"error": "invalid_grant", "error_description": "\x1b[2J no"})
		return
	}
	out := d.tokens(user, nonce, offline)
	if r.PostForm.Get("grant_type") == "refresh_token" {
		d.stay(out, user, r.PostForm.Get("refresh_token"))
	}
	d.answer(w, out)
}

// stay answers as one who does not rotate refresh tokens does.
func (d *double) stay(out map[string]any, user, refresh string) {
	switch d.lies() {
	case "the refresh token stays":
		out["refresh_token"] = refresh
	case "no next refresh_token":
		delete(out, "refresh_token")
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh[refresh] = user
}

func (d *double) tokens(user, nonce string, offline bool) map[string]any {
	d.mu.Lock()
	access := rand.Text()
	if d.lie == "the access token stays" {
		access = d.last
	}
	d.access[access], d.last = user, access
	d.mu.Unlock()
	out := map[string]any{"access_token": access, "token_type": d.or("token_type", "bearer", "mac"), "expires_in": 3600}
	if offline && d.lies() != "no refresh_token" {
		next := rand.Text()
		out["refresh_token"] = next
		d.mu.Lock()
		d.refresh[next] = user
		d.mu.Unlock()
	}
	switch d.lies() {
	case "scope":
		out["scope"] = "profile email"
	case "scope in another order":
		out["scope"] = "more offline_access openid"
	}
	if user != "" {
		out["id_token"] = d.idToken(user, nonce, access)
	}
	for _, name := range []string{"access_token", "id_token"} {
		if d.lies() == "no "+name {
			delete(out, name)
		}
	}
	return out
}

func (d *double) idToken(user, nonce, access string) string {
	now := time.Now()
	claims := map[string]any{
		"iss": d.or("iss of the ID token", d.server.URL, "https://evil.test"), "aud": []string{d.or("aud", "load", "another")},
		"sub": d.or("sub", user+"'s", "eve's"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"at_hash": leftHalf("ES256", d.or("at_hash", access, "another")),
	}
	if d.lies() == "the nonce of the first" {
		d.mu.Lock()
		if nonce != "" {
			d.nonce = nonce
		}
		nonce = d.nonce
		d.mu.Unlock()
	}
	if nonce != "" {
		claims["nonce"] = d.or("nonce", nonce, "of another")
	}
	switch d.lies() {
	case "expired":
		claims["exp"] = now.Add(-time.Hour).Unix()
	case "of the future":
		claims["iat"] = now.Add(time.Hour).Unix()
	case "no nonce":
		delete(claims, "nonce")
	case "nonce of another, where none need be":
		claims["nonce"] = "of another"
	case "azp alone":
		claims["azp"] = "another"
	case "azp":
		claims["aud"], claims["azp"] = []string{"load", "another"}, "another"
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		d.t.Error(err)
	}
	var signer jose.SigningKey
	switch d.lies() {
	case "alg none":
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	case "signature":
		signer = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: d.other, KeyID: "1"}}
	case "kid":
		signer = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: d.key, KeyID: "2"}}
	case "signed by a secret":
		signer = jose.SigningKey{Algorithm: jose.HS256, Key: []byte("a secret of somebody else's, 32 bytes")}
	default:
		signer = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: d.key, KeyID: "1"}}
	}
	s, err := jose.NewSigner(signer, nil)
	if err != nil {
		d.t.Error(err)
		return ""
	}
	signed, err := s.Sign(payload)
	if err != nil {
		d.t.Error(err)
		return ""
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		d.t.Error(err)
	}
	return raw
}

func (d *double) introspect(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	user, active := d.access[r.FormValue("token")]
	d.mu.Unlock()
	exp := time.Now().Add(time.Hour)
	if d.lies() == "exp of the introspection" {
		exp = time.Now().Add(-time.Hour)
	}
	d.answer(w, map[string]any{"active": active && d.lies() != "inactive", "client_id": d.or("client_id", "load", "another"),
		"iss": d.or("iss of the introspection", d.server.URL, "https://evil.test"),
		"sub": d.or("sub of the introspection", user+"'s", "eve's"), "exp": exp.Unix()})
}

func (d *double) userinfo(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	user := d.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	d.mu.Unlock()
	if user == "" || d.lies() == "invalid_token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	d.answer(w, map[string]any{"sub": d.or("sub of the userinfo", user+"'s", "eve's")})
}
