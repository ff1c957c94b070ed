package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
)

// DefaultLifetime is how long a login lasts when the configuration does not say.
const DefaultLifetime = 30 * 24 * time.Hour

// unkept is how long a browser knows who is signed in there when it was not asked to keep it: its cookie goes with the
// program, and this is for programs that never end.
const unkept = 12 * time.Hour

// maxLifetime: browsers drop any cookie after 400 days (RFC 6265bis §5.5).
const maxLifetime = 400 * 24 * time.Hour

var (
	// ErrNoLogin: the browser has no such live login.
	ErrNoLogin = errors.New("no such login in this browser")
	// ErrRefused: the account is not active any more, or what proved the person was replaced meanwhile.
	ErrRefused = errors.New("the account may not sign in")
)

// Login is one account signed in in a browser.
type Login struct {
	ID        string
	BrowserID string
	AccountID string
	AuthTime  time.Time // of the active authentication, whole seconds
	AMR       []string  // RFC 8176
	ACR       string
	Event     []byte // SHA-256 of the interaction's id that the last authentication served; nil: none
}

// Browser is a browser in which somebody is signed in.
type Browser struct {
	ID        string
	ExpiresAt time.Time
	Logins    []Login // live ones, newest authentication first
}

// SignIn is an authentication that succeeded.
type SignIn struct {
	AccountID string
	// Credential is the id of the credential that was checked: the sign-in is refused when it is not the
	// account's any more. Empty: none was (a link).
	Credential string
	AMR        []string
	ACR        string
	Event      []byte // SHA-256 of the id of the interaction that it serves; nil: none
	Device     string // the User-Agent; cut to 256 bytes
	Network    string // that it came from, as people read it
	Keep       bool   // the browser is the person's own: the login lasts as long as it may, and outlives the program
	// Within is called in the transaction that writes the sign-in, after it; an error of it, and there is none. nil: nothing is.
	Within func(ctx context.Context) error
}

// Info is a login as its owner sees it in a list.
type Info struct {
	Login
	Device    string
	Network   string
	CreatedAt time.Time
	SeenAt    time.Time // it signed in, or was used at a site
	EndedAt   time.Time // zero: nobody has ended it
}

// Config is what a Manager needs.
type Config struct {
	Store    Store
	Issuer   string // names the cookies
	Now      func() time.Time
	Lifetime time.Duration // of a login, from its authentication; zero: DefaultLifetime
	// Audit is told of each sign-in, and of each sign-out, in the transaction that writes it. nil: nobody.
	Audit audit.Log
	// Ended is told which logins have been ended, in the transaction that ends them: who must hear of it is somebody
	// else's affair. One whose lifetime is over was ended by nobody, and is not told of. nil: nobody.
	Ended func(ctx context.Context, loginIDs []string) error
}

// Manager reads and writes sessions.
type Manager struct {
	store    Store
	now      func() time.Time
	lifetime time.Duration
	audit    audit.Log
	ended    func(ctx context.Context, loginIDs []string) error
	sid      cookie
	flow     cookie
	state    cookie
	known    cookie
}

// New refuses a configuration with which cookies would not be safe.
func New(cfg Config) (*Manager, error) {
	if cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("session: store and clock are needed")
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	if cfg.Lifetime < time.Minute || cfg.Lifetime > maxLifetime {
		return nil, fmt.Errorf("session: a lifetime of %s is not between a minute and 400 days", cfg.Lifetime)
	}
	plain, err := plainLoopback(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	if cfg.Ended == nil {
		cfg.Ended = func(context.Context, []string) error { return nil }
	}
	m := &Manager{store: cfg.Store, now: cfg.Now, lifetime: cfg.Lifetime, audit: cfg.Audit, ended: cfg.Ended}
	// The prefix makes browsers refuse a cookie of this name from a sister domain, over plain http or for
	// another path (RFC 6265bis §4.1.3.2): nobody else can plant one.
	m.sid = cookie{name: "__Host-sid", secure: true, maxAge: cfg.Lifetime}
	m.flow = cookie{name: "__Host-flow", secure: true, maxAge: flowLifetime}
	m.known = cookie{name: "__Host-dev", secure: true, maxAge: knownLifetime}
	// Read by the script of the session iframe, in the frame of any site: it has no authority at all. Browsers take a
	// Secure cookie from http://localhost too.
	m.state = cookie{name: "op_bs", secure: true, script: true, maxAge: cfg.Lifetime}
	if plain {
		// Cookies know no ports: the names must not be those of some other program on this machine.
		m.sid.name, m.sid.secure = "passport_sid", false
		m.flow.name, m.flow.secure = "passport_flow", false
		m.known.name, m.known.secure = "passport_dev", false
	}
	return m, nil
}

// Known is the browser's device cookie, as account.KnowDevice made it and Know set it; anything may stand in it. It outlives
// every login; empty when there is none, or two.
func (m *Manager) Known(r *http.Request) string { return m.known.raw(r) }

// Know sets the device cookie.
func (m *Manager) Know(w http.ResponseWriter, r *http.Request, value string) {
	m.known.set(w, r, value)
}

// plainLoopback tells whether the issuer is plain http on this machine; other plain http is refused.
func plainLoopback(issuer string) (bool, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return false, errors.New("session: the issuer is not a URL")
	}
	switch u.Scheme {
	case "https":
		return false, nil
	case "http":
		ip, err := netip.ParseAddr(u.Hostname())
		// RFC 6761 §6.3: names under localhost. are this machine as well.
		name := u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")
		if name || err == nil && ip.IsLoopback() {
			return true, nil
		}
	}
	return false, errors.New("session: the issuer must be https, or http on a loopback address")
}

