package account_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

var requestLink = regexp.MustCompile(`https://op\.test/(recover/request/details|recover/stop|recover/regain)\?t=(\S+)`)

// requestToken is the token of the newest mail to an address, which must lead to a page.
func (w *world) requestToken(to, page string) string {
	w.t.Helper()
	m := requestLink.FindStringSubmatch(w.last(to).Text)
	if m == nil || m[1] != page {
		w.t.Fatalf("no link to %s in:\n%s", page, w.last(to).Text)
	}
	return m[2]
}

func (w *world) request(email, reach string, k account.Knowledge) {
	w.t.Helper()
	w.limits.Add(1)
	if err := w.AskRequest(w.t.Context(), account.RequestStart{Account: email, Reach: reach, Language: "en", IP: ip()}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.OpenRequest(w.t.Context(), w.requestToken(reach, "recover/request/details"), k); err != nil {
		w.t.Fatal(err)
	}
}

// requestOf is the newest one of an account that has joined no other.
func (w *world) requestOf(id string) (found account.Request) {
	w.t.Helper()
	for _, r := range must(w.Requests(w.t.Context())) {
		if r.AccountID == id && r.State != account.RequestJoined {
			found = r
		}
	}
	if found.ID == "" {
		w.t.Fatal("there is no request")
	}
	return found
}

// week lets seven days go by, with the notices of each.
func (w *world) week() {
	w.t.Helper()
	for range 8 {
		if err := w.TellRequests(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.queue.RunDue(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.pass(24 * time.Hour)
	}
}

// TestRequest: 4.13, a person who lost everything.
func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.run(t, "asked, waited for, approved: the account is theirs, and the old address can undo it", func(t *testing.T) {
			who := w.member("ann@q.test", goodPassword)
			w.backup(who.AccountID, "annb@q.test")
			w.add(who.AccountID, "ann2@q.test", false)
			if err := w.SetQuestion(ctx, who.AccountID, "Which street?", "Elm Lane"); err != nil {
				t.Fatal(err)
			}
			claims := `{"birthdate":"1985-03-31","phone_number":"+442079460123"}`
			if _, err := w.Set(ctx, who.AccountID, account.Change{Claims: []byte(claims)}); err != nil {
				t.Fatal(err)
			}
			w.open(t, who.AccountID)
			w.request("ann@q.test", "new@q.test", account.Knowledge{Birthdate: "1985-03-31", Phone: "+44 20 7946 0124", Answer: "elm lane!", Sites: "nowhere, elsewhere.test", Note: "please, it is me"})
			r := w.requestOf(who.AccountID)
			if r.State != account.RequestOpen || r.Birthdate != account.Match || r.Phone != account.NoMatch || r.Answer != account.Match || r.Sites != 2 || r.SitesRight != 0 {
				t.Errorf("%+v", r)
			}
			if _, note, err := w.Request(ctx, r.ID); err != nil || note != "please, it is me" || strings.Contains(string(r.Note), "please") {
				t.Errorf("the note: %q %q %v", note, r.Note, err)
			}
			if _, err := w.Approve(ctx, r.ID); !errors.Is(err, account.ErrEarly) {
				t.Errorf("at once: %v", err)
			}
			w.pass(account.RequestWait)
			if _, err := w.Approve(ctx, r.ID); !errors.Is(err, account.ErrEarly) {
				t.Errorf("before anybody was told: %v", err)
			}
			w.week()
			for _, email := range []string{"ann@q.test", "ann2@q.test", "annb@q.test"} {
				n := 0
				for _, m := range w.letters(email) {
					if strings.Contains(m.Subject, "asks for your account") {
						n++
					}
				}
				if n != 3 {
					t.Errorf("%s was told %d times", email, n)
				}
			}
			once(t, 8, account.ErrDecided, func(int) error { _, err := w.Approve(ctx, r.ID); return err })
			token := w.requestToken("new@q.test", "recover/regain")
			if _, err := w.Recover(ctx, token, another, ""); !errors.Is(err, account.ErrLink) {
				t.Errorf("A3 as a recovery: %v", err)
			}
			if _, err := w.Regain(ctx, token, "short"); fieldKey(err) == "" {
				t.Errorf("a weak password: %v", err)
			}
			once(t, 8, account.ErrLink, func(int) error { _, err := w.Regain(ctx, token, "her very own one"); return err })
			if got := w.has(who.AccountID); got != "new@q.test ann2@q.test" {
				t.Errorf("it has %s", got)
			}
			if b := must(w.Backup(ctx, who.AccountID)); *b != (account.Backup{}) {
				t.Errorf("%+v", b)
			}
			if l := must(w.sess.List(ctx, who.AccountID)); len(l) != 0 {
				t.Errorf("A17 %d logins left", len(l))
			}
			if in, err := w.signIn("new@q.test", "her very own one", nil); err != nil || in.AccountID != who.AccountID {
				t.Errorf("%+v %v", in, err)
			}
			if r := w.requestOf(who.AccountID); r.State != account.RequestDone {
				t.Errorf("it is %s", r.State)
			}
			w.limits.Add(1)
			if err := w.Alarm(ctx, w.link("ann@q.test", "alarm")); err != nil {
				t.Fatal(err)
			}
			if a := must(w.Show(ctx, who.AccountID)); a.Email != "ann@q.test" || strings.Contains(strings.Join(a.Others, " "), "new@") {
				t.Errorf("undone, it has %+v", a)
			}
		})
		w.run(t, "4.24 an account and none: the same answers, work and mails", func(t *testing.T) {
			w.member("known@q.test", goodPassword)
			work := map[string]int{}
			for _, email := range []string{"known", "unknown"} {
				w.limits.Add(1)
				_ = w.letters("")
				hashes := w.Hashes()
				reach := "r-" + email + "@q.test"
				calls := w.store.during(func() {
					if err := w.AskRequest(ctx, account.RequestStart{Account: email + "@q.test", Reach: reach, IP: ip()}); err != nil {
						t.Fatal(err)
					}
				})
				if n := must(w.queue.RunDue(ctx)); n != 1 {
					t.Errorf("%s: %d mails", email, n)
				}
				token := w.requestToken(reach, "recover/request/details")
				calls += w.store.during(func() {
					if err := w.OpenRequest(ctx, token, account.Knowledge{Answer: "an answer", Sites: "a, b"}); err != nil {
						t.Fatal(err)
					}
				})
				if n := must(w.queue.RunDue(ctx)); n != 1 {
					t.Errorf("%s: then %d mails", email, n)
				}
				if n := w.Hashes() - hashes; n != 1 {
					t.Errorf("%s: %d argon2 runs", email, n)
				}
				work[calls]++
			}
			if len(work) != 1 {
				t.Errorf("different work: %v", work)
			}
			// Who waits in vain hears the same, at the same time.
			w.pass(account.RequestLifetime)
			if err := w.TellRequests(ctx); err != nil {
				t.Fatal(err)
			}
			for _, email := range []string{"r-known@q.test", "r-unknown@q.test"} {
				if m := w.last(email); !strings.Contains(m.Subject, "Nothing came") {
					t.Errorf("%s was told %q", email, m.Subject)
				}
			}
		})
		w.run(t, "stopped by an address, by a sign-in, by who is signed in, by a recovery, by the operator", func(t *testing.T) {
			stops := map[string]func(id, email string) error{
				"a notice": func(_, email string) error {
					token := w.requestToken(email, "recover/stop")
					if v := must(w.ReadStop(ctx, token)); v.Email != email {
						t.Errorf("%+v", v)
					}
					return w.Stop(ctx, token)
				},
				"a sign-in": func(_, email string) error { _, err := w.signIn(email, goodPassword, nil); return err },
				"a page":    func(id, _ string) error { return w.StopRequest(ctx, id) },
				"the operator": func(id, _ string) error {
					password := "what the operator tells"
					_, err := w.Set(ctx, id, account.Change{Password: &password})
					return err
				},
				"a recovery": func(_, email string) error {
					if err := w.ask(email); err != nil {
						return err
					}
					_, err := w.Recover(ctx, w.link(email, "recover/password"), another, "")
					return err
				},
			}
			for name, stop := range stops {
				email := strings.ReplaceAll(name, " ", "-") + "@q.test"
				who := w.member(email, goodPassword)
				for _, approved := range []bool{false, true} {
					if approved && name == "a recovery" {
						continue // the password is another one by now
					}
					w.request(email, "x-"+email, account.Knowledge{})
					r := w.requestOf(who.AccountID)
					if at := must(w.Requested(ctx, who.AccountID)); at.IsZero() {
						t.Errorf("%s: the owner does not see it", name)
					}
					regain := ""
					if w.week(); approved {
						if _, err := w.Approve(ctx, r.ID); err != nil {
							t.Fatal(err)
						}
						regain = w.requestToken("x-"+email, "recover/regain")
					}
					w.limits.Add(1)
					if err := stop(who.AccountID, email); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if r := w.requestOf(who.AccountID); r.State != account.RequestStopped {
						t.Errorf("%s: it is %s", name, r.State)
					}
					if _, err := w.Approve(ctx, r.ID); !errors.Is(err, account.ErrDecided) {
						t.Errorf("%s: approved then: %v", name, err)
					}
					if _, err := w.Regain(ctx, regain, another); !errors.Is(err, account.ErrLink) {
						t.Errorf("%s: followed then: %v", name, err)
					}
				}
			}
		})
		w.run(t, "one at a time; a second one joins, and is answered alike", func(t *testing.T) {
			who := w.member("two@q.test", goodPassword)
			w.request("two@q.test", "first@q.test", account.Knowledge{})
			w.request("two@q.test", "second@q.test", account.Knowledge{})
			if a, b := w.last("first@q.test").Text, w.last("second@q.test").Text; a != b {
				t.Errorf("%s\n\n%s", a, b)
			}
			if r := w.requestOf(who.AccountID); r.Email != "first@q.test" || r.Others != 1 {
				t.Errorf("%+v", r)
			}
			if r, err := w.Deny(ctx, w.requestOf(who.AccountID).ID); err != nil || r.State != account.RequestDenied {
				t.Errorf("%+v %v", r, err)
			}
			if m := w.last("first@q.test"); !strings.Contains(m.Subject, "Nothing came") {
				t.Errorf("they were told %q", m.Subject)
			}
			// At the same moment: one of them.
			var tokens []string
			for i := range 6 {
				w.limits.Add(1)
				reach := "many" + string(rune('a'+i)) + "@q.test"
				if err := w.AskRequest(ctx, account.RequestStart{Account: "two@q.test", Reach: reach, IP: ip()}); err != nil {
					t.Fatal(err)
				}
				tokens = append(tokens, w.requestToken(reach, "recover/request/details"))
			}
			next := make(chan string, len(tokens))
			for _, token := range tokens {
				next <- token
			}
			together(len(tokens), func() {
				if err := w.OpenRequest(ctx, <-next, account.Knowledge{}); err != nil {
					t.Error(err)
				}
			})
			if r := w.requestOf(who.AccountID); r.State != account.RequestOpen || r.Others != 5 {
				t.Errorf("%+v", r)
			}
			if err := w.OpenRequest(ctx, tokens[0], account.Knowledge{}); !errors.Is(err, account.ErrLink) {
				t.Errorf("A2 a token again: %v", err)
			}
			// Each notice goes out once, whichever replica sends it.
			before := len(w.letters("two@q.test"))
			together(6, func() {
				if err := w.TellRequests(ctx); err != nil {
					t.Error(err)
				}
			})
			if n := len(w.letters("two@q.test")) - before; n != 1 {
				t.Errorf("%d notices", n)
			}
		})
		w.run(t, "A22 a stranger who asks first, and often, does not shut the way", func(t *testing.T) {
			who := w.member("shut@q.test", goodPassword)
			if err := w.SetQuestion(ctx, who.AccountID, "Which street?", "Elm Lane"); err != nil {
				t.Fatal(err)
			}
			w.limits.Add(1)
			for i := range 12 {
				reach := []string{"stranger@q.test", fmt.Sprintf("stranger%d@q.test", i)}[min(i, 1)]
				if err := w.AskRequest(ctx, account.RequestStart{Account: "shut@q.test", Reach: reach, IP: ip()}); err != nil {
					t.Fatal(err)
				}
			}
			strangers := w.requestToken("stranger@q.test", "recover/request/details")
			if err := w.AskRequest(ctx, account.RequestStart{Account: "shut@q.test", Reach: "hers@q.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			hers := w.requestToken("hers@q.test", "recover/request/details")
			for _, c := range []struct{ token, answer string }{{strangers, "Ash Lane"}, {hers, "elm lane"}} {
				if err := w.OpenRequest(ctx, c.token, account.Knowledge{Answer: c.answer, Note: "from " + c.answer}); err != nil {
					t.Fatal(err)
				}
			}
			open, joined := w.requestOf(who.AccountID), account.Request{}
			for _, r := range must(w.Requests(ctx)) {
				if r.AccountID == who.AccountID && r.State == account.RequestJoined {
					joined = r
				}
			}
			if open.Email != "stranger@q.test" || open.Answer != account.NoMatch || joined.Email != "hers@q.test" || joined.Answer != account.Match {
				t.Fatalf("%+v\n%+v", open, joined)
			}
			if r, note, err := w.Request(ctx, joined.ID); err != nil || r.ID != joined.ID || note != "from elm lane" {
				t.Errorf("%+v %q %v", r, note, err)
			}
			if _, err := w.Approve(ctx, joined.ID); !errors.Is(err, account.ErrEarly) {
				t.Errorf("before the week: %v", err)
			}
			if r := w.requestOf(who.AccountID); r.ID != open.ID || r.State != account.RequestOpen {
				t.Errorf("%+v", r)
			}
			w.week()
			w.limits.Add(1)
			if err := w.AskRequest(ctx, account.RequestStart{Account: "shut@q.test", Reach: "late@q.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if err := w.OpenRequest(ctx, w.requestToken("late@q.test", "recover/request/details"), account.Knowledge{Answer: "elm lane"}); err != nil {
				t.Fatal(err)
			}
			all := must(w.Requests(ctx))
			late := slices.IndexFunc(all, func(r account.Request) bool { return r.Email == "late@q.test" })
			if late < 0 {
				t.Fatal("who came late has not joined")
			}
			if _, err := w.Approve(ctx, all[late].ID); !errors.Is(err, account.ErrEarly) {
				t.Errorf("who joins when the week is over waits for none: %v", err)
			}
			once(t, 4, account.ErrDecided, func(int) error {
				_, err := w.Approve(ctx, joined.ID)
				return err
			})
			if r, _, err := w.Request(ctx, open.ID); err != nil || r.State != account.RequestJoined {
				t.Errorf("the stranger's: %+v %v", r, err)
			}
			if _, err := w.Approve(ctx, open.ID); !errors.Is(err, account.ErrDecided) {
				t.Errorf("the stranger's too: %v", err)
			}
			must(w.Regain(ctx, w.requestToken("hers@q.test", "recover/regain"), another))
			if in, err := w.signIn("hers@q.test", another, nil); err != nil || in.AccountID != who.AccountID {
				t.Errorf("%+v %v", in, err)
			}
		})
		w.run(t, "who stops one stops those that joined it", func(t *testing.T) {
			who := w.member("all@q.test", goodPassword)
			w.request("all@q.test", "one@q.test", account.Knowledge{})
			w.request("all@q.test", "two@q.test", account.Knowledge{})
			if err := w.StopRequest(ctx, who.AccountID); err != nil {
				t.Fatal(err)
			}
			w.request("all@q.test", "three@q.test", account.Knowledge{})
			w.week()
			for _, r := range must(w.Requests(ctx)) {
				if r.AccountID != who.AccountID || r.Email == "three@q.test" {
					continue
				}
				if _, err := w.Approve(ctx, r.ID); r.State != account.RequestStopped || !errors.Is(err, account.ErrDecided) {
					t.Errorf("%+v: %v", r, err)
				}
			}
		})
		w.run(t, "what is refused, and what is late", func(t *testing.T) {
			who := w.member("form@q.test", goodPassword)
			for _, c := range []struct{ account, reach, key string }{
				{"x", "a@q.test", "error.email.invalid"}, {"form@q.test", "x", "error.email.invalid"}, {"form@q.test", "FORM@q.test", "request.same"},
				{"form@q.test", "a@q.test\r\nBcc: b@q.test", "error.email.invalid"},
			} {
				if err := w.AskRequest(ctx, account.RequestStart{Account: c.account, Reach: c.reach, IP: ip()}); fieldKey(err) != c.key {
					t.Errorf("%q %q: %v", c.account, c.reach, err)
				}
			}
			w.limits.Add(1)
			if err := w.AskRequest(ctx, account.RequestStart{Account: "form@q.test", Reach: "late@q.test", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			token := w.requestToken("late@q.test", "recover/request/details")
			for key, k := range map[string]account.Knowledge{
				"error.birthdate.invalid": {Birthdate: "31.3.85"}, "error.phone.invalid": {Phone: "12"},
				"request.sites.many": {Sites: "a1,b1,c1,d1,e1,f1"}, "request.note.long": {Note: strings.Repeat("x", 501)},
			} {
				if err := w.OpenRequest(ctx, token, k); fieldKey(err) != key {
					t.Errorf("%s: %v", key, err)
				}
			}
			w.pass(24 * time.Hour)
			if err := w.OpenRequest(ctx, token, account.Knowledge{}); !errors.Is(err, account.ErrLink) {
				t.Errorf("after a day: %v", err)
			}
			// An address that another account has proven meanwhile.
			w.request("form@q.test", "taken@q.test", account.Knowledge{})
			w.member("taken@q.test", goodPassword)
			w.week()
			if _, err := w.Approve(ctx, w.requestOf(who.AccountID).ID); !errors.Is(err, account.ErrTaken) {
				t.Error(err)
			}
		})
		w.run(t, "the operator sees all, the oldest first", func(t *testing.T) {
			who := w.member("many@q.test", goodPassword)
			before := len(must(w.Requests(ctx)))
			const more = 1100
			err := w.db.InTx(ctx, func(ctx context.Context) error {
				for i := range more {
					r := account.Request{ID: fmt.Sprintf("many-%04d", i), AccountID: who.AccountID, State: account.RequestStopped, Hash: browser(),
						Email: "many@x.test", Canonical: "many@x.test", Language: "en", CreatedAt: w.cfg.Now(), ExpiresAt: w.cfg.Now().Add(time.Hour)}
					if err := w.db.InsertRequest(ctx, r); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			all := must(w.Requests(ctx))
			if len(all) != before+more {
				t.Errorf("%d of %d", len(all), before+more)
			}
			if !slices.IsSortedFunc(all, func(a, b account.Request) int { return strings.Compare(a.ID, b.ID) }) {
				t.Error("out of order")
			}
		})
	})
}
