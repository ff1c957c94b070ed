package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/passport-network/passport/storage"
)

func serveCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT: it then says "not ready", goes on for the shutdown delay,
lets the requests that run end, and exits with 0. A second signal ends it at once.`,
		Example: `  passport serve --dev
  passport serve --config /etc/passport.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			a, err := open(cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.close()) }()
			return a.serve(cmd)
		},
	}
	cmd.Flags().String("addr", "", "where to listen (PASSPORT_ADDR; default 127.0.0.1:8080)")
	return cmd
}

// serve answers requests until a signal.
func (a *app) serve(cmd *cobra.Command) error {
	ctx := cmd.Context()
	sites, err := a.demoSites(ctx) // none without --dev
	if err != nil {
		return err
	}
	handler, err := a.handler(ctx)
	if err != nil {
		return err
	}
	s, err := a.newServers(ctx, handler, sites)
	if err != nil {
		return err
	}
	// The loops outlive the last request: what it put into the outbox is still to be seen.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	loops, background := errgroup.WithContext(background)
	for name, run := range map[string]func(context.Context) error{
		"clock": a.clock.Run, "keys": a.ring.Run, "clients": a.clients.Run, "outbox": a.outbox.Run, "purge": a.purge,
		"news": a.news,
	} {
		loops.Go(func() error {
			if err := run(background); err != nil && background.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	defer seldomCollect()()
	if a.cfg.Dev {
		greet(cmd.OutOrStdout(), a.cfg.Issuer, sites)
	}
	admin := a.cfg.AdminAddr
	if s.admin == nil {
		admin = "off"
	}
	a.logger.Info("serving", "issuer", a.cfg.Issuer, "addr", a.cfg.Addr, "admin", admin)
	err = s.run(background)
	end()
	if err = errors.Join(err, loops.Wait()); err == nil {
		a.logger.Info("stopped")
	}
	return err
}

// newsAgain is how long a server waits before it listens again.
const newsAgain = time.Second

// news wakes the caches when the database says that something of theirs has changed. They look each second anyway: a
// connection that is lost is noticed in nothing but that second.
func (a *app) news(ctx context.Context) error {
	for {
		err := a.store.Listen(ctx, a.heard)
		if ctx.Err() != nil {
			return nil
		}
		a.logger.Warn("the database's news cannot be heard; polling goes on", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(newsAgain):
		}
	}
}

func (a *app) heard(topic string) {
	switch topic {
	case storage.TopicKeys:
		a.ring.Wake()
	case storage.TopicClients:
		a.clients.Wake()
	}
}

// purgeEvery is how often what has expired is deleted; purgeBatch is how many rows of a table one step takes.
const (
	purgeEvery = time.Minute
	purgeBatch = 1000
	// purgeFor ends a step on a connection that has fallen silent.
	purgeFor = time.Minute
)

// purge deletes what is over, and tells people of what waits for a day of its own. Every replica does it: they share the work.
func (a *app) purge(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		telling, cancel := context.WithTimeout(ctx, purgeFor)
		if err := a.accounts.TellRequests(telling); err != nil && ctx.Err() == nil {
			a.logger.Error("tell of requests", "error", err)
		}
		cancel()
		if err := a.purgeOnce(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("purge", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *app) purgeOnce(ctx context.Context) error {
	for {
		step, cancel := context.WithTimeout(ctx, purgeFor)
		n, err := a.store.Purge(step, a.clock.Now(), purgeBatch)
		cancel()
		if err != nil {
			return err
		}
		if n < purgeBatch {
			return nil
		}
	}
}

// servers are all listeners of the process.
type servers struct {
	a        *app
	public   *http.Server
	admin    *http.Server // nil: none
	all      []*http.Server
	on       []net.Listener // as all
	tcp      net.Listener   // the public one, below TLS
	stopping atomic.Bool
	reload   func() error // the certificate; nil: no TLS
}

// newServers listens on every address, so that a busy one is told before anything has begun.
func (a *app) newServers(ctx context.Context, handler http.Handler, sites []demoSite) (_ *servers, err error) {
	s := &servers{a: a}
	s.public = a.httpServer(s.drained(handler))
	defer func() {
		if err != nil {
			for _, l := range s.on {
				_ = l.Close()
			}
		}
	}()
	listen := plainTCP()
	public, err := listen.Listen(ctx, "tcp", a.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.tcp = public
	if a.cfg.TLSCertFile != "" {
		pair := &keyPair{cert: a.cfg.TLSCertFile, key: a.cfg.TLSKeyFile}
		if err := pair.load(); err != nil {
			return nil, errors.Join(err, public.Close())
		}
		s.reload, s.public.TLSConfig = pair.load, tlsConfig(pair)
		public = tls.NewListener(public, s.public.TLSConfig)
	}
	s.all, s.on = append(s.all, s.public), append(s.on, public)
	if a.cfg.AdminAddr != "off" {
		admin, err := listen.Listen(ctx, "tcp", a.cfg.AdminAddr)
		switch {
		case err == nil:
			s.admin = a.httpServer(a.admin(&s.stopping))
			s.all, s.on = append(s.all, s.admin), append(s.on, admin)
			a.metrics.watch(a.clock)
		case a.cfg.Dev: // two of them on one machine is nothing to stop for
			a.logger.Warn("no admin listener", "addr", a.cfg.AdminAddr, "error", err)
		default:
			return nil, fmt.Errorf("listen for the admin: %w", err)
		}
	}
	for _, d := range sites {
		s.all, s.on = append(s.all, a.httpServer(d.handler)), append(s.on, d.on)
	}
	return s, nil
}

// plainTCP listens without Multipath TCP, of which Go makes use by itself: hush asks the kernel for what it says of TCP alone.
func plainTCP() net.ListenConfig {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c
}

// httpServer has the limits that keep slow and greedy clients from the others (D1, D2, D3).
func (a *app) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           awaited(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       75 * time.Second, // longer than a proxy keeps its connections to us
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog:          log.New(connectionLog{a.logger}, "", 0),

		DisableGeneralOptionsHandler: true, // OPTIONS * comes to our handler like anything else
	}
}

// awaited leaves out what nobody waits for any more: over HTTP/2 a client resets streams without ending its connection, and can begin
// thousands a second (D3, CVE-2023-44487). Of HTTP/1 a client that has only closed its half looks the same.
func awaited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && r.Context().Err() != nil {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// connectionLog takes net/http's own complaints without the peer's address and without stacks.
type connectionLog struct{ logger *slog.Logger }

func (c connectionLog) Write(p []byte) (int, error) {
	what, _, _ := strings.Cut(string(p), "\n")
	for _, before := range []string{" from ", " serving "} {
		what, _, _ = strings.Cut(what, before)
	}
	c.logger.Warn("connection", "what", what)
	return len(p), nil
}

// run serves until a signal, a listener's end, or the end of a loop in the background.
func (s *servers) run(background context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	ended := make(chan error, len(s.all))
	for i, server := range s.all {
		go func() { ended <- server.Serve(s.on[i]) }()
	}
	for {
		select {
		case err := <-ended:
			return errors.Join(fmt.Errorf("serve: %w", err), s.stop(0))
		case <-background.Done():
			return errors.Join(errors.New("a loop in the background has ended"), s.stop(0))
		case got := <-signals:
			if got == syscall.SIGHUP {
				s.again()
				continue
			}
			s.a.logger.Info("stopping", "signal", got.String())
			go func() {
				for got := range signals {
					if got != syscall.SIGHUP {
						os.Exit(1) // the second signal: at once
					}
				}
			}()
			return s.stop(s.a.cfg.ShutdownDelay)
		}
	}
}

// again reads the certificate again; one that cannot be used leaves the old one in place.
func (s *servers) again() {
	if s.reload == nil {
		return
	}
	if err := s.reload(); err != nil {
		s.a.logger.Error("reload the certificate", "error", err)
		return
	}
	s.a.logger.Info("the certificate was read again")
}

// drained asks for the connection's end with each answer while the server stops: a proxy then sends its next request
// elsewhere, and none meets a connection that Shutdown closes as idle.
func (s *servers) drained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close") // over HTTP/2 it is a GOAWAY
		}
		next.ServeHTTP(w, r)
	})
}

// stop says "not ready", goes on for delay so that the load balancer notices, then lets running requests end.
// Connections end with their next answer, never before one: to close them early makes proxies fail requests.
func (s *servers) stop(delay time.Duration) error {
	s.stopping.Store(true)
	if delay > 0 {
		time.Sleep(delay)
		if err := hush(s.tcp); err != nil {
			s.a.logger.Warn("who connects in the last moment may see a reset", "error", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.a.cfg.ShutdownLimit)
	defer cancel()
	shut := func(server *http.Server) error {
		if err := server.Shutdown(ctx); err != nil {
			return errors.Join(fmt.Errorf("requests still ran after the shutdown limit: %w", err), server.Close())
		}
		return nil
	}
	// All at once: Shutdown closes the listener, and then may wait for connections on which nothing was ever asked. The
	// admin's goes last, so that "not ready" is told until the end.
	var ends errgroup.Group
	for _, server := range s.all {
		if server != s.admin {
			ends.Go(func() error { return shut(server) })
		}
	}
	err := ends.Wait()
	if s.admin != nil {
		err = errors.Join(err, shut(s.admin))
	}
	return err
}
