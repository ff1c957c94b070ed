package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/oidc/registration"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/pkg/web/myaccount"
	"github.com/passport-network/passport/pkg/web/signin"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

const (
	issuer   = "https://op.test"
	callback = "https://app.test/cb"
	verifier = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
	password = "correct horse battery staple"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// world is the whole server, without a network; on SQLite, unless the test says otherwise.
type world struct {
	t       *testing.T
	store   *storage.Store
	site    *web.Site
	handler http.Handler
	mailer  *mail.Mailer
	inbox   *mail.Inbox
	queue   *outbox.Queue
	people  *account.Directory
	session *session.Manager
	clients *client.Registry
	logs    *lockedBuffer

	mu     sync.Mutex
	now    time.Time
	signin *signin.Room
	// ended is called within the transaction that ends logins; nil: nothing is.
	ended func(ctx context.Context) error
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newWorld wires the rooms as cmd/passport does. extra are routes of the test's own.
func newWorld(t *testing.T, extra ...web.Route) *world {
	t.Helper()
	return newWorldAt(t, account.Door{}, extra...)
}

func newWorldAt(t *testing.T, door account.Door, extra ...web.Route) *world {
	t.Helper()
	return newWorldOf(t, func(c *account.Config) { c.Door = door }, extra...)
}

// newWorldOf sets what the people's directory is configured with.
func newWorldOf(t *testing.T, set func(*account.Config), extra ...web.Route) *world {
	t.Helper()
	return newWorldOn(t, storagetest.Open(t, storagetest.SQLite(t)), set, extra...)
}

// newWorldOn is newWorldOf on a database of the test's choice.
func newWorldOn(t *testing.T, store *storage.Store, set func(*account.Config), extra ...web.Route) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, store: store, logs: &lockedBuffer{},
		now: time.Now().UTC().Truncate(time.Microsecond)}
	logger := slog.New(slog.NewJSONHandler(w.logs, nil))
	sealer := must(keys.NewSealer([]byte(strings.Repeat("s", 32))))
	ring := must(keys.Open(ctx, keys.Config{Store: w.store, Sealer: sealer, Now: w.clock}))
	w.clients = client.NewRegistry(client.Config{Store: w.store, Now: w.clock, Keys: ring, Logger: logger})
	sessions := must(session.New(session.Config{Store: w.store, Issuer: issuer, Now: w.clock, Audit: w.store, Ended: func(ctx context.Context, _ []string) error {
		if w.ended == nil {
			return nil
		}
		return w.ended(ctx)
	}}))
	w.session = sessions
	limits := limit.New(limit.Config{Store: w.store, HashKey: ring.Secret(keys.SecretLimit), Exempt: []netip.Prefix{exempted}})
	w.queue = outbox.New(outbox.Config{Store: w.store, Sealer: sealer, Now: w.clock, Logger: logger})
	mailer := must(mail.New(mail.Config{Issuer: issuer, Brand: "Passport", Queue: w.queue, Now: w.clock}))
	w.mailer, w.inbox = mailer, mailer.Inbox()
	people := account.Config{Store: w.store, Mail: mailer, Limits: limits, Sessions: sessions, Grants: w.store,
		Audit: w.store, Queue: w.queue, Sealer: sealer, Now: w.clock, DeviceKey: ring.Secret(keys.SecretDevice), Pictures: issuer + myaccount.PicturesPath,
		Hasher: account.HasherConfig{Memory: 64, Time: 1, Threads: 1, Parallel: 4, Queue: 100}}
	set(&people)
	w.people = must(account.New(people))
	pages := must(web.NewPages(web.PagesConfig{Issuer: issuer, FormKey: ring.Secret(keys.SecretForm), Sessions: sessions, Logger: logger}))
	flows := must(engine.New(engine.Config{Issuer: issuer, Clients: w.clients, Store: w.store, Keys: ring, Now: w.clock, Audit: w.store}))
	provider := must(oidc.New(oidc.Config{Issuer: issuer, Languages: []string{"en", "es"}, Engine: flows, Store: w.store, Clients: w.clients, Keys: ring,
		Sessions: sessions, Limits: limits, Now: w.clock, Audit: w.store, Pages: pages.OIDC(), ClientIP: web.ClientIP, NoteClient: web.NoteClient, NoCreate: people.Door.Closed || people.Door.Invitation, Versions: grant.Versions(people.Versions)}))
	leaving := must(logout.New(logout.Config{Issuer: issuer, Store: w.store, Clients: w.clients, Keys: ring, Sessions: sessions,
		SID: flows.SID, Now: w.clock, Pages: pages.Logout()}))
	in := must(signin.New(signin.Config{Pages: pages, OIDC: provider, Clients: w.clients, Logout: leaving, Accounts: w.people, Sessions: sessions, Sealer: sealer, Now: w.clock, Limits: limits}))
	w.signin = in
	mine := must(myaccount.New(myaccount.Config{Pages: pages, Accounts: w.people, Sessions: sessions, OIDC: provider, Logout: leaving, Events: w.store, Clients: w.clients, Now: w.clock, Dev: true}))
	routes := append(append(in.Routes(), mine.Routes()...), extra...)
	entry := must(registration.New(registration.Config{Issuer: issuer, Clients: w.clients, ClientIP: web.ClientIP}))
	w.site = must(web.New(web.Config{Issuer: issuer, Pages: pages, OIDC: provider, Logout: leaving, Registration: entry, Routes: routes, Inbox: w.inbox,
		Logger: logger, Now: w.clock, Clients: w.clients}))
	w.handler = w.site.Handler()
	return w
}

