package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/fault"
)

// The hot statements: one a step of a flow, as fixed SQL on gorm's ConnPool. On PostgreSQL a step that writes
// is one data-changing CTE, autocommitted; SQLite refuses those, and runs the same parts in one immediate
// transaction. Each write repeats what the read before it saw, or of a code what
// its issue wrote, or the code itself carries.

// hotPool is what runs the hot statements: the transaction in ctx, or the pool.
func hotPool(db *gorm.DB) gorm.ConnPool {
	return db.Statement.ConnPool.(interface{ hot() gorm.ConnPool }).hot()
}

// insert is an INSERT that is both a part of a CTE and a statement of its own.
type insert struct {
	table    string
	columns  [][2]string // name and PostgreSQL type: a parameter in a SELECT list has none by itself
	conflict string
	into     string // how each begins
	values   string // the statement for SQLite
}

func newInsert(table string, columns [][2]string, conflict string) insert {
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for n, c := range columns {
		names[n], values[n] = c[0], "$"+strconv.Itoa(n+1)
	}
	into := "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") "
	return insert{table: table, columns: columns, conflict: conflict, into: into,
		values: into + "VALUES (" + strings.Join(values, ", ") + ")" + conflict}
}

// write is a row for it.
type write struct {
	insert
	args []any
}

// from is the part for PostgreSQL: its parameters begin at first, and a row is written for each of source.
func (i insert) from(first int, source string) string {
	list := make([]string, len(i.columns))
	for n, c := range i.columns {
		list[n] = "$" + strconv.Itoa(first+n) + "::" + c[1]
	}
	return i.into + "SELECT " + strings.Join(list, ", ") + " FROM " + source + i.conflict
}

// visitEach is how exactly it is known when a site was last visited, in microseconds: who comes again before writes nothing.
const visitEach = "300000000"

var (
	insertGrant = newInsert("authorization_grant", [][2]string{{"id", "text"}, {"account_id", "text"},
		{"client_id", "text"}, {"login_id", "text"}, {"sid", "text"}, {"scopes", "text"}, {"audience", "text"},
		{"auth_time", "bigint"}, {"amr", "text"}, {"acr", "text"}, {"claims", "text"}, {"offline", "boolean"},
		{"cnf", "text"}, {"created_at", "bigint"}, {"refresh_generation", "bigint"}, {"rotated_at", "bigint"},
		{"refresh_expires_at", "bigint"}, {"expires_at", "bigint"}},
		" ON CONFLICT (id) DO "+once("NOTHING", "UPDATE SET claims = excluded.claims"))
	insertCode = newInsert("code", [][2]string{{"sig", "bytea"}, {"grant_id", "text"}, {"client_id", "text"},
		{"redirect_uri", "text"}, {"challenge", "text"}, {"method", "text"}, {"nonce", "text"}, {"cnf", "text"},
		{"created_at", "bigint"}, {"expires_at", "bigint"}}, "")
	insertToken = newInsert("access_token", [][2]string{{"sig", "bytea"}, {"grant_id", "text"},
		{"client_id", "text"}, {"scopes", "text"}, {"audience", "text"}, {"cnf", "text"}, {"issued_at", "bigint"},
		{"expires_at", "bigint"}}, "")
	insertConsent = newInsert("consent", [][2]string{{"account_id", "text"}, {"client_id", "text"},
		{"login_id", "text"}, {"scopes", "text"}, {"claims", "text"}, {"granted_at", "bigint"}},
		` ON CONFLICT (account_id, client_id, login_id)
			DO UPDATE SET scopes = excluded.scopes, claims = excluded.claims`)
	insertVisit = newInsert("login_client", [][2]string{{"login_id", "text"}, {"client_id", "text"},
		{"sid", "text"}, {"first_at", "bigint"}, {"last_at", "bigint"}},
		` ON CONFLICT (login_id, client_id) DO UPDATE SET last_at = excluded.last_at
			WHERE login_client.last_at < excluded.last_at - `+visitEach)
)

func grantArgs(g *grant.Grant) []any {
	return []any{g.ID, g.AccountID, g.ClientID, g.LoginID, g.SID, joined(g.Scopes), joined(g.Audience), at(g.AuthTime),
		joined(g.AMR), g.ACR, g.Claims, g.Offline, g.Cnf, at(g.CreatedAt), g.Generation, at(g.RotatedAt), at(g.RefreshExpiresAt),
		at(g.ExpiresAt)}
}

func codeArgs(c *grant.Code) []any {
	return []any{c.Sig, c.GrantID, c.ClientID, c.RedirectURI, c.Challenge, c.Method, c.Nonce, c.Cnf, at(c.CreatedAt), at(c.ExpiresAt)}
}

