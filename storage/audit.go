package storage

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/passport-network/passport/pkg/audit"
)

var _ audit.Log = (*Store)(nil)

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
