package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

// NewAccount is an account that the operator makes.
type NewAccount struct {
	Email     string
	Password  string // empty: none
	Name      string
	Language  string
	Claims    json.RawMessage // standard claims (OpenID Connect Core §5.1); nil: none
	Confirmed bool            // the operator vouches for the address; else the two links are mailed
}

// Change is what Set changes; nil leaves a thing as it is.
type Change struct {
	Name     *string
	Language *string
	Password *string         // ends all sessions and grants
	Claims   json.RawMessage // replaces all
}

// Account is what the operator sees of one.
type Account struct {
	ID         string          `json:"id"`
	Sub        string          `json:"sub"`
	State      string          `json:"state"`
	Email      string          `json:"email"`
	Confirmed  bool            `json:"confirmed"`
	Others     []string        `json:"other_emails,omitempty"`      // proven, and not the primary one
	Recovery   string          `json:"recovery_email,omitempty"`    // proven
	Question   string          `json:"recovery_question,omitempty"` // for its owner alone
	Name       string          `json:"name"`
	Language   string          `json:"language"`
	Claims     json.RawMessage `json:"claims"`
	Password   bool            `json:"password"` // it has one
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	TermsAt    time.Time       `json:"terms_at,omitzero"` // when they were accepted, last
	Terms      string          `json:"terms_version,omitempty"`
	Privacy    string          `json:"privacy_version,omitempty"`
	DisabledAt time.Time       `json:"disabled_at,omitzero"`
	ExpiresAt  time.Time       `json:"expires_at,omitzero"`
	Invitation string          `json:"invitation,omitempty"` // the id of the one that it came by
}

func (r Record) view() *Account {
	claims := r.Claims
	if len(claims) == 0 {
		claims = json.RawMessage("{}")
	}
	return &Account{
		ID: r.ID, Sub: r.Sub, State: r.State, Email: r.Email, Confirmed: !r.ProvenAt.IsZero(), Name: r.Name,
		Language: r.Language, Claims: claims, Password: r.Password != "", CreatedAt: r.CreatedAt,
		UpdatedAt: r.UpdatedAt, TermsAt: r.TermsAt, Terms: r.Accepted.Terms, Privacy: r.Accepted.Privacy, DisabledAt: r.DisabledAt, ExpiresAt: r.ExpiresAt, Invitation: r.Invitation,
	}
}

// Create makes an account. *FieldError, ErrTaken, ErrBusy.
func (d *Directory) Create(ctx context.Context, n NewAccount) (*Account, error) {
	f, claims, err := d.checkNew(ctx, n)
	if err != nil {
		return nil, err
	}
	hash := ""
	if f.password != "" {
		if hash, err = d.hasher.hash(ctx, f.password, ""); err != nil {
			return nil, err
		}
	}
	now := d.now()
	rec := newRecord(f, hash, now)
	rec.Claims, rec.Language = claims, languageOf(n.Language)
	if n.Confirmed {
		rec.State, rec.ProvenAt, rec.ExpiresAt = Active, now, time.Time{}
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error { return d.insertByOperator(ctx, rec) })
	if err != nil {
		return nil, fmt.Errorf("create an account: %w", err)
	}
	return rec.view(), nil
}

func (d *Directory) checkNew(ctx context.Context, n NewAccount) (f form, claims json.RawMessage, err error) {
	if f.send, f.canonical, err = parseAddress(n.Email); err != nil {
		return form{}, nil, &FieldError{Field: "email", Key: "error.email.invalid"}
	}
	claims, name, err := checkClaims(n.Claims)
	if err != nil {
		return form{}, nil, err
	}
	if n.Name != "" {
		name = n.Name
	}
	if f.name, err = checkName("name", name); err != nil {
		return form{}, nil, err
	}
	if n.Password != "" {
		f.password, err = d.passwords.CheckPassword(ctx, "password", n.Password, f.canonical, f.name)
	}
	return f, claims, err
}

