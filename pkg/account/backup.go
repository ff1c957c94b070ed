package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

const (
	// maxAnswers is how many wrong answers to the recovery question a link of a recovery bears.
	maxAnswers = 5
	minAnswer  = 2   // code points of its normal form
	maxAnswer  = 100 // of the same
)

// Backup is what its owner has set for the day that the account is lost.
type Backup struct {
	Email    string // the recovery address; empty: none
	Waiting  string // another one, whose link is under way; empty: none
	Question string // empty: none
}

// Backup shows it to the owner. ErrNotFound.
func (d *Directory) Backup(ctx context.Context, accountID string) (*Backup, error) {
	if _, err := d.active(ctx, accountID); err != nil {
		return nil, err
	}
	r, err := d.store.Recovery(ctx, accountID)
	if err != nil {
		return nil, fmt.Errorf("read what was set for a recovery: %w", err)
	}
	l, err := d.store.Waiting(ctx, accountID, purposeBackup, d.now())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read a link: %w", err)
	}
	return &Backup{Email: r.address().Email, Waiting: l.Email, Question: r.Question}, nil
}

// address is the recovery address, where it is proven; else the zero value.
func (r Recovery) address() Address {
	if r.ProvenAt.IsZero() {
		return Address{}
	}
	return Address{Email: r.Email, Canonical: r.Canonical, ProvenAt: r.ProvenAt}
}

// AskBackup mails a link to an address that is to help the account back. It may be anybody's who agrees, with an account of
// its own or without: nobody signs in with it, and no site gets it. Nothing changes before the link is followed.
// Errors: *FieldError ("recovery-email"), ErrLimited (of the network), ErrNotFound.
func (d *Directory) AskBackup(ctx context.Context, c AddressChange) error {
	rec, err := d.active(ctx, c.AccountID)
	if err != nil {
		return err
	}
	send, canonical, err := parseAddress(c.Email)
	if err != nil {
		return &FieldError{Field: "recovery-email", Key: "error.email.invalid"}
	}
	if own, err := d.owns(ctx, rec.ID, canonical); err != nil {
		return err
	} else if own {
		return &FieldError{Field: "recovery-email", Key: "recovery.own"}
	}
	if err := d.limits.TakeNetwork(ctx, c.IP, limit.MailIP, limit.MailNet); err != nil {
		return err
	}
	id := rec.ID // rec is empty after a read that failed, and the transaction may run again
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if rec, err = d.store.LockAccount(ctx, id); err != nil {
			return err
		}
		if rec.State != Active {
			return ErrNotFound
		}
		return d.mailBackup(ctx, rec, send, canonical)
	})
	if err != nil && !errors.Is(err, ErrLimited) { // A22: the answer stays as it is
		return fmt.Errorf("ask for a recovery address: %w", err)
	}
	return nil
}

// owns tells whether the account has proven an address.
func (d *Directory) owns(ctx context.Context, accountID, canonical string) (bool, error) {
	all, err := d.store.Addresses(ctx, accountID)
	if err != nil {
		return false, fmt.Errorf("read addresses: %w", err)
	}
	return slices.ContainsFunc(all, func(a Address) bool { return a.Canonical == canonical }), nil
}

// mailBackup makes the link of a recovery address and queues its mail, in the transaction of ctx. ErrLimited.
func (d *Directory) mailBackup(ctx context.Context, rec Record, send, canonical string) error {
	if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, canonical); err != nil {
		return err
	}
	token, now := newToken(), d.now()
	l := Link{Purpose: purposeBackup, Hash: hashToken(token), Email: send, Canonical: canonical}
	if err := d.store.ReplaceLinks(ctx, rec.ID, []Link{l}, now, now.Add(AddressLifetime)); err != nil {
		return err
	}
	return d.mail.Send(ctx, mail.Message{To: send, Language: rec.Language, Template: "newbackup", Data: map[string]string{"backup": token}})
}

// ReadBackup shows the link that proves a recovery address; it changes nothing. ErrLink, also for who is signed in with
// another account.
func (d *Directory) ReadBackup(ctx context.Context, token, accountID string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeBackup, token)
	if err != nil {
		return nil, err
	}
	if rec.ID != accountID {
		return nil, ErrLink
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// ProveBackup puts the recovery address in place of the one before; the owner has a mail. Errors: ErrLink, ErrLimited.
func (d *Directory) ProveBackup(ctx context.Context, token, accountID string) error {
	if _, err := d.ReadBackup(ctx, token, accountID); err != nil {
		return err
	}
	if err := d.limits.Take(ctx, limit.AccountChange, accountID); err != nil {
		return err
	}
	_, err := d.spend(ctx, purposeBackup, token, func(ctx context.Context, rec Record, l Link, now time.Time) error {
		if rec.ID != accountID {
			return ErrGone
		}
		if own, err := d.owns(ctx, rec.ID, l.Canonical); err != nil {
			return err
		} else if own { // since it was mailed
			return ErrGone
		}
		return d.setRecovery(ctx, rec, "address", now, func(r *Recovery) { r.Email, r.Canonical, r.ProvenAt = l.Email, l.Canonical, now })
	})
	return err
}

// DropBackup takes the recovery address away; the owner has a mail. Errors: ErrLimited, ErrNotFound.
func (d *Directory) DropBackup(ctx context.Context, accountID string) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	return d.changeRecovery(ctx, rec, "address", func(r *Recovery, _ time.Time) { r.Email, r.Canonical, r.ProvenAt = "", "", time.Time{} })
}

