package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// DefaultBody is what is read of an answer when the caller names no limit, MaxBody the most he can name.
	DefaultBody = 64 << 10
	MaxBody     = 256 << 10

	defaultTotal = 5 * time.Second // name, connection, TLS, request and the whole body
	maxHeader    = 32 << 10
)

// Config is what a Client needs.
type Config struct {
	// Allow lists what is excepted from the rules: a host ("sso.example"), a host with its port
	// ("localhost:5555"), an address or a network in CIDR form. A listed host may be http, on any port (on the
	// listed one, if there is one) and at any address. A name that resolves into a listed network may be on any port.
	Allow []string
	// CAFile holds further certificate authorities (PEM), beside the system's.
	CAFile string
	// Issuer is our own root URL: we never call ourselves.
	Issuer string
}

// Client fetches from addresses that strangers chose. Safe for concurrent use.
type Client struct {
	http   *http.Client
	allow  allowed
	issuer string // host:port
}

// New makes a Client. It refuses an entry of Allow that is neither host nor network, and a CAFile without a
// certificate.
func New(c Config) (*Client, error) {
	allow, err := parseAllow(c.Allow)
	if err != nil {
		return nil, err
	}
	roots, err := authorities(c.CAFile)
	if err != nil {
		return nil, err
	}
	out := &Client{allow: allow}
	if c.Issuer != "" {
		u, err := url.Parse(c.Issuer)
		if err != nil || u.Host == "" {
			return nil, errors.New("the issuer is not a URL")
		}
		out.issuer = hostPort(u)
	}
	transport := &http.Transport{
		Proxy:                  nil, // S1: an http_proxy of the environment would dial in our place
		DialContext:            out.allow.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableKeepAlives:      true, // a connection is judged when it is dialled, so each request dials
		DisableCompression:     true, // S2: no gzip bombs
		MaxResponseHeaderBytes: maxHeader,
	}
	out.http = &http.Client{
		Transport: transport,
		Timeout:   defaultTotal,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // read, and refused, by Do
		},
	}
	return out, nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the outbound CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the outbound CA file holds no certificate")
	}
	return roots, nil
}

// Response is an answer that was read whole.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get fetches a document of at most limit bytes (0: DefaultBody). Anything but 200 is
// refused. Every error is ErrRefused, with the one text; Reason says more, for the log.
func (c *Client) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, refuse("url", err)
	}
	res, err := c.Do(req, limit)
	if err != nil {
		return nil, nil, err
	}
	if res.Status != http.StatusOK {
		return nil, nil, refuse("status", fmt.Errorf("the status is %d", res.Status))
	}
	return res.Body, res.Header, nil
}

// Do sends a request and reads an answer of at most limit bytes (0: DefaultBody). The status is the caller's
// to judge, but redirects are refused. Every error is ErrRefused, as with Get.
func (c *Client) Do(req *http.Request, limit int64) (*Response, error) {
	if limit <= 0 {
		limit = DefaultBody
	}
	limit = min(limit, MaxBody)
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	// We asked for none, so who compresses wants us to unpack (or to hash) something else than was sent.
	if e := res.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, refuse("encoding", errors.New("the answer is compressed"))
	}
	if res.ContentLength > limit {
		return nil, refuse("size", errors.New("the answer is too long"))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, refuse(class(err), err)
	case int64(len(body)) > limit:
		return nil, refuse("size", errors.New("the answer is too long"))
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// Status sends a request and tells how it was answered; what the answer says is not read. Redirects are refused. Every
// error is ErrRefused, as with Get.
func (c *Client) Status(req *http.Request) (int, error) {
	res, err := c.send(req)
	if err != nil {
		return 0, err
	}
	_ = res.Body.Close() // nothing of it was wanted
	return res.StatusCode, nil
}

// send sends a request that may be sent. The body of what it returns is to be closed.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	if err := c.check(req); err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "Passport")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, refuse(class(err), err)
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		_ = res.Body.Close()
		return nil, refuse("redirect", fmt.Errorf("the status is %d", res.StatusCode))
	}
	return res, nil
}

// check judges what can be judged before the name is resolved; the dialler judges the rest.
func (c *Client) check(req *http.Request) error {
	u := req.URL
	host := u.Hostname()
	switch {
	case u.Opaque != "" || host == "" || u.User != nil || u.Fragment != "":
		return refuse("url", errors.New("not a plain absolute URL"))
	case req.Host != "" && req.Host != u.Host:
		return refuse("url", errors.New("the Host header is not the URL's"))
	case !plainHost(host) || strings.HasSuffix(u.Host, ":"):
		return refuse("url", errors.New("the host has other characters than a name or an address"))
	case c.issuer != "" && hostPort(u) == c.issuer:
		return refuse("self", errors.New("the URL is our own"))
	case u.Scheme == "https":
	case u.Scheme == "http" && c.allow.host(hostPort(u)):
	default:
		return refuse("scheme", errors.New("the scheme is not https"))
	}
	return nil
}

// plainHost tells whether a host is an A-label name or an address. Others (non-ASCII names, percent signs,
// a trailing dot) have a second spelling that a list of hosts would not match.
func plainHost(host string) bool {
	if strings.Contains(host, ":") {
		return net.ParseIP(host) != nil
	}
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return !strings.HasSuffix(host, ".")
}

// hostPort is the URL's host in lower case with its port, the scheme's where it names none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
