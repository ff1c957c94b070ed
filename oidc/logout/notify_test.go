package logout_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
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

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/storage/storagetest"
)

// web is where the sites of a test hear of sign-outs, over TLS.
type web struct {
	server *httptest.Server
	client *outbound.Client

	mu     sync.Mutex
	status map[string]int // by path; 0: 200; -1: the connection is cut
	held   map[string]chan struct{}
	heard  map[string][]*http.Request
}

func newWeb(t *testing.T) *web {
	t.Helper()
	w := &web{status: map[string]int{}, held: map[string]chan struct{}{}, heard: map[string][]*http.Request{}}
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // what is wrong with it shows in the form
		w.mu.Lock()
		w.heard[r.URL.Path] = append(w.heard[r.URL.Path], r)
		status, held := w.status[r.URL.Path], w.held[r.URL.Path]
		w.mu.Unlock()
		if held != nil {
			<-held
		}
		switch status {
		case 0:
		case -1:
			panic(http.ErrAbortHandler)
		default:
			rw.WriteHeader(status)
		}
		if strings.HasPrefix(r.URL.Path, "/long-") {
			_, _ = rw.Write([]byte(strings.Repeat("<p>A page</p>", 1<<16)))
		}
	}))
	t.Cleanup(w.server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.client, err = outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: ca, Issuer: issuer}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *web) answers(path string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status[path] = status
}

func (w *web) cut(path string) { w.answers(path, -1) }

// hold keeps the calls to a path waiting until release.
func (w *web) hold(path string) (release func()) {
	held := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[path] = held
	return sync.OnceFunc(func() { close(held) })
}

// until waits for what must come to be.
func (w *world) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within twenty seconds: %s", what)
		}
	}
}

func (w *web) calls(path string) []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.heard[path])
}

// tellable has a client be told, server to server, at a path of the test's web; with its session id.
func (w *world) tellable(name, path string, changes ...func(m *client.Metadata)) *client.Client {
	return w.client(name, append([]func(m *client.Metadata){func(m *client.Metadata) {
		m.BackchannelLogoutURI, m.BackchannelLogoutSessionRequired = w.web.server.URL+path, true
	}}, changes...)...)
}

// visit notes that a login was used at a site.
func (w *world) visit(login string, c *client.Client) {
	w.t.Helper()
	w.exec(`INSERT INTO login_client (login_id, client_id, sid, first_at, last_at) VALUES ('%s', '%s', '%s', 1, 1)`, login, c.ID, sid(login, c.ID))
}

// leaves signs her out by our own page, and gives the address of the page that says so.
func (b *browser) leaves(t *testing.T) string {
	t.Helper()
	a := b.post("/logout", url.Values{"i": {b.get("/logout", nil).asked(t)}})
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/logout/done?i=") {
		t.Fatalf("%d to %q", a.status, a.location)
	}
	return a.location
}

// shows opens the page that says so: the rest after "out|".
func (b *browser) shows(t *testing.T, location string) (to, name, frames, again string, sites []string) {
	t.Helper()
	u, err := url.Parse(location)
	b.w.must(err)
	a := b.get(u.Path, u.Query())
	parts := strings.Split(a.body, "|")
	if a.status != 200 || len(parts) < 5 || parts[0] != "out" {
		t.Fatalf("%d %q", a.status, a.body)
	}
	sites = parts[5:]
	slices.Sort(sites)
	return parts[1], parts[2], parts[3], parts[4], sites
}

// logoutToken proves a logout token as a site does, and gives header and claims.
func (w *world) logoutToken(t *testing.T, raw string) (header, claims map[string]any) {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
	if err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	var set jose.JSONWebKeySet
	w.must(json.Unmarshal(w.ring.KeySet(), &set))
	keys := set.Key(parsed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("no key has the token's kid %q", parsed.Signatures[0].Header.KeyID)
	}
	payload, err := parsed.Verify(keys[0])
	w.must(err)
	w.must(json.Unmarshal(payload, &claims))
	header = map[string]any{"alg": parsed.Signatures[0].Header.Algorithm, "typ": parsed.Signatures[0].Header.ExtraHeaders["typ"]}
	return header, claims
}

func (w *world) deliver() {
	w.t.Helper()
	_, err := w.queue.RunDue(context.Background())
	w.must(err)
}

