package signin

import (
	"net/http"
	"slices"

	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getAccept asks who is signed in to accept the terms that hold now. It is asked of one account: in a flow of the one that
// would answer the site, else of the one that has just signed in.
func (s *Room) getAccept(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	next, err := web.Query(r, "next")
	if err != nil {
		return err
	}
	who, err := s.accepting(r, f)
	if err != nil {
		return err
	}
	if who == nil {
		return s.onward(w, r, f, next)
	}
	if must, err := s.Accounts.MustAccept(r.Context(), who.account); err != nil {
		return err
	} else if !must {
		return s.onward(w, r, f, next)
	}
	return s.showAccept(w, r, http.StatusOK, f, next, *who, nil)
}

// accepting is whom the page asks; nil: nobody.
func (s *Room) accepting(r *http.Request, f flow) (*guest, error) {
	if f.view != nil {
		if f.view.Login == nil {
			return nil, nil
		}
		return &guest{person(*f.view.Login), f.view.Login.Person.AccountID}, nil
	}
	here, err := s.here(r, f)
	if err != nil || len(here) == 0 {
		return nil, err
	}
	return &here[0], nil
}

// onward leads to where somebody was on the way to who has nothing to accept, or is not signed in.
func (s *Room) onward(w http.ResponseWriter, r *http.Request, f flow, next string) error {
	if f.id != "" {
		web.See(w, r, "/authorize", f.query())
	} else {
		web.See(w, r, destination(known(next)), nil)
	}
	return nil
}

func (s *Room) showAccept(w http.ResponseWriter, r *http.Request, status int, f flow, next string, who guest, errs map[string]string) error {
	v := s.Accounts.Versions()
	page := &templates.Accept{Base: s.base(w, r, "accept", f), Site: f.site(), Person: who.Person, TermsVersion: v.Terms, PrivacyVersion: v.Privacy}
	page.Next, page.Errors = known(next), errs
	return s.Pages.Render(w, r, status, f.locales(), page)
}

// postAccept: the account must be signed in in this browser, and the one that the page showed.
func (s *Room) postAccept(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "accept")
	if err != nil {
		return err
	}
	if form["login"] == "" {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	here, err := s.here(r, f)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(here, func(g guest) bool { return g.LoginID == form["login"] })
	if i < 0 { // signed out meanwhile
		return s.onward(w, r, f, form["next"])
	}
	err = s.Accounts.AcceptTerms(r.Context(), here[i].account, form["email"])
	if errs, ok := web.FieldErrors(err); ok {
		return s.showAccept(w, r, http.StatusUnprocessableEntity, f, form["next"], here[i], errs)
	}
	if err != nil {
		return err
	}
	if f.id != "" {
		return s.OIDC.Choose(w, r, f.id, here[i].LoginID)
	}
	return s.onward(w, r, f, form["next"])
}
