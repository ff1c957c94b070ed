//go:build fault && !e2e

package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) {
	if question := os.Getenv(checkWorld); question != "" {
		os.Exit(checker(question))
	}
	flag.Parse()
	if os.Getenv("PASSPORT_FAULT_LONG") == "" {
		_ = flag.Set("test.parallel", "4")
	}
	// Who speaks TLS here has a certificate of the test's own.
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // G402: see above
	storagetest.Main(m)
}

// letterOf is which acts promise a mail, and where its link leads.
var letterOf = map[string]string{"register": "confirm", "recover": "recover/password", "address": "account/address/confirm"}

// long is how often, or how long, something is done: so that all runs together take minutes, and with PASSPORT_FAULT_LONG as
// the faults deserve ("make fault"). The short ones wait most of their time, and four of them do so beside each
// other.
func long[T any](t *testing.T, short, lasting T) T {
	t.Helper()
	if os.Getenv("PASSPORT_FAULT_LONG") != "" {
		return lasting
	}
	return short
}

func beside(t *testing.T) {
	t.Helper()
	if !long(t, false, true) {
		t.Parallel()
	}
}

// trial is replicas under load, the faults that happen to them, and what is left to be judged.
type trial struct {
	t        *testing.T
	f        *fleet
	b        *book
	box      *mailbox
	site     relying
	database string        // that the checker reads
	folders  []string      // in which no secret may stand in clear
	hidden   []string      // more that may stand nowhere in clear
	revived  bool          // a replica died, and was started again
	struck   int           // of such deaths: while a sealed code was redeemed
	known    string        // the address of the first one, who has an account
	back     time.Duration // how long a replica that was killed took to be back, at most
	people   int           // that go their ways at the same time

	issued       func(idToken string) // of each ID token
	copied       int64                // when the copy was begun that the database was made of, in µs
	purged       bool                 // rows were made old, and purges have run since
	keySetMaxAge time.Duration        // as the replicas have it

	mu     sync.Mutex
	faults []span
	within time.Duration // how long after a fault requests may still fail
	began  time.Time
	ended  time.Time
	begun  atomic.Int64 // ways
	whole  atomic.Int64
}

// span is a fault's time.
type span struct{ from, to time.Time }

// newTrial starts replicas. What they find at via is the database, as they are told of it.
func newTrial(t *testing.T, replicas int, database, via string, more ...string) *trial {
	t.Helper()
	r := &trial{t: t, b: newBook(t), box: newMailbox(t), database: database, people: long(t, 3, 12), within: 2 * time.Second, keySetMaxAge: 5 * time.Minute}
	r.box.hear = func(l postedLetter, said string) {
		e := entry{Op: "letter", Email: l.to, ID: l.id, Outcome: refused}
		for _, m := range mailedLink.FindAllStringSubmatch(l.text, -1) {
			if slices.Contains(slices.Collect(maps.Values(letterOf)), m[1]) {
				e.Link, e.Said = m[0], m[1]
			}
		}
		switch {
		case strings.HasPrefix(said, "250"):
			e.Outcome = acked
		case said == "":
			e.Outcome = unknown
		}
		r.b.note(e)
	}
	more = append(more, "PASSPORT_SMTP_URL=smtp://"+r.box.addr)
	r.site = relies(t, production(database, more...), nil)
	r.f = newFleet(t, replicas, production(via, more...))
	r.site.base, r.site.http = r.f.base, r.f.client()
	r.folders = []string{r.f.logs}
	return r
}

// during notes a fault that everybody feels while fn runs: requests that begin later than within after it must not fail.
func (r *trial) during(what string, fn func()) {
	from := time.Now()
	fn()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, span{from, time.Now()})
	r.b.note(entry{Op: "fault", Outcome: acked, Said: what})
}

// load lets people go their ways while the faults happen, and a thief beside them.
func (r *trial) load(faults func()) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	var workers sync.WaitGroup
	victim := r.person(0, r.f.base)
	registerAll(r.t, r, victim)
	r.known = victim.email
	r.began = time.Now()
	workers.Go(func() { r.prowl(ctx, victim) })
	for range r.people {
		workers.Go(func() {
			for ctx.Err() == nil {
				if r.flow(r.t.Context(), r.begun.Add(1), r.f.base) == nil { // a way that was begun ends
					r.whole.Add(1)
				} else {
					time.Sleep(200 * time.Millisecond) // people do not try again at once
				}
			}
		})
	}
	faults()
	stop()
	workers.Wait()
	r.ended = time.Now()
	if r.whole.Load() < 10 {
		r.t.Errorf("%d ways begun, %d to their end: too little was done to say anything", r.begun.Load(), r.whole.Load())
	}
}

// registerAll brings a person to tokens of the site, before anything fails.
func registerAll(t *testing.T, r *trial, p *person) {
	t.Helper()
	ctx := t.Context()
	ok := p.b.act(entry{Op: "register", Email: p.email, Password: p.pass}, func(*entry) (int, error) { return 200, p.register(ctx) })
	link, mailed := p.link(p.email, "register")
	if !ok || !mailed || !p.act(ctx, "confirm", link, p.confirm) || !p.signsOn(ctx) {
		t.Fatalf("nobody can register: %v %v", ok, mailed)
	}
}

