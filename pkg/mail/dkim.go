package mail

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
	gomail "github.com/wneessen/go-mail"
)

// DKIM says with what mails are signed (RFC 6376); without a KeyFile they are not.
type DKIM struct {
	Domain   string // that answers for the mail; empty: the sender's
	Selector string // the key's name there: its record is SELECTOR._domainkey.DOMAIN
	KeyFile  string // PEM: RSA of at least 2048 bits (RFC 8301 §3.2), or Ed25519 (RFC 8463)
}

// signature is what DKIM became.
type signature struct {
	domain, selector string
	key              crypto.Signer
	kind             string // "rsa" or "ed25519", as the record says it
	record           string // to be published
}

// What is signed (RFC 6376 §5.4.1), and what is named once more than it is there: whoever adds another one, which programs
// may show in the first one's place, breaks the signature (§8.15).
var (
	signed   = []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted"}
	oversign = []string{"From", "To", "Subject", "Date", "Message-ID", "Cc", "Reply-To"}
)

// newSignature reads the key; nil when there is none. Its errors hold nothing of the file.
func newSignature(c DKIM, from string) (*signature, error) {
	if c.KeyFile == "" && c.Selector == "" && c.Domain == "" {
		return nil, nil
	}
	if c.KeyFile == "" || c.Selector == "" {
		return nil, errors.New("DKIM needs both a selector and a key file")
	}
	s := &signature{domain: c.Domain, selector: c.Selector}
	if s.domain == "" {
		_, s.domain, _ = strings.Cut(from, "@")
	}
	raw, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the DKIM key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("the DKIM key file is not PEM")
	}
	if s.key, err = parseKey(block); err != nil {
		return nil, err
	}
	var public []byte
	switch k := s.key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("the DKIM key has %d bits: at least 2048 are needed", k.N.BitLen())
		}
		s.kind = "rsa"
		if public, err = x509.MarshalPKIXPublicKey(&k.PublicKey); err != nil {
			return nil, fmt.Errorf("the DKIM key: %w", err)
		}
	case ed25519.PrivateKey: // RFC 8463 §4: the bare 32 bytes
		s.kind, public = "ed25519", k.Public().(ed25519.PublicKey)
	}
	s.record = "v=DKIM1; k=" + s.kind + "; p=" + base64.StdEncoding.EncodeToString(public)
	return s, nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if err == nil {
			return k, nil
		}
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, errors.New("the DKIM key file holds neither an RSA nor an Ed25519 private key")
}

// name is where the record stands.
func (s *signature) name() string { return s.selector + "._domainkey." + s.domain }

// sign puts the signature into the message, which must come out the same each time that it is written. go-mail could sign by
// itself, but breaks a long list of headers where it must not (v0.8.1).
func (s *signature) sign(m *gomail.Msg) error {
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: s.domain, Selector: s.selector, Signer: s.key, HeaderKeys: slices.Concat(signed, oversign),
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		return err
	}
	_, err = m.WriteTo(signer)
	if err = errors.Join(err, signer.Close()); err != nil {
		return err
	}
	name, value, _ := strings.Cut(signer.Signature(), ":")
	m.SetGenHeaderPreformatted(gomail.Header(name), strings.TrimSpace(value))
	return nil
}
