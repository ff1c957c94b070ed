package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listening serves a handler as the program does, and returns the address.
func listening(t *testing.T, h http.Handler, conf *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := (&app{logger: slog.New(slog.DiscardHandler)}).httpServer(h)
	if conf != nil {
		server.TLSConfig = conf
		l = tls.NewListener(l, conf)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

var empty = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, "", http.StatusBadRequest)
	}
})

func TestLargeHeader(t *testing.T) {
	addr := listening(t, empty, nil)
	for size, want := range map[int]int{16 << 10: http.StatusOK, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequest("GET", "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", strings.Repeat("a", size))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %d", size, res.StatusCode)
		}
	}
}

// What bounds each connection of each listener.
func TestBounds(t *testing.T) {
	a := &app{logger: slog.New(slog.DiscardHandler)}
	s := a.httpServer(empty)
	t.Run("D1 the header's size", func(t *testing.T) {
		if s.MaxHeaderBytes != 32<<10 {
			t.Error(s.MaxHeaderBytes)
		}
	})
	t.Run("D2 slow clients: every wait has an end", func(t *testing.T) {
		for what, d := range map[string][2]time.Duration{"header": {s.ReadHeaderTimeout, 5 * time.Second}, "request": {s.ReadTimeout, 15 * time.Second},
			"answer": {s.WriteTimeout, 30 * time.Second}, "idle": {s.IdleTimeout, 75 * time.Second}} {
			if d[0] != d[1] {
				t.Errorf("%s: %s, not %s", what, d[0], d[1])
			}
		}
	})
	t.Run("D3 streams of one HTTP/2 connection are bounded", func(t *testing.T) {
		if s.HTTP2 == nil || s.HTTP2.MaxConcurrentStreams != 100 {
			t.Fatalf("%+v", s.HTTP2)
		}
		if got := settings(t)[0x3]; got != 100 { // SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113 §6.5.2
			t.Errorf("a client is told of %d streams", got)
		}
	})
	t.Run("D3 a stream that was reset is not worked at", func(t *testing.T) {
		gone, leave := context.WithCancel(t.Context())
		leave()
		for _, c := range []struct {
			major int
			ctx   context.Context
			want  bool
		}{{2, gone, false}, {2, t.Context(), true}, {1, gone, true}} {
			worked := false
			s := a.httpServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { worked = true }))
			r := httptest.NewRequestWithContext(c.ctx, http.MethodGet, "/login", nil)
			r.ProtoMajor = c.major
			s.Handler.ServeHTTP(httptest.NewRecorder(), r)
			if worked != c.want {
				t.Errorf("HTTP/%d, gone %v: worked at is %v", c.major, c.ctx.Err() != nil, worked)
			}
		}
	})
}

// settings are what the server tells of itself on a new HTTP/2 connection: the first frame that it sends.
func settings(t *testing.T) map[uint16]uint32 {
	t.Helper()
	dir := t.TempDir()
	selfSigned(t, dir, "one.test")
	pair := &keyPair{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	if err := pair.load(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := (&app{logger: slog.New(slog.DiscardHandler)}).httpServer(empty)
	server.TLSConfig = tlsConfig(pair)
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // G402: its own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("no SETTINGS: %v %x", err, head)
	}
	body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	told := map[uint16]uint32{}
	for ; len(body) >= 6; body = body[6:] {
		told[binary.BigEndian.Uint16(body)] = binary.BigEndian.Uint32(body[2:])
	}
	return told
}

// D13: net/http answers OPTIONS * by itself, without our headers, log line and check of the Host, unless told not to.
func TestOptionsOfTheServer(t *testing.T) {
	addr := listening(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), nil)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: evil.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusTeapot {
		t.Errorf("answered past our handler: %s", res.Status)
	}
}

// D2: whoever sends a header or a body drop by drop is cut off.
func TestSlowClients(t *testing.T) {
	addr := listening(t, empty, nil)
	for _, c := range []struct {
		name, begin string
		limit       time.Duration
	}{
		{"a header", "GET / HTTP/1.1\r\nHost: x\r\nX-", 8 * time.Second},
		{"a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", 18 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.begin); err != nil {
				t.Fatal(err)
			}
			drops := time.NewTicker(time.Second)
			defer drops.Stop()
			cut := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, conn)
				cut <- err
			}()
			end := time.After(c.limit)
			for {
				select {
				case <-cut:
					return
				case <-drops.C:
					_, _ = io.WriteString(conn, "a") // the connection may be gone by now
				case <-end:
					t.Fatalf("%s may take longer than %v", c.name, c.limit)
				}
			}
		})
	}
}

// selfSigned writes a certificate for the host and its key.
func selfSigned(t *testing.T, dir, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	selfSigned(t, dir, "one.test")
	pair := &keyPair{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	if err := pair.load(); err != nil {
		t.Fatal(err)
	}
	addr := listening(t, empty, tlsConfig(pair))
	dial := func(version uint16, suites ...uint16) (tls.ConnectionState, error) {
		conn, err := tls.Dial("tcp", addr, &tls.Config{
			InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, CipherSuites: suites, //nolint:gosec // what is offered is what is tested
		})
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if _, err := dial(version); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !strings.Contains(s.Name, "ECDSA") || s.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		aead := strings.Contains(s.Name, "GCM") || strings.Contains(s.Name, "POLY1305")
		if _, err := dial(tls.VersionTLS12, s.ID); (err == nil) != aead {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	// A new certificate without a restart; one that cannot be read changes nothing.
	selfSigned(t, dir, "two.test")
	if err := pair.load(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pair.key, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pair.load(); err == nil {
		t.Error("a broken key was accepted")
	}
	state, err := dial(tls.VersionTLS13)
	if err != nil || state.PeerCertificates[0].DNSNames[0] != "two.test" {
		t.Errorf("after the change: %v", err)
	}
}

// net/http names the peer's address in what it logs, and a stack after a panic: neither reaches our log.
func TestConnectionLog(t *testing.T) {
	var out bytes.Buffer
	c := connectionLog{slog.New(slog.NewJSONHandler(&out, nil))}
	fmt.Fprint(c, "http: TLS handshake error from 192.0.2.7:1234: EOF\n")
	fmt.Fprint(c, "http: panic serving 192.0.2.7:1234: boom\ngoroutine 7 [running]:\nsecret\n")
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		if l := lines.Text(); strings.Contains(l, "192.0.2") || strings.Contains(l, "secret") || !strings.Contains(l, `"what":"http: `) {
			t.Error(l)
		}
	}
}
