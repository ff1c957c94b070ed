package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
)

// clientFlags are the flags that describe a client. Only those that were given count.
type clientFlags struct {
	file        string
	texts       client.Metadata // what flags were read into
	scopes      []string
	maxAge      int64
	requirePKCE bool
	skipConsent bool
	verified    bool // of set alone: whoever creates a client vouches for it
}

type textFlag struct {
	name, help string
	field      func(*client.Metadata) *string
}

var textFlags = []textFlag{
	{"name", "the name that people are shown", func(m *client.Metadata) *string { return &m.ClientName }},
	{"application-type", "web or native", func(m *client.Metadata) *string { return &m.ApplicationType }},
	{"token-endpoint-auth-method", "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none", func(m *client.Metadata) *string { return &m.TokenEndpointAuthMethod }},
	{"client-uri", "the site's home page", func(m *client.Metadata) *string { return &m.ClientURI }},
	{"logo-uri", "the site's logo: fetched once, shown from here", func(m *client.Metadata) *string { return &m.LogoURI }},
	{"policy-uri", "the site's privacy policy", func(m *client.Metadata) *string { return &m.PolicyURI }},
	{"tos-uri", "the site's terms of service", func(m *client.Metadata) *string { return &m.TOSURI }},
	{"initiate-login-uri", "where a sign-in at the site can be begun from outside", func(m *client.Metadata) *string { return &m.InitiateLoginURI }},
	{"jwks-uri", "where the site's public keys are; those themselves stand in --file, as jwks", func(m *client.Metadata) *string { return &m.JWKSURI }},
	{"token-endpoint-auth-signing-alg", "the one algorithm of its client assertions (default any)", func(m *client.Metadata) *string { return &m.TokenEndpointAuthSigningAlg }},
	{"id-token-signed-response-alg", "RS256, PS256, ES256, EdDSA or HS256 (default ES256)", func(m *client.Metadata) *string { return &m.IDTokenSignedResponseAlg }},
	{"userinfo-signed-response-alg", "signs what /userinfo says (default: plain JSON)", func(m *client.Metadata) *string { return &m.UserinfoSignedResponseAlg }},
	{"introspection-signed-response-alg", "signs what /introspect says, where asked for (default RS256)", func(m *client.Metadata) *string { return &m.IntrospectionSignedResponseAlg }},
	{"request-object-signing-alg", "the one algorithm of its request objects (default any; none: unsigned)", func(m *client.Metadata) *string { return &m.RequestObjectSigningAlg }},
	{"subject-type", "public, or pairwise: people are known to it by ids that no other site has", func(m *client.Metadata) *string { return &m.SubjectType }},
	{"sector-identifier-uri", "lists the redirect URIs of sites that share pairwise ids", func(m *client.Metadata) *string { return &m.SectorIdentifierURI }},
	{"access-token-format", "opaque, or jwt (RFC 9068)", func(m *client.Metadata) *string { return &m.AccessTokenFormat }},
	{"backchannel-logout-uri", "told, server to server, when a person signs out", func(m *client.Metadata) *string { return &m.BackchannelLogoutURI }},
	{"frontchannel-logout-uri", "opened in a frame when a person signs out", func(m *client.Metadata) *string { return &m.FrontchannelLogoutURI }},
	{"software-id", "the id of the software", func(m *client.Metadata) *string { return &m.SoftwareID }},
	{"software-version", "the version of the software", func(m *client.Metadata) *string { return &m.SoftwareVersion }},
}

type listFlag struct {
	name, help string
	field      func(*client.Metadata) *[]string
}

var listFlags = []listFlag{
	{"redirect-uri", "where people come back to after signing in", func(m *client.Metadata) *[]string { return &m.RedirectURIs }},
	{"post-logout-redirect-uri", "where people come back to after signing out", func(m *client.Metadata) *[]string { return &m.PostLogoutRedirectURIs }},
	{"grant-type", "authorization_code, implicit, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code", func(m *client.Metadata) *[]string { return &m.GrantTypes }},
	{"response-type", "code, id_token, \"id_token token\", \"code id_token\", \"code token\", \"code id_token token\", none", func(m *client.Metadata) *[]string { return &m.ResponseTypes }},
	{"request-uri", "where its request objects are", func(m *client.Metadata) *[]string { return &m.RequestURIs }},
	{"contact", "who answers for the site", func(m *client.Metadata) *[]string { return &m.Contacts }},
	{"default-acr-value", "the sign-in's strength, when a request names none", func(m *client.Metadata) *[]string { return &m.DefaultACRValues }},
	{"resource", "an API that the site may ask tokens for", func(m *client.Metadata) *[]string { return &m.Resources }},
	{"resource-server-for", "an API whose tokens the client may introspect", func(m *client.Metadata) *[]string { return &m.ResourceServerFor }},
}

type boolFlag struct {
	name, help string
	field      func(*client.Metadata) *bool
}

