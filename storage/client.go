package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/passport-network/passport/oidc/client"
)

var _ client.Store = (*Store)(nil)

var clientRows = []any{&clientRow{}, &clientSecretRow{}, &clientLogoRow{}, &resourceServerRow{}, &keySetRow{}, &registrationTokenRow{}}

type clientRow struct {
	ClientID         string `gorm:"primaryKey"`
	Name             string
	Metadata         string
	RequirePKCE      bool `gorm:"column:require_pkce"`
	SkipConsent      bool
	Owner            *string
	CreatedAt        stamp `gorm:"autoCreateTime:false"`
	UpdatedAt        stamp `gorm:"autoUpdateTime:false"`
	DisabledAt       stamp
	VerifiedAt       stamp
	RegisteredBy     string
	UsedAt           stamp
	RegistrationHash []byte
	LogoHash         string
	Revision         int64
}

func (clientRow) TableName() string { return "client" }

type clientSecretRow struct {
	ID        string `gorm:"primaryKey"`
	ClientID  string
	Hash      []byte
	Sealed    []byte
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
}

func (clientSecretRow) TableName() string { return "client_secret" }

// clientJoin is a client with one of its secrets, or with none.
type clientJoin struct {
	Client          clientRow `gorm:"embedded"` // named: gorm passes over an unexported anonymous field
	SecretID        *string
	SecretHash      []byte
	SecretSealed    []byte
	SecretCreatedAt stamp
	SecretExpiresAt stamp
}

// ClientsRevision reads the newest revision of the clients.
func (s *Store) ClientsRevision(ctx context.Context) (int64, error) {
	return revision(s.watch(ctx).Raw(`SELECT n FROM revision WHERE topic = 'client'`), TopicClients)
}

// RaiseClients makes the next revision; its row stays locked until the transaction ends.
func (s *Store) RaiseClients(ctx context.Context) (int64, error) {
	return s.raise(ctx, TopicClients)
}

// ChangedClients lists the clients whose last change lies in (after, upto].
func (s *Store) ChangedClients(ctx context.Context, after, upto int64) ([]client.Changed, error) {
	var rows []clientRow
	err := s.watch(ctx).Select("client_id", "revision").Where("revision > ? AND revision <= ?", after, upto).
		Order("revision").Find(&rows).Error
	list := make([]client.Changed, 0, len(rows))
	for _, r := range rows {
		list = append(list, client.Changed{ID: r.ClientID, Revision: r.Revision})
	}
	return list, err
}

// ReadClient reads a client with its secrets, the newest first, in one statement.
func (s *Store) ReadClient(ctx context.Context, id string) (*client.Client, error) {
	var rows []clientJoin
	err := s.read(ctx).Raw(`SELECT `+columnsOf("c", &clientRow{})+`, s.id AS secret_id, s.hash AS secret_hash, s.sealed AS secret_sealed,
		s.created_at AS secret_created_at, s.expires_at AS secret_expires_at
		FROM client c LEFT JOIN client_secret s ON s.client_id = c.client_id
		WHERE c.client_id = ? ORDER BY s.created_at DESC, s.id DESC`, id).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, client.ErrNotFound
	}
	c, err := rows[0].Client.client()
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.SecretID != nil {
			c.Secrets = append(c.Secrets, client.Secret{ID: *r.SecretID, Hash: r.SecretHash, Sealed: r.SecretSealed,
				CreatedAt: r.SecretCreatedAt.Time, ExpiresAt: r.SecretExpiresAt.Time})
		}
	}
	return c, nil
}

// ListClients reads up to n clients in the order of their ids, the one in which the database's index has them, without
// secrets: another order would have it sort all of them for each page. One document that cannot be read must not keep all
// others from being listed.
func (s *Store) ListClients(ctx context.Context, after string, n int) ([]*client.Client, error) {
	return listClients(s.read(ctx), after, n)
}

// ListRedirects lists the enabled clients likewise, with their ids and documents alone.
func (s *Store) ListRedirects(ctx context.Context, after string, n int) ([]*client.Client, error) {
	return listClients(s.read(ctx).Select("client_id", "metadata").Where("disabled_at IS NULL"), after, n)
}

func listClients(of *gorm.DB, after string, n int) ([]*client.Client, error) {
	var rows []clientRow
	err := of.Where("client_id > ?", after).Order("client_id").Limit(n).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	list := make([]*client.Client, 0, len(rows))
	for i := range rows {
		c, err := rows[i].client()
		if err != nil {
			c.Metadata = client.Metadata{}
		}
		list = append(list, c)
	}
	return list, nil
}

