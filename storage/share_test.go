package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/passport-network/passport/oidc/grant"
)

// TestSharer: who comes while as many commits as may are on their way goes with the next, and nobody else waits.
func TestSharer(t *testing.T) {
	for _, most := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d at a time", most), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSharer(most)
				begun, end := make(chan []string, 100), make(chan error)
				write := func(_ context.Context, batch []*shared) {
					var names []string
					for _, in := range batch {
						names = append(names, in.token.ClientID)
					}
					begun <- names
					err := <-end
					for _, in := range batch {
						in.done <- err
					}
				}
				results := make(chan error, 100)
				come := func(ctx context.Context, name string) {
					go func() { results <- s.share(ctx, grant.Token{ClientID: name}, write) }()
					synctest.Wait()
				}
				for i := range most { // each goes at once, alone
					name := fmt.Sprint("first", i)
					come(t.Context(), name)
					if got := <-begun; !slices.Equal(got, []string{name}) {
						t.Fatalf("%v was written, not %s", got, name)
					}
				}
				gone, leave := context.WithCancel(t.Context())
				come(t.Context(), "a")
				come(gone, "b")
				come(t.Context(), "c")
				if len(begun) != 0 {
					t.Errorf("%v did not wait", <-begun)
				}
				leave()
				synctest.Wait()
				if err := <-results; !errors.Is(err, context.Canceled) {
					t.Errorf("who gave up got %v", err)
				}
				end <- nil
				if got := <-begun; !slices.Equal(got, []string{"a", "b", "c"}) {
					t.Errorf("%v were written together", got)
				}
				for range most - 1 {
					end <- nil
				}
				for range most {
					if err := <-results; err != nil {
						t.Error(err)
					}
				}
				end <- errAlone
				for range 2 {
					if err := <-results; !errors.Is(err, errAlone) {
						t.Errorf("a failed commit gave %v", err)
					}
				}
				synctest.Wait()
				if s.writing != 0 || len(s.waiting) != 0 {
					t.Errorf("%d write and %d wait in the end", s.writing, len(s.waiting))
				}
			})
		})
	}
}

// Of those who try alone one does at a time: each may wait for a lock, and all connections would soon do nothing else.
func TestSharerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharer(2)
		write := func(_ context.Context, batch []*shared) {
			for _, in := range batch {
				in.done <- errAlone
			}
		}
		failed, results, end := errors.New("failed"), make(chan error, 3), make(chan error)
		tries := 0
		alone := func() error { tries++; return <-end }
		come := func(ctx context.Context) {
			go func() { results <- s.insert(ctx, grant.Token{}, write, alone) }()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		come(t.Context())
		come(gone)
		come(t.Context())
		leave()
		synctest.Wait()
		if err := <-results; !errors.Is(err, context.Canceled) || tries != 1 {
			t.Errorf("%d tried at once; who gave up got %v", tries, err)
		}
		for n, want := range []error{failed, nil} {
			end <- want
			synctest.Wait()
			if err := <-results; !errors.Is(err, want) || tries != 2 {
				t.Errorf("result %d of %d is %v", n, tries, err)
			}
		}
	})
}
