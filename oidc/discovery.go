package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// scopes that this server gives a meaning to; a client's own ones are between it and its resource servers.
var scopesSupported = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// protocolClaims are in our tokens without anybody's asking or agreeing.
var protocolClaims = []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "c_hash", "sid"}

// consentable are the claims about a person: giving one takes the person's yes.
var consentable = func() map[string]bool {
	all := map[string]bool{}
	for _, scope := range scopesSupported {
		for _, name := range grant.ClaimsOf(scope) {
			all[name] = true
		}
	}
	return all
}()

// scopeGives reports whether one of the scopes has this claim in it.
func scopeGives(scopes []string, claim string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(grant.ClaimsOf(s), claim) })
}

// metadata is the server's description (Discovery §3, RFC 8414 §2): true things only, every default spelled
// out, for the defaults are not all what one would think (request_uri_parameter_supported is true).
func (p *Provider) metadata() map[string]any {
	at := func(path string) string { return p.cfg.Issuer + path }
	claims := slices.Clone(protocolClaims)
	for _, scope := range scopesSupported {
		claims = append(claims, grant.ClaimsOf(scope)...)
	}
	m := map[string]any{
		"issuer":                                p.cfg.Issuer,
		"authorization_endpoint":                at("/authorize"),
		"token_endpoint":                        at("/token"),
		"userinfo_endpoint":                     at("/userinfo"),
		"jwks_uri":                              at("/jwks.json"),
		"introspection_endpoint":                at("/introspect"),
		"revocation_endpoint":                   at("/revoke"),
		"end_session_endpoint":                  at("/end_session"),
		"check_session_iframe":                  at("/check_session"),
		"device_authorization_endpoint":         at("/device_authorization"),
		"pushed_authorization_request_endpoint": at("/par"),

		"response_types_supported":   client.ResponseTypes,
		"response_modes_supported":   responseModes,
		"grant_types_supported":      client.GrantTypes,
		"subject_types_supported":    client.SubjectTypes,
		"scopes_supported":           scopesSupported,
		"claim_types_supported":      []string{"normal"},
		"claims_supported":           claims,
		"prompt_values_supported":    p.prompts(),
		"display_values_supported":   []string{"page", "popup", "touch", "wap"},
		"ui_locales_supported":       p.cfg.Languages,
		"claims_parameter_supported": true,

		"id_token_signing_alg_values_supported":       client.SignedAlgs,
		"userinfo_signing_alg_values_supported":       client.SignedAlgs,
		"introspection_signing_alg_values_supported":  client.ServerAlgs,
		"request_object_signing_alg_values_supported": client.RequestAlgs,
		"code_challenge_methods_supported":            []string{"S256"},

		"authorization_response_iss_parameter_supported": true,
		"request_parameter_supported":                    true,
		"request_uri_parameter_supported":                true,
		"require_request_uri_registration":               true,
		"require_signed_request_object":                  false,
		"require_pushed_authorization_requests":          false,

		"frontchannel_logout_supported":         true,
		"frontchannel_logout_session_supported": true,
		"backchannel_logout_supported":          true,
		"backchannel_logout_session_supported":  true,
	}
	for _, endpoint := range []string{"token", "revocation", "introspection"} {
		methods := slices.Clone(client.AuthMethods)
		if endpoint == "introspection" {
			methods = slices.DeleteFunc(methods, func(s string) bool { return s == client.MethodNone })
		}
		m[endpoint+"_endpoint_auth_methods_supported"] = methods
		m[endpoint+"_endpoint_auth_signing_alg_values_supported"] = slices.Concat(client.KeyAlgs, client.SecretAlgs)
	}
	if len(p.cfg.ACRValues) > 0 {
		m["acr_values_supported"] = p.cfg.ACRValues
	}
	if p.cfg.Registration {
		m["registration_endpoint"] = at("/connect/register")
	}
	return m
}

// document is a public one, made once: its bytes and their strong validator (RFC 9110 §8.8.3).
type document struct {
	contentType string
	body        []byte
	etag        string
}

func newDocument(contentType string, value any) (document, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return document{}, fmt.Errorf("oidc: encode a document: %w", err)
	}
	return document{contentType, body, validator(body)}, nil
}

func validator(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// serve answers GET and HEAD with a document, or 304 to who has it already.
func serve(w http.ResponseWriter, r *http.Request, d document, maxAge int) error {
	h := w.Header()
	h.Set("ETag", d.etag)
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(maxAge))
	if matches(r.Header.Values("If-None-Match"), d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", d.contentType)
	h.Set("Content-Length", strconv.Itoa(len(d.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(d.body) // the answer is sent: a failure is the connection's
	}
	return nil
}

// matches: RFC 9110 §13.1.2, by weak comparison.
func matches(fields []string, etag string) bool {
	for _, tag := range strings.Split(strings.Join(fields, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// discoveryMaxAge: what changes in it changes with a new version of the server.
const discoveryMaxAge = 3600

func (p *Provider) serveDiscovery(w http.ResponseWriter, r *http.Request) error {
	return serve(w, r, p.discovery, discoveryMaxAge)
}

// changePassword is where password managers look for the page that changes the password (W3C, A Well-Known
// URL for Changing Passwords).
func (p *Provider) changePassword(w http.ResponseWriter, _ *http.Request) error {
	return seeOther(w, "/account/password")
}

// securityLife is how long a copy of security.txt may be believed (RFC 9116 §2.5.5).
const securityLife = 30 * 24 * time.Hour

// securityTxt: RFC 9116; whom it names is the operator's.
func (p *Provider) securityTxt(w http.ResponseWriter, r *http.Request) error {
	body := []byte("Contact: " + p.cfg.SecurityContact + "\n" +
		"Expires: " + p.cfg.Now().Add(securityLife).Truncate(24*time.Hour).Format(time.RFC3339) + "\n" +
		"Preferred-Languages: " + strings.Join(p.cfg.Languages, ", ") + "\n" +
		"Canonical: " + p.cfg.Issuer + "/.well-known/security.txt\n")
	return serve(w, r, document{"text/plain; charset=utf-8", body, validator(body)}, discoveryMaxAge)
}
