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

const (
	// RecoveryLifetime is how long the link to a new password holds.
	RecoveryLifetime = time.Hour
	// AlarmLifetime is how long "this wasn't me" in a mail of ours holds.
	AlarmLifetime = 7 * 24 * time.Hour

	purposeRecover = "recover"
	purposeAlarm   = "alarm"
	purposeAddress = "address"
	purposeReopen  = "reopen"
)

// RecoveryRequest is somebody who says that an account with this address is theirs.
type RecoveryRequest struct {
	Email    string
	Language string // of the page: for a mail to an address that no account has
	IP       netip.Addr
}

// AskRecovery mails a link by which a new password can be set to the address that the account has proven, as it is
// stored (A8). To any other address goes a mail that says so. Both make the same work, and the answer is one: nobody
// learns who has an account. A full budget of the address is no error: the mail does not go (A22).
// Errors: *FieldError ("recover-email"), ErrLimited (of the network).
func (d *Directory) AskRecovery(ctx context.Context, r RecoveryRequest) error {
	send, canonical, err := parseAddress(r.Email)
	if err != nil {
		var field *FieldError
		if errors.As(err, &field) {
			return &FieldError{Field: "recover-email", Key: field.Key}
		}
		return err
	}
	if err := d.limits.TakeNetwork(ctx, r.IP, limit.MailIP, limit.MailNet); err != nil {
		return err
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.LockAddress(ctx, canonical); err != nil {
			return err
		}
		if owner.State == Active {
			return d.mailRecovery(ctx, owner, audit.ActorAnonymous)
		}
		msg := mail.Message{To: send, Language: languageOf(r.Language), Template: "norecover"}
		if owner.ID != "" { // disabled: to the stored address, which must not learn it from a page
			msg = mail.Message{To: owner.Email, Language: owner.Language, Template: "norecover"}
		}
		return d.mailOnce(ctx, Record{Canonical: canonical}, msg, audit.ActorAnonymous)
	})
	if err != nil && !errors.Is(err, ErrLimited) {
		return fmt.Errorf("ask for a recovery: %w", err)
	}
	return nil
}

// mailRecovery makes the link anew, and mails it, in the transaction of ctx.
func (d *Directory) mailRecovery(ctx context.Context, rec Record, actor string) error {
	return d.mailOnce(ctx, rec, mail.Message{To: rec.Email, Name: rec.Name, Language: rec.Language, Template: "recover"}, actor)
}

// mailOnce makes a link of the account (of nobody's, where rec has no id) and queues a mail with it. The address's budget
// is taken first: where it is used up, the older link, which its owner may have in hand, lives on.
func (d *Directory) mailOnce(ctx context.Context, rec Record, msg mail.Message, actor string) error {
	if err := d.takeMail(ctx, rec.Canonical); err != nil {
		return err
	}
	token, now := newToken(), d.now()
	if err := d.store.ReplaceLink(ctx, rec.ID, Link{Purpose: purposeRecover, Hash: hashToken(token)}, now, now.Add(RecoveryLifetime)); err != nil {
		return err
	}
	err := d.audit.Record(ctx, audit.Event{Event: audit.AccountRecoveryAsked, ActorKind: actor, Subject: rec.ID, At: now})
	if err != nil {
		return err
	}
	msg.Data = map[string]string{"recover": token}
	return d.mail.Send(ctx, msg)
}

// takeMail takes a mail out of the address's budget: ErrLimited.
func (d *Directory) takeMail(ctx context.Context, canonical string) error {
	if err := d.limits.Take(ctx, limit.MailAddressHour, canonical); err != nil {
		return err
	}
	if err := d.limits.Take(ctx, limit.MailAddressDay, canonical); err != nil {
		return errors.Join(err, d.limits.Refund(ctx, limit.MailAddressHour, canonical))
	}
	return nil
}

// ReadRecovery shows the link of a recovery; it changes nothing (A1). ErrLink.
func (d *Directory) ReadRecovery(ctx context.Context, token string) (*LinkView, error) {
	rec, _, err := d.byAccountLink(ctx, purposeRecover, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: rec.Email, Language: rec.Language}, nil
}

// ReadAlarm shows the link "this wasn't me"; it changes nothing. ErrLink.
func (d *Directory) ReadAlarm(ctx context.Context, token string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeAlarm, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

func (d *Directory) byAccountLink(ctx context.Context, purpose, token string) (Record, Link, error) {
	if !plausibleToken(token) {
		return Record{}, Link{}, ErrLink
	}
	rec, l, err := d.store.ByAccountLink(ctx, purpose, hashToken(token), d.now())
	switch {
	case errors.Is(err, ErrNotFound), err == nil && (rec.State == Closing) != (purpose == purposeReopen):
		return Record{}, Link{}, ErrLink
	case err != nil:
		return Record{}, Link{}, fmt.Errorf("read a link: %w", err)
	}
	return rec, l, nil
}

// Recover sets a new password by the link of a recovery, and ends all that the old one gave: sessions, grants of sites,
// other links (A17). The owner has a mail. Nobody is signed in by it.
// Errors: ErrLink, *FieldError ("new-password"), ErrBusy.
func (d *Directory) Recover(ctx context.Context, token, newPassword string) (accountID string, err error) {
	rec, _, err := d.byAccountLink(ctx, purposeRecover, token)
	if err != nil {
		return "", err
	}
	password, err := CheckPassword("new-password", newPassword, rec.Canonical, rec.Name)
	if err != nil {
		return "", err
	}
	hash, err := d.hasher.hash(ctx, password, nil)
	if err != nil {
		return "", err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.SpendLink(ctx, purposeRecover, hashToken(token), rec.ID, d.now()); err != nil {
			return err
		}
		return d.newPassword(ctx, rec, hash, "", "recovery")
	})
	switch {
	case errors.Is(err, ErrGone):
		return "", ErrLink
	case err != nil:
		return "", fmt.Errorf("recover: %w", err)
	}
	return rec.ID, nil
}

