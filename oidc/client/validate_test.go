package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

func valid() client.Metadata {
	return client.Metadata{ClientName: "Shop", RedirectURIs: []string{"https://app.test/cb"}}
}

// refused demands a *FieldError for a field.
func refused(t *testing.T, err error, field, code string) {
	t.Helper()
	var f *client.FieldError
	if !errors.As(err, &f) || f.Field != field || f.Code != code || f.Reason == "" {
		t.Errorf("want %s for %s, got %v", code, field, err)
	}
}

var r2 = []string{
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "\x01javascript:alert(1)", "data:text/html,x",
	"vbscript:x", "file:///etc/passwd", "blob:https://app.test/x", "mailto:a@b", "https:evil.test", "https:/evil.test",
	"http:///cb", "https:///cb", "https://?x", "https://", "https://u:p@app.test/cb", "https://u@app.test/cb", "https://@app.test/cb",
	"https://app.test/cb#f", "https://app.test/cb#", "https://app.test/*", "https://*.app.test/cb", "http://app.test/cb",
	"https://[app.test]/", "https://app.test/" + strings.Repeat("a", 4096), "", "/cb", "//app.test/cb", "app.test/cb",
	`https://evil.test\@app.test/cb`, `https:\\evil.test`, "https://app.test:0/cb", "https://app.test:99999/cb", "https://app.test:/cb",
	"https://app.test./cb", "https://APP.test/cb", "HTTPS://app.test/cb", "https://a..b/cb", "https://-a.test/cb", "https://.test/",
	"https://127.1/cb", "https://2130706433/cb", "https://0x7f000001/cb", "https://256.1.1.1/cb", "https://[::ffff:127.0.0.1]/cb",
	"https://[::1%25lo]/cb", "https://[0:0:0:0:0:0:0:1]/cb", "https://app.test%2eevil.test/", "https://app.test/../cb",
	"https://app.test/a/%2E%2e/cb", "https://app.test/a/..;/cb", "https://app.test/cb%00", "https://app.test/cb%0d%0aX:1",
	"https://app.test/cb?a=%0a", "https://app.test/%zz", "https://app.test/cb?%zz", "https://app.test/c b", "https://app.test/%5c",
	"https://app.test/{x}", "https://app.test/<script>", "https://app.test/\"", "http://localhost.:1/cb", "http://localhost.evil.test/cb",
	"http://127.0.0.2/cb", "http://127.0.0.1.nip.io/cb", "ftp://app.test/", "ws://app.test/", "myapp:/cb",
}

var r5 = []string{
	"https://exämple.test/cb", "https://evil。test/", "https://ｅｖｉｌ.test/", "https://app.test/\u202egpj.cb", "https://app.test/ü",
	"https://xn--/cb", "https://xn--a.test/cb",
}

