package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/passport-network/passport/pkg/account"
)

var _ account.Store = (*Store)(nil)

var accountRows = []any{&accountRow{}, &addressRow{}, &credentialRow{}, &mailTokenRow{}, &accountLinkRow{}, &invitationRow{}, &pictureRow{}, &recoveryRow{}, &requestRow{}}

type accountRow struct {
	ID          string `gorm:"primaryKey"`
	Sub         string
	State       string
	Name        string
	Claims      string
	Language    string
	CreatedAt   stamp `gorm:"autoCreateTime:false"`
	UpdatedAt   stamp `gorm:"autoUpdateTime:false"`
	DisabledAt  stamp
	TermsAt     stamp
	ExpiresAt   stamp
	FormID      *string
	BrowserHash []byte
	Interaction []byte
	// Of terms and privacy policy, as they were accepted.
	TermsVersion, PrivacyVersion string
	InvitationID                 string
}

func (accountRow) TableName() string { return "account" }

// kindPassword is the one kind of credential so far.
const kindPassword = "password"

type credentialRow struct {
	ID        string `gorm:"primaryKey"`
	AccountID string
	Kind      string
	Secret    string
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	UsedAt    stamp
	Guesses   int64
}

func (credentialRow) TableName() string { return "credential" }

// personRow is an account with its primary address and its password: what one statement reads.
type personRow struct {
	Account   accountRow `gorm:"embedded"`
	AddressID string
	Email     string
	Canonical string
	ProvenAt  stamp
	SecretID  *string
	Secret    *string
	SecretAt  stamp
	SecretUse stamp
	Guesses   int64
}

func (p personRow) record() account.Record {
	r := account.Record{
		ID: p.Account.ID, Sub: p.Account.Sub, State: p.Account.State, Name: p.Account.Name, Claims: []byte(p.Account.Claims), Language: p.Account.Language,
		CreatedAt: p.Account.CreatedAt.Time, UpdatedAt: p.Account.UpdatedAt.Time, DisabledAt: p.Account.DisabledAt.Time,
		TermsAt: p.Account.TermsAt.Time, ExpiresAt: p.Account.ExpiresAt.Time, BrowserHash: p.Account.BrowserHash, Interaction: p.Account.Interaction,
		Accepted: account.Versions{Terms: p.Account.TermsVersion, Privacy: p.Account.PrivacyVersion}, Invitation: p.Account.InvitationID,
		Guesses: int(p.Guesses), AddressID: p.AddressID, Email: p.Email, Canonical: p.Canonical, ProvenAt: p.ProvenAt.Time,
	}
	if p.Account.FormID != nil {
		r.FormID = *p.Account.FormID
	}
	if p.Secret != nil {
		r.Password, r.PasswordID, r.PasswordAt, r.PasswordUsedAt = *p.Secret, *p.SecretID, p.SecretAt.Time, p.SecretUse.Time
	}
	return r
}

var selectPerson = `SELECT ` + columnsOf("account", &accountRow{}) + `, address.id AS address_id, address.email, address.canonical, address.proven_at,
		credential.id AS secret_id, credential.secret, credential.created_at AS secret_at, credential.used_at AS secret_use,
		coalesce(credential.guesses, 0) AS guesses
	FROM account
	JOIN address ON address.account_id = account.id
	LEFT JOIN credential ON credential.account_id = account.id AND credential.kind = 'password'
	`

// person reads one: account.ErrNotFound.
func (s *Store) person(ctx context.Context, tail string, args ...any) (account.Record, error) {
	var rows []personRow
	if err := s.read(ctx).Raw(selectPerson+tail, args...).Scan(&rows).Error; err != nil {
		return account.Record{}, err
	}
	if len(rows) == 0 {
		return account.Record{}, account.ErrNotFound
	}
	return rows[0].record(), nil
}

