package account

import (
	"context"
	"runtime"
	"testing"
)

// What hashing leaves behind is counted, and collected when it is much.
func TestHasherCollects(t *testing.T) {
	h, err := newHasher(HasherConfig{Memory: 64, Time: 1, Parallel: 4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.hash(t.Context(), "correct horse", ""); err != nil {
		t.Fatal(err)
	}
	if got := h.left.Load(); got != 64<<10 {
		t.Errorf("%d bytes are counted", got)
	}
	runs := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	before := runs()
	h.collect(1)
	if got := h.left.Load(); got != 64<<10+1 || runs() != before {
		t.Errorf("a little: %d bytes, collected %d times", got, runs()-before)
	}
	h.collect(1 << 40)
	if got := h.left.Load(); got != 0 || runs() == before {
		t.Errorf("much: %d bytes, collected %d times", got, runs()-before)
	}
}

// What is done after a request has time of its own, and an end.
func TestAfterwards(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	ctx, done := Afterwards(over)
	defer done()
	if _, bounded := ctx.Deadline(); ctx.Err() != nil || !bounded {
		t.Errorf("%v, bounded: %v", ctx.Err(), bounded)
	}
}
