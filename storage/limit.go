package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/limit"
)

var _ limit.Store = (*Store)(nil)

var limitRows = []any{&rateRow{}}

// rateRow is a budget: tat is the theoretical arrival time, in µs by the database's clock.
type rateRow struct {
	Key string `gorm:"primaryKey"`
	TAT int64  `gorm:"column:tat"`
}

func (rateRow) TableName() string { return "rate" }

// The database's own time in microseconds, for statements that judge by it.
const (
	nowPostgres = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	nowSQLite   = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
)

func (s *Store) nowSQL() string {
	if s.postgres() {
		return nowPostgres
	}
	return nowSQLite
}

// Take implements limit.Store by a GCRA budget. One statement reads the clock, judges and writes: what ran between a
// read and a write could be overrun by parallel tries. On PostgreSQL it also tells the refused when to come back. SQLite
// cannot: RETURNING has only rows that were written, no WITH may write, and a write for each that is refused would let a
// flood of them hold the one writer. There the refused ask once more, which is no round trip.
func (s *Store) Take(ctx context.Context, key string, r limit.Rule) (bool, time.Duration, error) {
	inc := r.Every.Microseconds()
	arg := map[string]any{"key": key, "inc": inc, "off": int64(r.Burst) * inc}
	latest := "max"
	if s.postgres() {
		latest = "greatest"
	}
	spend := `
		INSERT INTO rate AS b (key, tat) SELECT @key, n.t + @inc FROM n WHERE true
		ON CONFLICT (key) DO UPDATE SET tat = ` + latest + `(b.tat, (SELECT t FROM n)) + @inc
		WHERE ` + latest + `(b.tat, (SELECT t FROM n)) + @inc - (SELECT t FROM n) <= @off
		RETURNING tat - ` + s.nowSQL() + ` AS owed`
	wait := func(now string) string { return `SELECT tat + @inc - @off - ` + now + ` FROM rate WHERE key = @key` }
	take := `WITH n AS (SELECT ` + s.nowSQL() + ` AS t)` + spend
	if s.postgres() {
		take = `WITH n AS (SELECT ` + s.nowSQL() + ` AS t), spent AS (` + spend + `)
			SELECT owed, CASE WHEN owed IS NULL THEN (` + wait("n.t") + `) END AS wait FROM n LEFT JOIN spent ON true`
	}
	var said []struct{ Owed, Wait *int64 }
	if err := s.db(ctx).Raw(take, arg).Scan(&said).Error; err != nil {
		return false, 0, fmt.Errorf("take from a limit: %w", err)
	}
	switch {
	case len(said) == 1 && said[0].Owed != nil:
		return true, max(0, time.Duration(*said[0].Owed)*time.Microsecond), nil
	case len(said) == 1 && said[0].Wait != nil && *said[0].Wait > 0:
		return false, time.Duration(*said[0].Wait) * time.Microsecond, nil
	case s.postgres():
		// It reads what there was when it began, and other tries have used that up meanwhile. Nobody waits longer.
		return false, r.Every, nil
	}
	var left int64
	if err := s.read(ctx).Raw(wait(s.nowSQL()), arg).Scan(&left).Error; err != nil {
		return false, 0, fmt.Errorf("read a limit: %w", err)
	}
	return false, max(1, time.Duration(left)) * time.Microsecond, nil
}

// Refund gives one unit back that Take has spent.
func (s *Store) Refund(ctx context.Context, key string, r limit.Rule) error {
	return s.db(ctx).Exec(`UPDATE rate SET tat = tat - ? WHERE key = ?`, r.Every.Microseconds(), key).Error
}

// Owed implements limit.Store.
func (s *Store) Owed(ctx context.Context, key string) (time.Duration, error) {
	var owed []int64
	if err := s.read(ctx).Raw(`SELECT tat - `+s.nowSQL()+` FROM rate WHERE key = ?`, key).Scan(&owed).Error; err != nil {
		return 0, fmt.Errorf("read a limit: %w", err)
	}
	if len(owed) == 0 {
		return 0, nil
	}
	return max(0, time.Duration(owed[0])*time.Microsecond), nil
}

// Clear implements limit.Store.
func (s *Store) Clear(ctx context.Context, key string) error {
	return s.db(ctx).Where("key = ?", key).Delete(&rateRow{}).Error
}
