package oidc

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/pkg/session"
)

// ErrNoInteraction: the interaction is unknown, expired, already done, or another browser's.
var ErrNoInteraction = errors.New("no such interaction for this browser")

// Config is what a Provider is made of.
type Config struct {
	Issuer   string // a root URL without a trailing slash
	Engine   *engine.Engine
	Store    Store
	Clients  *client.Registry
	Keys     *keys.Ring
	Sessions *session.Manager
	Outbound *outbound.Client // fetches request objects; nil: none is fetched
	Limits   *limit.Limiter   // nil: nobody is limited
	Now      func() time.Time
	Audit    audit.Log // nil: nothing is recorded
	Pages    Pages

	// ClientIP tells who asks, as far as the trusted proxies know. nil: the peer's address.
	ClientIP func(r *http.Request) netip.Addr
	// NoteClient is told which client a request has turned out to be of, for the log. nil: nobody is.
	NoteClient func(r *http.Request, clientID string)
	// Languages of our pages, as BCP 47 tags.
	Languages []string
	// ACRValues are the classes of sign-in that there are (OpenID Connect Core §2, acr).
	ACRValues []string
	// Registration tells that clients can register themselves (package oidc/registration).
	Registration bool
	// Versions are those of the terms and the privacy policy that a person must have accepted.
	Versions grant.Versions
	// NoCreate: nobody registers without more: prompt=create is not offered, and not taken.
	NoCreate bool
	// SecurityContact is a URI at which to report a hole, for /.well-known/security.txt (RFC 9116); empty: there is no
	// such file.
	SecurityContact string
}

// Pages are what the protocol has to show; pkg/web fills them.
type Pages struct {
	// Error shows a page with this status; key is the message's key in the catalogue.
	Error func(w http.ResponseWriter, r *http.Request, status int, key string)
	// FormPost shows the self-submitting form of response_mode=form_post.
	FormPost func(w http.ResponseWriter, r *http.Request, action string, params url.Values)
}

// RouteKind tells which headers an answer of a route gets.
type RouteKind int

const (
	API      RouteKind = iota // JSON, never stored
	Page                      // HTML within a flow: no form-action
	Redirect                  // answers with a redirect, or a page (error, form_post)
	Static                    // public, cacheable; sets its own Cache-Control and ETag
)

// CORSKind tells which origins may read a route's answers from a script. Never with credentials.
type CORSKind int

const (
	// CORSNone: no CORS header at all, OPTIONS → 405 (RFC 9700 §2.6 for /authorize).
	CORSNone CORSKind = iota
	// CORSOpen: Access-Control-Allow-Origin: * on GET.
	CORSOpen
	// CORSClient: an origin registered by some client passes the preflight (which cannot name the client),
	// an origin of the asking client passes the request; echoed exactly, with Vary: Origin.
	CORSClient
)

// Route is one endpoint. Its handler answers; an error that it returns was not answered yet.
type Route struct {
	Path    string
	Methods []string
	Name    string
	Handler func(w http.ResponseWriter, r *http.Request) error
	Kind    RouteKind
	CORS    CORSKind
}

// Provider answers the protocol's endpoints.
type Provider struct {
	cfg       Config
	discovery document
	network   *limit.Bucket // interactions a network may begin
	browser   *limit.Bucket // interactions a browser may begin
	grants    *limit.Bucket // grants of a person
	endpoints *limit.Bucket // requests of a network at the JSON endpoints
	objects   objects
}

// New refuses a Config that lacks a part.
func New(cfg Config) (*Provider, error) {
	u, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("oidc: the issuer must be a root URL without a trailing slash")
	case cfg.Engine == nil, cfg.Store == nil, cfg.Clients == nil, cfg.Keys == nil, cfg.Sessions == nil:
		return nil, errors.New("oidc: Engine, Store, Clients, Keys and Sessions are needed")
	case cfg.Now == nil:
		return nil, errors.New("oidc: Now is needed")
	case cfg.Pages.Error == nil, cfg.Pages.FormPost == nil, len(cfg.Languages) == 0:
		return nil, errors.New("oidc: Pages.Error, Pages.FormPost and Languages are needed")
	}
	if cfg.ClientIP == nil {
		cfg.ClientIP = peer
	}
	if cfg.NoteClient == nil {
		cfg.NoteClient = func(*http.Request, string) {}
	}
	cfg.Issuer = strings.TrimSuffix(cfg.Issuer, "/")
	p := &Provider{
		cfg:       cfg,
		network:   limit.NewBucket(interactionNetwork, cfg.Now),
		browser:   limit.NewBucket(interactionBrowser, cfg.Now),
		grants:    limit.NewBucket(grantAccount, cfg.Now),
		endpoints: limit.NewBucket(limit.Endpoint, cfg.Now),
	}
	if p.discovery, err = newDocument("application/json", p.metadata()); err != nil {
		return nil, err
	}
	return p, nil
}

// peer is the address of the connection's other end.
func peer(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}