var boolFlags = []boolFlag{
	{"require-auth-time", "ID tokens always carry auth_time", func(m *client.Metadata) *bool { return &m.RequireAuthTime }},
	{"require-signed-request-object", "refuse requests that it did not sign (RFC 9101)", func(m *client.Metadata) *bool { return &m.RequireSignedRequestObject }},
	{"require-pushed-authorization-requests", "refuse requests that it did not push (RFC 9126)", func(m *client.Metadata) *bool { return &m.RequirePushedRequests }},
	{"backchannel-logout-session-required", "logout tokens carry sid", func(m *client.Metadata) *bool { return &m.BackchannelLogoutSessionRequired }},
	{"frontchannel-logout-session-required", "logout frames carry iss and sid", func(m *client.Metadata) *bool { return &m.FrontchannelLogoutSessionRequired }},
}

func (f *clientFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "file", "", "a client's document (RFC 7591), or - for standard input")
	for _, t := range textFlags {
		flags.StringVar(t.field(&f.texts), t.name, "", t.help)
	}
	for _, l := range listFlags {
		flags.StringArrayVar(l.field(&f.texts), l.name, nil, l.help+" (repeatable)")
	}
	for _, b := range boolFlags {
		flags.BoolVar(b.field(&f.texts), b.name, false, b.help)
	}
	flags.StringArrayVar(&f.scopes, "scope", nil, "a scope that may be asked for (repeatable)")
	flags.Int64Var(&f.maxAge, "default-max-age", -1, "seconds after which a sign-in is asked for again; -1: never")
	flags.BoolVar(&f.requirePKCE, "require-pkce", true, "refuse requests without PKCE; false only for a client with a secret")
	flags.BoolVar(&f.skipConsent, "skip-consent", false, "do not ask people for consent: the operator's own sites")
}

// apply lays the flags that were given over a document.
func (f *clientFlags) apply(cmd *cobra.Command, m *client.Metadata) {
	given := cmd.Flags().Changed
	for _, t := range textFlags {
		if given(t.name) {
			*t.field(m) = *t.field(&f.texts)
		}
	}
	for _, l := range listFlags {
		if given(l.name) {
			*l.field(m) = withoutEmpty(*l.field(&f.texts))
		}
	}
	for _, b := range boolFlags {
		if given(b.name) {
			*b.field(m) = *b.field(&f.texts)
		}
	}
	if given("scope") {
		m.Scope = strings.Join(strings.Fields(strings.Join(f.scopes, " ")), " ")
	}
	if given("default-max-age") {
		m.DefaultMaxAge = nil
		if f.maxAge != -1 {
			m.DefaultMaxAge = &f.maxAge
		}
	}
}

// withoutEmpty lets --redirect-uri "" empty a list. The list is not nil: it was given.
func withoutEmpty(list []string) []string {
	kept := []string{}
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// newClient makes a client out of the file, the flags over it, and the defaults of the command.
func (f *clientFlags) newClient(cmd *cobra.Command, id string) (c client.Client, secret string, err error) {
	if f.file != "" {
		if c.Metadata, c.ID, secret, err = readClientFile(cmd, f.file); err != nil {
			return c, "", err
		}
	}
	f.apply(cmd, &c.Metadata)
	if id != "" {
		c.ID = id
	}
	switch {
	case c.Metadata.ClientName == "":
		return c, "", &usageError{errors.New("a client needs a name: --name, or client_name in the file")}
	case c.Metadata.IDTokenSignedResponseAlg == "":
		// A client that leaves this out gets RS256 (OpenID Connect Registration §2). ES256 is 20 times cheaper to
		// sign, so the command registers it expressly.
		c.Metadata.IDTokenSignedResponseAlg = "ES256"
	}
	c.RequirePKCE, c.SkipConsent = f.requirePKCE, f.skipConsent
	return c, secret, nil
}

// edit changes a client as `passport client set` was told.
func (f *clientFlags) edit(cmd *cobra.Command, c *client.Client, now time.Time) error {
	if f.file != "" {
		m, id, secret, err := readClientFile(cmd, f.file)
		switch {
		case err != nil:
			return err
		case id != "" && id != c.ID:
			return errors.New("the file's client_id is another client's")
		case secret != "":
			return errors.New("a client_secret is not set by a file: see passport client rotate-secret")
		}
		c.Metadata = m
	}
	f.apply(cmd, &c.Metadata)
	if cmd.Flags().Changed("require-pkce") {
		c.RequirePKCE = f.requirePKCE
	}
	if cmd.Flags().Changed("verified") && f.verified != c.Verified() {
		c.VerifiedAt = time.Time{}
		if f.verified {
			c.VerifiedAt = now
		}
	}
	if cmd.Flags().Changed("skip-consent") {
		c.SkipConsent = f.skipConsent
	}
	if c.Metadata.ClientName == "" {
		return &usageError{errors.New("a client needs a name")}
	}
	return nil
}
