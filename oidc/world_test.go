package oidc_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

const (
	issuer    = "http://localhost:8080"
	verifier  = "verifier-verifier-verifier-verifier-verifier"
	redirect  = "https://app.test/cb"
	withQuery = "https://app.test/cb?tenant=1&x=a%20b"
)

var challenge = func() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// world is the protocol over a real database and real HTTP; only the pages are stand-ins.
type world struct {
	t        testing.TB
	store    *storage.Store
	raw      *sql.DB
	postgres bool
	ring     *keys.Ring
	clients  *client.Registry
	sessions *session.Manager
	engine   *engine.Engine
	provider *oidc.Provider
	server   *httptest.Server
	limits   *limit.Limiter
	calls    *calls
	web      *web

	mu    sync.Mutex
	ahead time.Duration
}

// each runs fn on both databases, each in a world of its own.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newWorld(t, storagetest.SQLite(t))) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		t.Run("postgres", func(t *testing.T) { fn(t, newWorld(t, storagetest.Postgres(t))) })
	}
}

func newWorld(t testing.TB, dsn string) *world {
	t.Helper()
	w := &world{t: t, store: storagetest.Open(t, dsn)}
	w.must(w.store.Migrate(t.Context()))
	w.calls = &calls{Store: w.store}
	driver, source := "pgx", dsn
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	var err error
	w.postgres = driver == "pgx"
	w.raw, err = sql.Open(driver, source)
	w.must(err)
	t.Cleanup(func() { _ = w.raw.Close() })
	sealer, err := keys.NewSealer([]byte(strings.Repeat("s", 32)))
	w.must(err)
	w.ring, err = keys.Open(t.Context(), keys.Config{Store: w.store, Sealer: sealer, Now: w.now})
	w.must(err)
	w.web = newWeb(t)
	w.clients = client.NewRegistry(client.Config{Store: w.store, Now: w.now, Issuer: issuer, Keys: w.ring, Outbound: w.web.client})
	w.sessions, err = session.New(session.Config{Store: w.store, Issuer: issuer, Now: w.now})
	w.must(err)
	w.engine, err = engine.New(engine.Config{Issuer: issuer, Clients: w.clients, Store: w.calls, Keys: w.ring, Now: w.now})
	w.must(err)
	w.limits = limit.New(limit.Config{Store: w.store, HashKey: make([]byte, 32)})
	w.provider, err = oidc.New(oidc.Config{
		Issuer: issuer, Engine: w.engine, Store: w.calls, Clients: w.clients, Keys: w.ring, Sessions: w.sessions, Now: w.now,
		Limits: w.limits, ClientIP: clientIP, Audit: w.store, Outbound: w.web.client,
		Pages: oidc.Pages{
			Error: func(rw http.ResponseWriter, _ *http.Request, status int, key string) {
				rw.WriteHeader(status)
				fmt.Fprint(rw, key)
			},
			FormPost: func(rw http.ResponseWriter, _ *http.Request, action string, params url.Values) {
				fmt.Fprintf(rw, "form_post %s %s", action, params.Encode())
			},
		},
		Languages: []string{"en", "es"}, SecurityContact: "mailto:security@example.test", ACRValues: []string{"1"}, Registration: true,
	})
	w.must(err)
	w.server = httptest.NewServer(w.handler())
	t.Cleanup(w.server.Close)
	return w
}

// clientIP lets a test come from any network.
func clientIP(r *http.Request) netip.Addr {
	if ip, err := netip.ParseAddr(r.Header.Get("Test-IP")); err == nil {
		return ip
	}
	return netip.MustParseAddr("192.0.2.1")
}

