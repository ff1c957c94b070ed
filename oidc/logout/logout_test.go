package logout_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

const (
	issuer = "http://localhost:8080"
	back   = "https://app.test/bye?x=a%20b"
)

// world is the room over a real database and real HTTP; only the pages are stand-ins.
type world struct {
	t        *testing.T
	raw      *sql.DB
	store    *storage.Store
	ring     *keys.Ring
	clients  *client.Registry
	sessions *session.Manager
	queue    *outbox.Queue
	web      *web
	server   *httptest.Server
	ahead    time.Duration
}

func (w *world) now() time.Time {
	return time.Now().UTC().Add(w.ahead).Truncate(time.Microsecond)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func sid(loginID, clientID string) string { return "sid-" + loginID + clientID }

func newWorld(t *testing.T, dsn string) *world {
	w := &world{t: t, store: storagetest.Open(t, dsn)}
	w.must(w.store.Migrate(t.Context()))
	driver, source := "pgx", dsn
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	var err error
	w.raw, err = sql.Open(driver, source)
	w.must(err)
	t.Cleanup(func() { _ = w.raw.Close() })
	sealer, err := keys.NewSealer([]byte(strings.Repeat("s", 32)))
	w.must(err)
	w.ring, err = keys.Open(t.Context(), keys.Config{Store: w.store, Sealer: sealer, Now: w.now})
	w.must(err)
	w.clients = client.NewRegistry(client.Config{Store: w.store, Now: w.now, Issuer: issuer, Keys: w.ring})
	w.web = newWeb(t)
	w.queue = outbox.New(outbox.Config{Store: w.store, Sealer: sealer, Now: w.now, Logger: slog.New(slog.DiscardHandler)})
	notifier, err := logout.NewNotifier(logout.NotifierConfig{
		Issuer: issuer, Store: w.store, Clients: w.clients, Outbound: w.web.client, Queue: w.queue, Now: w.now, Logger: slog.New(slog.DiscardHandler),
	})
	w.must(err)
	w.sessions, err = session.New(session.Config{Store: w.store, Issuer: issuer, Now: w.now, Ended: notifier.Ended})
	w.must(err)
	show := func(name string) func(http.ResponseWriter, *http.Request, logout.View) {
		return func(rw http.ResponseWriter, _ *http.Request, v logout.View) {
			fmt.Fprintf(rw, "%s|%s|%s|%s", name, v.I, v.ClientName, v.Email)
			for _, a := range v.Accounts {
				fmt.Fprintf(rw, "|%s=%s", a.Email, a.Login)
			}
		}
	}
	l, err := logout.New(logout.Config{
		Issuer: issuer, Store: w.store, Clients: w.clients, Keys: w.ring, Sessions: w.sessions, SID: sid, Now: w.now,
		Pages: logout.Pages{
			Error: func(rw http.ResponseWriter, _ *http.Request, status int, key string) {
				rw.WriteHeader(status)
				fmt.Fprint(rw, key)
			},
			Confirm: show("confirm"),
			Done: func(rw http.ResponseWriter, _ *http.Request, v logout.Report) {
				rw.Header().Set("Test-Stay", string(v.Stay))
				fmt.Fprintf(rw, "out|%s|%s|%s|%s", v.To, v.ClientName, strings.Join(v.Frames, " "), v.Again)
				for _, s := range v.Sites {
					fmt.Fprintf(rw, "|%s=%s", s.Name, s.State)
				}
			},
		},
	})
	w.must(err)
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := fn(rw, r); err != nil {
				http.Error(rw, "unanswered: "+err.Error(), http.StatusInternalServerError)
			}
		})
	}
	for _, r := range l.Routes() {
		for _, m := range r.Methods {
			handle(m+" "+r.Path, r.Handler)
		}
	}
	handle("GET /logout", l.Ask)
	handle("POST /logout", func(rw http.ResponseWriter, r *http.Request) error {
		return l.Confirm(rw, r, r.PostFormValue("i"), r.PostFormValue("login"))
	})
	handle("POST /signin", func(rw http.ResponseWriter, r *http.Request) error {
		_, err := w.sessions.SignIn(r.Context(), rw, r, session.SignIn{AccountID: r.PostFormValue("account"), AMR: []string{"pwd"}, ACR: "1", Keep: r.PostFormValue("unkept") == ""})
		return err
	})
	handle("POST /elsewhere", func(rw http.ResponseWriter, r *http.Request) error {
		ended, err := w.sessions.EndOthers(r.Context(), r.PostFormValue("account"), r.PostFormValue("login"))
		here := r.PostFormValue("here")
		if err == nil && here != "" {
			err = w.sessions.EndLogin(r.Context(), rw, r, here)
		}
		if err != nil {
			return err
		}
		return l.Elsewhere(rw, r, ended, here)
	})
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) exec(format string, args ...any) {
	w.t.Helper()
	_, err := w.raw.ExecContext(context.Background(), fmt.Sprintf(format, args...))
	w.must(err)
}

