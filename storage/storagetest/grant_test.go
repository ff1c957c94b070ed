package storagetest_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

var grantTime = time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)

// flows is a database with one person signed in, twice in one browser, and one client.
type flows struct {
	*storage.Store
	raw                    *sql.DB
	account, login, client string
	session                []byte
}

func eachFlows(t *testing.T, fn func(t *testing.T, f *flows)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newFlows(t, storagetest.SQLite(t))) })
	if storagetest.Databases() != "sqlite" {
		t.Run("postgres", func(t *testing.T) { fn(t, newFlows(t, storagetest.Postgres(t))) })
	}
}

func newFlows(t *testing.T, dsn string) *flows {
	t.Helper()
	f := &flows{Store: storagetest.Open(t, dsn), account: "account", login: "login", client: "https://app.test/cb"}
	driver, source := "pgx", dsn
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	var err error
	if f.raw, err = sql.Open(driver, source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.raw.Close() })
	c := fullClient(f.client)
	c.DisabledAt = time.Time{}
	if err := f.InsertClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `INSERT INTO account (id, sub, state, name, claims, created_at, updated_at) VALUES ('account', 'sub', 'active', 'Ada 👩', '{"gender":"f"}', 1, 1700000000123456)`)
	f.exec(t, `INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at) VALUES ('d1', 'account', 'Ada@a.test', 'ada@a.test', true, 1, 1)`)
	f.exec(t, `INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at) VALUES ('d2', 'account', 'other@a.test', 'other@a.test', false, 1, 1)`)
	f.session = f.signIn(t, f.login)
	return f
}

// signIn puts the person into a browser of its own, with a login of this id.
func (f *flows) signIn(t *testing.T, login string) (session []byte) {
	t.Helper()
	session = hash()
	f.exec(t, `INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ($1, 1, 1, 2000000)`, "browser-"+login)
	f.exec(t, `INSERT INTO session_secret (hash, kind, browser_id, created_at) VALUES ($1, 'sid', $2, 1)`, session, "browser-"+login)
	f.exec(t, `INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, event, created_at) VALUES ($1, $2, 'account', 1000000, 'pwd otp', '1', $3, 1)`,
		login, "browser-"+login, []byte("event"))
	return session
}

func hash() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}

func (f *flows) exec(t *testing.T, q string, args ...any) {
	t.Helper()
	if _, err := f.raw.ExecContext(t.Context(), q, args...); err != nil {
		t.Fatal(err)
	}
}

func (f *flows) count(t *testing.T, what string) (n int) {
	t.Helper()
	if err := f.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM "+what).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (f *flows) rows(t *testing.T) (n int) {
	t.Helper()
	for _, table := range []string{"authorization_grant", "code", "access_token", "consent", "login_client", "interaction"} {
		n += f.count(t, table)
	}
	return n
}

func (f *flows) issuance() grant.Issuance {
	g := grant.Grant{
		ID: uuid.Must(uuid.NewV7()).String(), AccountID: f.account, ClientID: f.client, LoginID: f.login, SID: "sid",
		Scopes: []string{"openid", "profile"}, Audience: []string{"https://api.test"}, AuthTime: time.Unix(1, 0).UTC(),
		AMR: []string{"pwd", "otp"}, ACR: "1", Claims: `{"userinfo":{"email":null}}`, Offline: true, Cnf: "thumb",
		CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Hour),
	}
	return grant.Issuance{Grant: g, Epoch: 1, Code: &grant.Code{
		Sig: hash(), GrantID: g.ID, ClientID: f.client, RedirectURI: "https://app.test/cb?ü", Challenge: "c", Method: "S256",
		Nonce: "نونس", Cnf: "jkt", CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Minute),
	}}
}

func (f *flows) token(grantID string) *grant.Token {
	return &grant.Token{Sig: hash(), GrantID: grantID, ClientID: f.client, Scopes: []string{"openid"}, Audience: []string{"a", "b"},
		Cnf: "thumb", IssuedAt: grantTime, ExpiresAt: grantTime.Add(time.Hour)}
}

func (f *flows) issue(t *testing.T) grant.Issuance {
	t.Helper()
	is := f.issuance()
	if err := f.Issue(t.Context(), is); err != nil {
		t.Fatal(err)
	}
	return is
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func gone(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, grant.ErrGone) {
		t.Errorf("%v, not ErrGone", err)
	}
}

