//go:build fault && !e2e

package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// letters are I7 and I8: who was promised a mail has it; and nobody has it oftener than faults can make it come.
func (j *judge) letters() {
	kept := map[[2]string]bool{} // to whom, with which link
	type times struct {
		to              string
		first, last     int64
		whole, doubtful int
		link, kind      string
	}
	byID := map[string]*times{}
	var faults []int64
	var jumps []int64 // when a clock jumped, and when that was noticed: until then a lease may end too soon
	for _, a := range j.acts {
		if a.Op == "jump" {
			jumps = append(jumps, a.At)
		}
		if a.Op == "fault" {
			faults = append(faults, a.At)
		}
		if a.Op != "letter" {
			continue
		}
		one := byID[a.ID]
		if one == nil {
			one = &times{to: a.Email, first: a.At, link: a.Link, kind: a.Said}
			byID[a.ID] = one
		}
		switch {
		case a.ID == "":
			j.wrong("I8: a letter to %s has no Message-ID", a.Email)
		case one.to != a.Email || one.link != a.Link:
			j.wrong("I8: letter %s came to two people, or with two links", a.ID)
		}
		one.last = a.At
		switch a.Outcome {
		case acked:
			one.whole++
			kept[[2]string{a.Email, a.Said}] = true
		case unknown:
			one.whole++
			one.doubtful++
		}
	}
	promised, made := map[[2]string]int{}, map[[2]string]int{}
	known := map[string]bool{}
	for id, one := range byID {
		for _, at := range faults {
			if at >= one.first-1_000_000 && at <= one.last { // it may have come between the mail server's yes and our note of it
				one.doubtful++
			}
		}
		for i := 0; i+1 < len(jumps); i += 2 {
			if one.first <= jumps[i+1] && one.last >= jumps[i] {
				one.doubtful++
			}
		}
		if one.whole > 1+one.doubtful {
			j.wrong("I8: letter %s came %d times; of %d nobody knew that it had come", id, one.whole, one.doubtful)
		}
		if one.kind != "" {
			made[[2]string{one.to, one.kind}]++
		}
	}
	for _, a := range j.acts {
		kind := letterOf[a.Op]
		if kind == "" || a.Outcome == refused {
			continue
		}
		letter := [2]string{a.Email, kind}
		promised[letter]++
		known[a.Email] = true
		if j.Drained && a.Outcome == acked && !kept[letter] && !j.nowhere(a.Email) {
			j.wrong("I7: %s: act %d promised a mail to %s that never came", a.Op, a.N, a.Email)
		}
	}
	for letter, n := range made {
		if n > promised[letter] {
			j.wrong("I8: %d different letters to %s for /%s, asked for %d times", n, letter[0], letter[1], promised[letter])
		}
	}
	for _, a := range j.acts { // by stored address: who registered or moved, spelled as then
		if a.Op == "letter" && !known[a.Email] {
			j.wrong("I8: a letter went to %s, who is nobody", a.Email)
		}
	}
}

// nowhere tells whether the mail server said for good that there is no such mailbox.
func (j *judge) nowhere(email string) bool {
	return slices.ContainsFunc(j.acts, func(a entry) bool { return a.Op == "nowhere" && a.Email == email })
}

