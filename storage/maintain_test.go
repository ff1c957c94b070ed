package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// together runs fn in 32 goroutines that start at once, and counts the nil errors.
func together(fn func(n int) error) (ok int64, others []error) {
	var wg sync.WaitGroup
	var won atomic.Int64
	var mu sync.Mutex
	start := make(chan struct{})
	for n := range 32 {
		wg.Go(func() {
			<-start
			if err := fn(n); err != nil {
				mu.Lock()
				others = append(others, err)
				mu.Unlock()
				return
			}
			won.Add(1)
		})
	}
	close(start)
	wg.Wait()
	return won.Load(), others
}

func TestUseOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		until := time.Unix(1e9, 0)
		for round := range 5 {
			key := fmt.Appendf(nil, "key %d", round)
			ok, others := together(func(int) error { return s.UseOnce(ctx, "jti", key, until) })
			if ok != 1 {
				t.Errorf("%d of 32 used it", ok)
			}
			for _, err := range others {
				if !errors.Is(err, storage.ErrUsed) {
					t.Errorf("a loser: %v", err)
				}
			}
		}
		if err := s.UseOnce(ctx, "proof", []byte("key 0"), until); err != nil {
			t.Errorf("the key of another kind: %v", err)
		}
		// A loser's transaction goes on: nothing failed.
		err := s.InTx(ctx, func(ctx context.Context) error {
			if err := s.UseOnce(ctx, "jti", []byte("key 0"), until); !errors.Is(err, storage.ErrUsed) {
				t.Errorf("again: %v", err)
			}
			return s.UseOnce(ctx, "jti", []byte("new"), until)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A conditional UPDATE spends a link once.
func TestSpendOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		fill(t, s)
		gone := errors.New("gone")
		ok, others := together(func(n int) error {
			return s.InTx(t.Context(), func(ctx context.Context) error {
				return storage.OneRow(s.DB(ctx).Exec(
					"UPDATE mail_token SET used_at = ? WHERE purpose = 'confirm' AND hash = ? AND used_at IS NULL", n+1, []byte("old")), gone)
			})
		})
		if ok != 1 {
			t.Errorf("%d of 32 spent it", ok)
		}
		for _, err := range others {
			if !errors.Is(err, gone) {
				t.Errorf("a loser: %v", err)
			}
		}
	})
}

