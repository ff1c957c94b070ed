package clock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// world is a local monotonic clock and a database's, both moved by hand.
type world struct {
	mu    sync.Mutex
	mono  time.Duration
	apart time.Duration // what mono lacks to the wall clock
	db    time.Time
	trip  time.Duration // each way
	fails error
	asked chan struct{}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mono += d
	w.db = w.db.Add(d)
}

func (w *world) source(context.Context) (time.Time, error) {
	w.pass(w.trip)
	w.mu.Lock()
	answer, err := w.db, w.fails
	w.mu.Unlock()
	w.pass(w.trip)
	if w.asked != nil {
		w.asked <- struct{}{}
	}
	return answer, err
}

func (w *world) now() (mono, wall time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mono, w.mono + w.apart
}

// sleep is what a machine does whose monotonic clock stands meanwhile.
func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart += d
	w.db = w.db.Add(d)
}

// set sets the machine's wall clock.
func (w *world) set(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart += by
}

// database moves the database's clock alone.
func (w *world) database(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.db = w.db.Add(d)
}

// newWorld is a clock whose machine thinks it is noon, and a database that is ahead of it.
func newWorld(ahead time.Duration) (*Clock, *world) {
	w := &world{db: noon.Add(ahead)}
	return newClock(w.source, noon, w.now, nil), w
}

func (w *world) measure(t *testing.T, c *Clock, want error) {
	t.Helper()
	if err := c.Measure(t.Context()); !errors.Is(err, want) {
		t.Fatalf("measure: %v, want %v", err, want)
	}
}

func ready(t *testing.T, c *Clock, want error) {
	t.Helper()
	if err := c.Ready(); !errors.Is(err, want) {
		t.Errorf("ready: %v, want %v", err, want)
	}
}

func TestFollowsTheDatabase(t *testing.T) {
	for _, ahead := range []time.Duration{0, -10 * time.Minute, 10 * time.Minute, 1500 * time.Microsecond} {
		c, w := newWorld(ahead)
		if !c.Now().Equal(noon) {
			t.Errorf("before the first measurement it is %s", c.Now())
		}
		ready(t, c, ErrUnmeasured)
		w.measure(t, c, nil)
		ready(t, c, nil)
		if c.Offset() != ahead {
			t.Errorf("offset %s, want %s", c.Offset(), ahead)
		}
		w.pass(7*time.Second + 1234*time.Nanosecond)
		if want := w.db.Truncate(time.Microsecond); !c.Now().Equal(want) {
			t.Errorf("it is %s, want %s", c.Now(), want)
		}
		if c.Now().Location() != time.UTC || c.Now().Nanosecond()%1000 != 0 {
			t.Errorf("%s is not in UTC and whole microseconds", c.Now())
		}
	}
}

func TestHalfTheRoundTrip(t *testing.T) {
	c, w := newWorld(time.Minute)
	w.trip = 2 * time.Second
	w.measure(t, c, nil)
	if c.Offset() != time.Minute {
		t.Errorf("offset %s: the way there and back was not taken off", c.Offset())
	}
	if !c.Now().Equal(w.db) {
		t.Errorf("it is %s, want %s", c.Now(), w.db)
	}
}

// The machine's wall clock is read once: a step of it moves nothing.
func TestWallClockSteps(t *testing.T) {
	start := time.Now()
	stepped := start.Add(-3 * time.Hour).Round(0) // what the wall clock says later
	w := &world{db: start}
	c := newClock(w.source, start, w.now, nil)
	w.measure(t, c, nil)
	w.pass(time.Second)
	if got := c.Now(); got.Before(start) || got.Before(stepped) || got.Sub(start) > 2*time.Second {
		t.Errorf("it is %s", got)
	}
	// And the real one runs on monotonic time.
	real := New(func(context.Context) (time.Time, error) { return time.Now(), nil })
	if err := real.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Until(real.Now()).Abs(); d > time.Minute {
		t.Errorf("%s off", d)
	}
	if mono, wall := real.read(); mono < 0 || (wall-mono).Abs() > time.Minute || real.start.Location() != time.UTC || real.start != real.start.Round(0) {
		t.Error("the start still carries a monotonic reading")
	}
}

func TestStale(t *testing.T) {
	c, w := newWorld(0)
	w.measure(t, c, nil)
	w.pass(30 * time.Second)
	ready(t, c, nil)
	w.pass(time.Microsecond)
	ready(t, c, ErrStale)
	// A failure is no measurement.
	w.fails = errors.New("connection refused")
	w.measure(t, c, w.fails)
	ready(t, c, ErrStale)
	if c.Offset() != 0 {
		t.Errorf("a failure moved the offset by %s", c.Offset())
	}
	w.fails = nil
	w.measure(t, c, nil)
	ready(t, c, nil)
}

func TestSlow(t *testing.T) {
	c, w := newWorld(time.Minute)
	w.trip = 2500 * time.Millisecond
	w.measure(t, c, nil)
	ready(t, c, nil)
	w.trip += time.Microsecond
	w.database(time.Second)
	w.measure(t, c, ErrSlow)
	ready(t, c, ErrSlow)
	if c.Offset() != time.Minute {
		t.Errorf("a slow answer moved the offset to %s", c.Offset())
	}
	w.trip = 0
	w.measure(t, c, nil)
	ready(t, c, nil)
	if c.Offset() != time.Minute+time.Second {
		t.Errorf("offset %s", c.Offset())
	}

	// A first answer that is slow is better than none, and still not ready.
	c, w = newWorld(time.Hour)
	w.trip = 4 * time.Second
	w.measure(t, c, ErrSlow)
	ready(t, c, ErrSlow)
	if c.Offset() != time.Hour {
		t.Errorf("offset %s", c.Offset())
	}
}

