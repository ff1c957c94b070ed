package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

const (
	// AddressLifetime is how long the link that proves a new address holds.
	AddressLifetime = 24 * time.Hour
	// MaxAddresses is how many addresses an account may have.
	MaxAddresses = 10
)

// AddressList is what an account has of addresses.
type AddressList struct {
	Proven  []Address // the primary one first, then the oldest
	Waiting string    // a new one, whose link is under way; empty: none
}

// Addresses lists them, for their owner. ErrNotFound.
func (d *Directory) Addresses(ctx context.Context, accountID string) (*AddressList, error) {
	if _, err := d.active(ctx, accountID); err != nil {
		return nil, err
	}
	proven, err := d.store.Addresses(ctx, accountID)
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	l, err := d.store.Waiting(ctx, accountID, purposeAddress, d.now())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read a link: %w", err)
	}
	return &AddressList{Proven: proven, Waiting: l.Email}, nil
}

// AddressChange is a person who has another address, or wants mail there.
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
	case !d.door.lets(canonical):
		return &FieldError{Field: "new-email", Key: "error.email.domain"}
	}
	if err := d.mayAdd(ctx, rec.ID, canonical); err != nil {
		return err
	}
	if err := d.limits.TakeNetwork(ctx, c.IP, limit.MailIP, limit.MailNet); err != nil {
		return err
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	token, now, id := newToken(), d.now(), rec.ID // rec is empty after a read that failed, and the transaction may run again
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, canonical); err != nil {
			return err
		}
		if rec, err = d.store.LockAccount(ctx, id); err != nil {
			return err
		}
		if rec.State != Active {
			return ErrNotFound
		}
		l := Link{Purpose: purposeAddress, Hash: hashToken(token), Email: send, Canonical: canonical}
		if err := d.store.ReplaceLinks(ctx, rec.ID, []Link{l}, now, now.Add(AddressLifetime)); err != nil {
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

// mayAdd tells whether the account has not this address already, also not as its recovery address, which would help nobody
// then, and not too many. *FieldError.
func (d *Directory) mayAdd(ctx context.Context, accountID, canonical string) error {
	all, err := d.store.Addresses(ctx, accountID)
	if err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	backup, err := d.store.Recovery(ctx, accountID)
	switch {
	case err != nil:
		return fmt.Errorf("read a recovery address: %w", err)
	case backup.address().Canonical == canonical:
		return &FieldError{Field: "new-email", Key: "address.backup"}
	case slices.ContainsFunc(all, func(a Address) bool { return a.Canonical == canonical }):
		return &FieldError{Field: "new-email", Key: "address.same"}
	case len(all) >= MaxAddresses:
		return &FieldError{Field: "new-email", Key: "address.many"}
	}
	return nil
}

// ReadAddress shows the link that proves a new address; it changes nothing. ErrLink, also for who is signed in with
// another account: a stranger may have typed somebody's address, and waits for this very click. ErrDomain: it may not be
// used any more.
func (d *Directory) ReadAddress(ctx context.Context, token, accountID string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeAddress, token)
	if err != nil {
		return nil, err
	}
	if rec.ID != accountID {
		return nil, ErrLink
	}
	if !d.door.lets(l.Canonical) { // it was when the mail went
		return nil, ErrDomain
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// ProveAddress proves the new address: people sign in with it from now on. Where it is to be the primary one it takes that
// one's place, which stays an address of the account. The primary one has a mail by which, for seven days, all of it is
// undone. Errors: ErrLink, ErrDomain, ErrLimited.
func (d *Directory) ProveAddress(ctx context.Context, token, accountID string, primary bool) error {
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
		var field *FieldError
		if err := d.mayAdd(ctx, rec.ID, l.Canonical); errors.As(err, &field) {
			return ErrGone // since it was mailed
		} else if err != nil {
			return err
		}
		if err := d.store.AddAddress(ctx, rec.ID, Address{Email: l.Email, Canonical: l.Canonical, ProvenAt: now}); err != nil {
			return err
		}
		if primary {
			return d.makePrimary(ctx, rec, l.Canonical, now)
		}
		if err := d.changed(ctx, audit.AccountAddressAdded, rec, now); err != nil {
			return err
		}
		return d.mailNotice(ctx, rec, "added", nil)
	})
	if errors.Is(err, ErrTaken) {
		return ErrLink
	}
	return err
}

