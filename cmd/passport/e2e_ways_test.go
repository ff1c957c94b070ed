//go:build e2e

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/passport-network/passport/storage/storagetest"
)

const (
	alice  = "alice@example.test"
	phrase = "a good long passphrase" // of every account that a walk has
)

// TestWays walks every way of an account in a real browser as narrow as the smallest telephone, with mail over SMTP: on both
// databases, in both languages, and without scripts those that come to the report of a sign-out: no other page has
// any but the human check, which has TestHumanCheck. The walks of a round share its server and its site, each with a person of
// its own; where one asks for other settings, the server is started anew with them.
func TestWays(t *testing.T) {
	walks := []struct {
		name, email string
		settings    []string
		walk        func(*walker)
		report      bool // it comes to that page
		once        bool // not on both databases
	}{
		{"back in by a mail, and out", alice, nil, (*walker).comeAndGo, true, false},
		{"is there an account", "bob@example.test", nil, (*walker).lookUp, false, false},
		{"cancelled, and confirmed elsewhere", "niaj@example.test", nil, (*walker).otherBrowser, false, false},
		{"a mistyped address", "carol@example.test", nil, (*walker).mistyped, false, false},
		{"several addresses", "dan@example.test", nil, (*walker).addresses, false, false},
		{"what sites get", "erin@example.test", nil, (*walker).profile, false, false},
		{"the file with all data", "frank@example.test", nil, (*walker).data, false, false},
		{"several people in a browser", "grace@example.test", nil, (*walker).people, true, false},
		{"out everywhere else", "heidi@example.test", nil, (*walker).elsewhere, true, false},
		{"out, and a site that does not hear of it", "olivia@example.test", nil, (*walker).unreached, true, true},
		{"guessed at a hundred times", "peggy@example.test", nil, (*walker).guessedAt, false, true},
		{"everything is lost", "ivan@example.test", nil, (*walker).lost, false, false},
		{"terms anew", "judy@example.test", nil, (*walker).terms, false, false},
		{"by invitation, asked for everything", "mallory@example.test",
			[]string{"PASSPORT_SIGNUP=invitation", "PASSPORT_SIGNUP_PRESET=classic"}, (*walker).invited, false, false},
	}
	for _, round := range []struct {
		name, language  string
		postgres, plain bool
	}{{"sqlite", "en", false, false}, {"postgres", "es", true, false}, {"without scripts", "es", false, true}} {
		t.Run(round.name, func(t *testing.T) {
			database := ""
			if round.postgres {
				database = storagetest.Postgres(t)
			}
			w := &walker{world: newWorld(t, database, false), language: round.language, plain: round.plain}
			w.env = append(w.env, "PASSPORT_SHUTDOWN_DELAY=0s", "PASSPORT_OUTBOUND_ALLOW=localhost") // the site, which is told of a sign-out
			w.settings = len(w.env)
			w.start()
			w.chromium = w.browser(round.language)
			w.chromium.open("about:blank")
			w.fabrikam = w.site("Fabrikam")
			planned, walked := 0, 0
			for _, each := range walks {
				if round.plain && !each.report || round.postgres && each.once {
					continue
				}
				planned++
				t.Run(each.name, func(t *testing.T) {
					walked++
					defer func(round *testing.T) { w.t = round }(w.t)
					w.t, w.email = t, each.email
					w.set(each.settings...)
					each.walk(w)
				})
			}
			w.stop()
			if walked == planned { // else there may have been none to find
				w.searchSecrets("password", "mail token", "code", "access_token")
			}
		})
	}
}

// walker walks one way after another.
type walker struct {
	*world
	language string
	plain    bool     // without scripts
	chromium *browser // whose every visitor has cookies of their own
	fabrikam string   // a site
	email    string   // of the person who walks
	settings int      // where the settings of this walk begin in env
}

// set sees to it that the server runs with these settings beside the round's.
func (w *walker) set(settings ...string) {
	w.t.Helper()
	if !slices.Equal(w.env[w.settings:], settings) {
		w.env = slices.Concat(w.env[:w.settings], settings)
		w.restart()
	}
}

func (w *walker) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// join makes the account of the person who walks.
func (w *walker) join(more ...string) {
	w.t.Helper()
	w.account(w.email, phrase, append([]string{"--name", "Ada", "--language", w.language}, more...)...)
}

// visitor is somebody with a telephone.
func (w *walker) visitor() *browser {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(w.chromium.ctx, chromedp.WithNewBrowserContext())
	w.t.Cleanup(cancel)
	b := w.tab(ctx)
	b.narrow()
	if w.plain {
		b.withoutScripts()
	}
	return b
}

