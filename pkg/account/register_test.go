package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/passport-network/passport/pkg/account"
)

func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "story", func(t *testing.T) { story(t, w) })
		w.run(t, "A8 the mail goes to the stored address", func(t *testing.T) {
			w.member("Stored.Case@a8.test", goodPassword)
			if _, err := w.Register(ctx, form("stored.case@A8.test", "quite another one")); err != nil {
				t.Fatal(err)
			}
			if n := len(w.letters("stored.case@a8.test")); n != 0 {
				t.Errorf("%d mails to the address as a stranger typed it", n)
			}
			if l := w.letters("Stored.Case@a8.test"); len(l) != 3 || !strings.HasPrefix(l[1].Subject, "Welcome") || l[2].confirm != "" {
				t.Errorf("the owner has %d mails", len(l))
			}
		})
		w.run(t, "A15 a known address is answered alike", func(t *testing.T) { knownAddress(t, w) })
		w.run(t, "A16 twenty posts of one form", func(t *testing.T) { doublePost(t, w) })
		w.run(t, "A22 mail bombing", func(t *testing.T) { mailBombing(t, w) })
		w.run(t, "resend", func(t *testing.T) { resend(t, w) })
		w.run(t, "the network's budget", func(t *testing.T) {
			from := ip()
			for i := range 7 {
				r := form("flood"+random(3)+"@limit.test", goodPassword)
				r.IP = from
				_, err := w.Register(ctx, r)
				if limited := errors.Is(err, account.ErrLimited); limited != (i >= 5) {
					t.Errorf("registration %d: %v", i+1, err)
				}
			}
		})
		w.run(t, "the terms want the same address", func(t *testing.T) {
			r := form("terms@a.test", goodPassword)
			r.TermsEmail = "term@a.test"
			if _, err := w.Register(ctx, r); fieldKey(err) != "error.terms.mismatch" {
				t.Errorf("another address: %v", err)
			}
			r.TermsEmail = " TERMS@A.test"
			if _, err := w.Register(ctx, r); err != nil {
				t.Errorf("the same, typed otherwise: %v", err)
			}
		})
		w.run(t, "4.7 of a mistyped address that is corrected the links die", func(t *testing.T) { corrected(t, w) })
		w.run(t, "a form of another browser is no door", func(t *testing.T) {
			r, _ := w.register("theform@a.test", goodPassword)
			r.FlowHash = browser()
			if _, err := w.Register(ctx, r); fieldKey(err) != "error.form.expired" {
				t.Errorf("got %v", err)
			}
		})
	})
}

