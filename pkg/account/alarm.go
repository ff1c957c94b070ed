package account

import (
	"context"
	"slices"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/mail"
)

// ReadAlarm shows the link "this wasn't me"; it changes nothing. ErrLink.
func (d *Directory) ReadAlarm(ctx context.Context, token string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeAlarm, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// mailNotice tells the owner, at the primary address, what has happened.
func (d *Directory) mailNotice(ctx context.Context, rec Record, template string, data map[string]string) error {
	return d.mailNoticeTo(ctx, rec, rec.primary(), template, data)
}

// mailNoticeTo tells the owner what has happened, with a link by which it can be undone. The address's budget does not hold
// it up: it is the owner's alarm.
func (d *Directory) mailNoticeTo(ctx context.Context, rec Record, to Address, template string, data map[string]string) error {
	token, now := newToken(), d.now()
	l := Link{Purpose: purposeAlarm, Hash: hashToken(token), Email: to.Email, Canonical: to.Canonical, ProvenAt: to.ProvenAt, Primary: to.Primary}
	if err := d.store.AddLink(ctx, rec.ID, l, now, now.Add(AlarmLifetime)); err != nil {
		return err
	}
	msg := mail.Message{To: to.Email, Name: rec.Name, Language: rec.Language, Template: template, Data: map[string]string{"alarm": token}}
	for k, v := range data {
		msg.Data[k] = v
	}
	return d.mail.Send(ctx, msg)
}

// Alarm is the owner saying "this wasn't me": the account is open, the address that the mail went to is its address again,
// nobody can sign in with a password any more, all sessions and grants end, and a mail leads to a new password. All links
// that were made since end too, later alarms among them: of an owner and a thief, the older mail is the owner's. So do the
// addresses that came after that one, and of late. ErrLink.
func (d *Directory) Alarm(ctx context.Context, token string) error {
	_, err := d.spend(ctx, purposeAlarm, token, func(ctx context.Context, rec Record, l Link, now time.Time) error {
		if rec.State == Closing {
			if err := d.store.ReopenAccount(ctx, rec.ID, now); err != nil {
				return err
			}
		}
		err := d.store.DropLinks(ctx, rec.ID, time.Time{}, append([]string{purposeReopen}, pendingPurposes...)...)
		if err == nil {
			err = d.store.DropLinks(ctx, rec.ID, l.CreatedAt, purposeAlarm)
		}
		if err == nil { // whoever reads the mail has not lost the account
			err = d.stopRequests(ctx, rec.ID, now)
		}
		if err == nil { // what a thief has asked for is not the thief's
			err = d.store.DropExport(ctx, rec.ID)
		}
		if err == nil {
			err = d.store.DropPassword(ctx, rec.ID)
		}
		if err == nil {
			err = d.endAll(ctx, rec.ID)
		}
		if err == nil {
			err = d.changed(ctx, audit.AccountLocked, rec, now)
		}
		if err != nil {
			return err
		}
		if ok, err := d.restore(ctx, rec, l, now); err != nil || !ok {
			return err
		}
		// No budget: the alarm was spent by it.
		return d.mailRecovery(ctx, rec, "locked", audit.ActorAccount, Address{Email: l.Email, Canonical: l.Canonical}, Address{})
	})
	return err
}

// restore brings the account's addresses back to what they were when an alarm went to one of them, and takes those away
// that a thief may have brought since. Not ok: that address has an account of its own by now, and this one is nobody's to
// use: the operator must look at it.
func (d *Directory) restore(ctx context.Context, rec Record, l Link, now time.Time) (ok bool, err error) {
	all, err := d.store.Addresses(ctx, rec.ID)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(all, func(a Address) bool { return a.Canonical == l.Canonical }) {
		if ok, err := d.bringBack(ctx, rec, l, now); err != nil || !ok {
			return false, err
		}
	}
	// An address that was brought this week may be the thief's, who has waited before he did what the alarm was about.
	since := l.CreatedAt.Add(-AlarmLifetime)
	if err := d.restoreRecovery(ctx, rec.ID, since); err != nil {
		return false, err
	}
	primary := l.Primary
	var gone []Address
	for _, a := range all {
		later := a.Canonical != l.Canonical && a.ProvenAt.After(l.ProvenAt)
		if later && (a.Primary && l.Primary || !a.ProvenAt.Before(since)) {
			gone, primary = append(gone, a), primary || a.Primary
		}
	}
	if primary && rec.Canonical != l.Canonical {
		if err := d.store.MakePrimary(ctx, rec.ID, l.Canonical, now); err != nil {
			return false, err
		}
	}
	for _, a := range gone {
		if err := d.store.RemoveAddress(ctx, rec.ID, a.Canonical); err != nil {
			return false, err
		}
		// Told, and given no link: between two that want the account the older mail decides.
		if err := d.mail.Send(ctx, mail.Message{To: a.Email, Language: rec.Language, Template: "displaced", Register: d.door.open(a.Canonical)}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// bringBack gives the account an address again that it had. Not ok: somebody else has it. One that is younger than the
// primary one counts as new: what a thief has brought long ago, and the owner has removed, comes back only until the
// owner's next alarm (A12).
func (d *Directory) bringBack(ctx context.Context, rec Record, l Link, now time.Time) (ok bool, err error) {
	if err := d.store.LockAddress(ctx, l.Canonical); err != nil {
		return false, err
	}
	owner, err := d.owner(ctx, l.Canonical)
	if err != nil {
		return false, err
	}
	if owner.ID != "" {
		return false, d.store.SetState(ctx, rec.ID, Disabled, now)
	}
	since := l.ProvenAt
	if since.IsZero() || !l.Primary && since.After(rec.ProvenAt) { // zero: a link of the version before
		since = now
	}
	return true, d.store.AddAddress(ctx, rec.ID, Address{Email: l.Email, Canonical: l.Canonical, ProvenAt: since})
}
