package web_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// Each walk is so many steps; so many walks are walked on each database, unless PASSPORT_TEST_WALKS says how many. The seed
// of a walk is its number: one that fails is walked again by PASSPORT_TEST_WALK.
const (
	stepsOfWalk = 80
	walks       = 40
)

// TestA19 sends every form in every order, with stale, missing and foreign ids, tokens and cookies, from two browsers, and
// holds what became of the database against a model of what was proven: no password is set or changed, no address proven or
// made the primary one, no account opened, closed or signed in to, but by the one who may (model.answered). The forms are
// found by the routes and by what the pages show.
//
// Broken on purpose, and found: links that are never spent (SpendLink and DropLinks do nothing); /account/password that does not
// ask for the old password; /account/address/confirm for whoever is signed in; /confirm that takes any browser for the one that
// registered; 5 minutes of freshness made 50.
func TestA19(t *testing.T) {
	storagetest.EachNamed(t, func(t *testing.T, s *storage.Store, database string) {
		w := newWorldOn(t, s, func(*account.Config) {})
		w.client("app")
		first, n := 1, walks
		if more, err := strconv.Atoi(os.Getenv("PASSPORT_TEST_WALKS")); err == nil {
			n = more
		}
		if one, err := strconv.Atoi(os.Getenv("PASSPORT_TEST_WALK")); err == nil {
			first, n = one, 1
		}
		m := &model{w: w, db: storagetest.DB(t, database), accepted: map[string]int{}}
		tries := map[string]int{}
		library := map[string][]seenForm{}
		for seed := first; (seed < first+n || n >= walks && seed < first+4*n && len(m.useless()) > 0) && !t.Failed(); seed++ {
			newWalk(t, m, seed, tries, library).run()
		}
		if t.Failed() || n < walks {
			return
		}
		for _, route := range w.site.Routes() {
			if slices.Contains(route.Methods, http.MethodPost) && route.Kind.Page() && !route.Protocol && tries[route.Path] < 2 {
				t.Errorf("POST %s was sent %d times", route.Path, tries[route.Path])
			}
		}
		for _, path := range m.useless() {
			t.Errorf("%s was never of use: the walks prove nothing", path)
		}
		t.Log(m.accepted)
	})
}

// useless are the forms that have changed nothing yet, and should.
func (m *model) useless() (list []string) {
	for _, path := range append(slices.Sorted(maps.Keys(lifetimes)), "/login", "/register/terms", "/account/password", "/account/close") {
		if m.accepted[path] == 0 {
			list = append(list, path)
		}
	}
	return list
}

// seenForm is a form as it stood in a page.
type seenForm struct {
	action  string
	hidden  url.Values
	fields  []field
	buttons []url.Values
}

type field struct{ name, kind string }

// actor is a browser and whoever sits before it.
type actor struct {
	*browser
	name      string
	addresses []string            // that are read here
	passwords []string            // that come to mind
	here      []seenForm          // of the page that is open
	forms     []seenForm          // of pages that were
	jars      []map[string]string // as they were
}

type walk struct {
	t       *testing.T
	m       *model
	seed    int
	rng     *rand.Rand
	actors  []*actor
	domain  string
	log     []string
	tries   map[string]int
	library map[string][]seenForm // by the form's action: of all walks
}

func newWalk(t *testing.T, m *model, seed int, tries map[string]int, library map[string][]seenForm) *walk {
	k := &walk{t: t, m: m, seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 19)), tries: tries, library: library,
		domain: fmt.Sprintf("@w%d.test", seed)}
	m.w.t = t
	m.passwords, m.links, m.drafts = map[string]string{}, map[string]*link{}, map[string]draft{}
	for _, name := range []string{"ada", "mallory"} {
		a := &actor{browser: m.w.browser(t), name: name, addresses: []string{name + k.domain, name + "2" + k.domain}}
		for i := range 3 {
			a.passwords = append(a.passwords, fmt.Sprintf("%s's %dth good password", name, i))
		}
		k.actors = append(k.actors, a)
	}
	return k
}

