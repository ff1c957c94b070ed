package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// Migration is one numbered change of the schema.
type Migration struct {
	Version int64     `json:"version"`
	Name    string    `json:"name"`
	Applied bool      `json:"applied"`
	At      time.Time `json:"at,omitzero"`
}

func (s *Store) provider() (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, "migrations/sqlite"
	if s.postgres() {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return nil, err
	}
	pool, err := s.writer.DB()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, pool, files)
}

// Migrate brings the schema to this program's version, under the one lock: of replicas that start
// together, one migrates and the others wait.
func (s *Store) Migrate(ctx context.Context) error {
	return s.Locked(ctx, "migrate", func(ctx context.Context) error {
		p, err := s.provider()
		if err != nil {
			return err
		}
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		return nil
	})
}

// MigrationStatus lists every migration and whether it has been applied.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	p, err := s.provider()
	if err != nil {
		return nil, err
	}
	list, err := p.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Migration, 0, len(list))
	for _, m := range list {
		name := m.Source.Path[strings.LastIndexByte(m.Source.Path, '/')+1:]
		out = append(out, Migration{Version: m.Source.Version, Name: name, Applied: m.State == goose.StateApplied, At: m.AppliedAt.UTC()})
	}
	return out, nil
}

// Locked runs fn while no other process runs one under the same name: a session lock on a connection of
// its own on PostgreSQL, a lock file beside the database on SQLite.
func (s *Store) Locked(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	if s.postgres() {
		return s.lockedPostgres(ctx, name, fn)
	}
	f, err := os.OpenFile(strings.TrimPrefix(s.dsn, "sqlite:")+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer f.Close()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return fn(ctx)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Store) lockedPostgres(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	pool, err := s.writer.DB()
	if err != nil {
		return err
	}
	var conn *sql.Conn
	if conn, err = pool.Conn(ctx); err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(hashtext($1))", "passport "+name); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer func() {
		// Even when ctx is over, the lock must not stay on a pooled connection.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(hashtext($1))", "passport "+name)
	}()
	return fn(ctx)
}
