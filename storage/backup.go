package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/libtnb/sqlite"

	"github.com/passport-network/passport/pkg/audit"
)

// ErrCopy refuses to work on a copy: what was ended after it was made (sessions, tokens, links) would live again.
var ErrCopy = errors.New(`the database is a copy made by "passport backup": run "passport restore --in-place" on it first`)

// Progress is told how many bytes are done, and of how many; 0: nobody knows.
type Progress func(done, total int64)

// Original is ErrCopy for a copy that Backup made and that Revive has not seen. It changes nothing, so that a copy stays as it is. A
// database whose schema is older than that of copies, or that has no keys yet, is none that can be told by this.
func (s *Store) Original(ctx context.Context) error {
	if !s.db(ctx).Migrator().HasTable("original") {
		return nil
	}
	var marked, used bool
	if err := s.row(ctx, "is this the original", "SELECT EXISTS (SELECT 1 FROM original), EXISTS (SELECT 1 FROM secret)", []any{&marked, &used}); err != nil {
		return err
	}
	if used && !marked {
		return ErrCopy
	}
	return nil
}

// Originate makes an original of a database with the newest schema and nothing in it; ErrCopy when another has no mark. Not by the
// migration: rows that are put into a fresh schema by hand, without their mark, are a copy too. And not by Original: pg_restore fills
// one table after the other, and a server that starts meanwhile must not take what it finds so far for nothing.
func (s *Store) Originate(ctx context.Context) error {
	nothing := ""
	for _, table := range []string{"secret", "account", "client", "authorization_grant"} {
		nothing += " AND NOT EXISTS (SELECT 1 FROM " + table + ")"
	}
	if err := s.db(ctx).Exec("INSERT INTO original (n) SELECT 1 WHERE 1 = 1" + nothing + " ON CONFLICT DO NOTHING").Error; err != nil {
		return fmt.Errorf("make an original: %w", err)
	}
	var marked bool
	if err := s.row(ctx, "is this the original", "SELECT EXISTS (SELECT 1 FROM original)", []any{&marked}); err != nil {
		return err
	}
	if !marked {
		return ErrCopy
	}
	return nil
}

// Used tells whether a server has ever run on the database.
func (s *Store) Used(ctx context.Context) (used bool, err error) {
	if !s.db(ctx).Migrator().HasTable("secret") {
		return false, nil
	}
	err = s.row(ctx, "has this been used", "SELECT EXISTS (SELECT 1 FROM secret)", []any{&used})
	return used, err
}

// voided are the statements that end what was begun before a restore; @now is its time. What the
// copy still holds for good may have been ended, used or replaced since.
var voided = []struct{ table, sql string }{
	{"session_secret", "DELETE FROM session_secret"},
	{"login", "UPDATE login SET ended_at = @now WHERE ended_at IS NULL"},
	{"consent", "DELETE FROM consent WHERE login_id <> ''"}, // for one of those logins alone; else what people allowed stays
	{"interaction", "DELETE FROM interaction"},
	{"code", "DELETE FROM code"},
	{"device_code", "DELETE FROM device_code"},
	{"access_token", "DELETE FROM access_token"},
	{"authorization_grant", "UPDATE authorization_grant SET revoked_at = @now WHERE revoked_at IS NULL"},
	{"mail_token", "DELETE FROM mail_token"},
	{"account_link", "DELETE FROM account_link"},
	{"recovery_request", "DELETE FROM recovery_request"}, // nobody could stop one: those links are gone
	{"data_export", "DELETE FROM data_export"},
	{"invitation", "DELETE FROM invitation"},
	{"registration_token", "DELETE FROM registration_token"},
	// Mails with dead links, and mails that were sent since.
	{"outbox", "DELETE FROM outbox"},
}

// postponed are the statements that give time to what a purge would delete for good as soon as a server starts, though it may have been
// kept since the copy was made; @now is the restore's time, @later a month after it.
var postponed = []string{
	"UPDATE account SET expires_at = @later WHERE state = 'closing' AND expires_at < @later",
	// Nobody had signed in there yet: it counts as registered now (purgeClients).
	"UPDATE client SET created_at = @now WHERE registered_by = 'anyone' AND used_at IS NULL AND verified_at IS NULL",
}

// Ended is how many rows of a table a restore has made void.
type Ended struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// Revive makes an original of a restored database: all that was begun before now is void, in one transaction with the loss of
// the mark. It tells how many tables of how many are done: with millions of grants one takes minutes.
func (s *Store) Revive(ctx context.Context, now time.Time, tell Progress) (ended []Ended, err error) {
	exec := func(ctx context.Context, q string) (int64, error) {
		args := []any{}
		for name, when := range map[string]time.Time{"now": now, "later": now.Add(unused)} {
			if strings.Contains(q, "@"+name) { // PostgreSQL refuses one too many
				args = append(args, sql.Named(name, at(when)))
			}
		}
		res := s.db(ctx).Exec(q, args...)
		return res.RowsAffected, res.Error
	}
	err = s.InTx(ctx, func(ctx context.Context) error {
		ended = nil
		for i, v := range voided {
			tell(int64(i), int64(len(voided)))
			rows, err := exec(ctx, v.sql)
			if err != nil {
				return fmt.Errorf("void %s: %w", v.table, err)
			}
			ended = append(ended, Ended{v.table, rows})
		}
		for _, q := range postponed {
			if _, err := exec(ctx, q); err != nil {
				return fmt.Errorf("keep what waits for its end: %w", err)
			}
		}
		// Far beyond what any running server has seen: its caches forget all.
		if err := s.db(ctx).Exec("UPDATE revision SET n = n + 1000000").Error; err != nil {
			return fmt.Errorf("tell the caches: %w", err)
		}
		if err := s.db(ctx).Exec("INSERT INTO original (n) VALUES (1) ON CONFLICT DO NOTHING").Error; err != nil {
			return fmt.Errorf("drop the mark: %w", err)
		}
		return s.Record(ctx, audit.Event{Event: audit.DatabaseRestored, ActorKind: audit.ActorOperator, At: now})
	})
	if err != nil {
		return nil, fmt.Errorf("make an original of the copy: %w", err)
	}
	return ended, nil
}

