package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FilledDomain is the domain of the accounts that Fill makes (RFC 6761 §6.2: nobody has an address there).
const FilledDomain = "fill.test"

// ErrPeople: the database has accounts of people, and is not to be filled with others.
var ErrPeople = errors.New("the database has accounts that are not of " + FilledDomain)

// Filling is how a database is made large, to see how it does then.
type Filling struct {
	Accounts, Grants int64    // that there are in the end
	Like             string   // id of an account of FilledDomain: the others have its password
	Clients          []string // of which the grants are, in turn
	Now              time.Time
}

// Filled is what Fill has made, now and earlier, and nobody has deleted since.
type Filled struct {
	Accounts int64 `json:"accounts"`
	Grants   int64 `json:"grants"`
	Clients  int64 `json:"clients"` // at which the grants are
}

// A batch is one transaction: it is short enough that a server can go on beside it.
const (
	filledAccounts = 2000
	filledGrants   = 10000
)

// filledID is the id of a row that Fill makes, by its number: a UUID of the beginning of time, whose third group tells the table.
func (s *Store) filledID(group, number string) string {
	if s.postgres() {
		return "'" + filledPrefix(group) + "' || lpad(to_hex(" + number + "), 12, '0')"
	}
	return "'" + filledPrefix(group) + "' || printf('%012x', " + number + ")"
}

// filledHash is the hash of something that nobody has.
func (s *Store) filledHash(what string) string {
	if s.postgres() {
		return "sha256(convert_to('" + what + "' || n.i || clock_timestamp(), 'UTF8'))"
	}
	return "randomblob(32)"
}

// The third groups.
const (
	ofAccount = "7001"
	ofGrant   = "7002"
	ofBrowser = "7003"
	ofLogin   = "7004"
)

// Fill writes accounts, each with an address that is proven, a password, and a browser that is signed in; and grants of
// theirs, of which every tenth has an access token; those end in the course of a day, so that there is always something to
// purge. It goes on where an earlier one ended: what was deleted below that is not written again, and has no grants. A batch is
// written wholly or not at all. ErrPeople.
func (s *Store) Fill(ctx context.Context, f Filling, note Progress) (there Filled, err error) {
	if err := s.NoPeople(ctx); err != nil {
		return there, err
	}
	accounts, err := s.filled(ctx, "account", ofAccount)
	if err != nil {
		return there, err
	}
	grants, err := s.filled(ctx, "authorization_grant", ofGrant)
	if err != nil {
		return there, err
	}
	arg := map[string]any{"like": f.Like, "now": at(f.Now), "clients": len(f.Clients), "accounts": f.Accounts}
	all := f.Accounts + f.Grants
	done := func() { note(min(accounts, f.Accounts)+min(grants, f.Grants), all) }
	for done(); accounts < f.Accounts; done() {
		to := min(accounts+filledAccounts, f.Accounts)
		if err := s.fill(ctx, s.accountsFilled(), arg, accounts+1, to); err != nil {
			return there, fmt.Errorf("fill with accounts: %w", err)
		}
		accounts = to
	}
	for ; grants < f.Grants; done() {
		to := min(grants+filledGrants, f.Grants)
		if err := s.fill(ctx, s.grantsFilled(f.Clients), arg, grants+1, to); err != nil {
			return there, fmt.Errorf("fill with grants: %w", err)
		}
		grants = to
	}
	if err := s.db(ctx).Exec("ANALYZE").Error; err != nil {
		return there, err
	}
	if err := s.db(ctx).Raw("SELECT count(*) FROM account WHERE id LIKE ?", filledPrefix(ofAccount)+"%").Scan(&there.Accounts).Error; err != nil {
		return there, fmt.Errorf("count accounts: %w", err)
	}
	err = s.db(ctx).Raw("SELECT count(*), count(DISTINCT client_id) FROM authorization_grant WHERE id LIKE ?", filledPrefix(ofGrant)+"%").
		Row().Scan(&there.Grants, &there.Clients)
	if err != nil {
		return there, fmt.Errorf("count grants: %w", err)
	}
	return there, nil
}

// filledPrefix is how the ids of the rows of a table begin that Fill makes.
func filledPrefix(group string) string { return "00000000-0000-" + group + "-8000-" }

// NoPeople refuses a database that somebody uses: ErrPeople.
func (s *Store) NoPeople(ctx context.Context) error {
	var n int64
	err := s.read(ctx).Raw("SELECT count(*) FROM (SELECT 1 FROM address WHERE canonical NOT LIKE ? LIMIT 1) p", "%@"+FilledDomain).Scan(&n).Error
	if err != nil {
		return fmt.Errorf("look for accounts: %w", err)
	}
	if n > 0 {
		return ErrPeople
	}
	return nil
}

