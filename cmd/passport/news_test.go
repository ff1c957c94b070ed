package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage/storagetest"
)

// 5.4: what one replica changes another sees, also when the connection on which it hears of it is killed; one that has heard nothing
// for five seconds is not ready, by both caches.
func TestNews(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": storagetest.SQLite, "postgres": storagetest.Postgres} {
		if name == "postgres" && storagetest.Databases() == "sqlite" {
			continue
		}
		t.Run(name, func(t *testing.T) { hears(t, database(t), name == "postgres") })
	}
}

func hears(t *testing.T, database string, postgres bool) {
	ctx := t.Context()
	secret := rand.Text() + rand.Text()
	start := func(database string) *app {
		t.Helper()
		a, err := newApp(ctx, &config.Config{Issuer: "https://op.test", Database: database, Secret: secret, Brand: "Passport",
			KeySetMaxAge: 5 * time.Minute, SessionLifetime: time.Hour}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.close() })
		return a
	}
	one := start(database)
	var line *wire
	far := database
	if postgres {
		far, line = wired(t, database)
	}
	two := start(far)
	running, stop := context.WithCancel(ctx)
	var loops sync.WaitGroup
	defer loops.Wait()
	defer stop()
	for _, run := range []func(context.Context) error{two.ring.Run, two.clients.Run, two.news} {
		loops.Go(func() {
			if err := run(running); err != nil {
				t.Error(err)
			}
		})
	}
	ready := func() bool { return len(two.ready(ctx)) == 0 }
	eventually(t, "ready", ready)

	site := client.Client{ID: "shop", RequirePKCE: true, Metadata: client.Metadata{ClientName: "Shop", RedirectURIs: []string{"https://shop.test/cb"}}}
	if _, _, err := one.clients.Create(ctx, site, ""); err != nil {
		t.Fatal(err)
	}
	enabled := func() bool {
		c, err := two.clients.Get(ctx, "shop")
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil && c.Enabled()
	}
	eventually(t, "the new client", enabled)
	if err := one.clients.Disable(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "disabled", func() bool { return !enabled() })
	if err := one.ring.Rotate(ctx, false, "ES256"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next key", func() bool { return string(one.ring.KeySet()) != "" && sameKeys(t, one, two) })
	if !postgres {
		return
	}

	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	listening := func() int {
		var n int
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "it listens", func() bool { return listening() == 1 })
	_, err = db.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	if err == nil {
		err = one.clients.Enable(ctx, "shop")
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "enabled again, without news", enabled)
	eventually(t, "it listens again", func() bool { return listening() == 1 })

	line.cut()
	eventually(t, "not ready for want of news", func() bool {
		return slices.Equal(slices.Sorted(maps.Keys(two.ready(ctx))), []string{"clients", "database", "keys"})
	})
	line.heal()
	eventually(t, "ready again", ready)
	if err := one.clients.Disable(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "disabled", func() bool { return !enabled() })
}

// sameKeys tells whether two replicas publish the same keys.
func sameKeys(t *testing.T, one, two *app) bool {
	t.Helper()
	if err := one.ring.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	return string(one.ring.KeySet()) == string(two.ring.KeySet())
}
