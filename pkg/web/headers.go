package web

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The Content-Security-Policy parts.
const (
	cspBase   = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src 'self'; style-src 'self'; font-src 'self'"
	cspForms  = "; form-action 'self'"
	cspNone   = "default-src 'none'"
	cspNoCode = "; script-src 'none'"
	cspNonce  = "; script-src 'nonce-"
	cspCode   = "'; connect-src 'self'"
)

// permissions switches off what no page of ours asks a browser for; passkeys are ours alone.
const permissions = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), " +
	"publickey-credentials-get=(self), publickey-credentials-create=(self)"

// twoYears of HSTS.
const twoYears = "max-age=63072000; includeSubDomains"

// policy is the Content-Security-Policy of a kind of route.
func (k Kind) policy(nonce string) string {
	switch k {
	case Flow, FlowLink:
		return cspBase + cspNonce + nonce + cspCode
	case Consent:
		return cspBase + cspNoCode
	case Own, Landing:
		return cspBase + cspForms + cspNonce + nonce + cspCode
	case Link:
		return cspBase + cspForms
	case Redirect: // what it shows is an error page, or form_post, which sets its own
		return cspBase + cspNoCode
	}
	return cspNone
}

// setHeaders writes the headers of the route's kind before its handler runs, so that none can forget them.
// A handler may set its own Cache-Control (documents) or policy (the form_post page).
func setHeaders(h http.Header, k Kind, nonce string, https bool) {
	fixed := fixedHeaders
	if https {
		fixed = fixedHeadersHTTPS
	}
	maps.Copy(h, fixed[k])
	h["Content-Security-Policy"] = []string{k.policy(nonce)}
}

// What does not change from one request to the next is made once a kind. The values are shared by all answers: none has
// room for a second one, so that Add makes a new list, as Set does.
var fixedHeaders, fixedHeadersHTTPS = headersOfKinds(false), headersOfKinds(true)

func headersOfKinds(https bool) (all [Frame + 1]http.Header) {
	for k := range all {
		all[k] = http.Header{}
		headersOf(all[k], Kind(k), https)
	}
	return all
}

func headersOf(h http.Header, k Kind, https bool) {
	if https {
		h.Set("Strict-Transport-Security", twoYears)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Permissions-Policy", permissions)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	// strict-origin keeps Origin on our own form posts (no-referrer makes it "null") and leaks no path.
	h.Set("Referrer-Policy", "strict-origin")
	if k != Landing {
		h.Set("X-Robots-Tag", "noindex")
	}
	switch k {
	case API:
		h.Set("Referrer-Policy", "no-referrer")
	case Document:
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	case Asset:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	case Picture:
		// A copy is good for a day, not for ever: whoever takes a picture away wants it gone.
		h.Set("Cache-Control", "public, max-age=86400, immutable")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	case Frame:
		// Session Management §3.3: it stands in pages of other sites. It shows nothing that could be clicked.
		h.Del("X-Frame-Options")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("Cache-Control", "public, max-age=300")
	case Flow, Consent, Redirect:
		// Any other value cuts a pop-up from the site that opened it.
		h.Set("Cross-Origin-Opener-Policy", "unsafe-none")
	default:
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
}

// AllowSources lets further sources into a page's policy, by directive.
func AllowSources(w http.ResponseWriter, sources map[string][]string) {
	h := w.Header()
	directives := strings.Split(h.Get("Content-Security-Policy"), "; ")
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		i := slices.IndexFunc(directives, func(d string) bool { return strings.HasPrefix(d, name+" ") })
		if i < 0 {
			i = len(directives)
			directives = append(directives, name)
		}
		directives[i] += " " + strings.Join(sources[name], " ")
	}
	h.Set("Content-Security-Policy", strings.Join(directives, "; "))
}

// errorHeaders turns what is left of a route's headers into those of an error page: it is never cached and
// runs no script.
func errorHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	csp := cspBase + cspNoCode
	if strings.Contains(h.Get("Content-Security-Policy"), "form-action") {
		csp += cspForms
	}
	h.Set("Content-Security-Policy", csp)
}
