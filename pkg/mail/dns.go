package mail

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/publicsuffix"
)

// lookFor bounds each question to the DNS.
const lookFor = 5 * time.Second

// Resolver asks the DNS; *net.Resolver is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// NameServer asks one name server (HOST:PORT); empty: those of the system.
func NameServer(addr string) Resolver {
	if addr == "" {
		return &net.Resolver{}
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

// What was found of a record.
const (
	DNSOk      = "ok"
	DNSMissing = "missing"
	DNSWrong   = "wrong"
	DNSUnknown = "unknown" // the name server did not tell
	DNSOff     = "off"     // it is not ours to publish
)

// DNSCheck is what the DNS says of the sender in one respect.
type DNSCheck struct {
	Item    string   `json:"item"` // mx, spf, dkim, dmarc
	State   string   `json:"state"`
	Name    string   `json:"name"` // where it stands, or should
	Found   []string `json:"found"`
	Why     string   `json:"why"`
	Publish string   `json:"publish,omitempty"` // what should stand there
}

// Fine tells whether there is nothing to mend.
func (c DNSCheck) Fine() bool { return c.State == DNSOk || c.State == DNSOff }

// CheckDNS looks up what receivers ask the DNS about our mail.
func (m *Mailer) CheckDNS(ctx context.Context, r Resolver) []DNSCheck {
	_, domain, _ := strings.Cut(m.from, "@")
	return []DNSCheck{m.checkMX(ctx, r, domain), m.checkSPF(ctx, r, domain), m.checkDKIM(ctx, r), m.checkDMARC(ctx, r, domain)}
}

func (c DNSCheck) is(state, why string) DNSCheck {
	c.State, c.Why = state, why
	if c.Found == nil {
		c.Found = []string{}
	}
	if state == DNSOk || state == DNSOff || state == DNSUnknown {
		c.Publish = ""
	}
	return c
}

// failed is an answer that did not come.
func (c DNSCheck) failed() DNSCheck {
	return c.is(DNSUnknown, "the name server gave no answer")
}

// recordsOf are the TXT records of a name that begin with a tag; none is no error.
func recordsOf(ctx context.Context, r Resolver, name, begin string) (found []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	all, err := r.LookupTXT(ctx, name)
	if notThere(err) {
		return nil, nil
	}
	for _, t := range all {
		if len(t) >= len(begin) && strings.EqualFold(t[:len(begin)], begin) {
			found = append(found, t)
		}
	}
	return found, err
}

func notThere(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// checkMX: who takes the bounces. Many receivers refuse a sender that takes no mail.
func (m *Mailer) checkMX(ctx context.Context, r Resolver, domain string) DNSCheck {
	c := DNSCheck{Item: "mx", Name: domain, Publish: "10 (the host that takes mail for " + domain + ")"}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	list, err := r.LookupMX(ctx, domain)
	if err != nil && !notThere(err) {
		return c.failed()
	}
	for _, mx := range list {
		c.Found = append(c.Found, fmt.Sprintf("%d %s", mx.Pref, mx.Host))
	}
	switch {
	case len(list) == 0:
		return c.is(DNSMissing, "the sender's domain names no server that takes its mail: bounces are lost, and some receivers refuse the sender")
	case len(list) == 1 && list[0].Host == ".": // RFC 7505
		return c.is(DNSWrong, "the sender's domain says that it takes no mail: receivers refuse the sender")
	}
	return c.is(DNSOk, "bounces have a place to go")
}

// checkSPF: who may send for the domain (RFC 7208).
func (m *Mailer) checkSPF(ctx context.Context, r Resolver, domain string) DNSCheck {
	allow := "mx"
	if m.server != nil && !loopback(m.server.host) && net.ParseIP(m.server.host) == nil {
		allow += " a:" + m.server.host
	}
	c := DNSCheck{Item: "spf", Name: domain, Publish: "v=spf1 " + allow + " ~all"}
	found, err := recordsOf(ctx, r, domain, "v=spf1")
	if err != nil {
		return c.failed()
	}
	found = slices.DeleteFunc(found, func(t string) bool { return len(t) > 6 && t[6] != ' ' })
	c.Found = found
	switch {
	case len(found) == 0:
		return c.is(DNSMissing, "nothing says which servers may send for this domain")
	case len(found) > 1: // §4.5
		return c.is(DNSWrong, "there are several records: receivers take that for none")
	}
	words := strings.Fields(strings.ToLower(found[0]))
	switch {
	case slices.Contains(words, "+all"), slices.Contains(words, "all"):
		return c.is(DNSWrong, "it lets every server of the world send for this domain")
	case slices.ContainsFunc(words, func(w string) bool { return w == "-all" || w == "~all" || strings.HasPrefix(w, "redirect=") }):
		return c.is(DNSOk, "there is one; that it names your mail server is not checked")
	}
	return c.is(DNSWrong, "it does not say what servers that it does not name are: it should end with ~all or -all")
}

// checkDKIM: whether receivers find the key that we sign with.
func (m *Mailer) checkDKIM(ctx context.Context, r Resolver) DNSCheck {
	s := m.signature
	if s == nil {
		return DNSCheck{Item: "dkim"}.is(DNSOff, "mails are not signed here (dkim_key_file is not set); perhaps the mail server does")
	}
	c := DNSCheck{Item: "dkim", Name: s.name(), Publish: s.record}
	found, err := recordsOf(ctx, r, s.name(), "")
	if err != nil {
		return c.failed()
	}
	c.Found = found
	switch {
	case len(found) == 0:
		return c.is(DNSMissing, "receivers cannot check the signature: the key is not published")
	case len(found) > 1: // RFC 6376 §3.6.2.2: undefined
		return c.is(DNSWrong, "there are several records: receivers may take the wrong one")
	}
	tags := parseTags(found[0])
	raw, bad := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(tags["p"]), ""))
	kind := tags["k"]
	if kind == "" {
		kind = "rsa"
	}
	switch {
	case tags["v"] != "" && tags["v"] != "DKIM1":
		return c.is(DNSWrong, "it is no DKIM record")
	case tags["p"] == "":
		return c.is(DNSWrong, "it says that the key was revoked")
	case bad != nil || kind != s.kind || !same(s.key.Public(), kind, raw):
		return c.is(DNSWrong, "it is not the key that mails are signed with here")
	case tags["h"] != "" && !slices.Contains(strings.Split(tags["h"], ":"), "sha256"), tags["s"] != "" && tags["s"] != "*" && !slices.Contains(strings.Split(tags["s"], ":"), "email"):
		return c.is(DNSWrong, "it is not for mail, or not for SHA-256")
	case slices.Contains(strings.Split(tags["t"], ":"), "y"):
		return c.is(DNSWrong, "it says that you are only testing (t=y): receivers do not rely on it")
	}
	return c.is(DNSOk, "it is the key that mails are signed with")
}

// same compares the key of a record with ours. RSA keys are published in two forms (RFC 6376 §3.6.1 and its errata).
func same(ours crypto.PublicKey, kind string, raw []byte) bool {
	if kind == "ed25519" {
		k, ok := ours.(ed25519.PublicKey)
		return ok && k.Equal(ed25519.PublicKey(raw))
	}
	k, ok := ours.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return false
	}
	if found, err := x509.ParsePKIXPublicKey(raw); err == nil {
		return k.Equal(found)
	}
	found, err := x509.ParsePKCS1PublicKey(raw)
	return err == nil && k.Equal(found)
}

