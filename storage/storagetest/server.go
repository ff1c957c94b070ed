package storagetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// envPostgres names a server to use instead of our own.
const envPostgres = "PASSPORT_TEST_POSTGRES"

var server cluster

// cluster is the PostgreSQL server of this process.
type cluster struct {
	once  sync.Once
	url   string
	err   error
	hold  io.Closer // closed: the server ends
	ended chan error
	mu    sync.Mutex
	end   []func()
}

// dsn is the URL of the server's database "postgres"; the first call starts the server where none is named.
func (c *cluster) dsn(t testing.TB) string {
	t.Helper()
	c.once.Do(func() {
		if c.url = os.Getenv(envPostgres); c.url == "" {
			c.url, c.err = c.start()
		}
	})
	if c.err != nil {
		t.Fatalf("PostgreSQL for the tests (set %s, or PASSPORT_TEST_DATABASES=sqlite): %v", envPostgres, c.err)
	}
	return c.url
}

func (c *cluster) atEnd(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = append(c.end, fn)
}

func (c *cluster) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hold == nil {
		for _, fn := range c.end {
			fn()
		}
		return
	}
	_ = c.hold.Close()
	<-c.ended
}

// keeper runs the server until its standard input ends. The write end of that pipe is held by this process
// alone: whatever way it ends, the server ends and its folder goes.
const keeper = `"$1" -D "$2" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 -c max_connections=300 \
	-c fsync=off -c full_page_writes=off -c shared_buffers=32MB -c max_wal_size=64MB -c log_min_messages=fatal </dev/null >"$2/log" 2>&1 &
server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$2"`

func (c *cluster) start() (string, error) {
	initdb, err := find("initdb")
	if err != nil {
		return "", err
	}
	postgres, err := find("postgres")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "passport-postgres-")
	if err != nil {
		return "", err
	}
	attr, err := servant(dir)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command(initdb, "-D", dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	run := exec.Command("/bin/sh", "-c", keeper, "keeper", postgres, dir, strconv.Itoa(port))
	run.SysProcAttr, run.Dir = &syscall.SysProcAttr{Credential: attr.Credential, Setpgid: true}, dir // not killed with our group
	if c.hold, err = run.StdinPipe(); err != nil {
		return "", err
	}
	if err := run.Start(); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	c.ended = make(chan error, 1)
	go func() { c.ended <- run.Wait() }()
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	return url, await(url, filepath.Join(dir, "log"))
}

// servant is the user that the server runs as: PostgreSQL refuses to be run by root.
func servant(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// find looks in PATH and where Debian puts the server's programs.
func find(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%s is not installed", name)
	}
	return found[len(found)-1], nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// await waits until the server answers.
func await(url, log string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(log)
			return fmt.Errorf("the server does not answer: %w: %s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
