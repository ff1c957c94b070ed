package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The purposes of the secrets: 32 random bytes each, never used for two things.
const (
	SecretToken    = "token"         // refresh tokens
	SecretClient   = "client-secret" // HMAC of client secrets
	SecretLimit    = "limit"         // HMAC of the keys of limits
	SecretSID      = "sid"           // sid = HMAC(login, client)
	SecretPairwise = "pairwise"      // pairwise subjects
	SecretDevice   = "device"        // device cookies
	SecretForm     = "form"          // one-time ids of forms
)

var purposes = []string{SecretToken, SecretClient, SecretLimit, SecretSID, SecretPairwise, SecretDevice, SecretForm}

const (
	// pollEvery and lag: every running server has seen a change of keys within lag, or says that it is not ready.
	pollEvery = time.Second
	lag       = 5 * time.Second
	// promoteTime is how long a poll waits for whoever changes keys, and the next poll for it.
	promoteTime = time.Second

	lockName = "keys"
)

// Defaults of Config.
const (
	DefaultKeySetMaxAge  = 5 * time.Minute
	DefaultTokenLifetime = 24 * time.Hour
)

// Config is what a Ring needs.
type Config struct {
	Store  Store
	Sealer *Sealer
	Now    func() time.Time
	// KeySetMaxAge is how long a relying party may keep the key set: a new key is published that long before it
	// signs. 0: DefaultKeySetMaxAge.
	KeySetMaxAge time.Duration
	// TokenLifetime is how long a signature may be looked at: a retired key stays published that long.
	// 0: DefaultTokenLifetime.
	TokenLifetime time.Duration
	Logger        *slog.Logger // default slog.Default()
}

// Ring holds the signing keys and secrets as the database has them. Reading it takes no lock.
type Ring struct {
	store    Store
	sealer   *Sealer
	now      func() time.Time
	maxAge   time.Duration
	lifetime time.Duration
	logger   *slog.Logger

	current atomic.Pointer[snapshot]
	polled  atomic.Int64 // when what it has was asked for, in µs
	polling sync.Mutex   // one poll or change at a time in this process
	wake    chan struct{}
}

// Open reads the ring, and makes what is missing: all keys and secrets at the first start. Servers that start
// together on an empty database make them once. ErrWrongSecret when the database was made with another secret.
func Open(ctx context.Context, c Config) (*Ring, error) {
	switch {
	case c.Store == nil || c.Sealer == nil || c.Now == nil:
		return nil, errors.New("a key ring needs a store, a sealer and a clock")
	case c.KeySetMaxAge < 0 || c.TokenLifetime < 0:
		return nil, errors.New("the key set's max-age and the tokens' lifetime cannot be negative")
	}
	r := &Ring{store: c.Store, sealer: c.Sealer, now: c.Now, wake: make(chan struct{}, 1),
		maxAge:   cmp.Or(c.KeySetMaxAge, DefaultKeySetMaxAge),
		lifetime: cmp.Or(c.TokenLifetime, DefaultTokenLifetime),
		logger:   cmp.Or(c.Logger, slog.Default())}
	asked := r.now()
	// Opened before anything is made: a wrong secret must not add keys of its own.
	snap, err := r.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the key ring: %w", err)
	}
	if !snap.complete() {
		if err := r.store.Locked(ctx, lockName, r.fill); err != nil {
			return nil, fmt.Errorf("make the first keys: %w", err)
		}
		asked = r.now()
		if snap, err = r.load(ctx); err != nil {
			return nil, fmt.Errorf("open the key ring: %w", err)
		}
	}
	r.use(snap, asked)
	return r, nil
}

// fill makes the keys and secrets that are missing. It runs under the lock, so it looks again first.
func (r *Ring) fill(ctx context.Context) error {
	snap, err := r.load(ctx)
	if err != nil || snap.complete() {
		return err
	}
	return r.store.InTx(ctx, func(ctx context.Context) error {
		now := r.now()
		for _, alg := range Algs {
			if snap.signing[alg] != nil {
				continue
			}
			row, err := newRow(r.sealer, alg, Active, now, now)
			if err != nil {
				return err
			}
			if err := r.store.InsertSigningKey(ctx, row); err != nil {
				return fmt.Errorf("store a %s key: %w", alg, err)
			}
		}
		for _, purpose := range purposes {
			if snap.secrets[purpose] != nil {
				continue
			}
			if err := r.makeSecret(ctx, purpose, now); err != nil {
				return err
			}
		}
		return r.store.RaiseKeys(ctx)
	})
}

