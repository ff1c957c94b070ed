// Package mail composes the mails of the network and sends them over SMTP.
//
// It owns their links, headers, signatures (DKIM) and the talk with the mail server, and what the DNS should say of the
// sender; the texts come from templates, the queue is pkg/outbox. It refuses to log or report an address, a link or a body.
package mail
