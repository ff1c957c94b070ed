//go:build fault && !e2e

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func init() { buildTags = "fault" } // with the crash points

// fleet are the replicas, as processes, and what came of each request to them.
type fleet struct {
	t        *testing.T
	logs     string // the folder of what they write
	replicas []*replica

	mu    sync.Mutex
	turn  int
	calls []call
}

type replica struct {
	base, admin string
	env         []string
	cmd         *exec.Cmd
	ended       chan struct{} // closed when cmd has
	log         *os.File
	up          bool
	lives       int // how often it was started or killed
	asked       int // requests that it has not answered yet
}

// call is a request, as who made it saw it.
type call struct {
	replica    int
	route      string
	began, end time.Time
	status     int   // 0: there was no answer
	err        error // of a request without an answer
	killed     bool  // the replica was killed, or not up, meanwhile
}

func (c call) failed() bool { return c.status == 0 || c.status >= 500 }

func newFleet(t *testing.T, n int, env []string, each ...[]string) *fleet {
	t.Helper()
	f := &fleet{t: t, logs: t.TempDir()}
	for i := range n {
		port, admin := unusedPort(t), unusedPort(t)
		r := &replica{base: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + admin,
			env: append(append([]string{"PASSPORT_LIMIT_EXEMPT=127.0.0.0/8", "PASSPORT_SHUTDOWN_DELAY=0s", "PASSPORT_HUMAN_CHECK=never"}, env...),
				"PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin)}
		if i < len(each) {
			r.env = append(r.env, each[i]...)
		}
		var err error
		if r.log, err = os.Create(filepath.Join(f.logs, fmt.Sprintf("replica%d.log", i))); err != nil {
			t.Fatal(err)
		}
		f.replicas = append(f.replicas, r)
	}
	t.Cleanup(func() {
		for _, r := range f.replicas {
			if r.cmd != nil {
				_ = r.cmd.Process.Kill()
				<-r.ended
			}
			_ = r.log.Close()
		}
		if t.Failed() {
			out, _ := exec.Command("sh", "-c", "grep -h -v '\"level\":\"INFO\"' "+f.logs+"/*.log | tail -n 30").CombinedOutput()
			t.Logf("%s", out)
		}
	})
	for _, r := range f.replicas {
		f.start(r)
	}
	return f
}

// launch runs a replica; more is added to its environment this once.
func (f *fleet) launch(r *replica, more ...string) {
	f.t.Helper()
	cmd := program(f.t, "serve")
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.Env = append(append(cmd.Env, r.env...), more...)
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	r.cmd, r.ended = cmd, ended
}

// start runs a replica and waits until it is ready.
func (f *fleet) start(r *replica, more ...string) {
	f.t.Helper()
	f.launch(r, more...)
	ask(f.t, r.admin+"/readyz", 200)
	f.mark(r, true)
}

// dead tells whether the replica's process has ended.
func (r *replica) dead() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (f *fleet) mark(r *replica, up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.up = up
	r.lives++
}

// kill ends a replica as a power cut does. Who is asking it gets no answer.
func (f *fleet) kill(r *replica) {
	f.mark(r, false)
	_ = r.cmd.Process.Signal(syscall.SIGKILL)
	<-r.ended
}

// stop ends a replica as an operator does: SIGTERM, and what runs is answered.
func (f *fleet) stop(r *replica) {
	f.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	<-r.ended
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		f.t.Fatalf("a replica did not stop gently: %v", r.cmd.ProcessState)
	}
}

// base is the next replica that is not known to be dead.
func (f *fleet) base() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.replicas {
		f.turn++
		if r := f.replicas[f.turn%len(f.replicas)]; r.up {
			return r.base
		}
	}
	return f.replicas[0].base
}

// excuse says of the last request that a replica died of it.
func (f *fleet) excuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.calls); n > 0 && f.calls[n-1].failed() {
		f.calls[n-1].killed = true
	}
}

// only is one replica.
func (f *fleet) only(n int) func() string { return func() string { return f.replicas[n].base } }

// client makes requests that the fleet counts.
func (f *fleet) client() *http.Client {
	return &http.Client{Transport: counting{f}, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type counting struct{ f *fleet }

// RoundTrip implements http.RoundTripper.
func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	n, lives := c.f.life(req.URL.Host)
	one := call{replica: n, route: req.Method + " " + req.URL.Path, began: time.Now()}
	c.f.asks(n, 1)
	res, err := http.DefaultTransport.RoundTrip(req)
	c.f.asks(n, -1)
	one.end, one.err = time.Now(), err
	if err == nil {
		one.status = res.StatusCode
	}
	if n >= 0 {
		_, now := c.f.life(req.URL.Host)
		one.killed = now != lives || lives < 0
		c.f.mu.Lock()
		c.f.calls = append(c.f.calls, one)
		c.f.mu.Unlock()
	}
	return res, err
}

// asks counts what a replica has to answer.
func (f *fleet) asks(n, by int) {
	if n >= 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.replicas[n].asked += by
	}
}

// aside sends a replica no more requests, as a proxy does with who is not ready, and returns when it has answered all.
func (f *fleet) aside(r *replica) {
	f.t.Helper()
	f.mark(r, false)
	eventually(f.t, "a replica has answered what was sent to it", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return r.asked == 0
	})
}

// life is which replica has the address, and how often it was started or killed; negative: it is not up.
func (f *fleet) life(host string) (n, lives int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.replicas {
		if strings.HasSuffix(r.base, host) {
			if !r.up {
				return i, -1
			}
			return i, r.lives
		}
	}
	return -1, 0
}
