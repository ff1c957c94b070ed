package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// scenario is one kind of work. ready makes what the next operation needs (a session, a token) and is not timed; act
// is the operation.
type scenario struct {
	name, about string
	secret      bool // it authenticates as a confidential client
	person      bool // somebody signs in
	endpoint    func(*provider) (string, *url.URL)
	ready       func(*worker, context.Context) error
	act         func(*worker, context.Context) error
}

// scenarios are all, in the order in which they are told of.
var scenarios = []scenario{
	{name: "discovery", about: "the discovery document", act: (*worker).discovery},
	{name: "jwks", about: "the key set", act: (*worker).jwks},
	{name: "client_credentials", about: "an access token for the client itself", secret: true,
		endpoint: tokenEndpoint, act: (*worker).clientCredentials},
	{name: "introspect", about: "an access token is looked up: a person's where a person is given, else the client's own", secret: true,
		endpoint: func(p *provider) (string, *url.URL) { return "introspection_endpoint", p.introspect },
		ready:    (*worker).haveToken, act: (*worker).introspection},
	{name: "userinfo", about: "the claims of the person whose access token it is", person: true,
		endpoint: func(p *provider) (string, *url.URL) { return "userinfo_endpoint", p.person },
		ready:    (*worker).haveToken, act: (*worker).userinfo},
	{name: "refresh", about: "a refresh token is exchanged, and the next one takes its place", person: true,
		endpoint: tokenEndpoint, ready: (*worker).haveRefreshToken, act: (*worker).refresh},
	{name: "sso", about: "a person who is signed in comes to a site: authorize, code with PKCE, tokens", person: true,
		endpoint: tokenEndpoint, ready: (*worker).haveSession, act: (*worker).sso},
	{name: "login", about: "the same in a new browser: sign-in page and password each time", person: true,
		endpoint: tokenEndpoint, act: (*worker).login},
}

func tokenEndpoint(p *provider) (string, *url.URL) { return "token_endpoint", p.token }

func scenarioNamed(name string) (scenario, bool) {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		return scenario{}, false
	}
	return scenarios[i], true
}

// worker is one of those that ask at the same time: a connection, and the sessions that it uses in turn.
type worker struct {
	o        *options
	p        *provider
	agent    *agent
	held     []*session
	turn     int
	*session // whose turn it is
}

// session is a person, and what they got.
type session struct {
	who     person   // who signed in last
	browser *browser // nil: not signed in
	tokens  *tokens  // nil: none

	refreshed, rotates bool // a refresh token of it was used; the first time another took its place
}

// mostHeld bounds the sessions of a worker: each costs a sign-in before anything is measured.
const mostHeld = 8

// newWorker makes one with as many sessions as bring every person a turn.
func newWorker(o *options, p *provider) *worker {
	w := &worker{o: o, p: p, agent: newAgent(o)}
	each := (len(o.people.list) + o.plan.workers - 1) / o.plan.workers
	for range min(max(each, 1), mostHeld) {
		w.held = append(w.held, &session{})
	}
	w.session = w.held[0]
	return w
}

// next gives the next session its turn.
func (w *worker) next() {
	w.session = w.held[w.turn%len(w.held)]
	w.turn++
}

// crowd are all people that there are to sign in. Whoever signs in anew takes the next one.
type crowd struct {
	list []person

	mu   sync.Mutex
	turn int
	subs map[string]string // by username, from the first ID token on
}

func (c *crowd) next() person {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	return c.list[(c.turn-1)%len(c.list)]
}

// is tells whether somebody's sub is the one of before.
func (c *crowd) is(who person, sub string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs == nil {
		c.subs = map[string]string{}
	}
	if c.subs[who.username] == "" {
		c.subs[who.username] = sub
	}
	return c.subs[who.username] == sub
}

// tokens are those of the last answer of the token endpoint.
type tokens struct {
	Access  string  `json:"access_token"`
	Refresh string  `json:"refresh_token"`
	ID      string  `json:"id_token"`
	Scope   string  `json:"scope"`
	Type    string  `json:"token_type"`
	Life    float64 `json:"expires_in"`

	asked   string    // the scope that was asked for
	sub     string    // of the ID token
	nonce   string    // of the request that all began with
	renewAt time.Time // zero: nobody said when it ends
}