func (d *Directory) insertByOperator(ctx context.Context, rec Record) error {
	if err := d.store.LockAddress(ctx, rec.Canonical); err != nil {
		return err
	}
	owner, err := d.owner(ctx, rec.Canonical)
	if err != nil {
		return err
	}
	if owner.ID != "" {
		return ErrTaken
	}
	if err := d.store.Insert(ctx, rec); err != nil {
		return err
	}
	if rec.State == Active {
		// The operator's word is a proof like any other: the pending registrations of the address end.
		err = d.store.DropPending(ctx, rec.Canonical, rec.ID)
	} else {
		err = d.mailLinks(ctx, rec, Record{})
	}
	if err != nil {
		return err
	}
	return d.operated(ctx, audit.AccountCreated, rec.ID, map[string]any{"confirmed": rec.State == Active})
}

func (d *Directory) operated(ctx context.Context, event, accountID string, detail map[string]any) error {
	return d.audit.Record(ctx, audit.Event{
		Event: event, ActorKind: audit.ActorOperator, Subject: accountID, Detail: detail, At: d.now(),
	})
}

// Show finds an account by id, sub or address (the account that has proven it, else the newest pending
// one). ErrNotFound.
func (d *Directory) Show(ctx context.Context, ref string) (*Account, error) {
	rec, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return d.whole(ctx, rec)
}

// HasPassword tells whether that is the password of the account that Show finds. It limits nobody: it is for operators. ErrNotFound, ErrBusy.
func (d *Directory) HasPassword(ctx context.Context, ref, raw string) (bool, error) {
	rec, err := d.find(ctx, ref)
	if err != nil {
		return false, err
	}
	fits, err := d.match(ctx, raw, []Record{rec})
	return fits != nil, err
}

// whole is an account with all of its addresses.
func (d *Directory) whole(ctx context.Context, rec Record) (*Account, error) {
	all, err := d.store.Addresses(ctx, rec.ID)
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	r, err := d.store.Recovery(ctx, rec.ID)
	if err != nil {
		return nil, fmt.Errorf("read what was set for a recovery: %w", err)
	}
	a := rec.view()
	a.Recovery = r.address().Email
	for _, other := range all {
		if other.Primary {
			a.Email = other.Email // rec may have been found by another one
		} else {
			a.Others = append(a.Others, other.Email)
		}
	}
	return a, nil
}

func (d *Directory) find(ctx context.Context, ref string) (Record, error) {
	if !strings.Contains(ref, "@") {
		if ref == "" || len(ref) > 64 || !plainID(ref) {
			return Record{}, ErrNotFound
		}
		rec, err := d.store.ByID(ctx, ref)
		if err != nil {
			return Record{}, fmt.Errorf("find an account: %w", err)
		}
		return rec, nil
	}
	canonical, err := Canonical(ref)
	if err != nil {
		return Record{}, ErrNotFound
	}
	found, err := d.store.ByAddress(ctx, canonical, nil, d.now())
	if err != nil {
		return Record{}, fmt.Errorf("find an account: %w", err)
	}
	if len(found) == 0 {
		return Record{}, ErrNotFound
	}
	return found[0], nil
}