// fill writes, into every table that is purged, one row that ends at 1000 s ("old") and one at 100,000 s ("new").
func fill(t *testing.T, s *storage.Store) {
	t.Helper()
	exec := func(q string, args ...any) {
		t.Helper()
		if err := s.DB(t.Context()).Exec(q, args...).Error; err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	exec("INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision) VALUES ('c', '', '{}', true, false, 1, 1, 1)")
	exec("INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('a', 'a', 'active', 1, 1, 1)")
	exec("INSERT INTO address (id, account_id, email, canonical, is_primary, created_at) VALUES ('a', 'a', 'a', 'a', true, 1), ('b', 'a', 'b', 'b', false, 1)")
	for _, name := range []string{"new", "old"} {
		us, key := map[string]int64{"old": 1000e6, "new": 100000e6}[name], []byte(name)
		address := map[string]string{"old": "a", "new": "b"}[name]
		exec("INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES (?, ?, 'pending', 1, 1, ?)", "pending "+name, name, us)
		exec("INSERT INTO address (id, account_id, email, canonical, is_primary, created_at) VALUES (?, ?, 'p', 'p', true, 1)", "pending "+name, "pending "+name)
		exec("INSERT INTO interaction (kind, id, client_id, params, created_at, expires_at) VALUES ('authorize', ?, 'c', '', 1, ?)", key, us)
		exec("INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES (?, 1, 1, ?)", name, us)
		exec("INSERT INTO session_secret (kind, hash, browser_id, created_at) VALUES ('sid', ?, ?, 1)", key, name)
		exec("INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at, ended_at) VALUES (?, ?, 'a', 1, '', '', 1, ?)",
			name, name, map[string]any{"old": 1, "new": nil}[name])
		exec("INSERT INTO consent (account_id, client_id, login_id, scopes, granted_at) VALUES ('a', 'c', ?, '', 1)", name)
		exec("INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, created_at, expires_at) VALUES (?, 'a', 'c', ?, '', '', 1, '', '', 1, ?)", name, name, us)
		exec("INSERT INTO code (grant_id, sig, client_id, redirect_uri, created_at, expires_at) VALUES ('new', ?, 'c', '', 1, ?)", key, us)
		exec("INSERT INTO access_token (grant_id, sig, client_id, scopes, issued_at, expires_at) VALUES ('new', ?, 'c', '', 1, ?)", key, us)
		exec("INSERT INTO mail_token (purpose, hash, account_id, address_id, created_at, expires_at) VALUES ('confirm', ?, 'a', ?, 1, ?)", key, address, us)
		exec("INSERT INTO recovery_request (id, state, hash, email, canonical, language, created_at, expires_at) VALUES (?, 'over', ?, '', '', '', 1, ?)", name, key, us)
		exec("INSERT INTO used_once (kind, key, expires_at) VALUES ('jti', ?, ?)", key, us)
		exec("INSERT INTO data_export (id, account_id, asked_at, expires_at) VALUES (?, ?, 1, ?)", name, map[string]string{"old": "a", "new": "pending new"}[name], us)
		exec("INSERT INTO rate (key, tat) VALUES (?, ?)", name, us)
	}
	exec("INSERT INTO consent (account_id, client_id, scopes, granted_at) VALUES ('a', 'c', '', 1)")
}

func TestPurge(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		fill(t, s)
		count := func() map[string]int64 {
			all := map[string]int64{}
			for _, table := range []string{"account", "address", "interaction", "browser", "session_secret", "login", "consent",
				"authorization_grant", "code", "access_token", "mail_token", "recovery_request", "used_once", "data_export", "rate", "client"} {
				var n int64
				if err := s.Read(t.Context()).Table(table).Count(&n).Error; err != nil {
					t.Fatal(err)
				}
				all[table] = n
			}
			return all
		}
		check := func(after string, change map[string]int64, want map[string]int64) {
			t.Helper()
			for table, n := range change {
				want[table] += n
			}
			for table, n := range count() {
				if n != want[table] {
					t.Errorf("after %s: %d rows of %s, want %d", after, n, table, want[table])
				}
			}
		}
		purge := func(at int64) {
			t.Helper()
			if _, err := s.Purge(t.Context(), time.Unix(at, 0), 100); err != nil {
				t.Fatal(err)
			}
		}
		want := count()
		purge(999)
		check("999 s", nil, want)
		purge(1000)
		check("1000 s", map[string]int64{"account": -1, "address": -1, "interaction": -1, "browser": -1, "session_secret": -1,
			"login": -1, "consent": -1, "authorization_grant": -1, "access_token": -1, "mail_token": -1, "used_once": -1, "recovery_request": -1, "data_export": -1}, want)
		purge(1000 + 1799)
		check("half an hour less a second", nil, want)
		purge(1000 + 1800)
		check("half an hour", map[string]int64{"code": -1}, want)
		purge(1000 + 86399)
		check("a day less a second", nil, want)
		purge(1000 + 86400)
		check("a day", map[string]int64{"rate": -1}, want)
		var left int64
		if err := s.Read(t.Context()).Table("used_once").Where("key = ?", []byte("new")).Count(&left).Error; err != nil || left != 1 {
			t.Errorf("the new row went: %v", err)
		}
	})
}

// An invitation goes three days after its end, when nobody can confirm with it any more, and once it is used up.
func TestPurgeInvitations(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		end := time.Unix(1_000_000, 0).UTC()
		for id, uses := range map[string]int64{"ends": 1, "used": 0} {
			if err := s.InsertInvitation(t.Context(), account.Invitation{ID: id, Hash: []byte(id), Uses: uses, CreatedAt: end.Add(-time.Hour), ExpiresAt: end}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			at   time.Time
			want int64
		}{{end.Add(-time.Hour), 1}, {end.Add(account.PendingLifetime - time.Second), 1}, {end.Add(account.PendingLifetime), 0}} {
			var left int64
			_, err := s.Purge(t.Context(), c.at, 100)
			if err = errors.Join(err, s.Read(t.Context()).Table("invitation").Count(&left).Error); err != nil || left != c.want {
				t.Errorf("%s: %d are left, want %d: %v", c.at, left, c.want, err)
			}
		}
	})
}