func (w *world) person(name string) (id string) {
	id = uuid.NewString()
	w.exec(`INSERT INTO account (id, sub, state, name, created_at, updated_at) VALUES ('%s', 'sub-%s', 'active', '%s', 1, 1)`, id, name, name)
	w.exec(`INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at)
		VALUES ('%s', '%s', '%s@example.test', '%s@example.test', true, 1, 1)`, uuid.NewString(), id, name, name)
	return id
}

func (w *world) client(name string, changes ...func(m *client.Metadata)) *client.Client {
	c := client.Client{ID: name + "-" + uuid.NewString(), RequirePKCE: true}
	c.Metadata.ClientName = name
	c.Metadata.RedirectURIs = []string{"https://app.test/cb"}
	c.Metadata.PostLogoutRedirectURIs = []string{back, "https://app.test/plain"}
	c.Metadata.TokenEndpointAuthMethod = "client_secret_basic"
	for _, change := range changes {
		change(&c.Metadata)
	}
	made, _, err := w.clients.Create(w.t.Context(), c, "")
	w.must(err)
	return made
}

// live counts the logins of an account that have not ended.
func (w *world) live(account string) (n int) {
	w.t.Helper()
	w.must(w.raw.QueryRow("SELECT count(*) FROM login WHERE ended_at IS NULL AND account_id = '" + account + "'").Scan(&n))
	return n
}

func (w *world) loginID(account string) (id string) {
	w.t.Helper()
	w.must(w.raw.QueryRow("SELECT id FROM login WHERE ended_at IS NULL AND account_id = '" + account + "'").Scan(&id))
	return id
}

// hint is an ID token of ours, long expired; change may alter its claims.
func (w *world) hint(sub, audience string, change func(claims map[string]any)) string {
	w.t.Helper()
	claims := map[string]any{"iss": issuer, "sub": sub, "aud": audience, "iat": 1, "exp": 2}
	if change != nil {
		change(claims)
	}
	key, err := w.ring.Signer("RS256")
	w.must(err)
	signed, err := key.Sign(claims, "JWT")
	w.must(err)
	return signed
}

type browser struct {
	w    *world
	http *http.Client
}

func (w *world) browser(accounts ...string) *browser {
	jar, err := cookiejar.New(nil)
	w.must(err)
	b := &browser{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, a := range accounts {
		b.post("/signin", url.Values{"account": {a}})
	}
	return b
}

// session is what the database has of this browser's cookie.
func (b *browser) session() []byte {
	b.w.t.Helper()
	u, err := url.Parse(b.w.server.URL)
	b.w.must(err)
	r := httptest.NewRequest(http.MethodGet, b.w.server.URL, nil)
	for _, c := range b.http.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	return b.w.sessions.Hash(r)
}

type answer struct {
	b              *browser
	status         int
	body, location string
	header         http.Header
}

func (b *browser) do(req *http.Request) answer {
	b.w.t.Helper()
	res, err := b.http.Do(req)
	b.w.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.w.must(err)
	if strings.HasPrefix(string(body), "unanswered") {
		b.w.t.Fatalf("%s", body)
	}
	return answer{b, res.StatusCode, string(body), res.Header.Get("Location"), res.Header}
}

func (b *browser) get(path string, v url.Values) answer {
	b.w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.w.server.URL+path+"?"+v.Encode(), nil)
	b.w.must(err)
	return b.do(req)
}