func (w *worker) discovery(ctx context.Context) error {
	got, err := w.agent.get(ctx, w.p.wellKnown)
	if err != nil {
		return err
	}
	return w.p.checkDocument(got)
}

func (w *worker) jwks(ctx context.Context) error {
	got, err := w.agent.get(ctx, w.p.jwks)
	if err != nil {
		return err
	}
	return w.p.checkKeys(got)
}

// ask posts a form as our client and expects 200 with a JSON document.
func (w *worker) ask(ctx context.Context, to *url.URL, form url.Values, into any) error {
	if w.o.method != "client_secret_basic" {
		form.Set("client_id", w.o.clientID)
	}
	if w.o.method == "client_secret_post" {
		form.Set("client_secret", w.o.secret)
	}
	r, err := post(to, form)
	if err != nil {
		return err
	}
	if w.o.method == "client_secret_basic" { // RFC 6749 §2.3.1: each part is encoded as in a form
		r.SetBasicAuth(url.QueryEscape(w.o.clientID), url.QueryEscape(w.o.secret))
	}
	r.Header.Set("Accept", "application/json")
	got, err := w.agent.do(ctx, r)
	if err != nil {
		return err
	}
	if got.status != http.StatusOK {
		return statusFault(got)
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		return faultf("not JSON", "%s", to.Path)
	}
	return nil
}

// exchange asks the token endpoint for tokens of a scope, which may be known from an earlier request.
func (w *worker) exchange(ctx context.Context, form url.Values, scope string) (*tokens, error) {
	t := &tokens{asked: scope}
	if err := w.ask(ctx, w.p.token, form, t); err != nil {
		return nil, err
	}
	switch {
	case t.Access == "":
		return nil, faultf("no access_token", "%s", form.Get("grant_type"))
	case !strings.EqualFold(t.Type, "Bearer"):
		return nil, faultf("wrong token_type", "%q", t.Type)
	case t.Scope != "" && lacks(t.Scope, scope): // RFC 6749 §5.1: without one it is what was asked for
		return nil, faultf("wrong scope", "%q, where %q was asked for", t.Scope, scope)
	}
	if t.Life > 0 { // a tenth before its end it is renewed
		t.renewAt = time.Now().Add(time.Duration(t.Life * 0.9 * float64(time.Second)))
	}
	return t, nil
}

// lacks tells whether a scope has not all of another.
func lacks(scope, asked string) bool {
	has := strings.Fields(scope)
	return slices.ContainsFunc(strings.Fields(asked), func(s string) bool { return !slices.Contains(has, s) })
}

func (w *worker) clientCredentials(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}}
	if w.o.ccScope != "" {
		form.Set("scope", w.o.ccScope)
	}
	t, err := w.exchange(ctx, form, w.o.ccScope)
	if err == nil {
		w.tokens = t
	}
	return err
}

// haveToken: an access token that lives.
func (w *worker) haveToken(ctx context.Context) error {
	if w.tokens != nil && (w.tokens.renewAt.IsZero() || time.Now().Before(w.tokens.renewAt)) {
		return nil
	}
	w.tokens = nil
	if len(w.o.people.list) == 0 {
		return w.clientCredentials(ctx)
	}
	if w.browser != nil {
		if err := w.sso(ctx); w.browser != nil { // it is signed in still
			return err
		}
	}
	return w.signIn(ctx)
}

func (w *worker) introspection(ctx context.Context) error {
	var out struct {
		Active   bool    `json:"active"`
		ClientID string  `json:"client_id"`
		Iss      string  `json:"iss"`
		Sub      string  `json:"sub"`
		Exp      float64 `json:"exp"`
	}
	if err := w.ask(ctx, w.p.introspect, url.Values{"token": {w.tokens.Access}, "token_type_hint": {"access_token"}}, &out); err != nil {
		return err
	}
	switch {
	case !out.Active:
		w.tokens = nil // the next operation has another
		return faultf("inactive", "a token that should live")
	case out.ClientID != "" && out.ClientID != w.o.clientID:
		return faultf("wrong client_id", "of another client")
	case out.Iss != "" && out.Iss != w.p.issuer:
		return faultf("wrong iss", "of %q", out.Iss)
	case out.Sub != "" && w.tokens.sub != "" && out.Sub != w.tokens.sub:
		return faultf("wrong sub", "of another person than the ID token")
	case out.Exp != 0 && past(out.Exp):
		return faultf("wrong exp", "a token that has ended is not active, or the clocks differ")
	}
	return nil
}

