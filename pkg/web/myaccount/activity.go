package myaccount

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

const (
	shown    = 50          // events a page has
	activity = "activity." // and the name of an event: the key of its sentence
)

// getActivity tells in words what has happened with the account: what the log of events says of it.
func (m *Room) getActivity(w http.ResponseWriter, r *http.Request, v *visitor) error {
	before, err := until(r)
	if err != nil {
		return err
	}
	events, err := m.Events.Events(r.Context(), v.id, before, shown)
	if err != nil {
		return err
	}
	page := &templates.Activity{}
	page.SignedIn = true
	language := m.Pages.Language(r, "")
	for _, e := range events {
		if !m.Pages.Has(activity + e.Event) {
			continue // nothing that its owner could do something about
		}
		entry, err := m.entry(r.Context(), e, language)
		if err != nil {
			return err
		}
		page.Entries = append(page.Entries, entry)
	}
	if len(events) == shown {
		page.Older = "/account/activity?before=" + strconv.FormatInt(events[shown-1].At.UnixMicro(), 10)
	}
	return m.Pages.Render(w, r, http.StatusOK, "", page)
}

// until is the moment before which the events of a page are; the zero time: there is none.
func until(r *http.Request) (time.Time, error) {
	before, err := web.Query(r, "before")
	if err != nil || before == "" {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(before, 10, 64)
	if err != nil {
		return time.Time{}, &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	return time.UnixMicro(n).UTC(), nil
}

// entry is an event as its owner reads it.
func (m *Room) entry(ctx context.Context, e audit.Event, language string) (templates.Entry, error) {
	entry := templates.Entry{Key: activity + e.Event, At: e.At}
	agent, _ := e.Detail["device"].(string)
	entry.Name, entry.System = web.Device(agent)
	entry.Network, _ = e.Detail["network"].(string)
	if e.ClientID == "" {
		return entry, nil
	}
	c, err := m.Clients.Get(ctx, e.ClientID)
	if err == nil {
		entry.Site = c.LocalName(language)
	} else if errors.Is(err, client.ErrNotFound) { // deleted since
		err = nil
	}
	return entry, err
}