func (b *browser) post(path string, v url.Values) answer {
	b.w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, b.w.server.URL+path, strings.NewReader(v.Encode()))
	b.w.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// asked expects the confirmation page and returns the token of its form.
func (a answer) asked(t *testing.T) (i string) {
	t.Helper()
	parts := strings.Split(a.body, "|")
	if a.status != 200 || parts[0] != "confirm" || parts[1] == "" {
		t.Fatalf("%d %q to %q, not the question", a.status, a.body, a.location)
	}
	return parts[1]
}

// done follows to the page that says it is done, and returns what it says.
func (a answer) done(t *testing.T) string {
	t.Helper()
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/logout/done?i=") {
		t.Fatalf("%d %q to %q, not to the page that says it is done", a.status, a.body, a.location)
	}
	u, err := url.Parse(a.location)
	a.b.w.must(err)
	page := a.b.get(u.Path, u.Query())
	if page.status != 200 || !strings.HasPrefix(page.body, "out|") {
		t.Fatalf("%d %q, not the page that says it is done", page.status, page.body)
	}
	return page.body
}

func (a answer) out(t *testing.T) {
	t.Helper()
	if to := strings.Split(a.done(t), "|")[1]; to != "" {
		t.Fatalf("it goes on to %q", to)
	}
}

func (a answer) to(t *testing.T, location string) {
	t.Helper()
	if a.status != http.StatusSeeOther || a.location != location {
		t.Fatalf("%d %q to %q, not to %q", a.status, a.body, a.location, location)
	}
}

func (a answer) page(t *testing.T, status int, key string) {
	t.Helper()
	if a.status != status || a.body != key {
		t.Fatalf("%d %q, not %d %s", a.status, a.body, status, key)
	}
}

