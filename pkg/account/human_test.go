package account_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
)

// TestHumanCheck: 4.4, when a check is wanted, and what it lets through.
func TestHumanCheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		as := func(when account.HumanCheck) *account.Directory {
			cfg := w.cfg
			cfg.Human = when
			return must(account.New(cfg))
		}
		careful, always := as(account.HumanSuspicion), as(account.HumanAlways)
		in := func(d *account.Directory, from netip.Addr, email, password string, h account.Human) error {
			_, err := d.Authenticate(ctx, account.Attempt{Email: email, Password: password, IP: from, Human: h})
			return err
		}
		exactly := func(t *testing.T, what string, err error, want ...error) {
			t.Helper()
			for _, kind := range []error{account.ErrHuman, account.ErrHumanDown, account.ErrCredentials, account.ErrLimited} {
				wanted := false
				for _, w := range want {
					wanted = wanted || w == kind
				}
				if errors.Is(err, kind) != wanted {
					t.Errorf("%s: %v", what, err)
				}
			}
			if (err == nil) != (len(want) == 0) {
				t.Errorf("%s: %v", what, err)
			}
		}
		w.run(t, "where nobody is suspected nothing is done for it", func(t *testing.T) {
			w.member("calm@h.test", goodPassword)
			for _, password := range []string{goodPassword, "not this one"} {
				plain := w.store.during(func() { _ = in(w.Directory, ip(), "calm@h.test", password, account.HumanNone) })
				if got := w.store.during(func() { _ = in(careful, ip(), "calm@h.test", password, account.HumanNone) }); got != plain {
					t.Errorf("%s\nwithout the check:\n%s", got, plain)
				}
			}
			plain := w.store.during(func() { must(0, w.AskRecovery(ctx, account.RecoveryRequest{Email: "calm@h.test", IP: ip()})) })
			if got := w.store.during(func() {
				must(0, careful.AskRecovery(ctx, account.RecoveryRequest{Email: "calm@h.test", IP: ip()}))
			}); got != plain {
				t.Errorf("%s\nwithout the check:\n%s", got, plain)
			}
		})
		w.run(t, "always", func(t *testing.T) {
			w.member("always@h.test", goodPassword)
			calls := w.store.during(func() {
				for _, email := range []string{"always@h.test", "nobody@h.test"} {
					exactly(t, email, in(always, ip(), email, goodPassword, account.HumanNone), account.ErrHuman)
				}
			})
			if calls != "" {
				t.Errorf("something is looked up first: %s", calls)
			}
			exactly(t, "passed", in(always, ip(), "always@h.test", goodPassword, account.HumanProven))
			r := form("always2@h.test", goodPassword)
			_, err := always.Register(ctx, r)
			exactly(t, "register", err, account.ErrHuman)
			exactly(t, "recover", always.AskRecovery(ctx, account.RecoveryRequest{Email: "always@h.test", IP: ip()}), account.ErrHuman)
			exactly(t, "look up", always.LookUp(ctx, account.RecoveryRequest{Email: "always@h.test", IP: ip()}), account.ErrHuman)
			exactly(t, "look up, passed", always.LookUp(ctx, account.RecoveryRequest{Email: "always@h.test", IP: ip(), Human: account.HumanProven}))
			exactly(t, "recover, passed", always.AskRecovery(ctx, account.RecoveryRequest{Email: "always@h.test", IP: ip(), Human: account.HumanProven}))
			r.Human = account.HumanProven
			id, err := always.Register(ctx, r)
			exactly(t, "register, passed", err)
			// A16: the second post of a double click brings the answer that the first has spent.
			r.Human = account.HumanNone
			if again, err := always.Register(ctx, r); err != nil || again != id {
				t.Errorf("the second of a double click: %q %v", again, err)
			}
		})
		w.run(t, "§6 strangers guess at an account", func(t *testing.T) {
			w.member("guessed@h.test", goodPassword)
			for _, email := range []string{"guessed@h.test", "unknown@h.test"} {
				for i := 1; i <= 10; i++ {
					want := []error{account.ErrCredentials}
					if i == 10 { // the next try wants it
						want = append(want, account.ErrHuman)
					}
					exactly(t, fmt.Sprint(email, i), in(careful, ip(), email, "not this one", account.HumanNone), want...)
				}
			}
			// Known and unknown alike, by the same work.
			var works []string
			for _, email := range []string{"guessed@h.test", "unknown@h.test"} {
				hashes := careful.Hashes()
				works = append(works, w.store.during(func() {
					exactly(t, email, in(careful, ip(), email, "not this one", account.HumanNone), account.ErrLimited, account.ErrHuman)
				}), w.store.during(func() {
					exactly(t, email+", passed", in(careful, ip(), email, "not this one", account.HumanProven), account.ErrCredentials, account.ErrHuman)
				}))
				if n := careful.Hashes() - hashes; n != 1 {
					t.Errorf("%s: %d argon2 runs", email, n)
				}
			}
			if works[0] != works[2] || works[1] != works[3] {
				t.Errorf("known and unknown differ: %q", works)
			}
			exactly(t, "the owner, not asked", in(careful, ip(), "guessed@h.test", goodPassword, account.HumanNone), account.ErrLimited, account.ErrHuman)
			exactly(t, "A21 the owner, the service down: limits alone", in(careful, ip(), "guessed@h.test", goodPassword, account.HumanUnknown), account.ErrLimited)
			exactly(t, "the owner, no check", in(w.Directory, ip(), "guessed@h.test", goodPassword, account.HumanProven), account.ErrLimited)
			for range 40 { // right ones are given back
				exactly(t, "the owner", in(careful, ip(), "guessed@h.test", goodPassword, account.HumanProven))
			}
			n := 0
			for ; n < 100; n++ {
				if err := in(careful, ip(), "guessed@h.test", "not this one", account.HumanProven); errors.Is(err, account.ErrLimited) {
					break
				}
			}
			if n != limit.LoginHuman.Burst-1 {
				t.Errorf("%d more guesses of who passes the check were looked at", n)
			}
		})
		w.run(t, "§6 a network guesses at whoever there is", func(t *testing.T) {
			from := ip()
			for i := range 10 {
				exactly(t, fmt.Sprint(i), in(careful, from, fmt.Sprintf("stuffed%d@h.test", i), "not this one", account.HumanNone), account.ErrCredentials)
			}
			exactly(t, "the eleventh", in(careful, from, "stuffed10@h.test", "not this one", account.HumanNone), account.ErrCredentials, account.ErrHuman)
			w.member("neighbour@h.test", goodPassword)
			known := w.KnowDevice("", must(w.signIn("neighbour@h.test", goodPassword, nil)).Credential)
			for range 30 { // asking costs the network nothing
				exactly(t, "a neighbour", in(careful, from, "neighbour@h.test", goodPassword, account.HumanNone), account.ErrHuman)
			}
			exactly(t, "a neighbour who passes", in(careful, from, "neighbour@h.test", goodPassword, account.HumanProven))
			exactly(t, "A21 the service down: limits alone", in(careful, from, "neighbour@h.test", goodPassword, account.HumanUnknown))
			if _, err := careful.Authenticate(ctx, account.Attempt{Email: "neighbour@h.test", Password: goodPassword, IP: from, Known: known}); err != nil {
				t.Errorf("a neighbour whose browser is known: %v", err)
			}
			for range 20 {
				_ = in(careful, from, random(6)+"@h.test", "not this one", account.HumanProven)
			}
			exactly(t, "a network that is denied", in(careful, from, "neighbour@h.test", goodPassword, account.HumanProven), account.ErrLimited)
		})
		w.run(t, "never", func(t *testing.T) {
			w.member("never@h.test", goodPassword)
			never, from := as(account.HumanNever), ip()
			for i := range 12 {
				want := []error{account.ErrCredentials}
				if i >= 10 {
					want = []error{account.ErrLimited}
				}
				exactly(t, fmt.Sprint(i), in(never, from, "never@h.test", "not this one", account.HumanNone), want...)
			}
		})
		w.run(t, "a network registers, and asks for recoveries", func(t *testing.T) {
			from := ip()
			for i := 1; i <= 6; i++ {
				r := form(fmt.Sprintf("many%d@h.test", i), goodPassword)
				r.IP = from
				_, err := careful.Register(ctx, r)
				again := careful.AskRecovery(ctx, account.RecoveryRequest{Email: r.Email, IP: from})
				if i <= 3 {
					exactly(t, "register", err)
					exactly(t, "recover", again)
					continue
				}
				if i == 6 {
					exactly(t, "register", err, account.ErrLimited)
					exactly(t, "recover", again, account.ErrLimited)
					continue
				}
				exactly(t, "register", err, account.ErrHuman)
				exactly(t, "recover", again, account.ErrHuman)
				r.Human = account.HumanUnknown
				_, err = careful.Register(ctx, r)
				exactly(t, "A21 register, the service down", err, account.ErrHumanDown)
				exactly(t, "A21 recover, the service down", careful.AskRecovery(ctx, account.RecoveryRequest{Email: r.Email, IP: from, Human: account.HumanUnknown}), account.ErrHumanDown)
				r.Human = account.HumanProven
				_, err = careful.Register(ctx, r)
				exactly(t, "register, passed", err)
				exactly(t, "recover, passed", careful.AskRecovery(ctx, account.RecoveryRequest{Email: r.Email, IP: from, Human: account.HumanProven}))
			}
		})
		w.run(t, "very many register at once, from everywhere", func(t *testing.T) {
			var r account.Registration
			var err error
			for i := 0; i < 20 && err == nil; i++ { // one comes back in 600 ms, and the machine may be slow
				for !errors.Is(w.cfg.Limits.Take(ctx, limit.RegisterAll), account.ErrLimited) {
				}
				r = form(fmt.Sprintf("crowd%d@h.test", i), goodPassword)
				_, err = careful.Register(ctx, r)
			}
			exactly(t, "asked", err, account.ErrHuman)
			r.Human = account.HumanProven
			_, err = careful.Register(ctx, r)
			exactly(t, "passed", err)
		})
	})
}

