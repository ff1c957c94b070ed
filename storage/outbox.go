package storage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/passport-network/passport/pkg/outbox"
)

var _ outbox.Store = (*Store)(nil)

var outboxRows = []any{&outboxRow{}}

type outboxRow struct {
	ID          string `gorm:"primaryKey"`
	Kind        string
	Sealed      []byte
	Attempts    int64
	DueAt       stamp
	Lease       string
	LeasedUntil stamp
	CreatedAt   stamp `gorm:"autoCreateTime:false"`
	ExpiresAt   stamp
	FailedAt    stamp
	Error       string
}

func (outboxRow) TableName() string { return "outbox" }

func (r outboxRow) row() outbox.Row {
	return outbox.Row{ID: r.ID, Kind: r.Kind, Sealed: r.Sealed, Due: r.DueAt.Time, Expires: r.ExpiresAt.Time,
		Created: r.CreatedAt.Time, Attempts: int(r.Attempts)}
}

// PutJob adds a job, in the caller's transaction when there is one.
func (s *Store) PutJob(ctx context.Context, r outbox.Row) error {
	return s.db(ctx).Create(&outboxRow{ID: r.ID, Kind: r.Kind, Sealed: r.Sealed, DueAt: at(r.Due),
		CreatedAt: at(r.Created), ExpiresAt: at(r.Expires)}).Error
}

// LeaseJobs takes due jobs in one statement. On PostgreSQL workers skip what another is just leasing; the
// choice stands in a CTE because a sub-select with LIMIT may run more than once, and then lease too many.
// SQLite runs one writing statement at a time anyway.
func (s *Store) LeaseJobs(ctx context.Context, kinds []string, lease string, n int, now, until time.Time) ([]outbox.Row, error) {
	if len(kinds) == 0 || n < 1 {
		return nil, nil
	}
	// First a read: most polls find nothing, and on SQLite a write would take the one writer each second.
	const due = `failed_at IS NULL AND due_at <= @now AND kind IN @kinds AND (leased_until IS NULL OR leased_until <= @now)`
	arg := map[string]any{"kinds": kinds, "lease": lease, "n": n, "now": at(now), "until": at(until)}
	var waiting int64
	if err := s.read(ctx).Raw(`SELECT count(*) FROM (SELECT 1 FROM outbox WHERE `+due+` LIMIT 1) AS one`, arg).Scan(&waiting).Error; err != nil {
		return nil, fmt.Errorf("look for jobs: %w", err)
	}
	if waiting == 0 {
		return nil, nil
	}
	all := columnsOf("outbox", &outboxRow{})
	q := `UPDATE outbox SET lease = @lease, leased_until = @until, attempts = attempts + 1
		WHERE id IN (SELECT id FROM outbox WHERE ` + due + ` ORDER BY due_at, id LIMIT @n) RETURNING ` + all
	if s.postgres() {
		q = `WITH due AS MATERIALIZED (
				SELECT id FROM outbox WHERE ` + due + ` ORDER BY due_at, id LIMIT @n FOR UPDATE SKIP LOCKED)
			UPDATE outbox SET lease = @lease, leased_until = @until, attempts = attempts + 1
			FROM due WHERE outbox.id = due.id RETURNING ` + all
	}
	var rows []outboxRow
	if err := s.db(ctx).Raw(q, arg).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("lease jobs: %w", err)
	}
	// RETURNING promises no order.
	slices.SortFunc(rows, func(a, b outboxRow) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt.Time), cmp.Compare(a.ID, b.ID))
	})
	jobs := make([]outbox.Row, 0, len(rows))
	for _, r := range rows {
		jobs = append(jobs, r.row())
	}
	return jobs, nil
}

func (s *Store) leased(ctx context.Context, id, lease string) *gorm.DB {
	return s.db(ctx).Model(&outboxRow{}).Where("id = ? AND lease = ? AND lease <> '' AND failed_at IS NULL", id, lease)
}

// DropJob deletes a job that is done.
func (s *Store) DropJob(ctx context.Context, id, lease string) error {
	return oneRow(s.leased(ctx, id, lease).Delete(&outboxRow{}), outbox.ErrLost)
}

// RetryJob gives a job back until due.
func (s *Store) RetryJob(ctx context.Context, id, lease string, due time.Time, reason string) error {
	return oneRow(s.leased(ctx, id, lease).Updates(map[string]any{
		"due_at": at(due), "lease": "", "leased_until": nil, "error": reason}), outbox.ErrLost)
}

// HurryJobs makes due what waits after a failure. A job without one waits for a day of its own.
func (s *Store) HurryJobs(ctx context.Context, kind string, now time.Time, n int) (int, error) {
	const waits = `kind = @kind AND failed_at IS NULL AND due_at > @now AND lease = '' AND error <> ''`
	res := s.db(ctx).Exec(`UPDATE outbox SET due_at = @now WHERE `+waits+` AND id IN (SELECT id FROM outbox WHERE `+waits+
		` ORDER BY due_at LIMIT @n`+s.skipLocked()+`)`, map[string]any{"kind": kind, "now": at(now), "n": n})
	return int(res.RowsAffected), res.Error
}

// FailJob gives a job up and empties its body, which may hold links.
func (s *Store) FailJob(ctx context.Context, id, lease string, failed time.Time, reason string) error {
	return oneRow(s.leased(ctx, id, lease).Updates(map[string]any{
		"failed_at": at(failed), "lease": "", "leased_until": nil, "error": reason, "sealed": []byte{}}), outbox.ErrLost)
}
