package client

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/passport-network/passport/pkg/keys"
)

// ValidateOptions tell on whose behalf a document is judged.
type ValidateOptions struct {
	// AllowLoopbackHTTP lets web clients use http://localhost, http://127.0.0.1 and http://[::1]: sites under
	// development, registered by the operator or under --dev.
	AllowLoopbackHTTP bool
	// Operator: the document is the operator's own, who may let a client introspect tokens of others.
	Operator bool
	// Trusted: the operator handed out a registration token for it. A stranger may ask for what OpenID Connect
	// gives a meaning to, and for nothing that a resource server may take for its own (security case G20).
	Trusted bool
	// Has is what the client has had until now, and may keep; nil: nothing.
	Has *Metadata
}

// may tells whether a client may have in a list what only the operator gives: if these are the operator's own words, or
// it had them before.
func (o ValidateOptions) may(list []string, had func(m *Metadata) []string) bool {
	return o.Operator || len(list) == 0 || o.Has != nil && subset(list, had(o.Has))
}

// What can be registered: exactly what the endpoints can do, in one place. A client is never registered with
// something that another part would have to refuse later, or to replace silently. Discovery publishes these very
// lists. Not to be changed.
var (
	AuthMethods   = []string{MethodBasic, MethodPost, MethodSecretJWT, MethodKeyJWT, MethodNone}
	ResponseTypes = []string{"code", "code id_token", "code id_token token", "code token", "id_token", "id_token token", "none"}
	GrantTypes    = []string{"authorization_code", "implicit", "refresh_token", "client_credentials", GrantDevice}
	SubjectTypes  = []string{"public", "pairwise"}

	ServerAlgs  = keys.Algs                                 // that our keys sign with
	SignedAlgs  = append(slices.Clone(ServerAlgs), "HS256") // that what a client gets can be signed with
	KeyAlgs     = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	SecretAlgs  = []string{"HS256", "HS384", "HS512"} // of a client's secret
	RequestAlgs = append(slices.Clone(KeyAlgs), "none")

	tokenFormats = []string{FormatOpaque, FormatJWT}
)

// GrantDevice is the device grant (RFC 8628 §3.4).
const GrantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// Formats of access tokens (access_token_format).
const (
	FormatOpaque = "opaque"
	FormatJWT    = "jwt" // RFC 9068
)

// StandardScopes are the scopes that a client of people gets when it names none.
const StandardScopes = "openid profile email address phone offline_access"

const (
	maxText  = 200
	maxScope = 4096
	maxList  = 100
	maxAge   = 10 * 365 * 24 * 3600
)

// Validate judges every member and fills in the defaults of RFC 7591 §2 and OpenID Connect Registration §2.
// A refusal is a *FieldError.
func (m *Metadata) Validate(opts ValidateOptions) error {
	m.defaults()
	for _, check := range []func(ValidateOptions) error{
		m.checkFlows, m.checkRedirects, m.checkLinks, m.checkTexts, m.checkScope, m.checkKeys, m.checkTokens,
		m.checkAlgorithms, m.checkSubject, m.checkResources,
	} {
		if err := check(opts); err != nil {
			return err
		}
	}
	return nil
}

func (m *Metadata) defaults() {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&m.ApplicationType, "web")
	set(&m.TokenEndpointAuthMethod, MethodBasic)
	set(&m.SubjectType, "public")
	set(&m.IDTokenSignedResponseAlg, "RS256")
	set(&m.AccessTokenFormat, FormatOpaque)
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = grantsFor(m.ResponseTypes)
	}
	if m.ResponseTypes == nil {
		m.ResponseTypes = []string{}
		if slices.Contains(m.GrantTypes, "authorization_code") {
			m.ResponseTypes = []string{"code"}
		}
	}
	if m.Scope == "" && m.people() {
		m.Scope = StandardScopes
	}
}

// grantsFor is the default of grant_types: authorization_code (RFC 7591 §2), unless the response types that were
// named need others.
func grantsFor(responses []string) []string {
	if len(responses) == 0 {
		return []string{"authorization_code"}
	}
	grants := []string{}
	code, implicit := kinds(responses)
	if code {
		grants = append(grants, "authorization_code")
	}
	if implicit {
		grants = append(grants, "implicit")
	}
	return grants
}

// kinds tells whether any of the response types has a code, and whether any has a token from the authorization
// endpoint.
func kinds(responses []string) (code, implicit bool) {
	for _, t := range responses {
		list := strings.Fields(t)
		code = code || slices.Contains(list, "code")
		implicit = implicit || slices.Contains(list, "token") || slices.Contains(list, "id_token")
	}
	return code, implicit
}

