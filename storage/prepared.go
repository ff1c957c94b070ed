package storage

import (
	"context"
	"database/sql"
	"sync"
)

// prepared keeps the hot statements prepared at the connections of a SQLite pool: parsed and planned anew each time they would
// cost twice as much. pgx does the same for PostgreSQL by itself.
type prepared struct {
	db     *sql.DB
	mu     sync.Mutex
	ready  map[string]*sql.Stmt
	wanted []string // asked for within a transaction, whose connection may be the pool's only one: prepared before the next
}

// stmt is the statement, or nil when it is not prepared yet.
func (p *prepared) stmt(q string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, known := p.ready[q]
	if !known {
		p.ready[q] = nil
		p.wanted = append(p.wanted, q)
	}
	return st
}

// prepare makes ready what is wanted; what cannot be prepared now runs as it is, and is tried again.
func (p *prepared) prepare(ctx context.Context) {
	p.mu.Lock()
	wanted := p.wanted
	p.wanted = nil
	p.mu.Unlock()
	for _, q := range wanted {
		st, err := p.db.PrepareContext(ctx, q)
		p.mu.Lock()
		if p.ready[q] = st; err != nil {
			p.wanted = append(p.wanted, q)
		}
		p.mu.Unlock()
	}
}

// runner runs statements: a pool, a transaction, or a statement that is prepared.
type runner interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

// statement is the runner of the one that is prepared.
type statement struct{ *sql.Stmt }

// ExecContext implements runner.
func (s statement) ExecContext(ctx context.Context, _ string, args ...any) (sql.Result, error) {
	return s.Stmt.ExecContext(ctx, args...)
}

// QueryContext implements runner.
func (s statement) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return s.Stmt.QueryContext(ctx, args...)
}

// QueryRowContext implements runner.
func (s statement) QueryRowContext(ctx context.Context, _ string, args ...any) *sql.Row {
	return s.Stmt.QueryRowContext(ctx, args...)
}