func (k *walk) run() {
	for _, a := range k.actors {
		if k.chance(65) { // the others must register
			made := must(k.m.w.people.Create(k.t.Context(), account.NewAccount{Email: a.addresses[0], Password: a.passwords[0], Name: a.name, Confirmed: true}))
			k.m.passwords[made.ID] = a.passwords[0]
		}
	}
	k.m.rows = k.m.read()
	for i := range stepsOfWalk {
		if i < 2 && k.chance(60) { // somebody is signed in
			k.open(k.actors[i], "/login")
			k.send(k.actors[i], k.actors[1-i], k.actors[i].here[0])
		}
		k.step()
		if k.t.Failed() {
			k.t.Fatalf("PASSPORT_TEST_WALK=%d:\n%s", k.seed, strings.Join(k.log, "\n"))
		}
	}
	for id := range k.m.read().accounts {
		must(k.m.w.people.Delete(k.t.Context(), id))
	}
}

func (k *walk) chance(percent int) bool { return k.rng.IntN(100) < percent }

func pick[T any](k *walk, list []T) T { return list[k.rng.IntN(len(list))] }

// step is one thing that somebody does.
func (k *walk) step() {
	i := k.rng.IntN(2)
	a, other := k.actors[i], k.actors[1-i]
	a.from = fmt.Sprintf("[2a00:%x:%x::1]:40000", k.rng.IntN(1<<16), k.rng.IntN(1<<16)) // budgets of networks are not in the way
	switch n := k.rng.IntN(100); {
	case n < 42 && len(a.here) > 0: // what the page is for
		k.send(a, other, pick(k, a.here))
	case n < 54:
		k.open(a, k.page())
	case n < 68:
		k.open(a, k.mailed(a, 95))
	case n < 73: // a scanner, or somebody who looks over a shoulder
		k.open(a, k.mailed(other, 100))
	case n < 81 && len(a.forms) > 0:
		k.send(a, other, k.old(a.forms))
	case n < 86 && len(other.forms) > 0:
		k.send(a, other, k.old(other.forms))
	case n < 91:
		k.blind(a, other)
	case n < 93:
		if len(a.jars) > 0 && k.chance(50) {
			a.jar = maps.Clone(pick(k, a.jars))
		} else {
			a.jars = append(a.jars, maps.Clone(a.jar))
		}
		k.note("%s keeps the cookies, or has those of another time", a.name)
	case n < 94:
		a.jar = map[string]string{}
		k.note("%s has no cookies", a.name)
	default:
		d := pick(k, []time.Duration{time.Minute, time.Minute, time.Minute, 6 * time.Minute, 6 * time.Minute, 20 * time.Minute, 5 * time.Hour, 25 * time.Hour, 8 * 24 * time.Hour})
		k.m.w.pass(d)
		k.note("%s pass", d)
	}
}

func (k *walk) note(format string, args ...any) { k.log = append(k.log, fmt.Sprintf(format, args...)) }

// page is any that there is.
func (k *walk) page() string {
	if k.chance(10) {
		return authorizeURL("app")
	}
	var paths []string
	for _, route := range k.m.w.site.Routes() {
		if slices.Contains(route.Methods, http.MethodGet) && route.Kind.Page() && !route.Protocol {
			paths = append(paths, address(route.Path))
		}
	}
	if k.chance(60) { // where things happen
		return pick(k, []string{"/login", "/register", "/register", "/register", "/recover", "/account/password", "/account/password", "/account/address", "/account/address", "/account/recovery", "/account/recovery", "/account/close"})
	}
	return pick(k, paths)
}

