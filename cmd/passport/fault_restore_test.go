//go:build fault && !e2e

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// A copy is made under load, and some time later the database is lost, with all servers. What was acknowledged before the copy was begun
// is in the database that is made of it, and nothing that was given out before lives, of before the copy or after it. The time to
// recover goes from the order to restore to the first ready replica.
func TestFaultRestore(t *testing.T) {
	beside(t)
	for name, at := range map[string]func(testing.TB) string{
		"SQLite":     func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "passport.db") },
		"PostgreSQL": func(t testing.TB) string { return storagetest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			lost, made := at(t), at(t)
			r := newTrial(t, 1, lost, lost)
			file := filepath.Join(t.TempDir(), "copy")
			var copying time.Duration
			r.load(func() {
				whole := r.whole.Load()
				eventuallyIn(t, mailed, "people have gone their ways", func() bool { return r.whole.Load() >= whole+long[int64](t, 10, 200) })
				begins := time.Now()
				r.copied = begins.UnixMicro()
				if code, _, said := called(t, production(lost), "backup", file); code != 0 {
					t.Fatalf("backup: %d %s", code, said)
				}
				copying = time.Since(begins)
				whole = r.whole.Load()
				eventuallyIn(t, mailed, "people go on", func() bool { return r.whole.Load() >= whole+5 })
			})
			one := r.f.replicas[0]
			r.f.kill(one)
			begins := time.Now()
			if code, _, said := called(t, production(made), "restore", file); code != 0 {
				t.Fatalf("restore: %d %s", code, said)
			}
			r.f.start(one, "PASSPORT_DATABASE="+made)
			back := time.Since(begins)
			r.database = made
			speed := float64(r.begun.Load()) / r.ended.Sub(r.began).Seconds()
			r.judged(name+" lost, restored from a copy", fmt.Sprintf("%d people, %.1f/s, while it was copied, in %s", r.people, speed, copying.Round(10*time.Millisecond)), back)
			r.provesRestore(t)
		})
	}
}

// provesRestore breaks what was restored, and the checker must find it.
func (r *trial) provesRestore(t *testing.T) {
	t.Helper()
	db := sqlOf(t, r.database)
	sure := slices.DeleteFunc(r.acts(t), func(a entry) bool { return a.Op != "confirm" || a.Outcome != acked || a.End >= r.copied })
	for _, c := range []struct{ finds, q string }{
		{"I6: the confirmed account of " + sure[0].Email, `UPDATE account SET state = 'pending' WHERE id = (SELECT account_id FROM address WHERE email = '` + sure[0].Email + `')`},
		{"I9: ", `UPDATE address SET email = '` + r.cancelled(t) + `' WHERE email = '` + sure[1].Email + `'`},
		{"I4: a grant", `UPDATE authorization_grant SET revoked_at = NULL`},
	} {
		exec1(t, db, c.q)
		if found := r.check(); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, c.finds) }) {
			t.Errorf("the checker finds no %s: %v", c.finds, found)
		}
	}
}

func (r *trial) acts(t *testing.T) []entry {
	t.Helper()
	acts, err := readLedger(r.b.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return acts
}

// cancelled is an address whose registration was cancelled before the copy.
func (r *trial) cancelled(t *testing.T) string {
	t.Helper()
	for _, a := range r.acts(t) {
		if a.Op == "cancel" && a.Outcome == acked && a.End < r.copied {
			return a.Email
		}
	}
	t.Fatal("nobody has cancelled")
	return ""
}

// restored holds a database that was made of a copy to I4, I6, I9 and I10, as of when the copy was begun.
func (j *judge) restored() {
	j.dead()
	j.acts = slices.DeleteFunc(j.acts, func(a entry) bool { return a.End == 0 || a.End >= j.Copied })
	j.accounts()
	j.unique()
	var confirmed []entry
	for _, a := range j.acts {
		switch {
		case a.Op == "cancel" && a.Outcome == acked && j.count(`SELECT count(*) FROM address WHERE email = $1`, a.Email) != 0:
			j.wrong("I9: %s, who cancelled, is there", a.Email)
		case a.Op == "confirm" && a.Outcome == acked && !strings.HasPrefix(a.Email, "p0-"):
			confirmed = append(confirmed, a)
		}
	}
	j.signIn(confirmed)
}

// dead: nothing that was given out before a restore lives after it.
func (j *judge) dead() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	j.site.base = func() string { return j.Replicas[0] }
	j.none(map[string]string{
		"I4: a grant of before lives":         `SELECT count(*) FROM authorization_grant WHERE revoked_at IS NULL`,
		"I4: a sign-in of before lives":       `SELECT count(*) FROM login WHERE ended_at IS NULL`,
		"I4: a mailed link of before lives":   `SELECT count(*) FROM mail_token WHERE used_at IS NULL`,
		"I4: an access token of before lives": `SELECT count(*) FROM access_token WHERE revoked_at IS NULL`,
	})
	for _, a := range j.acts {
		var got answer
		var err error
		switch {
		case a.Op == "authorize" && a.Outcome == acked: // redeemed or not: none is good
			got, err = j.site.redeem(ctx, a.Code)
		case a.Next != "":
			got, err = j.site.refresh(ctx, a.Next)
		default:
			continue
		}
		if err != nil || got.Status != 400 || got.Access != "" {
			j.wrong("I4: what act %d gave is answered with %d %v", a.N, got.Status, err)
		}
		if a.Access == "" {
			continue
		}
		if told, err := j.site.introspect(ctx, a.Access); err != nil || told.Status != 200 || told.Active {
			j.wrong("I4: the access token of act %d: %+v %v", a.N, told, err)
		}
	}
}

// signIn: of those who had confirmed a few sign in.
func (j *judge) signIn(confirmed []entry) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	passwords := j.passwords()
	for i := 0; i < len(confirmed); i += 1 + len(confirmed)/3 {
		v := newVisitor(func() string { return j.Replicas[0] }, confirmed[i].Email, passwords[confirmed[i].Email])
		if v.pass == "" {
			continue
		}
		if err := v.login(ctx); err != nil {
			j.wrong("I6: %s cannot sign in: %v", v.email, err)
		}
	}
}
