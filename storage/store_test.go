package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	gosqlite "modernc.org/sqlite"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func pragma(t *testing.T, pool *sql.DB, name string) string {
	t.Helper()
	var v string
	if err := pool.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSQLiteSettings(t *testing.T) {
	dsn := storagetest.SQLite(t)
	s := storagetest.Open(t, dsn)
	writer, reader := s.Pools()
	for name, pool := range map[string]*sql.DB{"writer": writer, "reader": reader} {
		for setting, want := range map[string]string{
			"journal_mode": "wal", "busy_timeout": "10000", "synchronous": "2", "foreign_keys": "1",
		} {
			if got := pragma(t, pool, setting); got != want {
				t.Errorf("%s: %s is %s, want %s", name, setting, got, want)
			}
		}
	}
	if got := pragma(t, writer, "query_only"); got != "0" {
		t.Errorf("the writer has query_only %s", got)
	}
	if n := writer.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writer connections", n)
	}
	if sync, locks := gosqlite.FdatasyncEnabled(), gosqlite.OFDLockingEnabled(); runtime.GOOS == "linux" && (!sync || !locks) {
		t.Errorf("fdatasync %v, locks of open files %v", sync, locks)
	}
	// Each connection of the read pool refuses to write, not only the first.
	var held []*sql.Conn
	for range reader.Stats().MaxOpenConnections {
		c, err := reader.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if _, err := c.ExecContext(t.Context(), "INSERT INTO rate (key, tat) VALUES ('a', 1)"); err == nil {
			t.Error("a reader wrote")
		}
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The writer takes its lock at BEGIN: two transactions that read first would else both fail to write.
	tx, err := writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if second, err := storage.Open(t.Context(), dsn); err != nil {
		t.Errorf("a second Store beside an open transaction: %v", err)
	} else if err := second.Close(); err != nil {
		t.Error(err)
	}
	other, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(dsn, "sqlite:")+"?_pragma=busy_timeout(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "INSERT INTO rate (key, tat) VALUES ('b', 1)"); err == nil {
		t.Error("BEGIN took no lock")
	}
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	dsn := storagetest.SQLite(t)
	s := storagetest.Open(t, dsn)
	if err := s.UseOnce(t.Context(), "test", []byte("a"), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(strings.TrimPrefix(dsn, "sqlite:") + "*")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %s", filepath.Base(f), info.Mode())
		}
	}
}

