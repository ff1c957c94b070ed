// Package registration lets clients register themselves and manage what they registered: OpenID Connect Dynamic Client
// Registration 1.0, RFC 7591 and RFC 7592, at /connect/register.
//
// It owns who may come in (nobody, whoever has a registration token, anybody), the two bearer tokens, and the answers
// in JSON. It refuses to judge a single member of a document: that is oidc/client's, for every way in.
package registration
