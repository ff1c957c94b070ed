package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/passport-network/passport/pkg/audit"
)

// Versions are those of the operator's terms and privacy policy; any short text, empty: the one that there is.
type Versions struct {
	Terms   string `json:"terms"`
	Privacy string `json:"privacy"`
}

// Versions are those that hold now.
func (d *Directory) Versions() Versions { return d.versions }

// MustAccept tells whether somebody has accepted other versions than those that hold, or none. ErrNotFound.
func (d *Directory) MustAccept(ctx context.Context, accountID string) (bool, error) {
	rec, err := d.active(ctx, accountID)
	return err == nil && rec.Accepted != d.versions, err
}

// AcceptTerms records that the versions that hold are accepted, by who types an address of the account again.
// Errors: *FieldError ("accept-email"), ErrNotFound.
func (d *Directory) AcceptTerms(ctx context.Context, accountID, email string) error {
	wrong := &FieldError{Field: "accept-email", Key: "error.accept.mismatch"}
	canonical, err := Canonical(email)
	if err != nil {
		return wrong
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	if owner.ID == "" || owner.ID != accountID {
		return wrong
	}
	now := d.now()
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.AcceptTerms(ctx, accountID, d.versions, now); err != nil {
			return err
		}
		return d.audit.Record(ctx, audit.Event{Event: audit.AccountTermsAccepted, ActorKind: audit.ActorAccount, ActorID: accountID, Subject: accountID,
			Detail: map[string]any{"terms": d.versions.Terms, "privacy": d.versions.Privacy}, At: now})
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("accept the terms: %w", err)
	}
	return err
}