// Hash is the SHA-256 of the session cookie; nil when it is absent, malformed or there twice.
func (m *Manager) Hash(r *http.Request) []byte { return m.sid.hash(r) }

// Current is who is signed in in the browser that sent r: nil when nobody is.
func (m *Manager) Current(ctx context.Context, r *http.Request) (*Browser, error) {
	hash := m.Hash(r)
	if hash == nil {
		return nil, nil
	}
	b, err := m.store.ReadSession(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("read the session: %w", err)
	}
	now := m.now()
	if b == nil || !b.ExpiresAt.After(now) {
		return nil, nil
	}
	live := b.Logins[:0]
	for _, l := range b.Logins {
		if m.Live(l.AuthTime, now) {
			live = append(live, l)
		}
	}
	b.Logins = live
	if len(live) == 0 {
		return nil, nil
	}
	return b, nil
}

// Live tells whether a login that was authenticated at authTime still lasts at now.
func (m *Manager) Live(authTime, now time.Time) bool {
	return authTime.Add(m.lifetime).After(now)
}

// SignIn records an authentication and gives the browser a new secret; the old one is dead. The same
// account in the same browser keeps its login's id. Afterwards r carries the new cookie too. ErrRefused.
func (m *Manager) SignIn(ctx context.Context, w http.ResponseWriter, r *http.Request, s SignIn) (Login, error) {
	if s.AccountID == "" {
		return Login{}, errors.New("sign in: no account")
	}
	secret, hash := newSecret()
	now := m.now()
	s.Device = device(s.Device)
	lifetime, sid := m.lifetime, m.sid
	if !s.Keep {
		lifetime, sid.maxAge = min(unkept, m.lifetime), 0
	}
	var login Login
	err := m.store.InTx(ctx, func(ctx context.Context) (err error) {
		var ended []string
		login, ended, err = m.store.SaveSignIn(ctx, Entry{
			SignIn: s, Old: m.Hash(r), New: hash,
			AuthTime: now.Truncate(time.Second), At: now, ExpiresAt: now.Add(lifetime), Stale: now.Add(-m.lifetime),
		})
		if err == nil && len(ended) > 0 {
			err = m.ended(ctx, ended)
		}
		if err == nil && s.Within != nil {
			err = s.Within(ctx)
		}
		if err != nil || m.audit == nil {
			return err
		}
		return m.audit.Record(ctx, audit.Event{
			Event: audit.LoginSucceeded, ActorKind: audit.ActorAccount, ActorID: s.AccountID, Subject: s.AccountID, Session: login.ID,
			Detail: map[string]any{"device": s.Device, "network": s.Network}, At: now,
		})
	})
	if err != nil {
		return Login{}, fmt.Errorf("sign in: %w", err)
	}
	sid.set(w, r, secret)
	m.changeState(w, r)
	return login, nil
}

// Renew gives the browser another secret for the logins that it has: who has copied the old one has nothing any more.
// ErrNoLogin when it has none.
func (m *Manager) Renew(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	old := m.Hash(r)
	if old == nil {
		return ErrNoLogin
	}
	secret, hash := newSecret()
	now := m.now()
	kept, expires, err := m.store.RenewSecret(ctx, old, hash, now)
	if err != nil {
		return fmt.Errorf("renew a session: %w", err)
	}
	sid := m.sid
	sid.maxAge = 0 // with the program, as at the sign-in
	if kept {
		sid.maxAge = max(time.Second, expires.Sub(now))
	}
	sid.set(w, r, secret)
	return nil
}

// EndLogin ends one login of the browser that sent r, and its grants that are not offline; ErrNoLogin when
// the browser has no such login. With the last login the cookie goes.
func (m *Manager) EndLogin(ctx context.Context, w http.ResponseWriter, r *http.Request, loginID string) error {
	b, err := m.Current(ctx, r)
	if err != nil {
		return err
	}
	if b == nil {
		return ErrNoLogin
	}
	others := 0
	found := false
	for _, l := range b.Logins {
		if l.ID == loginID {
			found = true
			continue
		}
		others++
	}
	if !found {
		return ErrNoLogin
	}
	if _, err = m.end(ctx, Ending{BrowserID: b.ID, LoginID: loginID, At: m.now()}, owners(b.Logins)); err != nil {
		return fmt.Errorf("end a login: %w", err)
	}
	if others == 0 {
		m.sid.drop(w, r)
	}
	m.changeState(w, r)
	return nil
}

