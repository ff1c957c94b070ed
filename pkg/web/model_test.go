package web_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// model is what was proven, and by whom: kept from what went over the wire and what mails were delivered, apart from the
// server's own records. It knows of an account's password what somebody typed who was allowed to.
type model struct {
	w         *world
	db        *sql.DB
	rows      rows
	passwords map[string]string // of an account, in clear
	links     map[string]*link  // by their token
	drafts    map[string]draft  // registrations on their way through the second page, by what is sealed there
	mail      string            // the last that was read
	accepted  map[string]int    // proofs that changed something, by their path
}

type draft struct{ email, password string }

// link is the secret of a mail.
type link struct {
	path    string // of the page that it leads to
	mailbox string // whose mail it was; empty: it came in a cookie
	account string
	made    time.Time
	spent   bool
}

// lifetimes of links, by the page that they lead to. A link to another page proves nothing: it is to be decided here what it
// proves (judge).
var lifetimes = map[string]time.Duration{
	"/confirm": account.PendingLifetime, "/cancel": account.PendingLifetime, "/recover/password": account.RecoveryLifetime,
	"/alarm": account.AlarmLifetime, "/account/address/confirm": account.AddressLifetime, "/reopen": account.ClosingTime,
	"/account/recovery/confirm": account.AddressLifetime,
}

// freshness is how old the sign-in may be that what is dangerous wants (A20).
const freshness = 5 * time.Minute

// rows are what must not change without a proof.
type rows struct {
	accounts  map[string]accountRow
	addresses map[[2]string]addressRow // by account and canonical address
	passwords map[string]string        // credential and hash, by account
	recovery  map[string]string        // proven recovery address, by account
	logins    map[string]loginRow
}

type accountRow struct {
	state   string
	browser []byte
}

type addressRow struct{ primary, proven bool }

type loginRow struct {
	account string
	at      int64
}

// query reads rows of a table.
func query(m *model, statement string, into ...any) func(yield func() bool) {
	return func(yield func() bool) {
		list := must(m.db.Query(statement))
		defer list.Close()
		for list.Next() {
			if err := list.Scan(into...); err != nil {
				panic(err)
			}
			if !yield() {
				return
			}
		}
		if err := list.Err(); err != nil {
			panic(err)
		}
	}
}

func (m *model) read() rows {
	now := rows{map[string]accountRow{}, map[[2]string]addressRow{}, map[string]string{}, map[string]string{}, map[string]loginRow{}}
	var id, who, text string
	var primary, proven bool
	var browser []byte
	var at int64
	for range query(m, "SELECT id, state, browser_hash FROM account", &id, &text, &browser) {
		now.accounts[id] = accountRow{text, slices.Clone(browser)}
	}
	for range query(m, "SELECT account_id, canonical, is_primary, proven_at IS NOT NULL FROM address", &who, &text, &primary, &proven) {
		now.addresses[[2]string{who, text}] = addressRow{primary, proven}
	}
	for range query(m, "SELECT account_id, id, secret FROM credential WHERE kind = 'password'", &who, &id, &text) {
		now.passwords[who] = id + " " + text
	}
	for range query(m, "SELECT account_id, canonical FROM recovery WHERE proven_at IS NOT NULL", &who, &text) {
		now.recovery[who] = text
	}
	for range query(m, "SELECT id, account_id, auth_time FROM login WHERE ended_at IS NULL", &id, &who, &at) {
		now.logins[id] = loginRow{who, at}
	}
	return now
}

// request is a form that was sent, and what it proves.
type request struct {
	path   string
	body   url.Values
	flow   []byte          // hash of the browser's flow cookie
	signed map[string]bool // accounts that are signed in in the browser; true: of just now
	link   *link           // live, and with its token in the body
	at     time.Time
}

// sending is what the model knows of a form that is about to be sent.
func (m *model) sending(b *browser, path string, body url.Values) request {
	q := request{path: path, body: body, signed: map[string]bool{}, at: m.w.clock()}
	r := httptest.NewRequest("POST", issuer+path, nil)
	for name, value := range b.jar {
		r.Header.Add("Cookie", name+"="+value)
	}
	q.flow = m.w.session.FlowHash(r)
	if here := must(m.w.session.Current(r.Context(), r)); here != nil {
		for _, l := range here.Logins {
			q.signed[l.AccountID] = q.at.Sub(l.AuthTime) <= freshness
		}
	}
	for _, values := range body {
		for _, v := range values {
			if l := m.links[v]; l != nil && !l.spent && q.at.Before(l.made.Add(lifetimes[l.path])) {
				q.link = l
			}
		}
	}
	return q
}

