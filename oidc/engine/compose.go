package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v3"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/handler/rfc8628"
	"github.com/ory/fosite/token/jwt"

	"github.com/passport-network/passport/oidc/client"
)

// assemble puts fosite together by hand, in the order that its handlers need: whatever creates a code stands
// before OpenID Connect and PKCE. Left out on purpose: the implicit "token" response type, the password and
// jwt-bearer grants, its pushed requests and device endpoint (H05, H31), and its introspection and revocation, which
// are our own endpoints (H07, H14, H23).
func (e *Engine) assemble() *fosite.Fosite {
	cfg := &config{Config: e.fositeConfig()}
	store := &adapter{engine: e}
	idTokens := &idTokens{engine: e}
	helper := &openid.IDTokenHandleHelper{IDTokenStrategy: idTokens}

	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: e.tokens, RefreshTokenStrategy: e.tokens, AuthorizeCodeStrategy: e.tokens,
		CoreStorage: store, TokenRevocationStorage: store, Config: cfg,
	}
	credentials := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: e.tokens, AccessTokenStorage: store, Config: cfg},
		Config:       cfg,
	}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: e.tokens, RefreshTokenStrategy: e.tokens, TokenRevocationStorage: store, Config: cfg,
	}
	validator := openid.NewOpenIDConnectRequestValidator(noHints{}, cfg)
	explicit := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage: store, OpenIDConnectRequestValidator: validator, Config: cfg, IDTokenHandleHelper: helper,
	}
	front := &oauth2.AuthorizeImplicitGrantTypeHandler{AccessTokenStrategy: e.tokens, AccessTokenStorage: store, Config: cfg}
	implicit := &openid.OpenIDConnectImplicitHandler{
		IDTokenHandleHelper: helper, AuthorizeImplicitGrantTypeHandler: front, OpenIDConnectRequestValidator: validator, Config: cfg,
	}
	hybrid := &openid.OpenIDConnectHybridHandler{
		AuthorizeImplicitGrantTypeHandler: front, AuthorizeExplicitGrantHandler: code, IDTokenHandleHelper: helper,
		OpenIDConnectRequestValidator: validator, OpenIDConnectRequestStorage: store, Config: cfg,
	}
	device := &rfc8628.DeviceCodeTokenEndpointHandler{
		DeviceRateLimitStrategy: e.tokens, DeviceCodeStrategy: e.tokens, CoreStorage: store,
		AccessTokenStrategy: e.tokens, RefreshTokenStrategy: e.tokens, TokenRevocationStorage: store, Config: cfg,
	}
	onDevice := &openid.OpenIDConnectDeviceHandler{
		OpenIDConnectRequestStorage: store, DeviceCodeStrategy: e.tokens, Config: cfg, IDTokenHandleHelper: helper,
	}
	refreshed := &openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: helper, Config: cfg}
	proof := &pkce.Handler{AuthorizeCodeStrategy: e.tokens, Storage: store, Config: cfg}

	cfg.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, explicit, implicit, hybrid, nothing{}, proof}
	cfg.tokenHandlers = map[string]fosite.TokenEndpointHandlers{
		authorizationCode: {code, explicit, proof},
		clientCredentials: {credentials},
		refreshToken:      {refresh, refreshed},
		deviceCode:        {device, onDevice},
	}
	return fosite.NewOAuth2Provider(store, cfg)
}

// nothing answers response_type=none: it is handled by being allowed (OAuth 2.0 Multiple Response Types §4).
type nothing struct{}

func (nothing) HandleAuthorizeEndpointRequest(_ context.Context, ar fosite.AuthorizeRequester, _ fosite.AuthorizeResponder) error {
	if ar.GetResponseTypes().ExactOne("none") {
		ar.SetResponseTypeHandled("none")
	}
	return nil
}

// fositeConfig sets every field: its getters would else write the missing ones on first use, unlocked (H22).
func (e *Engine) fositeConfig() *fosite.Config {
	none := retryablehttp.NewClient() // H08: fosite fetches nothing here; if it tried, it would get no answer
	none.HTTPClient.Transport = refuseTransport{}
	none.RetryMax = 0
	none.Logger = nil
	return &fosite.Config{
		AccessTokenLifespan:                e.cfg.AccessLifetime,
		VerifiableCredentialsNonceLifespan: e.cfg.AccessLifetime,
		RefreshTokenLifespan:               e.cfg.RefreshIdle,
		AuthorizeCodeLifespan:              e.cfg.CodeLifetime,
		IDTokenLifespan:                    e.cfg.IDTokenLifetime,
		IDTokenIssuer:                      e.cfg.Issuer,
		DeviceAndUserCodeLifespan:          e.cfg.CodeLifetime,
		DeviceAuthTokenPollingInterval:     e.cfg.CodeLifetime,
		HashCost:                           12,
		DisableRefreshTokenValidation:      true,
		SendDebugMessagesToClients:         false, // H33
		ScopeStrategy:                      fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:           fosite.ExactAudienceMatchingStrategy, // H30
		EnforcePKCEForPublicClients:        true,
		EnablePKCEPlainChallengeMethod:     false,
		AllowedPromptValues:                []string{"login", "none", "consent", "select_account"},
		TokenURL:                           e.cfg.Issuer + "/token",
		JWKSFetcherStrategy:                refuseFetcher{},
		TokenEntropy:                       32,
		RedirectSecureChecker:              secureRedirect,
		RefreshTokenScopes:                 []string{neverScope}, // see config.GetRefreshTokenScopes
		MinParameterEntropy:                1,                    // H25
		UseLegacyErrorFormat:               false,
		ClientAuthenticationStrategy:       authenticated,
		ResponseModeHandlerExtension:       &fosite.DefaultResponseModeHandler{},
		FormPostHTMLTemplate:               fosite.DefaultFormPostTemplate,
		OmitRedirectScopeParam:             true,
		SanitationWhiteList:                slices.Clip([]string{"redirect_uri"}), // H22: Sanitize appends to it
		JWTScopeClaimKey:                   jwt.JWTScopeFieldString,
		AccessTokenIssuer:                  e.cfg.Issuer,
		ClientSecretsHasher:                refuseHasher{},
		HTTPClient:                         none,
		GlobalSecret:                       make([]byte, 32), // unused: tokens are our own (H11, H16)
		HMACHasher:                         func() hash.Hash { return sha256.New() },
		PushedAuthorizeRequestURIPrefix:    "urn:ietf:params:oauth:request_uri:",
		PushedAuthorizeContextLifespan:     e.cfg.CodeLifetime,
		UserCodeLength:                     8,
		UserCodeSymbols:                    []rune("BCDFGHJKLMNPQRSTVWXZ"),
	}
}

