package grant

import (
	"context"
	"errors"
	"slices"
	"time"
)

var (
	// ErrNotFound: no such row (or one that the caller may not see).
	ErrNotFound = errors.New("not found")
	// ErrExists: there is one already.
	ErrExists = errors.New("exists already")
	// ErrGone: a conditional write hit no row: what the read before it saw no longer holds.
	ErrGone = errors.New("no longer holds")
)

// Request is everything that deciding an authorization request needs of the database.
type Request struct {
	BrowserID string
	ExpiresAt time.Time // of the browser's session: past it, nobody is signed in
	Logins    []Login   // live ones of the browser, newest authentication first
}

// At is r by our clock: nobody once the browser's session is over, and of the logins those that live tells to be live
// (session.Manager.Live): one may be over before its browser is.
func (r Request) At(now time.Time, live func(authTime, now time.Time) bool) Request {
	if !now.Before(r.ExpiresAt) {
		return Request{}
	}
	r.Logins = slices.DeleteFunc(r.Logins, func(l Login) bool { return !live(l.AuthTime, now) })
	return r
}

// Issuance is everything that one authorization response, or the redemption of a sealed code, leaves behind, written at once.
type Issuance struct {
	Grant   Grant
	Epoch   int64    // of the login, as it was read
	Code    *Code    // nil: the response type has none, or it is sealed
	Token   *Token   // nil: none is given
	Consent *Consent // replaces what was remembered under its LoginID; nil: nothing new to remember
	// Interaction and Pushed are the hashes of the interaction that this ends, and of the pushed request that it
	// spends; nil: there was none. Each must hit exactly one row.
	Interaction, Pushed []byte
}

// CodeRead is a code with what redeeming it needs.
type CodeRead struct {
	Code   Code
	Grant  Grant
	Person Person
	// Sealed: the code itself carried all this, and no row has it: its redemption issues the grant.
	Sealed bool
	Epoch  int64 // only with Sealed: of the login
}

// Redemption is everything that the redemption of a code with a row leaves behind.
type Redemption struct {
	Sig              []byte // of the code; must be unused
	GrantID          string // must be live
	ClientID         string // must be enabled
	At               time.Time
	Token            *Token
	Refresh          bool      // the first refresh token is of now: the grant was written without, or long ago
	RefreshExpiresAt time.Time // only with Refresh
}

// Rotation is everything that a refresh leaves behind.
type Rotation struct {
	GrantID          string
	ClientID         string
	From             int64 // the generation presented; the row must still have it
	At               time.Time
	RefreshExpiresAt time.Time
	Token            *Token
}

// TokenRead is an access token with what honouring it needs. Grant and Person are nil for client_credentials.
type TokenRead struct {
	Token  Token
	Grant  *Grant
	Person *Person
}

// GrantRead is a grant with its person.
type GrantRead struct {
	Grant  Grant
	Person Person
}

// Use is what an account has given a site, as its owner sees it.
type Use struct {
	ClientID string
	Scopes   []string  // that it was allowed, or has been given
	Claims   []string  // asked for by name
	Since    time.Time // of the first yes, or of the first sign-in that is known
	Last     time.Time // it got or renewed something
	Offline  bool      // it may go on while nobody is there
	Held     bool      // there is a yes, or a live grant, which can be taken back; else the account was signed in there
}