// people tells whether people allow the client something: at the authorization endpoint or on a device.
func (m *Metadata) people() bool {
	return len(m.ResponseTypes) > 0 || slices.Contains(m.GrantTypes, GrantDevice)
}

func oneOf(field, value string, list []string) error {
	if slices.Contains(list, value) {
		return nil
	}
	return refuse(field, "%q is not supported here; use one of: %s", value, strings.Join(list, ", "))
}

func unique(field string, list []string) error {
	if len(list) > maxList {
		return refuse(field, "must not have more than %d entries", maxList)
	}
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			return refuse(field, "has an entry twice")
		}
	}
	return nil
}

// checkFlows holds response types, grant types, authentication and application type to each other.
func (m *Metadata) checkFlows(ValidateOptions) error {
	if err := oneOf("token_endpoint_auth_method", m.TokenEndpointAuthMethod, AuthMethods); err != nil {
		return err
	}
	if err := oneOf("application_type", m.ApplicationType, []string{"web", "native"}); err != nil {
		return err
	}
	sorted := make([]string, len(m.ResponseTypes))
	for i, t := range m.ResponseTypes {
		sorted[i] = sortedWords(t)
		if err := oneOf("response_types", sorted[i], ResponseTypes); err != nil {
			return err
		}
	}
	if err := unique("response_types", sorted); err != nil {
		return err
	}
	if err := unique("grant_types", m.GrantTypes); err != nil {
		return err
	}
	for _, g := range m.GrantTypes {
		if err := oneOf("grant_types", g, GrantTypes); err != nil {
			return err
		}
	}
	return flowsAgree(m.GrantTypes, sorted, m.TokenEndpointAuthMethod == MethodNone)
}

// flowsAgree is the table of OpenID Connect Registration §2: which response type needs which grant type.
func flowsAgree(grants, responses []string, public bool) error {
	code, implicit := kinds(responses)
	switch has := func(g string) bool { return slices.Contains(grants, g) }; {
	case code && !has("authorization_code"):
		return refuse("grant_types", "a response type with code needs authorization_code")
	case implicit && !has("implicit"):
		return refuse("grant_types", "a response type with id_token or token needs implicit")
	case has("authorization_code") && !code:
		return refuse("response_types", "authorization_code needs a response type with code")
	case has("implicit") && !implicit:
		return refuse("response_types", "implicit needs a response type with id_token or token")
	case has("refresh_token") && !code && !has(GrantDevice):
		return refuse("grant_types", "refresh_token needs authorization_code or the device grant")
	case has("client_credentials") && public:
		// RFC 6749 §4.4: "MUST only be used by confidential clients".
		return refuse("grant_types", "client_credentials needs a client that authenticates")
	}
	return nil
}

// redirectRules are what redirect targets of this client may be (RFC 8252 §7, OpenID Connect Registration §2).
func (m *Metadata) redirectRules(opts ValidateOptions) uriRules {
	native := m.ApplicationType == "native"
	return uriRules{loopbackHTTP: native || opts.AllowLoopbackHTTP, private: native}
}

func (m *Metadata) checkRedirects(opts ValidateOptions) error {
	if len(m.ResponseTypes) > 0 && len(m.RedirectURIs) == 0 {
		return &FieldError{"redirect_uris", CodeRedirectURI, "at least one is needed"}
	}
	for _, field := range []struct {
		name, code string
		list       []string
	}{
		{"redirect_uris", CodeRedirectURI, m.RedirectURIs},
		{"post_logout_redirect_uris", CodeMetadata, m.PostLogoutRedirectURIs},
	} {
		if len(field.list) > maxURIs {
			return &FieldError{field.name, field.code, "must not have more than 100 entries"}
		}
		for i, s := range field.list {
			if reason := uriReason(s, m.redirectRules(opts)); reason != "" {
				return &FieldError{field.name, field.code, reason}
			}
			if slices.Contains(field.list[:i], s) {
				return &FieldError{field.name, field.code, "has an entry twice"}
			}
		}
	}
	return nil
}