// ByAddress reads first the account that has proven the address, then this browser's newest pending one,
// else the newest: the two that a sign-in can be about.
func (s *Store) ByAddress(ctx context.Context, canonical string, browser []byte, now time.Time) ([]account.Record, error) {
	var rows []personRow
	err := s.read(ctx).Raw(selectPerson+`
		WHERE address.canonical = @canonical AND (address.proven_at IS NOT NULL
			OR account.state = 'pending' AND account.expires_at > @now)
		ORDER BY CASE WHEN address.proven_at IS NOT NULL THEN 0 WHEN account.browser_hash = @browser THEN 1 ELSE 2 END,
			account.created_at DESC, account.id DESC
		LIMIT 2`, map[string]any{"canonical": canonical, "browser": notNil(browser), "now": at(now)}).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	found := make([]account.Record, len(rows))
	for i, r := range rows {
		found[i] = r.record()
	}
	return found, nil
}

// notNil: a comparison with an empty value is false in both databases, one with NULL has no value.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// ByBrowser reads the newest pending account that this browser registered.
func (s *Store) ByBrowser(ctx context.Context, browser []byte, now time.Time) (account.Record, error) {
	return s.person(ctx, `WHERE address.is_primary AND account.browser_hash = ? AND account.state = 'pending'
		AND account.expires_at > ? ORDER BY account.created_at DESC, account.id DESC LIMIT 1`, notNil(browser), at(now))
}

// ByForm reads the account that this form made.
func (s *Store) ByForm(ctx context.Context, formID string) (account.Record, error) {
	return s.person(ctx, `WHERE address.is_primary AND account.form_id = ?`, formID)
}

// ByLink reads the pending account of a live link. The purpose is part of the key (A3).
func (s *Store) ByLink(ctx context.Context, purpose string, hash []byte, now time.Time) (account.Record, error) {
	return s.person(ctx, `JOIN mail_token ON mail_token.address_id = address.id
		WHERE mail_token.purpose = ? AND mail_token.hash = ? AND mail_token.used_at IS NULL
		AND mail_token.expires_at > ? AND account.state = 'pending' AND account.expires_at > ?`,
		purpose, hash, at(now), at(now))
}

// ByID reads by id or sub.
func (s *Store) ByID(ctx context.Context, idOrSub string) (account.Record, error) {
	return s.person(ctx, `WHERE address.is_primary AND (account.id = ? OR account.sub = ?)`, idOrSub, idOrSub)
}

// Insert writes account, address and password. The form's unique id settles which of its posts it is.
func (s *Store) Insert(ctx context.Context, r account.Record) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		row := accountRow{
			ID: r.ID, Sub: r.Sub, State: r.State, Name: r.Name, Claims: string(r.Claims), Language: r.Language,
			CreatedAt: at(r.CreatedAt), UpdatedAt: at(r.UpdatedAt), DisabledAt: at(r.DisabledAt), TermsAt: at(r.TermsAt),
			ExpiresAt: at(r.ExpiresAt), BrowserHash: r.BrowserHash, Interaction: r.Interaction,
			TermsVersion: r.Accepted.Terms, PrivacyVersion: r.Accepted.Privacy, InvitationID: r.Invitation,
		}
		if r.FormID != "" {
			row.FormID = &r.FormID
		}
		if err := oneRow(s.db(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&row), account.ErrGone); err != nil {
			return err
		}
		err := s.db(ctx).Create(&addressRow{
			ID: r.AddressID, AccountID: r.ID, Email: r.Email, Canonical: r.Canonical, IsPrimary: true,
			ProvenAt: at(r.ProvenAt), CreatedAt: at(r.CreatedAt),
		}).Error
		if errors.Is(err, gorm.ErrDuplicatedKey) {
			return account.ErrTaken
		}
		if err != nil || r.Password == "" {
			return err
		}
		_, err = s.insertPassword(ctx, r.ID, r.Password, r.CreatedAt)
		return err
	})
}

func (s *Store) insertPassword(ctx context.Context, accountID, hash string, when time.Time) (id string, err error) {
	row := credentialRow{ID: newID(), AccountID: accountID, Kind: kindPassword, Secret: hash, CreatedAt: at(when)}
	return row.ID, s.db(ctx).Create(&row).Error
}