// newPassword puts a password in the old one's place, in the transaction of ctx: whoever had the old one keeps nothing
// (A17) but the session that stays. The owner is told by mail, by which it can be undone.
func (d *Directory) newPassword(ctx context.Context, rec Record, hash, staying, how string) error {
	now := d.now()
	if err := d.store.SetPassword(ctx, rec.ID, hash, now); err != nil {
		return err
	}
	for _, purpose := range []string{purposeRecover, purposeAddress} { // A13: a change that waits was perhaps not the owner's
		if err := d.store.DropLinks(ctx, rec.ID, purpose); err != nil {
			return err
		}
	}
	if err := d.sessions.EndAll(ctx, rec.ID, staying); err != nil {
		return err
	}
	if err := d.grants.RevokeAll(ctx, rec.ID); err != nil {
		return err
	}
	err := d.audit.Record(ctx, audit.Event{Event: audit.AccountPasswordChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID,
		Subject: rec.ID, Session: staying, Detail: map[string]any{"how": how}, At: now})
	if err != nil {
		return err
	}
	return d.mailNotice(ctx, rec, "changed")
}

// mailNotice tells the owner what has happened. No budget holds it up: it is the owner's alarm.
func (d *Directory) mailNotice(ctx context.Context, rec Record, template string) error {
	token, now := newToken(), d.now()
	if err := d.store.AddLink(ctx, rec.ID, Link{Purpose: purposeAlarm, Hash: hashToken(token), Email: rec.Email, Canonical: rec.Canonical}, now, now.Add(AlarmLifetime)); err != nil {
		return err
	}
	return d.mail.Send(ctx, mail.Message{To: rec.Email, Name: rec.Name, Language: rec.Language, Template: template,
		Data: map[string]string{"alarm": token}})
}

// Alarm is the owner saying "this wasn't me": the address that the mail went to is the account's again, nobody can sign
// in with a password any more, all sessions and grants end, and a mail leads to a new password. ErrLink.
func (d *Directory) Alarm(ctx context.Context, token string) error {
	rec, l, err := d.byAccountLink(ctx, purposeAlarm, token)
	if err != nil {
		return err
	}
	owner, err := d.owner(ctx, l.Canonical)
	if err != nil {
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		now := d.now()
		if err := d.store.LockAddress(ctx, l.Canonical); err != nil {
			return err
		}
		if err := d.store.SpendLink(ctx, purposeAlarm, hashToken(token), rec.ID, now); err != nil {
			return err
		}
		if l.Canonical != rec.Canonical && owner.ID == "" { // else its owner has an account of their own by now
			if err := d.store.SetAddress(ctx, rec.ID, l.Email, l.Canonical, now); err != nil {
				return err
			}
			rec.Email, rec.Canonical = l.Email, l.Canonical
		}
		if err := d.store.DropPassword(ctx, rec.ID); err != nil {
			return err
		}
		for _, purpose := range []string{purposeRecover, purposeAddress} {
			if err := d.store.DropLinks(ctx, rec.ID, purpose); err != nil {
				return err
			}
		}
		if err := d.endAll(ctx, rec.ID); err != nil {
			return err
		}
		err := d.audit.Record(ctx, audit.Event{Event: audit.AccountLocked, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
		if err != nil {
			return err
		}
		err = d.mailRecovery(ctx, rec, audit.ActorAccount)
		if errors.Is(err, ErrLimited) {
			return nil // what is asked for by the page serves as well
		}
		return err
	})
	switch {
	case errors.Is(err, ErrGone):
		return ErrLink
	case err != nil:
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// PasswordChange is a person who knows the password and wants another.
type PasswordChange struct {
	AccountID string
	LoginID   string // of the session that stays
	Current   string
	New       string
	IP        netip.Addr
}

// ChangePassword changes it: all other sessions and all grants of sites end, and the owner has a mail. The current one is
// checked as at sign-in: whoever finds a browser open must not guess without end.
// Errors: ErrPassword, *FieldError ("new-password"), ErrLimited, ErrBusy, ErrNotFound.
func (d *Directory) ChangePassword(ctx context.Context, c PasswordChange) error {
	rec, err := d.active(ctx, c.AccountID)
	if err != nil {
		return err
	}
	password, err := CheckPassword("new-password", c.New, rec.Canonical, rec.Name)
	if err != nil {
		return err
	}
	if err := d.checkOwn(ctx, rec, c.Current, c.IP, "password"); err != nil {
		return err
	}
	hash, err := d.hasher.hash(ctx, password, nil)
	if err != nil {
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		// The password that was checked must still be the account's: of two who change it, the second is told.
		if err := d.store.SignedIn(ctx, rec.ID, rec.Password, "", d.now()); err != nil {
			return err
		}
		return d.newPassword(ctx, rec, hash, c.LoginID, "own")
	})
	switch {
	case errors.Is(err, ErrGone):
		return ErrPassword
	case err != nil:
		return fmt.Errorf("change a password: %w", err)
	}
	return nil
}
