package outbound

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// allowed is the operator's list of exceptions, and the dialler that knows it.
type allowed struct {
	hosts    map[string]bool // "name" or "name:port"
	prefixes []netip.Prefix
	public   *ssrf.Guardian // public addresses on 443 and 80
}

func parseAllow(list []string) (allowed, error) {
	a := allowed{hosts: map[string]bool{}, public: ssrf.New()}
	for _, entry := range list {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if p, err := netip.ParsePrefix(entry); err == nil {
			a.prefixes = append(a.prefixes, p.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
			a.prefixes = append(a.prefixes, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
			continue
		}
		host := entry
		if h, port, err := net.SplitHostPort(entry); err == nil {
			if _, err := strconv.ParseUint(port, 10, 16); err == nil {
				host = h
			}
		}
		if host == "" || !plainHost(host) {
			// A wildcard or a URL would look listed and match nothing.
			return allowed{}, fmt.Errorf("outbound: %q is neither a host nor an address nor a network", entry)
		}
		a.hosts[entry] = true
	}
	return a, nil
}

// host tells whether a host:port is listed by its name or by its literal address.
func (a allowed) host(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(name); err == nil && a.address(ip) {
		return true
	}
	name = strings.ToLower(name)
	return a.hosts[name] || a.hosts[strings.ToLower(hostport)]
}

func (a allowed) address(ip netip.Addr) bool {
	ip = ip.Unmap()
	for _, p := range a.prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// dial connects, and judges the address after the name was resolved, on the socket that will be used: a name
// that resolves anew to something else is judged anew.
func (a allowed) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	d := net.Dialer{}
	if !a.host(hostport) {
		d.Control = func(network, address string, c syscall.RawConn) error {
			if ap, err := netip.ParseAddrPort(address); err == nil && a.address(ap.Addr()) {
				return nil
			}
			return a.public.Safe(network, address, c)
		}
	}
	return d.DialContext(ctx, network, hostport)
}
