package oidc

import (
	"net/url"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// login makes one of a person who allowed openid and profile, authenticated a minute ago.
func login(name string, change ...func(*grant.Login)) grant.Login {
	l := grant.Login{
		ID:       "login-" + name,
		Person:   grant.Person{AccountID: name, Sub: "sub-" + name, State: grant.Active, Proven: true, Email: name + "@example.test"},
		AuthTime: noon.Add(-time.Minute),
		Consents: []grant.Consent{{Scopes: []string{"openid", "profile"}}},
	}
	for _, c := range change {
		c(&l)
	}
	return l
}

func TestDecide(t *testing.T) {
	hash := []byte("this interaction")
	served := func(l *grant.Login) { l.Event = hash }
	stranger := func(l *grant.Login) { l.Consents = nil }
	here := func(l *grant.Login) { l.Consents[0].LoginID = l.ID }
	disabled := func(l *grant.Login) { l.Person.State = grant.Disabled }
	unproven := func(l *grant.Login) { l.Person.Proven = false }
	alice, bob := login("alice"), login("bob")
	type in struct {
		prompt   []string
		maxAge   int64 // 0 stands for none here; -1 for max_age=0
		subject  string
		unknown  bool // nobody vouches for the client
		isDevice bool
		hint     string
		scopes   []string
		names    []string
		skip     bool
		public   string // redirect URI of a client without a secret
		facts    facts
	}
	one := facts{logins: []grant.Login{alice}}
	two := facts{logins: []grant.Login{alice, bob}}
	after := func(f facts, chosen string) facts { f.hash, f.chosen = hash, chosen; return f }
	now := grant.Versions{Terms: "2"}
	news := func(f facts) facts { f.versions = now; return f }
	agreed := func(l *grant.Login) { l.Person.Accepted = now }
	yes := func(f facts) facts { f.approved = true; return f }
	for _, c := range []struct {
		name string
		in   in
		want outcome
		who  string // account
		code string
	}{
		{"nobody", in{}, toSignIn, "", ""},
		{"known and remembered", in{facts: one}, toIssue, "alice", ""},
		{"H18 a disabled person is nobody", in{facts: facts{logins: []grant.Login{login("alice", disabled)}}}, toSignIn, "", ""},
		{"a person with no proven address is nobody", in{facts: facts{logins: []grant.Login{login("alice", unproven)}}}, toSignIn, "", ""},
		{"a disabled person does not make two", in{facts: facts{logins: []grant.Login{alice, login("bob", disabled)}}}, toIssue, "alice", ""},

		{"Q029 none, nobody", in{prompt: []string{"none"}}, toRefuse, "", "login_required"},
		{"Q029 none, known", in{prompt: []string{"none"}, facts: one}, toIssue, "alice", ""},
		{"Q029 none, no consent", in{prompt: []string{"none"}, facts: facts{logins: []grant.Login{login("alice", stranger)}}}, toRefuse, "alice", "consent_required"},
		{"Q029 none, two accounts", in{prompt: []string{"none"}, facts: two}, toRefuse, "", "account_selection_required"},
		{"Q029 none, too old", in{prompt: []string{"none"}, maxAge: 10, facts: one}, toRefuse, "alice", "login_required"},
		{"Q029 none, max_age=0", in{prompt: []string{"none"}, maxAge: -1, facts: one}, toRefuse, "alice", "login_required"},

		{"Q030 login, live session", in{prompt: []string{"login"}, facts: one}, toSignIn, "alice", ""},
		{"Q030 login, two accounts: the password page asks", in{prompt: []string{"login"}, facts: two}, toSignIn, "", ""},
		{"Q030 login, signed in for another interaction", in{prompt: []string{"login"}, facts: after(facts{logins: []grant.Login{
			login("alice", func(l *grant.Login) { l.Event = []byte("another"); l.AuthTime = noon })}}, "login-alice")}, toSignIn, "alice", ""},
		{"Q030 login, signed in for this one", in{prompt: []string{"login"}, facts: after(facts{logins: []grant.Login{login("alice", served)}}, "login-alice")}, toIssue, "alice", ""},
		{"Q030 login, no event and no interaction are not equal", in{prompt: []string{"login"}, facts: one}, toSignIn, "alice", ""},
		{"Q030 consent", in{prompt: []string{"consent"}, facts: one}, toConsent, "alice", ""},
		{"Q030 consent, given", in{prompt: []string{"consent"}, facts: yes(after(one, "login-alice"))}, toIssue, "alice", ""},
		{"Q030 select_account, one account", in{prompt: []string{"select_account"}, facts: one}, toChoose, "", ""},
		{"Q030 select_account, nobody", in{prompt: []string{"select_account"}}, toSignIn, "", ""},
		{"Q030 select_account, chosen", in{prompt: []string{"select_account"}, facts: after(two, "login-bob")}, toIssue, "bob", ""},
		{"create", in{prompt: []string{"create"}, facts: one}, toCreate, "", ""},
		{"create, done", in{prompt: []string{"create"}, facts: after(two, "login-bob")}, toIssue, "bob", ""},

		{"new terms: before the consent, and before a code", in{facts: news(one)}, toAccept, "alice", ""},
		{"new terms: also of the operator's own site", in{skip: true, facts: news(one)}, toAccept, "alice", ""},
		{"new terms: a yes on the consent page is none to them", in{facts: news(yes(after(one, "login-alice")))}, toAccept, "alice", ""},
		{"new terms: after the password", in{prompt: []string{"login"}, facts: news(one)}, toSignIn, "alice", ""},
		{"new terms: for a device too", in{isDevice: true, facts: news(yes(after(one, "login-alice")))}, toAccept, "alice", ""},
		{"new terms, none", in{prompt: []string{"none"}, facts: news(one)}, toRefuse, "alice", "interaction_required"},
		{"new terms, accepted", in{facts: news(facts{logins: []grant.Login{login("alice", agreed)}})}, toIssue, "alice", ""},
		{"terms that were accepted, and hold no longer", in{facts: facts{logins: []grant.Login{login("alice", agreed)}}}, toAccept, "alice", ""},

		{"Q031 younger than max_age", in{maxAge: 60, facts: one}, toIssue, "alice", ""},
		{"Q031 older than max_age", in{maxAge: 59, facts: one}, toSignIn, "alice", ""},
		{"Q031 max_age=0", in{maxAge: -1, facts: facts{logins: []grant.Login{login("alice", func(l *grant.Login) { l.AuthTime = noon })}}}, toSignIn, "alice", ""},
		{"Q031 max_age=0, signed in for this one", in{maxAge: -1, facts: after(facts{logins: []grant.Login{login("alice", served)}}, "login-alice")}, toIssue, "alice", ""},
		{"Q031 a slow person is not asked twice", in{maxAge: 1, facts: after(facts{logins: []grant.Login{login("alice", served)}}, "login-alice")}, toIssue, "alice", ""},

		{"Q033 the hinted one is here", in{subject: "sub-bob", facts: two}, toIssue, "bob", ""},
		{"Q033 the hinted one is not here", in{subject: "sub-carol", facts: two}, toSignIn, "", ""},
		{"Q033 none, the hinted one is not here", in{prompt: []string{"none"}, subject: "sub-carol", facts: one}, toRefuse, "", "login_required"},
		{"Q033 none, the hinted one of two", in{prompt: []string{"none"}, subject: "sub-bob", facts: two}, toIssue, "bob", ""},
		{"Q033 another person signed in", in{subject: "sub-alice", facts: after(two, "login-bob")}, toRefuse, "bob", "login_required"},
		{"Q034 login_hint picks one of two", in{hint: "BOB@example.test", facts: two}, toIssue, "bob", ""},
		{"Q034 login_hint of nobody here", in{hint: "carol@example.test", facts: two}, toChoose, "", ""},
		{"two accounts", in{facts: two}, toChoose, "", ""},

		{"B10 the chosen account signed out: no other slips in", in{facts: after(facts{logins: []grant.Login{bob}}, "login-alice")}, toChoose, "", ""},
		{"B10 the chosen account signed out, nobody left", in{facts: after(facts{}, "login-alice")}, toSignIn, "", ""},
		{"B10 a yes for the chosen account alone", in{facts: yes(after(facts{logins: []grant.Login{login("bob", stranger)}}, "login-alice"))}, toChoose, "", ""},
		{"B10 a yes without a chosen account", in{facts: yes(facts{hash: hash, logins: []grant.Login{login("bob", stranger)}})}, toConsent, "bob", ""},

		{"first visit to the site", in{facts: facts{logins: []grant.Login{login("alice", stranger)}}}, toConsent, "alice", ""},
		{"first visit, plain OAuth without any scope", in{scopes: []string{}, facts: facts{logins: []grant.Login{login("alice", stranger)}}}, toConsent, "alice", ""},
		{"more than remembered", in{scopes: []string{"openid", "email"}, facts: one}, toConsent, "alice", ""},
		{"less than remembered", in{scopes: []string{"openid"}, facts: one}, toIssue, "alice", ""},
		{"Q037 offline_access is asked for", in{scopes: []string{"openid", "offline_access"}, facts: one}, toConsent, "alice", ""},
		{"a claim by name is asked for", in{names: []string{"phone_number"}, facts: one}, toConsent, "alice", ""},
		{"a claim by name was agreed to", in{names: []string{"phone_number"}, facts: facts{logins: []grant.Login{login("alice", func(l *grant.Login) {
			l.Consents[0].Claims = []string{"phone_number"}
		})}}}, toIssue, "alice", ""},
		{"agreed to in another login only", in{facts: facts{logins: []grant.Login{login("alice", func(l *grant.Login) { l.Consents[0].LoginID = "other" })}}}, toConsent, "alice", ""},
		{"the operator's own site", in{skip: true, facts: facts{logins: []grant.Login{login("alice", stranger)}}}, toIssue, "alice", ""},
		{"the operator's own site, prompt=consent", in{skip: true, prompt: []string{"consent"}, facts: one}, toConsent, "alice", ""},

		{"9700 §4.11 nobody vouches: asked at each sign-in", in{unknown: true, facts: one}, toConsent, "alice", ""},
		{"9700 §4.11 nobody vouches: the yes of just now", in{unknown: true, facts: yes(after(one, "login-alice"))}, toIssue, "alice", ""},
		{"9700 §4.11 nobody vouches: a yes for good does not count silently", in{unknown: true, prompt: []string{"none"}, facts: one}, toRefuse, "alice", "consent_required"},
		{"9700 §4.11 nobody vouches: silently what this login allowed", in{unknown: true, prompt: []string{"none"}, facts: facts{logins: []grant.Login{login("alice", here)}}}, toIssue, "alice", ""},
		{"9700 §4.11 nobody vouches: silently no more than that", in{unknown: true, prompt: []string{"none"}, scopes: []string{"openid", "email"}, facts: facts{logins: []grant.Login{login("alice", here)}}}, toRefuse, "alice", "consent_required"},

		{"9700 §4.11 nobody vouches: no question whether somebody is here", in{unknown: true, prompt: []string{"none"}, subject: "sub-alice", facts: one}, toRefuse, "", "login_required"},
		{"9700 §4.11 nobody vouches: nor by the address", in{unknown: true, prompt: []string{"none"}, hint: "bob@example.test", facts: two}, toRefuse, "", "account_selection_required"},
		{"9700 §4.11 nobody vouches: whom this login let it know is found", in{unknown: true, prompt: []string{"none"}, subject: "sub-alice", facts: facts{logins: []grant.Login{login("alice", here)}}}, toIssue, "alice", ""},
		{"9700 §4.11 nobody vouches: also by the address", in{unknown: true, prompt: []string{"none"}, hint: "alice@example.test", facts: facts{logins: []grant.Login{login("alice", here), bob}}}, toIssue, "alice", ""},
		{"9700 §4.11 nobody vouches: with a page the hint picks as ever", in{unknown: true, subject: "sub-alice", facts: two}, toConsent, "alice", ""},

		{"8628 §5.4 a device is always asked about", in{isDevice: true, facts: one}, toConsent, "alice", ""},
		{"8628 §5.4 also for the operator's own client", in{isDevice: true, skip: true, facts: one}, toConsent, "alice", ""},
		{"8628 §5.4 the yes of just now", in{isDevice: true, facts: yes(after(one, "login-alice"))}, toIssue, "alice", ""},

		{"8252 §8.6 any program may answer on a loopback port", in{public: "http://127.0.0.1:4711/cb", facts: one}, toConsent, "alice", ""},
		{"8252 §8.6 any app may claim a scheme", in{public: "com.example.app:/cb", facts: one}, toConsent, "alice", ""},
		{"8252 §8.6 none, remembered", in{public: "com.example.app:/cb", prompt: []string{"none"}, facts: one}, toRefuse, "alice", "consent_required"},
		{"8252 §8.6 the yes of just now", in{public: "com.example.app:/cb", facts: yes(after(one, "login-alice"))}, toIssue, "alice", ""},
		{"8252 §8.6 an https redirect proves who it is", in{public: "https://app.test/cb", facts: one}, toIssue, "alice", ""},
		{"8252 §8.6 the operator vouches", in{public: "http://127.0.0.1:4711/cb", skip: true, facts: one}, toIssue, "alice", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &request{client: &client.Client{SkipConsent: c.in.skip}, params: url.Values{}, scopes: c.in.scopes, names: c.in.names,
				prompt: c.in.prompt, maxAge: c.in.maxAge, isDevice: c.in.isDevice}
			if !c.in.unknown {
				q.client.VerifiedAt = noon
			}
			if c.in.subject != "" {
				q.who = append(q.who, func(sub string) bool { return sub == c.in.subject })
			}
			if q.scopes == nil {
				q.scopes = []string{"openid", "profile"}
			}
			if q.redirect = c.in.public; q.redirect != "" {
				q.client.Metadata.TokenEndpointAuthMethod = client.MethodNone
			}
			q.params.Set("login_hint", c.in.hint)
			switch c.in.maxAge {
			case 0:
				q.maxAge = -1
			case -1:
				q.maxAge = 0
			}
			d := decide(q, c.in.facts, noon)
			who, code := "", ""
			if d.login != nil {
				who = d.login.Person.AccountID
			}
			if d.refusal != nil {
				code = d.refusal.code
			}
			if d.outcome != c.want || who != c.who || code != c.code {
				t.Errorf("outcome %d for %q with %q, want %d for %q with %q", d.outcome, who, code, c.want, c.who, c.code)
			}
		})
	}
}
