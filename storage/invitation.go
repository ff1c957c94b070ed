package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

type invitationRow struct {
	ID        string `gorm:"primaryKey"`
	Hash      []byte
	Email     string
	Canonical string
	Uses      int64
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
}

func (invitationRow) TableName() string { return "invitation" }

// InsertInvitation adds an invitation.
func (s *Store) InsertInvitation(ctx context.Context, i account.Invitation) error {
	return s.db(ctx).Create(&invitationRow{ID: i.ID, Hash: i.Hash, Email: i.Email, Canonical: i.Canonical, Uses: i.Uses,
		CreatedAt: at(i.CreatedAt), ExpiresAt: at(i.ExpiresAt)}).Error
}

// waitingFor are the registrations that hold a use of an invitation.
const waitingFor = `SELECT count(*) FROM account WHERE account.invitation_id = invitation.id AND account.state = 'pending' AND account.expires_at > @now`

func (s *Store) invitations(ctx context.Context, tail string, args map[string]any) ([]account.Invitation, error) {
	var rows []struct {
		Row     invitationRow `gorm:"embedded"`
		Waiting int64
	}
	err := s.read(ctx).Raw(`SELECT `+columnsOf("invitation", &invitationRow{})+`, (`+waitingFor+`) AS waiting FROM invitation
		WHERE uses > 0 AND expires_at > @now `+tail, args).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	list := make([]account.Invitation, 0, len(rows))
	for _, r := range rows {
		list = append(list, account.Invitation{ID: r.Row.ID, Hash: r.Row.Hash, Email: r.Row.Email, Canonical: r.Row.Canonical, Uses: r.Row.Uses,
			Waiting: r.Waiting, CreatedAt: r.Row.CreatedAt.Time, ExpiresAt: r.Row.ExpiresAt.Time})
	}
	return list, nil
}

// ReadInvitation reads one that can still be used.
func (s *Store) ReadInvitation(ctx context.Context, hash []byte, now time.Time) (account.Invitation, error) {
	list, err := s.invitations(ctx, "AND hash = @hash", map[string]any{"hash": hash, "now": at(now)})
	if err == nil && len(list) == 0 {
		err = account.ErrNotFound
	}
	if err != nil {
		return account.Invitation{}, err
	}
	return list[0], nil
}

// ListInvitations lists those that can still be used.
func (s *Store) ListInvitations(ctx context.Context, now time.Time) ([]account.Invitation, error) {
	return s.invitations(ctx, "ORDER BY created_at, id", map[string]any{"now": at(now)})
}

// DeleteInvitation removes one.
func (s *Store) DeleteInvitation(ctx context.Context, id string) error {
	return oneRow(s.db(ctx).Where("id = ?", id).Delete(&invitationRow{}), account.ErrNotFound)
}

// HoldInvitation counts under the lock of the invitation, in a statement of its own: one that began before the lock was had
// would not see what others have written meanwhile.
func (s *Store) HoldInvitation(ctx context.Context, r account.Record, now time.Time) error {
	return s.InTx(ctx, func(ctx context.Context) error {
		var uses []int64
		q := `SELECT uses FROM invitation WHERE id = ? AND uses > 0 AND expires_at > ?` + s.forUpdate()
		if err := s.db(ctx).Raw(q, r.Invitation, at(now)).Scan(&uses).Error; err != nil {
			return err
		}
		if len(uses) == 0 {
			return account.ErrGone
		}
		free := func() (bool, error) {
			var others int64
			err := s.db(ctx).Raw(`SELECT count(*) FROM account WHERE invitation_id = ? AND state = 'pending' AND expires_at > ? AND id <> ?`,
				r.Invitation, at(now), r.ID).Scan(&others).Error
			return others < uses[0], err
		}
		ok, err := free()
		if err != nil || ok {
			return err
		}
		old := s.db(ctx).Where(`invitation_id = ? AND state = 'pending' AND browser_hash = ? AND id <> ?`, r.Invitation, notNil(r.BrowserHash), r.ID).
			Delete(&accountRow{})
		if old.Error != nil {
			return fmt.Errorf("end an earlier registration: %w", old.Error)
		}
		if ok, err = free(); err == nil && !ok {
			err = account.ErrGone
		}
		return err
	})
}

// SpendInvitation takes one use.
func (s *Store) SpendInvitation(ctx context.Context, id string) error {
	return oneRow(s.db(ctx).Exec("UPDATE invitation SET uses = uses - 1 WHERE id = ? AND uses > 0", id), account.ErrGone)
}
