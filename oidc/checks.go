package oidc

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/passport-network/passport/oidc/client"
)

// checks are what a request must pass once it may be answered by redirect, in this order. The first two
// settle where and how even an error goes.
var checks = []func(p *Provider, ctx context.Context, q *request, v url.Values) *refusal{
	(*Provider).checkState,
	(*Provider).checkMode,
	(*Provider).checkShape,
	(*Provider).checkUnsupported,
	(*Provider).checkResponseType,
	(*Provider).checkPKCE,
	(*Provider).checkScope,
	(*Provider).checkResources,
	(*Provider).checkNonce,
	(*Provider).checkPrompt,
	(*Provider).checkMaxAge,
	(*Provider).checkClaims,
	(*Provider).checkHint,
}

// take keeps the parameters that mean something. An empty one is an absent one (RFC 6749 §3.1).
func (q *request) take(v url.Values) {
	for _, name := range parameterNames {
		if value, _ := single(v, name); value != "" {
			q.params.Set(name, value)
		}
	}
}

// check runs all checks; q is then complete. malformed: the encoding itself was broken.
func (p *Provider) check(ctx context.Context, q *request, v url.Values, malformed bool) *refusal {
	q.take(v)
	for _, check := range checks {
		if bad := check(p, ctx, q, v); bad != nil {
			return bad
		}
	}
	if malformed {
		return invalid("The request is not urlencoded.")
	}
	q.params.Del("id_token_hint") // it proves who somebody is: checked, and never stored
	if len(q.params.Encode()) > maxSaved {
		return invalid("The request is too large.")
	}
	return nil
}