// decode runs a command, and reads its JSON.
func (w *walker) decode(into any, args ...string) {
	w.t.Helper()
	check(json.Unmarshal(w.command(append(args, "--json")...), into))
}

// word is a message as people get it in the language of the round.
func (w *walker) word(key string) string {
	w.t.Helper()
	words := map[string]string{}
	check(json.Unmarshal(must(os.ReadFile("../../templates/messages/"+w.language+".json")), &words))
	if words[key] == "" {
		w.t.Fatalf("no message %q", key)
	}
	return words[key]
}

var (
	subjectPattern = regexp.MustCompile(`^{{define "subject"}}(.*?){{end`)
	anyLink        = regexp.MustCompile(`http://\S+`)
)

// letter waits for a mail of a kind (a name in templates/mail) to an address, in the language of the round. What it has given
// once it does not give again; of several it gives the newest.
func (w *walker) letter(to, kind string) received {
	w.t.Helper()
	template := must(os.ReadFile("../../templates/mail/" + kind + "." + w.language + ".txt"))
	subject := strings.ReplaceAll(subjectPattern.FindStringSubmatch(string(template))[1], "{{.Brand}}", "Passport")
	find := func() (found received, ok bool) {
		w.smtp.mu.Lock()
		defer w.smtp.mu.Unlock()
		for i, m := range slices.Backward(w.smtp.messages) {
			if len(m.to) == 1 && m.to[0] == to && m.subject == subject {
				w.smtp.messages[i].to = nil
				return m, true
			}
		}
		return found, false
	}
	for end := time.After(time.Minute); ; {
		if m, ok := find(); ok {
			return m
		}
		select {
		case <-w.smtp.arrived:
		case <-end:
			w.t.Fatalf("no mail to %s with the subject %q", to, subject)
		}
	}
}

// mailed is the link to a page of ours in such a mail.
func (w *walker) mailed(to, kind, path string) string {
	w.t.Helper()
	return w.leads(w.letter(to, kind), path)
}

// leads is a mail's link to a page of ours.
func (w *walker) leads(m received, path string) string {
	w.t.Helper()
	for _, link := range anyLink.FindAllString(m.text, -1) {
		if address, _, _ := strings.Cut(link, "?"); address == w.issuer+path {
			w.seen.add("mail token", tokenOf(link))
			return link
		}
	}
	w.t.Fatalf("no link to %s:\n%s", path, m.text)
	return ""
}

// set gives a field its value as a date or a choice is given: by no keys.
func (b *browser) set(sel, value string) {
	b.t.Helper()
	see(b, chromedp.Steps(chromedp.WaitVisible(chromedp.CSS(sel)), chromedp.SetValue(chromedp.CSS(sel), value)))
}

// holds demands that a field holds a value.
func (b *browser) holds(sel, value string) {
	b.t.Helper()
	if got := see(b, chromedp.Value(chromedp.CSS(sel))); got != value {
		b.t.Errorf("%s at %s holds %q, not %q", sel, b.location(), got, value)
	}
}

// says demands that an element shows a text.
func (b *browser) says(sel, text string) {
	b.t.Helper()
	if got := b.text(sel); !strings.Contains(got, text) {
		b.t.Errorf("%s at %s says %q, not %q", sel, b.location(), got, text)
	}
}

// lacks demands that the page has no such element.
func (b *browser) lacks(sel string) {
	b.t.Helper()
	if b.exists(sel) {
		b.t.Errorf("%s has a %s", b.location(), sel)
	}
}

// signIn opens the sign-in page that leads to a page of the account, and signs in there.
func (b *browser) signIn(w *walker, next, password, then string) {
	b.t.Helper()
	b.open(w.issuer + "/login?next=" + next)
	b.enter(w.email, password, then)
}

// enter fills in the sign-in page that stands there.
func (b *browser) enter(email, password, then string) {
	b.t.Helper()
	b.fill("#username", email)
	b.fill("#password", password)
	b.follow("#login-submit", then)
}

// renew sets a new password by a link.
func (b *browser) renew(link, password string) {
	b.t.Helper()
	b.seen.add("password", password)
	b.open(link)
	b.fill("#new-password", password)
	b.follow("#new-password-submit", "#go-on")
}

// register goes on from the form, where all but address, password and name is filled in, to the waiting page.
func (b *browser) register(email string) {
	b.t.Helper()
	b.seen.add("password", phrase)
	b.fill("#register-email", email)
	b.fill("#register-password", phrase)
	b.fill("#register-name", "Ada")
	b.follow("#register-submit", "#terms-submit")
	b.fill("#terms-email", email)
	b.follow("#terms-submit", "#waiting")
	b.says("main", email)
}
