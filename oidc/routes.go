package oidc

import "net/http"

// Routes lists every endpoint of this room. HEAD is answered wherever GET is cacheable.
func (p *Provider) Routes() []Route {
	get := []string{http.MethodGet, http.MethodHead}
	post := []string{http.MethodPost}
	both := []string{http.MethodGet, http.MethodPost}
	routes := []Route{
		{Path: "/authorize", Methods: both, Name: "authorize", Handler: p.authorize, Kind: Redirect},
		{Path: "/token", Methods: post, Name: "token", Handler: p.token, Kind: API, CORS: CORSClient},
		{Path: "/userinfo", Methods: both, Name: "userinfo", Handler: p.userinfo, Kind: API, CORS: CORSClient},
		{Path: "/introspect", Methods: post, Name: "introspect", Handler: p.introspect, Kind: API},
		{Path: "/revoke", Methods: post, Name: "revoke", Handler: p.revoke, Kind: API, CORS: CORSClient},
		{Path: "/par", Methods: post, Name: "par", Handler: p.par, Kind: API, CORS: CORSClient},
		{Path: "/device_authorization", Methods: post, Name: "device_authorization", Handler: p.deviceAuthorization, Kind: API, CORS: CORSClient},
		{Path: "/jwks.json", Methods: get, Name: "jwks", Handler: p.jwks, Kind: Static, CORS: CORSOpen},
		{Path: "/.well-known/openid-configuration", Methods: get, Name: "discovery", Handler: p.serveDiscovery, Kind: Static, CORS: CORSOpen},
		{Path: "/.well-known/oauth-authorization-server", Methods: get, Name: "metadata", Handler: p.serveDiscovery, Kind: Static, CORS: CORSOpen},
		{Path: "/.well-known/change-password", Methods: get, Name: "change-password", Handler: p.changePassword, Kind: Redirect},
	}
	if p.cfg.SecurityContact != "" {
		routes = append(routes, Route{Path: "/.well-known/security.txt", Methods: get, Name: "security.txt",
			Handler: p.securityTxt, Kind: Static, CORS: CORSOpen})
	}
	return routes
}
