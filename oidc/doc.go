// Package oidc is the protocol: the endpoints of OAuth 2.0 and OpenID Connect, and the one place that
// decides what an authorization request needs next.
//
// It owns parsing and checking requests (as they come, in request objects, pushed, of devices), interactions, consents,
// decide, discovery and the answers at each endpoint. It shows nothing to people, for pages come in as funcs, and neither
// reads nor changes an account but through grant.Person. SPEC.md lists each requirement, our choice and its test.
package oidc
