package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/oidc/logout"
	"github.com/passport-network/passport/oidc/registration"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/clock"
	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/pkg/session"
	"github.com/passport-network/passport/pkg/web"
	"github.com/passport-network/passport/pkg/web/myaccount"
	"github.com/passport-network/passport/pkg/web/signin"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/templates"
)

// app is the wired program: what the subcommands work with.
type app struct {
	cfg      *config.Config
	logger   *slog.Logger
	metrics  *metrics
	store    *storage.Store
	clock    *clock.Clock
	sealer   *keys.Sealer
	ring     *keys.Ring
	clients  *client.Registry
	sessions *session.Manager
	limits   *limit.Limiter
	outbox   *outbox.Queue
	outbound *outbound.Client
	mailer   *mail.Mailer
	accounts *account.Directory
}

// openFunc opens the app of a command; the command closes it.
type openFunc func(cmd *cobra.Command) (*app, error)

// newApp opens the database, brings its schema up to date, and wires every room but those that answer requests.
func newApp(ctx context.Context, cfg *config.Config, logger *slog.Logger) (_ *app, err error) {
	a := &app{cfg: cfg, logger: logger, metrics: newMetrics()}
	if a.store, err = storage.Open(ctx, cfg.Database); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	// A copy stays as it is.
	if err = a.store.Original(ctx); err != nil {
		return nil, err
	}
	if err = a.store.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	if err = a.store.Originate(ctx); err != nil {
		return nil, err
	}
	a.clock = clock.New(a.store.Now)
	if err = a.clock.Measure(ctx); err != nil {
		return nil, fmt.Errorf("measure the database's clock: %w", err)
	}
	now := a.clock.Now

	var previous [][]byte
	for _, s := range cfg.SecretPrevious {
		previous = append(previous, []byte(s))
	}
	if a.sealer, err = keys.NewSealer([]byte(cfg.Secret), previous...); err != nil {
		return nil, err
	}
	if a.ring, err = keys.Open(ctx, keys.Config{
		Store: a.store, Sealer: a.sealer, Now: now, KeySetMaxAge: cfg.KeySetMaxAge, Logger: logger,
	}); err != nil {
		return nil, err
	}
	if a.outbound, err = outbound.New(outbound.Config{
		Allow: cfg.OutboundAllow, CAFile: cfg.OutboundCAFile, Issuer: cfg.Issuer,
	}); err != nil {
		return nil, err
	}
	a.clients = client.NewRegistry(client.Config{
		Store: a.store, Now: now, Issuer: cfg.Issuer, Keys: a.ring, Outbound: a.outbound, Audit: a.store, Logger: logger,
	})
	a.outbox = outbox.New(outbox.Config{
		Store: a.store, Sealer: a.sealer, Now: now, Logger: logger, Count: a.metrics.job,
	})
	notifier, err := logout.NewNotifier(logout.NotifierConfig{
		Issuer: cfg.Issuer, Store: a.store, Clients: a.clients, Outbound: a.outbound, Queue: a.outbox, Now: now, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	if a.sessions, err = session.New(session.Config{
		Store: a.store, Issuer: cfg.Issuer, Now: now, Lifetime: cfg.SessionLifetime, Audit: a.store, Ended: notifier.Ended,
	}); err != nil {
		return nil, err
	}
	a.limits = limit.New(limit.Config{
		Store: a.store, Exempt: cfg.LimitExempt, HashKey: a.ring.Secret(keys.SecretLimit),
	})
	if a.mailer, err = mail.New(mail.Config{
		From: cfg.MailFrom, Issuer: cfg.Issuer, Brand: cfg.Brand, SMTP: cfg.SMTPURL, CAFile: cfg.OutboundCAFile,
		Queue: a.outbox, Now: now,
		DKIM: mail.DKIM{Domain: cfg.DKIMDomain, Selector: cfg.DKIMSelector, KeyFile: cfg.DKIMKeyFile},
		Help: cfg.HelpURL, Privacy: cfg.PrivacyURL, Terms: cfg.TermsURL,
	}); err != nil {
		return nil, err
	}
	passwords := account.Passwords{Strength: cfg.PasswordStrength, Brand: cfg.Brand}
	if cfg.PasswordBreachCheck != "" {
		passwords.Breaches = &account.Breaches{URL: cfg.PasswordBreachCheck, Outbound: a.outbound, Logger: logger, Count: a.metrics.breach}
	}
	a.accounts, err = account.New(account.Config{
		Store: a.store, Mail: a.mailer, Limits: a.limits, Sessions: a.sessions, Grants: a.store, Audit: a.store, Now: now,
		Queue: a.outbox, Sealer: a.sealer, DeviceKey: a.ring.Secret(keys.SecretDevice), Passwords: passwords, Human: account.HumanCheck(cfg.HumanCheck),
		Pictures: cfg.Issuer + myaccount.PicturesPath,
		Door: account.Door{Closed: cfg.SignUp == "closed", Invitation: cfg.SignUp == "invitation", Allow: cfg.SignUpAllowDomains,
			Deny: cfg.SignUpDenyDomains, Disposable: cfg.SignUpDenyDisposable},
		Versions: account.Versions{Terms: cfg.TermsVersion, Privacy: cfg.PrivacyVersion},
		Fields: account.Fields{
			Name: account.Want(cfg.SignUpName), Phone: account.Want(cfg.SignUpPhone), BirthDate: account.Want(cfg.SignUpBirthDate),
			RecoveryAddress: account.Want(cfg.SignUpRecoveryAddress), RecoveryQuestion: account.Want(cfg.SignUpRecoveryQuestion),
		},
	})
	return a, err
}

// engine wires what issues and reads tokens.
func (a *app) engine(ctx context.Context) (*engine.Engine, error) {
	from, err := a.store.SealedCodesFrom(ctx)
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{
		Issuer: a.cfg.Issuer, Clients: a.clients, Store: a.store, Keys: a.ring, Now: a.clock.Now, Audit: a.store,
		RefreshGrace: a.cfg.RefreshGrace, SealFrom: from,
	})
}

// handler wires the rooms that answer requests.
func (a *app) handler(ctx context.Context) (http.Handler, error) {
	now, cfg := a.clock.Now, a.cfg
	pages, err := web.NewPages(web.PagesConfig{
		Issuer: cfg.Issuer, Brand: cfg.Brand, Help: cfg.HelpURL, Privacy: cfg.PrivacyURL, Terms: cfg.TermsURL, FormKey: a.ring.Secret(keys.SecretForm), Sessions: a.sessions, Logger: a.logger,
	})
	if err != nil {
		return nil, err
	}
	flows, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	var languages []string
	for _, l := range templates.Languages {
		languages = append(languages, l.Code)
	}
	contact := cfg.SecurityContact
	if contact == "off" {
		contact = ""
	}
	provider, err := oidc.New(oidc.Config{
		Issuer: cfg.Issuer, Engine: flows, Store: a.store, Clients: a.clients, Keys: a.ring, Sessions: a.sessions,
		Outbound: a.outbound, Limits: a.limits, Now: now, Audit: a.store, Pages: pages.OIDC(), ClientIP: web.ClientIP, NoteClient: web.NoteClient,
		ACRValues: []string{signin.ACRPassword}, Languages: languages, Registration: cfg.Registration != "off", NoCreate: cfg.SignUp != "open",
		Versions: grant.Versions{Terms: cfg.TermsVersion, Privacy: cfg.PrivacyVersion}, SecurityContact: contact,
	})
	if err != nil {
		return nil, err
	}
	leaving, err := logout.New(logout.Config{
		Issuer: cfg.Issuer, Store: a.store, Clients: a.clients, Keys: a.ring, Sessions: a.sessions, SID: flows.SID,
		Now: now, Pages: pages.Logout(),
	})
	if err != nil {
		return nil, err
	}
	way, err := a.human()
	if err != nil {
		return nil, err
	}
	in, err := signin.New(signin.Config{
		Human: way, HumanAlways: cfg.HumanCheck == "always",
		Dev: cfg.Dev, TwoPages: cfg.SignInPages == "two", Pages: pages, OIDC: provider, Clients: a.clients, Logout: leaving,
		Accounts: a.accounts, Sessions: a.sessions, Sealer: a.sealer, Now: now, Limits: a.limits,
	})
	if err != nil {
		return nil, err
	}
	mine, err := myaccount.New(myaccount.Config{Pages: pages, Accounts: a.accounts, Sessions: a.sessions, OIDC: provider, Logout: leaving, Events: a.store, Clients: a.clients, Now: now, Dev: cfg.Dev})
	if err != nil {
		return nil, err
	}
	site := web.Config{
		Issuer: cfg.Issuer, Pages: pages, OIDC: provider, Logout: leaving, Routes: append(in.Routes(), mine.Routes()...),
		TrustedProxies: cfg.TrustedProxies, Logger: a.logger, Observe: a.metrics.request, Now: now,
		Clients: a.clients,
	}
	if cfg.Registration != "off" {
		site.Registration, err = registration.New(registration.Config{
			Issuer: cfg.Issuer, Clients: a.clients, Open: cfg.Registration == "open", Verified: cfg.RegistrationTrust == "verified",
			Limits: a.limits, ClientIP: web.ClientIP,
		})
		if err != nil {
			return nil, err
		}
	}
	if cfg.Dev {
		site.Inbox = a.mailer.Inbox()
	}
	s, err := web.New(site)
	if err != nil {
		return nil, err
	}
	return s.Handler(), nil
}

// human is the way in which people show that they are no programs; nil: nobody asks.
func (a *app) human() (human.Way, error) {
	cfg := a.cfg
	switch {
	case cfg.HumanCheck == "never":
		return nil, nil
	case cfg.HumanCheckBy == "work":
		return human.NewPuzzle(human.PuzzleConfig{Store: a.store, Sealer: a.sealer, Now: a.clock.Now})
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, err
	}
	return human.NewVerifier(human.VerifierConfig{Store: a.store, Sealer: a.sealer, Now: a.clock.Now, Outbound: a.outbound, Logger: a.logger,
		Host: issuer.Hostname(), Vendor: cfg.SiteverifyVendor, URL: cfg.SiteverifyURL, SiteKey: cfg.SiteverifySiteKey, Secret: cfg.SiteverifySecret,
		Score: cfg.SiteverifyScore})
}

// close ends the connections to the database.
func (a *app) close() error { return a.store.Close() }