// config is fosite's, with what depends on the request at hand.
type config struct {
	*fosite.Config
	tokenHandlers map[string]fosite.TokenEndpointHandlers // by grant type
}

// GetTokenEndpointHandlers gives those of the request's own grant type. fosite asks each that it is given, and those
// that are not concerned answer with an error that carries a stack: a tenth of what a token costs.
func (c *config) GetTokenEndpointHandlers(ctx context.Context) fosite.TokenEndpointHandlers {
	w := workOf(ctx)
	if w == nil {
		return nil
	}
	return c.tokenHandlers[w.grantType]
}

// GetEnforcePKCE: always, but for a confidential client whose registration says otherwise.
func (c *config) GetEnforcePKCE(ctx context.Context) bool {
	w := workOf(ctx)
	return w == nil || w.client.Public() || w.client.RequirePKCE
}

// GetRefreshTokenScopes names the scopes of which one must be granted for a refresh token; none: there is no
// such condition. We have decided already, so the answer is "no condition" or one that nothing can meet.
func (c *config) GetRefreshTokenScopes(ctx context.Context) []string {
	if w := workOf(ctx); w != nil && w.mayRefresh() {
		return nil
	}
	return []string{neverScope}
}

// neverScope cannot be registered or asked for: a scope has no control characters (RFC 6749 §3.3).
const neverScope = "\x00"

// mayRefresh: with openid only for offline_access (OpenID Connect Core §11); in plain OAuth whenever the client
// registered the grant type. Compared exactly: fosite's own comparison folds case (H30).
func mayRefresh(c *client.Client, scopes []string) bool {
	if !c.HasGrantType("refresh_token") {
		return false
	}
	return !slices.Contains(scopes, "openid") || slices.Contains(scopes, "offline_access")
}

// secureRedirect is fosite's question (H10).
func secureRedirect(_ context.Context, u *url.URL) bool { return client.SecureRedirect(u) }

// authenticated answers fosite's question for the client: it was authenticated before, by oidc/client (H12, H13).
func authenticated(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	w := workOf(ctx)
	if w == nil || w.client == nil {
		return nil, fosite.ErrInvalidClient
	}
	return &fositeClient{w.client}, nil
}

// fositeClient shows one of our clients to fosite.
type fositeClient struct{ *client.Client }

func (c *fositeClient) GetID() string                      { return c.ID }
func (c *fositeClient) GetHashedSecret() []byte            { return nil }
func (c *fositeClient) GetRedirectURIs() []string          { return c.Metadata.RedirectURIs }
func (c *fositeClient) GetGrantTypes() fosite.Arguments    { return c.Metadata.GrantTypes }
func (c *fositeClient) GetResponseTypes() fosite.Arguments { return c.Metadata.ResponseTypes }
func (c *fositeClient) GetScopes() fosite.Arguments        { return strings.Fields(c.Metadata.Scope) }
func (c *fositeClient) IsPublic() bool                     { return c.Public() }
func (c *fositeClient) GetAudience() fosite.Arguments      { return c.Metadata.Resources }

var errRefused = errors.New("fosite may not do this here")

// refuseTransport lets no request of fosite's out: whatever is fetched goes through pkg/outbound.
type refuseTransport struct{}

func (refuseTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefused }

// refuseFetcher: client keys are oidc/client's.
type refuseFetcher struct{}

func (refuseFetcher) Resolve(context.Context, string, bool) (*jose.JSONWebKeySet, error) {
	return nil, errRefused
}

// refuseHasher fails closed: client secrets are oidc/client's (H13).
type refuseHasher struct{}

func (refuseHasher) Compare(context.Context, []byte, []byte) error { return errRefused }
func (refuseHasher) Hash(context.Context, []byte) ([]byte, error)  { return nil, errRefused }

// noHints is the signer that fosite would read id_token_hint with; package oidc does that (H19).
type noHints struct{ jwt.Signer }

func (noHints) Decode(context.Context, string) (*jwt.Token, error) { return nil, errRefused }
