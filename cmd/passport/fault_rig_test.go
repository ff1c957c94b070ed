//go:build fault && !e2e

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(checkLedger); file != "" {
		os.Exit(checker(file, os.Getenv(checkDatabase)))
	}
	storagetest.Main(m)
}

// What was done, and what came of it. An act that was begun and not ended is unknown as well.
const (
	acked   = "ack"
	refused = "refused"
	unknown = "unknown"
)

// entry is a line of the ledger: one before an act, one after it.
type entry struct {
	N       int64  `json:"n"`
	Op      string `json:"op"` // confirm redeem refresh revoke
	Outcome string `json:"outcome,omitempty"`
	Email   string `json:"email,omitempty"`
	Code    string `json:"code,omitempty"`    // that was redeemed
	Refresh string `json:"refresh,omitempty"` // that was presented
	Access  string `json:"access,omitempty"`  // that was given
	Next    string `json:"next,omitempty"`    // the refresh token that was given
}

// book is the ledger's writer: on the disk each 100 ms.
type book struct {
	mu   sync.Mutex
	file *os.File
	n    int64
}

func newBook(t *testing.T) *book {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{file: f}
	tick, over := time.NewTicker(100*time.Millisecond), make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				_ = f.Sync()
			case <-over:
				return
			}
		}
	}()
	t.Cleanup(func() {
		tick.Stop()
		close(over)
		_ = f.Close()
	})
	return b
}

func (b *book) write(e entry) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// act notes what is about to be done, does it, and notes what came of it.
func (b *book) act(e entry, do func(e *entry) (status int, err error)) bool {
	e.N = atomic.AddInt64(&b.n, 1)
	b.write(e)
	status, err := do(&e)
	switch {
	case err != nil || status >= 500:
		e.Outcome = unknown
	case status < 400:
		e.Outcome = acked
	default:
		e.Outcome = refused
	}
	b.write(e)
	return e.Outcome == acked
}

// fleet are the replicas, as processes.
type fleet struct {
	t        *testing.T
	program  string
	env      []string
	mu       sync.Mutex
	replicas []*replica
	turn     atomic.Int64
}

type replica struct {
	base, admin string
	env         []string
	cmd         *exec.Cmd
	up          bool
}

func newFleet(t *testing.T, n int, env []string) *fleet {
	t.Helper()
	f := &fleet{t: t, program: filepath.Join(t.TempDir(), "passport"), env: env}
	if out, err := exec.Command("go", "build", "-tags", "fault", "-o", f.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for range n {
		port, admin := unusedPort(t), unusedPort(t)
		f.replicas = append(f.replicas, &replica{base: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + admin,
			env: append(append([]string{"PASSPORT_LIMIT_EXEMPT=127.0.0.0/8", "PASSPORT_SHUTDOWN_DELAY=0s"}, env...),
				"PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin)})
	}
	t.Cleanup(func() {
		for _, r := range f.replicas {
			if r.cmd != nil {
				_ = r.cmd.Process.Kill()
				_ = r.cmd.Wait()
			}
		}
	})
	for _, r := range f.replicas {
		f.start(r)
	}
	return f
}

// start runs a replica and waits until it is ready.
func (f *fleet) start(r *replica) {
	f.t.Helper()
	cmd := program(f.t, "serve")
	cmd.Path = f.program
	cmd.Env = append(cmd.Env, r.env...)
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ask(f.t, r.admin+"/readyz", 200)
	f.mu.Lock()
	defer f.mu.Unlock()
	r.cmd, r.up = cmd, true
}

// kill ends a replica as a power cut does. Who is asking it gets no answer.
func (f *fleet) kill(r *replica) {
	f.mu.Lock()
	r.up = false
	f.mu.Unlock()
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	_ = r.cmd.Wait()
}

// stop ends a replica as an operator does: SIGTERM, and what runs is answered.
func (f *fleet) stop(r *replica) {
	f.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		f.t.Fatalf("a replica did not stop gently: %v", err)
	}
}

// base is the next replica that is not known to be dead.
func (f *fleet) base() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.replicas {
		r := f.replicas[int(f.turn.Add(1))%len(f.replicas)]
		if r.up {
			return r.base
		}
	}
	return f.replicas[0].base
}

// flow is one person's way: register, confirm, sign in at the site, redeem, refresh twice, and every third revokes.
func flow(ctx context.Context, n int64, f *fleet, b *book, box *mailbox, site relying) error {
	v := newVisitor(f.base, fmt.Sprintf("p%d-%s@example.test", n, strings.ToLower(rand.Text()[:8])), "correct horse battery staple")
	if err := v.register(ctx); err != nil {
		return err
	}
	link, ok := box.link(v.email, "confirm", 90*time.Second)
	if !ok {
		return fmt.Errorf("no mail to %s", v.email)
	}
	status := func(a answer, err error) (int, error) { return a.Status, err }
	if !b.act(entry{Op: "confirm", Email: v.email}, func(*entry) (int, error) { return 200, v.confirm(ctx, link) }) {
		return nil
	}
	code, err := site.authorize(ctx, v)
	if err != nil {
		return err
	}
	var got answer
	if !b.act(entry{Op: "redeem", Code: code, Email: v.email}, func(e *entry) (int, error) {
		got, err = site.redeem(ctx, code)
		e.Access, e.Next = got.Access, got.Refresh
		return status(got, err)
	}) {
		return nil
	}
	for range 2 {
		old := got.Refresh
		if !b.act(entry{Op: "refresh", Refresh: old, Code: code}, func(e *entry) (int, error) {
			got, err = site.refresh(ctx, old)
			e.Access, e.Next = got.Access, got.Refresh
			return status(got, err)
		}) {
			return nil
		}
	}
	if n%3 == 0 {
		last := got.Refresh
		b.act(entry{Op: "revoke", Refresh: last, Code: code}, func(*entry) (int, error) { return status(site.revoke(ctx, last)) })
	}
	return nil
}

func (s relying) revoke(ctx context.Context, token string) (answer, error) {
	return s.post(ctx, "/revoke", url.Values{"token": {token}})
}

// check lets the checker, another process, judge, and returns what it found.
func check(t *testing.T, b *book, database string) []string {
	t.Helper()
	if err := b.file.Sync(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), checkLedger+"="+b.file.Name(), checkDatabase+"="+database)
	out, err := cmd.CombinedOutput()
	var found []string
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		found = append(found, lines.Text())
	}
	if err != nil && len(found) == 0 {
		t.Fatal(err)
	}
	return found
}

