package storage_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// desk is a Manager over a real database, and a clock moved by hand.
type desk struct {
	*session.Manager
	t   *testing.T
	s   *storage.Store
	now time.Time
}

func newDesk(t *testing.T, s *storage.Store) *desk {
	t.Helper()
	d := &desk{t: t, s: s, now: time.Date(2026, 11, 23, 12, 0, 0, 987654000, time.UTC)}
	m, err := session.New(session.Config{Store: s, Issuer: "https://passport.test", Now: func() time.Time { return d.now }})
	if err != nil {
		t.Fatal(err)
	}
	d.Manager = m
	for _, id := range []string{"alice", "bob"} {
		d.exec("INSERT INTO account (id, sub, state, created_at, updated_at) VALUES (?, ?, 'active', 1, 1)", id, id)
	}
	d.exec("INSERT INTO client (client_id, name, metadata, require_pkce, skip_consent, created_at, updated_at, revision) VALUES ('c', '', '{}', true, false, 1, 1, 1)")
	return d
}

func (d *desk) exec(q string, args ...any) {
	d.t.Helper()
	if err := d.s.DB(d.t.Context()).Exec(q, args...).Error; err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) count(q string, args ...any) (n int64) {
	d.t.Helper()
	if err := d.s.Read(d.t.Context()).Raw(q, args...).Scan(&n).Error; err != nil {
		d.t.Fatal(err)
	}
	return n
}

// grant writes a grant of a login.
func (d *desk) grant(id, login, account string, offline bool) {
	d.t.Helper()
	d.exec(`INSERT INTO authorization_grant (id, account_id, client_id, login_id, sid, scopes, auth_time, amr, acr, offline, created_at, expires_at)
		VALUES (?, ?, 'c', ?, '', '', 1, '', '', ?, 1, 1)`, id, account, login, offline)
}

func (d *desk) revoked(id string) bool {
	d.t.Helper()
	return d.count("SELECT count(*) FROM authorization_grant WHERE id = ? AND revoked_at IS NOT NULL", id) == 1
}

// browser keeps cookies as a browser does.
type browser struct {
	d   *desk
	jar map[string]*http.Cookie
}

func (d *desk) browser() *browser { return &browser{d: d, jar: map[string]*http.Cookie{}} }

// do runs fn as the handler of one request.
func (b *browser) do(fn func(w http.ResponseWriter, r *http.Request)) {
	b.d.t.Helper()
	r := httptest.NewRequest("POST", "https://passport.test/", nil)
	for _, c := range b.jar {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	fn(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
			continue
		}
		b.jar[c.Name] = c
	}
}

func (b *browser) signIn(account string, event ...byte) (login session.Login) {
	b.d.t.Helper()
	b.do(func(w http.ResponseWriter, r *http.Request) {
		var err error
		login, err = b.d.SignIn(b.d.t.Context(), w, r, session.SignIn{AccountID: account, AMR: []string{"pwd"}, ACR: "1", Keep: true,
			Event: event, Device: "Firefox"})
		if err != nil {
			b.d.t.Fatal(err)
		}
		// Later in the same request the new session is seen.
		now, err := b.d.Current(b.d.t.Context(), r)
		if err != nil || now == nil || now.Logins[0].ID != login.ID {
			b.d.t.Errorf("within the request: %+v, %v", now, err)
		}
	})
	return login
}

// who are the accounts that are signed in, newest first.
func (b *browser) who() (ids []string) {
	b.d.t.Helper()
	b.do(func(_ http.ResponseWriter, r *http.Request) {
		now, err := b.d.Current(b.d.t.Context(), r)
		if err != nil {
			b.d.t.Fatal(err)
		}
		if now != nil {
			for _, l := range now.Logins {
				ids = append(ids, l.AccountID)
			}
		}
	})
	return ids
}

func (b *browser) see(want ...string) {
	b.d.t.Helper()
	got := b.who()
	if len(got) != len(want) {
		b.d.t.Errorf("signed in: %v, want %v", got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			b.d.t.Errorf("signed in: %v, want %v", got, want)
		}
	}
}

