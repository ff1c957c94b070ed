package account

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// States of an account, as the database has them.
const (
	Pending  = "pending"  // registered; no address proven
	Active   = "active"   // may use the network
	Disabled = "disabled" // by the operator
	Closing  = "closing"  // by its owner: removed when its time is over
)

// Purposes of the links in mails.
const (
	purposeConfirm = "confirm"
	purposeCancel  = "cancel"
	// purposeWaiting is no link: it shows the waiting page in a browser that did not register but gave
	// the right password, without binding the registration to that browser.
	purposeWaiting = "waiting"
)

// ErrGone: a conditional write hit no row: what the read before it saw no longer holds.
var ErrGone = errors.New("no longer holds")

// Record is an account with its primary address and its password.
type Record struct {
	ID          string
	Sub         string
	State       string
	Name        string
	Claims      json.RawMessage // the other standard claims (OpenID Connect Core §5.1), a JSON object
	Language    string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DisabledAt  time.Time
	TermsAt     time.Time
	ExpiresAt   time.Time // pending, closing: purged then
	FormID      string    // of the registration form; empty: made by the operator
	BrowserHash []byte    // SHA-256 of the flow cookie of the browser that registered
	Interaction []byte    // hash of the interaction in which it was registered
	Invitation  string    // id of the one that it came by; empty: none
	Accepted    Versions  // at TermsAt

	AddressID string
	Email     string // as typed
	Canonical string
	ProvenAt  time.Time // zero: not proven

	Password   string // PHC string; empty: none
	PasswordID string // of the credential; another one after each change. Insert makes it
	Guesses    int    // wrong ones in a row, from browsers that the account does not know
	// As it was read: when it was set, and when somebody last signed in with it; zero: nobody has.
	PasswordAt, PasswordUsedAt time.Time
}

// Link is one secret of a mail, as it is kept.
type Link struct {
	Purpose string
	Hash    []byte // SHA-256 of the token
	// Of a link that acts on an account which others can see: the address that it is about; empty: none.
	Email, Canonical string
	CreatedAt        time.Time // as it was read
	// Of an alarm: since when that address had been proven, and whether it was the primary one.
	ProvenAt time.Time
	Primary  bool
	Tries    int // of a recovery: answers that were tried with it
}

// Recovery is what helps an account back, and nobody signs in with.
type Recovery struct {
	Email, Canonical string    // empty: none
	ProvenAt         time.Time // zero: nothing goes there
	Question         string    // empty: none
	Answer           string    // PHC string of the answer's normal form
	QuestionAt       time.Time
}

// Address is one that an account has proven. People sign in with any of them; sites get the primary one.
type Address struct {
	ID, Email, Canonical string
	Primary              bool
	ProvenAt             time.Time
}

// Proof is what confirming an address writes.
type Proof struct {
	Hash      []byte // of the confirm link: must be live
	AccountID string // must be pending
	AddressID string
	Email     string
	Canonical string
	At        time.Time
	// Fresh: the person set a new password: this one replaces what was set before, and all else that the
	// registration brought is dropped.
	Fresh    bool
	Password string
	Language string
}

