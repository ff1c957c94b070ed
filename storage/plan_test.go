package storage_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// TestPlans: what anybody can have the database asked finds its rows by an index, however many there are. PostgreSQL is told to
// read no table as a whole where there is another way, and shows which one it takes.
func TestPlans(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // it has the same indexes
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		for i := range 400 {
			id := strconv.Itoa(i)
			err := s.Insert(ctx, account.Record{ID: "id" + id, Sub: "sub" + id, State: account.Active, Claims: []byte("{}"), Language: "en", CreatedAt: time.Now(),
				UpdatedAt: time.Now(), AddressID: "address" + id, Email: id + "@x.test", Canonical: id + "@x.test", ProvenAt: time.Now(), Password: "hash"})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Somebody is signed in, one browser is over, and so is an account: for what is asked only then.
	execute(t, s, "INSERT INTO browser (id, created_at, seen_at, expires_at) SELECT id, 1, 1, CASE id WHEN 'id0' THEN 1 ELSE 9000000000000000 END FROM account")
	execute(t, s, "INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) SELECT id, id, id, 1, '', '', 1 FROM account")
	execute(t, s, "UPDATE account SET state = 'closing', expires_at = 1 WHERE id = 'id2'")
	execute(t, s, "ANALYZE account, address, credential, browser, login") // of empty ones it had better know nothing
	// Of these a purge reads all, for they are few: what operators hand out, what waits to be done.
	few := regexp.MustCompile(`^DELETE FROM (invitation|registration_token|outbox) `)
	purges := 0
	whole := regexp.MustCompile(`(Seq|Index|Index Only) Scan (?:Backward )?(?:using \w+ )?on (\w+)`)
	for q, name := range asked(t, s) {
		if name == "Purge" {
			purges++
		}
		if strings.HasPrefix(q, "BEGIN") || strings.Contains(q, "pg_advisory") || name == "Purge" && few.MatchString(q) {
			continue
		}
		lines := append(plan(t, s, q), "")
		for i, line := range lines {
			// An index without a condition is read as a whole, too.
			if found := whole.FindStringSubmatch(line); found != nil && (found[1] == "Seq" || !strings.Contains(lines[min(i+1, len(lines)-1)], "Index Cond")) {
				t.Errorf("%s reads all of %s:\n%s", name, found[2], q)
			}
		}
	}
	if purges < 29 {
		t.Errorf("%d statements of a purge were seen", purges)
	}
}

// TestKeyPlans: what is found by its own key is never looked for among all that a client, or a person, has: not by the plan that
// PostgreSQL makes while the tables are empty and nothing is known of them, nor by the one of when each client had one row of each.
func TestKeyPlans(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // without statistics it prefers a unique index
	}
	// The indexes of many rows that a statement for one row can know a value of. Those of clients are for foreign keys alone.
	star := regexp.MustCompile(`(SELECT|RETURNING|,|\.)\s*\*`)
	many := regexp.MustCompile(`using (grant_client|access_token_client|consent_client|login_client_client|device_code_client|grant_account|grant_login|login_account)\b`)
	all := regexp.MustCompile(`^(EndUse|ListUses|RevokeAll|SitesOf|EndLogins|ListLogins)$`) // of a person, or of a login
	for name, fill := range map[string][]string{"empty": nil, "one row a client": {
		`INSERT INTO account (id, sub, state, created_at, updated_at) SELECT i, i, 'active', 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at) SELECT i, i, i, i, true, 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision)
			SELECT i, i, '{}', true, true, 1, 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO browser (id, created_at, seen_at, expires_at) SELECT i, 1, 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) SELECT i, i, i, 1, '', '', 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO login_client (login_id, client_id, sid, first_at, last_at) SELECT i, i, '', 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO consent (account_id, client_id, scopes, granted_at) SELECT i, i, '', 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, created_at, expires_at)
			SELECT i, i, i, i, '', '', 1, '', '', 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO code (sig, grant_id, client_id, redirect_uri, created_at, expires_at) SELECT i::text::bytea, i, i, '', 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO access_token (sig, grant_id, client_id, scopes, issued_at, expires_at) SELECT i::text::bytea, i, i, '', 1, 1 FROM generate_series(1, 1000) i`,
		`INSERT INTO device_code (sig, user_code, client_id, params, state, pause, created_at, expires_at)
			SELECT i::text::bytea, i::text::bytea, i, '', '', 1, 1, 1 FROM generate_series(1, 1000) i`,
		`ANALYZE account, address, client, browser, login, login_client, consent, authorization_grant, code, access_token, device_code`,
	}} {
		t.Run(name, func(t *testing.T) {
			s := storagetest.Open(t, storagetest.Postgres(t))
			for _, q := range fill {
				execute(t, s, q)
			}
			seen := 0
			for q, name := range asked(t, s) {
				if star.MatchString(q) {
					t.Errorf("%s says *, and would fail once a connection when a migration adds a column: %s", name, q)
				}
				if strings.HasPrefix(q, "BEGIN") || strings.Contains(q, "pg_advisory") {
					continue
				}
				for _, line := range plan(t, s, q) {
					found := many.FindStringSubmatch(line)
					switch {
					case found == nil:
					case all.MatchString(name) && !strings.HasSuffix(found[1], "_client"):
						seen++
					default:
						t.Errorf("%s reads by %s:\n%s", name, found[1], q)
					}
				}
			}
			if seen == 0 {
				t.Error("nothing was read by any of them, not even what should be")
			}
		})
	}
}