func (f *flows) person() grant.Person {
	return grant.Person{AccountID: "account", Sub: "sub", State: grant.Active, Name: "Ada 👩", Claims: []byte(`{"gender":"f"}`),
		Email: "Ada@a.test", Proven: true, UpdatedAt: time.UnixMicro(1700000000123456).UTC()}
}

// worlds are the ways in which what a read saw may no longer hold.
var worlds = map[string][2]string{
	"account disabled": {`UPDATE account SET state = 'disabled'`, `UPDATE account SET state = 'active'`},
	"account pending":  {`UPDATE account SET state = 'pending'`, `UPDATE account SET state = 'active'`},
	"address unproven": {`UPDATE address SET proven_at = NULL WHERE is_primary`, `UPDATE address SET proven_at = 1 WHERE is_primary`},
	"client disabled":  {`UPDATE client SET disabled_at = 1`, `UPDATE client SET disabled_at = NULL`},
}

func TestIssue(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		t.Run("what was issued is read back", func(t *testing.T) {
			is := f.issue(t)
			read, err := f.ReadCode(ctx, is.Code.Sig)
			if err != nil {
				t.Fatal(err)
			}
			same(t, grant.CodeRead{Code: *is.Code, Grant: is.Grant, Person: f.person()}, read)
			again, err := f.ReadGrant(ctx, is.Grant.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, grant.GrantRead{Grant: is.Grant, Person: f.person()}, again)
		})
		t.Run("consent is remembered, by client and by login", func(t *testing.T) {
			is := f.issuance()
			is.Consent = &grant.Consent{Scopes: []string{"openid"}, Claims: []string{"email"}, GrantedAt: grantTime}
			is.Token = f.token(is.Grant.ID)
			if err := f.Issue(ctx, is); err != nil {
				t.Fatal(err)
			}
			is = f.issuance()
			is.Consent = &grant.Consent{LoginID: f.login, Scopes: []string{"profile"}, GrantedAt: grantTime.Add(1000)}
			if err := f.Issue(ctx, is); err != nil {
				t.Fatal(err)
			}
			read, err := f.ReadRequest(ctx, f.session, f.client)
			if err != nil {
				t.Fatal(err)
			}
			same(t, grant.Request{BrowserID: "browser-login", ExpiresAt: time.Unix(2, 0).UTC(), Logins: []grant.Login{{
				ID: f.login, Person: f.person(), AuthTime: time.Unix(1, 0).UTC(), AMR: []string{"pwd", "otp"}, ACR: "1", Epoch: 1, Event: []byte("event"),
				Consents: []grant.Consent{
					{Scopes: []string{"openid"}, Claims: []string{"email"}, GrantedAt: grantTime},
					{LoginID: f.login, Scopes: []string{"profile"}, Claims: []string{}, GrantedAt: grantTime.Add(1000)},
				},
			}}}, read)
			other, err := f.ReadRequest(ctx, f.session, "https://other.test")
			if err != nil || other.Logins[0].Consents != nil {
				t.Errorf("another client's: %v %v", other, err)
			}
			is = f.issuance()
			is.Consent = &grant.Consent{Scopes: []string{"email"}, GrantedAt: grantTime}
			if err := f.Issue(ctx, is); err != nil {
				t.Fatal(err)
			}
			if f.count(t, "consent") != 2 || f.count(t, "consent WHERE scopes = 'email' AND login_id = ''") != 1 {
				t.Error("a new consent did not replace the old one")
			}
			if f.count(t, "login_client") != 1 || f.count(t, "access_token") != 1 {
				t.Error("login_client or token rows")
			}
		})
		t.Run("when a site was last visited is known to five minutes", func(t *testing.T) {
			for _, at := range []struct{ issued, known time.Duration }{{time.Hour, time.Hour}, {time.Hour + 4*time.Minute, time.Hour}, {time.Hour + 6*time.Minute, time.Hour + 6*time.Minute}} {
				is := f.issuance()
				is.Grant.CreatedAt = grantTime.Add(at.issued)
				if err := f.Issue(ctx, is); err != nil {
					t.Fatal(err)
				}
				if f.count(t, fmt.Sprintf("login_client WHERE last_at = %d AND first_at < last_at", grantTime.Add(at.known).UnixMicro())) != 1 {
					t.Errorf("issued %s later: it is not known as %s", at.issued, at.known)
				}
			}
		})
		t.Run("nothing is issued when the world changed", func(t *testing.T) {
			before := f.rows(t)
			for name, w := range worlds {
				f.exec(t, w[0])
				err := f.Issue(ctx, f.issuance())
				f.exec(t, w[1])
				if !errors.Is(err, grant.ErrGone) {
					t.Errorf("%s: %v", name, err)
				}
			}
			f.exec(t, `UPDATE login SET ended_at = 1`)
			gone(t, f.Issue(ctx, f.issuance()))
			f.exec(t, `UPDATE login SET ended_at = NULL`)
			is := f.issuance()
			is.Grant.AccountID = "another"
			gone(t, f.Issue(ctx, is))
			is = f.issuance()
			is.Interaction = hash()
			gone(t, f.Issue(ctx, is))
			if f.rows(t) != before {
				t.Error("rows were left")
			}
		})
		t.Run("an interaction is spent once", func(t *testing.T) {
			i := grant.Interaction{Hash: hash(), Kind: "authorize", ClientID: f.client, CreatedAt: grantTime, ExpiresAt: grantTime}
			if err := f.SaveInteraction(ctx, i); err != nil {
				t.Fatal(err)
			}
			before := f.count(t, "authorization_grant")
			won := race(32, func() error {
				is := f.issuance()
				is.Interaction = i.Hash
				return f.Issue(ctx, is)
			})
			if won != 1 || f.count(t, "authorization_grant") != before+1 {
				t.Errorf("%d won", won)
			}
		})
		t.Run("a logout that has begun comes first", func(t *testing.T) {
			if !strings.HasSuffix(t.Name(), "postgres/a_logout_that_has_begun_comes_first") {
				return // SQLite has one writer
			}
			f.signIn(t, "leaving")
			is := f.issuance()
			is.Grant.LoginID = "leaving"
			tx, err := f.raw.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, `UPDATE login SET ended_at = 1 WHERE id = 'leaving'`); err != nil {
				t.Fatal(err)
			}
			issued := make(chan error, 1)
			go func() { issued <- f.Issue(ctx, is) }()
			for len(issued) == 0 && f.count(t, "pg_locks WHERE NOT granted") == 0 {
				runtime.Gosched()
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			gone(t, <-issued)
		})
		t.Run("a logout at the same moment leaves no live grant, and nothing that was allowed for this login alone", func(t *testing.T) {
			for n := range 20 {
				login := fmt.Sprintf("brief-%d", n)
				f.signIn(t, login)
				is := f.issuance()
				is.Grant.LoginID, is.Grant.Offline = login, false
				is.Consent = &grant.Consent{LoginID: login, Scopes: []string{"openid"}, GrantedAt: grantTime}
				var wg sync.WaitGroup
				wg.Go(func() { _ = f.Issue(ctx, is) })
				wg.Go(func() {
					if _, err := f.EndLogins(ctx, session.Ending{LoginID: login, At: grantTime}); err != nil {
						t.Error(err)
					}
				})
				wg.Wait()
			}
			if n := f.count(t, `authorization_grant g JOIN login l ON l.id = g.login_id WHERE g.revoked_at IS NULL AND l.ended_at IS NOT NULL`); n != 0 {
				t.Errorf("%d grants outlived their login", n)
			}
			if n := f.count(t, `consent c JOIN login l ON l.id = c.login_id WHERE l.ended_at IS NOT NULL`); n != 0 {
				t.Errorf("what was allowed for %d logins outlived them", n)
			}
		})
	})
}