// handler routes what the provider has, and stands in for the pages: /test/signin signs an account in and
// continues, as POST /login does; the others call what the pages call.
func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, methods []string, fn func(http.ResponseWriter, *http.Request) error) {
		for _, m := range methods {
			mux.HandleFunc(m+" "+path, func(rw http.ResponseWriter, r *http.Request) {
				if err := fn(rw, r); err != nil {
					http.Error(rw, "unanswered: "+err.Error(), http.StatusInternalServerError)
				}
			})
		}
	}
	for _, route := range w.provider.Routes() {
		handle(route.Path, route.Methods, route.Handler)
	}
	page := func(path string, fn func(http.ResponseWriter, *http.Request, string) error) {
		handle(path, []string{http.MethodPost}, func(rw http.ResponseWriter, r *http.Request) error {
			return fn(rw, r, r.PostFormValue("i"))
		})
	}
	p := w.provider
	page("/test/signin", func(rw http.ResponseWriter, r *http.Request, i string) error {
		in := session.SignIn{AccountID: r.PostFormValue("account"), AMR: []string{"pwd"}, ACR: "1", Keep: true}
		if i != "" {
			in.Event = oidc.InteractionHash(i)
		}
		login, err := w.sessions.SignIn(r.Context(), rw, r, in)
		if err != nil || i == "" {
			return err
		}
		return p.ContinueAs(rw, r, i, login)
	})
	page("/test/end", func(rw http.ResponseWriter, r *http.Request, _ string) error {
		_, err := w.sessions.EndBrowser(r.Context(), rw, r)
		return err
	})
	page("/test/leave", func(rw http.ResponseWriter, r *http.Request, _ string) error {
		b, err := w.sessions.Current(r.Context(), r)
		if err != nil {
			return err
		}
		return w.sessions.EndLogin(r.Context(), rw, r, b.Logins[0].ID)
	})
	page("/test/continue", func(rw http.ResponseWriter, r *http.Request, i string) error { return p.Choose(rw, r, i, "") })
	page("/test/approve", func(rw http.ResponseWriter, r *http.Request, i string) error {
		login := r.PostFormValue("login")
		if v, err := p.View(r.Context(), r, i); login == "" && err == nil && v.Login != nil {
			login = v.Login.ID // the page as it would be shown now
		}
		return p.Approve(rw, r, i, login)
	})
	page("/test/deny", p.Deny)
	page("/test/choose", func(rw http.ResponseWriter, r *http.Request, i string) error {
		return p.Choose(rw, r, i, r.PostFormValue("login"))
	})
	handle("/test/device", []string{http.MethodPost}, func(rw http.ResponseWriter, r *http.Request) error {
		err := p.Device(rw, r, r.PostFormValue("user_code"))
		if errors.Is(err, oidc.ErrNoDevice) || errors.Is(err, limit.ErrLimited) {
			fmt.Fprint(rw, err)
			return nil
		}
		return err
	})
	handle("/test/start", []string{http.MethodPost}, func(rw http.ResponseWriter, r *http.Request) error {
		c, err := w.clients.Get(r.Context(), r.PostFormValue("client"))
		if err != nil {
			return err
		}
		return p.Start(rw, r, c, r.PostFormValue("target_link_uri"))
	})
	page("/test/view", func(rw http.ResponseWriter, r *http.Request, i string) error {
		v, err := p.View(r.Context(), r, i)
		if err != nil {
			fmt.Fprint(rw, err)
			return nil
		}
		return json.NewEncoder(rw).Encode(v)
	})
	return mux
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().UTC().Add(w.ahead).Truncate(time.Microsecond)
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// exec runs SQL that both databases understand.
func (w *world) exec(format string, args ...any) {
	w.t.Helper()
	_, err := w.raw.ExecContext(w.t.Context(), fmt.Sprintf(format, args...))
	w.must(err)
}

func (w *world) count(format string, args ...any) (n int) {
	w.t.Helper()
	w.must(w.raw.QueryRowContext(w.t.Context(), "SELECT count(*) FROM "+fmt.Sprintf(format, args...)).Scan(&n))
	return n
}

// person makes an active account with a proven address; its sub is "sub-" and the name.
func (w *world) person(name string) (id string) {
	id = uuid.NewString()
	at := w.now().UnixMicro()
	w.exec(`INSERT INTO account (id, sub, state, name, created_at, updated_at) VALUES ('%s', 'sub-%s', 'active', '%s', %d, %d)`,
		id, name, name, at, at)
	w.exec(`INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at)
		VALUES ('%s', '%s', '%s@example.test', '%s@example.test', true, %d, %d)`, uuid.NewString(), id, name, name, at, at)
	return id
}

// client registers one; change may adjust it first.
func (w *world) client(change func(c *client.Client)) *client.Client {
	w.t.Helper()
	c := client.Client{ID: "client-" + uuid.NewString(), Name: "App", RequirePKCE: true, VerifiedAt: w.now()}
	c.Metadata.ClientName = "App"
	c.Metadata.RedirectURIs = []string{redirect, withQuery}
	c.Metadata.ResponseTypes = []string{"code"}
	c.Metadata.GrantTypes = []string{"authorization_code", "refresh_token"}
	c.Metadata.TokenEndpointAuthMethod = "client_secret_basic"
	c.Metadata.IDTokenSignedResponseAlg = "ES256"
	c.Metadata.Scope = "openid profile email offline_access"
	c.Metadata.ClientURI = "https://app.test/"
	if change != nil {
		change(&c)
	}
	made, _, err := w.clients.Create(w.t.Context(), c, "")
	w.must(err)
	return made
}

