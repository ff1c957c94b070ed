package myaccount

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

func (m *Room) getData(w http.ResponseWriter, r *http.Request, v *visitor) error {
	page := &templates.Data{}
	page.SignedIn, page.Token = true, m.Pages.FormToken(w, r, "data", v.id)
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

// eventsMost bounds what one download reads: some years of a busy account.
const eventsMost = 10_000

// export is all that is known of a person, as that person downloads it. The names are part of what we promise.
type export struct {
	MadeAt   time.Time        `json:"made_at"`
	Account  *account.Account `json:"account"`
	Browsers []exportBrowser  `json:"signed_in"`
	Sites    []exportSite     `json:"sites"`
	Activity []exportEvent    `json:"activity"` // newest first
	Complete bool             `json:"activity_complete"`
}

type exportBrowser struct {
	UserAgent  string    `json:"user_agent,omitempty"`
	Network    string    `json:"network,omitempty"`
	SignedInAt time.Time `json:"signed_in_at"`
	LastUsedAt time.Time `json:"last_used_at"`
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

// postData answers with the file. It is made on the spot: what is not kept, nobody finds.
func (m *Room) postData(w http.ResponseWriter, r *http.Request, v *visitor, _ web.Form) error {
	out := export{MadeAt: m.Now(), Browsers: []exportBrowser{}, Sites: []exportSite{}, Activity: []exportEvent{}}
	var err error
	if out.Account, err = m.Accounts.Export(r.Context(), v.id); err != nil {
		return err
	}
	logins, err := m.Sessions.List(r.Context(), v.id)
	if err != nil {
		return err
	}
	for _, l := range logins {
		out.Browsers = append(out.Browsers, exportBrowser{l.Device, l.Network, l.AuthTime, l.SeenAt})
	}
	uses, err := m.OIDC.Uses(r.Context(), v.id)
	if err != nil {
		return err
	}
	language := m.Pages.Language(r, "")
	for _, u := range uses {
		out.Sites = append(out.Sites, exportSite{u.ClientID, u.Client.LocalName(language), u.Scopes, u.Claims, u.Offline, u.Since, u.Last})
	}
	events, err := m.Events.Events(r.Context(), v.id, time.Time{}, eventsMost)
	if err != nil {
		return err
	}
	out.Complete = len(events) < eventsMost
	for _, e := range events {
		agent, _ := e.Detail["device"].(string)
		network, _ := e.Detail["network"].(string)
		out.Activity = append(out.Activity, exportEvent{e.Event, e.At, e.ActorKind, e.ClientID, agent, network})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="passport-data.json"`)
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	_, _ = w.Write(buf.Bytes()) // the browser may be gone: nobody is left to tell
	return nil
}