// race runs fn n times at once; it counts successes, and every other outcome must be ErrGone.
func race(n int, fn func() error) (won int64) {
	var wins atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wg.Go(func() {
			<-start
			switch err := fn(); {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, grant.ErrGone):
				wins.Add(1000)
			}
		})
	}
	close(start)
	wg.Wait()
	return wins.Load()
}

func TestInteractions(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		i := grant.Interaction{Hash: hash(), Kind: "authorize", ClientID: f.client, Params: "a=ü&b=👩", CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Hour)}
		if err := f.SaveInteraction(ctx, i); err != nil {
			t.Fatal(err)
		}
		read := func() grant.Interaction {
			got, err := f.ReadInteraction(ctx, i.Hash)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		same(t, i, read())
		if won := race(32, func() error { return f.BindInteraction(ctx, i.Hash, hash()) }); won != 1 {
			t.Errorf("%d browsers bound it", won)
		}
		if err := f.ChooseLogin(ctx, i.Hash, f.login); err != nil {
			t.Fatal(err)
		}
		if got := read(); got.LoginID != f.login || len(got.Binding) != 32 {
			t.Errorf("%+v", got)
		}
		gone(t, f.ChooseLogin(ctx, hash(), f.login))
		if won := race(32, func() error { return f.DropInteraction(ctx, i.Hash) }); won != 1 {
			t.Errorf("it was dropped %d times", won)
		}
		if _, err := f.ReadInteraction(ctx, i.Hash); !errors.Is(err, grant.ErrNotFound) {
			t.Error(err)
		}
		i.Params = "nul\x00"
		if err := f.SaveInteraction(ctx, i); !errors.Is(err, storage.ErrText) {
			t.Errorf("NUL: %v", err)
		}
	})
}

