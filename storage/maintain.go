package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/audit"
)

var maintainRows = []any{&usedOnceRow{}}

// ErrUsed: the thing was used before.
var ErrUsed = errors.New("it was used before")

type usedOnceRow struct {
	Kind      string `gorm:"primaryKey"`
	Key       []byte `gorm:"primaryKey"`
	ExpiresAt stamp
}

func (usedOnceRow) TableName() string { return "used_once" }

// UseOnce spends key of its kind: ErrUsed when it was spent before. It is remembered until expires, so the
// caller refuses by its own clock what is older.
func (s *Store) UseOnce(ctx context.Context, kind string, key []byte, expires time.Time) error {
	// Not a failed INSERT: in a transaction that would end all of it.
	res := s.db(ctx).Exec("INSERT INTO used_once (kind, key, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		kind, key, at(expires))
	return oneRow(res, ErrUsed)
}

// purges are the tables whose rows end, each with the key by which a part is taken, and which rows are over.
// @now is the caller's time. A code stays for half an hour after its end: a replay must still find its grant.
// Tables that hang on others go first, so that no delete cascades far.
var purges = []struct{ table, key, over string }{
	// A pending registration names the request that it was made in: its mail, days later, still leads to the site.
	{"interaction", "id", "expires_at <= @now AND NOT EXISTS (SELECT 1 FROM account WHERE account.interaction = interaction.id)"},
	{"code", "sig", "expires_at <= CAST(@now AS bigint) - 1800000000"},
	{"device_code", "sig", "expires_at <= CAST(@now AS bigint) - 1800000000"},
	{"access_token", "sig", "expires_at <= @now"},
	{"authorization_grant", "id", "expires_at <= @now"},
	{"mail_token", "hash", "expires_at <= @now"},
	{"account_link", "hash", "expires_at <= @now"},
	{"data_export", "id", "expires_at <= @now"},
	{"recovery_request", "id", "expires_at <= @now"},
	{"used_once", "key", "expires_at <= @now"},
	{"registration_token", "id", "(expires_at <= @now OR uses < 1)"},
	// Who registered with it in its last moment has until then to confirm (account.PendingLifetime).
	{"invitation", "id", "(uses < 1 OR expires_at <= CAST(@now AS bigint) - 259200000000)"},
	{"key_set", "uri", "tried_at <= CAST(@now AS bigint) - 604800000000"}, // its client has not come for a week
	{"account", "id", "state = 'pending' AND expires_at <= @now"},
	{"outbox", "id", "expires_at <= CAST(@now AS bigint) - 604800000000"}, // given up a week ago: seen, or never
	{"rate", "key", "tat <= CAST(@now AS bigint) - 86400000000"},
}

// Purge deletes what is over at now, at most limit rows a table, and tells how many went. A table with more
// is purged on by the next call: no statement holds locks for long.
func (s *Store) Purge(ctx context.Context, now time.Time, limit int) (int64, error) {
	if limit < 1 {
		return 0, fmt.Errorf("purge: a limit of %d rows", limit)
	}
	var gone int64
	for _, p := range purges {
		res := s.db(ctx).Exec(s.purgeStatement(p.table, p.key, p.over), map[string]any{"now": at(now), "limit": limit})
		if res.Error != nil {
			return gone, fmt.Errorf("purge %s: %w", p.table, res.Error)
		}
		gone += res.RowsAffected
	}
	for _, purge := range []func(context.Context, time.Time, int) (int64, error){s.purgeBrowsers, s.purgeClients, s.purgeAccounts} {
		n, err := purge(ctx, now, limit)
		gone += n
		if err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// purgeBrowsers removes browsers that are over: first their logins, of which one browser may have any number, then those
// that have none left. It does not lock a browser before its logins: a sign-in has the opposite order.
func (s *Store) purgeBrowsers(ctx context.Context, now time.Time, limit int) (gone int64, err error) {
	const over = `expires_at <= @now`
	arg := map[string]any{"now": at(now), "limit": limit}
	var some bool
	err = s.read(ctx).Raw("SELECT EXISTS (SELECT 1 FROM browser WHERE "+over+")", arg).Scan(&some).Error
	if err == nil && some {
		gone, err = s.purgeLogins(ctx, "SELECT id FROM browser WHERE "+over+" ORDER BY expires_at LIMIT @limit", arg)
	}
	if err == nil && some {
		res := s.db(ctx).Exec(s.purgeStatement("browser", "id", over+" AND NOT EXISTS (SELECT 1 FROM login WHERE login.browser_id = browser.id)"), arg)
		gone, err = gone+res.RowsAffected, res.Error
	}
	if err != nil {
		err = fmt.Errorf("purge browser: %w", err)
	}
	return gone, err
}

// purgeLogins removes logins of the browsers, and what was allowed for one of these alone: no foreign key leads there, for
// most of what is allowed holds for all logins. It is gone already where the login was ended (endLogins).
func (s *Store) purgeLogins(ctx context.Context, browsers string, arg map[string]any) (gone int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		gone = 0
		// Locked first: a grant that is issued at this moment brings its consent before, or is refused.
		var logins []string
		err := s.db(ctx).Raw("SELECT id FROM login WHERE id IN (SELECT id FROM login WHERE browser_id IN ("+browsers+") LIMIT @limit) ORDER BY id"+
			s.skipLocked(), arg).Scan(&logins).Error
		if err != nil || len(logins) == 0 {
			return err
		}
		var over []string
		// Looked at once more: a sign-in that came before the lock may have prolonged the browser.
		still := "SELECT id FROM login WHERE id IN @logins AND browser_id IN (SELECT id FROM browser WHERE expires_at <= @now)"
		if err := s.db(ctx).Raw(still, map[string]any{"logins": logins, "now": arg["now"]}).Scan(&over).Error; err != nil || len(over) == 0 {
			return err
		}
		if err := s.db(ctx).Exec(`DELETE FROM consent WHERE login_id <> '' AND login_id IN ?`, over).Error; err != nil {
			return err
		}
		res := s.db(ctx).Exec("DELETE FROM login WHERE id IN ?", over)
		gone = res.RowsAffected
		return res.Error
	})
	return gone, err
}

// purgeAccounts removes the accounts that their owners have closed, when their time is over.
func (s *Store) purgeAccounts(ctx context.Context, now time.Time, limit int) (gone int64, err error) {
	const over = `state = 'closing' AND expires_at <= @now`
	arg := map[string]any{"now": at(now), "limit": limit}
	var some int64
	err = s.read(ctx).Raw("SELECT count(*) FROM account WHERE "+over, arg).Scan(&some).Error
	if err == nil && some > 0 {
		err = s.InTx(ctx, func(ctx context.Context) error {
			ids, err := s.deleteAccounts(ctx, s.picked("account", "id", over), arg)
			if err != nil {
				return err
			}
			gone = int64(len(ids))
			for _, id := range ids {
				if err := s.Record(ctx, audit.Event{Event: audit.AccountDeleted, ActorKind: audit.ActorSystem, Subject: id, At: now}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return 0, fmt.Errorf("purge account: %w", err)
	}
	return gone, nil
}

// unused is how long a client that anybody may have registered has to be used for the first time.
const unused = 30 * 24 * time.Hour

// purgeClients removes the clients that registered openly, that the operator does not vouch for, and that nobody has ever
// signed in at. The caches of all replicas hear of it.
func (s *Store) purgeClients(ctx context.Context, now time.Time, limit int) (gone int64, err error) {
	const over = `registered_by = 'anyone' AND used_at IS NULL AND verified_at IS NULL AND created_at <= @before`
	arg := map[string]any{"before": at(now.Add(-unused)), "limit": limit}
	var some int64
	err = s.read(ctx).Raw("SELECT count(*) FROM client WHERE "+over, arg).Scan(&some).Error
	if err == nil && some > 0 {
		err = s.InTx(ctx, func(ctx context.Context) error {
			if _, err := s.RaiseClients(ctx); err != nil {
				return err
			}
			var ids []string
			if err := s.db(ctx).Raw(s.purgeStatement("client", "client_id", over)+" RETURNING client_id", arg).Scan(&ids).Error; err != nil {
				return err
			}
			gone = int64(len(ids))
			for _, id := range ids {
				if err := s.Record(ctx, audit.Event{Event: audit.ClientDeleted, ActorKind: audit.ActorSystem, ClientID: id, At: now}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return 0, fmt.Errorf("purge client: %w", err)
	}
	return gone, nil
}

// purgeStatement names the condition twice: a row that is prolonged while this waits for its lock stays.
func (s *Store) purgeStatement(table, key, over string) string {
	return "DELETE FROM " + table + " WHERE " + over + " AND " + key + " IN (" + s.picked(table, key, over) + ")"
}

// picked are the rows of one step of a purge.
func (s *Store) picked(table, key, over string) string {
	return "SELECT " + key + " FROM " + table + " WHERE " + over + " LIMIT @limit" + s.skipLocked()
}

// skipLocked ends a SELECT: two replicas that purge together share the work instead of waiting for each other.
func (s *Store) skipLocked() string {
	if s.postgres() {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}