// TestLoginOrder: who locks several logins of a person does it in the order of their ids, or two that end the same ones would wait for
// each other. No two runs that a test can make would meet so each time: what is looked at is what is asked of PostgreSQL.
func TestLoginOrder(t *testing.T) {
	if storagetest.Databases() == "sqlite" {
		return // it has one writer
	}
	s := storagetest.Open(t, storagetest.Postgres(t))
	execute(t, s, "INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('id1', 'sub', 'active', 1, 1)")
	execute(t, s, "INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('b', 1, 1, 9000000000000000)")
	execute(t, s, "INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) VALUES ('l', 'b', 'id1', 1, '', '', 1)")
	execute(t, s, "INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('over', 1, 1, 1)") // for a purge
	of := regexp.MustCompile(`(FROM|UPDATE) "?login"?[ (]`)
	ordered := regexp.MustCompile(`ORDER BY (l\.)?"?id"?\s+FOR (UPDATE|SHARE)`)
	byIDs := regexp.MustCompile(`^UPDATE "login" SET .* WHERE id IN \(\$`) // which the statement before it has locked
	one := regexp.MustCompile(`l\.id = \$1 `)
	looked := regexp.MustCompile(`EXISTS \(SELECT 1 FROM login [^)]*\)`) // which locks none
	seen := map[string]bool{}
	for q, name := range asked(t, s) {
		if !of.MatchString(looked.ReplaceAllString(q, "")) || !strings.Contains(q, "UPDATE") && !strings.Contains(q, "FOR SHARE") {
			continue
		}
		seen[name] = true
		if !ordered.MatchString(q) && !byIDs.MatchString(q) && !one.MatchString(q) {
			t.Errorf("%s locks logins in any order:\n%s", name, q)
		}
	}
	if !seen["EndLogins"] || !seen["Purge"] || !seen["RevokeAll"] && !seen["EndUse"] { // these two share a statement
		t.Errorf("only %v were seen to lock logins", seen)
	}
}

