package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/oidc/registration"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/templates"
)

// Config is what a Site is made of. Routes are those of the rooms beneath this one.
type Config struct {
	Issuer string
	Pages  *Pages
	OIDC   *oidc.Provider // nil only in tests
	Logout *logout.Logout // nil only in tests
	// Registration lets clients register themselves; nil: they cannot.
	Registration *registration.Registration
	Routes       []Route
	// Clients tells which origins may read an answer (CORS) and which client ids may stand in the log.
	Clients *client.Registry

	Inbox          *mail.Inbox    // nil unless in development
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	Logger         *slog.Logger
	// Observe is told of each answer, for the metrics. It may be nil.
	Observe func(route, method string, status int, elapsed time.Duration)
	Now     func() time.Time
}

// Site is the whole public server.
type Site struct {
	cfg    Config
	pages  *Pages
	origin string
	host   string
	https  bool
	forms  *http.CrossOriginProtection
	routes []Route
	router http.Handler
}

// New refuses a configuration with something missing, and two routes of one path and method.
func New(c Config) (*Site, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Path != "" {
		return nil, errors.New("web: the issuer must be a root URL")
	}
	if c.Pages == nil || c.Clients == nil || c.Now == nil || c.Logger == nil {
		return nil, errors.New("web: Pages, Clients, Logger and Now are needed")
	}
	s := &Site{cfg: c, pages: c.Pages, origin: c.Issuer, host: u.Host, https: u.Scheme == "https",
		forms: http.NewCrossOriginProtection()}
	s.routes = append(s.routes, s.own()...)
	s.routes = append(s.routes, c.Routes...)
	s.routes = append(s.routes, protocol(c)...)
	if s.router, err = s.route(); err != nil {
		return nil, err
	}
	return s, nil
}

// own are the routes of the shell itself.
func (s *Site) own() []Route {
	routes := []Route{
		{Name: "language", Path: "/language", Methods: []string{http.MethodPost}, Kind: Flow, Handler: s.postLanguage},
	}
	frame, script := templates.SessionFrame()
	routes = append(routes, Route{Name: "check_session", Path: "/check_session", Methods: []string{http.MethodGet}, Kind: Frame,
		Handler: func(w http.ResponseWriter, _ *http.Request) error {
			h := w.Header()
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Security-Policy", cspNone+"; script-src "+script)
			_, _ = w.Write(frame) // whoever asked has left: there is nobody to tell
			return nil
		}})
	if s.cfg.Inbox != nil {
		get := []string{http.MethodGet}
		routes = append(routes,
			Route{Name: "inbox", Path: "/dev/inbox", Methods: get, Kind: Own, Handler: s.getInbox},
			Route{Name: "letter", Path: "/dev/inbox/{id}", Methods: get, Kind: Own, Handler: s.getLetter})
	}
	for _, a := range templates.Assets() {
		routes = append(routes, Route{Name: "static", Path: a.Path, Methods: []string{http.MethodGet}, Kind: Asset,
			Handler: asset(a)})
	}
	return routes
}

// protocol takes over the routes of the protocol's rooms.
func protocol(c Config) []Route {
	kinds := map[oidc.RouteKind]Kind{oidc.API: API, oidc.Page: Flow, oidc.Redirect: Redirect, oidc.Static: Document}
	cors := map[oidc.CORSKind]CORS{oidc.CORSNone: NoCORS, oidc.CORSOpen: AnyOrigin, oidc.CORSClient: SiteOrigin}
	var routes []Route
	if c.OIDC != nil {
		for _, r := range c.OIDC.Routes() {
			routes = append(routes, Route{Name: r.Name, Path: r.Path, Methods: r.Methods, Kind: kinds[r.Kind],
				CORS: cors[r.CORS], Protocol: true, Handler: r.Handler})
		}
	}
	if c.Logout != nil {
		for _, r := range c.Logout.Routes() {
			routes = append(routes, Route{Name: r.Name, Path: r.Path, Methods: r.Methods, Kind: Flow,
				Protocol: true, Handler: r.Handler})
		}
	}
	if c.Registration != nil {
		for _, r := range c.Registration.Routes() {
			routes = append(routes, Route{Name: r.Name, Path: r.Path, Methods: r.Methods, Kind: API, Protocol: true, Handler: r.Handler})
		}
	}
	return routes
}

// Routes lists every route, for the tests that must miss none.
func (s *Site) Routes() []Route { return append([]Route(nil), s.routes...) }

// route builds the router. One entry a path: the methods are told apart by path's dispatch, so that 405 comes with
// Allow (RFC 9110 §15.5.6). mux, which tries one regular expression after the other, sees only the paths that have a
// variable.
func (s *Site) route() (http.Handler, error) {
	// The path must match as it was sent: no cleaning, no decoding ("//login", "%2e%2e" are nothing of ours).
	m := mux.NewRouter().SkipClean(true).UseEncodedPath()
	paths := map[string]map[string]Route{}
	var order []string
	for _, r := range s.routes {
		if r.Kind == 0 || r.Handler == nil || r.Name == "" {
			return nil, fmt.Errorf("web: route %q has no kind, handler or name", r.Path)
		}
		if paths[r.Path] == nil {
			paths[r.Path] = map[string]Route{}
			order = append(order, r.Path)
		}
		for _, method := range r.Methods {
			if _, twice := paths[r.Path][method]; twice {
				return nil, fmt.Errorf("web: two routes for %s %s", method, r.Path)
			}
			paths[r.Path][method] = r
		}
	}
	exact := map[string]http.Handler{}
	for _, path := range order {
		if strings.Contains(path, "{") {
			m.Handle(path, s.dispatch(paths[path]))
		} else {
			exact[path] = s.dispatch(paths[path])
		}
	}
	m.NotFoundHandler = s.serve(Route{Name: "none", Kind: Own,
		Handler: func(http.ResponseWriter, *http.Request) error { return ErrNotFound }})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := exact[r.URL.EscapedPath()]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	}), nil
}

// asset serves a static file: its address has its hash, so it may be kept for ever.
func asset(a templates.Asset) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", a.Type)
		_, _ = w.Write(a.Body)
		return nil
	}
}

// writeJSON answers an endpoint for programs.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
