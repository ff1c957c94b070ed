package account

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/mail"
)

// Requests are all that concern an account, for the operator: the oldest first, those of no use left out. However many
// strangers make, none is out of sight.
func (d *Directory) Requests(ctx context.Context) (all []Request, err error) {
	for after := ""; ; {
		page, err := d.store.Requests(ctx, after)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all, after = append(all, page...), page[len(page)-1].ID
	}
}

// Request is one of them, with its note. ErrNotFound.
func (d *Directory) Request(ctx context.Context, id string) (Request, string, error) {
	r, err := d.store.RequestByID(ctx, id)
	if err != nil || r.Note == nil {
		return r, "", err
	}
	note, err := d.sealer.Open("recovery_request", "note", r.ID, r.Note)
	return r, string(note), err
}

// Approve mails a link to the address at which they can be reached, by which it becomes the account's. Not before the
// account's own addresses have had their time. One that has joined another is approved in its place: whoever asked first, perhaps
// to shut the way, has no better right. Errors: ErrNotFound, ErrDecided, ErrEarly, ErrTaken, ErrDomain.
func (d *Directory) Approve(ctx context.Context, id string) (Request, error) {
	return d.decide(ctx, id, RequestApproved, func(ctx context.Context, r Request, now time.Time) error {
		if now.Before(r.OpenedAt.Add(RequestWait)) || r.Notices < RequestNotices {
			return ErrEarly
		}
		if !d.door.lets(r.Canonical) { // it was when it was asked for
			return ErrDomain
		}
		owner, err := d.owner(ctx, r.Canonical)
		if err != nil {
			return err
		}
		if owner.ID != "" && owner.ID != r.AccountID {
			return ErrTaken
		}
		token := newToken()
		l := Link{Purpose: purposeRegain, Hash: hashToken(token), Email: r.Email, Canonical: r.Canonical}
		if err := d.store.ReplaceLinks(ctx, r.AccountID, []Link{l}, now, now.Add(AlarmLifetime)); err != nil {
			return err
		}
		if err := d.operated(ctx, audit.RequestApproved, r.AccountID, nil); err != nil {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: r.Email, Language: r.Language, Template: "approved", Data: map[string]string{"regain": token}})
	})
}

// Deny tells who asked that nothing came of it. Errors: ErrNotFound, ErrDecided.
func (d *Directory) Deny(ctx context.Context, id string) (Request, error) {
	return d.decide(ctx, id, RequestDenied, func(ctx context.Context, r Request, _ time.Time) error {
		if err := d.store.DropLinks(ctx, r.AccountID, time.Time{}, purposeStop); err != nil {
			return err
		}
		if err := d.operated(ctx, audit.RequestDenied, r.AccountID, nil); err != nil {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: r.Email, Language: r.Language, Template: "denied"})
	})
}

// decide moves an open request on, once, with the account locked.
func (d *Directory) decide(ctx context.Context, id, state string, act func(ctx context.Context, r Request, now time.Time) error) (r Request, err error) {
	if r, err = d.store.RequestByID(ctx, id); err != nil {
		return r, err
	}
	accountID := r.AccountID // r is empty after a read that failed, and the transaction may run again
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.store.LockAccount(ctx, accountID)
		if err != nil {
			return err
		}
		if rec.State != Active {
			return ErrDecided
		}
		if r, err = d.store.RequestByID(ctx, id); err != nil {
			return err
		}
		now := d.now()
		if state == RequestApproved && r.State == RequestJoined {
			if r, err = d.prefer(ctx, r, now); err != nil {
				return err
			}
		}
		if err := d.store.MoveRequest(ctx, id, RequestOpen, state, now); err != nil {
			return err
		}
		return act(ctx, r, now)
	})
	if errors.Is(err, ErrGone) {
		return r, ErrDecided
	}
	r.State = state
	return r, err
}

