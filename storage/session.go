package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/passport-network/passport/pkg/session"
)

var _ session.Store = (*Store)(nil)

var sessionRows = []any{&browserRow{}, &sessionSecretRow{}, &loginRow{}}

// kindSID marks the secrets of the session cookie.
const kindSID = "sid"

type browserRow struct {
	ID        string `gorm:"primaryKey"`
	Device    string
	Network   string
	Kept      bool
	CreatedAt stamp
	SeenAt    stamp
	ExpiresAt stamp
}

func (browserRow) TableName() string { return "browser" }

type sessionSecretRow struct {
	Hash      []byte `gorm:"primaryKey"`
	Kind      string
	BrowserID string
	CreatedAt stamp
}

func (sessionSecretRow) TableName() string { return "session_secret" }

type loginRow struct {
	ID        string `gorm:"primaryKey"`
	BrowserID string
	AccountID string
	AuthTime  stamp
	AMR       string `gorm:"column:amr"`
	ACR       string `gorm:"column:acr"`
	Event     []byte
	CreatedAt stamp
	EndedAt   stamp
}

func (loginRow) TableName() string { return "login" }

func (l *loginRow) login() session.Login {
	return session.Login{ID: l.ID, BrowserID: l.BrowserID, AccountID: l.AccountID, AuthTime: l.AuthTime.Time,
		AMR: words(l.AMR), ACR: l.ACR, Event: l.Event}
}

// ReadSession implements session.Store.
func (s *Store) ReadSession(ctx context.Context, hash []byte) (*session.Browser, error) {
	var rows []struct {
		Browser   string
		ExpiresAt stamp
		Login     loginRow `gorm:"embedded"` // all NULL: nobody is signed in there
	}
	err := s.read(ctx).Raw(`SELECT b.id AS browser, b.expires_at, `+columnsOf("l", &loginRow{})+`
		FROM session_secret x JOIN browser b ON b.id = x.browser_id
		LEFT JOIN login l ON l.browser_id = b.id AND l.ended_at IS NULL
		WHERE x.hash = ? AND x.kind = ? ORDER BY l.auth_time DESC, l.id DESC`, hash, kindSID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	b := &session.Browser{ID: rows[0].Browser, ExpiresAt: rows[0].ExpiresAt.Time}
	for _, r := range rows {
		if r.Login.ID != "" {
			b.Logins = append(b.Logins, r.Login.login())
		}
	}
	return b, nil
}

// SaveSignIn implements session.Store.
func (s *Store) SaveSignIn(ctx context.Context, e session.Entry) (login session.Login, ended []string, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		ended = nil
		if err := s.mayStillSignIn(ctx, e.SignIn); err != nil {
			return err
		}
		browser, kept, err := s.takeBrowser(ctx, e)
		if err != nil {
			return err
		}
		others := func(db *gorm.DB) *gorm.DB {
			return db.Where("browser_id = ? AND account_id <> ?", browser, e.AccountID)
		}
		// A login whose time is over must not come back to life with the browser; nobody has ended it.
		err = s.endLogins(ctx, e.At, nil, func(db *gorm.DB) *gorm.DB { return others(db).Where("auth_time <= ?", at(e.Stale)) })
		// Nor may one that was not to be kept be kept because somebody else's is, who also uses this browser.
		if err == nil && e.Keep && !kept {
			err = s.endLogins(ctx, e.At, &ended, others)
		}
		if err != nil {
			return err
		}
		db := s.db(ctx)
		err = db.Create(&sessionSecretRow{Hash: e.New, Kind: kindSID, BrowserID: browser, CreatedAt: at(e.At)}).Error
		if err != nil {
			return err
		}
		login, err = s.saveLogin(ctx, browser, e)
		return err
	})
	if err != nil {
		return session.Login{}, nil, fmt.Errorf("write a sign-in: %w", err)
	}
	return login, ended, nil
}

// mayStillSignIn locks the account before anything else: whoever disables it or changes its password has
// either done so, and is seen here, or waits for us and then ends the login that we write. The credential is
// read by a statement of its own, which sees what was committed while the first waited.
func (s *Store) mayStillSignIn(ctx context.Context, in session.SignIn) error {
	q := `SELECT id FROM account WHERE id = ? AND state = 'active'`
	if s.postgres() {
		q += " FOR SHARE"
	}
	var found []string
	if err := s.db(ctx).Raw(q, in.AccountID).Scan(&found).Error; err != nil {
		return err
	}
	if len(found) == 1 && in.Credential != "" {
		found = nil
		q = `SELECT id FROM credential WHERE id = ? AND account_id = ?`
		if err := s.db(ctx).Raw(q, in.Credential, in.AccountID).Scan(&found).Error; err != nil {
			return err
		}
	}
	if len(found) != 1 {
		return session.ErrRefused
	}
	return nil
}

