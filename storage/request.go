package storage

import (
	"context"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

type requestRow struct {
	ID         string `gorm:"primaryKey"`
	AccountID  *string
	State      string
	Hash       []byte
	Email      string
	Canonical  string
	Language   string
	Birthdate  string
	Phone      string
	Answer     string
	Sites      int64
	SitesRight int64
	Note       []byte
	Others     int64
	Notices    int64
	CreatedAt  stamp `gorm:"autoCreateTime:false"`
	OpenedAt   stamp
	DecidedAt  stamp
	ExpiresAt  stamp
}

func (requestRow) TableName() string { return "recovery_request" }

func (r requestRow) request() account.Request {
	out := account.Request{ID: r.ID, State: r.State, Hash: r.Hash, Email: r.Email, Canonical: r.Canonical, Language: r.Language,
		Birthdate: r.Birthdate, Phone: r.Phone, Answer: r.Answer, Sites: r.Sites, SitesRight: r.SitesRight, Note: r.Note, Others: r.Others,
		Notices: r.Notices, CreatedAt: r.CreatedAt.Time, OpenedAt: r.OpenedAt.Time, DecidedAt: r.DecidedAt.Time, ExpiresAt: r.ExpiresAt.Time}
	if r.AccountID != nil {
		out.AccountID = *r.AccountID
	}
	return out
}

// InsertRequest adds one.
func (s *Store) InsertRequest(ctx context.Context, r account.Request) error {
	row := requestRow{ID: r.ID, State: r.State, Hash: r.Hash, Email: r.Email, Canonical: r.Canonical, Language: r.Language,
		CreatedAt: at(r.CreatedAt), ExpiresAt: at(r.ExpiresAt)}
	if r.AccountID != "" {
		row.AccountID = &r.AccountID
	}
	return s.db(ctx).Create(&row).Error
}

// requestPage is how many rows are read at once.
const requestPage = 1000

// requests reads a page of rows.
func (s *Store) requests(ctx context.Context, order, where string, args ...any) ([]account.Request, error) {
	var rows []requestRow
	err := s.read(ctx).Where(where, args...).Order(order).Limit(requestPage).Find(&rows).Error
	list := make([]account.Request, len(rows))
	for i, r := range rows {
		list[i] = r.request()
	}
	return list, err
}

func (s *Store) oneRequest(ctx context.Context, where string, args ...any) (account.Request, error) {
	list, err := s.requests(ctx, "id", where, args...)
	if err != nil || len(list) == 0 {
		if err == nil {
			err = account.ErrNotFound
		}
		return account.Request{}, err
	}
	return list[0], nil
}

// AskedRequest reads one whose address is not proven.
func (s *Store) AskedRequest(ctx context.Context, hash []byte, now time.Time) (account.Request, error) {
	return s.oneRequest(ctx, "hash = ? AND state = 'asked' AND expires_at > ?", hash, at(now))
}

// RequestByID reads one that concerns an account.
func (s *Store) RequestByID(ctx context.Context, id string) (account.Request, error) {
	return s.oneRequest(ctx, "id = ? AND account_id IS NOT NULL AND state <> 'asked'", id)
}

// RequestOf reads the one that is open, or approved.
func (s *Store) RequestOf(ctx context.Context, accountID string) (account.Request, error) {
	return s.oneRequest(ctx, "account_id = ? AND state IN ('open', 'approved')", accountID)
}

// Requests reads some that concern an account, in the order of their ids.
func (s *Store) Requests(ctx context.Context, after string) ([]account.Request, error) {
	return s.requests(ctx, "id", "id > ? AND account_id IS NOT NULL AND state <> 'asked'", after)
}

// RequestsBefore reads those that were opened at a time or before.
func (s *Store) RequestsBefore(ctx context.Context, opened time.Time, notices int, states ...string) ([]account.Request, error) {
	if notices < 0 {
		return s.requests(ctx, "created_at, id", "opened_at <= ? AND state IN ?", at(opened), states)
	}
	return s.requests(ctx, "created_at, id", "opened_at <= ? AND state IN ? AND notices = ? AND account_id IS NOT NULL", at(opened), states, notices)
}

// JoinRequest counts one more at the one that is open, or approved.
func (s *Store) JoinRequest(ctx context.Context, accountID string) (joined bool, err error) {
	res := s.db(ctx).Exec("UPDATE recovery_request SET others = others + 1 WHERE account_id = ? AND state IN ('open', 'approved')", accountID)
	return res.RowsAffected > 0, res.Error
}

// OpenRequest writes what was found, once.
func (s *Store) OpenRequest(ctx context.Context, r account.Request) error {
	return oneRow(s.db(ctx).Model(&requestRow{}).Where("id = ? AND state = 'asked' AND expires_at > ?", r.ID, at(r.OpenedAt)).Updates(map[string]any{
		"state": r.State, "birthdate": r.Birthdate, "phone": r.Phone, "answer": r.Answer, "sites": r.Sites, "sites_right": r.SitesRight,
		"note": r.Note, "opened_at": at(r.OpenedAt), "expires_at": at(r.ExpiresAt),
	}), account.ErrGone)
}

// MoveRequest moves one from a state to another, once.
func (s *Store) MoveRequest(ctx context.Context, id, from, to string, when time.Time) error {
	return oneRow(s.db(ctx).Model(&requestRow{}).Where("id = ? AND state = ?", id, from).
		Updates(map[string]any{"state": to, "decided_at": at(when)}), account.ErrGone)
}

// StopRequests stops the one that is open, or approved, and those that have joined it.
func (s *Store) StopRequests(ctx context.Context, accountID string, when time.Time) (stopped bool, err error) {
	res := s.db(ctx).Model(&requestRow{}).Where("account_id = ? AND state IN ('open', 'approved', 'joined')", accountID).
		Updates(map[string]any{"state": account.RequestStopped, "decided_at": at(when)})
	return res.RowsAffected > 0, res.Error
}

// CountNotice counts a round of notices, once.
func (s *Store) CountNotice(ctx context.Context, id string, notices int64) error {
	return oneRow(s.db(ctx).Exec("UPDATE recovery_request SET notices = notices + 1 WHERE id = ? AND notices = ? AND state = 'open'",
		id, notices), account.ErrGone)
}

// SitesOf reads what the sites that an account has used are called, and their hosts.
func (s *Store) SitesOf(ctx context.Context, accountID string) ([]string, error) {
	var rows []clientRow
	err := s.read(ctx).Where(`client_id IN (SELECT client_id FROM consent WHERE account_id = ?
		UNION SELECT client_id FROM authorization_grant WHERE account_id = ?
		UNION SELECT v.client_id FROM login_client v JOIN login l ON l.id = v.login_id WHERE l.account_id = ?)`, accountID, accountID, accountID).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range rows {
		c, err := rows[i].client()
		if err != nil {
			return nil, err
		}
		names = append(names, rows[i].Name, c.Host())
	}
	return names, nil
}
