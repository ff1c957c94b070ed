package myaccount

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getAddress(w http.ResponseWriter, r *http.Request, v *visitor) error {
	sent, err := web.Query(r, "sent")
	if err != nil {
		return err
	}
	page := m.address(w, r, v)
	page.Sent = sent != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) address(w http.ResponseWriter, r *http.Request, v *visitor) *templates.Address {
	page := &templates.Address{Person: v.person(), Dev: m.Dev}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "address", v.id)
	return page
}

func (m *Room) postAddress(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	page, status := m.address(w, r, v), http.StatusUnprocessableEntity
	err := m.Accounts.AskAddress(r.Context(), account.AddressChange{AccountID: v.id, Email: form["new-email"], IP: web.ClientIP(r)})
	var fault *account.FieldError
	var limited *limit.Limited
	switch {
	case errors.As(err, &fault):
		page.Errors, page.Email = map[string]string{fault.Field: fault.Key}, form["new-email"]
	case errors.As(err, &limited):
		status, page.Problem = http.StatusTooManyRequests, "waiting.limited"
		web.SetRetry(w.Header(), limited.Retry)
	case err != nil:
		return err
	default:
		web.See(w, r, "/account/address", url.Values{"sent": {"1"}})
		return nil
	}
	return m.Pages.Render(w, r, status, "", page)
}

// getNewAddress is where the mail's link leads. Only who is signed in with the account may follow it: a stranger may have
// typed somebody's address, and waits for this very click.
func (m *Room) getNewAddress(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	v, err := m.who(r)
	if err != nil {
		return err
	}
	if v == nil {
		return m.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "newaddress.title", Body: "newaddress.elsewhere",
			Action: "recovered.signin", To: "/login?next=profile"})
	}
	link, err := m.Accounts.ReadAddress(r.Context(), t, v.id)
	if err != nil {
		return err
	}
	page := &templates.NewAddress{Person: v.person(), Email: link.Email}
	page.Link, page.Token = t, m.Pages.FormToken(w, r, "new-address", t)
	return m.Pages.Render(w, r, http.StatusOK, link.Language, page)
}

func (m *Room) postNewAddress(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	t, err := form.ID("t")
	if err != nil {
		return err
	}
	if err := m.Pages.CheckForm(r, form, "new-address", t); err != nil {
		return err
	}
	v, err := m.who(r)
	if err != nil {
		return err
	}
	if v == nil {
		return account.ErrLink
	}
	if err := m.Accounts.ChangeAddress(r.Context(), t, v.id); err != nil {
		return err
	}
	web.See(w, r, "/account/profile", url.Values{"saved": {"1"}})
	return nil
}