// TestNotify: section L of the requirements and case S4.
func TestNotify(t *testing.T) {
	run := func(t *testing.T, dsn string) { notify(t, newWorld(t, dsn)) }
	t.Run("sqlite", func(t *testing.T) { run(t, storagetest.SQLite(t)) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		t.Run("postgres", func(t *testing.T) { run(t, storagetest.Postgres(t)) })
	}
}

func notify(t *testing.T, w *world) {
	alice := w.person("alice")

	t.Run("Q078 Q079 S4 every site is told, by POST with the one parameter", func(t *testing.T) {
		one := w.tellable("One", "/one")
		two := w.tellable("Two", "/two", func(m *client.Metadata) { m.IDTokenSignedResponseAlg = "ES256" })
		plain := w.tellable("Plain", "/plain", func(m *client.Metadata) { m.BackchannelLogoutSessionRequired = false })
		unvisited := w.tellable("Unvisited", "/unvisited")
		b := w.browser(alice)
		login := w.loginID(alice)
		for _, c := range []*client.Client{one, two, plain} {
			w.visit(login, c)
		}
		b.leaves(t)
		if len(w.web.calls("/one")) != 0 {
			t.Error("the person was kept waiting")
		}
		w.deliver()
		for _, c := range []struct {
			client *client.Client
			path   string
			alg    string
			sid    any
		}{{one, "/one", "RS256", sid(login, one.ID)}, {two, "/two", "ES256", sid(login, two.ID)}, {plain, "/plain", "RS256", nil}} {
			calls := w.web.calls(c.path)
			if len(calls) != 1 {
				t.Fatalf("%s was told %d times", c.client.Name, len(calls))
			}
			r := calls[0]
			if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(r.PostForm) != 1 || len(r.URL.RawQuery) != 0 {
				t.Errorf("%s %v %v", r.Method, r.Header, r.PostForm)
			}
			header, claims := w.logoutToken(t, r.PostForm.Get("logout_token"))
			if header["alg"] != c.alg || header["typ"] != "logout+jwt" {
				t.Errorf("%v", header)
			}
			events, err := json.Marshal(claims["events"])
			if err != nil || string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
				t.Errorf("events %s", events)
			}
			if claims["iss"] != issuer || claims["aud"] != c.client.ID || claims["sub"] != "sub-alice" || claims["sid"] != c.sid ||
				claims["nonce"] != nil || claims["jti"] == "" || claims["exp"].(float64)-claims["iat"].(float64) > 120 {
				t.Errorf("%v", claims)
			}
		}
		if len(w.web.calls("/unvisited")) != 0 {
			t.Errorf("%s was told of somebody who never was there", unvisited.Name)
		}
		w.deliver()
		if len(w.web.calls("/one")) != 1 {
			t.Error("told twice")
		}
	})
	t.Run("Q079 a pairwise client hears of its own subject", func(t *testing.T) {
		c := w.tellable("Pairwise", "/pairwise", func(m *client.Metadata) { m.SubjectType = "pairwise" })
		b := w.browser(alice)
		w.visit(w.loginID(alice), c)
		b.leaves(t)
		w.deliver()
		_, claims := w.logoutToken(t, w.web.calls("/pairwise")[0].PostForm.Get("logout_token"))
		if claims["sub"] != w.clients.Subject(c, "sub-alice") || claims["sub"] == "sub-alice" {
			t.Errorf("%v", claims)
		}
	})
	t.Run("Q079 HS256 with the client's secret", func(t *testing.T) {
		c := client.Client{ID: "hs256", RequirePKCE: true}
		c.Metadata.ClientName, c.Metadata.RedirectURIs = "HS", []string{"https://app.test/cb"}
		c.Metadata.IDTokenSignedResponseAlg, c.Metadata.BackchannelLogoutURI = "HS256", w.web.server.URL+"/hs"
		made, secret, err := w.clients.Create(t.Context(), c, "")
		w.must(err)
		b := w.browser(alice)
		w.visit(w.loginID(alice), made)
		b.leaves(t)
		w.deliver()
		parsed, err := jose.ParseSignedCompact(w.web.calls("/hs")[0].PostForm.Get("logout_token"), []jose.SignatureAlgorithm{jose.HS256})
		w.must(err)
		if _, err := parsed.Verify([]byte(secret)); err != nil {
			t.Error(err)
		}
	})
	t.Run("Q078 S4 a site that does not answer is told later; who was told is not told again", func(t *testing.T) {
		up, down := w.tellable("Up", "/up"), w.tellable("Down", "/down")
		b := w.browser(alice)
		for _, c := range []*client.Client{up, down} {
			w.visit(w.loginID(alice), c)
		}
		w.web.answers("/down", http.StatusServiceUnavailable)
		done := b.leaves(t)
		_, _, _, again, sites := b.shows(t, done)
		if !slices.Contains(sites, "Up=trying") || !slices.Contains(sites, "Down=trying") || again == "" {
			t.Errorf("%v %q", sites, again)
		}
		w.deliver()
		_, _, _, again, sites = b.shows(t, again)
		if !slices.Contains(sites, "Up=told") || !slices.Contains(sites, "Down=missed") || again == "" {
			t.Errorf("%v %q", sites, again)
		}
		first := w.web.calls("/down")[0].PostForm.Get("logout_token")
		w.web.answers("/down", http.StatusNoContent)
		w.ahead += time.Hour
		w.deliver()
		if n := len(w.web.calls("/down")); n != 2 {
			t.Errorf("the one that was down was told %d times", n)
		} else if w.web.calls("/down")[1].PostForm.Get("logout_token") == first {
			t.Error("with the token of the first time, which has expired")
		}
		if n := len(w.web.calls("/up")); n != 1 {
			t.Errorf("the other %d times", n)
		}
	})
	t.Run("a site that refuses is not asked again", func(t *testing.T) {
		c := w.tellable("No", "/no")
		b := w.browser(alice)
		w.visit(w.loginID(alice), c)
		w.web.answers("/no", http.StatusBadRequest)
		done := b.leaves(t)
		w.deliver()
		w.ahead += time.Minute
		w.deliver()
		if n := len(w.web.calls("/no")); n != 1 {
			t.Errorf("%d times", n)
		}
		if _, _, _, again, sites := b.shows(t, done); !slices.Contains(sites, "No=cannot") || again != "" {
			t.Errorf("%v %q", sites, again)
		}
	})
	t.Run("S4 what a site answers is not read: a long page is a yes or a no like any other", func(t *testing.T) {
		b := w.browser(alice)
		for path, status := range map[string]int{"/long-yes": http.StatusOK, "/long-no": http.StatusNotFound} {
			w.visit(w.loginID(alice), w.tellable(path[1:], path))
			w.web.answers(path, status)
		}
		done := b.leaves(t)
		w.deliver()
		w.ahead += time.Minute
		w.deliver()
		if _, _, _, _, sites := b.shows(t, done); !slices.Contains(sites, "long-yes=told") || !slices.Contains(sites, "long-no=cannot") {
			t.Errorf("%v", sites)
		}
		if yes, no := len(w.web.calls("/long-yes")), len(w.web.calls("/long-no")); yes != 1 || no != 1 {
			t.Errorf("told %d and %d times", yes, no)
		}
	})
	t.Run("S1 a backchannel_logout_uri that is nobody's business", func(t *testing.T) {
		c := w.client("Inside", func(m *client.Metadata) { m.BackchannelLogoutURI = "https://10.0.0.1/out" })
		self := w.client("Self", func(m *client.Metadata) { m.BackchannelLogoutURI = "https://169.254.169.254/" })
		b := w.browser(alice)
		w.visit(w.loginID(alice), c)
		w.visit(w.loginID(alice), self)
		done := b.leaves(t)
		w.deliver()
		if _, _, _, _, sites := b.shows(t, done); !slices.Contains(sites, "Inside=cannot") || !slices.Contains(sites, "Self=cannot") {
			t.Errorf("%v", sites)
		}
	})
	t.Run("the account, and the client, are gone before the site is told", func(t *testing.T) {
		c, deleted := w.tellable("Late", "/late"), w.tellable("Deleted", "/deleted")
		bob := w.person("bob")
		w.browser(bob)
		login := w.loginID(bob)
		w.visit(login, c)
		w.visit(login, deleted)
		w.must(w.sessions.EndAll(t.Context(), bob, ""))
		w.exec(`DELETE FROM address WHERE account_id = '%s'`, bob)
		w.exec(`DELETE FROM login WHERE account_id = '%s'`, bob)
		w.exec(`DELETE FROM account WHERE id = '%s'`, bob)
		w.must(w.clients.Delete(t.Context(), deleted.ID))
		w.deliver()
		calls := w.web.calls("/late")
		if len(calls) != 1 || len(w.web.calls("/deleted")) != 0 {
			t.Fatalf("%d and %d calls", len(calls), len(w.web.calls("/deleted")))
		}
		if _, claims := w.logoutToken(t, calls[0].PostForm.Get("logout_token")); claims["sub"] != "sub-bob" {
			t.Errorf("%v", claims)
		}
	})
	t.Run("only the login that ended is told of", func(t *testing.T) {
		c, carol := w.tellable("Both", "/both"), w.person("carol")
		b := w.browser(alice, carol)
		w.visit(w.loginID(alice), c)
		w.visit(w.loginID(carol), c)
		b.get("/end_session", url.Values{"id_token_hint": {w.hint("sub-alice", c.ID, nil)}})
		w.deliver()
		calls := w.web.calls("/both")
		if len(calls) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		if _, claims := w.logoutToken(t, calls[0].PostForm.Get("logout_token")); claims["sub"] != "sub-alice" {
			t.Errorf("%v", claims)
		}
		w.must(w.sessions.EndAll(t.Context(), carol, ""))
	})
	t.Run("what ends because another account is kept here is told of", func(t *testing.T) {
		c, dora, emil := w.tellable("Shared", "/shared"), w.person("dora"), w.person("emil")
		b := w.browser()
		b.post("/signin", url.Values{"account": {dora}, "unkept": {"1"}})
		w.visit(w.loginID(dora), c)
		b.post("/signin", url.Values{"account": {emil}, "unkept": {"1"}})
		w.deliver()
		if n := len(w.web.calls("/shared")); n != 0 || w.live(dora) != 1 {
			t.Fatalf("told %d times of a login that lives: %d", n, w.live(dora))
		}
		b.post("/signin", url.Values{"account": {emil}})
		w.deliver()
		if n := len(w.web.calls("/shared")); n != 1 || w.live(dora) != 0 {
			t.Errorf("told %d times; %d live", n, w.live(dora))
		}
		w.must(w.sessions.EndAll(t.Context(), emil, ""))
	})
	t.Run("a login whose lifetime is over was ended by nobody: no site is told", func(t *testing.T) {
		c, erin := w.tellable("Old", "/old"), w.person("erin")
		b := w.browser(erin)
		login := w.loginID(erin)
		w.visit(login, c)
		w.ahead += 15 * 24 * time.Hour
		b.post("/signin", url.Values{"account": {alice}}) // the browser lives on
		w.ahead += 16 * 24 * time.Hour
		b.post("/signin", url.Values{"account": {w.person("finn")}})
		if n := w.live(erin); n != 0 {
			t.Fatalf("%d logins of hers live", n)
		}
		w.deliver()
		if n := len(w.web.calls("/old")); n != 0 {
			t.Errorf("told %d times", n)
		}
		w.must(w.sessions.EndAll(t.Context(), alice, ""))
	})
	t.Run("S4 a site that does not answer is left alone for a while, and holds up nobody", func(t *testing.T) {
		hangs, fine := w.tellable("Hangs", "/hangs"), w.tellable("Fine", "/fine")
		w.web.cut("/hangs")
		for range 5 {
			b := w.browser(alice)
			w.visit(w.loginID(alice), hangs)
			w.visit(w.loginID(alice), fine)
			b.leaves(t)
		}
		w.deliver()
		if n := len(w.web.calls("/hangs")); n != 1 {
			t.Errorf("it was called %d times", n)
		}
		if n := len(w.web.calls("/fine")); n != 5 {
			t.Errorf("the other %d times", n)
		}
		w.ahead += time.Minute
		w.deliver()
		if n := len(w.web.calls("/hangs")); n != 2 {
			t.Errorf("after a while it was called %d times: one goes first", n)
		}
		w.web.answers("/hangs", http.StatusOK)
		w.ahead += 2 * time.Hour
		w.deliver()
		if n := len(w.web.calls("/hangs")); n != 7 {
			t.Errorf("in the end it was called %d times", n)
		}
	})
	t.Run("S4 a site that is slow gets a part of the calls", func(t *testing.T) {
		slow, quick := w.tellable("Slow", "/slow-one"), w.tellable("Quick", "/quick")
		release := w.web.hold("/slow-one")
		defer release()
		for range 12 {
			b := w.browser(alice)
			w.visit(w.loginID(alice), slow)
			b.leaves(t)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.queue.Run(ctx) }()
		w.until(t, "eight calls wait for the slow one", func() bool { return len(w.web.calls("/slow-one")) == 8 })
		b := w.browser(alice)
		w.visit(w.loginID(alice), quick)
		b.leaves(t)
		w.until(t, "the quick one is told meanwhile", func() bool { return len(w.web.calls("/quick")) == 1 })
		if n := len(w.web.calls("/slow-one")); n != 8 {
			t.Errorf("%d calls to the slow one", n)
		}
		release()
		stop()
		w.must(<-ended)
		w.ahead += 2 * time.Hour
		w.deliver()
		if n := len(w.web.calls("/slow-one")); n != 12 {
			t.Errorf("it was told %d times", n)
		}
	})
	t.Run("forty sites: none is lost", func(t *testing.T) {
		b := w.browser(alice)
		for i := range 40 {
			w.visit(w.loginID(alice), w.tellable(fmt.Sprint("Many", i), fmt.Sprint("/many", i)))
		}
		b.leaves(t)
		w.deliver()
		for i := range 40 {
			if n := len(w.web.calls(fmt.Sprint("/many", i))); n != 1 {
				t.Errorf("site %d was told %d times", i, n)
			}
		}
	})
}