// Budgets gives what counts against an account, or against an address that nobody has: the limits of sign-in, of mails, and
// of changes. id is the account's; empty: there is none. ErrNotFound: neither an account nor an address.
func (d *Directory) Budgets(ctx context.Context, ref string) (id string, budgets []limit.Budget, err error) {
	rec, err := d.find(ctx, ref)
	canonical := rec.Canonical
	if errors.Is(err, ErrNotFound) {
		canonical, err = Canonical(ref)
		if err != nil {
			return "", nil, ErrNotFound
		}
	}
	if err != nil {
		return "", nil, err
	}
	who, recovers, typed := canonical, canonical, []string{canonical}
	if !rec.ProvenAt.IsZero() { // as Authenticate and AskRecovery count
		if who = rec.ID; rec.State != Pending {
			if rec, err = d.store.ByID(ctx, rec.ID); err != nil {
				return "", nil, fmt.Errorf("find an account: %w", err)
			}
			recovers = rec.Canonical
		}
		all, err := d.store.Addresses(ctx, rec.ID)
		if err != nil {
			return "", nil, fmt.Errorf("read addresses: %w", err)
		}
		typed = nil
		for _, a := range all {
			typed = append(typed, a.Canonical)
		}
	}
	if rec.ID != "" {
		for _, rule := range []limit.Rule{limit.AccountChange, limit.PasswordChange, limit.NewBrowser, limit.Export, limit.Download, limit.Picture,
			limit.Guessed, limit.RecoveryAnswer, limit.RecoveryRequest} {
			budgets = append(budgets, limit.Budget{Rule: rule, Of: rec.ID, Key: []string{rec.ID}})
		}
	}
	budgets = append(budgets, limit.Budget{Rule: limit.LoginAccount, Of: who, Key: []string{who}})
	for _, address := range typed {
		for _, rule := range []limit.Rule{limit.LoginAddress, limit.LoginHuman} {
			budgets = append(budgets, limit.Budget{Rule: rule, Of: address, Key: []string{address}})
		}
		box := mailBox(address)
		budgets = append(budgets, limit.Budget{Rule: limit.RecoveryRequests, Of: box, Key: []string{box}})
	}
	for _, b := range []struct {
		rule limit.Rule
		of   string
	}{
		{limit.MailAddressHour, canonical}, {limit.MailAddressDay, canonical},
		{limit.RecoverAddressHour, recovers}, {limit.RecoverAddressDay, recovers},
	} {
		box := mailBox(b.of)
		budgets = append(budgets, limit.Budget{Rule: b.rule, Of: box, Key: []string{box}})
	}
	return rec.ID, budgets, nil
}

// ForgetGuesses has an account's password be looked at again in browsers that it does not know, however many wrong ones they
// gave.
func (d *Directory) ForgetGuesses(ctx context.Context, accountID string) error {
	if err := d.store.ForgetGuesses(ctx, accountID); err != nil {
		return fmt.Errorf("forget wrong passwords: %w", err)
	}
	return nil
}