// asked are the statements of what anybody can have the database asked, each with the call that makes it.
func asked(t *testing.T, s *storage.Store) map[string]string {
	asked := map[string]string{}
	hash, now := []byte("hash"), time.Now()
	rec := account.Record{ID: "id", AddressID: "address", Canonical: "a@x.test", BrowserHash: hash, Invitation: "invitation"}
	given := grant.Grant{ID: "id", AccountID: "id", ClientID: "shop", LoginID: "login", CreatedAt: now}
	code := &grant.Code{Sig: hash, GrantID: "id", ClientID: "shop"}
	token := &grant.Token{Sig: hash, GrantID: "id", ClientID: "shop", IssuedAt: now, ExpiresAt: now}
	for name, call := range map[string]func(ctx context.Context) error{
		"ByAddress": func(ctx context.Context) error { _, err := s.ByAddress(ctx, "a@x.test", hash, now); return err },
		"ByBrowser": func(ctx context.Context) error { _, err := s.ByBrowser(ctx, hash, now); return err },
		"ByForm":    func(ctx context.Context) error { _, err := s.ByForm(ctx, "form"); return err },
		"ByLink":    func(ctx context.Context) error { _, err := s.ByLink(ctx, "confirm", hash, now); return err },
		"ByID":      func(ctx context.Context) error { _, err := s.ByID(ctx, "id"); return err },
		"SetLinks": func(ctx context.Context) error {
			return s.SetLinks(ctx, rec, []account.Link{{Purpose: "confirm", Hash: hash}}, now, now)
		},
		"EndPending":  func(ctx context.Context) error { return s.EndPending(ctx, "id") },
		"DropPending": func(ctx context.Context) error { return s.DropPending(ctx, "a@x.test", "id") },
		"Cancel":      func(ctx context.Context) error { return s.Cancel(ctx, "id", hash, now) },
		"CountGuess":  func(ctx context.Context) error { return s.CountGuess(ctx, "credential") },
		"LockAccount": func(ctx context.Context) error { _, err := s.LockAccount(ctx, "id"); return err },
		"LockAddress": func(ctx context.Context) error { return s.LockAddress(ctx, "a@x.test") },
		"Addresses":   func(ctx context.Context) error { _, err := s.Addresses(ctx, "id"); return err },
		"Recovery":    func(ctx context.Context) error { _, err := s.Recovery(ctx, "id"); return err },
		"ReplaceLinks": func(ctx context.Context) error {
			return s.ReplaceLinks(ctx, "id", []account.Link{{Purpose: "recover", Hash: hash}}, now, now)
		},
		"ByAccountLink": func(ctx context.Context) error {
			_, _, err := s.ByAccountLink(ctx, "recover", hash, now)
			return err
		},
		"CountAnswer":     func(ctx context.Context) error { return s.CountAnswer(ctx, hash, 1, 5, now) },
		"Waiting":         func(ctx context.Context) error { _, err := s.Waiting(ctx, "id", "stop", now); return err },
		"ReadPicture":     func(ctx context.Context) error { _, err := s.ReadPicture(ctx, "name"); return err },
		"ReadExport":      func(ctx context.Context) error { _, err := s.ReadExport(ctx, "id"); return err },
		"ReadInvitation":  func(ctx context.Context) error { _, err := s.ReadInvitation(ctx, hash, now); return err },
		"HoldInvitation":  func(ctx context.Context) error { return s.HoldInvitation(ctx, rec, now) },
		"SpendInvitation": func(ctx context.Context) error { return s.SpendInvitation(ctx, "invitation") },
		"AskedRequest":    func(ctx context.Context) error { _, err := s.AskedRequest(ctx, hash, now); return err },
		"RequestOf":       func(ctx context.Context) error { _, err := s.RequestOf(ctx, "id"); return err },
		"JoinRequest":     func(ctx context.Context) error { _, err := s.JoinRequest(ctx, "id"); return err },
		"OpenRequest":     func(ctx context.Context) error { return s.OpenRequest(ctx, account.Request{ID: "id", OpenedAt: now}) },
		"StopRequests":    func(ctx context.Context) error { _, err := s.StopRequests(ctx, "id", now); return err },
		"SitesOf":         func(ctx context.Context) error { _, err := s.SitesOf(ctx, "id"); return err },
		"Take":            func(ctx context.Context) error { _, _, err := s.Take(ctx, "key", limit.Human); return err },
		"Owed":            func(ctx context.Context) error { _, err := s.Owed(ctx, "key"); return err },
		"SpendHuman":      func(ctx context.Context) error { return s.SpendHuman(ctx, hash, now) },
		"SpendJTI":        func(ctx context.Context) error { return s.SpendJTI(ctx, hash, now) },
		"Record": func(ctx context.Context) error {
			return s.Record(ctx, audit.Event{Event: audit.LoginFailed, ActorKind: audit.ActorAnonymous, At: now})
		},
		"Events":          func(ctx context.Context) error { _, err := s.Events(ctx, "id", now, 10); return err },
		"ReadClient":      func(ctx context.Context) error { _, err := s.ReadClient(ctx, "shop"); return err },
		"ListClients":     func(ctx context.Context) error { _, err := s.ListClients(ctx, "a", 500); return err },
		"ListRedirects":   func(ctx context.Context) error { _, err := s.ListRedirects(ctx, "a", 500); return err },
		"ChangedClients":  func(ctx context.Context) error { _, err := s.ChangedClients(ctx, 1, 2); return err },
		"NoteClientUse":   func(ctx context.Context) error { return s.NoteClientUse(ctx, "shop", now) },
		"ReadDevice":      func(ctx context.Context) error { _, err := s.ReadDevice(ctx, hash); return err },
		"PollDevice":      func(ctx context.Context) error { _, _, err := s.PollDevice(ctx, hash, "shop", now); return err },
		"ReadInteraction": func(ctx context.Context) error { _, err := s.ReadInteraction(ctx, hash); return err },
		"DropInteraction": func(ctx context.Context) error { return s.DropInteraction(ctx, hash) },
		"ReadRequest":     func(ctx context.Context) error { _, err := s.ReadRequest(ctx, hash, "shop"); return err },
		"Issue":           func(ctx context.Context) error { return s.Issue(ctx, grant.Issuance{Grant: given, Code: code}) },
		"Issue after pages": func(ctx context.Context) error {
			return s.Issue(ctx, grant.Issuance{Grant: given, Code: code, Token: token, Consent: &grant.Consent{}, Interaction: hash, Pushed: []byte("pushed")})
		},
		"Issue for a sealed code": func(ctx context.Context) error { return s.Issue(ctx, grant.Issuance{Grant: given, Token: token}) },
		"ReadSealed":              func(ctx context.Context) error { _, err := s.ReadSealed(ctx, "id", "id"); return err },
		"SpendSealed":             func(ctx context.Context) error { return s.SpendSealed(ctx, given) },
		"SealedCodesFrom":         func(ctx context.Context) error { _, err := s.SealedCodesFrom(ctx); return err },
		"Redeem": func(ctx context.Context) error {
			return s.Redeem(ctx, grant.Redemption{Sig: hash, GrantID: "id", ClientID: "shop", At: now, Token: token})
		},
		"Redeem late": func(ctx context.Context) error {
			return s.Redeem(ctx, grant.Redemption{Sig: hash, GrantID: "id", ClientID: "shop", At: now, Token: token, Refresh: true})
		},
		"Rotate": func(ctx context.Context) error {
			return s.Rotate(ctx, grant.Rotation{GrantID: "id", ClientID: "shop", At: now, Token: token})
		},
		"InsertToken": func(ctx context.Context) error { return s.InsertToken(ctx, *token) },
		"InsertToken of a client": func(ctx context.Context) error {
			return s.InTx(ctx, func(ctx context.Context) error { // outside of one it shares another's statement
				return s.InsertToken(ctx, grant.Token{Sig: hash, ClientID: "shop", IssuedAt: now, ExpiresAt: now})
			})
		},
		"SpendCode":   func(ctx context.Context) error { return s.SpendCode(ctx, hash, now) },
		"RevokeGrant": func(ctx context.Context) error { return s.RevokeGrant(ctx, "id", now) },
		"ReadCode":    func(ctx context.Context) error { _, err := s.ReadCode(ctx, hash); return err },
		"ReadGrant":   func(ctx context.Context) error { _, err := s.ReadGrant(ctx, "id"); return err },
		"ReadToken":   func(ctx context.Context) error { _, err := s.ReadToken(ctx, hash); return err },
		"RevokeToken": func(ctx context.Context) error { return s.RevokeToken(ctx, hash, "shop", now) },
		"RevokeAll":   func(ctx context.Context) error { return s.RevokeAll(ctx, "id") },
		"ListUses":    func(ctx context.Context) error { _, err := s.ListUses(ctx, "id", now); return err },
		"EndUse":      func(ctx context.Context) error { _, err := s.EndUse(ctx, "id", "shop", now); return err },
		"Visits":      func(ctx context.Context) error { _, err := s.Visits(ctx, []string{"login"}); return err },
		"SetNotice":   func(ctx context.Context) error { return s.SetNotice(ctx, "login", "shop", "told", now) },
		"ReadSession": func(ctx context.Context) error { _, err := s.ReadSession(ctx, hash); return err },
		"RenewSecret": func(ctx context.Context) error {
			_, _, err := s.RenewSecret(ctx, hash, []byte("other"), now)
			return err
		},
		"EndLogins": func(ctx context.Context) error {
			_, err := s.EndLogins(ctx, session.Ending{AccountID: "id1", At: now})
			return err
		},
		"ListLogins":             func(ctx context.Context) error { _, err := s.ListLogins(ctx, "id", true); return err },
		"CheckRegistrationToken": func(ctx context.Context) error { return s.CheckRegistrationToken(ctx, hash, now) },
		"ReadKeySet":             func(ctx context.Context) error { _, err := s.ReadKeySet(ctx, "https://x.test"); return err },
		"Purge":                  func(ctx context.Context) error { _, err := s.Purge(ctx, now, 10); return err },
		"LeaseJobs": func(ctx context.Context) error {
			_, err := s.LeaseJobs(ctx, []string{"mail"}, "lease", 10, now, now)
			return err
		},
	} {
		// Most find nothing, which is no fault here.
		_ = call(storage.Traced(t.Context(), func(q string) {
			if asked[q] == "" {
				asked[q] = name
			}
		}))
	}
	return asked
}

