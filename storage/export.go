package storage

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/passport-network/passport/pkg/account"
)

var exportRows = []any{&exportRow{}}

type exportRow struct {
	ID        string `gorm:"primaryKey"`
	AccountID string
	Hash      []byte
	Sealed    []byte
	AskedAt   stamp
	MadeAt    stamp
	ExpiresAt stamp
}

func (exportRow) TableName() string { return "data_export" }

// PutExport puts one in the place of the account's older one.
func (s *Store) PutExport(ctx context.Context, e account.Export) error {
	row := exportRow{ID: e.ID, AccountID: e.AccountID, AskedAt: at(e.AskedAt), ExpiresAt: at(e.ExpiresAt)}
	replaced := clause.AssignmentColumns([]string{"id", "hash", "sealed", "asked_at", "made_at", "expires_at"}) // its key, too
	return s.db(ctx).Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "account_id"}}, DoUpdates: replaced}).Create(&row).Error
}

// ReadExport reads an account's, but for the content.
func (s *Store) ReadExport(ctx context.Context, accountID string) (account.Export, error) {
	var rows []exportRow
	err := s.read(ctx).Omit("sealed").Where("account_id = ?", accountID).Limit(1).Find(&rows).Error
	if err != nil {
		return account.Export{}, err
	}
	if len(rows) == 0 {
		return account.Export{}, account.ErrNotFound
	}
	r := rows[0]
	return account.Export{ID: r.ID, AccountID: r.AccountID, Hash: r.Hash, AskedAt: r.AskedAt.Time, MadeAt: r.MadeAt.Time, ExpiresAt: r.ExpiresAt.Time}, nil
}

// SealedExport reads the content.
func (s *Store) SealedExport(ctx context.Context, id string) ([]byte, error) {
	var rows []exportRow
	err := s.read(ctx).Select("sealed").Where("id = ? AND made_at IS NOT NULL", id).Limit(1).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, account.ErrNotFound
	}
	return rows[0].Sealed, nil
}

// FinishExport puts the content in, once.
func (s *Store) FinishExport(ctx context.Context, e account.Export) error {
	return oneRow(s.db(ctx).Model(&exportRow{}).Where("id = ? AND account_id = ? AND made_at IS NULL", e.ID, e.AccountID).
		Updates(map[string]any{"hash": e.Hash, "sealed": e.Sealed, "made_at": at(e.MadeAt), "expires_at": at(e.ExpiresAt)}), account.ErrGone)
}

// DropExport removes an account's.
func (s *Store) DropExport(ctx context.Context, accountID string) error {
	return s.db(ctx).Where("account_id = ?", accountID).Delete(&exportRow{}).Error
}