func TestRedeem(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		redemption := func(is grant.Issuance) grant.Redemption {
			return grant.Redemption{Sig: is.Code.Sig, GrantID: is.Grant.ID, ClientID: f.client, At: grantTime, Token: f.token(is.Grant.ID),
				Refresh: true, RefreshExpiresAt: grantTime.Add(30 * time.Minute)}
		}
		t.Run("code, tokens and generation in one", func(t *testing.T) {
			is := f.issue(t)
			r := redemption(is)
			if err := f.Redeem(ctx, r); err != nil {
				t.Fatal(err)
			}
			code, err := f.ReadCode(ctx, is.Code.Sig)
			if err != nil {
				t.Fatal(err)
			}
			want := is.Grant
			want.Generation, want.RotatedAt, want.RefreshExpiresAt = 1, grantTime, grantTime.Add(30*time.Minute)
			same(t, want, code.Grant)
			same(t, grantTime, code.Code.UsedAt)
			token, err := f.ReadToken(ctx, r.Token.Sig)
			if err != nil {
				t.Fatal(err)
			}
			p := f.person()
			same(t, grant.TokenRead{Token: *r.Token, Grant: &want, Person: &p}, token)
		})
		t.Run("without a refresh token, without an opaque one", func(t *testing.T) {
			is := f.issue(t)
			r := redemption(is)
			r.Refresh, r.Token = false, nil
			before := f.count(t, "access_token")
			if err := f.Redeem(ctx, r); err != nil {
				t.Fatal(err)
			}
			if got, err := f.ReadGrant(ctx, is.Grant.ID); err != nil || got.Grant.Generation != 0 || f.count(t, "access_token") != before {
				t.Errorf("%+v %v", got, err)
			}
		})
		t.Run("H02 once", func(t *testing.T) {
			is := f.issue(t)
			if won := race(32, func() error { return f.Redeem(ctx, redemption(is)) }); won != 1 {
				t.Errorf("%d won", won)
			}
			if n := f.count(t, "access_token WHERE grant_id = '"+is.Grant.ID+"'"); n != 1 {
				t.Errorf("%d tokens", n)
			}
		})
		t.Run("nothing when the world changed", func(t *testing.T) {
			is := f.issue(t)
			before := f.count(t, "access_token")
			for name, w := range worlds {
				f.exec(t, w[0])
				err := f.Redeem(ctx, redemption(is))
				f.exec(t, w[1])
				if !errors.Is(err, grant.ErrGone) {
					t.Errorf("%s: %v", name, err)
				}
			}
			other := redemption(is)
			other.ClientID = "https://other.test"
			gone(t, f.Redeem(ctx, other))
			f.exec(t, `UPDATE authorization_grant SET revoked_at = 1`)
			gone(t, f.Redeem(ctx, redemption(is)))
			f.exec(t, `UPDATE authorization_grant SET revoked_at = NULL`)
			if f.count(t, "access_token") != before || f.count(t, "code WHERE used_at IS NULL") == 0 {
				t.Error("something was written")
			}
			if err := f.SpendCode(ctx, is.Code.Sig, grantTime); err != nil {
				t.Fatal(err)
			}
			gone(t, f.Redeem(ctx, redemption(is)))
			gone(t, f.SpendCode(ctx, is.Code.Sig, grantTime))
			gone(t, f.SpendCode(ctx, hash(), grantTime))
		})
	})
}