// old is a form of a page that was, mostly one that acts on an account.
func (k *walk) old(forms []seenForm) seenForm {
	var acting []seenForm
	for _, f := range forms {
		if f.hidden.Get("t") != "" || strings.HasPrefix(f.action, "/account/") {
			acting = append(acting, f)
		}
	}
	if len(acting) > 0 && k.chance(75) {
		return pick(k, acting)
	}
	return pick(k, forms)
}

// mailed is a link of somebody's mails, mostly a young one.
func (k *walk) mailed(a *actor, percent int) string {
	var links []string
	for _, mail := range k.m.w.inbox.List() {
		if len(links) < 12 && slices.Contains(a.addresses, mail.To) {
			for _, found := range mailedLink.FindAllStringSubmatch(mail.Text, -1) {
				links = append(links, found[1]+"?t="+found[2])
			}
		}
	}
	if len(links) == 0 {
		return "/"
	}
	link := links[min(k.rng.IntN(len(links)), k.rng.IntN(len(links)))]
	if strings.HasPrefix(link, "/confirm") && k.chance(30) {
		link += "&fresh=1"
	}
	if !k.chance(percent) { // the token of one purpose at the page of another (A3)
		_, token, _ := strings.Cut(link, "?")
		return pick(k, slices.Sorted(maps.Keys(lifetimes))) + "?" + token
	}
	return link
}

func (k *walk) open(a *actor, target string) {
	a.get(target)
	k.note("%s opens %s: %d %s", a.name, target, a.Status, a.path())
	k.look(a)
}

// look collects the forms of the page, and fails with what is our own fault.
func (k *walk) look(a *actor) {
	if a.Status >= 500 {
		k.t.Errorf("%s: %d\n%s", a.URL, a.Status, k.m.w.logs.failures())
	}
	a.here = nil
	for _, f := range formsOf(a.Body) {
		if strings.HasPrefix(f.action, "/language") {
			continue
		}
		a.here, a.forms = append(a.here, f), append(a.forms, f)
		if list := k.library[f.action]; len(list) < 50 {
			k.library[f.action] = append(list, f)
		}
	}
	if len(a.forms) > 30 {
		a.forms = a.forms[len(a.forms)-30:]
	}
}

// blind sends a form to a route, whether a page showed it or not.
func (k *walk) blind(a, other *actor) {
	var paths []string
	for _, route := range k.m.w.site.Routes() {
		if slices.Contains(route.Methods, http.MethodPost) && route.Kind.Page() && !route.Protocol {
			paths = append(paths, route.Path)
		}
	}
	path := pick(k, paths)
	if k.chance(50) { // that had the fewest
		path = slices.MinFunc(paths, func(a, b string) int { return k.tries[a] - k.tries[b] })
	}
	k.tries[path]++
	f := seenForm{action: address(path), hidden: url.Values{"token": {""}, "i": {""}, "t": {""}}}
	if known := k.library[address(path)]; len(known) > 0 {
		f = pick(k, known)
	}
	for _, name := range slices.Sorted(maps.Keys(f.hidden)) { // all of it from what is at hand
		f = f.with(name, k.foreign(name, a, other))
	}
	k.send(a, other, f)
}

// send fills a form in, perhaps wrongly, and sends it.
func (k *walk) send(a, other *actor, f seenForm) {
	body := url.Values{}
	for name, values := range f.hidden {
		body[name] = slices.Clone(values)
	}
	for _, in := range f.fields {
		k.fill(body, a, in)
	}
	if len(f.buttons) > 0 {
		maps.Copy(body, pick(k, f.buttons))
	}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		if !k.chance(97) {
			switch k.rng.IntN(3) {
			case 0:
				body.Del(name)
			case 1:
				body.Set(name, k.foreign(name, a, other))
			case 2:
				body.Set(name, k.foreign(name, other, a))
			}
		}
	}
	if k.chance(2) { // one request with somebody else's cookie, or without one
		kept := maps.Clone(a.jar)
		defer func() { a.jar = kept }()
		if names := slices.Sorted(maps.Keys(a.jar)); len(names) > 0 {
			name := pick(k, names)
			delete(a.jar, name)
			if v := other.jar[name]; v != "" && k.chance(70) {
				a.jar[name] = v
			}
		}
	}
	path, _, _ := strings.Cut(f.action, "?")
	k.tries[path]++
	q := k.m.sending(a.browser, path, body)
	a.browser.send(http.MethodPost, f.action, formType, body.Encode())
	k.note("%s sends %s %v: %d %s", a.name, f.action, body, a.Status, a.Header.Get("Location"))
	for _, fault := range k.m.answered(q, a.browser) {
		k.t.Errorf("without a proof: %s", fault)
	}
	a.follow()
	k.look(a)
}

