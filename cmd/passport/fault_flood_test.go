//go:build fault && !e2e

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/passport-network/passport/storage/storagetest"
)

// What each flood (D1 to D13 of CASES.md, as far as it can be sent from outside: deploy/ha/README.md) does to somebody who uses the program
// meanwhile: the 99th of hundred of their answers, with and without it, is a line of the results. The short run only demands
// that they are served, and that the flood is refused as it should be.
func TestFaultFloods(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	r := newTrial(t, 1, database, database)
	certificate := t.TempDir()
	selfSigned(t, certificate, visitedHost)
	tlsAt := r.another(t, "PASSPORT_TLS_CERT_FILE="+filepath.Join(certificate, "cert.pem"), "PASSPORT_TLS_KEY_FILE="+filepath.Join(certificate, "key.pem"))
	ada := r.person(1, r.f.base)
	registerAll(t, r, ada)
	one := r.f.replicas[0]
	address := strings.TrimPrefix(one.base, "http://")
	raw := func(text string) string { return sends(t.Context(), address, text) }
	bob := newVisitor(r.f.base, ada.email, "another password altogether")
	head := "Host: " + visitedHost + "\r\n"
	form := head + "Content-Type: application/x-www-form-urlencoded\r\n"
	floods := []struct {
		name  string
		many  int // at the same time
		wants []string
		once  func(i int) string // an attempt, and how it was answered
		at    string             // what is flooded; empty: the replica without TLS
	}{
		{"D1 bodies of 1 GB, headers of 1 MB", 8, []string{"413", "431"}, func(i int) string {
			if i%2 == 0 {
				return raw("POST /token HTTP/1.1\r\n" + form + "Content-Length: 1000000000\r\n\r\na=")
			}
			return raw("GET /login HTTP/1.1\r\n" + head + "Cookie: " + strings.Repeat("a", 1<<20) + "\r\n\r\n")
		}, ""},
		{"D2 connections that send half a header, or half a body", long(t, 200, 2000), []string{"hung up", "400", "408"}, func(i int) string {
			if i%2 == 0 {
				return raw("GET /login HTTP/1.1\r\n" + head + "X-")
			}
			return raw("POST /token HTTP/1.1\r\n" + form + "Content-Length: 100\r\n\r\na=")
		}, ""},
		{"D3 streams of HTTP/2 that are reset at once", 8, []string{"GOAWAY ENHANCE_YOUR_CALM", "all were taken"}, func(int) string { return resets(t.Context(), tlsAt, 5000) }, "https://" + tlsAt},
		{"D4 passwords to hash", long(t, 50, 500), []string{"503", "422", "429"}, func(int) string {
			v := newVisitor(r.f.base, rand.Text()+"@example.test", "another password altogether")
			if p, err := v.get(t.Context(), "/login"); err == nil {
				p, _ = v.submit(t.Context(), p, "login-submit", "username", v.email, "password", v.pass)
				return strconv.Itoa(p.status)
			}
			return "lost"
		}, ""},
		{"D5 thousands of parameters and scopes", 8, []string{"400", "413", "303 invalid_request", "303 invalid_scope"}, func(int) string {
			p, err := newVisitor(r.f.base, "", "").send(t.Context(), http.MethodPost, "/authorize", url.Values{"client_id": {r.site.id},
				"redirect_uri": {r.site.back}, "response_type": {"code"}, "scope": {strings.Repeat("a ", 30_000)}, "state": {"s"},
				"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}})
			if to, bad := url.Parse(p.location); bad == nil && p.status == http.StatusSeeOther {
				return "303 " + to.Query().Get("error")
			}
			return fmt.Sprint(p.status, errText(err))
		}, ""},
		{"D6 long lists of languages, long addresses", 8, []string{"200", "400", "422"}, func(i int) string {
			if i%2 == 0 {
				return raw("GET /login HTTP/1.1\r\n" + head + "Connection: close\r\nAccept-Language: " + strings.Repeat("a-a-a;q=0.1,", 2000) + "\r\n\r\n")
			}
			v := newVisitor(r.f.base, "", "")
			p, err := v.get(t.Context(), "/lookup")
			if err == nil {
				p, err = v.submit(t.Context(), p, "lookup-submit", "email", strings.Repeat("(a)", 5000)+"@"+strings.Repeat("a.", 5000))
			}
			return fmt.Sprint(p.status, errText(err))
		}, ""},
		{"D7 compressed bodies", 8, []string{"415"}, func(int) string {
			return raw("POST /token HTTP/1.1\r\n" + form + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b")
		}, ""},
		{"D8 authorization requests of strangers", 8, []string{"200", "429"}, func(int) string {
			q := url.Values{"client_id": {r.site.id}, "redirect_uri": {r.site.back}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
				"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}}
			p, err := newVisitor(r.f.base, "", "").get(t.Context(), "/authorize?"+q.Encode())
			return fmt.Sprint(p.status, errText(err))
		}, ""},
		{"D9 sign-ins of one account, all at once", 300, []string{"503", "422", "429"}, func(int) string {
			v := bob.twin(r.f.base)
			p, err := v.get(t.Context(), "/login")
			if err == nil {
				p, err = v.submit(t.Context(), p, "login-submit", "username", v.email, "password", v.pass)
			}
			return fmt.Sprint(p.status, errText(err))
		}, ""},
		{"D13 paths that are none", 8, []string{"404"}, func(int) string { return raw("GET /.git/config HTTP/1.1\r\n" + head + "\r\n") }, ""},
	}
	lasts := long(t, 2*time.Second, 30*time.Second)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			ada.site.base = r.f.base
			if f.at != "" {
				ada.site.base = func() string { return f.at }
			}
			calm, lost := ada.uses(t, lasts)
			ctx, stop := context.WithTimeout(t.Context(), lasts+time.Second)
			defer stop()
			answers := map[string]int{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for range f.many {
				all.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						said := f.once(i)
						mu.Lock()
						answers[said]++
						mu.Unlock()
					}
				})
			}
			flooded, lostMeanwhile := ada.uses(t, lasts)
			stop()
			all.Wait()
			total := 0
			for said, n := range answers {
				total += n
				if !slices.Contains(f.wants, said) {
					t.Errorf("%d times answered with %q, not with %v", n, said, f.wants)
				}
			}
			if lost+lostMeanwhile > 0 || total == 0 {
				t.Errorf("%d and %d of somebody else's requests failed; %d attempts", lost, lostMeanwhile, total)
			}
			result{fault: f.name, load: fmt.Sprintf("%d at once; another's requests (introspection, key set, refresh): p99 %d ms, without it %d ms",
				f.many, p99(flooded).Milliseconds(), p99(calm).Milliseconds()), requests: int64(total), failed: lost + lostMeanwhile}.keep(t)
		})
	}
	t.Logf("%d MiB resident after all of it", resident(t, one)>>20)
}

