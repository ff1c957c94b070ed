package client

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Authentication methods at the token endpoint (OpenID Connect Core §9) that exist here.
const (
	MethodNone      = "none"
	MethodBasic     = "client_secret_basic"
	MethodPost      = "client_secret_post"
	MethodSecretJWT = "client_secret_jwt"
	MethodKeyJWT    = "private_key_jwt"
)

// Client is a registered client. A *Client that a Registry returned is shared and never changed: copy it first.
type Client struct {
	ID          string // 1 to 512 visible ASCII characters
	Name        string // Metadata.ClientName, for lists
	Metadata    Metadata
	RequirePKCE bool
	SkipConsent bool   // the operator's own sites; never by registration
	Owner       string // an account; empty: the operator's
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DisabledAt  time.Time // zero: enabled
	VerifiedAt  time.Time // zero: not verified
	// RegisteredBy is who brought the client in: the operator (empty), ByToken or ByAnyone.
	RegisteredBy string
	UsedAt       time.Time // of a client ByAnyone: its first use; zero: it has never been used
	Secrets      []Secret  // at most two that live; newest first
	// RegistrationHash is the SHA-256 of the registration access token (RFC 7592); nil: there is none.
	RegistrationHash []byte
	LogoHash         string // of the picture that logo_uri led to, in its URL; empty: there is none
	Revision         int64  // the revision of topic "client" that last changed it
}

// Who may bring a client in, beside the operator.
const (
	ByToken  = "token"  // itself, with a registration token
	ByAnyone = "anyone" // itself, where registration is open
)

// Secret is one of a client's secrets as it is kept.
type Secret struct {
	ID        string
	Hash      []byte // HMAC-SHA-256; empty matches nothing
	Sealed    []byte // instead of Hash, while a method or algorithm needs the value itself
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never; set on the older one by a rotation
}

// Public tells whether the client cannot keep a secret (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.Metadata.TokenEndpointAuthMethod == MethodNone }

// Enabled tells whether the client may do anything at all.
func (c *Client) Enabled() bool { return c.DisabledAt.IsZero() }

// Verified tells whether the operator vouches for who the client is.
func (c *Client) Verified() bool { return !c.VerifiedAt.IsZero() }

// Stranger tells whether nothing is known of whoever acts as this client: it has no secret, or nobody vouches for it.
func (c *Client) Stranger() bool { return c.Public() || !c.Verified() }

// Native tells whether the client runs on a person's device (application_type, RFC 8252).
func (c *Client) Native() bool { return c.Metadata.ApplicationType == "native" }

// HasGrantType tells whether the client registered a grant type, byte for byte.
func (c *Client) HasGrantType(grantType string) bool {
	return slices.Contains(c.Metadata.GrantTypes, grantType)
}

// HasResponseType tells whether the client registered a response type; the order of its words is free
// (RFC 6749 §3.1.1).
func (c *Client) HasResponseType(responseType string) bool {
	want := sortedWords(responseType)
	return want != "" && slices.ContainsFunc(c.Metadata.ResponseTypes, func(t string) bool { return sortedWords(t) == want })
}

// AllowsScope tells whether the client may ask for a scope: exactly, case and all (RFC 6749 §3.3).
func (c *Client) AllowsScope(scope string) bool {
	return scope != "" && slices.Contains(strings.Fields(c.Metadata.Scope), scope)
}

// Host is where the client lives, for people, where no answer is about to go to an address of it (else: HostOf that
// address). client_uri counts only when the operator vouches for it: anybody can name the home of another.
func (c *Client) Host() string {
	if host := HostOf(c.Metadata.ClientURI); host != "" && c.Verified() {
		return host
	}
	for _, s := range c.Metadata.RedirectURIs {
		if host := HostOf(s); host != "" {
			return host
		}
	}
	return ""
}

// HostOf is what a person is shown of an address: its host, or the scheme of an app's. Internationalised names stay in
// their A-label form, so that a look-alike looks unlike.
func HostOf(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || uri == "":
		return ""
	case u.Scheme != "https" && u.Scheme != "http":
		return u.Scheme
	}
	return u.Host
}

// LocalName is the client's name in a language (a BCP 47 tag): the variant registered for it, else for its
// primary language, else the plain name, else the id.
func (c *Client) LocalName(lang string) string {
	if name := c.Metadata.Local("client_name", lang); name != "" {
		return name
	}
	return c.ID
}

// live are the secrets that count at a time.
func (c *Client) live(now time.Time) []Secret {
	return slices.DeleteFunc(slices.Clone(c.Secrets), func(s Secret) bool {
		return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt)
	})
}

func sortedWords(s string) string {
	list := strings.Fields(s)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// IDTokenAlg is the algorithm of the client's ID tokens and of its logout tokens (OpenID Connect Registration §2).
func (c *Client) IDTokenAlg() string {
	if alg := c.Metadata.IDTokenSignedResponseAlg; alg != "" {
		return alg
	}
	return "RS256"
}

// KnowsSessions tells whether the client asked for session ids: its ID tokens then have them (Front-Channel Logout §3,
// Back-Channel Logout §2.1).
func (c *Client) KnowsSessions() bool {
	return c.Metadata.BackchannelLogoutSessionRequired || c.Metadata.FrontchannelLogoutSessionRequired
}