// InsertClient adds a client and its secrets.
func (s *Store) InsertClient(ctx context.Context, c *client.Client) error {
	row, err := newClientRow(c)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		err := s.db(ctx).Create(row).Error
		if errors.Is(err, gorm.ErrDuplicatedKey) {
			return client.ErrExists
		}
		if err != nil {
			return err
		}
		if err := s.saveResources(ctx, c); err != nil {
			return err
		}
		for _, secret := range c.Secrets {
			if err := s.InsertClientSecret(ctx, c.ID, secret); err != nil {
				return err
			}
		}
		return nil
	})
}

// UpdateClient writes all of a client but its secrets, and how it came to be here.
func (s *Store) UpdateClient(ctx context.Context, c *client.Client) error {
	row, err := newClientRow(c)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(ctx context.Context) error {
		res := s.db(ctx).Model(&clientRow{}).Where("client_id = ?", c.ID).
			Select("*").Omit("client_id", "created_at", "registered_by", "registration_hash", "used_at").Updates(row)
		if err := oneRow(res, client.ErrNotFound); err != nil {
			return err
		}
		return s.saveResources(ctx, c)
	})
}

// NoteClientUse implements client.Store: caches need not heed it.
func (s *Store) NoteClientUse(ctx context.Context, id string, when time.Time) error {
	return s.db(ctx).Model(&clientRow{}).Where("client_id = ? AND used_at IS NULL", id).Update("used_at", at(when)).Error
}

// DeleteClient removes a client; its secrets, consents, grants and tokens go with it.
func (s *Store) DeleteClient(ctx context.Context, id string) error {
	return oneRow(s.db(ctx).Where("client_id = ?", id).Delete(&clientRow{}), client.ErrNotFound)
}

// InsertClientSecret adds a secret to a client.
func (s *Store) InsertClientSecret(ctx context.Context, clientID string, secret client.Secret) error {
	return s.db(ctx).Create(&clientSecretRow{ID: secret.ID, ClientID: clientID, Hash: secret.Hash, Sealed: secret.Sealed,
		CreatedAt: at(secret.CreatedAt), ExpiresAt: at(secret.ExpiresAt)}).Error
}

// ExpireClientSecret sets a secret's end.
func (s *Store) ExpireClientSecret(ctx context.Context, secretID string, end time.Time) error {
	res := s.db(ctx).Model(&clientSecretRow{}).Where("id = ?", secretID).Update("expires_at", at(end))
	return oneRow(res, client.ErrNotFound)
}

// DeleteClientSecret removes a secret.
func (s *Store) DeleteClientSecret(ctx context.Context, secretID string) error {
	return oneRow(s.db(ctx).Where("id = ?", secretID).Delete(&clientSecretRow{}), client.ErrNotFound)
}

func newClientRow(c *client.Client) (*clientRow, error) {
	document, err := json.Marshal(c.Metadata)
	if err != nil {
		return nil, fmt.Errorf("write the client's document: %w", err)
	}
	row := &clientRow{ClientID: c.ID, Name: c.Name, Metadata: string(document), RequirePKCE: c.RequirePKCE,
		SkipConsent: c.SkipConsent, CreatedAt: at(c.CreatedAt), UpdatedAt: at(c.UpdatedAt),
		DisabledAt: at(c.DisabledAt), VerifiedAt: at(c.VerifiedAt), RegisteredBy: c.RegisteredBy, UsedAt: at(c.UsedAt), RegistrationHash: c.RegistrationHash,
		LogoHash: c.LogoHash, Revision: c.Revision}
	if c.Owner != "" {
		row.Owner = &c.Owner
	}
	return row, nil
}

// client is the row's client; with an error, all of it but its Metadata.
func (r *clientRow) client() (*client.Client, error) {
	c := &client.Client{ID: r.ClientID, Name: r.Name, RequirePKCE: r.RequirePKCE, SkipConsent: r.SkipConsent,
		CreatedAt: r.CreatedAt.Time, UpdatedAt: r.UpdatedAt.Time, DisabledAt: r.DisabledAt.Time,
		VerifiedAt: r.VerifiedAt.Time, RegisteredBy: r.RegisteredBy, UsedAt: r.UsedAt.Time, RegistrationHash: r.RegistrationHash, LogoHash: r.LogoHash, Revision: r.Revision}
	if r.Owner != nil {
		c.Owner = *r.Owner
	}
	if err := json.Unmarshal([]byte(r.Metadata), &c.Metadata); err != nil {
		return c, fmt.Errorf("read the client's document: %w", err)
	}
	return c, nil
}
