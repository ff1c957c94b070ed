//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/passport-network/passport/cmd/passport/demo"
)

// world is one Passport server as an operator runs it (the real binary, its own database, mail over SMTP
// with STARTTLS and a password) and what stands around it.
type world struct {
	t       *testing.T
	dir     string
	issuer  string
	env     []string
	ca      *authority
	smtp    *sink
	server  *exec.Cmd
	logs    *safeBuffer
	seen    *ledger
	sites   map[string]string // name → base URL
	exited  chan error
	binary  string
	hosts   string // rules by which browsers find hosts, beside the test's own
	withTLS bool
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// ledger remembers every secret that a test saw, so that logs and the database can be searched for them.
type ledger struct {
	mu   sync.Mutex
	what map[string]string // value → kind
}

func (l *ledger) add(kind string, values ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range values {
		if len(v) >= 8 {
			l.what[v] = kind
		}
	}
}

// find reports the kinds of secrets that stand in text.
func (l *ledger) find(text []byte) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hits []string
	for v, kind := range l.what {
		// A dump of PostgreSQL shows bytea in hexadecimal.
		if bytes.Contains(text, []byte(v)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(v)))) {
			hits = append(hits, kind)
		}
	}
	return hits
}

func (l *ledger) count(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, k := range l.what {
		if k == kind {
			n++
		}
	}
	return n
}

// authority is a certificate authority of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
	pool *x509.CertPool
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Passport test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))
	cert := must(x509.ParseCertificate(der))
	file := filepath.Join(dir, "ca.pem")
	check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, file: file, pool: pool}
}

// leaf makes a certificate for the hosts of the test and writes it beside its key.
func (a *authority) leaf(dir string) (certFile, keyFile string, pair tls.Certificate) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "passport.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames:    []string{"passport.test", "fabrikam.test", "contoso.test", "localhost", vendorHost},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key))
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(key))})
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(os.WriteFile(certFile, certPEM, 0o600))
	check(os.WriteFile(keyFile, keyPEM, 0o600))
	return certFile, keyFile, must(tls.X509KeyPair(certPEM, keyPEM))
}

// httpClient resolves every name to loopback and trusts the test's authority.
func (a *authority) httpClient() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: a.pool},
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
			},
		},
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func freePort() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	_, port := must2(net.SplitHostPort(l.Addr().String()))
	return port
}

func must2(a, b string, err error) (string, string) {
	check(err)
	return a, b
}

// binary is built once, with the race detector, for all end-to-end tests.
var builtOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "passport-e2e-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "passport")
	out, err := exec.Command("go", "build", "-race", "-o", bin, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

// newWorld prepares everything and starts nothing but the mail sink.
// database is a PASSPORT_DATABASE; empty: SQLite in the world's folder.
func newWorld(t *testing.T, database string, withTLS bool) *world {
	t.Helper()
	dir := t.TempDir()
	bin, err := builtOnce()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, dir: dir, binary: bin, withTLS: withTLS, logs: &safeBuffer{},
		seen: &ledger{what: map[string]string{}}, sites: map[string]string{},
	}
	w.ca = newAuthority(t, dir)
	certFile, keyFile, pair := w.ca.leaf(dir)
	w.smtp = newSink(t, pair)
	if database == "" {
		database = "sqlite:" + filepath.Join(dir, "passport.db")
	}
	port := freePort()
	secret := strings.ToLower(rand.Text() + rand.Text())
	w.seen.add("secret", secret)
	w.env = append(os.Environ(),
		"PASSPORT_ADDR=127.0.0.1:"+port,
		"PASSPORT_ADMIN_ADDR=127.0.0.1:"+freePort(),
		"PASSPORT_DATA="+dir,
		"PASSPORT_DATABASE="+database,
		"PASSPORT_SECRET="+secret,
		"PASSPORT_SMTP_URL=smtp://mailer:"+sinkPassword+"@"+w.smtp.addr,
		"PASSPORT_OUTBOUND_CA_FILE="+w.ca.file,
		"PASSPORT_LIMIT_EXEMPT=127.0.0.0/8",
	)
	if withTLS {
		w.issuer = "https://passport.test:" + port
		w.env = append(w.env, "PASSPORT_TLS_CERT_FILE="+certFile, "PASSPORT_TLS_KEY_FILE="+keyFile)
	} else {
		w.issuer = "http://localhost:" + port
	}
	w.env = append(w.env, "PASSPORT_ISSUER="+w.issuer)
	t.Cleanup(func() {
		if w.server != nil {
			_ = w.server.Process.Kill()
		}
	})
	return w
}