func TestSignIn(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b := d.browser()
		b.see()
		first := b.signIn("alice", 1, 2, 3)
		b.see("alice")
		if !first.AuthTime.Equal(d.now.Truncate(time.Second)) || first.AuthTime.Nanosecond() != 0 {
			t.Errorf("auth_time %s at %s", first.AuthTime, d.now)
		}
		c := b.jar["__Host-sid"]
		if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" ||
			c.MaxAge != 30*24*3600 || len(c.Value) != 43 {
			t.Fatalf("the cookie is %+v", c)
		}
		if n := d.count("SELECT count(*) FROM session_secret WHERE hash = ?", []byte(c.Value)); n != 0 {
			t.Error("the database has the cookie's value")
		}

		// Again: the same login, refreshed, under a new secret.
		d.now = d.now.Add(time.Hour)
		again := b.signIn("alice", 4)
		if again.ID != first.ID || again.BrowserID != first.BrowserID || !again.AuthTime.Equal(first.AuthTime.Add(time.Hour)) ||
			!bytes.Equal(again.Event, []byte{4}) {
			t.Errorf("%+v, then %+v", first, again)
		}
		b.see("alice")
		if n := d.count("SELECT count(*) FROM session_secret"); n != 1 {
			t.Errorf("%d secrets", n)
		}

		// A second account in the same browser.
		d.now = d.now.Add(time.Hour)
		second := b.signIn("bob")
		if second.BrowserID != first.BrowserID || second.ID == first.ID || second.Event != nil {
			t.Errorf("%+v", second)
		}
		b.see("bob", "alice")
		other := d.browser()
		other.see()
		if l := other.signIn("alice"); l.BrowserID == first.BrowserID || l.ID == first.ID {
			t.Errorf("two browsers share %+v", l)
		}
		list, err := d.List(t.Context(), "alice")
		if err != nil || len(list) != 2 || list[0].Device != "Firefox" || list[0].SeenAt.IsZero() || list[1].ID != first.ID {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// B6: the secret that the browser had before is dead, whoever planted it.
func TestFixation(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		mallory, victim := d.browser(), d.browser()
		mallory.signIn("bob")
		// Any other secret of that browser dies with the one that was planted.
		d.exec("INSERT INTO session_secret (kind, hash, browser_id, created_at) SELECT 'fedcm', ?, browser_id, 1 FROM session_secret", []byte("x"))
		victim.jar["__Host-sid"] = mallory.jar["__Host-sid"]
		victim.signIn("alice")
		if n := d.count("SELECT count(*) FROM session_secret"); n != 1 {
			t.Errorf("%d secrets", n)
		}
		if victim.jar["__Host-sid"].Value == mallory.jar["__Host-sid"].Value {
			t.Fatal("the planted secret lives on")
		}
		mallory.see()
		// And one that was never issued is not taken over either.
		made := d.browser()
		made.jar["__Host-sid"] = &http.Cookie{Name: "__Host-sid", Value: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
		made.signIn("alice")
		if made.jar["__Host-sid"].Value == "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" {
			t.Error("the browser's own value became the secret")
		}
	})
}

// Of sign-ins at the same moment with one secret, one keeps the browser; none fails, and every secret is new.
func TestSignInTogether(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b := d.browser()
		before := b.signIn("alice")
		old := b.jar["__Host-sid"]
		var mu sync.Mutex
		kept := 0
		ok, errs := together(func(int) error {
			r := httptest.NewRequest("POST", "https://passport.test/", nil)
			r.AddCookie(&http.Cookie{Name: old.Name, Value: old.Value})
			l, err := d.SignIn(t.Context(), httptest.NewRecorder(), r, session.SignIn{AccountID: "alice", Keep: true})
			mu.Lock()
			defer mu.Unlock()
			if err == nil && l.BrowserID == before.BrowserID {
				kept++
			}
			return err
		})
		if ok != 32 || kept != 1 {
			t.Errorf("%d went well, %d kept the browser: %v", ok, kept, errs)
		}
		b.see()
	})
}

