package logout

import (
	"sync"
	"time"
)

const (
	perSite  = 8                // calls to one site at the same time: a quarter of all
	silence  = 30 * time.Second // for which a site that did not answer is left alone
	maxSites = 10_000           // that are remembered
)

// calls keep a site that does not answer from holding up the others, whoever registered it: it gets a few of the calls
// that can be made at once, and after one that came to nothing, none for a while.
type calls struct {
	mu    sync.Mutex
	known map[string]*callee // by client
}

type callee struct {
	calls int       // that are under way
	until time.Time // before which it is left alone; zero: it answers
}

// begin takes a place for a call; not ok when the site is to be left alone now. After a silence one call goes first.
func (s *calls) begin(id string, now time.Time) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]*callee{}
	}
	k := s.known[id]
	switch {
	case k == nil && len(s.known) >= maxSites && !s.sweep(now):
		return false
	case k == nil:
		k = &callee{}
		s.known[id] = k
	case k.calls >= perSite, now.Before(k.until):
		return false
	case !k.until.IsZero():
		k.until = now.Add(silence) // the others wait for what comes of this one
	}
	k.calls++
	return true
}

// end gives the place back.
func (s *calls) end(id string, answered bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known[id]
	k.calls--
	switch {
	case !answered:
		k.until = now.Add(silence)
	case k.calls == 0:
		delete(s.known, id)
	default:
		k.until = time.Time{}
	}
}

// sweep forgets the sites whose silence is over; not ok when there were none.
func (s *calls) sweep(now time.Time) (ok bool) {
	for id, k := range s.known {
		if k.calls == 0 && !now.Before(k.until) {
			delete(s.known, id)
			ok = true
		}
	}
	return ok
}
