package oidc

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passport-network/passport/oidc/client"
)

// Sizes of an authorization request (security case D5), judged before anything looks into it.
const (
	maxURL       = 16 << 10 // → 414
	maxBody      = 64 << 10 // → 413
	maxParams    = 64
	maxState     = 2 << 10
	maxNonce     = 2 << 10
	maxScope     = 2 << 10
	maxScopes    = 50
	maxClaims    = 4 << 10
	maxSaved     = 8 << 10 // an interaction's row
	maxAgeDigits = 9
)

// request is an authorization request whose client and redirect_uri are proven; or a device's, which has none.
type request struct {
	params    url.Values // the known parameters, one value each (resource: any number), none empty
	client    *client.Client
	redirect  string
	state     string   // as sent, byte for byte; empty: none was sent
	mode      string   // response mode, for errors too
	types     []string // the words of response_type, in alphabetic order
	scopes    []string
	narrowed  bool // scopes were asked for that are left out
	resources []string
	prompt    []string
	maxAge    int64                   // seconds; -1: none
	who       []func(sub string) bool // only an account whose sub passes all may answer it (id_token_hint, claims)
	names     []string                // claims asked for by name, that no scope of it gives
	pushed    []byte                  // hash of the pushed request that it came as; nil: it came by itself
	isDevice  bool                    // it is a device's, not a browser's
	device    []byte                  // hash of the device code
	userCode  string                  // that the device shows
	deadline  time.Time               // of the device
}

// host is where the answer goes, for people. A device has no address: there the operator's word for the client counts,
// and without it nothing (a stranger's home page may be anybody's).
func (q *request) host() string {
	switch {
	case !q.isDevice:
		return client.HostOf(q.redirect)
	case q.client.Verified():
		return q.client.Host()
	}
	return ""
}

// Parameters of our own rows begin with a space. Never read from the outside: see parameters.
const (
	hintParam     = " sub"      // whom an id_token_hint proved
	viewParam     = " aud"      // the client that knows that person so
	narrowedParam = " narrowed" // scopes were left out
	pushedParam   = " pushed"   // hash of the pushed request
	deviceParam   = " device"   // hash of the device code
	userCodeParam = " code"     // the code that the device shows
	deadlineParam = " until"    // of the device, in seconds
)

// parameterNames are the parameters that mean something here; the others are ignored (Core §3.1.2.1) and not kept.
var parameterNames = []string{
	"acr_values", "claims", "claims_locales", "client_id", "code_challenge", "code_challenge_method", "display",
	"id_token_hint", "login_hint", "max_age", "nonce", "prompt", "redirect_uri", "registration", "response_mode",
	"response_type", "scope", "state", "ui_locales",
}

// refusal is an error for the client (RFC 6749 §4.1.2.1).
type refusal struct{ code, description string }

func invalid(description string) *refusal { return &refusal{"invalid_request", description} }

// pageError is an error for the person: client or redirect_uri are not proven, so nobody gets a redirect.
type pageError struct {
	status int
	key    string
}

func (e *pageError) Error() string { return "refused on a page: " + e.key }

// Response modes.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

var responseModes = []string{modeQuery, modeFragment, modeFormPost}

// prompts are the values of prompt that we take (Core §3.1.2.1). Where nobody registers unasked, create is as unknown as any
// other (Initiating User Registration 1.0 §4).
func (p *Provider) prompts() []string {
	all := []string{"none", "login", "consent", "select_account", "create"}
	if p.cfg.NoCreate {
		all = all[:len(all)-1]
	}
	return all
}

// parameters reads the parameters of a GET's query, or of a POST's body and query together: one that stands
// in both is a doubled one (security case R13).
func parameters(w http.ResponseWriter, r *http.Request) (v url.Values, malformed bool, err error) {
	if len(r.URL.RequestURI()) > maxURL {
		return nil, false, &pageError{http.StatusRequestURITooLong, "error.request_too_large"}
	}
	v, bad := url.ParseQuery(r.URL.RawQuery)
	defer func() { dropOurs(v) }()
	if r.Method != http.MethodPost {
		return v, bad != nil, nil
	}
	// H09: a multipart body would be spilled to files, so only urlencoded ones are read; D7: none unpacked.
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") || r.Header.Get("Content-Encoding") != "" {
		return nil, false, &pageError{http.StatusUnsupportedMediaType, "error.request_malformed"}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.ContentLength > maxBody {
		return nil, false, &pageError{http.StatusRequestEntityTooLarge, "error.request_too_large"}
	}
	body, readErr := readBody(r)
	if readErr != nil {
		return nil, false, readErr
	}
	posted, badBody := url.ParseQuery(body)
	for name, values := range posted {
		v[name] = append(v[name], values...)
	}
	return v, bad != nil || badBody != nil, nil
}

// dropOurs takes out what only our own rows may say.
func dropOurs(v url.Values) {
	for name := range v {
		if strings.HasPrefix(name, " ") {
			delete(v, name)
		}
	}
}

// single is the one value of a parameter; not ok when it stands there more than once.
func single(v url.Values, name string) (value string, ok bool) {
	if len(v[name]) > 1 {
		return "", false
	}
	return v.Get(name), true
}

// clean reports text that every store and header can hold: UTF-8 without control characters (R15).
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c == 0x7f })
}

// identify finds the client: without one nothing may be sent anywhere (RFC 6749 §4.1.2.1).
func (p *Provider) identify(r *http.Request, v url.Values) (*client.Client, error) {
	unknown := &pageError{http.StatusBadRequest, "error.client_unknown"}
	id, ok := single(v, "client_id")
	if !ok || id == "" || len(id) > client.MaxID || !clean(id) {
		return nil, unknown
	}
	c, err := p.client(r.Context(), id)
	switch {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, unknown
	case !c.Enabled():
		return nil, &pageError{http.StatusBadRequest, "error.client_disabled"}
	}
	return c, nil
}

// prove proves the redirect_uri (security case R1).
func prove(c *client.Client, v url.Values) (*request, error) {
	// Core §3.1.2.1: required. Plain OAuth requests get no exception: one rule less to get wrong (R6).
	uri, ok := single(v, "redirect_uri")
	if !ok || uri == "" || !clean(uri) || !c.MatchRedirect(uri) || !secure(uri) {
		return nil, &pageError{http.StatusBadRequest, "error.redirect_mismatch"}
	}
	q := &request{params: url.Values{}, client: c, redirect: uri, mode: modeQuery, maxAge: -1}
	if pushed := v.Get(pushedParam); pushed != "" {
		q.pushed = decoded(pushed)
		q.params.Set(pushedParam, pushed)
	}
	return q, nil
}

// secure is the second lock behind the registration's rules.
func secure(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && client.SecureRedirect(u)
}