// TestSealed: the grant of a sealed code, which Issue writes when the code is redeemed.
func TestSealed(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		promised := func(login string, epoch int64) grant.Issuance {
			is := f.issuance()
			is.Code, is.Grant.LoginID, is.Epoch = nil, login, 1+epoch // the first one of signIn's logins is 1
			is.Token = f.token(is.Grant.ID)
			return is
		}
		t.Run("it is read as unspent, and then as what was written", func(t *testing.T) {
			is := promised(f.login, 0)
			read, err := f.ReadSealed(ctx, f.account, is.Grant.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(f.person(), read.Person); d != "" || read.Grant.ID != "" {
				t.Errorf("%s %+v", d, read.Grant)
			}
			if err := f.Issue(ctx, is); err != nil {
				t.Fatal(err)
			}
			read, err = f.ReadSealed(ctx, f.account, is.Grant.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, grant.GrantRead{Grant: is.Grant, Person: f.person()}, read)
			if _, err := f.ReadSealed(ctx, "another", is.Grant.ID); !errors.Is(err, grant.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("Q049 it is written once", func(t *testing.T) {
			is := promised(f.login, 0)
			before := f.count(t, "access_token")
			won := race(32, func() error {
				is := is
				is.Token = f.token(is.Grant.ID)
				return f.Issue(ctx, is)
			})
			if won != 1 || f.count(t, "access_token") != before+1 {
				t.Errorf("%d won", won)
			}
			gone(t, f.SpendSealed(ctx, is.Grant))
		})
		t.Run("spent without a gift, once", func(t *testing.T) {
			is := promised(f.login, 0)
			if won := race(8, func() error { return f.SpendSealed(ctx, is.Grant) }); won != 1 {
				t.Errorf("%d won", won)
			}
			gone(t, f.Issue(ctx, is))
			read, err := f.ReadSealed(ctx, f.account, is.Grant.ID)
			if err != nil || read.Grant.ID != is.Grant.ID {
				t.Errorf("%+v %v", read.Grant, err)
			}
			for _, change := range []func(*grant.Grant){func(g *grant.Grant) { g.AccountID = "another" }, func(g *grant.Grant) { g.ClientID = "https://other.test" }} {
				g := promised(f.login, 0).Grant
				change(&g)
				gone(t, f.SpendSealed(ctx, g))
			}
		})
		t.Run("spent and redeemed at the same moment: one of them", func(t *testing.T) {
			for range 20 {
				is := promised(f.login, 0)
				var n atomic.Int64
				if won := race(2, func() error {
					if n.Add(1) == 1 {
						return f.Issue(ctx, is)
					}
					return f.SpendSealed(ctx, is.Grant)
				}); won != 1 {
					t.Fatalf("%d won", won)
				}
			}
		})
		t.Run("what revokes the grants of an account makes it void", func(t *testing.T) {
			f.signIn(t, "epochs")
			if err := f.Issue(ctx, promised("epochs", 0)); err != nil {
				t.Fatal(err)
			}
			gone(t, f.Issue(ctx, promised("epochs", 1)))
			if err := f.RevokeAll(ctx, f.account); err != nil {
				t.Fatal(err)
			}
			gone(t, f.Issue(ctx, promised("epochs", 0)))
			if err := f.Issue(ctx, promised("epochs", 1)); err != nil {
				t.Fatal(err)
			}
			for _, want := range []bool{true, false} { // there is nothing to end the second time but what is not there yet
				if ended, err := f.EndUse(ctx, f.account, f.client, grantTime); err != nil || ended != want {
					t.Errorf("%v %v", ended, err)
				}
			}
			gone(t, f.Issue(ctx, promised("epochs", 1)))
			gone(t, f.Issue(ctx, promised("epochs", 2)))
			if err := f.Issue(ctx, promised("epochs", 3)); err != nil {
				t.Error(err)
			}
		})
		t.Run("the epoch is that of the login that was read", func(t *testing.T) {
			session := f.signIn(t, "read")
			f.exec(t, `UPDATE login SET created_at = 7 WHERE id = 'read'`)
			read, err := f.ReadRequest(ctx, session, f.client)
			if err != nil || len(read.Logins) != 1 || read.Logins[0].Epoch != 7 {
				t.Errorf("%+v %v", read, err)
			}
		})
		t.Run("a site that is taken back at the same moment keeps nothing", func(t *testing.T) {
			for n := range 30 {
				login := fmt.Sprintf("back-%d", n)
				f.signIn(t, login)
				is := promised(login, 0)
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := f.Issue(ctx, is); err != nil && !errors.Is(err, grant.ErrGone) {
						t.Error(err)
					}
				})
				wg.Go(func() {
					var err error
					if n%2 == 0 {
						_, err = f.EndUse(ctx, f.account, f.client, grantTime)
					} else {
						err = f.RevokeAll(ctx, f.account)
					}
					if err != nil {
						t.Error(err)
					}
				})
				wg.Wait()
				if f.count(t, "authorization_grant WHERE revoked_at IS NULL") != 0 {
					t.Fatal("a grant was left")
				}
			}
		})
		t.Run("a new epoch that has begun comes first", func(t *testing.T) {
			if !strings.Contains(t.Name(), "postgres") {
				return // SQLite has one writer
			}
			f.signIn(t, "waits")
			tx, err := f.raw.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, `UPDATE login SET created_at = created_at + 1 WHERE id = 'waits'`); err != nil {
				t.Fatal(err)
			}
			issued := make(chan error, 1)
			go func() { issued <- f.Issue(ctx, promised("waits", 0)) }()
			for len(issued) == 0 && f.count(t, "pg_locks WHERE NOT granted") == 0 {
				runtime.Gosched()
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			gone(t, <-issued)
		})
	})
}

