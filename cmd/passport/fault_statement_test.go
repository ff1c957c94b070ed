//go:build fault && !e2e

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/storage/storagetest"
)

// F6: a trigger refuses what is inserted into one table after the other. Nothing of such a request stays, and it is answered
// with an error.
func TestFaultRefusedRows(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 2, database, database)
	db := sqlOf(t, database)
	exec1(t, db, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$`)
	r.load(func() {
		for range long(t, 1, 10) {
			for _, table := range []string{"account", "address", "credential", "mail_token", "outbox", "audit", "interaction",
				"browser", "session_secret", "login", "consent", "authorization_grant", "code", "access_token", "login_client"} {
				before := r.failed()
				r.during("no row into "+table, func() {
					exec1(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON `+table+` FOR EACH ROW EXECUTE FUNCTION refuse()`)
					eventually(t, "a request fails for a row of "+table, func() bool { return r.failed() > before })
					exec1(t, db, `DROP TRIGGER refuse ON `+table)
				})
				whole := r.whole.Load()
				eventually(t, "people go their ways again", func() bool { return r.whole.Load() > whole })
			}
		}
	})
	r.refuses(t, db)
	r.judge("F6 no row can be written into one table after the other")
}

// refuses is F6 for tables that nobody's way comes to: who asks gets an error, and neither a row, a mail nor an event is there. Without
// the trigger the same makes a row.
func (r *trial) refuses(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := t.Context()
	ada := r.person(r.begun.Add(1), r.f.base)
	registerAll(t, r, ada)
	form := func(page, button string, fields ...string) func() bool {
		return func() bool {
			p, err := ada.get(ctx, page)
			if err == nil {
				p, err = ada.submit(ctx, p, button, fields...)
			}
			return err == nil && p.status == 200
		}
	}
	command := func(args ...string) func() bool {
		return func() bool {
			code, _, _ := called(t, r.f.replicas[0].env, args...)
			return code == 0
		}
	}
	television, automaton := r.television(t), r.automaton(t)
	for table, does := range map[string]func() bool{
		"account_link": func() bool {
			return ada.try(entry{Op: "recover", Email: ada.email}, func(*entry) (int, error) {
				return 200, ada.fill(ctx, "/recover", "recover-submit", "email", ada.email)
			})
		},
		"recovery_request": form("/recover/request", "request-submit", "account", ada.email, "reach", r.known),
		"data_export":      form("/account/data", "data-submit"),
		"device_code": func() bool {
			a, err := television.post(ctx, "/device_authorization", url.Values{"scope": {"openid"}})
			return err == nil && a.Status == 200
		},
		"used_once": func() bool {
			a, err := automaton.credentials(ctx, automaton.assertion(t))
			return err == nil && a.Access != ""
		},
		"invitation":         command("invitation", "create"),
		"registration_token": command("client", "registration-token", "create"),
	} {
		r.drained(patience)
		rows := func() (n [3]int64) {
			for i, of := range []string{table, "outbox", "audit"} {
				if err := db.QueryRow(`SELECT count(*) FROM ` + of).Scan(&n[i]); err != nil {
					t.Fatal(err)
				}
			}
			return n
		}
		before := rows()
		r.during("no row into "+table, func() {
			exec1(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON `+table+` FOR EACH ROW EXECUTE FUNCTION refuse()`)
			if does() {
				t.Errorf("%s: a success without its row", table)
			}
			exec1(t, db, `DROP TRIGGER refuse ON `+table)
		})
		if after := rows(); after != before {
			t.Errorf("%s: of it, mails and events there were %v, and are %v", table, before, after)
		}
		if !does() || rows()[0] <= before[0] {
			t.Errorf("%s: no row without the trigger", table)
		}
	}
}

// television is a site that asks for devices.
func (r *trial) television(t *testing.T) relying {
	t.Helper()
	code, out, stderr := called(t, r.f.replicas[0].env, "client", "create", "--client-id", "television", "--name", "Television", "--json",
		"--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--scope", "openid")
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	site := r.site
	site.id, site.secret = "television", made.Secret
	return site
}

// automaton is a site that signs who it is (private_key_jwt, RFC 7523).
type automaton struct {
	relying
	key *ecdsa.PrivateKey
}

func (r *trial) automaton(t *testing.T) automaton {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{"client_id": "automaton", "client_name": "Automaton", "grant_types": []string{"client_credentials"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}}})
	file := filepath.Join(t.TempDir(), "client.json")
	if err == nil {
		err = os.WriteFile(file, doc, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := called(t, r.f.replicas[0].env, "client", "create", "--file", file); code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	site := r.site
	site.id, site.secret = "", "" // no Basic
	return automaton{site, key}
}

// assertion is good for a minute, and once.
func (a automaton) assertion(t *testing.T) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: a.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": "automaton", "sub": "automaton", "aud": visited, "jti": rand.Text(), "iat": now, "exp": now + 60})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (a automaton) credentials(ctx context.Context, assertion string) (answer, error) {
	return a.post(ctx, "/token", url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
}

func (r *trial) failed() int {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	n := 0
	for _, c := range r.f.calls {
		if c.failed() {
			n++
		}
	}
	return n
}

// F2: the program dies at each of its crash points, at one passage after the other of a person's way. The person, or the site,
// tries again what had no answer, and comes to an end that is documented.
func TestFaultCrashPoints(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 1, database, database)
	one := r.f.replicas[0]
	r.began = time.Now()
	deaths := 0
	for _, point := range []struct {
		name  string
		least int // passages of a way
	}{{"storage.commit", 8}, {"storage.committed", 8}, {"web.answer", 12}, {"account.registered", 1}, {"outbox.leased", 1}, {"outbox.sent", 1}} {
		r.struck = 0
		// One passage after the other until a way comes to its end without; in the short run each third.
		for n := 1; ; n += long(t, 3, 1) {
			background := strings.HasPrefix(point.name, "outbox.") // its passages are not the way's alone
			if background {
				r.idle()
			}
			r.f.kill(one)
			r.f.start(one, fmt.Sprintf("PASSPORT_FAULT=%s:%d", point.name, n))
			r.way(t, one)
			if !one.dead() && !r.revived {
				if n <= point.least {
					t.Errorf("%s:%d: nobody passes there", point.name, n)
				}
				break
			}
			if one.dead() { // after all was done
				r.f.mark(one, false)
				r.f.start(one)
			}
			deaths++
			if background {
				break
			}
		}
		if r.struck == 0 && (strings.HasPrefix(point.name, "storage.") || point.name == "web.answer" && long(t, false, true)) {
			t.Errorf("%s: the program never died while a sealed code was redeemed", point.name)
		}
	}
	r.ended = time.Now()
	r.drained(patience)
	r.judged("F2 the program dies at a crash point", fmt.Sprintf("%d deaths, one person at a time: register, confirm, sign on, refresh, revoke, another address, recover", deaths), 0)
}

// way is a person's way through a program that may die: what has no answer is done again when it is back.
func (r *trial) way(t *testing.T, one *replica) {
	t.Helper()
	ctx := t.Context()
	r.revived = false
	p := r.person(r.begun.Add(1), r.f.base)
	p.again = func(e entry) bool {
		if e.Op == "redeem" && sealed(e.Code) {
			r.struck++
		}
		eventually(t, "who gave no answer is dead", one.dead)
		r.f.mark(one, false)
		r.f.excuse()
		r.b.note(entry{Op: "fault", Outcome: acked, Said: "crash point"})
		r.f.start(one)
		r.revived = true
		if kind := letterOf[e.Op]; kind != "" && e.Op != "register" { // it may have been promised, and the next one replaces it
			r.drained(patience)
			p.stale, _ = p.box.link(e.Email, kind, 0)
		}
		return true
	}
	p.try(entry{Op: "register", Email: p.email, Password: p.pass}, func(*entry) (int, error) { return 200, p.register(ctx) })
	p.waits = func() {
		if one.dead() {
			p.again(entry{})
		}
	}
	link, ok := p.link(p.email, "register")
	if !ok {
		t.Fatal("no mail")
	}
	p.act(ctx, "confirm", link, p.confirm)
	// A code whose redemption had no answer is spent, or void: people sign on again. So does who cannot refresh.
	// The first time they are asked for consent, the second they have a code that is sealed.
	signed := false
	for range 2 {
		if signed = p.signsOn(ctx); !signed {
			signed = p.signsOn(ctx)
		}
	}
	if signed && !sealed(p.code) {
		t.Errorf("%s signed on a second time with a code that is not sealed", p.email)
	}
	for range 2 {
		if signed && !p.refreshes(ctx) {
			signed = p.signsOn(ctx)
		}
	}
	if !signed {
		t.Errorf("%s cannot sign on any more", p.email)
		return
	}
	access, refresh := p.got.Access, p.got.Refresh
	if !p.try(entry{Op: "revoke", Refresh: refresh, Code: p.code}, func(*entry) (int, error) {
		a, err := p.site.revoke(ctx, refresh)
		return a.Status, err
	}) {
		t.Errorf("%s cannot revoke", p.email)
	}
	p.dead(ctx, access, refresh)
	if !p.moves(ctx) && !r.revived {
		t.Errorf("%s cannot have another address", p.email)
	}
	p.forgets(ctx, access, refresh)
	r.whole.Add(1)
}

// F2, the schema: the program dies after a migration, on an empty database. The next start goes on where it stopped, and comes to
// the schema of a database that nothing happened to.
func TestFaultMigration(t *testing.T) {
	beside(t)
	for name, c := range map[string]struct {
		fresh  func() string
		schema string
	}{
		"PostgreSQL": {func() string { return storagetest.Postgres(t) }, `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
			FROM information_schema.columns WHERE table_schema = 'public' UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`},
		"SQLite": {func() string { return "sqlite:" + filepath.Join(t.TempDir(), "passport.db") }, `SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1`},
	} {
		t.Run(name, func(t *testing.T) {
			whole := c.fresh()
			f := newFleet(t, 1, production(whole))
			want := lines(t, whole, c.schema)
			steps, one := applied(t, whole), f.replicas[0]
			for _, step := range long(t, []int{3}, []int{1, 2, 3, 4, 5, 6, 7, 8, steps}) {
				f.kill(one)
				database := c.fresh()
				one.env = append(one.env, "PASSPORT_DATABASE="+database)
				f.launch(one, fmt.Sprintf("PASSPORT_FAULT=storage.migrated:%d", step))
				eventually(t, "the program dies", one.dead)
				if n := applied(t, database); n != step {
					t.Errorf("%d migrations of %d are applied after the %dth", n, steps, step)
				}
				f.start(one)
				if n, got := applied(t, database), lines(t, database, c.schema); n != steps || !slices.Equal(got, want) {
					t.Errorf("after the %dth: %d migrations, %d lines of a schema that has %d", step, n, len(got), len(want))
				}
			}
		})
	}
}

func applied(t *testing.T, database string) int {
	t.Helper()
	return len(lines(t, database, `SELECT CAST(version_id AS text) FROM goose_db_version WHERE is_applied AND version_id > 0`))
}

// lines are the rows of a query with one column.
func lines(t *testing.T, database, q string) (list []string) {
	t.Helper()
	rows, err := sqlOf(t, database).Query(q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		list = append(list, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
