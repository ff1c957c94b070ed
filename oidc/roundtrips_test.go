package oidc_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/storage/storagetest"
)

// TestRoundTrips counts what the protocol costs PostgreSQL, BEGIN and COMMIT included.
func TestRoundTrips(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return
	}
	dsn, trips := storagetest.RoundTrips(t, storagetest.Postgres(t))
	w := newWorld(t, dsn)
	here, _ := w.signedIn(t, "ada")
	s := w.site(t, nil).at(w.replica(t, &moody{}, func(c *engine.Config) { c.RefreshGrace = engine.RefreshGrace }))

	cost := func(t *testing.T, want int64, step func()) {
		t.Helper()
		step() // the statements are prepared once a connection, the client is read once a server
		step()
		before := trips()
		step()
		if got := trips() - before; got != want {
			t.Errorf("%d round trips, not %d", got, want)
		}
	}
	post := func(token string) func() {
		return func() { s.post(t, "/introspect", url.Values{"token": {token}}).claims() }
	}
	var codes []string
	var tokens engine.TokenOutput
	t.Run("authorize 1", func(t *testing.T) {
		cost(t, 1, func() { codes = append(codes, s.code(t, here, "scope", "openid offline_access")) })
	})
	t.Run("code exchange 2 where the code was not issued", func(t *testing.T) {
		if len(codes) != 3 {
			t.Fatalf("%d codes to exchange, not 3", len(codes))
		}
		cost(t, 2, func() {
			tokens = s.redeem(t, codes[0]).tokens()
			codes = codes[1:]
		})
	})
	t.Run("code exchange 1 where it was", func(t *testing.T) {
		s := s.at(w)
		cost(t, 2, func() { s.redeem(t, s.code(t, here, "scope", "openid offline_access")).tokens() }) // authorize is 1 of them
	})
	t.Run("a code with a row: authorize 2, code exchange 2, and 1 where it was issued", func(t *testing.T) {
		rowed := w.replica(t, &moody{}, func(c *engine.Config) { c.SealFrom = w.now().Add(time.Hour) })
		there, b := s.at(rowed), here.at(rowed)
		var codes []string
		cost(t, 2, func() { codes = append(codes, there.code(t, b)) })
		cost(t, 2, func() { s.redeem(t, codes[0]).tokens(); codes = codes[1:] })
		cost(t, 3, func() { there.redeem(t, there.code(t, b)).tokens() })
	})
	t.Run("refresh 2", func(t *testing.T) {
		cost(t, 2, func() { tokens = s.refresh(t, tokens.RefreshToken).tokens() })
	})
	t.Run("introspection 1", func(t *testing.T) {
		cost(t, 1, post(tokens.AccessToken))
		cost(t, 1, post(tokens.RefreshToken))
	})
	t.Run("userinfo 1", func(t *testing.T) {
		cost(t, 1, func() { s.w.userinfo(t, tokens.AccessToken).claims() })
	})
	t.Run("userinfo 0 for what cannot be an access token", func(t *testing.T) {
		for _, raw := range []string{"x", "x.y.z", tokens.IDToken, tokens.RefreshToken} {
			cost(t, 0, func() { s.w.dead(t, raw) })
		}
	})
	t.Run("client_credentials 1", func(t *testing.T) {
		cost(t, 1, func() {
			s.post(t, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}).tokens()
		})
	})
	t.Run("a client that registered openly costs no more, once it was used", func(t *testing.T) {
		m := client.Metadata{ClientName: "Open", RedirectURIs: []string{redirect}, GrantTypes: []string{"authorization_code", "client_credentials"}}
		made, err := w.clients.Register(t.Context(), m, client.RegisterOptions{Verified: true})
		w.must(err)
		open := &site{made.Client, s.w, made.Secret}
		cost(t, 1, func() { open.post(t, "/token", url.Values{"grant_type": {"client_credentials"}}).tokens() })
		i := here.authorize(t, to(open.Client)).page("/consent")
		here.act(t, "approve", i).code()
		cost(t, 1, func() { here.authorize(t, to(open.Client)).code() })
	})
	t.Run("the counter counts a transaction as three", func(t *testing.T) {
		cost(t, 3, func() { w.must(w.store.InTx(t.Context(), w.oneStatement)) })
	})
}

// oneStatement is one statement in the transaction that ctx carries.
func (w *world) oneStatement(ctx context.Context) error {
	return w.store.RevokeGrant(ctx, "nothing", w.now())
}
