package web

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gorilla/mux"

	"github.com/passport-network/passport/templates"
)

// loopback guards the developer's pages: they show mails, so only this machine may read them.
func loopback(r *http.Request) error {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !ap.Addr().Unmap().IsLoopback() {
		return ErrNotFound
	}
	return nil
}

func (s *Site) getInbox(w http.ResponseWriter, r *http.Request) error {
	if err := loopback(r); err != nil {
		return err
	}
	page := &templates.Inbox{}
	for _, m := range s.cfg.Inbox.List() {
		page.Letters = append(page.Letters, templates.Letter{ID: m.ID, To: m.To, Subject: m.Subject, At: m.At})
	}
	return s.pages.Render(w, r, http.StatusOK, "", page)
}

func (s *Site) getLetter(w http.ResponseWriter, r *http.Request) error {
	if err := loopback(r); err != nil {
		return err
	}
	m, ok := s.cfg.Inbox.Get(mux.Vars(r)["id"])
	if !ok {
		return ErrNotFound
	}
	return s.pages.Render(w, r, http.StatusOK, "", &templates.Letter{
		ID: m.ID, To: m.To, Subject: m.Subject, At: m.At, Lines: s.lines(m.Text),
	})
}

// lines splits a mail's text; a line that is a link of ours is shown as a link to our own page.
func (s *Site) lines(text string) []templates.Line {
	var lines []templates.Line
	for _, l := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		line := templates.Line{Text: l}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), s.origin+"/"); ok {
			if u, err := url.Parse("/" + rest); err == nil && u.Host == "" && !strings.HasPrefix(rest, "/") {
				line.Href = u.String()
			}
		}
		lines = append(lines, line)
	}
	return lines
}