// Store keeps accounts. Every method joins the transaction that ctx carries. Pending accounts and links
// past their expiry are not returned.
type Store interface {
	RequestStore

	// InTx runs fn in one transaction; an error of fn rolls it back.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error

	// ByAddress reads at most two accounts that name the address: first the one that has proven it, if any;
	// then the pending one that this browser made last, else the newest pending one.
	ByAddress(ctx context.Context, canonical string, browser []byte, now time.Time) ([]Record, error)
	// ByBrowser reads the newest pending account that this browser registered: ErrNotFound.
	ByBrowser(ctx context.Context, browser []byte, now time.Time) (Record, error)
	// ByForm reads the account that this form made: ErrNotFound.
	ByForm(ctx context.Context, formID string) (Record, error)
	// ByLink reads the pending account of a live link: ErrNotFound.
	ByLink(ctx context.Context, purpose string, hash []byte, now time.Time) (Record, error)
	// ByID reads by id or sub: ErrNotFound.
	ByID(ctx context.Context, idOrSub string) (Record, error)

	// Insert writes account, address and password: ErrGone when this form has made an account already,
	// ErrTaken when the address is to be proven and another account has proven it.
	Insert(ctx context.Context, r Record) error
	// SetLinks replaces the live links of these purposes: ErrGone when the account is not pending any more.
	// For an account that others can see, LockAddress comes first.
	SetLinks(ctx context.Context, r Record, links []Link, at, expires time.Time) error
	// LockAddress makes concurrent changes of the accounts that name this address wait for each other until
	// the transaction ends.
	LockAddress(ctx context.Context, canonical string) error
	// Prove spends the confirm link, activates the account, proves the address, deletes the account's other
	// links and every other pending account that names the address: ErrGone, and the transaction is lost,
	// unless the link was live, the account pending and the address not proven by another account.
	Prove(ctx context.Context, p Proof) error
	// Cancel deletes a pending account by its live cancel link: ErrGone.
	Cancel(ctx context.Context, accountID string, hash []byte, now time.Time) error

	// LockAccount reads an account by id, and keeps it and its sign-ins from changing until the transaction ends:
	// ErrNotFound. Whatever acts on an account which others can see takes this lock first.
	LockAccount(ctx context.Context, accountID string) (Record, error)
	// ReplaceLinks puts links in place of the account's unused ones of their purpose; with an empty accountID they are
	// nobody's, after the same work.
	ReplaceLinks(ctx context.Context, accountID string, links []Link, at, expires time.Time) error
	// CountAnswer counts an answer that is tried with a live link of a recovery (by: 1), or counts it not (-1): ErrGone when
	// there were most of them already.
	CountAnswer(ctx context.Context, hash []byte, by, most int, now time.Time) error
	// AddLink adds one beside those that there are.
	AddLink(ctx context.Context, accountID string, l Link, at, expires time.Time) error
	// ByAccountLink reads the account of a live link that ReplaceLinks or AddLink made, active or closing: ErrNotFound.
	ByAccountLink(ctx context.Context, purpose string, hash []byte, now time.Time) (Record, Link, error)
	// Waiting reads the newest live link of an account for a purpose: ErrNotFound.
	Waiting(ctx context.Context, accountID, purpose string, now time.Time) (Link, error)
	// SpendLink spends it, once: ErrGone.
	SpendLink(ctx context.Context, purpose string, hash []byte, accountID string, at time.Time) error
	// DropLinks removes an account's links of some purposes (none named: of all) that were made at a time or later (the
	// zero time: all).
	DropLinks(ctx context.Context, accountID string, from time.Time, purposes ...string) error

	// PutExport puts an export that is to be made in the place of the account's older one.
	PutExport(ctx context.Context, e Export) error
	// ReadExport reads an account's, but for the content; the caller judges its expiry. ErrNotFound.
	ReadExport(ctx context.Context, accountID string) (Export, error)
	// SealedExport reads the content of one that was made: ErrNotFound.
	SealedExport(ctx context.Context, id string) ([]byte, error)
	// FinishExport writes what was made, once: ErrGone when it is not the account's any more, or was made.
	FinishExport(ctx context.Context, e Export) error
	// DropExport removes an account's, if there is one.
	DropExport(ctx context.Context, accountID string) error

	// InsertInvitation adds one.
	InsertInvitation(ctx context.Context, i Invitation) error
	// ReadInvitation reads one by the hash of its token, ListInvitations all, oldest first: those that are not late, and
	// have uses. ErrNotFound.
	ReadInvitation(ctx context.Context, hash []byte, now time.Time) (Invitation, error)
	ListInvitations(ctx context.Context, now time.Time) ([]Invitation, error)
	// DeleteInvitation removes one: ErrNotFound.
	DeleteInvitation(ctx context.Context, id string) error
	// HoldInvitation lets the pending registration r, which is written, hold a use of its invitation, in one transaction
	// with that: ErrGone when there is none left. Where it is the last one, other registrations of the same browser with
	// it end first: somebody has mistyped the address. What locks more takes the lock of the invitation before all others'
	// accounts and addresses.
	HoldInvitation(ctx context.Context, r Record, now time.Time) error
	// SpendInvitation takes one use for good: ErrGone when there is none, or the invitation is gone.
	SpendInvitation(ctx context.Context, id string) error

	// CountGuess counts a wrong password against a credential; none with this id: the same work for nothing.
	CountGuess(ctx context.Context, credential string) error
	// ForgetGuesses has none count against an account's password any more.
	ForgetGuesses(ctx context.Context, accountID string) error
	// SignedIn records the use of a password, after which no guess counts any more; a non-empty hash replaces the one that was read (old).
	SignedIn(ctx context.Context, accountID, old, hash string, at time.Time) error
	// SetPassword replaces the password, and gives the new credential's id. A sign-in that is under way has either ended, or sees it.
	SetPassword(ctx context.Context, accountID, hash string, at time.Time) (credential string, err error)
	// DropPassword removes it: nobody can sign in with one any more.
	DropPassword(ctx context.Context, accountID string) error
	// Addresses reads the proven addresses of an account, the primary one first, then the oldest.
	Addresses(ctx context.Context, accountID string) ([]Address, error)
	// AddAddress adds a proven address that is not the primary one: ErrTaken, and the transaction is lost, when another
	// account has proven it. Pending registrations that name it end.
	AddAddress(ctx context.Context, accountID string, a Address) error
	// MakePrimary puts one of the account's proven addresses in the primary one's place, which stays: ErrGone.
	MakePrimary(ctx context.Context, accountID, canonical string, at time.Time) error
	// LatelyPrimary tells whether a live alarm went to the address while it was the account's primary one.
	LatelyPrimary(ctx context.Context, accountID, canonical string, now time.Time) (bool, error)
	// RemoveAddress removes one that is not the primary: ErrGone.
	RemoveAddress(ctx context.Context, accountID, canonical string) error
	// Recovery reads what helps an account back; none is the zero value.
	Recovery(ctx context.Context, accountID string) (Recovery, error)
	// SetRecovery puts it in place of what there was.
	SetRecovery(ctx context.Context, accountID string, r Recovery) error
	// SetProfile replaces name, language and claims.
	SetProfile(ctx context.Context, r Record, at time.Time) error
	// SetPicture keeps a picture under a name in place of the account's; DropPicture takes it away, if there is one.
	SetPicture(ctx context.Context, accountID, name string, jpeg []byte, at time.Time) error
	DropPicture(ctx context.Context, accountID string) error
	// ReadPicture reads the picture of an active account: ErrNotFound.
	ReadPicture(ctx context.Context, name string) ([]byte, error)
	// AcceptTerms records which versions an active account has accepted, and when: ErrNotFound.
	AcceptTerms(ctx context.Context, accountID string, v Versions, at time.Time) error
	// SetState moves an account to a state: ErrNotFound.
	SetState(ctx context.Context, accountID, state string, at time.Time) error
	// CloseAccount has an active account go at a time, ReopenAccount has it stay: ErrGone when it is not active, or not closing.
	CloseAccount(ctx context.Context, accountID string, at, until time.Time) error
	ReopenAccount(ctx context.Context, accountID string, at time.Time) error
	// EndPending deletes one pending account: ErrGone.
	EndPending(ctx context.Context, accountID string) error
	// DropPending deletes every pending account that names the address but one ("": all).
	DropPending(ctx context.Context, canonical, except string) error
	// Delete removes the account and everything that hangs on it, and what the log of events has of it but for its id: ErrNotFound.
	Delete(ctx context.Context, accountID string) error
}

