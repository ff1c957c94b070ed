package logout

import (
	"strconv"
	"testing"
	"time"
)

// TestCalls: case S4, the bookkeeping by itself: what a clock and many calls at once would hide.
func TestCalls(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	begin := func(t *testing.T, s *calls, want ...bool) {
		t.Helper()
		for i, ok := range want {
			if s.begin("a", now) != ok {
				t.Fatalf("call %d begins: %v", i+1, !ok)
			}
		}
	}
	t.Run("after a silence one call goes first", func(t *testing.T) {
		var s calls
		begin(t, &s, true)
		s.end("a", false, now)
		begin(t, &s, false)
		now = now.Add(silence - 1)
		begin(t, &s, false)
		now = now.Add(1)
		begin(t, &s, true, false, false) // the second and third wait for what comes of the first
		s.end("a", true, now)
		begin(t, &s, true, true)
	})
	t.Run("one answer ends the silence for all", func(t *testing.T) {
		var s calls
		begin(t, &s, true, true, true)
		s.end("a", false, now)
		begin(t, &s, false)
		s.end("a", true, now)
		begin(t, &s, true)
	})
	t.Run("no more sites are remembered than fit, and those that answer are none of them", func(t *testing.T) {
		var s calls
		for i := range maxSites {
			id := strconv.Itoa(i)
			if !s.begin(id, now) {
				t.Fatalf("site %d", i)
			}
			s.end(id, false, now)
		}
		begin(t, &s, false)
		if len(s.known) != maxSites {
			t.Errorf("%d sites", len(s.known))
		}
		now = now.Add(silence)
		begin(t, &s, true)
		s.end("a", true, now)
		if len(s.known) != 0 {
			t.Errorf("%d sites, and all of them silent long ago", len(s.known))
		}
	})
}
