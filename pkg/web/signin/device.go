package signin

import (
	"errors"
	"net/http"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// maxUserCode is what is looked at of a code in the address: it only fills the form in.
const maxUserCode = 32

// getDevice shows the form. A code in the address (verification_uri_complete) fills it in and does nothing: a link
// must not connect a stranger's device (RFC 8628 §5.4).
func (s *Room) getDevice(w http.ResponseWriter, r *http.Request) error {
	page := &templates.Device{Base: s.base(w, r, "device", flow{})}
	if code, err := web.Query(r, "user_code"); err == nil && len(code) <= maxUserCode {
		page.Code = code
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

func (s *Room) postDevice(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	if err := s.Pages.CheckForm(r, form, "device", ""); err != nil {
		return err
	}
	page := &templates.Device{Base: s.base(w, r, "device", flow{}), Code: form["user_code"]}
	if page.Errors = missing(map[string]string{"user-code": form["user_code"]}, "user-code"); page.Errors != nil {
		return s.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	}
	err = s.OIDC.Device(w, r, form["user_code"])
	var limited *limit.Limited
	switch {
	case errors.Is(err, oidc.ErrNoDevice):
		page.Errors = map[string]string{"user-code": "device.wrong"}
		return s.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	case errors.As(err, &limited):
		web.SetRetry(w.Header(), limited.Retry)
		page.Problem = "device.limited"
		return s.Pages.Render(w, r, http.StatusTooManyRequests, "", page)
	}
	return err
}

// getDeviceDone says what the person has decided. The device hears it by itself.
func (s *Room) getDeviceDone(w http.ResponseWriter, r *http.Request) error {
	denied, err := web.Query(r, "denied")
	if err != nil {
		return err
	}
	page := &templates.Notice{Title: "device.done.title", Body: "device.done.body", Action: "device.home", To: "/"}
	if denied != "" {
		page.Title, page.Body = "device.denied.title", "device.denied.body"
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}
