package mail

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/outbox"
)

// Kind is the outbox's name for mails.
const Kind = "mail"

// lifetime is how long a mail is tried: longer, and the links in it would soon be dead.
const lifetime = 48 * time.Hour

// atOnce is how many mails are handed over at the same time.
const atOnce = 4

// Config is what a Mailer works with.
type Config struct {
	From   string // the sender's address; empty: no-reply at the issuer's host
	Issuer string // links are made of it alone
	Brand  string
	// SMTP is smtp://USER:PASSWORD@HOST:587 (option starttls=require, opportunistic or off; required by
	// default unless the host is loopback), smtps://…, or empty: the dev inbox.
	SMTP   string
	DKIM   DKIM
	CAFile string // certificates (PEM) that the mail server's is checked against, beside the system's
	// The operator's own pages; empty: there is none.
	Help, Privacy, Terms string
	Queue                *outbox.Queue
	Now                  func() time.Time
}

// Message is a mail to be.
type Message struct {
	To       string // one address, as it was proven or typed
	Name     string // of the person, where it is known to be theirs
	Language string // BCP 47; English when no template is in it
	Template string // a file of templates/mail, without what stands behind its first dot
	// Data is what the template says beside it: tokens of the links, by purpose ("confirm", "cancel", "recover", "alarm",
	// "address", "backup", "request", "stop", "regain", "reopen", "allow", "data"), and of a sign-in "browser", "system", "network", "time"; "invitation", a token too, and "until", its last day.
	Data     map[string]string
	Register bool // the mail may say where an account can be created
}

// Mailer composes mails and sends them through the outbox.
type Mailer struct {
	from      string
	issuer    *url.URL
	brand     string
	queue     *outbox.Queue
	now       func() time.Time
	texts     texts
	links     [3]string  // help, privacy, terms
	signature *signature // nil: mails are not signed here
	server    *server    // nil: the inbox
	inbox     *Inbox
}

// New makes a mailer and names it the queue's handler of mails.
func New(c Config) (*Mailer, error) {
	if c.Queue == nil || c.Now == nil {
		return nil, errors.New("mail: Queue and Now are required")
	}
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Host == "" || strings.Trim(issuer.Path, "/") != "" {
		return nil, errors.New("mail: the issuer is no root URL")
	}
	m := &Mailer{from: c.From, issuer: issuer, brand: c.Brand, queue: c.Queue, now: c.Now}
	if m.from == "" {
		m.from = "no-reply@" + issuer.Hostname()
	}
	if !plainAddress(m.from) {
		return nil, errors.New("mail: the sender is no plain address (name@host)")
	}
	if m.brand == "" {
		m.brand = "Passport"
	}
	if m.texts, err = loadTexts(); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	m.links = [3]string{c.Help, c.Privacy, c.Terms}
	if m.signature, err = newSignature(c.DKIM, m.from); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if c.SMTP == "" {
		m.inbox = &Inbox{}
	} else if m.server, err = parseServer(c.SMTP, c.CAFile, issuer.Hostname()); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if m.server != nil {
		m.server.signature = m.signature
	}
	c.Queue.Handle(Kind, atOnce, m.deliver)
	return m, nil
}

// Inbox is where mails go that are not sent; nil when they are.
func (m *Mailer) Inbox() *Inbox { return m.inbox }

// job is a mail in the outbox: what the texts are made of when it is sent.
type job struct {
	To       string            `json:"to"`
	Name     string            `json:"name,omitempty"`
	Language string            `json:"language"`
	Template string            `json:"template"`
	Data     map[string]string `json:"data,omitempty"`
	Register bool              `json:"register,omitempty"`
}

// Send puts the mail into the outbox, in the transaction that ctx carries.
func (m *Mailer) Send(ctx context.Context, msg Message) error {
	lang, ok := m.texts.language(msg.Template, msg.Language)
	if !ok {
		return errors.New("mail: no such template")
	}
	// CWE-93: the last look before the address becomes an SMTP command and a header line.
	if !plainAddress(msg.To) {
		return ErrRecipient
	}
	body, err := json.Marshal(job{To: msg.To, Name: msg.Name, Language: lang, Template: msg.Template, Data: msg.Data, Register: msg.Register})
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := m.queue.Put(ctx, outbox.Job{Kind: Kind, Body: body, Expires: m.now().Add(lifetime)}); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	return nil
}

// Nobody puts a mail into the outbox that goes nowhere: who asks about an address must not tell by the work whether one or
// two mails follow.
func (m *Mailer) Nobody(ctx context.Context) error {
	if err := m.queue.Put(ctx, outbox.Job{Kind: Kind, Body: []byte("{}"), Expires: m.now().Add(lifetime)}); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	return nil
}

// ErrRecipient: there is no such address.
var ErrRecipient = errors.New("mail: the recipient is no plain address")

// Try sends a mail at once, past the outbox: for an operator who wants to see whether it works. ErrRecipient, or what the
// server said, without the address.
func (m *Mailer) Try(ctx context.Context, msg Message) error {
	if !plainAddress(msg.To) {
		return ErrRecipient
	}
	l, err := m.compose(job{To: msg.To, Language: msg.Language, Template: msg.Template})
	if err != nil {
		return err
	}
	l.id = rand.Text() + "@" + m.issuer.Hostname()
	if m.server == nil {
		return errors.New("there is no mail server (smtp_url): mails go to /dev/inbox of the running server")
	}
	return m.server.send(ctx, l)
}

// Server is the mail server's host and port; empty: there is none.
func (m *Mailer) Server() string {
	if m.server == nil {
		return ""
	}
	return m.server.String()
}

// deliver is the outbox's handler. It may run twice for one job: the Message-ID is then the same.
func (m *Mailer) deliver(ctx context.Context, j outbox.Job) error {
	var b job
	if err := json.Unmarshal(j.Body, &b); err != nil {
		return outbox.Permanent(outbox.Failure("malformed", errors.New("the mail's job cannot be read")))
	}
	if b.To == "" {
		return nil // Nobody's
	}
	l, err := m.compose(b)
	if err != nil {
		return outbox.Permanent(outbox.Failure("template", err))
	}
	l.id = j.ID + "@" + m.issuer.Hostname()
	if m.server == nil {
		m.inbox.add(Stored{ID: j.ID, To: l.to, Subject: l.subject, Text: l.text, HTML: l.html, At: m.now()})
		return nil
	}
	return m.server.send(ctx, l)
}

// letter is a composed mail.
type letter struct {
	id, from, brand, to, subject, text, html string
	at                                       time.Time
}

// link makes a URL of the issuer alone (A4 of the catalogue of attacks: never of the request's Host).
func (m *Mailer) link(path, token string) string {
	if token == "" {
		return m.address(path, nil)
	}
	return m.address(path, url.Values{"t": {token}})
}

func (m *Mailer) address(path string, query url.Values) string {
	u := url.URL{Scheme: m.issuer.Scheme, Host: m.issuer.Host, Path: path, RawQuery: query.Encode()}
	return u.String()
}

// plainAddress: one @, nothing that could end a command, a header or a bracket.
func plainAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("<>()[]\\,;:\"", s[i]) >= 0 {
			return false
		}
	}
	return !strings.Contains(domain, "@")
}
