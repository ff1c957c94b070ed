package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/session"
)

const interactionLife = 30 * time.Minute

// Who may leave rows behind, and how fast (D8): asked in the process, before a row is written.
var (
	interactionNetwork = limit.Authorize
	interactionBrowser = limit.Rule{Name: "interaction-browser", Burst: 40, Every: 5 * time.Second}
	// grantAccount: a person needs no page for a grant, and a grant may live for months.
	grantAccount = limit.Rule{Name: "grant-account", Burst: 240, Every: 5 * time.Second}
)

// View is what a page within a flow may show of it.
type View struct {
	ID         string // the i of the URL
	Client     *client.Client
	ClientName string // in the first of ui_locales
	ClientHost string // where the answer goes; empty: to a device of a client that nobody vouches for
	LoginHint  string
	UILocales  string
	UserCode   string        // of the device that is to be allowed; empty: it is no device
	Scopes     []string      // what granting gives: known and allowed ones only
	Claims     []string      // names asked for by the claims parameter, beyond the scopes'
	Logins     []grant.Login // live ones of this browser, newest authentication first
	Remembered bool          // a yes spares the person the question the next time
	Login      *grant.Login  // the account that would answer now; nil: none, or several to choose from
}

// InteractionHash is what a login's Event and an interaction's row hold of the id in the URL.
func InteractionHash(i string) []byte {
	sum := sha256.Sum256([]byte(i))
	return sum[:]
}

// View reads an interaction for a page. ErrNoInteraction when it is missing, expired or another browser's.
func (p *Provider) View(ctx context.Context, r *http.Request, i string) (*View, error) {
	f, err := p.load(r.WithContext(ctx), i)
	var page *pageError
	if errors.As(err, &page) {
		return nil, ErrNoInteraction // the client was disabled, or its redirect_uri taken away, meanwhile
	}
	if err != nil {
		return nil, err
	}
	locales := f.q.params.Get("ui_locales")
	first, _, _ := strings.Cut(locales, " ")
	v := &View{
		ID: i, Client: f.q.client, ClientName: f.q.client.LocalName(first), ClientHost: f.q.host(),
		LoginHint: f.q.params.Get("login_hint"), UILocales: locales,
		UserCode: f.q.userCode, Scopes: f.q.scopes, Claims: f.q.names, Remembered: f.q.remembered(),
		Login: pick(f.q, facts{hash: f.in.Hash, chosen: f.in.LoginID, logins: f.logins}).login,
	}
	for _, l := range f.logins {
		if l.Person.Allowed() {
			v.Logins = append(v.Logins, l)
		}
	}
	return v, nil
}

// ContinueAs goes on after a sign-in within this same request: whoever signed in is the account chosen.
// r carries the new session by then (session.Manager.SignIn sees to it).
func (p *Provider) ContinueAs(w http.ResponseWriter, r *http.Request, i string, login session.Login) error {
	return p.Choose(w, r, i, login.ID)
}

// Choose records the account chosen, decides with what now holds, and answers: 303 to the client or to the next page. A
// login that is not live in this browser changes nothing:
// the next page is then the one that was due.
func (p *Provider) Choose(w http.ResponseWriter, r *http.Request, i, loginID string) error {
	f, err := p.load(r, i)
	if err != nil {
		return p.onPage(w, r, err)
	}
	mine := func(l grant.Login) bool { return l.ID == loginID }
	if slices.ContainsFunc(f.logins, mine) && f.in.LoginID != loginID {
		if err := p.choose(r.Context(), f, loginID); err != nil {
			return p.onPage(w, r, err)
		}
	}
	return p.step(w, r, f, false)
}

// ContinueLink tells where a person whose interaction was cut may go on: the site's initiate_login_uri
// (Core §4), else its home page. ok is false when neither, or nothing of the interaction, is left.
func (p *Provider) ContinueLink(ctx context.Context, interactionHash []byte) (name, link string, ok bool) {
	in, err := p.cfg.Store.ReadInteraction(ctx, interactionHash)
	if err != nil {
		return "", "", false
	}
	return p.ClientLink(ctx, in.ClientID)
}

// ClientLink is ContinueLink for a client that is known by its id.
func (p *Provider) ClientLink(ctx context.Context, clientID string) (name, link string, ok bool) {
	c, err := p.client(ctx, clientID)
	if err != nil || c == nil || !c.Enabled() {
		return "", "", false
	}
	name, link = c.LocalName(""), c.Metadata.ClientURI
	if uri := c.Metadata.InitiateLoginURI; uri != "" {
		link = client.WithQuery(uri, url.Values{"iss": {p.cfg.Issuer}})
	}
	return name, link, link != ""
}

// show sends the browser to a page, and keeps the request for it.
func (p *Provider) show(w http.ResponseWriter, r *http.Request, f *flow, d decision) error {
	var chosen string
	if d.outcome == toConsent || d.outcome == toAccept {
		chosen = d.login.ID // both are asked of one account: a yes counts for no other (B10)
	}
	if f.in == nil {
		id, in := p.interaction(f.q)
		in.LoginID = chosen
		if !p.mayBegin(r, p.cfg.Sessions.FlowHash(r)) {
			return p.tooMany(w, r)
		}
		in.Binding = p.cfg.Sessions.Flow(w, r)
		if err := p.cfg.Store.SaveInteraction(r.Context(), in); err != nil {
			return err
		}
		f.id, f.in = id, &in
	} else if chosen != "" && f.in.LoginID != chosen {
		if err := p.choose(r.Context(), f, chosen); err != nil {
			return p.onPage(w, r, err)
		}
	}
	return seeOther(w, pages[d.outcome].path+"?i="+f.id)
}

