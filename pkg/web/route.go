package web

import (
	"net/http"
)

// Kind says which headers a route answers with (security table in headers.go) and how its errors look.
type Kind int

// The kinds of routes.
const (
	// Flow is a page that can end in a 303 to a site: no form-action in its policy, for Chromium checks
	// that along the whole chain of redirects; no COOP, for pop-up sign-in needs its opener.
	Flow Kind = iota + 1
	// Consent is Flow without any script.
	Consent
	// FlowLink is a page that a mail leads to and that can end at a site.
	FlowLink
	// Link is a page that a mail leads to and that ends here.
	Link
	// Own is any other page for people.
	Own
	// Landing is the start page: the only one that search engines may list.
	Landing
	// Redirect answers with redirects only (authorize, end_session), or with an error page.
	Redirect
	// API answers with JSON and is never cached.
	API
	// Document is a public JSON document (discovery, key set): its handler says how long it may be cached.
	Document
	// Asset is a static file under a hashed name.
	Asset
	// Picture is a person's picture: any site may show it.
	Picture
	// Frame is the session iframe: any site may frame it, nobody sees it.
	Frame
)

// Page reports whether people see its errors as a page.
func (k Kind) Page() bool {
	return k != API && k != Document && k != Asset && k != Picture && k != Frame
}

// CORS says which origins may read a route's answers.
type CORS int

// The rules of Cross-Origin Resource Sharing.
const (
	NoCORS     CORS = iota // no header ever; OPTIONS is not allowed (RFC 9700 §2.6)
	AnyOrigin              // *, GET only
	SiteOrigin             // the origins of registered clients, echoed
)

// Handler answers a request or returns an error; it has then written nothing.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is one path of the server. Several routes may share a path with other methods.
type Route struct {
	Name    string // of the page or endpoint: the log's and the metrics' name for it
	Path    string // gorilla/mux template
	Methods []string
	Kind    Kind
	CORS    CORS
	// Protocol marks endpoints that other sites may post to by their specification: they are exempt from the
	// cross-origin check of forms.
	Protocol bool
	// Upload marks the one form that sends a file. Its body is not read before the handler runs, who knows by then whether
	// it is from somebody: see ParseUpload.
	Upload bool
	// Even marks a form that takes somebody's address and hashes no password: see even.
	Even    bool
	Handler Handler
}
