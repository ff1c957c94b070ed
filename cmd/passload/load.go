package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// plan is how much, how fast and how long.
type plan struct {
	workers  int
	rate     float64 // operations a second; 0: each worker asks again when it has its answer
	duration time.Duration
	warmUp   time.Duration
	count    int64 // 0: as many as fit
}

const (
	mostSlots = 240                    // points of the plot
	grace     = 2 * time.Second        // for what still runs after an interruption
	slack     = 100 * time.Millisecond // how late an operation of the open loop may begin after the end
	ahead     = 20 * time.Millisecond  // how long before it is due the open loop looks whether all is there
	mostKinds = 40                     // of failures; what a server says must not fill our memory
)

// recorder sums up what is measured.
type recorder struct {
	mu       sync.Mutex
	from     time.Time // the warm-up is over
	until    time.Time // the time planned is over, or the interruption came
	last     time.Time // the end of the last operation
	all      histogram
	slot     time.Duration
	slots    []moment
	failed   uint64
	failures map[string]*failure

	requests   int64 // HTTP requests since from
	elapsed    time.Duration
	behind     time.Duration // open loop: the most that an operation began too late
	interrupts bool
}

// moment is a piece of the run.
type moment struct {
	histogram
	failed uint64
}

// failure is what went wrong in one way.
type failure struct {
	Kind    string `json:"kind"`
	Count   uint64 `json:"count"`
	Example string `json:"example,omitempty"` // the first one's detail
}

func newRecorder(p plan) *recorder {
	slot := 100 * time.Millisecond
	for mostSlots*slot < p.duration {
		slot *= 2
	}
	return &recorder{slot: slot, slots: make([]moment, (p.duration+slot-1)/slot), failures: map[string]*failure{}}
}

// add takes an operation that was due at begin and has ended at end.
func (r *recorder) add(begin, end time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end.After(r.last) {
		r.last = end
	}
	m := &moment{} // what ends later, while other workers have stopped, is in no piece of the run: it would look like a spike
	if end.Before(r.until) {
		m = &r.slots[max(int(end.Sub(r.from)/r.slot), 0)]
	}
	if err == nil {
		r.all.add(end.Sub(begin))
		m.add(end.Sub(begin))
		return
	}
	m.failed++
	f := faultOf(err)
	r.fail(f.kind, f.detail, 1)
}

// fail counts failures; the lock is held, or nobody else is there.
func (r *recorder) fail(kind, example string, n uint64) {
	r.failed += n
	if r.failures[kind] == nil && len(r.failures) >= mostKinds {
		kind, example = "other", ""
	}
	if r.failures[kind] == nil {
		r.failures[kind] = &failure{Kind: kind, Example: example}
	}
	r.failures[kind].Count += n
}

// begins sets the time that is measured.
func (r *recorder) begins(from time.Time, p plan) {
	r.from, r.until, r.last = from, from.Add(p.duration), from
}

// interrupted ends what is measured now, if it has not ended before. The first call counts.
func (r *recorder) interrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupts {
		return
	}
	r.interrupts = true
	if now := time.Now(); now.Before(r.until) {
		r.until = now
	}
}

// so is the state in between, for the progress line.
func (r *recorder) so() (ok, failed uint64, p50, p99 time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.n, r.failed, r.all.at(0.5), r.all.at(0.99)
}

// prepare gives each session of a worker what the next operation needs; who fails tries again with that.
func (s scenario) prepare(ctx context.Context, w *worker) {
	for range w.held {
		w.next()
		_ = s.has(ctx, w)
	}
}

// has gives the session whose turn it is what its operation needs.
func (s scenario) has(ctx context.Context, w *worker) error {
	if s.ready == nil {
		return nil
	}
	w.agent.begin()
	return s.ready(w, ctx)
}

// one is an operation of the next session, with what it needs; begin is when the operation itself did.
func (s scenario) one(ctx context.Context, w *worker) (begin, end time.Time, err error) {
	w.next()
	err = s.has(ctx, w)
	begin = time.Now()
	end, err = s.do(ctx, w, err)
	return begin, end, err
}

// do does the operation of the session whose turn it is; lacks is why it cannot.
func (s scenario) do(ctx context.Context, w *worker, lacks error) (end time.Time, err error) {
	if err = lacks; err == nil {
		w.agent.begin()
		err = s.act(w, ctx)
	}
	return time.Now(), err
}

// run puts the load on. stop ends it early: what runs then may end within the grace.
func (p plan) run(stop context.Context, s scenario, workers []*worker, tell func(phase string, r *recorder)) *recorder {
	ctx, kill := context.WithCancel(context.WithoutCancel(stop))
	defer kill()
	defer context.AfterFunc(stop, func() { time.AfterFunc(grace, kill) })()

	each(workers, func(w *worker) { s.prepare(ctx, w) }) // all are signed in before the clock runs
	r := newRecorder(p)
	start := time.Now()
	r.begins(start.Add(p.warmUp), p)
	undo := context.AfterFunc(stop, r.interrupted)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		progress(done, r, tell)
	}()
	if p.rate > 0 {
		p.open(ctx, stop, s, workers, r, start)
	} else {
		p.closed(ctx, stop, s, workers, r)
	}
	close(done)
	<-ended
	if !undo() {
		r.interrupted() // the other call may have just begun
	}
	r.elapsed = r.span(p)
	return r
}