// takeBrowser drops the secrets of the browser that e.Old names and returns its id, else that of a new one, and whether it
// was kept. Dropping the presented secret decides between sign-ins at the same moment: one of them has the browser.
func (s *Store) takeBrowser(ctx context.Context, e session.Entry) (id string, kept bool, err error) {
	db := s.db(ctx)
	if e.Old != nil {
		if err := s.lockLogins(ctx, e.Old); err != nil {
			return "", false, err
		}
		var old []sessionSecretRow
		err := db.Clauses(returning(&sessionSecretRow{})).Where("hash = ? AND kind = ?", e.Old, kindSID).Delete(&old).Error
		if err != nil {
			return "", false, err
		}
		if len(old) == 1 {
			var was []browserRow
			if err := db.Where("id = ? AND expires_at > ?", old[0].BrowserID, at(e.At)).Find(&was).Error; err != nil {
				return "", false, err
			}
			if len(was) == 1 {
				err := db.Model(&browserRow{}).Where("id = ?", was[0].ID).Updates(map[string]any{"device": e.Device,
					"network": e.Network, "kept": e.Keep, "seen_at": at(e.At), "expires_at": at(e.ExpiresAt)}).Error
				if err != nil {
					return "", false, err
				}
				return was[0].ID, was[0].Kept, db.Where("browser_id = ?", was[0].ID).Delete(&sessionSecretRow{}).Error
			}
		}
	}
	b := browserRow{ID: newID(), Device: e.Device, Network: e.Network, Kept: e.Keep, CreatedAt: at(e.At), SeenAt: at(e.At), ExpiresAt: at(e.ExpiresAt)}
	return b.ID, true, db.Create(&b).Error
}

// RenewSecret implements session.Store.
func (s *Store) RenewSecret(ctx context.Context, old, renewed []byte, when time.Time) (kept bool, expires time.Time, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		db := s.db(ctx)
		done := db.Model(&sessionSecretRow{}).Where("hash = ? AND kind = ?", old, kindSID).
			Updates(map[string]any{"hash": renewed, "created_at": at(when)})
		if done.Error != nil {
			return done.Error
		}
		var b browserRow
		err := db.Where("id = (SELECT browser_id FROM session_secret WHERE hash = ?)", renewed).Limit(1).Find(&b).Error
		if err != nil {
			return err
		}
		if done.RowsAffected != 1 || b.ID == "" {
			return session.ErrNoLogin
		}
		kept, expires = b.Kept, b.ExpiresAt.Time
		return nil
	})
	return kept, expires, err
}

// returning asks for the columns of a row struct.
func returning(row any) (r clause.Returning) {
	for _, name := range namesOf(row) {
		r.Columns = append(r.Columns, clause.Column{Name: name})
	}
	return r
}

// lockLogins locks the live logins of the browser that has this secret, in the order of endLogins and, as
// there, before the secret: a sign-in and an end of the same logins would else wait for each other.
func (s *Store) lockLogins(ctx context.Context, secret []byte) error {
	if !s.postgres() {
		return nil
	}
	var ids []string
	return s.db(ctx).Raw(`SELECT l.id FROM login l JOIN session_secret x ON x.browser_id = l.browser_id
		WHERE x.hash = ? AND x.kind = ? AND l.ended_at IS NULL ORDER BY l.id FOR UPDATE OF l`, secret, kindSID).Scan(&ids).Error
}

// saveLogin refreshes the account's live login in the browser, or makes one.
func (s *Store) saveLogin(ctx context.Context, browser string, e session.Entry) (session.Login, error) {
	db := s.db(ctx)
	var rows []loginRow
	err := db.Model(&rows).Clauses(returning(&loginRow{})).
		Where("browser_id = ? AND account_id = ? AND ended_at IS NULL", browser, e.AccountID).
		Updates(map[string]any{"auth_time": at(e.AuthTime), "amr": joined(e.AMR), "acr": e.ACR, "event": e.Event}).Error
	if err != nil {
		return session.Login{}, err
	}
	if len(rows) == 1 {
		return rows[0].login(), nil
	}
	row := loginRow{ID: newID(), BrowserID: browser, AccountID: e.AccountID, AuthTime: at(e.AuthTime),
		AMR: joined(e.AMR), ACR: e.ACR, Event: e.Event, CreatedAt: at(e.At)}
	return row.login(), db.Create(&row).Error
}

