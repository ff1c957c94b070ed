package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/storage/storagetest"
)

// nameServer is one that knows some records.
type nameServer struct {
	addr string
	mu   sync.Mutex
	txt  map[string]string
	mx   map[string]string
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{addr: conn.LocalAddr().String(), txt: map[string]string{}, mx: map[string]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := s.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

func (s *nameServer) answer(raw []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(raw); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := m.Questions[0]
	m.Response, m.Authoritative, m.RCode, m.Additionals = true, true, dnsmessage.RCodeNameError, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	name := strings.TrimSuffix(q.Name.String(), ".")
	if text := s.txt[name]; q.Type == dnsmessage.TypeTXT && text != "" {
		m.RCode = dnsmessage.RCodeSuccess
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.TXTResource{TXT: slices.Collect(parts(text))}})
	}
	if host := s.mx[name]; q.Type == dnsmessage.TypeMX && host != "" {
		m.RCode = dnsmessage.RCodeSuccess
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(host)}})
	}
	return m.Pack()
}

// parts are what a TXT record of more than 255 bytes consists of.
func parts(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(200, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// TestMailDNS: 4.19, over a name server: what is missing is told, and what was published as told is found.
func TestMailDNS(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	dns := newNameServer(t)
	shell := &accountShell{t: t, cfg: config.Config{Issuer: "https://passport.test", Secret: strings.Repeat("s", 32), Database: storagetest.SQLite(t),
		SMTPURL: "smtp://smtp.passport.test", MailFrom: "no-reply@passport.test", DKIMSelector: "pass", DKIMKeyFile: file}}
	check := func(args ...string) (list []mail.DNSCheck, err error) {
		t.Helper()
		out, err := shell.runCommand(mailCommand(shell.open), "", append([]string{"check-dns", "--json", "--server", dns.addr}, args...)...)
		if bad := json.Unmarshal([]byte(out), &list); bad != nil {
			t.Fatalf("%v: %s", bad, out)
		}
		return list, err
	}
	list, err := check()
	if err == nil || !strings.Contains(err.Error(), "4 of 4") || len(list) != 4 {
		t.Fatalf("an empty zone: %v, %+v", err, list)
	}
	for _, c := range list {
		if c.State != mail.DNSMissing || c.Publish == "" || c.Why == "" {
			t.Errorf("%+v", c)
		}
		if c.Item != "mx" {
			dns.mu.Lock()
			dns.txt[c.Name] = c.Publish
			dns.mu.Unlock()
		}
	}
	out, err := shell.runCommand(mailCommand(shell.open), "", "check-dns", "--server", dns.addr)
	if err == nil || !strings.Contains(out, "Publish for mx, as MX of passport.test:") || strings.Contains(out, "Publish for dkim") {
		t.Errorf("%v\n%s", err, out)
	}
	dns.mu.Lock()
	dns.mx["passport.test"] = "in.passport.test."
	dns.mu.Unlock()
	if list, err = check(); err != nil {
		t.Errorf("published as told: %v, %+v", err, list)
	}
	dns.mu.Lock()
	dns.txt["pass._domainkey.passport.test"] = "v=DKIM1; k=ed25519; p=" + strings.Repeat("A", 43) + "="
	dns.mu.Unlock()
	if list, err = check(); err == nil || list[2].State != mail.DNSWrong {
		t.Errorf("another key: %v, %+v", err, list)
	}
}
