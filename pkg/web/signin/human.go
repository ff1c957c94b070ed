package signin

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// place is a form in this browser.
func (s *Room) place(r *http.Request, form string) human.Place {
	return human.Place{Form: form, Browser: s.Sessions.FlowHash(r)}
}

// human is what came of the check in a posted form.
func (s *Room) human(r *http.Request, at string, form web.Form) (account.Human, error) {
	if s.Human == nil || form[human.FieldChallenge] == "" {
		return account.HumanNone, nil
	}
	if !s.allows(s.strangers, r) { // each answer is a row of the database, or a question to a service
		return account.HumanNone, nil
	}
	err := s.Human.Check(r.Context(), s.place(r, at), form)
	switch {
	case errors.Is(err, human.ErrNone), errors.Is(err, human.ErrWrong):
		return account.HumanNone, nil
	case errors.Is(err, human.ErrDown):
		return account.HumanUnknown, nil
	case err != nil:
		return account.HumanNone, err
	}
	return account.HumanProven, nil
}

// offer puts the check into a form that is about to be shown.
func (s *Room) offer(w http.ResponseWriter, r *http.Request, at string, page *templates.Base) error {
	if s.Human == nil {
		return nil
	}
	o, err := s.Human.Offer(human.Place{Form: at, Browser: s.Pages.Browser(w, r)})
	if err != nil {
		return err
	}
	page.Human = &templates.Human{Challenge: o.Challenge, Bits: o.Bits, Picture: o.Picture}
	if o.Picture {
		web.AllowSources(w, map[string][]string{"media-src": {"'self'"}})
	}
	if v := o.Service; v != nil {
		page.Human.Service = &templates.HumanService{Script: v.Script, Class: v.Class, Field: v.Field, SiteKey: v.SiteKey,
			Action: v.Action, Data: v.Data, Score: v.Class == ""}
		web.AllowSources(w, v.Sources)
	}
	return nil
}

// offerAgain is offer for a form that is shown without its being asked for: always, where that is the rule, and where the one
// that was sent had it.
func (s *Room) offerAgain(w http.ResponseWriter, r *http.Request, at string, form web.Form, page *templates.Base) error {
	if !s.HumanAlways && form[human.FieldChallenge] == "" {
		return nil
	}
	return s.offer(w, r, at, page)
}

// ask is offer after account.ErrHuman: it says what is wrong with the answer, or that there was none.
func (s *Room) ask(w http.ResponseWriter, r *http.Request, at string, form web.Form, page *templates.Base) error {
	switch {
	case form[human.FieldDigits] != "":
		page.Errors = map[string]string{human.FieldDigits: "human.wrong"}
	case form[human.FieldChallenge] != "":
		page.Problem = "human.again"
	default:
		page.Problem = "human.ask"
	}
	return s.offer(w, r, at, page)
}

// corrected readies a form to be shown again: with what is wrong in its fields, or with the check that is wanted. Not ok: err
// is nothing that the form could mend.
func (s *Room) corrected(w http.ResponseWriter, r *http.Request, at string, form web.Form, page *templates.Base, err error) (ok bool, _ error) {
	if errs, faulty := web.FieldErrors(err); faulty {
		page.Errors = errs
		return true, s.offerAgain(w, r, at, form, page)
	}
	if errors.Is(err, account.ErrHuman) {
		return true, s.ask(w, r, at, form, page)
	}
	return false, err
}

// getPicture draws the digits of a challenge, for the browser that it was made for.
func (s *Room) getPicture(w http.ResponseWriter, r *http.Request) error {
	return s.digits(w, r, "image/png", func(p *human.Puzzle, browser []byte, challenge string) ([]byte, error) {
		return p.Picture(browser, challenge)
	})
}

// getSound speaks them.
func (s *Room) getSound(w http.ResponseWriter, r *http.Request) error {
	language, err := web.Query(r, "l")
	if err != nil {
		return err
	}
	return s.digits(w, r, "audio/wav", func(p *human.Puzzle, browser []byte, challenge string) ([]byte, error) {
		return p.Sound(browser, challenge, language)
	})
}

func (s *Room) digits(w http.ResponseWriter, r *http.Request, kind string, make func(*human.Puzzle, []byte, string) ([]byte, error)) error {
	challenge, err := web.Query(r, "c")
	if err != nil {
		return err
	}
	puzzle, ours := s.Human.(*human.Puzzle)
	if !ours {
		return web.ErrNotFound
	}
	if !s.allows(s.strangers, r) {
		return &web.Error{Status: http.StatusTooManyRequests, Key: "too_many"}
	}
	body, err := make(puzzle, s.Sessions.FlowHash(r), challenge)
	if errors.Is(err, human.ErrWrong) {
		return web.ErrNotFound
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // in parts, as some browsers want sound
	return nil
}