// registrations are I9, and of links I14: each ends in one way, and stays so.
func (j *judge) registrations() {
	type way struct{ confirmed, cancelled, maybeConfirmed, maybeCancelled int }
	ways, spent := map[string]*way{}, map[string]int{}
	for _, a := range j.acts {
		if a.Op != "confirm" && a.Op != "cancel" {
			continue
		}
		w := ways[a.Email]
		if w == nil {
			w = &way{}
			ways[a.Email] = w
		}
		switch a.Op + a.Outcome {
		case "confirm" + acked:
			w.confirmed++
			spent[a.Link]++
		case "cancel" + acked:
			w.cancelled++
			spent[a.Link]++
		case "confirm" + unknown:
			w.maybeConfirmed++
		case "cancel" + unknown:
			w.maybeCancelled++
		}
		if a.Outcome == refused && w.confirmed+w.cancelled+w.maybeConfirmed+w.maybeCancelled == 0 && !j.races(a) {
			j.wrong("I7: act %d: the link of the newest mail to %s does not work", a.N, a.Email)
		}
	}
	for link, n := range spent {
		if n > 1 {
			j.wrong("I14: %s was spent %d times", link, n)
		}
	}
	for email, w := range ways {
		active := j.count(`SELECT count(*) FROM account a JOIN address d ON d.account_id = a.id WHERE d.email = $1 AND a.state = 'active'`, email)
		left := j.count(`SELECT count(*) FROM address WHERE email = $1`, email)
		switch {
		case w.confirmed > 0 && w.cancelled > 0:
			j.wrong("I9: %s was confirmed and cancelled", email)
		case w.cancelled > 0 && left != 0:
			j.wrong("I9: the registration of %s was cancelled, and is there", email)
		case active > 0 && w.confirmed+w.maybeConfirmed == 0:
			j.wrong("I9: %s is active, and has never confirmed", email)
		case left == 0 && w.cancelled+w.maybeCancelled == 0:
			j.wrong("I9: the registration of %s is gone, and nobody has cancelled it", email)
		}
	}
}

// races tells whether another act with the same registration ran at the same time.
func (j *judge) races(a entry) bool {
	for _, b := range j.acts {
		if b.N != a.N && b.Email == a.Email && (b.Op == "confirm" || b.Op == "cancel") && b.At <= a.End && (b.End == 0 || b.End >= a.At) {
			return true
		}
	}
	return false
}

// events is I15: what was acknowledged is in the log of events, once, and nothing else is; and what came later has a greater id
// (all processes of a run have the same machine's clock, whatever they take it for).
func (j *judge) events() {
	for what, q := range map[string]string{
		"registrations": `SELECT count(*) FROM account a WHERE (SELECT count(*) FROM audit WHERE event = 'account.registered' AND subject = a.id) <> 1`,
		"confirmations": `SELECT count(*) FROM account a WHERE (SELECT count(*) FROM audit WHERE event = 'account.confirmed' AND subject = a.id)
			<> CASE WHEN a.state = 'pending' THEN 0 ELSE 1 END`,
		"cancellations": `SELECT count(*) FROM audit c WHERE event = 'account.cancelled' AND EXISTS (SELECT 1 FROM account a WHERE a.id = c.subject)`,
		"sign-ins":      `SELECT count(*) FROM login l WHERE NOT EXISTS (SELECT 1 FROM audit WHERE event = 'login.succeeded' AND session = l.id)`,
		"sign-outs": `SELECT count(*) FROM login l WHERE ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit WHERE event = 'login.ended' AND session = l.id
			OR event = 'account.password_changed' AND subject = l.account_id)`,
		"consents": `SELECT count(*) FROM consent c WHERE NOT EXISTS (SELECT 1 FROM audit WHERE event = 'consent.granted' AND subject = c.account_id AND client_id = c.client_id)`,
	} {
		if n := j.count(q); n != 0 {
			j.wrong("I15: the events of %d %s are missing, or too many", n, what)
		}
	}
	if n := j.count(`SELECT count(*) FROM audit a JOIN audit b ON b.subject = a.subject AND b.id <= a.id WHERE a.event = 'account.registered'
		AND b.event IN ('account.confirmed', 'account.cancelled') OR a.event = 'account.confirmed' AND b.event IN ('login.succeeded', 'consent.granted')`); n != 0 {
		j.wrong("I15: %d events have a smaller id than one before them", n)
	}
	acks := map[string]int64{}
	for _, a := range j.acts {
		if a.Outcome == acked && a.Said != silently {
			acks[a.Op]++
		}
		if a.Op == "replay" && a.Outcome == refused && !j.early[a.Code] && j.count(`SELECT count(*) FROM audit e JOIN authorization_grant g ON g.account_id = e.subject
			WHERE g.id = $1 AND e.event = 'code.replayed'`, j.grantOf(a.Code)) == 0 {
			j.wrong("I15: act %d, a code that came twice, is no event", a.N)
		}
	}
	for op, event := range map[string]string{"register": "account.registered", "confirm": "account.confirmed", "cancel": "account.cancelled", "authorize": "consent.granted"} {
		if n := j.count(`SELECT count(*) FROM audit WHERE event = $1`, event); n < acks[op] {
			j.wrong("I15: %d events %s of %d", n, event, acks[op])
		}
	}
}

