package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxDocument bounds a client's document in bytes.
const MaxDocument = 256 << 10

// Codes of a refused registration (RFC 7591 §3.2.2).
const (
	CodeRedirectURI = "invalid_redirect_uri"
	CodeMetadata    = "invalid_client_metadata"
)

// FieldError says which member of a client's document is refused, and why, in words for its author.
type FieldError struct {
	Field  string
	Code   string // CodeRedirectURI or CodeMetadata
	Reason string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

func refuse(field, format string, args ...any) error {
	return &FieldError{Field: field, Code: CodeMetadata, Reason: fmt.Sprintf(format, args...)}
}

// Metadata is what a client registered, under the names of RFC 7591 §2, OpenID Connect Registration §2, the
// OpenID Connect logout specifications, and three of our own (access_token_format, resources,
// resource_server_for).
type Metadata struct {
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	ResponseTypes           []string `json:"response_types,omitzero"`
	GrantTypes              []string `json:"grant_types,omitempty"`
	ApplicationType         string   `json:"application_type,omitempty"`
	Contacts                []string `json:"contacts,omitempty"`
	ClientName              string   `json:"client_name,omitempty"`
	LogoURI                 string   `json:"logo_uri,omitempty"`
	ClientURI               string   `json:"client_uri,omitempty"`
	PolicyURI               string   `json:"policy_uri,omitempty"`
	TOSURI                  string   `json:"tos_uri,omitempty"`
	Scope                   string   `json:"scope,omitempty"`
	SoftwareID              string   `json:"software_id,omitempty"`
	SoftwareVersion         string   `json:"software_version,omitempty"`
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method,omitempty"`

	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`

	TokenEndpointAuthSigningAlg string `json:"token_endpoint_auth_signing_alg,omitempty"`
	IDTokenSignedResponseAlg    string `json:"id_token_signed_response_alg,omitempty"`
	UserinfoSignedResponseAlg   string `json:"userinfo_signed_response_alg,omitempty"`
	RequestObjectSigningAlg     string `json:"request_object_signing_alg,omitempty"`

	IntrospectionSignedResponseAlg string `json:"introspection_signed_response_alg,omitempty"` // RFC 9701 §6
	RequireSignedRequestObject     bool   `json:"require_signed_request_object,omitempty"`     // RFC 9101 §10.5
	RequirePushedRequests          bool   `json:"require_pushed_authorization_requests,omitempty"`

	SubjectType         string `json:"subject_type,omitempty"`
	SectorIdentifierURI string `json:"sector_identifier_uri,omitempty"`

	DefaultMaxAge    *int64   `json:"default_max_age,omitempty"` // seconds; nil: none
	RequireAuthTime  bool     `json:"require_auth_time,omitempty"`
	DefaultACRValues []string `json:"default_acr_values,omitempty"`
	InitiateLoginURI string   `json:"initiate_login_uri,omitempty"`
	RequestURIs      []string `json:"request_uris,omitempty"`

	PostLogoutRedirectURIs            []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI              string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired  bool     `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelLogoutURI             string   `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelLogoutSessionRequired bool     `json:"frontchannel_logout_session_required,omitempty"`

	AccessTokenFormat string   `json:"access_token_format,omitempty"` // "opaque", or "jwt" (RFC 9068)
	Resources         []string `json:"resources,omitempty"`           // RFC 8707: what it may ask for
	ResourceServerFor []string `json:"resource_server_for,omitempty"` // whose tokens it may introspect

	// Localized holds the variants by language (RFC 7591 §2.2): "client_name#es" → "…".
	Localized map[string]string `json:"-"`
}

// members lists each member of the document with where it goes.
func (m *Metadata) members() map[string]any {
	return map[string]any{
		"redirect_uris": &m.RedirectURIs, "response_types": &m.ResponseTypes, "grant_types": &m.GrantTypes,
		"application_type": &m.ApplicationType, "contacts": &m.Contacts, "client_name": &m.ClientName,
		"logo_uri": &m.LogoURI, "client_uri": &m.ClientURI, "policy_uri": &m.PolicyURI, "tos_uri": &m.TOSURI,
		"scope": &m.Scope, "software_id": &m.SoftwareID, "software_version": &m.SoftwareVersion,
		"token_endpoint_auth_method":            &m.TokenEndpointAuthMethod,
		"jwks":                                  &m.JWKS,
		"jwks_uri":                              &m.JWKSURI,
		"token_endpoint_auth_signing_alg":       &m.TokenEndpointAuthSigningAlg,
		"id_token_signed_response_alg":          &m.IDTokenSignedResponseAlg,
		"userinfo_signed_response_alg":          &m.UserinfoSignedResponseAlg,
		"request_object_signing_alg":            &m.RequestObjectSigningAlg,
		"introspection_signed_response_alg":     &m.IntrospectionSignedResponseAlg,
		"require_signed_request_object":         &m.RequireSignedRequestObject,
		"require_pushed_authorization_requests": &m.RequirePushedRequests,
		"subject_type":                          &m.SubjectType, "sector_identifier_uri": &m.SectorIdentifierURI,
		"default_max_age": &m.DefaultMaxAge, "require_auth_time": &m.RequireAuthTime,
		"default_acr_values": &m.DefaultACRValues, "initiate_login_uri": &m.InitiateLoginURI,
		"request_uris": &m.RequestURIs, "post_logout_redirect_uris": &m.PostLogoutRedirectURIs,
		"backchannel_logout_uri":               &m.BackchannelLogoutURI,
		"backchannel_logout_session_required":  &m.BackchannelLogoutSessionRequired,
		"frontchannel_logout_uri":              &m.FrontchannelLogoutURI,
		"frontchannel_logout_session_required": &m.FrontchannelLogoutSessionRequired,
		"access_token_format":                  &m.AccessTokenFormat, "resources": &m.Resources,
		"resource_server_for": &m.ResourceServerFor,
	}
}

// localizable are the members that have variants by language.
var localizable = []string{"client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri"}

// unheard are members that make a client safer, or that change what it can read. RFC 7591 §2 lets a server
// ignore what it does not know; to ignore these would be to promise them.
var unheard = []string{
	"id_token_encrypted_response_alg", "id_token_encrypted_response_enc",
	"userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc",
	"request_object_encryption_alg", "request_object_encryption_enc",
	"authorization_signed_response_alg", "authorization_encrypted_response_alg",
	"introspection_encrypted_response_alg", "introspection_encrypted_response_enc",
	"tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens",
	"backchannel_token_delivery_mode",
}

// Decode reads a client's document strictly: one JSON object of at most MaxDocument bytes of valid UTF-8, no
// member twice, member names byte for byte, each known member of its type. Unknown members are ignored
// (RFC 7591 §2), null is absence (RFC 7592 §2.2). It does not judge the values: see Validate. Whatever is
// wrong is a *FieldError.
//
// What only the operator decides (skip_consent, require_pkce) is no member of the document.
func Decode(document []byte) (Metadata, error) {
	var m Metadata
	raw, err := object(document)
	if err != nil {
		return m, refuse("document", "%v", err)
	}
	for _, name := range unheard {
		if v, ok := raw[name]; ok && !slices.Contains([]string{"null", "false", `""`}, string(v)) {
			return m, refuse(name, "is not supported")
		}
	}
	known := m.members()
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		value := raw[name]
		if string(value) == "null" {
			continue
		}
		if into, ok := known[name]; ok {
			if err := json.Unmarshal(value, into); err != nil {
				return m, refuse(name, "has the wrong JSON type")
			}
			continue
		}
		base, lang, tagged := strings.Cut(name, "#")
		if !tagged || lang == "" || !slices.Contains(localizable, base) {
			continue
		}
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return m, refuse(name, "has the wrong JSON type")
		}
		if m.Localized == nil {
			m.Localized = map[string]string{}
		}
		m.Localized[name] = s
	}
	return m, nil
}

// DecodeRegistered is Decode for a document that says whose it is as well: client_id and client_secret, empty where
// they are absent, are no metadata.
func DecodeRegistered(document []byte) (m Metadata, id, secret string, err error) {
	if m, err = Decode(document); err != nil {
		return m, "", "", err
	}
	members, err := object(document)
	if err != nil {
		return m, "", "", refuse("document", "%v", err)
	}
	for name, into := range map[string]*string{"client_id": &id, "client_secret": &secret} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, into) != nil {
			return m, "", "", refuse(name, "has the wrong JSON type")
		}
	}
	return m, id, secret, nil
}

// Document is what a client is told of its registration (RFC 7591 §3.2.1): its metadata, its id, and the secret where
// one was made just now.
func (c *Client) Document(secret string) (map[string]any, error) {
	raw, err := json.Marshal(c.Metadata)
	if err != nil {
		return nil, err
	}
	doc := map[string]any{}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	doc["client_id"], doc["client_id_issued_at"] = c.ID, c.CreatedAt.Unix()
	if secret != "" {
		doc["client_secret"], doc["client_secret_expires_at"] = secret, 0 // 0: never
	}
	return doc, nil
}

// object splits a JSON object into its members.
func object(document []byte) (map[string]json.RawMessage, error) {
	switch {
	case len(document) > MaxDocument:
		return nil, fmt.Errorf("is larger than %d bytes", MaxDocument)
	case !utf8.Valid(document):
		// The decoder would put U+FFFD in its place.
		return nil, errors.New("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(document))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("is not valid JSON")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("is not valid JSON")
		}
		key, _ := name.(string)
		if _, twice := members[key]; twice {
			return nil, fmt.Errorf("has the member %q twice", key)
		}
		members[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("is not valid JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after the JSON object")
	}
	return members, nil
}

// UnmarshalJSON is Decode.
func (m *Metadata) UnmarshalJSON(document []byte) error {
	decoded, err := Decode(document)
	if err != nil {
		return err
	}
	*m = decoded
	return nil
}

// MarshalJSON writes the document, the variants by language among its members.
func (m Metadata) MarshalJSON() ([]byte, error) {
	type plain Metadata
	body, err := json.Marshal(plain(m))
	if err != nil || len(m.Localized) == 0 {
		return body, err
	}
	members := map[string]any{}
	raw, err := object(body)
	if err != nil {
		return nil, err
	}
	for name, value := range raw {
		members[name] = value
	}
	for name, value := range m.Localized {
		members[name] = value
	}
	return json.Marshal(members)
}

// Local is a member (client_name, client_uri, logo_uri, policy_uri, tos_uri) in a language: the variant for
// the tag, else for its primary language, else the plain one. Tags compare without case (RFC 5646 §2.1.1).
func (m *Metadata) Local(member, lang string) string {
	primary, _, _ := strings.Cut(lang, "-")
	for _, tag := range []string{lang, primary} {
		for name, value := range m.Localized {
			if tag != "" && strings.EqualFold(name, member+"#"+tag) {
				return value
			}
		}
	}
	if s, ok := m.members()[member].(*string); ok {
		return *s
	}
	return ""
}
