package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbound"
)

const (
	defaultCached = 10_000
	maxCachedSize = 64 << 20 // bytes of documents, roughly
	// Pictures are asked for by every visitor's browser.
	maxCachedLogos = 16 << 20
	maxAbsent      = 10_000
	absentFor      = time.Second
	pollEvery      = time.Second
	staleAfter     = 5 * time.Second
	loadTimeout    = 5 * time.Second
)

// Config is what a Registry is made of.
type Config struct {
	Store     Store
	Now       func() time.Time
	Issuer    string           // whom client assertions must be meant for
	Keys      *keys.Ring       // keeps secrets, makes pairwise subjects, signs what clients get
	Outbound  *outbound.Client // fetches what clients name; nil: nothing is fetched
	Audit     audit.Log        // nil: changes are not recorded
	MaxCached int              // clients kept in memory; default 10,000
	Logger    *slog.Logger     // default slog.Default()
}

// Registry knows the clients: a bounded cache over the Store, invalidated by id.
type Registry struct {
	cfg  Config
	load singleflight.Group

	mu      sync.Mutex
	clients *lru[*Client]
	absent  *lru[time.Time] // ids that no client had at that time
	epoch   uint64          // grows with every invalidation
	seen    int64           // the newest revision that the cache heeds
	polled  time.Time       // when that was last known to be so; zero: never
	origins origins
	wake    chan struct{}
	servers *lru[string]  // resource → the client that serves it; empty: none
	keySets *lru[*keySet] // jwks_uri → what stood there
	logos   *lru[[]byte]  // client and LogoHash → the picture

	hashKey     []byte
	pairwiseKey []byte
}

// NewRegistry panics on a Config without Store, Now or Keys: that is a mistake of the wiring, not of an input.
func NewRegistry(cfg Config) *Registry {
	if cfg.Store == nil || cfg.Now == nil || cfg.Keys == nil {
		panic("client.NewRegistry: Store, Now and Keys are needed")
	}
	if cfg.MaxCached <= 0 {
		cfg.MaxCached = defaultCached
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Registry{
		cfg:         cfg,
		wake:        make(chan struct{}, 1),
		clients:     newLRU[*Client](cfg.MaxCached, maxCachedSize),
		absent:      newLRU[time.Time](maxAbsent, maxCachedSize),
		servers:     newLRU[string](maxAbsent, maxCachedSize),
		keySets:     newLRU[*keySet](maxKeySets, maxCachedSize),
		logos:       newLRU[[]byte](defaultCached, maxCachedLogos),
		hashKey:     cfg.Keys.Secret(keys.SecretClient),
		pairwiseKey: cfg.Keys.Secret(keys.SecretPairwise),
	}
}

// Get finds an enabled or disabled client. ErrNotFound: there is none. The *Client is shared: never change it.
// It reads outside the caller's transaction.
func (r *Registry) Get(ctx context.Context, id string) (*Client, error) {
	if id == "" || len(id) > MaxID || !visible(id) {
		return nil, ErrNotFound // never asked of the database, which refuses NUL
	}
	r.mu.Lock()
	c, hit := r.clients.get(id)
	since, known := r.absent.get(id)
	epoch := r.epoch
	r.mu.Unlock()
	switch {
	case hit:
		return c, nil
	case known && r.cfg.Now().Sub(since).Abs() < absentFor:
		return nil, ErrNotFound
	}
	// Whoever asks after something was forgotten must not join a read that began before.
	done := r.load.DoChan(strconv.FormatUint(epoch, 10)+" "+id, func() (any, error) { return r.fetch(id, epoch) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case res := <-done:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Client), nil
	}
}

// fetch reads a client for all who wait for it: in a context of its own, so that one who gives up does not
// fail the others, and nobody's open transaction is read from.
func (r *Registry) fetch(id string, epoch uint64) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	c, err := r.cfg.Store.ReadClient(ctx, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	// If something was invalidated meanwhile, what was read may be from before: good for this answer only.
	fresh := epoch == r.epoch
	switch {
	case errors.Is(err, ErrNotFound):
		if fresh {
			r.absent.put(id, r.cfg.Now(), len(id))
		}
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("read the client: %w", err)
	}
	if fresh {
		r.clients.put(id, c, c.size())
	}
	return c, nil
}

// size is what a client weighs in the cache, roughly.
func (c *Client) size() int {
	n := 1024 + len(c.ID) + len(c.Metadata.JWKS) + len(c.Metadata.Scope)
	for _, list := range [][]string{c.Metadata.RedirectURIs, c.Metadata.PostLogoutRedirectURIs, c.Metadata.RequestURIs,
		c.Metadata.Resources, c.Metadata.ResourceServerFor, c.Metadata.Contacts} {
		for _, s := range list {
			n += len(s) + 16
		}
	}
	for name, s := range c.Metadata.Localized {
		n += len(name) + len(s) + 32
	}
	return n
}

// forget drops ids from the cache.
func (r *Registry) forget(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	r.servers.clear() // few, and any client may serve any of them
	for _, id := range ids {
		r.clients.drop(id)
		r.absent.drop(id)
	}
}

// List reads up to n clients (at most 1000) in the order of their ids, beginning after one; without secrets.
func (r *Registry) List(ctx context.Context, after string, n int) ([]*Client, error) {
	if n <= 0 || n > 1000 {
		n = 1000
	}
	list, err := r.cfg.Store.ListClients(ctx, after, n)
	if err != nil {
		return nil, fmt.Errorf("list the clients: %w", err)
	}
	return list, nil
}