// operate finds an account and acts on it in one transaction; it returns it as it is afterwards.
func (d *Directory) operate(ctx context.Context, ref string, act func(ctx context.Context, rec Record) error) (*Account, error) {
	var after Record
	err := d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.find(ctx, ref)
		if err != nil {
			return err
		}
		if err := act(ctx, rec); err != nil {
			return err
		}
		after, err = d.store.ByID(ctx, rec.ID)
		if errors.Is(err, ErrNotFound) {
			after, err = rec, nil // Delete
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return after.view(), nil
}

// Set changes an account. *FieldError, ErrNotFound, ErrBusy.
func (d *Directory) Set(ctx context.Context, ref string, c Change) (*Account, error) {
	rec, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	changed, err := applyChange(rec, c)
	if err != nil {
		return nil, err
	}
	hash := ""
	if c.Password != nil {
		password, err := d.passwords.CheckPassword(ctx, "password", *c.Password, rec.Canonical, changed.Name)
		if err != nil {
			return nil, err
		}
		// Outside the transaction: SQLite has one writer, and this takes a while.
		if hash, err = d.hasher.hash(ctx, password, d.hasher.heir(rec.Password)); err != nil {
			return nil, err
		}
	}
	return d.operate(ctx, rec.ID, func(ctx context.Context, now Record) error {
		changed, err := applyChange(now, c)
		if err != nil {
			return err
		}
		if err := d.store.SetProfile(ctx, changed, d.now()); err != nil {
			return err
		}
		if d.pictureOf(now) != d.pictureOf(changed) { // no claim leads to it any more
			if err := d.store.DropPicture(ctx, rec.ID); err != nil {
				return err
			}
		}
		if hash == "" {
			return d.operated(ctx, audit.AccountChanged, rec.ID, nil)
		}
		// A17: whoever had the old password keeps nothing.
		if _, err := d.store.SetPassword(ctx, rec.ID, hash, d.now()); err != nil {
			return err
		}
		if err := d.withdraw(ctx, rec.ID); err != nil {
			return err
		}
		if err := d.endAll(ctx, rec.ID); err != nil {
			return err
		}
		return d.operated(ctx, audit.AccountPasswordChanged, rec.ID, nil)
	})
}

func applyChange(rec Record, c Change) (Record, error) {
	if c.Claims != nil {
		claims, name, err := checkClaims(c.Claims)
		if err != nil {
			return rec, err
		}
		rec.Claims = claims
		if name != "" && c.Name == nil {
			c.Name = &name
		}
	}
	if c.Name != nil {
		name, err := checkName("name", *c.Name)
		if err != nil {
			return rec, err
		}
		rec.Name = name
	}
	if c.Language != nil {
		rec.Language = languageOf(*c.Language)
	}
	return rec, nil
}

// withdraw ends all links of an account, for the operator's word is the last, and the request of who has lost it, which nobody
// could stop then.
func (d *Directory) withdraw(ctx context.Context, accountID string) error {
	if err := d.store.DropLinks(ctx, accountID, time.Time{}); err != nil {
		return err
	}
	_, err := d.store.StopRequests(ctx, accountID, d.now())
	return err
}

// Disable ends all sessions and grants of an account and lets nobody sign in to it. ErrNotFound.
func (d *Directory) Disable(ctx context.Context, ref string) (*Account, error) {
	return d.operate(ctx, ref, func(ctx context.Context, rec Record) error {
		if err := d.store.SetState(ctx, rec.ID, Disabled, d.now()); err != nil {
			return err
		}
		if err := d.withdraw(ctx, rec.ID); err != nil {
			return err
		}
		if err := d.endAll(ctx, rec.ID); err != nil {
			return err
		}
		return d.operated(ctx, audit.AccountDisabled, rec.ID, nil)
	})
}

// Enable undoes Disable; what was ended stays ended. ErrNotFound.
func (d *Directory) Enable(ctx context.Context, ref string) (*Account, error) {
	return d.operate(ctx, ref, func(ctx context.Context, rec Record) error {
		state := Active
		if rec.ProvenAt.IsZero() {
			state = Pending
		}
		if err := d.store.SetState(ctx, rec.ID, state, d.now()); err != nil {
			return err
		}
		return d.operated(ctx, audit.AccountEnabled, rec.ID, nil)
	})
}

// EndSessions ends all sessions of an account, and the grants that do not outlive them. ErrNotFound.
func (d *Directory) EndSessions(ctx context.Context, ref string) (*Account, error) {
	return d.operate(ctx, ref, func(ctx context.Context, rec Record) error {
		if err := d.sessions.EndAll(ctx, rec.ID, ""); err != nil {
			return err
		}
		return d.operated(ctx, audit.LoginEnded, rec.ID, map[string]any{"all": true})
	})
}

// Delete removes an account and everything that hangs on it; the event log keeps its id. ErrNotFound.
func (d *Directory) Delete(ctx context.Context, ref string) (*Account, error) {
	return d.operate(ctx, ref, func(ctx context.Context, rec Record) error {
		// Address, account, the rest: the order of all others, who would else wait for this and this for them.
		if err := d.store.LockAddress(ctx, rec.Canonical); err != nil {
			return err
		}
		if err := d.store.SetState(ctx, rec.ID, Disabled, d.now()); err != nil {
			return err
		}
		if err := d.endAll(ctx, rec.ID); err != nil {
			return err
		}
		if err := d.store.Delete(ctx, rec.ID); err != nil {
			return err
		}
		return d.operated(ctx, audit.AccountDeleted, rec.ID, nil)
	})
}
