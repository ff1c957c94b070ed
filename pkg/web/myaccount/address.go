package myaccount

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getAddress(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q, err := web.Queries(r, "sent", "done")
	if err != nil {
		return err
	}
	page, err := m.address(w, r, v)
	if err != nil {
		return err
	}
	page.Sent, page.Done = q["sent"] != "", q["done"] != ""
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) address(w http.ResponseWriter, r *http.Request, v *visitor) (*templates.Address, error) {
	list, err := m.Accounts.Addresses(r.Context(), v.id)
	if err != nil {
		return nil, err
	}
	page := &templates.Address{Person: v.person(), Dev: m.Dev, Waiting: list.Waiting}
	page.Full = len(list.Proven) >= account.MaxAddresses
	for i, a := range list.Proven {
		page.Addresses = append(page.Addresses, templates.Mailbox{N: i + 1, ID: a.ID, Email: a.Email, Primary: a.Primary})
	}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "address", v.id)
	return page, nil
}

// postAddress changes what the account has, or asks for another address.
func (m *Room) postAddress(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form) error {
	var err error
	done := "done"
	switch {
	case form["primary"] != "":
		err = m.Accounts.SetPrimary(r.Context(), v.id, form["primary"])
	case form["remove"] != "":
		err = m.Accounts.RemoveAddress(r.Context(), v.id, form["remove"])
	default:
		done = "sent"
		err = m.Accounts.AskAddress(r.Context(), account.AddressChange{AccountID: v.id, Email: form["new-email"], IP: web.ClientIP(r)})
	}
	if errors.Is(err, account.ErrNotFound) {
		return web.ErrNotFound
	}
	if err != nil {
		return m.addressFault(w, r, v, form, err)
	}
	web.See(w, r, "/account/address", url.Values{done: {"1"}})
	return nil
}

// addressFault shows the page with what was wrong.
func (m *Room) addressFault(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form, cause error) error {
	page, err := m.address(w, r, v)
	if err != nil {
		return err
	}
	page.Email = form["new-email"]
	return m.faulty(w, r, page, &page.Base, cause)
}

// faulty shows a form again with what was wrong: beside the field, or at its head when mails were asked for too often. Other
// errors are none of the form's.
func (m *Room) faulty(w http.ResponseWriter, r *http.Request, page templates.Page, base *templates.Base, cause error) error {
	status := http.StatusUnprocessableEntity
	errs, ok := web.FieldErrors(cause)
	var limited *limit.Limited
	switch {
	case ok:
		base.Errors = errs
	case errors.As(cause, &limited):
		status, base.Problem = http.StatusTooManyRequests, "waiting.limited"
		web.SetRetry(w.Header(), limited.Retry)
	default:
		return cause
	}
	return m.Pages.Render(w, r, status, "", page)
}

// getNewAddress is where the mail's link leads.
func (m *Room) getNewAddress(w http.ResponseWriter, r *http.Request) error {
	return m.getOwnLink(w, r, "new-address", m.Accounts.ReadAddress, func(v *visitor, link *account.LinkView, t string) templates.Page {
		page := &templates.NewAddress{Person: v.person(), Email: link.Email}
		page.Link, page.Token = t, m.Pages.FormToken(w, r, "new-address", t)
		return page
	})
}

// getOwnLink shows a link that proves an address. Only who is signed in with the account may follow it: a stranger may have
// typed somebody's address, and waits for this very click. Nor from a browser that was left open (A20): the link is found
// again after the sign-in.
func (m *Room) getOwnLink(w http.ResponseWriter, r *http.Request, name string, read func(ctx context.Context, token, accountID string) (*account.LinkView, error),
	show func(v *visitor, link *account.LinkView, t string) templates.Page) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	if t == "" {
		t = m.Pages.Recall(r, linkCookie)
	}
	v, err := m.who(r)
	if err != nil {
		return err
	}
	if v == nil {
		return m.Pages.Render(w, r, http.StatusOK, "", &templates.Notice{Title: "newaddress.title", Body: "newaddress.elsewhere",
			Action: "recovered.signin", To: "/login?next=profile"})
	}
	link, err := read(r.Context(), t, v.id)
	if err != nil {
		return err
	}
	if m.older(v, freshness) {
		return m.signInFor(w, r, name, t)
	}
	return m.Pages.Render(w, r, http.StatusOK, link.Language, show(v, link, t))
}

// linkCookie keeps the token of such a link while its owner signs in once more.
const linkCookie = "link"

func (m *Room) signInFor(w http.ResponseWriter, r *http.Request, name, t string) error {
	m.Pages.Remember(w, linkCookie, t)
	web.See(w, r, "/login", url.Values{"next": {name}})
	return nil
}

// postedLink is its form: for the link, and who is signed in.
func (m *Room) postedLink(name string, act func(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form, t string) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ParseForm(r)
		if err != nil {
			return err
		}
		t, err := form.ID("t")
		if err != nil {
			return err
		}
		if err := m.Pages.CheckForm(r, form, name, t); err != nil {
			return err
		}
		v, err := m.who(r)
		switch {
		case err != nil:
			return err
		case v == nil:
			return account.ErrLink
		case m.older(v, freshness):
			return m.signInFor(w, r, name, t)
		}
		return act(w, r, v, form, t)
	}
}

func (m *Room) postNewAddress(w http.ResponseWriter, r *http.Request, v *visitor, form web.Form, t string) error {
	primary := form["primary"] == "1"
	if err := m.Accounts.ProveAddress(r.Context(), t, v.id, primary); err != nil {
		return err
	}
	m.Pages.Forget(w, linkCookie)
	if primary {
		web.See(w, r, "/account/profile", url.Values{"saved": {"1"}})
	} else {
		web.See(w, r, "/account/address", url.Values{"done": {"1"}})
	}
	return nil
}