// uses is somebody who uses the program, one request after the other, and how long each took.
func (p *person) uses(t *testing.T, lasts time.Duration) (took []time.Duration, failed int) {
	t.Helper()
	for until := time.Now().Add(lasts); time.Now().Before(until); {
		for _, do := range []func() (answer, error){
			func() (answer, error) { return p.site.introspect(t.Context(), p.got.Access) },
			func() (answer, error) {
				_, err := keySet(p.site.base())
				return answer{Status: 200}, err
			},
			func() (answer, error) {
				a, err := p.site.refresh(t.Context(), p.got.Refresh)
				if err == nil && a.Status == 200 {
					p.got = a
				}
				return a, err
			},
		} {
			began := time.Now()
			a, err := do()
			took = append(took, time.Since(began))
			if err != nil || a.Status != 200 {
				failed++
			}
		}
	}
	return took, failed
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// sends writes bytes to the server and gives the status of the answer, or says that the server hung up without one. It waits longer
// than the server may (D2).
func sends(ctx context.Context, address, text string) string {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() { _, _ = io.WriteString(conn, text) }()
	line := make([]byte, 12)
	switch _, err := io.ReadFull(conn, line); {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "hung up"
	case err != nil:
		return err.Error() // "i/o timeout" is ours
	case !bytes.HasPrefix(line, []byte("HTTP/1.1 ")):
		return string(line)
	}
	return string(line[9:])
}

// resets opens streams on one connection and resets each at once (CVE-2023-44487), until the server ends the connection, which it
// does where streams come faster than they can be forgotten. It gives the reason.
func resets(ctx context.Context, address string, streams uint32) string {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}} //nolint:gosec // G402: its own certificate
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	f := http2.NewFramer(conn, conn)
	said := make(chan string, 1)
	go func() {
		for {
			switch frame, err := f.ReadFrame(); frame := frame.(type) {
			case *http2.PingFrame:
				said <- "all were taken"
				return
			case *http2.GoAwayFrame:
				said <- "GOAWAY " + frame.ErrCode.String()
				return
			default:
				if err != nil {
					said <- err.Error()
					return
				}
			}
		}
	}()
	var head bytes.Buffer
	fields := hpack.NewEncoder(&head)
	for name, value := range map[string]string{":method": "GET", ":scheme": "https", ":authority": visitedHost, ":path": "/login"} {
		_ = fields.WriteField(hpack.HeaderField{Name: name, Value: value}) // a buffer takes everything
	}
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err == nil {
		err = f.WriteSettings()
	}
	for n := uint32(1); err == nil && n < 2*streams; n += 2 {
		err = f.WriteHeaders(http2.HeadersFrameParam{StreamID: n, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
		if err == nil {
			err = f.WriteRSTStream(n, http2.ErrCodeCancel)
		}
	}
	if err == nil {
		_ = f.WritePing(false, [8]byte{}) // answered when all before it has been read
	}
	return <-said
}

// another is a replica beside those that are counted, and where it listens.
func (r *trial) another(t *testing.T, more ...string) string {
	t.Helper()
	port, admin := unusedPort(t), unusedPort(t)
	one := &replica{base: "https://127.0.0.1:" + port, admin: "http://127.0.0.1:" + admin, log: r.f.replicas[0].log}
	one.env = append(append(append([]string{}, r.f.replicas[0].env...), "PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin), more...)
	r.f.start(one)
	t.Cleanup(func() { r.f.kill(one) })
	return "127.0.0.1:" + port
}

// resident is the memory of a replica, in bytes.
func resident(t *testing.T, r *replica) int64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`).FindStringSubmatch(ask(t, r.admin+"/metrics", 200))
	if m == nil {
		t.Fatal("no such metric")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}
