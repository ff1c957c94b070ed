// Package mail composes the mails of the network and sends them over SMTP.
//
// It owns their links, headers and the talk with the mail server; the texts come from templates, the
// queue is pkg/outbox. It refuses to log or report an address, a link or a body.
package mail
