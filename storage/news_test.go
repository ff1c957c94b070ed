package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// listen runs Listen until its end; every topic that it hears comes out.
func listen(t *testing.T, s *storage.Store) (heard chan string, ended chan error) {
	t.Helper()
	heard, ended = make(chan string, 100), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- s.Listen(ctx, func(topic string) { heard <- topic }) }()
	t.Cleanup(stop)
	return heard, ended
}

func next(t *testing.T, heard chan string) string {
	t.Helper()
	select {
	case topic := <-heard:
		return topic
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is heard")
		return ""
	}
}

// What one server changes the others hear when it is committed, and only then; a connection that is lost is reported, and
// the next one begins with every topic.
func TestNews(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		if s.DB(t.Context()).Name() != "postgres" {
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := s.Listen(ctx, func(topic string) { t.Errorf("%q", topic) }); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		heard, ended := listen(t, s)
		for _, topic := range []string{storage.TopicKeys, storage.TopicClients} {
			if got := next(t, heard); got != topic {
				t.Errorf("at first: %q", got)
			}
		}
		rolledBack := errors.New("no")
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			_, err := s.RaiseClients(ctx)
			return errors.Join(err, rolledBack)
		})
		if !errors.Is(err, rolledBack) {
			t.Fatal(err)
		}
		if err := s.RaiseKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := next(t, heard); got != storage.TopicKeys {
			t.Errorf("what was rolled back is heard: %q", got)
		}
		err = s.InTx(t.Context(), func(ctx context.Context) error {
			_, err := s.RaiseClients(ctx)
			return err
		})
		if got := next(t, heard); err != nil || got != storage.TopicClients {
			t.Errorf("%q %v", got, err)
		}
		err = s.DB(t.Context()).Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Error
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil {
				t.Error("a lost connection is no error")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the loss is not noticed")
		}
		if heard, _ = listen(t, s); next(t, heard) != storage.TopicKeys {
			t.Error("not again")
		}
	})
}
