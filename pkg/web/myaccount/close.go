package myaccount

import (
	"net/http"

	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getClose(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return m.Pages.Render(w, r, http.StatusOK, "", m.close(w, r, v))
}

func (m *Room) close(w http.ResponseWriter, r *http.Request, v *visitor) *templates.Close {
	page := &templates.Close{Person: v.person()}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "close", v.id)
	return page
}

func (m *Room) postClose(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	err := m.Accounts.Close(r.Context(), v.id, form["close-email"])
	if errs, ok := web.FieldErrors(err); ok {
		page := m.close(w, r, v)
		page.Errors = errs
		return m.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	}
	if err != nil { // too often of late, too: the page of that error says when
		return err
	}
	web.See(w, r, "/account/closed", nil)
	return nil
}

func (m *Room) getClosed(w http.ResponseWriter, r *http.Request) error {
	return m.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "closed.title", Body: "closed.body", Action: "cancelled.home", To: "/"})
}
