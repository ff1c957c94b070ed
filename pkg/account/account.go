package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/pkg/outbox"
)

// PendingLifetime is how long a registration waits for its confirmation; it is purged then.
const PendingLifetime = 3 * 24 * time.Hour

var (
	// ErrLink: the link of a mail is unknown, used, late, or of another purpose. One answer for all of these.
	ErrLink = errors.New("the link holds no longer")
	// ErrPassword: a confirmation from another browser came with a wrong password.
	ErrPassword = errors.New("wrong password")
	// ErrNeedPassword: a confirmation from another browser came with no password.
	ErrNeedPassword = errors.New("a password is needed")
	// ErrCredentials: no account has this address with this password. One answer for all reasons.
	ErrCredentials = errors.New("wrong address or password")
	// ErrLimited: too many tries; errors.As finds *limit.Limited. At sign-in it is shown as ErrCredentials.
	ErrLimited = limit.ErrLimited
	// ErrNoPending: this browser has made no registration that still waits.
	ErrNoPending = errors.New("no pending registration")
	// ErrNotFound: there is no such account.
	ErrNotFound = errors.New("no such account")
	// ErrTaken: another account has proven this address.
	ErrTaken = errors.New("the address belongs to an account")
)

// FieldError is a value that a person typed and that cannot be taken.
type FieldError struct {
	Field string // the id of the form's field
	Key   string // the message key of the catalogue, or several with a space between: what is wrong, and why
}

// Error names the field and the key, never the value.
func (e *FieldError) Error() string { return e.Field + ": " + e.Key }

// Busy: the queue of password hashing is full. Answer 503 with Retry-After.
type Busy struct{ Retry time.Duration }

// Error implements error.
func (e *Busy) Error() string { return "too many passwords are being checked" }

// Is makes errors.Is(err, ErrBusy) true.
func (e *Busy) Is(target error) bool { return target == ErrBusy }

// ErrBusy is what every *Busy is.
var ErrBusy = errors.New("busy")

// Sessions ends what is signed in.
type Sessions interface {
	// EndAll ends all logins of the account but one ("": all).
	EndAll(ctx context.Context, accountID, exceptLoginID string) error
}

// Grants ends what sites may do in the account's name.
type Grants interface {
	// RevokeAll revokes all grants of the account.
	RevokeAll(ctx context.Context, accountID string) error
}

// Config is what a Directory works with. All fields but Hasher are required.
type Config struct {
	Store    Store
	Mail     *mail.Mailer
	Limits   *limit.Limiter
	Sessions Sessions
	Grants   Grants
	Audit    audit.Log
	Queue    *outbox.Queue // makes exports
	Sealer   *keys.Sealer  // seals them
	Now      func() time.Time
	Hasher   HasherConfig
	Door     Door // zero: open to all
	// Versions are those of the terms and the privacy policy that hold: who has accepted others is asked anew.
	Versions Versions
	Fields   Fields // of the registration form; zero: the name, required
	// Passwords says which new ones are taken; zero: of any strength.
	Passwords Passwords
	// Human says when a human check is wanted; zero: never.
	Human HumanCheck
	// Pictures is what the address of a picture begins with, up to its last slash: https://…/pictures/
	Pictures string
	// DeviceKey makes device cookies: at least 32 bytes, the same on every replica.
	DeviceKey []byte
}

// Directory is all people.
type Directory struct {
	store     Store
	mail      *mail.Mailer
	limits    *limit.Limiter
	sessions  Sessions
	grants    Grants
	audit     audit.Log
	queue     *outbox.Queue
	sealer    *keys.Sealer
	now       func() time.Time
	hasher    *hasher
	door      Door
	versions  Versions
	fields    Fields
	passwords Passwords
	pictures  string
	human     HumanCheck
	deviceKey []byte
}

// New makes a directory; it refuses a configuration with something missing.
func New(c Config) (*Directory, error) {
	if c.Store == nil || c.Mail == nil || c.Limits == nil || c.Sessions == nil || c.Grants == nil || c.Audit == nil || c.Queue == nil || c.Sealer == nil || c.Now == nil {
		return nil, errors.New("account: Store, Mail, Limits, Sessions, Grants, Audit, Queue, Sealer and Now are required")
	}
	if !strings.HasSuffix(c.Pictures, "/") {
		return nil, errors.New("account: Pictures must be an address that ends in a slash")
	}
	if len(c.DeviceKey) < 32 {
		return nil, errors.New("account: a DeviceKey of at least 32 bytes is required")
	}
	if c.Fields == (Fields{}) {
		c.Fields.Name = Required
	}
	if b := c.Passwords.Breaches; b != nil && (b.URL == "" || b.Outbound == nil || b.Logger == nil) {
		return nil, errors.New("account: Breaches needs URL, Outbound and Logger")
	}
	h, err := newHasher(c.Hasher)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return &Directory{
		store: c.Store, mail: c.Mail, limits: c.Limits, sessions: c.Sessions, grants: c.Grants,
		audit: c.Audit, queue: c.Queue, sealer: c.Sealer, now: c.Now, hasher: h, door: c.Door, versions: c.Versions, fields: c.Fields, passwords: c.Passwords, pictures: c.Pictures, human: c.Human, deviceKey: c.DeviceKey,
	}, nil
}

// Open tells whether people can register.
func (d *Directory) Open() bool { return !d.door.Closed }

// Hashes counts the argon2 runs so far: sign-in and registration make exactly one each.
func (d *Directory) Hashes() uint64 { return d.hasher.runs.Load() }
