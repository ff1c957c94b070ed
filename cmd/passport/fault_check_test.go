//go:build fault && !e2e

package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the checker's own way to the database
)

// The checker is this test binary, run anew: it uses none of our packages, and SQL of its own. It holds what a run has left to
// I1 to I17 and I20 of the rig's invariants, as far as the ledger, the database and the running replicas can tell; I18 and I19
// are counted where the requests are made.
const checkWorld = "PASSPORT_FAULT_CHECK"

// world is what the checker is told.
type world struct {
	Ledger, Database string
	Replicas         []string // that run
	Client, Secret   string
	Folders          []string // to be searched for secrets
	Hidden           []string // more of them
	Purged           bool     // purges have run since rows went old (I12)
	Drained          bool     // no mail waits (I7)
	KeySetMaxAge     int64    // µs
	Copied           int64    // when the copy was begun that the database was made of, in µs; 0: of none
}

// judge is the checker at work.
type judge struct {
	world
	db    *sql.DB
	site  relying
	acts  []entry
	found []string

	revoked map[string]bool // codes whose grants are revoked, or may be
	jumping map[int64]bool  // acts while a replica's clock had jumped, and it might not have noticed yet: their times are wrong
	early   map[string]bool // codes that were issued then: of an hour ago, so that they may be purged at once
}

// checker judges, and prints a line for each thing that must not be.
func checker(question string) int {
	j := &judge{revoked: map[string]bool{}, jumping: map[int64]bool{}, early: map[string]bool{}}
	err := json.Unmarshal([]byte(question), &j.world)
	if err == nil {
		j.acts, err = readLedger(j.Ledger)
	}
	if err == nil {
		driver, dsn := "pgx", j.Database
		if file, ok := strings.CutPrefix(j.Database, "sqlite:"); ok {
			driver, dsn = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)"
		}
		j.db, err = sql.Open(driver, dsn)
	}
	if err != nil {
		fmt.Println("checker:", err)
		return 2
	}
	defer j.db.Close()
	j.site = relying{id: j.Client, secret: j.Secret}
	for i, from := range j.acts { // by time: an act may have begun before the jump, and met it
		if from.Op != "jump" || from.Said != "begins" {
			continue
		}
		noticed := slices.IndexFunc(j.acts[i:], func(a entry) bool { return a.Op == "jump" && a.Said != "begins" })
		for _, a := range j.acts {
			if (a.End == 0 || a.End >= from.At) && (noticed < 0 || a.At <= j.acts[i+noticed].At) {
				j.jumping[a.N] = true
				if a.Op == "authorize" {
					j.early[a.Code] = true
				}
			}
		}
	}
	for _, a := range j.acts {
		switch {
		case a.Op == "revoke" && a.Outcome != refused, a.Op == "replay":
			j.revoked[a.Code] = true
		case a.Op == "password" && a.Outcome != refused: // all that the account had
			for _, b := range j.acts {
				if b.Email == a.Email {
					j.revoked[b.Code] = true
				}
			}
		}
	}
	rules := []func(){j.tokens, j.families, j.revocations, j.rows, j.unique, j.accounts, j.letters, j.registrations, j.events,
		j.times, j.keys, j.secrets, j.access, j.asked}
	if j.Copied != 0 {
		rules = []func(){j.restored}
	}
	for _, rule := range rules {
		rule()
	}
	slices.Sort(j.found)
	for _, f := range j.found {
		fmt.Println(f)
	}
	return min(len(j.found), 1)
}

func (j *judge) wrong(format string, args ...any) {
	j.found = append(j.found, fmt.Sprintf(format, args...))
}

