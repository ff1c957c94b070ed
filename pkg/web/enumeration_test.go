package web_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// kinds are what can be true of an address, and how it comes to be. Each address of a kind is new.
var kinds = map[string]func(w *world, email string){
	"known":   func(w *world, email string) { w.person(email) },
	"unknown": func(*world, string) {},
	"unconfirmed": func(w *world, email string) {
		w.browser(w.t).comingFrom(anywhere()).get("/register").register(email)
	},
	"closed": func(w *world, email string) {
		w.person(email)
		if err := w.people.Close(context.Background(), w.id(email), email); err != nil {
			w.t.Fatal(err)
		}
	},
	"disabled": func(w *world, email string) {
		w.person(email)
		must(w.people.Disable(context.Background(), w.id(email)))
	},
	"without a password": func(w *world, email string) {
		must(w.people.Create(context.Background(), account.NewAccount{Email: email, Name: "Ada Lovelace", Confirmed: true}))
	},
}

// flow is a form of ours that takes somebody's address.
type flow struct {
	page   string // where it stands, or where the way to it begins
	walk   func(b *browser, email string)
	mails  bool   // whether there is one for each kind
	hashes bool   // a password, which takes a hundred times what an address does
	own    string // why the form needs no comparison: the address is the person's own
}

// flows are all of them, by the route that takes the address.
var flows = map[string]flow{
	"login": {page: "/login", hashes: true, walk: func(b *browser, email string) {
		b.submit("login-submit", "username", email, "password", "not this one")
	}},
	"register": {page: "/register", mails: true, hashes: true, walk: func(b *browser, email string) { b.register(email) }},
	"terms":    {own: "it is compared with the one before, which register takes"},
	"recover":  {page: "/recover", mails: true, walk: func(b *browser, email string) { b.submit("recover-submit", "email", email) }},
	"lookup":   {page: "/lookup", mails: true, walk: func(b *browser, email string) { b.submit("lookup-submit", "email", email) }},
	"address": {page: "/account/address", mails: true, walk: func(b *browser, email string) {
		b.submit("address-submit", "new-email", email)
	}},
	"recovery": {page: "/account/recovery", mails: true, walk: func(b *browser, email string) {
		b.submit("recovery-address-submit", "recovery-email", email)
	}},
	"request": {page: "/recover/request", mails: true, walk: func(b *browser, email string) {
		b.submit("request-submit", "account", email, "reach", "r"+email)
	}},
	"close": {own: "another than one's own is wrong, whosoever it is"},
}

// trace is all that a person on the other side could measure, and the work behind it.
type trace struct {
	answers    []string // of each request: status, headers, cookies, length of the body
	bodies     []string // what it says, but for what is random
	statements []string
	argon2     uint64
	mails      int
}

// TestEnumeration: A15, 4.24: known, unknown, unconfirmed, closed and disabled addresses get the same answer, after the same
// work. The mails' own words differ, and are read by the owner of the mailbox alone. How long it takes, on a clock, is
// compared by `make enumeration`.
//
// Broken on purpose, and found: no dummy hash for an unknown address; in a recovery no mail for an unknown address, or none for
// a closed account's, or a ReplaceLink that writes nothing where it is nobody's; no mail when somebody registers a known one.
func TestEnumeration(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		w := newWorldOn(t, s, func(*account.Config) {})
		w.person("visitor@example.test")
		for _, name := range slices.Sorted(maps.Keys(flows)) {
			f := flows[name]
			if f.own != "" {
				continue
			}
			t.Run("A15 "+name, func(t *testing.T) {
				w.t = t
				compare(t, w, f)
			})
		}
		t.Run("no other form takes an address", func(t *testing.T) { everyFlow(t, w) })
	})
}

// compare walks a flow with an address of each kind.
func compare(t *testing.T, w *world, f flow) {
	traces := map[string]trace{}
	for i, kind := range slices.Sorted(maps.Keys(kinds)) {
		email := fmt.Sprintf("%c%011d@example.test", 'a'+i, rand.N(int64(1e11)))
		kinds[kind](w, email)
		b := w.browser(t).comingFrom(anywhere())
		if strings.HasPrefix(f.page, "/account/") {
			b.login("visitor@example.test")
		}
		b.get(f.page)
		w.deliver() // what came before it
		traces[kind] = w.during(b, email, func() { f.walk(b, email) })
	}
	want := traces["known"]
	for kind, got := range traces {
		for what, pair := range map[string][2]any{
			"answers": {got.answers, want.answers}, "pages": {got.bodies, want.bodies}, "argon2 runs": {got.argon2, want.argon2},
			"statements": {got.statements, want.statements}, "mails": {got.mails, want.mails},
		} {
			if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
				t.Errorf("%s:\n%s\nknown:\n%s", kind+": "+what, list(pair[0]), list(pair[1]))
			}
		}
		if (got.mails == 1) != f.mails || len(got.answers) == 0 || len(got.statements) == 0 {
			t.Errorf("%s: %d mails, %d answers, %d statements: the comparison proves nothing", kind, got.mails, len(got.answers), len(got.statements))
		}
	}
}

