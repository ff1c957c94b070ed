package storage

import (
	"context"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

type mailTokenRow struct {
	Purpose   string `gorm:"primaryKey"`
	Hash      []byte `gorm:"primaryKey"`
	AccountID string
	AddressID string
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
	UsedAt    stamp
}

func (mailTokenRow) TableName() string { return "mail_token" }

// SetLinks replaces the live links of these purposes. The lock on the account makes it wait for a
// confirmation or a cancellation that is under way.
func (s *Store) SetLinks(ctx context.Context, r account.Record, links []account.Link, when, expires time.Time) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		var pending []string
		q := `SELECT id FROM account WHERE id = ? AND state = 'pending'` + s.forUpdate()
		if err := s.db(ctx).Raw(q, r.ID).Scan(&pending).Error; err != nil {
			return err
		}
		if len(pending) == 0 {
			return account.ErrGone
		}
		for _, l := range links {
			old := s.db(ctx).Where("address_id = ? AND purpose = ?", r.AddressID, l.Purpose).Delete(&mailTokenRow{})
			if old.Error != nil {
				return old.Error
			}
			err := s.db(ctx).Create(&mailTokenRow{
				Purpose: l.Purpose, Hash: l.Hash, AccountID: r.ID, AddressID: r.AddressID,
				CreatedAt: at(when), ExpiresAt: at(expires),
			}).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
}

type accountLinkRow struct {
	Purpose   string `gorm:"primaryKey"`
	Hash      []byte `gorm:"primaryKey"`
	AccountID *string
	Email     string
	Canonical string
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
	UsedAt    stamp
	ProvenAt  stamp
	IsPrimary bool
	Tries     int64
}

func (r accountLinkRow) link() account.Link {
	return account.Link{Purpose: r.Purpose, Hash: r.Hash, Email: r.Email, Canonical: r.Canonical, CreatedAt: r.CreatedAt.Time,
		ProvenAt: r.ProvenAt.Time, Primary: r.IsPrimary, Tries: int(r.Tries)}
}

func (accountLinkRow) TableName() string { return "account_link" }

// ReplaceLinks puts links in place of the account's unused ones of their purpose.
func (s *Store) ReplaceLinks(ctx context.Context, accountID string, links []account.Link, when, expires time.Time) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		for _, l := range links {
			old := s.db(ctx).Where("account_id = ? AND purpose = ? AND used_at IS NULL", accountID, l.Purpose).Delete(&accountLinkRow{})
			if old.Error != nil {
				return old.Error
			}
		}
		for _, l := range links {
			if err := s.AddLink(ctx, accountID, l, when, expires); err != nil {
				return err
			}
		}
		return nil
	})
}

// CountAnswer counts an answer that is tried with a link: the row is what stops the sixth of five at once.
func (s *Store) CountAnswer(ctx context.Context, hash []byte, by, most int, now time.Time) error {
	return oneRow(s.db(ctx).Exec(`UPDATE account_link SET tries = tries + ?
		WHERE purpose = 'recover' AND hash = ? AND used_at IS NULL AND expires_at > ? AND tries + ? BETWEEN 0 AND ?`,
		by, hash, at(now), by, most), account.ErrGone)
}

// AddLink adds a link; an empty accountID makes it nobody's.
func (s *Store) AddLink(ctx context.Context, accountID string, l account.Link, when, expires time.Time) error {
	row := accountLinkRow{Purpose: l.Purpose, Hash: l.Hash, Email: l.Email, Canonical: l.Canonical, CreatedAt: at(when), ExpiresAt: at(expires),
		ProvenAt: at(l.ProvenAt), IsPrimary: l.Primary}
	if accountID != "" {
		row.AccountID = &accountID
	}
	return s.db(ctx).Create(&row).Error
}

// ByAccountLink reads the account of a live link. The purpose is part of the key (A3).
func (s *Store) ByAccountLink(ctx context.Context, purpose string, hash []byte, now time.Time) (account.Record, account.Link, error) {
	var rows []accountLinkRow
	err := s.read(ctx).Where("purpose = ? AND hash = ? AND used_at IS NULL AND expires_at > ? AND account_id IS NOT NULL", purpose, hash, at(now)).
		Limit(1).Find(&rows).Error
	if err != nil {
		return account.Record{}, account.Link{}, err
	}
	if len(rows) == 0 {
		return account.Record{}, account.Link{}, account.ErrNotFound
	}
	rec, err := s.person(ctx, `WHERE address.is_primary AND account.id = ? AND account.state IN ('active', 'closing')`, *rows[0].AccountID)
	return rec, rows[0].link(), err
}

// Waiting reads the newest live link of an account for a purpose.
func (s *Store) Waiting(ctx context.Context, accountID, purpose string, now time.Time) (account.Link, error) {
	var rows []accountLinkRow
	err := s.read(ctx).Where("account_id = ? AND purpose = ? AND used_at IS NULL AND expires_at > ?", accountID, purpose, at(now)).
		Order("created_at DESC").Limit(1).Find(&rows).Error
	if err != nil {
		return account.Link{}, err
	}
	if len(rows) == 0 {
		return account.Link{}, account.ErrNotFound
	}
	return rows[0].link(), nil
}

// SpendLink spends a link, once.
func (s *Store) SpendLink(ctx context.Context, purpose string, hash []byte, accountID string, when time.Time) error {
	spent := s.db(ctx).Model(&accountLinkRow{}).
		Where("purpose = ? AND hash = ? AND account_id = ? AND used_at IS NULL AND expires_at > ?", purpose, hash, accountID, at(when)).
		Update("used_at", at(when))
	return oneRow(spent, account.ErrGone)
}

// DropLinks removes links of an account.
func (s *Store) DropLinks(ctx context.Context, accountID string, from time.Time, purposes ...string) error {
	q := s.db(ctx).Where("account_id = ?", accountID)
	if len(purposes) > 0 {
		q = q.Where("purpose IN ?", purposes)
	}
	if !from.IsZero() {
		q = q.Where("created_at >= ?", at(from))
	}
	return q.Delete(&accountLinkRow{}).Error
}