// A17, A28: sign-ins at the moment at which the account is disabled, or its password replaced, are ended by it
// or refused.
func TestSignInWhileRefused(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		changes := map[string]string{
			"disabled": "UPDATE account SET state = 'disabled' WHERE id = 'alice'",
			"password": "UPDATE credential SET id = 'new' WHERE id = 'old'",
		}
		for name, change := range changes {
			d.exec("UPDATE account SET state = 'active' WHERE id = 'alice'")
			d.exec("DELETE FROM credential")
			d.exec("INSERT INTO credential (id, account_id, kind, secret, created_at) VALUES ('old', 'alice', 'password', '', 1)")
			in := session.SignIn{AccountID: "alice", Credential: "old"}
			try := func(in session.SignIn) error {
				_, err := d.SignIn(t.Context(), httptest.NewRecorder(), httptest.NewRequest("POST", "https://passport.test/", nil), in)
				return err
			}
			_, errs := together(func(i int) error {
				if i == 16 {
					return s.InTx(t.Context(), func(ctx context.Context) error {
						// As every change of an account: its row first.
						if err := s.DB(ctx).Exec("UPDATE account SET updated_at = 2 WHERE id = 'alice'").Error; err != nil {
							return err
						}
						if err := s.DB(ctx).Exec(change).Error; err != nil {
							return err
						}
						return d.EndAll(ctx, "alice", "")
					})
				}
				if err := try(in); !errors.Is(err, session.ErrRefused) {
					return err
				}
				return nil
			})
			if len(errs) != 0 {
				t.Errorf("%s: %v", name, errs)
			}
			if l, err := d.List(t.Context(), "alice"); err != nil || len(l) != 0 {
				t.Errorf("%s: %d logins left, %v", name, len(l), err)
			}
			if err := try(in); !errors.Is(err, session.ErrRefused) {
				t.Errorf("%s: afterwards: %v", name, err)
			}
		}
		for _, in := range []session.SignIn{{AccountID: "nobody"}, {AccountID: "bob", Credential: "new"}, {AccountID: "bob", Credential: "none"}} {
			if _, err := d.SignIn(t.Context(), httptest.NewRecorder(), httptest.NewRequest("POST", "https://passport.test/", nil), in); !errors.Is(err, session.ErrRefused) {
				t.Errorf("%+v: %v", in, err)
			}
		}
	})
}

// Sign-ins and ends of the same logins at the same moment do not fail each other.
func TestSignInWhileEnding(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		for range 8 {
			b := d.browser()
			b.signIn("bob")
			b.signIn("alice")
			cookie := b.jar["__Host-sid"]
			_, errs := together(func(i int) error {
				r := httptest.NewRequest("POST", "https://passport.test/", nil)
				r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
				switch i % 8 {
				case 0:
					return d.EndAll(t.Context(), "alice", "")
				case 1:
					_, err := d.EndBrowser(t.Context(), httptest.NewRecorder(), r)
					return err
				}
				_, err := d.SignIn(t.Context(), httptest.NewRecorder(), r, session.SignIn{AccountID: []string{"alice", "bob"}[i%2]})
				return err
			})
			if len(errs) != 0 {
				t.Errorf("%v", errs)
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b := d.browser()
		start := d.now
		alice := b.signIn("alice")
		d.now = start.Add(20 * 24 * time.Hour)
		b.signIn("bob")
		b.see("bob", "alice")
		// alice's login is over thirty days after her authentication, whatever others did in the browser.
		d.now = alice.AuthTime.Add(30*24*time.Hour - time.Microsecond)
		b.see("bob", "alice")
		d.now = alice.AuthTime.Add(30 * 24 * time.Hour)
		b.see("bob")
		if list, err := d.List(t.Context(), "alice"); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		// It does not come back to life.
		d.grant("g", alice.ID, "alice", false)
		b.signIn("bob")
		if n := d.count("SELECT count(*) FROM login WHERE id = ? AND ended_at IS NULL", alice.ID); n != 0 {
			t.Error("a login whose time was over is still there")
		}
		if !d.revoked("g") {
			t.Error("its grant lives")
		}
		d.now = start.Add(100 * 24 * time.Hour)
		b.see()
		// A sign-in in a browser whose time is over is one in a new browser.
		if l := b.signIn("bob"); l.BrowserID == alice.BrowserID {
			t.Error("the old browser came back to life")
		}
		b.see("bob")
	})
}

