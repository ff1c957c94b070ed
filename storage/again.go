package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// tries is how often a transaction is begun before its error is the answer.
	tries = 5
	// firstPause bounds the wait before the second try; each further one may be twice as long.
	firstPause = 20 * time.Millisecond
)

// again runs a whole transaction until it ends otherwise than by being broken off for the sake of another. PostgreSQL says so only of
// what it has rolled back: nothing of it stands. No other error is tried again: of a connection that is lost nobody knows
// whether the commit arrived.
func again(ctx context.Context, transaction func() error) error {
	for n, pause := 1, firstPause; ; n, pause = n+1, 2*pause {
		err := transaction()
		if n == tries || !brokenOff(err) {
			return err
		}
		// Never at the same moment as the one that it collided with.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(pause)):
		}
	}
}

// brokenOff: serialization_failure, deadlock_detected.
func brokenOff(err error) bool { return hasCode(err, "40001", "40P01") }

func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, c := range codes {
		if pg.Code == c {
			return true
		}
	}
	return false
}

// era ends the use of connections to a server that has become read-only: what was the primary once is a standby now, and every
// connection of the pool may lead to it. Those made later lead to where target_session_attrs says.
type era struct{ n atomic.Int64 }

const eraKey = "passport-era"

// begin notes a new connection's era.
func (e *era) begin(c *pgx.Conn) { c.PgConn().CustomData()[eraKey] = e.n.Load() }

// check refuses the further use of a connection of an earlier era.
func (e *era) check(_ context.Context, c *pgx.Conn) error {
	if c.PgConn().CustomData()[eraKey] != e.n.Load() {
		return driver.ErrBadConn
	}
	return nil
}

// note begins another era when an error says so, and gives it back.
func (e *era) note(err error) error {
	if e != nil && hasCode(err, "25006") { // read_only_sql_transaction
		e.n.Add(1)
	}
	return err
}
