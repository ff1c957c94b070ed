package client

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

const (
	maxURIs = 100
	maxURI  = 2048
)

// uriRules say which schemes a URI may have.
type uriRules struct {
	loopbackHTTP bool // http on localhost, 127.0.0.1 and [::1]
	private      bool // private-use schemes with a dot (RFC 8252 §7.1)
}

// uriReason tells why a URI may not be registered; empty: it may. What is accepted reads alike in every
// browser, in net/url and byte for byte: the differences between these readings are the attacks.
func uriReason(s string, rules uriRules) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > maxURI:
		return "must not be longer than 2048 characters"
	case !visible(s):
		// Browsers map many of these to other characters, or drop them (RFC 3986 §2; CWE-1007).
		return "must be ASCII without spaces and control characters; internationalised names as xn--…"
	case strings.ContainsAny(s, "\\<>\"^`{|}"):
		return "must not contain any of \\ < > \" ^ ` { | }"
	case strings.Contains(s, "#"):
		return "must not have a fragment" // RFC 6749 §3.1.2
	case strings.Contains(s, "*"):
		return "must not contain a wildcard"
	}
	scheme, rest, found := strings.Cut(s, ":")
	if !found {
		return "must be an absolute URI"
	}
	u, err := url.Parse(s)
	if err != nil {
		return "is not a URI"
	}
	switch {
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "must not contain user information"
	case scheme == "https" || scheme == "http":
		return webReason(scheme, rest, u, rules)
	case strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"):
		return "must have its scheme in lower case"
	case rules.private:
		return privateReason(scheme, rest, u)
	}
	return "must begin with https://"
}

func webReason(scheme, rest string, u *url.URL, rules uriRules) string {
	authority, ok := strings.CutPrefix(rest, "//")
	if !ok || authority == "" || strings.ContainsRune("/?", rune(authority[0])) {
		// Browsers read a host out of https:host and http:///host; others do not.
		return "must have a host after " + scheme + "://"
	}
	if reason := hostReason(u); reason != "" {
		return reason
	}
	if scheme == "http" && !(rules.loopbackHTTP && loopbackHost(u.Hostname())) {
		if rules.loopbackHTTP {
			return "must begin with https:// (http:// is for localhost, 127.0.0.1 and [::1] only)"
		}
		return "must begin with https://"
	}
	return pathReason(u)
}

func loopbackHost(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// hostReason holds the host and port to one spelling.
func hostReason(u *url.URL) string {
	host := u.Hostname()
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()) {
		return "must have a port of 1 to 65535, or none"
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" || ip.Is4In6() || ip.String() != host {
			return "must have a valid host (an IPv6 address in its short form)"
		}
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return ""
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return "must have a valid host in lower case, without a dot at its end"
		}
	}
	// The last label decides: browsers read 127.1, 2130706433 and 0x7f000001 as IPv4 addresses.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "must have a name or an IP address in its usual form as host"
	}
	if strings.Contains(host, "xn--") {
		if ascii, err := idna.Lookup.ToASCII(host); err != nil || ascii != host {
			return "must have a valid internationalised host"
		}
	}
	if len(host) > 253 {
		return "must have a host of at most 253 characters"
	}
	return ""
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(label, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// pathReason refuses what a browser rewrites on the way, and encoded control characters.
func pathReason(u *url.URL) string {
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		plain := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		// "..;" is ".." to some servers.
		plain, _, _ = strings.Cut(plain, ";")
		if plain == "." || plain == ".." {
			return "must not contain . or .. as a path segment"
		}
	}
	if _, err := url.QueryUnescape(u.RawQuery); err != nil {
		return "must have a valid query"
	}
	lower := strings.ToLower(u.EscapedPath() + u.RawQuery)
	for i := range len(lower) - 2 {
		if lower[i] != '%' {
			continue
		}
		if hex := lower[i+1 : i+3]; hex < "20" || hex == "7f" || hex == "5c" {
			return "must not contain encoded control characters or backslashes"
		}
	}
	return ""
}

// privateReason judges a private-use scheme: the reversed domain name of its owner (RFC 8252 §7.1), which no
// browser gives a meaning of its own.
func privateReason(scheme, rest string, u *url.URL) string {
	labels := strings.Split(scheme, ".")
	if len(labels) < 2 || scheme[0] < 'a' || scheme[0] > 'z' {
		return "must begin with https://, or with a private-use scheme that has a dot, like com.example.app:/"
	}
	for _, label := range labels {
		if !validLabel(label) || strings.Contains(label, "_") {
			return "must have its scheme as a reversed domain name in lower case"
		}
	}
	if !strings.HasPrefix(rest, "/") {
		return "must have a / after the scheme"
	}
	if u.Host != "" || strings.HasPrefix(rest, "//") {
		if reason := hostReason(u); reason != "" {
			return reason
		}
	}
	return pathReason(u)
}