func (j *judge) count(q string, args ...any) int64 {
	var n int64
	if err := j.db.QueryRow(q, args...).Scan(&n); err != nil {
		j.wrong("checker: %v: %s", err, q)
	}
	return n
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// grantOf is the id of the grant that a code stands for, which a sealed one begins with (oidc/engine/seal.go); none: there is no such grant.
func (j *judge) grantOf(code string) string {
	q, key := `SELECT coalesce(max(grant_id), '') FROM code WHERE sig = $1`, any(sum(code))
	if sealed(code) {
		b, err := base64.RawURLEncoding.DecodeString(code[5:])
		if err != nil || len(b) < 16 {
			j.wrong("checker: a sealed code without an id: %v", err)
			return ""
		}
		q, key = `SELECT coalesce(max(id), '') FROM authorization_grant WHERE id = $1`, uuid.UUID(b[:16]).String()
	}
	var id string
	if err := j.db.QueryRow(q, key).Scan(&id); err != nil {
		j.wrong("checker: %v: %s", err, q)
	}
	return id
}

// subOf is the sub of who has proven an address; none: nobody has.
func (j *judge) subOf(email string) string {
	q := `SELECT coalesce(max(a.sub), '') FROM account a JOIN address d ON d.account_id = a.id WHERE d.email = $1 AND d.proven_at IS NOT NULL`
	var sub string
	if err := j.db.QueryRow(q, email).Scan(&sub); err != nil {
		j.wrong("checker: %v: %s", err, q)
	}
	return sub
}

// tokens is I1: what was given is there, and tells of who signed in.
func (j *judge) tokens() {
	for _, a := range j.acts {
		if a.Outcome != acked || a.Op != "redeem" && a.Op != "refresh" || j.revoked[a.Code] || j.jumping[a.N] {
			continue
		}
		if j.count(`SELECT count(*) FROM access_token t JOIN authorization_grant g ON g.id = t.grant_id
			WHERE t.sig = $1 AND t.revoked_at IS NULL AND g.revoked_at IS NULL`, sum(a.Access)) != 1 {
			j.wrong("I1: act %d gave an access token that is not there", a.N)
		}
		var claims struct{ Sub string }
		if claim(a.ID, &claims) && claims.Sub != j.subOf(a.Email) {
			j.wrong("I1: ID token of %s, who is another: act %d", claims.Sub, a.N)
		}
	}
}

// families are I2 and I3: a code is redeemed once, and a family has stepped as often as was acknowledged.
func (j *judge) families() {
	redeemed, stepped, maybe := map[string]int{}, map[string]int64{}, map[string]int64{}
	gave := map[string]string{}
	for _, a := range j.acts {
		switch {
		case a.Op == "redeem" && a.Outcome == acked:
			redeemed[a.Code]++
		case a.Op == "refresh" && a.Outcome == acked:
			stepped[a.Code]++
			if before, ok := gave[a.Refresh]; ok && before != a.Next {
				j.wrong("I3: act %d: one refresh token has two successors", a.N)
			}
			gave[a.Refresh] = a.Next
		case a.Op == "refresh" && a.Outcome != refused:
			maybe[a.Code]++
		}
	}
	for code, times := range redeemed {
		if times > 1 {
			j.wrong("I2: a code was redeemed %d times", times)
		}
		id := j.grantOf(code)
		if j.early[code] && id == "" {
			continue
		}
		at := j.count(`SELECT coalesce(max(refresh_generation), 0) FROM authorization_grant WHERE id = $1`, id) - 1
		if at < stepped[code] || at > stepped[code]+maybe[code] {
			j.wrong("I3: a family stepped %d times; %d were acknowledged, of %d nobody knows", at, stepped[code], maybe[code])
		}
	}
}

// revocations is I4: what was revoked stays so. A code that came twice revokes what it gave.
func (j *judge) revocations() {
	for _, a := range j.acts {
		switch {
		case (a.Op == "revoke" || a.Op == "password") && a.Outcome == acked, a.Op == "replay" && a.Outcome == refused:
			if j.count(`SELECT count(*) FROM authorization_grant WHERE id = $1 AND revoked_at IS NULL`, j.grantOf(a.Code)) != 0 {
				j.wrong("I4: act %d revoked a grant that lives", a.N)
			}
		case a.Op == "logout" && a.Outcome == acked:
			if j.count(`SELECT count(*) FROM login l JOIN address d ON d.account_id = l.account_id WHERE d.email = $1 AND l.ended_at IS NULL`, a.Email) != 0 {
				j.wrong("I4: act %d ended a session that lives", a.N)
			}
		}
	}
}

// unique is I10: what no two rows may be.
func (j *judge) unique() {
	j.none(map[string]string{
		"I10: proven addresses that are there twice": `SELECT count(*) - count(DISTINCT canonical) FROM address WHERE proven_at IS NOT NULL`,
		"I10: subs that are there twice":             `SELECT count(*) - count(DISTINCT sub) FROM account`,
		"I10: accounts with two passwords":           `SELECT count(*) - count(DISTINCT account_id) FROM credential WHERE kind = 'password'`,
		"I10: clients that are there twice":          `SELECT count(*) - count(DISTINCT client_id) FROM client`,
		"I10: the same in one browser twice":         `SELECT count(*) FROM (SELECT 1 FROM login WHERE ended_at IS NULL GROUP BY browser_id, account_id HAVING count(*) > 1) AS twice`,
	})
}

// none: there is nothing that any of these counts.
func (j *judge) none(counts map[string]string) {
	for what, q := range counts {
		if n := j.count(q); n != 0 {
			j.wrong("%s: %d", what, n)
		}
	}
}

// rows is I5.
func (j *judge) rows() {
	j.none(map[string]string{
		"I5: access tokens of a person without a grant": `SELECT count(*) FROM access_token t LEFT JOIN authorization_grant g ON g.id = t.grant_id WHERE t.grant_id IS NOT NULL AND g.id IS NULL`,
		"I5: spent codes that gave nothing":             `SELECT count(*) FROM code c WHERE c.used_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM access_token t WHERE t.grant_id = c.grant_id)`,
		"I5: codes that gave and are not spent":         `SELECT count(*) FROM code c WHERE c.used_at IS NULL AND EXISTS (SELECT 1 FROM access_token t WHERE t.grant_id = c.grant_id)`,
		"I5: active accounts without a proven address":  `SELECT count(*) FROM account a WHERE a.state = 'active' AND NOT EXISTS (SELECT 1 FROM address d WHERE d.account_id = a.id AND d.proven_at IS NOT NULL)`,
		"I5: active accounts whose link is not spent": `SELECT count(*) FROM account a WHERE a.state = 'active' AND EXISTS
			(SELECT 1 FROM mail_token m WHERE m.account_id = a.id AND m.purpose = 'confirm' AND m.used_at IS NULL)`,
		"I5: registrations without address, password or link": `SELECT count(*) FROM account a WHERE NOT EXISTS (SELECT 1 FROM address d WHERE d.account_id = a.id)
			OR NOT EXISTS (SELECT 1 FROM credential c WHERE c.account_id = a.id)
			OR a.state = 'pending' AND NOT EXISTS (SELECT 1 FROM mail_token m WHERE m.account_id = a.id AND m.purpose = 'confirm')`,
		"I5: consents of nobody, or to nobody": `SELECT count(*) FROM consent c WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = c.account_id) OR NOT EXISTS (SELECT 1 FROM client k WHERE k.client_id = c.client_id)`,
	})
	// That of a sealed code has no other row than its access tokens.
	if n := j.count(`SELECT count(*) FROM authorization_grant g WHERE g.revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM code c WHERE c.grant_id = g.id)
		AND NOT EXISTS (SELECT 1 FROM access_token t WHERE t.grant_id = g.id)`); n > int64(len(j.early)) {
		j.wrong("I5: grants that gave nothing: %d", n)
	}
}

// accounts is I6: who has confirmed has an account, and who has moved the same one by both addresses.
func (j *judge) accounts() {
	for _, a := range j.acts {
		if a.Op == "move" && a.Outcome == acked && (j.count(`SELECT count(*) FROM address WHERE email = $1 AND proven_at IS NOT NULL AND is_primary`, a.Email) != 1 ||
			j.subOf(a.Email) != j.subOf(a.Said)) {
			j.wrong("I6: the account of %s has not moved to %s", a.Said, a.Email)
		}
		if a.Op == "confirm" && a.Outcome == acked && j.count(`SELECT count(*) FROM account a JOIN address d ON d.account_id = a.id
			WHERE d.email = $1 AND a.state = 'active' AND d.proven_at IS NOT NULL`, a.Email) != 1 {
			j.wrong("I6: the confirmed account of %s is not there", a.Email)
		}
	}
}

// asked asks each replica: I1, I4 and, of a few, I6.
func (j *judge) asked() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var confirmed []string
	for _, base := range j.Replicas {
		j.site.base = func() string { return base }
		for _, a := range j.acts {
			if a.Outcome != acked || a.Op != "redeem" && a.Op != "refresh" {
				continue
			}
			told, err := j.site.introspect(ctx, a.Access)
			switch {
			case err != nil || told.Status != 200:
				j.wrong("checker: introspection at %s: %d %v", base, told.Status, err)
				return
			case told.Active && j.surely(a.Code):
				j.wrong("I4: %s says of the revoked token of act %d that it is active", base, a.N)
			case !j.revoked[a.Code] && !j.jumping[a.N] && (!told.Active || told.Sub != j.subOf(a.Email) || told.Client != j.Client || told.Scope != "openid email offline_access"):
				j.wrong("I1: %s says of the token of act %d: %+v", base, a.N, told)
			}
		}
	}
	for _, a := range j.acts {
		if a.Op == "confirm" && a.Outcome == acked && !strings.HasPrefix(a.Email, "p0-") { // somebody guesses at the first one's password
			confirmed = append(confirmed, a.Email)
		}
	}
	passwords := j.passwords()
	for n, base := range j.Replicas {
		for i := n; i < len(confirmed); i += 1 + len(confirmed)/3 {
			v := newVisitor(func() string { return base }, confirmed[i], passwords[confirmed[i]])
			if v.pass == "" {
				continue
			}
			if err := v.login(ctx); err != nil {
				j.wrong("I6: %s cannot sign in at %s: %v", v.email, base, err)
			}
		}
	}
}

