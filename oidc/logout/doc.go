// Package logout ends sessions and tells the sites: OpenID Connect RP-Initiated Logout 1.0 at /end_session, Front-Channel
// Logout 1.0 by frames, Back-Channel Logout 1.0 through the outbox.
//
// It owns whether a request to sign out is proven (by an ID token of ours about somebody who is signed in in
// this very browser), the confirmation that any other one needs, where the browser goes afterwards, and the report, site
// by site, of how far each has been told. What ending means (the login's row, its grants) is pkg/session's, which calls
// the Notifier in the same transaction. It refuses to know pages: they come in as funcs.
package logout
