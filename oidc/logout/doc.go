// Package logout ends sessions on a site's request: OpenID Connect RP-Initiated Logout 1.0 at /end_session.
//
// It owns whether a request to sign out is proven (by an ID token of ours about somebody who is signed in in
// this very browser), the confirmation that any other one needs, and where the browser goes afterwards. What
// ending means (the login's row, its grants) is pkg/session's.
package logout
