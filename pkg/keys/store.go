package keys

import (
	"context"
	"errors"
	"time"
)

// ErrNoKey says that no signing key has this id, or that it is not in the state that a change needs.
var ErrNoKey = errors.New("no such signing key")

// Purpose is the purpose of the signing keys that the key set publishes. A row has one, so that later keys
// (DKIM) can stand beside them and never appear in the set.
const Purpose = "oidc"

// The states of a signing key.
const (
	Next    = "next"    // published, does not sign yet
	Active  = "active"  // signs; one an algorithm
	Retired = "retired" // signs no more; published until RemoveAt
)

// Row is a signing key as it stands in the database.
type Row struct {
	KID, Purpose, Alg, State string
	Public                   string // the public JWK
	Sealed                   []byte // the private JWK, for (signing_key, sealed, KID)
	CreatedAt, ActiveAt      time.Time
	RetiredAt, RemoveAt      time.Time
}

// SecretRow is a secret as it stands in the database.
type SecretRow struct {
	Purpose   string
	Sealed    []byte // for (secret, sealed, Purpose)
	CreatedAt time.Time
}

// Column is one that holds sealed values, and the column that names the row in them.
type Column struct{ Table, Column, Row string }

// Columns are all columns that hold sealed values: what a reseal walks.
var Columns = []Column{
	{"secret", "sealed", "purpose"},
	{"signing_key", "sealed", "kid"},
	{"client_secret", "sealed", "id"},
	{"outbox", "sealed", "id"},
	{"data_export", "sealed", "id"},
	{"recovery_request", "note", "id"},
}

// SealedValue is one value of a Column.
type SealedValue struct {
	Row    string
	Sealed []byte
}

// Store keeps keys and secrets. Changes of keys are made within Locked and InTx, and end with RaiseKeys.
type Store interface {
	// Locked runs fn while no other server runs anything under this name.
	Locked(ctx context.Context, name string, fn func(ctx context.Context) error) error
	// InTx runs fn in one transaction, joining one that is open.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error

	// KeysRevision is a number that grows with every RaiseKeys.
	KeysRevision(ctx context.Context) (int64, error)
	// RaiseKeys tells all servers that keys or secrets have changed, when the transaction commits.
	RaiseKeys(ctx context.Context) error

	// SigningKeys reads all keys of a purpose, retired ones too.
	SigningKeys(ctx context.Context, purpose string) ([]Row, error)
	// InsertSigningKey adds a key.
	InsertSigningKey(ctx context.Context, r Row) error
	// ActivateSigningKey makes a next key active at a time; ErrNoKey when it is not next any more.
	ActivateSigningKey(ctx context.Context, kid string, at time.Time) error
	// RetireSigningKey ends a key that is in the given state; it leaves the key set at remove. ErrNoKey when it is
	// not in that state. A key that is retired already keeps the time at which it was.
	RetireSigningKey(ctx context.Context, kid, state string, at, remove time.Time) error

	// SealedSecrets reads all secrets.
	SealedSecrets(ctx context.Context) ([]SecretRow, error)
	// InsertSecret adds a secret.
	InsertSecret(ctx context.Context, r SecretRow) error

	// SealedValues reads up to n values of a column, ordered by row, beginning after a row; NULL and empty
	// ones are left out.
	SealedValues(ctx context.Context, c Column, after string, n int) ([]SealedValue, error)
	// ReplaceSealed puts fresh where old stands; false when something else stands there by now.
	ReplaceSealed(ctx context.Context, c Column, row string, old, fresh []byte) (bool, error)
}
