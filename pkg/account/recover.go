package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

const (
	// RecoveryLifetime is how long the link to a new password holds: as long as it takes until a mail can be had again,
	// where somebody else has used up the budget of the address.
	RecoveryLifetime = 4 * time.Hour
	// AlarmLifetime is how long "this wasn't me" in a mail of ours holds.
	AlarmLifetime = 7 * 24 * time.Hour

	purposeRecover = "recover"
	purposeAlarm   = "alarm"
	purposeAddress = "address"
	purposeBackup  = "backup"
	purposeReopen  = "reopen"
	purposeAllow   = "allow"
)

// pendingPurposes are of links that wait for their chance: none outlives a new password (A13, A17).
var pendingPurposes = []string{purposeRecover, purposeAddress, purposeBackup, purposeAllow}

// RecoveryRequest is somebody who says that an account with this address is theirs, or asks whether there is one.
type RecoveryRequest struct {
	Email    string
	Language string // of the page: for a mail to an address that no account has
	IP       netip.Addr
	Human    Human
}

// AskRecovery mails a link by which a new password can be set to the address, if an account has proven it, as it is stored
// (A8). To any other address goes a mail that says so. Both make the same work, and the answer is one: nobody learns who has
// an account. A full budget of the account, or of the address, is no error: the mail does not go (A22).
// Errors: *FieldError ("recover-email"), ErrLimited (of the network), ErrHuman, ErrHumanDown.
func (d *Directory) AskRecovery(ctx context.Context, r RecoveryRequest) error {
	send, canonical, err := parseField("recover-email", r.Email)
	if err != nil {
		return err
	}
	if err := d.letMail(ctx, r.IP, r.Human); err != nil {
		return err
	}
	owner, err := d.owner(ctx, canonical)
	if err != nil {
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		// Read once more, for good: the address may be another's by now, and a link to the old one must not be made.
		rec, err := d.store.LockAccount(ctx, owner.ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		box := canonical
		if err == nil {
			box = rec.Canonical // one budget, whichever of its addresses was typed
		}
		if err := d.takeMail(ctx, limit.RecoverAddressHour, limit.RecoverAddressDay, box); err != nil {
			return err
		}
		all, err := d.store.Addresses(ctx, owner.ID)
		if err != nil {
			return err
		}
		backup, err := d.store.Recovery(ctx, owner.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(a Address) bool { return a.Canonical == canonical })
		if rec.State == Active && i >= 0 {
			return d.mailRecovery(ctx, rec, "recover", audit.ActorAnonymous, all[i], backup.address())
		}
		msg := mail.Message{To: send, Language: languageOf(r.Language), Template: "norecover", Register: d.door.open(canonical)}
		if owner.ID != "" { // disabled, closed: to the stored address, which must not learn it from a page
			msg = mail.Message{To: owner.Email, Language: owner.Language, Template: "norecover"}
		}
		return d.mailLinksOf(ctx, "", audit.ActorAnonymous, [2]Address{}, [2]mail.Message{msg})
	})
	if err != nil && !errors.Is(err, ErrLimited) {
		return fmt.Errorf("ask for a recovery: %w", err)
	}
	return nil
}

// mailRecovery makes the links anew, and mails one to an address of the account and one to its recovery address, in the
// transaction of ctx, which has locked the account. The template is "recover" or "locked"; the zero Address is nobody's.
func (d *Directory) mailRecovery(ctx context.Context, rec Record, template, actor string, to, backup Address) error {
	if backup.Canonical == to.Canonical { // of an older version, which let one address be both: one link an address
		backup = Address{}
	}
	var msgs [2]mail.Message
	for i, a := range []Address{to, backup} {
		if a.Email != "" {
			msgs[i] = mail.Message{To: a.Email, Name: rec.Name, Language: rec.Language, Template: template}
		}
	}
	return d.mailLinksOf(ctx, rec.ID, actor, [2]Address{to, backup}, msgs)
}

