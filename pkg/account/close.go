package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

// ClosingTime is how long a closed account can be opened again.
const ClosingTime = 30 * 24 * time.Hour

// Close has the account go in 30 days, at its owner's wish; email is its address, typed once more. Until then it does
// nothing: all sessions and grants end, nobody signs in. The owner has a mail by which it stays. When the time is over
// everything is removed, and its sub is never used again. Errors: *FieldError ("close-email"), ErrLimited, ErrNotFound.
func (d *Directory) Close(ctx context.Context, accountID, email string) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	if canonical, err := Canonical(email); err != nil || canonical != rec.Canonical {
		return &FieldError{Field: "close-email", Key: "close.mismatch"}
	}
	err = d.change(ctx, limit.AccountChange, rec, func(ctx context.Context, rec Record, now time.Time) error {
		token, until := newToken(), now.Add(ClosingTime)
		if err := d.store.CloseAccount(ctx, rec.ID, now, until); err != nil {
			return err
		}
		if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, pendingPurposes...); err != nil {
			return err
		}
		if err := d.stopRequests(ctx, rec.ID, now); err != nil { // or it would wait for the day that the account is opened again
			return err
		}
		if err := d.endAll(ctx, rec.ID); err != nil {
			return err
		}
		if err := d.store.AddLink(ctx, rec.ID, Link{Purpose: purposeReopen, Hash: hashToken(token)}, now, until); err != nil {
			return err
		}
		err := d.audit.Record(ctx, audit.Event{Event: audit.AccountClosing, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
		if err != nil {
			return err
		}
		return d.mailNotice(ctx, rec, "closing", map[string]string{"reopen": token})
	})
	if errors.Is(err, ErrGone) {
		return ErrNotFound
	}
	return err
}

// ReadReopen shows the link by which a closed account stays; it changes nothing. ErrLink.
func (d *Directory) ReadReopen(ctx context.Context, token string) (*LinkView, error) {
	rec, _, err := d.byAccountLink(ctx, purposeReopen, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: rec.Email, Language: rec.Language}, nil
}

// Reopen has a closed account stay; what was ended stays ended. Its owner has a mail: somebody who only has the password
// may have done it. Errors: ErrLink, ErrLimited.
func (d *Directory) Reopen(ctx context.Context, token string) error {
	rec, _, err := d.byAccountLink(ctx, purposeReopen, token)
	if err != nil {
		return err
	}
	if err := d.limits.Take(ctx, limit.AccountChange, rec.ID); err != nil {
		return err
	}
	_, err = d.spend(ctx, purposeReopen, token, func(ctx context.Context, rec Record, _ Link, now time.Time) error {
		if err := d.store.ReopenAccount(ctx, rec.ID, now); err != nil {
			return err
		}
		if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeReopen); err != nil {
			return err
		}
		err := d.audit.Record(ctx, audit.Event{Event: audit.AccountReopened, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
		if err != nil {
			return err
		}
		return d.mailNotice(ctx, rec, "reopened", nil)
	})
	return err
}

// reopening answers the right password of an account that is closing: a link to where it can be kept.
func (d *Directory) reopening(ctx context.Context, rec Record) (*Authenticated, error) {
	token, now := newToken(), d.now()
	// Beside the mail's link, which lives on.
	err := d.store.AddLink(ctx, rec.ID, Link{Purpose: purposeReopen, Hash: hashToken(token)}, now, now.Add(waitingLifetime))
	if err != nil {
		return nil, fmt.Errorf("open the page of a closed account: %w", err)
	}
	return &Authenticated{AccountID: rec.ID, Reopen: token}, nil
}
