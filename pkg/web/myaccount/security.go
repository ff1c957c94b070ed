package myaccount

import (
	"errors"
	"net/http"

	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getSecurity shows where the account is signed in.
func (m *Room) getSecurity(w http.ResponseWriter, r *http.Request, v *visitor) error {
	list, err := m.Sessions.List(r.Context(), v.id)
	if err != nil {
		return err
	}
	page := &templates.Security{Person: v.person()}
	if page.Requested, err = m.Accounts.Requested(r.Context(), v.id); err != nil {
		return err
	}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "security", v.id)
	now := m.Now()
	for _, l := range list {
		if !m.Sessions.Live(l.AuthTime, now) {
			continue // over, and not yet swept away
		}
		name, system := web.Device(l.Device)
		page.Browsers = append(page.Browsers, templates.Browser{ID: l.ID, Name: name, System: system, Network: l.Network,
			Since: l.CreatedAt, Last: l.SeenAt, This: l.ID == v.login.ID})
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

// What is ended, where it is not one login.
const (
	others     = "1"
	everywhere = "here" // the one in this browser too
)

// postSecurity ends one login, all but this browser's, or all, and reports how far the sites have been told. An id that is not
// one of the account's is not found (B14).
func (m *Room) postSecurity(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	if form["stop"] != "" {
		if err := m.Accounts.StopRequest(r.Context(), v.id); err != nil {
			return err
		}
		web.See(w, r, "/account/security", nil)
		return nil
	}
	ended, here, err := m.end(w, r, v, form)
	if errors.Is(err, session.ErrNoLogin) {
		return web.ErrNotFound
	}
	if err != nil {
		return err
	}
	return m.Logout.Elsewhere(w, r, ended, here)
}

// end ends what the form says: logins in other browsers, and perhaps the one here.
func (m *Room) end(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) (ended []string, here string, err error) {
	switch form["all"] {
	case others:
		ended, err = m.Sessions.EndOthers(r.Context(), v.id, v.login.ID)
		return ended, "", err
	case everywhere:
		return m.everywhere(w, r, v)
	}
	return []string{form["session"]}, "", m.Sessions.EndOne(r.Context(), v.id, form["session"])
}

// everywhere ends this browser's login last: when that fails, who asked is there still, and can ask once more.
func (m *Room) everywhere(w http.ResponseWriter, r *http.Request, v *visitor) (ended []string, here string, err error) {
	if ended, err = m.Sessions.EndOthers(r.Context(), v.id, v.login.ID); err != nil {
		return nil, "", err
	}
	err = m.Sessions.EndLogin(r.Context(), w, r, v.login.ID)
	if errors.Is(err, session.ErrNoLogin) { // in another tab, this moment
		err = nil
	}
	return ended, v.login.ID, err
}
