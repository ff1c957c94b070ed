package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func client(t *testing.T, c Config) *Client {
	t.Helper()
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// caFile writes the certificate of a TLS test server, so that the client trusts it.
func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// refused checks that an error is a refusal for this reason, and that its text tells nothing.
func refused(t *testing.T, name string, err error, reasons ...string) {
	t.Helper()
	if !errors.Is(err, ErrRefused) || err.Error() != ErrRefused.Error() {
		t.Errorf("%s: %v", name, err)
		return
	}
	for _, r := range reasons {
		if Reason(err) == r {
			return
		}
	}
	var cause *refusal
	errors.As(err, &cause)
	t.Errorf("%s: refused as %q (%v), not %v", name, Reason(err), cause.cause, reasons)
}

func TestAllowedHosts(t *testing.T) {
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"agent":%q,"encoding":%q}`, r.Header.Get("User-Agent"), r.Header.Get("Accept-Encoding"))
	}))
	defer site.Close()
	plain := httptest.NewServer(site.Config.Handler)
	defer plain.Close()
	ca := caFile(t, site)
	host := strings.TrimPrefix(site.URL, "https://")
	_, plainPort, _ := net.SplitHostPort(strings.TrimPrefix(plain.URL, "http://"))
	for _, c := range []struct {
		name, url string
		allow     []string
		reason    string // empty: fetched
	}{
		{"nothing listed", site.URL, nil, "port"},
		{"the address", site.URL, []string{"127.0.0.1"}, ""},
		{"address and port", site.URL, []string{host}, ""},
		{"the network", site.URL, []string{"127.0.0.0/8"}, ""},
		{"another network", site.URL, []string{"10.0.0.0/8"}, "port"},
		{"another port", site.URL, []string{"127.0.0.1:1"}, "port"},
		{"http, nothing listed", plain.URL, nil, "scheme"},
		{"http, listed", plain.URL, []string{"127.0.0.0/8"}, ""},
		{"http, a listed name", "http://LOCALHOST:" + plainPort, []string{"localhost"}, ""},
		{"http, a listed name and port", "http://localhost:" + plainPort, []string{"Localhost:" + plainPort}, ""},
		{"http, a name in a listed network", "http://localhost:" + plainPort, []string{"127.0.0.0/8", "::1"}, "scheme"},
	} {
		body, header, err := client(t, Config{Allow: c.allow, CAFile: ca}).Get(t.Context(), c.url, 0)
		switch {
		case c.reason != "":
			refused(t, c.name, err, c.reason)
		case err != nil:
			t.Errorf("%s: %v (%s)", c.name, err, Reason(err))
		case string(body) != `{"agent":"Passport","encoding":""}` || header.Get("Content-Type") != "application/json":
			t.Errorf("%s: %s %v", c.name, body, header)
		}
	}
}

func TestS1(t *testing.T) {
	var reached atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	port := strings.TrimPrefix(inner.URL, "http://127.0.0.1:")
	c := client(t, Config{Issuer: "https://op.test"})
	// A proxy of the environment would resolve and dial in our place. (net/http reads the environment once a
	// process, so setting it here would prove nothing.)
	if transport, ok := c.http.Transport.(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("a proxy may be used")
	}
	for _, u := range []struct{ url, reason string }{
		{"http://127.0.0.1:5432/", "scheme"},
		{"http://[::1]/", "scheme"},
		{"http://169.254.169.254/latest/", "scheme"},
		{"http://10.0.0.1/", "scheme"},
		{inner.URL, "scheme"},
		{"file:///etc/passwd", "url"},
		{"file://localhost/etc/passwd", "scheme"},
		{"gopher://127.0.0.1:70/", "scheme"},
		{"ftp://127.0.0.1/", "scheme"},
		{"data:text/html,x", "url"},
		{"https:127.0.0.1", "url"},
		{"//127.0.0.1/", "scheme"},
		{"", "url"},
		{"https://", "url"},
		{"https://app.test\n/", "url"},
		{"https://op.test/", "self"},
		{"https://OP.test:443/jwks.json", "self"},
		{"https://u@127.0.0.1/", "url"},
		{"https://u:p@app.test/", "url"},
		{"https://app.test/#f", "url"},
		{"https://localhost./", "url"},
		{"https://ｌocalhost/", "url"},
		{"https://127。0。0。1/", "url"},
		{"https://127.0.0.1:/", "address"},
		{"https://127.0.0.1:" + port + "/", "port"},
		{"https://127.0.0.1:25/", "port"},
		{"https://127.0.0.1:99999/", "connect" /* no such port */},
		{"https://127.0.0.1/", "address"},
		{"https://127.255.0.1/", "address"},
		{"https://0.0.0.0/", "address"},
		{"https://10.0.0.1/", "address"},
		{"https://172.16.0.1/", "address"},
		{"https://192.168.0.1/", "address"},
		{"https://100.64.0.1/", "address"},
		{"https://169.254.169.254/latest/", "address"},
		{"https://224.0.0.1/", "address"},
		{"https://255.255.255.255/", "address"},
		{"https://[::]/", "address"},
		{"https://[::1]/", "address"},
		{"https://[::ffff:127.0.0.1]/", "address"},
		{"https://[::ffff:10.0.0.1]/", "address"},
		{"https://[64:ff9b::7f00:1]/", "address"},
		{"https://[fe80::1]/", "address"},
		{"https://[fe80::1%25lo]/", "url"},
		{"https://[fd00::1]/", "address"},
		{"https://[2002:7f00:1::]/", "address"},
		{"https://localhost/", "address"},
	} {
		_, _, err := c.Get(t.Context(), u.url, 0)
		refused(t, u.url, err, u.reason)
	}
	// Other spellings of 127.0.0.1: whether they are addresses at all is the resolver's business.
	for _, u := range []string{"https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/"} {
		_, _, err := c.Get(t.Context(), u, 0)
		refused(t, u, err, "address", "name")
	}
	if reached.Load() != 0 {
		t.Error("something inside was reached")
	}
}

// A listed host that redirects into the network gains nothing, and neither does a redirect anywhere else.
func TestS1Redirects(t *testing.T) {
	var reached atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	var site *httptest.Server
	site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusFound
		if s := r.URL.Query().Get("s"); s != "" {
			_, _ = fmt.Sscan(s, &status)
		}
		to := r.URL.Query().Get("to")
		if to == "loop" {
			to = site.URL + r.URL.String()
		}
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}))
	defer site.Close()
	c := client(t, Config{Allow: []string{"127.0.0.1"}})
	for _, to := range []string{inner.URL, "http://[::1]/", "http://169.254.169.254/latest/", "file:///etc/passwd", "loop", "/", ""} {
		for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
			u := fmt.Sprintf("%s/?s=%d&to=%s", site.URL, status, url.QueryEscape(to))
			_, _, err := c.Get(t.Context(), u, 0)
			refused(t, u, err, "redirect")
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, u, strings.NewReader("logout_token=x"))
			_, err = c.Do(req, 0)
			refused(t, "POST "+u, err, "redirect")
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestS2(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(z, zeros{}, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for sent.Load() < 10<<30 {
			n, err := w.Write(make([]byte, 1<<16))
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/announced", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000000000")
		_, _ = w.Write([]byte("x"))
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 64<<10))
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes()[:min(bomb.Len(), 32<<10)])
	})
	mux.HandleFunc("/exact", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
		_, _ = w.Write(bytes.Repeat([]byte("x"), n))
	})
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
		panic(http.ErrAbortHandler)
	})
	site := httptest.NewServer(mux)
	defer site.Close()
	c := client(t, Config{Allow: []string{"127.0.0.1"}})
	if c.http.Timeout != 5*time.Second {
		t.Errorf("the whole takes up to %s", c.http.Timeout)
	}
	for path, reason := range map[string]string{
		"/slow": "slow", "/silent": "slow", "/huge": "size", "/announced": "size", "/header": "other",
		"/gzip": "encoding", "/500": "status", "/missing": "status", "/cut": "other", "/exact?n=65537": "size",
	} {
		c.http.Timeout = 5 * time.Second
		if reason == "slow" { // these go on for as long as we listen: without a limit this has no end
			c.http.Timeout = 400 * time.Millisecond
		}
		_, _, err := c.Get(t.Context(), site.URL+path, 0)
		refused(t, path, err, reason)
	}
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were sent before we hung up", n)
	}
	for n, limit := range map[int]int64{0: 0, 64 << 10: 0, 10: 10, MaxBody: MaxBody} {
		body, _, err := c.Get(t.Context(), fmt.Sprintf("%s/exact?n=%d", site.URL, n), limit)
		if err != nil || len(body) != n {
			t.Errorf("%d bytes within the limit: %d, %v", n, len(body), err)
		}
	}
	_, _, err := c.Get(t.Context(), fmt.Sprintf("%s/exact?n=%d", site.URL, MaxBody+1), 1<<40)
	refused(t, "more than the most", err, "size")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = c.Get(ctx, site.URL+"/exact?n=1", 0)
	refused(t, "cancelled", err, "other")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestS2BadTLS(t *testing.T) {
	site := httptest.NewTLSServer(http.NotFoundHandler())
	defer site.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	c := client(t, Config{Allow: []string{"127.0.0.1", "localhost"}})
	_, _, err := c.Get(t.Context(), site.URL, 0)
	refused(t, "an unknown authority", err, "tls")
	_, _, err = c.Get(t.Context(), strings.Replace(plain.URL, "http:", "https:", 1), 0)
	refused(t, "no TLS at all", err, "tls", "other")
	c = client(t, Config{Allow: []string{"127.0.0.1", "localhost"}, CAFile: caFile(t, site)})
	_, _, err = c.Get(t.Context(), strings.Replace(site.URL, "127.0.0.1", "localhost", 1), 0)
	refused(t, "another name's certificate", err, "tls")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	_ = l.Close()
	_, _, err = c.Get(t.Context(), "https://"+gone, 0)
	refused(t, "nobody listens", err, "connect")
}

func TestDo(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Content-Type"), body)
	}))
	defer site.Close()
	c := client(t, Config{Allow: []string{"127.0.0.1"}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL, strings.NewReader("logout_token=x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.Do(req, 0)
	if err != nil || res.Status != 400 || string(res.Body) != "POST application/x-www-form-urlencoded logout_token=x" {
		t.Errorf("%+v, %v", res, err)
	}
	req.Host = "op.internal"
	_, err = c.Do(req, 0)
	refused(t, "another Host header", err, "url")
}

func TestConfigIsRefused(t *testing.T) {
	for _, entry := range []string{"", "*", "*.app.test", "https://app.test", "app.test/path", "10.0.0.0/33", "a b", "ä.test", "app.test."} {
		if _, err := New(Config{Allow: []string{entry}}); err == nil {
			t.Errorf("%q is taken", entry)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{CAFile: empty}, {CAFile: empty + ".missing"}, {Issuer: "op.test"}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
