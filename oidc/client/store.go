package client

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound: no client has this id.
	ErrNotFound = errors.New("no such client")
	// ErrExists: a client with this id exists already.
	ErrExists = errors.New("a client with this id exists already")
	// ErrNoSecret: the client authenticates without a secret.
	ErrNoSecret = errors.New("the client has no secret: its token_endpoint_auth_method has none")
	// ErrChanged: the client was changed by somebody else meanwhile. To be tried again.
	ErrChanged = errors.New("the client was changed meanwhile")
)

// Changed names a client and the revision that last changed it.
type Changed struct {
	ID       string
	Revision int64
}

// Store keeps clients. Every change is made inside InTx and carries a revision of RaiseClients of the same
// transaction: one revision a client changed, so that a reader of the revisions can see that it missed one.
type Store interface {
	// InTx runs fn in one transaction, joining one that is open.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error

	// ClientsRevision is the newest revision.
	ClientsRevision(ctx context.Context) (int64, error)
	// RaiseClients makes the next revision. Until its transaction ends no other can change a client.
	RaiseClients(ctx context.Context) (int64, error)
	// ChangedClients lists the clients whose last change lies in (after, upto].
	ChangedClients(ctx context.Context, after, upto int64) ([]Changed, error)

	// ReadClient reads a client with its secrets, in one statement whether it exists or not; ErrNotFound.
	ReadClient(ctx context.Context, id string) (*Client, error)
	// ListClients reads up to n clients in the order of their ids (the database's), beginning after one; without secrets.
	// One whose document cannot be read (a later release wrote it) comes without its Metadata.
	ListClients(ctx context.Context, after string, n int) ([]*Client, error)
	// ListRedirects lists the enabled ones likewise, with ID and Metadata alone.
	ListRedirects(ctx context.Context, after string, n int) ([]*Client, error)
	// InsertClient adds a client, its secrets and what it serves; ErrExists, ErrResourceTaken.
	InsertClient(ctx context.Context, c *Client) error
	// UpdateClient writes all of a client but its secrets, CreatedAt, RegisteredBy, RegistrationHash and UsedAt;
	// ErrNotFound, ErrResourceTaken.
	UpdateClient(ctx context.Context, c *Client) error
	// NoteClientUse notes the first use of a client, as no change of it.
	NoteClientUse(ctx context.Context, id string, at time.Time) error
	// DeleteClient removes a client and all that hangs on it; ErrNotFound.
	DeleteClient(ctx context.Context, id string) error
	// InsertClientSecret adds a secret to a client.
	InsertClientSecret(ctx context.Context, clientID string, s Secret) error
	// ExpireClientSecret sets a secret's end.
	ExpireClientSecret(ctx context.Context, secretID string, at time.Time) error
	// DeleteClientSecret removes a secret.
	DeleteClientSecret(ctx context.Context, secretID string) error

	// SaveClientLogo keeps a client's picture; nil takes it away.
	SaveClientLogo(ctx context.Context, clientID string, png []byte) error
	// ReadClientLogo: ErrNotFound when there is none.
	ReadClientLogo(ctx context.Context, clientID string) ([]byte, error)
	// ReadResourceServer is the id of the client that serves a resource; ErrNotFound.
	ReadResourceServer(ctx context.Context, resource string) (clientID string, err error)

	// ReadKeySet reads what is known of a jwks_uri; the zero KeySet when nothing is.
	ReadKeySet(ctx context.Context, uri string) (KeySet, error)
	// ClaimKeySet notes that a jwks_uri is asked now; false, and nothing is noted, when it was tried since.
	ClaimKeySet(ctx context.Context, uri string, now, since time.Time) (bool, error)
	// SaveKeySet keeps what came of asking a jwks_uri: all but TriedAt.
	SaveKeySet(ctx context.Context, uri string, set KeySet) error
	// SpendJTI notes a jti until a time; ErrReplayed when it is noted already.
	SpendJTI(ctx context.Context, key []byte, until time.Time) error

	// InsertRegistrationToken adds one.
	InsertRegistrationToken(ctx context.Context, t RegistrationToken) error
	// CheckRegistrationToken: ErrToken unless it has a use left at a time.
	CheckRegistrationToken(ctx context.Context, hash []byte, now time.Time) error
	// SpendRegistrationToken takes one use: ErrToken when none is left.
	SpendRegistrationToken(ctx context.Context, hash []byte, now time.Time) error
	// ListRegistrationTokens lists those with uses left at a time, the oldest first.
	ListRegistrationTokens(ctx context.Context, now time.Time) ([]RegistrationToken, error)
	// DeleteRegistrationToken: ErrNotFound.
	DeleteRegistrationToken(ctx context.Context, id string) error
}
