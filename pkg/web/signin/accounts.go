package signin

import (
	"net/http"

	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func person(l grant.Login) templates.Person {
	return templates.Person{LoginID: l.ID, Name: l.Person.Name, Email: l.Person.Email}
}

func (s *Room) getAccounts(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	if f.view == nil || len(f.view.Logins) == 0 {
		web.See(w, r, "/login", f.query())
		return nil
	}
	page := &templates.Accounts{Base: s.base(w, r, "accounts", f), Site: f.site()}
	for _, l := range f.view.Logins {
		page.People = append(page.People, person(l))
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

// postAccounts: the login named must be one of this browser's; Choose refuses any other (B13).
func (s *Room) postAccounts(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "accounts")
	if err != nil {
		return err
	}
	if f.view == nil {
		return web.ErrForm
	}
	if form["login"] == "" { // nobody was chosen
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	return s.OIDC.Choose(w, r, f.id, form["login"])
}
