package myaccount

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// Config is what the pages work with. All fields but Dev are required.
type Config struct {
	Pages    *web.Pages
	Accounts *account.Directory
	Sessions *session.Manager
	OIDC     *oidc.Provider
	Logout   *logout.Logout
	Events   audit.Reader
	Clients  *client.Registry
	Now      func() time.Time
	Dev      bool // the start page names the developer's inbox
}

// Room is this room.
type Room struct {
	Config
	uploads uploads
}

// New refuses a configuration with something missing. The Room composes what people download of themselves, for the outbox
// that Accounts puts it into.
func New(c Config) (*Room, error) {
	if c.Pages == nil || c.Accounts == nil || c.Sessions == nil || c.OIDC == nil || c.Logout == nil || c.Events == nil || c.Clients == nil || c.Now == nil {
		return nil, errors.New("myaccount: Pages, Accounts, Sessions, OIDC, Logout, Events, Clients and Now are needed")
	}
	m := &Room{Config: c}
	c.Accounts.HandleExports(m.compose)
	return m, nil
}

// Routes are the pages of this room.
func (m *Room) Routes() []web.Route {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	return []web.Route{
		{Name: "home", Path: "/", Methods: get, Kind: web.Landing, Handler: m.getHome},
		{Name: "profile", Path: "/account/profile", Methods: get, Kind: web.Own, Handler: m.own("profile", m.getProfile)},
		{Name: "profile", Path: "/account/profile", Methods: post, Kind: web.Own, Handler: m.posted("profile", m.own, m.postProfile)},
		{Name: "picture", Path: "/account/picture", Methods: post, Kind: web.Own, Upload: true, Handler: m.own("profile", m.postPicture)},
		{Name: "pictures", Path: PicturesPath + "{picture}", Methods: get, Kind: web.Picture, Handler: m.getPicture},
		{Name: "security", Path: "/account/security", Methods: get, Kind: web.Own, Handler: m.own("security", m.getSecurity)},
		{Name: "security", Path: "/account/security", Methods: post, Kind: web.Own, Handler: m.posted("security", m.own, m.postSecurity)},
		{Name: "sites", Path: "/account/sites", Methods: get, Kind: web.Own, Handler: m.own("sites", m.getSites)},
		{Name: "sites", Path: "/account/sites", Methods: post, Kind: web.Own, Handler: m.posted("sites", m.own, m.postSites)},
		{Name: "activity", Path: "/account/activity", Methods: get, Kind: web.Own, Handler: m.own("activity", m.getActivity)},
		{Name: "close", Path: "/account/close", Methods: get, Kind: web.Own, Handler: m.fresh("close", m.getClose)},
		{Name: "close", Path: "/account/close", Methods: post, Kind: web.Own, Handler: m.posted("close", m.fresh, m.postClose)},
		{Name: "data", Path: "/account/data", Methods: get, Kind: web.Own, Handler: m.fresh("data", m.getData)},
		{Name: "data", Path: "/account/data", Methods: post, Kind: web.Own, Handler: m.posted("data", m.fresh, m.postData)},
		{Name: "file", Path: "/account/data/file", Methods: get, Kind: web.Link, Handler: m.getFile},
		{Name: "file", Path: "/account/data/file", Methods: post, Kind: web.Link, Handler: m.posted("file", m.fresh, m.postFile)},
		{Name: "closed", Path: "/account/closed", Methods: get, Kind: web.Own, Handler: m.getClosed},
		{Name: "address", Path: "/account/address", Methods: get, Kind: web.Own, Handler: m.fresh("address", m.getAddress)},
		{Name: "address", Path: "/account/address", Methods: post, Kind: web.Own, Even: true, Handler: m.posted("address", m.fresh, m.postAddress)},
		{Name: "new-address", Path: "/account/address/confirm", Methods: get, Kind: web.Link, Handler: m.getNewAddress},
		{Name: "new-address", Path: "/account/address/confirm", Methods: post, Kind: web.Link, Handler: m.postedLink("new-address", m.postNewAddress)},
		{Name: "recovery", Path: "/account/recovery", Methods: get, Kind: web.Own, Handler: m.fresh("recovery", m.getRecovery)},
		{Name: "recovery", Path: "/account/recovery", Methods: post, Kind: web.Own, Even: true, Handler: m.posted("recovery", m.fresh, m.postRecovery)},
		{Name: "new-recovery", Path: "/account/recovery/confirm", Methods: get, Kind: web.Link, Handler: m.getNewRecovery},
		{Name: "new-recovery", Path: "/account/recovery/confirm", Methods: post, Kind: web.Link, Handler: m.postedLink("new-recovery", m.postNewRecovery)},
		{Name: "password", Path: "/account/password", Methods: get, Kind: web.Own, Handler: m.fresh("password", m.getPassword)},
		{Name: "password", Path: "/account/password", Methods: post, Kind: web.Own, Handler: m.posted("password", m.fresh, m.postPassword)},
	}
}

// visitor is who is signed in here last.
type visitor struct {
	*account.Profile
	id    string // of the account
	login session.Login
}

func (v *visitor) person() templates.Person {
	return templates.Person{Name: v.Name, Email: v.Email}
}

// who is signed in here last; nil: nobody.
func (m *Room) who(r *http.Request) (*visitor, error) {
	b, err := m.Sessions.Current(r.Context(), r)
	if err != nil || b == nil || len(b.Logins) == 0 {
		return nil, err
	}
	login := b.Logins[0]
	p, err := m.Accounts.Profile(r.Context(), login.AccountID)
	if errors.Is(err, account.ErrNotFound) {
		return nil, nil
	}
	return &visitor{p, login.AccountID, login}, err
}

// page is a handler for whoever is signed in.
type page func(w http.ResponseWriter, r *http.Request, v *visitor) error

// own is a page for whoever is signed in; who is not signs in first, and comes back to it.
func (m *Room) own(next string, show page) web.Handler { return m.since(next, 0, show) }

// freshness is how old a sign-in may be for what is dangerous (A20; ASVS 7.5.1).
const freshness = 5 * time.Minute

// fresh is own for what is dangerous in a browser that was left open: a sign-in that is older is asked for once more.
func (m *Room) fresh(next string, show page) web.Handler { return m.since(next, freshness, show) }

// since reads who is signed in, once: what is judged and what is done are about the same login.
func (m *Room) since(next string, age time.Duration, show page) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := m.who(r)
		if err != nil {
			return err
		}
		if v == nil || age > 0 && m.older(v, age) {
			web.See(w, r, "/login", url.Values{"next": {next}})
			return nil
		}
		return show(w, r, v)
	}
}

func (m *Room) older(v *visitor, age time.Duration) bool { return m.Now().Sub(v.login.AuthTime) > age }

// posted is a form for own or fresh. Its token names the account: a form that was open while another person signed in
// changes nothing.
func (m *Room) posted(name string, who func(next string, show page) web.Handler, act func(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ParseForm(r)
		if err != nil {
			return err
		}
		return who(name, func(w http.ResponseWriter, r *http.Request, v *visitor) error {
			if err := m.Pages.CheckForm(r, form, name, v.id); err != nil {
				return err
			}
			return act(w, r, v, form)
		})(w, r)
	}
}

func (m *Room) getHome(w http.ResponseWriter, r *http.Request) error {
	v, err := m.who(r)
	if err != nil {
		return err
	}
	page := &templates.Home{Dev: m.Dev, Open: m.Accounts.Open()}
	if v != nil {
		person := v.person()
		page.Person = &person
		page.SignedIn = true
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}
