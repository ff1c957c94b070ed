package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/glebarez/sqlite"
	"github.com/google/uuid"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Store is the database. It implements the Store interfaces of every room that has one.
type Store struct {
	writer *gorm.DB // PostgreSQL: the pool; SQLite: the one immediate writer connection
	reader *gorm.DB // PostgreSQL: the same pool; SQLite: a pool of query_only connections
	dsn    string
}

// Open connects to a database named as in PASSPORT_DATABASE: "sqlite:FILE" or "postgres://…".
// It does not migrate: see Migrate.
func Open(ctx context.Context, database string) (*Store, error) {
	switch {
	case strings.HasPrefix(database, "sqlite:"):
		return openSQLite(ctx, strings.TrimPrefix(database, "sqlite:"))
	case strings.HasPrefix(database, "postgres://"), strings.HasPrefix(database, "postgresql://"):
		return openPostgres(ctx, database)
	}
	return nil, errors.New("the database must be sqlite:FILE or postgres://…")
}

func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true,
		TranslateError:         true,
		// Statements carry hashes and addresses: nothing of them goes to a log.
		Logger: logger.Discard,
	}
}

func openSQLite(ctx context.Context, file string) (*Store, error) {
	if file == "" || strings.ContainsAny(file, "?#") {
		return nil, errors.New("the SQLite file's name is empty or has ? or #")
	}
	open := func(conns int, extra string) (*gorm.DB, error) {
		q := "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + extra
		dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + q
		db, err := gorm.Open(sqlite.Open(dsn), gormConfig())
		if err != nil {
			return nil, fmt.Errorf("open SQLite: %w", err)
		}
		pool, err := db.DB()
		if err != nil {
			return nil, err
		}
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
		return db, pool.PingContext(ctx)
	}
	w, err := open(1, "&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	r, err := open(8, "&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	return &Store{writer: w, reader: r, dsn: "sqlite:" + file}, nil
}

func openPostgres(ctx context.Context, dsn string) (*Store, error) {
	cfg := gormConfig()
	db, err := gorm.Open(postgres.New(postgres.Config{DSN: dsn}), cfg)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(20)
	pool.SetMaxIdleConns(20)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("reach PostgreSQL: %w", err)
	}
	return &Store{writer: db, reader: db, dsn: dsn}, nil
}

// Close ends all connections.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*gorm.DB{s.writer, s.reader} {
		if pool, err := db.DB(); err == nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// postgres tells which dialect this is.
func (s *Store) postgres() bool { return s.writer.Name() == "postgres" }

type txKey struct{}

// db is where every write starts: the transaction that ctx carries, else the writer.
func (s *Store) db(ctx context.Context) *gorm.DB {
	if tx, ok := ctx.Value(txKey{}).(*gorm.DB); ok {
		return tx.WithContext(ctx)
	}
	return s.writer.WithContext(ctx)
}

// read is where a read outside a transaction starts; inside one it reads what the transaction wrote.
func (s *Store) read(ctx context.Context) *gorm.DB {
	if tx, ok := ctx.Value(txKey{}).(*gorm.DB); ok {
		return tx.WithContext(ctx)
	}
	return s.reader.WithContext(ctx)
}

// InTx runs fn in one transaction; it joins the transaction that ctx already carries.
// An error of fn rolls back (a joined one: the whole). After an error nothing more may run in it:
// SQLITE_FULL has then rolled back by itself, and the next statement would run in autocommit.
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if _, ok := ctx.Value(txKey{}).(*gorm.DB); ok {
		return fn(ctx)
	}
	return s.writer.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		return fn(context.WithValue(ctx, txKey{}, tx))
	})
}

// Now asks the database for its time: the source of pkg/clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	q := "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
	if s.postgres() {
		q = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	}
	var us int64
	err := s.reader.WithContext(ctx).Raw(q).Scan(&us).Error
	return time.UnixMicro(us).UTC(), err
}

// stamp is a time in a row: UTC microseconds as an integer; the zero time is NULL.
type stamp struct{ time.Time }

func at(t time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	return stamp{t.UTC().Truncate(time.Microsecond)}
}

func (stamp) GormDataType() string { return "bigint" }

func (t stamp) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

func (t *stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = stamp{}
	case int64:
		*t = stamp{time.UnixMicro(v).UTC()}
	default:
		return fmt.Errorf("a time column holds %T", v)
	}
	return nil
}

// newID makes a row's id: UUIDv7, so that ids grow with time in each process.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// words splits and joins the space-separated lists of rows (scopes, amr, …).
func words(s string) []string    { return strings.Fields(s) }
func joined(list []string) string { return strings.Join(list, " ") }

// oneRow maps a conditional write's outcome: exactly one row, or gone.
func oneRow(res *gorm.DB, gone error) error {
	switch {
	case res.Error != nil:
		return res.Error
	case res.RowsAffected != 1:
		return gone
	}
	return nil
}

var _ sql.Scanner = (*stamp)(nil)
