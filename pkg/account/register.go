package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/fault"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

// Registration is a filled-in form, with the terms accepted.
type Registration struct {
	FormID      string // the form's one-time id: a double post makes one registration
	Email       string
	TermsEmail  string // the address typed again: how the terms are accepted
	Password    string
	Name        string
	Phone       string
	BirthDate   string // YYYY-MM-DD
	Invitation  string // the token of the invitation; empty: none
	Instead     string // id of the registration of this browser whose address was mistyped: it ends; empty: none
	Recovery    string // the recovery address
	Question    string // the recovery question …
	Answer      string // … and its answer
	Language    string
	FlowHash    []byte // SHA-256 of the flow cookie of the browser
	Interaction []byte // hash of the interaction; nil: none
	IP          netip.Addr
	Human       Human
}

// PendingView is a registration that waits for its confirmation.
type PendingView struct {
	ID          string
	Email       string
	Name        string
	Interaction []byte
	Language    string
	ExpiresAt   time.Time
	Here        bool // this browser made it
}

// Check says whether the form's first page can be taken: address, password and the fields that are asked for, no more. It
// gives them back as Register takes them too, and no longer than what is kept of them: what was typed may be many times that.
// It does no work that differs between addresses. The error is a *FieldError, ErrClosed or ErrInvitation.
func (d *Directory) Check(ctx context.Context, r Registration) (Registration, error) {
	f, err := d.checkRegistration(ctx, r)
	if err != nil {
		return Registration{}, err
	}
	r.Email, r.Recovery = readable(r.Email, f.send), readable(r.Recovery, f.recovery.Email)
	r.Password, r.Name, r.Phone, r.BirthDate = f.password, f.name, f.phone, f.birthDate
	r.Question, r.Answer = f.recovery.Question, f.recovery.Answer
	return r, nil
}

// readable is an address as it was typed, with the letters of its domain, where that is no longer than an address may be.
func readable(typed, send string) string {
	if typed = strings.TrimSpace(typed); send != "" && len(typed) <= maxAddress {
		return typed
	}
	return send
}

// form is a registration whose fields are good.
type form struct {
	send, canonical  string
	password, name   string
	phone, birthDate string
	invitation       string   // its id
	recovery         Recovery // Answer is the normal form of it, until it is hashed
}

func (d *Directory) checkRegistration(ctx context.Context, r Registration) (form, error) {
	var f form
	var err error
	if d.door.Closed {
		return form{}, ErrClosed
	}
	if f.send, f.canonical, err = parseAddress(r.Email); err != nil {
		return form{}, err
	}
	if !d.door.lets(f.canonical) {
		return form{}, &FieldError{Field: "register-email", Key: "error.email.domain"}
	}
	if f.invitation, err = d.invited(ctx, r.Invitation, f.canonical); err != nil {
		return form{}, err
	}
	if f.name, err = d.fields.Name.filled("register-name", r.Name, "error.name.empty", checkName); err != nil {
		return form{}, err
	}
	if f.password, err = d.passwords.CheckPassword(ctx, "register-password", r.Password, f.canonical, f.name); err != nil {
		return form{}, err
	}
	if f.phone, err = d.fields.Phone.filled("register-phone", r.Phone, "error.phone.empty", checkPhone); err != nil {
		return form{}, err
	}
	if f.birthDate, err = d.fields.BirthDate.filled("register-birthdate", r.BirthDate, "error.birthdate.empty", d.checkBirthDate); err != nil {
		return form{}, err
	}
	f.recovery, err = d.checkRecovery(f.canonical, r)
	return f, err
}