// TestOneAccountsAddresses: A15, nobody learns by guessing which addresses belong to one account; A22, and no owner is kept
// out because strangers have guessed at all of them.
func TestOneAccountsAddresses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for _, when := range []account.HumanCheck{account.HumanNever, account.HumanSuspicion} {
			w.run(t, "human check: "+string(when), func(t *testing.T) {
				cfg := w.cfg
				cfg.Human = when
				d := must(account.New(cfg))
				try := func(email, password, known string, h account.Human) (*account.Authenticated, error) {
					return d.Authenticate(ctx, account.Attempt{Email: email, Password: password, Known: known, IP: ip(), Human: h})
				}
				shown := func(email string, h account.Human) string {
					before := d.Hashes()
					var err error
					calls := w.store.during(func() { _, err = try(email, "not this one", "", h) })
					return fmt.Sprintf("%v after %d hashes: %s", err, d.Hashes()-before, calls)
				}
				own := func(i int) string { return fmt.Sprintf("own%d@%s.test", i, when) }
				who := w.member(own(0), goodPassword)
				for i := range 4 {
					w.add(who.AccountID, own(i+1), false)
				}
				laptop := w.KnowDevice("", must(try(own(0), goodPassword, "", account.HumanNone)).Credential)
				// guess makes as many tries at one of the account's addresses as at one that nobody has.
				guess := func(n, i int, h account.Human) {
					t.Helper()
					for k := range n {
						known, unknown := shown(own(i), h), shown(fmt.Sprintf("nobody%d@%s.test", i, when), h)
						if known != unknown {
							t.Errorf("address %d, try %d:\nknown:   %s\nunknown: %s", i, k, known, unknown)
						}
					}
				}
				guess(12, 0, account.HumanNone)
				if _, err := try(own(1), goodPassword, "", account.HumanNone); err != nil {
					t.Errorf("the owner, at an address that nobody has guessed at: %v", err)
				}
				guess(12, 1, account.HumanNone)
				guess(12, 2, account.HumanNone)
				if n := must(w.db.ByID(ctx, who.AccountID)).Guesses; n != 20 { // since the owner's sign-in
					t.Errorf("%d guesses were looked at", n)
				}
				guess(5, 3, account.HumanNone)
				if _, err := try(own(3), goodPassword, "", account.HumanNone); err == nil || err.Error() != account.ErrCredentials.Error() {
					t.Errorf("more than thirty guesses at one account are looked at: %v", err)
				}
				if n := must(w.db.ByID(ctx, who.AccountID)).Guesses; n != 20 {
					t.Errorf("%d guesses count, and 20 were looked at", n)
				}
				for _, email := range []string{own(4), "nobody4@" + string(when) + ".test"} {
					must(w.Register(ctx, form(email, "a stranger's one")))
					if got, err := try(email, "a stranger's one", "", account.HumanNone); err != nil || !got.Pending {
						t.Errorf("a registration of %s: %+v %v", email, got, err)
					}
				}
				for i := range 5 {
					if _, err := try(own(i), goodPassword, laptop, account.HumanNone); err != nil {
						t.Errorf("the owner, in a known browser, address %d: %v", i, err)
					}
				}
				if when == account.HumanNever {
					return
				}
				for i := range 5 {
					if _, err := try(own(i), goodPassword, "", account.HumanProven); err != nil {
						t.Errorf("the owner, who has passed the check, address %d: %v", i, err)
					}
				}
				guess(2, 3, account.HumanProven)
				guess(35, 2, account.HumanProven)
			})
		}
	})
}
