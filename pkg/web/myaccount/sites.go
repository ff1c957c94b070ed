package myaccount

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getSites shows what the account has given to whom.
func (m *Room) getSites(w http.ResponseWriter, r *http.Request, v *visitor) error {
	done, err := web.Query(r, "done")
	if err != nil {
		return err
	}
	uses, err := m.OIDC.Uses(r.Context(), v.id)
	if err != nil {
		return err
	}
	page := &templates.Sites{Done: done != ""}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "sites", v.id)
	language := m.Pages.Language(r, "")
	for _, u := range uses {
		page.Sites = append(page.Sites, templates.SiteUse{ID: u.ClientID, Name: u.Client.LocalName(language), Host: u.Client.Host(),
			Keys: given(u), Since: u.Since, Last: u.Last, Held: u.Held})
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

// given says in words what a site gets.
func given(u oidc.Use) []string {
	keys := []string{"claims.openid"}
	for _, group := range []string{"profile", "email", "phone", "address"} {
		named := func(claim string) bool { return slices.Contains(grant.ClaimsOf(group), claim) }
		if slices.Contains(u.Scopes, group) || slices.ContainsFunc(u.Claims, named) {
			keys = append(keys, "claims."+group)
		}
	}
	if u.Offline || slices.Contains(u.Scopes, "offline_access") {
		keys = append(keys, "claims.offline")
	}
	return keys
}

func (m *Room) postSites(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	err := m.OIDC.EndUse(r.Context(), v.id, form["site"])
	if errors.Is(err, grant.ErrGone) {
		return web.ErrNotFound
	}
	if err != nil {
		return err
	}
	web.See(w, r, "/account/sites", url.Values{"done": {"1"}})
	return nil
}