func (p *Provider) choose(ctx context.Context, f *flow, loginID string) error {
	err := p.cfg.Store.ChooseLogin(ctx, f.in.Hash, loginID)
	if errors.Is(err, grant.ErrGone) || errors.Is(err, grant.ErrNotFound) {
		return ErrNoInteraction
	}
	f.in.LoginID = loginID
	return err
}

// drop ends an interaction, and with it the pushed request or the device behind it, as far as there are any: together
// or not at all. Whoever does so first answers the client; the second gets ErrNoInteraction.
func (p *Provider) drop(ctx context.Context, f *flow) error {
	var ids [][]byte
	if f.in != nil {
		ids = append(ids, f.in.Hash)
	}
	if f.q.pushed != nil {
		ids = append(ids, f.q.pushed)
	}
	if len(ids) == 0 && !f.q.isDevice {
		return nil
	}
	return p.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		for _, id := range ids {
			if err := p.cfg.Store.DropInteraction(ctx, id); errors.Is(err, grant.ErrGone) {
				return ErrNoInteraction
			} else if err != nil {
				return err
			}
		}
		if !f.q.isDevice {
			return nil
		}
		return p.settle(ctx, f.q.device, grant.DeviceDenied)
	})
}

// interaction makes the row of a request, unbound, and the id that its URL will carry.
func (p *Provider) interaction(q *request) (id string, in grant.Interaction) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	id = base64.RawURLEncoding.EncodeToString(random[:])
	now := p.cfg.Now()
	kind := grant.KindAuthorize
	if q.isDevice {
		kind = grant.KindDevice
	}
	return id, grant.Interaction{
		Hash: InteractionHash(id), Kind: kind, ClientID: q.client.ID, Params: q.params.Encode(),
		CreatedAt: now, ExpiresAt: now.Add(interactionLife),
	}
}

// load reads an interaction of this browser, its request and who is signed in.
func (p *Provider) load(r *http.Request, i string) (*flow, error) {
	in, err := p.readInteraction(r.Context(), i)
	if err != nil {
		return nil, err
	}
	if !p.bound(r, in) {
		return nil, ErrNoInteraction
	}
	return p.restore(r, i, in)
}

func (p *Provider) readInteraction(ctx context.Context, i string) (*grant.Interaction, error) {
	if len(i) != 43 {
		return nil, ErrNoInteraction
	}
	in, err := p.cfg.Store.ReadInteraction(ctx, InteractionHash(i))
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return nil, ErrNoInteraction
	case err != nil:
		return nil, err
	case in.Kind != grant.KindAuthorize && in.Kind != grant.KindDevice, !p.cfg.Now().Before(in.ExpiresAt):
		return nil, ErrNoInteraction
	}
	return &in, nil
}

// bound reports whether the interaction is this browser's: knowing the id in a URL is not enough (B2, B6).
func (p *Provider) bound(r *http.Request, in *grant.Interaction) bool {
	flow := p.cfg.Sessions.FlowHash(r)
	return flow != nil && len(in.Binding) > 0 && hmac.Equal(flow, in.Binding)
}

// restore makes the request out of its row. It is checked again: the client may have changed meanwhile.
func (p *Provider) restore(r *http.Request, i string, in *grant.Interaction) (*flow, error) {
	v, err := url.ParseQuery(in.Params)
	if err != nil {
		return nil, err
	}
	c, err := p.identify(r, v)
	if err != nil {
		return nil, err
	}
	gone := &pageError{http.StatusBadRequest, "error.interaction_gone"}
	var q *request
	if in.Kind == grant.KindDevice {
		if q = p.deviceRequest(r.Context(), c, v); q == nil {
			return nil, gone
		}
	} else {
		if q, err = prove(c, v); err != nil {
			return nil, err
		}
		if bad := p.check(r.Context(), q, v, false); bad != nil {
			return nil, gone
		}
	}
	read, err := p.readRequest(r.Context(), p.cfg.Sessions.Hash(r), q.client.ID)
	if err != nil {
		return nil, err
	}
	return &flow{q: q, id: i, in: in, logins: read.Logins}, nil
}

// mayBegin spends one interaction of the network's and the browser's budget.
func (p *Provider) mayBegin(r *http.Request, flow []byte) bool {
	if p.cfg.Limits == nil {
		return true
	}
	ip := p.cfg.ClientIP(r)
	if p.cfg.Limits.Exempted(ip) {
		return true
	}
	narrow, _ := p.cfg.Limits.Network(ip)
	return p.network.Allow(narrow) && (flow == nil || p.browser.Allow(hex.EncodeToString(flow)))
}

// mayIssue spends one grant of the person's budget.
func (p *Provider) mayIssue(r *http.Request, accountID string) bool {
	if p.cfg.Limits == nil || p.cfg.Limits.Exempted(p.cfg.ClientIP(r)) {
		return true
	}
	return p.grants.Allow(accountID)
}

func (p *Provider) tooMany(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Retry-After", "30")
	p.cfg.Pages.Error(w, r, http.StatusTooManyRequests, "error.too_many")
	return nil
}