// underLoad lets three people at a time go their way while the faults happen, and the checker judge then.
func underLoad(t *testing.T, f *fleet, b *book, box *mailbox, site relying, database string, faults func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	var begun, whole atomic.Int64
	for range 3 {
		workers.Go(func() {
			for ctx.Err() == nil {
				if flow(t.Context(), begun.Add(1), f, b, box, site) == nil { // a flow that was begun ends
					whole.Add(1)
				}
			}
		})
	}
	faults()
	stop()
	workers.Wait()
	t.Logf("%d flows begun, %d without an error", begun.Load(), whole.Load())
	if whole.Load() < 10 {
		t.Error("too little was done to say anything")
	}
	for _, found := range check(t, b, database) {
		t.Error(found)
	}
}

// F1, short: a random replica of three is killed each two seconds, eight times, under load.
func TestFaultKilledReplicas(t *testing.T) {
	box, database, b := newMailbox(t), storagetest.Postgres(t), newBook(t)
	env := production(database, "PASSPORT_SMTP_URL=smtp://"+box.addr)
	f := newFleet(t, 3, env)
	site := relies(t, env, f.base)
	underLoad(t, f, b, box, site, database, func() {
		for range 8 {
			time.Sleep(2 * time.Second) // the fault's own rhythm
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(f.replicas))))
			if err != nil {
				t.Fatal(err)
			}
			r := f.replicas[n.Int64()]
			f.kill(r)
			f.start(r)
		}
	})
	proves(t, b, database)
}

// Of F4 and F5, short: all connections to the database break each second, fifteen times, and once it is not to be reached for three
// seconds. Nothing that was acknowledged is lost, and the replicas are ready again by themselves.
func TestFaultDatabaseCut(t *testing.T) {
	box, database, b := newMailbox(t), storagetest.Postgres(t), newBook(t)
	env := production(database, "PASSPORT_SMTP_URL=smtp://"+box.addr)
	far, line := wired(t, database)
	f := newFleet(t, 2, production(far, "PASSPORT_SMTP_URL=smtp://"+box.addr))
	site := relies(t, env, f.base)
	underLoad(t, f, b, box, site, database, func() {
		for n := range 15 {
			time.Sleep(time.Second) // the fault's own rhythm
			if n == 7 {
				line.cut()
				time.Sleep(3 * time.Second) // how long it is not to be reached
				line.heal()
			}
			line.snap()
		}
		for _, r := range f.replicas {
			ask(t, r.admin+"/readyz", 200)
		}
	})
}

// The rig proves itself: where codes do not stay spent it finds the double.
func TestFaultFindsTheDouble(t *testing.T) {
	box, database, b := newMailbox(t), storagetest.Postgres(t), newBook(t)
	env := production(database, "PASSPORT_SMTP_URL=smtp://"+box.addr)
	f := newFleet(t, 1, env)
	site := relies(t, env, f.base)
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.used_at := NULL; RETURN NEW; END $$;
		CREATE TRIGGER forget BEFORE UPDATE ON code FOR EACH ROW EXECUTE FUNCTION forget()`)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ada := registered(t, ctx, f.base, box, "ada@example.test")
	code, err := site.authorize(ctx, ada)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.act(entry{Op: "redeem", Code: code}, func(e *entry) (int, error) {
			got, err := site.redeem(ctx, code)
			e.Access, e.Next = got.Access, got.Refresh
			return got.Status, err
		})
	}
	if found := check(t, b, database); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "I2:") }) {
		t.Errorf("not found: %v", found)
	}
}