// makePrimary puts an address in the primary one's place, in the transaction of ctx. The old one, rec's, is told, and can
// undo it. Links of recoveries from before are dead.
func (d *Directory) makePrimary(ctx context.Context, rec Record, canonical string, now time.Time) error {
	if err := d.store.MakePrimary(ctx, rec.ID, canonical, now); err != nil {
		return err
	}
	if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeRecover); err != nil {
		return err
	}
	if err := d.changed(ctx, audit.AccountAddressChanged, rec, now); err != nil {
		return err
	}
	return d.mailNotice(ctx, rec, "moved", nil)
}

// changed records what the owner has done.
func (d *Directory) changed(ctx context.Context, event string, rec Record, now time.Time) error {
	return d.audit.Record(ctx, audit.Event{Event: event, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
}

// SetPrimary makes one of the account's proven addresses its primary one. The one before stays, is told, and can undo it for
// seven days. Errors: ErrNotFound (no such address), ErrLimited.
func (d *Directory) SetPrimary(ctx context.Context, accountID, addressID string) error {
	return d.changeAddress(ctx, accountID, addressID, func(ctx context.Context, rec Record, all []Address, i int, now time.Time) error {
		return d.makePrimary(ctx, rec, all[i].Canonical, now)
	})
}

// RemoveAddress takes an address that is not the primary one from the account. It is told. Who can undo it, for seven days, is
// the removed one itself where it is the oldest that the account had, or was its primary one this week: the owner's, then,
// whom a thief removes. Else it may be the thief's, whom the owner removes (A12), and the primary one can undo it.
// Errors: ErrNotFound (no such address), ErrLimited.
func (d *Directory) RemoveAddress(ctx context.Context, accountID, addressID string) error {
	return d.changeAddress(ctx, accountID, addressID, func(ctx context.Context, rec Record, all []Address, i int, now time.Time) (err error) {
		a := all[i]
		if err := d.store.RemoveAddress(ctx, rec.ID, a.Canonical); err != nil {
			return err
		}
		// Of one that was moved first, the newest mail undoes both.
		if a.Primary, err = d.store.LatelyPrimary(ctx, rec.ID, a.Canonical, now); err != nil {
			return err
		}
		// A link that lies there must not be of use to whoever has the address next.
		if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeRecover); err != nil {
			return err
		}
		if err := d.changed(ctx, audit.AccountAddressRemoved, rec, now); err != nil {
			return err
		}
		older := slices.ContainsFunc(all, func(o Address) bool { return o.ProvenAt.Before(a.ProvenAt) })
		if a.Primary || !older {
			return d.mailNoticeTo(ctx, rec, a, "removed", nil)
		}
		if err := d.mailNotice(ctx, rec, "dropped", nil); err != nil {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: a.Email, Name: rec.Name, Language: rec.Language, Template: "removed"})
	})
}

// changeAddress does something with the one of an account's addresses, all[i], that has this id and is not the primary one. It is found among the account's own (B14).
func (d *Directory) changeAddress(ctx context.Context, accountID, addressID string, act func(ctx context.Context, rec Record, all []Address, i int, now time.Time) error) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	err = d.change(ctx, limit.AccountChange, rec, func(ctx context.Context, rec Record, now time.Time) error {
		all, err := d.store.Addresses(ctx, rec.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(a Address) bool { return a.ID == addressID && !a.Primary })
		if i < 0 {
			return ErrGone
		}
		return act(ctx, rec, all, i, now)
	})
	if errors.Is(err, ErrGone) {
		return ErrNotFound
	}
	return err
}