// checkLinks judges every other URI: people, or this server, are sent there.
func (m *Metadata) checkLinks(opts ValidateOptions) error {
	links := map[string]string{
		"client_uri": m.ClientURI, "logo_uri": m.LogoURI, "policy_uri": m.PolicyURI, "tos_uri": m.TOSURI,
		"initiate_login_uri": m.InitiateLoginURI, "jwks_uri": m.JWKSURI,
		"backchannel_logout_uri": m.BackchannelLogoutURI, "frontchannel_logout_uri": m.FrontchannelLogoutURI,
	}
	for name, s := range m.Localized {
		if !strings.HasPrefix(name, "client_name#") {
			links[name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		s := links[name]
		if s == "" {
			continue
		}
		if reason := uriReason(s, uriRules{loopbackHTTP: opts.AllowLoopbackHTTP}); reason != "" {
			return refuse(name, "%s", reason)
		}
	}
	switch {
	case m.BackchannelLogoutSessionRequired && m.BackchannelLogoutURI == "":
		return refuse("backchannel_logout_session_required", "needs backchannel_logout_uri")
	case m.FrontchannelLogoutSessionRequired && m.FrontchannelLogoutURI == "":
		return refuse("frontchannel_logout_session_required", "needs frontchannel_logout_uri")
	}
	return m.checkRequestURIs(opts)
}

// maxRequestURI is what OpenID Connect Core §6.2 allows.
const maxRequestURI = 512

// checkRequestURIs: one may carry a fragment, the hash of what stands there (OpenID Connect Registration §2).
func (m *Metadata) checkRequestURIs(opts ValidateOptions) error {
	if err := unique("request_uris", m.RequestURIs); err != nil {
		return err
	}
	for _, s := range m.RequestURIs {
		base, _, _ := strings.Cut(s, "#")
		switch reason := uriReason(base, uriRules{loopbackHTTP: opts.AllowLoopbackHTTP}); {
		case reason != "":
			return refuse("request_uris", "%s", reason)
		case len(s) > maxRequestURI || !visible(s) || strings.Count(s, "#") > 1:
			return refuse("request_uris", "must not be longer than %d visible ASCII characters", maxRequestURI)
		}
	}
	return nil
}

// checkResources judges resource indicators: absolute URIs without a fragment (RFC 8707 §2).
func (m *Metadata) checkResources(opts ValidateOptions) error {
	for field, list := range map[string][]string{"resources": m.Resources, "resource_server_for": m.ResourceServerFor} {
		if err := unique(field, list); err != nil {
			return err
		}
		for _, s := range list {
			if reason := uriReason(s, uriRules{loopbackHTTP: opts.AllowLoopbackHTTP}); reason != "" {
				return refuse(field, "%s", reason)
			}
		}
	}
	switch {
	case !opts.may(m.ResourceServerFor, func(m *Metadata) []string { return m.ResourceServerFor }):
		return refuse("resource_server_for", "is set by the operator only")
	case len(m.ResourceServerFor) > 0 && m.TokenEndpointAuthMethod == MethodNone:
		return refuse("resource_server_for", "needs a client that authenticates")
	case !opts.Trusted && !opts.may(m.Resources, func(m *Metadata) []string { return m.Resources }):
		return refuse("resources", "is set by the operator, or with a registration token")
	}
	return nil
}

// checkTexts judges what people are shown.
func (m *Metadata) checkTexts(ValidateOptions) error {
	texts := map[string]string{"client_name": m.ClientName, "software_id": m.SoftwareID, "software_version": m.SoftwareVersion}
	if len(m.Localized) > maxList {
		return refuse("client_name", "has too many variants by language")
	}
	for name, s := range m.Localized {
		base, tag, _ := strings.Cut(name, "#")
		if _, err := language.Parse(tag); err != nil || len(tag) > 35 {
			return refuse(base, "has a variant whose language is no BCP 47 tag")
		}
		if s == "" {
			return refuse(name, "must not be empty")
		}
		if base == "client_name" {
			texts[name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if s := texts[name]; s != "" && !shown(s) {
			return refuse(name, "must be 1 to %d characters of text on one line, without directional overrides", maxText)
		}
	}
	if err := unique("contacts", m.Contacts); err != nil {
		return err
	}
	for _, s := range m.Contacts {
		if !shown(s) {
			return refuse("contacts", "each must be 1 to %d characters of text on one line", maxText)
		}
	}
	if err := unique("default_acr_values", m.DefaultACRValues); err != nil {
		return err
	}
	for _, s := range m.DefaultACRValues {
		if s == "" || len(s) > maxText || !visible(s) {
			return refuse("default_acr_values", "each must be 1 to %d visible ASCII characters", maxText)
		}
	}
	return nil
}

// shown tells whether a text may stand on a page in a client's name: one line, nothing invisible alone, and
// none of the characters that turn around how its neighbourhood reads.
func shown(s string) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText || strings.TrimSpace(s) != s {
		return false
	}
	visible := false
	for _, r := range s {
		switch {
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x2028, r == 0x2029,
			r == utf8.RuneError, r == 0xfeff:
			return false
		case unicode.IsGraphic(r) && !unicode.IsSpace(r):
			visible = true
		}
	}
	return visible
}

// checkScope judges scope: words of RFC 6749 §3.3, each once.
func (m *Metadata) checkScope(opts ValidateOptions) error {
	if m.Scope == "" {
		return nil
	}
	if len(m.Scope) > maxScope {
		return refuse("scope", "must not be longer than %d characters", maxScope)
	}
	list := strings.Split(m.Scope, " ")
	for _, word := range list {
		if word == "" || !visible(word) || strings.ContainsAny(word, `"\`) {
			return refuse("scope", "must be words of visible ASCII without quotes and backslashes, one space between them")
		}
		if !opts.Trusted && !slices.Contains(strings.Fields(StandardScopes), word) &&
			!opts.may([]string{word}, func(m *Metadata) []string { return strings.Fields(m.Scope) }) {
			return refuse("scope", "may hold %s only, without a registration token", StandardScopes)
		}
	}
	return unique("scope", list)
}

// checkTokens judges what goes into tokens.
func (m *Metadata) checkTokens(ValidateOptions) error {
	if err := oneOf("access_token_format", m.AccessTokenFormat, tokenFormats); err != nil {
		return err
	}
	if m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > maxAge) {
		return refuse("default_max_age", "must be 0 to %d seconds", maxAge)
	}
	return nil
}

// checkAlgorithms holds each algorithm to what can be done, and to what it needs: the secret or the keys.
func (m *Metadata) checkAlgorithms(ValidateOptions) error {
	authAlgs := map[string][]string{MethodSecretJWT: SecretAlgs, MethodKeyJWT: KeyAlgs}[m.TokenEndpointAuthMethod]
	if m.TokenEndpointAuthSigningAlg != "" && authAlgs == nil {
		return refuse("token_endpoint_auth_signing_alg", "is not used by %s", m.TokenEndpointAuthMethod)
	}
	for _, field := range []struct {
		name, value string
		list        []string
	}{
		{"id_token_signed_response_alg", m.IDTokenSignedResponseAlg, SignedAlgs},
		{"userinfo_signed_response_alg", m.UserinfoSignedResponseAlg, SignedAlgs},
		{"introspection_signed_response_alg", m.IntrospectionSignedResponseAlg, ServerAlgs},
		{"request_object_signing_alg", m.RequestObjectSigningAlg, RequestAlgs},
		{"token_endpoint_auth_signing_alg", m.TokenEndpointAuthSigningAlg, authAlgs},
	} {
		if field.value == "" {
			continue
		}
		if err := oneOf(field.name, field.value, field.list); err != nil {
			return err
		}
		if strings.HasPrefix(field.value, "HS") && !m.hasSecret() {
			return refuse(field.name, "%s needs a client with a client_secret", field.value)
		}
	}
	noKeys := len(m.JWKS) == 0 && m.JWKSURI == ""
	switch {
	case noKeys && m.TokenEndpointAuthMethod == MethodKeyJWT:
		return refuse("token_endpoint_auth_method", "private_key_jwt needs jwks or jwks_uri")
	case noKeys && slices.Contains(KeyAlgs, m.RequestObjectSigningAlg):
		return refuse("request_object_signing_alg", "%s needs jwks or jwks_uri", m.RequestObjectSigningAlg)
	case m.RequireSignedRequestObject && (noKeys || m.RequestObjectSigningAlg == "none"):
		return refuse("require_signed_request_object", "needs jwks or jwks_uri, and another request_object_signing_alg than none")
	}
	return nil
}

// hasSecret tells whether the client authenticates with a client_secret, in whatever way.
func (m *Metadata) hasSecret() bool {
	return slices.Contains([]string{MethodBasic, MethodPost, MethodSecretJWT}, m.TokenEndpointAuthMethod)
}

// needsSecretValue tells whether an HS* method or algorithm needs the secret itself: then it is kept sealed.
func (m *Metadata) needsSecretValue() bool {
	return m.TokenEndpointAuthMethod == MethodSecretJWT ||
		strings.HasPrefix(m.IDTokenSignedResponseAlg, "HS") || strings.HasPrefix(m.UserinfoSignedResponseAlg, "HS")
}
