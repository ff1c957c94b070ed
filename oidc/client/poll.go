package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	maxOrigins    = 100_000
	rebuildEvery  = time.Minute
	originsInPage = 500
	originsAtOnce = 100
)

// origins is the set of all enabled clients' origins, for preflights. Between two rebuilds it only grows: an
// origin too many costs nothing, for the request that follows is held to its own client.
type origins struct {
	set   map[string]struct{}
	built time.Time
	stale bool // a client may have gone or lost an origin
	full  bool // maxOrigins was reached; said in the log once a rebuild
}

// AllowsOrigin tells whether an origin belongs to any enabled client. Scripts of others get no preflight
// answered; the request that follows must still pass its own client's AllowsOrigin. It knows at most 100,000
// origins, and nothing before Run's first poll.
func (r *Registry) AllowsOrigin(origin string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.origins.set[origin]
	return ok
}

// Run keeps the cache true to the database: each second it asks for the revision and drops what has changed.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for failing := false; ; {
		err := r.Poll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			r.cfg.Logger.ErrorContext(ctx, "clients: the database does not tell what has changed", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// Wake makes Run look at once: the database has said that a client has changed. It never waits.
func (r *Registry) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Ready tells whether the cache heeds what the database says: an error when the last poll that succeeded is
// more than five seconds ago.
func (r *Registry) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.polled.IsZero() || r.cfg.Now().Sub(r.polled) > staleAfter {
		return errors.New("clients: the last look at what has changed is too old")
	}
	return nil
}

// Poll is one round of Run. Two steps: the revision's row, and only when it has grown the clients changed.
func (r *Registry) Poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	newest, err := r.cfg.Store.ClientsRevision(ctx)
	if err != nil {
		return fmt.Errorf("read the clients' revision: %w", err)
	}
	r.mu.Lock()
	seen, first := r.seen, r.polled.IsZero()
	r.mu.Unlock()
	switch {
	case first || newest < seen:
		// What was cached before the first look may have changed since; a smaller number is another database.
		r.forgetAll()
	case newest > seen:
		if err := r.heed(ctx, seen, newest); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.seen, r.polled = newest, r.cfg.Now()
	r.mu.Unlock()
	return r.rebuildOrigins(ctx)
}

// heed drops the clients changed in (seen, newest]. A revision that no client carries was a deletion, or a
// change that a later one covers: then everything is dropped, for nothing tells which client it was.
func (r *Registry) heed(ctx context.Context, seen, newest int64) error {
	changed, err := r.cfg.Store.ChangedClients(ctx, seen, newest)
	if err != nil {
		return fmt.Errorf("read which clients have changed: %w", err)
	}
	if int64(len(changed)) < newest-seen {
		r.forgetAll()
	}
	ids := make([]string, 0, len(changed))
	for _, ch := range changed {
		ids = append(ids, ch.ID)
	}
	r.forget(ids...)
	r.mu.Lock()
	r.origins.stale = true
	if len(ids) > originsAtOnce {
		// So many that one look at all is cheaper.
		r.origins.built, ids = time.Time{}, nil
	}
	r.mu.Unlock()
	for _, id := range ids {
		c, err := r.Get(ctx, id)
		if err != nil {
			continue // it is gone, or cannot be read: one client must not hold up what is known of all others
		}
		r.mu.Lock()
		r.origins.add(c)
		r.mu.Unlock()
	}
	return nil
}

// forgetAll drops all of the cache.
func (r *Registry) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	r.clients.clear()
	r.absent.clear()
	r.servers.clear()
	r.origins.stale = true
}

// rebuildOrigins reads all clients' origins anew, page by page, when some may have gone: at most once a minute.
func (r *Registry) rebuildOrigins(ctx context.Context) error {
	now := r.cfg.Now()
	r.mu.Lock()
	due := r.origins.set == nil || r.origins.stale && now.Sub(r.origins.built) >= rebuildEvery
	r.mu.Unlock()
	if !due {
		return nil
	}
	fresh := origins{set: map[string]struct{}{}, built: now}
	for after, more := "", true; more; {
		page, err := r.cfg.Store.ListClients(ctx, after, originsInPage)
		if err != nil {
			return fmt.Errorf("read the clients' origins: %w", err)
		}
		for _, c := range page {
			fresh.add(c)
			after = c.ID
		}
		more = len(page) == originsInPage && !fresh.full
	}
	if fresh.full {
		r.cfg.Logger.WarnContext(ctx, "clients: more origins than are kept; scripts of the others cannot ask", "kept", maxOrigins)
	}
	r.mu.Lock()
	r.origins = fresh
	r.mu.Unlock()
	return nil
}

// add takes a client's origins in, up to the bound.
func (o *origins) add(c *Client) {
	if !c.Enabled() || o.set == nil {
		return
	}
	for _, origin := range c.origins() {
		if len(o.set) >= maxOrigins {
			o.full = true
			return
		}
		o.set[origin] = struct{}{}
	}
}
