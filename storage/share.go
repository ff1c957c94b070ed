package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

// sharer lets inserts of access tokens share a commit (a pure INSERT may): whoever comes while as many as may are on their way to
// the disk goes with the next, together with all who came meanwhile. Nobody waits where nothing is on its way. Only what
// depends on no other write of its request may go so: conditional updates never do.
type sharer struct {
	most    int // commits on their way: on PostgreSQL, while one waits for the disk, the next is made; SQLite has one writer
	mu      sync.Mutex
	writing int
	waiting []*shared
	lone    chan struct{} // takes one: whoever tries alone, and may wait for a lock, leaves all other connections to others
}

func newSharer(most int) sharer { return sharer{most: most, lone: make(chan struct{}, 1)} }

// shared is one insert, and where its result is told.
type shared struct {
	token grant.Token
	done  chan error // takes one
}

const (
	mostShared  = 64
	sharedLimit = 5 * time.Second // of a commit for others: no one's own context may end it, and each has time left for its own statement
)

// errAlone: the statement for all failed, or left this one out; it tries its own, so that one bad row, or one bad moment, is not
// everybody's.
var errAlone = errors.New("the shared insert failed")

// insert gives the token to the next statement; write runs one, and alone the token's own after errAlone.
func (s *sharer) insert(ctx context.Context, t grant.Token, write func(context.Context, []*shared), alone func() error) error {
	if err := s.share(ctx, t, write); !errors.Is(err, errAlone) {
		return err
	}
	select {
	case s.lone <- struct{}{}:
		defer func() { <-s.lone }()
		return alone()
	case <-ctx.Done():
		return fmt.Errorf("insert an access token: %w", ctx.Err())
	}
}

// share is insert's first try.
func (s *sharer) share(ctx context.Context, t grant.Token, write func(context.Context, []*shared)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("insert an access token: %w", err)
	}
	in := &shared{t, make(chan error, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, in)
	if s.writing < s.most {
		s.writing++
		go s.run(write)
	}
	s.mu.Unlock()
	select {
	case err := <-in.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("insert an access token: %w", ctx.Err()) // it may be written all the same: a token that nobody got
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

// tokensOfClients is tokenOfClient for many rows. The foreign key locks each client's row: one that another holds, as who deletes
// the client does, is left out, or the tokens of all others would wait with it.
const tokensOfClients = `INSERT INTO access_token (sig, client_id, scopes, audience, cnf, issued_at, expires_at)
	SELECT v.sig, v.client_id, v.scopes, v.audience, v.cnf, v.issued_at, v.expires_at
	FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
		AS v(sig, client_id, scopes, audience, cnf, issued_at, expires_at)
	JOIN (SELECT client_id FROM client WHERE client_id = ANY($2) AND disabled_at IS NULL FOR KEY SHARE SKIP LOCKED) k
		ON k.client_id = v.client_id
	RETURNING sig`

// writeShared runs one statement for all, and tells each its own result.
func (s *Store) writeShared(ctx context.Context, batch []*shared) {
	written, err := s.insertTokens(ctx, batch)
	for _, in := range batch {
		if err != nil || !written[string(in.token.Sig)] {
			in.done <- errAlone
		} else {
			in.done <- nil
		}
	}
}

// insertTokens writes them with one commit, and tells which: not those of a client that is not there, or disabled, or locked.
func (s *Store) insertTokens(ctx context.Context, batch []*shared) (written map[string]bool, err error) {
	written = map[string]bool{}
	if !s.postgres() {
		return written, s.InTx(ctx, func(ctx context.Context) error {
			clear(written)
			for _, in := range batch {
				if err := s.insertToken(ctx, in.token); err == nil {
					written[string(in.token.Sig)] = true
				} else if !errors.Is(err, grant.ErrGone) {
					return err
				}
			}
			return nil
		})
	}
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
	for rows.Next() {
		var sig []byte
		if err := rows.Scan(&sig); err != nil {
			return nil, err
		}
		written[string(sig)] = true
	}
	return written, rows.Err()
}
