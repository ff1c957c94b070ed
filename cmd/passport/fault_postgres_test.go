//go:build fault && !e2e

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postmaster is a PostgreSQL server of a test's own, which can be killed. It writes to the disk as an installed one does.
type postmaster struct {
	t        *testing.T
	dir, bin string
	port     string
	more     []string
	as       *syscall.SysProcAttr
	cmd      *exec.Cmd
	ended    chan struct{} // closed when it has
}

func newPostmaster(t *testing.T, settings ...string) *postmaster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed")
	}
	dir, err := os.MkdirTemp("", "passport-fault-pg-") // short: its socket is in it
	if err != nil {
		t.Fatal(err)
	}
	p := &postmaster{t: t, dir: dir, bin: filepath.Dir(found[len(found)-1]), port: unusedPort(t), as: &syscall.SysProcAttr{},
		more: append([]string{"-c", "max_connections=100", "-c", "shared_buffers=32MB"}, settings...)}
	if os.Getuid() == 0 { // PostgreSQL refuses to be run by root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // G115: as the system has them
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	p.tool("initdb", "-D", dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	t.Cleanup(func() {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(syscall.SIGQUIT) // at once, and its children with it
			<-p.ended
		}
		_ = os.RemoveAll(dir)
	})
	p.start()
	return p
}

func (p *postmaster) tool(name string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.SysProcAttr, cmd.Dir = p.as, p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (p *postmaster) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?sslmode=disable", p.port)
}

// start runs it and waits until it answers. Children of one that was killed may live a moment longer than it: then it refuses.
func (p *postmaster) start() {
	p.t.Helper()
	db := sqlOf(p.t, p.url())
	eventually(p.t, "PostgreSQL answers", func() bool {
		if p.gone() {
			p.launch()
		}
		return db.Ping() == nil
	})
}

func (p *postmaster) gone() bool {
	if p.cmd == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *postmaster) launch() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), append([]string{"-D", p.dir, "-k", p.dir, "-p", p.port, "-c", "listen_addresses=127.0.0.1"}, p.more...)...)
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = p.as, p.dir, log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		_ = log.Close()
		close(ended)
	}()
	p.cmd, p.ended = cmd, ended
}

// crash is kill -9 of all of them at the same moment: what no process has written down is lost.
func (p *postmaster) crash() {
	p.t.Helper()
	pid := p.cmd.Process.Pid
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Process.Kill()
	for _, pid := range strings.Fields(string(out)) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	<-p.ended
}

// restart is what an operator does: running statements are broken off.
func (p *postmaster) restart() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	<-p.ended
	p.start()
}

// F3: PostgreSQL is killed and started again. What was acknowledged is there, the replicas are back within five seconds, alive
// all the while, and say that they are not ready while they are not.
func TestFaultPostgresKilled(t *testing.T) {
	beside(t)
	pg := newPostmaster(t)
	r := newTrial(t, 2, pg.url(), pg.url())
	r.folders = append(r.folders, pg.dir)
	r.within = 5 * time.Second
	r.load(func() {
		for n := range long(t, 4, 20) {
			time.Sleep(3 * time.Second) // the fault's own rhythm
			r.during("kill -9 of PostgreSQL", func() {
				pg.crash()
				if n == 0 {
					r.notReady(t)
				}
				pg.start()
			})
		}
		time.Sleep(6 * time.Second) // what begins now must not fail
	})
	r.judge("F3 PostgreSQL killed (-9) and started again")
}

// notReady demands that each replica says so, and lives. How soon is bounded by checkTime, and noted: it is the thing that is tried,
// but no bound that holds on every machine is below the patience of ask.
func (r *trial) notReady(t *testing.T) {
	t.Helper()
	began := time.Now()
	for _, one := range r.f.replicas {
		ask(t, one.admin+"/readyz", 503)
		ask(t, one.admin+"/livez", 200)
	}
	t.Logf("%d replicas have said that they are not ready after %s", len(r.f.replicas), time.Since(began))
}

