package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage"
)

func backupCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database into a new file, while the servers run",
		Long: `Copy the database, as it is at one moment, into a new file that its owner alone can read. The servers go on.

A copy of SQLite is an SQLite database; one of PostgreSQL is an archive of pg_dump, which must be in PATH. No server starts
on a copy: "passport restore" makes a database of it. What the database seals opens with PASSPORT_SECRET alone: keep that
too, and not in the same place.`,
		Example: "  passport backup /var/backups/passport-2026-11-26\n  passport backup copy.db --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, ctx, stop, err := onDatabase(cmd)
			if err != nil {
				return err
			}
			defer stop()
			note, end := progress(cmd, "copied", size)
			err = storage.Backup(ctx, cfg.Database, args[0], note)
			end()
			if err != nil {
				return fmt.Errorf("back up: %w", err)
			}
			made, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"file": args[0], "bytes": made.Size()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s. Keep PASSPORT_SECRET as well: the copy does not have it.\n", args[0], size(made.Size()))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func restoreCommand() *cobra.Command {
	var asJSON, inPlace bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a database of a copy; nobody is signed in there any more",
		Long: `Make a database of a copy of "passport backup". The configured database must be empty (PostgreSQL; pg_restore must be
in PATH) or not there (SQLite): nothing is overwritten. Stop the servers first: one that starts would fill it.

All sessions, codes, tokens, links in mails, invitations, registration tokens, requests for recovery and mails that wait are
void afterwards: since the copy was made they may have been used, ended, or sent. People sign in anew; accounts, sites, their secrets and the signing keys are as
they were in the copy. An account that was about to be deleted, and a site that registered itself and was never used, have
another month. All of that is one transaction: with millions of grants it takes minutes, and as much room again as they have.

With --in-place the configured database is one that other tools have restored (a snapshot, WAL archives, pg_restore): no file
is read, and the same is done there. Stop the servers first.`,
		Example: `  passport restore /var/backups/passport-2026-11-26
  passport restore --in-place --json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case inPlace && len(args) > 0:
				return errors.New("--in-place takes no file")
			case !inPlace && len(args) != 1:
				return errors.New("name the copy, or --in-place")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, ctx, stop, err := onDatabase(cmd)
			if err != nil {
				return err
			}
			defer stop()
			if inPlace {
				err = there(cfg)
			} else {
				note, end := progress(cmd, "restored", size)
				err = storage.Restore(ctx, cfg.Database, args[0], note)
				end()
			}
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			note, end := progress(cmd, "tables made void", func(n int64) string { return strconv.FormatInt(n, 10) })
			ended, err := revive(ctx, cfg, note)
			end()
			if err != nil && !inPlace {
				return fmt.Errorf("%w\nAll of the copy is in the database, and no server starts there: go on with \"passport restore --in-place\"", err)
			}
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"restored": true, "in_place": inPlace, "void": ended})
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The database is restored. Nobody is signed in any more. Void:")
			return printTable(cmd.OutOrStdout(), "WHAT\tROWS", func(w io.Writer) {
				for _, e := range ended {
					fmt.Fprintf(w, "%s\t%d\n", e.Table, e.Rows)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&inPlace, "in-place", false, "the configured database is the restored one")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// onDatabase is what the commands begin with that need the database and no room. Their context ends at a signal, so that no half
// of a file stays.
func onDatabase(cmd *cobra.Command) (*config.Config, context.Context, context.CancelFunc, error) {
	cfg, err := load(cmd)
	if err == nil {
		err = prepare(cfg)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return cfg, ctx, stop, nil
}

// there refuses an SQLite file that is not there: it would be made.
func there(cfg *config.Config) error {
	file, ok := strings.CutPrefix(cfg.Database, "sqlite:")
	if !ok {
		return nil
	}
	_, err := os.Stat(file)
	return err
}

// revive makes an original of the restored database.
func revive(ctx context.Context, cfg *config.Config, note storage.Progress) (ended []storage.Ended, err error) {
	store, err := storage.Open(ctx, cfg.Database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	// Else an empty database would be made an original, and the one that was restored would stay as it is.
	if used, err := store.Used(ctx); err != nil || !used {
		return nil, cmp.Or(err, errors.New("there is nothing to restore: no server has ever run on the configured database"))
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	now, err := store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return store.Revive(ctx, now, note)
}

// progress says on standard error how far a long work is, until stop: on a terminal in one line, written anew each second,
// elsewhere every ten, as passload does, which shares no room with this. unit shows a number of what is done.
func progress(cmd *cobra.Command, what string, unit func(int64) string) (note storage.Progress, stop func()) {
	f, ok := cmd.ErrOrStderr().(*os.File)
	return report(cmd.ErrOrStderr(), ok && terminal(f), what, unit)
}

func report(to io.Writer, onTerminal bool, what string, unit func(int64) string) (note storage.Progress, stop func()) {
	var done, total atomic.Int64
	every, begin, end := 10*time.Second, "", "\n"
	if onTerminal {
		every, begin, end = time.Second, "\r\x1b[K", ""
	}
	say := func(format string, args ...any) { fmt.Fprintf(to, begin+format+end, args...) }
	tick, over := time.NewTicker(every), make(chan struct{})
	var saying sync.WaitGroup
	saying.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if all := total.Load(); all > 0 {
				part := min(done.Load()*20/all, 20)
				say("[%-20s] %s of %s %s", strings.Repeat("#", int(part)), unit(done.Load()), unit(all), what)
			} else {
				say("%s %s", unit(done.Load()), what)
			}
		}
	})
	return func(now, all int64) {
			done.Store(now)
			total.Store(all)
		}, func() {
			tick.Stop()
			close(over)
			saying.Wait() // it says nothing any more
			fmt.Fprint(to, begin)
		}
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
