package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// called is a call of the program.
type called struct {
	status         int
	stdout, stderr string
}

func call(args ...string) called {
	var stdout, stderr bytes.Buffer
	status := run(args, &stdout, &stderr)
	return called{status, stdout.String(), stderr.String()}
}

func (c called) report(t *testing.T) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.stdout), &r); err != nil {
		t.Fatalf("%v: %+v", err, c)
	}
	return r
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// args are those that the double asks for.
func (d *double) args(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{"--issuer", d.server.URL, "--client-id", "load", "--client-secret-file", file(t, "s3cret\n"),
		"--username", "alice", "--password-file", file(t, "open sesame\n"), "--username-field", "user", "--password-field", "pass",
		"--login-button", ".go", "--consent-button", "#yes", "--json", "--quiet", "--warm-up", "0s"}, more...)
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// counted demands that every scenario was done so often, and nothing else.
func counted(t *testing.T, r report, n uint64) {
	t.Helper()
	if len(r.Scenarios) != len(scenarios) {
		t.Fatalf("%d scenarios", len(r.Scenarios))
	}
	for _, s := range r.Scenarios {
		if s.Operations != n || s.Failed != 0 || s.PerSecond <= 0 || s.Latency.P50 <= 0 || s.Requests < int64(n) {
			t.Errorf("%s: %+v", s.Scenario, s)
		}
	}
}

