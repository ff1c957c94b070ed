package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	gosqlite "modernc.org/sqlite"
)

// ErrText refuses text that a database cannot hold: with U+0000 in it, or not UTF-8. PostgreSQL would
// answer with an error of its own and SQLite would store it; here both refuse before they are asked.
var ErrText = errors.New("the text has a NUL or is not UTF-8")

type traceKey struct{}

// Traced has fn told of each statement that runs with ctx, a transaction's beginning among them: so that tests see that what
// must not be told apart makes the same work.
func Traced(ctx context.Context, fn func(statement string)) context.Context {
	return context.WithValue(ctx, traceKey{}, fn)
}

func traced(ctx context.Context, statement string) {
	if fn, ok := ctx.Value(traceKey{}).(func(string)); ok {
		fn(statement)
	}
}

// checkedPool is gorm's ConnPool with every parameter checked. All SQL of this package passes it, the fixed
// statements too.
type checkedPool struct {
	*sql.DB
	era      *era      // PostgreSQL: of its connections
	flows    *sql.DB   // PostgreSQL: what the hot statements run on
	watches  *sql.DB   // PostgreSQL: what readiness depends on
	prepared *prepared // SQLite: the hot statements
	isHot    bool      // what comes is one of them
}

// hot is the pool for the hot statements. They have connections of their own: a crowd that signs in, each with many statements and a
// password to be hashed between them, would else take all of them (D4).
func (p checkedPool) hot() gorm.ConnPool {
	p.isHot = p.prepared != nil
	if p.flows != nil {
		p.DB = p.flows
	}
	return p
}

// watching is the pool for what readiness depends on: a connection of its own, for the hot statements may wait too, for a lock of a
// client's row.
func (p checkedPool) watching() gorm.ConnPool {
	if p.watches == nil {
		return p.hot()
	}
	p.DB = p.watches
	return p
}

// runs is what runs q.
func (p checkedPool) runs(ctx context.Context, q string) runner {
	if p.isHot {
		if st := p.prepared.stmt(q); st != nil {
			return statement{st}
		}
		p.prepared.prepare(ctx)
	}
	return p.DB
}

// GetDBConn lets gorm's DB() find the pool.
func (p checkedPool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

func (p checkedPool) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	traced(ctx, q)
	if err := checkText(args); err != nil {
		return nil, err
	}
	res, err := p.runs(ctx, q).ExecContext(ctx, q, args...)
	return res, meaning(p.era.note(err))
}

func (p checkedPool) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	traced(ctx, q)
	if err := checkText(args); err != nil {
		return nil, err
	}
	rows, err := p.runs(ctx, q).QueryContext(ctx, q, args...)
	return rows, meaning(p.era.note(err))
}

func (p checkedPool) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	traced(ctx, q)
	row := p.runs(ctx, q).QueryRowContext(ctx, q, refuseText(args)...)
	_ = p.era.note(row.Err())
	return row
}

// BeginTx makes gorm use a checkedTx.
func (p checkedPool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	traced(ctx, "BEGIN")
	if p.prepared != nil {
		p.prepared.prepare(ctx)
	}
	t, err := p.DB.BeginTx(ctx, opts)
	if err != nil {
		return nil, meaning(err)
	}
	return &checkedTx{Tx: t, era: p.era, prepared: p.prepared, failed: &atomic.Pointer[error]{}}, nil
}

// checkedTx is a transaction in which nothing runs after an error. PostgreSQL refuses that by itself; SQLite goes
// on, and when it had to roll back by itself (SQLITE_FULL, SQLITE_IOERR, an interrupt) the next statement
// would run alone, in autocommit.
type checkedTx struct {
	*sql.Tx
	era      *era
	prepared *prepared
	isHot    bool
	failed   *atomic.Pointer[error]
}

// hot is the transaction for the hot statements.
func (t *checkedTx) hot() gorm.ConnPool {
	h := *t
	h.isHot = t.prepared != nil
	return &h
}

// watching is the transaction.
func (t *checkedTx) watching() gorm.ConnPool { return t.hot() }

