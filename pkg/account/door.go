package account

import (
	_ "embed"
	"errors"
	"strings"
	"sync"
)

// ErrClosed: nobody registers here by themselves; the operator makes the accounts.
var ErrClosed = errors.New("registration is closed")

// ErrDomain: accounts may not have addresses of this domain any more.
var ErrDomain = errors.New("addresses of this domain may not be used")

// Door says who may register, and which addresses an account may have. The operator is not bound by it.
// Domains are in lower case and ASCII, as config.Load leaves them.
type Door struct {
	Closed     bool     // nobody
	Invitation bool     // who has an invitation
	Allow      []string // domains of addresses, with all below them; none: any
	Deny       []string // domains that may not, with all below them, whatever Allow says
	Disposable bool     // domains of the built-in list may not
}

// open tells whether somebody with this address can register without anybody's help.
func (d Door) open(canonical string) bool { return !d.Closed && !d.Invitation && d.lets(canonical) }

// lets tells whether an address may be used.
func (d Door) lets(canonical string) bool {
	_, domain, _ := strings.Cut(canonical, "@")
	if listed(d.Deny, domain) || d.Disposable && disposable(domain) {
		return false
	}
	return len(d.Allow) == 0 || listed(d.Allow, domain)
}

// still tells whether a registration that was begun before may go on: not with an address that may not be used any more.
// Who registered before the door was closed has the three days to confirm. The operator's accounts are not bound.
func (d Door) still(rec Record) error {
	if rec.FormID != "" && !d.lets(rec.Canonical) {
		return ErrDomain
	}
	return nil
}

//go:embed disposable.txt
var disposableList string

var disposables = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for domain := range strings.FieldsSeq(disposableList) {
		m[domain] = true
	}
	return m
})

// disposable tells whether mail of this domain is read by whoever asks, or is gone in minutes: well-known ones, by no means
// all. A domain below a listed one is too.
func disposable(domain string) bool {
	for ; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if disposables()[domain] {
			return true
		}
	}
	return false
}

func listed(list []string, domain string) bool {
	for _, entry := range list {
		if domain == entry || strings.HasSuffix(domain, "."+entry) {
			return true
		}
	}
	return false
}