// Store persists flows. Expired rows may be returned: the caller judges every expiry by its own clock.
// Each method is one autocommitted statement on PostgreSQL and one transaction on SQLite, unless it says otherwise.
type Store interface {
	// ReadRequest reads who is signed in in the browser whose session cookie hashes to session (nil or
	// unknown: an empty Request), each with the consent that the account gave clientID.
	ReadRequest(ctx context.Context, session []byte, clientID string) (Request, error)

	// SaveInteraction inserts it.
	SaveInteraction(ctx context.Context, i Interaction) error
	// ReadInteraction: ErrNotFound when there is none.
	ReadInteraction(ctx context.Context, hash []byte) (Interaction, error)
	// BindInteraction binds an unbound one to a browser, once: ErrGone when it was bound already.
	BindInteraction(ctx context.Context, hash, binding []byte) error
	// ChooseLogin records the account chosen in an interaction: ErrGone when there is no such interaction.
	ChooseLogin(ctx context.Context, hash []byte, loginID string) error
	// DropInteraction: ErrGone unless it hit exactly one row.
	DropInteraction(ctx context.Context, hash []byte) error

	// SaveDevice inserts it; ErrExists when its user code is taken.
	SaveDevice(ctx context.Context, d Device) error
	// ReadDevice finds a device by the keyed hash of its user code; ErrNotFound.
	ReadDevice(ctx context.Context, userCode []byte) (Device, error)
	// ListUses lists the sites to which an account has said yes, that hold a live grant of it, or where it was signed in from a
	// browser that is known still, by their ids.
	ListUses(ctx context.Context, accountID string, now time.Time) ([]Use, error)
	// EndUse forgets the yes to a site, and revokes all its grants of the account; ended: there were some. It begins a new epoch of the
	// account's logins: a code that was sealed for one would give a new grant, and those of other sites are void, too. Three statements.
	EndUse(ctx context.Context, accountID, clientID string, at time.Time) (ended bool, err error)

	// PollDevice reads a device that its client asks about, and notes that it asked: early when that was sooner than its
	// Pause allows, by more than the half second that a clock or a network may take from a wait. Each early one makes the
	// pause five seconds longer, up to a minute (RFC 8628 §3.5). Two statements in a transaction. ErrNotFound: there is
	// none, or it is another client's.
	PollDevice(ctx context.Context, sig []byte, clientID string, now time.Time) (d Device, early bool, err error)
	// SettleDevice ends a pending one's waiting: ErrGone unless it is pending.
	SettleDevice(ctx context.Context, sig []byte, state string) error

	// Issue writes the grant, the rest of the issuance and the login_client row; ErrGone, and nothing is
	// written, unless the login is live and of this epoch, the person allowed, the client enabled, the interaction and the
	// pushed request, where there are any, still there, and no grant has this id: that of a sealed code is written once.
	Issue(ctx context.Context, is Issuance) error

	// ReadCode: ErrNotFound when no code has this signature. A used one is returned with UsedAt.
	ReadCode(ctx context.Context, sig []byte) (CodeRead, error)
	// SpendCode marks it used (wrong verifier or redirect_uri from the code's own client); ErrGone when it was, or there is none.
	SpendCode(ctx context.Context, sig []byte, at time.Time) error
	// Redeem spends the code and writes the tokens; ErrGone, and nothing is written, unless the code was
	// unused, the grant live, the client enabled and the person allowed.
	Redeem(ctx context.Context, r Redemption) error

	// ReadSealed reads the person for whom a code was sealed, and the grant with this id; the Grant is empty while the code is
	// unspent. ErrNotFound: there is no such account.
	ReadSealed(ctx context.Context, accountID, grantID string) (GrantRead, error)
	// SpendSealed writes the grant of a sealed code and nothing else, which spends it (SpendCode's reasons); ErrGone when there is
	// one, or no such account or client.
	SpendSealed(ctx context.Context, g Grant) error

	// ReadGrant: ErrNotFound when there is none.
	ReadGrant(ctx context.Context, id string) (GrantRead, error)
	// Rotate steps the refresh generation and writes the access token; ErrGone, and nothing is written,
	// unless the grant is live at generation From, the client enabled and the person allowed.
	Rotate(ctx context.Context, r Rotation) error

	// InsertToken writes an access token of client_credentials, or one more for a live grant (the grace of
	// a refresh): ErrGone when the client is disabled, the grant revoked or its person not allowed.
	InsertToken(ctx context.Context, t Token) error
	// ReadToken: ErrNotFound when there is none. Revoked tokens and grants are returned as such.
	ReadToken(ctx context.Context, sig []byte) (TokenRead, error)
	// RevokeToken ends one access token of the client. No row is no error (RFC 7009 §2.2).
	RevokeToken(ctx context.Context, sig []byte, clientID string, at time.Time) error
	// RevokeGrant ends a grant and, through it, all its tokens. No row is no error.
	RevokeGrant(ctx context.Context, id string, at time.Time) error
}
