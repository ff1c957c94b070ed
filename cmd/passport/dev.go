package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/passport-network/passport/cmd/passport/demo"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/config"
)

// prepare makes what the configuration names and a first start does not find: the data folder, and with --dev
// the secret in it.
func prepare(cfg *config.Config) error {
	if cfg.Dev || strings.HasPrefix(cfg.Database, "sqlite:"+cfg.Data+string(filepath.Separator)) {
		if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
	}
	if cfg.Dev && cfg.Secret == "" {
		var err error
		cfg.Secret, err = devSecret(filepath.Join(cfg.Data, "secret"))
		return err
	}
	return nil
}

// devSecret reads the secret, or makes it: the same at every start, for it opens what the database seals.
func devSecret(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		held, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		secret := strings.TrimSpace(string(held))
		if len(secret) < config.MinSecret {
			return "", fmt.Errorf("%s does not hold a secret: delete it together with the database", file)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("make the secret: %w", err)
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	secret := base64.StdEncoding.EncodeToString(raw)
	_, err = f.WriteString(secret + "\n")
	return secret, errors.Join(err, f.Close())
}

// demoSite is a demonstration site that is ready to be served.
type demoSite struct {
	name, url string
	handler   http.Handler
	on        net.Listener
}

// demoSites registers the demonstration sites and listens on the two ports after the server's, or on any two
// when these are busy. Without --dev there are none.
func (a *app) demoSites(ctx context.Context) (sites []demoSite, err error) {
	if !a.cfg.Dev {
		return nil, nil
	}
	defer func() {
		if err != nil {
			for _, s := range sites {
				_ = s.on.Close()
			}
		}
	}()
	_, text, err := net.SplitHostPort(a.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("the port of the demonstration sites: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("the port of the demonstration sites: %w", err)
	}
	for i, name := range []string{"Fabrikam", "Contoso"} {
		on, err := demoListener(ctx, port+1+i)
		if err != nil {
			return sites, fmt.Errorf("listen for %s: %w", name, err)
		}
		if got := on.Addr().(*net.TCPAddr).Port; got != port+1+i {
			a.logger.Warn("a demonstration site is on another port: its own is in use", "site", name, "port", got, "own", port+1+i)
		}
		s := demoSite{name: name, on: on, url: fmt.Sprintf("http://localhost:%d", on.Addr().(*net.TCPAddr).Port)}
		sites = append(sites, s)
		secret, err := a.demoClient(ctx, s)
		if err != nil {
			return sites, fmt.Errorf("register %s: %w", name, err)
		}
		if sites[i].handler, err = demo.Handler(demo.Config{
			Name: name, Issuer: a.cfg.Issuer, ClientID: demoID(name), ClientSecret: secret, BaseURL: s.url,
		}); err != nil {
			return sites, err
		}
	}
	return sites, nil
}

func demoListener(ctx context.Context, port int) (net.Listener, error) {
	var listen net.ListenConfig
	on, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return listen.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return on, nil
}

func demoID(name string) string { return "demo-" + strings.ToLower(name) }

// demoClient registers a demonstration site, or corrects what is registered, and gives it a new secret.
func (a *app) demoClient(ctx context.Context, s demoSite) (secret string, err error) {
	c := client.Client{
		ID: demoID(s.name), RequirePKCE: true,
		Metadata: client.Metadata{
			ClientName: s.name, ClientURI: s.url + "/", RedirectURIs: []string{s.url + "/callback"},
			PostLogoutRedirectURIs: []string{s.url + "/"}, IDTokenSignedResponseAlg: "ES256",
			BackchannelLogoutURI: s.url + "/backchannel-logout", BackchannelLogoutSessionRequired: true,
		},
	}
	_, secret, err = a.clients.Create(ctx, c, "")
	if !errors.Is(err, client.ErrExists) {
		return secret, err
	}
	if _, _, err := a.clients.Update(ctx, c.ID, func(old *client.Client) error {
		old.Metadata, old.RequirePKCE, old.SkipConsent = c.Metadata, true, false
		return nil
	}); err != nil {
		return "", err
	}
	return a.clients.RotateSecret(ctx, c.ID, 0)
}

// greet says where to click.
func greet(to io.Writer, issuer string, sites []demoSite) {
	fmt.Fprintf(to, "Passport runs in development, for this machine alone. Where to click:\n")
	for _, s := range sites {
		fmt.Fprintf(to, "  %-32s %s, a site: \"Sign in with Passport\"\n", s.url, s.name)
	}
	fmt.Fprintf(to, "  %-32s every mail that this server sends\n", issuer+"/dev/inbox")
	fmt.Fprintf(to, "  %-32s your own account\n", issuer)
}