// The rig proves itself: a server that answers before it has written loses what it has acknowledged, and the rig finds it. Our
// program refuses to start on such a server, and is deceived here after the start.
func TestFaultFindsTheLoss(t *testing.T) {
	beside(t)
	// Written down every ten seconds at the most: what comes between is lost.
	pg := newPostmaster(t, "-c", "wal_writer_delay=10s", "-c", "wal_writer_flush_after=1GB", "-c", "checkpoint_timeout=1h")
	r := newTrial(t, 1, pg.url(), pg.url())
	db := sqlOf(t, pg.url())
	ada := r.person(1, r.f.base)
	registerAll(t, r, ada)
	r.drained(patience)
	exec1(t, db, `ALTER DATABASE postgres SET synchronous_commit = off`)
	exec1(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'passport'`)
	eventually(t, "tokens are given without a disk", func() bool { return ada.refreshes(t.Context()) })
	for range 20 {
		ada.refreshes(t.Context())
	}
	pg.crash()
	pg.start()
	ask(t, r.f.replicas[0].admin+"/readyz", 200)
	if found := r.check(); !finds(found, "I1") || !finds(found, "I3") {
		t.Errorf("not found: %v", found)
	}
	r.f.kill(r.f.replicas[0])
	code, _, stderr := called(t, r.f.replicas[0].env, "serve")
	if code == 0 || !strings.Contains(stderr, "synchronous_commit") {
		t.Errorf("it starts on a server that loses what it has acknowledged: %d %s", code, stderr)
	}
}

// F4: PostgreSQL is restarted; its connections are ended; they are cut. Requests fail within two seconds of that only, nobody is
// told anything by which accounts could be told apart, and no transaction is left open.
func TestFaultPostgresRestarted(t *testing.T) {
	beside(t)
	pg := newPostmaster(t)
	via, line := wired(t, pg.url())
	r := newTrial(t, 2, pg.url(), via)
	db := sqlOf(t, pg.url())
	r.load(func() {
		for range long(t, 2, 20) {
			for what, fault := range map[string]func(){
				"restart": pg.restart,
				"pg_terminate_backend": func() {
					exec1(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'passport'`)
				},
				"connections reset": line.snap,
				"the database away": func() {
					for _, found := range r.alike(t, line.cut) {
						t.Error(found)
					}
					time.Sleep(3 * time.Second) // how long it is not to be reached
					line.heal()
				},
			} {
				r.during(what, fault)
				time.Sleep(4 * time.Second) // two in which requests may fail, two in which they may not
			}
		}
	})
	var stuck int
	if err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'passport' AND xact_start < clock_timestamp() - interval '5 s'`).Scan(&stuck); err != nil || stuck != 0 {
		t.Errorf("%d transactions are stuck (%v)", stuck, err)
	}
	r.judge("F4 PostgreSQL restarted, its connections ended, reset, and away for 3 s")
}

// addressForms are the pages that ask for an address: after before, the form with submit does.
var addressForms = []struct {
	page, submit, field string
	before, more        []string
}{
	{page: "/login", submit: "login-submit", field: "username", more: []string{"password", "another password altogether"}},
	{page: "/recover", submit: "recover-submit", field: "email"},
	{page: "/lookup", submit: "lookup-submit", field: "email"},
	{page: "/register", submit: "terms-submit", field: "terms-email", before: []string{"password", "another password altogether", "name", "Ada"}},
}

// alike is I17 when the database goes away: forms that were opened before that answer about a known address as about one that
// is as long and unknown, which is with an error.
func (r *trial) alike(t *testing.T, cut func()) (found []string) {
	t.Helper()
	ctx := t.Context()
	emails := [2]string{r.known, "q" + r.known[1:]}
	var people [2][]*visitor
	var pages [2][]page
	for i, email := range emails {
		for _, f := range addressForms {
			v := newVisitor(r.f.base, email, "")
			p, err := v.get(ctx, f.page)
			if err == nil && f.before != nil {
				p, err = v.submit(ctx, p, "register-submit", append(f.before, "email", email)...)
			}
			if err == nil {
				p, err = p.want(f.submit)
			}
			if err != nil {
				t.Fatal(err)
			}
			people[i], pages[i] = append(people[i], v), append(pages[i], p)
		}
	}
	cut()
	for n, f := range addressForms {
		var said [2]string
		for i, email := range emails {
			p, err := people[i][n].submit(ctx, pages[i][n], f.submit, append(f.more, f.field, email)...)
			if err != nil || p.status < 500 {
				found = append(found, fmt.Sprintf("I17: %s without a database: %d %v", f.page, p.status, err))
			}
			lengths := []string{}
			for name, values := range p.header {
				lengths = append(lengths, fmt.Sprint(name, " ", len(strings.Join(values, ","))))
			}
			slices.Sort(lengths)
			said[i] = fmt.Sprint(p.status, len(p.body), lengths)
		}
		if said[0] != said[1] {
			found = append(found, fmt.Sprintf("I17: %s tells a known address from an unknown one: %v", f.page, said))
		}
	}
	return found
}