func story(t *testing.T, w *world) {
	ctx := t.Context()
	r := form("Alice@Example.test", goodPassword)
	r.Interaction = browser()
	id, err := w.Register(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.Pending(ctx, r.FlowHash)
	if err != nil || v.ID != id || v.Email != "Alice@example.test" || v.Name != r.Name || string(v.Interaction) != string(r.Interaction) {
		t.Fatalf("the waiting page: %+v, %v", v, err)
	}
	if _, err := w.Pending(ctx, browser()); !errors.Is(err, account.ErrNoPending) {
		t.Errorf("another browser sees the waiting page: %v", err)
	}
	l := w.last("Alice@example.test")
	if l.Subject != "Confirm your address for Passport" || l.confirm == "" || l.cancel == "" || l.confirm == l.cancel {
		t.Fatalf("the mail: %+v", l)
	}
	if strings.Contains(l.Text+l.HTML, r.Name) {
		t.Error("the mail carries the name that whoever registered gave himself")
	}
	view, err := w.ReadConfirm(ctx, l.confirm, r.FlowHash)
	if err != nil || !view.Here || view.Name != r.Name {
		t.Fatalf("the link's page: %+v, %v", view, err)
	}
	done, err := w.Confirm(ctx, account.ConfirmInput{Token: l.confirm, FlowHash: r.FlowHash, IP: r.IP})
	if err != nil || !done.Here || done.AccountID != id || string(done.Interaction) != string(r.Interaction) {
		t.Fatalf("confirm: %+v, %v", done, err)
	}
	got, err := w.signIn("ALICE@example.test", goodPassword, nil)
	if err != nil || got.AccountID != id || got.Pending {
		t.Fatalf("sign in: %+v, %v", got, err)
	}
	if _, err := w.Pending(ctx, r.FlowHash); !errors.Is(err, account.ErrNoPending) {
		t.Errorf("still waiting after the confirmation: %v", err)
	}
	shown, err := w.Show(ctx, "alice@example.test")
	if err != nil || shown.State != "active" || !shown.Confirmed || shown.Name != r.Name || len(shown.Sub) != 22 || !shown.ExpiresAt.IsZero() {
		t.Fatalf("show: %+v, %v", shown, err)
	}
}

func knownAddress(t *testing.T, w *world) {
	ctx := t.Context()
	w.member("known@a15.test", goodPassword)
	w.last("known@a15.test")
	known, unknown := form("known@a15.test", "a stranger's one"), form("unknown@a15.test", "a stranger's one")
	work := func(r account.Registration) (calls string, hashes uint64) {
		before := w.Hashes()
		calls = w.store.during(func() {
			if _, err := w.Register(ctx, r); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Pending(ctx, r.FlowHash); err != nil {
				t.Fatal(err)
			}
			if err := w.Resend(ctx, r.FlowHash, r.IP); err != nil {
				t.Fatal(err)
			}
		})
		return calls, w.Hashes() - before
	}
	kc, kh := work(known)
	uc, uh := work(unknown)
	if kc != uc || kh != 1 || uh != 1 {
		t.Errorf("unequal work: argon2 %d and %d\nknown:   %s\nunknown: %s", kh, uh, kc, uc)
	}
	for _, l := range w.letters("known@a15.test")[2:] { // after the link, and the welcome
		if l.confirm != "" || l.Subject != "You already have an account at Passport" {
			t.Errorf("the owner was mailed %q with links", l.Subject)
		}
	}
	// Nor does a sign-in with the password just given tell them apart, in this browser or in another.
	for name, flow := range map[string][2][]byte{"here": {known.FlowHash, unknown.FlowHash}, "elsewhere": {browser(), browser()}} {
		k, kerr := w.signIn(known.Email, known.Password, flow[0])
		u, uerr := w.signIn(unknown.Email, unknown.Password, flow[1])
		if kerr != nil || uerr != nil || k.Pending != u.Pending || (k.Waiting == "") != (u.Waiting == "") {
			t.Errorf("%s: known %+v %v, unknown %+v %v", name, k, kerr, u, uerr)
		}
	}
	if got, err := w.signIn("known@a15.test", goodPassword, known.FlowHash); err != nil || got.Pending {
		t.Errorf("the owner cannot sign in any more: %+v %v", got, err)
	}
}

func corrected(t *testing.T, w *world) {
	ctx := t.Context()
	first, astray := w.register("typo@a47.test", goodPassword)
	old := must(w.Pending(ctx, first.FlowHash))
	again := func(email, instead string) account.Registration {
		r := form(email, goodPassword)
		r.FlowHash, r.Instead = first.FlowHash, instead
		return r
	}
	must(w.Register(ctx, again("family@a47.test", "")))
	if _, err := w.ReadConfirm(ctx, astray.confirm, nil); err != nil {
		t.Errorf("another person at this browser has ended it: %v", err)
	}
	right := again("right@a47.test", old.ID)
	id := must(w.Register(ctx, right))
	if same, err := w.Register(ctx, right); err != nil || same != id {
		t.Errorf("A16 once more: %s %v", same, err)
	}
	if _, err := w.Confirm(ctx, account.ConfirmInput{Token: astray.confirm, FlowHash: first.FlowHash, IP: ip()}); !errors.Is(err, account.ErrLink) {
		t.Errorf("the link of the mail that went astray: %v", err)
	}
	if err := w.Cancel(ctx, astray.cancel); !errors.Is(err, account.ErrLink) {
		t.Errorf("and its other one: %v", err)
	}
	if _, err := w.signIn("typo@a47.test", goodPassword, first.FlowHash); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("the registration is there still: %v", err)
	}
	if v := must(w.Pending(ctx, first.FlowHash)); v.Email != "right@a47.test" || !v.Here {
		t.Errorf("waits for %+v", v)
	}
	// What is another browser's, or confirmed, is nobody's to end.
	_, theirs := w.register("theirs@a47.test", goodPassword)
	must(w.Register(ctx, again("mine@a47.test", must(w.Show(ctx, "theirs@a47.test")).ID)))
	if _, err := w.ReadConfirm(ctx, theirs.confirm, nil); err != nil {
		t.Errorf("another browser's: %v", err)
	}
	must(w.Confirm(ctx, account.ConfirmInput{Token: w.last("right@a47.test").confirm, FlowHash: first.FlowHash, IP: ip()}))
	must(w.Register(ctx, again("late@a47.test", id)))
	if a := must(w.Show(ctx, id)); a.State != account.Active {
		t.Errorf("a confirmed one is %s", a.State)
	}
}

