//go:build fault && !e2e

package main

import (
	"bufio"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the checker's own way to the database
)

// The checker is this test binary, run anew: it uses none of our packages, and SQL of its own. It holds a run to I1 (by the
// database, not by asking each replica), I2, I3, I4 (of a revoked grant), I5, I6 and I10.
const (
	checkLedger   = "PASSPORT_FAULT_LEDGER"
	checkDatabase = "PASSPORT_FAULT_DATABASE"
)

// checker judges by the ledger and the database, and prints a line for each thing that must not be.
func checker(file, database string) int {
	acts, err := readLedger(file)
	if err != nil {
		fmt.Println("ledger:", err)
		return 2
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		fmt.Println("database:", err)
		return 2
	}
	defer db.Close()
	var found []string
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	count := func(q string, args ...any) int64 {
		var n int64
		if err := db.QueryRow(q, args...).Scan(&n); err != nil {
			wrong("checker: %v", err)
		}
		return n
	}
	sum := func(s string) []byte {
		h := sha256.Sum256([]byte(s))
		return h[:]
	}
	revoked, redeemed := map[string]bool{}, map[string]int{}
	stepped, maybe := map[string]int64{}, map[string]int64{}
	for _, a := range acts {
		switch {
		case a.Op == "revoke" && a.Outcome != refused:
			revoked[a.Code] = true
		case a.Op == "redeem" && a.Outcome == acked:
			redeemed[a.Code]++
		case a.Op == "refresh" && a.Outcome == acked:
			stepped[a.Code]++
		case a.Op == "refresh" && a.Outcome != refused:
			maybe[a.Code]++
		}
	}
	for _, a := range acts {
		if a.Outcome != acked {
			continue
		}
		switch a.Op {
		case "confirm":
			if count(`SELECT count(*) FROM account a JOIN address d ON d.account_id = a.id
				WHERE d.email = $1 AND a.state = 'active' AND d.proven_at IS NOT NULL`, a.Email) != 1 {
				wrong("I6: the confirmed account of %s is not there", a.Email)
			}
		case "redeem", "refresh":
			live := count(`SELECT count(*) FROM access_token t JOIN authorization_grant g ON g.id = t.grant_id
				WHERE t.sig = $1 AND t.revoked_at IS NULL AND g.revoked_at IS NULL`, sum(a.Access))
			if live != 1 && !revoked[a.Code] {
				wrong("I1: act %d gave an access token that is not there", a.N)
			}
		case "revoke":
			if count(`SELECT count(*) FROM authorization_grant g JOIN code c ON c.grant_id = g.id
				WHERE c.sig = $1 AND g.revoked_at IS NULL`, sum(a.Code)) != 0 {
				wrong("I4: act %d revoked a grant that lives", a.N)
			}
		}
	}
	for code, times := range redeemed {
		if times > 1 {
			wrong("I2: a code was redeemed %d times", times)
		}
		first := count(`SELECT coalesce(max(g.refresh_generation), 0) FROM authorization_grant g JOIN code c ON c.grant_id = g.id WHERE c.sig = $1`, sum(code)) - 1
		if first < stepped[code] || first > stepped[code]+maybe[code] {
			wrong("I3: a family stepped %d times; %d were acknowledged, of %d nobody knows", first, stepped[code], maybe[code])
		}
	}
	for what, q := range map[string]string{
		"I5: access tokens of a person without a grant": `SELECT count(*) FROM access_token t LEFT JOIN authorization_grant g ON g.id = t.grant_id WHERE t.grant_id IS NOT NULL AND g.id IS NULL`,
		"I5: spent codes that gave nothing":             `SELECT count(*) FROM code c WHERE c.used_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM access_token t WHERE t.grant_id = c.grant_id)`,
		"I5: codes that gave and are not spent":         `SELECT count(*) FROM code c WHERE c.used_at IS NULL AND EXISTS (SELECT 1 FROM access_token t WHERE t.grant_id = c.grant_id)`,
		"I5: active accounts without a proven address":  `SELECT count(*) FROM account a WHERE a.state = 'active' AND NOT EXISTS (SELECT 1 FROM address d WHERE d.account_id = a.id AND d.proven_at IS NOT NULL)`,
		"I10: proven addresses that are there twice":    `SELECT count(*) - count(DISTINCT canonical) FROM address WHERE proven_at IS NOT NULL`,
	} {
		if n := count(q); n != 0 {
			wrong("%s: %d", what, n)
		}
	}
	slices.Sort(found)
	for _, f := range found {
		fmt.Println(f)
	}
	return min(len(found), 1)
}

// readLedger gives each act as it ended; one that never did is unknown.
func readLedger(file string) ([]entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	byNumber, order := map[int64]entry{}, []int64{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if _, ok := byNumber[e.N]; !ok {
			order = append(order, e.N)
		}
		if e.Outcome == "" {
			e.Outcome = unknown
		}
		byNumber[e.N] = e
	}
	acts := make([]entry, 0, len(order))
	for _, n := range order {
		acts = append(acts, byNumber[n])
	}
	return acts, lines.Err()
}

// proves breaks a finished run's database by hand, once for each invariant: the checker must find it.
func proves(t *testing.T, b *book, database string) {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range []struct{ finds, q string }{
		{"I4", `UPDATE authorization_grant SET revoked_at = NULL`},
		{"I3", `UPDATE authorization_grant SET refresh_generation = refresh_generation - 1 WHERE id = (SELECT grant_id FROM code WHERE used_at IS NOT NULL AND grant_id IN (SELECT id FROM authorization_grant WHERE refresh_generation = 3) LIMIT 1)`},
		{"I5", `UPDATE code SET used_at = NULL WHERE sig = (SELECT sig FROM code WHERE used_at IS NOT NULL LIMIT 1)`},
		{"I1", `DELETE FROM access_token WHERE sig IN (SELECT sig FROM access_token LIMIT 5)`},
		{"I6", `UPDATE account SET state = 'pending' WHERE id = (SELECT id FROM account WHERE state = 'active' LIMIT 1)`},
	} {
		if _, err := db.Exec(c.q); err != nil {
			t.Fatal(err)
		}
		if found := check(t, b, database); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, c.finds+":") }) {
			t.Errorf("the checker does not find the broken %s: %v", c.finds, found)
		}
	}
}
