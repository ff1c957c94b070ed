package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildTags are those that the program is built with.
var buildTags string

// built is the program, built once for the tests that run it as an operator does.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "passport-built-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "passport")
	build := exec.Command("go", "build", "-tags", buildTags, "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// program prepares a call in an environment without any variable of ours.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PASSPORT_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Dir = t.TempDir()
	return cmd
}

// called runs to the end.
func called(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := program(t, args...)
	cmd.Env = append(cmd.Env, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func unusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// ask repeats a GET until it answers with the status, or the time is up.
func ask(t *testing.T, url string, status int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	jar, err := cookiejar.New(nil) // pages of a flow are bound to the browser
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	var body []byte
	eventually(t, fmt.Sprintf("%s answers with %d", url, status), func() bool {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := browser.Do(req)
		if err != nil {
			return false
		}
		body, _ = io.ReadAll(res.Body)
		res.Body.Close()
		return res.StatusCode == status
	})
	return string(body)
}

// eventually looks again and again whether something is so that another process, or a browser, does at its own time: nothing
// of theirs can be waited on here. After 30 seconds the test fails, and shows the logs.
func eventually(t *testing.T, what string, is func() bool, logs ...fmt.Stringer) {
	t.Helper()
	eventuallyIn(t, 30*time.Second, what, is, logs...)
}

// eventuallyIn is eventually, with its own patience.
func eventuallyIn(t *testing.T, patience time.Duration, what string, is func() bool, logs ...fmt.Stringer) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.After(patience); !is(); {
		select {
		case <-end:
			t.Fatalf("never: %s\n%v", what, logs)
		case <-again.C:
		}
	}
}

func TestServeDev(t *testing.T) {
	port, admin, data := unusedPort(t), unusedPort(t), filepath.Join(t.TempDir(), "data")
	for _, start := range []string{"first", "second"} {
		t.Run(start+" start", func(t *testing.T) { serveDev(t, port, admin, data) })
	}
}

func serveDev(t *testing.T, port, admin, data string) {
	cmd := program(t, "serve", "--dev", "--addr", "127.0.0.1:"+port, "--data", data)
	// What Kubernetes injects must not disturb.
	cmd.Env = append(cmd.Env, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin, "PASSPORT_PORT=tcp://10.0.0.1:1", "PASSPORT_SERVICE_HOST=10.0.0.1")
	var logs bytes.Buffer
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	scanner := bufio.NewScanner(out)
	for len(lines) < 5 && scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	issuer := "http://localhost:" + port
	text := strings.Join(lines, "\n")
	if len(lines) != 5 || !strings.Contains(text, "Fabrikam") || !strings.Contains(text, "Contoso") || !strings.Contains(text, issuer+"/dev/inbox") {
		t.Errorf("where to click: %q", lines)
	}
	if body := ask(t, issuer+"/.well-known/openid-configuration", 200); !strings.Contains(body, `"issuer":"`+issuer+`"`) {
		t.Errorf("discovery: %s", body)
	}
	ask(t, issuer+"/", 200)
	ask(t, issuer+"/dev/inbox", 200)
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
	ask(t, "http://127.0.0.1:"+admin+"/livez", 200)
	if body := ask(t, "http://127.0.0.1:"+admin+"/metrics", 200); !strings.Contains(body, "passport_http_request_duration_seconds") {
		t.Error("no metrics of requests")
	}
	for _, path := range []string{"/metrics", "/readyz", "/livez", "/debug/pprof/"} {
		ask(t, issuer+path, 404) // on the admin listener only
	}
	for _, line := range lines[1:3] { // the sites: their button leads to Passport's sign-in page
		page := ask(t, strings.Fields(line)[0]+"/login", 200)
		if !strings.Contains(page, "login-submit") {
			t.Errorf("%s does not lead to the sign-in page", line)
		}
	}
	if info, err := os.Stat(filepath.Join(data, "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v %v", info, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, logs.String())
	}
	if len(rest) > 0 {
		t.Errorf("more than five lines: %s", rest)
	}
}

// SIGTERM: readiness red at once, requests still taken during the delay, the one that runs is finished, exit 0.
func TestServeStopsGently(t *testing.T) {
	port, admin := unusedPort(t), unusedPort(t)
	cmd := program(t, "serve", "--dev", "--addr", "127.0.0.1:"+port)
	cmd.Env = append(cmd.Env, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin, "PASSPORT_SHUTDOWN_DELAY=2s")
	var logs bytes.Buffer
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if body := ask(t, "http://127.0.0.1:"+admin+"/readyz", 503); !strings.Contains(body, "stopping") {
		t.Errorf("readyz: %s", body)
	}
	ask(t, "http://localhost:"+port+"/.well-known/openid-configuration", 200)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, logs.String())
	}
}