// Register writes a pending registration and queues its mail, in one transaction. A known address is
// answered alike after the same work: its registration is written too, but the mail goes to the owner, says
// "you already have an account" and has no link, so that nobody can confirm it.
// Errors: *FieldError, ErrClosed, ErrInvitation, ErrLimited, ErrBusy, ErrHuman, ErrHumanDown.
func (d *Directory) Register(ctx context.Context, r Registration) (id string, err error) {
	f, err := d.checkRegistration(ctx, r)
	if err != nil {
		return "", err
	}
	if again, err := Canonical(r.TermsEmail); err != nil || again != f.canonical {
		return "", &FieldError{Field: "terms-email", Key: "error.terms.mismatch"}
	}
	if r.FormID == "" || len(r.FormID) > 64 || !plainID(r.FormID) {
		return "", &FieldError{Field: "register-email", Key: "error.form.expired"}
	}
	if id, ok, err := d.posted(ctx, r); err != nil || ok {
		return id, err
	}
	if err := d.letRegister(ctx, r); err != nil {
		// The other posts of a double click are answered as the first is, however many there are.
		if id, ok, again := d.posted(ctx, r); again == nil && ok {
			return id, nil
		}
		return "", err
	}
	now := d.now()
	owner, err := d.owner(ctx, f.canonical)
	if err != nil {
		return "", err
	}
	old, err := d.mistyped(ctx, r)
	if err != nil {
		return "", err
	}
	// With the owner's salt, and parameters: one derivation at sign-in then tells both the owner and whoever registered the
	// known address, so that the latter sees the same waiting page as for an unknown one (A15).
	hash, err := d.hasher.hash(ctx, f.password, owner.Password)
	if err != nil {
		return "", errors.Join(err, d.limits.RefundNetwork(ctx, r.IP, limit.RegisterIP, limit.RegisterNet))
	}
	if f.recovery.Question != "" {
		f.recovery.QuestionAt = now
		if f.recovery.Answer, err = d.hasher.hash(ctx, f.recovery.Answer, ""); err != nil {
			return "", errors.Join(err, d.limits.RefundNetwork(ctx, r.IP, limit.RegisterIP, limit.RegisterNet))
		}
	}
	rec := newRecord(f, hash, now)
	rec.Language = languageOf(r.Language)
	rec.FormID, rec.BrowserHash, rec.Interaction = r.FormID, r.FlowHash, r.Interaction
	rec.TermsAt, rec.Accepted, rec.Invitation = now, d.versions, f.invitation
	err = d.store.InTx(ctx, func(ctx context.Context) error { return d.insertPending(ctx, rec, f.recovery, owner, old) })
	if errors.Is(err, ErrGone) {
		id, ok, err := d.posted(ctx, r)
		if err == nil && !ok {
			// The form's id is another browser's, or its registration was cancelled this moment.
			err = &FieldError{Field: "register-email", Key: "error.form.expired"}
		}
		return id, err
	}
	if err != nil {
		return "", fmt.Errorf("register: %w", err)
	}
	fault.Point("account.registered")
	return rec.ID, nil
}

// posted finds what this form has made already, in this browser.
func (d *Directory) posted(ctx context.Context, r Registration) (string, bool, error) {
	rec, err := d.store.ByForm(ctx, r.FormID)
	switch {
	case errors.Is(err, ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read a registration: %w", err)
	}
	return rec.ID, subtle.ConstantTimeCompare(rec.BrowserHash, r.FlowHash) == 1, nil
}

// owner is the account that has proven the address; the zero Record when none has.
func (d *Directory) owner(ctx context.Context, canonical string) (Record, error) {
	found, err := d.store.ByAddress(ctx, canonical, nil, d.now())
	if err != nil {
		return Record{}, fmt.Errorf("look an address up: %w", err)
	}
	if owned(found) {
		return found[0], nil
	}
	return Record{}, nil
}

func newRecord(f form, hash string, now time.Time) Record {
	return Record{
		ID: newID(), Sub: newSub(), State: Pending, Name: f.name, Claims: f.claims(), Language: "en",
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(PendingLifetime),
		AddressID: newID(), Email: f.send, Canonical: f.canonical, Password: hash,
	}
}

// claims are the standard claims that a form brings.
func (f form) claims() json.RawMessage {
	claims, _ := json.Marshal(struct { // of strings: it never fails
		Phone     string `json:"phone_number,omitempty"`
		BirthDate string `json:"birthdate,omitempty"`
	}{f.phone, f.birthDate})
	return claims
}

// insertPending runs in a transaction.
func (d *Directory) insertPending(ctx context.Context, rec Record, r Recovery, owner, old Record) error {
	if err := d.store.Insert(ctx, rec); err != nil {
		return err
	}
	if err := d.hold(ctx, rec); err != nil {
		return err
	}
	if err := d.endMistyped(ctx, old, rec.CreatedAt); err != nil {
		return err
	}
	if r != (Recovery{}) {
		if err := d.store.SetRecovery(ctx, rec.ID, r); err != nil {
			return err
		}
	}
	event := audit.Event{Event: audit.AccountRegistered, ActorKind: audit.ActorAnonymous, Subject: rec.ID, At: rec.CreatedAt}
	if rec.Invitation != "" {
		event.Detail = map[string]any{"invitation": rec.Invitation}
	}
	if err := d.audit.Record(ctx, event); err != nil {
		return err
	}
	err := d.mailLinks(ctx, rec, owner)
	if errors.Is(err, ErrLimited) {
		// A22: the answer stays as it is, the mail does not go. "Send again" works when the hour is over.
		return nil
	}
	return err
}

// mistyped is the registration whose address is corrected by this one: of the same browser, and it still waits. Zero: none.
func (d *Directory) mistyped(ctx context.Context, r Registration) (Record, error) {
	if r.Instead == "" {
		return Record{}, nil
	}
	old, err := d.store.ByID(ctx, r.Instead)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Record{}, fmt.Errorf("read a registration: %w", err)
	}
	if old.State != Pending || !old.madeIn(r.FlowHash) {
		return Record{}, nil
	}
	return old, nil
}

// endMistyped deletes it, in the transaction that writes the one in its place: whoever reads the mail that went astray can
// do nothing with its links.
func (d *Directory) endMistyped(ctx context.Context, old Record, now time.Time) error {
	if old.ID == "" {
		return nil
	}
	if err := d.store.LockAddress(ctx, old.Canonical); err != nil {
		return err
	}
	err := d.store.EndPending(ctx, old.ID)
	if errors.Is(err, ErrGone) { // confirmed or cancelled this moment
		return nil
	}
	if err != nil {
		return err
	}
	return d.audit.Record(ctx, audit.Event{Event: audit.AccountCancelled, ActorKind: audit.ActorAnonymous, Subject: old.ID, At: now})
}