// drained waits until no mail waits.
func (r *trial) drained(limit time.Duration) {
	r.t.Helper()
	db := sqlOf(r.t, r.database)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); ; {
		var waiting int
		err := db.QueryRow(`SELECT count(*) FROM outbox WHERE failed_at IS NULL`).Scan(&waiting)
		if err == nil && waiting == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			r.t.Errorf("%d jobs still wait after %s (%v)", waiting, limit, err)
			return
		}
	}
}

// idle waits until no job is due: one that a dead replica has leased may wait on.
func (r *trial) idle() {
	r.t.Helper()
	db := sqlOf(r.t, r.database)
	eventually(r.t, "no job is due", func() bool {
		var due int
		err := db.QueryRow(`SELECT count(*) FROM outbox WHERE failed_at IS NULL AND (leased_until IS NULL OR leased_until <= $1)`, time.Now().Add(10*time.Second).UnixMicro()).Scan(&due)
		return err == nil && due == 0
	})
}

// judge is judged for a run under load.
func (r *trial) judge(fault string) {
	r.t.Helper()
	r.drained(patience)
	r.balance()
	speed := float64(r.begun.Load()) / r.ended.Sub(r.began).Seconds()
	r.judged(fault, fmt.Sprintf("%d people, %.1f/s: register, confirm or cancel, sign on, refresh, revoke or sign out", r.people, speed), r.back)
}

// judged lets the checker judge, and keeps the line of the results. back is how long something else than requests took to be
// well again.
func (r *trial) judged(fault, load string, back time.Duration) {
	r.t.Helper()
	lost, doubled := 0, 0
	told := map[string]int{}
	for _, found := range r.check() {
		name, _, _ := strings.Cut(found, ":")
		if told[name]++; told[name] <= 5 {
			r.t.Error(found)
		}
		switch name {
		case "I2", "I3", "I8", "I9", "I10", "I14":
			doubled++
		default:
			lost++
		}
	}
	own, sent, failed, recovery := r.failures()
	for i, c := range own {
		if i == 10 {
			r.t.Errorf("I18: … and %d more", len(own)-i)
			break
		}
		r.t.Errorf("I18: %s at replica %d, %s after the beginning: %d %v", c.route, c.replica, c.began.Sub(r.began).Round(time.Millisecond), c.status, c.err)
	}
	result{fault: fault, load: load, requests: sent, failed: failed, lost: lost, doubled: doubled, recovery: max(recovery, back)}.keep(r.t)
}

// failures are the requests that failed: those that nothing excuses, how many there were, and how long after a fault the last
// one was sent that failed.
func (r *trial) failures() (own []call, sent int64, failed int, recovery time.Duration) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.f.calls {
		sent++
		if !c.failed() {
			continue
		}
		failed++
		after, felt := r.after(c)
		switch {
		case c.killed:
		case !felt:
			own = append(own, c)
		default:
			if recovery = max(recovery, after); after > time.Second {
				r.t.Logf("%s after a fault: %s at replica %d: %d %v after %s", after, c.route, c.replica, c.status, c.err, c.end.Sub(c.began))
			}
		}
	}
	return own, sent, failed, recovery
}

// after is how long after a fault a request was sent that may have felt it.
func (r *trial) after(c call) (after time.Duration, felt bool) {
	for _, f := range slices.Backward(r.faults) { // the last one before it
		if c.end.After(f.from) && c.began.Before(f.to.Add(r.within)) {
			return max(0, c.began.Sub(f.to)), true
		}
	}
	return 0, false
}

// balance is I19: each replica has served each of what people ask for.
func (r *trial) balance() {
	r.t.Helper()
	for _, what := range r.unserved() {
		r.t.Error("I19: " + what)
	}
}

func (r *trial) unserved() (missing []string) {
	served := map[string]int{}
	r.f.mu.Lock()
	for _, c := range r.f.calls {
		if c.status >= 200 && c.status < 400 {
			served[fmt.Sprint(c.replica, " ", c.route)]++
		}
	}
	r.f.mu.Unlock()
	for n := range r.f.replicas {
		for _, route := range []string{"POST /register", "POST /confirm", "GET /authorize", "POST /token", "POST /introspect"} {
			if served[fmt.Sprint(n, " ", route)] == 0 {
				missing = append(missing, fmt.Sprintf("replica %d has served no %s", n, route))
			}
		}
	}
	return missing
}

// sqlOf connects to a database beside the program.
func sqlOf(t *testing.T, database string) *sql.DB {
	t.Helper()
	return storagetest.DB(t, database)
}

// exec runs SQL of the test's own.
func exec1(t *testing.T, db *sql.DB, q string, args ...any) int64 {
	t.Helper()
	res, err := db.Exec(q, args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	n, _ := res.RowsAffected()
	return n
}

// finds tells whether the checker found something of an invariant.
func finds(found []string, invariant string) bool { return begins(found, invariant+":") }

func begins(found []string, with string) bool {
	return slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, with) })
}
