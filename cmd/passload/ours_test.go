package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestPassport puts every scenario on the server of this house, as an operator would.
func TestPassport(t *testing.T) {
	o := newOurs(t)
	secret := o.client(t, "load")
	for _, name := range []string{"alice", "bob"} {
		o.command(t, "account", "create", "--email", name+"@example.com", "--password-file", file(t, "a good long passphrase"), "--confirmed")
	}
	people := file(t, "alice@example.com a good long passphrase\nbob@example.com a good long passphrase\n")
	args := append([]string{"--issuer", o.issuer, "--client-id", "load", "--client-secret-file", file(t, secret), "--people", people,
		"--workers", "2", "--count", "4", "--warm-up", "0s", "--duration", "1m", "--timeout", "1m", "--json", "--quiet"}, names()...)
	t.Run("closed loop", func(t *testing.T) { counted(t, call(args...).report(t), 4) })
	t.Run("open loop", func(t *testing.T) { counted(t, call(append(args, "--rate", "20")...).report(t), 4) })
	t.Run("the client's own token is looked up where nobody signs in", func(t *testing.T) {
		got := call("--issuer", o.issuer, "--client-id", "load", "--client-secret-file", file(t, secret), "--count", "3", "--warm-up", "0s", "--json", "introspect").report(t)
		if s := got.Scenarios[0]; s.Operations != 3 || s.Failed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// ours is the built server on SQLite.
type ours struct {
	issuer, binary string
	env            []string
}

func newOurs(t *testing.T) *ours {
	t.Helper()
	dir := t.TempDir()
	o := &ours{binary: filepath.Join(dir, "passport")}
	build := exec.Command("go", "build", "-o", o.binary, "../passport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.issuer = "http://" + address
	o.env = append(os.Environ(), "PASSPORT_ISSUER="+o.issuer, "PASSPORT_ADDR="+address, "PASSPORT_ADMIN_ADDR=off", "PASSPORT_DATA="+dir,
		"PASSPORT_SECRET="+rand.Text()+rand.Text(), "PASSPORT_SMTP_URL=smtp://nobody:none@localhost:1", "PASSPORT_LIMIT_EXEMPT=127.0.0.0/8", "PASSPORT_SHUTDOWN_DELAY=0s")
	server := exec.Command(o.binary, "serve")
	server.Env = o.env
	logs := serverLog{serving: make(chan struct{})}
	server.Stdout, server.Stderr = &logs, &logs
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- server.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil || t.Failed() {
			t.Errorf("%v\n%s", err, &logs)
		}
	})
	select {
	case <-logs.serving:
	case <-time.After(time.Minute):
		t.Fatal("the server does not serve")
	}
	return o
}

// serverLog is what a server says; it listens when it says that it is serving.
type serverLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	serving chan struct{}
	told    bool
}

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if !l.told && bytes.Contains(l.text.Bytes(), []byte(`"msg":"serving"`)) {
		l.told = true
		close(l.serving)
	}
	return len(p), nil
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (o *ours) command(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(o.binary, args...)
	cmd.Env = o.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return out
}

// client makes one as the help tells.
func (o *ours) client(t *testing.T, id string) (secret string) {
	t.Helper()
	out := o.command(t, "client", "create", "--client-id", id, "--name", "Load", "--redirect-uri", "https://passload.invalid/callback",
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--grant-type", "client_credentials",
		"--scope", "openid", "--scope", "offline_access", "--json")
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	return made.Secret
}