func TestRotate(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		fresh := func(t *testing.T) string {
			is := f.issue(t)
			if err := f.Redeem(ctx, grant.Redemption{Sig: is.Code.Sig, GrantID: is.Grant.ID, ClientID: f.client, At: grantTime, Refresh: true,
				RefreshExpiresAt: grantTime.Add(time.Minute)}); err != nil {
				t.Fatal(err)
			}
			return is.Grant.ID
		}
		rotation := func(id string, from int64) grant.Rotation {
			return grant.Rotation{GrantID: id, ClientID: f.client, From: from, At: grantTime.Add(time.Second),
				RefreshExpiresAt: grantTime.Add(time.Hour), Token: f.token(id)}
		}
		t.Run("steps", func(t *testing.T) {
			id := fresh(t)
			r := rotation(id, 1)
			if err := f.Rotate(ctx, r); err != nil {
				t.Fatal(err)
			}
			got, err := f.ReadGrant(ctx, id)
			if err != nil || got.Grant.Generation != 2 || !got.Grant.RotatedAt.Equal(r.At) || !got.Grant.RefreshExpiresAt.Equal(r.RefreshExpiresAt) {
				t.Errorf("%+v %v", got.Grant, err)
			}
			if _, err := f.ReadToken(ctx, r.Token.Sig); err != nil {
				t.Error(err)
			}
			gone(t, f.Rotate(ctx, rotation(id, 1)))
			gone(t, f.Rotate(ctx, rotation(id, 3)))
		})
		t.Run("H03a once a generation", func(t *testing.T) {
			id := fresh(t)
			if won := race(32, func() error { return f.Rotate(ctx, rotation(id, 1)) }); won != 1 {
				t.Errorf("%d won", won)
			}
		})
		t.Run("nothing when the world changed; nor one more token", func(t *testing.T) {
			id := fresh(t)
			before := f.count(t, "access_token")
			for name, w := range worlds {
				f.exec(t, w[0])
				err, more := f.Rotate(ctx, rotation(id, 1)), f.InsertToken(ctx, *f.token(id))
				f.exec(t, w[1])
				if !errors.Is(err, grant.ErrGone) || !errors.Is(more, grant.ErrGone) {
					t.Errorf("%s: %v %v", name, err, more)
				}
			}
			if err := f.RevokeGrant(ctx, id, grantTime); err != nil {
				t.Fatal(err)
			}
			gone(t, f.Rotate(ctx, rotation(id, 1)))
			gone(t, f.InsertToken(ctx, *f.token(id)))
			if f.count(t, "access_token") != before {
				t.Error("a token was written")
			}
		})
	})
}