func TestR02DangerousURIs(t *testing.T) {
	members := map[string]func(*client.Metadata, string){
		"redirect_uris":             func(m *client.Metadata, s string) { m.RedirectURIs = append(m.RedirectURIs, s) },
		"post_logout_redirect_uris": func(m *client.Metadata, s string) { m.PostLogoutRedirectURIs = []string{s} },
		"client_uri":                func(m *client.Metadata, s string) { m.ClientURI = s },
		"logo_uri":                  func(m *client.Metadata, s string) { m.LogoURI = s },
		"policy_uri":                func(m *client.Metadata, s string) { m.PolicyURI = s },
		"tos_uri":                   func(m *client.Metadata, s string) { m.TOSURI = s },
		"initiate_login_uri":        func(m *client.Metadata, s string) { m.InitiateLoginURI = s },
		"backchannel_logout_uri":    func(m *client.Metadata, s string) { m.BackchannelLogoutURI = s },
		"frontchannel_logout_uri":   func(m *client.Metadata, s string) { m.FrontchannelLogoutURI = s },
		"jwks_uri":                  func(m *client.Metadata, s string) { m.JWKSURI = s },
		"client_uri#es":             func(m *client.Metadata, s string) { m.Localized = map[string]string{"client_uri#es": s} },
		"resources":                 func(m *client.Metadata, s string) { m.Resources = []string{s} },
		"resource_server_for":       func(m *client.Metadata, s string) { m.ResourceServerFor = []string{s} },
	}
	code := func(member string) string {
		if member == "redirect_uris" {
			return client.CodeRedirectURI
		}
		return client.CodeMetadata
	}
	for _, kind := range []string{"web", "native"} {
		for member, set := range members {
			for _, loopback := range []bool{false, true} {
				for _, uri := range slices.Concat(r2, r5) {
					m := valid()
					m.ApplicationType = kind
					set(&m, uri)
					err := m.Validate(client.ValidateOptions{AllowLoopbackHTTP: loopback, Operator: true})
					single := !strings.Contains(member, "redirect_uris") && member != "resources" && member != "resource_server_for"
					if uri == "" && single {
						if member == "client_uri#es" {
							refused(t, err, member, client.CodeMetadata)
						}
						continue // an empty member is an absent one
					}
					field := member
					t.Run(fmt.Sprintf("%s %s %q", kind, member, uri[:min(len(uri), 60)]), func(t *testing.T) {
						refused(t, err, field, code(member))
					})
				}
			}
		}
	}
	t.Run("101st URI", func(t *testing.T) {
		for _, member := range []string{"redirect_uris", "post_logout_redirect_uris"} {
			m := valid()
			var list []string
			for i := range 101 {
				list = append(list, fmt.Sprintf("https://app.test/%d", i))
			}
			if member == "redirect_uris" {
				m.RedirectURIs = list
			} else {
				m.PostLogoutRedirectURIs = list
			}
			refused(t, m.Validate(client.ValidateOptions{}), member, code(member))
		}
	})
}