func TestEndLogin(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b, elsewhere := d.browser(), d.browser()
		alice, bob := b.signIn("alice"), b.signIn("bob")
		far := elsewhere.signIn("alice")
		d.grant("online", alice.ID, "alice", false)
		d.grant("offline", alice.ID, "alice", true)
		d.grant("bob's", bob.ID, "bob", false)
		d.grant("far", far.ID, "alice", false)

		// B14: the login of another browser, even of the same person.
		b.do(func(w http.ResponseWriter, r *http.Request) {
			for _, id := range []string{far.ID, "", "nonsense"} {
				if err := d.EndLogin(t.Context(), w, r, id); !errors.Is(err, session.ErrNoLogin) {
					t.Errorf("%q: %v", id, err)
				}
			}
		})
		b.see("bob", "alice")
		elsewhere.see("alice")

		b.do(func(w http.ResponseWriter, r *http.Request) {
			if err := d.EndLogin(t.Context(), w, r, alice.ID); err != nil {
				t.Fatal(err)
			}
		})
		b.see("bob")
		elsewhere.see("alice")
		for id, want := range map[string]bool{"online": true, "offline": false, "bob's": false, "far": false} {
			if d.revoked(id) != want {
				t.Errorf("the grant %s: revoked %v", id, !want)
			}
		}
		if b.jar["__Host-sid"] == nil {
			t.Fatal("the cookie went with the first of two logins")
		}
		kept := *b.jar["__Host-sid"]
		b.do(func(w http.ResponseWriter, r *http.Request) {
			if err := d.EndLogin(t.Context(), w, r, bob.ID); err != nil {
				t.Fatal(err)
			}
			if d.Hash(r) != nil {
				t.Error("the cookie is still in the request")
			}
		})
		if b.jar["__Host-sid"] != nil {
			t.Error("the cookie stays after the last login")
		}
		b.jar["__Host-sid"] = &kept
		b.see()
		if n := d.count("SELECT count(*) FROM session_secret WHERE browser_id = ?", bob.BrowserID); n != 0 {
			t.Error("the secret lives on in the database")
		}
	})
}

func TestEndBrowser(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b, elsewhere := d.browser(), d.browser()
		alice, bob := b.signIn("alice"), b.signIn("bob")
		elsewhere.signIn("alice")
		d.grant("a", alice.ID, "alice", false)
		d.grant("b", bob.ID, "bob", false)
		kept := *b.jar["__Host-sid"]
		for range 2 { // again: no error
			b.do(func(w http.ResponseWriter, r *http.Request) {
				if _, err := d.EndBrowser(t.Context(), w, r); err != nil {
					t.Fatal(err)
				}
			})
		}
		if b.jar["__Host-sid"] != nil {
			t.Error("the cookie stays")
		}
		b.jar["__Host-sid"] = &kept
		b.see()
		elsewhere.see("alice")
		if !d.revoked("a") || !d.revoked("b") {
			t.Error("a grant lives")
		}
	})
}

