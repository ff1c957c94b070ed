package signin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// draftLife is how long the terms may be read before the first page must be filled in again.
const draftLife = 30 * time.Minute

// draftCookie keeps the draft between the pages. Each form of the second page carries its own too, so that two tabs do
// not mix.
const draftCookie = "draft"

// draft is the first page's data on its way through the second. It travels sealed and bound to the browser: no
// password stands in a page, and nothing is written before the terms are accepted.
type draft struct {
	FormID   string    `json:"f"`
	Email    string    `json:"e"`
	Password string    `json:"p"`
	Name     string    `json:"n,omitempty"`
	Phone    string    `json:"t,omitempty"`
	Born     string    `json:"b,omitempty"`
	Invited  string    `json:"v,omitempty"` // the invitation's token
	Instead  string    `json:"o,omitempty"` // id of the registration that is corrected
	Recovery string    `json:"r,omitempty"`
	Question string    `json:"q,omitempty"`
	Answer   string    `json:"a,omitempty"`
	Flow     string    `json:"i"`
	Expires  time.Time `json:"x"`
}

// registration is what the form held; the second page adds the rest.
func (d draft) registration() account.Registration {
	return account.Registration{FormID: d.FormID, Email: d.Email, Password: d.Password, Name: d.Name, Phone: d.Phone, BirthDate: d.Born, Invitation: d.Invited, Instead: d.Instead,
		Recovery: d.Recovery, Question: d.Question, Answer: d.Answer}
}

// with is the draft with what was typed.
func (d draft) with(r account.Registration) draft {
	d.Email, d.Password, d.Name, d.Phone, d.Born = r.Email, r.Password, r.Name, r.Phone, r.BirthDate
	d.Recovery, d.Question, d.Answer = r.Recovery, r.Question, r.Answer
	return d
}

// registerPage is the first page with what was typed into it, but the password and the answer.
func (s *Room) registerPage(w http.ResponseWriter, r *http.Request, f flow, d draft) *templates.Register {
	ask := s.Accounts.Fields()
	return &templates.Register{Base: s.base(w, r, "register", f), Site: f.site(), Email: d.Email, Instead: d.Instead,
		Full: templates.Asked{Want: want(ask.Name), Value: d.Name}, Phone: templates.Asked{Want: want(ask.Phone), Value: d.Phone},
		Birthdate: templates.Asked{Want: want(ask.BirthDate), Value: d.Born},
		Recovery:  templates.Asked{Want: want(ask.RecoveryAddress), Value: d.Recovery},
		Question:  templates.Asked{Want: want(ask.RecoveryQuestion), Value: d.Question}}
}

// want is what a template asks by; empty: not at all.
func want(w account.Want) string {
	if !w.On() {
		return ""
	}
	return string(w)
}

func (s *Room) getRegister(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	q, err := web.Queries(r, "invitation", "next", "back")
	if err != nil {
		return err
	}
	if q["invitation"] != "" {
		return s.arrive(w, r, f, q["invitation"])
	}
	if !s.Accounts.Open() {
		return s.closed(w, r, http.StatusOK, f)
	}
	if !meant(q["next"]) && q["back"] == "" {
		if people, err := s.here(r, f); err != nil {
			return err
		} else if len(people) > 0 {
			return s.already(w, r, f, people)
		}
	}
	return s.showRegister(w, r, f, q["next"], q["back"] != "")
}

