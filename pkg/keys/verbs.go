package keys

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Info is what the operator sees of a signing key.
type Info struct {
	KID       string    `json:"kid"`
	Alg       string    `json:"alg"`
	State     string    `json:"state"`
	Published bool      `json:"published"`
	CreatedAt time.Time `json:"created_at"`
	ActiveAt  time.Time `json:"active_at,omitzero"`  // next: signs from here on; else since
	RetiredAt time.Time `json:"retired_at,omitzero"` // signed until
	RemoveAt  time.Time `json:"remove_at,omitzero"`  // leaves, or left, the key set
}

// List returns all keys as the database has them now: those that sign, the next ones, the retired ones.
func (r *Ring) List(ctx context.Context) ([]Info, error) {
	r.polling.Lock()
	defer r.polling.Unlock()
	snap, err := r.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	list := make([]Info, 0, len(snap.rows))
	for _, row := range snap.rows {
		list = append(list, Info{KID: row.KID, Alg: row.Alg, State: row.State, Published: published(row, r.now()),
			CreatedAt: row.CreatedAt, ActiveAt: row.ActiveAt, RetiredAt: row.RetiredAt, RemoveAt: row.RemoveAt})
	}
	return list, nil
}

// Rotate makes the next key of each of these algorithms, of all without any, and publishes it; it signs as soon as
// every copy of the key set that lacks it is older than the set's max-age. An algorithm that has a next key keeps it.
// With immediately, the next keys sign at once: relying parties that hold an older key set fail until they fetch it.
func (r *Ring) Rotate(ctx context.Context, immediately bool, algs ...string) error {
	if len(algs) == 0 {
		algs = Algs
	}
	// Made before the lock and the transaction: RSA keys take a while, and SQLite has one writer.
	fresh := map[string]Row{}
	for _, alg := range algs {
		if !slices.Contains(Algs, alg) {
			return fmt.Errorf("rotate: %q: %w", alg, ErrNoKey)
		}
		row, err := newRow(r.sealer, alg, Next, time.Time{}, time.Time{})
		if err != nil {
			return err
		}
		fresh[alg] = row
	}
	return r.change(ctx, func(ctx context.Context, snap *snapshot) error {
		now := r.now()
		active := now.Add(r.maxAge + lag) // lag: until the last server has published it
		if immediately {
			active = now
		}
		for _, alg := range algs {
			next := snap.find(alg, Next)
			if next == nil {
				row := fresh[alg]
				row.CreatedAt, row.ActiveAt = now, active
				if err := r.store.InsertSigningKey(ctx, row); err != nil {
					return fmt.Errorf("store a %s key: %w", alg, err)
				}
				next = &row
			}
			if !immediately {
				continue
			}
			if err := r.activate(ctx, snap, *next, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// Retire takes a key out of the key set at once, for one that may be in other hands. If it signs, the next
// key of its algorithm, or a new one, signs in the same step. ErrNoKey when there is no such key.
func (r *Ring) Retire(ctx context.Context, kid string) error {
	return r.change(ctx, func(ctx context.Context, snap *snapshot) error {
		i := slices.IndexFunc(snap.rows, func(row Row) bool { return row.KID == kid })
		if i < 0 {
			return ErrNoKey
		}
		row, now := snap.rows[i], r.now()
		// Remove at the retirement's own time: that is how a key that was disowned is told from one whose
		// time in the set has passed.
		remove := now
		if row.State == Retired {
			remove = row.RetiredAt
		}
		if err := r.store.RetireSigningKey(ctx, kid, row.State, now, remove); err != nil {
			return fmt.Errorf("retire the key: %w", err)
		}
		if row.State != Active {
			return nil
		}
		if next := snap.find(row.Alg, Next); next != nil {
			return r.store.ActivateSigningKey(ctx, next.KID, now)
		}
		fresh, err := newRow(r.sealer, row.Alg, Active, now, now)
		if err != nil {
			return err
		}
		return r.store.InsertSigningKey(ctx, fresh)
	})
}

// due tells whether a next key should sign by now.
func (r *Ring) due() bool {
	now := r.now()
	return slices.ContainsFunc(r.current.Load().rows, func(row Row) bool {
		return row.State == Next && !now.Before(row.ActiveAt)
	})
}

// promote makes every next key that is due the one that signs. All servers try; the lock lets one do it, and
// the others find nothing left to do. Who does not get it in time tries again with the next poll.
func (r *Ring) promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, promoteTime)
	defer cancel()
	err := r.locked(ctx, func(ctx context.Context, snap *snapshot) (bool, error) {
		now, changed := r.now(), false
		for _, row := range snap.rows {
			if row.State != Next || now.Before(row.ActiveAt) {
				continue
			}
			changed = true
			if err := r.activate(ctx, snap, row, now); err != nil {
				return false, err
			}
		}
		return changed, nil
	})
	if err != nil {
		return fmt.Errorf("promote the next keys: %w", err)
	}
	return nil
}

// activate makes a next key sign and retires the one before, which stays published as long as what it signed
// is looked at (and what slower servers sign with it within the lag).
func (r *Ring) activate(ctx context.Context, snap *snapshot, next Row, now time.Time) error {
	for _, row := range snap.rows {
		if row.State != Active || row.Alg != next.Alg {
			continue
		}
		if err := r.store.RetireSigningKey(ctx, row.KID, Active, now, now.Add(r.lifetime+lag)); err != nil {
			return fmt.Errorf("retire the %s key before: %w", row.Alg, err)
		}
	}
	if err := r.store.ActivateSigningKey(ctx, next.KID, now); err != nil {
		return fmt.Errorf("activate the next %s key: %w", next.Alg, err)
	}
	return nil
}

// change runs a verb under the lock and takes its result up at once.
func (r *Ring) change(ctx context.Context, fn func(ctx context.Context, snap *snapshot) error) error {
	r.polling.Lock()
	defer r.polling.Unlock()
	err := r.locked(ctx, func(ctx context.Context, snap *snapshot) (bool, error) {
		err := fn(ctx, snap)
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return r.refresh(ctx)
}

// locked runs fn on the keys as they stand, in one transaction, while no other server changes keys.
// When fn has changed something, all servers are told.
func (r *Ring) locked(ctx context.Context, fn func(ctx context.Context, snap *snapshot) (bool, error)) error {
	return r.store.Locked(ctx, lockName, func(ctx context.Context) error {
		return r.store.InTx(ctx, func(ctx context.Context) error {
			snap, err := r.load(ctx)
			if err != nil {
				return err
			}
			changed, err := fn(ctx, snap)
			if err != nil || !changed {
				return err
			}
			return r.store.RaiseKeys(ctx)
		})
	})
}

func (snap *snapshot) find(alg, state string) *Row {
	for i := range snap.rows {
		if snap.rows[i].Alg == alg && snap.rows[i].State == state {
			return &snap.rows[i]
		}
	}
	return nil
}