// EndLogins implements session.Store.
func (s *Store) EndLogins(ctx context.Context, q session.Ending) (ended []string, err error) {
	if q.BrowserID == "" && q.AccountID == "" && q.LoginID == "" {
		return nil, errors.New("end logins: none is named")
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		ended = nil
		err := s.endLogins(ctx, q.At, &ended, func(db *gorm.DB) *gorm.DB {
			for column, value := range map[string]string{"browser_id": q.BrowserID, "account_id": q.AccountID, "id": q.LoginID} {
				if value != "" {
					db = db.Where(column+" = ?", value)
				}
			}
			if q.Except != "" {
				db = db.Where("id <> ?", q.Except)
			}
			return db
		})
		if err != nil || q.BrowserID == "" {
			return err
		}
		return s.dropSecrets(ctx, []string{q.BrowserID})
	})
	if err != nil {
		return nil, fmt.Errorf("end logins: %w", err)
	}
	return ended, nil
}

// endLogins ends the live logins that pick leaves, and what hangs on them.
func (s *Store) endLogins(ctx context.Context, when time.Time, ended *[]string, pick func(*gorm.DB) *gorm.DB) error {
	var rows []loginRow
	// In the order of ids: two that end the same logins must not wait for each other.
	err := pick(s.db(ctx)).Select("id", "browser_id").Where("ended_at IS NULL").Order("id").
		Clauses(clause.Locking{Strength: "UPDATE"}).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return err
	}
	for part := range slices.Chunk(rows, most) {
		if err := s.endLocked(ctx, when, part); err != nil {
			return err
		}
	}
	if ended != nil {
		for _, r := range rows {
			*ended = append(*ended, r.ID)
		}
	}
	return nil
}

// endLocked ends logins that are locked, most of them at the most.
func (s *Store) endLocked(ctx context.Context, when time.Time, rows []loginRow) error {
	var ids, browsers []string
	for _, r := range rows {
		ids = append(ids, r.ID)
		browsers = append(browsers, r.BrowserID)
	}
	err := s.db(ctx).Model(&loginRow{}).Where("id IN ?", ids).Update("ended_at", at(when)).Error
	if err != nil {
		return err
	}
	// After the logins are locked: a grant that is being issued now either waits for us and finds its login
	// ended, or was there before and is seen by this statement.
	err = s.db(ctx).Exec("UPDATE authorization_grant SET revoked_at = ? WHERE login_id IN ? AND NOT offline AND revoked_at IS NULL",
		at(when), ids).Error
	if err != nil {
		return err
	}
	// Likewise what somebody has allowed for this login alone.
	err = s.db(ctx).Exec("DELETE FROM consent WHERE login_id IN ? AND login_id <> ''", ids).Error
	if err != nil {
		return err
	}
	return s.dropSecrets(ctx, browsers)
}

// dropSecrets drops the secrets of those browsers in which nobody is signed in any more. Of two that end the
// last two logins at the same moment neither may see it: a secret that stays shows nobody, until its browser
// is purged.
func (s *Store) dropSecrets(ctx context.Context, browsers []string) error {
	return s.db(ctx).Exec(`DELETE FROM session_secret WHERE browser_id IN ? AND NOT EXISTS (
		SELECT 1 FROM login l WHERE l.browser_id = session_secret.browser_id AND l.ended_at IS NULL)`, browsers).Error
}

// ListLogins implements session.Store.
func (s *Store) ListLogins(ctx context.Context, accountID string, ended bool) ([]session.Info, error) {
	var rows []struct {
		Device  string
		Network string
		SeenAt  stamp
		UsedAt  stamp
		Login   loginRow `gorm:"embedded"`
	}
	err := s.read(ctx).Raw(`SELECT b.device, b.network, b.seen_at, `+columnsOf("l", &loginRow{})+`,
			(SELECT max(v.last_at) FROM login_client v WHERE v.login_id = l.id) AS used_at
		FROM login l JOIN browser b ON b.id = l.browser_id
		WHERE l.account_id = ? AND (l.ended_at IS NULL OR ?) ORDER BY l.auth_time DESC, l.id DESC`, accountID, ended).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	list := make([]session.Info, len(rows))
	for i, r := range rows {
		list[i] = session.Info{Login: r.Login.login(), Device: r.Device, Network: r.Network, CreatedAt: r.Login.CreatedAt.Time, SeenAt: r.SeenAt.Time, EndedAt: r.Login.EndedAt.Time}
		if r.UsedAt.After(r.SeenAt.Time) {
			list[i].SeenAt = r.UsedAt.Time
		}
	}
	return list, nil
}
