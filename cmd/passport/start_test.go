package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// production is the environment of a server that others reach, at passport.test behind a proxy.
func production(database string, more ...string) []string {
	return append([]string{
		"PASSPORT_ISSUER=https://passport.test", "PASSPORT_SMTP_URL=smtp://mail.test", "PASSPORT_DATABASE=" + database,
		"PASSPORT_SECRET=0123456789abcdefghijklmnopqrstuvwxyz",
	}, more...)
}

// Five replicas, as processes, on an empty database: none fails, and all have the same first keys.
func TestReplicasStartTogether(t *testing.T) {
	databases := []string{"sqlite:" + filepath.Join(t.TempDir(), "passport.db")}
	if storagetest.Databases() == "" {
		databases = append(databases, storagetest.Postgres(t))
	}
	for _, database := range databases {
		var all sync.WaitGroup
		var said [5]string
		for i := range said {
			all.Go(func() {
				code, stdout, stderr := called(t, production(database), "keys", "list", "--json")
				if code != 0 {
					t.Errorf("%d %s", code, stderr)
				}
				said[i] = stdout
			})
		}
		all.Wait()
		for _, s := range said {
			if s != said[0] || strings.Count(s, `"kid"`) != 4 {
				t.Errorf("replicas that started together have different keys:\n%s\n%s", said[0], s)
			}
		}
	}
}

// seesRotation demands that the running server publishes the keys that another process has made. Two seconds
// are promised; eventually's bound is wider, for machines that run other tests beside this one.
func seesRotation(t *testing.T, base string, env []string) {
	t.Helper()
	if code, _, stderr := called(t, env, "keys", "rotate", "--all"); code != 0 {
		t.Fatalf("keys rotate: %d %s", code, stderr)
	}
	eventually(t, "the next keys are published", func() bool {
		_, set := knock(t, "GET", base+"/jwks.json", "", "")
		return strings.Count(set, `"kid"`) == 8
	})
}

