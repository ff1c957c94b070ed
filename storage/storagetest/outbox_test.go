package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// handClock is a clock that moves when it is told to.
type handClock struct{ us atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.us.Store(time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC).UnixMicro())
	return c
}

func (c *handClock) Now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *handClock) Advance(d time.Duration) { c.us.Add(d.Microseconds()) }

func testSealer(t *testing.T, secrets ...string) *keys.Sealer {
	t.Helper()
	var all [][]byte
	for _, s := range secrets {
		all = append(all, []byte(strings.Repeat(s, 32)))
	}
	s, err := keys.NewSealer(all[0], all[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// worker is a queue with its own log and counts, as one replica has it.
type worker struct {
	*outbox.Queue
	log    *bytes.Buffer
	counts map[outbox.Outcome]int
	mu     sync.Mutex
}

func newWorker(t *testing.T, s *storage.Store, c *handClock, sealer *keys.Sealer) *worker {
	t.Helper()
	w := &worker{log: &bytes.Buffer{}, counts: map[outbox.Outcome]int{}}
	w.Queue = outbox.New(outbox.Config{Store: s, Sealer: sealer, Now: c.Now,
		Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
		Count: func(_ string, o outbox.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.counts[o]++
		}})
	return w
}

func due(t *testing.T, w *worker) int {
	t.Helper()
	n, err := w.RunDue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func put(t *testing.T, w *worker, j outbox.Job) {
	t.Helper()
	if err := w.Put(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func TestOutboxJob(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx, clock := t.Context(), newHandClock()
		w := newWorker(t, s, clock, testSealer(t, "a"))
		var got []outbox.Job
		w.Handle("mail", 4, func(_ context.Context, j outbox.Job) error {
			got = append(got, j)
			return nil
		})
		body := []byte("https://op.test/confirm?t=secret \x00 ünï")
		put(t, w, outbox.Job{Kind: "mail", Body: body})
		sealed, err := s.SealedValues(ctx, keys.Columns[3], "", 10)
		if err != nil || len(sealed) != 1 || bytes.Contains(sealed[0].Sealed, []byte("op.test")) {
			t.Fatalf("the row: %v, %v", sealed, err)
		}
		if n := due(t, w); n != 1 || len(got) != 1 {
			t.Fatalf("%d attempts, %d jobs", n, len(got))
		}
		if j := got[0]; !bytes.Equal(j.Body, body) || j.ID != sealed[0].Row || j.Attempts != 1 || !j.Due.Equal(clock.Now()) ||
			!j.Expires.Equal(clock.Now().Add(outbox.DefaultLifetime)) {
			t.Errorf("%+v", j)
		}
		left, err := s.SealedValues(ctx, keys.Columns[3], "", 10)
		if err != nil || len(left) != 0 || due(t, w) != 0 {
			t.Errorf("a job that is done is still there: %v, %v", left, err)
		}
		put(t, w, outbox.Job{Kind: "mail", Due: clock.Now().Add(time.Minute)})
		if due(t, w) != 0 {
			t.Error("done before it was due")
		}
		clock.Advance(time.Minute)
		if due(t, w) != 1 {
			t.Error("not done when it was due")
		}
		if err := w.Put(ctx, outbox.Job{}); err == nil {
			t.Error("a job without a kind is taken")
		}
		if w.counts[outbox.Done] != 2 || len(w.counts) != 1 {
			t.Errorf("counted %v", w.counts)
		}
	})
}

func TestOutboxJoinsTheTransaction(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		w := newWorker(t, s, newHandClock(), testSealer(t, "a"))
		done := 0
		w.Handle("mail", 4, func(context.Context, outbox.Job) error { done++; return nil })
		broken := errors.New("broken")
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			if err := w.Put(ctx, outbox.Job{Kind: "mail"}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) || due(t, w) != 0 {
			t.Fatalf("a job of a transaction that was rolled back: %v, %d done", err, done)
		}
		if err := s.InTx(t.Context(), func(ctx context.Context) error { return w.Put(ctx, outbox.Job{Kind: "mail"}) }); err != nil {
			t.Fatal(err)
		}
		if due(t, w) != 1 || done != 1 {
			t.Error("the job of a transaction that was committed is not done")
		}
	})
}

func TestOutboxBackOff(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		w := newWorker(t, s, clock, testSealer(t, "a"))
		attempts := 0
		w.Handle("mail", 4, func(_ context.Context, j outbox.Job) error {
			attempts++
			if j.Attempts != attempts {
				t.Errorf("attempt %d says %d", attempts, j.Attempts)
			}
			return outbox.Failure("refused", fmt.Errorf("550 <alice@app.test> https://op.test/confirm?t=x"))
		})
		put(t, w, outbox.Job{Kind: "mail", Body: []byte("link"), Expires: clock.Now().Add(30 * time.Minute)})
		var waits []time.Duration
		last := clock.Now()
		for range 4000 {
			if n := due(t, w); n == 1 {
				waits = append(waits, clock.Now().Sub(last))
				last = clock.Now()
			}
			clock.Advance(time.Second)
		}
		want := []time.Duration{0, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}
		if fmt.Sprint(waits) != fmt.Sprint(want) {
			t.Errorf("attempts after %v", waits)
		}
		if w.counts[outbox.Failed] != 1 || w.counts[outbox.Again] != len(want)-1 {
			t.Errorf("counted %v", w.counts)
		}
		left, err := s.SealedValues(t.Context(), keys.Columns[3], "", 10)
		if err != nil || len(left) != 0 {
			t.Errorf("a job that is given up keeps its body: %v, %v", left, err)
		}
		if strings.Contains(w.log.String(), "alice") || strings.Contains(w.log.String(), "confirm") {
			t.Errorf("the log tells too much: %s", w.log)
		}
		if !strings.Contains(w.log.String(), `"reason":"refused"`) {
			t.Errorf("the log does not tell the reason: %s", w.log)
		}
		for _, want := range []int64{0, 1} {
			clock.Advance(4 * 24 * time.Hour)
			if n, err := s.Purge(t.Context(), clock.Now(), 100); err != nil || n != want {
				t.Errorf("purged %d of %d, %v", n, want, err)
			}
		}
	})
}