func TestTokenRows(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		own := f.token("")
		if err := f.InsertToken(ctx, *own); err != nil {
			t.Fatal(err)
		}
		got, err := f.ReadToken(ctx, own.Sig)
		if err != nil {
			t.Fatal(err)
		}
		same(t, grant.TokenRead{Token: *own}, got)
		f.exec(t, worlds["client disabled"][0])
		gone(t, f.InsertToken(ctx, *f.token("")))
		f.exec(t, worlds["client disabled"][1])

		revoked := func() bool {
			got, err := f.ReadToken(ctx, own.Sig)
			if err != nil {
				t.Fatal(err)
			}
			return !got.Token.RevokedAt.IsZero()
		}
		if err := f.RevokeToken(ctx, own.Sig, "https://other.test", grantTime); err != nil || revoked() {
			t.Errorf("another client revoked it: %v", err)
		}
		if err := f.RevokeToken(ctx, own.Sig, f.client, grantTime); err != nil || !revoked() {
			t.Errorf("not revoked: %v", err)
		}
		for what, err := range map[string]error{
			"token": second(f.ReadToken(ctx, hash())), "code": second(f.ReadCode(ctx, hash())), "grant": second(f.ReadGrant(ctx, "nothing")),
		} {
			if !errors.Is(err, grant.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"token": f.RevokeToken(ctx, hash(), f.client, grantTime), "grant": f.RevokeGrant(ctx, "nothing", grantTime),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		t.Run("a rolled back transaction leaves nothing", func(t *testing.T) {
			before := f.rows(t)
			stop := errors.New("stop")
			err := f.InTx(ctx, func(ctx context.Context) error {
				if err := f.Issue(ctx, f.issuance()); err != nil {
					return err
				}
				return stop
			})
			if !errors.Is(err, stop) || f.rows(t) != before {
				t.Errorf("%v", err)
			}
		})
		t.Run("all grants of an account", func(t *testing.T) {
			f.issue(t)
			if err := f.RevokeAll(ctx, "another"); err != nil || f.count(t, "authorization_grant WHERE revoked_at IS NULL") != 1 {
				t.Errorf("another account's: %v", err)
			}
			if err := f.RevokeAll(ctx, f.account); err != nil || f.count(t, "authorization_grant WHERE revoked_at IS NULL") != 0 {
				t.Errorf("%v", err)
			}
		})
		t.Run("nobody", func(t *testing.T) {
			for _, session := range [][]byte{nil, {}, hash()} {
				if got, err := f.ReadRequest(ctx, session, f.client); err != nil || got.BrowserID != "" || len(got.Logins) != 0 {
					t.Errorf("%+v %v", got, err)
				}
			}
			f.exec(t, `UPDATE login SET ended_at = 1`)
			if got, err := f.ReadRequest(ctx, f.session, f.client); err != nil || len(got.Logins) != 0 {
				t.Errorf("an ended login: %+v %v", got, err)
			}
		})
	})
}

func second[T any](_ T, err error) error { return err }