// knock asks a server for a page of passport.test.
func knock(t *testing.T, method, url, user, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "passport.test"
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if id, secret, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(id, secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Outside --dev there is no inbox, the log is one JSON line a request that says nothing of the person, and a
// request that runs at SIGTERM is answered.
func TestServe(t *testing.T) {
	port, admin := unusedPort(t), unusedPort(t)
	base := "http://127.0.0.1:" + port
	database := "sqlite:" + filepath.Join(t.TempDir(), "passport.db")
	env := production(database,
		"PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin, "PASSPORT_SHUTDOWN_DELAY=0s")
	code, made, stderr := called(t, env, "client", "create", "--name", "Job", "--client-id", "job", "--grant-type", "client_credentials", "--json")
	var client struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(made), &client); code != 0 || err != nil {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	store := storagetest.Open(t, database)
	expired := func() error { return store.UseOnce(t.Context(), "test", []byte("x"), time.Unix(1, 0)) }
	if err := expired(); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "serve")
	cmd.Env = append(cmd.Env, env...)
	var logs, out bytes.Buffer
	cmd.Stderr, cmd.Stdout = &logs, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)

	for _, path := range []string{"/dev/inbox", "/dev/inbox/1", "/hunter2"} {
		if status, _ := knock(t, "GET", base+path, "", ""); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _ := knock(t, "GET", base+"/login?login_hint=alice@example.test&token=hunter2", "", ""); status != 200 {
		t.Errorf("/login: %d", status)
	}
	status, token := knock(t, "POST", base+"/token", "job:"+client.Secret, "grant_type=client_credentials")
	if status != 200 {
		t.Errorf("/token: %d %s", status, token)
	}
	_, faulty := knock(t, "GET", base+"/consent?i=none", "", "")
	if status, _ := knock(t, "GET", base+"/authorize?client_id=job&response_type=code&redirect_uri=https://hunter2.example/", "", ""); status != 400 {
		t.Errorf("/authorize: %d", status)
	}
	seesRotation(t, base, env)

	// The server answers "100 Continue" when it reads the body: the request runs.
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const body = "token=x&client_id=nobody"
	fmt.Fprintf(conn, "POST /revoke HTTP/1.1\r\nHost: passport.test\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", len(body))
	answer := bufio.NewReader(conn)
	if res, err := http.ReadResponse(answer, nil); err != nil || res.StatusCode != http.StatusContinue {
		t.Fatalf("%v %v", res, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 503)
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(answer, nil); err != nil || res.StatusCode != 401 {
		t.Errorf("the request that ran at SIGTERM: %v %v", res, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, logs.String())
	}
	if out.Len() > 0 {
		t.Errorf("said %s", out.String())
	}
	if err := expired(); err != nil {
		t.Errorf("what had expired was not purged: %v", err)
	}
	for _, secret := range []string{"hunter2", "alice", "127.0.0.1:" + port + "/", client.Secret, "pp1a_"} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("%q stands in the log", secret)
		}
	}
	requests := logged(t, logs.String())
	maps.DeleteFunc(requests, func(route string, _ map[string]any) bool { return strings.HasPrefix(route, "jwks") })
	if n := len(requests); n != 8 {
		t.Errorf("%d lines for 8 requests", n)
	}
	if l := requests["token"]; l["client"] != "job" || l["outcome"] != "ok" || l["reason"] != "" || l["status"] != 200.0 || l["method"] != "POST" {
		t.Errorf("%v", l)
	}
	// Who is given the number of an error page finds why in the line, and of which site.
	if l := requests["authorize"]; l["client"] != "job" || l["reason"] != "redirect_mismatch" {
		t.Errorf("%v", l)
	}
	if l := requests["revoke"]; l["client"] != "" || l["reason"] != "invalid_client: unknown client" {
		t.Errorf("%v", l)
	}
	if l := requests["consent"]; l["outcome"] != "refused" || l["reason"] != "interaction_gone" || !strings.Contains(faulty, l["id"].(string)) {
		t.Errorf("the error page does not bear the id of %v\n%s", l, faulty)
	}
}

// logged gives the lines of requests by their route; each must have the members of such a line and no other.
func logged(t *testing.T, logs string) map[string]map[string]any {
	t.Helper()
	byRoute := map[string]map[string]any{}
	want := []string{"client", "id", "level", "method", "ms", "msg", "outcome", "reason", "route", "status", "time"}
	for i, line := range strings.Split(strings.TrimSpace(logs), "\n") {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l["msg"] != "request" {
			continue
		}
		if got := slices.Sorted(maps.Keys(l)); !slices.Equal(got, want) {
			t.Errorf("a request's line has %v", got)
		}
		key := fmt.Sprint(l["route"])
		if byRoute[key] != nil {
			key = fmt.Sprint(key, " ", i)
		}
		byRoute[key] = l
	}
	return byRoute
}

// PASSPORT_SECRET changes as `passport keys reseal --help` says, and the keys stay.
func TestSecretChanges(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "passport.db")
	const old, fresh = "PASSPORT_SECRET=0123456789abcdefghijklmnopqrstuvwxyz", "PASSPORT_SECRET=9876543210zyxwvutsrqponmlkjihgfedcba"
	const both = "PASSPORT_SECRET_PREVIOUS=0123456789abcdefghijklmnopqrstuvwxyz"
	call := func(code int, args []string, env ...string) string {
		t.Helper()
		got, stdout, stderr := called(t, append(production(database), env...), args...)
		if got != code {
			t.Fatalf("%v: %d, not %d: %s", args, got, code, stderr)
		}
		return stdout
	}
	list := []string{"keys", "list", "--json"}
	before := call(0, list, old)
	call(1, list, fresh)
	if between := call(0, list, fresh, both); between != before {
		t.Errorf("with both secrets: %s", between)
	}
	call(0, []string{"keys", "reseal"}, fresh, both)
	if after := call(0, list, fresh); after != before {
		t.Errorf("after the reseal: %s", after)
	}
	call(1, list, old)
}