func TestEndAll(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		here, there, shared := d.browser(), d.browser(), d.browser()
		keep, end := here.signIn("alice"), there.signIn("alice")
		shared.signIn("alice")
		shared.signIn("bob")
		d.grant("kept", keep.ID, "alice", false)
		d.grant("ended", end.ID, "alice", false)
		d.grant("offline", end.ID, "alice", true)
		if err := d.EndAll(t.Context(), "alice", keep.ID); err != nil {
			t.Fatal(err)
		}
		here.see("alice")
		there.see()
		shared.see("bob")
		for id, want := range map[string]bool{"kept": false, "ended": true, "offline": false} {
			if d.revoked(id) != want {
				t.Errorf("the grant %s: revoked %v", id, !want)
			}
		}
		if err := d.EndAll(t.Context(), "alice", ""); err != nil {
			t.Fatal(err)
		}
		here.see()
		shared.see("bob")
		if err := d.EndAll(t.Context(), "", ""); err == nil {
			t.Error("everybody was signed out")
		}
		if n := d.count("SELECT count(*) FROM login WHERE ended_at = ?", d.now.UnixMicro()); n != 3 {
			t.Errorf("%d logins ended", n)
		}
		// It joins the caller's transaction.
		here.signIn("alice")
		boom := errors.New("boom")
		err := s.InTx(t.Context(), func(ctx context.Context) error {
			return errors.Join(d.EndAll(ctx, "alice", ""), boom)
		})
		if !errors.Is(err, boom) {
			t.Error(err)
		}
		here.see("alice")
	})
}

// Two that end the same logins at the same moment do not fail on each other.
func TestEndAllTogether(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		for range 8 {
			b := d.browser()
			b.signIn("alice")
			b.signIn("bob")
		}
		ok, errs := together(func(n int) error {
			return d.EndAll(t.Context(), []string{"alice", "bob"}[n%2], "")
		})
		if ok != 32 {
			t.Error(errs)
		}
		if n := d.count("SELECT count(*) FROM login WHERE ended_at IS NULL"); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

// TestRenew: another secret for the same logins.
func TestRenew(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		d := newDesk(t, s)
		b := d.browser()
		login := b.signIn("alice")
		b.signIn("bob")
		thief := &browser{d: d, jar: map[string]*http.Cookie{"__Host-sid": b.jar["__Host-sid"]}}
		thief.see("bob", "alice")
		d.now = d.now.Add(time.Hour)
		renew := func(b *browser) (err error) {
			b.do(func(w http.ResponseWriter, r *http.Request) {
				if err = d.Renew(t.Context(), w, r); err != nil {
					return
				}
				if now, err := d.Current(t.Context(), r); err != nil || now == nil {
					t.Errorf("within the request: %v, %v", now, err)
				}
			})
			return err
		}
		if err := renew(b); err != nil {
			t.Fatal(err)
		}
		b.see("bob", "alice")
		thief.see()
		if n := d.count("SELECT count(*) FROM login WHERE id = ? AND ended_at IS NULL", login.ID); n != 1 {
			t.Error("the login is another")
		}
		if age, want := time.Duration(b.jar["__Host-sid"].MaxAge)*time.Second, session.DefaultLifetime-time.Hour; age != want {
			t.Errorf("the cookie lasts %s, not %s", age, want)
		}
		for name, other := range map[string]*browser{"an old secret": thief, "none": d.browser()} {
			if err := renew(other); !errors.Is(err, session.ErrNoLogin) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.see("bob", "alice")
		// At the same moment: one has it.
		var wait sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			copied := &browser{d: d, jar: map[string]*http.Cookie{"__Host-sid": b.jar["__Host-sid"]}}
			wait.Go(func() { errs[i] = renew(copied) })
		}
		wait.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, session.ErrNoLogin) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
		// What was not to be kept still is not.
		b = d.browser()
		b.do(func(w http.ResponseWriter, r *http.Request) {
			if _, err := d.SignIn(t.Context(), w, r, session.SignIn{AccountID: "alice", AMR: []string{"pwd"}, ACR: "1"}); err != nil {
				t.Fatal(err)
			}
		})
		if err := renew(b); err != nil || b.jar["__Host-sid"].MaxAge != 0 {
			t.Errorf("%v, max-age %d", err, b.jar["__Host-sid"].MaxAge)
		}
		b.see("alice")
	})
}
