package account_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
)

func TestAuthenticate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "A15 equal work", func(t *testing.T) { equalWork(t, w) })
		w.run(t, "A9 a stranger's registration does not touch the owner's sign-in", func(t *testing.T) {
			owner := w.member("owner@a9b.test", goodPassword)
			for range 3 {
				if _, err := w.Register(ctx, form("owner@a9b.test", "a stranger's one")); err != nil {
					t.Fatal(err)
				}
				if got, err := w.signIn("owner@a9b.test", goodPassword, nil); err != nil || got.AccountID != owner.AccountID || got.Pending {
					t.Errorf("the owner: %+v %v", got, err)
				}
			}
		})
		w.run(t, "which pending registration", func(t *testing.T) {
			first, _ := w.register("which@p.test", "the first password")
			second, _ := w.register("which@p.test", "the second password")
			if got, err := w.signIn("which@p.test", "the first password", first.FlowHash); err != nil || !got.Pending || got.Waiting != "" {
				t.Errorf("this browser's own: %+v %v", got, err)
			}
			if got, err := w.signIn("which@p.test", "the second password", browser()); err != nil || !got.Pending {
				t.Errorf("the newest: %+v %v", got, err)
			}
			if _, err := w.signIn("which@p.test", "the first password", second.FlowHash); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("neither this browser's nor the newest: %v", err)
			}
		})
		w.run(t, "A12 sign-ins to a stranger's registration do not hinder the confirmation", func(t *testing.T) {
			for range 8 {
				email := strings.ToLower(rand.Text()) + "@a12.test"
				owner, mine := w.register(email, goodPassword)
				w.register(email, "a stranger's one")
				var wg sync.WaitGroup
				start := make(chan struct{})
				for range 8 {
					wg.Go(func() {
						<-start
						if _, err := w.signIn(email, "a stranger's one", nil); err != nil && !errors.Is(err, account.ErrCredentials) {
							t.Errorf("sign in: %v", err)
						}
					})
				}
				wg.Go(func() {
					<-start
					if _, err := w.Confirm(ctx, account.ConfirmInput{Token: mine.confirm, FlowHash: owner.FlowHash, IP: ip()}); err != nil {
						t.Errorf("confirm: %v", err)
					}
				})
				close(start)
				wg.Wait()
			}
		})
		w.run(t, "A28 disabled", func(t *testing.T) {
			who := w.member("disabled@a28.test", goodPassword)
			if _, err := w.Disable(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			if _, err := w.signIn("disabled@a28.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("signed in: %v", err)
			}
			if _, err := w.Profile(ctx, who.AccountID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("a profile: %v", err)
			}
			if a, err := w.Enable(ctx, who.AccountID); err != nil || a.State != account.Active {
				t.Errorf("enabled: %+v %v", a, err)
			}
			if _, err := w.signIn("disabled@a28.test", goodPassword, nil); err != nil {
				t.Errorf("enabled again: %v", err)
			}
		})
		w.run(t, "guesses in parallel", func(t *testing.T) {
			w.member("guessed@l.test", goodPassword)
			var checked atomic.Int64
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					// Spelling the name in other ways is no new budget (CVE-2025-24806).
					email := []string{"guessed@l.test", "GUESSED@L.test", " Guessed@l.TEST "}[i%3]
					if _, err := w.signIn(email, "not this one", nil); errors.Is(err, account.ErrCredentials) {
						checked.Add(1)
					}
				})
			}
			wg.Wait()
			if n := checked.Load(); n != 10 {
				t.Errorf("%d of 40 guesses were looked at", n)
			}
		})
		w.run(t, "A23 never trimmed, and however its accents are typed", func(t *testing.T) {
			const typed = "  caf\u00e9 y churros  "
			w.member("spaces@a23.test", typed)
			for password, right := range map[string]bool{
				typed: true, strings.ReplaceAll(typed, "\u00e9", "e\u0301"): true,
				strings.TrimSpace(typed): false, typed[1:]: false, typed + " ": false, strings.ReplaceAll(typed, "\u00e9", "e"): false,
			} {
				if _, err := w.signIn("spaces@a23.test", password, nil); (err == nil) != right {
					t.Errorf("%+q: %v", password, err)
				}
			}
		})
		w.run(t, "right passwords cost nothing", func(t *testing.T) {
			w.member("often@l.test", goodPassword)
			from := ip()
			for i := range 30 {
				if _, err := w.Authenticate(ctx, account.Attempt{Email: "often@l.test", Password: goodPassword, IP: from}); err != nil {
					t.Fatalf("sign-in %d: %v", i+1, err)
				}
			}
		})
		w.run(t, "a failing limiter lets nobody in", func(t *testing.T) {
			w.member("closed@l.test", goodPassword)
			w.store.fail = errors.New("the database is away")
			defer func() { w.store.fail = nil }()
			for _, email := range []string{"closed@l.test", "nobody@l.test"} {
				if _, err := w.signIn(email, goodPassword, nil); err == nil || errors.Is(err, account.ErrCredentials) || errors.Is(err, account.ErrLimited) {
					t.Errorf("%s: %v", email, err)
				}
			}
			if _, err := w.Register(ctx, form("closed2@l.test", goodPassword)); err == nil || errors.Is(err, account.ErrLimited) {
				t.Errorf("registered: %v", err)
			}
		})
		w.run(t, "parameters are upgraded at sign-in", func(t *testing.T) {
			who := w.member("upgrade@h.test", goodPassword)
			cfg := w.cfg
			cfg.Hasher.Memory, cfg.Hasher.Time = 128, 2
			stronger := must(account.New(cfg))
			a := account.Attempt{Email: "upgrade@h.test", Password: goodPassword, IP: ip()}
			for i, want := range []uint64{2, 3} {
				if _, err := stronger.Authenticate(ctx, a); err != nil {
					t.Fatal(err)
				}
				if n := stronger.Hashes(); n != want {
					t.Errorf("sign-in %d: %d argon2 runs, not %d", i+1, n, want)
				}
			}
			rec := must(w.db.ByID(ctx, who.AccountID))
			if !strings.HasPrefix(rec.Password, "$argon2id$v=19$m=128,t=2,p=1$") {
				t.Errorf("kept as %.30s", rec.Password)
			}
			if _, err := w.signIn("upgrade@h.test", goodPassword, nil); err != nil {
				t.Errorf("the weaker server cannot check it: %v", err)
			}
		})
		w.run(t, "D4 a full queue", func(t *testing.T) {
			cfg := w.cfg
			cfg.Hasher = account.HasherConfig{Memory: 8 * 1024, Time: 3, Threads: 1, Parallel: 1, Queue: 2}
			small := must(account.New(cfg))
			var busy, done atomic.Int64
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					_, err := small.Authenticate(context.Background(), account.Attempt{Email: "flood" + random(4) + "@d4.test", Password: "whatever it is", IP: ip()})
					var b *account.Busy
					switch {
					case errors.As(err, &b) && errors.Is(err, account.ErrBusy) && b.Retry > 0:
						busy.Add(1)
					case errors.Is(err, account.ErrCredentials):
						done.Add(1)
					default:
						t.Errorf("neither busy nor checked: %v", err)
					}
				})
			}
			wg.Wait()
			if busy.Load() == 0 || done.Load() < 3 || uint64(done.Load()) != small.Hashes() {
				t.Errorf("%d busy, %d checked, %d argon2 runs", busy.Load(), done.Load(), small.Hashes())
			}
		})
	})
}

