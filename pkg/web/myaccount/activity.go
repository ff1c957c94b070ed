package myaccount

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// shown is how many events a page has.
const shown = 50

// getActivity tells in words what has happened with the account: what the log of events says of it.
func (m *Room) getActivity(w http.ResponseWriter, r *http.Request, v *visitor) error {
	from, err := web.Query(r, "before")
	if err != nil {
		return err
	}
	var before time.Time
	if from != "" {
		n, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
		}
		before = time.UnixMicro(n).UTC()
	}
	events, err := m.Events.Events(r.Context(), v.id, before, shown)
	if err != nil {
		return err
	}
	page := &templates.Activity{}
	page.SignedIn = true
	language := m.Pages.Language(r, "")
	for _, e := range events {
		key := "activity." + e.Event
		if !m.Pages.Has(key) {
			continue // nothing that its owner could do something about
		}
		entry := templates.Entry{Key: key, At: e.At}
		agent, _ := e.Detail["device"].(string)
		entry.Name, entry.System = web.Device(agent)
		entry.Network, _ = e.Detail["network"].(string)
		if e.ClientID != "" {
			c, err := m.Clients.Get(r.Context(), e.ClientID)
			if err != nil && !errors.Is(err, client.ErrNotFound) {
				return err
			}
			if err == nil {
				entry.Site = c.LocalName(language)
			}
		}
		page.Entries = append(page.Entries, entry)
	}
	if len(events) == shown {
		page.Older = "/account/activity?before=" + strconv.FormatInt(events[shown-1].At.UnixMicro(), 10)
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}