// TestReport: what the page says after a sign-out, and the frames that it opens.
func TestReport(t *testing.T) {
	run := func(t *testing.T, dsn string) { report(t, newWorld(t, dsn)) }
	t.Run("sqlite", func(t *testing.T) { run(t, storagetest.SQLite(t)) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		t.Run("postgres", func(t *testing.T) { run(t, storagetest.Postgres(t)) })
	}
}

func report(t *testing.T, w *world) {
	alice := w.person("alice")
	app := w.client("App")
	framed := func(name, uri string, session bool) *client.Client {
		return w.client(name, func(m *client.Metadata) {
			m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired = uri, session
		})
	}
	proven := url.Values{"id_token_hint": {w.hint("sub-alice", app.ID, nil)}, "post_logout_redirect_uri": {back}, "state": {"s <&> t"}}
	const target = back + "&state=s+%3C%26%3E+t"

	t.Run("Q076 a frame for each, iss and sid where they are asked for, the query kept", func(t *testing.T) {
		plain, query, kept := framed("Plain", "https://plain.test/out", false), framed("Query", "https://query.test/out?a=b%20c", true), framed("Session", "https://session.test/out", true)
		b := w.browser(alice)
		login := w.loginID(alice)
		for _, c := range []*client.Client{plain, query, kept} {
			w.visit(login, c)
		}
		to, _, frames, _, sites := b.shows(t, b.leaves(t))
		with := func(c *client.Client) string {
			return url.Values{"iss": {issuer}, "sid": {sid(login, c.ID)}}.Encode()
		}
		want := []string{"https://plain.test/out", "https://query.test/out?a=b%20c&" + with(query), "https://session.test/out?" + with(kept)}
		got := strings.Fields(frames)
		slices.Sort(got)
		if !slices.Equal(got, want) || to != "" || len(sites) != 3 || !slices.Contains(sites, "Plain=asked") {
			t.Errorf("frames %q\nwant   %q\nto %q, %v", got, want, to, sites)
		}
	})
	t.Run("Q076 the redirect comes after the frames", func(t *testing.T) {
		c := framed("Framed", "https://framed.test/out", false)
		b := w.browser(alice)
		w.visit(w.loginID(alice), c)
		a := b.get("/end_session", proven)
		to, name, frames, _, _ := b.shows(t, a.location)
		if to != target || name != "App" || frames != "https://framed.test/out" {
			t.Errorf("to %q of %q, frames %q", to, name, frames)
		}
	})
	t.Run("Q076 nothing to be opened: at once", func(t *testing.T) {
		b := w.browser(alice)
		w.visit(w.loginID(alice), w.tellable("Back", "/back"))
		b.get("/end_session", proven).to(t, target)
	})
	t.Run("told, asked, trying, cannot", func(t *testing.T) {
		told, mute := w.tellable("Told", "/told"), w.client("Mute")
		both := w.tellable("Both", "/refuses", func(m *client.Metadata) { m.FrontchannelLogoutURI = "https://both.test/out" })
		w.web.answers("/refuses", http.StatusForbidden)
		b := w.browser(alice)
		for _, c := range []*client.Client{told, mute, both} {
			w.visit(w.loginID(alice), c)
		}
		done := b.leaves(t)
		_, _, frames, again, sites := b.shows(t, done)
		if !slices.Equal(sites, []string{"Both=trying", "Mute=cannot", "Told=trying"}) || frames != "https://both.test/out" {
			t.Errorf("%v %q", sites, frames)
		}
		w.deliver()
		_, _, frames, again, sites = b.shows(t, again)
		if !slices.Equal(sites, []string{"Both=asked", "Mute=cannot", "Told=told"}) || frames != "" || again != "" {
			t.Errorf("%v, frames %q, again %q", sites, frames, again)
		}
	})
	t.Run("missed", func(t *testing.T) {
		b := w.browser(alice)
		w.visit(w.loginID(alice), w.tellable("Down", "/down"))
		w.web.answers("/down", http.StatusServiceUnavailable)
		done := b.leaves(t)
		if _, _, _, _, sites := b.shows(t, done); !slices.Equal(sites, []string{"Down=trying"}) {
			t.Errorf("%v", sites)
		}
		w.deliver()
		_, _, _, again, sites := b.shows(t, done)
		if !slices.Equal(sites, []string{"Down=missed"}) || again == "" {
			t.Errorf("%v, again %q", sites, again)
		}
		w.web.answers("/down", http.StatusOK)
		w.ahead += time.Minute
		w.deliver()
		if _, _, _, again, sites = b.shows(t, again); !slices.Equal(sites, []string{"Down=told"}) || again != "" {
			t.Errorf("%v, again %q", sites, again)
		}
	})
	t.Run("4.16 of what has ended in other browsers", func(t *testing.T) {
		back, front, mute := w.tellable("Far", "/far"), framed("Front", "https://front.test/out", false), w.client("Mute")
		both := w.tellable("Mixed", "/mixed", func(m *client.Metadata) { m.FrontchannelLogoutURI = "https://mixed.test/out" })
		w.web.answers("/mixed", http.StatusForbidden)
		b := w.browser(alice)
		here := w.loginID(alice)
		w.visit(here, back)
		var there []*browser
		for range 3 {
			there = append(there, w.browser(alice))
		}
		rows, err := w.raw.Query("SELECT id FROM login WHERE ended_at IS NULL AND account_id = '" + alice + "' AND id <> '" + here + "'")
		w.must(err)
		var ids []string
		for rows.Next() {
			var id string
			w.must(rows.Scan(&id))
			ids = append(ids, id)
		}
		w.must(rows.Close())
		for _, id := range ids {
			for _, c := range []*client.Client{back, front, mute, both} {
				w.visit(id, c)
			}
		}
		a := b.post("/elsewhere", url.Values{"account": {alice}, "login": {here}})
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/logout/done?i=") {
			t.Fatalf("%d to %q", a.status, a.location)
		}
		// One line a site, though it was used thrice; and no frame: it would end what this browser has there.
		_, _, frames, _, sites := b.shows(t, a.location)
		if !slices.Equal(sites, []string{"Far=trying", "Front=cannot", "Mixed=trying", "Mute=cannot"}) || frames != "" {
			t.Errorf("%v, frames %q", sites, frames)
		}
		w.deliver()
		if _, _, _, _, sites = b.shows(t, a.location); !slices.Equal(sites, []string{"Far=told", "Front=cannot", "Mixed=cannot", "Mute=cannot"}) {
			t.Errorf("%v", sites)
		}
		if n := len(w.web.calls("/far")); n != 3 {
			t.Errorf("%d calls for three logins", n)
		}
		if _, _, _, _, sites := there[0].shows(t, a.location); len(sites) != 0 {
			t.Errorf("a browser that was signed out sees %v", sites)
		}
		if w.live(alice) != 1 {
			t.Errorf("%d live", w.live(alice))
		}
		w.must(w.sessions.EndAll(t.Context(), alice, ""))
	})
	t.Run("4.16 everywhere, here too: frames for what this browser has, and for nothing else", func(t *testing.T) {
		near, far, back := framed("Near", "https://near.test/out", false), framed("Distant", "https://distant.test/out", false), w.tellable("Called", "/called")
		b := w.browser(alice)
		here := w.loginID(alice)
		other := w.browser(alice)
		var there string
		w.must(w.raw.QueryRow("SELECT id FROM login WHERE ended_at IS NULL AND account_id = '" + alice + "' AND id <> '" + here + "'").Scan(&there))
		w.visit(there, far)
		w.visit(there, back)
		w.visit(here, near)
		w.visit(here, back)
		a := b.post("/elsewhere", url.Values{"account": {alice}, "login": {here}, "here": {here}})
		if _, _, frames, _, sites := b.shows(t, a.location); !slices.Equal(sites, []string{"Called=trying", "Distant=cannot", "Near=asked"}) || frames != "https://near.test/out" {
			t.Errorf("%v, frames %q", sites, frames)
		}
		w.deliver()
		if _, _, _, _, sites := b.shows(t, a.location); !slices.Equal(sites, []string{"Called=told", "Distant=cannot", "Near=asked"}) || len(w.web.calls("/called")) != 2 {
			t.Errorf("%v, %d calls", sites, len(w.web.calls("/called")))
		}
		if _, _, _, _, sites := other.shows(t, a.location); len(sites) != 0 || w.live(alice) != 0 {
			t.Errorf("another browser sees %v, %d live", sites, w.live(alice))
		}
	})
	t.Run("4.16 the report of very many fits an address", func(t *testing.T) {
		c := w.client("Many")
		b := w.browser(alice)
		here := w.loginID(alice)
		for range 120 {
			w.browser(alice)
		}
		w.exec(`INSERT INTO login_client (login_id, client_id, sid, first_at, last_at)
			SELECT id, '%s', 'sid-' || id, 1, 1 FROM login WHERE ended_at IS NULL AND account_id = '%s'`, c.ID, alice)
		a := b.post("/elsewhere", url.Values{"account": {alice}, "login": {here}})
		if len(a.location) > 8<<10-200 { // what a proxy takes of a request line
			t.Errorf("%d bytes", len(a.location))
		}
		if _, _, _, _, sites := b.shows(t, a.location); !slices.Equal(sites, []string{"Many=cannot"}) {
			t.Errorf("%v", sites)
		}
		w.must(w.sessions.EndAll(t.Context(), alice, ""))
	})
	t.Run("it is for the browser that signed out, and for ten minutes", func(t *testing.T) {
		b := w.browser(alice)
		w.visit(w.loginID(alice), w.tellable("Private", "/private"))
		done := b.leaves(t)
		for name, look := range map[string]func() []string{
			"another browser": func() []string { _, _, _, _, sites := w.browser().shows(t, done); return sites },
			"altered":         func() []string { _, _, _, _, sites := b.shows(t, done+"x"); return sites },
			"bare":            func() []string { _, _, _, _, sites := b.shows(t, "/logout/done"); return sites },
		} {
			if sites := look(); len(sites) != 0 {
				t.Errorf("%s sees %v", name, sites)
			}
		}
		if _, _, _, _, sites := b.shows(t, done); !slices.Equal(sites, []string{"Private=trying"}) {
			t.Errorf("its own browser sees %v", sites)
		}
		w.ahead += 11 * time.Minute
		if _, _, _, _, sites := b.shows(t, done); len(sites) != 0 {
			t.Errorf("later it sees %v", sites)
		}
	})
	t.Run("it stops looking by itself", func(t *testing.T) {
		b := w.browser(alice)
		w.visit(w.loginID(alice), w.tellable("Slow", "/slow"))
		at, n := b.leaves(t), 0
		for at != "" && n < 50 {
			_, _, _, again, _ := b.shows(t, at)
			at, n = again, n+1
		}
		if n < 2 || n > 11 {
			t.Errorf("it looked %d times", n)
		}
	})
}
