package storage_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// kept are the tables that a restore leaves as they were in the copy, each with the reason.
var kept = map[string]string{
	"goose_db_version": "the schema", "upgrade": "the schema", "original": "the mark itself", "revision": "raised",
	"secret": "keys", "signing_key": "keys",
	"account": "people", "address": "people", "picture": "people", "credential": "people", "recovery": "people",
	"browser": "which browsers there were; their secrets are void", "login_client": "hangs on logins, which are over",
	"client": "sites", "client_secret": "sites", "client_logo": "sites", "resource_server": "sites", "key_set": "sites' keys, fetched again",
	"used_once": "what is spent stays spent", "rate": "limits", "audit": "what has happened",
}

// begun is a row of each table that a restore makes void, beside that of consent.
var begun = []string{
	`INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at) VALUES ('d', 'a', 'a@a.test', 'a@a.test', true, 1, 1)`,
	`INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('b', 1, 1, 1)`,
	`INSERT INTO session_secret (hash, kind, browser_id, created_at) VALUES ('h', 'sid', 'b', 1)`,
	`INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) VALUES ('l', 'b', 'a', 1, 'pwd', '1', 1)`,
	`INSERT INTO interaction (id, kind, client_id, params, created_at, expires_at) VALUES ('h', 'authorize', 'c', '', 1, 1)`,
	`INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, created_at, expires_at)
		VALUES ('g', 'a', 'c', 'l', 's', '', 1, 'pwd', '1', 1, 1)`,
	`INSERT INTO code (sig, grant_id, client_id, redirect_uri, created_at, expires_at) VALUES ('h', 'g', 'c', '', 1, 1)`,
	`INSERT INTO device_code (sig, user_code, client_id, params, state, pause, created_at, expires_at) VALUES ('h', 'h', 'c', '', 'pending', 5, 1, 1)`,
	`INSERT INTO access_token (sig, grant_id, client_id, scopes, issued_at, expires_at) VALUES ('h', 'g', 'c', '', 1, 1)`,
	`INSERT INTO mail_token (purpose, hash, account_id, address_id, created_at, expires_at) VALUES ('confirm', 'h', 'a', 'd', 1, 1)`,
	`INSERT INTO account_link (purpose, hash, created_at, expires_at) VALUES ('recover', 'h', 1, 1)`,
	`INSERT INTO recovery_request (id, state, hash, email, canonical, language, created_at, expires_at) VALUES ('r', 'asked', 'h', '', '', '', 1, 1)`,
	`INSERT INTO data_export (id, account_id, asked_at, expires_at) VALUES ('e', 'a', 1, 1)`,
	`INSERT INTO invitation (id, hash, uses, created_at, expires_at) VALUES ('i', 'h', 1, 1, 1)`,
	`INSERT INTO registration_token (id, hash, uses, created_at, expires_at) VALUES ('t', 'h', 1, 1, 1)`,
	`INSERT INTO outbox (id, kind, sealed, due_at, created_at, expires_at) VALUES ('m', 'mail', 'x', 1, 1, 1)`,
}

