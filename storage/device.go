package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/passport-network/passport/oidc/grant"
)

type deviceRow struct {
	Sig       []byte `gorm:"primaryKey"`
	UserCode  []byte
	ClientID  string
	Params    string
	State     string
	Pause     int64
	PolledAt  stamp
	CreatedAt stamp `gorm:"autoCreateTime:false"`
	ExpiresAt stamp
}

func (deviceRow) TableName() string { return "device_code" }

func (r *deviceRow) device() grant.Device {
	return grant.Device{Sig: r.Sig, UserCode: r.UserCode, ClientID: r.ClientID, Params: r.Params, State: r.State,
		Pause: r.Pause, CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time}
}

// SaveDevice implements grant.Store.
func (s *Store) SaveDevice(ctx context.Context, d grant.Device) error {
	err := s.db(ctx).Create(&deviceRow{Sig: d.Sig, UserCode: d.UserCode, ClientID: d.ClientID, Params: d.Params, State: d.State,
		Pause: d.Pause, CreatedAt: at(d.CreatedAt), ExpiresAt: at(d.ExpiresAt)}).Error
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		return grant.ErrExists
	} else if err != nil {
		return fmt.Errorf("save a device: %w", err)
	}
	return nil
}

// ReadDevice implements grant.Store.
func (s *Store) ReadDevice(ctx context.Context, userCode []byte) (grant.Device, error) {
	var rows []deviceRow
	if err := s.read(ctx).Where("user_code = ?", userCode).Limit(1).Find(&rows).Error; err != nil {
		return grant.Device{}, fmt.Errorf("read a device: %w", err)
	}
	if len(rows) == 0 {
		return grant.Device{}, grant.ErrNotFound
	}
	return rows[0].device(), nil
}

// slower is what a device that asks too often must wait longer (RFC 8628 §3.5), and lenient what a clock or a network
// may take from a wait.
const (
	slower  = 5
	slowest = 60
	lenient = 500 * time.Millisecond
)

// PollDevice implements grant.Store. The row is locked between the read and the write: two polls at once are one too
// many.
func (s *Store) PollDevice(ctx context.Context, sig []byte, clientID string, now time.Time) (d grant.Device, early bool, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		q := "SELECT " + columnsOf("device_code", &deviceRow{}) + " FROM device_code WHERE sig = ? AND client_id || '' = ?"
		if s.postgres() {
			q += " FOR UPDATE"
		}
		var rows []deviceRow
		if err := s.db(ctx).Raw(q, sig, clientID).Scan(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return grant.ErrNotFound
		}
		r := &rows[0]
		pause := time.Duration(r.Pause) * time.Second
		early = !r.PolledAt.IsZero() && now.Sub(r.PolledAt.Time) < pause-lenient
		if early {
			r.Pause = min(r.Pause+slower, slowest)
		}
		d = r.device()
		return s.db(ctx).Exec("UPDATE device_code SET polled_at = ?, pause = ? WHERE sig = ?", at(now), r.Pause, sig).Error
	})
	if err != nil && !errors.Is(err, grant.ErrNotFound) {
		err = fmt.Errorf("poll a device: %w", err)
	}
	return d, early, err
}

// SettleDevice implements grant.Store.
func (s *Store) SettleDevice(ctx context.Context, sig []byte, state string) error {
	return oneRow(s.db(ctx).Exec("UPDATE device_code SET state = ? WHERE sig = ? AND state = ?", state, sig, grant.DevicePending), grant.ErrGone)
}