func (w *worker) userinfo(ctx context.Context) error {
	r, err := http.NewRequest(http.MethodGet, w.p.person.String(), nil) //nolint:noctx // do has it
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+w.tokens.Access)
	got, err := w.agent.do(ctx, r)
	if err != nil {
		return err
	}
	if got.status == http.StatusUnauthorized { // RFC 6750 §3.1; a server that is overloaded gets no sign-ins on top
		w.tokens = nil
	}
	if got.status != http.StatusOK {
		return statusFault(got)
	}
	var out struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(got.body, &out); err != nil {
		return faultf("not JSON", "%s (a signed answer is not read)", w.p.person.Path)
	}
	if out.Sub != w.tokens.sub { // OpenID Connect Core §5.3.2
		return faultf("wrong sub", "of another person than the ID token")
	}
	return nil
}

// haveRefreshToken: for refresh tokens the standard wants a scope, and that the person be asked (Core §11).
func (w *worker) haveRefreshToken(ctx context.Context) error {
	if w.tokens != nil && w.tokens.Refresh != "" {
		return nil
	}
	w.browser, w.who = newBrowser(w.agent), w.o.people.next()
	t, err := w.flow(ctx, &w.who, url.Values{"scope": {w.o.scope + " offline_access"}, "prompt": {"consent"}})
	if err != nil {
		return err
	}
	if t.Refresh == "" {
		return faultf("no refresh_token", "after a sign-in with the scope offline_access: may the client have one?")
	}
	w.tokens = t
	return nil
}

func (w *worker) refresh(ctx context.Context) error {
	old := w.tokens
	w.tokens = nil // after a failure nobody knows which one is good
	next, err := w.exchange(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}}, old.asked)
	if refused(err) {
		w.tokens = old
	}
	if err != nil {
		return err
	}
	next.sub, next.nonce = old.sub, old.nonce
	if err := w.checkRefreshed(ctx, old, next); err != nil {
		return err
	}
	rotated := next.Refresh != "" && next.Refresh != old.Refresh
	if w.rotates && !rotated {
		return faultf("not rotated", "the refresh token was followed by another at first")
	}
	if !w.refreshed {
		w.refreshed, w.rotates = true, rotated
	}
	if next.Refresh == "" {
		next.Refresh = old.Refresh // RFC 6749 §6: the old one goes on
	}
	w.tokens = next
	return nil
}

// checkRefreshed judges new tokens beside the old ones.
func (w *worker) checkRefreshed(ctx context.Context, old, next *tokens) error {
	if next.Access == old.Access {
		return faultf("same access_token", "refresh_token")
	}
	if next.ID == "" {
		return nil
	}
	c, err := w.p.verify(ctx, w.agent, next.ID, wanted{clientID: w.o.clientID, secret: w.o.secret, access: next.Access})
	switch { // Core §12.2
	case err != nil:
		return err
	case c.Sub != old.sub:
		return faultf("wrong sub", "of another person than before")
	case c.Nonce != "" && c.Nonce != old.nonce:
		return faultf("wrong nonce", "the ID token is for another request than the first")
	}
	return nil
}

// haveSession: somebody is signed in, and has allowed the site what it asks for.
func (w *worker) haveSession(ctx context.Context) error {
	if w.browser != nil {
		return nil
	}
	return w.signIn(ctx)
}

func (w *worker) sso(ctx context.Context) error {
	w.tokens = nil
	t, err := w.flow(ctx, nil, nil)
	if err != nil {
		return err
	}
	w.tokens = t
	return nil
}

// login: who comes in without a password was not asked for one, and that is another thing to measure.
func (w *worker) login(ctx context.Context) error {
	err := w.signIn(ctx)
	if err == nil && !w.browser.typed {
		return faultf("no password asked for", "the provider led straight back")
	}
	return err
}

