package logout

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/session"
)

// endSession is the end_session_endpoint (RP-Initiated Logout §2), by GET and POST. A proven request ends the
// session at once; any other asks the person (security case B3).
func (l *Logout) endSession(w http.ResponseWriter, r *http.Request) error {
	v, err := parameters(w, r)
	if err != nil {
		return l.onPage(w, r, err)
	}
	if i := v.Get("i"); i != "" && r.Method == http.MethodGet {
		q, ok := l.open(toAsk, i)
		if !ok {
			return l.onPage(w, r, &refused{http.StatusBadRequest, "error.form"})
		}
		q.Login, q.Browser = "", nil // what an earlier question was about
		return l.end(w, r, q)
	}
	q, err := l.read(r.Context(), v)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost && l.cfg.Sessions.Hash(r) == nil {
		// A cross-site POST comes without the Lax cookie: who is here shows on a same-site GET alone.
		return seeOther(w, "/end_session?i="+l.seal(toAsk, q))
	}
	return l.end(w, r, q)
}

// Ask shows the confirmation for a person who wants to sign out here (the page GET /logout).
func (l *Logout) Ask(w http.ResponseWriter, r *http.Request) error {
	q, err := l.read(r.Context(), url.Values{})
	if err != nil {
		return err
	}
	return l.end(w, r, q)
}

// Confirm is the yes of the confirmation page (POST /logout): it signs out and answers. The yes counts in the
// browser and the session that the page was shown to; elsewhere the question is asked anew. login is the one of
// View.Accounts that was chosen; empty: all that the question was about.
func (l *Logout) Confirm(w http.ResponseWriter, r *http.Request, i, login string) error {
	q, ok := l.open(toAsk, i)
	if !ok {
		return l.onPage(w, r, &refused{http.StatusBadRequest, "error.form"})
	}
	if !bytes.Equal(q.Browser, l.cfg.Sessions.Hash(r)) {
		q.Proven, q.Login = false, ""
		return l.end(w, r, q)
	}
	if q.Login == "" {
		q.Login = login
	}
	var err error
	if q.Login != "" {
		q.Ended, err = l.endLogin(w, r, q.Login)
	} else {
		q.Ended, err = l.cfg.Sessions.EndBrowser(r.Context(), w, r)
	}
	if err != nil {
		return err
	}
	return l.leave(w, r, q)
}

// end ends what is proven, and asks about the rest.
func (l *Logout) end(w http.ResponseWriter, r *http.Request, q request) error {
	read, err := l.cfg.Store.ReadRequest(r.Context(), l.cfg.Sessions.Hash(r), q.Client)
	if err != nil {
		return err
	}
	here := read.At(l.cfg.Now(), l.cfg.Sessions.Live).Logins
	mine, same, err := l.find(r.Context(), here, q)
	switch {
	case err != nil:
		return err
	case q.Proven && mine != nil && same:
		if q.Ended, err = l.endLogin(w, r, mine.ID); err != nil {
			return err
		}
		return l.leave(w, r, q)
	case q.Proven && mine == nil && (q.Redirect != "" || len(here) == 0):
		return l.leave(w, r, q) // that person is not signed in here: there is nothing to end
	case len(here) == 0:
		q.Redirect = "" // nobody proved anything and nobody said yes: no redirect
		return l.leave(w, r, q)
	}
	return l.ask(w, r, q, mine, here)
}

// ask shows the question: about the one login that the site means, else about all that are here.
func (l *Logout) ask(w http.ResponseWriter, r *http.Request, q request, mine *grant.Login, here []grant.Login) error {
	view, err := l.view(r, q)
	if err != nil {
		return err
	}
	q.Browser, q.Login = l.cfg.Sessions.Hash(r), ""
	switch {
	case mine != nil:
		q.Login, view.Email = mine.ID, mine.Person.Email
	case len(here) > 1:
		for _, login := range here {
			view.Accounts = append(view.Accounts, Account{Login: login.ID, Name: login.Person.Name, Email: login.Person.Email})
		}
	}
	view.I = l.seal(toAsk, q)
	w.Header().Set("Cache-Control", "no-store")
	l.cfg.Pages.Confirm(w, r, view)
	return nil
}

// most is how many logins one report speaks of: they travel in its address.
const most = 100

