//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"os"

	"github.com/passport-network/passport/storage/storagetest"
)

// account makes a person of the world by command.
func (w *world) account(email, password string, more ...string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "password")
	check(os.WriteFile(file, []byte(password), 0o600))
	w.seen.add("password", password)
	w.command(append([]string{"account", "create", "--email", email, "--password-file", file, "--confirmed", "--json"}, more...)...)
}

// performed is a command that runs and waits for a person.
type performed struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	errors *bufio.Reader
	told   strings.Builder
}

func (w *world) perform(args ...string) *performed {
	w.t.Helper()
	p := &performed{cmd: exec.Command(w.binary, append([]string{"perform"}, args...)...)}
	p.cmd.Env, p.cmd.Stdout = w.env, &p.out
	p.errors = bufio.NewReader(must(p.cmd.StderrPipe()))
	check(p.cmd.Start())
	w.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// shows reads on until it has told something that matches.
func (p *performed) shows(t *testing.T, what string) string {
	t.Helper()
	pattern := regexp.MustCompile(what)
	for {
		line, err := p.errors.ReadString('\n')
		p.told.WriteString(line)
		if m := pattern.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			return m[len(m)-1]
		}
		if err != nil {
			t.Fatalf("%v: it never showed %s:\n%s", err, what, p.told.String())
		}
	}
}

// ends waits for it and gives what it printed.
func (p *performed) ends(t *testing.T) map[string]any {
	t.Helper()
	rest := must(io.ReadAll(p.errors))
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s%s", err, p.told.String(), rest)
	}
	var doc map[string]any
	check(json.Unmarshal(p.out.Bytes(), &doc))
	return doc
}

// TestPerform signs in from the shell, and looks at what came of it.
func TestPerform(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { perform(t, newWorld(t, "", true)) })
	t.Run("postgres", func(t *testing.T) { perform(t, newWorld(t, storagetest.Postgres(t), false)) })
}

func perform(t *testing.T, w *world) {
	// The command resolves names as any program does: the tests' own names are none.
	w.issuer = strings.Replace(w.issuer, "passport.test", "localhost", 1)
	w.env = append(w.env, "PASSPORT_ISSUER="+w.issuer)
	w.start()
	w.account("alice@example.test", "a good long passphrase")
	id, _ := w.client(map[string]any{
		"client_name": "Shell", "application_type": "native", "token_endpoint_auth_method": "none",
		"redirect_uris": []string{"http://127.0.0.1/callback"},
		"grant_types":   []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"scope":         "openid profile email offline_access",
	})
	at := []string{"--issuer", w.issuer, "--client-id", id, "--scope", "openid", "--scope", "email", "--scope", "offline_access", "--json"}
	if w.withTLS {
		at = append(at, "--ca-file", w.ca.file)
	}
	alice := w.person()
	signIn := func() {
		t.Helper()
		if alice.has("login-submit") {
			alice.submit("login-submit", map[string]string{"username": "alice@example.test", "password": "a good long passphrase"})
		}
		alice.submit("consent-allow", nil)
	}
	know := func(doc map[string]any) {
		t.Helper()
		info, _ := doc["userinfo"].(map[string]any)
		claims, _ := doc["claims"].(map[string]any)
		if info["email"] != "alice@example.test" || info["sub"] != claims["sub"] || claims["aud"] != id {
			t.Errorf("%v", doc)
		}
	}

	var tokens map[string]any
	t.Run("code-flow", func(t *testing.T) {
		p := w.perform(append([]string{"code-flow", "--prompt", "login"}, at...)...)
		address := p.shows(t, `^\s+(http\S+)$`)
		alice.get(address)
		signIn()
		tokens = p.ends(t)
		know(tokens)
		for _, kind := range []string{"access_token", "refresh_token", "id_token"} {
			w.seen.add(kind, tokens[kind].(string))
		}
		if alice.Status != 200 || !strings.Contains(alice.Body, "You can close this page") {
			t.Errorf("the page at the end: %d %s", alice.Status, alice.Body)
		}
	})
	t.Run("code-flow, a forged answer, and a refusal", func(t *testing.T) {
		p := w.perform(append([]string{"code-flow", "--prompt", "consent"}, at...)...)
		address := must(url.Parse(p.shows(t, `^\s+(http\S+)$`)))
		forged := address.Query().Get("redirect_uri") + "?code=x&state=forged"
		if alice.get(forged); alice.Status != 404 {
			t.Errorf("a forged answer: %d", alice.Status)
		}
		alice.get(address.String())
		alice.submit("consent-deny", nil)
		rest := must(io.ReadAll(p.errors))
		if err := p.cmd.Wait(); err == nil || !strings.Contains(string(rest), "access_denied") {
			t.Errorf("%v: %s", err, rest)
		}
	})
	t.Run("device-flow --qr", func(t *testing.T) {
		p := w.perform(append([]string{"device-flow", "--qr"}, at...)...)
		page := p.shows(t, `^\s+(http\S+)$`)
		code := p.shows(t, `^\s+([A-Z]{4}-[A-Z]{4})$`)
		p.shows(t, "█▀|▀█")
		alice.get(page)
		alice.submit("device-submit", map[string]string{"user-code": strings.ToLower(strings.ReplaceAll(code, "-", ""))})
		if !strings.Contains(alice.Body, code) || !strings.Contains(alice.Body, "Shell") {
			t.Errorf("the page names neither code nor client:\n%s", alice.Body)
		}
		signIn()
		know(p.ends(t))
	})
	t.Run("token", func(t *testing.T) { inspectTokens(t, w, id, tokens) })
	w.stop()
	w.searchSecrets("password", "code", "access_token", "refresh_token", "id_token")
}

