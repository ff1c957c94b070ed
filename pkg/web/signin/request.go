package signin

import (
	"net/http"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getRequest is for who can read none of an account's mail.
func (s *Room) getRequest(w http.ResponseWriter, r *http.Request) error {
	page := s.request(w, r, nil)
	if err := s.offerAgain(w, r, "request", nil, &page.Base); err != nil {
		return err
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

func (s *Room) request(w http.ResponseWriter, r *http.Request, form web.Form) *templates.Request {
	page := &templates.Request{Account: form["account"], Reach: form["reach"]}
	page.Token = s.Pages.FormToken(w, r, "request", "")
	return page
}

func (s *Room) postRequest(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	if err := s.Pages.CheckForm(r, form, "request", ""); err != nil {
		return err
	}
	proven, err := s.human(r, "request", form)
	if err != nil {
		return err
	}
	err = s.Accounts.AskRequest(r.Context(), account.RequestStart{
		Account: form["account"], Reach: form["reach"], Language: s.Pages.Language(r, ""), IP: web.ClientIP(r), Human: proven,
	})
	if err != nil {
		page := s.request(w, r, form)
		if ok, err := s.corrected(w, r, "request", form, &page.Base, err); !ok || err != nil {
			return err
		}
		return s.Pages.Render(w, r, http.StatusUnprocessableEntity, "", page)
	}
	web.See(w, r, "/recover/request/sent", nil)
	return nil
}

// getRequestSent says the same of every address.
func (s *Room) getRequestSent(w http.ResponseWriter, r *http.Request) error {
	page := &templates.Notice{Title: "recover.sent.title", Body: "request.sent", Action: "recover.back", To: "/login"}
	if s.Dev {
		page.Action, page.To = "waiting.inbox", "/dev/inbox"
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

// getDetails is where the mail leads: what is known of the account.
func (s *Room) getDetails(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	return s.showDetails(w, r, http.StatusOK, t, web.Form{}, nil)
}

func (s *Room) showDetails(w http.ResponseWriter, r *http.Request, status int, t string, form web.Form, errs map[string]string) error {
	link, err := s.Accounts.ReadRequest(r.Context(), t)
	if err != nil {
		return err
	}
	page := &templates.Details{Email: link.Email, Birthdate: form["birthdate"], Phone: form["phone"], Sites: form["sites"], Note: form["note"]}
	page.Link, page.Token, page.Errors = t, s.Pages.FormToken(w, r, "details", t), errs
	return s.Pages.Render(w, r, status, link.Language, page)
}

func (s *Room) postDetails(w http.ResponseWriter, r *http.Request) error {
	form, t, err := s.postLink(r, "details")
	if err != nil {
		return err
	}
	err = s.Accounts.OpenRequest(r.Context(), t, account.Knowledge{
		Birthdate: form["birthdate"], Phone: form["phone"], Answer: form["answer"], Sites: form["sites"], Note: form["note"],
	})
	if errs, ok := web.FieldErrors(err); ok {
		return s.showDetails(w, r, http.StatusUnprocessableEntity, t, form, errs)
	}
	if err != nil {
		return err
	}
	web.See(w, r, "/recover/request/done", nil)
	return nil
}

func (s *Room) getRequested(w http.ResponseWriter, r *http.Request) error {
	return s.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "requested.title", Body: "requested.body", Action: "cancelled.home", To: "/"})
}

// getStop is where the notices to the account's own addresses lead; nothing changes before the form is sent (A1).
func (s *Room) getStop(w http.ResponseWriter, r *http.Request) error {
	return s.getLink(w, r, "stop", s.Accounts.ReadStop, func(b templates.Base, email string) templates.Page {
		return &templates.Stop{Base: b, Email: email}
	})
}

func (s *Room) postStop(w http.ResponseWriter, r *http.Request) error {
	_, t, err := s.postLink(r, "stop")
	if err != nil {
		return err
	}
	if err := s.Accounts.Stop(r.Context(), t); err != nil {
		return err
	}
	web.See(w, r, "/recover/stop/done", nil)
	return nil
}

func (s *Room) getStopped(w http.ResponseWriter, r *http.Request) error {
	return s.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "stopped.title", Body: "stopped.body", Action: "recovered.signin", To: "/login?next=security"})
}

// getRegain is where the operator's yes leads.
func (s *Room) getRegain(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	return s.showRegain(w, r, http.StatusOK, t, nil)
}

func (s *Room) showRegain(w http.ResponseWriter, r *http.Request, status int, t string, errs map[string]string) error {
	link, err := s.Accounts.ReadRegain(r.Context(), t)
	if err != nil {
		return err
	}
	page := &templates.Regain{Email: link.Email}
	page.Link, page.Token, page.Errors = t, s.Pages.FormToken(w, r, "regain", t), errs
	return s.Pages.Render(w, r, status, link.Language, page)
}

func (s *Room) postRegain(w http.ResponseWriter, r *http.Request) error {
	form, t, err := s.postLink(r, "regain")
	if err != nil {
		return err
	}
	credential, err := s.Accounts.Regain(r.Context(), t, form["new-password"])
	if errs, ok := web.FieldErrors(err); ok {
		return s.showRegain(w, r, http.StatusUnprocessableEntity, t, errs)
	}
	if err != nil {
		return err
	}
	s.Sessions.Know(w, r, s.Accounts.KnowDevice(s.Sessions.Known(r), credential))
	web.See(w, r, "/recover/done", nil)
	return nil
}
