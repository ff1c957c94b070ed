package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage/storagetest"
)

// accountShell runs `passport account …` as each call of the program does: anew, on one database.
type accountShell struct {
	t   *testing.T
	cfg config.Config
}

func (s *accountShell) open(cmd *cobra.Command) (*app, error) {
	return newApp(cmd.Context(), &s.cfg, slog.New(slog.DiscardHandler))
}

func (s *accountShell) run(stdin string, args ...string) (string, error) {
	s.t.Helper()
	return s.runCommand(accountCommand(s.open), stdin, args...)
}

func (s *accountShell) runCommand(cmd *cobra.Command, stdin string, args ...string) (string, error) {
	s.t.Helper()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(s.t.Context())
	return out.String(), err
}

// json runs a command that must succeed and print an account.
func (s *accountShell) json(stdin string, args ...string) account.Account {
	s.t.Helper()
	out, err := s.run(stdin, append(args, "--json")...)
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	var a account.Account
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return a
}

// signsIn tells whether the password opens the account.
func (s *accountShell) signsIn(email, password string) bool {
	s.t.Helper()
	cmd := &cobra.Command{}
	cmd.SetContext(s.t.Context())
	a, err := s.open(cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	got, err := a.accounts.Authenticate(s.t.Context(), account.Attempt{
		Email: email, Password: password, IP: netip.MustParseAddr("192.0.2.1"),
	})
	return err == nil && !got.Pending
}

func TestAccountCommand(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": storagetest.SQLite, "postgres": storagetest.Postgres} {
		if name == "postgres" && storagetest.Databases() == "sqlite" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := &accountShell{t: t, cfg: config.Config{
				Issuer: "https://op.test", Database: database(t), Secret: rand.Text() + rand.Text(), Brand: "Passport",
				KeySetMaxAge: 5 * time.Minute, SessionLifetime: time.Hour,
			}}
			accountLife(t, s)
			limitLife(t, s)
			recoveryLife(t, s)
		})
	}
}

