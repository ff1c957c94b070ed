package signin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// ACRPassword names the class of a sign-in by password alone (OpenID Connect Core §2, acr).
const ACRPassword = "urn:passport:acr:password"

// maxHint is the longest login_hint that fills in the field: no address is longer (RFC 5321 §4.5.3.1.3).
const maxHint = 254

func (s *Room) getLogin(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	next, err := web.Query(r, "next")
	if err != nil {
		return err
	}
	page := s.loginPage(w, r, f, next)
	switch {
	case f.view == nil:
	case len(f.view.LoginHint) <= maxHint && strings.Contains(f.view.LoginHint, "@"):
		page.Email = f.view.LoginHint
	case len(f.view.Logins) == 1: // the password is asked for once more: it is known whose
		page.Email = f.view.Logins[0].Person.Email
	}
	if err := s.again(r, page); err != nil {
		return err
	}
	if !page.NameOnly {
		if err := s.offerAgain(w, r, "login", nil, &page.Base); err != nil {
			return err
		}
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

// again is for who is signed in, and is to be so anew before a dangerous page: it says why, and knows the address.
func (s *Room) again(r *http.Request, page *templates.Login) error {
	if !dangerous[page.Next] {
		return nil
	}
	b, err := s.Sessions.Current(r.Context(), r)
	if err != nil || b == nil || len(b.Logins) == 0 {
		return err
	}
	p, err := s.Accounts.Profile(r.Context(), b.Logins[0].AccountID)
	if errors.Is(err, account.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	page.Again, page.Email = true, p.Email
	return nil
}

func (s *Room) loginPage(w http.ResponseWriter, r *http.Request, f flow, next string) *templates.Login {
	page := &templates.Login{Base: s.base(w, r, "login", f), Site: f.site()}
	page.Next = known(next)
	page.Accounts = f.view != nil && len(f.view.Logins) > 0
	page.NameOnly, page.Open = s.TwoPages, s.Accounts.Open()
	return page
}

// destinations are where a sign-in outside a flow may lead: words, never URLs (R14).
var destinations = map[string]string{"": "/", "profile": "/account/profile", "password": "/account/password",
	"address": "/account/address", "new-address": "/account/address/confirm", "recovery": "/account/recovery", "new-recovery": "/account/recovery/confirm", "close": "/account/close", "data": "/account/data", "file": "/account/data/file", "security": "/account/security", "sites": "/account/sites", "activity": "/account/activity"}

// dangerous are those that want a sign-in of just now (myaccount).
var dangerous = map[string]bool{"password": true, "address": true, "new-address": true, "recovery": true, "new-recovery": true, "close": true, "data": true, "file": true}

func known(next string) string {
	if _, ok := startPath(next); ok {
		return next
	}
	if _, ok := destinations[next]; !ok {
		return ""
	}
	return next
}

// destination is the path that a known word stands for.
func destination(next string) string {
	if path, ok := startPath(next); ok {
		return path
	}
	return destinations[next]
}

func (s *Room) postLogin(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "login")
	if err != nil {
		return err
	}
	page := s.loginPage(w, r, f, form["next"])
	page.Email, page.Keep = form["username"], form["keep"] == "1"
	if !page.Keep && form["keep"] != "" {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	if answered, err := s.unready(w, r, f, form, page); answered {
		return err
	}
	who, err := s.authenticate(r, form)
	switch {
	case errors.Is(err, account.ErrCredentials), errors.Is(err, account.ErrLimited), errors.Is(err, account.ErrHuman):
		return s.denied(w, r, f, form, page, err)
	case err != nil:
		return err
	case who.Reopen != "":
		s.Pages.Remember(w, "reopen", who.Reopen) // not in the address: the browser may be anybody's
		web.See(w, r, "/reopen", nil)
		return nil
	case who.Pending:
		s.wait(w, r, f, *who)
		return nil
	}
	return s.enter(w, r, f, form, page, *who)
}

// authenticate has a form's password judged.
func (s *Room) authenticate(r *http.Request, form web.Form) (*account.Authenticated, error) {
	proven, err := s.human(r, "login", form)
	if err != nil {
		return nil, err
	}
	return s.Accounts.Authenticate(r.Context(), account.Attempt{
		Email: form["username"], Password: form["password"], FlowHash: s.Sessions.FlowHash(r),
		IP: web.ClientIP(r), Device: r.UserAgent(), Known: s.Sessions.Known(r), Human: proven,
	})
}

// wait sends on whoever has registered and not yet confirmed.
func (s *Room) wait(w http.ResponseWriter, r *http.Request, f flow, who account.Authenticated) {
	if who.Waiting != "" {
		s.Pages.Remember(w, "waiting", who.Waiting)
	}
	web.See(w, r, "/register/waiting", f.query())
}

// unready answers a form that cannot be judged yet: the first of two pages, or one with an empty field.
func (s *Room) unready(w http.ResponseWriter, r *http.Request, f flow, form web.Form, page *templates.Login) (answered bool, _ error) {
	if s.TwoPages && form["username"] != "" {
		page.NameOnly, page.Named = false, true
		if _, second := form["password"]; !second {
			// The address is not looked up: the second page is the same for everybody (I17).
			if err := s.offerAgain(w, r, "login", nil, &page.Base); err != nil {
				return true, err
			}
			return true, s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
		}
	}
	asked := []string{"username", "password"}
	if page.NameOnly {
		asked = asked[:1]
	}
	if page.Errors = missing(form, asked...); page.Errors == nil {
		return false, nil
	}
	if !page.NameOnly {
		if err := s.offerAgain(w, r, "login", form, &page.Base); err != nil {
			return true, err
		}
	}
	return true, s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
}

// enter signs in whoever has shown the password, and goes on to where they were on the way to.
func (s *Room) enter(w http.ResponseWriter, r *http.Request, f flow, form web.Form, page *templates.Login, who account.Authenticated) error {
	login, err := s.signIn(w, r, who, f.id, page.Keep)
	if errors.Is(err, session.ErrRefused) { // disabled, or the password changed, this moment
		return s.denied(w, r, f, form, page, account.ErrCredentials)
	}
	if err != nil {
		return err
	}
	s.Sessions.Know(w, r, s.Accounts.KnowDevice(s.Sessions.Known(r), who.Credential))
	if f.id != "" {
		return s.OIDC.ContinueAs(w, r, f.id, login)
	}
	if who.Accept {
		web.See(w, r, "/terms", nextQuery(page.Next))
		return nil
	}
	web.See(w, r, destination(page.Next), nil)
	return nil
}

// nextQuery carries on where a sign-in leads.
func nextQuery(next string) url.Values {
	if next == "" {
		return nil
	}
	return url.Values{"next": {next}}
}

// denied is one answer for an unknown address, a wrong password and too many tries (I17), with the human check where the next
// try wants it, or this one did.
func (s *Room) denied(w http.ResponseWriter, r *http.Request, f flow, form web.Form, page *templates.Login, err error) error {
	show := s.offerAgain
	if errors.Is(err, account.ErrHuman) {
		show = s.ask
	}
	if err := show(w, r, "login", form, &page.Base); err != nil {
		return err
	}
	if errors.Is(err, account.ErrCredentials) || errors.Is(err, account.ErrLimited) {
		page.Problem = "login.wrong"
	}
	return s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
}

// signIn begins a login by password; the event names the interaction that it served, which is what meets
// prompt=login. The owner is told in the same transaction where the browser is a new one.
func (s *Room) signIn(w http.ResponseWriter, r *http.Request, who account.Authenticated, interaction string, keep bool) (session.Login, error) {
	in := session.SignIn{AccountID: who.AccountID, Credential: who.Credential, AMR: []string{"pwd"}, ACR: ACRPassword,
		Device: r.UserAgent(), Network: web.Network(r), Keep: keep}
	from := account.Browser{Network: in.Network}
	from.Name, from.System = web.Device(in.Device)
	in.Within = func(ctx context.Context) error { return s.Accounts.TellNewBrowser(ctx, who, from) }
	if interaction != "" {
		in.Event = oidc.InteractionHash(interaction)
	}
	return s.Sessions.SignIn(r.Context(), w, r, in)
}

// missing names the fields that were left empty; nil when none was.
func missing(form web.Form, ids ...string) map[string]string {
	var errs map[string]string
	for _, id := range ids {
		if form[id] == "" {
			if errs == nil {
				errs = map[string]string{}
			}
			errs[id] = "error.field.empty"
		}
	}
	return errs
}
