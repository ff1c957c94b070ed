package signin

import (
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getRecover asks for the address of an account whose password is forgotten.
func (s *Room) getRecover(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	page := &templates.Recover{Base: s.base(w, r, "recover", f), Site: f.site()}
	if err := s.offerAgain(w, r, "recover", nil, &page.Base); err != nil {
		return err
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

func (s *Room) postRecover(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "recover")
	if err != nil {
		return err
	}
	proven, err := s.human(r, "recover", form)
	if err != nil {
		return err
	}
	err = s.Accounts.AskRecovery(r.Context(), account.RecoveryRequest{
		Email: form["email"], Language: s.Pages.Language(r, f.locales()), IP: web.ClientIP(r), Human: proven,
	})
	if err != nil {
		page := &templates.Recover{Base: s.base(w, r, "recover", f), Site: f.site(), Email: form["email"]}
		if ok, err := s.corrected(w, r, "recover", form, &page.Base, err); !ok || err != nil {
			return err
		}
		return s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
	}
	if f.id != "" { // so that the link, in this browser, leads on to the site
		s.Pages.Remember(w, "return", f.id)
	}
	web.See(w, r, "/recover/sent", f.query())
	return nil
}

// getRecoverSent says the same of every address.
func (s *Room) getRecoverSent(w http.ResponseWriter, r *http.Request) error {
	return s.sent(w, r, "recover.sent.title", "recover.sent.body")
}

// getNewPassword is where the mail's link leads; nothing changes before the form is sent (A1).
func (s *Room) getNewPassword(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	return s.showNewPassword(w, r, http.StatusOK, t, nil)
}

func (s *Room) showNewPassword(w http.ResponseWriter, r *http.Request, status int, t string, errs map[string]string) error {
	link, err := s.Accounts.ReadRecovery(r.Context(), t)
	if err != nil {
		return err
	}
	page := &templates.NewPassword{Email: link.Email, Question: link.Question}
	page.Link, page.Token, page.Errors = t, s.Pages.FormToken(w, r, "new-password", t), errs
	return s.Pages.Render(w, r, status, link.Language, page)
}

func (s *Room) postNewPassword(w http.ResponseWriter, r *http.Request) error {
	form, t, err := s.postLink(r, "new-password")
	if err != nil {
		return err
	}
	credential, err := s.Accounts.Recover(r.Context(), t, form["new-password"], form["recovery-answer"])
	if errs, ok := web.FieldErrors(err); ok {
		return s.showNewPassword(w, r, http.StatusUnprocessableEntity, t, errs)
	}
	if err != nil {
		return err
	}
	// Else who guesses at the account would keep its owner out again at once.
	s.Sessions.Know(w, r, s.Accounts.KnowDevice(s.Sessions.Known(r), credential))
	web.See(w, r, "/recover/done", nil)
	return nil
}

// getRecovered offers the sign-in, in the flow that the person came from where this is the browser. Nobody is signed in
// by a mail alone.
func (s *Room) getRecovered(w http.ResponseWriter, r *http.Request) error {
	query := url.Values{}
	if i := s.Pages.Recall(r, "return"); i != "" {
		if _, err := s.OIDC.View(r.Context(), r, i); err == nil {
			query.Set("i", i)
		}
	}
	return s.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "recovered.title", Body: "recovered.body",
		Action: "recovered.signin", To: address("/login", query)})
}

// getAlarm is where "this wasn't me" in a mail leads.
func (s *Room) getAlarm(w http.ResponseWriter, r *http.Request) error {
	return s.getLink(w, r, "alarm", s.Accounts.ReadAlarm, func(b templates.Base, email string) templates.Page {
		return &templates.Alarm{Base: b, Email: email}
	})
}

func (s *Room) postAlarm(w http.ResponseWriter, r *http.Request) error {
	_, t, err := s.postLink(r, "alarm")
	if err != nil {
		return err
	}
	if err := s.Accounts.Alarm(r.Context(), t); err != nil {
		return err
	}
	web.See(w, r, "/alarm/done", nil)
	return nil
}

func (s *Room) getAlarmed(w http.ResponseWriter, r *http.Request) error {
	return s.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "alarmed.title", Body: "alarmed.body", Action: "alarmed.recover", To: "/recover"})
}

// getReopen is where the mail of a closed account leads, and its password.
func (s *Room) getReopen(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	if t == "" {
		t = s.Pages.Recall(r, "reopen")
	}
	link, err := s.Accounts.ReadReopen(r.Context(), t)
	if err != nil {
		return err
	}
	page := &templates.Reopen{Email: link.Email}
	page.Link, page.Token = t, s.Pages.FormToken(w, r, "reopen", t)
	return s.Pages.Render(w, r, http.StatusOK, link.Language, page)
}

func (s *Room) postReopen(w http.ResponseWriter, r *http.Request) error {
	_, t, err := s.postLink(r, "reopen")
	if err != nil {
		return err
	}
	if err := s.Accounts.Reopen(r.Context(), t); err != nil {
		return err
	}
	s.Pages.Forget(w, "reopen")
	web.See(w, r, "/reopen/done", nil)
	return nil
}

func (s *Room) getReopened(w http.ResponseWriter, r *http.Request) error {
	return s.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "reopened.title", Body: "reopened.body", Action: "recovered.signin", To: "/login?next=profile"})
}

// address is a page of ours with its query.
func address(path string, query url.Values) string {
	if q := query.Encode(); q != "" {
		return path + "?" + q
	}
	return path
}
