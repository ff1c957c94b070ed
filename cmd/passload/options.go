package main

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// options are what the command line says.
type options struct {
	issuer, caFile               string
	clientID, secretFile, method string
	redirectURI, scope, ccScope  string
	username, passwordFile       string
	peopleFile, preset           string
	given                        pages // fields and buttons that flags name
	extra, fields                []string
	plan                         plan
	timeout                      time.Duration
	maxFailed                    float64
	asJSON, quiet                bool
	plot                         string

	// Made of the above.
	tls      *tls.Config
	secret   string
	redirect *url.URL
	people   crowd
	pages    pages
	params   url.Values
}

func (o *options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.issuer, "issuer", os.Getenv("PASSPORT_ISSUER"), "the provider (PASSPORT_ISSUER)")
	f.StringVar(&o.caFile, "ca-file", "", "further certificate authorities (PEM)")

	f.IntVar(&o.plan.workers, "workers", 8, "how many ask at the same time, each on its own connection")
	f.Float64Var(&o.plan.rate, "rate", 0, "operations a second, due whatever the server does; 0: as many as the workers can")
	f.DurationVar(&o.plan.duration, "duration", 10*time.Second, "how long each scenario is measured")
	f.Int64Var(&o.plan.count, "count", 0, "end a scenario after so many operations, if that is earlier")
	f.DurationVar(&o.plan.warmUp, "warm-up", 2*time.Second, "how long each scenario runs before it is measured")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "after which an operation is a failure")
	f.Float64Var(&o.maxFailed, "max-failed", 100, "per cent of a scenario that may go wrong before the status is 1")

	f.StringVar(&o.clientID, "client-id", "", "the client's client_id")
	f.StringVar(&o.secretFile, "client-secret-file", "", "holds its client_secret (- for standard input); none: a public client")
	f.StringVar(&o.method, "token-endpoint-auth-method", "client_secret_basic", "or client_secret_post; none without a secret")
	f.StringVar(&o.redirectURI, "redirect-uri", "https://passload.invalid/callback", "one that the client has registered; nobody asks there")
	f.StringVar(&o.scope, "scope", "openid", "what people are asked for; refresh adds offline_access")
	f.StringVar(&o.ccScope, "client-credentials-scope", "", "what the client asks for on its own behalf")
	f.StringArrayVar(&o.extra, "param", nil, "a further parameter of the authorization request, name=value (repeatable)")

	f.StringVar(&o.username, "username", "", "who signs in")
	f.StringVar(&o.passwordFile, "password-file", "", "holds the password (- for standard input)")
	f.StringVar(&o.peopleFile, "people", "", "instead: a file with a name, a space and a password a line; who signs in anew is the next one, and a worker uses up to eight in turn")
	f.StringVar(&o.preset, "pages", "passport", "whose pages ask for it: "+strings.Join(slices.Sorted(maps.Keys(presets)), " or "))
	f.StringVar(&o.given.username, "username-field", "", "the name of the field for the user, over --pages")
	f.StringVar(&o.given.password, "password-field", "", "the name of the field for the password, over --pages")
	f.StringVar(&o.given.login, "login-button", "", "#id, .class or name=value of the button that signs in, over --pages")
	f.StringVar(&o.given.consent, "consent-button", "", "#id, .class or name=value of the button that allows, over --pages")

	f.StringArrayVar(&o.fields, "field", nil, "name=value of a control of these forms: it is filled in, chosen or ticked where a form has it (repeatable)")

	f.BoolVar(&o.asJSON, "json", false, "print JSON: all that was measured")
	f.StringVar(&o.plot, "plot", "", "write a picture (SVG): latency over time and by percentile")
	f.BoolVar(&o.quiet, "quiet", false, "no progress on standard error")
}

// read checks all that was said; the list are the scenarios.
func (o *options) read(cmd *cobra.Command, names []string) (list []scenario, err error) {
	var wrong []error
	add := func(err error) { wrong = append(wrong, err) }
	for _, name := range names {
		if s, ok := scenarioNamed(name); ok {
			list = append(list, s)
		} else {
			add(fmt.Errorf("there is no scenario %q", name))
		}
	}
	o.checkPlan(add)
	if o.issuer == "" {
		add(errors.New("--issuer is missing"))
	}
	if o.redirect, err = url.Parse(o.redirectURI); err != nil || o.redirect.Scheme == "" {
		add(fmt.Errorf("--redirect-uri: %q is not a URL", o.redirectURI))
	}
	preset, known := presets[o.preset]
	if !known {
		add(fmt.Errorf("--pages: %q is not one of %s", o.preset, strings.Join(slices.Sorted(maps.Keys(presets)), ", ")))
	}
	o.pages = pages{cmp.Or(o.given.username, preset.username), cmp.Or(o.given.password, preset.password),
		cmp.Or(o.given.login, preset.login), cmp.Or(o.given.consent, preset.consent), pairs("--field", o.fields, add)}
	for flag, selector := range map[string]string{"--login-button": o.given.login, "--consent-button": o.given.consent} {
		if selector != "" && checkSelector(selector) != nil {
			add(fmt.Errorf("%s: %w", flag, checkSelector(selector)))
		}
	}
	o.params = pairs("--param", o.extra, add)
	if !slices.Contains(strings.Fields(o.scope), "openid") {
		add(errors.New("--scope: without openid there is no ID token to check"))
	}
	if err := o.readFiles(cmd); err != nil {
		add(err)
	}
	switch {
	case o.secret == "":
		o.method = "none"
	case o.method != "client_secret_basic" && o.method != "client_secret_post":
		add(fmt.Errorf("--token-endpoint-auth-method: passload cannot %q", o.method))
	}
	if o.plot != "" && len(wrong) == 0 {
		if err := writable(o.plot); err != nil {
			add(fmt.Errorf("--plot: %w", err))
		}
	}
	if len(wrong) > 0 {
		return nil, &usageError{errors.Join(wrong...)}
	}
	return list, nil
}