// TestSharedInserts: access tokens of clients that come while others are written share a commit, and each has its own result all
// the same. That they share one is storage.TestSharer.
func TestSharedInserts(t *testing.T) {
	storagetest.EachNamed(t, func(t *testing.T, _ *storage.Store, dsn string) {
		f := newFlows(t, dsn)
		ctx := t.Context()
		for _, id := range []string{"stopped", "held"} {
			if err := f.InsertClient(ctx, fullClient(id)); err != nil {
				t.Fatal(err)
			}
		}
		f.exec(t, `UPDATE client SET disabled_at = NULL WHERE client_id = 'held'`)
		token := func(client, scope string) grant.Token {
			own := *f.token("")
			own.GrantID, own.ClientID, own.Sig, own.Scopes = "", client, hash(), []string{scope}
			return own
		}
		// together has them all come while nothing can be written.
		together := func(t *testing.T, tokens ...grant.Token) []error {
			t.Helper()
			lock, err := f.raw.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			release := sync.OnceValue(func() error {
				_, err := lock.ExecContext(ctx, "ROLLBACK")
				return errors.Join(err, lock.Close())
			})
			defer func() { _ = release() }()
			hold := []string{"BEGIN", "LOCK TABLE access_token IN EXCLUSIVE MODE"}
			if strings.HasPrefix(dsn, "sqlite:") {
				hold = []string{"BEGIN IMMEDIATE"}
			}
			for _, q := range hold {
				if _, err := lock.ExecContext(ctx, q); err != nil {
					t.Fatal(err)
				}
			}
			var all sync.WaitGroup
			var ended atomic.Int64
			errs := make([]error, len(tokens))
			for i, own := range tokens {
				all.Go(func() {
					errs[i] = f.InsertToken(ctx, own)
					ended.Add(1)
				})
			}
			// Each look at the stacks stops all that runs: not too often, or nobody comes. What is refused whoever holds locks may end.
			for buf := make([]byte, 1<<20); int(ended.Load())+strings.Count(string(buf[:runtime.Stack(buf, true)]), "storage.(*sharer).insert(") < len(tokens); {
				<-time.After(time.Millisecond)
			}
			if n := ended.Load(); n > 1 {
				t.Fatalf("%d ended while nothing could be written", n)
			}
			if err := release(); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			return errs
		}
		t.Run("each has its own result", func(t *testing.T) {
			n := f.count(t, "access_token")
			errs := together(t, token(f.client, "a"), token(f.client, "b"), token(f.client, "c"), token("stopped", "d"), token("nobody", "e"))
			for i, err := range errs {
				if want := i > 2; errors.Is(err, grant.ErrGone) != want || err != nil != want {
					t.Errorf("%d: %v", i, err)
				}
			}
			if got := f.count(t, "access_token") - n; got != 3 {
				t.Errorf("%d tokens, not 3", got)
			}
		})
		t.Run("what the database refuses is refused to its own alone", func(t *testing.T) {
			n := f.count(t, "access_token")
			again := token(f.client, "again")
			if err := f.InsertToken(ctx, again); err != nil {
				t.Fatal(err)
			}
			errs := together(t, token(f.client, "a"), token(f.client, "no\x00"), again, token(f.client, "b"))
			if errs[0] != nil || !errors.Is(errs[1], storage.ErrText) || errs[2] == nil || errs[3] != nil {
				t.Errorf("%v", errs)
			}
			if got := f.count(t, "access_token") - n; got != 3 {
				t.Errorf("%d tokens, not 3", got)
			}
		})
		t.Run("a client that is locked keeps no other waiting", func(t *testing.T) {
			if strings.HasPrefix(dsn, "sqlite:") {
				return // it locks no rows
			}
			n := f.count(t, "access_token")
			lock, err := f.raw.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = lock.Rollback() }()
			if _, err := lock.ExecContext(ctx, `SELECT FROM client WHERE client_id = 'held' FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			var held sync.WaitGroup
			for range 2 {
				own := token("held", "a")
				held.Go(func() {
					if err := f.InsertToken(ctx, own); err != nil {
						t.Errorf("after the lock: %v", err)
					}
				})
			}
			const waits = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
			for end := time.Now().Add(20 * time.Second); f.count(t, waits) == 0; <-time.After(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nobody waits for the lock")
				}
			}
			if shared := f.count(t, waits+" AND query LIKE '%unnest%'"); shared != 0 {
				t.Errorf("%d statements wait that are for others too", shared)
			}
			for range 3 {
				if err := f.InsertToken(ctx, token(f.client, "b")); err != nil {
					t.Errorf("another client's: %v", err)
				}
			}
			if got := f.count(t, "access_token") - n; got != 3 {
				t.Errorf("%d tokens while it is locked, not 3", got)
			}
			if err := lock.Rollback(); err != nil {
				t.Fatal(err)
			}
			held.Wait()
			if got := f.count(t, "access_token") - n; got != 5 {
				t.Errorf("%d tokens, not 5", got)
			}
		})
		t.Run("within a transaction it is the transaction's", func(t *testing.T) {
			n := f.count(t, "access_token")
			failed := errors.New("failed")
			err := f.InTx(ctx, func(ctx context.Context) error {
				return errors.Join(f.InsertToken(ctx, token(f.client, "a")), failed)
			})
			if !errors.Is(err, failed) || f.count(t, "access_token") != n {
				t.Errorf("%v: a token outlived its transaction", err)
			}
		})
	})
}
