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
// read and a write could be overrun by parallel tries. No row back: nothing was spent.
func (s *Store) Take(ctx context.Context, key string, r limit.Rule) (bool, time.Duration, error) {
	inc := r.Every.Microseconds()
	arg := map[string]any{"key": key, "inc": inc, "off": int64(r.Burst) * inc}
	latest := "max"
	if s.postgres() {
		latest = "greatest"
	}
	take := `
		WITH n AS (SELECT ` + s.nowSQL() + ` AS t)
		INSERT INTO rate AS b (key, tat) SELECT @key, n.t + @inc FROM n WHERE true
		ON CONFLICT (key) DO UPDATE SET tat = ` + latest + `(b.tat, (SELECT t FROM n)) + @inc
		WHERE ` + latest + `(b.tat, (SELECT t FROM n)) + @inc - (SELECT t FROM n) <= @off
		RETURNING tat - ` + s.nowSQL()
	var owed []int64
	if err := s.db(ctx).Raw(take, arg).Scan(&owed).Error; err != nil {
		return false, 0, fmt.Errorf("take from a limit: %w", err)
	}
	if len(owed) == 1 {
		return true, max(0, time.Duration(owed[0])*time.Microsecond), nil
	}
	// Only the refused pay for the second statement, which tells them when to come back.
	var wait []int64
	ask := `SELECT tat + @inc - @off - ` + s.nowSQL() + ` FROM rate WHERE key = @key`
	if err := s.read(ctx).Raw(ask, arg).Scan(&wait).Error; err != nil {
		return false, 0, fmt.Errorf("read a limit: %w", err)
	}
	retry := time.Microsecond
	if len(wait) == 1 {
		retry = max(retry, time.Duration(wait[0])*time.Microsecond)
	}
	return false, retry, nil
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
