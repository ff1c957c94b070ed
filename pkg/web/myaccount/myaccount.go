package myaccount

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// Config is what the pages work with. All fields but Dev are required.
type Config struct {
	Pages    *web.Pages
	Accounts *account.Directory
	Sessions *session.Manager
	Dev      bool // the start page names the developer's inbox
}

// Room is this room.
type Room struct {
	Config
}

// New refuses a configuration with something missing.
func New(c Config) (*Room, error) {
	if c.Pages == nil || c.Accounts == nil || c.Sessions == nil {
		return nil, errors.New("myaccount: Pages, Accounts and Sessions are needed")
	}
	return &Room{c}, nil
}

// Routes are the pages of this room.
func (m *Room) Routes() []web.Route {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	return []web.Route{
		{Name: "home", Path: "/", Methods: get, Kind: web.Landing, Handler: m.getHome},
		{Name: "profile", Path: "/account/profile", Methods: get, Kind: web.Own, Handler: m.getProfile},
		{Name: "profile", Path: "/account/profile", Methods: post, Kind: web.Own, Handler: m.postProfile},
	}
}

// who is signed in here last: the account, or nil.
func (m *Room) who(r *http.Request) (string, *account.Profile, error) {
	b, err := m.Sessions.Current(r.Context(), r)
	if err != nil || b == nil || len(b.Logins) == 0 {
		return "", nil, err
	}
	id := b.Logins[0].AccountID
	p, err := m.Accounts.Profile(r.Context(), id)
	if errors.Is(err, account.ErrNotFound) {
		return "", nil, nil
	}
	return id, p, err
}

func (m *Room) getHome(w http.ResponseWriter, r *http.Request) error {
	_, p, err := m.who(r)
	if err != nil {
		return err
	}
	page := &templates.Home{Dev: m.Dev}
	if p != nil {
		page.Person = &templates.Person{Name: p.Name, Email: p.Email}
		page.SignedIn = true
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) getProfile(w http.ResponseWriter, r *http.Request) error {
	id, p, err := m.who(r)
	if err != nil {
		return err
	}
	if p == nil {
		web.See(w, r, "/login", url.Values{"next": {"profile"}})
		return nil
	}
	saved, err := web.Query(r, "saved")
	if err != nil {
		return err
	}
	page := m.page(w, r, id, p)
	page.Saved = saved != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) page(w http.ResponseWriter, r *http.Request, id string, p *account.Profile) *templates.Profile {
	page := &templates.Profile{Person: templates.Person{Name: p.Name, Email: p.Email}, Full: p.Name, Language: p.Language}
	page.SignedIn = true
	page.Token = m.Pages.FormToken(w, r, "profile", id)
	return page
}

func (m *Room) postProfile(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	id, p, err := m.who(r)
	if err != nil {
		return err
	}
	if p == nil {
		web.See(w, r, "/login", url.Values{"next": {"profile"}})
		return nil
	}
	// The token names the account: a form that was open while another person signed in changes nothing.
	if err := m.Pages.CheckForm(r, form, "profile", id); err != nil {
		return err
	}
	if !templates.Known(form["language"]) {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	change := *p
	change.Name, change.Language = form["name"], form["language"]
	err = m.Accounts.SetProfile(r.Context(), id, change)
	var fault *account.FieldError
	if errors.As(err, &fault) {
		page := m.page(w, r, id, p)
		page.Full, page.Language = form["name"], form["language"]
		page.Errors = map[string]string{fault.Field: fault.Key}
		return m.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	}
	if err != nil {
		return err
	}
	m.Pages.SetLanguage(w, form["language"])
	web.See(w, r, "/account/profile", url.Values{"saved": {"1"}})
	return nil
}
