package account_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

// TestExport: 4.18, the file with all that is known: made by the outbox, kept sealed, for its owner and seven days.
func TestExport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		const content = `{"secret":"what we know of ada"}`
		made, broken := 0, error(nil)
		during := func() {} // while it is made
		w.HandleExports(func(_ context.Context, a *account.Account) ([]byte, error) {
			made++
			during()
			return []byte(content + a.Email), broken
		})
		ask := func(id string) {
			t.Helper()
			w.limits.Add(1)
			if err := w.AskExport(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		w.run(t, "from the wish to the file", func(t *testing.T) {
			who := w.member("ada@x.test", goodPassword)
			if _, err := w.ReadExport(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			ask(who.AccountID)
			if e := must(w.ReadExport(ctx, who.AccountID)); !e.MadeAt.IsZero() || made != 0 {
				t.Errorf("asked for: %+v, made %d", e, made)
			}
			token := w.link("ada@x.test", "account/data/file")
			e := must(w.ReadExport(ctx, who.AccountID))
			if e.MadeAt.IsZero() || e.ExpiresAt.Sub(e.MadeAt) != account.ExportLifetime || made != 1 {
				t.Errorf("ready: %+v, made %d", e, made)
			}
			got, err := w.OpenExport(ctx, who.AccountID, token)
			if err != nil || string(got) != content+"ada@x.test" {
				t.Errorf("%q %v", got, err)
			}
			sealed := must(w.db.SealedExport(ctx, e.ID))
			if bytes.Contains(sealed, []byte("what we know")) || bytes.Contains(e.Hash, []byte(token)) {
				t.Error("it stands in the database in clear")
			}
			// Of two workers that made it, one writes: there is one mail, and its link holds.
			late := e
			late.Sealed, late.Hash = []byte("late"), bytes.Repeat([]byte{1}, 32)
			if err := w.db.FinishExport(ctx, late); !errors.Is(err, account.ErrGone) {
				t.Errorf("made twice: %v", err)
			}
			var events []string
			for _, e := range must(w.db.Events(ctx, who.AccountID, time.Time{}, 10)) {
				events = append(events, e.Event)
			}
			if !strings.HasPrefix(strings.Join(events, " "), audit.AccountExported+" "+audit.AccountExportAsked) {
				t.Errorf("%v", events)
			}
			other := w.member("eve@x.test", goodPassword)
			for name, try := range map[string]func() error{
				"another account": func() error { _, err := w.OpenExport(ctx, other.AccountID, token); return err },
				"another token":   func() error { _, err := w.OpenExport(ctx, who.AccountID, random(32)); return err },
				"no token":        func() error { _, err := w.OpenExport(ctx, who.AccountID, ""); return err },
			} {
				if err := try(); !errors.Is(err, account.ErrLink) {
					t.Errorf("%s: %v", name, err)
				}
			}
			w.pass(account.ExportLifetime)
			if _, err := w.OpenExport(ctx, who.AccountID, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("after seven days: %v", err)
			}
			must(w.db.Purge(ctx, w.cfg.Now(), 100))
			if _, err := w.db.SealedExport(ctx, e.ID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("after the purge: %v", err)
			}
		})
		w.run(t, "one that is replaced while it is made is not mailed", func(t *testing.T) {
			who := w.member("bob@x.test", goodPassword)
			ask(who.AccountID)
			during = func() {
				during = func() {}
				ask(who.AccountID)
			}
			made = 0
			var mails int
			for _, l := range w.letters("bob@x.test") {
				if strings.Contains(l.Subject, "data") {
					mails++
				}
			}
			if made != 2 || mails != 1 {
				t.Errorf("made %d, %d mails", made, mails)
			}
			if _, err := w.OpenExport(ctx, who.AccountID, w.link("bob@x.test", "account/data/file")); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "what cannot be made is tried again, and then not asked for any more", func(t *testing.T) {
			who := w.member("cyd@x.test", goodPassword)
			broken = errors.New("no disk")
			ask(who.AccountID)
			w.letters("cyd@x.test")
			broken = nil
			w.pass(time.Minute)
			w.link("cyd@x.test", "account/data/file")
			broken = errors.New("no disk")
			ask(who.AccountID)
			w.letters("cyd@x.test")
			w.pass(24 * time.Hour)
			w.letters("cyd@x.test")
			if _, err := w.ReadExport(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("a day later: %v", err)
			}
			broken = nil
		})
		w.run(t, "the account goes, or is locked, before it is made", func(t *testing.T) {
			gone, locked := w.member("gone@x.test", goodPassword), w.member("locked@x.test", goodPassword)
			ask(gone.AccountID)
			ask(locked.AccountID)
			must(w.Delete(ctx, gone.AccountID))
			must(w.Disable(ctx, locked.AccountID))
			made = 0
			for _, email := range []string{"gone@x.test", "locked@x.test"} {
				if l := w.last(email); strings.Contains(l.Subject, "data") {
					t.Errorf("%s has %q", email, l.Subject)
				}
			}
			if made != 0 {
				t.Errorf("made %d", made)
			}
			if err := w.AskExport(ctx, locked.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("asked for by nobody: %v", err)
			}
		})
		w.run(t, "this was not me: what was asked for is gone", func(t *testing.T) {
			who := w.member("dan@x.test", goodPassword)
			ask(who.AccountID)
			token := w.link("dan@x.test", "account/data/file")
			text := w.last("dan@x.test").Text
			_, alarm, _ := strings.Cut(text, "https://op.test/alarm?t=")
			if err := w.Alarm(ctx, strings.Fields(alarm)[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := w.OpenExport(ctx, who.AccountID, token); !errors.Is(err, account.ErrLink) {
				t.Errorf("%v", err)
			}
		})
		w.run(t, "a budget", func(t *testing.T) {
			who := w.member("eli@x.test", goodPassword)
			w.limits.Add(1)
			for range 3 {
				if err := w.AskExport(ctx, who.AccountID); err != nil {
					t.Fatal(err)
				}
			}
			var l *limit.Limited
			if err := w.AskExport(ctx, who.AccountID); !errors.As(err, &l) || l.Retry < 7*time.Hour { // each has a mail
				t.Errorf("%v, %+v", err, l)
			}
			if _, err := w.queue.RunDue(ctx); err != nil {
				t.Fatal(err)
			}
			token := w.link("eli@x.test", "account/data/file")
			for i := range 6 {
				if _, err := w.OpenExport(ctx, who.AccountID, token); errors.Is(err, account.ErrLimited) != (i == 5) {
					t.Errorf("download %d: %v", i, err)
				}
			}
		})
	})
}