func tokenArgs(t *grant.Token) []any {
	return []any{t.Sig, sql.NullString{String: t.GrantID, Valid: t.GrantID != ""}, t.ClientID, joined(t.Scopes),
		joined(t.Audience), t.Cnf, at(t.IssuedAt), at(t.ExpiresAt)}
}

func consentArgs(is *grant.Issuance) []any {
	return []any{is.Grant.AccountID, is.Grant.ClientID, is.Consent.LoginID, joined(is.Consent.Scopes),
		joined(is.Consent.Claims), at(is.Consent.GrantedAt)}
}

func visitArgs(g *grant.Grant) []any {
	return []any{g.LoginID, g.ClientID, g.SID, at(g.CreatedAt), at(g.CreatedAt)}
}

// allowedPerson is grant.Person.Allowed in SQL, for an account a and its primary address d.
const allowedPerson = `a.state = 'active' AND d.account_id = a.id AND d.is_primary AND d.proven_at IS NOT NULL`

// issuable: the login is live and of this epoch (newEpoch), its person allowed, the client enabled. $1 login, $2 account, $3 client, $4 epoch.
const issuable = `SELECT l.id FROM login l, account a, address d, client k
	WHERE l.id = $1 AND l.account_id || '' = $2 AND l.ended_at IS NULL AND l.created_at = $4 AND a.id = l.account_id AND ` + allowedPerson + `
	AND k.client_id = $3 AND k.disabled_at IS NULL`

// Issue implements grant.Store.
func (s *Store) Issue(ctx context.Context, is grant.Issuance) error {
	var drop []any // interactions
	for _, id := range [][]byte{is.Interaction, is.Pushed} {
		if id != nil {
			drop = append(drop, id)
		}
	}
	head := []any{is.Grant.LoginID, is.Grant.AccountID, is.Grant.ClientID, is.Epoch}
	grantRow, rows := write{insertGrant, grantArgs(&is.Grant)}, rowsOf(&is)
	if s.postgres() {
		args := append(append(head, drop...), grantRow.args...)
		for _, row := range rows {
			args = append(args, row.args...)
		}
		return s.one(ctx, "issue a grant", issues[issuing{len(drop), is.Code != nil, is.Token != nil, is.Consent != nil}], args...)
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		steps := []step{{issuable, head, true}}
		for _, id := range drop {
			steps = append(steps, step{"DELETE FROM interaction WHERE id = $1 RETURNING 1", []any{id}, true})
		}
		steps = append(steps, step{grantRow.values + " RETURNING 1", grantRow.args, true})
		for _, row := range rows {
			steps = append(steps, step{row.values, row.args, false})
		}
		return s.steps(ctx, "issue a grant", steps)
	})
}

// rowsOf are the rows that come with the grant.
func rowsOf(is *grant.Issuance) []write {
	var rows []write
	if is.Code != nil {
		rows = append(rows, write{insertCode, codeArgs(is.Code)})
	}
	if is.Token != nil {
		rows = append(rows, write{insertToken, tokenArgs(is.Token)})
	}
	if is.Consent != nil {
		rows = append(rows, write{insertConsent, consentArgs(is)})
	}
	return append(rows, write{insertVisit, visitArgs(&is.Grant)})
}

// issuing is what is written with a grant.
type issuing struct {
	drop                 int // interactions
	code, token, consent bool
}

// issues are the statements for PostgreSQL, each with only the parts that are needed: one that writes nothing costs PostgreSQL a third
// of one that does. All are made at once, and none again.
var issues = func() map[issuing]string {
	all := map[issuing]string{}
	for drop := range 3 {
		for bits := range 8 {
			is := issuing{drop, bits&1 != 0, bits&2 != 0, bits&4 != 0}
			all[is] = is.postgres()
		}
	}
	return all
}()

