package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestInvitationCommand(t *testing.T) {
	s := &accountShell{t: t, cfg: config.Config{Issuer: "http://localhost:8080", Database: storagetest.SQLite(t), Secret: strings.Repeat("s3cret-", 6), Brand: "Passport",
		SignUp: "invitation", SignUpDenyDomains: []string{"denied.test"}, SessionLifetime: 1e15}}
	call := func(args ...string) (string, error) {
		t.Helper()
		return s.runCommand(invitationCommand(s.open), "", args...)
	}
	out, err := call("create", "--email", "alice@example.test", "--ttl", "1h", "--json")
	if err != nil {
		t.Fatal(out, err)
	}
	var made struct {
		ID, Link, Email string
		Uses            int64
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(made.Link, "http://localhost:8080/register?invitation=")
	if !ok || made.Email != "alice@example.test" || made.Uses != 1 {
		t.Fatalf("%+v", made)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	a, err := s.open(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.close() }()
	_, err = a.accounts.Register(t.Context(), account.Registration{FormID: "f", Email: "alice@example.test", TermsEmail: "alice@example.test", Password: "correct horse battery",
		Name: "Alice", Invitation: token, IP: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := call("list")
	if err != nil || strings.Contains(plain, token) || !strings.Contains(plain, made.ID) || !strings.Contains(plain, "alice@example.test") {
		t.Errorf("%s %v", plain, err)
	}
	if listed, err := call("list", "--json"); err != nil || !strings.Contains(listed, `"waiting": 1`) || strings.Contains(listed, token) {
		t.Errorf("%s %v", listed, err)
	}
	if out, err := call("revoke", made.ID, "--json"); err != nil || !strings.Contains(out, "true") {
		t.Errorf("%s %v", out, err)
	}
	if listed, _ := call("list", "--json"); strings.TrimSpace(listed) != "[]" {
		t.Errorf("after that: %s", listed)
	}
	for want, args := range map[string][]string{
		"no invitation": {"revoke", made.ID}, "from 1 to": {"create", "--uses", "0"}, "more than 0s": {"create", "--ttl", "0s"},
		"no e-mail address": {"create", "--email", "x"}, "of this domain": {"create", "--email", "x@denied.test"}, "no address": {"create", "--send"},
	} {
		if out, err := call(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s %v", args, out, err)
		}
	}
	s.cfg.SignUp = "open"
	if out, err := call("create"); err != nil || !strings.Contains(out, "counts for nothing") || !strings.Contains(out, "shown this once") {
		t.Errorf("%s %v", out, err)
	}
}