// aged are the tables whose rows end: which rows are over when $1 is past, how much longer they are kept, in µs, and a
// statement that makes such a row. That of an ended login's consent is none of them: it ends with another row, and not by time.
var aged = []struct {
	table, over string
	kept        int64
	old         string
}{
	{"interaction", "expires_at < $1", 0, `INSERT INTO interaction (id, kind, client_id, params, created_at, expires_at) VALUES ('\x00', 'authorize', 'shop', '', $1, $1)`},
	{"code", "expires_at < $1", 1_800_000_000, `INSERT INTO code (sig, grant_id, client_id, redirect_uri, created_at, expires_at)
		SELECT '\x00', id, client_id, '', $1, $1 FROM authorization_grant LIMIT 1`},
	{"device_code", "expires_at < $1", 1_800_000_000, `INSERT INTO device_code (sig, user_code, client_id, params, state, pause, created_at, expires_at)
		SELECT '\x00', '\x00', client_id, '', 'pending', 5, $1, $1 FROM client LIMIT 1`},
	{"access_token", "expires_at < $1", 0, `INSERT INTO access_token (sig, grant_id, client_id, scopes, issued_at, expires_at)
		SELECT '\x00', id, client_id, '', $1, $1 FROM authorization_grant LIMIT 1`},
	{"authorization_grant", "expires_at < $1", 0, `INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, created_at, expires_at)
		SELECT 'old', account_id, client_id, login_id, sid, scopes, $1, amr, acr, $1, $1 FROM authorization_grant LIMIT 1`},
	{"mail_token", "expires_at < $1", 0, `INSERT INTO mail_token (purpose, hash, account_id, address_id, created_at, expires_at, used_at)
		SELECT 'confirm', '\x00', account_id, id, $1, $1, $1 FROM address LIMIT 1`},
	{"account_link", "expires_at < $1", 0, `INSERT INTO account_link (purpose, hash, created_at, expires_at) VALUES ('recover', '\x00', $1, $1)`},
	{"data_export", "expires_at < $1", 0, `INSERT INTO data_export (id, account_id, asked_at, expires_at) SELECT 'old', id, $1, $1 FROM account LIMIT 1`},
	{"recovery_request", "expires_at < $1", 0, `INSERT INTO recovery_request (id, state, hash, email, canonical, language, created_at, expires_at) VALUES ('old', 'over', '\x00', '', '', '', $1, $1)`},
	{"used_once", "expires_at < $1", 0, `INSERT INTO used_once (kind, key, expires_at) VALUES ('test', '\x00', $1)`},
	{"registration_token", "expires_at < $1", 0, `INSERT INTO registration_token (id, hash, uses, created_at, expires_at) VALUES ('old', '\x00', 1, $1, $1)`},
	{"invitation", "expires_at < $1", 259_200_000_000, `INSERT INTO invitation (id, hash, uses, created_at, expires_at) VALUES ('old', '\x00', 1, $1, $1)`},
	{"key_set", "tried_at < $1", 604_800_000_000, `INSERT INTO key_set (uri, body, tried_at) VALUES ('https://old.test', '', $1)`},
	{"browser", "expires_at < $1", 0, `INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('old', $1, $1, $1)`},
	{"account", "state IN ('pending', 'closing') AND expires_at < $1", 0, `INSERT INTO account (id, sub, state, created_at, updated_at, expires_at) VALUES ('old', 'old', 'pending', $1, $1, $1)`},
	{"client", "registered_by = 'anyone' AND used_at IS NULL AND verified_at IS NULL AND created_at < $1", 2_592_000_000_000,
		`INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision, registered_by) VALUES ('old', '', '{}', true, false, $1, $1, 0, 'anyone')`},
	{"outbox", "expires_at < $1", 604_800_000_000, `INSERT INTO outbox (id, kind, sealed, due_at, created_at, expires_at, failed_at) VALUES ('old', 'mail', '', $1, $1, $1, $1)`},
	{"rate", "tat < $1", 86_400_000_000, `INSERT INTO rate (key, tat) VALUES ('old', $1)`},
}

