package oidc

import (
	"context"

	"github.com/passport-network/passport/oidc/grant"
)

// Store is grant.Store, and the transaction in which a person's decision and its audit row are one.
type Store interface {
	grant.Store
	// InTx runs fn in one transaction, joining one that is open. An error of fn rolls back.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error
}