// passwords are those that people have now, as far as that is known.
func (j *judge) passwords() map[string]string {
	have := map[string]string{}
	for _, a := range j.acts {
		switch {
		case a.Op == "register", a.Op == "password" && a.Outcome == acked:
			have[a.Email] = a.Password
		case a.Op == "password" && a.Outcome == unknown:
			delete(have, a.Email)
		}
	}
	return have
}

// surely tells whether the grant that came by a code is revoked without a doubt.
func (j *judge) surely(code string) bool {
	return slices.ContainsFunc(j.acts, func(a entry) bool {
		return a.Code == code && ((a.Op == "revoke" || a.Op == "password") && a.Outcome == acked || a.Op == "replay" && a.Outcome == refused)
	})
}

// check lets the checker, another process, judge, and returns what it found.
func (r *trial) check() []string {
	r.t.Helper()
	if err := r.b.file.Sync(); err != nil {
		r.t.Fatal(err)
	}
	w := world{Ledger: r.b.file.Name(), Database: r.database, Client: r.site.id, Secret: r.site.secret, Folders: r.folders, Hidden: r.hidden,
		Purged: r.purged, Drained: true, KeySetMaxAge: r.keySetMaxAge.Microseconds(), Copied: r.copied}
	for _, replica := range r.f.replicas {
		if replica.up {
			w.Replicas = append(w.Replicas, replica.base)
		}
	}
	question, err := json.Marshal(w)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), checkWorld+"="+string(question))
	out, err := cmd.CombinedOutput()
	found := strings.FieldsFunc(string(out), func(c rune) bool { return c == '\n' })
	if err != nil && len(found) == 0 {
		r.t.Fatal(err)
	}
	return found
}