// browser is one browser: a cookie jar, no redirects followed.
type browser struct {
	w    *world
	http *http.Client
	ip   string
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	w.must(err)
	return &browser{w: w, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// answer is a response, read.
type answer struct {
	t        testing.TB
	status   int
	header   http.Header
	body     string
	location string
}

func (b *browser) do(t testing.TB, req *http.Request) answer {
	t.Helper()
	if b.ip != "" {
		req.Header.Set("Test-IP", b.ip)
	}
	res, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(body), "unanswered") {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	return answer{t, res.StatusCode, res.Header, string(body), res.Header.Get("Location")}
}

func (b *browser) get(t testing.TB, pathAndQuery string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.w.server.URL+pathAndQuery, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.do(t, req)
}

func (b *browser) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, b.w.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(t, req)
}

func (b *browser) authorize(t testing.TB, v url.Values) answer {
	t.Helper()
	return b.get(t, "/authorize?"+v.Encode())
}

// signIn signs an account in, outside (i empty) or inside a flow.
func (b *browser) signIn(t testing.TB, account, i string) answer {
	t.Helper()
	return b.post(t, "/test/signin", url.Values{"account": {account}, "i": {i}})
}

// act posts to one of the stand-ins with an i.
func (b *browser) act(t testing.TB, what, i string) answer {
	t.Helper()
	return b.post(t, "/test/"+what, url.Values{"i": {i}})
}

// to is a good request for a client, with changes as pairs; "" as a value drops the parameter.
func to(c *client.Client, changes ...string) url.Values {
	v := url.Values{
		"client_id": {c.ID}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid profile"},
		"state": {"s t+a/t=e"}, "nonce": {"n-1"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if v.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			v.Del(changes[i])
		}
	}
	return v
}

// page expects a redirect to one of our pages, and returns its i.
func (a answer) page(path string) (i string) {
	a.t.Helper()
	u, err := url.Parse(a.location)
	if a.status != http.StatusSeeOther || err != nil || u.Host != "" || u.Path != path || u.Query().Get("i") == "" {
		a.t.Fatalf("%d to %q (%s), not to the page %s", a.status, a.location, a.body, path)
	}
	return u.Query().Get("i")
}

// errorPage expects our own page with a message, and no redirect.
func (a answer) errorPage(status int, key string) {
	a.t.Helper()
	if a.status != status || a.body != key || a.location != "" {
		a.t.Fatalf("%d %q to %q, not the page %d %s", a.status, a.body, a.location, status, key)
	}
}

// response expects the client's redirect URI and returns the parameters that came with it.
func (a answer) response() url.Values {
	a.t.Helper()
	base, query, _ := strings.Cut(a.location, "?")
	v, err := url.ParseQuery(query)
	if a.status != http.StatusSeeOther || base != redirect || err != nil {
		a.t.Fatalf("%d to %q (%s), not to the client", a.status, a.location, a.body)
	}
	if got := v["iss"]; len(got) != 1 || got[0] != issuer {
		a.t.Errorf("R9: iss is %q", got)
	}
	return v
}

// fragment is response for an answer in the fragment.
func (a answer) fragment() url.Values {
	a.t.Helper()
	base, fragment, _ := strings.Cut(a.location, "#")
	v, err := url.ParseQuery(fragment)
	if a.status != http.StatusSeeOther || base != redirect || err != nil {
		a.t.Fatalf("%d to %q (%s), not to the client in a fragment", a.status, a.location, a.body)
	}
	if got := v["iss"]; len(got) != 1 || got[0] != issuer {
		a.t.Errorf("R9: iss is %q", got)
	}
	return v
}

// refused expects an error at the client.
func (a answer) refused(code string) url.Values {
	a.t.Helper()
	v := a.response()
	if v.Get("error") != code || v.Has("code") {
		a.t.Fatalf("the client got %v, not the error %s", v, code)
	}
	return v
}

// code expects a code at the client.
func (a answer) code() string {
	a.t.Helper()
	v := a.response()
	if v.Has("error") || len(v["code"]) != 1 || len(v.Get("code")) < 43 {
		a.t.Fatalf("the client got %v, not a code", v)
	}
	return v.Get("code")
}

// granted is what the database has of a code.
type granted struct {
	scopes, nonce, challenge, account, claims string
	offline                                   bool
	authTime                                  int64
}

func (w *world) grantOf(t testing.TB, code string) (g granted) {
	t.Helper()
	if body, sealed := strings.CutPrefix(code, "pp2c_"); sealed {
		return w.unsealed(t, body)
	}
	sum := sha256.Sum256([]byte(code))
	row := w.raw.QueryRowContext(t.Context(), `SELECT g.scopes, c.nonce, c.challenge, g.account_id, g.claims, g.offline, g.auth_time
		FROM code c JOIN authorization_grant g ON g.id = c.grant_id WHERE c.sig = `+w.blob(sum[:]))
	if err := row.Scan(&g.scopes, &g.nonce, &g.challenge, &g.account, &g.claims, &g.offline, &g.authTime); err != nil {
		t.Fatal(err)
	}
	return g
}

// unsealed reads a sealed code by what it is said to be, and not by the engine's own means.
func (w *world) unsealed(t testing.TB, body string) granted {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(body)
	w.must(err)
	mac := hmac.New(sha256.New, w.ring.Secret(keys.SecretToken))
	mac.Write(append([]byte("pp2c_"), b[:16]...))
	block, err := aes.NewCipher(mac.Sum(nil))
	w.must(err)
	aead, err := cipher.NewGCM(block)
	w.must(err)
	var s struct {
		A, Q, N, P string
		S          []string
		O          bool
		U          int64
	}
	rows, err := w.raw.QueryContext(t.Context(), "SELECT client_id FROM client")
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var id string
		w.must(rows.Scan(&id))
		if plain, err := aead.Open(nil, b[16:28], b[28:], []byte(id)); err == nil {
			w.must(json.Unmarshal(plain, &s))
			return granted{scopes: strings.Join(s.S, " "), nonce: s.N, challenge: s.P, account: s.A, claims: s.Q, offline: s.O, authTime: s.U * 1e6}
		}
	}
	t.Fatalf("no client can open the code: %v", rows.Err())
	return granted{}
}

