package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

var clientTime = time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)

func fullClient(id string) *client.Client {
	age := int64(0)
	return &client.Client{
		ID: id, Name: "Tienda 店 متجر 🛒", RequirePKCE: true, SkipConsent: true, Owner: "0197-owner",
		Metadata: client.Metadata{
			ClientName: "Tienda 店 متجر 🛒", RedirectURIs: []string{"https://app.test/cb"}, ResponseTypes: []string{"code"},
			GrantTypes: []string{"authorization_code"}, DefaultMaxAge: &age, Scope: "openid",
			Localized: map[string]string{"client_name#es": "Tienda"},
		},
		CreatedAt: clientTime, UpdatedAt: clientTime.Add(1), DisabledAt: clientTime.Add(time.Hour), VerifiedAt: clientTime,
		RegisteredBy: client.ByToken, UsedAt: clientTime,
		Secrets: []client.Secret{
			{ID: id + "-2", Hash: []byte{0, 1, 2}, CreatedAt: clientTime.Add(time.Second)},
			{ID: id + "-1", Sealed: []byte{3, 0}, CreatedAt: clientTime, ExpiresAt: clientTime.Add(time.Minute)},
		},
		Revision: 7,
	}
}

func insertClient(t *testing.T, s *storage.Store, id string) *client.Client {
	t.Helper()
	c := fullClient(id)
	if err := s.InsertClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientRows(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		want := insertClient(t, s, "https://app.test/id")
		want.UpdatedAt = clientTime // microseconds
		got, err := s.ReadClient(ctx, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if _, err := s.ReadClient(ctx, "HTTPS://app.test/id"); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		if err := s.InsertClient(ctx, want); !errors.Is(err, client.ErrExists) {
			t.Errorf("twice: %v", err)
		}
		changed := *got
		changed.Name, changed.Metadata.ClientName, changed.Metadata.Localized = "B", "B", nil
		changed.RequirePKCE, changed.SkipConsent, changed.Owner = false, false, ""
		changed.DisabledAt, changed.VerifiedAt, changed.Revision = time.Time{}, time.Time{}, 8
		changed.CreatedAt = clientTime.Add(time.Hour) // is not written
		if err := s.UpdateClient(ctx, &changed); err != nil {
			t.Fatal(err)
		}
		changed.CreatedAt = clientTime
		if got, err = s.ReadClient(ctx, want.ID); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&changed, got); d != "" {
			t.Error(d)
		}
		changed.ID = "nobody"
		if err := s.UpdateClient(ctx, &changed); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		if err := s.DeleteClient(ctx, "nobody"); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		if err := s.DeleteClient(ctx, want.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadClient(ctx, want.ID); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		for _, id := range []string{"a\x00b", "\xff"} {
			if _, err := s.ReadClient(ctx, id); err == nil {
				t.Errorf("%q found", id)
			}
			if err := s.InsertClient(ctx, fullClient(id)); err == nil {
				t.Errorf("%q stored", id)
			}
		}
	})
}

func TestClientSecretRows(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		c := insertClient(t, s, "shop")
		third := client.Secret{ID: "shop-3", Hash: []byte{9}, CreatedAt: clientTime.Add(2 * time.Second)}
		if err := s.InsertClientSecret(ctx, "shop", third); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertClientSecret(ctx, "nobody", client.Secret{ID: "x", CreatedAt: clientTime}); err == nil {
			t.Error("a secret of nobody")
		}
		end := clientTime.Add(24 * time.Hour)
		if err := s.ExpireClientSecret(ctx, "shop-2", end); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteClientSecret(ctx, "shop-1"); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteClientSecret(ctx, "shop-1"); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		if err := s.ExpireClientSecret(ctx, "shop-1", end); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
		got, err := s.ReadClient(ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		second := c.Secrets[0]
		second.ExpiresAt = end
		if d := cmp.Diff([]client.Secret{third, second}, got.Secrets); d != "" {
			t.Error(d)
		}
	})
}

func TestClientList(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		ids := []string{"A", "B", "_", "a", "a-b", "ab", "b"} // by bytes; each database has an order of its own
		for _, i := range []int{3, 0, 6, 2, 5, 1, 4} {
			insertClient(t, s, ids[i])
		}
		var got []string
		for after := ""; ; {
			page, err := s.ListClients(ctx, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				got, after = append(got, c.ID), c.ID
				if len(c.Secrets) != 0 {
					t.Error("the list has secrets")
				}
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(ids, got); d != "" {
			t.Error(d)
		}
		var on *client.Client
		var err error
		enabled := []string{"A", "ab", "b"} // the others are as they came, disabled
		for _, id := range enabled {
			if on, err = s.ReadClient(ctx, id); err != nil {
				t.Fatal(err)
			}
			on.DisabledAt = time.Time{}
			if err := s.UpdateClient(ctx, on); err != nil {
				t.Fatal(err)
			}
		}
		got = nil
		for after, more := "", true; more; {
			page, err := s.ListRedirects(ctx, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				got, after = append(got, c.ID), c.ID
				if d := cmp.Diff(&client.Client{ID: c.ID, Metadata: on.Metadata}, c); d != "" {
					t.Error(d)
				}
			}
			more = len(page) > 0
		}
		slices.Sort(got)
		if d := cmp.Diff(enabled, got); d != "" {
			t.Error(d)
		}
	})
}

