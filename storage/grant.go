package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

var _ grant.Store = (*Store)(nil)

var grantRows = []any{&interactionRow{}, &deviceRow{}}

type interactionRow struct {
	ID        []byte `gorm:"primaryKey"`
	Kind      string
	ClientID  string
	Params    string
	Binding   []byte
	LoginID   *string
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
}

func (interactionRow) TableName() string { return "interaction" }

// SaveInteraction implements grant.Store.
func (s *Store) SaveInteraction(ctx context.Context, i grant.Interaction) error {
	// Not through the row struct: to SQLite's driver a nil []byte is an empty blob, and not NULL.
	_, err := hotPool(s.db(ctx)).ExecContext(ctx, `INSERT INTO interaction (id, kind, client_id, params, binding, login_id, created_at,
		expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, i.Hash, i.Kind, i.ClientID, i.Params, blob(i.Binding),
		sql.NullString{String: i.LoginID, Valid: i.LoginID != ""}, at(i.CreatedAt), at(i.ExpiresAt))
	if err != nil {
		return fmt.Errorf("save an interaction: %w", err)
	}
	return nil
}

// ReadInteraction implements grant.Store.
func (s *Store) ReadInteraction(ctx context.Context, hash []byte) (grant.Interaction, error) {
	var rows []interactionRow
	if err := s.read(ctx).Where("id = ?", hash).Limit(1).Find(&rows).Error; err != nil {
		return grant.Interaction{}, fmt.Errorf("read an interaction: %w", err)
	}
	if len(rows) == 0 {
		return grant.Interaction{}, grant.ErrNotFound
	}
	r := &rows[0]
	i := grant.Interaction{Hash: r.ID, Kind: r.Kind, ClientID: r.ClientID, Params: r.Params, Binding: r.Binding,
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time}
	if r.LoginID != nil {
		i.LoginID = *r.LoginID
	}
	return i, nil
}

// BindInteraction implements grant.Store.
func (s *Store) BindInteraction(ctx context.Context, hash, binding []byte) error {
	return oneRow(s.db(ctx).Exec(`UPDATE interaction SET binding = ? WHERE id = ? AND binding IS NULL`, binding, hash), grant.ErrGone)
}

// ChooseLogin implements grant.Store.
func (s *Store) ChooseLogin(ctx context.Context, hash []byte, loginID string) error {
	return oneRow(s.db(ctx).Exec(`UPDATE interaction SET login_id = ? WHERE id = ?`, loginID, hash), grant.ErrGone)
}

// DropInteraction implements grant.Store.
func (s *Store) DropInteraction(ctx context.Context, hash []byte) error {
	return oneRow(s.db(ctx).Exec(`DELETE FROM interaction WHERE id = ?`, hash), grant.ErrGone)
}

// SpendCode implements grant.Store.
func (s *Store) SpendCode(ctx context.Context, sig []byte, when time.Time) error {
	return oneRow(s.db(ctx).Exec(`UPDATE code SET used_at = ? WHERE sig = ? AND used_at IS NULL`, at(when), sig), grant.ErrGone)
}

// SpendSealed implements grant.Store.
func (s *Store) SpendSealed(ctx context.Context, g grant.Grant) error {
	return s.inserted(ctx, "spend a sealed code", grantOfSealed, append(grantArgs(&g), g.AccountID, g.ClientID)...)
}

// RevokeToken implements grant.Store.
func (s *Store) RevokeToken(ctx context.Context, sig []byte, clientID string, when time.Time) error {
	return s.db(ctx).Exec(`UPDATE access_token SET revoked_at = ? WHERE sig = ? AND client_id || '' = ? AND revoked_at IS NULL`,
		at(when), sig, clientID).Error
}

// RevokeGrant implements grant.Store.
func (s *Store) RevokeGrant(ctx context.Context, id string, when time.Time) error {
	return s.db(ctx).Exec(`UPDATE authorization_grant SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL`, at(when), id).Error
}

// RevokeAll ends every grant of an account: what closing, disabling or securing it asks for.
func (s *Store) RevokeAll(ctx context.Context, accountID string) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	if err := s.newEpoch(ctx, accountID); err != nil {
		return err
	}
	return s.db(ctx).Exec(`UPDATE authorization_grant SET revoked_at = ? WHERE account_id = ? AND revoked_at IS NULL`,
		at(now), accountID).Error
}

// newEpoch makes the codes void that were sealed for the account's logins, and waits for those that are being redeemed: what
// revokes grants does it first, or it would miss those that are not written yet. The epoch of a login is its created_at, to the
// microsecond, and stands in its own row: that makes who redeems a code at the same moment look again (issuable). The order is that of
// endLogins.
func (s *Store) newEpoch(ctx context.Context, accountID string) error {
	return s.db(ctx).Exec(`UPDATE login SET created_at = created_at + 1 WHERE id IN (
		SELECT id FROM login WHERE account_id = ? AND ended_at IS NULL ORDER BY id`+s.forUpdate()+`)`, accountID).Error
}

// ListUses implements grant.Store.
func (s *Store) ListUses(ctx context.Context, accountID string, now time.Time) ([]grant.Use, error) {
	var rows []struct {
		ClientID string
		Scopes   string
		Claims   string
		Since    stamp
		Last     stamp
		Offline  bool
		Held     bool
	}
	err := s.read(ctx).Raw(`SELECT client_id, scopes, claims, granted_at AS since, granted_at AS last, false AS offline, true AS held
			FROM consent WHERE account_id = @account
		UNION ALL SELECT client_id, scopes, '', created_at, coalesce(rotated_at, created_at), offline, true
			FROM authorization_grant WHERE account_id = @account AND revoked_at IS NULL AND expires_at > @now
		UNION ALL SELECT v.client_id, '', '', v.first_at, v.last_at, false, false
			FROM login_client v JOIN login l ON l.id = v.login_id WHERE l.account_id = @account
		ORDER BY client_id`, map[string]any{"account": accountID, "now": at(now)}).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("list the sites of an account: %w", err)
	}
	var list []grant.Use
	for _, r := range rows {
		if len(list) == 0 || list[len(list)-1].ClientID != r.ClientID {
			list = append(list, grant.Use{ClientID: r.ClientID, Since: r.Since.Time, Last: r.Last.Time})
		}
		u := &list[len(list)-1]
		u.Scopes, u.Claims = union(u.Scopes, words(r.Scopes)), union(u.Claims, words(r.Claims))
		u.Offline, u.Held = u.Offline || r.Offline, u.Held || r.Held
		if r.Since.Before(u.Since) {
			u.Since = r.Since.Time
		}
		if r.Last.After(u.Last) {
			u.Last = r.Last.Time
		}
	}
	return list, nil
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// EndUse implements grant.Store.
func (s *Store) EndUse(ctx context.Context, accountID, clientID string, when time.Time) (ended bool, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		if err := s.newEpoch(ctx, accountID); err != nil {
			return err
		}
		yes := s.db(ctx).Exec(`DELETE FROM consent WHERE account_id = ? AND client_id || '' = ?`, accountID, clientID)
		if yes.Error != nil {
			return yes.Error
		}
		given := s.db(ctx).Exec(`UPDATE authorization_grant SET revoked_at = ? WHERE account_id = ? AND client_id || '' = ? AND revoked_at IS NULL`,
			at(when), accountID, clientID)
		ended = yes.RowsAffected+given.RowsAffected > 0
		return given.Error
	})
	return ended, err
}

// What the reads select. A person may be missing (client_credentials): then a.id is NULL.
const (
	personColumns = `coalesce(a.id, ''), coalesce(a.sub, ''), coalesce(a.state, ''), coalesce(a.name, ''), coalesce(a.claims, '{}'),
		coalesce(d.email, ''), d.proven_at, a.updated_at, coalesce(a.terms_version, ''), coalesce(a.privacy_version, '')`
	grantColumns = `g.id, g.account_id, g.client_id, g.login_id, g.sid, g.scopes, g.audience, g.auth_time, g.amr, g.acr, g.claims,
		g.offline, g.cnf, g.created_at, g.refresh_generation, g.rotated_at, g.refresh_expires_at, g.expires_at, g.revoked_at`
	grantPerson = ` JOIN account a ON a.id = g.account_id LEFT JOIN address d ON d.account_id = a.id AND d.is_primary`
)

// personScan gives the destinations of personColumns, and what to do when they are filled.
func personScan(p *grant.Person) ([]any, func()) {
	var claims string
	var proven, updated stamp
	return []any{&p.AccountID, &p.Sub, &p.State, &p.Name, &claims, &p.Email, &proven, &updated, &p.Accepted.Terms, &p.Accepted.Privacy}, func() {
		p.Claims, p.Proven, p.UpdatedAt = []byte(claims), !proven.IsZero(), updated.Time
	}
}

// grantScan is personScan for grantColumns. All may be NULL, where there is no grant.
func grantScan(g *grant.Grant) ([]any, func()) {
	var id, account, client, login, sid, scopes, audience, amr, acr, claims, cnf sql.NullString
	var offline sql.NullBool
	var generation sql.NullInt64
	var authTime, created, rotated, idle, expires, revoked stamp
	dest := []any{&id, &account, &client, &login, &sid, &scopes, &audience, &authTime, &amr, &acr, &claims,
		&offline, &cnf, &created, &generation, &rotated, &idle, &expires, &revoked}
	return dest, func() {
		*g = grant.Grant{ID: id.String, AccountID: account.String, ClientID: client.String, LoginID: login.String,
			SID: sid.String, Scopes: words(scopes.String), Audience: words(audience.String), AuthTime: authTime.Time,
			AMR: words(amr.String), ACR: acr.String, Claims: claims.String, Offline: offline.Bool, Cnf: cnf.String,
			CreatedAt: created.Time, Generation: generation.Int64, RotatedAt: rotated.Time, RefreshExpiresAt: idle.Time,
			ExpiresAt: expires.Time, RevokedAt: revoked.Time}
	}
}

const readRequest = `SELECT b.id, b.expires_at, l.id, l.auth_time, l.amr, l.acr, l.created_at, l.event, ` + personColumns + `,
		c.login_id, c.scopes, c.claims, c.granted_at
	FROM session_secret s JOIN browser b ON b.id = s.browser_id
	LEFT JOIN login l ON l.browser_id = b.id AND l.ended_at IS NULL
	LEFT JOIN account a ON a.id = l.account_id LEFT JOIN address d ON d.account_id = a.id AND d.is_primary
	LEFT JOIN consent c ON c.account_id = a.id AND c.client_id = $2 AND c.login_id IN ('', l.id)
	WHERE s.hash = $1 AND s.kind = 'sid'
	ORDER BY l.auth_time DESC, l.id DESC, c.login_id`

// ReadRequest implements grant.Store.
func (s *Store) ReadRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error) {
	var req grant.Request
	if len(session) == 0 {
		return req, nil
	}
	rows, err := hotPool(s.read(ctx)).QueryContext(ctx, readRequest, session, clientID)
	if err != nil {
		return req, fmt.Errorf("read who is signed in: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l grant.Login
		var epoch sql.NullInt64
		var id, amr, acr, consentLogin, scopes, claims sql.NullString
		var expires, authTime, granted stamp
		person, filled := personScan(&l.Person)
		dest := append([]any{&req.BrowserID, &expires, &id, &authTime, &amr, &acr, &epoch, &l.Event}, person...)
		if err := rows.Scan(append(dest, &consentLogin, &scopes, &claims, &granted)...); err != nil {
			return grant.Request{}, fmt.Errorf("read who is signed in: %w", err)
		}
		filled()
		req.ExpiresAt = expires.Time
		if !id.Valid {
			continue
		}
		// The rows of one login follow each other: what it allowed by itself comes after what is remembered.
		n := len(req.Logins) - 1
		if n < 0 || req.Logins[n].ID != id.String {
			l.ID, l.AuthTime, l.AMR, l.ACR, l.Epoch = id.String, authTime.Time, words(amr.String), acr.String, epoch.Int64
			req.Logins = append(req.Logins, l)
			n++
		}
		if consentLogin.Valid {
			req.Logins[n].Consents = append(req.Logins[n].Consents, grant.Consent{LoginID: consentLogin.String,
				Scopes: words(scopes.String), Claims: words(claims.String), GrantedAt: granted.Time})
		}
	}
	if err := rows.Err(); err != nil {
		return grant.Request{}, fmt.Errorf("read who is signed in: %w", err)
	}
	return req, nil
}

const readCode = `SELECT c.sig, c.grant_id, c.client_id, c.redirect_uri, c.challenge, c.method, c.nonce, c.cnf,
		c.created_at, c.expires_at, c.used_at, ` + grantColumns + `, ` + personColumns + `
	FROM code c JOIN authorization_grant g ON g.id = c.grant_id` + grantPerson + ` WHERE c.sig = $1`

// ReadCode implements grant.Store.
func (s *Store) ReadCode(ctx context.Context, sig []byte) (grant.CodeRead, error) {
	var read grant.CodeRead
	c := &read.Code
	var created, expires, used stamp
	gdest, gfilled := grantScan(&read.Grant)
	pdest, pfilled := personScan(&read.Person)
	dest := []any{&c.Sig, &c.GrantID, &c.ClientID, &c.RedirectURI, &c.Challenge, &c.Method, &c.Nonce, &c.Cnf, &created, &expires, &used}
	if err := s.row(ctx, "read a code", readCode, append(append(dest, gdest...), pdest...), sig); err != nil {
		return grant.CodeRead{}, err
	}
	gfilled()
	pfilled()
	c.CreatedAt, c.ExpiresAt, c.UsedAt = created.Time, expires.Time, used.Time
	return read, nil
}

const readSealed = `SELECT ` + grantColumns + `, ` + personColumns + ` FROM account a
	LEFT JOIN address d ON d.account_id = a.id AND d.is_primary LEFT JOIN authorization_grant g ON g.id = $2 WHERE a.id = $1`

// ReadSealed implements grant.Store.
func (s *Store) ReadSealed(ctx context.Context, accountID, grantID string) (grant.GrantRead, error) {
	return s.grantRead(ctx, "read what a sealed code has become", readSealed, accountID, grantID)
}

const readGrant = `SELECT ` + grantColumns + `, ` + personColumns + ` FROM authorization_grant g` + grantPerson + ` WHERE g.id = $1`

// ReadGrant implements grant.Store.
func (s *Store) ReadGrant(ctx context.Context, id string) (grant.GrantRead, error) {
	return s.grantRead(ctx, "read a grant", readGrant, id)
}

func (s *Store) grantRead(ctx context.Context, what, q string, keys ...any) (grant.GrantRead, error) {
	var read grant.GrantRead
	gdest, gfilled := grantScan(&read.Grant)
	pdest, pfilled := personScan(&read.Person)
	if err := s.row(ctx, what, q, append(gdest, pdest...), keys...); err != nil {
		return grant.GrantRead{}, err
	}
	gfilled()
	pfilled()
	return read, nil
}

const readToken = `SELECT t.sig, coalesce(t.grant_id, ''), t.client_id, t.scopes, t.audience, t.cnf, t.issued_at, t.expires_at,
		t.revoked_at, ` + grantColumns + `, ` + personColumns + `
	FROM access_token t LEFT JOIN authorization_grant g ON g.id = t.grant_id
	LEFT JOIN account a ON a.id = g.account_id LEFT JOIN address d ON d.account_id = a.id AND d.is_primary
	WHERE t.sig = $1`

// ReadToken implements grant.Store.
func (s *Store) ReadToken(ctx context.Context, sig []byte) (grant.TokenRead, error) {
	var read grant.TokenRead
	var g grant.Grant
	var p grant.Person
	t := &read.Token
	var scopes, audience string
	var issued, expires, revoked stamp
	gdest, gfilled := grantScan(&g)
	pdest, pfilled := personScan(&p)
	dest := []any{&t.Sig, &t.GrantID, &t.ClientID, &scopes, &audience, &t.Cnf, &issued, &expires, &revoked}
	if err := s.row(ctx, "read an access token", readToken, append(append(dest, gdest...), pdest...), sig); err != nil {
		return grant.TokenRead{}, err
	}
	gfilled()
	pfilled()
	t.Scopes, t.Audience = words(scopes), words(audience)
	t.IssuedAt, t.ExpiresAt, t.RevokedAt = issued.Time, expires.Time, revoked.Time
	if t.GrantID != "" {
		read.Grant, read.Person = &g, &p
	}
	return read, nil
}

// row reads the one row that keys name; grant.ErrNotFound when there is none.
func (s *Store) row(ctx context.Context, what, q string, dest []any, keys ...any) error {
	err := hotPool(s.read(ctx)).QueryRowContext(ctx, q, keys...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return grant.ErrNotFound
	} else if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
