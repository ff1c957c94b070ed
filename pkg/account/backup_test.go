package account_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
)

// backup proves a recovery address.
func (w *world) backup(id, email string) {
	w.t.Helper()
	ctx := w.t.Context()
	w.limits.Add(1)
	ask := func() error { return w.AskBackup(ctx, account.AddressChange{AccountID: id, Email: email, IP: ip()}) }
	if err := w.ProveBackup(ctx, w.linkAfter(ask, email, "account/recovery/confirm"), id); err != nil {
		w.t.Fatal(err)
	}
}

// TestBackup: 4.12, a recovery address and a recovery question.
func TestBackup(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "the recovery address: for recoveries, and for nothing else", func(t *testing.T) {
			who := w.member("ann@b.test", goodPassword)
			carol := w.member("carol@b.test", goodPassword) // it may be somebody's
			err := w.AskBackup(ctx, account.AddressChange{AccountID: who.AccountID, Email: "ANN@b.test", IP: ip()})
			if fieldKey(err) != "recovery.own" {
				t.Errorf("an address of the account: %v", err)
			}
			if err := w.AskBackup(ctx, account.AddressChange{AccountID: who.AccountID, Email: "Carol@b.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if b := must(w.Backup(ctx, who.AccountID)); b.Email != "" || b.Waiting != "Carol@b.test" {
				t.Errorf("%+v", b)
			}
			if err := w.ask("ann@b.test"); err != nil {
				t.Fatal(err)
			}
			token := w.link("Carol@b.test", "account/recovery/confirm") // and no recovery after it
			if err := w.ProveBackup(ctx, token, carol.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("A2 carol follows it, signed in with her own account: %v", err)
			}
			if err := w.ProveAddress(ctx, token, who.AccountID, false); !errors.Is(err, account.ErrLink) {
				t.Errorf("A3 as an address to sign in with: %v", err)
			}
			if err := w.ProveBackup(ctx, token, who.AccountID); err != nil {
				t.Fatal(err)
			}
			if err := w.ProveBackup(ctx, token, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Errorf("A2 a second time: %v", err)
			}
			if m := w.last("ann@b.test"); !strings.Contains(m.Subject, "was changed") {
				t.Errorf("the owner was told %q", m.Subject)
			}
			if a := must(w.Show(ctx, who.AccountID)); a.Recovery != "Carol@b.test" || len(a.Others) > 0 || a.Question != "" {
				t.Errorf("%+v", a)
			}
			w.limits.Add(1)
			if err := w.ask("ann@b.test"); err != nil {
				t.Fatal(err)
			}
			own, other := w.link("ann@b.test", "recover/password"), w.link("Carol@b.test", "recover/password")
			if own == other {
				t.Error("one link for both")
			}
			if _, err := w.Recover(ctx, other, another, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, own, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("A17 the other link: %v", err)
			}
			if in, err := w.signIn("ann@b.test", another, nil); err != nil || in.AccountID != who.AccountID {
				t.Errorf("%+v %v", in, err)
			}
			// Carol's own recovery is about her own account.
			if err := w.ask("carol@b.test"); err != nil {
				t.Fatal(err)
			}
			if v := must(w.ReadRecovery(ctx, w.link("carol@b.test", "recover/password"))); v.Email != "carol@b.test" {
				t.Errorf("%+v", v)
			}
		})
		w.run(t, "4.24 with a recovery address, without, or without an account: the same work, and as many mails", func(t *testing.T) {
			who := w.member("with@b.test", goodPassword)
			w.backup(who.AccountID, "side@b.test")
			w.member("without@b.test", goodPassword)
			work := map[string]int{}
			for _, email := range []string{"with@b.test", "without@b.test", "nobody@b.test"} {
				if _, err := w.queue.RunDue(ctx); err != nil {
					t.Fatal(err)
				}
				calls := w.store.during(func() {
					if err := w.ask(email); err != nil {
						t.Fatal(err)
					}
				})
				n, err := w.queue.RunDue(ctx)
				if err != nil || n != 2 {
					t.Errorf("%s: %d mails, %v", email, n, err)
				}
				work[calls]++
			}
			if len(work) != 1 {
				t.Errorf("different work: %v", work)
			}
		})
		w.run(t, "a recovery address that was taken away, or replaced, leads to nothing", func(t *testing.T) {
			who := w.member("left@b.test", goodPassword)
			w.backup(who.AccountID, "gone@b.test")
			if err := w.ask("left@b.test"); err != nil {
				t.Fatal(err)
			}
			link := w.link("gone@b.test", "recover/password")
			if err := w.DropBackup(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, link, another, ""); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
			if b := must(w.Backup(ctx, who.AccountID)); *b != (account.Backup{}) {
				t.Errorf("%+v", b)
			}
		})
		w.run(t, "it is never one of the account's own addresses, whichever comes first", func(t *testing.T) {
			who := w.member("both@b.test", goodPassword)
			w.backup(who.AccountID, "both2@b.test")
			w.limits.Add(1)
			err := w.AskAddress(ctx, account.AddressChange{AccountID: who.AccountID, Email: "Both2@b.test", IP: ip()})
			if fieldKey(err) != "address.backup" {
				t.Errorf("the recovery address as one to sign in with: %v", err)
			}
			if err := w.DropBackup(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			for _, email := range []string{"both3@b.test", "both4@b.test"} {
				w.limits.Add(1)
				c := account.AddressChange{AccountID: who.AccountID, Email: email, IP: ip()}
				backup := w.linkAfter(func() error { return w.AskBackup(ctx, c) }, email, "account/recovery/confirm")
				own := w.linkAfter(func() error { return w.AskAddress(ctx, c) }, email, "account/address/confirm")
				if email == "both3@b.test" {
					if err := w.ProveAddress(ctx, own, who.AccountID, false); err != nil {
						t.Fatal(err)
					}
					if err := w.ProveBackup(ctx, backup, who.AccountID); !errors.Is(err, account.ErrLink) {
						t.Errorf("an own address became the recovery address: %v", err)
					}
					continue
				}
				if err := w.ProveBackup(ctx, backup, who.AccountID); err != nil {
					t.Fatal(err)
				}
				if err := w.ProveAddress(ctx, own, who.AccountID, false); !errors.Is(err, account.ErrLink) {
					t.Errorf("the recovery address became an own one: %v", err)
				}
			}
			if a := must(w.Show(ctx, who.AccountID)); a.Recovery != "both4@b.test" || !reflect.DeepEqual(a.Others, []string{"both3@b.test"}) {
				t.Errorf("%+v", a)
			}
		})
		w.run(t, "an account that has it as both since an older version is helped all the same", func(t *testing.T) {
			who := w.member("old@b.test", goodPassword)
			w.add(who.AccountID, "old2@b.test", false)
			now := w.cfg.Now()
			err := w.db.SetRecovery(ctx, who.AccountID, account.Recovery{Email: "old2@b.test", Canonical: "old2@b.test", ProvenAt: now})
			if err != nil {
				t.Fatal(err)
			}
			w.limits.Add(1)
			before := len(w.letters("old2@b.test"))
			if err := w.ask("old2@b.test"); err != nil {
				t.Fatal(err)
			}
			if n := len(w.letters("old2@b.test")) - before; n != 1 {
				t.Errorf("%d mails", n)
			}
			if _, err := w.Recover(ctx, w.link("old2@b.test", "recover/password"), another, ""); err != nil {
				t.Error(err)
			}
		})
		w.run(t, "A13 A17 one that waits is dead after a recovery", func(t *testing.T) {
			who := w.member("wait@b.test", goodPassword)
			ask := func() error {
				return w.AskBackup(ctx, account.AddressChange{AccountID: who.AccountID, Email: "wait2@b.test", IP: ip()})
			}
			waiting := w.linkAfter(ask, "wait2@b.test", "account/recovery/confirm")
			if err := w.ask("wait@b.test"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Recover(ctx, w.link("wait@b.test", "recover/password"), another, ""); err != nil {
				t.Fatal(err)
			}
			if err := w.ProveBackup(ctx, waiting, who.AccountID); !errors.Is(err, account.ErrLink) {
				t.Error(err)
			}
		})
		w.run(t, "the question is asked in addition, and never alone", func(t *testing.T) {
			who := w.member("quest@b.test", goodPassword)
			if err := w.SetQuestion(ctx, who.AccountID, "Where did the cat sleep?", "On the  GREEN sofa!"); err != nil {
				t.Fatal(err)
			}
			if m := w.last("quest@b.test"); !strings.Contains(m.Subject, "was changed") {
				t.Errorf("the owner was told %q", m.Subject)
			}
			if r := must(w.db.Recovery(ctx, who.AccountID)); !strings.HasPrefix(r.Answer, "$argon2id$") || strings.Contains(strings.ToLower(r.Answer), "sofa") {
				t.Errorf("the answer is kept as %q", r.Answer)
			}
			if err := w.ask("quest@b.test"); err != nil {
				t.Fatal(err)
			}
			link := w.link("quest@b.test", "recover/password")
			if v := must(w.ReadRecovery(ctx, link)); v.Question != "Where did the cat sleep?" {
				t.Errorf("%+v", v)
			}
			for _, wrong := range []string{"on the red sofa", "", "on the green sofas", strings.Repeat("x", 2000)} {
				if _, err := w.Recover(ctx, link, another, wrong); fieldKey(err) != "error.answer.wrong" {
					t.Errorf("%.20q: %v", wrong, err)
				}
			}
			if _, err := w.Recover(ctx, link, "short", "on the green sofa"); fieldKey(err) != "error.password.short" {
				t.Error(err)
			}
			if _, err := w.Recover(ctx, link, another, "ｏｎ the green, sofa"); err != nil {
				t.Errorf("as people write it: %v", err)
			}
		})
		w.run(t, "five wrong answers end a link, and no more are looked at, however many at once", func(t *testing.T) {
			who := w.member("guess@b.test", goodPassword)
			if err := w.SetQuestion(ctx, who.AccountID, "Which street?", "Elm Lane"); err != nil {
				t.Fatal(err)
			}
			for _, at := range []string{"one after the other", "at once"} {
				w.limits.Add(1)
				if err := w.ask("guess@b.test"); err != nil {
					t.Fatal(err)
				}
				link := w.link("guess@b.test", "recover/password")
				runs := w.Hashes()
				guess := func() { _, _ = w.Recover(ctx, link, another, "Oak Lane") }
				if at == "at once" {
					together(20, guess)
				} else {
					for range 20 {
						guess()
					}
				}
				if n := w.Hashes() - runs; n != 5 {
					t.Errorf("%s: %d answers were looked at", at, n)
				}
				if _, err := w.Recover(ctx, link, another, "Elm Lane"); !errors.Is(err, account.ErrLink) {
					t.Errorf("%s: then the right one: %v", at, err)
				}
				if _, err := w.ReadRecovery(ctx, link); !errors.Is(err, account.ErrLink) {
					t.Errorf("%s: the page: %v", at, err)
				}
			}
			// Many links are no way around: the account has a budget too.
			w.limits.Add(1)
			runs, limited := w.Hashes(), 0
			for range 8 {
				for _, mails := range []limit.Rule{limit.RecoverAddressHour, limit.RecoverAddressDay} {
					if err := w.cfg.Limits.Clear(ctx, mails, "guess@b.test"); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.ask("guess@b.test"); err != nil {
					t.Fatal(err)
				}
				link := w.link("guess@b.test", "recover/password")
				for range 5 {
					if _, err := w.Recover(ctx, link, another, "Ash Lane"); errors.Is(err, account.ErrLimited) {
						limited++
					}
				}
			}
			if n := w.Hashes() - runs; n != 20 || limited != 20 {
				t.Errorf("of forty answers %d were looked at, %d refused", n, limited)
			}
		})
		w.run(t, "what can be asked", func(t *testing.T) {
			who := w.member("form@b.test", goodPassword)
			for _, c := range []struct{ question, answer, key string }{
				{"", "x y", "error.question.empty"}, {"?!", "x y", "error.question.empty"},
				{strings.Repeat("why ", 30), "x y", "error.question.long"}, {"a\u202eb", "x y", "error.question.characters"},
				{"See evil.example now?", "x y", "error.question.link"}, {"Which?", "", "error.answer.length"},
				{"Which?", "x!", "error.answer.length"}, {"Which?", strings.Repeat("x", 101), "error.answer.length"},
				{"Is it green?", "GREEN.", "error.answer.asked"},
			} {
				if err := w.SetQuestion(ctx, who.AccountID, c.question, c.answer); fieldKey(err) != c.key {
					t.Errorf("%.20q %.20q: %v", c.question, c.answer, err)
				}
			}
		})
		w.run(t, "an alarm takes away what was set this week, and leaves what is older", func(t *testing.T) {
			who := w.member("alarm@b.test", goodPassword)
			w.backup(who.AccountID, "mine@b.test")
			w.pass(8 * 24 * time.Hour)
			w.limits.Add(1)
			if err := w.SetQuestion(ctx, who.AccountID, "Of the thief?", "of course"); err != nil {
				t.Fatal(err)
			}
			if err := w.Alarm(ctx, w.link("alarm@b.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if b := must(w.Backup(ctx, who.AccountID)); *b != (account.Backup{Email: "mine@b.test"}) {
				t.Errorf("%+v", b)
			}
			if _, err := w.Recover(ctx, w.link("alarm@b.test", "recover/password"), another, ""); err != nil {
				t.Error(err)
			}
			w.backup(who.AccountID, "thief@b.test")
			if err := w.Alarm(ctx, w.link("alarm@b.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if b := must(w.Backup(ctx, who.AccountID)); *b != (account.Backup{}) {
				t.Errorf("%+v", b)
			}
		})
		w.run(t, "A10 A11 A13 of the registration form: proven after the account, and gone where its owner starts anew", func(t *testing.T) {
			cfg := w.cfg
			cfg.Fields = account.Fields{RecoveryAddress: account.Required, RecoveryQuestion: account.Optional}
			d := must(account.New(cfg))
			fill := func(email string) account.Registration {
				r := form(email, goodPassword)
				r.Recovery, r.Question, r.Answer = "Side-"+email, "Which street?", "Elm Lane"
				return r
			}
			for _, c := range []struct {
				change     func(r *account.Registration)
				field, key string
			}{
				{func(r *account.Registration) { r.Recovery = " " }, "register-recovery-address", "error.email.invalid"},
				{func(r *account.Registration) { r.Recovery = r.Email }, "register-recovery-address", "recovery.own"},
				{func(r *account.Registration) { r.Question = "" }, "register-recovery-question", "error.question.empty"},
				{func(r *account.Registration) { r.Answer = "" }, "register-recovery-answer", "error.answer.length"},
				{func(r *account.Registration) { r.Question, r.Answer = "", "" }, "", ""},
			} {
				r := fill("check@b.test")
				c.change(&r)
				err := checked(ctx, d, r)
				var f *account.FieldError
				if fieldKey(err) != c.key || errors.As(err, &f) && f.Field != c.field {
					t.Errorf("%s %s: %v", c.field, c.key, err)
				}
			}
			for _, answer := range []string{"Elm Lane", " ELM–lane.", "Stra\u00dfe", "e\u200d\u0301lan", "\u13a0\u13b3", "\uab70\uab83"} {
				r := fill("again@b.test")
				r.Answer = answer
				one := must(d.Check(ctx, r))
				if two, err := d.Check(ctx, one); err != nil || !reflect.DeepEqual(one, two) {
					t.Errorf("%+q: what was checked is checked to %+q, %v; it was %+q", answer, two.Answer, err, one.Answer)
				}
			}
			asked := func(f account.Fields, change func(r *account.Registration)) string {
				cfg.Fields = f
				r := fill("check@b.test")
				change(&r)
				_, err := must(account.New(cfg)).Check(ctx, r)
				return fieldKey(err)
			}
			none := func(r *account.Registration) { r.Recovery, r.Question, r.Answer = "", "", "" }
			if key := asked(account.Fields{RecoveryQuestion: account.Required}, none); key != "error.question.empty" {
				t.Errorf("required, and not there: %q", key)
			}
			if key := asked(account.Fields{RecoveryAddress: account.Optional, RecoveryQuestion: account.Optional}, none); key != "" {
				t.Errorf("optional, and not there: %q", key)
			}
			if key := asked(account.Fields{Name: account.Optional}, func(r *account.Registration) { r.Recovery, r.Answer = "x", "" }); key != "" {
				t.Errorf("off: %q", key)
			}
			r := fill("reg@b.test")
			id, err := d.Register(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			if r := must(w.db.Recovery(ctx, id)); !strings.HasPrefix(r.Answer, "$argon2id$") || strings.Contains(strings.ToLower(r.Answer), "elm") {
				t.Errorf("the answer is kept as %q", r.Answer)
			}
			if len(w.letters("Side-reg@b.test")) > 0 {
				t.Error("the recovery address has a mail before the account is confirmed")
			}
			if _, err := d.Confirm(ctx, account.ConfirmInput{Token: w.last("reg@b.test").confirm, FlowHash: r.FlowHash, IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if b := must(d.Backup(ctx, id)); *b != (account.Backup{Waiting: "Side-reg@b.test", Question: "Which street?"}) {
				t.Errorf("%+v", b)
			}
			if err := d.ProveBackup(ctx, w.link("Side-reg@b.test", "account/recovery/confirm"), id); err != nil {
				t.Error(err)
			}
			if err := w.ask("reg@b.test"); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Recover(ctx, w.link("reg@b.test", "recover/password"), another, "elm lane."); err != nil {
				t.Errorf("by the answer of the form: %v", err)
			}
			// A stranger has filled in the form, and the owner proves the address with a password of her own.
			id, err = d.Register(ctx, fill("owner@b.test"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Confirm(ctx, account.ConfirmInput{Token: w.last("owner@b.test").confirm, FlowHash: browser(), NewPassword: another, IP: ip()})
			if err != nil {
				t.Fatal(err)
			}
			if b := must(d.Backup(ctx, id)); *b != (account.Backup{}) || len(w.letters("Side-owner@b.test")) > 0 {
				t.Errorf("%+v", b)
			}
		})
		w.run(t, "one link eight times at the same moment, and a change while the answer is looked at", func(t *testing.T) {
			who := w.member("race@b.test", goodPassword)
			w.limits.Add(1)
			ask := func() error {
				return w.AskBackup(ctx, account.AddressChange{AccountID: who.AccountID, Email: "race2@b.test", IP: ip()})
			}
			link := w.linkAfter(ask, "race2@b.test", "account/recovery/confirm")
			once(t, 8, account.ErrLink, func(int) error { return w.ProveBackup(ctx, link, who.AccountID) })
			w.limits.Add(1)
			if err := w.SetQuestion(ctx, who.AccountID, "Which one?", "The first"); err != nil {
				t.Fatal(err)
			}
			if err := w.ask("race@b.test"); err != nil {
				t.Fatal(err)
			}
			link = w.link("race@b.test", "recover/password")
			w.store.first = func() { // the first transaction is the one that spends the link
				if err := w.SetQuestion(ctx, who.AccountID, "Which one then?", "The second"); err != nil {
					t.Error(err)
				}
			}
			if _, err := w.Recover(ctx, link, another, "the first"); !errors.Is(err, account.ErrLink) {
				t.Errorf("the answer to the question before: %v", err)
			}
		})
	})
}
