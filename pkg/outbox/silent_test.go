package outbox_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/passport-network/passport/pkg/outbox"
)

// silent is a database on a connection that has died without a word: nothing ever comes back.
type silent struct {
	outbox.Store
	job bool // one is leased before that
}

func (s silent) LeaseJobs(ctx context.Context, _ []string, _ string, _ int, now, _ time.Time) ([]outbox.Row, error) {
	if s.job {
		return []outbox.Row{{ID: "1", Kind: "test", Expires: now.Add(time.Hour), Attempts: 1}}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s silent) DropJob(ctx context.Context, _, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

type open struct{}

func (open) Seal(_, _, _ string, plain []byte) ([]byte, error)  { return plain, nil }
func (open) Open(_, _, _ string, sealed []byte) ([]byte, error) { return sealed, nil }

// A queue whose database is silent gives up, and looks again on another connection: else no mail would go until the server is
// started anew.
func TestSilentDatabase(t *testing.T) {
	for name, store := range map[string]silent{"while jobs are looked for": {}, "when one is done": {job: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := outbox.New(outbox.Config{Store: store, Sealer: open{}, Now: time.Now})
				q.Handle("test", 1, func(context.Context, outbox.Job) error { return nil })
				began := time.Now()
				if _, err := q.RunDue(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
					t.Errorf("%v after %s", err, time.Since(began))
				}
			})
		})
	}
}
