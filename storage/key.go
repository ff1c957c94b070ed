package storage

import (
	"context"
	"time"

	"gorm.io/gorm/clause"

	"github.com/passport-network/passport/pkg/keys"
)

var _ keys.Store = (*Store)(nil)

var keyRows = []any{&secretRow{}, &signingKeyRow{}}

type secretRow struct {
	Purpose   string `gorm:"primaryKey"`
	Sealed    []byte
	CreatedAt stamp `gorm:"autoCreateTime:false"`
}

func (secretRow) TableName() string { return "secret" }

type signingKeyRow struct {
	KID       string `gorm:"column:kid;primaryKey"`
	Purpose   string
	Alg       string
	State     string
	PublicJWK string `gorm:"column:public_jwk"`
	Sealed    []byte
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ActiveAt  stamp
	RetiredAt stamp
	RemoveAt  stamp
}

func (signingKeyRow) TableName() string { return "signing_key" }

// KeysRevision reads the number that grows with every change of keys or secrets.
func (s *Store) KeysRevision(ctx context.Context) (int64, error) {
	return revision(s.watch(ctx).Raw(`SELECT n FROM revision WHERE topic = 'keys'`), TopicKeys)
}

// RaiseKeys tells all servers that keys or secrets have changed.
func (s *Store) RaiseKeys(ctx context.Context) error {
	_, err := s.raise(ctx, TopicKeys)
	return err
}

// SigningKeys reads all keys of a purpose.
func (s *Store) SigningKeys(ctx context.Context, purpose string) ([]keys.Row, error) {
	var rows []signingKeyRow
	if err := s.watch(ctx).Where("purpose = ?", purpose).Order("kid").Find(&rows).Error; err != nil {
		return nil, err
	}
	list := make([]keys.Row, 0, len(rows))
	for _, r := range rows {
		list = append(list, keys.Row{KID: r.KID, Purpose: r.Purpose, Alg: r.Alg, State: r.State, Public: r.PublicJWK,
			Sealed: r.Sealed, CreatedAt: r.CreatedAt.Time, ActiveAt: r.ActiveAt.Time, RetiredAt: r.RetiredAt.Time,
			RemoveAt: r.RemoveAt.Time})
	}
	return list, nil
}

// InsertSigningKey adds a key.
func (s *Store) InsertSigningKey(ctx context.Context, r keys.Row) error {
	return s.db(ctx).Create(&signingKeyRow{KID: r.KID, Purpose: r.Purpose, Alg: r.Alg, State: r.State,
		PublicJWK: r.Public, Sealed: r.Sealed, CreatedAt: at(r.CreatedAt), ActiveAt: at(r.ActiveAt),
		RetiredAt: at(r.RetiredAt), RemoveAt: at(r.RemoveAt)}).Error
}

// ActivateSigningKey makes a next key active.
func (s *Store) ActivateSigningKey(ctx context.Context, kid string, active time.Time) error {
	res := s.db(ctx).Model(&signingKeyRow{}).Where("kid = ? AND state = ?", kid, keys.Next).
		Updates(map[string]any{"state": keys.Active, "active_at": at(active)})
	return oneRow(res, keys.ErrNoKey)
}

// RetireSigningKey ends a key that is in the given state; a retired one keeps the time at which it was.
func (s *Store) RetireSigningKey(ctx context.Context, kid, state string, retired, remove time.Time) error {
	set := map[string]any{"state": keys.Retired, "remove_at": at(remove)}
	if state != keys.Retired {
		set["retired_at"] = at(retired)
	}
	res := s.db(ctx).Model(&signingKeyRow{}).Where("kid = ? AND state = ?", kid, state).Updates(set)
	return oneRow(res, keys.ErrNoKey)
}

// SealedSecrets reads all secrets.
func (s *Store) SealedSecrets(ctx context.Context) ([]keys.SecretRow, error) {
	var rows []secretRow
	if err := s.watch(ctx).Order("purpose").Find(&rows).Error; err != nil {
		return nil, err
	}
	list := make([]keys.SecretRow, 0, len(rows))
	for _, r := range rows {
		list = append(list, keys.SecretRow{Purpose: r.Purpose, Sealed: r.Sealed, CreatedAt: r.CreatedAt.Time})
	}
	return list, nil
}

// InsertSecret adds a secret.
func (s *Store) InsertSecret(ctx context.Context, r keys.SecretRow) error {
	return s.db(ctx).Create(&secretRow{Purpose: r.Purpose, Sealed: r.Sealed, CreatedAt: at(r.CreatedAt)}).Error
}

// SealedValues reads a batch of a column.
func (s *Store) SealedValues(ctx context.Context, c keys.Column, after string, n int) ([]keys.SealedValue, error) {
	name, sealed := clause.Column{Name: c.Row}, clause.Column{Name: c.Column}
	var rows []struct {
		Name   string
		Sealed []byte
	}
	err := s.read(ctx).Table(c.Table).
		Clauses(clause.Select{Columns: []clause.Column{{Name: c.Row, Alias: "name"}, {Name: c.Column, Alias: "sealed"}}}).
		Where(clause.Gt{Column: name, Value: after}).
		Where(clause.Neq{Column: sealed, Value: []byte{}}). // and so not NULL
		Order(clause.OrderByColumn{Column: name}).Limit(n).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	list := make([]keys.SealedValue, 0, len(rows))
	for _, r := range rows {
		list = append(list, keys.SealedValue{Row: r.Name, Sealed: r.Sealed})
	}
	return list, nil
}

// ReplaceSealed puts fresh where old stands.
func (s *Store) ReplaceSealed(ctx context.Context, c keys.Column, row string, old, fresh []byte) (bool, error) {
	res := s.db(ctx).Table(c.Table).
		Where(clause.Eq{Column: clause.Column{Name: c.Row}, Value: row}).
		Where(clause.Eq{Column: clause.Column{Name: c.Column}, Value: old}).
		Updates(map[string]any{c.Column: fresh})
	return res.RowsAffected == 1, res.Error
}
