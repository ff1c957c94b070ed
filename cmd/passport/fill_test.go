package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestFillCommand(t *testing.T) {
	storagetest.EachNamed(t, func(t *testing.T, _ *storage.Store, database string) {
		s := &accountShell{t: t, cfg: config.Config{Issuer: "http://localhost:8080", Database: database, Secret: strings.Repeat("s3cret-", 6), Brand: "Passport", SessionLifetime: 1e15}}
		fill := func(args ...string) (string, error) {
			t.Helper()
			return s.runCommand(devCommand(s.open), "", append([]string{"fill"}, args...)...)
		}
		db := storagetest.DB(t, database)
		holds := func(when string, want map[string]int) {
			t.Helper()
			for what, n := range want {
				var got int
				if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+what).Scan(&got); err != nil || got != n {
					t.Errorf("%s: %s: %d instead of %d, %v", when, what, got, n, err)
				}
			}
		}
		secret := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(secret, []byte("a good long passphrase\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := fill("--accounts", "2500", "--grants", "12000", "--clients", "3", "--password-file", secret); err != nil || !strings.HasSuffix(out, "2500 accounts, 12000 grants at 3 clients.\n") {
			t.Fatal(out, err)
		}
		first := map[string]int{
			"account WHERE state = 'active'": 2501, "address WHERE is_primary AND proven_at IS NOT NULL": 2501, "login": 2500, "session_secret": 2500,
			"(SELECT DISTINCT secret FROM credential) c": 1, "credential": 2501,
			"authorization_grant g JOIN login l ON l.id = g.login_id AND l.account_id = g.account_id": 12000,
			"access_token t JOIN authorization_grant g ON g.id = t.grant_id":                          1200,
			"(SELECT DISTINCT client_id FROM authorization_grant) c":                                  3,
			// What two grants of one person at one client share.
			"consent": 7500, "login_client": 7500,
		}
		holds("filled", first)
		if _, err := fill("--accounts", "2500", "--grants", "12000", "--clients", "3"); err != nil {
			t.Fatal(err)
		}
		holds("filled again", first)
		if out, err := fill("--accounts", "2600", "--grants", "12010", "--clients", "3", "--json"); err != nil || !strings.Contains(out, `"grants": 12010`) {
			t.Fatal(out, err)
		}
		if out, err := fill("--accounts", "10", "--grants", "10", "--password-file", secret); err != nil || !strings.HasSuffix(out, "2600 accounts, 12010 grants at 3 clients.\n") {
			t.Errorf("less than there is: %s %v", out, err)
		}
		another := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(another, []byte("another long passphrase\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := fill("--accounts", "2700", "--password-file", another); err == nil || !strings.Contains(err.Error(), "have another password") {
			t.Errorf("another password: %s %v", out, err)
		}
		holds("filled on", map[string]int{"account": 2601, "authorization_grant": 12010})
		if out, err := s.run("", "show", "person2600@fill.test"); err != nil || !strings.Contains(out, "active") {
			t.Error(out, err)
		}
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		a, err := s.open(cmd)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.close() }()
		if _, err := a.accounts.Authenticate(t.Context(), account.Attempt{Email: "person2600@fill.test", Password: "a good long passphrase", IP: netip.MustParseAddr("192.0.2.1")}); err != nil {
			t.Error(err)
		}
		for want, args := range map[string][]string{"--accounts": {"--accounts", "0"}, "--grants": {"--grants", "-1"}, "--clients": {"--clients", "101"}} {
			if out, err := fill(args...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %s %v", args, out, err)
			}
		}
		// What was deleted stays so, and is in nobody's way: 2600 is in the middle now, and 2601 is next.
		if out, err := s.run("", "delete", "person1300@fill.test"); err != nil {
			t.Fatal(out, err)
		}
		left := 0
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM authorization_grant").Scan(&left); err != nil {
			t.Fatal(err)
		}
		out, err := fill("--accounts", "2601", "--grants", "18000", "--clients", "3")
		if want := fmt.Sprintf("2600 accounts, %d grants at 3 clients.\n", left+18000-12010-2); err != nil || !strings.HasSuffix(out, want) {
			t.Fatal(out, err)
		}
		holds("filled after a deletion", map[string]int{"account": 2601, "account WHERE sub = 'filled-2601'": 1, "account WHERE sub = 'filled-1300'": 0,
			"authorization_grant": left + 18000 - 12010 - 2, "access_token t JOIN authorization_grant g ON g.id = t.grant_id": 1800})
		// What people use is not filled.
		if out, err := s.run("", "create", "--email", "alice@example.com"); err != nil {
			t.Fatal(out, err)
		}
		if out, err := fill("--accounts", "2700"); err == nil || !strings.Contains(err.Error(), "not of fill.test") {
			t.Errorf("people: %s %v", out, err)
		}
		holds("people", map[string]int{"account": 2602})
	})
}