func accountLife(t *testing.T, s *accountShell) {
	const first, second = "an operator chose this", "and later this one"
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	claims := file("claims.json", `{"name":"Alice Example","given_name":"Alice","birthdate":"1990-01-01"}`)
	a := s.json("", "create", "--email", "Alice@Example.test", "--password-file", file("pw", first+"\n"), "--confirmed", "--claims", claims)
	if a.State != "active" || !a.Confirmed || a.Name != "Alice Example" || !a.Password || a.Email != "Alice@example.test" {
		t.Fatalf("created %+v", a)
	}
	if !s.signsIn("alice@example.test", first) {
		t.Error("cannot sign in")
	}
	if b := s.json("", "show", a.Sub); b.ID != a.ID || !strings.Contains(string(b.Claims), "1990-01-01") {
		t.Errorf("shown %+v", b)
	}
	if b := s.json(second+"\r\n", "set", a.ID, "--password-file", "-", "--name", "Alice Other"); b.Name != "Alice Other" {
		t.Errorf("set %+v", b)
	}
	if s.signsIn("alice@example.test", first) || !s.signsIn("alice@example.test", second) {
		t.Error("the new password does not hold, or the old one does")
	}
	if b := s.json("", "disable", "alice@example.test"); b.State != "disabled" || b.DisabledAt.IsZero() || s.signsIn("alice@example.test", second) {
		t.Errorf("disabled %+v", b)
	}
	if b := s.json("", "enable", "alice@example.test"); b.State != "active" || !b.DisabledAt.IsZero() || !s.signsIn("alice@example.test", second) {
		t.Errorf("enabled %+v", b)
	}
	s.json("", "end-sessions", "alice@example.test")
	if b := s.json("", "create", "--email", "bob@example.test"); b.State != "pending" || b.Confirmed || b.Password {
		t.Errorf("unconfirmed %+v", b)
	}
	out, err := s.run("", "show", "alice@example.test")
	if err != nil || !strings.Contains(out, "Alice Other") || strings.Contains(out, "$argon2") {
		t.Errorf("show for people: %v\n%s", err, out)
	}
	for want, args := range map[string][]string{
		"belongs to an account":     {"create", "--email", "ALICE@example.test", "--confirmed"},
		"no e-mail address":         {"create", "--email", "Name <a@x.test>"},
		"fewer than 8":              {"create", "--email", "c@example.test", "--password-file", file("short", "short")},
		"is empty":                  {"create", "--email", "c@example.test", "--password-file", file("empty", "\n")},
		"are the server's":          {"create", "--email", "c@example.test", "--claims", file("bad.json", `{"sub":"x"}`)},
		"there is no account":       {"show", "nobody@example.test"},
		"at least one of the flags": {"set", "alice@example.test"},
		"required flag":             {"create"},
		"no such file":              {"create", "--email", "c@example.test", "--password-file", filepath.Join(dir, "absent")},
	} {
		if out, err := s.run("", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	if out, err := s.run("", "delete", "alice@example.test"); err != nil || !strings.Contains(out, "deleted") {
		t.Errorf("delete: %v %s", err, out)
	}
	if _, err := s.run("", "show", a.ID); err == nil {
		t.Error("still there after delete")
	}
}

// limitLife: 4.10, what is left is shown, and given back.
func limitLife(t *testing.T, s *accountShell) {
	limits := func(args ...string) map[string][2]int {
		t.Helper()
		out, err := s.runCommand(limitCommand(s.open), "", append(args, "--json")...)
		var uses []struct {
			Limit   string
			Left    int
			WholeIn int `json:"whole_in"`
			Burst   int
			Of      string `json:"of"`
		}
		if err != nil || json.Unmarshal([]byte(out), &uses) != nil || len(uses) == 0 {
			t.Fatalf("%v: %v %s", args, err, out)
		}
		found := map[string][2]int{}
		for _, u := range uses {
			found[u.Limit] = [2]int{u.Left, u.Burst}
			if (u.WholeIn > 0) != (u.Left < u.Burst) || u.Of == "" {
				t.Errorf("%v: %+v", args, u)
			}
		}
		return found
	}
	const known, unknown, network = "carol@example.test", "nobody@limits.test", "192.0.2.1"
	carol := s.json("", "create", "--email", known, "--confirmed")
	before := limits("clear", network)["login-ip"][0]
	pending := s.json("", "create", "--email", "dan@example.test").Email
	for range 3 {
		for _, who := range []string{known, unknown, pending} {
			if s.signsIn(who, "a wrong password") {
				t.Fatal("signed in")
			}
		}
	}
	for _, who := range []string{known, carol.ID, unknown, pending} {
		if got := limits("show", who); got["login-account"] != [2]int{27, 30} || got["login-address"] != [2]int{7, 10} || (got["mail-address-hour"] == [2]int{3, 3}) == (who == pending) {
			t.Errorf("%s: %v", who, got)
		}
	}
	for _, rule := range []string{"guessed", "recovery-answer", "recovery-request", "recovery-requests"} {
		if got := limits("show", known)[rule]; got[1] == 0 || got[0] != got[1] {
			t.Errorf("%s: %v, of a budget that nobody has touched", rule, got)
		}
	}
	if got := limits("show", network)["login-ip"][0]; got >= before {
		t.Errorf("the network's tries did not count: %d are left", got)
	}
	if out, err := s.runCommand(limitCommand(s.open), "", "show", known); err != nil || !strings.Contains(out, "7 of 10") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	for _, who := range []string{carol.ID, network} {
		for name, left := range limits("clear", who) {
			if left[0] != left[1] {
				t.Errorf("%s of %s: %v after clear", name, who, left)
			}
		}
	}
	if got := limits("show", unknown)["login-address"]; got != [2]int{7, 10} {
		t.Errorf("another's limit went too: %v", got)
	}
	for _, who := range []string{"nobody", "", "300.1.1.1"} {
		if out, err := s.runCommand(limitCommand(s.open), "", "show", who); err == nil {
			t.Errorf("%q: %s", who, out)
		}
	}
}

func TestAccountCommandHelp(t *testing.T) {
	for _, sub := range accountCommand(nil).Commands() {
		if sub.Example == "" || sub.Short == "" || sub.Flags().Lookup("json") == nil {
			t.Errorf("%s has no example, no words or no --json", sub.Name())
		}
	}
}

// recoveryLife is `passport recovery` on one database.
func recoveryLife(t *testing.T, s *accountShell) {
	who := s.json("", "create", "--email", "lost@example.test", "--confirmed")
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	a, err := s.open(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	now := time.Now().UTC()
	r := account.Request{ID: "r1", AccountID: who.ID, State: account.RequestAsked, Hash: []byte("hash"), Email: "reach@example.test",
		Canonical: "reach@example.test", Language: "en", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	if err := a.store.InsertRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.State, r.Birthdate, r.Sites, r.SitesRight, r.OpenedAt = account.RequestOpen, account.Match, 3, 2, now
	if err := a.store.OpenRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := s.runCommand(recoveryCommand(s.open), "", args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	for _, args := range [][]string{{"list"}, {"show", "r1"}} {
		if out := run(args...); !strings.Contains(out, "2 of 3 match") || !strings.Contains(out, who.ID) {
			t.Errorf("%v: %s", args, out)
		}
		if out := run(append(args, "--json")...); !strings.Contains(out, `"sites_matching": 2`) {
			t.Errorf("%v: %s", args, out)
		}
	}
	for want, args := range map[string][]string{"no request": {"show", "none"}, "their time first": {"approve", "r1"}} {
		if _, err := s.runCommand(recoveryCommand(s.open), "", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if out := run("deny", "r1"); !strings.Contains(out, "denied") {
		t.Error(out)
	}
	if _, err := s.runCommand(recoveryCommand(s.open), "", "deny", "r1"); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("again: %v", err)
	}
}