func TestScenarios(t *testing.T) {
	d := newDouble(t)
	t.Run("every one, closed loop", func(t *testing.T) {
		counted(t, call(d.args(t, append(names(), "--count", "20", "--workers", "3")...)...).report(t), 20)
	})
	t.Run("every one, open loop", func(t *testing.T) {
		counted(t, call(d.args(t, append(names(), "--count", "20", "--rate", "1000")...)...).report(t), 20)
	})
	t.Run("the warm-up is not counted", func(t *testing.T) {
		r := call(d.args(t, "discovery", "--count", "5", "--rate", "1000", "--warm-up", "50ms")...).report(t)
		if s := r.Scenarios[0]; s.Operations != 5 || d.asked.Load() < 50 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLies: a wrong answer never counts, and says what it was.
func TestLies(t *testing.T) {
	for _, c := range []struct{ scenario, lie, kind string }{
		{"discovery", "another issuer", "wrong iss"},
		{"discovery", "not JSON", "not a discovery document"},
		{"discovery", "500", "status 500"},
		{"discovery", "hang up", "connection lost"},
		{"discovery", "silence", "timeout"},
		{"discovery", "another endpoint", "another document"},
		{"jwks", "no keys", "not a key set"},
		{"jwks", "nothing but kinds that nobody knows", "not a key set"},
		{"jwks", "a private key of a kind that nobody knows", "secret key published"},
		{"jwks", "a private key", "secret key published"},
		{"jwks", "a symmetric key", "secret key published"},
		{"jwks", "another key", "key withdrawn"},
		{"jwks", "another key of that kid", "key withdrawn"},
		{"jwks", "not JSON", "not a key set"},
		{"client_credentials", "no access_token", "no access_token"},
		{"client_credentials", "token_type", "wrong token_type"},
		{"client_credentials", "invalid_client", "status 401 invalid_client"},
		{"client_credentials", "not JSON", "not JSON"},
		{"introspect", "inactive", "inactive"},
		{"introspect", "client_id", "wrong client_id"},
		{"introspect", "iss of the introspection", "wrong iss"},
		{"introspect", "sub of the introspection", "wrong sub"},
		{"introspect", "exp of the introspection", "wrong exp"},
		{"userinfo", "sub of the userinfo", "wrong sub"},
		{"userinfo", "invalid_token", "status 401"},
		{"userinfo", "hang up", "connection lost"},
		{"refresh", "invalid_grant", "status 400 invalid_grant"},
		{"refresh", "no access_token", "no access_token"},
		{"refresh", "no refresh_token", "no refresh_token"},
		{"refresh", "signature", "bad signature"},
		{"refresh", "sub", "wrong sub"},
		{"refresh", "aud", "wrong aud"},
		{"refresh", "nonce of another, where none need be", "wrong nonce"},
		{"refresh", "the access token stays", "same access_token"},
		{"refresh", "the refresh token stays", "not rotated"},
		{"refresh", "no next refresh_token", "not rotated"},
		{"refresh", "scope", "wrong scope"},
		{"sso", "state", "wrong state"},
		{"sso", "iss", "wrong iss"},
		{"sso", "no iss", "wrong iss"},
		{"sso", "no code", "no code"},
		{"sso", "denied", "error access_denied"},
		{"sso", "signed out", "asked for a page"},
		{"sso", "a strange page", "asked for a page"},
		{"sso", "round and round", "no end"},
		{"sso", "escapes in a path", "status 404"},
		{"sso", "invalid_grant", "status 400 invalid_grant"},
		{"sso", "no access_token", "no access_token"},
		{"sso", "no id_token", "no id_token"},
		{"sso", "nonce", "wrong nonce"},
		{"sso", "no nonce", "wrong nonce"},
		{"sso", "iss of the ID token", "wrong iss"},
		{"sso", "aud", "wrong aud"},
		{"sso", "azp", "wrong azp"},
		{"sso", "azp alone", "wrong azp"},
		{"sso", "scope", "wrong scope"},
		{"sso", "sub", "wrong sub"},
		{"sso", "expired", "expired ID token"},
		{"sso", "of the future", "wrong iat"},
		{"sso", "at_hash", "wrong at_hash"},
		{"sso", "signature", "bad signature"},
		{"sso", "kid", "bad signature"},
		{"sso", "alg none", "bad ID token"},
		{"sso", "signed by a secret", "bad signature"},
		{"login", "a strange page", "unknown page"},
		{"login", "signed out", "not signed in"},
		{"login", "no password", "no password asked for"},
		{"login", "sub", "wrong sub"},
		{"login", "state", "wrong state"},
		{"login", "nonce", "wrong nonce"},
	} {
		t.Run(c.scenario+": "+c.lie, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			s, _ := scenarioNamed(c.scenario)
			w := d.worker(t)
			once := func() error {
				_, _, err := s.one(t.Context(), w)
				return err
			}
			if err := once(); err != nil { // as long as it tells the truth, all is well
				t.Fatal(err)
			}
			d.tell(c.lie)
			if c.lie == "no refresh_token" {
				w.tokens = nil // a sign-in that should give one
			}
			if c.lie == "silence" {
				w.agent.timeout = 50 * time.Millisecond
			}
			r := newRecorder(plan{duration: time.Minute})
			r.begins(time.Now(), plan{duration: time.Minute})
			begin, end, err := s.one(t.Context(), w)
			r.add(begin, end, err)
			got := r.result(s.name)
			if got.Operations != 0 || got.Failed != 1 || len(got.Failures) != 1 || got.Failures[0].Kind != c.kind {
				t.Errorf("%d counted, failed: %v, not %q", got.Operations, err, c.kind)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q reaches the terminal", err)
			}
			d.tell("")
			_ = once() // it may first find out what it lost
			if err := once(); err != nil {
				t.Errorf("it does not recover: %v", err)
			}
		})
	}
}

// TestFaults: what a server says breaks no terminal and no table, has an end, and tells no token.
func TestFaults(t *testing.T) {
	jwt := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("Aa0_-", 20) + "." + strings.Repeat("x", 86)
	f := faultOf(faultf("error \x1b[2J"+strings.Repeat("k", 100), "\x9b\n%s in %s, /a/%s/b, %s", jwt, strings.Repeat("0f", 16), strings.Repeat("c", 31), strings.Repeat("long ", 1000)))
	if want := "??eyJhbGciOiJFUzI1NiJ9........ in ..., /a/" + strings.Repeat("c", 31) + "/b, long"; !strings.HasPrefix(f.detail, want) || len(f.detail) > 500 {
		t.Errorf("%q", f.detail)
	}
	if !strings.HasPrefix(f.kind, "error ?[2Jkkk") || len(f.kind) > 70 {
		t.Errorf("%q", f.kind)
	}
	for _, err := range []error{
		statusFault(&answer{url: must(url.Parse("https://op.test/%1b")), status: 400, body: []byte(`{"error":"\u001b","error_description":"\u001b ` + jwt + `"}`)}),
		faultOf(errors.New("\x1b" + jwt)),
	} {
		if strings.ContainsRune(err.Error(), '\x1b') || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%q", err)
		}
	}
}

// TestTruths: what a provider may do is no failure, however often.
func TestTruths(t *testing.T) {
	for _, c := range []struct{ scenario, way string }{
		{"jwks", "a key more"},
		{"jwks", "kinds that nobody knows"},
		{"sso", "no password"},
		{"sso", "scope in another order"},
		{"refresh", "scope in another order"},
		{"refresh", "the nonce of the first"},
		{"refresh", "the refresh token stays"},
		{"refresh", "no next refresh_token"},
	} {
		t.Run(c.scenario+": "+c.way, func(t *testing.T) {
			d := newDouble(t)
			w := d.worker(t)
			d.tell(c.way)
			s, _ := scenarioNamed(c.scenario)
			for range 3 {
				if _, _, err := s.one(t.Context(), w); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestKeys: keys may go, but not the one that signs; and what was wrong makes no ID token wrong.
func TestKeys(t *testing.T) {
	for _, signed := range []bool{false, true} {
		d := newDouble(t)
		d.tell("a key more")
		w := d.worker(t)
		w.next()
		if signed {
			check(t, w.login(t.Context()))
		}
		d.tell("another key")
		if err := w.jwks(t.Context()); (err != nil) != signed {
			t.Errorf("signed by the other %v: %v", signed, err)
		}
		d.tell("")
		check(t, w.login(t.Context()))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestPeople: who signs in anew is the next one, and a worker uses the sessions that it holds in turn.
func TestPeople(t *testing.T) {
	people := func(n int) string {
		all := ""
		for i := range n {
			all += "p" + strconv.Itoa(i) + " open sesame\n"
		}
		return all
	}
	for _, c := range []struct {
		scenario                               string
		people, workers, operations            int
		signedIn, signedOn, whoSignedIn, whoOn int // how often, and how many people
	}{
		{"sso", 1, 1, 10, 1, 11, 1, 1},
		{"sso", 5, 1, 10, 5, 15, 5, 5},
		{"sso", 9, 2, 10, 10, 20, 9, 9},   // five each
		{"sso", 20, 1, 10, 8, 18, 8, 8},   // eight at most
		{"refresh", 5, 1, 10, 5, 5, 5, 5}, // no code afterwards
		{"introspect", 5, 1, 10, 5, 5, 5, 5},
		{"userinfo", 5, 1, 10, 5, 5, 5, 5},
		{"login", 5, 1, 10, 10, 10, 5, 5},
	} {
		t.Run(fmt.Sprintf("%s: %d people, %d workers", c.scenario, c.people, c.workers), func(t *testing.T) {
			d := newDouble(t)
			workers := []*worker{}
			first := d.worker(t, "--username", "", "--password-file", "", "--people", file(t, people(c.people)), "--workers", strconv.Itoa(c.workers))
			for range c.workers {
				workers = append(workers, newWorker(first.o, first.p))
			}
			s, _ := scenarioNamed(c.scenario)
			for _, w := range workers {
				t.Cleanup(w.agent.close)
				s.prepare(t.Context(), w)
			}
			for i := range c.operations {
				_, _, err := s.one(t.Context(), workers[i%len(workers)])
				check(t, err)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if sum(d.signedIn) != c.signedIn || sum(d.signedOn) != c.signedOn || len(d.signedIn) != c.whoSignedIn || len(d.signedOn) != c.whoOn {
				t.Errorf("signed in %v, on %v", d.signedIn, d.signedOn)
			}
			if c.scenario == "sso" && spreadOf(d.signedOn) > 2 {
				t.Errorf("not in turn: %v", d.signedOn)
			}
		})
	}
}

// TestOverload: a server that has too much to do is not given sign-ins on top, which nobody has asked for.
func TestOverload(t *testing.T) {
	for _, c := range []struct {
		scenario, way      string
		signedIn, signedOn int
	}{
		{"userinfo", "429", 1, 1},
		{"userinfo", "500", 1, 1},
		{"userinfo", "silence", 1, 1},
		{"userinfo", "invalid_token", 1, 2},
		{"sso", "429", 1, 3},
		{"sso", "500", 1, 3},
		{"sso", "silence", 1, 3},
		{"sso", "429 at the token endpoint", 1, 3},
		{"sso", "invalid_grant", 1, 4},
		{"sso", "login_required", 2, 4},
		{"sso", "signed out", 2, 4},
		{"refresh", "429", 1, 1},
		{"refresh", "invalid_grant", 2, 2},
		{"introspect", "500", 1, 1},
	} {
		t.Run(c.scenario+": "+c.way, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t)
			s, _ := scenarioNamed(c.scenario)
			w := d.worker(t)
			_, _, err := s.one(t.Context(), w)
			check(t, err)
			d.tell(c.way)
			if c.way == "silence" {
				w.agent.timeout = 50 * time.Millisecond
			}
			if _, _, err = s.one(t.Context(), w); err == nil {
				t.Error("it does not fail")
			}
			d.tell("")
			w.agent.timeout = time.Minute
			if _, _, err = s.one(t.Context(), w); err != nil {
				t.Error(err)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if in, on := sum(d.signedIn), sum(d.signedOn); in != c.signedIn || on != c.signedOn {
				t.Errorf("signed in %d times, on %d", in, on)
			}
		})
	}
	t.Run("a token that cannot be had by a sign-on is not had by a sign-in", func(t *testing.T) {
		d := newDouble(t)
		s, _ := scenarioNamed("userinfo")
		w := d.worker(t)
		_, _, err := s.one(t.Context(), w)
		check(t, err)
		w.tokens = nil
		d.tell("429 at the token endpoint")
		if _, _, err := s.one(t.Context(), w); err == nil || sum(d.signedIn) != 1 {
			t.Errorf("signed in %d times: %v", sum(d.signedIn), err)
		}
	})
	t.Run("who has signed in, but got no tokens, has a session", func(t *testing.T) {
		d := newDouble(t)
		s, _ := scenarioNamed("sso")
		w := d.worker(t)
		d.tell("429 at the token endpoint")
		_, _, _ = s.one(t.Context(), w)
		d.tell("")
		_, _, err := s.one(t.Context(), w)
		if check(t, err); sum(d.signedIn) != 1 {
			t.Errorf("signed in %d times", sum(d.signedIn))
		}
	})
}

func sum(of map[string]int) (n int) {
	for _, v := range of {
		n += v
	}
	return n
}

// spreadOf is how much more often the most frequent one is there than the least.
func spreadOf(of map[string]int) int {
	all := slices.Collect(maps.Values(of))
	return slices.Max(all) - slices.Min(all)
}

// worker is one that knows the double.
func (d *double) worker(t *testing.T, more ...string) *worker {
	t.Helper()
	o, cmd := &options{}, &cobra.Command{}
	o.flags(cmd)
	if err := cmd.ParseFlags(d.args(t, more...)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.read(cmd, nil); err != nil {
		t.Fatal(err)
	}
	w := newWorker(o, nil)
	t.Cleanup(w.agent.close)
	w.agent.begin()
	var err error
	if w.p, err = discover(t.Context(), w.agent, o.issuer); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCommandLine(t *testing.T) {
	d := newDouble(t)
	for _, c := range []struct {
		what, want string
		status     int
		args       []string
	}{
		{"no scenario", "name a scenario", 2, nil},
		{"an unknown one", `no scenario "ssso"`, 2, d.args(t, "ssso")},
		{"all that is wrong, at once", "--workers", 2, d.args(t, "sso", "--workers", "0", "--rate", "-1")},
		{"what is missing", "it needs --client-id, --client-secret-file", 2, []string{"--issuer", d.server.URL, "client_credentials"}},
		{"whom is missing", "--username", 2, []string{"--issuer", d.server.URL, "--client-id", "load", "sso"}},
		{"no issuer", "not a URL", 2, []string{"--issuer", "passport", "discovery"}},
		{"another issuer", "give --issuer as the document has it", 1, []string{"--issuer", d.server.URL + "/", "discovery"}},
		{"nobody there", "no connection", 1, []string{"--issuer", "http://127.0.0.1:1", "discovery"}},
		{"a wrong password", "sso: the first operation, tried alone, went wrong: not signed in", 1,
			d.args(t, "sso", "--password-file", file(t, "wrong"))},
		{"a wrong field", "no form with a field", 1, d.args(t, "login", "--username-field", "mail", "--password-field", "x")},
		{"a wrong button", "is no button", 2, d.args(t, "login", "--login-button", "Go")},
		{"no openid", "without openid", 2, d.args(t, "sso", "--scope", "profile")},
		{"a picture that cannot be written", "--plot", 2, d.args(t, "discovery", "--plot", t.TempDir())},
		{"an empty file of people", "empty", 2, d.args(t, "sso", "--username", "", "--password-file", "", "--people", file(t, "\n"))},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := call(c.args...)
			if got.status != c.status || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
				t.Errorf("%+v", got)
			}
			if strings.Contains(got.stderr, "open sesame") || strings.Contains(got.stderr, "s3cret") {
				t.Error("it tells a secret")
			}
		})
	}
	t.Run("too many failures are status 1, and the table is printed all the same", func(t *testing.T) {
		r := &report{Scenarios: []result{{Scenario: "jwks", Operations: 98, Failed: 2, Failures: []*failure{{"timeout", 2, ""}}}}}
		var out bytes.Buffer
		o := &options{maxFailed: 1}
		if err := o.tell(&out, r); err == nil || !strings.Contains(out.String(), "2 × timeout") {
			t.Errorf("%v\n%s", err, out.String())
		}
		o.maxFailed = 2
		if err := o.tell(io.Discard, r); err != nil {
			t.Error(err)
		}
	})
	t.Run("what was measured before one that cannot work is told, and nothing after it is done", func(t *testing.T) {
		picture := filepath.Join(t.TempDir(), "p.svg")
		got := call(d.args(t, "discovery", "sso", "jwks", "--count", "5", "--password-file", file(t, "wrong"), "--plot", picture)...)
		s := got.report(t).Scenarios
		if got.status != 1 || !strings.Contains(got.stderr, "sso: the first operation, tried alone, went wrong: not signed in") || len(s) != 2 ||
			s[0].Operations != 5 || s[1].Operations != 0 || s[1].Failed != 1 || s[1].Failures[0].Kind != "not signed in" {
			t.Errorf("%+v", got)
		}
		if svg, err := os.ReadFile(picture); err != nil || !bytes.Contains(svg, []byte("sso")) {
			t.Error(err)
		}
	})
	t.Run("a picture that cannot be written any more costs nothing else", func(t *testing.T) {
		var out bytes.Buffer
		o := &options{plot: t.TempDir()}
		if err := o.tell(&out, &report{}); err == nil || !strings.Contains(out.String(), "per second") {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
	t.Run("people take turns", func(t *testing.T) {
		got := call(d.args(t, "login", "--username", "", "--password-file", "", "--people", file(t, "alice open sesame\r\n\nbob no\n"),
			"--workers", "2", "--count", "10", "--duration", "1m")...).report(t)
		if s := got.Scenarios[0]; s.Operations == 0 || s.Failed == 0 || s.Failures[0].Kind != "not signed in" {
			t.Errorf("%+v", s)
		}
	})
}

func TestInterrupt(t *testing.T) {
	d := newDouble(t)
	done := make(chan called)
	go func() { done <- call(d.args(t, "discovery", "sso", "--duration", "1h")...) }()
	select {
	case <-d.busy:
	case <-time.After(30 * time.Second):
		t.Fatal("it asks nothing")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	got := <-done
	r := got.report(t)
	if got.status != 0 || !r.Interrupted || len(r.Scenarios) != 1 || r.Scenarios[0].Operations == 0 || r.Scenarios[0].Failed != 0 {
		t.Errorf("%+v", got)
	}
}

// TestOmission: in the open loop latency counts from when an operation was due, and what was never begun is a failure.
func TestOmission(t *testing.T) {
	d := newDouble(t)
	w := d.worker(t)
	s, _ := scenarioNamed("discovery")
	d.tell("silence")
	w.agent.timeout = 300 * time.Millisecond
	p := plan{workers: 1, rate: 1000, duration: 200 * time.Millisecond}
	got := p.run(t.Context(), s, []*worker{w}, func(string, *recorder) {}).result("discovery")
	if got.Operations != 0 || got.Failed != 200 {
		t.Errorf("%d and %d of 200", got.Operations, got.Failed)
	}
	kinds := map[string]uint64{}
	for _, f := range got.Failures {
		kinds[f.Kind] = f.Count
	}
	if kinds["never begun"]+kinds["timeout"] != 200 || kinds["never begun"] < 150 {
		t.Errorf("%v", kinds)
	}
}

// TestPreparing: in the open loop what an operation needs is there before it is due, and takes a worker, not the operation, its time.
func TestPreparing(t *testing.T) {
	const long = 100 * time.Millisecond
	d := newDouble(t)
	first := d.worker(t)
	workers := []*worker{}
	for range 3 {
		workers = append(workers, newWorker(first.o, first.p))
	}
	prepared := scenario{
		ready: func(w *worker, ctx context.Context) error {
			if w.tokens == nil {
				time.Sleep(long) // a slow sign-in
				w.tokens = &tokens{}
			}
			return nil
		},
		act: func(w *worker, ctx context.Context) error {
			w.tokens = nil
			return nil
		},
	}
	// Each worker can do ten a second, so that three have room for twelve.
	r := plan{rate: 12, duration: time.Second, workers: len(workers)}.run(t.Context(), prepared, workers, func(string, *recorder) {})
	if got := r.result("prepared"); got.Operations != 12 || got.Latency.P50 >= ms(long) {
		t.Errorf("%d took %g ms", got.Operations, got.Latency.P50)
	}
	if late := (plan{rate: 100, duration: long, workers: 1}).run(t.Context(), prepared, workers[:1], func(string, *recorder) {}).result("late"); late.Latency.Max < ms(long)/2 {
		t.Errorf("who had to wait for a worker is told to have waited %g ms", late.Latency.Max)
	}
	broken := scenario{ready: func(*worker, context.Context) error {
		time.Sleep(long) // a slow sign-in that fails
		return faultf("no sign-in", "")
	}}
	got := (plan{duration: long / 2, workers: 1}).run(t.Context(), broken, workers[:1], func(string, *recorder) {}).result("broken")
	if got.Failed != 1 || got.Failures[0].Kind != "no sign-in" {
		t.Errorf("a closed loop in which nothing can begin: %+v", got)
	}
}

// TestIdle: the look at a connection that was idle, which takes a millisecond, is over when an operation is due.
func TestIdle(t *testing.T) {
	d := newDouble(t)
	w := d.worker(t)
	rare := scenario{act: func(w *worker, ctx context.Context) error {
		for _, l := range w.agent.links {
			if time.Since(l.used) >= idleAtMost {
				t.Error("it is yet to be looked at")
			}
		}
		err := w.discovery(ctx)
		for _, l := range w.agent.links {
			l.used = l.used.Add(-idleAtMost) // a second goes by
		}
		return err
	}}
	p := plan{rate: 10, duration: 300 * time.Millisecond, workers: 1}
	if got := p.run(t.Context(), rare, []*worker{w}, func(string, *recorder) {}).result("rare"); got.Operations != 3 {
		t.Errorf("%d of 3: %+v", got.Operations, got.Failures)
	}
}

// TestSpan: what a second brings is counted over the time in which operations were begun, or were due. The last of them says little.
func TestSpan(t *testing.T) {
	for _, c := range []struct {
		what        string
		plan        plan
		interrupted time.Duration // after the beginning; 0: not
		straggles   time.Duration // how long the last operation takes
		want        float64
	}{
		{"open loop", plan{rate: 0.5, duration: 10 * time.Second}, 0, 0, 0.5},
		{"open loop, so many", plan{rate: 0.5, duration: time.Hour, count: 5}, 0, 0, 0.5},
		{"open loop, more than fit", plan{rate: 0.5, duration: 10 * time.Second, count: 50}, 0, 0, 0.5},
		{"open loop, interrupted", plan{rate: 0.5, duration: time.Hour}, 10 * time.Second, time.Second, 0.5},
		{"open loop, so many, interrupted", plan{rate: 0.5, duration: time.Hour, count: 50}, 10 * time.Second, time.Second, 0.5},
		{"closed loop", plan{duration: 10 * time.Second}, 0, 0, 0.5},
		{"closed loop, a straggler", plan{duration: 10 * time.Second}, 0, 10 * time.Second, 0.5},
		{"closed loop, fewer than were asked for", plan{duration: 10 * time.Second, count: 6}, 0, 10 * time.Second, 0.5},
		{"closed loop, so many", plan{duration: time.Hour, count: 5}, 0, 2 * time.Second, 0.5},
		{"closed loop, interrupted", plan{duration: time.Hour}, 10 * time.Second, time.Minute, 0.5},
	} {
		r := newRecorder(c.plan)
		r.begins(time.Now().Add(-c.interrupted), c.plan)
		if c.interrupted > 0 {
			r.interrupted()
			r.until = r.from.Add(c.interrupted) // to the microsecond
		}
		for i := range 5 {
			begin := r.from.Add(time.Duration(i) * 2 * time.Second) // the last eight seconds after the first
			end := begin
			if i == 4 {
				end = begin.Add(c.straggles)
			}
			r.add(begin, end, nil)
		}
		r.elapsed = r.span(c.plan)
		got := r.result("sso")
		if got.PerSecond != c.want {
			t.Errorf("%s: %g a second in %g s, not %g", c.what, got.PerSecond, got.Seconds, c.want)
		}
		if last := got.Series[len(got.Series)-1]; c.plan.duration < time.Minute && c.straggles > 0 && (last.PerSecond != 0 || last.P99 != 0 || last.From > 10) {
			t.Errorf("%s: the straggler is in the last piece: %+v", c.what, last)
		}
	}
}

// TestInterruptedOpenLoop: what would have been due after the interruption, or was cut off by it, is no failure; what no worker was
// free for before is one.
func TestInterruptedOpenLoop(t *testing.T) {
	d := newDouble(t)
	first := d.worker(t)
	workers := []*worker{first, newWorker(first.o, first.p), newWorker(first.o, first.p)}
	begun := make(chan struct{})
	hangs := scenario{act: func(_ *worker, ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	stop, interrupt := context.WithCancel(t.Context())
	go func() {
		for range workers {
			<-begun
		}
		time.AfterFunc(2*slack, interrupt) // for so long, and more, nobody is free
	}()
	p := plan{rate: 100, duration: time.Hour, workers: len(workers)}
	r := p.run(stop, hangs, workers, func(string, *recorder) {})
	due := uint64(float64(r.until.Add(-slack).Sub(r.from).Seconds() * p.rate))
	got := r.result("hangs")
	if len(got.Failures) != 1 || got.Failures[0].Kind != "never begun" || got.Failed != due-3 || got.Seconds > 2 {
		t.Errorf("%d were due before the interruption, after %g s, and %d failed", due, got.Seconds, got.Failed)
	}
}

func TestPlot(t *testing.T) {
	d := newDouble(t)
	picture := filepath.Join(t.TempDir(), "p.svg")
	call(d.args(t, "discovery", "jwks", "--count", "50", "--plot", picture)...)
	drawn, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{Issuer: `https://x.test/"><script>`, Scenarios: []result{{}, {Failed: 7, Series: []point{{Failed: 7}}}}}
	for _, svg := range [][]byte{drawn, plot(r), plot(&report{})} {
		dec := xml.NewDecoder(bytes.NewReader(svg))
		paths := 0
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v\n%s", err, svg)
			}
			if e, ok := tok.(xml.StartElement); ok {
				if e.Name.Local == "script" {
					t.Error("a script in the picture")
				}
				if e.Name.Local == "path" {
					paths++
				}
			}
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("it draws at no place:\n%s", svg)
		}
		if &svg[0] == &drawn[0] && paths < 2*8 {
			t.Errorf("only %d lines", paths)
		}
	}
}

// rounds is a file of one round of sso, as passload prints it.
func rounds(t *testing.T, perSecond float64, operations, failed uint64, interrupted bool) string {
	t.Helper()
	b, err := json.Marshal(report{Interrupted: interrupted, Scenarios: []result{{Scenario: "sso", PerSecond: perSecond, Operations: operations, Failed: failed}}})
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(b))
}

func TestCompare(t *testing.T) {
	run := func(perSecond float64, failed uint64) string { return rounds(t, perSecond, 1000, failed, false) }
	cut, nothing := rounds(t, 9999, 1000, 0, true), rounds(t, 0, 0, 1, false)
	args := []string{"compare", "peer=" + run(100, 0), "peer=" + run(110, 0), "peer=" + run(500, 0), "peer=" + cut,
		"ours=" + run(220, 0), "bad=" + run(220, 1), "slow=" + run(219, 0), "half=" + run(330, 0), "half=" + nothing, "none=" + nothing,
		"--target", "sso=2", "--target", "slow:sso=1.5"}
	var rows []row
	got := call(append(args, "--json")...)
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil || len(rows) != 6 {
		t.Fatalf("%v: %+v", err, got)
	}
	if rows[0].PerSecond != 110 || rows[0].Highest != 500 || rows[0].Reached != nil || rows[1].Ratio != 2 || !*rows[1].Reached {
		t.Errorf("%+v", rows)
	}
	if *rows[2].Reached || *rows[4].Reached || *rows[5].Reached {
		t.Error("a run with failures reached its target")
	}
	if !*rows[3].Reached || rows[3].Target != 1.5 {
		t.Errorf("a target of its own: %+v", rows[3])
	}
	table := call(append(args, "--markdown")...)
	for _, line := range []string{"| sso | peer | 110 | 100–500 | 3 of 4 | 0 | 0.00 | 0.00 |  |  |\n",
		"| sso | bad | 220 | 220–220 | 1 | 1 | 0.00 | 0.00 | 2.00 | ≥ 2: NO |\n",
		"| sso | half | 330 | 330–330 | 1 of 2 | 1 | 0.00 | 0.00 | 3.00 | ≥ 2: NO |\n",
		"| sso | none | 0 | 0–0 | 0 of 1 | 1 | 0.00 | 0.00 |  | ≥ 2: NO |\n"} {
		if !strings.Contains(table.stdout, line) {
			t.Errorf("%s is not in\n%s", line, table.stdout)
		}
	}
	for _, wrong := range [][]string{{"compare", "x"}, {"compare", "a=" + file(t, "no")}, {"compare", "a=" + file(t, "{}")}, {"compare", "a=" + run(1, 0), "--target", "sso"}} {
		if got := call(wrong...); got.status == 0 || got.stderr == "" {
			t.Errorf("%v: %+v", wrong, got)
		}
	}
}

// TestTargets: who misses one, or cannot tell, says so by the status, and which; the table is there all the same.
func TestTargets(t *testing.T) {
	run := func(perSecond float64) string { return rounds(t, perSecond, 1000, 0, false) }
	nothing := rounds(t, 0, 0, 1, false)
	for _, c := range []struct {
		what, base, ours, target string
		status                   int
		says                     string
	}{
		{"reached", run(100), run(200), "sso=2", 0, ""},
		{"missed", run(100), run(199), "sso=2", 1, "sso: ours has 1.990"},
		{"missed by its name", run(100), run(199), "ours:sso=2", 1, "sso: ours has 1.990"},
		{"the base failed", rounds(t, 100, 1000, 1, false), run(300), "sso=2", 1, "sso: ours has 3.000"},
		{"the base has nothing", nothing, run(200), "sso=2", 1, "sso: ours has no ratio"},
		{"it has nothing", run(100), nothing, "sso=2", 1, "sso: ours has no ratio"},
		{"interrupted", run(100), rounds(t, 200, 1000, 0, true), "sso=2", 1, "sso: ours has no ratio"},
		{"nobody did it", run(100), run(200), "refresh=2", 1, "refresh: ours has no ratio"},
		{"no such scenario", run(100), run(200), "sso1=2", 2, `"sso1=2" names no scenario`},
		{"no such server", run(100), run(200), "theirs:sso=2", 2, `"theirs:sso=2" names no scenario`},
		{"the base", run(100), run(200), "base:sso=2", 2, `"base:sso=2" names no scenario`},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, form := range []string{"--markdown", "--json", ""} {
				args := []string{"compare", "base=" + c.base, "ours=" + c.ours, "--target", c.target}
				if form != "" {
					args = append(args, form)
				}
				got := call(args...)
				if got.status != c.status || !strings.Contains(got.stderr, c.says) || (got.stdout == "") != (c.status == 2) {
					t.Errorf("%s: %+v", form, got)
				}
			}
		})
	}
	if got := call("compare", "base="+run(100), "--target", "sso=2"); got.status != 2 {
		t.Errorf("nothing beside the base: %+v", got)
	}
}
