package account

import (
	"errors"
	"strings"
)

// ErrClosed: nobody registers here by themselves; the operator makes the accounts.
var ErrClosed = errors.New("registration is closed")

// Door says who may register, and which addresses an account may have. The operator is not bound by it.
// Domains are in lower case and ASCII, as config.Load leaves them.
type Door struct {
	Closed bool     // nobody
	Allow  []string // domains of addresses, with all below them; none: any
	Deny   []string // domains that may not, with all below them, whatever Allow says
}

// open tells whether somebody with this address can register without anybody's help.
func (d Door) open(canonical string) bool { return !d.Closed && d.lets(canonical) }

// lets tells whether an address may be used.
func (d Door) lets(canonical string) bool {
	_, domain, _ := strings.Cut(canonical, "@")
	if listed(d.Deny, domain) {
		return false
	}
	return len(d.Allow) == 0 || listed(d.Allow, domain)
}

func listed(list []string, domain string) bool {
	for _, entry := range list {
		if domain == entry || strings.HasSuffix(domain, "."+entry) {
			return true
		}
	}
	return false
}
