//go:build fault && !e2e

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The primary of a Patroni cluster dies under load. The three replicas find the new one by themselves, and every token that
// was acknowledged is known there, and good: so is the account. "make ha-db" runs it.
func TestHADatabase(t *testing.T) {
	dir := filepath.Join("/tmp", filepath.Base(t.TempDir())+"-ha") // short, and the postgres user may enter it
	t.Cleanup(func() {
		cluster(t, "stop", dir)
		if t.Failed() {
			out, _ := exec.Command("sh", "-c", "tail -n 20 "+dir+"/*.log").CombinedOutput()
			t.Logf("%s", out)
		}
		_ = exec.Command("rm", "-rf", dir).Run()
	})
	database := cluster(t, "start", dir)
	f, load := behind(t, database, haproxy)
	load.more(t, 500)
	died := time.Now()
	t.Logf("the primary was %s", cluster(t, "kill", dir))
	back := load.well(t, 200)
	cluster(t, "revive", dir)
	load.more(t, 500)
	load.end()

	lost := 0
	for _, token := range load.tokens {
		told, err := load.site.introspect(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if !told.Active {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged tokens are lost", lost, len(load.tokens))
	}
	for range cap(load.chains) { // each with the newest refresh token that was acknowledged, or the one before it
		if err := load.refresh(t.Context()); err != nil {
			lost++
			t.Errorf("a chain of refresh tokens is lost: %v", err)
		}
	}
	alice := newVisitor(load.site.base, load.alice.email, load.alice.pass)
	if err := alice.login(t.Context()); err != nil {
		lost++
		t.Errorf("who had registered cannot sign in: %v", err)
	}
	for _, r := range f.replicas {
		if r.dead() {
			t.Error("a replica has ended")
		}
		ask(t, r.admin+"/readyz", 200)
	}
	row := load.result("primary of three PostgreSQL nodes killed (Patroni, ttl 20 s)", lost)
	row.recovery = back.Sub(died)
	row.keep(t)
}

func cluster(t *testing.T, verb, dir string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join("..", "..", "deploy", "ha", "cluster.sh"), verb, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cluster.sh %s: %v\n%s", verb, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// well waits until n requests in a row have succeeded, and tells when the last failure before them was known.
func (l *traffic) well(t *testing.T, n int64) time.Time {
	t.Helper()
	last := func() (int, time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.failed) == 0 {
			return 0, time.Now()
		}
		return len(l.failed), l.failed[len(l.failed)-1].at
	}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		before, _ := last()
		l.more(t, n)
		if after, at := last(); after == before && after > 0 {
			return at
		}
	}
	t.Fatal("requests go on failing")
	return time.Time{}
}