// runs is what runs q.
func (t *checkedTx) runs(ctx context.Context, q string) runner {
	if t.isHot {
		if st := t.prepared.stmt(q); st != nil {
			return statement{t.Tx.StmtContext(ctx, st)}
		}
	}
	return t.Tx
}

// fail remembers the first error and returns err.
func (t *checkedTx) fail(err error) error {
	_ = t.era.note(err)
	if err != nil {
		t.failed.CompareAndSwap(nil, &err)
	}
	return err
}

// broken is the reason for which nothing may run any more.
func (t *checkedTx) broken() error {
	if err := t.failed.Load(); err != nil {
		return fmt.Errorf("the transaction has failed: %w", *err)
	}
	return nil
}

func (t *checkedTx) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	traced(ctx, q)
	if err := t.broken(); err != nil {
		return nil, err
	}
	if err := checkText(args); err != nil {
		return nil, t.fail(err)
	}
	res, err := t.runs(ctx, q).ExecContext(ctx, q, args...)
	return res, t.fail(meaning(err))
}

func (t *checkedTx) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	traced(ctx, q)
	if err := t.broken(); err != nil {
		return nil, err
	}
	if err := checkText(args); err != nil {
		return nil, t.fail(err)
	}
	rows, err := t.runs(ctx, q).QueryContext(ctx, q, args...)
	return rows, t.fail(meaning(err))
}

func (t *checkedTx) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	traced(ctx, q)
	if err := t.broken(); err != nil {
		args = []any{refused{err}}
	}
	row := t.runs(ctx, q).QueryRowContext(ctx, q, refuseText(args)...)
	_ = t.fail(row.Err())
	return row
}

// Commit rolls back instead when a statement failed.
func (t *checkedTx) Commit() error {
	if err := t.broken(); err != nil {
		return errors.Join(err, t.Tx.Rollback())
	}
	return meaning(t.Tx.Commit())
}

// refused is a parameter that fails the statement: a row's query can report an error no other way.
type refused struct{ err error }

func (r refused) Value() (driver.Value, error) { return nil, r.err }

func refuseText(args []any) []any {
	for i, a := range args {
		if err := checkText([]any{a}); err != nil {
			args = append(append(append([]any{}, args[:i]...), refused{err}), args[i+1:]...)
			break
		}
	}
	return args
}

func checkText(args []any) error {
	for _, a := range args {
		if v, ok := a.(driver.Valuer); ok {
			if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
				continue // NULL: its Value may not be called
			}
			plain, err := v.Value()
			if err != nil {
				return err
			}
			a = plain
		}
		switch v := a.(type) {
		case string:
			if !validText(v) {
				return ErrText
			}
		case *string:
			if v != nil && !validText(*v) {
				return ErrText
			}
		}
	}
	return nil
}

func validText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// meaning says of a database's error what the rooms must know of it.
func meaning(err error) error {
	switch {
	case err == nil:
		return nil
	// The second net: text that came as bytes, or inside an array. character_not_in_repertoire, untranslatable_character.
	case hasCode(err, "22021", "22P05"):
		return ErrText
	case unreachable(err):
		return away{err}
	}
	return err
}

// away is the error of a database that does not serve at the moment. Whether what was asked of it is done, nobody knows.
type away struct{ error }

// Unwrap gives the cause.
func (e away) Unwrap() error { return e.error }

// Unavailable says to whoever answers people that they may come back: it is no mistake of the program.
func (e away) Unavailable() bool { return true }

// unreachable tells whether a database has gone, goes, or takes nothing.
func unreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// connection exceptions; insufficient resources; shutdown, crash, starting up; a standby.
		return slices.ContainsFunc([]string{"08", "53", "57P", "25006"}, func(class string) bool { return strings.HasPrefix(pg.Code, class) })
	}
	var lite *gosqlite.Error
	if errors.As(err, &lite) {
		return slices.Contains([]int{5, 8, 10, 13}, lite.Code()&0xff) // BUSY, READONLY, IOERR, FULL
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return pgconn.SafeToRetry(err) || errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, net.ErrClosed)
}

// busy tells whether another connection holds the SQLite lock.
func busy(err error) bool {
	var e *gosqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == 5
}
