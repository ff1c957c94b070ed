package logout

import (
	"errors"
	"net/http"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/session"
)

// Config is what a Logout is made of.
type Config struct {
	Issuer   string
	Store    Store
	Clients  *client.Registry
	Keys     *keys.Ring
	Sessions *session.Manager
	// SID is the session id by which a client knows a login: engine.Engine's.
	SID   func(loginID, clientID string) string
	Now   func() time.Time
	Pages Pages
}

// Pages are what signing out has to show; pkg/web fills them.
type Pages struct {
	// Error shows a page with this status; key is the message's key in the catalogue.
	Error func(w http.ResponseWriter, r *http.Request, status int, key string)
	// Confirm asks whether to sign out: a form that posts v.I as "i" to /logout.
	Confirm func(w http.ResponseWriter, r *http.Request, v View)
	// Done says that it is done, and opens v.Frames: its policy must allow just these.
	Done func(w http.ResponseWriter, r *http.Request, v Report)
}

// View is what the question may show.
type View struct {
	I          string // goes into the form, and comes back to (*Logout).Confirm
	ClientName string // the site that asked; empty: none is known
	UILocales  string
	Email      string // the one account that will be signed out; empty: all of this browser
	// Accounts are those of this browser, where there are several and the question is about all of them: one may be chosen
	// instead.
	Accounts []Account
}

// Account is one that is signed in in this browser.
type Account struct{ Login, Name, Email string }

// Route is one endpoint of this room. It may end in a redirect to a site: no form-action.
type Route struct {
	Path    string
	Methods []string
	Name    string
	Handler func(w http.ResponseWriter, r *http.Request) error
}

// Logout answers /end_session and the confirmation that it may need.
type Logout struct{ cfg Config }

// New refuses a Config that lacks a part.
func New(cfg Config) (*Logout, error) {
	switch {
	case cfg.Issuer == "", cfg.Store == nil, cfg.Clients == nil, cfg.Keys == nil, cfg.Sessions == nil,
		cfg.SID == nil, cfg.Now == nil:
		return nil, errors.New("logout: Issuer, Store, Clients, Keys, Sessions, SID and Now are needed")
	case cfg.Pages.Error == nil, cfg.Pages.Confirm == nil, cfg.Pages.Done == nil:
		return nil, errors.New("logout: all Pages are needed")
	}
	return &Logout{cfg: cfg}, nil
}

// Routes lists the endpoints of this room.
func (l *Logout) Routes() []Route {
	get := []string{http.MethodGet}
	return []Route{
		{Path: "/end_session", Methods: []string{http.MethodGet, http.MethodPost}, Name: "end_session", Handler: l.endSession},
		{Path: donePath, Methods: get, Name: "loggedout", Handler: l.done},
	}
}
