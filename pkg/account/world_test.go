package account_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// world is a server's people over a real database: what several replicas share, and one replica.
type world struct {
	*account.Directory
	t      *testing.T
	store  *recorder
	db     *storage.Store
	queue  *outbox.Queue
	inbox  *mail.Inbox
	clock  *atomic.Int64 // added to the time
	limits *atomic.Int64 // when it changes, every budget is new
	sess   *session.Manager
	cfg    account.Config
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) { fn(t, newWorld(t, s)) })
}

var cheap = account.HasherConfig{Memory: 64, Time: 1, Threads: 1, Parallel: 8, Queue: 1000}

func newWorld(t *testing.T, s *storage.Store) *world {
	t.Helper()
	w := &world{t: t, db: s, clock: new(atomic.Int64), limits: new(atomic.Int64)}
	w.store = &recorder{Store: s, limits: w.limits}
	now := func() time.Time {
		return time.Now().UTC().Truncate(time.Microsecond).Add(time.Duration(w.clock.Load()))
	}
	sealer := must(keys.NewSealer([]byte(rand.Text() + rand.Text())))
	w.queue = outbox.New(outbox.Config{Store: s, Sealer: sealer, Now: now})
	mailer := must(mail.New(mail.Config{Issuer: "https://op.test", Brand: "Passport", Queue: w.queue, Now: now}))
	w.inbox = mailer.Inbox()
	w.sess = must(session.New(session.Config{Store: s, Issuer: "https://op.test", Now: now}))
	w.cfg = account.Config{
		Store: w.store, Mail: mailer, Sessions: w.sess, Grants: s, Audit: w.store, Queue: w.queue, Sealer: sealer, Now: now, Hasher: cheap, DeviceKey: make([]byte, 32),
		Pictures: "https://op.test/pictures/",
		Limits:   limit.New(limit.Config{Store: w.store, HashKey: make([]byte, 32)}),
	}
	w.Directory = must(account.New(w.cfg))
	return w
}

// run is a subtest of the world.
func (w *world) run(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		w.t = t
		fn(t)
	})
}

// replica is another server on the same database.
func (w *world) replica() *account.Directory { return must(account.New(w.cfg)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// once runs n calls at the same moment: one succeeds, and all others fail with lost.
func once(t *testing.T, n int, lost error, call func(i int) error) {
	t.Helper()
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range errs {
		wait.Go(func() { errs[i] = call(i) })
	}
	wait.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, lost) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d succeeded", won, n)
	}
}

// together runs n calls at the same moment.
func together(n int, call func()) {
	var wait sync.WaitGroup
	for range n {
		wait.Go(call)
	}
	wait.Wait()
}

// ip is one of 2^31 addresses in as many networks: no two tests share a budget.
func ip() netip.Addr {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[0] = 0x20
	return netip.AddrFrom16([16]byte(b))
}

// browser is a flow cookie's hash.
func browser() []byte {
	h := sha256.Sum256([]byte(rand.Text()))
	return h[:]
}

const goodPassword = "correct horse battery"

func form(email, password string) account.Registration {
	return account.Registration{
		FormID: rand.Text(), Email: email, TermsEmail: email, Password: password, Name: "Alice Example",
		Language: "en", FlowHash: browser(), IP: ip(),
	}
}

// checked is what is wrong with the first page of a form.
func checked(ctx context.Context, d *account.Directory, r account.Registration) error {
	_, err := d.Check(ctx, r)
	return err
}

// letter is a mail that has come.
type letter struct {
	mail.Stored
	confirm, cancel string // the links' tokens
}

var linkPattern = regexp.MustCompile(`https://op\.test/(confirm|cancel)\?\S+`)

