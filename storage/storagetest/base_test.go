package storagetest_test

import (
	"testing"

	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

func TestMigrated(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		list, err := s.MigrationStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			t.Fatal("there are no migrations")
		}
		for _, m := range list {
			if !m.Applied || m.At.IsZero() {
				t.Errorf("%+v", m)
			}
		}
	})
}
