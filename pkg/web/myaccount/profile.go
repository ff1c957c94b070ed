package myaccount

import (
	"net/http"
	"net/url"
	"strings"

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
	page := &templates.Profile{Person: v.person(), Full: v.Name, Nameless: m.Accounts.Fields().Name != account.Required,
		Language: v.Language, Text: v.Text, Zones: zones(v.Text["zoneinfo"]), Pictured: v.PictureURL != ""}
	if v.Picture != "" {
		page.Picture = PicturesPath + v.Picture
	}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "profile", v.id)
	return page
}

// zones are the time zones to choose from, by the part of the world, with the one that is set: the operator may have
// written another.
func zones(set string) (groups []templates.Zones) {
	for _, zone := range account.Zones() {
		part, _, _ := strings.Cut(zone, "/")
		if n := len(groups); n == 0 || groups[n-1].Part != part {
			groups = append(groups, templates.Zones{Part: part})
		}
		last := &groups[len(groups)-1]
		last.Names = append(last.Names, zone)
		if zone == set {
			set = ""
		}
	}
	if set != "" {
		groups = append(groups, templates.Zones{Part: set, Names: []string{set}})
	}
	return groups
}

// postProfile changes what the form has: one that was open before a new version came does not empty what it did not know.
func (m *Room) postProfile(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	if !templates.Known(form["language"]) {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	change := account.Profile{Name: form["name"], Language: form["language"], Text: map[string]string{}}
	for _, claim := range account.Editable() {
		if typed, ok := form[claim]; ok {
			change.Text[claim] = typed
		}
	}
	err := m.Accounts.SetProfile(r.Context(), v.id, change)
	if errs, ok := web.FieldErrors(err); ok {
		page := m.profile(w, r, v)
		page.Full, page.Language, page.Text = change.Name, change.Language, change.Text
		page.Errors = errs
		return m.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	}
	if err != nil {
		return err
	}
	m.Pages.SetLanguage(w, form["language"])
	web.See(w, r, "/account/profile", url.Values{"saved": {"1"}})
	return nil
}