// TestForeignKeys: where a row is deleted that others may hang on, these are found by an index. No plan shows it.
func TestForeignKeys(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		q := `SELECT DISTINCT m.name || '.' || k."from" FROM sqlite_master m, pragma_foreign_key_list(m.name) k WHERE m.type = 'table' AND NOT EXISTS (
			SELECT 1 FROM pragma_index_list(m.name) i, pragma_index_info(i.name) c WHERE i.partial = 0 AND c.seqno = 0 AND c.name = k."from")`
		if s.DB(t.Context()).Name() == "postgres" {
			q = `SELECT c.conrelid::regclass || '.' || c.conname FROM pg_constraint c WHERE c.contype = 'f' AND NOT EXISTS (
				SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1] AND i.indpred IS NULL)`
		}
		var slow []string
		if err := s.DB(t.Context()).Raw(q).Scan(&slow).Error; err != nil || len(slow) > 0 {
			t.Errorf("no index has the rows of %q: %v", slow, err)
		}
	})
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// plan is how PostgreSQL would run a statement, whatever its parameters are.
func plan(t *testing.T, s *storage.Store, q string) (lines []string) {
	t.Helper()
	err := s.InTx(t.Context(), func(ctx context.Context) error {
		n := 0
		for _, p := range parameter.FindAllStringSubmatch(q, -1) {
			i, _ := strconv.Atoi(p[1])
			n = max(n, i)
		}
		args := ""
		if n > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("NULL,", n), ",") + ")"
		}
		// Of tables as small as these it would read all of one, and join by that.
		for _, step := range []string{"SET LOCAL enable_seqscan = off", "SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off",
			"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE asked AS " + q} {
			if err := s.DB(ctx).Exec(step).Error; err != nil {
				return err
			}
		}
		if err := s.DB(ctx).Raw("EXPLAIN EXECUTE asked" + args).Scan(&lines).Error; err != nil {
			return err
		}
		return s.DB(ctx).Exec("DEALLOCATE asked").Error
	})
	if err != nil {
		t.Errorf("%v:\n%s", err, q)
	}
	return lines
}
