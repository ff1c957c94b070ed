package storagetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", for databases that are not ours yet

	"github.com/passport-network/passport/storage"
)

// Each runs fn as the subtests "sqlite" and "postgres", each on a fresh migrated database.
func Each(t *testing.T, fn func(t *testing.T, s *storage.Store)) {
	t.Helper()
	EachNamed(t, func(t *testing.T, s *storage.Store, _ string) { fn(t, s) })
}

// EachNamed is Each for tests that look at the database with SQL of their own (DB): database is its PASSPORT_DATABASE.
func EachNamed(t *testing.T, fn func(t *testing.T, s *storage.Store, database string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		name := SQLite(t)
		fn(t, Open(t, name), name)
	})
	if Databases() == "sqlite" {
		return
	}
	t.Run("postgres", func(t *testing.T) {
		name := fresh(t, template(t))
		fn(t, open(t, name), name)
	})
}

// DB connects to a database beside the store that is open on it.
func DB(t testing.TB, database string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", database
	if file, ok := strings.CutPrefix(database, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Databases is which databases this run tests: "sqlite", or "" for both.
func Databases() string { return os.Getenv("PASSPORT_TEST_DATABASES") }

// SQLite is a PASSPORT_DATABASE of an empty SQLite database.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "passport.db")
}

// Postgres is a PASSPORT_DATABASE of an empty PostgreSQL database, dropped at the test's end.
func Postgres(t testing.TB) string {
	t.Helper()
	return fresh(t, "template0")
}

// Open opens and migrates a database for the length of a test.
func Open(t testing.TB, database string) *storage.Store {
	t.Helper()
	s := open(t, database)
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, database string) *storage.Store {
	t.Helper()
	s, err := storage.Open(context.Background(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Main runs a package's tests and stops the PostgreSQL server that they started, if any:
//
//	func TestMain(m *testing.M) { storagetest.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	server.stop()
	os.Exit(code)
}

// fresh copies a database, and drops the copy at the test's end.
func fresh(t testing.TB, from string) string {
	t.Helper()
	name := "passport_" + strings.ToLower(rand.Text())
	admin(t, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s ENCODING 'UTF8'", name, from))
	t.Cleanup(func() { admin(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return database(t, name)
}

var templates struct {
	sync.Mutex
	name string
}

// template is a migrated database that tests copy: made once a process.
func template(t testing.TB) string {
	t.Helper()
	templates.Lock()
	defer templates.Unlock()
	if templates.name != "" {
		return templates.name
	}
	name := "passport_template_" + strings.ToLower(rand.Text())
	admin(t, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
	s, err := storage.Open(context.Background(), database(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	templates.name = name
	server.atEnd(func() {
		if db, err := sql.Open("pgx", os.Getenv(envPostgres)); err == nil {
			// A server of our own goes anyway; one that others use too is left clean where possible.
			_, _ = db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
			_ = db.Close()
		}
	})
	return name
}

func admin(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", server.dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// database is the server's URL with another database in it.
func database(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(server.dsn(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}
