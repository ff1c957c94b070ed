package storagetest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestLimitTake(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		t.Run("60 in parallel, burst 5: exactly 5", func(t *testing.T) {
			r := limit.Rule{Name: "parallel", Burst: 5, Every: time.Hour}
			var allowed atomic.Int64
			var all sync.WaitGroup
			start := make(chan struct{})
			for range 60 {
				all.Go(func() {
					<-start
					ok, retry, err := s.Take(t.Context(), "k", r)
					switch {
					case err != nil:
						t.Error(err)
					case ok:
						allowed.Add(1)
					case retry <= 0 || retry > r.Every:
						t.Errorf("come back in %s", retry)
					}
				})
			}
			close(start)
			all.Wait()
			if n := allowed.Load(); n != 5 {
				t.Errorf("%d of a burst of 5 were allowed", n)
			}
			if ok, _, err := s.Take(t.Context(), "another", r); err != nil || !ok {
				t.Errorf("one key's budget is another's: %v, %v", ok, err)
			}
		})
		t.Run("60 transactions in parallel, half of them undone, burst 5: exactly 5 that stand", func(t *testing.T) {
			r := limit.Rule{Name: "undone", Burst: 5, Every: time.Hour}
			refused, undone := errors.New("refused"), errors.New("undone")
			var stand atomic.Int64
			var all sync.WaitGroup
			for i := range 60 {
				all.Go(func() {
					err := s.InTx(t.Context(), func(ctx context.Context) error {
						ok, _, err := s.Take(ctx, "undone", r)
						switch {
						case err != nil:
							return err
						case !ok:
							return refused
						case i%2 == 0:
							return undone
						}
						return nil
					})
					switch {
					case err == nil:
						stand.Add(1)
					case !errors.Is(err, refused) && !errors.Is(err, undone):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := stand.Load(); n != 5 {
				t.Errorf("%d of a burst of 5 stand", n)
			}
		})
		t.Run("a refund gives one back", func(t *testing.T) {
			r := limit.Rule{Name: "refund", Burst: 2, Every: time.Hour}
			taken := func() (n int) {
				for range 4 {
					ok, _, err := s.Take(t.Context(), "refund", r)
					if err != nil {
						t.Fatal(err)
					}
					if ok {
						n++
					}
				}
				return n
			}
			if n := taken(); n != 2 {
				t.Fatalf("a burst of 2 gave %d", n)
			}
			if err := s.Refund(t.Context(), "refund", r); err != nil {
				t.Fatal(err)
			}
			if n := taken(); n != 1 {
				t.Errorf("a refund gave %d back", n)
			}
			if err := s.Refund(t.Context(), "nobody took", r); err != nil {
				t.Errorf("a refund of what is gone: %v", err)
			}
		})
		t.Run("what is taken tells what is left", func(t *testing.T) {
			r := limit.Rule{Name: "left", Burst: 3, Every: time.Hour}
			for i := 1; i <= 3; i++ {
				ok, whole, err := s.Take(t.Context(), "left", r)
				if err != nil || !ok || whole > time.Duration(i)*r.Every || whole < time.Duration(i)*r.Every-time.Minute {
					t.Errorf("try %d: whole in %s, %v, %v", i, whole, ok, err)
				}
			}
		})
		t.Run("what was refused comes back when it was said", func(t *testing.T) {
			r := limit.Rule{Name: "refill", Burst: 1, Every: 300 * time.Millisecond}
			if ok, _, err := s.Take(t.Context(), "refill", r); err != nil || !ok {
				t.Fatalf("%v, %v", ok, err)
			}
			// By the database's clock, which nobody can set: on a slow machine it may have come back before it is asked for.
			for refusals := 0; ; refusals++ {
				ok, retry, err := s.Take(t.Context(), "refill", r)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					break
				}
				if refusals > 1 || retry <= 0 || retry > r.Every { // once more for a clock of milliseconds
					t.Fatalf("refusal %d: come back in %s", refusals+1, retry)
				}
				<-time.After(retry)
			}
		})
	})
}

// TestLimitStatement: 4.10, a check is one statement, with no transaction around it, whether it lets somebody through or not.
func TestLimitStatement(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // what it counts are round trips
	}
	dsn, trips := storagetest.RoundTrips(t, storagetest.Postgres(t))
	s := storagetest.Open(t, dsn)
	take := func() {
		if ok, _, err := s.Take(t.Context(), "k", limit.Rule{Name: "one", Burst: 9, Every: time.Hour}); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	take() // it is prepared
	take()
	before := trips()
	take()
	if n := trips() - before; n != 1 {
		t.Errorf("%d round trips", n)
	}
	once := limit.Rule{Name: "once", Burst: 1, Every: time.Hour}
	before = trips()
	if ok, wait, err := s.Take(t.Context(), "k", once); err != nil || ok || wait <= 2*time.Hour || wait > 3*time.Hour { // three are spent
		t.Fatal(ok, wait, err)
	}
	if n := trips() - before; n != 1 {
		t.Errorf("refused: %d round trips", n)
	}
}
