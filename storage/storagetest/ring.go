package storagetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/storage"
)

// at is when the ring was made. Its keys never change, so its time need not go on.
func at() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// ring is made once a process: RSA keys take a while.
var ring = sync.OnceValues(func() (*keys.Ring, error) {
	dir, err := os.MkdirTemp("", "passport-ring-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := storage.Open(ctx, "sqlite:"+filepath.Join(dir, "passport.db"))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	sealer, err := keys.NewSealer([]byte(strings.Repeat("s", 32)))
	if err != nil {
		return nil, err
	}
	return keys.Open(ctx, keys.Config{Store: s, Sealer: sealer, Now: at})
})

// Ring is a key ring that no database knows, for tests that need one and change nothing of it.
func Ring(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := ring()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