// Elsewhere reports on logins of an account that have ended in other browsers, in the one that asked for it. here is the
// account's login in this one, where that has ended too; empty: it goes on.
func (l *Logout) Elsewhere(w http.ResponseWriter, r *http.Request, ended []string, here string) error {
	q := request{Stay: StaySame}
	if here != "" {
		q.Stay, q.Ended = StayNobody, []string{here}
	}
	if len(ended) > 0 {
		visits, err := l.cfg.Store.Visits(r.Context(), ended)
		if err != nil {
			return err
		}
		for _, v := range visits {
			if len(q.Far) < most && !slices.Contains(q.Far, v.LoginID) {
				q.Far = append(q.Far, v.LoginID)
			}
		}
	}
	return l.leave(w, r, q)
}

// endLogin ends a login of this browser. One that has ended since it was read (in another tab, by the same button
// pressed twice) is what was asked for.
func (l *Logout) endLogin(w http.ResponseWriter, r *http.Request, id string) (ended []string, err error) {
	err = l.cfg.Sessions.EndLogin(r.Context(), w, r, id)
	if errors.Is(err, session.ErrNoLogin) {
		return nil, nil
	}
	return []string{id}, err
}

// find is the login here of the hinted person; same tells that it is the very session of the hint too. A hint that the
// client can have signed itself ends only what that client has seen: any subject is easily written.
func (l *Logout) find(ctx context.Context, logins []grant.Login, q request) (mine *grant.Login, same bool, err error) {
	if q.Sub == "" {
		return nil, false, nil
	}
	c, err := l.client(ctx, q.Client)
	if err != nil || c == nil {
		return nil, false, err
	}
	for i := range logins {
		if l.cfg.Clients.Subject(c, logins[i].Person.Sub) == q.Sub {
			mine, same = &logins[i], q.SID == "" || q.SID == l.cfg.SID(logins[i].ID, q.Client)
			if same && q.Own {
				same, err = l.visited(ctx, mine.ID, q.Client)
			}
			return mine, same, err
		}
	}
	return nil, false, nil
}

// visited tells whether a client has seen a login.
func (l *Logout) visited(ctx context.Context, loginID, clientID string) (bool, error) {
	visits, err := l.cfg.Store.Visits(ctx, []string{loginID})
	return slices.ContainsFunc(visits, func(v Visit) bool { return v.ClientID == clientID }), err
}

// leave goes to the site, with state exactly as sent and nothing else (§3). First it goes to our own page where there
// is something to do or to say: frames to be opened, or no site to go to.
func (l *Logout) leave(w http.ResponseWriter, r *http.Request, q request) error {
	w.Header().Set("Cache-Control", "no-store")
	c, err := l.client(r.Context(), q.Client)
	if err != nil {
		return err
	}
	// Asked again: the token that carried it may be half an hour old.
	if c == nil || !c.MatchPostLogout(q.Redirect) {
		q.Redirect, q.State = "", ""
	}
	if q.Stay == StayNobody && l.cfg.Sessions.Hash(r) != nil { // the cookie goes with the last login
		q.Stay = StayOthers
	}
	sites, err := l.sites(r.Context(), q, "")
	if err != nil {
		return err
	}
	if q.Redirect != "" && !framed(sites) {
		return seeOther(w, withState(q.Redirect, q.State))
	}
	// The report is for the browser that signed out: it tells where somebody was signed in.
	return seeOther(w, donePath+"?i="+l.seal(toShow, request{
		Client: q.Client, Redirect: q.Redirect, State: q.State, Locales: q.Locales, Ended: q.Ended, Far: q.Far, Stay: q.Stay,
		Browser: l.cfg.Sessions.Flow(w, r), Expires: l.cfg.Now().Add(doneLife).Unix(),
	}))
}

func (l *Logout) view(r *http.Request, q request) (View, error) {
	v := View{UILocales: q.Locales}
	c, err := l.client(r.Context(), q.Client)
	if err == nil && c != nil {
		first, _, _ := strings.Cut(q.Locales, " ")
		v.ClientName = c.LocalName(first)
	}
	return v, err
}

func (l *Logout) onPage(w http.ResponseWriter, r *http.Request, err error) error {
	var page *refused
	if !errors.As(err, &page) {
		return err
	}
	l.cfg.Pages.Error(w, r, page.status, page.key)
	return nil
}

// withState appends state where there is one.
func withState(uri, state string) string {
	if state == "" {
		return uri
	}
	return client.WithQuery(uri, url.Values{"state": {state}})
}

// seeOther: a confirmed logout is the answer to a POST (RFC 9700 §4.12).
func seeOther(w http.ResponseWriter, location string) error {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