func TestPostgresSettings(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	writer, _ := s.Pools()
	for setting, want := range map[string]string{
		"application_name": "passport", "TimeZone": "UTC", "synchronous_commit": "on", "server_encoding": "UTF8",
		"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "30000", "idle_in_transaction_session_timeout": "1min",
	} {
		var got string
		if err := writer.QueryRowContext(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	own := storagetest.Open(t, storagetest.Postgres(t)+"&idle_in_transaction_session_timeout=5000")
	var got string
	if err := own.DB(t.Context()).Raw("SHOW idle_in_transaction_session_timeout").Scan(&got).Error; err != nil || got != "5s" {
		t.Errorf("what the URL says is %s: %v", got, err)
	}
	// Prepared, on the server's side: a statement with parameters that ran twice is in its list.
	c, err := writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const q = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE $1"
	var n int
	for range 2 {
		if err := c.QueryRowContext(t.Context(), q, "%pg_prepared_statements%").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d prepared statements", n)
	}
}

func TestPostgresRefused(t *testing.T) {
	for name, c := range map[string]struct {
		version          int
		encoding, commit string
		ok               bool
	}{
		"14":          {140012, "UTF8", "on", false},
		"15":          {150000, "UTF8", "on", true},
		"18, remote":  {180001, "UTF8", "remote_apply", true},
		"latin":       {180001, "LATIN1", "on", false},
		"not durable": {180001, "UTF8", "off", false},
		"here alone":  {180001, "UTF8", "local", false},
	} {
		if err := storage.RefuseServer(c.version, c.encoding, c.commit); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if storagetest.Databases() == "sqlite" {
		return
	}
	dsn := storagetest.Postgres(t)
	for name, bad := range map[string]string{
		"synchronous_commit": "&synchronous_commit=off",
		"simple protocol":    "&default_query_exec_mode=simple_protocol",
		"pool size":          "&pool_max_conns=zero",
	} {
		if s, err := storage.Open(t.Context(), dsn+bad); err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "@") {
			t.Errorf("%s: the error repeats the URL: %v", name, err)
		}
	}
	s, err := storage.Open(t.Context(), dsn+"&pool_max_conns=7")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, _ := s.Pools()
	if all, flows := w.Stats().MaxOpenConnections, s.Flows().Stats().MaxOpenConnections; all != 3 || flows != 3 {
		t.Errorf("%d and %d connections, and one of what readiness depends on", all, flows)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, bad := range []string{"", "sqlite:", "sqlite::memory:", "sqlite:a?b", "sqlite:" + t.TempDir() + "/none/x.db",
		"mysql://x", "postgres://u:secretword@%zz/", "postgres://u:secretword@127.0.0.1:1/x?connect_timeout=1"} {
		s, err := storage.Open(t.Context(), bad)
		if err == nil {
			t.Errorf("%q was opened", bad)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "secretword") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}

func TestTransactions(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		count := func() (n int64) {
			t.Helper()
			if err := s.Read(t.Context()).Table("used_once").Count(&n).Error; err != nil {
				t.Fatal(err)
			}
			return n
		}
		use := func(ctx context.Context, key string) error {
			return s.UseOnce(ctx, "test", []byte(key), time.Unix(1e9, 0))
		}
		boom := errors.New("boom")

		t.Run("an error rolls back", func(t *testing.T) {
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				return errors.Join(use(ctx, "a"), boom)
			})
			if !errors.Is(err, boom) || count() != 0 {
				t.Errorf("%v, %d rows", err, count())
			}
		})
		t.Run("a panic rolls back", func(t *testing.T) {
			func() {
				defer func() { _ = recover() }()
				_ = s.InTx(t.Context(), func(ctx context.Context) error {
					_ = use(ctx, "a")
					panic("boom")
				})
			}()
			if count() != 0 {
				t.Errorf("%d rows", count())
			}
		})
		t.Run("a joined error rolls back the whole even when it is swallowed", func(t *testing.T) {
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				if err := use(ctx, "a"); err != nil {
					return err
				}
				_ = s.InTx(ctx, func(ctx context.Context) error { return errors.Join(use(ctx, "b"), boom) })
				return nil
			})
			if !errors.Is(err, boom) || count() != 0 {
				t.Errorf("%v, %d rows", err, count())
			}
		})
		t.Run("a failed statement rolls back the whole even when it is swallowed", func(t *testing.T) {
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				if err := use(ctx, "a"); err != nil {
					return err
				}
				_ = s.DB(ctx).Exec("INSERT INTO used_once (kind, key, expires_at) VALUES ('test', ?, 1)", []byte("a")).Error
				if err := use(ctx, "b"); err == nil {
					t.Error("a statement ran after one that failed")
				}
				return nil
			})
			if err == nil || count() != 0 {
				t.Errorf("%v, %d rows", err, count())
			}
		})
		t.Run("joined ones commit together, and reads see what was written", func(t *testing.T) {
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				if err := use(ctx, "a"); err != nil {
					return err
				}
				return s.InTx(ctx, func(ctx context.Context) error {
					var n int64
					if err := s.Read(ctx).Table("used_once").Count(&n).Error; err != nil || n != 1 {
						t.Errorf("%d rows within, %v", n, err)
					}
					if count() != 0 {
						t.Error("seen from outside before the commit")
					}
					return use(ctx, "b")
				})
			})
			if err != nil || count() != 2 {
				t.Errorf("%v, %d rows", err, count())
			}
		})
	})
}