// client registers the site that the tests come from.
func (w *world) client(id string) { w.clientAt(id, callback) }

func (w *world) clientAt(id, redirect string) {
	w.t.Helper()
	_, _, err := w.clients.Create(context.Background(), client.Client{ID: id, Name: "Fabrikam", RequirePKCE: true, Metadata: client.Metadata{
		ClientName: "Fabrikam", ClientURI: "https://app.test/", RedirectURIs: []string{redirect},
		TokenEndpointAuthMethod: "none", Scope: "openid profile email", IDTokenSignedResponseAlg: "ES256",
	}}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.clients.Poll(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// person makes a confirmed account.
func (w *world) person(email string) {
	w.t.Helper()
	_, err := w.people.Create(context.Background(), account.NewAccount{Email: email, Password: password, Name: "Ada Lovelace", Confirmed: true})
	if err != nil {
		w.t.Fatal(err)
	}
}

func authorizeURL(client string, more ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"},
		"state": {"the-state"}, "nonce": {"n"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "/authorize?" + q.Encode()
}

// browser keeps cookies, follows redirects within the issuer, and fills in forms; it runs no script.
type browser struct {
	w       *world
	t       *testing.T
	jar     map[string]string
	header  http.Header // sent with each request, over what a browser sends
	from    string      // its address and port
	ctx     context.Context
	seen    func() // called after each answer; nil: nobody is
	URL     string
	Status  int
	Header  http.Header
	Body    string
	Cookies []*http.Cookie
}

func (w *world) browser(t *testing.T) *browser {
	return &browser{w: w, t: t, jar: map[string]string{}, header: http.Header{}, from: "127.0.0.1:40000", ctx: context.Background()}
}

// send makes one request and follows no redirect.
func (b *browser) send(method, target, kind, body string) *browser {
	r := httptest.NewRequestWithContext(b.ctx, method, issuer+target, strings.NewReader(body))
	r.RequestURI = target // as a browser sends it: not the absolute form
	r.Host = "op.test"
	r.RemoteAddr = b.from
	if body == "" {
		r.Body = http.NoBody
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for name, values := range b.header {
		r.Header.Del(name)
		if name == "Host" {
			r.Host = values[0]
			continue
		}
		if values[0] != "" {
			r.Header[name] = values
		}
	}
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.w.handler.ServeHTTP(rec, r)
	res := rec.Result()
	b.URL, b.Status, b.Header, b.Body, b.Cookies = target, res.StatusCode, res.Header, rec.Body.String(), res.Cookies()
	for _, c := range b.Cookies {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
	if b.seen != nil {
		b.seen()
	}
	return b
}

// follow walks redirects as long as they stay at the issuer.
func (b *browser) follow() *browser {
	b.t.Helper()
	for range 10 {
		to := b.Header.Get("Location")
		if b.Status < 300 || b.Status >= 400 || to == "" {
			return b
		}
		to = strings.TrimPrefix(to, issuer)
		if !strings.HasPrefix(to, "/") {
			return b
		}
		b.send(http.MethodGet, to, "", "")
	}
	b.t.Fatal("too many redirects")
	return b
}

func (b *browser) get(target string) *browser {
	b.t.Helper()
	return b.send(http.MethodGet, target, "", "").follow()
}

// redeems has the site that the browser has just been sent to redeem its code: a sealed one leaves nothing behind before.
func (b *browser) redeems(site string) {
	b.t.Helper()
	code := must(url.Parse(b.Header.Get("Location"))).Query().Get("code")
	c := b.clone()
	c.post("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {site}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
	if c.Status != http.StatusOK {
		b.t.Fatalf("%d %s", c.Status, c.Body)
	}
}

const formType = "application/x-www-form-urlencoded"

func (b *browser) post(target string, form url.Values) *browser {
	b.t.Helper()
	return b.send(http.MethodPost, target, formType, form.Encode()).follow()
}

// form gives action and fields of the form that holds the element with the id, the element's own value too.
func (b *browser) form(id string) (action string, fields url.Values) {
	b.t.Helper()
	doc := must(html.Parse(strings.NewReader(b.Body)))
	for n := range doc.Descendants() {
		if n.Data != "form" || n.Type != html.ElementNode {
			continue
		}
		fields, found := url.Values{}, false
		for in := range n.Descendants() {
			a := map[string]string{}
			for _, attr := range in.Attr {
				a[attr.Key] = attr.Val
			}
			found = found || a["id"] == id
			if _, ticked := a["checked"]; a["type"] == "checkbox" && !ticked {
				continue // not sent
			}
			if in.Data == "input" && a["name"] != "" || in.Data == "button" && a["id"] == id && a["name"] != "" {
				fields.Set(a["name"], a["value"])
			}
		}
		if found {
			for _, attr := range n.Attr {
				if attr.Key == "action" {
					return attr.Val, fields
				}
			}
		}
	}
	b.t.Fatalf("no form with #%s on %s (%d): %s", id, b.URL, b.Status, b.Body)
	return "", nil
}

// submit fills in the form with the element and sends it; pairs are name, value.
func (b *browser) submit(id string, pairs ...string) *browser {
	b.t.Helper()
	action, fields := b.form(id)
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	return b.post(action, fields)
}

func (b *browser) has(id string) bool { return strings.Contains(b.Body, `id="`+id+`"`) }

func (b *browser) want(status int, id string) *browser {
	b.t.Helper()
	if b.Status != status || id != "" && !b.has(id) {
		b.t.Fatalf("%s: status %d, want %d with #%s\n%s\n%s", b.URL, b.Status, status, id, title.FindString(b.Body), b.w.logs.failures())
	}
	return b
}

func (b *browser) login(email string) *browser {
	b.t.Helper()
	return b.get("/login").want(200, "login-submit").submit("login-submit", "username", email, "password", password)
}

func (b *browser) register(email string) *browser {
	b.t.Helper()
	return b.registerWith(email)
}

func (b *browser) registerWith(email string, more ...string) *browser {
	b.t.Helper()
	b.want(200, "register-submit").submit("register-submit", append([]string{"email", email, "password", password, "name", "Ada Lovelace"}, more...)...)
	return b.want(200, "terms-email").submit("terms-submit", "terms-email", email)
}

func (b *browser) clone() *browser {
	c := *b
	c.jar, c.header = maps.Clone(b.jar), b.header.Clone()
	return &c
}

var linkInMail = regexp.MustCompile(`https://op\.test(/(?:confirm|cancel)\S*)`)

// links delivers what is due and gives the two links of the newest mail.
func (w *world) links() (confirm, cancel string) {
	w.t.Helper()
	if _, err := w.queue.RunDue(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	list := w.inbox.List()
	if len(list) == 0 {
		w.t.Fatal("no mail")
	}
	for _, m := range linkInMail.FindAllStringSubmatch(list[0].Text, -1) {
		if strings.HasPrefix(m[1], "/confirm") {
			confirm = m[1]
		} else {
			cancel = m[1]
		}
	}
	return confirm, cancel
}

var title = regexp.MustCompile(`(?s)<h1.*</h1>.*?</p>`)

// failures are the lines of the log that tell of our own faults.
func (b *lockedBuffer) failures() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for l := range strings.Lines(b.String()) {
		if strings.Contains(l, "ERROR") {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "")
}