// equalWork: wrong passwords for known, unknown, pending and disabled addresses, and for none at all.
func equalWork(t *testing.T, w *world) {
	ctx := t.Context()
	w.member("known@eq.test", goodPassword)
	w.register("pending@eq.test", goodPassword)
	who := w.member("disabled@eq.test", goodPassword)
	if _, err := w.Disable(ctx, who.AccountID); err != nil {
		t.Fatal(err)
	}
	passwordless, err := w.Create(ctx, account.NewAccount{Email: "none@eq.test", Confirmed: true})
	if err != nil || passwordless.Password {
		t.Fatalf("%+v %v", passwordless, err)
	}
	w.letters("known@eq.test")
	work := func(email, password string) string {
		before, mails := w.Hashes(), len(w.inbox.List())
		calls := w.store.during(func() {
			if _, err := w.signIn(email, password, nil); !errors.Is(err, account.ErrCredentials) || err.Error() != account.ErrCredentials.Error() {
				t.Errorf("%s: %v", email, err)
			}
		})
		if n := w.Hashes() - before; n != 1 {
			t.Errorf("%s: %d argon2 runs", email, n)
		}
		if w.letters(email); len(w.inbox.List()) != mails {
			t.Errorf("%s: a mail", email)
		}
		return calls
	}
	want := work("known@eq.test", "not this one")
	for _, email := range []string{"unknown@eq.test", "pending@eq.test", "disabled@eq.test", "none@eq.test"} {
		if got := work(email, "not this one"); got != want {
			t.Errorf("%s\n  does %s\nknown\n  does %s", email, got, want)
		}
	}
	if got := work("disabled@eq.test", goodPassword); got != want {
		t.Errorf("disabled, right password: %s", got)
	}
	for _, impossible := range []string{"", "a\x00bcdefgh", "\xff\xfe1234567", strings.Repeat("x", 1<<20)} {
		if got := work("known@eq.test", impossible); got != want {
			t.Errorf("password %.10q: %s", impossible, got)
		}
	}
	before := w.Hashes()
	if _, err := w.signIn("no address", "not this one", nil); !errors.Is(err, account.ErrCredentials) || w.Hashes() != before+1 {
		t.Errorf("no address: %v", err)
	}
}

