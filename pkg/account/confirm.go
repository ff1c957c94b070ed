package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/mail"
)

// LinkView is what the page behind a link shows.
type LinkView struct {
	Email    string
	Name     string // only where this browser made the registration: else a stranger may have chosen it
	Language string
	Here     bool   // this browser made the registration: confirming needs no password
	Question string // of a recovery: the answer is asked for too; empty: none
}

// ConfirmInput is the posted confirmation.
type ConfirmInput struct {
	Token       string
	FlowHash    []byte
	Password    string // in another browser: the password given at registration …
	NewPassword string // … or a new one, which drops everything that was set before
	Language    string // of the page; used with NewPassword
	IP          netip.Addr
}

// Confirmed is a proven address.
type Confirmed struct {
	AccountID   string
	Here        bool   // in the browser that registered: the caller signs it in (amr pwd). Else it must not.
	Credential  string // Here: what KnowDevice takes
	Interaction []byte // hash of the interaction it was registered in; nil: none
	Language    string
}

// ReadConfirm shows a confirm link; it changes nothing (A1: mail scanners open links). ErrLink, ErrDomain.
func (d *Directory) ReadConfirm(ctx context.Context, token string, flowHash []byte) (*LinkView, error) {
	rec, err := d.byLink(ctx, purposeConfirm, token)
	if err != nil {
		return nil, err
	}
	if err := d.door.still(rec); err != nil {
		return nil, err
	}
	return rec.linkView(flowHash), nil
}

// ReadCancel shows a cancel link; it changes nothing. ErrLink.
func (d *Directory) ReadCancel(ctx context.Context, token string) (*LinkView, error) {
	rec, err := d.byLink(ctx, purposeCancel, token)
	if err != nil {
		return nil, err
	}
	return rec.linkView(nil), nil
}

func (r Record) linkView(flowHash []byte) *LinkView {
	v := &LinkView{Email: r.Email, Language: r.Language, Here: r.madeIn(flowHash)}
	if v.Here {
		v.Name = r.Name
	}
	return v
}

// madeIn tells whether the browser with this flow cookie made the registration.
func (r Record) madeIn(flowHash []byte) bool {
	return len(flowHash) > 0 && bytes.Equal(flowHash, r.BrowserHash)
}

// byLink finds the pending account of a link. A wrong, used, late or foreign link, and one of another
// purpose, is one error (A2, A3).
func (d *Directory) byLink(ctx context.Context, purpose, token string) (Record, error) {
	if !plausibleToken(token) {
		return Record{}, ErrLink
	}
	rec, err := d.store.ByLink(ctx, purpose, hashToken(token), d.now())
	switch {
	case errors.Is(err, ErrNotFound):
		return Record{}, ErrLink
	case err != nil:
		return Record{}, fmt.Errorf("read a link: %w", err)
	}
	return rec, nil
}

// Confirm proves the address and makes the account active. In the browser that registered the link is
// enough; in any other the password of the registration is needed, or a new one, with which all that was
// set before is dropped: a stranger may have registered the owner's address and waits for this very click
// (pre-hijacking, A10–A13). The first proof of an address ends every other registration of it.
// Errors: ErrLink, ErrDomain, ErrInvitation, ErrNeedPassword, ErrPassword, *FieldError ("new-password"), ErrLimited, ErrBusy.
func (d *Directory) Confirm(ctx context.Context, in ConfirmInput) (*Confirmed, error) {
	rec, err := d.byLink(ctx, purposeConfirm, in.Token)
	if err != nil {
		return nil, err
	}
	if err := d.door.still(rec); err != nil {
		return nil, err
	}
	p := Proof{
		Hash: hashToken(in.Token), AccountID: rec.ID, AddressID: rec.AddressID, Email: rec.Email, Canonical: rec.Canonical,
		Language: rec.Language, At: d.now(),
	}
	out := &Confirmed{AccountID: rec.ID, Here: rec.madeIn(in.FlowHash), Interaction: rec.Interaction, Language: rec.Language}
	switch {
	case out.Here:
		out.Credential = rec.PasswordID
	case in.NewPassword != "":
		if err := d.freshProof(ctx, &p, in); err != nil {
			return nil, err
		}
		// Where a stranger was on the way to is no place to send the owner.
		out.Interaction, out.Language = nil, p.Language
	case in.Password != "":
		if err := d.checkOwn(ctx, rec, guess{ip: in.IP, address: rec.Canonical, account: rec.Canonical}, in.Password, "confirm"); err != nil {
			return nil, err
		}
	default:
		return nil, ErrNeedPassword
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.admit(ctx, rec.Invitation); err != nil {
			return err
		}
		if err := d.prove(ctx, p); err != nil || !out.Here {
			return err
		}
		// This browser is signed in: who comes with the password from another one is no first visitor.
		return d.store.SignedIn(ctx, rec.ID, rec.Password, "", p.At)
	})
	switch {
	case errors.Is(err, ErrGone):
		return nil, ErrLink
	case err != nil:
		return nil, fmt.Errorf("confirm: %w", err)
	}
	return out, nil
}

