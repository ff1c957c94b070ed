package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/fault"
)

// A lease is longer than the time a handler gets, so that no handler works at a job that it has lost.
const (
	leaseFor   = 60 * time.Second
	handlerFor = 50 * time.Second
	graceFor   = 5 * time.Second // for running handlers, when the server stops

	// storeFor bounds each step in the database: on a connection that has fallen silent nothing else would end it.
	storeFor = 10 * time.Second
)

// backoff is the wait after each failed attempt; the last one repeats.
var backoff = []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

const (
	// An outage is when for so long no attempt of a kind has succeeded in this process, and so many have failed: it is not their
	// jobs that are bad.
	outageFor, outageOf = time.Minute, 3
	// hurried is how many jobs one statement brings forward.
	hurried = 1000
)

// DefaultLifetime is how long a job is tried when it does not say.
const DefaultLifetime = 24 * time.Hour

// Job is something to be done later.
type Job struct {
	ID       string // made by Put when empty; the same at every attempt
	Kind     string
	Body     []byte    // sealed at rest
	Due      time.Time // zero: now
	Expires  time.Time // given up then; zero: after DefaultLifetime
	Attempts int       // including this one
}

// Handler does a job of its kind. It must bear being called twice for one job. Its context ends before the
// lease does. An error puts the job off, one made by Permanent ends it.
type Handler func(ctx context.Context, job Job) error

// Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "done"
	Again  Outcome = "retry"
	Failed Outcome = "failed"
	Lost   Outcome = "lost"
)

// Sealer encrypts bodies at rest; *keys.Sealer is one.
type Sealer interface {
	Seal(table, column, row string, plain []byte) ([]byte, error)
	Open(table, column, row string, sealed []byte) ([]byte, error)
}

// Config is what a Queue needs.
type Config struct {
	Store  Store
	Sealer Sealer
	Now    func() time.Time
	Logger *slog.Logger                       // nil: none
	Count  func(kind string, outcome Outcome) // a metric; nil: none
}

// Queue puts jobs and works at them.
type Queue struct {
	store  Store
	sealer Sealer
	now    func() time.Time
	log    *slog.Logger
	count  func(kind string, outcome Outcome)
	wake   chan struct{}

	mu       sync.Mutex
	handlers map[string]handler
	failing  map[string]failing // by kind
}

// failing are the attempts that failed since the last success.
type failing struct {
	since time.Time // the first of them
	n     int
}

// New makes a Queue. One without store, sealer or clock refuses every Put and lease.
func New(c Config) *Queue {
	q := &Queue{
		store: c.Store, sealer: c.Sealer, now: c.Now, log: c.Logger, count: c.Count,
		wake: make(chan struct{}, 1), handlers: map[string]handler{}, failing: map[string]failing{},
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if q.count == nil {
		q.count = func(string, Outcome) {}
	}
	return q
}

// errUnwired is a Queue that New was not given everything for.
var errUnwired = errors.New("the outbox has no store, sealer or clock")

func (q *Queue) wired() bool { return q.store != nil && q.sealer != nil && q.now != nil }

// handler is what is done with jobs of a kind, and with how many of them at once.
type handler struct {
	atOnce int
	do     Handler
}

// Handle sets the handler of a kind, and how many jobs of that kind one process does at once. To be called before Run.
func (q *Queue) Handle(kind string, atOnce int, fn func(ctx context.Context, job Job) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.handlers[kind] = handler{max(atOnce, 1), fn}
}

// Put adds a job, in the transaction that ctx carries: it is done if and only if that commits.
func (q *Queue) Put(ctx context.Context, j Job) error {
	switch {
	case !q.wired():
		return errUnwired
	case j.Kind == "":
		return errors.New("a job without a kind")
	}
	now := q.now()
	if j.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make a job's id: %w", err)
		}
		j.ID = id.String()
	}
	if j.Due.IsZero() {
		j.Due = now
	}
	if j.Expires.IsZero() {
		j.Expires = now.Add(DefaultLifetime)
	}
	sealed, err := q.sealer.Seal("outbox", "sealed", j.ID, j.Body)
	if err != nil {
		return fmt.Errorf("seal a job: %w", err)
	}
	r := Row{ID: j.ID, Kind: j.Kind, Sealed: sealed, Due: j.Due, Expires: j.Expires, Created: now}
	if err := q.store.PutJob(ctx, r); err != nil {
		return fmt.Errorf("put a job of kind %s: %w", j.Kind, err)
	}
	// The transaction may not have committed yet: then the poll of the next second finds the job.
	q.Wake()
	return nil
}

