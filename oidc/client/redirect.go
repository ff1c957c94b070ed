package client

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// MatchRedirect tells whether uri is a redirect URI of the client: byte for byte one that it registered
// (RFC 9700 §2.1), or for a native client one on a loopback IP literal with another port (RFC 8252 §7.3).
// Nothing is parsed or normalised, so that no two readings of one URI can differ.
func (c *Client) MatchRedirect(uri string) bool {
	if uri == "" {
		return false
	}
	if slices.Contains(c.Metadata.RedirectURIs, uri) {
		return true
	}
	if !c.Native() {
		return false
	}
	rest, ok := loopbackRest(uri)
	return ok && slices.ContainsFunc(c.Metadata.RedirectURIs, func(registered string) bool {
		r, ok := loopbackRest(registered)
		// The same literal on both sides: 127.0.0.1 was not registered by who registered [::1].
		return ok && r == rest
	})
}

// MatchPostLogout tells whether uri is, byte for byte, a post-logout redirect URI of the client.
func (c *Client) MatchPostLogout(uri string) bool {
	return uri != "" && slices.Contains(c.Metadata.PostLogoutRedirectURIs, uri)
}

// loopbackRest splits an http URI on a loopback IP literal into what must be equal: the literal and all that
// follows the port. The port is absent or 1 to 65535 in plain digits. What follows must begin a path or a
// query, so that neither user information nor a longer host can hide behind the literal.
func loopbackRest(uri string) (string, bool) {
	for _, prefix := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(uri, prefix)
		if !ok {
			continue
		}
		if after, has := strings.CutPrefix(rest, ":"); has {
			end := strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
			if end < 0 {
				end = len(after)
			}
			if !validPort(after[:end]) {
				return "", false
			}
			rest = after[end:]
		}
		return prefix + rest, rest == "" || rest[0] == '/' || rest[0] == '?'
	}
	return "", false
}

// validPort accepts 1 to 65535 in plain digits, without leading zeros.
func validPort(digits string) bool {
	if digits == "" || len(digits) > 5 || digits[0] == '0' {
		return false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return err == nil && n > 0
}

// AllowsOrigin tells whether scripts of an origin may read this client's answers: an origin, as browsers
// write it, of a redirect URI of an enabled client.
func (c *Client) AllowsOrigin(origin string) bool {
	return c.Enabled() && slices.Contains(c.origins(), origin)
}

// origins are the origins of the redirect URIs: https ones, and plain http ones of a web client, which its
// validation held to loopback hosts. An http loopback redirect of a native client is no page.
func (c *Client) origins() []string {
	var list []string
	for _, s := range c.Metadata.RedirectURIs {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || c.Native()) {
			continue
		}
		if o := Origin(u); !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	return list
}

// Origin is the origin of an http or https URL as browsers write it: without the scheme's own port (RFC 6454 §6.2).
func Origin(u *url.URL) string {
	own := ":80"
	if u.Scheme == "https" {
		own = ":443"
	}
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, own)
}

// SecureRedirect tells where a code may travel at all, whatever is registered (H10): to https, to http on this machine,
// or to a private-use scheme. Such a scheme is a reversed domain name, so it has a dot (RFC 8252 §7.1); javascript and
// data have none.
func SecureRedirect(u *url.URL) bool {
	if u.User != nil || u.Fragment != "" {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		host := u.Hostname()
		return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "127.0.0.1" || host == "::1"
	}
	return strings.Contains(u.Scheme, ".")
}

// WithQuery appends parameters to a URI whose own query stays byte for byte (RFC 6749 §3.1.2).
func WithQuery(uri string, params url.Values) string {
	if len(params) == 0 {
		return uri
	}
	separator := "?"
	if _, query, has := strings.Cut(uri, "?"); has && query != "" {
		separator = "&"
	} else if has {
		separator = ""
	}
	return uri + separator + params.Encode()
}
