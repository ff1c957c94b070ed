package myaccount

import (
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getRecovery shows what helps the account back: another address, and a question.
func (m *Room) getRecovery(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q, err := web.Queries(r, "sent", "done")
	if err != nil {
		return err
	}
	page, err := m.recovery(w, r, v)
	if err != nil {
		return err
	}
	page.Sent, page.Done = q["sent"] != "", q["done"] != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) recovery(w http.ResponseWriter, r *http.Request, v *visitor) (*templates.Recovery, error) {
	b, err := m.Accounts.Backup(r.Context(), v.id)
	if err != nil {
		return nil, err
	}
	page := &templates.Recovery{Address: b.Email, Waiting: b.Waiting, Set: b.Question, Dev: m.Dev}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "recovery", v.id)
	return page, nil
}

// postRecovery changes one of the two. A field that is not there belongs to the other one's form.
func (m *Room) postRecovery(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	var err error
	done := "done"
	email, asks := form["recovery-email"]
	switch {
	case form["drop"] == "address":
		err = m.Accounts.DropBackup(r.Context(), v.id)
	case form["drop"] == "question":
		err = m.Accounts.DropQuestion(r.Context(), v.id)
	case asks:
		done = "sent"
		err = m.Accounts.AskBackup(r.Context(), account.AddressChange{AccountID: v.id, Email: email, IP: web.ClientIP(r)})
	default:
		err = m.Accounts.SetQuestion(r.Context(), v.id, form["recovery-question"], form["recovery-answer"])
	}
	if err != nil {
		return m.recoveryFault(w, r, v, form, err)
	}
	web.See(w, r, "/account/recovery", url.Values{done: {"1"}})
	return nil
}

// recoveryFault shows the page with what was wrong. The answer is typed anew.
func (m *Room) recoveryFault(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form, cause error) error {
	page, err := m.recovery(w, r, v)
	if err != nil {
		return err
	}
	page.Email, page.Question = form["recovery-email"], form["recovery-question"]
	return m.faulty(w, r, page, &page.Base, cause)
}

// getNewRecovery is where the mail to a recovery address leads.
func (m *Room) getNewRecovery(w http.ResponseWriter, r *http.Request) error {
	return m.getOwnLink(w, r, "new-recovery", m.Accounts.ReadBackup, func(v *visitor, link *account.LinkView, t string) templates.Page {
		page := &templates.NewRecovery{Person: v.person(), Email: link.Email}
		page.Link, page.Token = t, m.Pages.FormToken(w, r, "new-recovery", t)
		return page
	})
}

func (m *Room) postNewRecovery(w http.ResponseWriter, r *http.Request, v *visitor, _ web.Form, t string) error {
	if err := m.Accounts.ProveBackup(r.Context(), t, v.id); err != nil {
		return err
	}
	m.Pages.Forget(w, linkCookie)
	web.See(w, r, "/account/recovery", url.Values{"done": {"1"}})
	return nil
}