// live is how many rows of a table are not void. Those that are void without being gone say when they ended.
func live(t *testing.T, s *storage.Store, table string) (n int64) {
	t.Helper()
	rule := map[string]string{"login": "ended_at IS NULL", "authorization_grant": "revoked_at IS NULL", "consent": "login_id <> ''"}[table]
	if err := s.DB(t.Context()).Table(table).Where(rule).Count(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}

// A new table is either void after a restore or is not: somebody must say which.
func TestRevive(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		all := columns(t, s)
		for table := range all {
			if voids := slices.Contains(storage.Voided(), table); voids == (kept[table] != "") {
				t.Errorf("%s: void after a restore: %v, kept: %q", table, voids, kept[table])
			}
		}
		for _, table := range storage.Voided() {
			if all[table] == nil {
				t.Errorf("there is no table %s", table)
			}
		}
		mark := func(want error, when string) {
			t.Helper()
			if err := s.Original(ctx); !errors.Is(err, want) {
				t.Errorf("%s: %v", when, err)
			}
		}
		exec := func(q string) {
			t.Helper()
			if err := s.DB(ctx).Exec(q).Error; err != nil {
				t.Fatal(err)
			}
		}
		// Rows that somebody puts into a fresh schema, without their mark.
		exec("INSERT INTO secret (purpose, sealed, created_at) VALUES ('token', 'x', 1)")
		mark(storage.ErrCopy, "rows without a mark")
		if used, err := s.Used(ctx); err != nil || !used {
			t.Errorf("nobody has used it: %v", err)
		}
		exec("DELETE FROM secret")
		mark(nil, "an empty database")
		if used, err := s.Used(ctx); err != nil || used {
			t.Errorf("somebody has used it: %v", err)
		}
		// One that another tool is about to fill: its keys come last.
		exec("INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('early', 'early', 'active', 1, 1)")
		mark(nil, "an account without keys")
		if err := s.Originate(ctx); !errors.Is(err, storage.ErrCopy) {
			t.Errorf("half of a copy is made an original: %v", err)
		}
		exec("DELETE FROM account")
		if err := s.Originate(ctx); err != nil {
			t.Error(err)
		}
		exec("INSERT INTO secret (purpose, sealed, created_at) VALUES ('token', 'x', 1)")
		mark(nil, "with its first keys")
		exec("DELETE FROM original")
		mark(storage.ErrCopy, "a copy")
		exec("INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('a', 'a', 'active', 1, 1)")
		exec("INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision) VALUES ('c', 'c', '{}', true, true, 1, 1, 1)")
		exec("INSERT INTO consent (account_id, client_id, login_id, scopes, granted_at) VALUES ('a', 'c', '', '', 1), ('a', 'c', 'over', '', 1)")
		for _, q := range begun {
			exec(q)
		}
		for _, table := range storage.Voided() {
			if live(t, s, table) == 0 {
				t.Errorf("no row of %s to make void", table)
			}
		}
		issue := func(id string) error {
			return s.Issue(ctx, grant.Issuance{Epoch: 1, Grant: grant.Grant{ID: id, AccountID: "a", ClientID: "c", LoginID: "l", SID: "s",
				AMR: []string{"pwd"}, ACR: "1", AuthTime: time.Unix(1, 0), CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(2, 0)}})
		}
		if err := issue("before"); err != nil {
			t.Fatal(err)
		}
		before, err := s.ClientsRevision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.Now(ctx)
		if err == nil {
			exec("INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('z', 'z', 'closing', 1, 1, 1)")
			exec(`INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision, registered_by)
				VALUES ('new', '', '{}', true, false, 1, 1, 0, 'anyone')`)
			_, err = s.Revive(ctx, now, func(int64, int64) {})
		}
		if err != nil {
			t.Fatal(err)
		}
		mark(nil, "restored")
		// What a purge deletes had perhaps been kept since the copy was made.
		if _, err := s.Purge(ctx, now, 1000); err != nil {
			t.Error(err)
		}
		for q, want := range map[string]int64{"SELECT count(*) FROM account WHERE id = 'z'": 1, "SELECT count(*) FROM client WHERE client_id = 'new'": 1} {
			var n int64
			if err := s.DB(ctx).Raw(q).Scan(&n).Error; err != nil || n != want {
				t.Errorf("%s: %d %v", q, n, err)
			}
		}
		for _, table := range storage.Voided() {
			if n := live(t, s, table); n != 0 {
				t.Errorf("%d rows of %s are not void", n, table)
			}
		}
		// A sealed code is in no table: that its login is over makes it void.
		if err := issue("after"); !errors.Is(err, grant.ErrGone) {
			t.Errorf("a grant for a login of before: %v", err)
		}
		var of []string
		if err := s.DB(ctx).Raw("SELECT login_id FROM consent").Scan(&of).Error; err != nil || !slices.Equal(of, []string{""}) {
			t.Errorf("what is allowed is of the logins %q: %v", of, err)
		}
		if after, err := s.ClientsRevision(ctx); err != nil || after <= before+1000 {
			t.Errorf("caches may not hear of it: %d, then %d: %v", before, after, err)
		}
	})
}

func TestLibpq(t *testing.T) {
	for _, c := range []struct{ database, conn, env string }{
		{"postgres://ada:p%20w@db.test:5433/passport?sslmode=disable&pool_max_conns=9",
			"postgres://ada@db.test:5433/passport?connect_timeout=5&sslmode=disable", "PGPASSWORD=p w"},
		{"postgres://ada@db.test/passport?password=secret&statement_cache_capacity=8", "postgres://ada@db.test/passport?connect_timeout=5", "PGPASSWORD=secret"},
		{"postgres://a.test:5432,b.test:5433/passport?target_session_attrs=read-write",
			"postgres://a.test:5432,b.test:5433/passport?connect_timeout=1&target_session_attrs=read-write", ""},
		{"postgres://ada@db.test/passport?search_path=my%20own&application_name=a%20b", "postgres://ada@db.test/passport?application_name=a%20b&connect_timeout=5",
			`PGOPTIONS=-c search_path=my\ own`},
		{"postgres://a.test:5432,b.test:5433/passport", "postgres://a.test:5432,b.test:5433/passport?connect_timeout=1&target_session_attrs=read-write", ""},
		{"postgres://ada@db.test/passport?connect_timeout=9", "postgres://ada@db.test/passport?connect_timeout=9", ""},
	} {
		conn, env, err := storage.Libpq(c.database)
		if err != nil || conn != c.conn || strings.Join(env, " ") != c.env {
			t.Errorf("%s: %q %q %v", c.database, conn, env, err)
		}
	}
}

// A file that has its mark, because somebody copied it, is a copy as soon as it is in its place.
func TestRestoreTakesTheMark(t *testing.T) {
	ctx, from, to := t.Context(), storagetest.SQLite(t), storagetest.SQLite(t)
	s := storagetest.Open(t, from)
	if err := s.Originate(ctx); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(t.TempDir(), "raw")
	for _, q := range []string{"INSERT INTO secret (purpose, sealed, created_at) VALUES ('token', 'x', 1)", "VACUUM INTO '" + raw + "'"} {
		if err := s.DB(ctx).Exec(q).Error; err != nil {
			t.Fatal(err)
		}
	}
	// Who interrupts the program does not wait for the whole of a large file.
	ended, end := context.WithCancel(ctx)
	end()
	var read int64
	if err := storage.Restore(ended, to, raw, func(done, _ int64) { read = done }); !errors.Is(err, context.Canceled) || read != 0 {
		t.Errorf("%d bytes are read after the end: %v", read, err)
	}
	if err := storage.Restore(ctx, to, raw, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	restored, err := storage.Open(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if err := restored.Original(ctx); !errors.Is(err, storage.ErrCopy) {
		t.Errorf("what was restored, before it is revived: %v", err)
	}
}