func TestURIsThatMayBeRegistered(t *testing.T) {
	for _, x := range []struct {
		kind, uri string
		loopback  bool
		ok        bool
	}{
		{"web", "https://app.test/cb?x=1&y=%20", false, true},
		{"web", "https://xn--exmple-cua.test/cb", false, true},
		{"web", "https://app.test", false, true},
		{"web", "https://app.test:8443/a;b/c", false, true},
		{"web", "https://[2001:db8::1]:8443/cb", false, true},
		{"web", "https://192.0.2.1/cb", false, true},
		{"web", "https://my_app.internal/cb", false, true},
		{"web", "https://a-b.c--d.test/.well-known/cb", false, true},
		{"web", "http://localhost:3000/cb", false, false},
		{"web", "http://127.0.0.1:3000/cb", false, false},
		{"web", "http://localhost:3000/cb", true, true},
		{"web", "http://127.0.0.1/cb", true, true},
		{"web", "http://[::1]:3000/cb", true, true},
		{"web", "http://app.test/cb", true, false},
		{"web", "com.example.app:/cb", true, false},
		{"native", "http://localhost:3000/cb", false, true},
		{"native", "http://127.0.0.1/cb", false, true},
		{"native", "http://[::1]/cb", false, true},
		{"native", "https://app.test/cb", false, true},
		{"native", "com.example.app:/cb", false, true},
		{"native", "com.example.app://cb", false, true},
		{"native", "com.example.app://cb/x", false, true},
		{"native", "COM.example.app:/cb", false, false},
		{"native", "com.example.app:cb", false, false},
		{"native", "com..app:/cb", false, false},
		{"native", "com.example.:/cb", false, false},
		{"native", "com.example.app://u@cb/x", false, false},
		{"native", "com.example.app:/*", false, false},
		{"native", "http://app.test/cb", false, false},
	} {
		m := valid()
		m.ApplicationType, m.RedirectURIs = x.kind, []string{x.uri}
		err := m.Validate(client.ValidateOptions{AllowLoopbackHTTP: x.loopback})
		if x.ok != (err == nil) {
			t.Errorf("%s %q loopback %v: %v", x.kind, x.uri, x.loopback, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	m := valid()
	if err := m.Validate(client.ValidateOptions{}); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"redirect_uris":["https://app.test/cb"],"response_types":["code"],"grant_types":["authorization_code"],` +
		`"application_type":"web","client_name":"Shop","scope":"openid profile email address phone offline_access",` +
		`"token_endpoint_auth_method":"client_secret_basic","id_token_signed_response_alg":"RS256","subject_type":"public",` +
		`"access_token_format":"opaque"}`
	if string(body) != want {
		t.Errorf("%s", body)
	}
	m = client.Metadata{GrantTypes: []string{"client_credentials"}}
	if err := m.Validate(client.ValidateOptions{}); err != nil {
		t.Fatal(err)
	}
	if m.ResponseTypes == nil || len(m.ResponseTypes) != 0 || m.Scope != "" {
		t.Errorf("%+v", m)
	}
}

func TestFieldsRefused(t *testing.T) {
	age := func(n int64) *int64 { return &n }
	for name, x := range map[string]struct {
		field string
		edit  func(*client.Metadata)
	}{
		"no redirect URI":         {"redirect_uris", func(m *client.Metadata) { m.RedirectURIs = nil }},
		"redirect URI twice":      {"redirect_uris", func(m *client.Metadata) { m.RedirectURIs = []string{"https://a.test/", "https://a.test/"} }},
		"unknown auth method":     {"token_endpoint_auth_method", func(m *client.Metadata) { m.TokenEndpointAuthMethod = "tls_client_auth" }},
		"keys that are not there": {"token_endpoint_auth_method", func(m *client.Metadata) { m.TokenEndpointAuthMethod = "private_key_jwt" }},
		"auth method in capital":  {"token_endpoint_auth_method", func(m *client.Metadata) { m.TokenEndpointAuthMethod = "None" }},
		"application type":        {"application_type", func(m *client.Metadata) { m.ApplicationType = "desktop" }},
		"response type":           {"response_types", func(m *client.Metadata) { m.ResponseTypes = []string{"token"} }},
		"empty response type":     {"response_types", func(m *client.Metadata) { m.ResponseTypes = []string{""} }},
		"response type twice":     {"response_types", func(m *client.Metadata) { m.ResponseTypes = []string{"code", "code"} }},
		"no response type":        {"response_types", func(m *client.Metadata) { m.ResponseTypes = []string{} }},
		"G18 password":            {"grant_types", func(m *client.Metadata) { m.GrantTypes = []string{"authorization_code", "password"} }},
		"G18 two in one":          {"grant_types", func(m *client.Metadata) { m.GrantTypes = []string{"authorization_code refresh_token"} }},
		"grant type twice":        {"grant_types", func(m *client.Metadata) { m.GrantTypes = []string{"authorization_code", "authorization_code"} }},
		"code without its grant": {"grant_types", func(m *client.Metadata) {
			m.GrantTypes, m.ResponseTypes = []string{"client_credentials"}, []string{"code"}
		}},
		"refresh alone": {"grant_types", func(m *client.Metadata) { m.GrantTypes = []string{"refresh_token"} }},
		"G18 public client_credentials": {"grant_types", func(m *client.Metadata) {
			m.TokenEndpointAuthMethod, m.GrantTypes = "none", []string{"authorization_code", "client_credentials"}
		}},
		"id token alg none":  {"id_token_signed_response_alg", func(m *client.Metadata) { m.IDTokenSignedResponseAlg = "none" }},
		"id token alg HS512": {"id_token_signed_response_alg", func(m *client.Metadata) { m.IDTokenSignedResponseAlg = "HS512" }},
		"HS256 without a secret": {"id_token_signed_response_alg", func(m *client.Metadata) {
			m.TokenEndpointAuthMethod, m.IDTokenSignedResponseAlg = "none", "HS256"
		}},
		"userinfo alg":              {"userinfo_signed_response_alg", func(m *client.Metadata) { m.UserinfoSignedResponseAlg = "none" }},
		"introspection alg":         {"introspection_signed_response_alg", func(m *client.Metadata) { m.IntrospectionSignedResponseAlg = "HS256" }},
		"request object alg":        {"request_object_signing_alg", func(m *client.Metadata) { m.RequestObjectSigningAlg = "HS256" }},
		"request object alg, alone": {"request_object_signing_alg", func(m *client.Metadata) { m.RequestObjectSigningAlg = "ES256" }},
		"signed objects, no keys":   {"require_signed_request_object", func(m *client.Metadata) { m.RequireSignedRequestObject = true }},
		"auth signing alg":          {"token_endpoint_auth_signing_alg", func(m *client.Metadata) { m.TokenEndpointAuthSigningAlg = "RS256" }},
		"auth signing alg of another kind": {"token_endpoint_auth_signing_alg", func(m *client.Metadata) {
			m.TokenEndpointAuthMethod, m.TokenEndpointAuthSigningAlg = "client_secret_jwt", "RS256"
		}},
		"pairwise, an app's scheme with another's host": {"sector_identifier_uri", func(m *client.Metadata) {
			m.SubjectType, m.ApplicationType, m.RedirectURIs = "pairwise", "native", []string{"com.example.app://bank.test/cb"}
		}},
		"pairwise on a loopback address": {"sector_identifier_uri", func(m *client.Metadata) {
			m.SubjectType, m.ApplicationType, m.RedirectURIs = "pairwise", "native", []string{"http://127.0.0.1/cb"}
		}},
		"pairwise for a device, which proves no host": {"subject_type", func(m *client.Metadata) {
			m.SubjectType, m.GrantTypes = "pairwise", []string{"authorization_code", client.GrantDevice}
		}},
		"pairwise with another's sector and no address": {"subject_type", func(m *client.Metadata) {
			m.SubjectType, m.SectorIdentifierURI, m.ResponseTypes, m.RedirectURIs = "pairwise", "https://bank.test/s", nil, nil
			m.GrantTypes = []string{client.GrantDevice}
		}},
		"subject type": {"subject_type", func(m *client.Metadata) { m.SubjectType = "secret" }},
		"Q016 pairwise on two hosts": {"sector_identifier_uri", func(m *client.Metadata) {
			m.SubjectType, m.RedirectURIs = "pairwise", []string{"https://a.test/cb", "https://b.test/cb"}
		}},
		"sector":                        {"sector_identifier_uri", func(m *client.Metadata) { m.SectorIdentifierURI = "http://app.test/s" }},
		"request URIs":                  {"request_uris", func(m *client.Metadata) { m.RequestURIs = []string{"http://app.test/r#x"} }},
		"request URI with two hashes":   {"request_uris", func(m *client.Metadata) { m.RequestURIs = []string{"https://app.test/r#x#y"} }},
		"request URI too long":          {"request_uris", func(m *client.Metadata) { m.RequestURIs = []string{"https://app.test/" + strings.Repeat("r", 512)} }},
		"token format":                  {"access_token_format", func(m *client.Metadata) { m.AccessTokenFormat = "saml" }},
		"G20 resources by a stranger":   {"resources", func(m *client.Metadata) { m.Resources = []string{"https://api.test/"} }},
		"G20 scope by a stranger":       {"scope", func(m *client.Metadata) { m.Scope = "openid admin" }},
		"max age":                       {"default_max_age", func(m *client.Metadata) { m.DefaultMaxAge = age(-1) }},
		"name with a line":              {"client_name", func(m *client.Metadata) { m.ClientName = "a\nb" }},
		"name with NUL":                 {"client_name", func(m *client.Metadata) { m.ClientName = "a\x00b" }},
		"R15 name not UTF-8":            {"client_name", func(m *client.Metadata) { m.ClientName = "a\xff" }},
		"name turned around":            {"client_name", func(m *client.Metadata) { m.ClientName = "a\u202eb" }},
		"name invisible":                {"client_name", func(m *client.Metadata) { m.ClientName = "\u200b" }},
		"name too long":                 {"client_name", func(m *client.Metadata) { m.ClientName = strings.Repeat("ñ", 201) }},
		"variant's name":                {"client_name#es", func(m *client.Metadata) { m.Localized = map[string]string{"client_name#es": "a\nb"} }},
		"variant's language":            {"client_name", func(m *client.Metadata) { m.Localized = map[string]string{"client_name#!!": "a"} }},
		"contact":                       {"contacts", func(m *client.Metadata) { m.Contacts = []string{"a\r\nb"} }},
		"empty contact":                 {"contacts", func(m *client.Metadata) { m.Contacts = []string{""} }},
		"acr":                           {"default_acr_values", func(m *client.Metadata) { m.DefaultACRValues = []string{"a b"} }},
		"scope spaces":                  {"scope", func(m *client.Metadata) { m.Scope = "openid  email" }},
		"scope quote":                   {"scope", func(m *client.Metadata) { m.Scope = `openid "x"` }},
		"scope twice":                   {"scope", func(m *client.Metadata) { m.Scope = "openid openid" }},
		"scope long":                    {"scope", func(m *client.Metadata) { m.Scope = strings.Repeat("a", 5000) }},
		"session required alone":        {"backchannel_logout_session_required", func(m *client.Metadata) { m.BackchannelLogoutSessionRequired = true }},
		"front session required alone":  {"frontchannel_logout_session_required", func(m *client.Metadata) { m.FrontchannelLogoutSessionRequired = true }},
		"resource server by a stranger": {"resource_server_for", func(m *client.Metadata) { m.ResourceServerFor = []string{"https://api.test/"} }},
		"jwks and jwks_uri": {"jwks", func(m *client.Metadata) {
			m.JWKS, m.JWKSURI = json.RawMessage(publicKeySet), "https://app.test/k"
		}},
		"jwks private":   {"jwks", func(m *client.Metadata) { m.JWKS = json.RawMessage(privateKeySet) }},
		"jwks symmetric": {"jwks", func(m *client.Metadata) { m.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`) }},
		"jwks empty":     {"jwks", func(m *client.Metadata) { m.JWKS = json.RawMessage(`{"keys":[]}`) }},
		"jwks no object": {"jwks", func(m *client.Metadata) { m.JWKS = json.RawMessage(`[]`) }},
		"jwks broken":    {"jwks", func(m *client.Metadata) { m.JWKS = json.RawMessage(`{"keys":[{"kty":"EC"}]}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := valid()
			x.edit(&m)
			code := client.CodeMetadata
			if x.field == "redirect_uris" {
				code = client.CodeRedirectURI
			}
			refused(t, m.Validate(client.ValidateOptions{}), x.field, code)
		})
	}
}

const (
	publicKeySet  = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
	privateKeySet = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`
)

func TestFieldsAccepted(t *testing.T) {
	zero := int64(0)
	m := client.Metadata{
		RedirectURIs: []string{"https://app.test/cb"}, GrantTypes: []string{"refresh_token", "authorization_code", "client_credentials"},
		ClientName: "Tienda ñ 店 متجر 🛒", Localized: map[string]string{"client_name#es-MX": "Tienda", "tos_uri#es": "https://app.test/es"},
		Contacts: []string{"Ann <ann@app.test>"}, JWKS: json.RawMessage(publicKeySet), IDTokenSignedResponseAlg: "EdDSA",
		DefaultMaxAge: &zero, DefaultACRValues: []string{"urn:acr:1"}, Scope: "openid api:read", TokenEndpointAuthMethod: "client_secret_post",
		BackchannelLogoutURI: "https://app.test/out", BackchannelLogoutSessionRequired: true, Resources: []string{"https://api.test/"},
		ResourceServerFor: []string{"https://api.test/"},
	}
	if err := m.Validate(client.ValidateOptions{Operator: true}); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := json.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != string(twice) {
		t.Errorf("%s\n%s", body, twice)
	}
	if again.DefaultMaxAge == nil || *again.DefaultMaxAge != 0 {
		t.Error("max age 0 became none")
	}
}

func TestDecode(t *testing.T) {
	m, err := client.Decode([]byte(`{"client_name":"A","CLIENT_NAME":"B","client_name#es":"C","skip_consent":true,"require_pkce":false,
		"unknown":{"x":[1]},"contacts":null,"logo_uri#es":"https://a.test/l","dpop_bound_access_tokens":false,"client_name#":"x","foo#es":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if m.ClientName != "A" || m.Contacts != nil || len(m.Localized) != 2 || m.Local("client_name", "es-AR") != "C" {
		t.Errorf("%+v", m)
	}
	body, err := json.Marshal(m)
	if err != nil || strings.Contains(string(body), "skip") || strings.Contains(string(body), "pkce") {
		t.Errorf("%s %v", body, err)
	}
	for name, x := range map[string]struct{ document, field string }{
		"not JSON":       {`{`, "document"},
		"empty":          {``, "document"},
		"an array":       {`[]`, "document"},
		"a string":       {`"x"`, "document"},
		"null":           {`null`, "document"},
		"two documents":  {`{} {}`, "document"},
		"a member twice": {`{"client_name":"A","client_name":"B"}`, "document"},
		"not UTF-8":      {"{\"client_name\":\"\xff\"}", "document"},
		"too large":      {`{"client_name":"` + strings.Repeat("a", client.MaxDocument) + `"}`, "document"},
		"too deep":       {strings.Repeat(`{"a":`, 20000), "document"},
		"wrong type":     {`{"redirect_uris":"https://a.test/"}`, "redirect_uris"},
		"number":         {`{"client_name":1}`, "client_name"},
		"float age":      {`{"default_max_age":1.5}`, "default_max_age"},
		"text bool":      {`{"require_auth_time":"true"}`, "require_auth_time"},
		"variant number": {`{"client_name#es":1}`, "client_name#es"},
		"encryption":     {`{"id_token_encrypted_response_alg":"RSA-OAEP"}`, "id_token_encrypted_response_alg"},
		"dpop":           {`{"dpop_bound_access_tokens":true}`, "dpop_bound_access_tokens"},
		"par":            {`{"require_pushed_authorization_requests":"yes"}`, "require_pushed_authorization_requests"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Decode([]byte(x.document))
			refused(t, err, x.field, client.CodeMetadata)
		})
	}
}

func TestClientMethods(t *testing.T) {
	c := &client.Client{ID: "shop", Metadata: client.Metadata{
		ResponseTypes: []string{"code id_token", "code"}, GrantTypes: []string{"authorization_code"}, Scope: "openid email",
		ClientName: "Shop", Localized: map[string]string{"client_name#es": "Tienda", "client_name#pt-BR": "Loja"},
		RedirectURIs: []string{"https://cb.test:8443/cb"},
	}}
	for _, x := range []struct {
		name      string
		got, want any
	}{
		{"order is free", c.HasResponseType("id_token code"), true},
		{"not registered", c.HasResponseType("token"), false},
		{"empty type", c.HasResponseType(""), false},
		{"grant", c.HasGrantType("authorization_code"), true},
		{"grant in capitals", c.HasGrantType("Authorization_Code"), false},
		{"H30 scope", c.AllowsScope("email"), true},
		{"H30 scope in capitals", c.AllowsScope("Email"), false},
		{"H30 part of a scope", c.AllowsScope("mail"), false},
		{"two scopes", c.AllowsScope("openid email"), false},
		{"no scope", c.AllowsScope(""), false},
		{"host of the redirect", c.Host(), "cb.test:8443"},
		{"name es", c.LocalName("es-MX"), "Tienda"},
		{"name exact", c.LocalName("pt-br"), "Loja"},
		{"name other", c.LocalName("pt"), "Shop"},
		{"name none", c.LocalName(""), "Shop"},
		{"no name", (&client.Client{ID: "shop"}).LocalName("en"), "shop"},
		{"host of client_uri", (&client.Client{VerifiedAt: time.Unix(1, 0), Metadata: client.Metadata{ClientURI: "https://app.test/x", RedirectURIs: []string{"https://cb.test/"}}}).Host(), "app.test"},
		{"host of a stranger", (&client.Client{Metadata: client.Metadata{ClientURI: "https://bank.test/x", RedirectURIs: []string{"https://cb.test/"}}}).Host(), "cb.test"},
		{"host of a stranger without address", (&client.Client{Metadata: client.Metadata{ClientURI: "https://bank.test/x"}}).Host(), ""},
		{"host of an app", with("native", "com.example.app:/cb").Host(), "com.example.app"},
		{"no host", (&client.Client{}).Host(), ""},
	} {
		if x.got != x.want {
			t.Errorf("%s: %v", x.name, x.got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"redirect_uris":["https://a.test/"],"client_name#es":"x"}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := client.Decode(document)
		if err != nil || m.Validate(client.ValidateOptions{Operator: true}) != nil {
			return
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Decode(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	})
}
