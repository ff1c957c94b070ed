package storage_test

import (
	"context"
	"database/sql"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func execute(t *testing.T, s *storage.Store, q string) {
	t.Helper()
	if err := s.DB(t.Context()).Exec(q).Error; err != nil {
		t.Fatal(err)
	}
}

// 5.8: what PostgreSQL breaks off for the sake of another runs again as a whole, up to five times; nothing else does.
func TestAgain(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // one writer: nobody is broken off
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	ctx := t.Context()

	t.Run("deadlock", func(t *testing.T) {
		var begun atomic.Int64
		var met, all sync.WaitGroup
		met.Add(2)
		for _, order := range [][]string{{"keys", "client"}, {"client", "keys"}} {
			all.Go(func() {
				first := true
				err := s.InTx(ctx, func(ctx context.Context) error {
					begun.Add(1)
					for _, topic := range order {
						if err := s.DB(ctx).Exec("UPDATE revision SET n = n + 1 WHERE topic = ?", topic).Error; err != nil {
							return err
						}
						if first {
							first = false
							met.Done()
							met.Wait()
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := begun.Load(); n != 3 {
			t.Errorf("begun %d times", n)
		}
		if n, err := s.ClientsRevision(ctx); err != nil || n != 3 {
			t.Errorf("the revision is %d: %v", n, err)
		}
	})

	execute(t, s, `CREATE SEQUENCE tried`)
	execute(t, s, `CREATE FUNCTION fails(times int, code text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('tried') <= times THEN RAISE EXCEPTION 'played' USING ERRCODE = code; END IF; RETURN 1; END $$`)
	tried := func(want int64) {
		t.Helper()
		var n int64
		if err := s.DB(ctx).Raw("SELECT nextval('tried') - 1").Scan(&n).Error; err != nil || n != want {
			t.Errorf("tried %d times, not %d: %v", n, want, err)
		}
		execute(t, s, "ALTER SEQUENCE tried RESTART")
	}
	inTx := func(q string) error {
		return s.InTx(ctx, func(ctx context.Context) error {
			return s.InTx(ctx, func(ctx context.Context) error { return s.DB(ctx).Exec(q).Error }) // joined
		})
	}
	for _, c := range []struct {
		name, q string
		run     func(q string) error
		ok      bool
		tries   int64
	}{
		{"serialization", "SELECT fails(2, '40001')", inTx, true, 3},
		{"bounded", "SELECT fails(100, '40P01')", inTx, false, 5},
		{"another error", "SELECT fails(1, '23505')", inTx, false, 1},
		{"the server stops", "SELECT fails(1, '57P01')", inTx, false, 1},
		{"a hot statement by itself", "SELECT fails(2, '40P01')", func(q string) error { return s.One(ctx, q) }, true, 3},
		{"a hot statement within", "SELECT fails(2, '40P01')", func(q string) error {
			return s.InTx(ctx, func(ctx context.Context) error { return s.One(ctx, q) })
		}, true, 3},
		{"a hot statement's other error", "SELECT fails(1, '08006')", func(q string) error { return s.One(ctx, q) }, false, 1},
		{"any other statement", "SELECT fails(1, '40001')", func(q string) error { return s.DB(ctx).Exec(q).Error }, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(c.q); (err == nil) != c.ok {
				t.Error(err)
			}
			tried(c.tries)
		})
	}
	t.Run("not after the caller has gone", func(t *testing.T) {
		gone, leave := context.WithCancel(ctx)
		err := s.InTx(gone, func(ctx context.Context) error {
			err := s.DB(ctx).Exec("SELECT fails(100, '40001')").Error
			leave()
			return err
		})
		if err == nil {
			t.Error("no error")
		}
		tried(1)
	})
}

// hostless is a host and port at which nobody listens.
func hostless(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent is a host and port that takes connections and never answers, and how many it has taken.
func silent(t *testing.T) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var taken atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			defer c.Close()
		}
	}()
	return l.Addr().String(), &taken
}

// A host that is silent costs its time once: every further connection, the listener's too, begins with the one that answered.
func TestSilentHost(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	database := storagetest.Postgres(t)
	storagetest.Open(t, database) // migrates
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	address, taken := silent(t)
	u.Host = address + "," + u.Host
	s := open(t, u.String())
	asked := taken.Load()
	if asked == 0 {
		t.Fatal("it was not named first")
	}
	pages, _ := s.Pools()
	for _, pool := range []*sql.DB{pages, s.Flows()} {
		for range 3 {
			c, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	heard, _ := listen(t, s)
	next(t, heard)
	if n := taken.Load(); n != asked {
		t.Errorf("it was asked %d times more", n-asked)
	}
}

// 5.8: of several hosts the one that takes writes is used, and connections to one that has stopped to take them are given up.
func TestHosts(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	database := storagetest.Postgres(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Trim(u.Path, "/")
	readOnly := func(on string) {
		t.Helper()
		db, err := sql.Open("pgx", database)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		// The connection that sets it must be able to, whatever is set.
		for _, q := range []string{"SET default_transaction_read_only = off", "ALTER DATABASE " + name + " SET default_transaction_read_only = " + on} {
			if _, err := db.ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
	}
	u.Host = hostless(t) + "," + u.Host
	q := u.Query()
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	several := u.String()

	s := storagetest.Open(t, several) // the first host is off
	if err := s.RaiseKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	readOnly("on")
	if _, err := storage.Open(t.Context(), several); err == nil {
		t.Error("a server that takes no writes was taken")
	}
	standby := open(t, database) // does not ask
	if err := standby.RaiseKeys(t.Context()); err == nil {
		t.Fatal("it takes writes")
	}
	readOnly("off")
	// Each connection of the pool would go on as it began; the one error was enough for all.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := standby.RaiseKeys(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func open(t *testing.T, database string) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