// forUpdate ends a SELECT that locks what it reads. SQLite's one immediate writer needs none.
func (s *Store) forUpdate() string {
	if s.postgres() {
		return " FOR UPDATE"
	}
	return ""
}

// Prove spends the link, activates the account, proves the address and ends every other registration of it.
func (s *Store) Prove(ctx context.Context, p account.Proof) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		spent := s.db(ctx).Model(&mailTokenRow{}).
			Where("purpose = 'confirm' AND hash = ? AND account_id = ? AND used_at IS NULL AND expires_at > ?", p.Hash, p.AccountID, at(p.At)).
			Update("used_at", at(p.At))
		if err := oneRow(spent, account.ErrGone); err != nil {
			return err
		}
		set := map[string]any{
			"state": account.Active, "updated_at": at(p.At), "expires_at": nil, "browser_hash": nil, "interaction": nil,
		}
		if p.Fresh {
			// Nobody has accepted the terms who has proven to be the owner.
			set["name"], set["claims"], set["terms_at"], set["language"] = "", "{}", nil, p.Language
			set["terms_version"], set["privacy_version"] = "", ""
		}
		active := s.db(ctx).Model(&accountRow{}).Where("id = ? AND state = 'pending'", p.AccountID).Updates(set)
		if err := oneRow(active, account.ErrGone); err != nil {
			return err
		}
		proven := s.db(ctx).Model(&addressRow{}).Where("id = ? AND account_id = ? AND proven_at IS NULL", p.AddressID, p.AccountID).
			Update("proven_at", at(p.At))
		if errors.Is(proven.Error, gorm.ErrDuplicatedKey) {
			return account.ErrGone // another account was faster
		}
		if err := oneRow(proven, account.ErrGone); err != nil {
			return err
		}
		if p.Fresh {
			if err := s.dropCredentials(ctx, p); err != nil {
				return err
			}
		}
		if err := s.db(ctx).Where("account_id = ?", p.AccountID).Delete(&mailTokenRow{}).Error; err != nil {
			return err
		}
		return s.DropPending(ctx, p.Canonical, p.AccountID)
	})
}

// dropCredentials replaces everything with which somebody could sign in, or come back.
func (s *Store) dropCredentials(ctx context.Context, p account.Proof) error {
	if err := s.db(ctx).Where("account_id = ?", p.AccountID).Delete(&credentialRow{}).Error; err != nil {
		return err
	}
	if err := s.db(ctx).Where("account_id = ? AND id <> ?", p.AccountID, p.AddressID).Delete(&addressRow{}).Error; err != nil {
		return err
	}
	if err := s.SetRecovery(ctx, p.AccountID, account.Recovery{}); err != nil {
		return err
	}
	_, err := s.insertPassword(ctx, p.AccountID, p.Password, p.At)
	return err
}

// EndPending deletes one pending account.
func (s *Store) EndPending(ctx context.Context, accountID string) error {
	return oneRow(s.db(ctx).Where("id = ? AND state = 'pending'", accountID).Delete(&accountRow{}), account.ErrGone)
}

// DropPending deletes every pending account that names the address but one.
func (s *Store) DropPending(ctx context.Context, canonical, except string) error {
	return s.db(ctx).Where(`state = 'pending' AND id <> ? AND id IN (SELECT account_id FROM address WHERE canonical = ?)`,
		except, canonical).Delete(&accountRow{}).Error
}

// Cancel deletes a pending account by its live cancel link.
func (s *Store) Cancel(ctx context.Context, accountID string, hash []byte, now time.Time) error {
	gone := s.db(ctx).Where(`id = ? AND state = 'pending' AND EXISTS (SELECT 1 FROM mail_token
			WHERE mail_token.account_id = account.id AND purpose = 'cancel' AND hash = ? AND used_at IS NULL
			AND mail_token.expires_at > ?)`, accountID, hash, at(now)).Delete(&accountRow{})
	return oneRow(gone, account.ErrGone)
}