func TestJump(t *testing.T) {
	for _, by := range []time.Duration{5*time.Second + time.Microsecond, -5*time.Second - time.Microsecond, time.Hour} {
		c, w := newWorld(0)
		w.measure(t, c, nil)
		w.pass(Every)
		w.measure(t, c, nil)
		w.database(by)
		w.measure(t, c, ErrJump)
		ready(t, c, ErrJump)
		if c.Offset() != by {
			t.Errorf("offset %s: the database's clock is the authority, %s", c.Offset(), by)
		}
		// The next two must agree.
		w.measure(t, c, nil)
		ready(t, c, ErrJump)
		w.measure(t, c, nil)
		ready(t, c, nil)
	}
	// Drift of less is followed without a word.
	c, w := newWorld(0)
	w.measure(t, c, nil)
	w.database(5 * time.Second)
	w.measure(t, c, nil)
	ready(t, c, nil)
	// A jump there and back: counted from the last.
	w.database(time.Hour)
	w.measure(t, c, ErrJump)
	w.measure(t, c, nil)
	w.database(-time.Hour)
	w.measure(t, c, ErrJump)
	w.measure(t, c, nil)
	ready(t, c, ErrJump)
	w.measure(t, c, nil)
	ready(t, c, nil)
}

// A machine that has slept is not ready from its first moment on, and measures at once; so does one whose wall clock was set,
// which is ready again with that.
func TestSleep(t *testing.T) {
	w := &world{db: noon, asked: make(chan struct{})}
	c := newClock(w.source, noon, w.now, func(time.Duration) <-chan time.Time { return nil })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	<-w.asked // at the start
	measured := func(offset time.Duration) {
		for deadline := time.Now().Add(5 * time.Second); ; {
			c.mu.RLock()
			got, apart := c.offset, c.apart
			c.mu.RUnlock()
			if mono, wall := w.now(); got == offset && apart == wall-mono {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the offset is %s, not %s", got, offset)
			}
		}
	}
	measured(0)
	ready(t, c, nil)
	c.Now() // no doubt: nothing is measured, or asked below would hang
	for _, slept := range []time.Duration{jump + time.Microsecond, time.Hour} {
		before := c.Offset()
		w.pass(again)
		w.sleep(slept)
		ready(t, c, ErrJump)
		<-w.asked
		measured(before + slept)
		ready(t, c, ErrJump) // until two more agree
		if !c.Now().Equal(w.db) {
			t.Errorf("it is %s, want %s", c.Now(), w.db)
		}
		for range settled {
			go func() { <-w.asked }()
			w.measure(t, c, nil)
		}
		ready(t, c, nil)
	}
	before := c.Offset()
	w.pass(again)
	w.set(-time.Hour)
	c.Now()
	<-w.asked
	measured(before)
	ready(t, c, nil)
	// Less is no doubt, and while the database does not answer it is not asked without end.
	w.set(jump)
	ready(t, c, nil)
	w.set(time.Hour)
	w.pass(again)
	w.mu.Lock()
	w.fails = errors.New("connection refused")
	w.mu.Unlock()
	c.Now()
	<-w.asked
	for range 1000 {
		c.Now()
	}
	select {
	case <-c.doubt:
		t.Error("asked again within the second")
	default:
	}
	w.pass(again)
	ready(t, c, ErrJump)
	<-w.asked
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A measurement during which the machine sleeps is of the time before, and one that took too long moves nothing: neither ends
// the doubt.
func TestSleepWhileMeasuring(t *testing.T) {
	w := &world{db: noon}
	source := w.source
	c := newClock(func(ctx context.Context) (time.Time, error) { return source(ctx) }, noon, w.now, nil)
	w.measure(t, c, nil)
	ready(t, c, nil)
	source = func(ctx context.Context) (time.Time, error) {
		theirs, err := w.source(ctx)
		w.sleep(time.Hour)
		return theirs, err
	}
	w.measure(t, c, nil)
	ready(t, c, ErrJump)
	source = w.source
	w.trip = slow // each way
	w.measure(t, c, ErrSlow)
	w.pass(again)
	c.Now()
	select {
	case <-c.doubt:
	default:
		t.Error("after a measurement that was too slow none is asked for")
	}
	w.trip = 0
	w.measure(t, c, ErrJump)
	if !c.Now().Equal(w.db) {
		t.Errorf("it is %s, want %s", c.Now(), w.db)
	}
}

func TestRun(t *testing.T) {
	w := &world{db: noon, asked: make(chan struct{})}
	tick := make(chan time.Time)
	var waits []time.Duration
	c := newClock(w.source, noon, w.now, func(d time.Duration) <-chan time.Time {
		waits = append(waits, d)
		return tick
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	<-w.asked // at the start
	tick <- time.Time{}
	<-w.asked // and again
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, d := range waits {
		if d != 10*time.Second {
			t.Errorf("it waits %s", d)
		}
	}
	if err := c.Ready(); err != nil {
		t.Error(err)
	}
}

// A source that never answers does not hang the clock for ever.
func TestSilence(t *testing.T) {
	var limit time.Duration
	c := New(func(ctx context.Context) (time.Time, error) {
		d, ok := ctx.Deadline()
		if !ok {
			t.Error("no deadline")
		}
		limit = time.Until(d)
		return time.Time{}, context.DeadlineExceeded
	})
	if err := c.Measure(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if limit <= slow || limit > Every {
		t.Errorf("it waits %s", limit)
	}
}