// database is the PASSPORT_DATABASE that the server runs on.
func (w *world) database() string { return w.setting("PASSPORT_DATABASE") }

// setting is what the server's environment says.
func (w *world) setting(name string) (value string) {
	for _, kv := range w.env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// start runs the server and returns when it answers.
func (w *world) start() {
	w.t.Helper()
	w.server = exec.Command(w.binary, "serve")
	w.server.Env = w.env
	w.server.Stdout, w.server.Stderr = w.logs, w.logs
	check(w.server.Start())
	exited := make(chan error, 1)
	server := w.server
	go func() { exited <- server.Wait() }()
	w.exited = exited
	client := w.ca.httpClient()
	deadline := time.Now().Add(60 * time.Second)
	for {
		res, err := client.Get(w.issuer + "/.well-known/openid-configuration")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-exited:
			w.t.Fatalf("the server ended: %v\n%s", err, w.logs)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the server does not answer\n%s", w.logs)
		}
	}
}

// kill ends the server as a power failure does.
func (w *world) kill() {
	check(w.server.Process.Signal(syscall.SIGKILL))
	<-w.exited
}

// stop ends it as an operator does, and demands exit status 0.
func (w *world) stop() {
	w.t.Helper()
	check(w.server.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-w.exited:
		if err != nil {
			w.t.Errorf("SIGTERM: %v\n%s", err, w.logs)
		}
	case <-time.After(30 * time.Second):
		w.t.Errorf("the server does not end after SIGTERM")
	}
}

// call prepares a command against the same database, by the program as it is released: the race detector makes each a second
// longer.
func (w *world) call(args ...string) *exec.Cmd {
	cmd := exec.Command(must(built()), args...)
	cmd.Env = w.env
	return cmd
}

// command runs one to the end.
func (w *world) command(args ...string) []byte {
	w.t.Helper()
	cmd := w.call(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("passport %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// refuses demands that a command fails, and says why.
func (w *world) refuses(why string, args ...string) {
	w.t.Helper()
	if out, err := w.call(args...).CombinedOutput(); err == nil || !strings.Contains(string(out), why) {
		w.t.Errorf("passport %s: %v, not %q:\n%s", strings.Join(args, " "), err, why, out)
	}
}

// client registers a site by command and returns its id and secret.
func (w *world) client(doc map[string]any, flags ...string) (id, secret string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "client-"+rand.Text()+".json")
	check(os.WriteFile(file, must(json.Marshal(doc)), 0o600))
	out := w.command(append([]string{"client", "create", "--file", file, "--json"}, flags...)...)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	check(json.Unmarshal(out, &made))
	w.seen.add("client secret", made.Secret)
	return made.ID, made.Secret
}

// site runs a demonstration site: a relying party on go-oidc and x/oauth2.
func (w *world) site(name string) string {
	w.t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	_, port := must2(net.SplitHostPort(srv.Listener.Addr().String()))
	base := "http://localhost:" + port
	local := base // as the server finds it
	if w.withTLS {
		local = "https://localhost:" + port
		_, _, pair := w.ca.leaf(w.t.TempDir())
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		base = "https://" + strings.ToLower(name) + ".test:" + port
	}
	id, secret := w.client(map[string]any{
		"client_name": name, "client_uri": base + "/", "redirect_uris": []string{base + "/callback"},
		"post_logout_redirect_uris": []string{base + "/"},
		"backchannel_logout_uri":    local + "/backchannel-logout", "backchannel_logout_session_required": true,
	})
	httpClient := w.ca.httpClient()
	httpClient.Transport = &tokenTap{next: httpClient.Transport, seen: w.seen}
	handler, err := demo.Handler(demo.Config{
		Name: name, Issuer: w.issuer, ClientID: id, ClientSecret: secret, BaseURL: base, HTTPClient: httpClient,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	srv.Config.Handler = handler
	if w.withTLS {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	w.t.Cleanup(srv.Close)
	w.sites[name] = base
	return base
}

// tokenTap writes every code and token that passes between a site and the server into the ledger.
type tokenTap struct {
	next http.RoundTripper
	seen *ledger
}

func (tap *tokenTap) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := tap.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/token") {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	var tokens map[string]any
	if json.Unmarshal(body, &tokens) == nil {
		for _, kind := range []string{"access_token", "refresh_token", "id_token"} {
			if v, ok := tokens[kind].(string); ok {
				tap.seen.add(kind, v)
			}
		}
	}
	return res, nil
}
