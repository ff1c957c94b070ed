// Package audit names what is worth remembering: who did what, about whom, for which client, in which
// login. An event is written in the transaction of the act itself, so that neither exists alone.
//
// It holds the one list of event names. It refuses secrets: a detail never carries a password, token,
// code, link or address.
package audit
