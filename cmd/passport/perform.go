package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"

	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/passport-network/passport/pkg/outbound"
)

// performCommand is `passport perform`: a relying party in the shell, for trying things.
func performCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "perform",
		Short: "Sign in from the shell, as a site or a device would",
		Long: `Sign in from the shell, as a site or a device would: for trying things.

It works against any OpenID Connect server and needs no access to its database.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(performCodeCommand(), performDeviceCommand())
	return cmd
}

// remote is a server that is asked over HTTP.
type remote struct{ issuer, caFile string }

// client asks the server under the rules of all our requests, with this one server excepted from them: it was named
// by whoever called us.
func (e remote) client() (*outbound.Client, error) {
	u, err := url.Parse(e.issuer)
	if err != nil || u.Host == "" {
		return nil, &usageError{fmt.Errorf("the issuer %q is not a URL", e.issuer)}
	}
	return outbound.New(outbound.Config{Allow: []string{u.Host}, CAFile: e.caFile})
}

// party is the relying party of both flows.
type party struct {
	remote
	clientID, secretFile, method string
	scopes, resources            []string
	timeout                      time.Duration
	asJSON                       bool

	out      *outbound.Client
	provider *oidc.Provider
	oauth    oauth2.Config
}

func (p *party) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.issuer, "issuer", cmp.Or(os.Getenv("PASSPORT_ISSUER"), "http://localhost:8080"), "the server (PASSPORT_ISSUER)")
	f.StringVar(&p.caFile, "ca-file", "", "further certificate authorities (PEM)")
	f.StringVar(&p.clientID, "client-id", "", "the client's client_id")
	f.StringVar(&p.secretFile, "client-secret-file", "", "holds its client_secret; - for standard input; none: a public client")
	f.StringVar(&p.method, "token-endpoint-auth-method", "client_secret_basic", "or client_secret_post")
	f.StringArrayVar(&p.scopes, "scope", []string{"openid", "profile", "email"}, "a scope to ask for (repeatable)")
	f.StringArrayVar(&p.resources, "resource", nil, "an API that the tokens are for (RFC 8707, repeatable)")
	f.DurationVar(&p.timeout, "timeout", 5*time.Minute, "how long to wait for the person")
	_ = cmd.MarkFlagRequired("client-id") // the flag is there
	jsonFlag(cmd, &p.asJSON)
}

// discover asks the server for its configuration.
func (p *party) discover(cmd *cobra.Command) (context.Context, context.CancelFunc, error) {
	style, ok := map[string]oauth2.AuthStyle{
		"client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleInParams}[p.method]
	if !ok {
		return nil, nil, &usageError{fmt.Errorf("the method %q is not one of those that this command can", p.method)}
	}
	secret := ""
	if p.secretFile != "" {
		var err error
		if secret, err = readSecret(cmd, "client secret", p.secretFile); err != nil {
			return nil, nil, err
		}
	} else {
		style = oauth2.AuthStyleInParams // a public client names itself in the body
	}
	var err error
	if p.out, err = p.client(); err != nil {
		return nil, nil, err
	}
	ctx := oidc.ClientContext(cmd.Context(), p.out.HTTP())
	if p.provider, err = oidc.NewProvider(ctx, p.issuer); err != nil {
		return nil, nil, fmt.Errorf("ask %s for its configuration: %w", p.issuer, err)
	}
	at := p.provider.Endpoint()
	at.AuthStyle = style
	p.oauth = oauth2.Config{ClientID: p.clientID, ClientSecret: secret, Endpoint: at, Scopes: p.scopes}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	return ctx, cancel, nil
}

// tell says on standard error what is going on, so that standard output is the answer alone.
func tell(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

func performCodeCommand() *cobra.Command {
	var p party
	var redirect string
	var extra = map[string]*string{}
	cmd := &cobra.Command{
		Use:   "code-flow",
		Short: "The authorization code flow with PKCE",
		Long: `The authorization code flow with PKCE.

