//go:build e2e

package main

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/passport-network/passport/storage/storagetest"
)

// register walks a person without JavaScript through registration, up to the waiting page.
func (p *person) register(w *world, email, password string) {
	p.t.Helper()
	p.seen.add("password", password)
	p.get(w.issuer + "/register")
	p.submit("register-submit", map[string]string{"register-email": email, "register-password": password, "register-name": "Alice"})
	p.submit("terms-email", map[string]string{"terms-email": email})
	if p.Status != 200 || !p.has("waiting") {
		p.t.Fatalf("no waiting page: status %d at %s\n%s", p.Status, p.URL.Path, p.Body)
	}
}

// TestMailSurvivesSIGKILL: what was promised is sent after a power failure, and a repeat is recognisable.
func TestMailSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	// Side by side: a dead server's lease of a job runs out only after a minute.
	each := func(t *testing.T, fn func(t *testing.T, w *world)) {
		t.Run("sqlite", func(t *testing.T) {
			t.Parallel()
			fn(t, newWorld(t, "", false))
		})
		t.Run("postgres", func(t *testing.T) {
			t.Parallel()
			fn(t, newWorld(t, storagetest.Postgres(t), false))
		})
	}

	t.Run("killed before sending", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			// Nothing listens where mail should go: the message can only wait in the outbox.
			healthy := w.env
			w.env = append(append([]string{}, w.env...), "PASSPORT_SMTP_URL=smtp://mailer:x@localhost:"+freePort())
			w.start()
			w.person().register(w, "alice@example.test", "Blue-"+rand.Text())
			w.kill()
			w.env = healthy
			w.start()
			if m := w.smtp.next(); len(m.to) != 1 || m.to[0] != "alice@example.test" {
				t.Errorf("after the restart the mail went to %v", m.to)
			}
		})
	})

	t.Run("killed between the server's acceptance and our note of it", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			release := w.smtp.holdAnswers()
			w.start()
			p := w.person()
			p.register(w, "alice@example.test", "Blue-"+rand.Text())
			first := w.smtp.next()
			w.kill()
			release()
			w.start()
			second := w.smtp.next()
			if first.messageID == "" || second.messageID != first.messageID {
				t.Errorf("Message-ID %q, then %q", first.messageID, second.messageID)
			}
			if first.link(t, "confirm") != second.link(t, "confirm") {
				t.Error("the repeat has another link")
			}
			// The link works, once.
			p.get(second.link(t, "confirm")).submit("confirm-submit", nil)
			if p.Status != 200 || !strings.HasPrefix(p.URL.Path, "/account") {
				t.Errorf("after confirming: status %d at %s", p.Status, p.URL.Path)
			}
			p.get(second.link(t, "confirm"))
			if p.has("confirm-submit") {
				t.Error("the link can be used again")
			}
		})
	})
}

// TestLinksOfferNothingToScanners: A1 from outside, over a real mail.
func TestLinksOfferNothingToScanners(t *testing.T) {
	w := newWorld(t, "", false)
	w.start()
	p := w.person()
	p.register(w, "alice@example.test", "Blue-"+rand.Text())
	m := w.smtp.next()
	scanner := w.person()
	for range 3 {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			for _, kind := range []string{"confirm", "cancel"} {
				scanner.send(method, m.link(t, kind), nil)
			}
		}
	}
	if p.get(m.link(t, "cancel")); !p.has("cancel-submit") {
		t.Fatal("a scanner's visit spent the cancel link")
	}
	if p.get(m.link(t, "confirm")); !p.has("confirm-submit") {
		t.Fatal("a scanner's visit spent the confirm link")
	}
	// Cancelling frees the address at once: the other link is dead with it.
	p.get(m.link(t, "cancel")).submit("cancel-submit", nil)
	if p.get(m.link(t, "confirm")); p.has("confirm-submit") {
		t.Error("the confirm link outlives the cancellation")
	}
	again := w.person()
	again.register(w, "alice@example.test", "Green-"+rand.Text())
	second := w.smtp.next()
	again.get(second.link(t, "confirm")).submit("confirm-submit", nil)
	if again.Status != 200 {
		t.Errorf("the freed address can't be registered: %d", again.Status)
	}
}
