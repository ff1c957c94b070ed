package oidc

import (
	"net/http"
	"net/url"

	"github.com/passport-network/passport/oidc/client"
)

// Start sends whoever is signed in here to a site's own door, initiate_login_uri, where the site begins a sign-in as
// it always does (Core §4). login_hint is the address of the account that signed in last; target is where the person
// wants to get at the site, if that may be.
func (p *Provider) Start(w http.ResponseWriter, r *http.Request, c *client.Client, target string) error {
	if c.Metadata.InitiateLoginURI == "" {
		return p.onPage(w, r, &pageError{http.StatusNotFound, "error.no_start"})
	}
	read, err := p.readRequest(r.Context(), p.cfg.Sessions.Hash(r), c.ID)
	if err != nil {
		return err
	}
	params := url.Values{"iss": {p.cfg.Issuer}}
	// Only a site that has been allowed to know the address is told it.
	if len(read.Logins) > 0 {
		l := &read.Logins[0]
		if scopes, claims, _ := agreed(c, l); covers(scopes, []string{"email"}) || covers(claims, []string{"email"}) {
			params.Set("login_hint", l.Person.Email)
		}
	}
	if MayTarget(c, target) {
		params.Set("target_link_uri", target)
	}
	return seeOther(w, client.WithQuery(c.Metadata.InitiateLoginURI, params))
}

// MayTarget tells whether a page is one of the site's: of the origin of an address that it registered. Else the site
// would be asked to send people on to somewhere (Core §4: it must not be an open redirector).
func MayTarget(c *client.Client, target string) bool {
	u, err := url.Parse(target)
	if err != nil || target == "" || !clean(target) || len(target) > 2048 || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	for _, s := range append([]string{c.Metadata.InitiateLoginURI, c.Metadata.ClientURI}, c.Metadata.RedirectURIs...) {
		if known, err := url.Parse(s); err == nil && known.Host != "" && client.Origin(known) == client.Origin(u) {
			return true
		}
	}
	return false
}
