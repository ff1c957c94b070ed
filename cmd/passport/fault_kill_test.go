//go:build fault && !e2e

package main

import (
	"database/sql"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F1: a random replica of three is killed each two seconds, under load. The others' requests do not fail, and the one that was
// killed is back in two seconds.
func TestFaultKilledReplicas(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 3, database, database)
	r.load(func() {
		for range long(t, 8, 60) {
			time.Sleep(2 * time.Second) // the fault's own rhythm
			one := r.f.replicas[rand.IntN(len(r.f.replicas))]
			r.f.kill(one)
			r.b.note(entry{Op: "fault", Outcome: acked, Said: "SIGKILL"})
			began := time.Now()
			r.f.start(one)
			r.back = max(r.back, time.Since(began))
		}
	})
	r.grows(t)
	r.judge("F1 a random replica of three killed every 2 s")
	r.proves()
}

// grows makes rows of every table old and lets a replica start anew: it purges at once (I12).
func (r *trial) grows(t *testing.T) {
	t.Helper()
	db := sqlOf(t, r.database)
	r.ages(t, db)
	r.f.kill(r.f.replicas[0])
	r.f.start(r.f.replicas[0])
	eventually(t, "what is over is purged", func() bool { return len(over(t, db)) == 0 })
	r.purged = true
}

// ages makes a row in each table that has been over for two hours longer than such rows are kept.
func (r *trial) ages(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, a := range aged {
		if n := exec1(t, db, a.old, time.Now().Add(-2*time.Hour).UnixMicro()-a.kept); n != 1 {
			t.Fatalf("%d old rows of %s", n, a.table)
		}
	}
}

// over are the tables with rows that have been over for an hour longer than they are kept.
func over(t *testing.T, db *sql.DB) (tables []string) {
	t.Helper()
	for _, a := range aged {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM `+a.table+` WHERE `+a.over, time.Now().Add(-time.Hour).UnixMicro()-a.kept).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			tables = append(tables, a.table)
		}
	}
	return tables
}

// proves breaks what a finished run has left, for each invariant, and the checker must find all of it; of I17 to I19, what counts
// requests. What only people's own records can show (I7, I8, I14, I20) is broken in the ledger. I2 has a run of its own.
func (r *trial) proves() {
	r.t.Helper()
	db := sqlOf(r.t, r.database)
	r.provesRequests(db)
	acts, err := readLedger(r.b.file.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	sure := slices.DeleteFunc(slices.Clone(acts), func(a entry) bool { // confirmations that nobody tried to cancel
		return a.Op != "confirm" || a.Outcome != acked || slices.ContainsFunc(acts, func(b entry) bool { return b.Op == "cancel" && b.Email == a.Email })
	})
	moved, gone := sure[0].Email, sure[1].Email
	moves := slices.IndexFunc(acts, func(a entry) bool { return a.Op == "move" && a.Outcome == acked })
	if moves < 0 {
		r.t.Fatal("nobody has another address")
	}
	finds := []string{"I7: register", "I7: recover", "I8: letter", "I8: 1 different letters to " + gone, "I11:", "I14:", "I20:"}
	for _, c := range []struct {
		finds string
		q     string
	}{
		{"I1: act", `DELETE FROM access_token WHERE sig IN (SELECT sig FROM access_token WHERE grant_id IN (SELECT id FROM authorization_grant WHERE revoked_at IS NULL) LIMIT 5)`},
		{"I1: ID token", `UPDATE account SET sub = 'another' WHERE id = (SELECT account_id FROM address WHERE proven_at IS NOT NULL AND email = '` + r.known + `')`},
		{"I3: a family stepped", `UPDATE authorization_grant SET refresh_generation = refresh_generation - 1 WHERE id = (SELECT id FROM authorization_grant WHERE refresh_generation = 3 LIMIT 1)`},
		{"I4: act", `UPDATE authorization_grant SET revoked_at = NULL`},
		{"I5: codes that gave", `UPDATE code SET used_at = NULL WHERE sig = (SELECT c.sig FROM code c JOIN access_token t ON t.grant_id = c.grant_id WHERE c.used_at IS NOT NULL LIMIT 1)`},
		{"I6: the confirmed account of " + gone, `UPDATE account SET state = 'pending' WHERE id = (SELECT account_id FROM address WHERE email = '` + gone + `')`},
		{"I6: the account of " + acts[moves].Said + " has not moved", `UPDATE address SET proven_at = NULL WHERE email = '` + acts[moves].Email + `'`},
		{"I9: the registration of " + moved, `UPDATE address SET email = 'moved' WHERE email = '` + moved + `'`},
		// The schema has an index against each of these.
		{"I10: proven addresses", `DROP INDEX address_proven; UPDATE address SET canonical = 'twice' WHERE id IN (SELECT id FROM address WHERE proven_at IS NOT NULL LIMIT 2)`},
		{"I10: subs", `ALTER TABLE account DROP CONSTRAINT account_sub_key; UPDATE account SET sub = 'twice' WHERE id IN (SELECT id FROM account LIMIT 2)`},
		{"I10: accounts with two passwords", `DROP INDEX credential_password;
			INSERT INTO credential (id, account_id, kind, secret, created_at) SELECT 'twice', account_id, kind, secret, created_at FROM credential LIMIT 1`},
		{"I10: the same in one browser", `DROP INDEX login_live; INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at)
			SELECT 'twice', browser_id, account_id, auth_time, amr, acr, created_at FROM login WHERE ended_at IS NULL LIMIT 1`},
		{"I13:", `UPDATE authorization_grant SET created_at = created_at - 600000000`},
		{"I15: 1 events have a smaller id", `UPDATE audit SET id = '0' WHERE id = (SELECT id FROM audit WHERE event = 'account.cancelled' LIMIT 1)`},
		{"I15: the events of 2 registrations", `DELETE FROM audit WHERE id = (SELECT audit.id FROM audit JOIN account ON account.id = subject WHERE event = 'account.registered' LIMIT 1)`},
		{"I16:", `UPDATE signing_key SET active_at = created_at + 1`},
	} {
		exec1(r.t, db, c.q)
		finds = append(finds, c.finds)
	}
	// The replicas purge, and must not while this is looked at.
	exec1(r.t, db, `CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
	for _, a := range aged {
		exec1(r.t, db, `CREATE TRIGGER stays BEFORE DELETE ON `+a.table+` FOR EACH ROW EXECUTE FUNCTION stays()`)
	}
	r.ages(r.t, db) // an account that nobody has registered is among them
	for _, a := range aged {
		finds = append(finds, "I12: 1 rows of "+a.table+" ")
	}
	for _, a := range acts {
		if a.Op == "letter" && a.Link != "" && a.Outcome == acked {
			for range 200 { // more than there were faults
				r.b.note(a)
			}
			break
		}
	}
	r.b.note(entry{Op: "register", Outcome: acked, Email: "nobody@example.test"})
	r.b.note(entry{Op: "recover", Outcome: acked, Email: moved})
	r.b.note(entry{Op: "letter", Outcome: acked, Email: gone, ID: "another", Link: "x", Said: letterOf["recover"]})
	r.b.note(entry{Op: "confirm", Outcome: acked, Link: "x"})
	r.b.note(entry{Op: "confirm", Outcome: acked, Link: "x"})
	r.b.note(entry{Op: "forbidden", Outcome: acked, Said: "what is not theirs"})
	if _, err := r.f.replicas[0].log.WriteString(sure[0].Link); err != nil {
		r.t.Fatal(err)
	}
	found := r.check()
	for _, what := range finds {
		if !begins(found, what) {
			r.t.Errorf("the checker does not find the broken %s", what)
		}
	}
}

