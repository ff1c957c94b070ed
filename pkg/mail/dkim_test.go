package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	passportmail "github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// keyFile writes a private key as an operator has it.
func keyFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, "PRIVATE KEY", der)
}

// zone answers the DNS: TXT by name, and MX.
type zone struct {
	txt  map[string][]string
	mx   []*net.MX
	down bool
}

func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if z.down {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	if z.txt[name] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return z.txt[name], nil
}

func (z *zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if z.down {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	if z.mx == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return z.mx, nil
}

var (
	rsaKey, _                            = rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _                          = ed25519.GenerateKey(rand.Reader)
	_, otherKey, _                       = ed25519.GenerateKey(rand.Reader)
	dkimName                             = "pass._domainkey.mail.test"
	_              passportmail.Resolver = (*zone)(nil)
)

// TestDKIM: 4.19. What the mail server got is verified by somebody else's program, with the record that check-dns says is to be
// published.
func TestDKIM(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.Store) {
		for name, file := range map[string]string{
			"RSA": pkcs8(t, rsaKey), "RSA, PKCS #1": keyFile(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "Ed25519": pkcs8(t, edKey),
		} {
			t.Run(name, func(t *testing.T) {
				s := newSink(t, false)
				o := newOffice(t, db, passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile, From: "no-reply@mail.test", Brand: "Pasaporte ñ",
					DKIM: passportmail.DKIM{Selector: "pass", KeyFile: file}})
				m := confirmation("alice@example.test")
				m.Language = "es"
				o.send(m)
				if len(s.got) != 1 {
					t.Fatalf("%d mails", len(s.got))
				}
				record := publish(t, o, "dkim")
				verify := func(raw string) error {
					seen, err := dkim.VerifyWithOptions(strings.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
						if name != dkimName {
							t.Errorf("asked for %s", name)
						}
						return []string{record}, nil
					}})
					if err != nil || len(seen) != 1 {
						return errors.Join(err, errors.New("no signature"))
					}
					for _, h := range []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"} {
						if !slices.ContainsFunc(seen[0].HeaderKeys, func(k string) bool { return strings.EqualFold(k, h) }) {
							t.Errorf("%s is not signed", h)
						}
					}
					if seen[0].Domain != "mail.test" {
						t.Errorf("signed by %s", seen[0].Domain)
					}
					return seen[0].Err
				}
				raw := s.got[0].raw
				if err := verify(raw); err != nil {
					t.Fatalf("%v\n%s", err, raw)
				}
				for what, changed := range map[string]string{
					"a link":              strings.Replace(raw, token[:20], "X"+token[1:20], 1),
					"the recipient":       strings.Replace(raw, "alice@", "malice@", 1),
					"another sender":      "From: bank@evil.test\r\n" + raw,
					"another subject":     "Subject: your bank\r\n" + raw,
					"a place for answers": "Reply-To: bank@evil.test\r\n" + raw,
				} {
					if changed == raw || verify(changed) == nil {
						t.Errorf("%s was changed, and it verifies", what)
					}
				}
			})
		}
	})
	t.Run("no key, no signature", func(t *testing.T) {
		s := newSink(t, false)
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{SMTP: "smtp://" + s.addr, CAFile: s.caFile})
		o.send(confirmation("alice@example.test"))
		if len(s.got) != 1 || strings.Contains(s.got[0].raw, "DKIM-Signature") {
			t.Errorf("%v", s.got)
		}
	})
	t.Run("what is refused", func(t *testing.T) {
		short, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text := filepath.Join(t.TempDir(), "text")
		if err := os.WriteFile(text, []byte("topsecret"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{})
		for name, c := range map[string]passportmail.DKIM{
			"1024 bits": {Selector: "s", KeyFile: pkcs8(t, short)}, "an elliptic curve": {Selector: "s", KeyFile: pkcs8(t, curve)},
			"text": {Selector: "s", KeyFile: text}, "no file": {Selector: "s", KeyFile: text + "-not"}, "no selector": {KeyFile: pkcs8(t, edKey)},
			"no key": {Selector: "s"}, "a certificate": {Selector: "s", KeyFile: keyFile(t, "CERTIFICATE", []byte("x"))},
		} {
			_, err := passportmail.New(passportmail.Config{Issuer: "https://op.test", Queue: o.queue, Now: time.Now, DKIM: c})
			if err == nil || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// publish is the record that check-dns asks for where nothing is published.
func publish(t *testing.T, o *office, item string) string {
	t.Helper()
	for _, c := range o.CheckDNS(t.Context(), &zone{}) {
		if c.Item == item && c.State == passportmail.DNSMissing {
			return c.Publish
		}
	}
	t.Fatalf("%s is not missing in an empty zone", item)
	return ""
}

// TestCheckDNS: 4.19, what receivers ask the DNS.
func TestCheckDNS(t *testing.T) {
	db := storagetest.Open(t, storagetest.SQLite(t))
	o := newOffice(t, db, passportmail.Config{SMTP: "smtp://smtp.mail.test", From: "no-reply@mail.test", DKIM: passportmail.DKIM{Selector: "pass", KeyFile: pkcs8(t, rsaKey)}})
	good := func() *zone {
		return &zone{mx: []*net.MX{{Host: "in.mail.test.", Pref: 10}}, txt: map[string][]string{
			"mail.test":        {"unrelated=1", publish(t, o, "spf")},
			dkimName:           {publish(t, o, "dkim")},
			"_dmarc.mail.test": {publish(t, o, "dmarc")},
		}}
	}
	states := func(o *office, z *zone) string {
		var out []string
		for _, c := range o.CheckDNS(t.Context(), z) {
			if c.Why == "" || (c.State == passportmail.DNSMissing || c.State == passportmail.DNSWrong) != (c.Publish != "") {
				t.Errorf("%+v", c)
			}
			out = append(out, c.Item+"="+c.State)
		}
		return strings.Join(out, " ")
	}
	const fine = "mx=ok spf=ok dkim=ok dmarc=ok"
	if got := states(o, good()); got != fine {
		t.Errorf("what was told to be published: %s", got)
	}
	if got := states(o, &zone{}); got != "mx=missing spf=missing dkim=missing dmarc=missing" {
		t.Errorf("an empty zone: %s", got)
	}
	if got := states(o, &zone{down: true}); got != "mx=unknown spf=unknown dkim=unknown dmarc=unknown" {
		t.Errorf("no answer: %s", got)
	}
	if spf := publish(t, o, "spf"); !strings.Contains(spf, "a:smtp.mail.test") {
		t.Errorf("SPF does not name the mail server: %s", spf)
	}
	pkcs1 := "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))
	key := publish(t, o, "dkim")
	for name, c := range map[string]struct {
		change func(z *zone)
		want   string
	}{
		"null MX":             {func(z *zone) { z.mx = []*net.MX{{Host: "."}} }, "mx=wrong spf=ok dkim=ok dmarc=ok"},
		"two SPF":             {func(z *zone) { z.txt["mail.test"] = []string{"v=spf1 -all", "v=spf1 mx -all"} }, "mx=ok spf=wrong dkim=ok dmarc=ok"},
		"SPF of all":          {func(z *zone) { z.txt["mail.test"] = []string{"v=spf1 mx +all"} }, "mx=ok spf=wrong dkim=ok dmarc=ok"},
		"SPF without end":     {func(z *zone) { z.txt["mail.test"] = []string{"v=spf1 mx"} }, "mx=ok spf=wrong dkim=ok dmarc=ok"},
		"SPF elsewhere":       {func(z *zone) { z.txt["mail.test"] = []string{"V=SPF1 redirect=_spf.test"} }, fine},
		"no SPF of ours":      {func(z *zone) { z.txt["mail.test"] = []string{"v=spf10 -all"} }, "mx=ok spf=missing dkim=ok dmarc=ok"},
		"the key in parts":    {func(z *zone) { z.txt[dkimName] = []string{strings.Replace(key, "p=MI", "p=M I", 1)} }, fine},
		"the key in PKCS #1":  {func(z *zone) { z.txt[dkimName] = []string{pkcs1} }, fine},
		"another key":         {func(z *zone) { z.txt[dkimName] = []string{strings.Replace(key, "A", "B", 1)} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"a revoked key":       {func(z *zone) { z.txt[dkimName] = []string{"v=DKIM1; k=rsa; p="} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"a key of other kind": {func(z *zone) { z.txt[dkimName] = []string{strings.Replace(key, "k=rsa", "k=ed25519", 1)} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"two keys":            {func(z *zone) { z.txt[dkimName] = []string{key, key} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"not for mail":        {func(z *zone) { z.txt[dkimName] = []string{key + "; s=tlsrpt"} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"SHA-1 alone":         {func(z *zone) { z.txt[dkimName] = []string{key + "; h=sha1"} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"testing":             {func(z *zone) { z.txt[dkimName] = []string{key + "; t=y:s"} }, "mx=ok spf=ok dkim=wrong dmarc=ok"},
		"no policy":           {func(z *zone) { z.txt["_dmarc.mail.test"] = []string{"v=DMARC1"} }, "mx=ok spf=ok dkim=ok dmarc=wrong"},
		"two policies":        {func(z *zone) { z.txt["_dmarc.mail.test"] = []string{"v=DMARC1; p=none", "v=DMARC1; p=reject"} }, "mx=ok spf=ok dkim=ok dmarc=wrong"},
		"only reports":        {func(z *zone) { z.txt["_dmarc.mail.test"] = []string{"v=DMARC1; p=none"} }, fine},
	} {
		z := good()
		c.change(z)
		if got := states(o, z); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	t.Run("of a domain beneath one that has a policy", func(t *testing.T) {
		for _, c := range []struct{ domain, policy, want string }{
			{"", "v=DMARC1; p=reject", "dmarc=ok"}, {"mail.test", "v=DMARC1; p=reject", "dmarc=ok"},
			{"mail.test", "v=DMARC1; p=reject; adkim=s", "dmarc=wrong"}, {"other.test", "v=DMARC1; p=reject", "dmarc=wrong"},
		} {
			o := newOffice(t, db, passportmail.Config{From: "no-reply@news.mail.test", DKIM: passportmail.DKIM{Domain: c.domain, Selector: "pass", KeyFile: pkcs8(t, edKey)}})
			z := &zone{txt: map[string][]string{"_dmarc.mail.test": {c.policy}}}
			if got := states(o, z); !strings.HasSuffix(got, c.want) {
				t.Errorf("%+v: %s", c, got)
			}
		}
	})
	t.Run("an Ed25519 key", func(t *testing.T) {
		o := newOffice(t, db, passportmail.Config{From: "no-reply@mail.test", DKIM: passportmail.DKIM{Selector: "pass", KeyFile: pkcs8(t, edKey)}})
		z := &zone{txt: map[string][]string{dkimName: {publish(t, o, "dkim")}}}
		if got := states(o, z); !strings.Contains(got, "dkim=ok") {
			t.Error(got)
		}
		z.txt[dkimName] = []string{"k=ed25519; p=" + base64.StdEncoding.EncodeToString(otherKey.Public().(ed25519.PublicKey))}
		if got := states(o, z); !strings.Contains(got, "dkim=wrong") {
			t.Error(got)
		}
	})
	t.Run("not signed here", func(t *testing.T) {
		if got := states(newOffice(t, db, passportmail.Config{}), &zone{}); !strings.Contains(got, "dkim=off") {
			t.Error(got)
		}
	})
}

// TestFoot: 4.20, the operator's pages, and what a name from the right to the left does to the rest.
func TestFoot(t *testing.T) {
	db := storagetest.Open(t, storagetest.SQLite(t))
	for lang, words := range map[string][]string{"en": {"Help", "Privacy", "Terms"}, "es": {"Ayuda", "Privacidad", "Condiciones"}} {
		o := newOffice(t, db, passportmail.Config{Help: "https://help.test/?a=1&b=2", Privacy: "https://op.test/privacy", Terms: "https://op.test/terms"})
		bare := newOffice(t, db, passportmail.Config{})
		for _, name := range []string{"confirm", "newbrowser", "locked", "data", "changed", "welcome", "test"} {
			m := passportmail.Message{To: "alice@example.test", Name: "דנה <b>", Language: lang, Template: name,
				Data: map[string]string{"browser": "Firefox", "system": "Linux", "network": "203.0.113.0/24", "time": "2026-01-02 03:04 UTC", "alarm": token, "data": token, "recover": token, "confirm": token, "cancel": token}}
			o.send(m)
			bare.send(m)
			got, without := o.Inbox().List()[0], bare.Inbox().List()[0]
			for i, u := range []string{"https://help.test/?a=1&b=2", "https://op.test/privacy", "https://op.test/terms"} {
				if !strings.Contains(got.Text, "\n"+words[i]+": "+u+"\n") || !strings.Contains(got.HTML, `href="`+strings.ReplaceAll(u, "&", "&amp;")+`"`) || !strings.Contains(got.HTML, ">"+words[i]+"</a>") {
					t.Errorf("%s.%s: no %s in\n%s\n%s", name, lang, u, got.Text, got.HTML)
				}
				if strings.Contains(without.Text, words[i]+": ") || strings.Contains(without.HTML, ">"+words[i]+"</a>") {
					t.Errorf("%s.%s: %s without an address", name, lang, words[i])
				}
			}
			if strings.HasSuffix(without.Text, "\n\n") || !strings.Contains(got.HTML, ` dir="ltr">`) {
				t.Errorf("%s.%s: %q", name, lang, without.Text)
			}
			if strings.Contains(got.HTML, "דנה") && !strings.Contains(got.HTML, "<bdi>דנה &lt;b&gt;</bdi>") {
				t.Errorf("%s.%s: the name is not set apart", name, lang)
			}
		}
	}
}
