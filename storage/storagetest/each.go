// Package storagetest is the suite that both databases must pass, and the harness that gives every test a
// fresh, migrated one.
package storagetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx", for CREATE DATABASE

	"github.com/passport-network/passport/storage"
)

// Each runs fn as subtests "sqlite" and "postgres", each on a fresh migrated database.
// PASSPORT_TEST_DATABASES=sqlite leaves PostgreSQL out (make quick).
func Each(t *testing.T, fn func(t *testing.T, s *storage.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, Open(t, SQLite(t))) })
	if Databases() == "sqlite" {
		return
	}
	t.Run("postgres", func(t *testing.T) { fn(t, Open(t, Postgres(t))) })
}

// Databases is which databases this run tests: "sqlite", or "" for both.
func Databases() string { return os.Getenv("PASSPORT_TEST_DATABASES") }

// Open opens and migrates a database for the length of the test.
func Open(t testing.TB, database string) *storage.Store {
	t.Helper()
	ctx := context.Background()
	s, err := storage.Open(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// SQLite is a PASSPORT_DATABASE that names a file which does not exist yet.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "passport.db")
}

// Postgres is a PASSPORT_DATABASE that names an empty database, dropped after the test.
func Postgres(t testing.TB) string {
	t.Helper()
	admin, err := cluster()
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	name := "passport_" + strings.ToLower(rand.Text())
	exec1 := func(q string) {
		db, err := sql.Open("pgx", admin)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	exec1("CREATE DATABASE " + name)
	t.Cleanup(func() { exec1("DROP DATABASE " + name + " WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// server is the PostgreSQL that this process started for itself, if any.
var server struct {
	cmd *exec.Cmd
	dir string
}

// cluster is the DSN of a superuser: PASSPORT_TEST_POSTGRES, or a server of this process's own.
var cluster = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("PASSPORT_TEST_POSTGRES"); dsn != "" {
		return dsn, nil
	}
	dir, err := os.MkdirTemp("", "passport-pg-")
	if err != nil {
		return "", err
	}
	server.dir = dir
	var cred *syscall.Credential
	if os.Geteuid() == 0 {
		// PostgreSQL refuses to run as root.
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(program(name), args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGINT}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	server.cmd = command("postgres", "-D", data, "-k", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "max_connections=300")
	if err := server.cmd.Start(); err != nil {
		return "", err
	}
	dsn := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	deadline := time.Now().Add(30 * time.Second)
	for {
		db, err := sql.Open("pgx", dsn)
		if err == nil {
			err = db.Ping()
			_ = db.Close()
		}
		if err == nil {
			return dsn, nil
		}
		if time.Now().After(deadline) {
			return "", err
		}
		<-time.After(50 * time.Millisecond)
	}
})

// program finds a PostgreSQL program in PATH or where Debian keeps it.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

// Main runs a package's tests and ends the PostgreSQL that they started.
func Main(m *testing.M) {
	code := m.Run()
	if server.cmd != nil {
		_ = server.cmd.Process.Signal(syscall.SIGINT)
		_ = server.cmd.Wait()
	}
	if server.dir != "" {
		_ = os.RemoveAll(server.dir)
	}
	os.Exit(code)
}
