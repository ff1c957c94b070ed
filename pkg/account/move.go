package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

// AddressLifetime is how long the link that proves a new address holds.
const AddressLifetime = 24 * time.Hour

// AddressChange is a person who wants mail at another address.
type AddressChange struct {
	AccountID string
	Email     string
	IP        netip.Addr
}

// AskAddress mails a link to the new address. One that another account has proven is answered alike: its owner has the
// mail of a registration instead (A9, A15). Nothing of the account changes before the link is followed.
// Errors: *FieldError ("new-email"), ErrLimited (of the network), ErrNotFound.
func (d *Directory) AskAddress(ctx context.Context, c AddressChange) error {
	rec, err := d.active(ctx, c.AccountID)
	if err != nil {
		return err
	}
	send, canonical, err := parseField("new-email", c.Email)
	switch {
	case err != nil:
		return err
	case canonical == rec.Canonical:
		return &FieldError{Field: "new-email", Key: "address.same"}
	case !d.door.lets(canonical):
		return &FieldError{Field: "new-email", Key: "error.email.domain"}
	}
	if err := d.limits.TakeNetwork(ctx, c.IP, limit.MailIP, limit.MailNet); err != nil {
		return err
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	token, now := newToken(), d.now()
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, canonical); err != nil {
			return err
		}
		if rec, err = d.store.LockAccount(ctx, rec.ID); err != nil {
			return err
		}
		if rec.State != Active {
			return ErrNotFound
		}
		l := Link{Purpose: purposeAddress, Hash: hashToken(token), Email: send, Canonical: canonical}
		if err := d.store.ReplaceLink(ctx, rec.ID, l, now, now.Add(AddressLifetime)); err != nil {
			return err
		}
		if owner.ID != "" {
			return d.mail.Send(ctx, mail.Message{To: owner.Email, Name: owner.Name, Language: owner.Language, Template: "known"})
		}
		return d.mail.Send(ctx, mail.Message{To: send, Language: rec.Language, Template: "newaddress", Data: map[string]string{"address": token}})
	})
	if err != nil && !errors.Is(err, ErrLimited) { // A22: the answer stays as it is
		return fmt.Errorf("ask for an address: %w", err)
	}
	return nil
}

// ReadAddress shows the link that proves a new address; it changes nothing. ErrLink, also for who is signed in with
// another account: a stranger may have typed somebody's address, and waits for this very click.
func (d *Directory) ReadAddress(ctx context.Context, token, accountID string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeAddress, token)
	if err != nil {
		return nil, err
	}
	if rec.ID != accountID {
		return nil, ErrLink
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// ChangeAddress proves the new address and puts it in the old one's place. The old one has a mail by which, for seven
// days, all of it is undone. Links of recoveries that went to the old address are dead. Errors: ErrLink, ErrLimited.
func (d *Directory) ChangeAddress(ctx context.Context, token, accountID string) error {
	if _, err := d.ReadAddress(ctx, token, accountID); err != nil {
		return err
	}
	if err := d.limits.Take(ctx, limit.AccountChange, accountID); err != nil {
		return err
	}
	_, err := d.spend(ctx, purposeAddress, token, func(ctx context.Context, rec Record, l Link, now time.Time) error {
		if rec.ID != accountID {
			return ErrGone
		}
		if err := d.store.LockAddress(ctx, l.Canonical); err != nil {
			return err
		}
		if err := d.store.SetAddress(ctx, rec.ID, l.Email, l.Canonical, now); err != nil {
			return err
		}
		if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeRecover); err != nil {
			return err
		}
		err := d.audit.Record(ctx, audit.Event{Event: audit.AccountAddressChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
		if err != nil {
			return err
		}
		return d.mailNotice(ctx, rec, "moved", nil) // to the old one
	})
	if errors.Is(err, ErrTaken) {
		return ErrLink
	}
	return err
}