// EndBrowser ends every login of the browser that sent r, drops its cookie, and tells which logins those were.
func (m *Manager) EndBrowser(ctx context.Context, w http.ResponseWriter, r *http.Request) (ended []string, err error) {
	if hash := m.Hash(r); hash != nil {
		b, err := m.store.ReadSession(ctx, hash)
		if err != nil {
			return nil, fmt.Errorf("read the session: %w", err)
		}
		if b != nil {
			if ended, err = m.end(ctx, Ending{BrowserID: b.ID, At: m.now()}, owners(b.Logins)); err != nil {
				return nil, fmt.Errorf("end the logins of a browser: %w", err)
			}
		}
	}
	m.sid.drop(w, r)
	m.changeState(w, r)
	return ended, nil
}

// owners tells of each login whose it is.
func owners(logins []Login) func(loginID string) string {
	return func(loginID string) string {
		i := slices.IndexFunc(logins, func(l Login) bool { return l.ID == loginID })
		if i < 0 {
			return ""
		}
		return logins[i].AccountID
	}
}

// end ends logins, and tells of it, in one transaction. Whose they are is recorded where they were ended by their owner; nil:
// they end with something else, which is recorded itself.
func (m *Manager) end(ctx context.Context, q Ending, whose func(loginID string) string) (ended []string, err error) {
	err = m.store.InTx(ctx, func(ctx context.Context) error {
		if ended, err = m.store.EndLogins(ctx, q); err != nil || len(ended) == 0 {
			return err
		}
		if err := m.ended(ctx, ended); err != nil || m.audit == nil || whose == nil {
			return err
		}
		for _, id := range ended {
			account := whose(id)
			if account == "" { // began this moment
				continue
			}
			err := m.audit.Record(ctx, audit.Event{Event: audit.LoginEnded, ActorKind: audit.ActorAccount, ActorID: account, Subject: account, Session: id, At: q.At})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return ended, err
}

// State is the browser's state of OpenID Connect Session Management §3.2: another value after each sign-in and
// sign-out. It is made when the browser has none.
func (m *Manager) State(w http.ResponseWriter, r *http.Request) string {
	if v := m.state.value(r); v != "" {
		return v
	}
	return m.changeState(w, r)
}

func (m *Manager) changeState(w http.ResponseWriter, r *http.Request) string {
	v, _ := newSecret()
	m.state.set(w, r, v)
	return v
}

// EndOne ends a login of an account, in whatever browser it is; ErrNoLogin when it has no such login.
func (m *Manager) EndOne(ctx context.Context, accountID, loginID string) error {
	if accountID == "" || loginID == "" {
		return ErrNoLogin
	}
	ended, err := m.end(ctx, Ending{AccountID: accountID, LoginID: loginID, At: m.now()}, func(string) string { return accountID })
	if err != nil {
		return fmt.Errorf("end a login: %w", err)
	}
	if len(ended) == 0 {
		return ErrNoLogin
	}
	return nil
}

// EndAll ends every login of an account, but exceptLoginID where that is not empty.
func (m *Manager) EndAll(ctx context.Context, accountID, exceptLoginID string) error {
	_, err := m.endAll(ctx, accountID, exceptLoginID, nil)
	return err
}

// EndOthers is EndAll at the wish of the account's owner, and tells which logins it ended.
func (m *Manager) EndOthers(ctx context.Context, accountID, exceptLoginID string) (ended []string, err error) {
	return m.endAll(ctx, accountID, exceptLoginID, func(string) string { return accountID })
}

func (m *Manager) endAll(ctx context.Context, accountID, exceptLoginID string, whose func(loginID string) string) (ended []string, err error) {
	if accountID == "" {
		return nil, errors.New("end all logins: no account")
	}
	if ended, err = m.end(ctx, Ending{AccountID: accountID, Except: exceptLoginID, At: m.now()}, whose); err != nil {
		return nil, fmt.Errorf("end all logins: %w", err)
	}
	return ended, nil
}

// List is where an account is signed in, newest authentication first.
func (m *Manager) List(ctx context.Context, accountID string) ([]Info, error) {
	all, err := m.store.ListLogins(ctx, accountID, false)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	now := m.now()
	live := all[:0]
	for _, i := range all {
		if m.Live(i.AuthTime, now) {
			live = append(live, i)
		}
	}
	return live, nil
}

// History is List, and where it was signed in before, as far as that is known: as long as the browser is.
func (m *Manager) History(ctx context.Context, accountID string) ([]Info, error) {
	all, err := m.store.ListLogins(ctx, accountID, true)
	if err != nil {
		return nil, fmt.Errorf("list logins: %w", err)
	}
	return all, nil
}

// Flow is the SHA-256 of the flow cookie, which it makes when there is none and prolongs when there is one.
// Afterwards r carries it too.
func (m *Manager) Flow(w http.ResponseWriter, r *http.Request) []byte {
	secret := m.flow.value(r)
	if secret == "" {
		secret, _ = newSecret()
	}
	m.flow.set(w, r, secret)
	return hash(secret)
}

// FlowHash is the SHA-256 of the flow cookie; nil when it is absent, malformed or there twice.
func (m *Manager) FlowHash(r *http.Request) []byte { return m.flow.hash(r) }
