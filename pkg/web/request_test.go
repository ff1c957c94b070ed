package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Whoever could choose his address would choose a new one for each guess.
func TestClientIP(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, c := range []struct {
		name, from string
		trusted    []netip.Prefix
		forwarded  []string
		want       string
	}{
		{"nobody is trusted", "10.0.0.1:1", nil, []string{"192.0.2.9"}, "10.0.0.1"},
		{"a stranger is not believed", "198.51.100.7:1", proxies, []string{"192.0.2.9"}, "198.51.100.7"},
		{"a proxy is", "10.0.0.1:1", proxies, []string{"192.0.2.9"}, "192.0.2.9"},
		{"over IPv6", "[2001:db8:1::5]:1", proxies, []string{"2001:db8:9::1"}, "2001:db8:9::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", proxies, []string{"::ffff:192.0.2.9"}, "192.0.2.9"},
		{"what the client wrote before the proxy's own", "10.0.0.1:1", proxies, []string{"1.1.1.1, 192.0.2.9"}, "192.0.2.9"},
		{"in a header of its own", "10.0.0.1:1", proxies, []string{"1.1.1.1", "192.0.2.9"}, "192.0.2.9"},
		{"two proxies", "10.0.0.1:1", proxies, []string{"1.1.1.1, 192.0.2.9, 10.9.9.9"}, "192.0.2.9"},
		{"proxies alone", "10.0.0.1:1", proxies, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", proxies, nil, "10.0.0.1"},
		{"no address", "10.0.0.1:1", proxies, []string{"a"}, "10.0.0.1"},
		{"no address, then one", "10.0.0.1:1", proxies, []string{"a, 192.0.2.9"}, "192.0.2.9"},
		{"an address, then none", "10.0.0.1:1", proxies, []string{"192.0.2.9, a"}, "10.0.0.1"},
		{"empty", "10.0.0.1:1", proxies, []string{""}, "10.0.0.1"},
		{"a zone", "10.0.0.1:1", proxies, []string{"fe80::1%eth0"}, "fe80::1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.from
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		r, _ = newRequest(r, c.trusted)
		if got := ClientIP(r).String(); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

// TestSharedHeaders: what one answer does to its headers is not seen by the next one.
func TestSharedHeaders(t *testing.T) {
	for k := Kind(0); k <= Frame; k++ {
		first, second := http.Header{}, http.Header{}
		setHeaders(first, k, "n1", true)
		for name, values := range first {
			first.Add(name, "more")
			first.Set(name, "another")
			if len(values) != 1 || cap(values) != 1 {
				t.Errorf("kind %d: %s has room for another value", k, name)
			}
		}
		setHeaders(second, k, "n2", true)
		if second.Get("Strict-Transport-Security") != twoYears || strings.Contains(second.Get("Content-Security-Policy"), "n1") {
			t.Errorf("kind %d: %v", k, second)
		}
		for name, values := range second {
			if len(values) != 1 || values[0] == "another" {
				t.Errorf("kind %d: %s is %q", k, name, values)
			}
		}
		plain := http.Header{}
		if setHeaders(plain, k, "n", false); plain.Get("Strict-Transport-Security") != "" || len(plain) != len(second)-1 {
			t.Errorf("kind %d without TLS: %v", k, plain)
		}
	}
}
