package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/passport-network/passport/pkg/keys"
	passportmail "github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// sink is a mail server.
type sink struct {
	t         *testing.T
	addr      string
	caFile    string
	plain     bool // authentication without TLS
	hangUp    bool // after a mail was taken
	login     bool // AUTH LOGIN instead of PLAIN
	mu        sync.Mutex
	answers   []*smtp.SMTPError // to the next DATA; nil: taken
	rcptError *smtp.SMTPError
	got       []delivery
	tries     int
}

type delivery struct {
	from, raw string
	to        []string
	secure    bool
	authed    bool
}

const user, password = "mailer", "se cret/+"

func newSink(t *testing.T, implicit bool) *sink {
	t.Helper()
	s := &sink{t: t}
	cert, ca := certificate(t)
	s.caFile = ca
	srv := smtp.NewServer(s)
	srv.Domain, srv.AllowInsecureAuth = "localhost", true
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if implicit {
		l = tls.NewListener(l, srv.TLSConfig)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.addr = "localhost:" + port
	return s
}

func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func (s *sink) NewSession(c *smtp.Conn) (smtp.Session, error) { return &talk{sink: s, conn: c}, nil }

type talk struct {
	sink *sink
	conn *smtp.Conn
	d    delivery
}

func (k *talk) AuthMechanisms() []string {
	if k.sink.login {
		return []string{sasl.Login}
	}
	return []string{sasl.Plain}
}

func (k *talk) Auth(mech string) (sasl.Server, error) {
	check := func(_, u, p string) error {
		if _, secure := k.conn.TLSConnectionState(); !secure && !k.sink.plain || u != user || p != password {
			return smtp.ErrAuthFailed
		}
		k.d.authed = true
		return nil
	}
	if mech == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(check), nil
}

// loginServer is the old AUTH LOGIN.
type loginServer struct {
	check func(_, u, p string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check("", l.user, string(response))
}

func (k *talk) Mail(from string, _ *smtp.MailOptions) error {
	k.d.from = from
	_, k.d.secure = k.conn.TLSConnectionState()
	return nil
}

func (k *talk) Rcpt(to string, _ *smtp.RcptOptions) error {
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	if k.sink.rcptError != nil {
		k.sink.tries++
		return k.sink.rcptError
	}
	k.d.to = append(k.d.to, to)
	return nil
}

func (k *talk) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	k.d.raw = string(raw)
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	k.sink.tries++
	k.sink.got = append(k.sink.got, k.d)
	if len(k.sink.answers) == 0 {
		return nil
	}
	answer := k.sink.answers[0]
	k.sink.answers = k.sink.answers[1:]
	if answer == nil {
		return nil
	}
	return answer
}

func (k *talk) Reset() {
	k.d.to = nil
	if k.sink.hangUp && k.d.raw != "" {
		_ = k.conn.Conn().Close()
	}
}

func (k *talk) Logout() error { return nil }

// office is a mailer over a real outbox.
type office struct {
	*passportmail.Mailer
	t     *testing.T
	queue *outbox.Queue
	clock *atomic.Int64
	log   *strings.Builder
	db    *storage.Store
}

func newOffice(t *testing.T, db *storage.Store, c passportmail.Config) *office {
	t.Helper()
	sealer, err := keys.NewSealer([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, clock: new(atomic.Int64), log: new(strings.Builder), db: db}
	now := func() time.Time { return time.Now().UTC().Add(time.Duration(o.clock.Load())) }
	o.queue = outbox.New(outbox.Config{Store: db, Sealer: sealer, Now: now, Logger: slog.New(slog.NewJSONHandler(o.log, nil))})
	c.Queue, c.Now = o.queue, now
	if c.Issuer == "" {
		c.Issuer = "https://op.test"
	}
	if o.Mailer, err = passportmail.New(c); err != nil {
		t.Fatal(err)
	}
	return o
}

const token = "TOKENTOKENTOKENTOKENTOKENTOKENTOKENTOKENTOK"

func confirmation(to string) passportmail.Message {
	return passportmail.Message{To: to, Language: "en", Template: "confirm",
		Data: map[string]string{"confirm": token, "cancel": "C" + token[1:]}}
}

// send puts the message and works at the queue.
func (o *office) send(m passportmail.Message) {
	o.t.Helper()
	if err := o.Send(o.t.Context(), m); err != nil {
		o.t.Fatal(err)
	}
	o.work()
}

func (o *office) work() {
	o.t.Helper()
	if _, err := o.queue.RunDue(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) later() { o.clock.Add(int64(2 * time.Hour)) }

func header(t *testing.T, raw string) mail.Header {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

func TestSMTP(t *testing.T) {
	credentials := "mailer:se%20cret%2F%2B@"
	t.Run("STARTTLS and authentication", func(t *testing.T) {
		s := newSink(t, false)
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + credentials + s.addr + "?starttls=require", CAFile: s.caFile, Brand: "Red de Ñandúes"})
		o.send(confirmation("Alice.B@example.test"))
		if len(s.got) != 1 {
			t.Fatalf("%d mails\n%s", len(s.got), o.log)
		}
		d := s.got[0]
		h := header(t, d.raw)
		if !d.secure || !d.authed || d.from != "no-reply@op.test" || len(d.to) != 1 || d.to[0] != "Alice.B@example.test" {
			t.Errorf("%+v", d)
		}
		if h.Get("Auto-Submitted") != "auto-generated" || !strings.HasSuffix(h.Get("Message-ID"), "@op.test>") ||
			!strings.HasPrefix(h.Get("Content-Type"), "multipart/alternative") || h.Get("Date") == "" || h.Get("X-Mailer") != "" {
			t.Errorf("headers: %v", h)
		}
		if i, j := strings.Index(d.raw, "text/plain"), strings.Index(d.raw, "text/html"); i < 0 || j < i {
			t.Error("the text part does not come first")
		}
		if from, err := h.AddressList("From"); err != nil || from[0].Name != "Red de Ñandúes" {
			t.Errorf("From: %v %v", from, err)
		}
	})
	t.Run("AUTH LOGIN, TLS from the first byte", func(t *testing.T) {
		s := newSink(t, true)
		s.login = true
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtps://" + credentials + s.addr, CAFile: s.caFile})
		o.send(confirmation("a@example.test"))
		if len(s.got) != 1 || !s.got[0].secure || !s.got[0].authed {
			t.Fatalf("%+v\n%s", s.got, o.log)
		}
	})
	t.Run("off only where it is asked for", func(t *testing.T) {
		s := newSink(t, false)
		s.plain = true
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + credentials + s.addr + "?starttls=off"})
		o.send(confirmation("a@example.test"))
		if len(s.got) != 1 || s.got[0].secure || !s.got[0].authed {
			t.Fatalf("%+v\n%s", s.got, o.log)
		}
	})
	t.Run("an untrusted server gets nothing", func(t *testing.T) {
		s := newSink(t, false)
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + credentials + s.addr + "?starttls=require"})
		o.send(confirmation("a@example.test"))
		if len(s.got) != 0 || !strings.Contains(o.log.String(), `"outcome":"retry"`) {
			t.Errorf("%+v\n%s", s.got, o.log)
		}
	})
	t.Run("tried by the operator: at once, and what the server says", func(t *testing.T) {
		s := newSink(t, false)
		s.answers = []*smtp.SMTPError{{Code: 550, Message: "a@example.test: no"}}
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
		err := o.Try(t.Context(), passportmail.Message{To: "a@example.test", Language: "en", Template: "test"})
		if err == nil || strings.Contains(err.Error(), "a@example.test") {
			t.Errorf("%v", err)
		}
		if err := o.Try(t.Context(), passportmail.Message{To: "a@example.test", Language: "es", Template: "test"}); err != nil {
			t.Fatal(err)
		}
		if len(s.got) != 2 || o.Server() != s.addr || !strings.Contains(header(t, s.got[1].raw).Get("Subject"), "prueba") {
			t.Errorf("%d deliveries by %s", len(s.got), o.Server())
		}
		if err := o.Try(t.Context(), passportmail.Message{To: "a@b\r\nDATA", Template: "test"}); !errors.Is(err, passportmail.ErrRecipient) {
			t.Error(err)
		}
		inbox := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{})
		if err := inbox.Try(t.Context(), passportmail.Message{To: "a@example.test", Template: "test"}); err == nil || inbox.Server() != "" {
			t.Errorf("without a server: %v", err)
		}
	})
	t.Run("451, then taken: the same Message-ID", func(t *testing.T) {
		s := newSink(t, false)
		s.answers = []*smtp.SMTPError{{Code: 451, Message: "a@example.test: later"}}
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
		o.send(confirmation("a@example.test"))
		o.later()
		o.work()
		o.later()
		o.work()
		if len(s.got) != 2 {
			t.Fatalf("%d deliveries\n%s", len(s.got), o.log)
		}
		first, second := header(t, s.got[0].raw), header(t, s.got[1].raw)
		if id := first.Get("Message-ID"); id == "" || id != second.Get("Message-ID") {
			t.Errorf("%q, then %q", id, second.Get("Message-ID"))
		}
		if !strings.Contains(o.log.String(), "smtp-451") {
			t.Errorf("the log does not say why:\n%s", o.log)
		}
		noLeak(t, o)
	})
	t.Run("taken, then cut off: not sent again", func(t *testing.T) {
		s := newSink(t, false)
		s.hangUp = true
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
		o.send(confirmation("a@example.test"))
		o.later()
		o.work()
		if len(s.got) != 1 || !strings.Contains(o.log.String(), `"outcome":"done"`) {
			t.Errorf("%d deliveries\n%s", len(s.got), o.log)
		}
	})
	t.Run("550 ends it", func(t *testing.T) {
		for _, at := range []string{"rcpt", "data"} {
			s := newSink(t, false)
			refused := &smtp.SMTPError{Code: 550, Message: "no such user a@example.test " + token}
			if at == "rcpt" {
				s.rcptError = refused
			} else {
				s.answers = []*smtp.SMTPError{refused}
			}
			o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
			o.send(confirmation("a@example.test"))
			o.later()
			o.work()
			if s.tries != 1 || !strings.Contains(o.log.String(), `"outcome":"failed"`) {
				t.Errorf("at %s: %d tries\n%s", at, s.tries, o.log)
			}
			noLeak(t, o)
		}
	})
	t.Run("a wrong password is ours to mend", func(t *testing.T) {
		s := newSink(t, false)
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://mailer:wrong@" + s.addr, CAFile: s.caFile})
		o.send(confirmation("a@example.test"))
		if !strings.Contains(o.log.String(), `"outcome":"retry"`) {
			t.Errorf("given up:\n%s", o.log)
		}
		noLeak(t, o)
	})
	t.Run("A5 one recipient and no header of a stranger", func(t *testing.T) {
		s := newSink(t, false)
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
		for _, to := range []string{
			"a@x.test\r\nBcc: e@x.test", "a@x.test,e@x.test", "Name <a@x.test>", "<a@x.test>", "a@x.test (c)", "\"a b\"@x.test",
			"a@x.test\nRCPT TO:<e@x.test>", "a@[127.0.0.1]", "", "a@b@x.test", "ä@x.test",
		} {
			if err := o.Send(t.Context(), confirmation(to)); err == nil {
				t.Errorf("%q was queued", to)
			} else if to != "" && strings.Contains(err.Error(), to) {
				t.Errorf("the error names the address: %v", err)
			}
		}
		o.send(confirmation("o'neil+a=b@x.test"))
		if len(s.got) != 1 || len(s.got[0].to) != 1 || s.got[0].to[0] != "o'neil+a=b@x.test" {
			t.Errorf("%+v", s.got)
		}
	})
}

