package main

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts latencies in buckets whose width grows with the value: exact below 64 µs, and never wider than
// 1/64 of the value above, so that a percentile is wrong by 1.6 % at most, at any scale, in 16 KiB. That is the idea of
// HdrHistogram; a library would bring more code than these forty lines and nothing that is used here.
type histogram struct {
	counts   []uint32 // grown as far as the highest value needs
	n        uint64
	sum      float64 // seconds
	min, max time.Duration
}

const subBits = 6 // 2^subBits buckets an octave

// bucketOf is the bucket of so many microseconds.
func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - subBits
	return shift<<subBits + int(us>>shift)
}

// topOf is the highest value that falls into a bucket, in microseconds: the inverse of bucketOf.
func topOf(bucket int) uint64 {
	if bucket < 2<<subBits {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return uint64(bucket-shift<<subBits+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	b := bucketOf(uint64(d / time.Microsecond))
	for len(h.counts) <= b {
		h.counts = append(h.counts, 0)
	}
	h.counts[b]++
	if h.n == 0 || d < h.min {
		h.min = d
	}
	h.n, h.sum, h.max = h.n+1, h.sum+d.Seconds(), max(h.max, d)
}

// at is the latency that a share q (0 to 1) of all operations did not exceed; 0 without any.
func (h *histogram) at(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := max(uint64(math.Ceil(q*float64(h.n))), 1)
	var seen uint64
	for b, c := range h.counts {
		if seen += uint64(c); seen >= want {
			return min(max(time.Duration(topOf(b))*time.Microsecond, h.min), h.max)
		}
	}
	return h.max
}

func (h *histogram) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n) * float64(time.Second))
}
