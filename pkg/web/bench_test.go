package web_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/storage/storagetest"
)

// BenchmarkShell is what every request pays: notes, headers, the router, the line in the log. The document itself is
// bytes that are there already.
func BenchmarkShell(b *testing.B) {
	ctx := b.Context()
	store := storagetest.Open(b, storagetest.SQLite(b))
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
	ring := must(keys.Open(ctx, keys.Config{Store: store, Sealer: must(keys.NewSealer(make([]byte, 32))), Now: time.Now}))
	clients := client.NewRegistry(client.Config{Store: store, Now: time.Now, Keys: ring, Logger: logger})
	sessions := must(session.New(session.Config{Store: store, Issuer: issuer, Now: time.Now}))
	pages := must(web.NewPages(web.PagesConfig{Issuer: issuer, FormKey: ring.Secret(keys.SecretForm), Sessions: sessions, Logger: logger}))
	flows := must(engine.New(engine.Config{Issuer: issuer, Clients: clients, Store: store, Keys: ring, Now: time.Now}))
	provider := must(oidc.New(oidc.Config{Issuer: issuer, Languages: []string{"en"}, Engine: flows, Store: store, Clients: clients, Keys: ring,
		Sessions: sessions, Now: time.Now, Pages: pages.OIDC(), ClientIP: web.ClientIP}))
	handler := must(web.New(web.Config{Issuer: issuer, Pages: pages, OIDC: provider, Clients: clients, Logger: logger, Now: time.Now})).Handler()
	step := func() {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, issuer+"/.well-known/openid-configuration", nil)
		if handler.ServeHTTP(rec, r); rec.Code != http.StatusOK {
			b.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	step()
	b.ReportAllocs()
	begun := processor(b)
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(processor(b)-begun)/float64(b.N), "cpu-ns/op")
}

// processor is the time that this process has had of the processor, in nanoseconds: others use the machine too.
func processor(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
