package oidc

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
	maxClientID  = 512
	maxClaims    = 4 << 10
	maxHint      = 8 << 10
	maxSaved     = 8 << 10 // an interaction's row
	maxAgeDigits = 9
)

// request is an authorization request whose client and redirect_uri are proven.
type request struct {
	params   url.Values // the known parameters, one value each, none empty
	client   *client.Client
	redirect string
	state    string // as sent, byte for byte; empty: none was sent
	mode     string // response mode, for errors too
	scopes   []string
	prompt   []string
	maxAge   int64    // seconds; -1: none
	subject  string   // only the account with this sub may answer it (id_token_hint, claims); empty: any
	names    []string // claims asked for by name, that no scope of it gives
}

// hintParam carries what an id_token_hint proved through our own row. Never read from the outside.
const hintParam = " sub"

// known are the parameters that mean something here; the others are ignored (Core §3.1.2.1) and not kept.
var known = []string{
	"acr_values", "claims", "claims_locales", "client_id", "code_challenge", "code_challenge_method", "display",
	"id_token_hint", "login_hint", "max_age", "nonce", "prompt", "redirect_uri", "registration", "request",
	"request_uri", "response_mode", "response_type", "scope", "state", "ui_locales",
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

// responseType is one that we serve.
type responseType struct {
	mode   string   // the default one (OAuth 2.0 Multiple Response Types §2.1)
	grants []string // the grant types that a client must have registered for it
}

// responseTypes, by their words in alphabetic order.
var responseTypes = map[string]responseType{
	"code": {mode: modeQuery, grants: []string{"authorization_code"}},
}

// Response modes.
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

var responseModes = []string{modeQuery, modeFragment, modeFormPost}

// prompts are the values of prompt (Core §3.1.2.1; Initiating User Registration 1.0).
var prompts = []string{"none", "login", "consent", "select_account", "create"}

// parameters reads the parameters of a GET's query, or of a POST's body and query together: one that stands
// in both is a doubled one (security case R13).
func parameters(w http.ResponseWriter, r *http.Request) (v url.Values, malformed bool, err error) {
	if len(r.URL.RequestURI()) > maxURL {
		return nil, false, &pageError{http.StatusRequestURITooLong, "error.request_too_large"}
	}
	v, bad := url.ParseQuery(r.URL.RawQuery)
	defer delete(v, hintParam) // ours alone
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

// prove finds the client and proves the redirect_uri: without both, nothing may be sent anywhere
// (RFC 6749 §4.1.2.1; security case R1).
func (p *Provider) prove(r *http.Request, v url.Values) (*request, error) {
	unknown := &pageError{http.StatusBadRequest, "error.client_unknown"}
	mismatch := &pageError{http.StatusBadRequest, "error.redirect_mismatch"}
	id, ok := single(v, "client_id")
	if !ok || id == "" || len(id) > maxClientID || !clean(id) {
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
	// Core §3.1.2.1: required. Plain OAuth requests get no exception: one rule less to get wrong (R6).
	uri, ok := single(v, "redirect_uri")
	if !ok || uri == "" || !clean(uri) || !c.MatchRedirect(uri) || !secure(uri) {
		return nil, mismatch
	}
	q := &request{params: url.Values{}, client: c, redirect: uri, mode: modeQuery, maxAge: -1}
	return q, nil
}

// secure is the second lock behind the registration's rules (H10): where a code may travel to.
func secure(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Fragment != "" {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		host := u.Hostname()
		return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "127.0.0.1" || host == "::1"
	}
	// RFC 8252 §7.1: a private-use scheme is a reversed domain name, so it has a dot; javascript and data have none.
	return strings.Contains(u.Scheme, ".")
}

// checks are what a request must pass once it may be answered by redirect, in this order. The first two
// settle where and how even an error goes.
var checks = []func(p *Provider, q *request, v url.Values) *refusal{
	(*Provider).checkState,
	(*Provider).checkMode,
	(*Provider).checkShape,
	(*Provider).checkUnsupported,
	(*Provider).checkResponseType,
	(*Provider).checkPKCE,
	(*Provider).checkScope,
	(*Provider).checkNonce,
	(*Provider).checkPrompt,
	(*Provider).checkMaxAge,
	(*Provider).checkClaims,
	(*Provider).checkHint,
}

// check runs all checks; q is then complete. malformed: the encoding itself was broken.
func (p *Provider) check(q *request, v url.Values, malformed bool) *refusal {
	for _, name := range known {
		// An empty parameter is an absent one (RFC 6749 §3.1).
		if value, _ := single(v, name); value != "" {
			q.params.Set(name, value)
		}
	}
	for _, check := range checks {
		if bad := check(p, q, v); bad != nil {
			return bad
		}
	}
	if malformed {
		return invalid("The request is not urlencoded.")
	}
	q.params.Del("id_token_hint") // it proves who somebody is: checked, and never stored
	if q.subject != "" {
		q.params.Set(hintParam, q.subject)
	}
	if len(q.params.Encode()) > maxSaved {
		return invalid("The request is too large.")
	}
	return nil
}

func (p *Provider) checkState(q *request, v url.Values) *refusal {
	state, ok := single(v, "state")
	switch {
	case !ok:
		return invalid("state is given more than once.")
	case len(state) > maxState:
		return invalid("state is too long.")
	case !clean(state):
		return invalid("state has characters that are not allowed.")
	}
	q.state = state
	return nil
}

// checkMode finds the response mode. Whatever else is wrong, an error goes where the response would have
// gone: a script that reads fragments never sees a query (H20).
func (p *Provider) checkMode(q *request, v url.Values) *refusal {
	for _, word := range strings.Fields(v.Get("response_type")) {
		if word == "token" || word == "id_token" {
			q.mode = modeFragment
		}
	}
	mode, ok := single(v, "response_mode")
	switch {
	case !ok:
		return invalid("response_mode is given more than once.")
	case mode == "":
		return nil
	case !slices.Contains(responseModes, mode):
		return invalid("response_mode is not supported.")
	case mode == modeQuery && q.mode == modeFragment:
		return invalid("response_mode query cannot carry tokens.") // Multiple Response Types §3
	}
	q.mode = mode
	return nil
}

// checkShape refuses what holds for parameters of any name.
func (p *Provider) checkShape(q *request, v url.Values) *refusal {
	if len(v) > maxParams {
		return invalid("The request has too many parameters.")
	}
	for name, values := range v {
		// RFC 6749 §3.1; H15. RFC 8707 §2 lets resource repeat.
		if len(values) > 1 && name != "resource" {
			return invalid("A parameter is given more than once.")
		}
		for _, value := range values {
			if !clean(name) || !clean(value) {
				return invalid("A parameter has characters that are not allowed.")
			}
		}
	}
	return nil
}

// checkUnsupported names what we do not do, instead of ignoring it: a request object may say something else
// than the parameters beside it (Core §6.1, H06).
func (p *Provider) checkUnsupported(q *request, _ url.Values) *refusal {
	switch {
	case q.params.Has("request"):
		return &refusal{"request_not_supported", "Request objects are not supported."}
	case q.params.Has("request_uri"):
		return &refusal{"request_uri_not_supported", "request_uri is not supported."}
	case q.params.Has("registration"):
		return &refusal{"registration_not_supported", "registration is not supported."}
	}
	return nil
}

func (p *Provider) checkResponseType(q *request, _ url.Values) *refusal {
	words := strings.Fields(q.params.Get("response_type"))
	if len(words) == 0 {
		return invalid("response_type is missing.")
	}
	slices.Sort(words) // their order is free (Multiple Response Types §3)
	name := strings.Join(words, " ")
	rt, ok := responseTypes[name]
	if !ok {
		return &refusal{"unsupported_response_type", "This response_type is not supported."}
	}
	if !q.client.HasResponseType(name) {
		return &refusal{"unauthorized_client", "The client is not registered for this response_type."}
	}
	for _, g := range rt.grants {
		if !q.client.HasGrantType(g) {
			return &refusal{"unauthorized_client", "The client is not registered for the grant type " + g + "."}
		}
	}
	q.params.Set("response_type", name)
	return nil
}

// checkPKCE: RFC 7636 §4.3–4.4.1, RFC 9700 §2.1.1. A challenge that is sent is always held to, also of a
// client that need not send one; plain protects from nobody who can read the request.
func (p *Provider) checkPKCE(q *request, _ url.Values) *refusal {
	challenge, method := q.params.Get("code_challenge"), q.params.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return invalid("code_challenge is missing.")
	case challenge == "" && (q.client.RequirePKCE || q.client.Public()):
		return invalid("code_challenge is required.")
	case challenge == "":
		return nil
	case method != "S256": // absent means plain (RFC 7636 §4.3)
		return invalid("code_challenge_method must be S256.")
	case len(challenge) != 43 || strings.ContainsFunc(challenge, notBase64URL):
		return invalid("code_challenge is not the base64url form of a SHA-256 hash.")
	}
	return nil
}

func notBase64URL(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

// checkScope keeps what we know and the client may have; the rest is ignored (Core §3.1.2.1).
func (p *Provider) checkScope(q *request, _ url.Values) *refusal {
	scope := q.params.Get("scope")
	words := strings.Fields(scope)
	// D5: fosite's check is quadratic in the number of scopes.
	if len(scope) > maxScope || len(words) > maxScopes {
		return invalid("scope is too long.")
	}
	for _, s := range words {
		if slices.Contains(q.scopes, s) || !q.client.AllowsScope(s) {
			continue
		}
		// Core §11: offline access is a refresh token, which takes a code and a client that may refresh.
		if s == "offline_access" && !q.client.HasGrantType("refresh_token") {
			continue
		}
		q.scopes = append(q.scopes, s)
	}
	q.params.Del("scope")
	if len(q.scopes) > 0 {
		q.params.Set("scope", strings.Join(q.scopes, " "))
	}
	return nil
}

func (p *Provider) checkNonce(q *request, _ url.Values) *refusal {
	if len(q.params.Get("nonce")) > maxNonce {
		return invalid("nonce is too long.")
	}
	return nil
}

func (p *Provider) checkPrompt(q *request, _ url.Values) *refusal {
	q.prompt = strings.Fields(q.params.Get("prompt"))
	for _, word := range q.prompt {
		if !slices.Contains(prompts, word) {
			return invalid("prompt has an unknown value.")
		}
	}
	if slices.Contains(q.prompt, "none") && len(q.prompt) > 1 {
		return invalid("prompt=none goes with no other value.")
	}
	return nil
}

// checkMaxAge: H17, fosite ignores 0 and everything that is no number.
func (p *Provider) checkMaxAge(q *request, _ url.Values) *refusal {
	sent := q.params.Get("max_age")
	if sent == "" {
		if d := q.client.Metadata.DefaultMaxAge; d != nil {
			q.maxAge = int64(*d)
		}
		return nil
	}
	n, err := strconv.ParseUint(sent, 10, 63)
	if err != nil || len(sent) > maxAgeDigits {
		return invalid("max_age is not a number of seconds.")
	}
	q.maxAge = int64(n)
	return nil
}

// claimsRequest is the claims parameter (Core §5.5).
type claimsRequest struct {
	UserInfo map[string]*claimRequest `json:"userinfo"`
	IDToken  map[string]*claimRequest `json:"id_token"`
}

type claimRequest struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

func (p *Provider) checkClaims(q *request, _ url.Values) *refusal {
	sent := q.params.Get("claims")
	if sent == "" {
		return nil
	}
	if len(sent) > maxClaims {
		return invalid("claims is too long.")
	}
	var asked *claimsRequest
	if err := json.Unmarshal([]byte(sent), &asked); err != nil || asked == nil {
		return invalid("claims is not the JSON object of OpenID Connect Core 5.5.")
	}
	for _, member := range []map[string]*claimRequest{asked.UserInfo, asked.IDToken} {
		for name, want := range member {
			if name == "sub" && want != nil && want.Value != nil {
				// Core §5.5.1: only that person may answer. It is a hint that cannot be wrong to honour.
				var sub string
				if json.Unmarshal(want.Value, &sub) != nil || sub == "" || !clean(sub) || (q.subject != "" && q.subject != sub) {
					return invalid("claims names no possible sub.")
				}
				q.subject = sub
			}
			if consentable[name] && !scopeGives(q.scopes, name) && !slices.Contains(q.names, name) {
				q.names = append(q.names, name)
			}
		}
	}
	slices.SortFunc(q.names, cmp.Compare[string])
	return nil
}

// checkHint: requirement 33. What our own row carries was proven when the request arrived.
func (p *Provider) checkHint(q *request, v url.Values) *refusal {
	sub := v.Get(hintParam)
	if raw := q.params.Get("id_token_hint"); raw != "" {
		var err error
		if sub, err = p.readHint(raw); err != nil {
			return invalid("id_token_hint is not an ID token of this server.")
		}
	}
	switch {
	case sub == "":
		return nil
	case q.subject != "" && q.subject != sub:
		return invalid("id_token_hint and claims name two people.")
	}
	q.subject = sub
	return nil
}
