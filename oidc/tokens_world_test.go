package oidc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

// errDown is the database's answer while a test has it down.
var errDown = errors.New("the database is down: secret detail")

// moody is a store of which a test can take single calls down, and put something before them.
type moody struct {
	oidc.Store
	before func(call string) error
}

func (m *moody) ask(call string) error {
	if m.before == nil {
		return nil
	}
	return m.before(call)
}

func (m *moody) ReadCode(ctx context.Context, sig []byte) (grant.CodeRead, error) {
	if err := m.ask("ReadCode"); err != nil {
		return grant.CodeRead{}, err
	}
	return m.Store.ReadCode(ctx, sig)
}

func (m *moody) SpendCode(ctx context.Context, sig []byte, at time.Time) error {
	if err := m.ask("SpendCode"); err != nil {
		return err
	}
	return m.Store.SpendCode(ctx, sig, at)
}

func (m *moody) ReadSealed(ctx context.Context, accountID, grantID string) (grant.GrantRead, error) {
	if err := m.ask("ReadSealed"); err != nil {
		return grant.GrantRead{}, err
	}
	return m.Store.ReadSealed(ctx, accountID, grantID)
}

func (m *moody) SpendSealed(ctx context.Context, g grant.Grant) error {
	if err := m.ask("SpendSealed"); err != nil {
		return err
	}
	return m.Store.SpendSealed(ctx, g)
}

func (m *moody) Issue(ctx context.Context, is grant.Issuance) error {
	if err := m.ask("Issue"); err != nil {
		return err
	}
	return m.Store.Issue(ctx, is)
}

func (m *moody) Redeem(ctx context.Context, r grant.Redemption) error {
	if err := m.ask("Redeem"); err != nil {
		return err
	}
	return m.Store.Redeem(ctx, r)
}

func (m *moody) ReadGrant(ctx context.Context, id string) (grant.GrantRead, error) {
	if err := m.ask("ReadGrant"); err != nil {
		return grant.GrantRead{}, err
	}
	return m.Store.ReadGrant(ctx, id)
}

func (m *moody) Rotate(ctx context.Context, r grant.Rotation) error {
	if err := m.ask("Rotate"); err != nil {
		return err
	}
	return m.Store.Rotate(ctx, r)
}

func (m *moody) InsertToken(ctx context.Context, t grant.Token) error {
	if err := m.ask("InsertToken"); err != nil {
		return err
	}
	return m.Store.InsertToken(ctx, t)
}

func (m *moody) ReadToken(ctx context.Context, sig []byte) (grant.TokenRead, error) {
	if err := m.ask("ReadToken"); err != nil {
		return grant.TokenRead{}, err
	}
	return m.Store.ReadToken(ctx, sig)
}

func (m *moody) RevokeToken(ctx context.Context, sig []byte, id string, at time.Time) error {
	if err := m.ask("RevokeToken"); err != nil {
		return err
	}
	return m.Store.RevokeToken(ctx, sig, id, at)
}

func (m *moody) RevokeGrant(ctx context.Context, id string, at time.Time) error {
	if err := m.ask("RevokeGrant"); err != nil {
		return err
	}
	return m.Store.RevokeGrant(ctx, id, at)
}

