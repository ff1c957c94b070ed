package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/human"
)

type clientLogoRow struct {
	ClientID string `gorm:"primaryKey"`
	PNG      []byte `gorm:"column:png"`
}

func (clientLogoRow) TableName() string { return "client_logo" }

type resourceServerRow struct {
	Resource string `gorm:"primaryKey"`
	ClientID string
}

func (resourceServerRow) TableName() string { return "resource_server" }

type keySetRow struct {
	URI       string `gorm:"column:uri;primaryKey"`
	Body      []byte
	TriedAt   stamp
	EndedAt   stamp
	FetchedAt stamp
}

func (keySetRow) TableName() string { return "key_set" }

type registrationTokenRow struct {
	ID        string `gorm:"primaryKey"`
	Hash      []byte
	Uses      int64
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
}

func (registrationTokenRow) TableName() string { return "registration_token" }

// SaveClientLogo keeps a client's picture; nil takes it away.
func (s *Store) SaveClientLogo(ctx context.Context, clientID string, png []byte) error {
	if png == nil {
		return s.db(ctx).Where("client_id = ?", clientID).Delete(&clientLogoRow{}).Error
	}
	return s.db(ctx).Clauses(clause.OnConflict{UpdateAll: true}).Create(&clientLogoRow{ClientID: clientID, PNG: png}).Error
}

// ReadClientLogo reads a client's picture.
func (s *Store) ReadClientLogo(ctx context.Context, clientID string) ([]byte, error) {
	var rows []clientLogoRow
	err := s.read(ctx).Where("client_id = ?", clientID).Limit(1).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		return nil, client.ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("read a logo: %w", err)
	}
	return rows[0].PNG, nil
}

// saveResources puts what the client serves in place of what it served.
func (s *Store) saveResources(ctx context.Context, c *client.Client) error {
	if err := s.db(ctx).Where("client_id = ?", c.ID).Delete(&resourceServerRow{}).Error; err != nil {
		return err
	}
	for _, resource := range c.Metadata.ResourceServerFor {
		// Not a failed INSERT: on PostgreSQL that would end the transaction, and with it the answer why.
		res := s.db(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(&resourceServerRow{Resource: resource, ClientID: c.ID})
		if err := oneRow(res, client.ErrResourceTaken); err != nil {
			return err
		}
	}
	return nil
}

// ReadResourceServer is the id of the client that serves a resource.
func (s *Store) ReadResourceServer(ctx context.Context, resource string) (string, error) {
	var rows []resourceServerRow
	err := s.read(ctx).Where("resource = ?", resource).Limit(1).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		return "", client.ErrNotFound
	} else if err != nil {
		return "", err
	}
	return rows[0].ClientID, nil
}

// ReadKeySet reads what is known of a jwks_uri.
func (s *Store) ReadKeySet(ctx context.Context, uri string) (client.KeySet, error) {
	var rows []keySetRow
	err := s.read(ctx).Where("uri = ?", uri).Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return client.KeySet{}, err
	}
	return client.KeySet{Body: rows[0].Body, TriedAt: rows[0].TriedAt.Time, EndedAt: rows[0].EndedAt.Time, FetchedAt: rows[0].FetchedAt.Time}, nil
}

// ClaimKeySet lets one replica ask a jwks_uri: the row is its licence.
func (s *Store) ClaimKeySet(ctx context.Context, uri string, now, since time.Time) (bool, error) {
	res := s.db(ctx).Exec(`INSERT INTO key_set (uri, body, tried_at) VALUES (?, ?, ?)
		ON CONFLICT (uri) DO UPDATE SET tried_at = excluded.tried_at WHERE key_set.tried_at <= ?`, uri, []byte{}, at(now), at(since))
	return res.RowsAffected == 1, res.Error
}

// SaveKeySet keeps what came of asking a jwks_uri.
func (s *Store) SaveKeySet(ctx context.Context, uri string, set client.KeySet) error {
	return s.db(ctx).Model(&keySetRow{}).Where("uri = ?", uri).
		Updates(map[string]any{"body": append([]byte{}, set.Body...), "ended_at": at(set.EndedAt), "fetched_at": at(set.FetchedAt)}).Error
}

// SpendHuman notes an answered human check.
func (s *Store) SpendHuman(ctx context.Context, key []byte, until time.Time) error {
	err := s.UseOnce(ctx, "human", key, until)
	if errors.Is(err, ErrUsed) {
		return human.ErrWrong
	}
	return err
}

// SpendJTI notes a client's jti.
func (s *Store) SpendJTI(ctx context.Context, key []byte, until time.Time) error {
	err := s.UseOnce(ctx, "jti", key, until)
	if errors.Is(err, ErrUsed) {
		return client.ErrReplayed
	}
	return err
}

// InsertRegistrationToken adds a registration token.
func (s *Store) InsertRegistrationToken(ctx context.Context, t client.RegistrationToken) error {
	return s.db(ctx).Create(&registrationTokenRow{ID: t.ID, Hash: t.Hash, Uses: t.Uses, CreatedAt: at(t.CreatedAt),
		ExpiresAt: at(t.ExpiresAt)}).Error
}

const liveToken = "uses > 0 AND expires_at > ?"

// CheckRegistrationToken tells whether a registration token has a use left.
func (s *Store) CheckRegistrationToken(ctx context.Context, hash []byte, now time.Time) error {
	var n int64
	err := s.read(ctx).Model(&registrationTokenRow{}).Where("hash = ?", hash).Where(liveToken, at(now)).Count(&n).Error
	if err == nil && n != 1 {
		return client.ErrToken
	}
	return err
}

// SpendRegistrationToken takes one use of a registration token.
func (s *Store) SpendRegistrationToken(ctx context.Context, hash []byte, now time.Time) error {
	return oneRow(s.db(ctx).Exec("UPDATE registration_token SET uses = uses - 1 WHERE hash = ? AND "+liveToken, hash, at(now)), client.ErrToken)
}

// ListRegistrationTokens lists the registration tokens that can still be used.
func (s *Store) ListRegistrationTokens(ctx context.Context, now time.Time) ([]client.RegistrationToken, error) {
	var rows []registrationTokenRow
	if err := s.read(ctx).Where(liveToken, at(now)).Order("created_at, id").Find(&rows).Error; err != nil {
		return nil, err
	}
	list := make([]client.RegistrationToken, 0, len(rows))
	for _, r := range rows {
		list = append(list, client.RegistrationToken{ID: r.ID, Hash: r.Hash, Uses: r.Uses, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time})
	}
	return list, nil
}

// DeleteRegistrationToken removes a registration token.
func (s *Store) DeleteRegistrationToken(ctx context.Context, id string) error {
	return oneRow(s.db(ctx).Where("id = ?", id).Delete(&registrationTokenRow{}), client.ErrNotFound)
}
