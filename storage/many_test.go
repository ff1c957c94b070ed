package storage_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// many are more rows than a statement takes parameters, on either database.
const many = 70_001

// insertMany writes rows, each of a number n.i from 1 to many.
func insertMany(t *testing.T, s *storage.Store, into, what string) {
	t.Helper()
	execute(t, s, "INSERT INTO "+into+" WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "+strconv.Itoa(many)+") SELECT "+what+" FROM n")
}

func counted(t *testing.T, s *storage.Store, what string) (n int) {
	t.Helper()
	if err := s.Read(t.Context()).Raw("SELECT count(*) FROM " + what).Scan(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

const oneAccount = "INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('a', 'a', 'active', 1, 1)"

// TestManyLogins: an account with more live logins than a statement takes parameters is signed out everywhere, and deleted.
func TestManyLogins(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		execute(t, s, oneAccount)
		execute(t, s, "INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision) VALUES ('c', '', '{}', true, false, 1, 1, 1)")
		insertMany(t, s, "browser (id, created_at, seen_at, expires_at)", "'b' || i, 1, 1, 9000000000000000")
		insertMany(t, s, "login (id, browser_id, account_id, auth_time, amr, acr, created_at)", "'l' || i, 'b' || i, 'a', 1, '', '', 1")
		// Of the first and of the last something hangs on each.
		ends := " FROM login WHERE id IN (SELECT min(id) FROM login UNION SELECT max(id) FROM login)"
		execute(t, s, "INSERT INTO session_secret (kind, hash, browser_id, created_at) SELECT 'sid', CAST(id AS "+bytesOf(s)+"), browser_id, 1"+ends)
		execute(t, s, "INSERT INTO consent (account_id, client_id, login_id, scopes, granted_at) SELECT 'a', 'c', id, '', 1"+ends)
		execute(t, s, "INSERT INTO login_client (login_id, client_id, sid, first_at, last_at) SELECT id, 'c', '', 1, 1"+ends)
		execute(t, s, `INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, created_at, expires_at)
			SELECT id, 'a', 'c', id, '', '', 1, '', '', 1, 9000000000000000`+ends)
		ended, err := s.EndLogins(t.Context(), session.Ending{AccountID: "a", At: time.Unix(1, 0)})
		if err != nil || len(ended) != many || !slices.IsSorted(ended) {
			t.Errorf("%d ended, %v", len(ended), err)
		}
		for what, want := range map[string]int{"login WHERE ended_at IS NULL": 0, "authorization_grant WHERE revoked_at IS NULL": 0,
			"authorization_grant": 2, "consent": 0, "session_secret": 0} {
			if n := counted(t, s, what); n != want {
				t.Errorf("%s: %d, not %d", what, n, want)
			}
		}
		if visits, err := s.Visits(t.Context(), ended); err != nil || len(visits) != 2 {
			t.Errorf("%d visits, %v", len(visits), err)
		}
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if n := counted(t, s, "browser"); n != 0 {
			t.Errorf("%d browsers are left of one that is deleted", n)
		}
	})
}

// bytesOf is the type of bytes.
func bytesOf(s *storage.Store) string {
	if s.DB(context.Background()).Name() == "postgres" {
		return "bytea"
	}
	return "blob"
}

// TestPurgeManyLogins: a browser with more logins than a statement takes parameters goes in steps, none of which is large.
func TestPurgeManyLogins(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		execute(t, s, oneAccount)
		execute(t, s, "INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('b', 1, 1, 1)")
		insertMany(t, s, "login (id, browser_id, account_id, auth_time, amr, acr, created_at, ended_at)", "'l' || i, 'b', 'a', 1, '', '', 1, 1")
		const step = 10_000
		for left := many; left > 0; left -= step {
			want := int64(step)
			if left < step {
				want = int64(left) + 1 // and the browser
			}
			if n, err := s.Purge(t.Context(), time.Unix(2, 0), step); err != nil || n != want {
				t.Fatalf("of %d logins %d rows went, not %d: %v", left, n, want, err)
			}
		}
		if n := counted(t, s, "browser"); n != 0 {
			t.Error("the browser is left")
		}
	})
}

// TestPurgeManyAccounts: however many accounts are over, a step deletes a few, with their browsers.
func TestPurgeManyAccounts(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		insertMany(t, s, "account (id, sub, state, created_at, updated_at, expires_at)", "'a' || i, 'a' || i, 'closing', 1, 1, 1")
		insertMany(t, s, "browser (id, created_at, seen_at, expires_at)", "'b' || i, 1, 1, 9000000000000000")
		insertMany(t, s, "login (id, browser_id, account_id, auth_time, amr, acr, created_at, ended_at)", "'l' || i, 'b' || i, 'a' || i, 1, '', '', 1, 1")
		if n, err := s.Purge(t.Context(), time.Unix(2, 0), 1000); err != nil || n != 1000 {
			t.Errorf("%d went: %v", n, err)
		}
		for _, table := range []string{"account", "browser"} {
			if n := counted(t, s, table); n != many-1000 {
				t.Errorf("%s: %d are left", table, n)
			}
		}
	})
}
