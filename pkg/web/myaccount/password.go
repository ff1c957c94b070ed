package myaccount

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getPassword(w http.ResponseWriter, r *http.Request, v *visitor) error {
	saved, err := web.Query(r, "saved")
	if err != nil {
		return err
	}
	page := m.password(w, r, v)
	page.Saved = saved != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) password(w http.ResponseWriter, r *http.Request, v *visitor) *templates.Password {
	page := &templates.Password{Person: v.person()}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "password", v.id)
	return page
}

func (m *Room) postPassword(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	page, status := m.password(w, r, v), http.StatusUnprocessableEntity
	credential, err := m.Accounts.ChangePassword(r.Context(), account.PasswordChange{AccountID: v.id, LoginID: v.login.ID,
		Current: form["password"], New: form["new-password"], IP: web.ClientIP(r)})
	errs, faulty := web.FieldErrors(err)
	var limited *limit.Limited
	switch {
	case faulty:
		page.Errors = errs
	case errors.Is(err, account.ErrPassword):
		page.Errors = map[string]string{"password": "password.wrong"}
	case errors.As(err, &limited):
		status, page.Problem = http.StatusTooManyRequests, "password.limited"
		web.SetRetry(w.Header(), limited.Retry)
	case err != nil:
		return err
	default:
		return m.renew(w, r, v, credential)
	}
	return m.Pages.Render(w, r, status, "", page)
}

// renew goes on after a new password. Who has copied this browser's cookie must not stay signed in: where it cannot be renewed
// (somebody else just has), the login ends as all others did.
func (m *Room) renew(w http.ResponseWriter, r *http.Request, v *visitor, credential string) error {
	if err := m.Sessions.Renew(r.Context(), w, r); err != nil {
		ctx, done := account.Afterwards(r.Context())
		defer done()
		ended := m.Sessions.EndOne(ctx, v.id, v.login.ID)
		if errors.Is(err, session.ErrNoLogin) && (ended == nil || errors.Is(ended, session.ErrNoLogin)) {
			web.See(w, r, "/login", url.Values{"next": {"password"}})
			return nil
		}
		return errors.Join(err, ended)
	}
	m.Sessions.Know(w, r, m.Accounts.KnowDevice(m.Sessions.Known(r), credential))
	web.See(w, r, "/account/password", url.Values{"saved": {"1"}})
	return nil
}
