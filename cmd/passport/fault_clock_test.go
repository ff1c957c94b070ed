//go:build fault && !e2e

package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F9: the clocks of three replicas are ten minutes slow, right, and ten minutes fast: nobody notices. Meanwhile their time zones go
// to winter time and to summer time, and the second one has a leap second. Then the third one jumps back an hour: it is not
// ready until two measurements agree, and what was spent stays spent.
func TestFaultClocks(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 3, database, database)
	dir := t.TempDir()
	clockOf := func(n int) string { return filepath.Join(dir, fmt.Sprint("clock", n)) }
	set := func(n int, wrong string) {
		// At once: who looks meanwhile must not find half of it.
		if err := os.WriteFile(clockOf(n)+".new", []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(clockOf(n)+".new", clockOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	change := time.Now().Add(long(t, 12*time.Second, 40*time.Second))
	for i, one := range r.f.replicas { // anew, with the clocks that are wrong
		r.f.kill(one)
		set(i, []string{"-10m", "0s", "10m"}[i])
		zone := filepath.Join(dir, fmt.Sprint("zone", i))
		if err := os.WriteFile(zone, zoneThat([]int32{-3600, 3600, 1800}[i], change), 0o600); err != nil {
			t.Fatal(err)
		}
		one.env = append(one.env, "PASSPORT_FAULT_CLOCK="+clockOf(i), "TZ="+zone)
		r.f.start(one)
	}
	bob := r.person(2, r.f.only(2))
	registerAll(t, r, bob)
	spent := []string{bob.code}
	if !bob.signsOn(t.Context()) || !sealed(bob.code) {
		t.Fatalf("no sealed code: %.5s", bob.code)
	}
	spent = append(spent, bob.code)
	machine := r.automaton(t)
	r.load(func() {
		time.Sleep(time.Until(change.Add(long(t, 2*time.Second, time.Minute)))) // people go their ways by wrong clocks
		r.ends(t, database)
		set(1, "-1s")
		time.Sleep(long(t, 2*time.Second, 30*time.Second)) // and by one that has a second twice
		assertion := machine.assertion(t)
		if a, err := machine.credentials(t.Context(), assertion); err != nil || a.Access == "" {
			t.Fatal(a, err)
		}
		again := func() {
			bob.replays(t, spent...)
			bob.forbidden("an assertion that was used", func() (bool, error) {
				a, err := machine.credentials(t.Context(), assertion)
				return a.Access != "", err
			})
		}
		r.b.note(entry{Op: "jump", Outcome: acked, Said: "begins"})
		set(2, "-50m")
		third := r.f.replicas[2]
		for range r.f.replicas {
			again()
		}
		ask(t, third.admin+"/readyz", 503)
		r.f.aside(third)
		again()
		r.b.note(entry{Op: "jump", Outcome: acked, Said: "is noticed"})
		ask(t, r.f.replicas[0].admin+"/readyz", 200)
		ask(t, third.admin+"/readyz", 200)
		r.f.mark(third, true)
		time.Sleep(long(t, 3*time.Second, time.Minute)) // and by one that has jumped
	})
	for n := range r.f.replicas { // each has seen the change
		if text, err := os.ReadFile(filepath.Join(r.f.logs, fmt.Sprintf("replica%d.log", n))); err != nil || !changedZone(text) {
			t.Errorf("replica %d has one time zone: %v", n, err)
		}
	}
	r.judge("F9 clocks 10 min slow and fast, summer time, a leap second, one jumps back an hour")
}

// zoneThat is a time zone, two hours east of Greenwich, whose clocks go forward by some seconds at a moment (RFC 8536 §3).
func zoneThat(forward int32, at time.Time) []byte {
	b := append([]byte("TZif"), make([]byte, 16)...)
	for _, count := range []uint32{0, 0, 0, 1, 2, 8} { // one change, two kinds of time, eight letters of their names
		b = binary.BigEndian.AppendUint32(b, count)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(at.Unix()))
	b = append(b, 1) // to the second kind
	for i, east := range []int32{7200, 7200 + forward} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(east)), byte(i), byte(4*i))
	}
	return append(b, "OLD\x00NEW\x00"...)
}

var zoned = regexp.MustCompile(`(?m)^\{"time":"[^"]+?([+-]\d\d:\d\d|Z)"`)

// changedZone tells whether a log has lines of two time zones.
func changedZone(text []byte) bool {
	zones := map[string]bool{}
	for _, m := range zoned.FindAllSubmatch(text, -1) {
		zones[string(m[1])] = true
	}
	return zones["+02:00"] && len(zones) > 1
}

// replays shows again what is spent: codes (I14).
func (p *person) replays(t *testing.T, codes ...string) {
	t.Helper()
	for _, code := range codes {
		p.b.act(entry{Op: "replay", Code: code, Email: p.email}, func(*entry) (int, error) {
			a, err := p.site.redeem(t.Context(), code)
			return a.Status, err
		})
	}
}

// ends is I13: a token that ended this moment is of no use anywhere, and one that ends in a minute is everywhere.
func (r *trial) ends(t *testing.T, database string) {
	t.Helper()
	db := sqlOf(t, database)
	for by, active := range map[time.Duration]bool{-time.Second: false, time.Minute: true} {
		a, err := r.site.credentials(t.Context())
		if err != nil || a.Access == "" {
			t.Fatal(a, err)
		}
		sig := sha256.Sum256([]byte(a.Access))
		if exec1(t, db, `UPDATE access_token SET expires_at = $1 WHERE sig = $2`, time.Now().Add(by).UnixMicro(), sig[:]) != 1 {
			t.Fatal("no such token")
		}
		for n := range r.f.replicas {
			site := r.site
			site.base = r.f.only(n)
			told, err := site.introspect(context.Background(), a.Access)
			if err != nil || told.Active != active {
				t.Errorf("I13: a token that ends %s from now is active at replica %d: %v %v", by, n, told.Active, err)
			}
		}
	}
}
