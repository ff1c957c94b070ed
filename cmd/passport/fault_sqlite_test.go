//go:build fault && !e2e

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// F8: SQLite. The disk is full at random writes; the server is killed while it writes; a second one opens the file; somebody
// else holds its lock; it cannot be written any more while it is open; it cannot be written at all. An answer that is a success is on the disk.
func TestFaultSQLite(t *testing.T) {
	beside(t)
	dir := t.TempDir()
	database := "sqlite:" + filepath.Join(dir, "passport.db")
	r := newTrial(t, 1, database, database)
	r.folders = append(r.folders, dir)
	r.people = 6
	db := sqlOf(t, database)
	one := r.f.replicas[0]
	anew := func(what string, more ...string) {
		r.f.kill(one)
		r.b.note(entry{Op: "fault", Outcome: acked, Said: what})
		r.f.launch(one, more...)
		ask(t, one.admin+"/livez", 200)
		r.f.mark(one, true)
	}
	r.load(func() {
		for range long(t, 2, 20) {
			time.Sleep(2 * time.Second) // the fault's own rhythm
			anew("SIGKILL")
			ask(t, one.admin+"/readyz", 200)
		}
		for range long(t, 1, 5) {
			var pages int
			if err := db.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
				t.Fatal(err)
			}
			before := r.failed()
			r.during("the disk is full", func() {
				anew("the disk is full", fmt.Sprintf("PASSPORT_FAULT_PAGES=%d", pages))
				eventuallyIn(t, mailed, "a request fails for want of room", func() bool { return r.failed() > before+5 })
				anew("there is room again")
				ask(t, one.admin+"/readyz", 200)
			})
			whole := r.whole.Load()
			eventuallyIn(t, mailed, "people go their ways again", func() bool { return r.whole.Load() > whole+3 })
		}
		r.during("another holds the lock", func() { holdsLock(t, database, 3*time.Second) })
		before, whole := r.failed(), r.whole.Load()
		r.during("the file can be written no more", func() {
			writes(t, one, "0")
			eventuallyIn(t, mailed, "a request fails for want of the file", func() bool { return r.failed() > before+5 })
			writes(t, one, "unlimited")
			ask(t, one.admin+"/readyz", 200)
		})
		eventuallyIn(t, mailed, "people go their ways again, without a new start", func() bool { return r.whole.Load() > whole+3 })
		other := *one
		second := &other
		port, admin := unusedPort(t), unusedPort(t)
		second.base, second.admin = "http://127.0.0.1:"+port, "http://127.0.0.1:"+admin
		second.env = append(append([]string{}, one.env...), "PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin)
		r.f.start(second)
		r.f.mu.Lock()
		r.f.replicas = append(r.f.replicas, second)
		r.f.mu.Unlock()
		whole = r.whole.Load()
		eventuallyIn(t, mailed, "people go their ways through both", func() bool { return r.whole.Load() > whole+10 })
	})
	r.statuses(t, 503)
	r.judge("F8 SQLite: SIGKILL, a full disk, a held lock, two servers, a file that is read-only")
	for _, replica := range r.f.replicas {
		r.f.kill(replica)
	}
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s %v", verdict, err)
	}
	readOnly(t, database, one.env)
}

// mailed is longer than the lease of a mail (pkg/outbox): for so long everybody may do nothing but wait for the one that a
// killed server was about to send.
const mailed = 90 * time.Second

func holdsLock(t *testing.T, database string, d time.Duration) {
	t.Helper()
	db := sqlOf(t, database)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d) // how long it is held
	if _, err := conn.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
}

// writes limits how large a file the replica may write: with "0" the kernel refuses each write to its files that are open, as on
// a file system that has become read-only. (SQLite tells no two reasons apart but a full disk.)
func writes(t *testing.T, r *replica, limit string) {
	t.Helper()
	out, err := exec.Command("prlimit", "--pid", strconv.Itoa(r.cmd.Process.Pid), "--fsize="+limit+":").CombinedOutput()
	if err != nil {
		t.Fatalf("prlimit: %v %s", err, out)
	}
}

// readOnly demands that a server refuses to start on a file that it cannot write.
func readOnly(t *testing.T, database string, env []string) {
	t.Helper()
	if err := os.Chmod(strings.TrimPrefix(database, "sqlite:"), 0o400); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "serve")
	cmd.Env = append(cmd.Env, env...)
	if os.Getuid() == 0 { // to whom no file is closed
		path, err := exec.LookPath("setpriv")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = path, append([]string{"setpriv", "--bounding-set", "-dac_override", cmd.Path}, cmd.Args[1:]...)
	}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "permission denied") {
		t.Errorf("on a file that it cannot write: %v %s", err, out)
	}
}
