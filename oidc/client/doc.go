// Package client is the registered client: its metadata under the RFC 7591 names, the validation of every
// field, its secrets, keys and request objects, redirect matching, client authentication, and the subject by which it
// knows a person.
//
// It owns the one list of what a client may register, the one answer to "is this URI the client's", and what is fetched
// because a client names it: key sets, sector documents, logos, each by pkg/outbound. It refuses to know fosite, SQL and
// pages.
package client