func TestText(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		for _, text := range []string{"", "Zoë", "𝒫𝒶𝓈𝓈 🛂👩‍👩‍👧", "שלום \u202e عليكم", "a\u0300\u0301\u0302", "'; DROP TABLE audit; --",
			"\x01\x7f\n\t", strings.Repeat("🛂", 5000), "\ufffe\U0010ffff"} {
			e := audit.Event{Event: audit.LoginFailed, ActorKind: audit.ActorAnonymous, ActorID: text, At: time.Unix(1, 0)}
			if err := s.Record(ctx, e); err != nil {
				t.Errorf("%.20q: %v", text, err)
				continue
			}
			var back []string
			if err := s.Read(ctx).Raw("SELECT actor_id FROM audit WHERE actor_id = ?", text).Scan(&back).Error; err != nil {
				t.Fatal(err)
			}
			if len(back) != 1 || back[0] != text {
				t.Errorf("%.20q came back as %.20q", text, back)
			}
		}
		for _, bad := range []string{"a\x00b", "\x00", "\xff", "a\xc3", "\xed\xa0\x80"} {
			e := audit.Event{Event: audit.LoginFailed, ActorKind: audit.ActorAnonymous, ActorID: bad, At: time.Unix(1, 0)}
			if err := s.Record(ctx, e); !errors.Is(err, storage.ErrText) {
				t.Errorf("%q: %v", bad, err)
			}
			if err := s.InTx(ctx, func(ctx context.Context) error { return s.Record(ctx, e) }); !errors.Is(err, storage.ErrText) {
				t.Errorf("%q in a transaction: %v", bad, err)
			}
			var n int64
			if err := s.Read(ctx).Raw("SELECT count(*) FROM audit WHERE actor_id = ?", bad).Scan(&n).Error; !errors.Is(err, storage.ErrText) {
				t.Errorf("%q in a question: %v", bad, err)
			}
			if err := s.Read(ctx).Raw("SELECT count(*) FROM audit WHERE actor_id = ?", &bad).Row().Scan(&n); !errors.Is(err, storage.ErrText) {
				t.Errorf("%q in a question for a row: %v", bad, err)
			}
			err := s.InTx(ctx, func(ctx context.Context) error {
				return s.DB(ctx).Raw("SELECT count(*) FROM audit WHERE actor_id = ?", bad).Row().Scan(&n)
			})
			if !errors.Is(err, storage.ErrText) {
				t.Errorf("%q in a question for a row in a transaction: %v", bad, err)
			}
		}
		// Bytes are not text.
		if err := s.UseOnce(ctx, "test", []byte("\x00\xff"), time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
	})
}

func TestTimes(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		east := time.FixedZone("east", 14*3600)
		for _, in := range []time.Time{
			time.Date(2026, 11, 23, 12, 0, 0, 123456789, east),
			time.Date(2038, 1, 19, 3, 14, 8, 999999999, time.UTC),
			time.Date(1969, 12, 31, 23, 59, 59, 1000, time.UTC),
			time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		} {
			e := audit.Event{Event: audit.LoginFailed, ActorKind: audit.ActorSystem, At: in}
			if err := s.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			var out []storage.Stamp
			if err := s.Read(t.Context()).Raw("SELECT at FROM audit ORDER BY id DESC LIMIT 1").Scan(&out).Error; err != nil {
				t.Fatal(err)
			}
			if len(out) != 1 || !out[0].Equal(in.Truncate(time.Microsecond)) || out[0].Location() != time.UTC {
				t.Errorf("%s came back as %v", in, out)
			}
		}
		// Without a time: the database's.
		if err := s.Record(t.Context(), audit.Event{Event: audit.LoginEnded, ActorKind: audit.ActorSystem}); err != nil {
			t.Fatal(err)
		}
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out storage.Stamp
		if err := s.Read(t.Context()).Raw("SELECT at FROM audit WHERE event = ?", audit.LoginEnded).Scan(&out).Error; err != nil {
			t.Fatal(err)
		}
		if out.IsZero() || now.Sub(out.Time).Abs() > time.Minute {
			t.Errorf("recorded at %s, now %s", out, now)
		}
		if time.Until(now).Abs() > time.Minute || now.Location() != time.UTC {
			t.Errorf("the database's time is %s", now)
		}
	})
}

func TestDuplicates(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		insert := func() error {
			return s.DB(t.Context()).Exec("INSERT INTO secret (purpose, sealed, created_at) VALUES ('a', ?, 1)", []byte{1}).Error
		}
		if err := insert(); err != nil {
			t.Fatal(err)
		}
		if err := insert(); !errors.Is(err, gorm.ErrDuplicatedKey) {
			t.Errorf("a primary key twice: %v", err)
		}
		account := func(id string) error {
			return s.DB(t.Context()).Exec("INSERT INTO account (id, sub, state, created_at, updated_at) VALUES (?, 'one', 'active', 1, 1)", id).Error
		}
		if err := account("a"); err != nil {
			t.Fatal(err)
		}
		if err := account("b"); !errors.Is(err, gorm.ErrDuplicatedKey) {
			t.Errorf("a unique column twice: %v", err)
		}
		err := s.DB(t.Context()).Exec("INSERT INTO credential (id, account_id, kind, secret, created_at) VALUES ('c', 'nobody', 'password', '', 1)").Error
		if !errors.Is(err, gorm.ErrForeignKeyViolated) {
			t.Errorf("a row that hangs on nothing: %v", err)
		}
	})
}