// replica is a second server over the same database, with another engine; store answers for its grants.
func (w *world) replica(t testing.TB, store *moody, change func(*engine.Config)) *world {
	t.Helper()
	if store.Store == nil {
		store.Store = w.store
	}
	cfg := engine.Config{Issuer: issuer, Clients: w.clients, Store: store, Keys: w.ring, Now: w.now, Audit: w.store}
	if change != nil {
		change(&cfg)
	}
	next := &world{t: t, web: w.web, store: w.store, raw: w.raw, postgres: w.postgres, ring: w.ring, clients: w.clients,
		sessions: w.sessions, limits: w.limits}
	var err error
	if next.engine, err = engine.New(cfg); err != nil {
		t.Fatal(err)
	}
	next.provider, err = oidc.New(oidc.Config{
		Issuer: issuer, Engine: next.engine, Store: store, Clients: w.clients, Keys: w.ring, Sessions: w.sessions, Now: w.now,
		Limits: w.limits, ClientIP: clientIP, Languages: []string{"en", "es"},
		Pages: oidc.Pages{
			Error:    func(rw http.ResponseWriter, _ *http.Request, status int, _ string) { rw.WriteHeader(status) },
			FormPost: func(http.ResponseWriter, *http.Request, string, url.Values) {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, route := range next.provider.Routes() {
		mux.HandleFunc(route.Path, func(rw http.ResponseWriter, r *http.Request) {
			// An error after an answer is for the log alone.
			_ = route.Handler(rw, r)
		})
	}
	next.server = httptest.NewServer(mux)
	t.Cleanup(next.server.Close)
	return next
}

// site is a client with its secret, asking one server.
type site struct {
	*client.Client
	w      *world
	secret string
}

// site registers a client that skips consent: what these tests are about comes after it.
func (w *world) site(t testing.TB, change func(c *client.Client)) *site {
	t.Helper()
	c := client.Client{RequirePKCE: true, SkipConsent: true}
	c.Metadata.ClientName = "Site"
	c.Metadata.RedirectURIs = []string{redirect, withQuery}
	c.Metadata.ResponseTypes = []string{"code"}
	c.Metadata.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
	c.Metadata.TokenEndpointAuthMethod = client.MethodBasic
	c.Metadata.IDTokenSignedResponseAlg = "ES256"
	c.Metadata.Scope = "openid profile email address phone offline_access read write"
	if change != nil {
		change(&c)
	}
	made, secret, err := w.clients.Create(t.Context(), c, "")
	if err != nil {
		t.Fatal(err)
	}
	return &site{made, w, secret}
}

func public(c *client.Client) {
	c.Metadata.TokenEndpointAuthMethod = client.MethodNone
	c.Metadata.GrantTypes = []string{"authorization_code", "refresh_token"}
}

// at is the same client asking another server.
func (s *site) at(w *world) *site { return &site{s.Client, w, s.secret} }

func pairs(v url.Values, changes []string) url.Values {
	for i := 0; i < len(changes); i += 2 {
		if v.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			v.Del(changes[i])
		}
	}
	return v
}

func (s *site) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	return s.w.browser().do(t, s.request(t, path, form))
}

// request is a POST of the site's, authenticated.
func (s *site) request(t testing.TB, path string, form url.Values) *http.Request {
	t.Helper()
	if s.Public() {
		form.Set("client_id", s.ID)
	}
	req, err := http.NewRequest(http.MethodPost, s.w.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !s.Public() {
		req.SetBasicAuth(url.QueryEscape(s.ID), url.QueryEscape(s.secret))
	}
	return req
}

// code asks for a code in a browser that is signed in.
func (s *site) code(t testing.TB, b *browser, changes ...string) string {
	t.Helper()
	return b.authorize(t, to(s.Client, changes...)).code()
}

// rowed is a code that has a row: it ended an interaction.
func (s *site) rowed(t testing.TB, b *browser, changes ...string) string {
	t.Helper()
	return b.act(t, "approve", b.authorize(t, to(s.Client, append(changes, "prompt", "consent")...)).page("/consent")).code()
}

func (s *site) redeem(t testing.TB, code string, changes ...string) answer {
	t.Helper()
	return s.post(t, "/token", pairs(url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {redirect}, "code_verifier": {verifier}}, changes))
}

func (s *site) refresh(t testing.TB, token string, changes ...string) answer {
	t.Helper()
	return s.post(t, "/token", pairs(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, changes))
}

// signedIn is a browser in which somebody is signed in, and its account.
func (w *world) signedIn(t testing.TB, name string) (*browser, string) {
	t.Helper()
	account := w.person(name)
	b := w.browser()
	b.signIn(t, account, "")
	return b, account
}

// offline gets a whole token set.
func (s *site) offline(t testing.TB, b *browser) engine.TokenOutput {
	t.Helper()
	return s.redeem(t, s.code(t, b, "scope", "openid profile offline_access")).tokens()
}

// tokens expects a token answer (RFC 6749 §5.1).
func (a answer) tokens() (out engine.TokenOutput) {
	a.t.Helper()
	if a.status != http.StatusOK {
		a.t.Fatalf("%d %s, not tokens", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		a.t.Fatal(err)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		a.t.Errorf("headers of a token answer: %v", a.header)
	}
	opaque := strings.HasPrefix(out.AccessToken, "pp1a_") && len(out.AccessToken) == 48
	if !opaque && strings.Count(out.AccessToken, ".") != 2 || out.TokenType != "Bearer" || out.ExpiresIn < 1 {
		a.t.Errorf("token answer: %s", a.body)
	}
	return out
}

// fails expects a JSON error (RFC 6749 §5.2).
func (a answer) fails(status int, code string) {
	a.t.Helper()
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != status || e.Error != code {
		a.t.Fatalf("%d %s, not %d %s", a.status, a.body, status, code)
	}
	for _, r := range e.Description {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			a.t.Errorf("error_description has %q (RFC 6749 §5.2)", r)
		}
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("headers of an error: %v", a.header)
	}
	if status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
		a.t.Error("a 401 without WWW-Authenticate")
	}
	if status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
		a.t.Error("a 503 without Retry-After")
	}
	if strings.Contains(a.body, "secret detail") {
		a.t.Errorf("the answer tells what the database said: %s", a.body)
	}
}

// userinfo asks with a bearer token.
func (w *world) userinfo(t testing.TB, token string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.server.URL+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return w.browser().do(t, req)
}

// dead expects that a token opens nothing at /userinfo.
func (w *world) dead(t testing.TB, token string) {
	t.Helper()
	w.userinfo(t, token).fails(http.StatusUnauthorized, "invalid_token")
}

// idToken verifies an ID token by the key set's key that its header names, and gives header and claims.
func (w *world) idToken(t testing.TB, raw string) (header, claims map[string]any) {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(w.ring.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	found := set.Key(parsed.Signatures[0].Header.KeyID)
	if len(found) != 1 {
		t.Fatalf("%d published keys have the token's kid", len(found))
	}
	payload, err := parsed.Verify(found[0])
	if err != nil {
		t.Fatal(err)
	}
	head, err := base64.RawURLEncoding.DecodeString(raw[:strings.IndexByte(raw, '.')])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(head, &header), json.Unmarshal(payload, &claims)); err != nil {
		t.Fatal(err)
	}
	return header, claims
}
