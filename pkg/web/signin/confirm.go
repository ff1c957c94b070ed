package signin

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getConfirm shows the button; nothing changes before it is pressed (A1: scanners and previews open links).
func (s *Room) getConfirm(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	fresh, err := web.Query(r, "fresh")
	if err != nil {
		return err
	}
	return s.showConfirm(w, r, http.StatusOK, t, fresh != "", nil)
}

func (s *Room) showConfirm(w http.ResponseWriter, r *http.Request, status int, t string, fresh bool, errs map[string]string) error {
	link, err := s.Accounts.ReadConfirm(r.Context(), t, s.Sessions.FlowHash(r))
	if err != nil {
		return err
	}
	page := &templates.Confirm{Email: link.Email, Full: link.Name, Own: link.Here, Fresh: fresh && !link.Here}
	page.Link, page.Token, page.Errors = t, s.Pages.FormToken(w, r, "confirm", t), errs
	return s.Pages.Render(w, r, status, link.Language, page)
}

// getLink shows a link's page, with its button; nothing changes before that is pressed (A1).
func (s *Room) getLink(w http.ResponseWriter, r *http.Request, purpose string, read func(ctx context.Context, token string) (*account.LinkView, error),
	page func(b templates.Base, email string) templates.Page) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	link, err := read(r.Context(), t)
	if err != nil {
		return err
	}
	b := templates.Base{Link: t, Token: s.Pages.FormToken(w, r, purpose, t)}
	return s.Pages.Render(w, r, http.StatusOK, link.Language, page(b, link.Email))
}

// postLink is the form behind a link's button, and the link's secret.
func (s *Room) postLink(r *http.Request, purpose string) (web.Form, string, error) {
	form, err := web.ParseForm(r)
	if err != nil {
		return nil, "", err
	}
	t, err := form.ID("t")
	if err != nil {
		return nil, "", err
	}
	return form, t, s.Pages.CheckForm(r, form, purpose, t)
}

func (s *Room) postConfirm(w http.ResponseWriter, r *http.Request) error {
	form, t, err := s.postLink(r, "confirm")
	if err != nil {
		return err
	}
	_, fresh := form["new-password"]
	done, err := s.Accounts.Confirm(r.Context(), account.ConfirmInput{
		Token: t, FlowHash: s.Sessions.FlowHash(r), Password: form["password"], NewPassword: form["new-password"],
		Language: s.Pages.Language(r, ""), IP: web.ClientIP(r),
	})
	errs, faulty := web.FieldErrors(err)
	switch {
	case errors.Is(err, account.ErrNeedPassword):
		name := "password"
		if fresh {
			name = "new-password"
		}
		errs, faulty = map[string]string{name: "error.field.empty"}, true
	case errors.Is(err, account.ErrPassword):
		errs, faulty = map[string]string{"password": "confirm.wrong"}, true
	}
	if faulty {
		return s.showConfirm(w, r, http.StatusUnprocessableEntity, t, fresh, errs)
	}
	if err != nil {
		return err
	}
	return s.confirmed(w, r, done)
}

// confirmed goes on where the registration began, if this is the browser it began in.
func (s *Room) confirmed(w http.ResponseWriter, r *http.Request, done *account.Confirmed) error {
	query := url.Values{}
	if done.Interaction != nil {
		query.Set("h", base64.RawURLEncoding.EncodeToString(done.Interaction))
	}
	if !done.Here { // nobody is signed in by a link that was opened elsewhere
		web.See(w, r, "/confirm/done", query)
		return nil
	}
	i := s.begun(r, done)
	login, err := s.signIn(w, r, account.Authenticated{AccountID: done.AccountID}, i, false)
	if errors.Is(err, session.ErrRefused) { // disabled this moment
		web.See(w, r, "/login", nil)
		return nil
	}
	if err != nil {
		return err
	}
	s.Sessions.Know(w, r, s.Accounts.KnowDevice(s.Sessions.Known(r), done.Credential))
	s.Pages.Forget(w, "return")
	switch {
	case i != "":
		return s.OIDC.ContinueAs(w, r, i, login)
	case done.Interaction != nil:
		web.See(w, r, "/confirm/done", query)
	default:
		web.See(w, r, "/account/profile", nil)
	}
	return nil
}

// begun is the flow of this browser in which the registration began; empty: none, or it is over.
func (s *Room) begun(r *http.Request, done *account.Confirmed) string {
	i := s.Pages.Recall(r, "return")
	if i == "" || !bytes.Equal(oidc.InteractionHash(i), done.Interaction) { // another tab's
		return ""
	}
	if _, err := s.OIDC.View(r.Context(), r, i); err != nil {
		return ""
	}
	return i
}

// getConfirmed says that it worked and offers the way to the site that the person came from. It never goes on
// with a flow: that may live in another browser.
func (s *Room) getConfirmed(w http.ResponseWriter, r *http.Request) error {
	h, err := web.Query(r, "h")
	if err != nil {
		return err
	}
	page := &templates.Notice{Title: "confirmed.title", Body: "confirmed.body", Action: "confirmed.signin", To: "/login?next=profile"}
	b, err := s.Sessions.Current(r.Context(), r)
	if err != nil {
		return err
	}
	if b != nil && len(b.Logins) > 0 {
		page.Body, page.Action, page.To = "confirmed.here", "confirmed.profile", "/account/profile"
	}
	if hash, err := base64.RawURLEncoding.DecodeString(h); err == nil && len(hash) > 0 {
		if name, to, ok := s.OIDC.ContinueLink(r.Context(), hash); ok {
			page.Action, page.Site, page.To = "confirmed.continue", name, to
		}
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

func (s *Room) getCancel(w http.ResponseWriter, r *http.Request) error {
	return s.getLink(w, r, "cancel", s.Accounts.ReadCancel, func(b templates.Base, email string) templates.Page {
		return &templates.Cancel{Base: b, Email: email}
	})
}

func (s *Room) postCancel(w http.ResponseWriter, r *http.Request) error {
	_, t, err := s.postLink(r, "cancel")
	if err != nil {
		return err
	}
	if err := s.Accounts.Cancel(r.Context(), t); err != nil {
		return err
	}
	web.See(w, r, "/cancel/done", nil)
	return nil
}

func (s *Room) getCancelled(w http.ResponseWriter, r *http.Request) error {
	return s.Pages.Render(w, r, http.StatusOK, "",
		&templates.Notice{Title: "cancelled.title", Body: "cancelled.body", Action: "cancelled.home", To: "/"})
}

// getLogout asks; a link or an image of a stranger's page signs nobody out (B3).
func (s *Room) getLogout(w http.ResponseWriter, r *http.Request) error { return s.Logout.Ask(w, r) }

func (s *Room) postLogout(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	i := form["i"]
	if err := s.Pages.CheckForm(r, form, "logout", i); err != nil {
		return err
	}
	login, err := form.ID("login")
	if err != nil {
		return err
	}
	return s.Logout.Confirm(w, r, i, login)
}