func list(v any) string {
	if lines, ok := v.([]string); ok {
		return strings.Join(lines, "\n")
	}
	return fmt.Sprint(v)
}

// during writes down what a walk gets and costs.
func (w *world) during(b *browser, email string, walk func()) trace {
	w.t.Helper()
	var out trace
	argon2, before := w.people.Hashes(), w.inbox.List()
	b.ctx = storage.Traced(context.Background(), func(statement string) { out.statements = append(out.statements, statement) })
	b.seen = func() {
		out.answers = append(out.answers, b.shape())
		out.bodies = append(out.bodies, unrandom(b.Body, email))
	}
	walk()
	b.seen = nil
	out.argon2 = w.people.Hashes() - argon2
	w.deliver()
	for _, mail := range w.inbox.List() { // the newest first; the oldest go
		if len(before) > 0 && mail.ID == before[0].ID {
			break
		}
		out.mails++
	}
	return out
}

func (w *world) deliver() {
	w.t.Helper()
	if _, err := w.queue.RunDue(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// id is the account that has proven an address.
func (w *world) id(email string) string {
	w.t.Helper()
	return must(w.people.Show(context.Background(), email)).ID
}

// shape is what an answer looks like from afar: no value that is random by nature.
func (b *browser) shape() string {
	var lines []string
	for name, values := range b.Header {
		for _, v := range values {
			switch name {
			case "Set-Cookie":
				continue
			case "Content-Security-Policy", "Location":
				v = random.ReplaceAllStringFunc(v, masked)
			}
			lines = append(lines, name+": "+v)
		}
	}
	for _, c := range b.Cookies {
		n := len(c.Value)
		c.Value = ""
		lines = append(lines, fmt.Sprintf("cookie %s, %d bytes", c, n))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d %s, %d bytes\n%s", b.Status, b.path(), len(b.Body), strings.Join(lines, "\n"))
}

func (b *browser) path() string { return must(url.Parse(b.URL)).Path }

var random = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)

func masked(s string) string { return strings.Repeat("*", len(s)) }

func unrandom(body, email string) string {
	return random.ReplaceAllStringFunc(strings.ReplaceAll(body, email, "EMAIL"), masked)
}

// anywhere is an address of the network's that no other browser has: budgets are not what is compared.
func anywhere() string {
	return fmt.Sprintf("[2a00:%x:%x::1]:40000", rand.N(1<<16), rand.N(1<<16))
}

func (b *browser) comingFrom(address string) *browser {
	b.from = address
	return b
}

// everyFlow looks at all pages of the site for fields that take an address: one that the table lacks fails.
func everyFlow(t *testing.T, w *world) {
	found := 0
	for _, route := range w.site.Routes() {
		if !slices.Contains(route.Methods, http.MethodGet) || !route.Kind.Page() {
			continue
		}
		for _, b := range []*browser{w.browser(t), w.browser(t).login("visitor@example.test")} {
			if b.get(address(route.Path)); b.path() != route.Path || !takesAddress(b.Body) {
				continue
			}
			found++
			if _, known := flows[route.Name]; !known {
				t.Errorf("%s takes an address, and the table does not know it", route.Path)
			}
		}
	}
	for _, route := range w.site.Routes() {
		_, takes := flows[route.Name]
		if takes && flows[route.Name].own == "" && slices.Contains(route.Methods, http.MethodPost) && route.Even == flows[route.Name].hashes {
			t.Errorf("POST %s: its time tells what was found, and no password's hash covers that", route.Path)
		}
	}
	if found < 5 {
		t.Errorf("%d pages take an address: they are not found", found)
	}
}

// takesAddress tells whether a form of the page has a field that a person fills an address in.
func takesAddress(body string) bool {
	for n := range must(html.Parse(strings.NewReader(body))).Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" {
			continue
		}
		a := map[string]string{}
		for _, attr := range n.Attr {
			a[attr.Key] = attr.Val
		}
		if _, fixed := a["readonly"]; !fixed && a["type"] != "hidden" && (a["type"] == "email" || a["name"] == "username" || strings.Contains(a["name"], "email")) {
			return true
		}
	}
	return false
}