// SetQuestion has a recovery ask for this answer too; the owner has a mail. Of the answer a hash is kept.
// Errors: *FieldError ("recovery-question", "recovery-answer"), ErrLimited, ErrBusy, ErrNotFound.
func (d *Directory) SetQuestion(ctx context.Context, accountID, question, answer string) error {
	rec, err := d.active(ctx, accountID) // before the hash, which may wait: what a recovery has ended meanwhile stays ended (A17)
	if err != nil {
		return err
	}
	question, answer, err = checkQuestion("recovery-question", question, "recovery-answer", answer)
	if err != nil {
		return err
	}
	hash, err := d.hasher.hash(ctx, answer, "")
	if err != nil {
		return err
	}
	return d.changeRecovery(ctx, rec, "question", func(r *Recovery, now time.Time) { r.Question, r.Answer, r.QuestionAt = question, hash, now })
}

// DropQuestion takes the recovery question away; the owner has a mail. Errors: ErrLimited, ErrNotFound.
func (d *Directory) DropQuestion(ctx context.Context, accountID string) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	return d.changeRecovery(ctx, rec, "question", func(r *Recovery, _ time.Time) { r.Question, r.Answer, r.QuestionAt = "", "", time.Time{} })
}

func (d *Directory) changeRecovery(ctx context.Context, rec Record, what string, set func(r *Recovery, now time.Time)) error {
	err := d.change(ctx, limit.AccountChange, rec, func(ctx context.Context, rec Record, now time.Time) error {
		return d.setRecovery(ctx, rec, what, now, func(r *Recovery) { set(r, now) })
	})
	if errors.Is(err, ErrGone) {
		return ErrNotFound
	}
	return err
}

// setRecovery changes what helps the account back, in the transaction of ctx, which has locked it. Links of recoveries that
// were asked for before are dead: they may lie at the address before, or were judged by the question before.
func (d *Directory) setRecovery(ctx context.Context, rec Record, what string, now time.Time, set func(r *Recovery)) error {
	r, err := d.store.Recovery(ctx, rec.ID)
	if err != nil {
		return err
	}
	set(&r)
	if err := d.store.SetRecovery(ctx, rec.ID, r); err != nil {
		return err
	}
	if err := d.store.DropLinks(ctx, rec.ID, time.Time{}, purposeRecover); err != nil {
		return err
	}
	err = d.audit.Record(ctx, audit.Event{Event: audit.AccountRecoveryChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID,
		Subject: rec.ID, Detail: map[string]any{"what": what}, At: now})
	if err != nil {
		return err
	}
	return d.mailNotice(ctx, rec, "backup", nil)
}

// restoreRecovery takes away what was set for a recovery since a time: it may be a thief's.
func (d *Directory) restoreRecovery(ctx context.Context, accountID string, since time.Time) error {
	r, err := d.store.Recovery(ctx, accountID)
	if err != nil {
		return err
	}
	kept := r
	if !r.ProvenAt.Before(since) {
		kept.Email, kept.Canonical, kept.ProvenAt = "", "", time.Time{}
	}
	if !r.QuestionAt.Before(since) {
		kept.Question, kept.Answer, kept.QuestionAt = "", "", time.Time{}
	}
	if kept == r {
		return nil
	}
	return d.store.SetRecovery(ctx, accountID, kept)
}

// checkAnswer asks for the recovery question's answer, where there is one. The try is counted before the answer is looked at:
// many at once are no more than one after the other.
func (d *Directory) checkAnswer(ctx context.Context, accountID string, l Link, raw string) error {
	r, err := d.store.Recovery(ctx, accountID)
	if err != nil {
		return fmt.Errorf("read a recovery question: %w", err)
	}
	if r.Question == "" {
		return nil
	}
	answer, ok := normalAnswer(raw)
	if !ok {
		return &FieldError{Field: "recovery-answer", Key: "error.answer.wrong"} // no answer looks like that: no try
	}
	if err := d.limits.Take(ctx, limit.RecoveryAnswer, accountID); err != nil {
		return err
	}
	err = d.store.CountAnswer(ctx, l.Hash, 1, maxAnswers, d.now())
	if errors.Is(err, ErrGone) {
		return ErrLink
	} else if err != nil {
		return fmt.Errorf("count an answer: %w", err)
	}
	fits, err := d.hasher.verify(ctx, answer, r.Answer)
	if err == nil && fits < 0 {
		return d.wrongAnswer(ctx, accountID)
	}
	// Right, or not looked at: it counts not, also when the request was broken off.
	ctx, done := Afterwards(ctx)
	defer done()
	back := d.store.CountAnswer(ctx, l.Hash, -1, maxAnswers, d.now())
	if errors.Is(back, ErrGone) {
		back = ErrLink // spent, or replaced, this moment
	}
	return errors.Join(err, back, d.limits.Refund(ctx, limit.RecoveryAnswer, accountID))
}