// Backup writes a copy of a database, as it is at one moment while others write to it, into a new file that its owner alone
// can read. The copy bears the mark that Original finds.
func Backup(ctx context.Context, database, file string, tell Progress) error {
	if source, ok := strings.CutPrefix(database, "sqlite:"); ok {
		if err := exists(source); err != nil {
			return err
		}
	}
	s, err := Open(ctx, database)
	if err != nil {
		return err
	}
	err = func() error {
		if !s.db(ctx).Migrator().HasTable("original") {
			return errors.New(`the database's schema is older than copies are: run "passport migrate up" first`)
		}
		return writeNew(file, func(part *os.File) error {
			if s.postgres() {
				return s.dump(ctx, database, part, tell)
			}
			return s.vacuum(ctx, part.Name(), tell)
		})
	}()
	return errors.Join(err, s.Close())
}

// Restore puts a copy into an empty PostgreSQL database, or in the place of an SQLite file that is not there. The mark stays:
// Revive drops it.
func Restore(ctx context.Context, database, file string, tell Progress) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	size, err := from.Stat()
	if err != nil {
		return err
	}
	copied := &counted{ctx: ctx, from: from, total: size.Size(), tell: tell}
	to, ok := strings.CutPrefix(database, "sqlite:")
	if !ok {
		if err := checkDump(ctx, file); err != nil {
			return err
		}
		return undump(ctx, database, copied)
	}
	// A journal without its database belongs to another one: SQLite would take it for this one's.
	for _, journal := range []string{to + "-wal", to + "-shm", to + "-journal"} {
		if err := absent(journal); err != nil {
			return err
		}
	}
	return writeNew(to, func(part *os.File) error {
		if _, err := io.Copy(part, copied); err != nil {
			return err
		}
		if err := checkCopy(ctx, part.Name()); err != nil {
			return err
		}
		return unmark(ctx, part.Name()) // a file that cp made has its mark: no server must start before Revive
	})
}

// vacuum writes a copy of an SQLite database into an empty file, and takes its row of original away. SQLite reads all of it
// in one transaction, beside which others go on writing.
func (s *Store) vacuum(ctx context.Context, part string, tell Progress) error {
	watched, stop := context.WithCancel(ctx)
	defer stop()
	if size, err := os.Stat(s.file); err == nil {
		go watch(watched, part, size.Size(), tell)
	}
	if err := s.db(ctx).Exec("VACUUM INTO ?", part).Error; err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	stop()
	return unmark(ctx, part)
}

// unmark makes a copy of an SQLite file.
func unmark(ctx context.Context, file string) error {
	db, err := sql.Open(sqlite.DriverName, sqliteDSN(file, "_pragma=journal_mode(DELETE)&_pragma=synchronous(FULL)"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "DELETE FROM original")
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("mark the copy: %w", err)
	}
	return nil
}

// watch tells the size of a file that another writes, each second.
func watch(ctx context.Context, file string, total int64, tell Progress) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now, err := os.Stat(file); err == nil {
				tell(min(now.Size(), total), total)
			}
		}
	}
}

// checkCopy refuses a file that is no whole database of ours.
func checkCopy(ctx context.Context, file string) error {
	db, err := sql.Open(sqlite.DriverName, sqliteDSN(file, "mode=ro&immutable=1"))
	if err != nil {
		return err
	}
	defer db.Close()
	var tables int
	var sound string
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name IN ('original', 'authorization_grant')").Scan(&tables)
	if err == nil {
		err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&sound)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the file is no SQLite database: %w", err)
	case tables != 2:
		return errors.New("the file is no copy of a Passport database")
	case sound != "ok":
		return fmt.Errorf("the copy is damaged: %s", sound)
	}
	return nil
}

// writeNew makes a file that was not there, readable by its owner alone, and at once whole: fill writes a neighbour, which gets
// the name when it is on the disk.
func writeNew(file string, fill func(part *os.File) error) (err error) {
	if err := absent(file); err != nil {
		return err
	}
	part, err := os.OpenFile(file+".part", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		_ = part.Close() // a second time, where all went well
		if gone := os.Remove(part.Name()); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	if err := fill(part); err != nil {
		return err
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return err
	}
	// A link never overwrites: not even what came there while we wrote. Some file systems have none.
	if err := os.Link(part.Name(), file); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		if err := errors.Join(absent(file), os.Rename(part.Name(), file)); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(file))
}

// syncFolder makes a new name in a folder last.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func exists(file string) error {
	_, err := os.Stat(file)
	return err
}

// absent is an error when something has this name.
func absent(file string) error {
	_, err := os.Lstat(file)
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w", file, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// counted tells how much of a file was read.
type counted struct {
	ctx         context.Context // io.Copy has none
	from        io.Reader
	done, total int64
	tell        Progress
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.total)
	return n, err
}