// times are I12 and I13: what is over is gone an hour later, and what has a time has the true one.
func (j *judge) times() {
	const minute, hour = int64(60_000_000), int64(3_600_000_000)
	now := time.Now().UnixMicro()
	if j.Purged {
		for _, a := range aged {
			if n := j.count(`SELECT count(*) FROM `+a.table+` WHERE `+a.over, now-a.kept-hour); n != 0 {
				j.wrong("I12: %d rows of %s are over", n, a.table)
			}
		}
	}
	true1 := func(a entry, what, q string, args ...any) {
		var at int64
		if err := j.db.QueryRow(q, args...).Scan(&at); err == nil && (at < a.At-minute || at > a.End+minute) {
			j.wrong("I13: act %d: the time of %s is %s off", a.N, what, time.Duration(at-a.At)*time.Microsecond)
		}
	}
	for _, a := range j.acts {
		if a.Outcome != acked || j.jumping[a.N] {
			continue
		}
		switch a.Op {
		case "redeem", "refresh":
			true1(a, "an access token", `SELECT issued_at FROM access_token WHERE sig = $1`, sum(a.Access))
			var claims struct{ Iat, Exp int64 }
			if claim(a.ID, &claims) && (claims.Iat*1_000_000 < a.At-minute || claims.Iat*1_000_000 > a.End+minute || claims.Exp <= claims.Iat) {
				j.wrong("I13: act %d: an ID token of %s", a.N, time.Unix(claims.Iat, 0))
			}
		case "authorize":
			true1(a, "a code", `SELECT created_at FROM authorization_grant WHERE id = $1`, j.grantOf(a.Code))
		case "confirm":
			true1(a, "a proof", `SELECT proven_at FROM address WHERE email = $1 AND proven_at IS NOT NULL`, a.Email)
		}
	}
}

// claim reads a JWT without looking at its signature.
func claim(token string, into any) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && json.Unmarshal(text, into) == nil
}

// secrets is I11: nothing that was given out stands in clear in the files of the database or in the logs.
func (j *judge) secrets() {
	known := map[uint64][]string{}
	add := func(what, s string) {
		if len(s) >= 16 {
			start := binary.LittleEndian.Uint64([]byte(s))
			known[start] = append(known[start], what+"\x00"+s)
		}
	}
	add("a client's secret", j.Secret)
	for _, s := range j.Hidden {
		add("PASSPORT_SECRET", s)
	}
	for _, a := range j.acts {
		add("a password", a.Password)
		add("a code", a.Code)
		add("an access token", a.Access)
		add("a refresh token", a.Refresh)
		add("a refresh token", a.Next)
		if _, token, ok := strings.Cut(a.Link, "="); ok {
			add("a mail's link", token)
		}
	}
	var maybe [1 << 16]bool
	for start := range known {
		maybe[uint16(start)] = true
	}
	for _, folder := range j.Folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // gone meanwhile
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for i := 0; i+8 <= len(text); i++ {
				if !maybe[binary.LittleEndian.Uint16(text[i:])] {
					continue
				}
				for _, one := range known[binary.LittleEndian.Uint64(text[i:])] {
					what, secret, _ := strings.Cut(one, "\x00")
					if len(text)-i >= len(secret) && string(text[i:i+len(secret)]) == secret {
						j.wrong("I11: %s stands in %s", what, strings.TrimPrefix(path, folder))
					}
				}
			}
			return nil
		})
		if err != nil {
			j.wrong("checker: %v", err)
		}
	}
}

// access is I20, and I14 of codes: nobody got what nobody may have.
func (j *judge) access() {
	for _, a := range j.acts {
		switch {
		case a.Outcome != acked:
		case a.Op == "forbidden":
			j.wrong("I20: act %d: somebody got %s", a.N, a.Said)
		case a.Op == "replay":
			j.wrong("I14: act %d: a code was good again", a.N)
		}
	}
}