func TestClientRevisions(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		first, err := s.ClientsRevision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Rolled back: the number is not used up.
		broken := errors.New("broken")
		if err := s.InTx(ctx, func(ctx context.Context) error {
			if n, err := s.RaiseClients(ctx); err != nil || n != first+1 {
				t.Errorf("%d %v", n, err)
			}
			return broken
		}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if n, err := s.ClientsRevision(ctx); err != nil || n != first {
			t.Errorf("%d %v", n, err)
		}
		const writers = 32
		var wg sync.WaitGroup
		var failed atomic.Int64
		for i := range writers {
			wg.Go(func() {
				err := s.InTx(context.Background(), func(ctx context.Context) error {
					n, err := s.RaiseClients(ctx)
					if err != nil {
						return err
					}
					c := fullClient(fmt.Sprintf("c%02d", i))
					c.Revision = n
					return s.InsertClient(ctx, c)
				})
				if err != nil {
					failed.Add(1)
					t.Error(err)
				}
			})
		}
		wg.Wait()
		changed, err := s.ChangedClients(ctx, first, first+writers)
		if err != nil || len(changed) != writers || failed.Load() != 0 {
			t.Fatalf("%d changed, %v", len(changed), err)
		}
		for i, c := range changed {
			if c.Revision != first+1+int64(i) {
				t.Errorf("%d: %+v", i, c)
			}
		}
		if some, err := s.ChangedClients(ctx, first+2, first+5); err != nil || len(some) != 3 {
			t.Errorf("%v %v", some, err)
		}
	})
}

// What a registry does, on both databases: a change, its revision and its audit event are one.
func TestClientRegistry(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		now := clientTime
		r := client.NewRegistry(client.Config{Store: s, Now: func() time.Time { return now }, Keys: storagetest.Ring(t), Audit: s})
		made, secret, err := r.Create(ctx, client.Client{RequirePKCE: true, Metadata: client.Metadata{
			ClientName: "Shop", RedirectURIs: []string{"https://app.test/cb"},
		}}, "")
		if err != nil || secret == "" || len(made.ID) < 20 || !made.Verified() {
			t.Fatalf("%+v %v", made, err)
		}
		if _, _, err := r.Create(ctx, *made, ""); !errors.Is(err, client.ErrExists) {
			t.Error(err)
		}
		rev := func() int64 {
			n, err := s.ClientsRevision(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := rev()
		bad := []struct {
			field string
			edit  func(*client.Client)
		}{
			{"redirect_uris", func(c *client.Client) { c.Metadata.RedirectURIs = []string{"javascript:alert(1)"} }},
			{"require_pkce", func(c *client.Client) {
				c.Metadata.TokenEndpointAuthMethod, c.RequirePKCE = client.MethodNone, false
			}},
		}
		for _, x := range bad {
			_, _, err := r.Update(ctx, made.ID, func(c *client.Client) error { x.edit(c); return nil })
			var f *client.FieldError
			if !errors.As(err, &f) || f.Field != x.field {
				t.Errorf("%s: %v", x.field, err)
			}
		}
		if rev() != before {
			t.Error("a refused change raised the revision")
		}
		public := func(c *client.Client) error { c.Metadata.TokenEndpointAuthMethod = client.MethodNone; return nil }
		c, shown, err := r.Update(ctx, made.ID, public)
		if err != nil || shown != "" || len(c.Secrets) != 0 || c.Revision != before+1 || rev() != before+1 {
			t.Fatalf("%+v %q %v", c, shown, err)
		}
		if c, err := s.ReadClient(ctx, made.ID); err != nil || len(c.Secrets) != 0 || c.Revision != before+1 {
			t.Errorf("%+v %v", c, err)
		}
		c, shown, err = r.Update(ctx, made.ID, func(c *client.Client) error {
			c.Metadata.TokenEndpointAuthMethod = client.MethodPost
			c.ID = "other" // has no effect
			return nil
		})
		if err != nil || shown == "" || shown == secret || c.ID != made.ID {
			t.Fatalf("%+v %v", c, err)
		}
		if c, err := s.ReadClient(ctx, made.ID); err != nil || len(c.Secrets) != 1 || len(c.Secrets[0].Hash) != 32 {
			t.Errorf("%+v %v", c, err)
		}
		now = now.Add(time.Minute)
		for _, act := range []func(context.Context, string) error{r.Disable, r.Disable, r.Enable, r.Delete} {
			if err := act(ctx, made.ID); err != nil {
				t.Fatal(err)
			}
			if c, err := r.Get(ctx, made.ID); err == nil && !c.Enabled() && !c.DisabledAt.Equal(now) {
				t.Errorf("%+v", c)
			}
		}
		for name, act := range map[string]func(context.Context, string) error{"disable": r.Disable, "enable": r.Enable, "delete": r.Delete} {
			if err := act(ctx, made.ID); !errors.Is(err, client.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.Get(ctx, made.ID); !errors.Is(err, client.ErrNotFound) {
			t.Error(err)
		}
	})
}