// mailLinksOf makes links of the account (of nobody's, where there is no id), each good while it has that address, and queues
// the mails with them. There are two of all, for every address that somebody may ask about.
func (d *Directory) mailLinksOf(ctx context.Context, accountID, actor string, to [2]Address, msgs [2]mail.Message) error {
	now := d.now()
	var links []Link
	for i := range to {
		token := newToken()
		links = append(links, Link{Purpose: purposeRecover, Hash: hashToken(token), Email: to[i].Email, Canonical: to[i].Canonical})
		msgs[i].Data = map[string]string{"recover": token}
	}
	if err := d.store.ReplaceLinks(ctx, accountID, links, now, now.Add(RecoveryLifetime)); err != nil {
		return err
	}
	err := d.audit.Record(ctx, audit.Event{Event: audit.AccountRecoveryAsked, ActorKind: actor, Subject: accountID, At: now})
	if err != nil {
		return err
	}
	for _, msg := range msgs {
		if msg.To == "" {
			err = d.mail.Nobody(ctx)
		} else {
			err = d.mail.Send(ctx, msg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeMail takes a mail out of an address's budget: ErrLimited.
func (d *Directory) takeMail(ctx context.Context, hour, day limit.Rule, canonical string) error {
	box := mailBox(canonical)
	if err := d.limits.Take(ctx, hour, box); err != nil {
		return err
	}
	if err := d.limits.Take(ctx, day, box); err != nil {
		return errors.Join(err, d.limits.Refund(ctx, hour, box))
	}
	return nil
}

// mailBox is what mails to an address are counted by: what stands behind a plus, and dots, make no other box.
func mailBox(canonical string) string {
	local, domain, _ := strings.Cut(canonical, "@")
	local, _, _ = strings.Cut(local, "+")
	return strings.ReplaceAll(local, ".", "") + "@" + domain
}

// ReadRecovery shows the link of a recovery; it changes nothing (A1). ErrLink.
func (d *Directory) ReadRecovery(ctx context.Context, token string) (*LinkView, error) {
	rec, _, err := d.byAccountLink(ctx, purposeRecover, token)
	if err != nil {
		return nil, err
	}
	r, err := d.store.Recovery(ctx, rec.ID)
	if err != nil {
		return nil, fmt.Errorf("read a recovery question: %w", err)
	}
	return &LinkView{Email: rec.Email, Language: rec.Language, Question: r.Question}, nil
}

func (d *Directory) byAccountLink(ctx context.Context, purpose, token string) (Record, Link, error) {
	if !plausibleToken(token) {
		return Record{}, Link{}, ErrLink
	}
	rec, l, err := d.store.ByAccountLink(ctx, purpose, hashToken(token), d.now())
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !fitting(purpose, rec, l):
		return Record{}, Link{}, ErrLink
	case err != nil:
		return Record{}, Link{}, fmt.Errorf("read a link: %w", err)
	}
	return rec, l, nil
}

// fitting tells whether a link still is of use to the account as it is now.
func fitting(purpose string, rec Record, l Link) bool {
	switch purpose {
	case purposeReopen:
		return rec.State == Closing
	case purposeAlarm:
		return rec.State == Active || rec.State == Closing
	case purposeRecover:
		return rec.State == Active && l.Tries < maxAnswers
	}
	return rec.State == Active
}

// spend does what a link is for, in one transaction: with the account locked, and read once more, and the link spent.
// ErrLink when the link, or the account, is not what it was.
func (d *Directory) spend(ctx context.Context, purpose, token string, act func(ctx context.Context, rec Record, l Link, now time.Time) error) (Record, error) {
	rec, l, err := d.byAccountLink(ctx, purpose, token)
	if err != nil {
		return Record{}, err
	}
	id := rec.ID // rec is empty after a read that failed, and the transaction may run again
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		now := d.now()
		if rec, err = d.store.LockAccount(ctx, id); err != nil {
			return err
		}
		if !fitting(purpose, rec, l) {
			return ErrGone
		}
		if err := d.store.SpendLink(ctx, purpose, l.Hash, rec.ID, now); err != nil {
			return err
		}
		return act(ctx, rec, l, now)
	})
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrNotFound):
		return Record{}, ErrLink
	case err != nil:
		return Record{}, fmt.Errorf("follow a link (%s): %w", purpose, err)
	}
	return rec, nil
}

// Recover sets a new password by the link of a recovery, and ends all that the old one gave: sessions, grants of sites,
// other links (A17), and what others have tried. The owner has a mail. Nobody is signed in by it. credential is what
// KnowDevice takes. Where the account has a recovery question the answer is needed too; a wrong one leaves the link as it is,
// and five of them end it.
// Errors: ErrLink, *FieldError ("new-password", "recovery-answer"), ErrLimited, ErrBusy.
func (d *Directory) Recover(ctx context.Context, token, newPassword, answer string) (credential string, err error) {
	rec, l, err := d.byAccountLink(ctx, purposeRecover, token)
	if err != nil {
		return "", err
	}
	password, err := d.passwords.CheckPassword(ctx, "new-password", newPassword, rec.Canonical, rec.Name)
	if err != nil {
		return "", err
	}
	if err := d.checkAnswer(ctx, rec.ID, l, answer); err != nil {
		return "", err
	}
	hash, err := d.hasher.hash(ctx, password, d.hasher.heir(rec.Password))
	if err != nil {
		return "", err
	}
	_, err = d.spend(ctx, purposeRecover, token, func(ctx context.Context, rec Record, l Link, now time.Time) error {
		if err := d.still(ctx, rec.ID, l.Canonical); err != nil {
			return err
		}
		// Whoever has guessed at the old password must not keep the owner from using the new one.
		if err := d.forgive(ctx, rec.ID, l.Canonical); err != nil {
			return err
		}
		credential, err = d.newPassword(ctx, rec, hash, "", "recovery", now)
		return err
	})
	return credential, err
}

