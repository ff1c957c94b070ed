package signin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// Config is what the pages work with. All fields but TwoPages, Human and Limits are required.
type Config struct {
	Pages    *web.Pages
	OIDC     *oidc.Provider
	Clients  *client.Registry
	Logout   *logout.Logout
	Accounts *account.Directory
	Sessions *session.Manager
	Sealer   *keys.Sealer
	Now      func() time.Time
	Dev      bool // there is /dev/inbox
	// Limits knows which networks the limits by network do not count; nil: each is counted.
	Limits *limit.Limiter
	// Human is how a person shows to be one where the accounts want to know; nil: they never do.
	Human       human.Way
	HumanAlways bool // they always do: each form has the check at once
	TwoPages    bool // the sign-in page asks for the address, and a second one for the password
}

// Room is this room.
type Room struct {
	Config
	strangers *limit.Bucket // of human checks
	drafts    *limit.Bucket // of registration forms
}

// New refuses a configuration with something missing.
func New(c Config) (*Room, error) {
	if c.Pages == nil || c.OIDC == nil || c.Clients == nil || c.Logout == nil || c.Accounts == nil || c.Sessions == nil ||
		c.Sealer == nil || c.Now == nil {
		return nil, errors.New("signin: Pages, OIDC, Clients, Logout, Accounts, Sessions, Sealer and Now are needed")
	}
	return &Room{c, limit.NewBucket(limit.Human, c.Now), limit.NewBucket(limit.Draft, c.Now)}, nil
}

// allows counts a request against its network's budget in this process, unless the operator exempts the network.
func (s *Room) allows(budget *limit.Bucket, r *http.Request) bool {
	return s.Limits != nil && s.Limits.Exempted(web.ClientIP(r)) || budget.Allow(web.Network(r))
}

// Routes are the pages of this room.
func (s *Room) Routes() []web.Route {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	return []web.Route{
		{Name: "login", Path: "/login", Methods: get, Kind: web.Flow, Handler: s.getLogin},
		{Name: "login", Path: "/login", Methods: post, Kind: web.Flow, Handler: s.postLogin},
		{Name: "accounts", Path: "/accounts", Methods: get, Kind: web.Flow, Handler: s.getAccounts},
		{Name: "accounts", Path: "/accounts", Methods: post, Kind: web.Flow, Handler: s.postAccounts},
		{Name: "consent", Path: "/consent", Methods: get, Kind: web.Consent, Handler: s.getConsent},
		{Name: "consent", Path: "/consent", Methods: post, Kind: web.Consent, Handler: s.postConsent},
		{Name: "register", Path: "/register", Methods: get, Kind: web.Flow, Handler: s.getRegister},
		{Name: "register", Path: "/register", Methods: post, Kind: web.Flow, Handler: s.postRegister},
		{Name: "terms", Path: "/register/terms", Methods: get, Kind: web.Flow, Handler: s.getTerms},
		{Name: "terms", Path: "/register/terms", Methods: post, Kind: web.Flow, Handler: s.postTerms},
		{Name: "lookup", Path: "/lookup", Methods: get, Kind: web.Flow, Handler: s.getLookup},
		{Name: "lookup", Path: "/lookup", Methods: post, Kind: web.Flow, Even: true, Handler: s.postLookup},
		{Name: "lookup-sent", Path: "/lookup/sent", Methods: get, Kind: web.Flow, Handler: s.getLookupSent},
		{Name: "accept", Path: "/terms", Methods: get, Kind: web.Flow, Handler: s.getAccept},
		{Name: "accept", Path: "/terms", Methods: post, Kind: web.Flow, Handler: s.postAccept},
		{Name: "help", Path: "/help", Methods: get, Kind: web.Flow, Handler: s.getHelp},
		{Name: "waiting", Path: "/register/waiting", Methods: get, Kind: web.Flow, Handler: s.getWaiting},
		{Name: "waiting", Path: "/register/waiting", Methods: post, Kind: web.Flow, Handler: s.postWaiting},
		{Name: "confirm", Path: "/confirm", Methods: get, Kind: web.FlowLink, Handler: s.getConfirm},
		{Name: "confirm", Path: "/confirm", Methods: post, Kind: web.FlowLink, Handler: s.postConfirm},
		{Name: "confirmed", Path: "/confirm/done", Methods: get, Kind: web.FlowLink, Handler: s.getConfirmed},
		{Name: "cancel", Path: "/cancel", Methods: get, Kind: web.Link, Handler: s.getCancel},
		{Name: "cancel", Path: "/cancel", Methods: post, Kind: web.Link, Handler: s.postCancel},
		{Name: "cancelled", Path: "/cancel/done", Methods: get, Kind: web.Link, Handler: s.getCancelled},
		{Name: "recover", Path: "/recover", Methods: get, Kind: web.Flow, Handler: s.getRecover},
		{Name: "recover", Path: "/recover", Methods: post, Kind: web.Flow, Even: true, Handler: s.postRecover},
		{Name: "recover-sent", Path: "/recover/sent", Methods: get, Kind: web.Flow, Handler: s.getRecoverSent},
		{Name: "new-password", Path: "/recover/password", Methods: get, Kind: web.Link, Handler: s.getNewPassword},
		{Name: "new-password", Path: "/recover/password", Methods: post, Kind: web.Link, Handler: s.postNewPassword},
		{Name: "recovered", Path: "/recover/done", Methods: get, Kind: web.Link, Handler: s.getRecovered},
		{Name: "request", Path: "/recover/request", Methods: get, Kind: web.Own, Handler: s.getRequest},
		{Name: "request", Path: "/recover/request", Methods: post, Kind: web.Own, Even: true, Handler: s.postRequest},
		{Name: "request-sent", Path: "/recover/request/sent", Methods: get, Kind: web.Own, Handler: s.getRequestSent},
		{Name: "details", Path: "/recover/request/details", Methods: get, Kind: web.Link, Handler: s.getDetails},
		{Name: "details", Path: "/recover/request/details", Methods: post, Kind: web.Link, Handler: s.postDetails},
		{Name: "requested", Path: "/recover/request/done", Methods: get, Kind: web.Link, Handler: s.getRequested},
		{Name: "stop", Path: "/recover/stop", Methods: get, Kind: web.Link, Handler: s.getStop},
		{Name: "stop", Path: "/recover/stop", Methods: post, Kind: web.Link, Handler: s.postStop},
		{Name: "stopped", Path: "/recover/stop/done", Methods: get, Kind: web.Link, Handler: s.getStopped},
		{Name: "regain", Path: "/recover/regain", Methods: get, Kind: web.Link, Handler: s.getRegain},
		{Name: "regain", Path: "/recover/regain", Methods: post, Kind: web.Link, Handler: s.postRegain},
		{Name: "alarm", Path: "/alarm", Methods: get, Kind: web.Link, Handler: s.getAlarm},
		{Name: "alarm", Path: "/alarm", Methods: post, Kind: web.Link, Handler: s.postAlarm},
		{Name: "alarmed", Path: "/alarm/done", Methods: get, Kind: web.Link, Handler: s.getAlarmed},
		{Name: "allow", Path: "/allow", Methods: get, Kind: web.Link, Handler: s.getAllow},
		{Name: "allow", Path: "/allow", Methods: post, Kind: web.Link, Handler: s.postAllow},
		{Name: "reopen", Path: "/reopen", Methods: get, Kind: web.Link, Handler: s.getReopen},
		{Name: "reopen", Path: "/reopen", Methods: post, Kind: web.Link, Handler: s.postReopen},
		{Name: "reopened", Path: "/reopen/done", Methods: get, Kind: web.Link, Handler: s.getReopened},
		{Name: "device", Path: "/device", Methods: get, Kind: web.Flow, Handler: s.getDevice},
		{Name: "device", Path: "/device", Methods: post, Kind: web.Flow, Handler: s.postDevice},
		{Name: "device-done", Path: "/device/done", Methods: get, Kind: web.Flow, Handler: s.getDeviceDone},
		{Name: "start", Path: "/sites/{client}/start", Methods: get, Kind: web.Flow, Handler: s.getStart},
		{Name: "start", Path: "/sites/{client}/start", Methods: post, Kind: web.Flow, Handler: s.postStart},
		{Name: "logo", Path: "/sites/{client}/logo.png", Methods: get, Kind: web.Asset, Handler: s.getLogo},
		{Name: "human-picture", Path: "/human/picture", Methods: get, Kind: web.API, Handler: s.getPicture},
		{Name: "human-sound", Path: "/human/sound", Methods: get, Kind: web.API, Handler: s.getSound},
		{Name: "logout", Path: "/logout", Methods: get, Kind: web.Flow, Handler: s.getLogout},
		{Name: "logout", Path: "/logout", Methods: post, Kind: web.Flow, Handler: s.postLogout},
	}
}