func doublePost(t *testing.T, w *world) {
	ctx := context.Background()
	r := form("double@a16.test", goodPassword)
	servers := []*account.Directory{w.Directory, w.replica(), w.replica()}
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := servers[i%3].Register(ctx, r)
			if errors.Is(err, account.ErrLimited) {
				return // more posts than the network may send, none of them done yet
			}
			if err != nil {
				t.Errorf("post %d: %v", i, err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	first := ""
	for _, id := range ids {
		if first == "" {
			first = id
		}
		if id != "" && id != first {
			t.Errorf("two registrations: %s and %s", first, id)
		}
	}
	if l := w.letters("double@a16.test"); len(l) != 1 {
		t.Errorf("%d mails", len(l))
	}
	// Two forms make two, of which the first proof survives.
	other := form("double@a16.test", "another password")
	if _, err := w.Register(ctx, other); err != nil {
		t.Fatal(err)
	}
	l := w.letters("double@a16.test")
	if len(l) != 2 {
		t.Fatalf("%d mails after a second form", len(l))
	}
	done, err := w.Confirm(ctx, account.ConfirmInput{Token: l[1].confirm, FlowHash: other.FlowHash})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Confirm(ctx, account.ConfirmInput{Token: l[0].confirm, FlowHash: r.FlowHash}); !errors.Is(err, account.ErrLink) {
		t.Errorf("the second proof: %v", err)
	}
	if _, err := w.Show(ctx, first); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("the loser still exists: %v", err)
	}
	if got, err := w.signIn("double@a16.test", "another password", nil); err != nil || got.AccountID != done.AccountID {
		t.Errorf("the winner: %+v %v", got, err)
	}
}

func mailBombing(t *testing.T, w *world) {
	ctx := t.Context()
	w.member("victim@a22.test", goodPassword)
	before := len(w.letters("victim@a22.test")) // the welcome, which comes once, among them
	var waiting []byte
	for i := range 30 {
		for _, email := range []string{"victim@a22.test", "nobody@a22.test"} {
			r := form(email, goodPassword)
			if _, err := w.Register(ctx, r); err != nil {
				t.Fatalf("the answer changes at %d: %v", i, err)
			}
			if _, err := w.Pending(ctx, r.FlowHash); err != nil {
				t.Fatalf("no waiting page at %d: %v", i, err)
			}
			waiting = r.FlowHash
		}
	}
	if n := len(w.letters("victim@a22.test")); n > 4 || n <= before {
		t.Errorf("%d mails to a known address within the hour", n)
	}
	if n := len(w.letters("nobody@a22.test")); n != 3 {
		t.Errorf("%d mails to an unknown address within the hour", n)
	}
	if err := w.Resend(ctx, waiting, ip()); !errors.Is(err, account.ErrLimited) {
		t.Errorf("send again: %v", err)
	}
}

func resend(t *testing.T, w *world) {
	ctx := t.Context()
	r, old := w.register("again@a2.test", goodPassword)
	if err := w.Resend(ctx, r.FlowHash, r.IP); err != nil {
		t.Fatal(err)
	}
	fresh := w.last("again@a2.test")
	if fresh.confirm == old.confirm || fresh.cancel == old.cancel {
		t.Error("the second mail has the first one's links")
	}
	for _, token := range []string{old.confirm, fresh.cancel} {
		if _, err := w.ReadConfirm(ctx, token, nil); !errors.Is(err, account.ErrLink) {
			t.Errorf("an old or foreign link opens: %v", err)
		}
	}
	if err := w.Cancel(ctx, old.cancel); !errors.Is(err, account.ErrLink) {
		t.Errorf("the old cancel link acts: %v", err)
	}
	if err := w.Resend(ctx, browser(), ip()); !errors.Is(err, account.ErrNoPending) {
		t.Errorf("another browser sends again: %v", err)
	}
	// From another browser with the right password: the waiting page, not the registration itself.
	elsewhere := browser()
	got, err := w.signIn("again@a2.test", goodPassword, elsewhere)
	if err != nil || !got.Pending || got.Waiting == "" {
		t.Fatalf("sign in elsewhere: %+v %v", got, err)
	}
	if v, err := w.PendingAt(ctx, got.Waiting); err != nil || v.Email != "again@a2.test" {
		t.Errorf("the waiting page elsewhere: %+v %v", v, err)
	}
	if err := w.ResendAt(ctx, got.Waiting, ip()); err != nil {
		t.Errorf("send again from elsewhere: %v", err)
	}
	if _, err := w.Pending(ctx, elsewhere); !errors.Is(err, account.ErrNoPending) {
		t.Errorf("the sign-in bound the registration to the other browser: %v", err)
	}
	if v, err := w.ReadConfirm(ctx, w.last("again@a2.test").confirm, elsewhere); err != nil || v.Here {
		t.Errorf("the other browser counts as the one that registered: %+v %v", v, err)
	}
	for _, token := range []string{"", "x", got.Waiting + "x", fresh.confirm} {
		if _, err := w.PendingAt(ctx, token); !errors.Is(err, account.ErrNoPending) {
			t.Errorf("a waiting page for %q: %v", token, err)
		}
	}
	w.pass(account.PendingLifetime)
	defer w.pass(-account.PendingLifetime)
	if _, err := w.Pending(ctx, r.FlowHash); !errors.Is(err, account.ErrNoPending) {
		t.Errorf("still waiting after three days: %v", err)
	}
	if _, err := w.db.Purge(ctx, w.cfg.Now(), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Show(ctx, "again@a2.test"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("not purged after three days: %v", err)
	}
}
