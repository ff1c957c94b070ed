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
	ErrNoSecret = errors.New("the client has no secret: its token_endpoint_auth_method is none")
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
	// ListClients reads up to n clients in the order of their ids, beginning after one; without secrets. One whose
	// document cannot be read (a later release wrote it) comes without its Metadata.
	ListClients(ctx context.Context, after string, n int) ([]*Client, error)
	// InsertClient adds a client and its secrets; ErrExists.
	InsertClient(ctx context.Context, c *Client) error
	// UpdateClient writes all of a client but its secrets and CreatedAt; ErrNotFound.
	UpdateClient(ctx context.Context, c *Client) error
	// DeleteClient removes a client and all that hangs on it; ErrNotFound.
	DeleteClient(ctx context.Context, id string) error
	// InsertClientSecret adds a secret to a client.
	InsertClientSecret(ctx context.Context, clientID string, s Secret) error
	// ExpireClientSecret sets a secret's end.
	ExpireClientSecret(ctx context.Context, secretID string, at time.Time) error
	// DeleteClientSecret removes a secret.
	DeleteClientSecret(ctx context.Context, secretID string) error
}