// After an outage nobody waits on as long as it lasted: the first success brings forward what waits after a failure, and nothing else.
func TestOutboxRecovers(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		w := newWorker(t, s, clock, testSealer(t, "a"))
		down, bad := true, map[string]bool{}
		w.Handle("mail", 4, func(_ context.Context, j outbox.Job) error {
			if down || bad[string(j.Body)] {
				return outbox.Failure("refused", errors.New("451 later"))
			}
			return nil
		})
		w.Handle("notice", 4, func(context.Context, outbox.Job) error { return outbox.Failure("refused", errors.New("no answer")) })
		fail := func(job string, attempts int) {
			t.Helper()
			put(t, w, outbox.Job{Kind: "mail", Body: []byte(job)})
			for _, wait := range []time.Duration{0, 5, 15, 60, 300, 900}[:attempts] {
				clock.Advance(wait * time.Second)
				if due(t, w) == 0 {
					t.Fatalf("%s is not tried again after %d s", job, wait)
				}
			}
		}
		put(t, w, outbox.Job{Kind: "notice"})
		fail("first", 6) // it waits for a quarter of an hour
		for range 1200 { // more than one statement brings forward
			put(t, w, outbox.Job{Kind: "mail"})
		}
		put(t, w, outbox.Job{Kind: "mail", Body: []byte("tomorrow"), Due: clock.Now().Add(24 * time.Hour)})
		if n := due(t, w); n < 1200 {
			t.Fatalf("%d attempts", n)
		}
		down = false
		put(t, w, outbox.Job{Kind: "mail", Body: []byte("new")})
		if n := due(t, w); n != 1202 {
			t.Errorf("%d attempts after the outage, not of the new one, the 1200 and the first", n)
		}
		if n := due(t, w); n != 0 {
			t.Errorf("%d attempts more", n)
		}

		// Bad jobs among others that are done are no outage, however many: nothing brings them forward.
		for i := range 5 {
			job := fmt.Sprint("bad ", i)
			bad[job] = true
			put(t, w, outbox.Job{Kind: "mail", Body: []byte(job)})
		}
		due(t, w)
		put(t, w, outbox.Job{Kind: "mail"})
		if n := due(t, w); n != 1 {
			t.Errorf("%d attempts with five bad jobs", n)
		}
		// Nor are two that are bad for long, when nothing else is sent.
		s2 := newWorker(t, s, clock, testSealer(t, "a"))
		s2.Handle("quiet", 1, func(_ context.Context, j outbox.Job) error {
			if string(j.Body) == "bad" {
				return outbox.Failure("refused", errors.New("451 later"))
			}
			return nil
		})
		for range 2 {
			put(t, s2, outbox.Job{Kind: "quiet", Body: []byte("bad")})
		}
		due(t, s2)
		clock.Advance(4 * time.Second)
		put(t, s2, outbox.Job{Kind: "quiet"})
		if n := due(t, s2); n != 1 {
			t.Errorf("%d attempts with two bad jobs", n)
		}
	})
}