// flow is the interaction that a page belongs to; view is nil when it belongs to none.
type flow struct {
	id   string
	view *oidc.View
}

// site is what the page shows of the site that asked.
func (f flow) site() *templates.Site {
	if f.view == nil {
		return nil
	}
	return siteOf(f.view.Client, f.view.ClientName, f.view.ClientHost)
}

// siteOf is a client as people see it; host is where they are about to be taken.
func siteOf(c *client.Client, name, host string) *templates.Site {
	site := &templates.Site{Name: name, Host: host, Policy: c.Metadata.PolicyURI, Terms: c.Metadata.TOSURI, Known: c.Verified()}
	if c.LogoHash != "" {
		site.Logo = "/sites/" + url.PathEscape(c.ID) + "/logo.png?v=" + c.LogoHash
	}
	return site
}

func (f flow) locales() string {
	if f.view == nil {
		return ""
	}
	return f.view.UILocales
}

func (f flow) query() url.Values {
	q := url.Values{}
	if f.id != "" {
		q.Set("i", f.id)
	}
	return q
}

// getFlow reads the flow of a page's URL.
func (s *Room) getFlow(r *http.Request) (flow, error) {
	id, err := web.Query(r, "i")
	if err != nil {
		return flow{}, err
	}
	return s.flow(r, id)
}

// postFlow reads the form and the flow it was rendered in, and checks that the form was ours.
func (s *Room) postFlow(r *http.Request, purpose string) (web.Form, flow, error) {
	form, err := web.ParseForm(r)
	if err != nil {
		return nil, flow{}, err
	}
	id, err := form.ID("i")
	if err != nil {
		return nil, flow{}, err
	}
	if err := s.Pages.CheckForm(r, form, purpose, id); err != nil {
		return nil, flow{}, err
	}
	f, err := s.flow(r, id)
	return form, f, err
}

func (s *Room) flow(r *http.Request, id string) (flow, error) {
	if id == "" {
		return flow{}, nil
	}
	view, err := s.OIDC.View(r.Context(), r, id)
	if err != nil {
		return flow{}, err
	}
	if view.Client != nil {
		web.NoteClient(r, view.Client.ID)
	}
	return flow{id: id, view: view}, nil
}

// base fills what every page of a flow has.
func (s *Room) base(w http.ResponseWriter, r *http.Request, purpose string, f flow) templates.Base {
	return templates.Base{Interaction: f.id, Token: s.Pages.FormToken(w, r, purpose, f.id)}
}
