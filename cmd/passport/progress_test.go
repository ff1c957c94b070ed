package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/storage"
)

// shown is how far the work is, and what was printed some time later.
type shown struct {
	after       time.Duration
	done, total int64
	want        string // all that was printed until then
}

// steps takes the steps, on a clock of their own, and ends.
func steps(t *testing.T, to *bytes.Buffer, note storage.Progress, stop func(), end string, all ...shown) {
	t.Helper()
	for _, s := range all {
		note(s.done, s.total)
		time.Sleep(s.after) // of the test's own clock
		synctest.Wait()
		if to.String() != s.want {
			t.Errorf("%d of %d, %s later: %q, want %q", s.done, s.total, s.after, to.String(), s.want)
		}
	}
	stop()
	time.Sleep(time.Hour)
	if to.String() != end {
		t.Errorf("in the end: %q, want %q", to.String(), end)
	}
}

// TestProgress: how far a long work is stands on standard error alone, so that --json stays JSON; each line is whole, and at a
// terminal nothing of it stays.
func TestProgress(t *testing.T) {
	t.Run("elsewhere a line every ten seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var out, lines bytes.Buffer
			cmd := &cobra.Command{}
			cmd.SetOut(&out)
			cmd.SetErr(&lines)
			note, stop := progress(cmd, "copied", size)
			const first = "0 KiB copied\n" // nothing is known of the whole
			const half = first + "[##########          ] 2.0 MiB of 4.0 MiB copied\n"
			const more = half + "[####################] 5.0 MiB of 4.0 MiB copied\n" // the whole has grown meanwhile
			steps(t, &lines, note, stop, more,
				shown{after: 9 * time.Second},
				shown{after: 2 * time.Second, want: first},
				shown{2 * time.Second, 2 << 20, 4 << 20, first},
				shown{8 * time.Second, 2 << 20, 4 << 20, half},
				shown{10 * time.Second, 5 << 20, 4 << 20, more})
			if out.Len() > 0 {
				t.Errorf("on standard output: %q", out.String())
			}
		})
	})
	t.Run("on a terminal one line each second, which goes in the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var line bytes.Buffer
			note, stop := report(&line, true, "restored", size)
			const clear = "\r\x1b[K"
			const first = clear + "[                    ] 0 KiB of 1.0 MiB restored"
			const whole = first + clear + "[####################] 1.0 MiB of 1.0 MiB restored"
			steps(t, &line, note, stop, whole+clear, shown{1500 * time.Millisecond, 0, 1 << 20, first}, shown{time.Second, 1 << 20, 1 << 20, whole})
		})
	})
	t.Run("what is over at once says nothing", func(t *testing.T) {
		var lines bytes.Buffer
		_, stop := report(&lines, false, "copied", size)
		stop()
		if lines.Len() > 0 {
			t.Errorf("%q", lines.String())
		}
	})
	t.Run("a file and a pipe are no terminal", func(t *testing.T) {
		file, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		defer to.Close()
		if terminal(file) || terminal(to) {
			t.Error("taken for one")
		}
	})
}