func TestOutboxPermanentExpiredPanic(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		w := newWorker(t, s, clock, testSealer(t, "a"))
		calls := 0
		w.Handle("gone", 4, func(context.Context, outbox.Job) error {
			calls++
			return fmt.Errorf("send: %w", outbox.Permanent(errors.New("no such mailbox")))
		})
		put(t, w, outbox.Job{Kind: "gone"})
		put(t, w, outbox.Job{Kind: "gone", Expires: clock.Now()})
		if due(t, w) != 2 || calls != 1 || w.counts[outbox.Failed] != 2 {
			t.Errorf("%d calls, counted %v", calls, w.counts)
		}
		w.Handle("panics", 4, func(context.Context, outbox.Job) error { panic("boom") })
		put(t, w, outbox.Job{Kind: "panics"})
		if due(t, w) != 1 || w.counts[outbox.Again] != 1 {
			t.Errorf("after a panic: %v", w.counts)
		}
		// A job of a kind that only a newer release knows is left to it, untouched.
		put(t, w, outbox.Job{Kind: "newer"})
		if due(t, w) != 0 {
			t.Error("a job without a handler was leased")
		}
		w.Handle("newer", 4, func(_ context.Context, j outbox.Job) error {
			if j.Attempts != 1 {
				t.Errorf("%d attempts", j.Attempts)
			}
			return nil
		})
		if due(t, w) != 1 {
			t.Error("the handler came and the job was not done")
		}
		// Another server has a secret that this one lacks: not this job's fault.
		other := newWorker(t, s, clock, testSealer(t, "b"))
		put(t, other, outbox.Job{Kind: "newer"})
		before := w.counts[outbox.Failed]
		if due(t, w) != 1 || w.counts[outbox.Failed] != before || !strings.Contains(w.log.String(), `"reason":"sealed"`) {
			t.Errorf("a job sealed elsewhere was given up: %v", w.counts)
		}
	})
}

// A worker that dies keeps its lease until it runs out; what it says later changes nothing.
func TestOutboxLease(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx, clock := t.Context(), newHandClock()
		a, b := newWorker(t, s, clock, testSealer(t, "a")), newWorker(t, s, clock, testSealer(t, "a"))
		var ids []string
		b.Handle("mail", 4, func(_ context.Context, j outbox.Job) error { ids = append(ids, j.ID); return nil })
		a.Handle("mail", 4, func(ctx context.Context, j outbox.Job) error {
			// While this worker hangs, its lease runs out and the other one does the job.
			if n, err := b.RunDue(ctx); err != nil || n != 0 {
				t.Errorf("a leased job was leased again: %d, %v", n, err)
			}
			clock.Advance(61 * time.Second)
			if n, err := b.RunDue(ctx); err != nil || n != 1 {
				t.Errorf("a job whose lease ran out was not taken: %d, %v", n, err)
			}
			ids = append(ids, j.ID)
			return errors.New("too late")
		})
		put(t, a, outbox.Job{Kind: "mail"})
		if due(t, a) != 1 || len(ids) != 2 || ids[0] != ids[1] {
			t.Fatalf("%v", ids)
		}
		if a.counts[outbox.Lost] != 1 || b.counts[outbox.Done] != 1 {
			t.Errorf("counted %v and %v", a.counts, b.counts)
		}
		put(t, b, outbox.Job{Kind: "mail"})
		rows, err := s.LeaseJobs(ctx, []string{"mail"}, "one", 1, clock.Now(), clock.Now().Add(time.Minute))
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		id := rows[0].ID
		for name, err := range map[string]error{
			"drop":          s.DropJob(ctx, id, "two"),
			"drop unleased": s.DropJob(ctx, id, ""),
			"retry":         s.RetryJob(ctx, id, "two", clock.Now(), "x"),
			"fail":          s.FailJob(ctx, id, "two", clock.Now(), "x"),
		} {
			if !errors.Is(err, outbox.ErrLost) {
				t.Errorf("%s under another's lease: %v", name, err)
			}
		}
		if err := s.RetryJob(ctx, id, "one", clock.Now(), "x"); err != nil {
			t.Error(err)
		}
		if err := s.DropJob(ctx, id, ""); !errors.Is(err, outbox.ErrLost) {
			t.Errorf("dropped by nobody: %v", err)
		}
	})
}

func TestOutboxEachJobOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		const jobs, replicas = 100, 4
		clock := newHandClock()
		sealer := testSealer(t, "a")
		var mu sync.Mutex
		seen := map[string]int{}
		all := make(chan struct{})
		finish := sync.OnceFunc(func() { close(all) })
		first := newWorker(t, s, clock, sealer)
		for range jobs {
			put(t, first, outbox.Job{Kind: "mail"})
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var ended sync.WaitGroup
		for range replicas {
			w := newWorker(t, s, clock, sealer)
			w.Handle("mail", 4, func(_ context.Context, j outbox.Job) error {
				mu.Lock()
				defer mu.Unlock()
				seen[j.ID]++
				if len(seen) == jobs {
					finish()
				}
				return nil
			})
			ended.Go(func() {
				if err := w.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		select {
		case <-all:
		case <-time.After(60 * time.Second):
			t.Error("not all jobs were done")
		}
		stop()
		ended.Wait()
		for id, n := range seen {
			if n != 1 {
				t.Errorf("job %s was done %d times", id, n)
			}
		}
		if n := due(t, first); n != 0 {
			t.Errorf("%d jobs are left", n)
		}
	})
}

// A kind has four workers: a slow one neither takes more than those, nor anything from another kind.
func TestOutboxBoundsWorkers(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		w := newWorker(t, s, newHandClock(), testSealer(t, "a"))
		begun, release, quick := make(chan string, 20), make(chan struct{}), make(chan string, 20)
		w.Handle("slow", 4, func(_ context.Context, j outbox.Job) error { begun <- j.ID; <-release; return nil })
		w.Handle("quick", 4, func(_ context.Context, j outbox.Job) error { quick <- j.ID; return nil })
		for range 6 {
			put(t, w, outbox.Job{Kind: "slow"})
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		wait := func(c chan string, n int) {
			t.Helper()
			for range n {
				select {
				case <-c:
				case <-time.After(20 * time.Second):
					t.Fatal("a job did not begin")
				}
			}
		}
		wait(begun, 4)
		put(t, w, outbox.Job{Kind: "quick"})
		wait(quick, 1)
		select {
		case <-begun:
			t.Error("a fifth job of one kind runs")
		case <-time.After(1200 * time.Millisecond): // more than one poll
		}
		close(release)
		wait(begun, 2)
	})
}

// When the server stops, a running handler is let finish, and nothing new begins.
func TestOutboxStops(t *testing.T) {
	s := storagetest.Open(t, storagetest.SQLite(t))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, s, newHandClock(), testSealer(t, "a"))
	ctx, stop := context.WithCancel(t.Context())
	done := 0
	w.Handle("mail", 4, func(ctx context.Context, _ outbox.Job) error {
		stop()
		select {
		case <-ctx.Done():
			t.Error("the handler was cut off")
		case <-time.After(300 * time.Millisecond):
		}
		done++
		return nil
	})
	put(t, w, outbox.Job{Kind: "mail"})
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if done != 1 || w.counts[outbox.Done] != 1 {
		t.Errorf("%d done, counted %v", done, w.counts)
	}
}
