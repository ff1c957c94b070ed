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

// Original is ErrCopy for a copy that Backup made and that Revive has not seen. A database that nobody has used yet becomes
// an original. One whose schema is older than that of copies is one.
func (s *Store) Original(ctx context.Context) error {
	if !s.db(ctx).Migrator().HasTable("original") {
		return nil
	}
	// Not by the migration: rows that are put into a fresh schema by hand, without their mark, are a copy too.
	err := s.db(ctx).Exec(`INSERT INTO original (n) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM secret) ON CONFLICT DO NOTHING`).Error
	if err != nil {
		return fmt.Errorf("is this the original: %w", err)
	}
	var n int64
	if err := s.db(ctx).Raw("SELECT count(*) FROM original").Scan(&n).Error; err != nil {
		return fmt.Errorf("is this the original: %w", err)
	}
	if n != 1 {
		return ErrCopy
	}
	return nil
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

// Ended is how many rows of a table a restore has made void.
type Ended struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// Revive makes an original of a restored database: all that was begun before now is void, in one transaction with the loss of
// the mark.
func (s *Store) Revive(ctx context.Context, now time.Time) (ended []Ended, err error) {
	err = s.InTx(ctx, func(ctx context.Context) error {
		ended = nil
		for _, v := range voided {
			args := []any{}
			if strings.Contains(v.sql, "@now") { // PostgreSQL refuses one too many
				args = append(args, sql.Named("now", at(now)))
			}
			res := s.db(ctx).Exec(v.sql, args...)
			if res.Error != nil {
				return fmt.Errorf("void %s: %w", v.table, res.Error)
			}
			ended = append(ended, Ended{v.table, res.RowsAffected})
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
	copied := &counted{from: from, total: size.Size(), tell: tell}
	to, ok := strings.CutPrefix(database, "sqlite:")
	if !ok {
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
		return checkCopy(ctx, part.Name())
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
	db, err := sql.Open(sqlite.DriverName, sqliteDSN(part, "_pragma=journal_mode(DELETE)&_pragma=synchronous(FULL)"))
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
	from        io.Reader
	done, total int64
	tell        Progress
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.total)
	return n, err
}
