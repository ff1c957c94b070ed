package limit

import (
	"container/list"
	"sync"
	"time"
)

// bucketKeys bounds the memory of a Bucket: about 20 MB when strangers fill it.
const bucketKeys = 1 << 16

// Bucket counts in this process alone: the cheap limit that stands before the database.
// It forgets the key that was quiet the longest when it holds too many.
type Bucket struct {
	rule Rule
	now  func() time.Time
	max  int

	mu     sync.Mutex
	byKey  map[string]*list.Element
	recent *list.List // of *tat, newest use first
}

// tat is a key's theoretical arrival time, as in the table rate.
type tat struct {
	key string
	at  time.Time
}

// NewBucket makes a Bucket for a rule.
func NewBucket(r Rule, now func() time.Time) *Bucket {
	return &Bucket{rule: r, now: now, max: bucketKeys, byKey: map[string]*list.Element{}, recent: list.New()}
}

// Allow spends one unit of key's budget; false when it is used up.
func (b *Bucket) Allow(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	e, known := b.byKey[key]
	if !known {
		b.makeRoom()
		e = b.recent.PushFront(&tat{key: key, at: now})
		b.byKey[key] = e
	}
	b.recent.MoveToFront(e)
	t := e.Value.(*tat)
	next := t.at
	if next.Before(now) {
		next = now
	}
	next = next.Add(b.rule.Every)
	if next.Sub(now) > time.Duration(b.rule.Burst)*b.rule.Every {
		return false
	}
	t.at = next
	return true
}

// Refund gives one unit back: whoever spent it turned out to be no stranger.
func (b *Bucket) Refund(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, known := b.byKey[key]; known {
		t := e.Value.(*tat)
		t.at = t.at.Add(-b.rule.Every)
	}
}

func (b *Bucket) makeRoom() {
	for len(b.byKey) >= b.max {
		oldest := b.recent.Back()
		delete(b.byKey, oldest.Value.(*tat).key)
		b.recent.Remove(oldest)
	}
}