// The second signal does not wait.
func TestServeSecondSignal(t *testing.T) {
	admin := unusedPort(t)
	cmd := program(t, "serve", "--dev", "--addr", "127.0.0.1:"+unusedPort(t))
	cmd.Env = append(cmd.Env, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin, "PASSPORT_SHUTDOWN_DELAY=10m")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 503)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("ended at once with status 0: what was running was cut off")
	}
}

func TestRefusesToStart(t *testing.T) {
	code, _, stderr := called(t, []string{"PASSPORT_ISSUER=http://passport.test/x", "PASSPORT_SECRET=short", "PASSPORT_COLOUR=red"}, "serve")
	for _, want := range []string{"issuer: must have no path", "secret: is shorter", "unknown key colour", "smtp_url: is missing"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%d, no %q in %s", code, want, stderr)
		}
	}
	// A database that was made with another secret.
	data := t.TempDir()
	env := func(secret string) []string {
		return []string{"PASSPORT_ISSUER=https://passport.test", "PASSPORT_SMTP_URL=smtp://mail.test", "PASSPORT_DATA=" + data, "PASSPORT_SECRET=" + secret}
	}
	if code, _, stderr := called(t, env("0123456789abcdefghijklmnopqrstuvwxyz"), "keys", "list"); code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	code, _, stderr = called(t, env("zyxwvutsrqponmlkjihgfedcba9876543210"), "serve")
	if code != 1 || !strings.Contains(stderr, "PASSPORT_SECRET") || strings.Contains(stderr, "zyxwv") {
		t.Errorf("another secret: %d %s", code, stderr)
	}
}

func TestCalls(t *testing.T) {
	good := []string{"PASSPORT_ISSUER=https://passport.test", "PASSPORT_SMTP_URL=smtp://u:hunter2@mail.test", "PASSPORT_SECRET=0123456789abcdefghijklmnopqrstuvwxyz"}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--version"}, 0, "passport version"},
		{[]string{"--help"}, 0, "passport serve --dev"},
		{[]string{"nonsense"}, 2, "unknown command"},
		{[]string{"keys", "nonsense"}, 2, "unknown command"},
		{[]string{"serve", "nonsense"}, 2, "unknown command"},
		{[]string{"serve", "--nonsense"}, 2, "unknown flag"},
		{[]string{"config", "check"}, 0, "good"},
		{[]string{"config", "check", "--json"}, 0, `"ok": true`},
		{[]string{"config", "print"}, 0, "(hidden)"},
		{[]string{"config", "print", "--json"}, 0, `"(hidden)"`},
		{[]string{"config", "print", "--config", "nowhere.yaml"}, 1, "no such file"},
		{[]string{"migrate", "status"}, 0, "missing"},
		{[]string{"migrate", "up"}, 0, "applied"},
		{[]string{"migrate", "status", "--json"}, 0, `"applied": false`},
	} {
		code, stdout, stderr := called(t, good, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%v: %d\n%s%s", c.args, code, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "hunter2") || strings.Contains(stdout+stderr, "0123456789abc") {
			t.Errorf("%v shows a secret", c.args)
		}
	}
}