func TestRecordRefusesTheUnknown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		for _, e := range []audit.Event{
			{Event: "login.invented", ActorKind: audit.ActorSystem, At: time.Unix(1, 0)},
			{Event: audit.LoginEnded, ActorKind: "gnome", At: time.Unix(1, 0)},
			{},
		} {
			if err := s.Record(t.Context(), e); !errors.Is(err, audit.ErrUnknown) {
				t.Errorf("%+v: %v", e, err)
			}
		}
		var n int64
		if err := s.Read(t.Context()).Table("audit").Count(&n).Error; err != nil || n != 0 {
			t.Errorf("%d rows, %v", n, err)
		}
		boom := errors.New("boom")
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			err := s.Record(ctx, audit.Event{Event: audit.ConsentGranted, ActorKind: audit.ActorAccount, Detail: map[string]any{"scopes": "openid"}, At: time.Unix(1, 0)})
			return errors.Join(err, boom)
		})
		if !errors.Is(err, boom) {
			t.Error(err)
		}
		if err := s.Read(t.Context()).Table("audit").Count(&n).Error; err != nil || n != 0 {
			t.Errorf("the event outlived the act: %d rows, %v", n, err)
		}
	})
}

// However many transactions wait for something, a token is looked up: the hot statements have connections of their own (D4).
func TestFlowsHaveConnections(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // its readers wait for nobody
	}
	dsn := storagetest.Postgres(t)
	storagetest.Open(t, dsn) // migrates
	s, err := storage.Open(t.Context(), dsn+"&pool_max_conns=6")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	release := make(chan struct{})
	var held sync.WaitGroup
	defer func() { close(release); held.Wait(); _ = s.Close() }()
	pool, _ := s.Pools()
	for range 4 {
		held.Go(func() {
			_ = s.InTx(ctx, func(context.Context) error { <-release; return nil })
		})
	}
	for pool.Stats().InUse < pool.Stats().MaxOpenConnections && ctx.Err() == nil {
		runtime.Gosched()
	}
	if _, err := s.ReadToken(ctx, []byte("none")); !errors.Is(err, grant.ErrNotFound) {
		t.Errorf("while all others are held: %v", err)
	}
	for range s.Flows().Stats().MaxOpenConnections { // nor do these wait for the hot statements, which a client's row may hold up
		conn, err := s.Flows().Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for what, ask := range map[string]func(context.Context) error{
		"all keys":         func(ctx context.Context) error { _, err := s.SigningKeys(ctx, "passport"); return err },
		"secrets":          func(ctx context.Context) error { _, err := s.SealedSecrets(ctx); return err },
		"the clock":        func(ctx context.Context) error { _, err := s.Now(ctx); return err },
		"the keys":         func(ctx context.Context) error { _, err := s.KeysRevision(ctx); return err },
		"the clients":      func(ctx context.Context) error { _, err := s.ClientsRevision(ctx); return err },
		"changed clients":  func(ctx context.Context) error { _, err := s.ChangedClients(ctx, 0, 9); return err },
		"the check itself": s.Writable,
	} {
		ctx, stop := context.WithTimeout(ctx, 5*time.Second)
		if err := ask(ctx); err != nil {
			t.Errorf("%s, on which readiness depends, while all others are held: %v", what, err)
		}
		stop()
	}
}

// As few connections as can be asked for are enough: one holds the lock, another migrates.
func TestTwoConnections(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	for _, conns := range []string{"2", "3"} {
		s, err := storage.Open(t.Context(), storagetest.Postgres(t)+"&pool_max_conns="+conns)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		if err := s.Migrate(ctx); err != nil {
			t.Errorf("%s: %v", conns, err)
		}
		if _, err := s.ReadToken(ctx, []byte("none")); !errors.Is(err, grant.ErrNotFound) {
			t.Errorf("%s: %v", conns, err)
		}
		stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A transaction needs no second connection: as many at once as there are would else wait for each other for ever.
func TestTransactionsNeedOneConnection(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	dsn := storagetest.Postgres(t)
	storagetest.Open(t, dsn)                                     // migrates
	s, err := storage.Open(t.Context(), dsn+"&pool_max_conns=2") // for all statements: none of the hot ones' own
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var all, begun sync.WaitGroup
	begun.Add(2)
	for range 2 {
		all.Go(func() {
			if err := s.InTx(ctx, func(ctx context.Context) error {
				begun.Done()
				begun.Wait() // both have one
				_, now := s.Now(ctx)
				_, keys := s.KeysRevision(ctx)
				_, clients := s.ClientsRevision(ctx)
				_, changed := s.ChangedClients(ctx, 0, 9)
				return errors.Join(now, keys, clients, changed, s.RevokeAll(ctx, "nobody"))
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