// fill is what somebody would type there.
func (k *walk) fill(body url.Values, a *actor, in field) {
	switch {
	case in.kind == "checkbox":
		if k.chance(30) {
			body.Set(in.name, "1")
		}
	case in.kind == "password":
		body.Set(in.name, pick(k, a.passwords))
		right := k.chance(65)
		for id, secret := range k.m.passwords {
			if in.name == "password" && right && slices.Contains(a.passwords, secret) && k.reads(a, id) {
				body.Set(in.name, secret)
			}
		}
	case in.kind == "email" || strings.Contains(in.name, "email") || in.name == "username":
		is, other := a.addresses[0], a.addresses[1]
		for key, row := range k.m.rows.addresses {
			if key[1] == other && row.primary && row.proven {
				is, other = other, is
			}
		}
		body.Set(in.name, is)
		another := in.name == "new-email" || in.name == "recovery-email"
		switch n := k.rng.IntN(100); {
		case n < 10 || n < 80 && another:
			body.Set(in.name, other)
		case n < 16 || n < 88 && another:
			body.Set(in.name, pick(k, pick(k, k.actors).addresses))
		}
	case in.kind == "date":
		body.Set(in.name, "1985-03-31")
	case in.kind == "tel":
		body.Set(in.name, "+34600000000")
	case in.kind == "select":
		body.Set(in.name, "en")
	default:
		body.Set(in.name, "Somebody")
	}
}

// reads tells whether an account has proven an address that somebody reads.
func (k *walk) reads(a *actor, id string) bool {
	return slices.ContainsFunc(a.addresses, func(at string) bool { return k.m.rows.addresses[[2]string{id, at}].proven })
}

// foreign is a value of a field of that name that one of the two has seen.
func (k *walk) foreign(name string, a, other *actor) string {
	for _, who := range []*actor{a, other} {
		var values []string
		for _, f := range who.forms {
			if v := f.hidden.Get(name); v != "" {
				values = append(values, v)
			}
		}
		if len(values) > 0 && k.chance(70) {
			return pick(k, values)
		}
	}
	return pick(k, []string{"", "none", strings.Repeat("A", 43)})
}

func (f seenForm) with(name, value string) seenForm {
	f.hidden = maps.Clone(f.hidden)
	f.hidden.Set(name, value)
	return f
}

// formsOf are the forms of a page.
func formsOf(body string) []seenForm {
	var list []seenForm
	for n := range must(html.Parse(strings.NewReader(body))).Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f := seenForm{action: attribute(n, "action"), hidden: url.Values{}}
		for in := range n.Descendants() {
			name := attribute(in, "name")
			if in.Type != html.ElementNode || name == "" {
				continue
			}
			switch kind := attribute(in, "type"); {
			case in.Data == "button":
				f.buttons = append(f.buttons, url.Values{name: {attribute(in, "value")}})
			case in.Data == "select" || in.Data == "textarea":
				f.fields = append(f.fields, field{name, in.Data})
			case in.Data == "input" && (kind == "hidden" || kind == "radio"):
				f.hidden.Set(name, attribute(in, "value"))
			case in.Data == "input":
				f.fields = append(f.fields, field{name, kind})
			}
		}
		list = append(list, f)
	}
	return list
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
