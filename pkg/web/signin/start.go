package signin

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/mux"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/templates"
)

// nextStart is the destination of a sign-in that leads to a site's door: the client's id follows.
const nextStart = "start-"

// startClient is the client of the address, as it stands there.
func (s *Room) startClient(r *http.Request) (c *client.Client, id string, err error) {
	id = mux.Vars(r)["client"]
	plain, err := url.PathUnescape(id)
	if err != nil {
		return nil, "", web.ErrNotFound
	}
	c, err = s.Clients.Get(r.Context(), plain)
	switch {
	case errors.Is(err, client.ErrNotFound), err == nil && !c.Enabled():
		return nil, "", web.ErrNotFound
	case err != nil:
		return nil, "", err
	}
	web.NoteClient(r, c.ID)
	return c, id, nil
}

// getStart is the door to a site from our side (OpenID Connect Core §4): a page, and not a redirect, so that no link
// elsewhere signs anybody in.
func (s *Room) getStart(w http.ResponseWriter, r *http.Request) error {
	c, id, err := s.startClient(r)
	if err != nil {
		return err
	}
	if c.Metadata.InitiateLoginURI == "" {
		return &web.Error{Status: http.StatusNotFound, Key: "no_start"}
	}
	b, err := s.Sessions.Current(r.Context(), r)
	if err != nil {
		return err
	}
	if b == nil {
		next := nextStart + base64.RawURLEncoding.EncodeToString([]byte(c.ID))
		web.See(w, r, "/login", url.Values{"next": {next}})
		return nil
	}
	to, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(to["target_link_uri"]) > 1 {
		return &web.Error{Status: http.StatusBadRequest, Key: "request_malformed"}
	}
	page := &templates.Start{Base: s.base(w, r, "start", flow{}), ID: id,
		Site: siteOf(c, c.LocalName(s.Pages.Language(r, "")), client.HostOf(c.Metadata.InitiateLoginURI))}
	page.SignedIn = true
	page.Token = s.Pages.FormToken(w, r, "start", c.ID)
	if target := to.Get("target_link_uri"); oidc.MayTarget(c, target) {
		page.To = target
	}
	return s.Pages.Render(w, r, http.StatusOK, "", page)
}

func (s *Room) postStart(w http.ResponseWriter, r *http.Request) error {
	c, _, err := s.startClient(r)
	if err != nil {
		return err
	}
	form, err := web.ParseForm(r)
	if err != nil {
		return err
	}
	if err := s.Pages.CheckForm(r, form, "start", c.ID); err != nil {
		return err
	}
	return s.OIDC.Start(w, r, c, form["target_link_uri"])
}

// startPath is where a sign-in leads that began at a site's door; not ok when the word names none.
func startPath(next string) (path string, ok bool) {
	text, ok := strings.CutPrefix(next, nextStart)
	if !ok {
		return "", false
	}
	id, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(id) == 0 || len(id) > client.MaxID {
		return "", false
	}
	return "/sites/" + url.PathEscape(string(id)) + "/start", true
}

// getLogo is a client's picture, drawn by us. Its address has its hash.
func (s *Room) getLogo(w http.ResponseWriter, r *http.Request) error {
	c, _, err := s.startClient(r)
	if err != nil {
		return err
	}
	png, err := s.Clients.Logo(r.Context(), c.ID)
	if errors.Is(err, client.ErrNotFound) {
		return web.ErrNotFound
	} else if err != nil {
		return err
	}
	if v, err := web.Query(r, "v"); err != nil || v != c.LogoHash {
		w.Header().Set("Cache-Control", "no-store") // only the address with the hash is for ever this picture
	}
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(png) // whoever asked has left: there is nobody to tell
	return nil
}
