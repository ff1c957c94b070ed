package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// The topics of table revision, and of what Listen hears.
const (
	TopicKeys    = "keys"
	TopicClients = "client"
)

// channel is where PostgreSQL tells which topic has a new revision.
const channel = "passport"

// listenCheck is how often a connection on which nothing is heard is asked whether it is one still.
const listenCheck = 30 * time.Second

// raise makes a topic's next revision; its row stays locked until the transaction ends. PostgreSQL tells the servers that
// listen, if and when that commits.
func (s *Store) raise(ctx context.Context, topic string) (int64, error) {
	q := `UPDATE revision SET n = n + 1 WHERE topic = @topic RETURNING n`
	if s.postgres() {
		q = `WITH r AS (` + q + `) SELECT n, pg_notify('` + channel + `', CAST(@topic AS text)) IS NULL AS told FROM r`
	}
	return revision(s.db(ctx).Raw(q, map[string]any{"topic": topic}), topic)
}

func revision(q *gorm.DB, topic string) (int64, error) {
	var rows []struct{ N int64 }
	if err := q.Scan(&rows).Error; err != nil {
		return 0, fmt.Errorf("the revision of %q: %w", topic, err)
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("the revision of %q has %d rows", topic, len(rows))
	}
	return rows[0].N, nil
}

// Listen calls heard with the topic of each new revision that any server makes, until ctx ends or the connection is lost; and
// with every topic once it listens, for what was said before is not heard again. SQLite says nothing. It is a help, not a
// promise: who must know polls too.
func (s *Store) Listen(ctx context.Context, heard func(topic string)) error {
	if !s.postgres() {
		<-ctx.Done()
		return ctx.Err()
	}
	// A connection of its own: it would be missing in the pool.
	conn, err := s.hosts.connect(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	heard(TopicKeys)
	heard(TopicClients)
	for {
		waiting, cancel := context.WithTimeout(ctx, listenCheck)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			heard(n.Payload)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			// Half a connection is silent too.
			asking, cancel := context.WithTimeout(ctx, connectTimeout)
			err := conn.Ping(asking)
			cancel()
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
		default:
			return fmt.Errorf("listen: %w", err)
		}
	}
}
