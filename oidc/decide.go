package oidc

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// outcome is what an authorization request needs next.
type outcome int

const (
	toIssue   outcome = iota // all is settled: the response goes to the client
	toRefuse                 // an error goes to the client
	toSignIn                 // /login
	toCreate                 // /register
	toChoose                 // /accounts
	toAccept                 // /terms
	toConsent                // /consent
)

// pages are where the browser goes for an outcome that needs the person, and what prompt=none, which forbids
// every page, answers instead (Core §3.1.2.6).
var pages = map[outcome]struct{ path, silent string }{
	toSignIn:  {"/login", "login_required"},
	toCreate:  {"/register", "login_required"},
	toChoose:  {"/accounts", "account_selection_required"},
	toAccept:  {"/terms", "interaction_required"}, // no page has an error of its own but those of Core
	toConsent: {"/consent", "consent_required"},
}

// facts are what is known beside the request itself.
type facts struct {
	hash     []byte         // of the interaction; nil: the request has just arrived
	chosen   string         // id of the login chosen in the interaction
	approved bool           // the person said yes on the consent page just now
	versions grant.Versions // of the terms that hold: nothing is issued to who has accepted others
	logins   []grant.Login  // of this browser, newest authentication first
}

// decision is what decide found.
type decision struct {
	outcome outcome
	login   *grant.Login // whom it is about; nil: nobody yet
	refusal *refusal     // toRefuse only
}

// decide is the one place that knows what comes next. It is pure: the same facts give the same answer, on
// the first request as after each page.
func decide(q *request, f facts, now time.Time) decision {
	d := next(q, f, now)
	page, needsPerson := pages[d.outcome]
	if needsPerson && q.asks("none") {
		return decision{outcome: toRefuse, login: d.login,
			refusal: &refusal{page.silent, "The request needs the person, and prompt=none forbids every page."}}
	}
	return d
}

func next(q *request, f facts, now time.Time) decision {
	d := pick(q, f)
	switch {
	case d.login == nil || d.outcome == toRefuse:
		return d
	case mustSignIn(q, f, d.login, now):
		return decision{outcome: toSignIn, login: d.login}
	case d.login.Person.Accepted != f.versions:
		return decision{outcome: toAccept, login: d.login}
	case mustConsent(q, f, d.login):
		return decision{outcome: toConsent, login: d.login}
	}
	return d
}

// pick finds the account that answers the request: the outcome is toIssue as far as the account goes.
func pick(q *request, f facts) decision {
	var live []grant.Login
	for _, l := range f.logins {
		if l.Person.Allowed() {
			live = append(live, l)
		}
	}
	if f.chosen != "" {
		return chosen(q, f, live)
	}
	switch {
	case q.asks("create"):
		return decision{outcome: toCreate}
	case q.asks("select_account") && len(live) > 0:
		return decision{outcome: toChoose}
	case len(q.who) > 0:
		return found(live, func(l grant.Login) bool { return q.fits(l.Person.Sub) && q.mayFind(&l) }, toSignIn)
	case len(live) == 0:
		return decision{outcome: toSignIn}
	case len(live) == 1:
		return decision{login: &live[0]}
	case q.asks("login"):
		return decision{outcome: toSignIn} // the password page asks who it is
	}
	// Several accounts: the hint may pick one of them, and never one that is not here.
	hint := q.params.Get("login_hint")
	return found(live, func(l grant.Login) bool { return strings.EqualFold(l.Person.Email, hint) && q.mayFind(&l) }, toChoose)
}

// mayFind tells whether a hint may pick this login. In silence a client that nobody vouches for finds only whom it has
// been allowed to know in this login: else each answer would tell it whether that person is here.
func (q *request) mayFind(l *grant.Login) bool {
	if q.client.Verified() || !q.asks("none") {
		return true
	}
	_, _, ever := agreed(q.client, l)
	return ever
}

// chosen is the account that was chosen, or signed in with, on our pages for this request.
func chosen(q *request, f facts, live []grant.Login) decision {
	d := found(live, func(l grant.Login) bool { return l.ID == f.chosen }, toChoose)
	switch {
	case d.login == nil && len(live) == 0:
		return decision{outcome: toSignIn}
	case d.login == nil:
		// Signed out elsewhere meanwhile (B10): another account must not slip into what was shown to the first.
		return d
	case !q.fits(d.login.Person.Sub):
		// Core §3.1.2.2: the hinted person is not the one who came.
		return decision{outcome: toRefuse, login: d.login,
			refusal: &refusal{"login_required", "Another person signed in than the request asked for."}}
	}
	return d
}

// found is the one login that fits; otherwise the given outcome, with nobody.
func found(logins []grant.Login, fits func(grant.Login) bool, otherwise outcome) decision {
	var hit *grant.Login
	for i := range logins {
		if fits(logins[i]) {
			if hit != nil {
				return decision{outcome: otherwise}
			}
			hit = &logins[i]
		}
	}
	if hit == nil {
		return decision{outcome: otherwise}
	}
	return decision{login: hit}
}

// mustSignIn: a login event that names this interaction meets prompt=login and any max_age. Clocks are not
// compared for that: a person may take longer on the consent page than max_age allows.
func mustSignIn(q *request, f facts, l *grant.Login, now time.Time) bool {
	if f.hash != nil && bytes.Equal(l.Event, f.hash) {
		return false
	}
	// Core §3.1.2.1: max_age=0 acts as prompt=login.
	return q.asks("login") || q.maxAge == 0 || q.maxAge > 0 && now.Unix()-l.AuthTime.Unix() > q.maxAge
}

// mustConsent: what was agreed to is remembered; prompt=consent asks all the same.
func mustConsent(q *request, f facts, l *grant.Login) bool {
	switch {
	case f.approved && f.chosen == l.ID: // the yes of another account's page is no yes
		return false
	case q.asks("consent"), q.isDevice: // RFC 8628 §5.4: whose device it is shows to the person alone
		return true
	case !q.client.Verified() && !q.asks("none"):
		// Nobody vouches for this client: each sign-in shows who it is. Silently it gets what was allowed in this
		// very login, and nothing else.
		return true
	case q.client.SkipConsent && q.client.Verified():
		return false
	case q.unproven():
		return true
	}
	scopes, claims, ever := agreed(q.client, l)
	return !ever || !covers(scopes, q.scopes) || !covers(claims, q.names)
}

// unproven: neither a secret nor the redirect proves that this is the client of last time (RFC 8252 §8.6). Another app with
// the same scheme, or any program on a loopback port, would get a code without a word.
func (q *request) unproven() bool {
	return q.client.Public() && !strings.HasPrefix(q.redirect, "https://")
}

// remembered tells whether a yes spares the person the question the next time.
func (q *request) remembered() bool {
	return q.client.Verified() && !q.isDevice && !q.unproven()
}

// agreed is what the person has allowed the client and what still counts: of a client that nobody vouches for, what
// was allowed in this login.
func agreed(c *client.Client, l *grant.Login) (scopes, claims []string, ever bool) {
	for _, given := range l.Consents {
		if given.LoginID == l.ID || given.LoginID == "" && c.Verified() {
			scopes, claims, ever = append(scopes, given.Scopes...), append(claims, given.Claims...), true
		}
	}
	return scopes, claims, ever
}

// covers reports whether have contains all of want.
func covers(have, want []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
}

// asks reports whether prompt has this value.
func (q *request) asks(prompt string) bool { return slices.Contains(q.prompt, prompt) }
