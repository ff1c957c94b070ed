package registration

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/limit"
)

// Path is the registration endpoint; what a client manages stands beneath it.
const Path = "/connect/register"

// Config is what a Registration is made of.
type Config struct {
	Issuer  string
	Clients *client.Registry
	// Open lets anybody register; else it takes a registration token.
	Open bool
	// Verified: the operator vouches for clients that register openly too.
	Verified bool
	Limits   *limit.Limiter // nil: nobody is limited
	ClientIP func(r *http.Request) netip.Addr
}

// Route is one endpoint of this room: JSON, never stored, for no script of another origin.
type Route struct {
	Path    string
	Methods []string
	Name    string
	Handler func(w http.ResponseWriter, r *http.Request) error
}

// Registration answers /connect/register.
type Registration struct{ cfg Config }

// New refuses a Config that lacks a part.
func New(cfg Config) (*Registration, error) {
	if cfg.Issuer == "" || cfg.Clients == nil || cfg.ClientIP == nil {
		return nil, errors.New("registration: Issuer, Clients and ClientIP are needed")
	}
	return &Registration{cfg}, nil
}

// Routes lists the endpoints.
func (g *Registration) Routes() []Route {
	return []Route{
		{Path: Path, Methods: []string{http.MethodPost}, Name: "register-client", Handler: g.register},
		{Path: Path + "/{client}", Methods: []string{http.MethodGet, http.MethodPut, http.MethodDelete},
			Name: "manage-client", Handler: g.manage},
	}
}
