//go:build fault && !e2e

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

const slowly = "a byte a second"

// mailModes are what a mail server can do wrong.
var mailModes = map[string]mailMode{
	"451": func(verb, answer string) (string, bool) {
		if verb == "END" {
			return "451 later", false
		}
		return answer, false
	},
	"550": func(verb, answer string) (string, bool) {
		if strings.HasPrefix(verb, "RCPT") {
			return "550 nobody", false
		}
		return answer, false
	},
	"taken, and gone before the answer": func(verb, answer string) (string, bool) {
		if verb == "END" {
			return "", true
		}
		return answer, false
	},
	"silent": func(verb, answer string) (string, bool) { return "", false },
	slowly:   func(verb, answer string) (string, bool) { return answer, false }, // see mailbox.slow
	"TLS that is none": func(verb, answer string) (string, bool) {
		switch {
		case strings.HasPrefix(verb, "EHLO"):
			return "250-mailbox.test\r\n250 STARTTLS", false
		case verb == "STARTTLS":
			return "220 go on\r\nthis is no TLS", true
		}
		return answer, false
	},
}

// F7: the mail server fails in one way after the other while people register. Nobody waits for it, each registration has its
// mail when it is well again, and no more mails than it may have taken without a word.
func TestFaultMail(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 1, database, database)
	var mode atomic.Pointer[string]
	r.box.mode = func(verb, answer string) (string, bool) {
		name := mode.Load()
		if name == nil {
			return answer, false
		}
		said, hangUp := mailModes[*name](verb, answer)
		if strings.HasPrefix(said, "550") {
			to, _, _ := strings.Cut(strings.ToLower(verb[strings.Index(verb, "<")+1:]), ">")
			r.b.note(entry{Op: "nowhere", Outcome: acked, Email: to})
		}
		return said, hangUp
	}
	r.box.slow = func() bool {
		name := mode.Load()
		return name != nil && *name == slowly
	}
	for range 5 { // the first ones pay for what is loaded once
		r.registers(t)
	}
	r.began = time.Now()
	var well []time.Duration // as many before as after it: the machine's other work changes
	registerWell := func() {
		for range 20 {
			well = append(well, r.registers(t))
		}
	}
	registerWell()
	ill := []time.Duration{}
	for name := range mailModes {
		mode.Store(&name)
		for until := time.Now().Add(long(t, 3*time.Second, 10*time.Minute)); time.Now().Before(until); {
			ill = append(ill, r.registers(t))
		}
	}
	mode.Store(nil)
	r.ended = time.Now()
	r.drained(5 * time.Minute)
	took := time.Since(r.ended)
	registerWell()
	r.drained(time.Minute)
	slices.Sort(well)
	slices.Sort(ill)
	t.Logf("registered in %s (median, mail well) and %s (ill), %s at most; the mails were out after %s", well[len(well)/2], ill[len(ill)/2], ill[len(ill)-1], took)
	// The time is what is tried. Silence lasts until we hang up, after 15 s (pkg/mail): who waited for it waited longer than that.
	if ill[len(ill)-1] > 15*time.Second {
		t.Errorf("somebody waited %s for the mail server", ill[len(ill)-1])
	}
	r.judged(fmt.Sprintf("F7 mail server: %d ways to fail", len(mailModes)), fmt.Sprintf("registrations, one after the other: median %d ms, before and after it %d ms",
		ill[len(ill)/2].Milliseconds(), well[len(well)/2].Milliseconds()), took)
}

// registers lets somebody register, and tells how long the last answer took.
func (r *trial) registers(t *testing.T) time.Duration {
	t.Helper()
	p := r.person(r.begun.Add(1), r.f.base)
	if !p.try(entry{Op: "register", Email: p.email, Password: p.pass}, func(*entry) (int, error) { return 200, p.register(t.Context()) }) {
		t.Fatalf("%s cannot register", p.email)
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	for i := len(r.f.calls) - 1; i >= 0; i-- {
		if c := r.f.calls[i]; c.route == "POST /register/terms" {
			return c.end.Sub(c.began)
		}
	}
	return 0
}
