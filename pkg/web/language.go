package web

import (
	"net/http"
	"net/url"

	"github.com/passport-network/passport/templates"
)

const languageMaxAge = 365 * 24 * 60 * 60

func (p *Pages) cookie(name string) string {
	if p.secure {
		return "__Host-" + name
	}
	return name // plain http is only ever the developer's loopback
}

// Language picks what the person reads: what they chose by the switch, else what the site asked for
// (ui_locales), else what the browser prefers.
func (p *Pages) Language(r *http.Request, locales string) string {
	if c, err := r.Cookie(p.cookie("lang")); err == nil && templates.Known(c.Value) {
		return c.Value
	}
	return templates.Match(locales, r.Header.Get("Accept-Language"))
}

// SetLanguage remembers the choice in this browser.
func (p *Pages) SetLanguage(w http.ResponseWriter, lang string) {
	p.setCookie(w, "lang", lang, languageMaxAge)
}

func (p *Pages) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: p.cookie(name), Value: value, Path: "/", MaxAge: maxAge,
		Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// maxKept is the longest text that a browser is asked to keep: with its name and its attributes it must stay below the
// 4096 bytes of a cookie (RFC 6265 §6.1).
const maxKept = 3900

// Remember keeps an id, or a text of an id's letters, for half an hour in this browser; Recall gives it back.
func (p *Pages) Remember(w http.ResponseWriter, name, id string) { p.setCookie(w, name, id, 30*60) }

// Recall gives what Remember kept, or empty.
func (p *Pages) Recall(r *http.Request, name string) string {
	if c, err := r.Cookie(p.cookie(name)); err == nil && len(c.Value) <= maxKept && plain(c.Value) {
		return c.Value
	}
	return ""
}

// Forget drops it.
func (p *Pages) Forget(w http.ResponseWriter, name string) { p.setCookie(w, name, "", -1) }

// shown are the pages that the language switch can lead back to. A page that only a POST shows leads to the one
// before it.
var shown = map[string]string{
	"login": "/login", "accounts": "/accounts", "consent": "/consent", "register": "/register",
	"terms": "/register/terms", "waiting": "/register/waiting", "confirm": "/confirm", "cancel": "/cancel",
	"request": "/recover/request", "details": "/recover/request/details", "stop": "/recover/stop", "regain": "/recover/regain",
	"recover": "/recover", "lookup": "/lookup", "help": "/help", "accept": "/terms", "already": "/register", "new_password": "/recover/password", "alarm": "/alarm", "password": "/account/password",
	"address": "/account/address", "close": "/account/close", "data": "/account/data", "data_file": "/account/data/file", "reopen": "/reopen", "allow": "/allow", "new_address": "/account/address/confirm", "recovery": "/account/recovery", "new_recovery": "/account/recovery/confirm", "security": "/account/security", "sites": "/account/sites", "activity": "/account/activity",
	"device": "/device", "logout": "/logout", "profile": "/account/profile", "inbox": "/dev/inbox", "confirmed": "/confirm/done",
}

// postLanguage is the switch. Where it leads is a word of a fixed list and opaque ids, never a URL (R14).
func (s *Site) postLanguage(w http.ResponseWriter, r *http.Request) error {
	form, err := ParseForm(r)
	if err != nil {
		return err
	}
	if !templates.Known(form["lang"]) {
		return refuse(nil)
	}
	path, query, err := wayBack(form)
	if err != nil {
		return err
	}
	s.pages.SetLanguage(w, form["lang"])
	See(w, r, path, query)
	return nil
}

// wayBack is the page that the switch stands on.
func wayBack(form Form) (path string, query url.Values, err error) {
	path, ok := shown[form["page"]]
	if !ok {
		path = "/"
	}
	query = url.Values{}
	if i := form["i"]; path == "/logout" && i != "" {
		// Its token is signed and no opaque id: the endpoint that made it reads it, and puts the question again.
		query.Set("i", i)
		return "/end_session", query, nil
	}
	for _, name := range []string{"i", "t", "next"} {
		id, err := form.ID(name)
		if err != nil {
			return "", nil, err
		}
		if id != "" {
			query.Set(name, id)
		}
	}
	return path, query, nil
}

// See answers with a 303 to one of our own pages.
func See(w http.ResponseWriter, _ *http.Request, path string, query url.Values) {
	if q := query.Encode(); q != "" {
		path += "?" + q
	}
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}