// blob is b as both databases write it.
func (w *world) blob(b []byte) string {
	if w.postgres {
		return fmt.Sprintf(`'\x%x'::bytea`, b)
	}
	return fmt.Sprintf("x'%x'", b)
}

// freshCopy has the registry read a client again that a test changed behind its back.
func (w *world) freshCopy(t testing.TB, c *client.Client) *client.Client {
	t.Helper()
	w.exec(`UPDATE revision SET n = n + 1 WHERE topic = 'client'`)
	w.exec(`UPDATE client SET revision = (SELECT n FROM revision WHERE topic = 'client') WHERE client_id = '%s'`, c.ID)
	w.must(w.clients.Poll(t.Context()))
	fresh, err := w.clients.Get(t.Context(), c.ID)
	w.must(err)
	return fresh
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(s string) string {
	raw, _ := base64.RawURLEncoding.DecodeString(s)
	return string(raw)
}

func (w *world) sign(t testing.TB, alg string, claims map[string]any, typ string) string {
	t.Helper()
	key, err := w.ring.Signer(alg)
	w.must(err)
	signed, err := key.Sign(claims, typ)
	w.must(err)
	return signed
}

// calls notes what the protocol asks of the store, in order.
type calls struct {
	oidc.Store
	mu    sync.Mutex
	names []string
}

func (c *calls) note(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, name)
}

func (c *calls) reset() { c.names = nil }

func (c *calls) list() string { return strings.Join(c.names, " ") }

func (c *calls) ReadRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error) {
	c.note("ReadRequest")
	return c.Store.ReadRequest(ctx, session, clientID)
}

func (c *calls) SaveInteraction(ctx context.Context, i grant.Interaction) error {
	c.note("SaveInteraction")
	return c.Store.SaveInteraction(ctx, i)
}

func (c *calls) ReadInteraction(ctx context.Context, hash []byte) (grant.Interaction, error) {
	c.note("ReadInteraction")
	return c.Store.ReadInteraction(ctx, hash)
}

func (c *calls) Issue(ctx context.Context, is grant.Issuance) error {
	c.note("Issue")
	return c.Store.Issue(ctx, is)
}