// mailLinks makes the account's links anew and queues the mail, in the transaction of ctx. The address's
// budget is taken inside: it counts mails that are really queued. ErrLimited leaves the links made.
func (d *Directory) mailLinks(ctx context.Context, rec, owner Record) error {
	confirm, cancel := newToken(), newToken()
	links := []Link{{Purpose: purposeConfirm, Hash: hashToken(confirm)}, {Purpose: purposeCancel, Hash: hashToken(cancel)}}
	if err := d.store.SetLinks(ctx, rec, links, d.now(), rec.ExpiresAt); err != nil {
		return err
	}
	if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, rec.Canonical); err != nil {
		return err
	}
	msg := mail.Message{
		To: rec.Email, Language: rec.Language, Template: "confirm",
		Data: map[string]string{"confirm": confirm, "cancel": cancel},
	}
	if owner.ID != "" {
		// CVE-2019-19844: to the stored address, never to the one that a stranger typed.
		msg = mail.Message{To: owner.Email, Name: owner.Name, Language: owner.Language, Template: "known"}
	}
	return d.mail.Send(ctx, msg)
}

// Pending is the newest registration of this browser that still waits: ErrNoPending.
func (d *Directory) Pending(ctx context.Context, flowHash []byte) (*PendingView, error) {
	rec, err := d.pendingHere(ctx, flowHash)
	if err != nil {
		return nil, err
	}
	v := rec.pendingView()
	v.Here = true
	return v, nil
}

// PendingAt is Pending for a browser that did not register but gave the right password:
// waiting is Authenticated.Waiting. ErrNoPending.
func (d *Directory) PendingAt(ctx context.Context, waiting string) (*PendingView, error) {
	rec, err := d.pendingAt(ctx, waiting)
	if err != nil {
		return nil, err
	}
	return rec.pendingView(), nil
}

// Resend makes new links in place of the old ones and mails them; the old ones are dead.
// Errors: ErrNoPending, ErrLimited (the old links then live on).
func (d *Directory) Resend(ctx context.Context, flowHash []byte, ip netip.Addr) error {
	rec, err := d.pendingHere(ctx, flowHash)
	if err != nil {
		return err
	}
	return d.resend(ctx, rec, ip)
}

// ResendAt is Resend by Authenticated.Waiting.
func (d *Directory) ResendAt(ctx context.Context, waiting string, ip netip.Addr) error {
	rec, err := d.pendingAt(ctx, waiting)
	if err != nil {
		return err
	}
	return d.resend(ctx, rec, ip)
}

func (d *Directory) resend(ctx context.Context, rec Record, ip netip.Addr) error {
	if err := d.limits.TakeNetwork(ctx, ip, limit.MailIP, limit.MailNet); err != nil {
		return err
	}
	owner, err := d.owner(ctx, rec.Canonical)
	if err != nil {
		return err
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.LockAddress(ctx, rec.Canonical); err != nil {
			return err
		}
		return d.mailLinks(ctx, rec, owner)
	})
	switch {
	case errors.Is(err, ErrGone):
		return ErrNoPending
	case err != nil:
		return fmt.Errorf("mail the links again: %w", err)
	}
	return nil
}

func (d *Directory) pendingHere(ctx context.Context, flowHash []byte) (Record, error) {
	if len(flowHash) == 0 {
		return Record{}, ErrNoPending
	}
	return noPending(d.store.ByBrowser(ctx, flowHash, d.now()))
}

func (d *Directory) pendingAt(ctx context.Context, waiting string) (Record, error) {
	if !plausibleToken(waiting) {
		return Record{}, ErrNoPending
	}
	return noPending(d.store.ByLink(ctx, purposeWaiting, hashToken(waiting), d.now()))
}

func noPending(rec Record, err error) (Record, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		return Record{}, ErrNoPending
	case err != nil:
		return Record{}, fmt.Errorf("read a registration: %w", err)
	}
	return rec, nil
}

func (r Record) pendingView() *PendingView {
	return &PendingView{ID: r.ID, Email: r.Email, Name: r.Name, Interaction: r.Interaction, Language: r.Language, ExpiresAt: r.ExpiresAt}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// newSub is what sites know the person by: 128 random bits. Commands take it as an argument, so that it must not
// look like a flag.
func newSub() string {
	for {
		b := make([]byte, 16)
		_, _ = rand.Read(b) // never fails (crypto/rand)
		if sub := base64.RawURLEncoding.EncodeToString(b); sub[0] != '-' {
			return sub
		}
	}
}

// newToken is 256 random bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// hashToken: 256 random bits need no salt and no slow hash.
func hashToken(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// plausibleToken keeps the megabytes that strangers send away from hash and database.
func plausibleToken(s string) bool { return len(s) == 43 && plainID(s) }

func plainID(s string) bool {
	for i := range len(s) {
		if !letterOrDigit(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return true
}
