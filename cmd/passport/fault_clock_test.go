//go:build fault && !e2e

package main

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F9: the clocks of three replicas are ten minutes slow, right, and ten minutes fast: nobody notices. Then the third one jumps
// back an hour: it is not ready until two measurements agree, and what was spent stays spent.
func TestFaultClocks(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	var files []string
	var env [][]string
	for _, wrong := range []string{"-10m", "0s", "10m"} {
		file := filepath.Join(t.TempDir(), "clock")
		if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
			t.Fatal(err)
		}
		files, env = append(files, file), append(env, []string{"PASSPORT_FAULT_CLOCK=" + file})
	}
	r := newTrial(t, 3, database, database)
	for i, one := range r.f.replicas { // anew, with the clocks that are wrong
		r.f.kill(one)
		one.env = append(one.env, env[i]...)
		r.f.start(one)
	}
	bob := r.person(2, r.f.only(2))
	registerAll(t, r, bob)
	spent := []string{bob.code}
	if !bob.signsOn(t.Context()) || !sealed(bob.code) {
		t.Fatalf("no sealed code: %.5s", bob.code)
	}
	spent = append(spent, bob.code)
	r.load(func() {
		time.Sleep(long(t, 6*time.Second, 2*time.Minute)) // people go their ways by wrong clocks
		r.ends(t, database)
		r.b.note(entry{Op: "jump", Outcome: acked, Said: "begins"})
		if err := os.WriteFile(files[2], []byte("-50m"), 0o600); err != nil {
			t.Fatal(err)
		}
		third := r.f.replicas[2]
		bob.replays(t, spent...)
		ask(t, third.admin+"/readyz", 503)
		r.f.aside(third)
		bob.replays(t, spent...)
		r.b.note(entry{Op: "jump", Outcome: acked, Said: "is noticed"})
		ask(t, r.f.replicas[0].admin+"/readyz", 200)
		ask(t, third.admin+"/readyz", 200)
		r.f.mark(third, true)
		time.Sleep(long(t, 3*time.Second, time.Minute)) // and by one that has jumped
	})
	r.judge("F9 clocks 10 min slow and fast, one jumps back an hour")
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