func (w *worker) signIn(ctx context.Context) error {
	w.browser, w.tokens, w.who = newBrowser(w.agent), nil, w.o.people.next()
	t, err := w.flow(ctx, &w.who, nil)
	if err != nil {
		return err
	}
	w.tokens = t
	return nil
}

// wantsPerson are the faults of who is not signed in, or has not consented (OpenID Connect Core §3.1.2.6).
var wantsPerson = []string{askedForPage, "error login_required", "error interaction_required", "error consent_required",
	"error account_selection_required"}

// flow is the authorization code flow with PKCE (RFC 6749 §4.1, RFC 7636), each answer judged. who is as in walk. The browser is gone
// when the next one must sign in again, and only then: a server that is overloaded gets no sign-ins on top.
func (w *worker) flow(ctx context.Context, who *person, extra url.Values) (*tokens, error) {
	state, nonce, verifier := rand.Text(), rand.Text(), rand.Text()+rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	start := *w.p.authorize
	query := start.Query()
	for name, values := range w.o.params {
		query[name] = values
	}
	for name, value := range map[string]string{
		"response_type": "code", "client_id": w.o.clientID, "redirect_uri": w.o.redirect.String(), "scope": w.o.scope,
		"state": state, "nonce": nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		query.Set(name, value)
	}
	for name, values := range extra {
		query[name] = values
	}
	start.RawQuery = query.Encode()
	back, err := w.browser.walk(ctx, &start, w.o.redirect, w.o.pages, who)
	if err == nil {
		err = w.checkBack(back, state)
	}
	if err != nil {
		if who != nil || slices.Contains(wantsPerson, faultOf(err).kind) {
			w.browser = nil
		}
		return nil, err
	}
	t, err := w.exchange(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {back.Get("code")},
		"redirect_uri": {w.o.redirect.String()}, "code_verifier": {verifier}}, query.Get("scope"))
	if err != nil {
		return nil, err
	}
	if t.ID == "" {
		return nil, faultf("no id_token", "for the scope openid")
	}
	c, err := w.p.verify(ctx, w.agent, t.ID, wanted{w.o.clientID, w.o.secret, nonce, t.Access})
	if err != nil {
		return nil, err
	}
	if !w.o.people.is(w.who, c.Sub) {
		return nil, faultf("wrong sub", "of another person than who signed in")
	}
	t.sub, t.nonce = c.Sub, nonce
	return t, nil
}

// checkBack judges what came to the redirect URI (RFC 6749 §4.1.2, RFC 9207 §2.4).
func (w *worker) checkBack(back url.Values, state string) error {
	switch {
	case back.Get("state") != state:
		return faultf("wrong state", "the answer is to another request")
	case back.Has("iss") && back.Get("iss") != w.p.issuer:
		return faultf("wrong iss", "the answer is of %q", back.Get("iss"))
	case !back.Has("iss") && w.p.sendsIss:
		return faultf("wrong iss", "the answer has none, and the provider publishes that it does")
	case back.Has("error"):
		return faultf("error "+back.Get("error"), "%s", back.Get("error_description"))
	case back.Get("code") == "":
		return faultf("no code", "at the redirect URI")
	}
	return nil
}

// possible tells what a scenario lacks, before anything begins.
func (s scenario) possible(o *options, p *provider) error {
	if s.endpoint != nil {
		if name, u := s.endpoint(p); u == nil {
			return p.lacks(name)
		}
	}
	person := s.person || s.name == "introspect" && len(o.people.list) > 0
	if (person || s.name == "introspect") && p.token == nil {
		return p.lacks("token_endpoint")
	}
	if person && p.authorize == nil {
		return p.lacks("authorization_endpoint")
	}
	var missing []string
	if (s.secret || person) && o.clientID == "" {
		missing = append(missing, "--client-id")
	}
	if s.secret && o.secret == "" {
		missing = append(missing, "--client-secret-file")
	}
	if person && len(o.people.list) == 0 {
		missing = append(missing, "--username with --password-file, or --people")
	}
	if len(missing) > 0 {
		return errors.New("it needs " + strings.Join(missing, ", "))
	}
	return nil
}
