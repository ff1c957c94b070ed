package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/passport-network/passport/oidc/logout"
)

var _ logout.Store = (*Store)(nil)

// Visits implements logout.NoticeStore.
func (s *Store) Visits(ctx context.Context, loginIDs []string) ([]logout.Visit, error) {
	list := make([]logout.Visit, 0, len(loginIDs))
	for part := range slices.Chunk(loginIDs, most) {
		var rows []struct{ LoginID, ClientID, SID, Sub, Notice string }
		err := s.read(ctx).Raw(`SELECT v.login_id, v.client_id, v.sid AS s_id, a.sub, v.notice FROM login_client v
			JOIN login l ON l.id = v.login_id JOIN account a ON a.id = l.account_id
			WHERE v.login_id IN ? ORDER BY v.first_at, v.client_id`, part).Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("read where somebody was signed in: %w", err)
		}
		for _, r := range rows {
			list = append(list, logout.Visit{LoginID: r.LoginID, ClientID: r.ClientID, SID: r.SID, Sub: r.Sub, Notice: r.Notice})
		}
	}
	return list, nil
}

// SetNotice implements logout.NoticeStore. What was told stays told.
func (s *Store) SetNotice(ctx context.Context, loginID, clientID, notice string, when time.Time) error {
	return s.db(ctx).Exec("UPDATE login_client SET notice = ?, notice_at = ? WHERE login_id = ? AND client_id || '' = ? AND notice <> ?",
		notice, at(when), loginID, clientID, logout.Told).Error
}