// Wake makes Run look at once. It never waits.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// kinds are those that have a handler here. A job of a kind that only newer servers know is left to them.
func (q *Queue) kinds() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Sorted(maps.Keys(q.handlers))
}

func (q *Queue) handler(kind string) handler {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.handlers[kind]
}

// lease takes due jobs. The lease has a name of its own each time, so that a worker that was too slow cannot
// take its later self for the holder.
func (q *Queue) lease(ctx context.Context, kinds []string, n int) ([]Row, string, error) {
	if !q.wired() {
		return nil, "", errUnwired
	}
	name := uuid.NewString()
	now := q.now()
	ctx, cancel := context.WithTimeout(ctx, storeFor)
	defer cancel()
	rows, err := q.store.LeaseJobs(ctx, kinds, name, n, now, now.Add(leaseFor))
	if err != nil {
		return nil, "", fmt.Errorf("lease jobs: %w", err)
	}
	if len(rows) > 0 {
		fault.Point("outbox.leased")
	}
	return rows, name, nil
}

// work does one leased job and writes what became of it.
func (q *Queue) work(ctx context.Context, r Row, lease string) error {
	failure := q.attempt(ctx, r)
	now := q.now()
	recording, cancel := context.WithTimeout(ctx, storeFor)
	defer cancel()
	outcome, reason := Done, ""
	var err error
	switch wait := backoff[min(max(r.Attempts, 1), len(backoff))-1]; {
	case failure == nil:
		fault.Point("outbox.sent")
		err = q.store.DropJob(recording, r.ID, lease)
	case isPermanent(failure) || !now.Add(wait).Before(r.Expires):
		outcome, reason = Failed, kindOf(failure)
		err = q.store.FailJob(recording, r.ID, lease, now, reason)
	default:
		outcome, reason = Again, kindOf(failure)
		err = q.store.RetryJob(recording, r.ID, lease, now.Add(wait), reason)
	}
	if errors.Is(err, ErrLost) {
		outcome, err = Lost, nil
	}
	q.count(r.Kind, outcome)
	level := slog.LevelInfo
	if outcome != Done {
		level = slog.LevelWarn
	}
	// The error's text stays out of the log: a mail server's answer names the address.
	q.log.Log(ctx, level, "job", "kind", r.Kind, "job", r.ID, "outcome", string(outcome), "attempt", r.Attempts, "reason", reason)
	if err != nil {
		return fmt.Errorf("record a job as %s: %w", outcome, err)
	}
	if q.recovers(r.Kind, outcome, now) {
		return q.hurry(ctx, r.Kind)
	}
	return nil
}

// recovers counts, and tells whether this is the first success after an outage.
func (q *Queue) recovers(kind string, outcome Outcome, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.failing[kind]
	switch outcome {
	case Again:
		if f.n++; f.n == 1 {
			f.since = now
		}
		q.failing[kind] = f
	case Done:
		delete(q.failing, kind)
		return f.n >= outageOf && now.Sub(f.since) >= outageFor
	}
	return false
}

// hurry brings forward what waits after a failure: in a long outage waits grow long, and nobody is to wait for a mail as long
// again. A job that fails for a reason of its own gets by it one attempt more for each outage, of which there is no more than one
// a minute.
func (q *Queue) hurry(ctx context.Context, kind string) error {
	for {
		step, cancel := context.WithTimeout(ctx, storeFor) // each, however many wait
		n, err := q.store.HurryJobs(step, kind, q.now(), hurried)
		cancel()
		if err != nil {
			return fmt.Errorf("bring jobs forward: %w", err)
		}
		if n > 0 {
			q.log.InfoContext(ctx, "outbox", "kind", kind, "forward", n)
		}
		if n < hurried {
			q.Wake()
			return nil
		}
	}
}

func (q *Queue) attempt(ctx context.Context, r Row) (err error) {
	if !q.now().Before(r.Expires) {
		return Permanent(Failure("expired", errors.New("the job came too late")))
	}
	body, err := q.sealer.Open("outbox", "sealed", r.ID, r.Sealed)
	if err != nil {
		// Not for good: in the middle of a change of PASSPORT_SECRET another server can open it.
		return Failure("sealed", err)
	}
	fn := q.handler(r.Kind).do
	if fn == nil {
		return Failure("no-handler", errors.New("no handler for this kind"))
	}
	defer func() {
		// One bad job must not end the server, and with it every other job.
		if p := recover(); p != nil {
			err = Failure("panic", fmt.Errorf("the handler panicked: %v", p))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, handlerFor)
	defer cancel()
	return fn(ctx, Job{ID: r.ID, Kind: r.Kind, Body: body, Due: r.Due, Expires: r.Expires, Attempts: r.Attempts})
}
