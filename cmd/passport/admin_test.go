package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/clock"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/storage/storagetest"
)

// Each part that a server stands on turns /readyz red by its name; /livez asks none of them.
func TestReady(t *testing.T) {
	ctx := t.Context()
	a, err := newApp(ctx, &config.Config{
		Issuer: "https://op.test", Database: storagetest.SQLite(t), Secret: rand.Text() + rand.Text(), Brand: "Passport",
		KeySetMaxAge: 5 * time.Minute, SessionLifetime: time.Hour,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	stopping := &atomic.Bool{}
	admin := a.admin(stopping)
	red := func(want ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		var said struct {
			Ready  bool
			Faults map[string]string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(maps.Keys(said.Faults))
		if status := map[bool]int{true: 200, false: 503}[len(want) == 0]; !slices.Equal(got, want) || said.Ready != (len(want) == 0) || w.Code != status {
			t.Errorf("%d %s, not %s", w.Code, w.Body, want)
		}
		w = httptest.NewRecorder()
		if admin.ServeHTTP(w, httptest.NewRequest("GET", "/livez", nil)); w.Code != 200 || !strings.Contains(w.Body.String(), "alive") {
			t.Errorf("/livez: %d %s", w.Code, w.Body)
		}
	}
	red("clients") // nobody has looked at what has changed yet
	if err := a.clients.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	red()

	good := *a
	a.clock = clock.New(func(context.Context) (time.Time, error) { return a.store.Now(ctx) })
	red("clock")
	a.clock = good.clock

	var late time.Duration
	if a.ring, err = keys.Open(ctx, keys.Config{Store: a.store, Sealer: a.sealer, Now: func() time.Time { return a.clock.Now().Add(late) }}); err != nil {
		t.Fatal(err)
	}
	red()
	late = time.Minute
	red("keys")
	a.ring = good.ring

	a.clients = client.NewRegistry(client.Config{Store: a.store, Now: a.clock.Now, Keys: a.ring})
	red("clients")
	a.clients = good.clients

	stopping.Store(true)
	red("server")
	stopping.Store(false)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	red("database")
}