// postgres locks the login's row: a logout, or a new epoch, at the same moment either comes first, and nothing is issued, or
// waits, and its revocation sees the new grant. Of two that redeem one sealed code the slower waits, and then writes nothing. Of two
// that spend one pushed request at the same moment the slower issues nothing; its own interaction, which is then of no use, is gone.
func (is issuing) postgres() string {
	q := cte{}
	q.part("ok", issuable+" FOR SHARE OF l", 4)
	live := "ok"
	if is.drop > 0 {
		list, n := make([]string, is.drop), strconv.Itoa(is.drop)
		for i := range list {
			list[i] = "$" + strconv.Itoa(q.next()+i)
		}
		q.part("there", "SELECT id FROM interaction WHERE id IN ("+strings.Join(list, ", ")+")", is.drop)
		q.part("dropped", `DELETE FROM interaction WHERE id IN (SELECT id FROM there) AND EXISTS (SELECT 1 FROM ok)
			AND (SELECT count(*) FROM there) = `+n+` RETURNING id`, 0)
		q.part("live", "SELECT 1 FROM ok WHERE (SELECT count(*) FROM dropped) = "+n, 0)
		live = "live"
	}
	q.insert("g", insertGrant, live, " RETURNING id")
	for _, row := range []struct {
		insert
		wanted bool
	}{{insertCode, is.code}, {insertToken, is.token}, {insertConsent, is.consent}} {
		if row.wanted {
			q.insert(row.table, row.insert, "g", "")
		}
	}
	// A conflict alone locks the row, and writes so: $1 login, $3 client.
	q.insert(insertVisit.table, insertVisit, fmt.Sprintf(`g WHERE NOT EXISTS (SELECT 1 FROM login_client
		WHERE login_id = $1 AND client_id || '' = $3 AND last_at >= $%d - %s)`, q.next()+len(insertVisit.columns)-1, visitEach), "")
	return q.count("g")
}

// cte is the text of one data-changing statement in the making.
type cte struct {
	parts  []string
	params int
}

// next is the number of the next part's first parameter.
func (c *cte) next() int { return c.params + 1 }

// part adds one with so many parameters of its own, numbered from next.
func (c *cte) part(name, sql string, params int) {
	c.parts, c.params = append(c.parts, name+" AS ("+sql+")"), c.params+params
}

// insert adds the part that writes a row for each of source.
func (c *cte) insert(name string, i insert, source, returning string) {
	c.part(name, i.from(c.next(), source)+returning, len(i.columns))
}

// count is the statement: it answers how many rows a part has.
func (c *cte) count(name string) string {
	return "WITH " + strings.Join(c.parts, ",\n\t") + "\n\tSELECT count(*) FROM " + name
}

// redeemable spends a code. $1 sig, $2 grant, $3 client, $4 at.
var redeemable = `UPDATE code SET used_at = $4 FROM authorization_grant g, account a, address d, client k
	WHERE code.sig = $1 AND ` + once("code.used_at IS NULL", "true") + ` AND code.grant_id = $2 AND code.client_id = $3
	AND g.id = code.grant_id AND g.client_id || '' = code.client_id AND g.revoked_at IS NULL
	AND a.id = g.account_id AND ` + allowedPerson + ` AND k.client_id = code.client_id AND k.disabled_at IS NULL`

// redeeming is what is written when a code is spent, and redeems are the statements for PostgreSQL.
type redeeming struct{ refresh, token bool }

var redeems = func() map[redeeming]string {
	all := map[redeeming]string{}
	for _, r := range []redeeming{{false, false}, {false, true}, {true, false}, {true, true}} {
		all[r] = r.postgres()
	}
	return all
}()

func (r redeeming) postgres() string {
	q := cte{}
	q.part("c", redeemable+" RETURNING code.grant_id", 4)
	if r.refresh {
		q.part("g", `UPDATE authorization_grant SET refresh_generation = 1, rotated_at = $4, refresh_expires_at = $5
			WHERE id IN (SELECT grant_id FROM c)`, 1)
	}
	if r.token {
		q.insert("t", insertToken, "c", "")
	}
	return q.count("c")
}

// Redeem implements grant.Store.
func (s *Store) Redeem(ctx context.Context, r grant.Redemption) error {
	args := []any{r.Sig, r.GrantID, r.ClientID, at(r.At)}
	if s.postgres() {
		if r.Refresh {
			args = append(args, at(r.RefreshExpiresAt))
		}
		if r.Token != nil {
			args = append(args, tokenArgs(r.Token)...)
		}
		return s.one(ctx, "redeem a code", redeems[redeeming{r.Refresh, r.Token != nil}], args...)
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		steps := []step{{redeemable + " RETURNING 1", args, true}}
		if r.Refresh {
			steps = append(steps, step{`UPDATE authorization_grant SET refresh_generation = 1, rotated_at = $2,
				refresh_expires_at = $3 WHERE id = $1`, []any{r.GrantID, at(r.At), at(r.RefreshExpiresAt)}, false})
		}
		if r.Token != nil {
			steps = append(steps, step{insertToken.values, tokenArgs(r.Token), false})
		}
		return s.steps(ctx, "redeem a code", steps)
	})
}

// rotatable steps a generation. $1 grant, $2 client, $3 from, $4 at, $5 idle expiry.
const rotatable = `UPDATE authorization_grant SET refresh_generation = refresh_generation + 1, rotated_at = $4, refresh_expires_at = $5
	FROM account a, address d, client k
	WHERE authorization_grant.id = $1 AND authorization_grant.client_id || '' = $2 AND refresh_generation = $3
	AND authorization_grant.revoked_at IS NULL AND a.id = authorization_grant.account_id AND ` + allowedPerson + `
	AND k.client_id = $2 AND k.disabled_at IS NULL`