// A client that anybody may have registered, and that was never used, goes after thirty days.
func TestPurgeClients(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx, made := t.Context(), time.Unix(1e9, 0)
		for id, change := range map[string]func(c *client.Client){
			"stranger": func(*client.Client) {},
			"used":     func(*client.Client) {},
			"verified": func(c *client.Client) { c.VerifiedAt = made },
			"guest":    func(c *client.Client) { c.RegisteredBy = client.ByToken },
			"own":      func(c *client.Client) { c.RegisteredBy = "" },
			"later":    func(c *client.Client) { c.CreatedAt = made.Add(time.Second) },
		} {
			c := &client.Client{ID: id, CreatedAt: made, UpdatedAt: made, RegisteredBy: client.ByAnyone}
			change(c)
			if err := s.InsertClient(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []time.Time{made.Add(time.Hour), made.Add(2 * time.Hour)} {
			if err := s.NoteClientUse(ctx, "used", at); err != nil {
				t.Fatal(err)
			}
		}
		c, err := s.ReadClient(ctx, "used")
		if err != nil || !c.UsedAt.Equal(made.Add(time.Hour)) {
			t.Fatalf("%+v %v", c, err)
		}
		c.UsedAt = time.Time{}
		if err := s.UpdateClient(ctx, c); err != nil { // somebody's copy from before
			t.Fatal(err)
		}
		before, err := s.ClientsRevision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			at   time.Time
			gone int64
		}{{made.Add(30*24*time.Hour - time.Second), 0}, {made.Add(30 * 24 * time.Hour), 1}, {made.Add(30 * 24 * time.Hour), 0}} {
			if n, err := s.Purge(ctx, step.at, 100); err != nil || n != step.gone {
				t.Errorf("%s: %d went, %v", step.at, n, err)
			}
		}
		var events int
		_, reader := s.Pools()
		row := reader.QueryRowContext(ctx, `SELECT count(*) FROM audit WHERE event = 'client.deleted' AND actor_kind = 'system' AND client_id = 'stranger'`)
		if err := row.Scan(&events); err != nil || events != 1 {
			t.Errorf("%d events: %v", events, err)
		}
		if _, err := s.ReadClient(ctx, "stranger"); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("it is there still: %v", err)
		}
		if after, err := s.ClientsRevision(ctx); err != nil || after != before+1 {
			t.Errorf("the revision went from %d to %d: %v", before, after, err)
		}
	})
}