// noLeak: neither address nor link nor password in the log.
func noLeak(t *testing.T, o *office) {
	t.Helper()
	for _, secret := range []string{"example.test", token, token[:12], "op.test/", "wrong", "mailer"} {
		if strings.Contains(o.log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, o.log)
		}
	}
}

func TestInbox(t *testing.T) {
	db := storagetest.Open(t, storagetest.SQLite(t))
	o := newOffice(t, db, passportmail.Config{Issuer: "http://localhost:8080", Brand: "Passport"})
	t.Run("both languages", func(t *testing.T) {
		for lang, want := range map[string]string{
			"en": "Confirm your address for Passport", "es": "Confirma tu dirección para Passport",
			"es-MX": "Confirma tu dirección para Passport", "xx": "Confirm your address for Passport", "": "Confirm your address for Passport",
		} {
			m := confirmation("a@example.test")
			m.Language = lang
			o.send(m)
			got := o.Inbox().List()[0]
			if got.Subject != want || strings.Contains(got.Text+got.HTML, "<no value>") {
				t.Errorf("%q: %q", lang, got.Subject)
			}
			for _, link := range []string{"http://localhost:8080/confirm?t=" + token, "http://localhost:8080/cancel?t=C" + token[1:]} {
				if strings.Count(got.Text, link) != 1 || strings.Count(got.HTML, link) != 1 {
					t.Errorf("%q: not one link %s in each part", lang, link)
				}
			}
			if again, ok := o.Inbox().Get(got.ID); !ok || again != got {
				t.Errorf("Get: %+v %v", again, ok)
			}
		}
	})
	t.Run("A6 a name is text", func(t *testing.T) {
		for _, name := range []string{`<a href=//evil>x</a>`, "{{.Confirm}}", "\r\nSubject: x", strings.Repeat("n", 10000)} {
			o.send(passportmail.Message{To: "a@example.test", Name: name, Language: "en", Template: "known"})
			got := o.Inbox().List()[0]
			if got.Subject != "You already have an account at Passport" || strings.Contains(got.HTML, "<a href=//evil") {
				t.Errorf("%.30q: %q\n%s", name, got.Subject, got.HTML)
			}
			if !strings.Contains(got.Text, "http://localhost:8080/login") || strings.Contains(got.Text, "?t=") {
				t.Errorf("links: %s", got.Text)
			}
		}
	})
	t.Run("the last fifty", func(t *testing.T) {
		for range 60 {
			if err := o.Send(t.Context(), confirmation("a@example.test")); err != nil {
				t.Fatal(err)
			}
		}
		o.work()
		if n := len(o.Inbox().List()); n != 50 {
			t.Errorf("%d", n)
		}
	})
	t.Run("a rolled back transaction sends nothing", func(t *testing.T) {
		before := o.Inbox().List()[0].ID
		fail := errors.New("no")
		err := db.InTx(t.Context(), func(ctx context.Context) error {
			return errors.Join(o.Send(ctx, confirmation("a@example.test")), fail)
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
		o.work()
		if o.Inbox().List()[0].ID != before {
			t.Error("it was sent")
		}
	})
	t.Run("no such template", func(t *testing.T) {
		if err := o.Send(t.Context(), passportmail.Message{To: "a@example.test", Template: "../en"}); err == nil {
			t.Error("queued")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	db := storagetest.Open(t, storagetest.SQLite(t))
	good := newOffice(t, db, passportmail.Config{})
	for name, c := range map[string]passportmail.Config{
		"no host":         {SMTP: "smtp://"},
		"other scheme":    {SMTP: "http://u:topsecret@h"},
		"a path":          {SMTP: "smtp://u:topsecret@h/x"},
		"unknown option":  {SMTP: "smtp://u:topsecret@h?tls=no"},
		"bad starttls":    {SMTP: "smtp://u:topsecret@h?starttls=maybe"},
		"twice":           {SMTP: "smtp://u:topsecret@h?starttls=off&starttls=require"},
		"starttls in TLS": {SMTP: "smtps://u:topsecret@h?starttls=off"},
		"bad port":        {SMTP: "smtp://u:topsecret@h:99999"},
		"not a URL":       {SMTP: "smtp://u:topsecret@h:x%zz"},
		"no CA file":      {SMTP: "smtp://u:topsecret@h", CAFile: "/nonexistent"},
		"bad sender":      {From: "Name <a@x.test>"},
		"issuer's path":   {Issuer: "https://op.test/sub"},
	} {
		c.Queue, c.Now = good.queue, time.Now
		if c.Issuer == "" {
			c.Issuer = "https://op.test"
		}
		if _, err := passportmail.New(c); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