// SignedIn records the use of a password; it hits no row when password or account have changed meanwhile.
func (s *Store) SignedIn(ctx context.Context, accountID, old, hash string, when time.Time) error {
	set := map[string]any{"used_at": at(when), "guesses": 0}
	if hash != "" {
		set["secret"] = hash
	}
	used := s.db(ctx).Model(&credentialRow{}).Where(`account_id = ? AND kind = 'password' AND secret = ?
		AND EXISTS (SELECT 1 FROM account WHERE account.id = credential.account_id AND account.state = 'active')`,
		accountID, old).Updates(set)
	return oneRow(used, account.ErrGone)
}

// CountGuess implements account.Store.
func (s *Store) CountGuess(ctx context.Context, credential string) error {
	return s.db(ctx).Exec("UPDATE credential SET guesses = guesses + 1 WHERE id = ?", credential).Error
}

// ForgetGuesses implements account.Store.
func (s *Store) ForgetGuesses(ctx context.Context, accountID string) error {
	return s.db(ctx).Exec("UPDATE credential SET guesses = 0 WHERE account_id = ? AND kind = ?", accountID, kindPassword).Error
}

// SetPassword replaces the password.
func (s *Store) SetPassword(ctx context.Context, accountID, hash string, when time.Time) (credential string, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		if err := s.DropPassword(ctx, accountID); err != nil {
			return err
		}
		credential, err = s.insertPassword(ctx, accountID, hash, when)
		return err
	})
	return credential, err
}

// DropPassword removes the password.
func (s *Store) DropPassword(ctx context.Context, accountID string) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.LockAccount(ctx, accountID); err != nil && !errors.Is(err, account.ErrNotFound) {
			return err
		}
		return s.db(ctx).Where("account_id = ? AND kind = 'password'", accountID).Delete(&credentialRow{}).Error
	})
}

// LockAccount waits for sign-ins that have locked the account (mayStillSignIn): the login that one writes with the old
// password is then there to be ended. Rows that only name the account do not wait for it.
func (s *Store) LockAccount(ctx context.Context, accountID string) (account.Record, error) {
	q := `SELECT id FROM account WHERE id = ?`
	if s.postgres() {
		q += ` FOR NO KEY UPDATE`
	}
	var ids []string
	if err := s.db(ctx).Raw(q, accountID).Scan(&ids).Error; err != nil {
		return account.Record{}, err
	}
	return s.person(ctx, `WHERE address.is_primary AND account.id = ?`, accountID)
}

// SetProfile replaces name, language and claims.
func (s *Store) SetProfile(ctx context.Context, r account.Record, when time.Time) error {
	return oneRow(s.db(ctx).Model(&accountRow{}).Where("id = ?", r.ID).Updates(map[string]any{
		"name": r.Name, "language": r.Language, "claims": string(r.Claims), "updated_at": at(when),
	}), account.ErrNotFound)
}

type pictureRow struct {
	Name      string `gorm:"primaryKey"`
	AccountID string
	JPEG      []byte `gorm:"column:jpeg"`
	CreatedAt stamp  `gorm:"autoCreateTime:false"`
}

func (pictureRow) TableName() string { return "picture" }

// SetPicture keeps a picture in place of the account's.
func (s *Store) SetPicture(ctx context.Context, accountID, name string, jpeg []byte, when time.Time) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		if err := s.DropPicture(ctx, accountID); err != nil {
			return err
		}
		return s.db(ctx).Create(&pictureRow{Name: name, AccountID: accountID, JPEG: jpeg, CreatedAt: at(when)}).Error
	})
}

// DropPicture takes the account's picture away.
func (s *Store) DropPicture(ctx context.Context, accountID string) error {
	return s.db(ctx).Where("account_id = ?", accountID).Delete(&pictureRow{}).Error
}

// ReadPicture reads the picture of an active account.
func (s *Store) ReadPicture(ctx context.Context, name string) ([]byte, error) {
	var rows []pictureRow
	err := s.read(ctx).Where(`name = ? AND EXISTS (SELECT 1 FROM account WHERE account.id = picture.account_id AND account.state = 'active')`, name).
		Limit(1).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		err = account.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return rows[0].JPEG, nil
}