// TestPurgeClosed: of an account that its owner has closed nothing stays, when its time is over, that says who it was; nor of
// one that the operator deletes.
func TestPurgeClosed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx, over := t.Context(), time.Unix(2e9, 0).UTC()
		writer, reader := s.Pools()
		count := func(q string) (n int) {
			t.Helper()
			if err := reader.QueryRowContext(ctx, "SELECT count(*) FROM "+q).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for id, state := range map[string]string{"closing": "closing", "later": "closing", "active": "active", "deleted": "disabled"} {
			until := over.UnixMicro()
			if id == "later" {
				until++
			}
			for _, q := range []string{
				fmt.Sprintf("INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('%s', 'sub-%s', '%s', 1, 1, %d)", id, id, state, until),
				fmt.Sprintf("INSERT INTO browser (id, device, network, created_at, seen_at, expires_at) VALUES ('b-%s', 'Firefox', '203.0.113.0/24', 1, 1, 9000000000000000)", id),
				fmt.Sprintf("INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at, ended_at) VALUES ('l-%s', 'b-%s', '%s', 1, 'pwd', '1', 1, 1)", id, id, id),
			} {
				if _, err := writer.ExecContext(ctx, q); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.SetPicture(ctx, id, "picture-"+id, []byte{0xff, 0xd8}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			err := s.Record(ctx, audit.Event{Event: audit.LoginSucceeded, ActorKind: audit.ActorAccount, Subject: id, ClientID: "shop", Session: "l-" + id,
				Detail: map[string]any{"device": "Firefox"}, At: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
		}
		// A browser in which somebody else is signed in too stays.
		_, err := writer.ExecContext(ctx, "INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at, ended_at) VALUES ('l-both', 'b-active', 'deleted', 1, 'pwd', '1', 1, 1)")
		if err == nil {
			err = s.Delete(ctx, "deleted")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, "deleted"); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("deleted again: %v", err)
		}
		for _, want := range []int64{1, 0} {
			if n, err := s.Purge(ctx, over, 100); err != nil || n != want {
				t.Errorf("%d went: %v", n, err)
			}
		}
		for q, want := range map[string]int{
			"picture": 2, "picture WHERE account_id = 'closing'": 0,
			"account": 2, "account WHERE id = 'closing'": 0, "browser": 2, "browser WHERE id = 'b-closing'": 0,
			"audit WHERE subject = 'closing' AND (detail <> '' OR client_id <> '' OR session <> '')": 0,
			"account WHERE id = 'deleted'": 0, "browser WHERE id = 'b-deleted'": 0, "browser WHERE id = 'b-active'": 1,
			"audit WHERE subject = 'deleted'": 1, "audit WHERE subject = 'deleted' AND (detail <> '' OR client_id <> '' OR session <> '')": 0,
			"audit WHERE subject = 'closing' AND event = 'account.deleted' AND actor_kind = 'system'": 1,
			"audit WHERE subject <> 'closing' AND detail <> '' AND client_id = 'shop'":                2,
		} {
			if n := count(q); n != want {
				t.Errorf("%s: %d, not %d", q, n, want)
			}
		}
	})
}

// TestPurgeLocksNothing: a row that somebody else holds is left for another time, and nobody waits for it; nor does it wait for what
// it cannot get past its time.
func TestPurgeLocksNothing(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // which has one lock for all: a step of a purge takes it as any write does
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	execute(t, s, "INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('a', 'a', 'active', 1, 1)")
	const browsers = "INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('held', 1, 1, 1), ('free', 1, 1, 1)"
	const logins = "INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) VALUES ('held', 'held', 'a', 1, '', '', 1), ('free', 'free', 'a', 1, '', '', 1)"
	purge := func(when string, want int64) {
		t.Helper()
		waits, done := context.WithTimeout(t.Context(), 10*time.Second)
		defer done()
		if n, err := s.Purge(waits, time.Unix(2, 0), 100); err != nil || n != want {
			t.Errorf("%s: %d rows went, not %d: %v", when, n, want, err)
		}
	}
	for what, c := range map[string]struct {
		rows         []string
		hold         string
		beside, then int64
	}{
		"what was used once": {[]string{"INSERT INTO used_once (kind, key, expires_at) VALUES ('jti', 'held', 1), ('jti', 'free', 1)"}, "used_once WHERE key = 'held' FOR UPDATE", 1, 1},
		// A sign-in locks the logins, and then the browser.
		"login":   {[]string{browsers, logins}, "login WHERE id = 'held' FOR UPDATE", 2, 2},
		"browser": {[]string{browsers, logins}, "browser WHERE id = 'held' FOR UPDATE", 3, 1},
		"account": {[]string{"INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('held', 'held', 'closing', 1, 1, 1), ('free', 'free', 'closing', 1, 1, 1)"},
			"account WHERE id = 'held' FOR SHARE", 1, 1},
		"client": {[]string{`INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision, registered_by)
			VALUES ('held', '', '{}', true, false, -9000000000000, 1, 1, 'anyone'), ('free', '', '{}', true, false, -9000000000000, 1, 1, 'anyone')`}, "client WHERE client_id = 'held' FOR UPDATE", 1, 1},
	} {
		for _, q := range c.rows {
			execute(t, s, q)
		}
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			if err := s.DB(ctx).Exec("SELECT 1 FROM " + c.hold).Error; err != nil {
				return err
			}
			purge(what+": one is held", c.beside) // by this transaction, which waits for it
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		purge(what+": nobody holds one", c.then)
	}
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.DB(ctx).Exec("LOCK TABLE rate").Error; err != nil {
			return err
		}
		limited, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer done()
		if _, err := s.Purge(limited, time.Unix(2, 0), 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a table that is locked: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPurgeBesideSignIn: a browser in which somebody else signs in while the last account of it is deleted stays, with that login.
func TestPurgeBesideSignIn(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // it has one writer
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	execute(t, s, "INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('a', 'a', 'closing', 1, 1, 1), ('b', 'b', 'active', 1, 1, NULL)")
	execute(t, s, "INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('x', 1, 1, 9000000000000000)")
	const login = "INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) VALUES "
	execute(t, s, login+"('a', 'x', 'a', 1, '', '', 1)")
	purged := make(chan error, 1)
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.DB(ctx).Exec("UPDATE browser SET seen_at = 2").Error; err != nil {
			return err
		}
		go func() {
			_, err := s.Purge(context.WithoutCancel(t.Context()), time.Unix(2, 0), 100)
			purged <- err
		}()
		if err := waited(t, s); err != nil {
			return err
		}
		return s.DB(ctx).Exec(login + "('b', 'x', 'b', 1, '', '', 1)").Error
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-purged; err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := s.Read(t.Context()).Raw("SELECT l.id FROM login l JOIN browser b ON b.id = l.browser_id").Scan(&left).Error; err != nil || len(left) != 1 || left[0] != "b" {
		t.Errorf("the logins %v are left: %v", left, err)
	}
}

// waited ends when somebody waits for a lock in this database.
func waited(t *testing.T, s *storage.Store) error {
	for range 3000 {
		var n int
		err := s.Read(t.Context()).Raw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n).Error
		if err != nil || n > 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("nobody waits")
}

func TestPurgeIsBounded(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		for n := range 10 {
			if err := s.UseOnce(t.Context(), "jti", []byte{byte(n)}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int64{4, 4, 2, 0} {
			n, err := s.Purge(t.Context(), time.Unix(2, 0), 4)
			if err != nil || n != want {
				t.Errorf("%d rows went, want %d: %v", n, want, err)
			}
		}
		if _, err := s.Purge(t.Context(), time.Unix(2, 0), 0); err == nil {
			t.Error("without a limit")
		}
	})
}
