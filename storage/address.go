package storage

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/passport-network/passport/pkg/account"
)

type addressRow struct {
	ID        string `gorm:"primaryKey"`
	AccountID string
	Email     string
	Canonical string
	IsPrimary bool
	ProvenAt  stamp
	CreatedAt stamp `gorm:"autoCreateTime:false"`
}

func (addressRow) TableName() string { return "address" }

// LockAddress locks every row that names the address, in one order: two confirmations would else wait for
// each other, one at the unique index, one at the pending account that it is to delete.
func (s *Store) LockAddress(ctx context.Context, canonical string) error {
	if !s.postgres() {
		return nil
	}
	var ids []string
	return s.db(ctx).Raw(`SELECT id FROM address WHERE canonical = ? ORDER BY id FOR UPDATE`, canonical).Scan(&ids).Error
}

// Addresses reads the proven addresses of an account.
func (s *Store) Addresses(ctx context.Context, accountID string) ([]account.Address, error) {
	var rows []addressRow
	err := s.read(ctx).Where("account_id = ? AND proven_at IS NOT NULL", accountID).Order("is_primary DESC, proven_at, id").Find(&rows).Error
	list := make([]account.Address, len(rows))
	for i, r := range rows {
		list[i] = account.Address{ID: r.ID, Email: r.Email, Canonical: r.Canonical, Primary: r.IsPrimary, ProvenAt: r.ProvenAt.Time}
	}
	return list, err
}

// AddAddress adds a proven address.
func (s *Store) AddAddress(ctx context.Context, accountID string, a account.Address) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		err := s.db(ctx).Create(&addressRow{ID: newID(), AccountID: accountID, Email: a.Email, Canonical: a.Canonical,
			ProvenAt: at(a.ProvenAt), CreatedAt: at(a.ProvenAt)}).Error
		if errors.Is(err, gorm.ErrDuplicatedKey) {
			return account.ErrTaken
		}
		if err != nil {
			return err
		}
		return s.DropPending(ctx, a.Canonical, accountID)
	})
}

// MakePrimary puts a proven address in the primary one's place. At no time are there two.
func (s *Store) MakePrimary(ctx context.Context, accountID, canonical string, when time.Time) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		old := s.db(ctx).Model(&addressRow{}).Where("account_id = ? AND is_primary", accountID).Update("is_primary", false)
		if err := oneRow(old, account.ErrGone); err != nil {
			return err
		}
		proven := s.db(ctx).Model(&addressRow{}).Where("account_id = ? AND canonical = ? AND proven_at IS NOT NULL", accountID, canonical).
			Update("is_primary", true)
		if err := oneRow(proven, account.ErrGone); err != nil {
			return err
		}
		// What is told to sites of the person has changed.
		return s.db(ctx).Model(&accountRow{}).Where("id = ?", accountID).Update("updated_at", at(when)).Error
	})
}

// LatelyPrimary looks for an alarm that went to the primary address.
func (s *Store) LatelyPrimary(ctx context.Context, accountID, canonical string, now time.Time) (bool, error) {
	var n int64
	err := s.read(ctx).Model(&accountLinkRow{}).Where("account_id = ? AND purpose = 'alarm' AND canonical = ? AND is_primary AND used_at IS NULL AND expires_at > ?",
		accountID, canonical, at(now)).Count(&n).Error
	return n > 0, err
}

// RemoveAddress removes one that is not the primary.
func (s *Store) RemoveAddress(ctx context.Context, accountID, canonical string) error {
	gone := s.db(ctx).Where("account_id = ? AND canonical = ? AND NOT is_primary", accountID, canonical).Delete(&addressRow{})
	return oneRow(gone, account.ErrGone)
}

type recoveryRow struct {
	AccountID  string `gorm:"primaryKey"`
	Email      string
	Canonical  string
	ProvenAt   stamp
	Question   string
	Answer     string
	QuestionAt stamp
}

func (recoveryRow) TableName() string { return "recovery" }

// Recovery reads what helps an account back.
func (s *Store) Recovery(ctx context.Context, accountID string) (account.Recovery, error) {
	var rows []recoveryRow
	if err := s.read(ctx).Where("account_id = ?", accountID).Limit(1).Find(&rows).Error; err != nil || len(rows) == 0 {
		return account.Recovery{}, err
	}
	r := rows[0]
	return account.Recovery{Email: r.Email, Canonical: r.Canonical, ProvenAt: r.ProvenAt.Time, Question: r.Question, Answer: r.Answer,
		QuestionAt: r.QuestionAt.Time}, nil
}

// SetRecovery puts it in place of what there was.
func (s *Store) SetRecovery(ctx context.Context, accountID string, r account.Recovery) error {
	if r == (account.Recovery{}) {
		return s.db(ctx).Where("account_id = ?", accountID).Delete(&recoveryRow{}).Error
	}
	return s.db(ctx).Save(&recoveryRow{AccountID: accountID, Email: r.Email, Canonical: r.Canonical, ProvenAt: at(r.ProvenAt),
		Question: r.Question, Answer: r.Answer, QuestionAt: at(r.QuestionAt)}).Error
}