// showRegister shows the form; back from the second page all but the password stands there again.
func (s *Room) showRegister(w http.ResponseWriter, r *http.Request, f flow, next string, back bool) error {
	var d draft
	if s.Accounts.ByInvitation() {
		i, err := s.Accounts.ReadInvitation(r.Context(), s.Pages.Recall(r, invitationCookie))
		if errors.Is(err, account.ErrInvitation) {
			return s.uninvited(w, r, http.StatusOK, f)
		} else if err != nil {
			return err
		}
		d.Email = i.Email
	}
	if next == nextInstead {
		if err := s.correct(r, &d); err != nil {
			return err
		}
	}
	if back {
		if old, err := s.unseal(r, f.id, s.Pages.Recall(r, draftCookie)); err == nil {
			d = old
		}
	}
	page := s.registerPage(w, r, f, d)
	if meant(next) {
		page.Next = next // the language switch leads back here, and not to the question
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

// correct fills in what this browser has registered, for the address to be corrected; nothing, where nothing waits.
func (s *Room) correct(r *http.Request, d *draft) error {
	v, err := s.Accounts.Pending(r.Context(), s.Sessions.FlowHash(r))
	switch {
	case errors.Is(err, account.ErrNoPending):
		return nil
	case err == nil:
		d.Email, d.Name, d.Instead = v.Email, v.Name, v.ID
	}
	return err
}

// invitationCookie keeps the token of an invitation while its person registers.
const invitationCookie = "invitation"

// arrive is where the link of an invitation leads. Its token does not stay in the address, which browsers keep, and send on.
func (s *Room) arrive(w http.ResponseWriter, r *http.Request, f flow, token string) error {
	if s.Accounts.ByInvitation() { // else there is nothing that it could open
		if _, err := s.Accounts.ReadInvitation(r.Context(), token); err != nil {
			return err
		}
		s.Pages.Remember(w, invitationCookie, token)
	}
	web.See(w, r, "/register", f.query())
	return nil
}

// uninvited says that registration is by invitation, to who has none that holds.
func (s *Room) uninvited(w http.ResponseWriter, r *http.Request, status int, f flow) error {
	return s.turnedAway(w, r, status, f, "register.invited.title", "register.invited.body")
}

// shut answers where the door is shut: by the operator, or for who has no invitation. Other errors are not its business.
func (s *Room) shut(w http.ResponseWriter, r *http.Request, f flow, err error) (answered bool, _ error) {
	switch {
	case errors.Is(err, account.ErrClosed):
		return true, s.closed(w, r, http.StatusForbidden, f)
	case errors.Is(err, account.ErrInvitation):
		return true, s.uninvited(w, r, http.StatusForbidden, f)
	}
	return false, nil
}

// nextAdd is the word by which a person who is signed in says that they want another account beside it.
const nextAdd = "add"

// nextInstead is the word by which who waits for a mail says that its address is the wrong one.
const nextInstead = "instead"

// meant tells whether one of these words was said.
func meant(next string) bool { return next == nextAdd || next == nextInstead }

// guest is somebody who is signed in in this browser.
type guest struct {
	templates.Person
	account string // its id
}

// here are those who are signed in in this browser, newest first.
func (s *Room) here(r *http.Request, f flow) (all []guest, err error) {
	if f.view != nil {
		for _, l := range f.view.Logins {
			all = append(all, guest{person(l), l.Person.AccountID})
		}
		return all, nil
	}
	b, err := s.Sessions.Current(r.Context(), r)
	if err != nil || b == nil {
		return nil, err
	}
	for _, l := range b.Logins {
		p, err := s.Accounts.Profile(r.Context(), l.AccountID)
		if errors.Is(err, account.ErrNotFound) {
			continue // stopped this moment
		} else if err != nil {
			return nil, err
		}
		all = append(all, guest{templates.Person{LoginID: l.ID, Name: p.Name, Email: p.Email}, l.AccountID})
	}
	return all, nil
}

// already is shown to who is signed in and comes to register: two accounts never mix without a word.
func (s *Room) already(w http.ResponseWriter, r *http.Request, f flow, here []guest) error {
	page := &templates.Already{Base: s.base(w, r, "accounts", f), Site: f.site()}
	for _, g := range here {
		page.People = append(page.People, g.Person)
	}
	page.SignedIn = f.view == nil
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

func (s *Room) postRegister(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "register")
	if err != nil {
		return err
	}
	d, err := s.drafted(r, f, form)
	if err != nil {
		return err
	}
	if err := s.mayDraft(r); err != nil {
		return err
	}
	checked, err := s.Accounts.Check(r.Context(), d.registration())
	if errs, ok := web.FieldErrors(err); ok {
		return s.amend(w, r, f, d, errs)
	}
	if answered, err := s.shut(w, r, f, err); answered {
		return err
	}
	if err != nil {
		return err
	}
	sealed, err := s.seal(r, d.with(checked))
	if err != nil {
		return err
	}
	s.Pages.Remember(w, draftCookie, sealed)
	web.See(w, r, "/register/terms", f.query())
	return nil
}

// amend shows the first page again, with what is wrong in it.
func (s *Room) amend(w http.ResponseWriter, r *http.Request, f flow, d draft, errs map[string]string) error {
	page := s.registerPage(w, r, f, d)
	page.Errors = errs
	return s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
}

func (s *Room) turnedAway(w http.ResponseWriter, r *http.Request, status int, f flow, title, body string) error {
	return s.Pages.Render(w, r, status, f.locales(), &templates.Notice{Title: title, Body: body, Action: "recover.back", To: address("/login", f.query())})
}

// mayDraft: each form that is sent has us judge its password, which takes milliseconds, and perhaps ask a service about it:
// strangers do not make us busy with that, nor have us make it busy.
func (s *Room) mayDraft(r *http.Request) error {
	if !s.allows(s.drafts, r) {
		return &web.Error{Status: http.StatusTooManyRequests, Key: "too_many", Retry: time.Minute}
	}
	return nil
}

// drafted is what the first page's form holds.
func (s *Room) drafted(r *http.Request, f flow, form web.Form) (draft, error) {
	instead, err := form.ID("instead")
	return draft{FormID: uuid.NewString(), Email: form["email"], Password: form["password"], Name: form["name"],
		Phone: form["phone"], Born: form["birthdate"], Recovery: form["recovery-address"], Question: form["recovery-question"], Answer: form["recovery-answer"],
		Flow: f.id, Expires: s.Now().Add(draftLife), Invited: s.Pages.Recall(r, invitationCookie), Instead: instead}, err
}

// closed says that nobody registers here.
func (s *Room) closed(w http.ResponseWriter, r *http.Request, status int, f flow) error {
	return s.turnedAway(w, r, status, f, "register.closed.title", "register.closed.body")
}

// getTerms is the second page. It can be reloaded, and read in another language, as long as the draft holds.
func (s *Room) getTerms(w http.ResponseWriter, r *http.Request) error {
	f, err := s.getFlow(r)
	if err != nil {
		return err
	}
	sealed := s.Pages.Recall(r, draftCookie)
	d, err := s.unseal(r, f.id, sealed)
	if err != nil {
		web.See(w, r, "/register", f.query())
		return nil
	}
	page := &templates.Terms{Base: s.base(w, r, "terms", f), Site: f.site(), Sealed: sealed, Email: d.Email}
	if err := s.offerAgain(w, r, "terms", nil, &page.Base); err != nil {
		return err
	}
	return s.Pages.Render(w, r, http.StatusOK, f.locales(), page)
}

func (s *Room) postTerms(w http.ResponseWriter, r *http.Request) error {
	form, f, err := s.postFlow(r, "terms")
	if err != nil {
		return err
	}
	if form["sealed"] == "" { // no form of ours; one that is too old still has it
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	d, err := s.unseal(r, f.id, form["sealed"])
	if err != nil {
		web.See(w, r, "/register", f.query())
		return nil
	}
	if err := s.mayDraft(r); err != nil {
		return err
	}
	in, err := s.registration(r, f, d, form)
	if err != nil {
		return err
	}
	if _, err = s.Accounts.Register(r.Context(), in); err != nil {
		return s.unregistered(w, r, f, d, form, err)
	}
	// The pending account keeps the hash of the flow's id alone; the id waits here, so that the link of the mail
	// can go on with the flow in this browser and in no other.
	s.Pages.Forget(w, draftCookie)
	s.Pages.Remember(w, "return", f.id)
	web.See(w, r, "/register/waiting", f.query())
	return nil
}

// registration is what both pages' forms hold, and who sent them.
func (s *Room) registration(r *http.Request, f flow, d draft, form web.Form) (in account.Registration, err error) {
	in = d.registration()
	in.TermsEmail, in.Language = form["terms-email"], s.Pages.Language(r, f.locales())
	in.FlowHash, in.IP = s.Sessions.FlowHash(r), web.ClientIP(r)
	if f.id != "" {
		in.Interaction = oidc.InteractionHash(f.id)
	}
	in.Human, err = s.human(r, "terms", form)
	return in, err
}

// unregistered shows why nothing came of the second page, on the page where it can be mended.
func (s *Room) unregistered(w http.ResponseWriter, r *http.Request, f flow, d draft, form web.Form, err error) error {
	if answered, err := s.shut(w, r, f, err); answered {
		return err
	}
	if errs, ok := web.FieldErrors(err); ok && errs["terms-email"] == "" { // the page before has to be filled in again
		return s.amend(w, r, f, d, errs)
	}
	// The check is on this page, where nothing is lost: the password is in the draft.
	page := &templates.Terms{Base: s.base(w, r, "terms", f), Site: f.site(), Sealed: form["sealed"], Email: d.Email}
	if ok, err := s.corrected(w, r, "terms", form, &page.Base, err); !ok || err != nil {
		return err
	}
	return s.Pages.Render(w, r, http.StatusUnprocessableEntity, f.locales(), page)
}

func (s *Room) seal(r *http.Request, d draft) (string, error) {
	var plain bytes.Buffer
	to := json.NewEncoder(&plain)
	to.SetEscapeHTML(false) // \u0026 is six bytes of the cookie
	if err := to.Encode(d); err != nil {
		return "", err
	}
	sealed, err := s.Sealer.Seal("form", "register", hex.EncodeToString(s.Sessions.FlowHash(r)), plain.Bytes())
	return base64.RawURLEncoding.EncodeToString(sealed), err
}

// unseal opens a draft: of this browser and of the flow with this id, and not too old.
func (s *Room) unseal(r *http.Request, flowID, text string) (d draft, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return d, err
	}
	plain, err := s.Sealer.Open("form", "register", hex.EncodeToString(s.Sessions.FlowHash(r)), sealed)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(plain, &d); err != nil {
		return d, err
	}
	if d.Flow != flowID || s.Now().After(d.Expires) {
		return d, errors.New("a draft that is over, or of another flow")
	}
	return d, nil
}

// pending is the registration that this browser waits for: the one it made, else the one whose password it gave.
func (s *Room) pending(r *http.Request) (view *account.PendingView, waiting string, err error) {
	view, err = s.Accounts.Pending(r.Context(), s.Sessions.FlowHash(r))
	if !errors.Is(err, account.ErrNoPending) {
		return view, "", err
	}
	if waiting = s.Pages.Recall(r, "waiting"); waiting == "" {
		return nil, "", err
	}
	view, err = s.Accounts.PendingAt(r.Context(), waiting)
	return view, waiting, err
}

func (s *Room) getWaiting(w http.ResponseWriter, r *http.Request) error {
	q, err := web.Queries(r, "i", "sent")
	if err != nil {
		return err
	}
	view, _, err := s.pending(r)
	if errors.Is(err, account.ErrNoPending) {
		return s.notWaiting(w, r, q["i"])
	}
	if err != nil {
		return err
	}
	return s.showWaiting(w, r, http.StatusOK, view, q["i"], "", q["sent"] != "")
}

// notWaiting: the address was confirmed, or never given. Who is signed in here since, by the link in another tab, goes on
// to the site; who is not signs in. A flow that is over says so there.
func (s *Room) notWaiting(w http.ResponseWriter, r *http.Request, id string) error {
	b, err := s.Sessions.Current(r.Context(), r)
	if err != nil {
		return err
	}
	if b != nil && len(b.Logins) > 0 {
		if _, err := s.OIDC.View(r.Context(), r, id); err == nil {
			web.See(w, r, "/authorize", flow{id: id}.query())
		} else {
			web.See(w, r, "/account/profile", nil)
		}
		return nil
	}
	web.See(w, r, "/login", flow{id: id}.query())
	return nil
}

func (s *Room) showWaiting(w http.ResponseWriter, r *http.Request, status int, v *account.PendingView, id, problem string, sent bool) error {
	page := &templates.Waiting{Base: s.base(w, r, "waiting", flow{id: id}), Email: v.Email, Own: v.Here, Sent: sent, Dev: s.Dev}
	page.Problem = problem
	return s.Pages.Render(w, r, status, v.Language, page)
}

// postWaiting sends the mail once more. The flow may be over by now: the mail is sent all the same.
func (s *Room) postWaiting(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	id, err := form.ID("i")
	if err != nil {
		return err
	}
	if err := s.Pages.CheckForm(r, form, "waiting", id); err != nil {
		return err
	}
	view, err := s.resend(r)
	switch {
	case errors.Is(err, account.ErrNoPending):
		return s.notWaiting(w, r, id)
	case errors.Is(err, account.ErrLimited):
		return s.showWaiting(w, r, http.StatusTooManyRequests, view, id, "waiting.limited", false)
	case err != nil:
		return err
	}
	query := flow{id: id}.query()
	query.Set("sent", "1")
	web.See(w, r, "/register/waiting", query)
	return nil
}

// resend sends the mail of the registration that this browser waits for.
func (s *Room) resend(r *http.Request) (*account.PendingView, error) {
	view, waiting, err := s.pending(r)
	switch {
	case err != nil:
		return view, err
	case waiting != "":
		return view, s.Accounts.ResendAt(r.Context(), waiting, web.ClientIP(r))
	}
	return view, s.Accounts.Resend(r.Context(), s.Sessions.FlowHash(r), web.ClientIP(r))
}