// span is the time that what was done counts over: that in which operations were begun, for those are counted. The end of the last
// one says little: in the open loop it may come long before, in the closed loop one straggler may have the server to itself.
func (r *recorder) span(p plan) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	long := r.until.Sub(r.from)
	switch {
	case p.count > 0 && p.rate > 0:
		long = min(long, time.Duration(float64(p.count)/p.rate*float64(time.Second)))
	case p.count > 0 && r.all.n+r.failed >= uint64(p.count): //nolint:gosec // G115: it is above 0
		long = r.last.Sub(r.from) // none was begun afterwards because so many were asked for
	}
	return max(long, 0)
}

func each(workers []*worker, do func(w *worker)) {
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() { do(w) })
	}
	all.Wait()
}

// progress tells twice a second.
func progress(done <-chan struct{}, r *recorder, tell func(string, *recorder)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			phase := "warm-up"
			if now.After(r.from) {
				phase = fmt.Sprintf("%.0f s", now.Sub(r.from).Seconds())
			}
			tell(phase, r)
		}
	}
}

// closed: each worker asks again when it has its answer.
func (p plan) closed(ctx, stop context.Context, s scenario, workers []*worker, r *recorder) {
	end := r.from.Add(p.duration)
	var taken, requests atomic.Int64
	each(workers, func(w *worker) {
		failed := 0
		for stop.Err() == nil && time.Now().Before(end) && (p.count == 0 || taken.Load() < p.count) {
			w.next()
			begin := time.Now()
			lacks := s.has(ctx, w)
			if lacks == nil {
				begin = time.Now() // else it is a failure from then on
			}
			measured := !begin.Before(r.from)
			if !begin.Before(end) || measured && p.count > 0 && taken.Add(1) > p.count {
				return
			}
			before := w.agent.requests
			finish, err := s.do(ctx, w, lacks)
			if ctx.Err() != nil {
				return // cut off: nobody knows what it would have been
			}
			if measured {
				r.add(begin, finish, err)
				requests.Add(w.agent.requests - before)
			}
			if failed++; err == nil {
				failed = 0
			}
			pause(stop, failed)
		}
	})
	r.requests = requests.Load()
}

// pause keeps a worker from asking a server that is down a hundred thousand times a second: 10 ms after the second
// failure in a row, then twice as long each time, up to a second.
func pause(stop context.Context, failed int) {
	if failed < 2 {
		return
	}
	t := time.NewTimer(min(10*time.Millisecond<<min(failed-2, 7), time.Second))
	defer t.Stop()
	select {
	case <-stop.Done():
	case <-t.C:
	}
}

// open: operation n is due at start + n/rate, whatever became of those before it. Its latency counts from then, not
// from when a worker was free for it: else a server that stands still for a second would look slow to one operation
// of a thousand that it kept waiting (coordinated omission). Those that were due and never begun are failures.
func (p plan) open(ctx, stop context.Context, s scenario, workers []*worker, r *recorder, start time.Time) {
	end := r.from.Add(p.duration)
	every := float64(time.Second) / p.rate
	dueAt := func(n int64) time.Time { return start.Add(time.Duration(float64(n) * every)) }
	first := int64(math.Ceil(float64(p.warmUp) / every)) // the first that is measured
	total := int64(math.Ceil(float64(p.warmUp+p.duration) / every))
	if p.count > 0 {
		total = min(total, first+p.count)
	}
	var next, requests, begun atomic.Int64
	each(workers, func(w *worker) {
		for stop.Err() == nil && next.Load() < total && time.Since(end) <= slack {
			w.next()
			lacks := s.has(ctx, w) // before it takes a number: others may be free when that is due
			n := next.Add(1) - 1
			due := dueAt(n)
			if n >= total || !wait(stop, due.Add(-ahead)) {
				return
			}
			if lacks == nil {
				lacks = s.has(ctx, w) // what it had may have ended while it waited
			}
			w.agent.look()
			if !wait(stop, due) || time.Since(end) > slack {
				return
			}
			late := time.Since(due)
			if n >= first {
				begun.Add(1)
			}
			before := w.agent.requests
			finish, err := s.do(ctx, w, lacks)
			if ctx.Err() != nil {
				return
			}
			if n < first {
				continue
			}
			r.add(due, finish, err)
			requests.Add(w.agent.requests - before)
			r.mu.Lock()
			r.behind = max(r.behind, late)
			r.mu.Unlock()
		}
	})
	r.requests = requests.Load()
	due := total
	if stop.Err() != nil { // and those that were due just before may have been about to begin
		r.interrupted()
		due = min(due, int64(float64(r.until.Add(-slack).Sub(start))/every))
	}
	if missed := due - first - begun.Load(); missed > 0 {
		r.fail("never begun", "no worker was free before the end: the server, or --workers, is too small for this --rate", uint64(missed))
	}
}

// wait sleeps until due; false: the run was stopped.
func wait(stop context.Context, due time.Time) bool {
	if d := time.Until(due); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-stop.Done():
		case <-t.C:
		}
	}
	return stop.Err() == nil
}
