package signin

import (
	"net/http"

	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getAllow is where the mail about an account that strangers guess at leads.
func (s *Room) getAllow(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	link, err := s.Accounts.ReadAllow(r.Context(), t)
	if err != nil {
		return err
	}
	page := &templates.Allow{Email: link.Email}
	page.Link, page.Token = t, s.Pages.FormToken(w, r, "allow", t)
	return s.Pages.Render(w, r, http.StatusOK, link.Language, page)
}

// postAllow makes this browser one that the account knows, and leads to the sign-in, which wants the password all the same.
func (s *Room) postAllow(w http.ResponseWriter, r *http.Request) error {
	_, t, err := s.postLink(r, "allow")
	if err != nil {
		return err
	}
	credential, err := s.Accounts.Allow(r.Context(), t)
	if err != nil {
		return err
	}
	s.Sessions.Know(w, r, s.Accounts.KnowDevice(s.Sessions.Known(r), credential))
	web.See(w, r, "/login", nil)
	return nil
}
