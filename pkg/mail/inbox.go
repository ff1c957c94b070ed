package mail

import (
	"slices"
	"sync"
	"time"
)

// inboxSize bounds the memory of a dev server.
const inboxSize = 50

// Stored is a mail in the dev inbox.
type Stored struct {
	ID      string
	To      string
	Subject string
	Text    string
	HTML    string
	At      time.Time
}

// Inbox keeps the last 50 mails in memory (serve --dev).
type Inbox struct {
	mu   sync.Mutex
	list []Stored // oldest first
}

func (b *Inbox) add(s Stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A repeat of a job replaces the mail, as a mail program does by the Message-ID.
	b.list = slices.DeleteFunc(b.list, func(o Stored) bool { return o.ID == s.ID })
	b.list = append(b.list, s)
	if over := len(b.list) - inboxSize; over > 0 {
		b.list = slices.Delete(b.list, 0, over)
	}
}

// List is all of them, newest first.
func (b *Inbox) List() []Stored {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.list)
	slices.Reverse(list)
	return list
}

// Get finds one.
func (b *Inbox) Get(id string) (Stored, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.list {
		if s.ID == id {
			return s, true
		}
	}
	return Stored{}, false
}
