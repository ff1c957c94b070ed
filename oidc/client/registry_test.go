package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// fixed is a store with one client that has no secret that could match.
type fixed struct {
	client.Store
	m client.Metadata
}

func (f fixed) ReadClient(_ context.Context, id string) (*client.Client, error) {
	if id != "basic" {
		return nil, client.ErrNotFound
	}
	m := f.m
	m.TokenEndpointAuthMethod = client.MethodBasic
	// H13: an empty hash matches nothing, whatever is presented.
	return &client.Client{ID: id, Metadata: m, Secrets: []client.Secret{{ID: "1", Hash: nil}, {ID: "2", Hash: []byte{}}}}, nil
}

func TestH13EmptyHashMatchesNothing(t *testing.T) {
	r := client.NewRegistry(client.Config{Store: fixed{m: valid()}, Now: newClock().now, Keys: storagetest.Ring(t)})
	for _, secret := range []string{"", "x", "\x00"} {
		if _, err := r.Authenticate(request(t, "", "", basic("basic", secret))); err == nil {
			t.Errorf("%q authenticates", secret)
		}
	}
}

// counted counts reads of a real store, and can be made to fail or to wait.
type counted struct {
	*storage.Store
	reads atomic.Int64
	polls atomic.Int64
	fail  atomic.Bool
	read  func(id string) // called after each read
	poll  func()          // called with each question for the revision
}

var errDown = errors.New("the database is down")

func (c *counted) ReadClient(ctx context.Context, id string) (*client.Client, error) {
	c.reads.Add(1)
	if c.fail.Load() {
		return nil, errDown
	}
	got, err := c.Store.ReadClient(ctx, id)
	if c.read != nil {
		c.read(id)
	}
	return got, err
}

func (c *counted) ClientsRevision(ctx context.Context) (int64, error) {
	c.polls.Add(1)
	if c.poll != nil {
		c.poll()
	}
	if c.fail.Load() {
		return 0, errDown
	}
	return c.Store.ClientsRevision(ctx)
}

func replica(t *testing.T, s client.Store, now *clock, cached int) *client.Registry {
	t.Helper()
	return client.NewRegistry(client.Config{Store: s, Now: now.now, Keys: storagetest.Ring(t), MaxCached: cached})
}

