package storage_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

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
	execute(t, s, "ANALYZE account, address, credential") // of empty ones it had better know nothing
	asked := map[string]string{}                          // by statement: the call that makes it
	hash, now := []byte("hash"), time.Now()
	rec := account.Record{ID: "id", AddressID: "address", Canonical: "a@x.test", BrowserHash: hash, Invitation: "invitation"}
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
		"ChangedClients":  func(ctx context.Context) error { _, err := s.ChangedClients(ctx, 1, 2); return err },
		"NoteClientUse":   func(ctx context.Context) error { return s.NoteClientUse(ctx, "shop", now) },
		"ReadDevice":      func(ctx context.Context) error { _, err := s.ReadDevice(ctx, hash); return err },
		"PollDevice":      func(ctx context.Context) error { _, _, err := s.PollDevice(ctx, hash, "shop", now); return err },
		"ReadInteraction": func(ctx context.Context) error { _, err := s.ReadInteraction(ctx, hash); return err },
		"DropInteraction": func(ctx context.Context) error { return s.DropInteraction(ctx, hash) },
		"ReadRequest":     func(ctx context.Context) error { _, err := s.ReadRequest(ctx, hash, "shop"); return err },
		"ReadCode":        func(ctx context.Context) error { _, err := s.ReadCode(ctx, hash); return err },
		"ReadGrant":       func(ctx context.Context) error { _, err := s.ReadGrant(ctx, "id"); return err },
		"ReadToken":       func(ctx context.Context) error { _, err := s.ReadToken(ctx, hash); return err },
		"RevokeToken":     func(ctx context.Context) error { return s.RevokeToken(ctx, hash, "shop", now) },
		"RevokeAll":       func(ctx context.Context) error { return s.RevokeAll(ctx, "id") },
		"ListUses":        func(ctx context.Context) error { _, err := s.ListUses(ctx, "id", now); return err },
		"EndUse":          func(ctx context.Context) error { return s.EndUse(ctx, "id", "shop", now) },
		"Visits":          func(ctx context.Context) error { _, err := s.Visits(ctx, []string{"login"}); return err },
		"SetNotice":       func(ctx context.Context) error { return s.SetNotice(ctx, "login", "shop", "told", now) },
		"ReadSession":     func(ctx context.Context) error { _, err := s.ReadSession(ctx, hash); return err },
		"RenewSecret": func(ctx context.Context) error {
			_, _, err := s.RenewSecret(ctx, hash, []byte("other"), now)
			return err
		},
		"EndLogins": func(ctx context.Context) error {
			_, err := s.EndLogins(ctx, session.Ending{AccountID: "id", At: now})
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
	// Of these a purge reads all, for they are few: what operators hand out, what waits to be done, what is allowed for one sign-in.
	few := regexp.MustCompile(`^DELETE FROM (invitation|registration_token|outbox|consent) `)
	purges := 0
	whole := regexp.MustCompile(`(Seq|Index|Index Only) Scan (?:Backward )?(?:using \w+ )?on (\w+)`)
	for q, name := range asked {
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
	if purges < 20 {
		t.Errorf("%d statements of a purge were seen", purges)
	}
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
