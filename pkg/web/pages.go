package web

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/templates"
)

// PagesConfig is what showing pages needs.
type PagesConfig struct {
	Issuer string
	Brand  string // default "Passport"
	// Addresses in the foot of every page; empty: no such link.
	Help, Privacy, Terms string
	FormKey              []byte // keys.SecretForm: at least 32 bytes
	Sessions             *session.Manager
	Logger               *slog.Logger
}

// Pages renders pages and makes and checks the tokens of their forms. It exists before the protocol's rooms,
// which show errors through it.
type Pages struct {
	set      *templates.Set
	key      []byte
	sessions *session.Manager
	logger   *slog.Logger
	secure   bool // the issuer is https: cookies are __Host-
}

// NewPages refuses a configuration with something missing, and faults in the templates.
func NewPages(c PagesConfig) (*Pages, error) {
	if len(c.FormKey) < 32 || c.Sessions == nil || c.Issuer == "" {
		return nil, errors.New("web: Issuer, Sessions and a FormKey of 32 bytes are needed")
	}
	if c.Brand == "" {
		c.Brand = "Passport"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	set, err := templates.New(templates.Config{Brand: c.Brand, Help: c.Help, Privacy: c.Privacy, Terms: c.Terms})
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return &Pages{set: set, key: c.FormKey, sessions: c.Sessions, logger: c.Logger,
		secure: strings.HasPrefix(c.Issuer, "https://")}, nil
}

// OIDC is how the protocol shows what it must.
func (p *Pages) OIDC() oidc.Pages {
	return oidc.Pages{
		Error: p.Error,
		FormPost: func(w http.ResponseWriter, r *http.Request, action string, params url.Values) {
			p.formPost(w, r, action, params)
		},
	}
}

// Logout is how signing out shows its two pages.
func (p *Pages) Logout() logout.Pages {
	return logout.Pages{
		Error: p.Error,
		Confirm: func(w http.ResponseWriter, r *http.Request, v logout.View) {
			page := &templates.Logout{Site: v.ClientName, Email: v.Email}
			for _, a := range v.Accounts {
				page.People = append(page.People, templates.Person{LoginID: a.Login, Name: a.Name, Email: a.Email})
			}
			page.Interaction = v.I
			page.Token = p.FormToken(w, r, "logout", v.I)
			p.show(w, r, http.StatusOK, v.UILocales, page)
		},
		Done: p.loggedOut,
	}
}

// told are the words for how far a site has been told.
var told = map[logout.State]string{
	logout.SiteTold: "loggedout.told", logout.SiteAsked: "loggedout.asked",
	logout.SiteTrying: "loggedout.trying", logout.SiteMissed: "loggedout.missed", logout.SiteCannot: "loggedout.cannot",
}

// loggedOut shows the report of a sign-out. Its policy lets in the frames of just these sites.
func (p *Pages) loggedOut(w http.ResponseWriter, r *http.Request, v logout.Report) {
	page := &templates.LoggedOut{Frames: v.Frames, Back: v.ClientName, Again: v.Again,
		Others: v.Stay == logout.StayOthers, Same: v.Stay == logout.StaySame,
		To: template.URL(v.To)} //nolint:gosec // G203: a post-logout redirect URI that was checked when it was registered
	for _, s := range v.Sites {
		page.Sites = append(page.Sites, templates.Told{Name: s.Name, Host: s.Host, Key: told[s.State]})
	}
	page.SignedIn = page.Same
	if len(v.Frames) > 0 {
		var origins []string
		for _, f := range v.Frames {
			if u, err := url.Parse(f); err == nil && !slices.Contains(origins, client.Origin(u)) {
				origins = append(origins, client.Origin(u))
			}
		}
		h := w.Header()
		h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; frame-src "+strings.Join(origins, " "))
	}
	p.show(w, r, http.StatusOK, v.UILocales, page)
}

// Render answers with a page in the person's language. It renders to a buffer: a fault in a template is an
// error and not half a page.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, locales string, page templates.Page) error {
	q := of(r)
	b := templates.BaseOf(page)
	b.Nonce, b.RequestID = q.nonce, q.id
	var buf bytes.Buffer
	if err := p.set.Render(&buf, p.Language(r, locales), page); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Accept-Language, Cookie")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // the client may be gone: nobody is left to tell
	return nil
}