func TestEndSession(t *testing.T) {
	run := func(t *testing.T, dsn string) { endSession(t, newWorld(t, dsn)) }
	t.Run("sqlite", func(t *testing.T) { run(t, storagetest.SQLite(t)) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		t.Run("postgres", func(t *testing.T) { run(t, storagetest.Postgres(t)) })
	}
}

func endSession(t *testing.T, w *world) {
	alice, bob := w.person("alice"), w.person("bob")
	app, other := w.client("App"), w.client("Other")
	proven := func(more ...string) url.Values {
		v := url.Values{"id_token_hint": {w.hint("sub-alice", app.ID, nil)}, "post_logout_redirect_uri": {back}, "state": {"s <&> t"}}
		for i := 0; i < len(more); i += 2 {
			if v.Set(more[i], more[i+1]); more[i+1] == "" {
				v.Del(more[i])
			}
		}
		return v
	}
	target := back + "&state=s+%3C%26%3E+t"

	t.Run("Q072 proven, by GET and POST, the hint long expired", func(t *testing.T) {
		b := w.browser(alice)
		b.get("/end_session", proven()).to(t, target)
		if w.live(alice) != 0 {
			t.Error("Q073: she is still signed in")
		}
		b = w.browser(alice)
		b.post("/end_session", proven("client_id", app.ID)).to(t, target)
		if w.live(alice) != 0 {
			t.Error("Q073: she is still signed in")
		}
		w.browser(alice).get("/end_session", proven("state", "")).to(t, back)
		w.browser(alice).get("/end_session", proven("post_logout_redirect_uri", "https://app.test/plain", "state", "x")).to(t, "https://app.test/plain?state=x")
	})
	t.Run("Q073 ended for every tab, and for every request that follows", func(t *testing.T) {
		b := w.browser(alice)
		read, err := w.store.ReadRequest(t.Context(), b.session(), app.ID)
		w.must(err)
		if len(read.Logins) != 1 {
			t.Fatalf("%d logins before", len(read.Logins))
		}
		session := b.session()
		b.get("/end_session", proven()).to(t, target)
		if read, err = w.store.ReadRequest(t.Context(), session, app.ID); err != nil || len(read.Logins) != 0 {
			t.Errorf("with the cookie of another tab: %v, %d logins", err, len(read.Logins))
		}
	})
	t.Run("Q072 a cross-site POST comes without the cookie", func(t *testing.T) {
		b, bare := w.browser(alice), w.browser()
		a := bare.post("/end_session", proven())
		if a.status != 303 || !strings.HasPrefix(a.location, "/end_session?i=") || a.header.Get("Set-Cookie") != "" || strings.Contains(a.location, proven().Get("id_token_hint")) {
			t.Fatalf("%d to %s", a.status, a.location)
		}
		u, err := url.Parse(a.location)
		w.must(err)
		b.get("/end_session", u.Query()).to(t, target)
		if w.live(alice) != 0 {
			t.Error("she is still signed in")
		}
	})
	t.Run("Q072 proven, and she is not signed in here", func(t *testing.T) {
		w.browser().get("/end_session", proven()).to(t, target)
		b := w.browser(bob)
		b.get("/end_session", proven()).to(t, target)
		if w.live(bob) != 1 {
			t.Error("another person was signed out")
		}
		b.get("/end_session", proven("post_logout_redirect_uri", "")).asked(t)
		b.post("/logout", url.Values{"i": {b.get("/logout", nil).asked(t)}}).out(t)
	})
	t.Run("Q072 only the hinted account of two ends", func(t *testing.T) {
		b := w.browser(alice, bob)
		b.get("/end_session", proven()).to(t, target)
		if w.live(alice) != 0 || w.live(bob) != 1 {
			t.Errorf("alice %d, bob %d", w.live(alice), w.live(bob))
		}
		b.post("/logout", url.Values{"i": {b.get("/logout", nil).asked(t)}}).out(t)
	})
	t.Run("the hint of another session of hers", func(t *testing.T) {
		b := w.browser(alice)
		with := func(sid string) url.Values {
			return proven("id_token_hint", w.hint("sub-alice", app.ID, func(c map[string]any) { c["sid"] = sid }))
		}
		i := b.get("/end_session", with("of her phone")).asked(t)
		if w.live(alice) != 1 {
			t.Error("she was signed out")
		}
		b.post("/logout", url.Values{"i": {i}}).to(t, target)
		b = w.browser(alice)
		b.get("/end_session", with(sid(w.loginID(alice), app.ID))).to(t, target)
	})
	t.Run("a hint that the client signed itself ends only what it has seen", func(t *testing.T) {
		c := client.Client{RequirePKCE: true}
		c.Metadata.ClientName, c.Metadata.RedirectURIs, c.Metadata.PostLogoutRedirectURIs = "HS", []string{"https://app.test/cb"}, []string{back}
		c.Metadata.IDTokenSignedResponseAlg = "HS256"
		made, secret, err := w.clients.Create(t.Context(), c, "")
		w.must(err)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}, nil)
		w.must(err)
		signed, err := signer.Sign([]byte(`{"iss":"` + issuer + `","sub":"sub-alice","aud":"` + made.ID + `"}`))
		w.must(err)
		hint, err := signed.CompactSerialize()
		w.must(err)
		b := w.browser(alice)
		b.get("/end_session", proven("id_token_hint", hint)).asked(t)
		if w.live(alice) != 1 {
			t.Fatal("signed out by a site where she never was")
		}
		w.visit(w.loginID(alice), made)
		b.get("/end_session", proven("id_token_hint", hint)).to(t, target)
		if w.live(alice) != 0 {
			t.Error("she is still signed in")
		}
	})
	t.Run("each sealed request is for one thing", func(t *testing.T) {
		b := w.browser(alice)
		w.visit(w.loginID(alice), app)
		i := b.get("/end_session", proven("id_token_hint", "", "client_id", app.ID)).asked(t)
		// The question's token tells nothing on the page that reports.
		if page := b.get("/logout/done", url.Values{"i": {i}}); page.body != "out||||" {
			t.Errorf("%q", page.body)
		}
		// The report's is no yes, and no wish.
		a := b.get("/end_session", proven("post_logout_redirect_uri", ""))
		u, err := url.Parse(a.location)
		w.must(err)
		b = w.browser(alice)
		b.get("/end_session", u.Query()).page(t, 400, "error.form")
		b.post("/logout", u.Query()).page(t, 400, "error.form")
		if w.live(alice) != 1 {
			t.Error("she was signed out")
		}
		// The question's, brought to another browser, is asked anew there: about whoever is here.
		there := w.browser(bob)
		there.get("/end_session", url.Values{"i": {i}}).asked(t)
		there.post("/logout", url.Values{"i": {i}}).asked(t)
		if w.live(bob) != 1 {
			t.Error("he was signed out by her question")
		}
		w.must(w.sessions.EndAll(t.Context(), alice, ""))
		w.must(w.sessions.EndAll(t.Context(), bob, ""))
	})
	t.Run("Q074 R14 nothing that is not proven and registered is redirected to", func(t *testing.T) {
		for name, v := range map[string]url.Values{ // the session is proven, and ends
			"added slash":       proven("post_logout_redirect_uri", "https://app.test/plain/"),
			"added query":       proven("post_logout_redirect_uri", "https://app.test/plain?x"),
			"less query":        proven("post_logout_redirect_uri", "https://app.test/bye"),
			"javascript":        proven("post_logout_redirect_uri", "javascript:alert(1)"),
			"protocol-relative": proven("post_logout_redirect_uri", "//evil.test"),
			"backslash":         proven("post_logout_redirect_uri", `https://app.test\@evil.test/`),
			"overlong state":    proven("state", strings.Repeat("x", 2049)),
		} {
			t.Log(name)
			w.browser(alice).get("/end_session", v).out(t)
		}
		b := w.browser(alice)
		parts := strings.Split(w.hint("sub-alice", app.ID, nil), ".")
		raw := base64.RawURLEncoding
		altered := raw.EncodeToString([]byte(`{"iss":"` + issuer + `","sub":"sub-alice","aud":"` + app.ID + `"}`))
		hint := func(change func(map[string]any)) url.Values {
			return proven("id_token_hint", w.hint("sub-alice", app.ID, change))
		}
		for name, v := range map[string]url.Values{ // nothing is proven: she is asked
			"another's hint":           proven("client_id", other.ID),
			"of no client":             hint(func(c map[string]any) { c["aud"] = "nobody" }),
			"wrong issuer":             hint(func(c map[string]any) { c["iss"] = "https://evil.test" }),
			"two audiences":            hint(func(c map[string]any) { c["aud"] = []string{app.ID, other.ID} }),
			"no audience":              hint(func(c map[string]any) { delete(c, "aud") }),
			"altered":                  proven("id_token_hint", parts[0]+"."+altered+"."+parts[2]),
			"altered, with client_id":  proven("id_token_hint", parts[0]+"."+altered+"."+parts[2], "client_id", app.ID),
			"unsigned":                 proven("id_token_hint", raw.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts[1]+"."),
			"garbage":                  proven("id_token_hint", "x"),
			"no means to know by whom": proven("id_token_hint", ""),
		} {
			t.Log(name)
			b.get("/end_session", v).asked(t)
			if w.live(alice) != 1 {
				t.Fatal("she was signed out without being asked")
			}
			// Even after a yes nobody is redirected.
			one := w.browser(bob)
			one.post("/logout", url.Values{"i": {one.get("/end_session", v).asked(t)}}).out(t)
		}
		two := proven("id_token_hint", w.hint("sub-alice", app.ID, func(c map[string]any) { c["aud"] = []string{app.ID, other.ID} }), "client_id", app.ID)
		b.get("/end_session", two).to(t, target)
	})
	t.Run("Q074 a client that is disabled meanwhile", func(t *testing.T) {
		gone := w.client("Gone")
		v := proven("id_token_hint", w.hint("sub-alice", gone.ID, nil))
		b := w.browser(alice)
		w.must(w.clients.Disable(t.Context(), gone.ID))
		b.get("/end_session", v).asked(t)
		if w.live(alice) != 1 {
			t.Error("she was signed out")
		}
		b.post("/logout", url.Values{"i": {b.get("/end_session", nil).asked(t)}}).out(t)
	})
	t.Run("client_id without a hint: asked, then redirected", func(t *testing.T) {
		v := proven("id_token_hint", "", "client_id", app.ID)
		b := w.browser(alice)
		i := b.get("/end_session", v).asked(t)
		if w.live(alice) != 1 {
			t.Error("she was signed out without being asked")
		}
		b.post("/logout", url.Values{"i": {i}}).to(t, target)
		if w.live(alice) != 0 {
			t.Error("she is still signed in")
		}
		w.browser().get("/end_session", v).out(t) // nobody here, nobody asked: no redirect
	})
	t.Run("Q075 B3 no parameters, or only state", func(t *testing.T) {
		for _, v := range []url.Values{nil, {"state": {"x"}}, {"ui_locales": {"es"}}} {
			b := w.browser(alice, bob)
			i := b.get("/end_session", v).asked(t)
			if w.live(alice) != 1 || w.live(bob) != 1 {
				t.Fatal("signed out without being asked")
			}
			b.post("/logout", url.Values{"i": {i}}).out(t)
			if w.live(alice) != 0 || w.live(bob) != 0 {
				t.Error("still signed in")
			}
			b.get("/end_session", v).out(t)
		}
	})
	t.Run("4.11 one of several accounts is chosen", func(t *testing.T) {
		b := w.browser(alice, bob)
		mine, his := w.loginID(alice), w.loginID(bob)
		page := b.get("/logout", nil)
		i := page.asked(t)
		for _, want := range []string{"|alice@example.test=" + mine, "|bob@example.test=" + his} {
			if !strings.Contains(page.body, want) {
				t.Errorf("no %q in %q", want, page.body)
			}
		}
		stranger := w.person("stranger")
		w.browser(stranger)
		b.post("/logout", url.Values{"i": {i}, "login": {w.loginID(stranger)}}).out(t)
		if w.live(alice) != 1 || w.live(bob) != 1 || w.live(stranger) != 1 {
			t.Error("a login of another browser was named, and somebody is signed out")
		}
		w.must(w.sessions.EndAll(t.Context(), stranger, ""))
		b.post("/logout", url.Values{"i": {i}, "login": {mine}}).out(t)
		if w.live(alice) != 0 || w.live(bob) != 1 {
			t.Errorf("alice %d, bob %d", w.live(alice), w.live(bob))
		}
		if page = b.get("/logout", nil); strings.Contains(page.body, his) {
			t.Errorf("who is alone has to choose: %q", page.body)
		}
		w.must(w.sessions.EndAll(t.Context(), bob, ""))
		// What the question was about is not widened by the form.
		b = w.browser(alice, bob)
		of := w.hint("sub-alice", app.ID, func(c map[string]any) { c["sid"] = "of her phone" })
		i = b.get("/end_session", proven("id_token_hint", of)).asked(t)
		b.post("/logout", url.Values{"i": {i}, "login": {w.loginID(bob)}}).to(t, target)
		if w.live(alice) != 0 || w.live(bob) != 1 {
			t.Errorf("alice %d, bob %d", w.live(alice), w.live(bob))
		}
		w.must(w.sessions.EndAll(t.Context(), bob, ""))
	})
	t.Run("4.11 the page tells who is still signed in here", func(t *testing.T) {
		for _, c := range []struct {
			accounts []string
			chosen   string
			stay     logout.Stay
		}{{[]string{alice}, "", logout.StayNobody}, {[]string{alice, bob}, "", logout.StayNobody}, {[]string{alice, bob}, alice, logout.StayOthers}} {
			b := w.browser(c.accounts...)
			login := ""
			if c.chosen != "" {
				login = w.loginID(c.chosen)
			}
			a := b.post("/logout", url.Values{"i": {b.get("/logout", nil).asked(t)}, "login": {login}})
			u, err := url.Parse(a.location)
			w.must(err)
			if stay := b.get(u.Path, u.Query()).header.Get("Test-Stay"); stay != string(c.stay) {
				t.Errorf("%v: %q, not %q", c, stay, c.stay)
			}
		}
		w.must(w.sessions.EndAll(t.Context(), bob, ""))
	})
	t.Run("B3 the form's token", func(t *testing.T) {
		b, mallory := w.browser(alice), w.browser(bob)
		i := mallory.get("/end_session", nil).asked(t)
		b.post("/logout", url.Values{"i": {i}}).asked(t) // mallory's yes is not alice's
		if w.live(alice) != 1 {
			t.Error("she was signed out by another browser's form")
		}
		for _, bad := range []string{"", "x", i + "x", "x" + i, strings.Replace(i, ".", "..", 1)} {
			b.post("/logout", url.Values{"i": {bad}}).page(t, 400, "error.form")
			if bad != "" {
				b.get("/end_session", url.Values{"i": {bad}}).page(t, 400, "error.form")
			}
		}
		mine := b.get("/end_session", nil).asked(t)
		w.ahead += 31 * time.Minute
		b.post("/logout", url.Values{"i": {mine}}).page(t, 400, "error.form")
		if w.live(alice) != 1 {
			t.Error("she was signed out by a stale form")
		}
		// A token that carries a proof is no way around the question: the proof is of the browser that has the login.
		b.post("/logout", url.Values{"i": {b.get("/logout", nil).asked(t)}}).out(t)
		mallory.post("/logout", url.Values{"i": {mallory.get("/logout", nil).asked(t)}}).out(t)
	})
	t.Run("whoever is signed out already is told so", func(t *testing.T) {
		b := w.browser(alice, bob)
		i := b.get("/end_session", proven("id_token_hint", w.hint("sub-alice", app.ID, func(c map[string]any) { c["sid"] = "of her phone" }))).asked(t)
		b.post("/logout", url.Values{"i": {i}}).to(t, target)
		b.post("/logout", url.Values{"i": {i}}).to(t, target) // the button pressed twice
		if w.live(alice) != 0 || w.live(bob) != 1 {
			t.Errorf("alice %d, bob %d", w.live(alice), w.live(bob))
		}
		b = w.browser(alice)
		answers := make([]answer, 8)
		var all sync.WaitGroup
		for n := range answers {
			all.Go(func() { answers[n] = b.get("/end_session", proven()) })
		}
		all.Wait()
		for _, a := range answers {
			a.to(t, target)
		}
	})
	t.Run("a login whose time is over is none, though its browser goes on", func(t *testing.T) {
		b := w.browser(alice)
		w.ahead += session.DefaultLifetime - time.Hour
		b.post("/signin", url.Values{"account": {bob}})
		w.ahead += 2 * time.Hour
		b.get("/end_session", proven()).to(t, target)
		b.get("/end_session", proven("post_logout_redirect_uri", "")).asked(t)
		of := w.hint("sub-alice", app.ID, func(c map[string]any) { c["sid"] = "of her phone" })
		if a := b.get("/end_session", proven("id_token_hint", of, "post_logout_redirect_uri", "")); strings.Contains(a.body, "alice") {
			t.Errorf("the question is about a login that is over: %s", a.body)
		}
		if w.live(bob) == 0 {
			t.Error("another person was signed out")
		}
	})
	t.Run("bad input", func(t *testing.T) {
		b := w.browser()
		good := proven()
		for name := range good {
			v := proven()
			v.Add(name, v.Get(name))
			b.get("/end_session", v).page(t, 400, "error.request_malformed")
			b.get("/end_session", proven(name, "a\x00")).page(t, 400, "error.request_malformed")
			b.get("/end_session", proven(name, "\xff")).page(t, 400, "error.request_malformed")
			b.post("/end_session", proven(name, strings.Repeat("x", 100<<10))).page(t, 413, "error.request_too_large")
			if a := b.get("/end_session", proven(name, strings.Repeat("x", 20<<10))); a.status != 414 {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		req, err := http.NewRequest(http.MethodPost, w.server.URL+"/end_session", strings.NewReader("x"))
		w.must(err)
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		b.do(req).page(t, 415, "error.request_malformed")
		state := strings.Repeat(`<"&`, 680)
		b.get("/end_session", proven("state", state)).to(t, back+"&"+url.Values{"state": {state}}.Encode())
		a := b.post("/end_session", proven("state", state))
		if len(a.location) > 16<<10 {
			t.Errorf("a URL of %d bytes", len(a.location))
		}
	})
}