// filled is the highest number of the rows of a table that there are from before: of those below some may be gone.
func (s *Store) filled(ctx context.Context, table, group string) (n int64, err error) {
	prefix, last := filledPrefix(group), ""
	err = s.read(ctx).Raw("SELECT coalesce(max(id), '') FROM "+table+" WHERE id LIKE ?", prefix+"%").Scan(&last).Error
	if err != nil || last == "" {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimPrefix(last, prefix), 16, 64)
}

// fill writes the rows of the numbers from and to, and those between, in one transaction.
func (s *Store) fill(ctx context.Context, inserts []string, arg map[string]any, from, to int64) error {
	arg["from"], arg["to"] = from, to
	return s.InTx(ctx, func(ctx context.Context) error {
		for _, q := range inserts {
			if err := s.db(ctx).Exec(q, arg).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// numbered is INSERT … SELECT … for each n.i.
func numbered(into, what, then string) string {
	return "INSERT INTO " + into + ` WITH RECURSIVE n(i) AS (SELECT CAST(@from AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < @to)
		SELECT ` + what + " FROM n WHERE true" + then
}

func (s *Store) accountsFilled() []string {
	account, browser, login := s.filledID(ofAccount, "n.i"), s.filledID(ofBrowser, "n.i"), s.filledID(ofLogin, "n.i")
	const email = "'person' || n.i || '@" + FilledDomain + "'"
	const secret = "SELECT secret FROM credential WHERE account_id = @like AND kind = 'password'"
	const year = "CAST(@now AS bigint) + 31536000000000"
	return []string{
		numbered("account (id, sub, state, name, created_at, updated_at)",
			account+", 'filled-' || n.i, 'active', 'Person ' || n.i, @now, @now", ""),
		numbered("address (id, account_id, email, canonical, is_primary, proven_at, created_at)",
			account+", "+account+", "+email+", "+email+", true, @now, @now", ""),
		numbered("credential (id, account_id, kind, secret, created_at)",
			account+", "+account+", 'password', ("+secret+"), @now", " AND EXISTS ("+secret+")"),
		numbered("browser (id, created_at, seen_at, expires_at)", browser+", @now, @now, "+year, ""),
		numbered("session_secret (hash, kind, browser_id, created_at)", s.filledHash("session")+", 'sid', "+browser+", @now", ""),
		numbered("login (id, browser_id, account_id, auth_time, amr, acr, created_at)",
			login+", "+browser+", "+account+", CAST(@now AS bigint) / 1000000 * 1000000, 'pwd', '', @now", ""),
	}
}

func (s *Store) grantsFilled(clients []string) []string {
	const person = "(n.i % CAST(@accounts AS bigint) + 1)"
	var site strings.Builder
	site.WriteString("CASE (n.i / CAST(@accounts AS bigint)) % @clients")
	for i, id := range clients {
		fmt.Fprintf(&site, " WHEN %d THEN '%s'", i, strings.ReplaceAll(id, "'", "''"))
	}
	site.WriteString(" END")
	of, account, login := s.filledID(ofGrant, "n.i"), s.filledID(ofAccount, person), s.filledID(ofLogin, person)
	const day = "86400000000"
	there := " AND EXISTS (SELECT 1 FROM login l WHERE l.id = " + login + ")"
	token := s.filledHash("token") + ", " + of + ", " + site.String() + ", 'openid', @now, CAST(@now AS bigint) + n.i * 7919000000 % " + day
	return []string{
		numbered(`authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, offline, created_at,
			refresh_generation, rotated_at, refresh_expires_at, expires_at)`,
			of+", "+account+", "+site.String()+", "+login+", 'filled', 'openid offline_access', @now, 'pwd', '', true, @now, 1, @now, "+
				"CAST(@now AS bigint) + 30 * "+day+", CAST(@now AS bigint) + (30 + n.i % 330) * "+day, there),
		numbered("consent (account_id, client_id, login_id, scopes, granted_at)",
			account+", "+site.String()+", '', 'openid offline_access', @now", there+" ON CONFLICT DO NOTHING"),
		numbered("login_client (login_id, client_id, sid, first_at, last_at)",
			login+", "+site.String()+", 'filled', @now, @now", there+" ON CONFLICT DO NOTHING"),
		numbered("access_token (sig, grant_id, client_id, scopes, issued_at, expires_at)", token, " AND n.i % 10 = 0"+there),
	}
}
