package signin

import (
	"errors"
	"net/http"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getLookup asks for an address, for who does not know whether an account has it.
func (s *Room) getLookup(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	page := &templates.Lookup{Base: s.base(w, r, "lookup", f), Site: f.site()}
	if err := s.offerAgain(w, r, "lookup", nil, &page.Base); err != nil {
		return err
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

func (s *Room) postLookup(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "lookup")
	if err != nil {
		return err
	}
	proven, err := s.human(r, "lookup", form)
	if err != nil {
		return err
	}
	err = s.Accounts.LookUp(r.Context(), account.RecoveryRequest{
		Email: form["email"], Language: s.Pages.Language(r, f.locales()), IP: web.ClientIP(r), Human: proven,
	})
	if err != nil {
		page := &templates.Lookup{Base: s.base(w, r, "lookup", f), Site: f.site(), Email: form["email"]}
		if ok, err := s.corrected(w, r, "lookup", form, &page.Base, err); !ok || err != nil {
			return err
		}
		return s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
	}
	web.See(w, r, "/lookup/sent", f.query())
	return nil
}

// getLookupSent says the same of every address.
func (s *Room) getLookupSent(w http.ResponseWriter, r *http.Request) error {
	return s.sent(w, r, "lookup.sent.title", "lookup.sent.body")
}

// sent says that a mail has gone, and offers the way back to the sign-in.
func (s *Room) sent(w http.ResponseWriter, r *http.Request, title, body string) error {
	id, err := web.Query(r, "i")
	if err != nil {
		return err
	}
	page := &templates.Notice{Title: title, Body: body, Action: "recover.back", To: address("/login", flow{id: id}.query())}
	if s.Dev {
		page.Action, page.To = "waiting.inbox", "/dev/inbox"
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

// getHelp leads to each way back into an account. Who is lost finds it also when what they came from is over.
func (s *Room) getHelp(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil && !errors.Is(err, oidc.ErrNoInteraction) {
		return err
	}
	page := &templates.Help{Site: f.site(), Open: s.Accounts.Open()}
	page.Interaction = f.id
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}