const plotMode = 0o644

// writable finds out before the load, not after it. What the file holds stays.
func writable(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, plotMode) //nolint:gosec // G304: the caller's own
	if err != nil {
		return err
	}
	return f.Close()
}

// pairs reads name=value, several times.
func pairs(flag string, list []string, add func(error)) url.Values {
	all := url.Values{}
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			add(fmt.Errorf("%s: %q is not name=value", flag, p))
		}
		all.Add(name, value)
	}
	return all
}

// checkPlan bounds the load: a slip of the finger shall not run for a week.
func (o *options) checkPlan(add func(error)) {
	p := o.plan
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{p.workers >= 1 && p.workers <= 10_000, "--workers: 1 to 10000"},
		{p.rate >= 0 && p.rate <= 1_000_000, "--rate: 0 to 1000000"},
		{p.duration > 0 && p.duration <= 24*time.Hour, "--duration: above 0, and at most 24h"},
		{p.warmUp >= 0 && p.warmUp <= time.Hour, "--warm-up: 0s to 1h"},
		{p.count >= 0, "--count: not below 0"},
		{o.timeout > 0 && o.timeout <= 10*time.Minute, "--timeout: above 0, and at most 10m"},
		{o.maxFailed >= 0 && o.maxFailed <= 100, "--max-failed: 0 to 100"},
	} {
		if !c.ok {
			add(errors.New(c.what))
		}
	}
}

// readFiles reads secret, password, people and certificates.
func (o *options) readFiles(cmd *cobra.Command) (err error) {
	if o.secretFile != "" {
		if o.secret, err = readSecret(cmd, "client secret", o.secretFile); err != nil {
			return err
		}
	}
	o.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
		if o.tls.RootCAs, err = x509.SystemCertPool(); err != nil {
			o.tls.RootCAs = x509.NewCertPool() // a system without any
		}
		if !o.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-file: there is no certificate in %s", o.caFile)
		}
	}
	switch {
	case o.peopleFile != "" && (o.username != "" || o.passwordFile != ""):
		return errors.New("--people stands instead of --username and --password-file")
	case o.peopleFile != "":
		o.people.list, err = readPeople(cmd, o.peopleFile)
	case (o.username == "") != (o.passwordFile == ""):
		return errors.New("--username and --password-file need each other")
	case o.username != "":
		var password string
		password, err = readSecret(cmd, "password", o.passwordFile)
		o.people.list = []person{{o.username, password}}
	}
	return err
}

// mostSecret bounds a file that holds one secret.
const mostSecret = 64 << 10

func open(cmd *cobra.Command, file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(file) //nolint:gosec // G304: the caller's own
}

func readSecret(cmd *cobra.Command, what, file string) (string, error) {
	f, err := open(cmd, file)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	defer f.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(io.LimitReader(f, mostSecret))
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("the %s file is empty", what)
	}
	return secret, nil
}

func readPeople(cmd *cobra.Command, file string) (list []person, err error) {
	f, err := open(cmd, file)
	if err != nil {
		return nil, fmt.Errorf("--people: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was read
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" {
			continue
		}
		name, password, ok := strings.Cut(line, " ")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("--people: line %d is not a name, a space and a password", n)
		}
		list = append(list, person{name, password})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--people: %w", err)
	}
	if len(list) == 0 {
		return nil, errors.New("--people: the file is empty")
	}
	return list, nil
}

// progressLine rewrites itself on a terminal, and comes every ten seconds where there is none.
type progressLine struct {
	w        io.Writer // nil: quiet
	terminal bool
	name     string
	last     time.Time
}

func newProgress(w io.Writer, quiet bool, name string) *progressLine {
	if quiet {
		return &progressLine{}
	}
	p := &progressLine{w: w, name: name, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&fs.ModeCharDevice != 0
	}
	return p
}

func (p *progressLine) show(what string) {
	switch {
	case p.w == nil:
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K%s: %s", p.name, what)
	case time.Since(p.last) > 10*time.Second:
		p.last = time.Now()
		fmt.Fprintf(p.w, "%s: %s\n", p.name, what)
	}
}

func (p *progressLine) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
