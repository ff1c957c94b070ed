package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// replica makes this test program a replica that starts on the database which the variable names.
const replica = "PASSPORT_TEST_REPLICA"

func TestMain(m *testing.M) {
	if database := os.Getenv(replica); database != "" {
		if err := startReplica(database); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	storagetest.Main(m)
}

// startReplica waits for its turn at the start, then opens and migrates.
func startReplica(database string) error {
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	s, err := storage.Open(context.Background(), database)
	if err != nil {
		return err
	}
	return errors.Join(s.Migrate(context.Background()), s.Close())
}

// The same with processes: a lock of one process would be no lock.
func TestMigrateProcesses(t *testing.T) {
	for range 2 {
		dsns := []string{storagetest.SQLite(t)}
		if storagetest.Databases() == "" {
			dsns = append(dsns, storagetest.Postgres(t))
		}
		for _, dsn := range dsns {
			start, hold, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 5 {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), replica+"="+dsn)
				cmd.Stdin = start
				var said bytes.Buffer
				cmd.Stderr = &said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					if err := cmd.Wait(); err != nil {
						t.Errorf("%v: %s", err, said.String())
					}
				})
			}
			if err := errors.Join(hold.Close(), start.Close()); err != nil { // all of them start
				t.Fatal(err)
			}
			wg.Wait()
			s := storagetest.Open(t, dsn)
			var applied int64
			if err := s.DB(t.Context()).Table("goose_db_version").Where("version_id = 1").Count(&applied).Error; err != nil || applied != 1 {
				t.Errorf("the first migration was applied %d times: %v", applied, err)
			}
		}
	}
}

// Replicas that start together on an empty database: none fails, one migrates.
func TestMigrateTogether(t *testing.T) {
	dsns := map[string]string{"sqlite": storagetest.SQLite(t)}
	if storagetest.Databases() == "" {
		dsns["postgres"] = storagetest.Postgres(t)
	}
	for name, dsn := range dsns {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			start := make(chan struct{})
			for range 5 {
				wg.Go(func() {
					<-start
					s, err := storage.Open(t.Context(), dsn)
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					if err := s.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			close(start)
			wg.Wait()
			s := storagetest.Open(t, dsn)
			var applied int64
			if err := s.DB(t.Context()).Table("goose_db_version").Where("version_id = 1").Count(&applied).Error; err != nil {
				t.Fatal(err)
			}
			if applied != 1 {
				t.Errorf("the first migration was applied %d times", applied)
			}
		})
	}
}

func TestMigrationStatus(t *testing.T) {
	dsns := []string{storagetest.SQLite(t)}
	if storagetest.Databases() == "" {
		dsns = append(dsns, storagetest.Postgres(t))
	}
	for _, dsn := range dsns {
		s, err := storage.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		before, err := s.MigrationStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.DB(t.Context()).Migrator().HasTable("goose_db_version") {
			t.Error("asking for the status changed the database")
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := s.MigrationStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(before) == 0 || len(before) != len(after) {
			t.Fatalf("%d and %d migrations", len(before), len(after))
		}
		now, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range before {
			if before[i].Applied || !before[i].At.IsZero() || !after[i].Applied || now.Sub(after[i].At).Abs() > time.Minute {
				t.Errorf("%+v, then %+v", before[i], after[i])
			}
		}
		// The version before this one still starts on a newer schema.
		if err := s.DB(t.Context()).Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)").Error; err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Errorf("on a newer schema: %v", err)
		}
	}
}

// Servers of the version before run beside this one for a while: what they cannot read is not written at once, but where nobody has an
// account yet.
func TestSealedCodesFrom(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		exec := func(q string) {
			t.Helper()
			if err := s.DB(t.Context()).Exec(q).Error; err != nil {
				t.Fatal(err)
			}
		}
		from, err := s.SealedCodesFrom(t.Context())
		if err != nil || from.After(time.Unix(1, 0)) {
			t.Errorf("a new database: %s %v", from, err)
		}
		exec(`INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('a', 'a', 'active', 1, 1)`)
		exec(`DROP TABLE upgrade`)
		exec(`DELETE FROM goose_db_version WHERE version_id = 11`)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		from, err = s.SealedCodesFrom(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := time.Until(from)
		if strings.Contains(t.Name(), "postgres") && (in < 55*time.Minute || in > 65*time.Minute) || strings.Contains(t.Name(), "sqlite") && in > 0 {
			t.Errorf("in %s", in)
		}
	})
}

// A migration that waits for a table, which a backup reads to its end, lets those go on that came after it.
func TestMigrateBesideABackup(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // nobody waits behind another's wait there
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	for _, q := range []string{"DROP TABLE upgrade", "DELETE FROM goose_db_version WHERE version_id = 11"} {
		if err := s.DB(t.Context()).Exec(q).Error; err != nil {
			t.Fatal(err)
		}
	}
	migrated := make(chan error, 1)
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		if err := s.DB(ctx).Exec("LOCK TABLE goose_db_version IN SHARE MODE").Error; err != nil {
			return err
		}
		go func() { migrated <- s.Migrate(context.WithoutCancel(t.Context())) }()
		if err := waited(t, s); err != nil {
			return err
		}
		for end := time.Now().Add(20 * time.Second); ; {
			var waits int
			err := s.DB(t.Context()).Raw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waits).Error
			if err != nil || waits == 0 {
				return err
			}
			if time.Now().After(end) {
				return errors.New("it waits on and on")
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}

func TestLocked(t *testing.T) {
	dsns := map[string]string{"sqlite": storagetest.SQLite(t)}
	if storagetest.Databases() == "" {
		dsns["postgres"] = storagetest.Postgres(t)
	}
	for name, dsn := range dsns {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			inside, most, ran := 0, 0, 0
			var wg sync.WaitGroup
			for range 5 {
				s := storagetest.Open(t, dsn)
				wg.Go(func() {
					err := s.Locked(t.Context(), "keys", func(ctx context.Context) error {
						mu.Lock()
						inside++
						most = max(most, inside)
						mu.Unlock()
						err := s.DB(ctx).Exec("UPDATE revision SET n = n + 1").Error // the lock does not hinder work
						mu.Lock()
						inside--
						ran++
						mu.Unlock()
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if most != 1 || ran != 5 {
				t.Errorf("%d at once, %d ran", most, ran)
			}

			a, b := storagetest.Open(t, dsn), storagetest.Open(t, dsn)
			boom := errors.New("boom")
			err := a.Locked(t.Context(), "x", func(ctx context.Context) error {
				if err := b.Locked(ctx, "y", func(context.Context) error { return nil }); err != nil {
					t.Errorf("another name waits: %v", err)
				}
				short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
				defer cancel()
				if err := b.Locked(short, "x", func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the same name: %v", err)
				}
				return boom
			})
			if !errors.Is(err, boom) {
				t.Errorf("the error of fn: %v", err)
			}
			if err := b.Locked(t.Context(), "x", func(context.Context) error { return nil }); err != nil {
				t.Errorf("after an error the lock stays: %v", err)
			}
			err = a.InTx(t.Context(), func(ctx context.Context) error {
				return a.Locked(ctx, "x", func(context.Context) error { return nil })
			})
			if err == nil {
				t.Error("a lock within a transaction")
			}
		})
	}
}