// RequestStore keeps the requests of people who have lost everything. Each change hits one row, or is ErrGone.
type RequestStore interface {
	InsertRequest(ctx context.Context, r Request) error
	// AskedRequest reads one that is asked for and not late, by its token: ErrNotFound.
	AskedRequest(ctx context.Context, hash []byte, now time.Time) (Request, error)
	// RequestByID reads one that concerns an account, and is opened: ErrNotFound. Requests reads some of these,
	// beginning after an id, in the order of their ids, which is that of their making.
	RequestByID(ctx context.Context, id string) (Request, error)
	Requests(ctx context.Context, after string) ([]Request, error)
	// RequestOf reads the account's that is open or approved: ErrNotFound. There is one at most.
	RequestOf(ctx context.Context, accountID string) (Request, error)
	// RequestsBefore reads those in one of these states that were opened at a time or before and, unless it is negative,
	// have had so many notices and concern an account.
	RequestsBefore(ctx context.Context, opened time.Time, notices int, states ...string) ([]Request, error)
	// JoinRequest counts another one at the account's that is open or approved.
	JoinRequest(ctx context.Context, accountID string) (joined bool, err error)
	// OpenRequest writes state, results and times of one that is asked for.
	OpenRequest(ctx context.Context, r Request) error
	MoveRequest(ctx context.Context, id, from, to string, at time.Time) error
	// StopRequests stops the account's that is open or approved, and those that have joined it.
	StopRequests(ctx context.Context, accountID string, at time.Time) (stopped bool, err error)
	// CountNotice counts a round of notices of one that is open and has had so many.
	CountNotice(ctx context.Context, id string, notices int64) error
	// SitesOf gives the names and the hosts of the sites that the account has used.
	SitesOf(ctx context.Context, accountID string) ([]string, error)
}