func TestLimitedIsFound(t *testing.T) {
	var l *limit.Limited
	if err := error(&limit.Limited{}); !errors.Is(err, account.ErrLimited) || !errors.As(err, &l) {
		t.Error("a limit is not known as one")
	}
}

// TestBeside: A15, whoever registers an address and then signs in with the password just chosen is answered alike, whether
// somebody has the address or nobody, in the browser that registered and in any other.
func TestBeside(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		const strangers = "a stranger's one"
		// alike registers both, and tells what a sign-in with that password shows and does, now and whenever it is called again.
		alike := func(t *testing.T, d *account.Directory, known, unknown string) (again func(when string)) {
			t.Helper()
			browsers := map[string][]byte{}
			for _, email := range []string{known, unknown} {
				r := form(email, strangers)
				before := d.Hashes()
				if _, err := d.Register(ctx, r); err != nil {
					t.Fatal(err)
				}
				if n := d.Hashes() - before; n != 1 {
					t.Errorf("%s: registered by %d argon2 runs", email, n)
				}
				browsers[email] = r.FlowHash
			}
			again = func(when string) {
				t.Helper()
				for _, here := range []bool{true, false} {
					works := map[string]string{}
					for email, flow := range browsers {
						if !here {
							flow = nil
						}
						before := d.Hashes()
						works[email] = w.store.during(func() {
							w.limits.Add(1)
							got, err := d.Authenticate(ctx, account.Attempt{Email: email, Password: strangers, FlowHash: flow, IP: ip()})
							if err != nil || !got.Pending || (got.Waiting == "") != here {
								t.Errorf("%s: %s, in the browser that registered: %t: %+v %v", when, email, here, got, err)
							}
						})
						if n := d.Hashes() - before; n != 1 {
							t.Errorf("%s: %s: %d argon2 runs", when, email, n)
						}
					}
					if works[known] != works[unknown] {
						t.Errorf("%s: known: %s\nunknown: %s", when, works[known], works[unknown])
					}
				}
			}
			again("at once")
			return again
		}
		w.run(t, "the owner's hash is of older parameters", func(t *testing.T) {
			who := w.member("older@bs.test", goodPassword)
			old := must(w.db.ByID(ctx, who.AccountID)).Password
			cfg := w.cfg
			cfg.Hasher.Memory, cfg.Hasher.Time = 128, 2
			stronger := must(account.New(cfg))
			again := alike(t, stronger, "older@bs.test", "older2@bs.test")
			if got, err := stronger.Authenticate(ctx, account.Attempt{Email: "older@bs.test", Password: goodPassword, IP: ip()}); err != nil || got.AccountID != who.AccountID {
				t.Errorf("the owner: %+v %v", got, err)
			}
			again("after the owner's sign-in")
			w.pass(account.PendingLifetime)
			must(stronger.Authenticate(ctx, account.Attempt{Email: "older@bs.test", Password: goodPassword, IP: ip()}))
			if must(w.db.ByID(ctx, who.AccountID)).Password == old {
				t.Error("the owner's hash is of older parameters for good")
			}
		})
		w.run(t, "the owner's password is another one since", func(t *testing.T) {
			who := w.member("since@bs.test", goodPassword)
			again := alike(t, w.Directory, "since@bs.test", "since2@bs.test")
			if err := w.ask("since@bs.test"); err != nil {
				t.Fatal(err)
			}
			must(w.Recover(ctx, w.link("since@bs.test", "recover/password"), "the owner's second", ""))
			again("after a recovery")
			w.limits.Add(1)
			must(w.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: "the owner's second", New: "the owner's third", IP: ip()}))
			again("after a change")
			fourth := "the owner's fourth"
			must(w.Set(ctx, who.AccountID, account.Change{Password: &fourth}))
			again("after the operator's change")
			if got, err := w.signIn("since@bs.test", fourth, nil); err != nil || got.AccountID != who.AccountID {
				t.Errorf("the owner: %+v %v", got, err)
			}
			if _, err := w.signIn("since@bs.test", "the owner's third", nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the password before: %v", err)
			}
		})
		w.run(t, "strangers have guessed a hundred times", func(t *testing.T) {
			w.member("barred@bs.test", goodPassword)
			for _, email := range []string{"barred@bs.test", "barred2@bs.test"} {
				for range 101 {
					w.limits.Add(1)
					if _, err := w.signIn(email, "not this one", nil); !errors.Is(err, account.ErrCredentials) {
						t.Fatal(err)
					}
				}
			}
			again := alike(t, w.Directory, "barred@bs.test", "barred2@bs.test")
			w.limits.Add(1)
			if _, err := w.signIn("barred@bs.test", goodPassword, nil); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("the right one is looked at: %v", err)
			}
			again("after the owner's try")
		})
	})
}
