package storage

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/passport-network/passport/pkg/fault"
)

//go:embed migrations
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64     `json:"version"`
	Name    string    `json:"name"`
	Applied bool      `json:"applied"`
	At      time.Time `json:"at,omitzero"` // when it was applied
}

// On PostgreSQL a migration waits for another's lock no longer than migrateLock, and leaves off for migratePause: who waits for a table has
// everybody wait behind it, and pg_dump holds all tables to its end. After migrateTries it is given up.
const (
	migrateLock  = "2s"
	migratePause = time.Second
	migrateTries = 20
)

// Migrate brings the schema up to date. Any number of replicas may start together: one migrates, the
// others wait for it. Migrations go forward only, and expand before they contract, so that the version
// before this one still runs on the new schema.
func (s *Store) Migrate(ctx context.Context) error {
	return s.Locked(ctx, "migrate", func(ctx context.Context) (err error) {
		pool, err := s.writer.DB()
		if err != nil {
			return err
		}
		if s.postgres() {
			pool = sql.OpenDB(s.hosts.connector(stdlib.OptionAfterConnect(setting(s.hosts.each[0], map[string]string{"lock_timeout": migrateLock}))))
			defer func() { err = errors.Join(err, pool.Close()) }()
		}
		p, err := s.provider(pool)
		if err != nil {
			return err
		}
		for try := 1; ; try++ {
			_, err := p.UpByOne(ctx)
			locked := hasCode(err, "55P03") // lock_not_available
			switch {
			case errors.Is(err, goose.ErrNoNextVersion):
				return nil
			case locked && try < migrateTries:
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(migratePause):
				}
				continue
			case locked:
				return fmt.Errorf("migrate the database: others have used a table all the time, a backup perhaps; try again when that is over: %w", err)
			case err != nil:
				return fmt.Errorf("migrate the database: %w", err)
			}
			try = 0
			fault.Point("storage.migrated")
		}
	})
}

// MigrationStatus lists the migrations that this program knows, oldest first. It changes nothing.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	pool, err := s.writer.DB()
	if err != nil {
		return nil, err
	}
	p, err := s.provider(pool)
	if err != nil {
		return nil, err
	}
	applied, err := s.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the state of the migrations: %w", err)
	}
	var list []Migration
	for _, src := range p.ListSources() {
		at, ok := applied[src.Version]
		list = append(list, Migration{Version: src.Version, Name: path.Base(src.Path), Applied: ok, At: at})
	}
	return list, nil
}

// applied reads goose's own table: asking goose would make it where it is not there.
func (s *Store) applied(ctx context.Context) (map[int64]time.Time, error) {
	db := s.read(ctx)
	if !db.Migrator().HasTable(goose.DefaultTablename) {
		return nil, db.Error
	}
	var list []struct {
		VersionID int64
		Tstamp    time.Time
	}
	err := db.Table(goose.DefaultTablename).Where("is_applied").Order("id").Find(&list).Error
	if err != nil {
		return nil, err
	}
	m := map[int64]time.Time{}
	for _, row := range list {
		m[row.VersionID] = row.Tstamp.UTC()
	}
	return m, nil
}

// SealedCodesFrom is from when on authorization codes may be sealed: servers that do not know these may run beside this one until
// then. It is an hour after the migration, and at once where nobody had an account yet.
func (s *Store) SealedCodesFrom(ctx context.Context) (time.Time, error) {
	var from stamp
	err := s.row(ctx, "read since when codes are sealed", "SELECT not_before FROM upgrade WHERE what = 'sealed_code'", []any{&from})
	return from.Time, err
}

func (s *Store) provider(pool *sql.DB) (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, "migrations/sqlite"
	if s.postgres() {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
	}
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(dialect, pool, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// Locked runs fn while no other Store on the same database, in this process or another, runs one under the
// same name. It waits for its turn until ctx ends. The lock dies with its holder. It is no transaction, and
// must not be taken within one; fn must not take the same name again.
func (s *Store) Locked(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	if _, ok := ctx.Value(txKey{}).(*gormTx); ok {
		return errors.New("a lock was asked for inside a transaction")
	}
	lock := s.lockFile
	if s.postgres() {
		lock = s.lockSession
	}
	unlock, err := lock(ctx, name)
	if err != nil {
		return fmt.Errorf("take the lock %q: %w", name, err)
	}
	return errors.Join(fn(ctx), unlock())
}

// lockRetry is how often a lock that another holds is asked for again.
const lockRetry = 50 * time.Millisecond

// lockSession takes an advisory lock on a connection of its own. It asks again and again: a waiting
// pg_advisory_lock would hold back vacuum and be one more query to cancel.
func (s *Store) lockSession(ctx context.Context, name string) (func() error, error) {
	pool, err := s.writer.DB()
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// Two int4 keys: a space that goose and others do not use.
	const key = "(1886680176, hashtext($1))"
	for {
		var got bool
		err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock"+key, name).Scan(&got)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if got {
			break
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), conn.Close())
		case <-time.After(lockRetry):
		}
	}
	return func() error {
		ctx, done := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer done()
		var was bool
		err := conn.QueryRowContext(ctx, "SELECT pg_advisory_unlock"+key, name).Scan(&was)
		if err == nil && !was {
			err = errors.New("the lock was lost while it was held")
		}
		return errors.Join(err, conn.Close())
	}, nil
}

// lockFile takes the write lock of an empty SQLite file beside the database: it works between processes on
// every system that SQLite runs on, and ends with its process.
func (s *Store) lockFile(ctx context.Context, name string) (func() error, error) {
	return lockSQLite(ctx, s.file+"-"+name+".lock")
}

func lockSQLite(ctx context.Context, file string) (func() error, error) {
	if err := makePrivate(file); err != nil {
		return nil, err
	}
	pool, err := sql.Open("sqlite", sqliteDSN(file, "_pragma=busy_timeout(0)&_txlock=exclusive"))
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	for {
		tx, err := pool.BeginTx(context.WithoutCancel(ctx), nil)
		if err == nil {
			return func() error { return errors.Join(tx.Rollback(), pool.Close()) }, nil
		}
		if !busy(err) {
			return nil, errors.Join(err, pool.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), pool.Close())
		case <-time.After(lockRetry):
		}
	}
}