// letters sends what is queued and returns all mails to the address, oldest first.
func (w *world) letters(to string) []letter {
	w.t.Helper()
	if _, err := w.queue.RunDue(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	var all []letter
	for _, s := range w.inbox.List() {
		if s.To != to {
			continue
		}
		l := letter{Stored: s}
		for _, m := range linkPattern.FindAllStringSubmatch(s.Text, -1) {
			token := must(url.Parse(m[0])).Query().Get("t")
			if m[1] == "confirm" {
				l.confirm = token
			} else {
				l.cancel = token
			}
		}
		all = append(all, l)
	}
	slices.Reverse(all)
	return all
}

func (w *world) last(to string) letter {
	w.t.Helper()
	all := w.letters(to)
	if len(all) == 0 {
		w.t.Fatalf("no mail to %s", to)
	}
	return all[len(all)-1]
}

// register registers and returns the form, which is the browser that did it, and the mail.
func (w *world) register(email, password string) (account.Registration, letter) {
	w.t.Helper()
	r := form(email, password)
	if _, err := w.Register(w.t.Context(), r); err != nil {
		w.t.Fatalf("register: %v", err)
	}
	return r, w.last(email)
}

// member is an active account.
func (w *world) member(email, password string) *account.Confirmed {
	w.t.Helper()
	r, l := w.register(email, password)
	done, err := w.Confirm(w.t.Context(), account.ConfirmInput{Token: l.confirm, FlowHash: r.FlowHash, IP: ip()})
	if err != nil {
		w.t.Fatalf("confirm: %v", err)
	}
	return done
}

func (w *world) signIn(email, password string, flow []byte) (*account.Authenticated, error) {
	return w.Authenticate(w.t.Context(), account.Attempt{Email: email, Password: password, FlowHash: flow, IP: ip()})
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

func fieldKey(err error) string {
	if f, ok := err.(*account.FieldError); ok {
		return f.Key
	}
	if err == nil {
		return ""
	}
	return "other: " + err.Error()
}

// recorder writes down which calls reach the database, in order.
type recorder struct {
	*storage.Store
	mu     sync.Mutex
	calls  []string
	fail   error  // of Take
	first  func() // once, before the next transaction: somebody else is faster
	twice  bool   // each transaction is broken off at its end, and runs again, as PostgreSQL has it (40001)
	limits *atomic.Int64
}

func (r *recorder) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if first := r.first; first != nil {
		r.first = nil
		first()
	}
	if r.twice && ctx.Value(inTx{}) == nil {
		ctx = context.WithValue(ctx, inTx{}, true)
		broken := errors.New("broken off")
		err := r.Store.InTx(ctx, func(ctx context.Context) error { return cmp.Or(fn(ctx), broken) })
		if !errors.Is(err, broken) {
			return err
		}
	}
	return r.Store.InTx(ctx, fn)
}

type inTx struct{}

func (r *recorder) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

// during tells what fn made of calls.
func (r *recorder) during(fn func()) string {
	r.mu.Lock()
	r.calls = nil
	r.mu.Unlock()
	fn()
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.calls, " ")
}

func (r *recorder) ByAddress(ctx context.Context, c string, b []byte, now time.Time) ([]account.Record, error) {
	r.note("ByAddress")
	return r.Store.ByAddress(ctx, c, b, now)
}

func (r *recorder) ByForm(ctx context.Context, id string) (account.Record, error) {
	r.note("ByForm")
	return r.Store.ByForm(ctx, id)
}

func (r *recorder) ByBrowser(ctx context.Context, b []byte, now time.Time) (account.Record, error) {
	r.note("ByBrowser")
	return r.Store.ByBrowser(ctx, b, now)
}

func (r *recorder) Insert(ctx context.Context, rec account.Record) error {
	r.note("Insert")
	return r.Store.Insert(ctx, rec)
}

func (r *recorder) SetLinks(ctx context.Context, rec account.Record, l []account.Link, at, expires time.Time) error {
	r.note("SetLinks")
	return r.Store.SetLinks(ctx, rec, l, at, expires)
}

func (r *recorder) CountGuess(ctx context.Context, credential string) error {
	r.note("CountGuess")
	return r.Store.CountGuess(ctx, credential)
}

func (r *recorder) SignedIn(ctx context.Context, id, old, hash string, at time.Time) error {
	r.note("SignedIn")
	return r.Store.SignedIn(ctx, id, old, hash, at)
}

func (r *recorder) Take(ctx context.Context, key string, rule limit.Rule) (bool, time.Duration, error) {
	r.note("Take:" + rule.Name)
	if r.fail != nil {
		return false, 0, r.fail
	}
	return r.Store.Take(ctx, fmt.Sprint(key, r.limits.Load()), rule)
}

func (r *recorder) Refund(ctx context.Context, key string, rule limit.Rule) error {
	r.note("Refund:" + rule.Name)
	return r.Store.Refund(ctx, fmt.Sprint(key, r.limits.Load()), rule)
}

func (r *recorder) Owed(ctx context.Context, key string) (time.Duration, error) {
	return r.Store.Owed(ctx, fmt.Sprint(key, r.limits.Load()))
}

func (r *recorder) Clear(ctx context.Context, key string) error {
	r.note("Clear")
	return r.Store.Clear(ctx, fmt.Sprint(key, r.limits.Load()))
}

func (r *recorder) Record(ctx context.Context, e audit.Event) error {
	r.note("Record:" + e.Event)
	return r.Store.Record(ctx, e)
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