// forgive makes whole what strangers have used up of an account's tries, and of those of the address that its owner came by: not
// of the others, for whoever watches them would learn whose they are.
func (d *Directory) forgive(ctx context.Context, accountID, canonical string) error {
	if err := d.limits.Clear(ctx, limit.LoginAccount, accountID); err != nil {
		return err
	}
	return d.limits.Clear(ctx, limit.LoginAddress, canonical)
}

// still is ErrGone when the account has left the address that a mail went to: nobody recovers it from there.
func (d *Directory) still(ctx context.Context, accountID, canonical string) error {
	all, err := d.store.Addresses(ctx, accountID)
	if err != nil {
		return err
	}
	r, err := d.store.Recovery(ctx, accountID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(append(all, r.address()), func(a Address) bool { return a.Canonical == canonical }) {
		return ErrGone
	}
	return nil
}

// newPassword puts a password in the old one's place, in the transaction of ctx: whoever had the old one keeps nothing
// (A17) but the session that stays. The owner is told by mail, by which it can be undone.
func (d *Directory) newPassword(ctx context.Context, rec Record, hash, staying, how string, now time.Time) (credential string, err error) {
	if credential, err = d.store.SetPassword(ctx, rec.ID, hash, now); err != nil {
		return "", err
	}
	// A13: a change of address that waits was perhaps not the owner's.
	if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, pendingPurposes...); err != nil {
		return "", err
	}
	if err := d.stopRequests(ctx, rec.ID, now); err != nil {
		return "", err
	}
	if err := d.grants.RevokeAll(ctx, rec.ID); err != nil { // first, as in endAll
		return "", err
	}
	if err := d.sessions.EndAll(ctx, rec.ID, staying); err != nil {
		return "", err
	}
	err = d.audit.Record(ctx, audit.Event{Event: audit.AccountPasswordChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID,
		Subject: rec.ID, Session: staying, Detail: map[string]any{"how": how}, At: now})
	if err != nil {
		return "", err
	}
	return credential, d.mailNotice(ctx, rec, "changed", nil)
}

// primary is the primary address of a record that was read by its account.
func (r Record) primary() Address {
	return Address{ID: r.AddressID, Email: r.Email, Canonical: r.Canonical, Primary: true, ProvenAt: r.ProvenAt}
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
// checked as at sign-in, but counted for this session: whoever finds a browser open must not guess without end, and whoever
// guesses elsewhere must not keep the owner from changing it.
// Errors: ErrPassword, *FieldError ("new-password"), ErrLimited, ErrBusy, ErrNotFound.
func (d *Directory) ChangePassword(ctx context.Context, c PasswordChange) (credential string, err error) {
	rec, err := d.active(ctx, c.AccountID)
	if err != nil {
		return "", err
	}
	password, err := d.passwords.CheckPassword(ctx, "new-password", c.New, rec.Canonical, rec.Name)
	if err != nil {
		return "", err
	}
	session := "login " + c.AccountID + " " + c.LoginID
	if err := d.checkOwn(ctx, rec, guess{ip: c.IP, address: session, account: session}, c.Current, "password"); err != nil {
		return "", err
	}
	hash, err := d.hasher.hash(ctx, password, d.hasher.heir(rec.Password))
	if err != nil {
		return "", err
	}
	err = d.change(ctx, limit.PasswordChange, rec, func(ctx context.Context, rec Record, now time.Time) error {
		credential, err = d.newPassword(ctx, rec, hash, c.LoginID, "own", now)
		return err
	})
	if errors.Is(err, ErrGone) {
		return "", ErrPassword // of two who change it, the second is told
	}
	return credential, err
}

// change does something of which the owner has a mail, in one transaction: with the account locked, and read once more.
// ErrGone when it is not active any more, or its password or address is not what was judged; ErrLimited when so much was
// changed of late, by the rule.
func (d *Directory) change(ctx context.Context, rule limit.Rule, was Record, act func(ctx context.Context, rec Record, now time.Time) error) error {
	if err := d.limits.Take(ctx, rule, was.ID); err != nil {
		return err
	}
	err := d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.store.LockAccount(ctx, was.ID)
		if err != nil {
			return err
		}
		if rec.State != Active || rec.PasswordID != was.PasswordID || rec.Canonical != was.Canonical {
			return ErrGone
		}
		return act(ctx, rec, d.now())
	})
	if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrLimited) {
		return fmt.Errorf("change an account: %w", err)
	}
	return err
}
