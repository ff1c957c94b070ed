package account

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321 §4.5.3.1: a local part of 64 octets, a path of 256 of which two are its brackets.
const (
	maxLocal   = 64
	maxDomain  = 253
	maxAddress = 254
	// maxTyped bounds what is looked at: a domain in Unicode may be longer typed than as A-labels are.
	maxTyped = 1024
)

// domains maps what people type as browsers do (UTS #46, non-transitional), and refuses what DNS hosts
// cannot be: letters, digits and hyphens, labels of 1 to 63.
var domains = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true), idna.BidiRule(), idna.CheckHyphens(true), idna.CheckJoiners(true),
)

// Canonical is the form in which addresses are compared. The local part is an ASCII dot-atom (RFC 5322
// §3.2.3), folded to lower case; the domain is turned into lower-case A-labels. Dots and plus signs stay:
// they mean something at some providers. It is made here and never by the database: lower() is not one
// function on both. Anything else is refused with a *FieldError of the field "register-email".
func Canonical(email string) (string, error) {
	_, canonical, err := parseAddress(email)
	return canonical, err
}

// parseField is parseAddress for a form whose field has another id than that of the registration.
func parseField(id, typed string) (send, canonical string, err error) {
	send, canonical, err = parseAddress(typed)
	var field *FieldError
	if errors.As(err, &field) {
		err = &FieldError{Field: id, Key: field.Key}
	}
	return send, canonical, err
}

// parseAddress gives the address to send to, trimmed, with its local part as typed and its domain in
// A-labels (what a mail server can be told without SMTPUTF8), and the canonical form.
func parseAddress(typed string) (send, canonical string, err error) {
	bad := &FieldError{Field: "register-email", Key: "error.email.invalid"}
	if len(typed) > maxTyped || !utf8.ValidString(typed) {
		return "", "", bad
	}
	local, domain, ok := strings.Cut(strings.Trim(typed, " \t\r\n"), "@")
	if !ok || !dotAtom(local) {
		return "", "", bad
	}
	// A second @, comments, quotes and address literals end here: none of their characters is in a host name.
	// Only the ASCII dot separates labels here: browsers map others to it, other mail programs do not.
	if strings.ContainsAny(domain, "。．｡") {
		return "", "", bad
	}
	domain, fail := domains.ToASCII(domain)
	if fail != nil || !hostName(domain) || len(local)+1+len(domain) > maxAddress {
		return "", "", bad
	}
	return local + "@" + domain, strings.ToLower(local) + "@" + domain, nil
}

func dotAtom(s string) bool {
	if s == "" || len(s) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAtext(atom[i]) {
				return false
			}
		}
	}
	return true
}

func isAtext(c byte) bool {
	return letterOrDigit(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func letterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// hostName checks what idna let through once more, letter by letter, and wants two labels at least of which
// the last is no number (an IPv4 address is no domain).
func hostName(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > maxDomain || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if !letterOrDigit(l[i]) && l[i] != '-' || 'A' <= l[i] && l[i] <= 'Z' {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