// The operator's keys reach their rooms: limits count the address that a trusted proxy names, and not those that
// are exempt; the sign-in page asks for the address alone.
func TestKeysReachTheirRooms(t *testing.T) {
	port, admin := unusedPort(t), unusedPort(t)
	cmd := program(t, "serve")
	cmd.Env = append(cmd.Env, production("sqlite:"+filepath.Join(t.TempDir(), "passport.db"), "PASSPORT_ADDR=127.0.0.1:"+port,
		"PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin, "PASSPORT_TRUSTED_PROXIES=127.0.0.0/8", "PASSPORT_LIMIT_EXEMPT=192.0.2.0/24",
		"PASSPORT_SIGNIN_PAGES=two", "PASSPORT_BRAND=Sesame")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
	if _, page := knock(t, "GET", "http://127.0.0.1:"+port+"/login", "", ""); strings.Contains(page, `id="password"`) ||
		!strings.Contains(page, `id="username"`) || !strings.Contains(page, "Sesame") {
		t.Errorf("the sign-in page: %s", page)
	}
	guess := func(from string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:"+port+"/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "passport.test"
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", from)
		req.SetBasicAuth("nobody", "wrong")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for i := range 49 {
		if got := guess("192.0.2.1"); got != 401 {
			t.Fatalf("exempt, guess %d: %d", i, got)
		}
	}
	limited := false
	for range 49 {
		limited = limited || guess("198.51.100.1") == 429
	}
	if !limited {
		t.Error("nobody stopped 49 guesses")
	}
	if got := guess("198.51.100.2"); got != 401 {
		t.Errorf("another's address pays for it: %d", got)
	}
}

// Who may register a site, and what is then said of it, is the operator's word.
func TestRegistrationDoors(t *testing.T) {
	for _, c := range []struct {
		env      []string
		status   int // of a stranger's registration
		verified any // what the command says of who came in
	}{
		{[]string{"PASSPORT_REGISTRATION=off", "PASSPORT_SECURITY_CONTACT=off"}, 404, nil},
		{[]string{"PASSPORT_REGISTRATION=token"}, 401, nil},
		{[]string{"PASSPORT_REGISTRATION=open"}, 201, false},
		{[]string{"PASSPORT_REGISTRATION=open", "PASSPORT_REGISTRATION_TRUST=verified"}, 201, true},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			port, admin := unusedPort(t), unusedPort(t)
			env := append(production("sqlite:"+filepath.Join(t.TempDir(), "passport.db"), "PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin), c.env...)
			cmd := program(t, "serve")
			cmd.Env = append(cmd.Env, env...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
			base := "http://127.0.0.1:" + port
			req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/connect/register", strings.NewReader(`{"redirect_uris":["https://shop.test/cb"]}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "passport.test"
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var made map[string]any
			if err := json.NewDecoder(res.Body).Decode(&made); res.StatusCode != c.status || err != nil && c.status != 404 {
				t.Fatalf("%d %v", res.StatusCode, err)
			}
			_, document := knock(t, "GET", base+"/.well-known/openid-configuration", "", "")
			if published := strings.Contains(document, "registration_endpoint"); published != (c.status != 404) {
				t.Errorf("published: %v", published)
			}
			if status, _ := knock(t, "GET", base+"/.well-known/security.txt", "", ""); (status == 200) != (c.status != 404) {
				t.Errorf("security.txt: %d", status)
			}
			if c.verified == nil {
				return
			}
			var shown map[string]any
			code, out, stderr := called(t, env, "client", "show", made["client_id"].(string), "--json")
			if code != 0 || json.Unmarshal([]byte(out), &shown) != nil || shown["verified"] != c.verified {
				t.Errorf("%d %v %s", code, shown["verified"], stderr)
			}
		})
	}
}