It prints an address to open in a browser, waits on the loopback interface for the browser to come back, and
prints the tokens and what /userinfo says. The redirect URI must be registered: a native client may register
http://127.0.0.1/callback and comes back on any port; for others name it, port and all.`,
		Example: `  passport perform code-flow --client-id shell
  passport client create --client-id shell --name Shell --application-type native --token-endpoint-auth-method none \
      --redirect-uri http://127.0.0.1/callback
  passport perform code-flow --issuer https://passport.example --client-id shop --client-secret-file secret.txt \
      --redirect-uri http://localhost:5555/callback --prompt login --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := url.Values{}
			for name, value := range extra {
				if *value != "" {
					params.Set(strings.ReplaceAll(name, "-", "_"), *value)
				}
			}
			return p.codeFlow(cmd, redirect, params)
		},
	}
	p.flags(cmd)
	cmd.Flags().StringVar(&redirect, "redirect-uri", "http://127.0.0.1/callback", "where the browser comes back to, on this machine")
	for name, help := range map[string]string{
		"prompt": "none, login, consent, select_account or create", "max-age": "seconds", "login-hint": "an e-mail address",
		"acr-values": "strengths of sign-in", "ui-locales": "languages", "claims": "the claims parameter, JSON",
	} {
		extra[name] = cmd.Flags().String(name, "", help)
	}
	return cmd
}

// arrival is what the browser brought back.
type arrival struct {
	code string
	err  error
}

func (p *party) codeFlow(cmd *cobra.Command, redirect string, params url.Values) error {
	listener, back, err := listen(cmd.Context(), redirect)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel, err := p.discover(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	p.oauth.RedirectURL = back.String()
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce)}
	for name := range params {
		options = append(options, oauth2.SetAuthURLParam(name, params.Get(name)))
	}
	address := p.oauth.AuthCodeURL(state, options...)
	for _, r := range p.resources {
		address += "&" + url.Values{"resource": {r}}.Encode()
	}

	arrivals := make(chan arrival, 1)
	server := &http.Server{Handler: callback(back.Path, state, p.issuer, arrivals), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { // not before the browser has its answer
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(soon)
	}()
	tell(cmd, "Open this address in a browser:\n\n  %s\n\nWaiting for it to come back to %s …", address, back)

	select {
	case <-ctx.Done():
		return errors.New("nobody came back in time")
	case a := <-arrivals:
		if a.err != nil {
			return a.err
		}
		token, err := p.oauth.Exchange(ctx, a.code, oauth2.VerifierOption(verifier))
		if err != nil {
			return fmt.Errorf("exchange the code: %w", err)
		}
		return p.report(ctx, cmd, token, nonce)
	}
}

// listen takes the address that a redirect URI names; where it names no port, a free one is taken and named.
func listen(ctx context.Context, redirect string) (net.Listener, *url.URL, error) {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Path == "" {
		return nil, nil, &usageError{fmt.Errorf("the redirect URI %q is not one of this machine, as http://127.0.0.1/callback", redirect)}
	}
	address := u.Hostname()
	if address == "localhost" {
		address = "127.0.0.1"
	}
	if ip := net.ParseIP(address); ip == nil || !ip.IsLoopback() {
		return nil, nil, &usageError{fmt.Errorf("the redirect URI %q is not one of this machine, as http://127.0.0.1/callback", redirect)}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, cmp.Or(u.Port(), "0")))
	if err != nil {
		return nil, nil, fmt.Errorf("wait for the browser: %w", err)
	}
	if u.Port() == "" {
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, nil, errors.Join(err, l.Close())
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return l, u, nil
}

// callback waits for the one answer that has our state; anything else that knocks is told so.
func callback(path, state, issuer string, arrivals chan<- arrival) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer")
		v := r.URL.Query()
		if r.URL.Path != path || subtle.ConstantTimeCompare([]byte(v.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the answer that is waited for.", http.StatusNotFound)
			return
		}
		a := arrival{code: v.Get("code")}
		switch iss := v.Get("iss"); {
		case iss != "" && iss != issuer: // RFC 9207 §2.4
			a.err = fmt.Errorf("the answer is from %q", iss)
		case v.Get("error") != "":
			a.err = fmt.Errorf("the server says %s: %s", v.Get("error"), v.Get("error_description"))
		case a.code == "":
			a.err = errors.New("the answer has no code")
		}
		fmt.Fprintln(w, "Done. You can close this page and go back to the shell.")
		select {
		case arrivals <- a:
		default: // it was answered already
		}
	})
}

// report proves the ID token and prints everything.
func (p *party) report(ctx context.Context, cmd *cobra.Command, token *oauth2.Token, nonce string) error {
	doc := map[string]any{"token_type": token.TokenType, "access_token": token.AccessToken, "expires_in": token.ExpiresIn}
	if token.RefreshToken != "" {
		doc["refresh_token"] = token.RefreshToken
	}
	if scope, ok := token.Extra("scope").(string); ok {
		doc["scope"] = scope
	}
	if raw, ok := token.Extra("id_token").(string); ok {
		id, err := p.provider.VerifierContext(ctx, &oidc.Config{ClientID: p.clientID}).Verify(ctx, raw)
		if err != nil {
			return fmt.Errorf("prove the ID token: %w", err)
		}
		if id.Nonce != nonce {
			return errors.New("the ID token's nonce is not the request's")
		}
		var claims map[string]any
		if err := id.Claims(&claims); err != nil {
			return fmt.Errorf("read the ID token: %w", err)
		}
		doc["id_token"], doc["claims"] = raw, claims
		user, err := p.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return fmt.Errorf("ask for userinfo: %w", err)
		}
		var info map[string]any
		if err := user.Claims(&info); err != nil {
			return fmt.Errorf("read userinfo: %w", err)
		}
		doc["userinfo"] = info
	}
	if p.asJSON {
		return writeJSON(cmd.OutOrStdout(), doc)
	}
	return printTable(cmd.OutOrStdout(), "WHAT\tVALUE", func(w io.Writer) {
		for _, name := range []string{"access_token", "expires_in", "refresh_token", "scope", "id_token"} {
			if v, ok := doc[name]; ok {
				fmt.Fprintf(w, "%s\t%v\n", name, v)
			}
		}
		for _, part := range []string{"claims", "userinfo"} {
			members, _ := doc[part].(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(members)) {
				fmt.Fprintf(w, "%s.%s\t%s\n", part, name, tokenValue(name, members[name]))
			}
		}
	})
}