// parseTags reads "a=b; c=d" (RFC 6376 §3.2).
func parseTags(record string) map[string]string {
	tags := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(part, "=")
		tags[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return tags
}

// checkDMARC: what receivers do with mail in our name that proves nothing (RFC 7489).
func (m *Mailer) checkDMARC(ctx context.Context, r Resolver, domain string) DNSCheck {
	c := DNSCheck{Item: "dmarc", Name: "_dmarc." + domain, Publish: "v=DMARC1; p=quarantine; rua=mailto:postmaster@" + domain}
	found, err := recordsOf(ctx, r, c.Name, "v=DMARC1")
	whole := organization(domain)
	if err == nil && len(found) == 0 && whole != domain { // §6.6.3
		if found, err = recordsOf(ctx, r, "_dmarc."+whole, "v=DMARC1"); len(found) > 0 {
			c.Name = "_dmarc." + whole
		}
	}
	if err != nil {
		return c.failed()
	}
	c.Found = found
	switch {
	case len(found) == 0:
		return c.is(DNSMissing, "nothing says what receivers shall do with mail that only claims to be yours")
	case len(found) > 1:
		return c.is(DNSWrong, "there are several records: receivers take that for none")
	}
	record, err := dmarc.Parse(found[0])
	if err != nil {
		return c.is(DNSWrong, "it cannot be read")
	}
	if s := m.signature; s != nil {
		if aligned := s.domain == domain || record.DKIMAlignment != dmarc.AlignmentStrict && organization(s.domain) == whole; !aligned {
			return c.is(DNSWrong, "our signature is of "+s.domain+", which is not the sender's domain: it counts for nothing here")
		}
	}
	if record.Policy == dmarc.PolicyNone {
		return c.is(DNSOk, "there is one; it only has receivers report (p=none)")
	}
	return c.is(DNSOk, "receivers know what to do with mail that only claims to be yours")
}

// organization is the domain that was registered: example.co.uk of a.b.example.co.uk.
func organization(domain string) string {
	whole, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return whole
}