// rotates are the statements for PostgreSQL, without and with an access token.
var rotates = map[bool]string{false: rotating(false), true: rotating(true)}

func rotating(token bool) string {
	q := cte{}
	q.part("g", rotatable+" RETURNING authorization_grant.id", 5)
	if token {
		q.insert("t", insertToken, "g", "")
	}
	return q.count("g")
}

// Rotate implements grant.Store.
func (s *Store) Rotate(ctx context.Context, r grant.Rotation) error {
	args := []any{r.GrantID, r.ClientID, r.From, at(r.At), at(r.RefreshExpiresAt)}
	if s.postgres() {
		if r.Token != nil {
			args = append(args, tokenArgs(r.Token)...)
		}
		return s.one(ctx, "rotate a refresh token", rotates[r.Token != nil], args...)
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		steps := []step{{rotatable + " RETURNING 1", args, true}}
		if r.Token != nil {
			steps = append(steps, step{insertToken.values, tokenArgs(r.Token), false})
		}
		return s.steps(ctx, "rotate a refresh token", steps)
	})
}

// One more access token for a live grant, or for a client by itself; the grant of a sealed code alone. The last parameters repeat
// ids: each is used with one type only.
var (
	grantOfSealed = insertGrant.from(1, "account a, client k WHERE a.id = $19 AND k.client_id = $20")
	tokenOfClient = insertToken.from(1, `client k WHERE k.client_id = $9 AND k.disabled_at IS NULL`)
	tokenOfGrant  = insertToken.from(1, `authorization_grant g, account a, address d, client k
		WHERE g.id = $10 AND g.client_id || '' = $9 AND g.revoked_at IS NULL AND a.id = g.account_id AND `+allowedPerson+`
		AND k.client_id = $9 AND k.disabled_at IS NULL`)
)

// InsertToken implements grant.Store. A client's own token may share its commit with those of others: nothing else is
// written with it.
func (s *Store) InsertToken(ctx context.Context, t grant.Token) error {
	if _, within := ctx.Value(txKey{}).(*gormTx); t.GrantID == "" && !within {
		return s.shared.insert(ctx, t, s.writeShared, func() error { return s.insertToken(ctx, t) })
	}
	return s.insertToken(ctx, t)
}

func (s *Store) insertToken(ctx context.Context, t grant.Token) error {
	q, args := tokenOfClient, append(tokenArgs(&t), t.ClientID)
	if t.GrantID != "" {
		q, args = tokenOfGrant, append(args, t.GrantID)
	}
	return s.inserted(ctx, "insert an access token", q, args...)
}

// inserted runs an INSERT that writes one row, or none: ErrGone.
func (s *Store) inserted(ctx context.Context, what, q string, args ...any) error {
	if !s.postgres() {
		q = withoutTypes(q)
	}
	res, err := hotPool(s.db(ctx)).ExecContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n != 1 {
		return grant.ErrGone
	}
	return nil
}

var casts = strings.NewReplacer("::text", "", "::bytea", "", "::bigint", "", "::boolean", "")

// withoutTypes drops PostgreSQL's casts.
func withoutTypes(q string) string { return casts.Replace(q) }

// one runs a statement whose one answer is the number of rows that its condition let through.
func (s *Store) one(ctx context.Context, what, q string, args ...any) error {
	var n int64
	run := func() error { return hotPool(s.db(ctx)).QueryRowContext(ctx, q, args...).Scan(&n) }
	try := run
	if _, within := ctx.Value(txKey{}).(*gormTx); !within {
		try = func() error { return again(ctx, run) } // by itself it is a whole transaction
	}
	fault.Passing(ctx, "storage.commit")
	if err := try(); err != nil {
		return fmt.Errorf("%s: %w", what, meaning(err))
	}
	fault.Passing(ctx, "storage.committed")
	if n != 1 {
		return grant.ErrGone
	}
	return nil
}

// step is a statement of a transaction on SQLite; a condition must give exactly one row.
type step struct {
	sql       string
	args      []any
	condition bool
}

func (s *Store) steps(ctx context.Context, what string, steps []step) error {
	tx := hotPool(s.db(ctx))
	for _, st := range steps {
		if !st.condition {
			if _, err := tx.ExecContext(ctx, st.sql, st.args...); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			continue
		}
		rows, err := tx.QueryContext(ctx, st.sql, st.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n != 1 {
			return grant.ErrGone
		}
	}
	return nil
}

// blob is b, or NULL.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