func (r *Ring) makeSecret(ctx context.Context, purpose string, now time.Time) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return fmt.Errorf("draw the secret %s: %w", purpose, err)
	}
	sealed, err := r.sealer.Seal("secret", "sealed", purpose, secret)
	if err != nil {
		return fmt.Errorf("seal the secret %s: %w", purpose, err)
	}
	if err := r.store.InsertSecret(ctx, SecretRow{Purpose: purpose, Sealed: sealed, CreatedAt: now}); err != nil {
		return fmt.Errorf("store the secret %s: %w", purpose, err)
	}
	return nil
}

// load reads everything. The revision is read first: what changes in between is seen again by the next poll.
func (r *Ring) load(ctx context.Context) (*snapshot, error) {
	revision, err := r.store.KeysRevision(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the revision of the keys: %w", err)
	}
	rows, err := r.store.SigningKeys(ctx, Purpose)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	secrets, err := r.store.SealedSecrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the secrets: %w", err)
	}
	return newSnapshot(r.sealer, revision, rows, secrets, r.now(), r.current.Load())
}

// use takes up what was asked for at a time.
func (r *Ring) use(snap *snapshot, asked time.Time) {
	r.current.Store(snap)
	r.polled.Store(asked.UnixMicro())
}

// Run keeps the ring as the database has it, until ctx ends. A poll that fails changes nothing: the keys at
// hand go on, and Ready tells when nobody knows any more whether they are right.
func (r *Ring) Run(ctx context.Context) error {
	ticks := time.NewTicker(pollEvery)
	defer ticks.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		case <-r.wake:
		}
		err := r.Poll(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.logger.ErrorContext(ctx, "keys: they cannot be kept as the database has them", "error", err)
		}
		failing = err != nil
	}
}

// Wake makes Run look at once: the database has said that something has changed. It never waits.
func (r *Ring) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Poll is one round of Run: it reads what has changed and promotes next keys that are due. That they cannot be
// promoted, because somebody holds the lock, is an error and keeps nobody from being ready: the key before is published
// as long as it signs, and signs on. One that may sign no more was retired, by whoever did it, in one step with its
// successor's beginning; that is read here.
func (r *Ring) Poll(ctx context.Context) error {
	r.polling.Lock()
	defer r.polling.Unlock()
	// A database that hangs must show in Ready, not hold up the next poll for good.
	ctx, cancel := context.WithTimeout(ctx, lag)
	defer cancel()
	if err := r.refresh(ctx); err != nil || !r.due() {
		return err
	}
	return errors.Join(r.promote(ctx), r.refresh(ctx))
}

// refresh reloads when the revision has changed, or when a retired key's time in the set is over.
func (r *Ring) refresh(ctx context.Context) error {
	asked := r.now() // what changes while the answers come is not in them
	revision, err := r.store.KeysRevision(ctx)
	if err != nil {
		return fmt.Errorf("read the revision of the keys: %w", err)
	}
	snap := r.current.Load()
	if snap.revision != revision || (!snap.until.IsZero() && !r.now().Before(snap.until)) {
		fresh, err := r.load(ctx)
		if err != nil {
			return fmt.Errorf("reload the keys: %w", err)
		}
		if !fresh.complete() {
			return errors.New("reload the keys: a signing key or a secret is missing")
		}
		snap = fresh
	}
	r.use(snap, asked)
	return nil
}

// Ready tells whether the ring is as the database had it in the last few seconds.
func (r *Ring) Ready() error {
	if age := r.now().Sub(time.UnixMicro(r.polled.Load())); age > lag {
		return fmt.Errorf("the signing keys were last read %s ago", age.Truncate(time.Second))
	}
	return nil
}

// Signer returns the key that signs with an algorithm now. ErrNoKey for one that we have none for.
func (r *Ring) Signer(alg string) (*Key, error) {
	k := r.current.Load().signing[alg]
	if k == nil {
		return nil, fmt.Errorf("sign with %q: %w", alg, ErrNoKey)
	}
	return k, nil
}

// Public finds the key that signed something of ours: one that signs, or one that was rotated out, however
// long ago (an id_token_hint may be old). Keys retired by hand are not found: they may be in other hands.
func (r *Ring) Public(kid string) (jose.JSONWebKey, bool) {
	k, ok := r.current.Load().hints[kid]
	return k, ok
}

// KeySet is the JWK set (RFC 7517 §5) as it is served. Not to be changed.
func (r *Ring) KeySet() []byte { return r.current.Load().set }

// ETag is the strong validator (RFC 9110 §8.8.3) of KeySet.
func (r *Ring) ETag() string { return r.current.Load().etag }

// MaxAge is how long the key set may be cached.
func (r *Ring) MaxAge() time.Duration { return r.maxAge }

// Secret returns the secret of a purpose, one of the Secret… constants; nil for any other. Not to be changed.
func (r *Ring) Secret(purpose string) []byte { return r.current.Load().secrets[purpose] }

// Sealer is the Sealer that the ring was opened with.
func (r *Ring) Sealer() *Sealer { return r.sealer }
