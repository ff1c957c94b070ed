package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	t.Run("no bucket is wider than 1/64 of what falls into it", func(t *testing.T) {
		last := -1
		for us := uint64(0); us < 1<<40; us += 1 + us/500 {
			b := bucketOf(us)
			if b < last {
				t.Fatalf("%d µs: bucket %d after %d", us, b, last)
			}
			last = b
			if top := topOf(b); top < us || float64(top-us) > float64(us)/64 {
				t.Fatalf("%d µs fall into a bucket up to %d", us, top)
			}
		}
	})
	t.Run("percentiles are those of the sorted list", func(t *testing.T) {
		var h histogram
		var all []time.Duration
		r := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			d := time.Duration(r.ExpFloat64() * float64(3*time.Millisecond))
			h.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
			want := all[int(math.Ceil(q*float64(len(all))))-1]
			if got := h.at(q); got < want-want/50-time.Microsecond || got > want+want/50+time.Microsecond {
				t.Errorf("p%v: %v, not %v", 100*q, got, want)
			}
		}
		if h.at(1) != all[len(all)-1] || h.min != all[0] || h.n != uint64(len(all)) {
			t.Errorf("min %v max %v n %d", h.min, h.at(1), h.n)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		var h histogram
		if h.at(0.5) != 0 || h.mean() != 0 {
			t.Error("a latency of nothing")
		}
	})
}