// show is Render for callers that cannot return an error.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, locales string, page templates.Page) {
	if err := p.Render(w, r, status, locales, page); err != nil {
		p.logger.ErrorContext(r.Context(), "page", "id", of(r).id, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// Error shows an error page. key names the messages error.<key>.title and .body; one that the catalogue does
// not have is shown as the general one of its status.
func (p *Pages) Error(w http.ResponseWriter, r *http.Request, status int, key string) {
	key = strings.TrimPrefix(key, "error.")
	noteReason(w, key)
	if !p.set.Has("error." + key + ".title") {
		key = "request_malformed"
		if status >= http.StatusInternalServerError {
			key = "internal"
		}
	}
	errorHeaders(w.Header())
	p.show(w, r, status, "", &templates.Error{Status: status, Key: key})
}

// fail answers with the page of an error.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, e *Error) {
	SetRetry(w.Header(), e.Retry)
	p.Error(w, r, e.Status, e.Key)
}

// Has reports whether there is a message with this key.
func (p *Pages) Has(key string) bool { return p.set.Has(key) }

// SetRetry says after what time to come back, where that is known.
func SetRetry(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

// formScript sends the form. Its hash stands in the page's policy: it must not change with the page.
const formScript = "document.forms[0].submit()"

func (p *Pages) formPost(w http.ResponseWriter, r *http.Request, action string, params url.Values) {
	page := &templates.FormPost{
		Action: template.URL(action), //nolint:gosec // G203: a redirect URI that was checked when it was registered
		Script: template.JS(formScript),
	}
	for name, values := range params {
		for _, v := range values {
			page.Params = append(page.Params, templates.Param{Name: name, Value: v})
		}
	}
	sort.Slice(page.Params, func(i, j int) bool { return page.Params[i].Name < page.Params[j].Name })
	sum := sha256.Sum256([]byte(formScript))
	h := w.Header()
	h.Set("Content-Security-Policy", cspBase+"; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	h.Set("Cache-Control", "no-store")
	p.show(w, r, http.StatusOK, "", page)
}

// FormToken is the proof that a form was ours: an HMAC of the browser's flow cookie, the form's purpose and the
// flow that rendered it, so that no form can be sent with another flow's id (B10).
func (p *Pages) FormToken(w http.ResponseWriter, r *http.Request, purpose, flow string) string {
	return p.token(p.Browser(w, r), purpose, flow)
}

// Browser is what forms know this browser by: the SHA-256 of its flow cookie, which it gets where it has none.
func (p *Pages) Browser(w http.ResponseWriter, r *http.Request) []byte {
	q := of(r)
	if q.flow == nil {
		q.flow = p.sessions.Flow(w, r)
	}
	return q.flow
}

// CheckForm is ErrForm unless the token is the one that FormToken gave this browser.
func (p *Pages) CheckForm(r *http.Request, form Form, purpose, flow string) error {
	browser := p.sessions.FlowHash(r)
	if browser == nil || !hmac.Equal([]byte(form["token"]), []byte(p.token(browser, purpose, flow))) {
		return ErrForm
	}
	return nil
}

func (p *Pages) token(browser []byte, purpose, flow string) string {
	mac := hmac.New(sha256.New, p.key)
	for _, part := range [][]byte{browser, []byte(purpose), []byte(flow)} {
		mac.Write([]byte(strconv.Itoa(len(part)) + ":")) // unambiguous whatever the parts hold
		mac.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