// has tells whether a field of the form holds a text.
func (q request) has(text string) bool {
	for _, values := range q.body {
		if text != "" && slices.Contains(values, text) {
			return true
		}
	}
	return false
}

// follows tells whether the form was sent with a link of the account, to one of these pages.
func (q request) follows(id string, paths ...string) bool {
	return q.link != nil && q.link.account == id && q.link.path == q.path && slices.Contains(paths, q.path)
}

// canonical is an address as accounts are told apart by it.
func canonical(email string) string {
	c, err := account.Canonical(email)
	if err != nil {
		return ""
	}
	return c
}

// answered judges what a form has changed, and learns from it. It gives what changed without its proof.
func (m *model) answered(q request, b *browser) []string {
	was, now := m.rows, m.read()
	m.rows = now
	var faults []string
	changed := map[string]bool{}
	need := func(id string, proven bool, format string, args ...any) {
		changed[id] = true
		if !proven {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	fresh := func(id string) bool { return q.signed[id] }

	proven := map[[2]string]bool{} // in this step
	for key, a := range now.addresses {
		id, at := key[0], key[1]
		old, there := was.addresses[key]
		mailed := q.link != nil && q.link.account == id && canonical(q.link.mailbox) == at && q.link.path == q.path
		if a.proven && !old.proven {
			proven[key] = true
			here := bytes.Equal(q.flow, was.accounts[id].browser) || q.has(m.passwords[id]) || q.body.Get("new-password") != ""
			need(id, mailed && (q.path == "/confirm" && here || q.path == "/account/address/confirm" && fresh(id) || q.path == "/alarm"),
				"%s is proven for %s", at, id)
		}
		if a.primary && !old.primary && was.accounts[id].state != "" {
			need(id, a.proven && (proven[key] || there && fresh(id) || mailed && q.path == "/alarm"), "%s is the address of %s", at, id)
		}
	}
	for key, old := range was.addresses {
		if _, there := now.addresses[key]; !there && old.proven && now.accounts[key[0]].state != "" {
			need(key[0], fresh(key[0]) || q.follows(key[0], "/alarm"), "%s is taken from %s", key[1], key[0])
		}
	}
	for id, a := range now.accounts {
		old, there := was.accounts[id]
		switch {
		case !there:
			d := m.drafts[q.body.Get("sealed")]
			email := ""
			for key, row := range now.addresses {
				if key[0] == id && row.primary && !row.proven {
					email = key[1]
				}
			}
			need(id, a.state == account.Pending && q.path == "/register/terms" && email != "" && canonical(d.email) == email &&
				canonical(q.body.Get("terms-email")) == email && bytes.Equal(a.browser, q.flow), "account %s (%s) begins", id, a.state)
			m.passwords[id] = d.password
			continue
		case a.state == old.state:
		case a.state == account.Active && old.state == account.Pending:
			need(id, slices.ContainsFunc(slices.Collect(maps.Keys(proven)), func(k [2]string) bool { return k[0] == id }), "%s is active", id)
		case a.state == account.Closing:
			need(id, old.state == account.Active && fresh(id) && q.path == "/account/close" &&
				was.addresses[[2]string{id, canonical(q.body.Get("close-email"))}].primary, "%s closes", id)
		case a.state == account.Active && old.state == account.Closing:
			need(id, q.follows(id, "/reopen", "/alarm"), "%s is open again", id)
		default:
			need(id, a.state == account.Disabled && q.follows(id, "/alarm"), "%s is %s", id, a.state)
		}
		switch is, had := now.passwords[id], was.passwords[id]; {
		case is == had:
		case is == "":
			need(id, q.follows(id, "/alarm"), "%s has no password", id)
			delete(m.passwords, id)
		default:
			next := q.body.Get("new-password")
			need(id, next != "" && (q.follows(id, "/recover/password") || q.follows(id, "/confirm") ||
				q.path == "/account/password" && fresh(id) && q.has(m.passwords[id])), "the password of %s is another", id)
			m.passwords[id] = next
		}
	}
	for id, at := range now.recovery {
		if was.recovery[id] != at {
			need(id, q.follows(id, "/account/recovery/confirm") && fresh(id) && canonical(q.link.mailbox) == at, "%s may recover %s", at, id)
		}
	}
	for id, at := range was.recovery {
		if _, there := now.accounts[id]; there && now.recovery[id] == "" {
			need(id, fresh(id) || q.follows(id, "/alarm"), "%s may not recover %s any more", at, id)
		}
	}
	for id, old := range was.accounts {
		if _, there := now.accounts[id]; !there {
			taken := slices.ContainsFunc(slices.Collect(maps.Keys(proven)), func(k [2]string) bool { return was.addresses[[2]string{id, k[1]}] != addressRow{} })
			need(id, old.state == account.Pending && (q.follows(id, "/cancel") || taken), "%s (%s) is gone", id, old.state)
		}
	}
	for id, l := range now.logins {
		if was.logins[id] == l {
			continue
		}
		by := q.path == "/login" && q.body.Get("password") == m.passwords[l.account] && m.passwords[l.account] != "" &&
			now.addresses[[2]string{l.account, canonical(q.body.Get("username"))}].proven
		here := q.follows(l.account, "/confirm") && bytes.Equal(q.flow, was.accounts[l.account].browser)
		need(l.account, by || here, "%s is signed in", l.account)
	}
	m.learn(q, b, changed)
	return faults
}

// learn spends what was used, and reads what came by mail and cookie.
func (m *model) learn(q request, b *browser, changed map[string]bool) {
	if l := q.link; l != nil && l.path == q.path && changed[l.account] {
		l.spent = true
		m.accepted[q.path]++
	} else if len(changed) > 0 {
		m.accepted[q.path]++
	}
	if l := q.link; l != nil && l.spent {
		for _, other := range m.links {
			if other.account != l.account || other == l {
				continue
			}
			switch {
			case l.path == "/recover/password", l.path == "/alarm":
				// A17: a new password, or an alarm, ends what was on its way; of alarms, those that are younger.
				other.spent = other.spent || other.path != "/alarm" && other.path != "/reopen" || other.path == "/reopen" && l.path == "/alarm" ||
					other.path == "/alarm" && l.path == "/alarm" && other.made.After(l.made)
			case l.path == "/account/address/confirm":
				other.spent = other.spent || other.path == "/recover/password"
			}
		}
	}
	if q.path == "/account/password" || q.path == "/account/close" {
		for _, other := range m.links {
			if changed[other.account] && (other.path == "/recover/password" || other.path == "/account/address/confirm") {
				other.spent = true
			}
		}
	}
	for _, c := range b.Cookies {
		switch c.Name {
		case "__Host-draft":
			if q.path == "/register" && c.Value != "" {
				m.drafts[c.Value] = draft{q.body.Get("email"), q.body.Get("password")}
			}
		case "__Host-reopen": // whoever gave the right password of a closed account
			for id, secret := range m.passwords {
				mine := m.rows.addresses[[2]string{id, canonical(q.body.Get("username"))}].proven
				if q.path == "/login" && mine && secret == q.body.Get("password") && m.rows.accounts[id].state == account.Closing {
					m.links[c.Value] = &link{path: "/reopen", account: id, made: m.w.clock()}
				}
			}
		}
	}
	m.post()
}

var mailedLink = regexp.MustCompile(`https://op\.test(/[a-z/]+)\?t=([A-Za-z0-9_-]{43})`)

// post delivers mails, and reads them: a link is of the account that the server made it for, which must be one of whoever
// reads the mail.
func (m *model) post() {
	m.w.deliver()
	last := m.mail
	for i, mail := range m.w.inbox.List() { // the newest first
		if i == 0 {
			m.mail = mail.ID
		}
		if mail.ID == last {
			break
		}
		for _, found := range mailedLink.FindAllStringSubmatch(mail.Text, -1) {
			path, token := found[1], found[2]
			l := &link{path: path, mailbox: mail.To, made: m.w.clock()}
			sum := sha256.Sum256([]byte(token))
			err := m.db.QueryRow("SELECT account_id FROM mail_token WHERE hash = $1 UNION ALL SELECT account_id FROM account_link WHERE hash = $1 AND account_id IS NOT NULL",
				sum[:]).Scan(&l.account)
			if err != nil { // it is nobody's, or dead already: it proves nothing
				continue
			}
			if path == "/recover/password" || path == "/confirm" || path == "/cancel" {
				for _, older := range m.links {
					older.spent = older.spent || older.account == l.account && older.path == path && older.mailbox == l.mailbox
				}
			}
			m.links[token] = l
			if at := canonical(mail.To); path == "/recover/password" && !m.rows.addresses[[2]string{l.account, at}].proven && m.rows.recovery[l.account] != at {
				m.w.t.Errorf("a recovery of %s went to %s, which it has not proven", l.account, strings.ToLower(mail.To))
			}
		}
	}
}
