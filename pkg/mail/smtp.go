package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/passport-network/passport/pkg/outbox"
)

// timeout bounds each step of the talk with the mail server; the outbox bounds the whole.
const timeout = 15 * time.Second

// server is the mail server that everything is handed to.
type server struct {
	host     string
	port     int
	implicit bool // TLS from the first byte
	policy   gomail.TLSPolicy
	user     string
	password string
	hello    string
	tls      *tls.Config

	signature *signature // nil: none
}

// String names it: host and port, never who we are there.
func (s *server) String() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// parseServer reads an SMTP URL. Its errors never hold the URL: it has the password.
func parseServer(raw, caFile, hello string) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, errors.New("the SMTP URL is not smtp://HOST:PORT or smtps://HOST:PORT")
	}
	s := &server{host: u.Hostname(), hello: hello, policy: gomail.TLSMandatory}
	switch u.Scheme {
	case "smtp":
		s.port = 587
		if loopback(s.host) {
			s.policy = gomail.TLSOpportunistic
		}
	case "smtps":
		s.port, s.implicit = 465, true
	default:
		return nil, errors.New("the SMTP URL is neither smtp nor smtps")
	}
	if p := u.Port(); p != "" {
		if s.port, err = strconv.Atoi(p); err != nil || s.port < 1 || s.port > 65535 {
			return nil, errors.New("the SMTP URL has no valid port")
		}
	}
	if err := s.options(u.Query()); err != nil {
		return nil, err
	}
	if u.User != nil {
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
	}
	s.tls = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return s, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the mail server's CA file: %w", err)
	}
	if s.tls.RootCAs, err = x509.SystemCertPool(); err != nil {
		s.tls.RootCAs = x509.NewCertPool() // a bare container has none
	}
	if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("the mail server's CA file has no certificate")
	}
	return s, nil
}

func (s *server) options(q url.Values) error {
	for name, values := range q {
		if name != "starttls" || len(values) != 1 || s.implicit {
			return errors.New("the SMTP URL has an unknown option")
		}
		switch values[0] {
		case "require":
			s.policy = gomail.TLSMandatory
		case "opportunistic":
			s.policy = gomail.TLSOpportunistic
		case "off":
			s.policy = gomail.NoTLS
		default:
			return errors.New("the SMTP URL's starttls is not require, opportunistic or off")
		}
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// client is made for each mail: go-mail's remembers what it found out about a server.
func (s *server) client() (*gomail.Client, error) {
	opts := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTimeout(timeout), gomail.WithTLSConfig(s.tls.Clone()),
		gomail.WithHELO(s.hello), gomail.WithTLSPolicy(s.policy), gomail.WithoutNoop(),
	}
	if s.implicit {
		opts = append(opts, gomail.WithSSL())
	}
	if s.user != "" {
		kinds := []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin}
		if s.policy == gomail.NoTLS && !s.implicit {
			// The operator asked for it: starttls=off.
			kinds = []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc}
		}
		opts = append(opts, gomail.WithUsername(s.user), gomail.WithPassword(s.password),
			gomail.WithOpportunisticSMTPAuth(kinds...))
	}
	return gomail.NewClient(s.host, opts...)
}

// send hands the letter over. What it returns holds neither address nor text: go-mail's errors name the
// recipient, and servers quote him.
func (s *server) send(ctx context.Context, l *letter) error {
	msg, err := l.message()
	if err != nil {
		return outbox.Permanent(outbox.Failure("malformed", errors.New("the mail cannot be composed")))
	}
	if s.signature != nil {
		if err := s.signature.sign(msg); err != nil {
			return outbox.Failure("dkim", errors.New("the mail cannot be signed"))
		}
	}
	c, err := s.client()
	if err != nil {
		return outbox.Failure("configuration", errors.New("the mail client cannot be made"))
	}
	err = c.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() {
		// A server that took the mail and then broke off has it: once more would be a second one.
		return nil
	}
	return classify(err)
}

func classify(err error) error {
	var sent *gomail.SendError
	if !errors.As(err, &sent) {
		var network net.Error
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
			return outbox.Failure("timeout", errors.New("the mail server did not answer in time"))
		case errors.As(err, new(*tls.CertificateVerificationError)):
			return outbox.Failure("tls", errors.New("the mail server's certificate is not trusted"))
		}
		// No connection, no TLS, no authentication: the operator mends it, and the mail goes then.
		return outbox.Failure("connect", errors.New("the mail server could not be reached, or refused us"))
	}
	code := sent.ErrorCode()
	reason := outbox.Failure("smtp-"+strconv.Itoa(code), fmt.Errorf("the mail server answered %d", code))
	switch sent.Reason {
	case gomail.ErrSMTPMailFrom, gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
		// RFC 5321 §4.2.1: 5yz is permanent; but 530, 534, 535, 538 (RFC 4954 §6) are about our own account.
		if code >= 500 && code < 600 && code != 530 && code != 534 && code != 535 && code != 538 {
			return outbox.Permanent(reason)
		}
	}
	return reason
}

// message is the letter as MIME: text first, HTML as the better alternative.
func (l *letter) message() (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP), gomail.WithNoDefaultUserAgent(),
		gomail.WithBoundary(rand.Text())) // the same each time that it is written: what is signed is what is sent
	if err := m.EnvelopeFrom(l.from); err != nil {
		return nil, err
	}
	if err := m.FromFormat(l.brand, l.from); err != nil {
		return nil, err
	}
	if err := m.To(l.to); err != nil {
		return nil, err
	}
	m.Subject(l.subject)
	m.SetMessageIDWithValue(l.id)
	m.SetDateWithValue(l.at)
	// RFC 3834: no vacation notes and no bounces of robots, please.
	m.SetGenHeader(gomail.Header("Auto-Submitted"), "auto-generated")
	m.SetBodyString(gomail.TypeTextPlain, l.text)
	m.AddAlternativeString(gomail.TypeTextHTML, l.html)
	return m, nil
}