func (p *Provider) checkState(_ context.Context, q *request, v url.Values) *refusal {
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
func (p *Provider) checkMode(_ context.Context, q *request, v url.Values) *refusal {
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
func (p *Provider) checkShape(_ context.Context, q *request, v url.Values) *refusal {
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

// checkUnsupported names what we do not do, instead of ignoring it (Core §3.1.2.6).
func (p *Provider) checkUnsupported(_ context.Context, q *request, _ url.Values) *refusal {
	if q.params.Has("registration") {
		return &refusal{"registration_not_supported", "registration is not supported."}
	}
	return nil
}

func (p *Provider) checkResponseType(_ context.Context, q *request, _ url.Values) *refusal {
	words := strings.Fields(q.params.Get("response_type"))
	if len(words) == 0 {
		return invalid("response_type is missing.")
	}
	slices.Sort(words) // their order is free (Multiple Response Types §3)
	name := strings.Join(words, " ")
	if !slices.Contains(client.ResponseTypes, name) {
		return &refusal{"unsupported_response_type", "This response_type is not supported."}
	}
	if !q.client.HasResponseType(name) {
		return &refusal{"unauthorized_client", "The client is not registered for this response_type."}
	}
	q.types = words
	switch {
	case q.gives("code") && !q.client.HasGrantType("authorization_code"):
		return &refusal{"unauthorized_client", "The client is not registered for the grant type authorization_code."}
	case (q.gives("token") || q.gives("id_token")) && !q.client.HasGrantType("implicit"):
		return &refusal{"unauthorized_client", "The client is not registered for the grant type implicit."}
	}
	q.params.Set("response_type", name)
	return nil
}

// gives reports whether the response has this in it: code, token, id_token.
func (q *request) gives(word string) bool { return slices.Contains(q.types, word) }

// checkPKCE: RFC 7636 §4.3–4.4.1, RFC 9700 §2.1.1. A challenge that is sent is always held to, also of a
// client that need not send one; plain protects from nobody who can read the request.
func (p *Provider) checkPKCE(_ context.Context, q *request, _ url.Values) *refusal {
	challenge, method := q.params.Get("code_challenge"), q.params.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return invalid("code_challenge is missing.")
	case challenge == "" && q.gives("code") && (q.client.RequirePKCE || q.client.Public()):
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
func (p *Provider) checkScope(_ context.Context, q *request, v url.Values) *refusal {
	scope := q.params.Get("scope")
	words := strings.Fields(scope)
	// D5: fosite's check is quadratic in the number of scopes.
	if len(scope) > maxScope || len(words) > maxScopes {
		return invalid("scope is too long.")
	}
	q.narrowed = v.Has(narrowedParam)
	for _, s := range words {
		switch {
		case slices.Contains(q.scopes, s):
		case !q.client.AllowsScope(s),
			// Core §11: offline access is a refresh token, which takes a code and a client that may refresh.
			s == "offline_access" && !(q.client.HasGrantType("refresh_token") && (q.gives("code") || q.isDevice)):
			q.narrowed = true
		default:
			q.scopes = append(q.scopes, s)
		}
	}
	q.params.Del("scope")
	if len(q.scopes) > 0 {
		q.params.Set("scope", strings.Join(q.scopes, " "))
	}
	if q.narrowed {
		q.params.Set(narrowedParam, "1")
	}
	if q.gives("id_token") && !slices.Contains(q.scopes, "openid") {
		return invalid("An ID token takes the scope openid.") // H24: else only half of it would come
	}
	return nil
}

// checkResources: RFC 8707 §2. What the client may not ask for has no token.
func (p *Provider) checkResources(_ context.Context, q *request, v url.Values) *refusal {
	resources, ok := client.ResourceParameters(v["resource"])
	if !ok {
		return &refusal{"invalid_target", "Too many resources are named."}
	}
	for _, s := range resources {
		if !q.client.MayAsk(s) {
			return &refusal{"invalid_target", "A resource is named that the client may not ask for."}
		}
	}
	if q.resources = resources; len(resources) > 0 {
		q.params["resource"] = resources
	}
	return nil
}

func (p *Provider) checkNonce(_ context.Context, q *request, _ url.Values) *refusal {
	switch nonce := q.params.Get("nonce"); {
	case len(nonce) > maxNonce:
		return invalid("nonce is too long.")
	case nonce == "" && q.gives("id_token"):
		return invalid("nonce is missing.") // Core §3.2.2.1, §3.3.2.11
	}
	return nil
}

func (p *Provider) checkPrompt(_ context.Context, q *request, _ url.Values) *refusal {
	q.prompt = strings.Fields(q.params.Get("prompt"))
	for _, word := range q.prompt {
		if !slices.Contains(p.prompts(), word) {
			return invalid("prompt has an unknown value.")
		}
	}
	if slices.Contains(q.prompt, "none") && len(q.prompt) > 1 {
		return invalid("prompt=none goes with no other value.")
	}
	return nil
}

// checkMaxAge: H17, fosite ignores 0 and everything that is no number.
func (p *Provider) checkMaxAge(_ context.Context, q *request, _ url.Values) *refusal {
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

// claimRequest is one claim's. Essential and Values are read for their shape alone: no claim's absence is an error (Core
// §5.5.1).
type claimRequest struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

func (p *Provider) checkClaims(_ context.Context, q *request, _ url.Values) *refusal {
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
				if json.Unmarshal(want.Value, &sub) != nil || sub == "" || !clean(sub) {
					return invalid("claims names no possible sub.")
				}
				q.who = append(q.who, p.knownAs(q.client, sub))
			}
			if consentable[name] && !scopeGives(q.scopes, name) && !slices.Contains(q.names, name) {
				q.names = append(q.names, name)
			}
		}
	}
	slices.SortFunc(q.names, cmp.Compare[string])
	return nil
}

// busy: the database did not answer.
var busy = &refusal{"temporarily_unavailable", "Please try again in a moment."}

// checkHint: requirement 33. What our own row carries was proven when the request arrived.
func (p *Provider) checkHint(ctx context.Context, q *request, v url.Values) *refusal {
	sub, view := v.Get(hintParam), v.Get(viewParam)
	if raw := q.params.Get("id_token_hint"); raw != "" {
		hint, err := p.cfg.Clients.ReadHint(ctx, raw)
		switch {
		case errors.Is(err, client.ErrHint):
			return invalid("id_token_hint is not an ID token of this server.")
		case err != nil:
			return busy
		}
		sub = hint.Subject
		if len(hint.Audience) == 1 {
			view = hint.Audience[0]
		}
	}
	if sub == "" {
		return nil
	}
	knower := q.client
	if view != q.client.ID {
		// The hint is another client's, which knows people by other subjects; one that is gone knew them publicly.
		known, err := p.cfg.Clients.Get(ctx, view)
		switch {
		case err == nil:
			knower = known
		case errors.Is(err, client.ErrNotFound):
			knower = &client.Client{}
		default:
			return busy
		}
	}
	q.who = append(q.who, p.knownAs(knower, sub))
	q.params.Set(hintParam, sub)
	q.params.Set(viewParam, view)
	return nil
}

// knownAs tells of an account whether a client knows it by this subject.
func (p *Provider) knownAs(c *client.Client, subject string) func(sub string) bool {
	return func(sub string) bool { return p.cfg.Clients.Subject(c, sub) == subject }
}

// fits reports whether the account with this sub may answer.
func (q *request) fits(sub string) bool {
	return !slices.ContainsFunc(q.who, func(is func(string) bool) bool { return !is(sub) })
}

// encoded and decoded are bytes as our own parameters carry them.
func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decoded(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}
