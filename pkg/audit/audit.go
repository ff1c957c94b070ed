package audit

import (
	"context"
	"errors"
	"time"
)

// ErrUnknown refuses an event or an actor kind that is not in the lists below.
var ErrUnknown = errors.New("unknown audit event or actor kind")

// Who acted.
const (
	ActorAccount   = "account"   // a person; ActorID is the account's id
	ActorClient    = "client"    // a site; ActorID is its client_id
	ActorOperator  = "operator"  // the command line
	ActorSystem    = "system"    // the server by itself
	ActorAnonymous = "anonymous" // nobody known, as at a failed sign-in
)

// Event names.
const (
	AccountRegistered      = "account.registered"
	AccountConfirmed       = "account.confirmed"
	AccountCancelled       = "account.cancelled"
	AccountCreated         = "account.created"
	AccountChanged         = "account.changed"
	AccountDisabled        = "account.disabled"
	AccountEnabled         = "account.enabled"
	AccountDeleted         = "account.deleted"
	AccountPasswordChanged = "account.password_changed"
	AccountAddressChanged  = "account.address_changed"
	AccountAddressAdded    = "account.address_added"
	AccountAddressRemoved  = "account.address_removed"
	AccountClosing         = "account.closing"
	AccountReopened        = "account.reopened"
	AccountRecoveryChanged = "account.recovery_changed" // the recovery address, or the question: the detail says
	AccountAnswerWrong     = "account.answer_wrong"
	AccountExportAsked     = "account.export_asked"
	AccountExported        = "account.exported" // downloaded
	AccountRecoveryAsked   = "account.recovery_asked"
	AccountTermsAccepted   = "account.terms_accepted"
	AccountLookedUp        = "account.looked_up" // whether there is one, was asked by mail
	AccountLocked          = "account.locked"    // by its owner: "this wasn't me"

	RequestOpened   = "request.opened" // somebody says that the account is theirs, and that they can read none of its mail
	RequestStopped  = "request.stopped"
	RequestApproved = "request.approved"
	RequestDenied   = "request.denied"

	LoginSucceeded = "login.succeeded"
	LoginFailed    = "login.failed"
	LoginAllowed   = "login.allowed" // by mail, in a browser that the account did not know
	LoginEnded     = "login.ended"

	ConsentGranted = "consent.granted"
	ConsentDenied  = "consent.denied"
	ConsentRevoked = "consent.revoked"

	CodeReplayed  = "code.replayed"
	RefreshReused = "refresh.reused"

	ClientCreated       = "client.created"
	ClientChanged       = "client.changed"
	ClientDisabled      = "client.disabled"
	ClientEnabled       = "client.enabled"
	ClientDeleted       = "client.deleted"
	ClientVerified      = "client.verified" // or not any more: the detail says
	ClientSecretRotated = "client.secret_rotated"

	RegistrationTokenCreated = "registration_token.created"
	RegistrationTokenRevoked = "registration_token.revoked"

	InvitationCreated = "invitation.created"
	InvitationRevoked = "invitation.revoked"

	LimitCleared = "limit.cleared" // of the subject, else of the network or domain in the detail

	DatabaseRestored = "database.restored" // from a copy: all that was begun before is void
)

var events = set(
	AccountRegistered, AccountConfirmed, AccountCancelled, AccountCreated, AccountChanged, AccountDisabled,
	AccountEnabled, AccountDeleted, AccountPasswordChanged, AccountAddressChanged, AccountClosing, AccountReopened, AccountExportAsked, AccountExported, AccountRecoveryAsked, AccountTermsAccepted, AccountLookedUp, AccountLocked,
	AccountAddressAdded, AccountAddressRemoved, AccountRecoveryChanged, AccountAnswerWrong,
	RequestOpened, RequestStopped, RequestApproved, RequestDenied,
	LoginSucceeded, LoginFailed, LoginAllowed, LoginEnded,
	ConsentGranted, ConsentDenied, ConsentRevoked,
	CodeReplayed, RefreshReused,
	ClientCreated, ClientChanged, ClientDisabled, ClientEnabled, ClientDeleted, ClientVerified,
	ClientSecretRotated,
	RegistrationTokenCreated, RegistrationTokenRevoked,
	InvitationCreated, InvitationRevoked,
	LimitCleared,
	DatabaseRestored,
)

var actors = set(ActorAccount, ActorClient, ActorOperator, ActorSystem, ActorAnonymous)

// Event is one thing that happened.
type Event struct {
	Event     string         // one of the names above
	ActorKind string         // one of the kinds above
	ActorID   string         // of the actor's kind; may be empty
	Subject   string         // the account that it is about
	ClientID  string         // the client that it is about
	Session   string         // the login's id
	Detail    map[string]any // nothing secret
	At        time.Time      // the zero time: the database's
}

// Log records events.
type Log interface {
	// Record writes e in the transaction that ctx carries, else by itself.
	// ErrUnknown refuses a name or a kind that is not in the lists.
	Record(ctx context.Context, e Event) error
}

// Reader reads events back.
type Reader interface {
	// Events gives the events about an account, newest first, that are older than before (the zero time: all).
	Events(ctx context.Context, subject string, before time.Time, limit int) ([]Event, error)
}

// Valid tells whether event is in the list.
func Valid(event string) bool { return events[event] }

// ValidActor tells whether kind is in the list.
func ValidActor(kind string) bool { return actors[kind] }

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
