//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// sinkPassword is the mail account's: wrong or missing, and nothing is accepted.
var sinkPassword = rand.Text()

// sink is a mail server that accepts mail only over STARTTLS and after authentication.
type sink struct {
	addr string
	t    *testing.T

	mu       sync.Mutex
	messages []received
	arrived  chan struct{} // one token a message
	hold     chan struct{} // not nil: the answer to DATA waits for it
}

type received struct {
	to        []string
	messageID string
	subject   string
	text      string // the plain text part
	html      string
}

func newSink(t *testing.T, pair tls.Certificate) *sink {
	t.Helper()
	s := &sink{t: t, arrived: make(chan struct{}, 1000)}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	srv := smtp.NewServer(s)
	srv.Domain = "localhost"
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.ReadTimeout, srv.WriteTimeout = 30*time.Second, 30*time.Second
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	_, port := must2(net.SplitHostPort(l.Addr().String()))
	s.addr = "localhost:" + port
	return s
}

func (s *sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &sinkSession{sink: s, conn: c}, nil
}

// holdAnswers makes the sink keep every accepted message and never answer its DATA, until the func runs.
func (s *sink) holdAnswers() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := make(chan struct{})
	s.hold = ch
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(ch)
	}
}

// next waits for the next message to anyone: longer than the minute's lease of a job whose server died.
func (s *sink) next() received {
	s.t.Helper()
	select {
	case <-s.arrived:
	case <-time.After(3 * time.Minute):
		s.t.Fatal("no mail within three minutes")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[len(s.messages)-1]
}

type sinkSession struct {
	sink   *sink
	conn   *smtp.Conn
	authed bool
	to     []string
}

var errRefused = errors.New("authentication over TLS first")

func (s *sinkSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if _, secure := s.conn.TLSConnectionState(); !secure || username != "mailer" || password != sinkPassword {
			return errRefused
		}
		s.authed = true
		return nil
	}), nil
}

func (s *sinkSession) Mail(string, *smtp.MailOptions) error {
	if !s.authed {
		return errRefused
	}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := parseMail(raw)
	if err != nil {
		return err
	}
	m.to = s.to
	s.sink.mu.Lock()
	s.sink.messages = append(s.sink.messages, m)
	hold := s.sink.hold
	s.sink.mu.Unlock()
	s.sink.arrived <- struct{}{}
	if hold != nil {
		<-hold
	}
	return nil
}

func (s *sinkSession) Reset()        { s.to = nil }
func (s *sinkSession) Logout() error { return nil }

func parseMail(raw []byte) (received, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return received{}, err
	}
	m := received{messageID: msg.Header.Get("Message-ID")}
	m.subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	if err != nil {
		return m, err
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		var body io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return m, err
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			m.html = string(b)
		} else {
			m.text = string(b)
		}
	}
}

var linkPattern = regexp.MustCompile(`https?://\S+/(confirm|cancel)\?\S+`)

// link takes the confirm or cancel link out of the text part.
func (m received) link(t *testing.T, kind string) string {
	t.Helper()
	for _, l := range linkPattern.FindAllStringSubmatch(m.text, -1) {
		if l[1] == kind {
			return l[0]
		}
	}
	t.Fatalf("the mail has no %s link:\n%s", kind, m.text)
	return ""
}
