package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/audit"
)

var (
	_ audit.Log    = (*Store)(nil)
	_ audit.Reader = (*Store)(nil)
)

var auditRows = []any{&auditRow{}}

type auditRow struct {
	ID        string `gorm:"primaryKey"`
	At        stamp
	Event     string
	ActorKind string
	ActorID   string
	Subject   string
	ClientID  string
	Session   string
	Detail    string
}

func (auditRow) TableName() string { return "audit" }

// Record implements audit.Log.
func (s *Store) Record(ctx context.Context, e audit.Event) error {
	if !audit.Valid(e.Event) || !audit.ValidActor(e.ActorKind) {
		return fmt.Errorf("%w: %q by %q", audit.ErrUnknown, e.Event, e.ActorKind)
	}
	row := auditRow{ID: newID(), At: at(e.At), Event: e.Event, ActorKind: e.ActorKind, ActorID: e.ActorID,
		Subject: e.Subject, ClientID: e.ClientID, Session: e.Session}
	if e.At.IsZero() {
		now, err := s.Now(ctx)
		if err != nil {
			return fmt.Errorf("record an event: %w", err)
		}
		row.At = at(now)
	}
	if len(e.Detail) > 0 {
		detail, err := json.Marshal(e.Detail)
		if err != nil {
			return fmt.Errorf("record an event: %w", err)
		}
		row.Detail = string(detail)
	}
	if err := s.db(ctx).Create(&row).Error; err != nil {
		return fmt.Errorf("record an event: %w", err)
	}
	return nil
}

// Events implements audit.Reader.
func (s *Store) Events(ctx context.Context, subject string, before time.Time, limit int) ([]audit.Event, error) {
	q := s.read(ctx).Where("subject = ?", subject)
	if !before.IsZero() {
		q = q.Where("at < ?", at(before))
	}
	var rows []auditRow
	if err := q.Order("at DESC, id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	list := make([]audit.Event, len(rows))
	for i, r := range rows {
		list[i] = audit.Event{Event: r.Event, ActorKind: r.ActorKind, ActorID: r.ActorID, Subject: r.Subject,
			ClientID: r.ClientID, Session: r.Session, At: r.At.Time}
		if r.Detail == "" {
			continue
		}
		if err := json.Unmarshal([]byte(r.Detail), &list[i].Detail); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
	return list, nil
}
