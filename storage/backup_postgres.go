package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// dump lets pg_dump write its archive. It leaves the row of original out: whatever restores the archive restores a copy.
func (s *Store) dump(ctx context.Context, database string, to *os.File, tell Progress) error {
	var table string
	err := s.db(ctx).Raw(`SELECT '"' || n.nspname || '"."' || c.relname || '"' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass('original')`).Scan(&table).Error
	if err != nil {
		return err
	}
	if table == "" {
		return errors.New("the database has no table original")
	}
	watched, stop := context.WithCancel(ctx)
	defer stop()
	go watch(watched, to.Name(), 1<<62, func(done, _ int64) { tell(done, 0) })
	return postgresTool(ctx, database, nil, to, "pg_dump", "--format=custom", "--exclude-table-data="+table)
}

// checkDump refuses an archive with the row of original, which a pg_dump of the operator's own has: a server could start between its
// restore and Revive, and honour all that was given out before.
func checkDump(ctx context.Context, file string) error {
	path, err := postgresProgram("pg_restore")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "--list", file)
	var said bytes.Buffer
	cmd.Stderr = &said
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("pg_restore --list: %w: %s", err, strings.TrimSpace(said.String()))
	}
	if markedDump.Match(list) {
		return errors.New(`the file is a dump, not a copy of "passport backup": stop all servers, restore it with pg_restore, and then run "passport restore --in-place"`)
	}
	return nil
}

// markedDump finds the entry of the rows of original in the list of an archive.
var markedDump = regexp.MustCompile(`(?m)^\d+; \d+ \d+ TABLE DATA \S+ original `)

// undump lets pg_restore read an archive into an empty database, whole or not at all.
func undump(ctx context.Context, database string, from io.Reader) error {
	s, err := Open(ctx, database)
	if err != nil {
		return err
	}
	var tables int64
	err = s.db(ctx).Raw(`SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%' AND c.relkind IN ('r', 'p')`).Scan(&tables).Error
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if tables > 0 {
		return fmt.Errorf("the database is not empty: it has %d tables. A server that runs makes them: stop all", tables)
	}
	// The roles of the old server need not be there: all belongs to whoever restores.
	return postgresTool(ctx, database, from, io.Discard, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
}

// postgresTool runs one of PostgreSQL's own programs on a database.
func postgresTool(ctx context.Context, database string, in io.Reader, out io.Writer, name string, args ...string) error {
	path, err := postgresProgram(name)
	if err != nil {
		return err
	}
	conn, env, err := libpq(database)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, append(args, "--no-password", "--dbname="+conn)...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// postgresProgram finds one of PostgreSQL's own programs.
func postgresProgram(name string) (path string, err error) {
	if path, err = exec.LookPath(name); err != nil {
		err = fmt.Errorf("%s is not in PATH: install PostgreSQL's client programs, of the server's version or a later one", name)
	}
	return path, err
}

// libpq is a PostgreSQL URL as PostgreSQL's own programs take it, without the password, and the environment that they need:
// what is in the arguments of a process everybody on the machine can read.
func libpq(database string) (conn string, env []string, err error) {
	cfg, _, err := postgresConfig(database)
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(database)
	if err != nil {
		return "", nil, errors.New("the PostgreSQL URL cannot be read")
	}
	q := u.Query()
	if q.Has("sslpassword") {
		return "", nil, errors.New("sslpassword of the PostgreSQL URL would show in the list of processes: use a key without one")
	}
	for _, name := range []string{"password", poolSizeSetting, "statement_cache_capacity", "description_cache_capacity", "default_query_exec_mode"} {
		q.Del(name)
	}
	options := q.Get("options")
	for name := range q {
		if isSetting(cfg, name) {
			options += " -c " + name + "=" + strings.NewReplacer(`\`, `\\`, " ", `\ `).Replace(q.Get(name))
			q.Del(name)
		}
	}
	q.Del("options")
	if len(hostsOf(cfg).each) > 1 && !q.Has("target_session_attrs") {
		q.Set("target_session_attrs", "read-write") // as postgresConfig has it
	}
	q.Set("connect_timeout", strconv.Itoa(int(cfg.ConnectTimeout.Seconds()))) // libpq has none: a host that is silent would be asked for minutes
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")                   // a plus is a plus to libpq
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	if cfg.Password != "" {
		env = append(env, "PGPASSWORD="+cfg.Password)
	}
	if options = strings.TrimSpace(options); options != "" {
		env = append(env, "PGOPTIONS="+options)
	}
	return u.String(), env, nil
}

// isSetting tells a setting of the server, which pgx takes in the URL and libpq does not, from a word that both know.
func isSetting(cfg *pgx.ConnConfig, name string) bool {
	_, ok := cfg.RuntimeParams[name]
	return ok && !slices.Contains([]string{"application_name", "fallback_application_name", "client_encoding", "options"}, name)
}
