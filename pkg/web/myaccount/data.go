package myaccount

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// getData shows what there is of the file, and asks for one.
func (m *Room) getData(w http.ResponseWriter, r *http.Request, v *visitor) error {
	page := &templates.Data{Person: v.person(), Dev: m.Dev}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "data", v.id)
	e, err := m.Accounts.ReadExport(r.Context(), v.id)
	switch {
	case errors.Is(err, account.ErrNotFound):
	case err != nil:
		return err
	default:
		page.Asked, page.Making, page.Until = e.AskedAt, e.MadeAt.IsZero(), e.ExpiresAt
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

func (m *Room) postData(w http.ResponseWriter, r *http.Request, v *visitor, _ web.Form) error {
	if err := m.Accounts.AskExport(r.Context(), v.id); err != nil {
		return err
	}
	web.See(w, r, "/account/data", nil)
	return nil
}

// getFile is where the mail's link leads. The token goes into a cookie, out of the address: who has to sign in first comes
// back without it.
func (m *Room) getFile(w http.ResponseWriter, r *http.Request) error {
	t, err := web.Query(r, "t")
	if err != nil {
		return err
	}
	if t != "" {
		m.Pages.Remember(w, "data", t)
		web.See(w, r, "/account/data/file", nil)
		return nil
	}
	return m.fresh("file", m.showFile)(w, r)
}

func (m *Room) showFile(w http.ResponseWriter, r *http.Request, v *visitor) error {
	e, err := m.Accounts.ExportLink(r.Context(), v.id, m.Pages.Recall(r, "data"))
	if err != nil {
		return err
	}
	page := &templates.DataFile{Person: v.person(), Made: e.MadeAt, Until: e.ExpiresAt}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "file", v.id)
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

// postFile answers with the file.
func (m *Room) postFile(w http.ResponseWriter, r *http.Request, v *visitor, _ web.Form) error {
	content, err := m.Accounts.OpenExport(r.Context(), v.id, m.Pages.Recall(r, "data"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="passport-data.json"`)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the browser may be gone: nobody is left to tell
	return nil
}

// eventsMost bounds what one download reads: some years of a busy account.
const eventsMost = 10_000

// export is all that is known of a person, as that person downloads it. The names are part of what we promise.
type export struct {
	MadeAt   time.Time        `json:"made_at"`
	Account  *account.Account `json:"account"`
	Picture  []byte           `json:"picture,omitempty"` // a JPEG
	Browsers []exportBrowser  `json:"signed_in"`
	Past     []exportBrowser  `json:"signed_in_before"` // as long as the browser is known
	Sites    []exportSite     `json:"sites"`
	Activity []exportEvent    `json:"activity"` // newest first
	Complete bool             `json:"activity_complete"`
}

type exportBrowser struct {
	UserAgent  string    `json:"user_agent,omitempty"`
	Network    string    `json:"network,omitempty"`
	SignedInAt time.Time `json:"signed_in_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"` // of one that was ended, and did not just end
}

type exportSite struct {
	ClientID   string    `json:"client_id"`
	Name       string    `json:"name"`
	Scopes     []string  `json:"scopes"`
	Claims     []string  `json:"claims"`
	Offline    bool      `json:"offline"`
	Since      time.Time `json:"since"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

type exportEvent struct {
	Event     string    `json:"event"`
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	ClientID  string    `json:"client_id,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Network   string    `json:"network,omitempty"`
}

// compose writes the file of an account, in the language that its owner reads.
func (m *Room) compose(ctx context.Context, a *account.Account) ([]byte, error) {
	out := export{MadeAt: m.Now(), Account: a, Browsers: []exportBrowser{}, Past: []exportBrowser{}, Sites: []exportSite{}, Activity: []exportEvent{}}
	var err error
	if out.Picture, err = m.Accounts.PictureOf(ctx, a); err != nil && !errors.Is(err, account.ErrNotFound) {
		return nil, err
	}
	logins, err := m.Sessions.History(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	for _, l := range logins {
		b := exportBrowser{l.Device, l.Network, l.AuthTime, l.SeenAt, l.EndedAt}
		if l.EndedAt.IsZero() && m.Sessions.Live(l.AuthTime, out.MadeAt) {
			out.Browsers = append(out.Browsers, b)
		} else {
			out.Past = append(out.Past, b)
		}
	}
	uses, err := m.OIDC.Uses(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	for _, u := range uses {
		out.Sites = append(out.Sites, exportSite{u.ClientID, u.Client.LocalName(a.Language), u.Scopes, u.Claims, u.Offline, u.Since, u.Last})
	}
	events, err := m.Events.Events(ctx, a.ID, time.Time{}, eventsMost)
	if err != nil {
		return nil, err
	}
	out.Complete = len(events) < eventsMost
	for _, e := range events {
		agent, _ := e.Detail["device"].(string)
		network, _ := e.Detail["network"].(string)
		out.Activity = append(out.Activity, exportEvent{e.Event, e.At, e.ActorKind, e.ClientID, agent, network})
	}
	return json.MarshalIndent(out, "", "  ")
}