// provesRequests does so for I17 to I19: the recovery of a known address fails, another's does not; a request fails without a
// reason; a replica does not serve all.
func (r *trial) provesRequests(db *sql.DB) {
	r.t.Helper()
	exec1(r.t, db, `CREATE FUNCTION known() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken by the test'; END $$`)
	found := r.alike(r.t, func() {
		exec1(r.t, db, `CREATE TRIGGER known BEFORE INSERT ON account_link FOR EACH ROW WHEN (NEW.account_id IS NOT NULL) EXECUTE FUNCTION known()`)
	})
	exec1(r.t, db, `DROP TRIGGER known ON account_link`)
	if !begins(found, "I17: /recover tells") {
		r.t.Errorf("the broken I17 is not found: %v", found)
	}
	r.f.mu.Lock()
	calls := r.f.calls
	r.f.calls = append(r.f.calls[:len(calls):len(calls)], call{route: "GET /broken", began: r.ended, end: r.ended, status: 500})
	r.f.mu.Unlock()
	if own, _, _, _ := r.failures(); len(own) != 1 {
		r.t.Errorf("the broken I18 is not found: %v", own)
	}
	r.f.mu.Lock()
	r.f.calls = slices.DeleteFunc(slices.Clone(calls), func(c call) bool { return c.replica == 1 && c.route == "POST /confirm" })
	r.f.mu.Unlock()
	if missing := r.unserved(); len(missing) != 1 {
		r.t.Errorf("the broken I19 is not found: %v", missing)
	}
	r.f.mu.Lock()
	r.f.calls = calls
	r.f.mu.Unlock()
}

// The rig proves itself: eight come with one code at the same moment. One of them is served; in a program that spends a code
// without asking whether it is spent there are more, and the checker finds it.
func TestFaultFindsTheDouble(t *testing.T) {
	beside(t)
	for name, is := range map[string]struct{ broken, sealed bool }{"one with the condition": {}, "more without it": {broken: true},
		"one sealed with the condition": {sealed: true}, "more sealed without it": {true, true}} {
		t.Run(name, func(t *testing.T) {
			broken := is.broken
			database := storagetest.Postgres(t)
			r := newTrial(t, 1, database, database)
			if broken {
				r.f.kill(r.f.replicas[0])
				r.f.start(r.f.replicas[0], "PASSPORT_FAULT_TWICE=yes")
			}
			ada := r.person(1, r.f.base)
			registerAll(t, r, ada)
			r.site.asks = !is.sealed // else she has allowed it, and is asked nothing
			served := int64(1)
			for range 20 { // one code, one chance
				if served = r.together(t, ada); served != 1 {
					break
				}
			}
			if found := r.check(); finds(found, "I2") != broken || served > 1 != broken {
				t.Errorf("%d were served: %v", served, found)
			}
		})
	}
}

// together redeems one code eight times at the same moment, and tells how many were served.
func (r *trial) together(t *testing.T, p *person) int64 {
	t.Helper()
	code, err := r.site.authorize(t.Context(), p.visitor)
	if err != nil || sealed(code) == r.site.asks {
		t.Fatalf("%v %s", err, code)
	}
	var all sync.WaitGroup
	var served atomic.Int64
	for range 8 {
		all.Go(func() {
			if r.b.act(entry{Op: "redeem", Code: code, Email: p.email}, func(e *entry) (int, error) {
				got, err := r.site.redeem(t.Context(), code)
				e.Access, e.Next = got.Access, got.Refresh
				return got.Status, err
			}) {
				served.Add(1)
			}
		})
	}
	all.Wait()
	return served.Load()
}
