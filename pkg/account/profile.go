package account

import (
	"context"
	"fmt"

	"github.com/passport-network/passport/pkg/audit"
)

// Profile is the page "General information".
type Profile struct {
	Name     string
	Language string
	Email    string // the primary address; SetProfile does not change it
}

// Profile reads it. ErrNotFound.
func (d *Directory) Profile(ctx context.Context, accountID string) (*Profile, error) {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return nil, err
	}
	return &Profile{Name: rec.Name, Language: rec.Language, Email: rec.Email}, nil
}

// SetProfile changes name and language. *FieldError ("profile-name", "profile-language"), ErrNotFound.
func (d *Directory) SetProfile(ctx context.Context, accountID string, p Profile) error {
	name, err := checkName("profile-name", p.Name)
	if err != nil {
		return err
	}
	if name == "" {
		return &FieldError{Field: "profile-name", Key: "error.name.empty"}
	}
	return d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.active(ctx, accountID)
		if err != nil {
			return err
		}
		rec.Name = name
		if p.Language != "" {
			rec.Language = languageOf(p.Language)
		}
		now := d.now()
		if err := d.store.SetProfile(ctx, rec, now); err != nil {
			return fmt.Errorf("change a profile: %w", err)
		}
		return d.audit.Record(ctx, audit.Event{
			Event: audit.AccountChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now,
		})
	})
}

func (d *Directory) active(ctx context.Context, accountID string) (Record, error) {
	rec, err := d.store.ByID(ctx, accountID)
	if err != nil {
		return Record{}, fmt.Errorf("read an account: %w", err)
	}
	if rec.State != Active {
		return Record{}, ErrNotFound
	}
	return rec, nil
}