func mustPoll(t *testing.T, r *client.Registry) {
	t.Helper()
	if err := r.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCache(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		now := newClock()
		one, store := replica(t, s, now, 0), &counted{Store: s}
		two := replica(t, store, now, 2)
		for _, id := range []string{"a", "b", "c"} {
			register(t, one, id, client.MethodBasic, "")
		}
		get := func(id string) (*client.Client, int64) {
			t.Helper()
			before := store.reads.Load()
			c, err := two.Get(t.Context(), id)
			if err != nil && !errors.Is(err, client.ErrNotFound) {
				t.Fatal(err)
			}
			return c, store.reads.Load() - before
		}
		mustPoll(t, two)
		if _, n := get("a"); n != 1 {
			t.Error("first read")
		}
		if _, n := get("a"); n != 0 {
			t.Error("not cached")
		}
		get("b")
		get("c")
		if _, n := get("a"); n != 1 {
			t.Error("the bound of two is not kept")
		}
		// A change is heeded by id: the other stays.
		get("b")
		if err := one.Disable(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		mustPoll(t, two)
		if c, _ := get("a"); c.Enabled() {
			t.Error("the change of another server is not seen")
		}
		if _, n := get("b"); n != 0 {
			t.Error("a client that did not change was dropped")
		}
		if err := one.Delete(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		mustPoll(t, two)
		if c, _ := get("b"); c != nil {
			t.Error("a deleted client is still there")
		}
		// Absence is kept for a second at most, and ends with a creation.
		if _, n := get("b"); n != 0 {
			t.Error("absence is not kept")
		}
		now.t = now.t.Add(time.Second)
		if _, n := get("b"); n != 1 {
			t.Error("absence is kept too long")
		}
		register(t, one, "b", client.MethodNone, "")
		mustPoll(t, two)
		if c, _ := get("b"); c == nil {
			t.Error("a new client is not seen")
		}
		for _, id := range []string{"", "a\x00", "ñ", string(make([]byte, 600))} {
			if c, n := get(id); c != nil || n != 0 {
				t.Errorf("%q is asked for", id)
			}
		}
	})
}

// A read that began before a change must not stay in the cache after it.
func TestCacheRace(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	one, store := replica(t, s, now, 0), &counted{Store: s}
	two := replica(t, store, now, 0)
	register(t, one, "a", client.MethodBasic, "")
	mustPoll(t, two)
	var done atomic.Bool
	store.read = func(string) {
		if done.Swap(true) {
			return
		}
		// Between the read and the caching: another server disables, this one polls.
		if err := one.Disable(context.Background(), "a"); err != nil {
			t.Error(err)
		}
		if err := two.Poll(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if _, err := two.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if c, err := two.Get(t.Context(), "a"); err != nil || c.Enabled() {
		t.Errorf("the stale read stayed: %v", err)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	store := &counted{Store: s}
	r := replica(t, store, now, 0)
	register(t, r, "a", client.MethodBasic, "")
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			<-start
			if _, err := r.Get(context.Background(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := store.reads.Load(); n > 8 {
		t.Errorf("%d reads for one client", n)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Get(gone, "other"); !errors.Is(err, context.Canceled) && !errors.Is(err, client.ErrNotFound) {
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	now := newClock()
	store := &counted{Store: storagetest.Open(t, storagetest.SQLite(t))}
	r := replica(t, store, now, 0)
	if r.Ready() == nil {
		t.Error("ready before the first poll")
	}
	mustPoll(t, r)
	if err := r.Ready(); err != nil {
		t.Error(err)
	}
	store.fail.Store(true)
	now.t = now.t.Add(5 * time.Second)
	if err := r.Poll(t.Context()); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if err := r.Ready(); err != nil {
		t.Error("after 5 s still ready:", err)
	}
	now.t = now.t.Add(time.Millisecond)
	if r.Ready() == nil {
		t.Error("ready though polling fails")
	}
	// A failing database is no failed authentication.
	var failed *client.AuthError
	if _, err := r.Authenticate(request(t, "", "", basic("x", "y"))); !errors.Is(err, errDown) || errors.As(err, &failed) {
		t.Error(err)
	}
	store.fail.Store(false)
	mustPoll(t, r)
	if err := r.Ready(); err != nil {
		t.Error(err)
	}
	store.poll = func() { now.t = now.t.Add(6 * time.Second) }
	mustPoll(t, r)
	if r.Ready() == nil {
		t.Error("ready by an answer to what was asked six seconds ago")
	}
}

// Whoever is woken does not wait for the next second: twenty looks in less than ten.
func TestWake(t *testing.T) {
	store := &counted{Store: storagetest.Open(t, storagetest.SQLite(t))}
	r := replica(t, store, newClock(), 0)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for n := range 20 {
		before := store.polls.Load()
		r.Wake()
		for store.polls.Load() == before {
			select {
			case <-ctx.Done():
				t.Fatalf("%d looks in ten seconds", n)
			case <-time.After(time.Millisecond):
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	now := newClock()
	r := replica(t, storagetest.Open(t, storagetest.SQLite(t)), now, 0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestB8Origins(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	one, two := replica(t, s, now, 0), replica(t, s, now, 0)
	create := func(ctx context.Context, id, uri string) {
		t.Helper()
		c := client.Client{ID: id, RequirePKCE: true, Metadata: client.Metadata{ClientName: id, RedirectURIs: []string{uri}}}
		if _, _, err := one.Create(ctx, c, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.InTx(t.Context(), func(ctx context.Context) error {
		for i := range 600 { // more than a page
			create(ctx, fmt.Sprintf("c%03d", i), fmt.Sprintf("https://c%d.test/cb", i))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if two.AllowsOrigin("https://c1.test") {
		t.Error("known before the first poll")
	}
	mustPoll(t, two)
	create(t.Context(), "late", "http://localhost:3000/cb")
	for origin, want := range map[string]bool{
		"https://c0.test": true, "https://c599.test": true, "http://localhost:3000": false, "null": false, "": false,
		"https://c0.test.evil.test": false, "http://c0.test": false, "https://c0.test:444": false, "HTTPS://c0.test": false,
	} {
		if two.AllowsOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
	}
	mustPoll(t, two)
	if !two.AllowsOrigin("http://localhost:3000") {
		t.Error("a new client's origin is not known")
	}
	if err := one.Disable(t.Context(), "c000"); err != nil {
		t.Fatal(err)
	}
	if err := one.Delete(t.Context(), "c001"); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, two)
	now.t = now.t.Add(time.Minute)
	mustPoll(t, two)
	if two.AllowsOrigin("https://c0.test") || two.AllowsOrigin("https://c1.test") || !two.AllowsOrigin("https://c2.test") {
		t.Error("origins of clients that are gone stay")
	}
}

// createSite registers a client of the origin https://<id>.test.
func createSite(t *testing.T, r *client.Registry, id string) {
	t.Helper()
	c := client.Client{ID: id, RequirePKCE: true, Metadata: client.Metadata{ClientName: id, RedirectURIs: []string{"https://" + id + ".test/cb"}}}
	if _, _, err := r.Create(t.Context(), c, ""); err != nil {
		t.Fatal(err)
	}
}

// slowOrigins is a store whose first page of origins is read and then waits, until it is let go.
type slowOrigins struct {
	*counted
	begun atomic.Int64
	let   chan struct{}
}

func (s *slowOrigins) ListRedirects(ctx context.Context, after string, n int) ([]*client.Client, error) {
	s.begun.Add(1)
	page, err := s.Store.ListRedirects(ctx, after, n)
	<-s.let
	return page, err
}

// 5.4: however long it takes to read all origins, changes of clients are heeded meanwhile, and nobody reads them a second time.
func TestOriginsThatTakeLong(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	one, store := replica(t, s, now, 0), &slowOrigins{counted: &counted{Store: s}, let: make(chan struct{})}
	two := replica(t, store, now, 0)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			two.Wake()
			select {
			case <-ctx.Done():
				t.Fatal("never: " + what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	createSite(t, one, "a")
	ended := make(chan error, 1)
	go func() { ended <- two.Run(ctx) }()
	until("the origins are read", func() bool { return store.begun.Load() == 1 })
	if c, err := two.Get(t.Context(), "a"); err != nil || !c.Enabled() {
		t.Fatal(err)
	}
	createSite(t, one, "b")
	if err := one.Disable(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	until("a change is heeded", func() bool {
		c, err := two.Get(t.Context(), "a")
		return err == nil && !c.Enabled()
	})
	polls := store.polls.Load()
	until("five looks", func() bool { return store.polls.Load() >= polls+5 })
	if n := store.begun.Load(); n != 1 {
		t.Errorf("the origins are read %d times at once", n)
	}
	if two.Ready() == nil {
		t.Error("ready, and it refuses every preflight")
	}
	close(store.let)
	until("ready", func() bool { return two.Ready() == nil })
	if !two.AllowsOrigin("https://b.test") {
		t.Error("what was new while the origins were read is lost")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A read of the origins that failed is begun again, and those of before go on.
func TestOriginsThatFail(t *testing.T) {
	now := newClock()
	store := &failingOrigins{Store: storagetest.Open(t, storagetest.SQLite(t))}
	r := replica(t, store, now, 0)
	fails := func() {
		t.Helper()
		store.fail = true
		if err := r.Poll(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("%v", err)
		}
		store.fail = false
	}
	createSite(t, r, "a")
	fails()
	if r.Ready() == nil {
		t.Error("ready, and it refuses every preflight")
	}
	mustPoll(t, r)
	if err := r.Ready(); err != nil || !r.AllowsOrigin("https://a.test") {
		t.Errorf("read at last: %v", err)
	}
	if err := r.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	createSite(t, r, "b")
	mustPoll(t, r)
	now.t = now.t.Add(time.Minute)
	fails()
	if err := r.Ready(); err != nil || !r.AllowsOrigin("https://a.test") || !r.AllowsOrigin("https://b.test") {
		t.Errorf("those of before do not go on: %v", err)
	}
	mustPoll(t, r)
	if r.AllowsOrigin("https://a.test") || !r.AllowsOrigin("https://b.test") {
		t.Error("not begun again")
	}
}

type failingOrigins struct {
	*storage.Store
	fail bool
}

func (s *failingOrigins) ListRedirects(ctx context.Context, after string, n int) ([]*client.Client, error) {
	if s.fail {
		return nil, errDown
	}
	return s.Store.ListRedirects(ctx, after, n)
}

// A client that has changed and cannot be read holds up nobody's changes, and its origins come with all others'.
func TestAChangedClientThatTakesLong(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	let := make(chan struct{})
	defer close(let)
	one, store := replica(t, s, now, 0), &counted{Store: s, read: func(string) { <-let }}
	two := replica(t, store, now, 0)
	mustPoll(t, two)
	createSite(t, one, "slow")
	began := time.Now()
	mustPoll(t, two)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the next change waits for %s", took)
	}
	if !two.AllowsOrigin("https://slow.test") {
		t.Error("its origin is not known")
	}
}

// Servers of two releases share a database: a document that only the newer one understands costs the older one
// that client, and not its readiness and everybody's preflights.
func TestOneDocumentFromALaterRelease(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		now := newClock()
		one, running := replica(t, s, now, 0), replica(t, s, now, 0)
		for _, id := range []string{"a", "later", "z"} {
			createSite(t, one, id)
		}
		mustPoll(t, running)
		if err := s.InTx(t.Context(), func(ctx context.Context) error {
			c, err := s.ReadClient(ctx, "later")
			if err != nil {
				return err
			}
			c.Metadata.Localized = map[string]string{"dpop_bound_access_tokens": "true"}
			if c.Revision, err = s.RaiseClients(ctx); err != nil {
				return err
			}
			return s.UpdateClient(ctx, c)
		}); err != nil {
			t.Fatal(err)
		}
		fresh := replica(t, s, now, 0)
		for name, r := range map[string]*client.Registry{"running": running, "fresh": fresh} {
			mustPoll(t, r)
			if err := r.Ready(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := r.Get(t.Context(), "later"); err == nil {
				t.Errorf("%s: it is served without what it asks for", name)
			}
			if !r.AllowsOrigin("https://a.test") || !r.AllowsOrigin("https://z.test") {
				t.Errorf("%s: the other clients' origins are gone", name)
			}
		}
		list, err := fresh.List(t.Context(), "", 0)
		if err != nil || len(list) != 3 || list[1].ID != "later" || list[1].Name != "later" {
			t.Errorf("the list has %d: %v", len(list), err)
		}
	})
}

// 3.4: a secret whose value an algorithm needs is sealed, only as long as it is needed; switching to it makes a new one.
func TestSealedSecret(t *testing.T) {
	now := newClock()
	s := storagetest.Open(t, storagetest.SQLite(t))
	r := client.NewRegistry(client.Config{Store: s, Now: now.now, Issuer: issuer, Keys: storagetest.Ring(t)})
	register(t, r, "basic", client.MethodBasic, secretBasic)
	alg := func(name string) (shown string) {
		t.Helper()
		_, shown, err := r.Update(t.Context(), "basic", func(c *client.Client) error {
			c.Metadata.IDTokenSignedResponseAlg = name
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	kept := func(sealed bool) {
		t.Helper()
		c, err := s.ReadClient(t.Context(), "basic")
		if err != nil || len(c.Secrets) != 1 || (len(c.Secrets[0].Sealed) > 0) != sealed || (len(c.Secrets[0].Hash) > 0) == sealed {
			t.Fatalf("%+v %v", c, err)
		}
	}
	proves := func(secret string, want bool) {
		t.Helper()
		if _, err := r.Authenticate(request(t, "", "", basic("basic", secret))); (err == nil) != want {
			t.Errorf("%q: %v", secret, err)
		}
	}
	kept(false)
	fresh := alg("HS256")
	if len(fresh) < 64 {
		t.Fatalf("switching to HS256 gave %q", fresh)
	}
	kept(true)
	proves(secretBasic, false)
	proves(fresh, true)
	if alg("HS256") != "" {
		t.Error("nothing changed, and there is a new secret")
	}
	c, err := r.Get(t.Context(), "basic")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := r.Sign(c, "HS256", map[string]any{"a": 1}, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify([]byte(fresh)); err != nil {
		t.Error(err)
	}
	if alg("ES256") != "" {
		t.Error("the value is needed no longer, and there is a new secret")
	}
	kept(false)
	proves(fresh, true)
	if _, err := r.Sign(c, "HS256", nil, "JWT"); err == nil {
		c, _ = r.Get(t.Context(), "basic")
		if _, err := r.Sign(c, "HS256", nil, "JWT"); err == nil {
			t.Error("a hashed secret signs")
		}
	}
}

// trail keeps events, and can refuse them.
type trail struct {
	events []audit.Event
	err    error
}

func (l *trail) Record(_ context.Context, e audit.Event) error {
	l.events = append(l.events, e)
	return l.err
}

// A change and its event are one: without the event there is no change.
func TestChangesAreRecorded(t *testing.T) {
	now, log := newClock(), &trail{}
	s := storagetest.Open(t, storagetest.SQLite(t))
	r := client.NewRegistry(client.Config{Store: s, Now: now.now, Keys: storagetest.Ring(t), Audit: log})
	register(t, r, "a", client.MethodBasic, "")
	keep := func(*client.Client) error { return nil }
	if _, _, err := r.Update(t.Context(), "a", keep); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RotateSecret(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	for _, act := range []func(context.Context, string) error{r.Disable, r.Enable} {
		if err := act(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	log.err = errDown
	if err := r.Disable(t.Context(), "a"); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if c, err := r.Get(t.Context(), "a"); err != nil || !c.Enabled() {
		t.Error("disabled without an event")
	}
	if _, _, err := r.Create(t.Context(), client.Client{ID: "b", RequirePKCE: true, Metadata: valid()}, ""); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if _, err := r.Get(t.Context(), "b"); !errors.Is(err, client.ErrNotFound) {
		t.Error("created without an event")
	}
	if _, _, err := r.NewRegistrationToken(t.Context(), 1, time.Hour); !errors.Is(err, errDown) {
		t.Error(err)
	}
	if list, err := r.RegistrationTokens(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("a token without an event: %v %v", list, err)
	}
	log.err = nil
	token, _, err := r.NewRegistrationToken(t.Context(), 3, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RevokeRegistrationToken(t.Context(), token.ID); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{{}, now.now()} {
		if _, _, err := r.Update(t.Context(), "a", func(c *client.Client) error { c.VerifiedAt = at; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	want := []string{audit.ClientCreated, audit.ClientChanged, audit.ClientSecretRotated, audit.ClientDisabled,
		audit.ClientEnabled, audit.ClientDisabled, audit.ClientCreated, audit.RegistrationTokenCreated,
		audit.RegistrationTokenCreated, audit.RegistrationTokenRevoked,
		audit.ClientVerified, audit.ClientChanged, audit.ClientVerified, audit.ClientChanged, audit.ClientDeleted}
	detail := map[string]string{audit.RegistrationTokenCreated: "id", audit.RegistrationTokenRevoked: "id", audit.ClientVerified: "verified"}
	for i, e := range log.events {
		_, told := e.Detail[detail[e.Event]]
		if i >= len(want) || e.Event != want[i] || e.ActorKind != audit.ActorOperator || (e.ClientID == "") != (detail[e.Event] == "id") ||
			told != (detail[e.Event] != "") || !audit.Valid(e.Event) {
			t.Errorf("%d: %+v", i, e)
		}
	}
	if len(log.events) != len(want) {
		t.Errorf("%d events", len(log.events))
	}
}
