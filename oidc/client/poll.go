package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	set    map[string]struct{} // nil: none has been built yet
	next   map[string]struct{} // the one that is being built, which takes in what changes bring meanwhile; nil: none is
	built  time.Time
	stale  bool // a client may have gone or lost an origin
	soon   bool // origins may be missing
	failed bool // the last build did, and the log has it
}

// AllowsOrigin tells whether an origin belongs to any enabled client. Scripts of others get no preflight
// answered; the request that follows must still pass its own client's AllowsOrigin. It knows at most 100,000
// origins, and none before Run has read them once: until then Ready says so.
func (r *Registry) AllowsOrigin(origin string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.origins.set[origin]
	return ok
}

// Run keeps the cache true to the database: each second it asks for the revision and drops what has changed.
// To read all clients' origins may take long, and no change waits for it.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var building sync.WaitGroup
	defer building.Wait()
	for failing := false; ; {
		err := r.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			r.cfg.Logger.ErrorContext(ctx, "clients: the database does not tell what has changed", "error", err)
		case err == nil && r.claimOrigins():
			building.Go(func() { _ = r.readOrigins(ctx) }) // it logs its failure, and the next round begins again
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

// Ready tells whether the cache heeds what the database says: an error when what the last poll that succeeded
// saw is more than five seconds old, or when the origins have not been read yet, for every preflight would be refused.
func (r *Registry) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.polled.IsZero() || r.cfg.Now().Sub(r.polled) > staleAfter:
		return errors.New("clients: the last look at what has changed is too old")
	case r.origins.set == nil:
		return errors.New("clients: their origins have not been read yet")
	}
	return nil
}

// Poll is one round of Run that also waits for the origins, unless somebody reads them already.
func (r *Registry) Poll(ctx context.Context) error {
	err := r.look(ctx)
	if err != nil || !r.claimOrigins() {
		return err
	}
	return r.readOrigins(ctx)
}

// look asks what has changed. Two steps: the revision's row, and only when it has grown the clients changed.
func (r *Registry) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	asked := r.cfg.Now() // what changes while the answers come is not in them
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
	r.seen, r.polled = newest, asked
	r.mu.Unlock()
	return nil
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
	r.learnOrigins(ctx, ids)
	return nil
}

// learnOrigins takes in the origins of clients that have changed. It has a second, for the next change waits meanwhile;
// where that does not do, or one look at all is cheaper, all are read anew.
func (r *Registry) learnOrigins(ctx context.Context, ids []string) {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	soon := len(ids) > originsAtOnce
	for i := 0; i < len(ids) && !soon; i++ {
		c, err := r.Get(ctx, ids[i])
		soon = ctx.Err() != nil
		if err != nil || !c.Enabled() {
			continue // it is gone, or cannot be read: one client must not hold up what is known of all others
		}
		r.mu.Lock()
		keep(r.origins.set, c.origins())
		keep(r.origins.next, c.origins())
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.origins.stale = true
	r.origins.soon = r.origins.soon || soon
	r.mu.Unlock()
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

// claimOrigins tells whether all clients' origins are to be read anew, and nobody does so already: when some are missing,
// or, at most once a minute, when some may have gone. Who is told so calls readOrigins.
func (r *Registry) claimOrigins() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.origins
	due := o.set == nil || o.soon || o.stale && r.cfg.Now().Sub(o.built) >= rebuildEvery
	if !due || o.next != nil {
		return false
	}
	o.next, o.built, o.stale, o.soon = map[string]struct{}{}, r.cfg.Now(), false, false
	return true
}

// readOrigins builds the set anew, page by page. Each page has a time of its own: however many there are, it ends.
func (r *Registry) readOrigins(ctx context.Context) error {
	full, err := r.readPages(ctx)
	r.mu.Lock()
	o := &r.origins
	if err == nil {
		o.set = o.next
	} else {
		o.soon = true
	}
	said := o.failed
	o.next, o.failed = nil, err != nil
	r.mu.Unlock()
	switch {
	case err != nil && !said && ctx.Err() == nil:
		r.cfg.Logger.ErrorContext(ctx, "clients: their origins cannot be read", "error", err)
	case full:
		r.cfg.Logger.WarnContext(ctx, "clients: more origins than are kept; scripts of the others cannot ask", "kept", maxOrigins)
	}
	return err
}

// readPages reads the origins of all enabled clients into the set that is being built; full: no more are kept.
func (r *Registry) readPages(ctx context.Context) (full bool, err error) {
	for after, more := "", true; more && !full; {
		page, err := r.readPage(ctx, after)
		if err != nil {
			return false, fmt.Errorf("read the clients' origins: %w", err)
		}
		var found []string
		for _, c := range page {
			found = append(found, c.origins()...)
			after = c.ID
		}
		r.mu.Lock()
		full = !keep(r.origins.next, found)
		r.mu.Unlock()
		more = len(page) == originsInPage
	}
	return full, nil
}

func (r *Registry) readPage(ctx context.Context, after string) ([]*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return r.cfg.Store.ListRedirects(ctx, after, originsInPage)
}

// keep adds origins to a set that there is, up to the bound: false when not all have room.
func keep(set map[string]struct{}, list []string) bool {
	for _, origin := range list {
		if set == nil || len(set) >= maxOrigins {
			return false
		}
		set[origin] = struct{}{}
	}
	return true
}
