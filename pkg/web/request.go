package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
)

// request is what the shell knows of the request it serves.
type request struct {
	id     string
	nonce  string
	ip     netip.Addr
	route  string
	kind   Kind
	client string
	body   []byte // all of it, bounded
	flow   []byte // SHA-256 of the flow cookie once it was asked for
}

type requestKey struct{}

// of gives the shell's notes on r; a request that did not come through the shell (a test's) has empty ones.
func of(r *http.Request) *request {
	if q, ok := r.Context().Value(requestKey{}).(*request); ok {
		return q
	}
	return &request{}
}

func newRequest(r *http.Request, trusted []netip.Prefix) (*http.Request, *request) {
	var id, nonce [16]byte
	_, _ = rand.Read(id[:])    // crypto/rand.Read never fails since Go 1.24
	_, _ = rand.Read(nonce[:]) // CSP Level 3 §7.1: at least 128 bits, fresh for each response
	q := &request{
		id:    hex.EncodeToString(id[:8]),
		nonce: base64.RawURLEncoding.EncodeToString(nonce[:]),
		ip:    clientIP(r, trusted),
	}
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, q)), q
}

// ClientIP is the address of the client: the connection's, or what a trusted proxy says of it.
func ClientIP(r *http.Request) netip.Addr { return of(r).ip }

// Network is the network that a request came from, as people read it and no closer: a /24, or a /48.
func Network(r *http.Request) string {
	ip := ClientIP(r).Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// NoteClient names the client that the request is for in the log.
func NoteClient(r *http.Request, clientID string) { of(r).client = clientID }

// clientIP walks X-Forwarded-For from its trusted end: each hop that is one of our proxies may name the one
// before it. What does not parse is never believed: the last proxy's own address stands (CVE-2024-47070 let a
// broken header skip a check).
func clientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	if !contains(trusted, ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return ip
		}
		ip = hop.Unmap().WithZone("")
		if !contains(trusted, ip) {
			return ip
		}
	}
	return ip
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
