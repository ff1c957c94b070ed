package session

import (
	"context"
	"time"
)

// Entry is a sign-in as it is written.
type Entry struct {
	SignIn
	Old       []byte    // SHA-256 of the secret that the browser brought; nil: none
	New       []byte    // SHA-256 of the one it is given
	AuthTime  time.Time // whole seconds
	At        time.Time
	ExpiresAt time.Time // of the browser
	Stale     time.Time // logins of the browser whose AuthTime is not after it are over
}

// Store persists sessions. Times are the caller's. Each method that writes does so in one transaction,
// the caller's where ctx carries one.
type Store interface {
	// InTx runs fn in one transaction, joining one that is open.
	InTx(ctx context.Context, fn func(ctx context.Context) error) error
	// ReadSession reads the browser whose secret hashes to hash, with its live logins, newest
	// authentication first; nil when there is none. The caller judges every expiry.
	ReadSession(ctx context.Context, hash []byte) (*Browser, error)
	// SaveSignIn drops every secret of the browser that Old names, puts New in its place and writes the
	// login: a live one of the same account keeps its id. Without a browser (or when its time is over at
	// e.At, or another sign-in was faster) there is a new one. ErrRefused, and nothing is written, unless the
	// account is active and e.Credential, where there is one, is still its: a sign-in that began before the
	// account was disabled or its password changed must not outlive EndLogins. Logins of other accounts that the browser
	// was not to keep end when it is to keep this one; ended are their ids.
	SaveSignIn(ctx context.Context, e Entry) (login Login, ended []string, err error)
	// RenewSecret puts one secret of a browser in another's place, and tells whether the browser is kept, and until when it
	// is known. ErrNoLogin: there is no such secret (of two that renew it at the same moment, one has).
	RenewSecret(ctx context.Context, old, renewed []byte, at time.Time) (kept bool, expires time.Time, err error)
	// EndLogins ends the live logins that q selects, revokes their grants that are not offline, and forgets what was
	// allowed for one of them alone. When a browser is named and has no live login left, its secrets are dropped. It returns the ids of the
	// logins that it ended.
	EndLogins(ctx context.Context, q Ending) ([]string, error)
	// ListLogins lists the live logins of an account, newest authentication first; with ended those that were ended, too.
	ListLogins(ctx context.Context, accountID string, ended bool) ([]Info, error)
}

// Ending selects logins; empty fields select nothing by themselves, and one of the first three must be there.
type Ending struct {
	BrowserID string // in this browser
	AccountID string // of this account
	LoginID   string // this one
	Except    string // but not this one
	At        time.Time
}
