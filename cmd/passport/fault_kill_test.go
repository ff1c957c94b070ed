//go:build fault && !e2e

package main

import (
	"math/rand/v2"
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

// grows makes rows old and lets a replica start anew: it purges at once (I12).
func (r *trial) grows(t *testing.T) {
	t.Helper()
	db := sqlOf(t, r.database)
	past := time.Now().Add(-2 * time.Hour).UnixMicro()
	for table := range aged {
		if table != "outbox" {
			exec1(t, db, `INSERT INTO used_once (kind, key, expires_at) VALUES ('test', $1, $2)`, []byte(table), past)
		}
	}
	exec1(t, db, `INSERT INTO interaction (id, kind, client_id, params, created_at, expires_at) VALUES ('\x00', 'authorize', 'shop', '', $1, $1)`, past)
	r.f.kill(r.f.replicas[0])
	r.f.start(r.f.replicas[0])
	eventually(t, "what is over is purged", func() bool {
		var n int
		return db.QueryRow(`SELECT count(*) FROM used_once WHERE kind = 'test'`).Scan(&n) == nil && n == 0
	})
	r.purged = true
}

// proves breaks what a finished run has left, once for each invariant: the checker must find it.
func (r *trial) proves() {
	r.t.Helper()
	db := sqlOf(r.t, r.database)
	now := time.Now().UnixMicro()
	for _, c := range []struct {
		finds string
		q     string
		args  []any
	}{
		{"I4", `UPDATE authorization_grant SET revoked_at = NULL`, nil},
		{"I3", `UPDATE authorization_grant SET refresh_generation = refresh_generation - 1 WHERE id = (SELECT grant_id FROM code WHERE used_at IS NOT NULL AND grant_id IN (SELECT id FROM authorization_grant WHERE refresh_generation = 3) LIMIT 1)`, nil},
		{"I5", `UPDATE code SET used_at = NULL WHERE sig = (SELECT sig FROM code WHERE used_at IS NOT NULL LIMIT 1)`, nil},
		{"I13", `UPDATE code SET created_at = created_at - 600000000`, nil},
		{"I15", `DELETE FROM audit WHERE id = (SELECT id FROM audit WHERE event = 'account.registered' LIMIT 1)`, nil},
		{"I9", `UPDATE address SET email = 'moved-' || email WHERE id = (SELECT d.id FROM address d JOIN account a ON a.id = d.account_id WHERE a.state = 'active' LIMIT 1)`, nil},
		{"I12", `INSERT INTO used_once (kind, key, expires_at) VALUES ('test', '\x00', $1)`, []any{now - 2*time.Hour.Microseconds()}},
		{"I16", `UPDATE signing_key SET active_at = created_at + 1`, nil},
		{"I1", `DELETE FROM access_token WHERE sig IN (SELECT sig FROM access_token LIMIT 5)`, nil},
		{"I6", `UPDATE account SET state = 'pending' WHERE id = (SELECT id FROM account WHERE state = 'active' LIMIT 1)`, nil},
	} {
		exec1(r.t, db, c.q, c.args...)
		if found := r.check(); !finds(found, c.finds) {
			r.t.Errorf("the checker does not find the broken %s: %v", c.finds, found)
		}
	}
	acts, err := readLedger(r.b.file.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range acts {
		if a.Op == "letter" && a.Link != "" && a.Outcome == acked {
			last := a
			for range 200 { // more than there were faults
				r.b.note(last)
			}
			break
		}
	}
	r.b.note(entry{Op: "register", Outcome: acked, Email: "nobody@example.test"})
	r.b.note(entry{Op: "confirm", Outcome: acked, Link: "x"})
	r.b.note(entry{Op: "confirm", Outcome: acked, Link: "x"})
	r.b.note(entry{Op: "forbidden", Outcome: acked, Said: "what is not theirs"})
	if _, err := r.f.replicas[0].log.WriteString(acts[0].Password); err != nil {
		r.t.Fatal(err)
	}
	found := r.check()
	for _, name := range []string{"I7", "I8", "I11", "I14", "I20"} {
		if !finds(found, name) {
			r.t.Errorf("the checker does not find the broken %s: %v", name, found)
		}
	}
}

// The rig proves itself: where codes do not stay spent it finds the double.
func TestFaultFindsTheDouble(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 1, database, database)
	if _, err := sqlOf(t, database).Exec(`CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.used_at := NULL; RETURN NEW; END $$;
		CREATE TRIGGER forget BEFORE UPDATE ON code FOR EACH ROW EXECUTE FUNCTION forget()`); err != nil {
		t.Fatal(err)
	}
	ada := r.person(1, r.f.base)
	registerAll(t, r, ada)
	r.b.act(entry{Op: "redeem", Code: ada.code}, func(e *entry) (int, error) {
		got, err := r.site.redeem(t.Context(), ada.code)
		e.Access, e.Next = got.Access, got.Refresh
		return got.Status, err
	})
	if found := r.check(); !finds(found, "I2") {
		t.Errorf("not found: %v", found)
	}
}