// AcceptTerms records what an account has accepted.
func (s *Store) AcceptTerms(ctx context.Context, accountID string, v account.Versions, when time.Time) error {
	res := s.db(ctx).Model(&accountRow{}).Where("id = ? AND state = 'active'", accountID).
		Updates(map[string]any{"terms_version": v.Terms, "privacy_version": v.Privacy, "terms_at": at(when)})
	return oneRow(res, account.ErrNotFound)
}

// SetState moves an account to a state.
func (s *Store) SetState(ctx context.Context, accountID, state string, when time.Time) error {
	set := map[string]any{"state": state, "updated_at": at(when), "disabled_at": nil}
	switch state {
	case account.Disabled:
		set["disabled_at"] = at(when)
	case account.Active:
		set["expires_at"] = nil
	}
	return oneRow(s.db(ctx).Model(&accountRow{}).Where("id = ?", accountID).Updates(set), account.ErrNotFound)
}

// CloseAccount has an active account go at a time. It waits for sign-ins as DropPassword does.
func (s *Store) CloseAccount(ctx context.Context, accountID string, when, until time.Time) error {
	return oneRow(s.db(ctx).Model(&accountRow{}).Where("id = ? AND state = ?", accountID, account.Active).
		Updates(map[string]any{"state": account.Closing, "updated_at": at(when), "expires_at": at(until)}), account.ErrGone)
}

// ReopenAccount has a closing account stay.
func (s *Store) ReopenAccount(ctx context.Context, accountID string, when time.Time) error {
	return oneRow(s.db(ctx).Model(&accountRow{}).Where("id = ? AND state = ? AND expires_at > ?", accountID, account.Closing, at(when)).
		Updates(map[string]any{"state": account.Active, "updated_at": at(when), "expires_at": nil}), account.ErrGone)
}

// Delete removes the account; everything that hangs on it goes by the foreign keys.
func (s *Store) Delete(ctx context.Context, accountID string) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		ids, err := s.deleteAccounts(ctx, "SELECT id FROM account WHERE id = @id"+s.forUpdate(), map[string]any{"id": accountID})
		if err == nil && len(ids) == 0 {
			err = account.ErrNotFound
		}
		return err
	})
}

// deleteAccounts deletes the few accounts that a statement picks and locks, in the transaction of ctx; it gives their ids.
// Nothing stays that says who they were: what the log of events has of them is made nobody's (which browser, from where, at
// which sites), and the browsers go in which nobody else has signed in.
func (s *Store) deleteAccounts(ctx context.Context, pick string, arg map[string]any) (ids []string, err error) {
	if err := s.db(ctx).Raw(pick, arg).Scan(&ids).Error; err != nil || len(ids) == 0 {
		return nil, err
	}
	var browsers []string // one person may have used any number of them
	err = s.db(ctx).Raw("SELECT DISTINCT browser_id FROM login WHERE account_id IN ? ORDER BY browser_id", ids).Scan(&browsers).Error
	if err != nil {
		return nil, err
	}
	if err := s.db(ctx).Exec("DELETE FROM account WHERE id IN ?", ids).Error; err != nil {
		return nil, err
	}
	if err := s.db(ctx).Exec("UPDATE audit SET detail = '', session = '', client_id = '' WHERE subject IN ?", ids).Error; err != nil {
		return nil, err
	}
	for part := range slices.Chunk(browsers, most) {
		if err := s.deleteAlone(ctx, part); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// deleteAlone deletes those of the browsers in which nobody has signed in. They are locked by a statement before: this one
// sees the login of who was signing in there at that moment.
func (s *Store) deleteAlone(ctx context.Context, browsers []string) error {
	if s.postgres() {
		if err := s.db(ctx).Exec("SELECT 1 FROM browser WHERE id IN ? ORDER BY id FOR UPDATE", browsers).Error; err != nil {
			return err
		}
	}
	return s.db(ctx).Exec(`DELETE FROM browser WHERE id IN ? AND NOT EXISTS (SELECT 1 FROM login WHERE login.browser_id = browser.id)`, browsers).Error
}
