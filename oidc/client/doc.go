// Package client is the registered client: its metadata under the RFC 7591 names, the validation of every
// field, its secrets, redirect matching and client authentication.
//
// It owns the one list of what a client may register and the one answer to "is this URI the client's". It
// refuses to know fosite, SQL and pages, and it never fetches what a client names.
package client
