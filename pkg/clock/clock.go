package clock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Every is how often Run measures.
	Every = 10 * time.Second
	// stale is the age from which the last measurement no longer counts.
	stale = 30 * time.Second
	// slow is the round trip from which a measurement says too little: its error is up to half of it.
	slow = 5 * time.Second
	// jump is the difference of two measurements in a row from which neither is trusted.
	jump = 5 * time.Second
	// patience ends the wait for one answer of the source.
	patience = 9 * time.Second
	// again is how often a doubt asks for a measurement.
	again = time.Second
)

// Reasons for which a clock is not ready.
var (
	ErrUnmeasured = errors.New("the database's time was not measured yet")
	ErrStale      = errors.New("the last measurement of the database's time is too old")
	ErrSlow       = errors.New("the last measurement of the database's time took too long")
	ErrJump       = errors.New("two measurements of the database's time disagree, or the machine slept since the last")
)

// Source asks the database for its time.
type Source func(ctx context.Context) (time.Time, error)

// Clock tells the database's time without asking it each time. It is safe for concurrent use.
type Clock struct {
	src   Source
	start time.Time                         // the wall clock, read once; UTC drops its monotonic reading
	read  func() (mono, wall time.Duration) // monotonic time, and that of the wall clock, since start
	wait  func(time.Duration) <-chan time.Time

	doubt   chan struct{} // measure now
	doubted atomic.Int64  // mono when that was asked for

	mu       sync.RWMutex
	offset   time.Duration // what start+mono lacks to the database's time
	measured bool          // offset is a measured one
	last     time.Duration // mono at the end of the last measurement
	apart    time.Duration // what mono lacked to the wall clock when offset was measured
	took     time.Duration // its round trip
	agreed   int           // measurements after a jump that agree with each other; settled counts as enough
}

// settled is how many measurements must agree after a jump before the clock is ready again.
const settled = 2

// New makes a clock that follows src. Until the first Measure it tells the local time and is not ready.
func New(src Source) *Clock {
	start := time.Now()
	return newClock(src, start, func() (mono, wall time.Duration) {
		now := time.Now()
		return now.Sub(start) + wrong(), now.Round(0).Sub(start.Round(0))
	}, time.After)
}

func newClock(src Source, start time.Time, read func() (mono, wall time.Duration), wait func(time.Duration) <-chan time.Time) *Clock {
	return &Clock{src: src, start: start.UTC(), read: read, wait: wait, doubt: make(chan struct{}, 1), agreed: settled}
}

// Now is the database's time as far as it is known: UTC, whole microseconds.
func (c *Clock) Now() time.Time {
	mono, wall := c.read()
	c.mu.RLock()
	offset := c.offset
	c.doubts(mono, wall)
	c.mu.RUnlock()
	return c.start.Add(mono + offset).Truncate(time.Microsecond)
}

// doubts tells whether the wall clock and the monotonic one have gone apart since the last measurement, and has Run measure at
// once where they have. The monotonic one stands while a machine sleeps, or its hypervisor moves it: what is issued from then on
// would be of the past. Which of the two is right, if not the wall clock was set, only the database can say. c.mu is held.
func (c *Clock) doubts(mono, wall time.Duration) bool {
	if !c.measured || (wall-mono-c.apart).Abs() <= jump {
		return false
	}
	if last := c.doubted.Load(); (mono-time.Duration(last)).Abs() >= again && c.doubted.CompareAndSwap(last, int64(mono)) {
		select {
		case c.doubt <- struct{}{}:
		default:
		}
	}
	return true
}

// Offset is what the local monotonic time lacks to the database's.
func (c *Clock) Offset() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.offset
}

// Measure asks the source once. An error leaves the offset as it was; so does an answer that took so long
// that it would be a worse guess than the offset there is.
func (c *Clock) Measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, wall := c.read()
	theirs, err := c.src(ctx)
	after, _ := c.read()
	if err != nil {
		return fmt.Errorf("measure the database's time: %w", err)
	}
	took := after - before
	// The answer was true somewhere within the round trip: half of it is the best guess.
	offset := theirs.Sub(c.start.Add(before + took/2))
	apart := wall - before // of before, so that a sleep meanwhile, which the answer may not know of, is a doubt

	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.measured
	c.last, c.took, c.measured = after, took, true
	if took > slow {
		if first {
			c.offset, c.apart = offset, apart
		}
		return ErrSlow
	}
	moved := (offset - c.offset).Abs()
	c.offset, c.apart = offset, apart
	switch {
	case first:
	case moved > jump:
		c.agreed = 0
		return ErrJump
	case c.agreed < settled:
		c.agreed++
	}
	return nil
}

// Run measures now, every ten seconds, and when there is a doubt, until ctx ends; Ready tells what came of it.
func (c *Clock) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		// Not lost: without a good measurement Ready turns red.
		_ = c.Measure(ctx)
		select {
		case <-ctx.Done():
		case <-c.wait(Every):
		case <-c.doubt:
		}
	}
	return nil
}

// Ready is nil while the time may be relied on.
func (c *Clock) Ready() error {
	mono, wall := c.read()
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch {
	case !c.measured:
		return ErrUnmeasured
	case mono-c.last > stale:
		return ErrStale
	case c.took > slow:
		return ErrSlow
	case c.agreed < settled, c.doubts(mono, wall):
		return ErrJump
	}
	return nil
}
