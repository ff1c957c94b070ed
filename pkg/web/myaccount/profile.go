package myaccount

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getProfile(w http.ResponseWriter, r *http.Request, v *visitor) error {
	saved, err := web.Query(r, "saved")
	if err != nil {
		return err
	}
	page := m.profile(w, r, v)
	page.Saved = saved != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) profile(w http.ResponseWriter, r *http.Request, v *visitor) *templates.Profile {
	page := &templates.Profile{Person: v.person(), Full: v.Name, Language: v.Language}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "profile", v.id)
	return page
}

func (m *Room) postProfile(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	if !templates.Known(form["language"]) {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	change := *v.Profile
	change.Name, change.Language = form["name"], form["language"]
	err := m.Accounts.SetProfile(r.Context(), v.id, change)
	var fault *account.FieldError
	if errors.As(err, &fault) {
		page := m.profile(w, r, v)
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
