//go:build fault && !e2e

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F10: three replicas are stopped and started, one after the other, behind each of the proxies whose configuration stands
// in deploy/ha, at 50 requests a second: none fails.
func TestFaultRolling(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *fleet) string{"haproxy": haproxy, "nginx": nginx} {
		t.Run("F10 "+name, func(t *testing.T) {
			f, load := behind(t, storagetest.Postgres(t), start)
			for range long(t, 1, 3) {
				for _, r := range f.replicas {
					r.served(t)
					f.stop(r)
					f.start(r)
					load.more(t, 100) // the proxy has it again, and others see it
				}
			}
			load.end()
			for i, failed := range load.failed {
				if i == 20 {
					break
				}
				t.Error(failed.err)
			}
			load.result("F10 rolling restart, "+name, 0).keep(t)
		})
	}
}

// behind runs three replicas behind a proxy, and the load on them.
func behind(t *testing.T, database string, proxy func(*testing.T, *fleet) string) (*fleet, *traffic) {
	t.Helper()
	box := newMailbox(t)
	env := production(database, "PASSPORT_SMTP_URL=smtp://"+box.addr, "PASSPORT_TRUSTED_PROXIES=127.0.0.1/32", "PASSPORT_SHUTDOWN_DELAY=3s")
	f := newFleet(t, 3, env)
	at := proxy(t, f)
	base := func() string { return at }
	load := &traffic{site: relies(t, env, base), every: time.Second / 50, chains: make(chan string, 20),
		alice: newVisitor(base, "alice@example.test", "correct horse battery staple")}
	// The proxy is up when it answers for a host that is not ours as a replica does.
	ask(t, at+"/", 421)
	load.begin(t, box)
	return f, load
}

// served demands that the proxy has sent it requests to /token (I19: each has its share).
func (r *replica) served(t *testing.T) {
	t.Helper()
	text := ask(t, r.admin+"/metrics", 200)
	if !regexp.MustCompile(`passport_http_request_duration_seconds_count\{method="POST",route="token",status="200"\} [1-9]`).MatchString(text) {
		t.Error("a replica got no requests: the proxy does not balance")
	}
}

// configured is a file of deploy/ha with the ports of this test in place of its own, and where the proxy listens.
func (f *fleet) configured(t *testing.T, name string, more ...string) (file, base string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "ha", name))
	if err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:" + unusedPort(t)
	change := append([]string{"127.0.0.1:8080", listen}, more...)
	for i, r := range f.replicas {
		_, port, _ := strings.Cut(strings.TrimPrefix(r.admin, "http://"), ":")
		change = append(change, fmt.Sprintf("127.0.0.1:808%d", i+1), strings.TrimPrefix(r.base, "http://"), fmt.Sprintf("port 909%d", i+1), "port "+port)
	}
	file = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, "http://" + listen
}

func haproxy(t *testing.T, f *fleet) string {
	t.Helper()
	file, base := f.configured(t, "haproxy.cfg")
	background(t, "haproxy", "-db", "-f", file)
	return base
}

func nginx(t *testing.T, f *fleet) string {
	t.Helper()
	dir := t.TempDir()
	temporary := "access_log off;\n"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += what + "_temp_path " + filepath.Join(dir, what) + ";\n"
	}
	file, base := f.configured(t, "nginx.conf", "access_log off;", temporary)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("%s", out[max(0, len(out)-8000):])
		}
	})
	background(t, "nginx", "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", file,
		"-g", "daemon off; pid "+filepath.Join(dir, "pid")+";")
	return base
}

// background runs a program until the test ends.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	var said strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, said.String())
		}
	})
}

// traffic sends requests at a rate until it is ended: open loop, so that a slow answer holds back no other.
type traffic struct {
	site    relying
	alice   *visitor // is signed in; only her twins make requests
	every   time.Duration
	stop    context.CancelFunc
	running sync.WaitGroup
	chains  chan string // refresh tokens, one a grant

	sent   atomic.Int64
	mu     sync.Mutex
	failed []failure
	tokens []string // access tokens that were acknowledged
}

// failure is a request that went wrong, and when that was known.
type failure struct {
	at  time.Time
	err error
}

func (l *traffic) begin(t *testing.T, box *mailbox) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	t.Cleanup(l.end)
	if err := l.alice.register(ctx); err != nil {
		t.Fatal(err)
	}
	link, ok := box.link(l.alice.email, "confirm", 30*time.Second)
	if !ok {
		t.Fatal("no mail")
	}
	if err := l.alice.confirm(ctx, link); err != nil {
		t.Fatal(err)
	}
	for range cap(l.chains) {
		a, err := l.signOn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l.chains <- a.Refresh
	}
	l.running.Go(func() {
		tick := time.NewTicker(l.every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.running.Go(func() { l.one(i) })
			}
		}
	})
}

// more waits until so many more were sent.
func (l *traffic) more(t *testing.T, n int64) {
	t.Helper()
	until := l.sent.Load() + n
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for end := time.After(time.Minute); l.sent.Load() < until; {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("the load stands still")
		}
	}
}

func (l *traffic) end() {
	l.stop()
	l.running.Wait()
}

func (l *traffic) result(fault string, lost int) result {
	return result{fault: fault, load: fmt.Sprintf("%d/s: client_credentials, introspection, sign-on, refresh", time.Second/l.every),
		requests: l.sent.Load(), failed: len(l.failed), lost: lost}
}

// one sends what is due.
func (l *traffic) one(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := []func(context.Context) error{l.credentials, l.introspect, l.single, l.refresh}[i%4](ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, failure{time.Now(), err})
	}
	l.sent.Add(1)
}

// given notes an access token that was acknowledged.
func (l *traffic) given(a answer, err error) (answer, error) {
	if err == nil && (a.Status != 200 || a.Access == "") {
		err = fmt.Errorf("token: %d %s", a.Status, a.Error)
	}
	if err != nil {
		return a, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = append(l.tokens, a.Access)
	return a, nil
}

func (l *traffic) credentials(ctx context.Context) error {
	_, err := l.given(l.site.credentials(ctx))
	return err
}

func (l *traffic) introspect(ctx context.Context) error {
	a, err := l.given(l.site.credentials(ctx))
	if err != nil {
		return err
	}
	told, err := l.site.introspect(ctx, a.Access)
	if err == nil && !told.Active {
		err = fmt.Errorf("a token that was just given: %d", told.Status)
	}
	return err
}

func (l *traffic) single(ctx context.Context) error { _, err := l.signOn(ctx); return err }

// signOn gets tokens by the session that there is.
func (l *traffic) signOn(ctx context.Context) (answer, error) {
	code, err := l.site.authorize(ctx, l.alice.twin(l.site.base))
	if err != nil {
		return answer{}, err
	}
	return l.given(l.site.redeem(ctx, code))
}

// refresh takes one chain a step further.
func (l *traffic) refresh(ctx context.Context) error {
	old := <-l.chains
	a, err := l.given(l.site.refresh(ctx, old))
	if err != nil {
		l.chains <- old
		return err
	}
	l.chains <- a.Refresh
	return nil
}