// prefer puts a request in the place of the open one that it has joined, of which the account's addresses were told. It must be
// as old as any itself, or a thief would join late, and wait for no week.
func (d *Directory) prefer(ctx context.Context, r Request, now time.Time) (Request, error) {
	first, err := d.store.RequestOf(ctx, r.AccountID)
	if errors.Is(err, ErrNotFound) {
		return r, ErrDecided
	}
	if err == nil {
		err = d.store.MoveRequest(ctx, first.ID, RequestOpen, RequestJoined, now)
	}
	if err == nil {
		err = d.store.MoveRequest(ctx, r.ID, RequestJoined, RequestOpen, now)
	}
	r.Notices = first.Notices
	return r, err
}

// ReadRegain shows the link of an approved request; it changes nothing. ErrLink; ErrDomain: the address may not be used any
// more.
func (d *Directory) ReadRegain(ctx context.Context, token string) (*LinkView, error) {
	rec, l, err := d.byRegain(ctx, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

func (d *Directory) byRegain(ctx context.Context, token string) (Record, Link, error) {
	rec, l, err := d.byAccountLink(ctx, purposeRegain, token)
	if err == nil && !d.door.lets(l.Canonical) { // it was when the mail went
		err = ErrDomain
	}
	return rec, l, err
}

// Regain gives the account to whom the operator has approved: a new password, and the address at which they can be reached in
// the primary one's place. That one is told, and can undo it for seven days. What else was set for a recovery is gone, for it
// was of no help. Errors: ErrLink, ErrDomain, *FieldError ("new-password"), ErrBusy.
func (d *Directory) Regain(ctx context.Context, token, newPassword string) (credential string, err error) {
	rec, l, err := d.byRegain(ctx, token)
	if err != nil {
		return "", err
	}
	password, err := d.passwords.CheckPassword(ctx, "new-password", newPassword, l.Canonical, rec.Name)
	if err != nil {
		return "", err
	}
	hash, err := d.hasher.hash(ctx, password, d.hasher.heir(rec.Password))
	if err != nil {
		return "", err
	}
	_, err = d.spend(ctx, purposeRegain, token, func(ctx context.Context, rec Record, l Link, now time.Time) error {
		r, err := d.store.RequestOf(ctx, rec.ID)
		if err != nil {
			return err
		}
		if err := d.store.MoveRequest(ctx, r.ID, RequestApproved, RequestDone, now); err != nil {
			return err
		}
		if err := d.forgive(ctx, rec.ID, l.Canonical); err != nil {
			return err
		}
		if rec, err = d.moveTo(ctx, rec, l, now); err != nil {
			return err
		}
		credential, err = d.newPassword(ctx, rec, hash, "", "request", now)
		return err
	})
	if errors.Is(err, ErrTaken) {
		return "", ErrLink
	}
	return credential, err
}

// moveTo puts the address of a link in the primary one's place, which goes, and is told.
func (d *Directory) moveTo(ctx context.Context, rec Record, l Link, now time.Time) (Record, error) {
	if err := d.store.LockAddress(ctx, l.Canonical); err != nil {
		return rec, err
	}
	all, err := d.store.Addresses(ctx, rec.ID)
	if err != nil {
		return rec, err
	}
	if !slices.ContainsFunc(all, func(a Address) bool { return a.Canonical == l.Canonical }) {
		if err := d.store.AddAddress(ctx, rec.ID, Address{Email: l.Email, Canonical: l.Canonical, ProvenAt: now}); err != nil {
			return rec, err
		}
	}
	if rec.Canonical != l.Canonical {
		if err := d.makePrimary(ctx, rec, l.Canonical, now); err != nil {
			return rec, err
		}
		if err := d.store.RemoveAddress(ctx, rec.ID, rec.Canonical); err != nil {
			return rec, err
		}
	}
	if err := d.store.SetRecovery(ctx, rec.ID, Recovery{}); err != nil {
		return rec, err
	}
	if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeStop); err != nil {
		return rec, err
	}
	return d.store.ByID(ctx, rec.ID)
}