func (d *Directory) wrongAnswer(ctx context.Context, accountID string) error {
	err := d.audit.Record(ctx, audit.Event{Event: audit.AccountAnswerWrong, ActorKind: audit.ActorAnonymous, Subject: accountID, At: d.now()})
	if err != nil {
		return fmt.Errorf("record a wrong answer: %w", err)
	}
	return &FieldError{Field: "recovery-answer", Key: "error.answer.wrong"}
}

// questionKeys say of a question what is said of a name.
var questionKeys = map[string]string{
	"error.name.long": "error.question.long", "error.name.characters": "error.question.characters", "error.name.link": "error.question.link",
}

// checkQuestion says whether a question can be asked, and this be its answer. It gives the answer's normal form. *FieldError.
func checkQuestion(questionID, question, answerID, answer string) (asked, normal string, err error) {
	question, err = checkName(questionID, question)
	var field *FieldError
	if errors.As(err, &field) {
		return "", "", &FieldError{Field: field.Field, Key: questionKeys[field.Key]}
	}
	said, _ := normalAnswer(question)
	if said == "" {
		return "", "", &FieldError{Field: questionID, Key: "error.question.empty"}
	}
	normal, ok := normalAnswer(answer)
	switch {
	case !ok:
		return "", "", &FieldError{Field: answerID, Key: "error.answer.length"}
	case strings.Contains(said, normal):
		return "", "", &FieldError{Field: answerID, Key: "error.answer.asked"}
	}
	return question, normal, nil
}

// checkRecovery reads what the registration form asks for the day that the account is lost. Nothing is proven by it: the
// address waits for the account to be confirmed.
func (d *Directory) checkRecovery(own string, r Registration) (out Recovery, err error) {
	if d.fields.RecoveryAddress.On() && (strings.TrimSpace(r.Recovery) != "" || d.fields.RecoveryAddress == Required) {
		if out.Email, out.Canonical, err = parseField("register-recovery-address", r.Recovery); err != nil {
			return Recovery{}, err
		}
		if out.Canonical == own {
			return Recovery{}, &FieldError{Field: "register-recovery-address", Key: "recovery.own"}
		}
	}
	if d.fields.RecoveryQuestion.On() && (strings.TrimSpace(r.Question+r.Answer) != "" || d.fields.RecoveryQuestion == Required) {
		out.Question, out.Answer, err = checkQuestion("register-recovery-question", r.Question, "register-recovery-answer", r.Answer)
	}
	return out, err
}

// proveRecovery mails to the recovery address that a registration brought, once its own address is proven, in the transaction
// of ctx. Nothing is left of it where the owner has set another password (A10): Prove has dropped it.
func (d *Directory) proveRecovery(ctx context.Context, p Proof) error {
	r, err := d.store.Recovery(ctx, p.AccountID)
	if err != nil || r.Email == "" {
		return err
	}
	send, canonical := r.Email, r.Canonical
	r.Email, r.Canonical = "", ""
	if err := d.store.SetRecovery(ctx, p.AccountID, r); err != nil {
		return err
	}
	err = d.mailBackup(ctx, Record{ID: p.AccountID, Language: p.Language}, send, canonical)
	if errors.Is(err, ErrLimited) { // A22: it can be asked for again
		return nil
	}
	return err
}

// normalAnswer is an answer as it is hashed and compared: NFKC, case folded, without punctuation, with single spaces. People
// remember what they answered, not how they wrote it. A normal form is its own. Not ok: no answer can look like that.
func normalAnswer(raw string) (string, bool) {
	if len(raw) > maxPasswordRaw || !utf8.ValidString(raw) {
		return "", false
	}
	folded := norm.NFKC.String(strings.ToLower(cases.Fold().String(norm.NFKC.String(raw)))) // Fold alone swaps Cherokee's cases
	bare := strings.Map(func(r rune) rune {
		if unicode.IsPunct(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, folded)
	answer := norm.NFKC.String(strings.Join(strings.Fields(bare), " ")) // what is gone stood between a letter and its mark
	n := utf8.RuneCountInString(answer)
	return answer, minAnswer <= n && n <= maxAnswer
}
