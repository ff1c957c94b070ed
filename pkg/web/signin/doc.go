// Package signin is what people see on the way into a site: sign-in, the choice of an account, consent,
// registration with its two links, the terms that have changed, each way back into an account, the code that a device shows,
// a site's door, and signing out.
//
// It owns forms and their order on the screen. What comes next in a flow is decided by package oidc, who somebody
// is by package account.
package signin
