package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

// sharer lets inserts of access tokens share a statement, and so a commit: whoever comes while two are on their way to
// PostgreSQL's disk goes with the next, together with all who came meanwhile. Nobody waits where nothing is on its way.
// Only what depends on no other write of its request may go so: conditional updates never do.
type sharer struct {
	mu      sync.Mutex
	writing int // statements on their way
	waiting []*shared
}

// shared is one insert, and where its result is told.
type shared struct {
	token grant.Token
	done  chan error // takes one
}

const (
	mostWriting = 2 // while one waits for the disk, the next is made
	mostShared  = 64
	sharedLimit = 10 * time.Second // of a statement for others: no one's own context may end it
)

// errAlone: the statement for all failed; each tries its own, so that one bad row, or one bad moment, is not everybody's.
var errAlone = errors.New("the shared insert failed")

// insert gives the token to the next statement; write runs one. The caller must try alone on errAlone.
func (s *sharer) insert(ctx context.Context, t grant.Token, write func(context.Context, []*shared)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in := &shared{t, make(chan error, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, in)
	if s.writing < mostWriting {
		s.writing++
		go s.run(write)
	}
	s.mu.Unlock()
	select {
	case err := <-in.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it may be written all the same: a token that nobody got
	}
}

// run writes until nobody waits.
func (s *sharer) run(write func(context.Context, []*shared)) {
	for {
		s.mu.Lock()
		n := min(len(s.waiting), mostShared)
		if n == 0 {
			s.writing--
			s.mu.Unlock()
			return
		}
		batch := s.waiting[:n:n]
		s.waiting = s.waiting[n:]
		s.mu.Unlock()
		ctx, done := context.WithTimeout(context.Background(), sharedLimit)
		write(ctx, batch)
		done()
	}
}

// tokensOfClients is tokenOfClient for many rows.
const tokensOfClients = `INSERT INTO access_token (sig, client_id, scopes, audience, cnf, issued_at, expires_at)
	SELECT v.sig, v.client_id, v.scopes, v.audience, v.cnf, v.issued_at, v.expires_at
	FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
		AS v(sig, client_id, scopes, audience, cnf, issued_at, expires_at)
	JOIN client k ON k.client_id = v.client_id AND k.disabled_at IS NULL
	RETURNING sig`

// writeShared runs one statement for all, and tells each its own result.
func (s *Store) writeShared(ctx context.Context, batch []*shared) {
	written, err := s.insertTokens(ctx, batch)
	for _, in := range batch {
		switch {
		case err != nil:
			in.done <- fmt.Errorf("%w: %w", errAlone, err)
		case !written[string(in.token.Sig)]:
			in.done <- grant.ErrGone
		default:
			in.done <- nil
		}
	}
}

func (s *Store) insertTokens(ctx context.Context, batch []*shared) (written map[string]bool, err error) {
	var sigs [][]byte
	var clients, scopes, audiences, cnfs []string
	var issued, expires []int64
	for _, in := range batch {
		t := &in.token
		sigs, clients = append(sigs, t.Sig), append(clients, t.ClientID)
		scopes, audiences, cnfs = append(scopes, joined(t.Scopes)), append(audiences, joined(t.Audience)), append(cnfs, t.Cnf)
		issued, expires = append(issued, t.IssuedAt.UnixMicro()), append(expires, t.ExpiresAt.UnixMicro())
	}
	rows, err := hotPool(s.db(ctx)).QueryContext(ctx, tokensOfClients, sigs, clients, scopes, audiences, cnfs, issued, expires)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	written = map[string]bool{}
	for rows.Next() {
		var sig []byte
		if err := rows.Scan(&sig); err != nil {
			return nil, err
		}
		written[string(sig)] = true
	}
	return written, rows.Err()
}
