package signin

import (
	"net/http"

	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getAllow is where the mail about an account that strangers guess at leads.
func (s *Room) getAllow(w http.ResponseWriter, r *http.Request) error {
	return s.getLink(w, r, "allow", s.Accounts.ReadAllow, func(b templates.Base, email string) templates.Page {
		return &templates.Allow{Base: b, Email: email}
	})
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