// freshProof makes the proof one that starts anew with the password just typed.
func (d *Directory) freshProof(ctx context.Context, p *Proof, in ConfirmInput) error {
	password, err := d.passwords.CheckPassword(ctx, "new-password", in.NewPassword, p.Canonical, "")
	if err != nil {
		return err
	}
	if p.Password, err = d.hasher.hash(ctx, password, ""); err != nil {
		return err
	}
	p.Fresh = true
	if in.Language != "" {
		p.Language = languageOf(in.Language)
	}
	return nil
}

// checkOwn checks a password that is known to be of this account, as at sign-in: the same limits, one argon2 run. where
// is for the log. ErrPassword.
func (d *Directory) checkOwn(ctx context.Context, rec Record, g guess, raw, where string) error {
	if err := d.reserve(ctx, g); err != nil {
		return err
	}
	password, ok := normalPassword(raw)
	fits, err := d.hasher.verify(ctx, password, rec.Password)
	if err != nil {
		return errors.Join(err, d.refund(ctx, g))
	}
	if !ok || fits < 0 {
		return errors.Join(ErrPassword, d.recordFailure(ctx, rec.ID, where, ""))
	}
	return d.refund(ctx, g)
}

// prove runs in a transaction.
func (d *Directory) prove(ctx context.Context, p Proof) error {
	if err := d.store.LockAddress(ctx, p.Canonical); err != nil {
		return err
	}
	if err := d.store.Prove(ctx, p); err != nil {
		return err
	}
	if p.Fresh {
		// A pending account can have neither. Should that ever change, they end here.
		if err := d.endAll(ctx, p.AccountID); err != nil {
			return err
		}
	}
	if err := d.proveRecovery(ctx, p); err != nil {
		return err
	}
	// Not out of the address's budget: it comes once, and what a stranger may cause must not differ for who has just
	// confirmed.
	if err := d.mail.Send(ctx, mail.Message{To: p.Email, Language: p.Language, Template: "welcome"}); err != nil {
		return err
	}
	return d.audit.Record(ctx, audit.Event{
		Event: audit.AccountConfirmed, ActorKind: audit.ActorAccount, ActorID: p.AccountID, Subject: p.AccountID,
		Detail: map[string]any{"new_password": p.Fresh}, At: p.At,
	})
}

func (d *Directory) endAll(ctx context.Context, accountID string) error {
	// The grants first: that locks all logins, in their order.
	if err := d.grants.RevokeAll(ctx, accountID); err != nil {
		return err
	}
	return d.sessions.EndAll(ctx, accountID, "")
}

// Cancel deletes the registration and all of it; the address is free at once. After a confirmation the old
// cancel link is no link any more. ErrLink.
func (d *Directory) Cancel(ctx context.Context, token string) error {
	rec, err := d.byLink(ctx, purposeCancel, token)
	if err != nil {
		return err
	}
	now := d.now()
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.LockAddress(ctx, rec.Canonical); err != nil {
			return err
		}
		if err := d.store.Cancel(ctx, rec.ID, hashToken(token), now); err != nil {
			return err
		}
		return d.audit.Record(ctx, audit.Event{
			Event: audit.AccountCancelled, ActorKind: audit.ActorAnonymous, Subject: rec.ID, At: now,
		})
	})
	switch {
	case errors.Is(err, ErrGone):
		return ErrLink
	case err != nil:
		return fmt.Errorf("cancel: %w", err)
	}
	return nil
}
