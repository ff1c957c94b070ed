package storage

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"gorm.io/gorm"
)

// A hot statement is prepared once it has run, also by the transactions of a pool with one connection, which could not wait for
// another; it gives the same, from many at once.
func TestPrepared(t *testing.T) {
	s, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const read, write = "SELECT n FROM counter WHERE id = $1", "UPDATE counter SET n = n + 1 WHERE id = $1 RETURNING n"
	if err := s.writer.Exec("CREATE TABLE counter (id text PRIMARY KEY, n bigint); INSERT INTO counter VALUES ('a', 0)").Error; err != nil {
		t.Fatal(err)
	}
	count := func(db *gorm.DB, q string) (n int, err error) {
		err = hotPool(db).QueryRowContext(t.Context(), q, "a").Scan(&n)
		return n, err
	}
	step := func() (n int, err error) {
		return n, s.InTx(t.Context(), func(ctx context.Context) error {
			n, err = count(s.db(ctx), write)
			return err
		})
	}
	statements := func(db *gorm.DB) *prepared { return db.Statement.ConnPool.(checkedPool).prepared }
	for i := 1; i <= 3; i++ {
		if n, err := step(); err != nil || n != i {
			t.Fatalf("the step %d: %d, %v", i, n, err)
		}
		if n, err := count(s.reader, read); err != nil || n != i {
			t.Fatalf("read after the step %d: %d, %v", i, n, err)
		}
	}
	for q, p := range map[string]*prepared{read: statements(s.reader), write: statements(s.writer)} {
		if st := p.stmt(q); st == nil || len(p.wanted) != 0 {
			t.Errorf("%s is not prepared, wanted is %q", q, p.wanted)
		}
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 10 {
				if _, err := step(); err != nil {
					t.Error(err)
				}
				if _, err := count(s.reader, read); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, err := count(s.reader, read); err != nil || n != 203 {
		t.Errorf("counted to %d, not 203: %v", n, err)
	}

	// After an error a prepared one runs no more than any other.
	err = s.InTx(t.Context(), func(ctx context.Context) error {
		if _, err := count(s.db(ctx), "SELECT nothing"); err == nil {
			t.Error("a statement without sense is run")
		}
		n, err := count(s.db(ctx), write)
		if err == nil {
			t.Errorf("in a transaction that failed it counts to %d", n)
		}
		return nil
	})
	if err == nil {
		t.Error("the transaction that failed is committed")
	}
	// One that cannot be prepared hinders nobody.
	if n, err := step(); err != nil || n != 204 {
		t.Errorf("after that: %d, %v", n, err)
	}
	// A column more does not unsettle what is prepared.
	if err := s.writer.Exec("ALTER TABLE counter ADD COLUMN more text").Error; err != nil {
		t.Fatal(err)
	}
	if n, err := step(); err != nil || n != 205 {
		t.Errorf("after a migration: %d, %v", n, err)
	}
	if err := hotPool(s.reader).QueryRowContext(t.Context(), read, "b").Scan(new(int)); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}