func inspectTokens(t *testing.T, w *world, id string, tokens map[string]any) {
	ask := func(stdin string, args ...string) (doc map[string]any, code int) {
		t.Helper()
		cmd := exec.Command(w.binary, append([]string{"token"}, args...)...)
		cmd.Env, cmd.Stdin = w.env, strings.NewReader(stdin)
		out, _ := cmd.Output()
		check(json.Unmarshal(out, &doc))
		return doc, cmd.ProcessState.ExitCode()
	}
	look := func(stdin string, args ...string) map[string]any {
		t.Helper()
		doc, code := ask(stdin, args...)
		if code != 0 {
			t.Fatalf("token %v: exit code %d", args, code)
		}
		return doc
	}
	issuer := []string{"inspect", "--issuer", w.issuer, "--ca-file", w.ca.file, "--json", "-"}
	raw := tokens["id_token"].(string)
	if doc := look(raw, issuer...); doc["signature"] != "good" || doc["claims"].(map[string]any)["aud"] != id {
		t.Errorf("inspect: %v", doc)
	}
	if doc, code := ask(raw[:len(raw)-8]+"AAAAAAAA", issuer...); doc["signature"] != "bad" || code != 1 {
		t.Errorf("a forged one: %v, exit code %d", doc, code)
	}
	access, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
	if doc := look("", "inspect", "--json", refresh); doc["kind"] != "refresh token" {
		t.Errorf("inspect: %v", doc)
	}
	for token, kind := range map[string]string{access: "access_token", refresh: "refresh_token"} {
		if doc := look(token+"\n", "introspect", "--json", "-"); doc["active"] != true || doc["kind"] != kind || doc["client_id"] != id {
			t.Errorf("introspect: %v", doc)
		}
	}
	w.command("account", "disable", "alice@example.test", "--json")
	for _, token := range []string{access, refresh} {
		doc := look(token, "introspect", "--json", "-")
		if doc["active"] != false || !slices.Contains([]any{"revoked", "person not allowed"}, doc["reason"]) {
			t.Errorf("of a disabled account: %v", doc)
		}
	}
	if doc := look("pp1a_"+strings.Repeat("A", 43), "introspect", "--json", "-"); doc["active"] != false || doc["reason"] != "unknown" {
		t.Errorf("a made-up one: %v", doc)
	}
}
