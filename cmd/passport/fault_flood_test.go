//go:build fault && !e2e

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/passport-network/passport/pkg/limit"
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
	secure := r.another(t, "https://", "PASSPORT_TLS_CERT_FILE="+filepath.Join(certificate, "cert.pem"), "PASSPORT_TLS_KEY_FILE="+filepath.Join(certificate, "key.pem"))
	// Strangers come to it from another address than somebody else does.
	limited := r.another(t, "http://", "PASSPORT_LIMIT_EXEMPT=127.0.0.1/32")
	strangers := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext, MaxIdleConnsPerHost: 8}
	t.Cleanup(strangers.CloseIdleConnections)
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
		many  int                       // at the same time
		wants []string                  // no other answers
		must  []string                  // each of these among them
		once  func(i int) string        // an attempt, and how it was answered
		at    *replica                  // what is flooded
		after func(*testing.T, flooded) // what else must hold; nil: nothing
	}{
		{"D1 bodies of 1 GB, headers of 1 MB", 8, []string{"413", "431"}, []string{"413", "431"}, func(i int) string {
			if i%2 == 0 {
				return raw("POST /token HTTP/1.1\r\n" + form + "Content-Length: 1000000000\r\n\r\na=")
			}
			return raw("GET /login HTTP/1.1\r\n" + head + "Cookie: " + strings.Repeat("a", 1<<20) + "\r\n\r\n")
		}, one, nil},
		{"D2 connections that send half a header, or half a body", long(t, 200, 2000), []string{"hung up", "400", "408"}, []string{"400"}, func(i int) string {
			if i%2 == 0 {
				return raw("GET /login HTTP/1.1\r\n" + head + "X-")
			}
			return raw("POST /token HTTP/1.1\r\n" + form + "Content-Length: 100\r\n\r\na=")
		}, one, nil},
		{"D3 streams of HTTP/2 that are reset at once", 8, []string{"GOAWAY ENHANCE_YOUR_CALM", "all were taken"}, nil,
			func(int) string { return resets(t.Context(), strings.TrimPrefix(secure.base, "https://")) }, secure, worksAtFew},
		{"D4 passwords to hash", long(t, 50, 500), []string{"503", "422"}, long(t, []string{"422"}, []string{"422", "503"}), func(int) string {
			v := newVisitor(r.f.base, rand.Text()+"@example.test", "another password altogether")
			if p, err := v.get(t.Context(), "/login"); err == nil {
				p, _ = v.submit(t.Context(), p, "login-submit", "username", v.email, "password", v.pass)
				return strconv.Itoa(p.status)
			}
			return "lost"
		}, one, boundedMemory},
		{"D5 thousands of parameters and scopes", 8, []string{"400", "413", "303 invalid_request", "303 invalid_scope"}, []string{"303 invalid_request"}, func(int) string {
			p, err := newVisitor(r.f.base, "", "").send(t.Context(), http.MethodPost, "/authorize", url.Values{"client_id": {r.site.id},
				"redirect_uri": {r.site.back}, "response_type": {"code"}, "scope": {strings.Repeat("a ", 30_000)}, "state": {"s"},
				"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}})
			if to, bad := url.Parse(p.location); bad == nil && p.status == http.StatusSeeOther {
				return "303 " + to.Query().Get("error")
			}
			return fmt.Sprint(p.status, errText(err))
		}, one, nil},
		{"D6 long lists of languages, long addresses", 8, []string{"200", "400", "422"}, []string{"200", "400"}, func(i int) string {
			if i%2 == 0 {
				return raw("GET /login HTTP/1.1\r\n" + head + "Connection: close\r\nAccept-Language: " + strings.Repeat("a-a-a;q=0.1,", 2000) + "\r\n\r\n")
			}
			v := newVisitor(r.f.base, "", "")
			p, err := v.get(t.Context(), "/lookup")
			if err == nil {
				p, err = v.submit(t.Context(), p, "lookup-submit", "email", strings.Repeat("(a)", 5000)+"@"+strings.Repeat("a.", 5000))
			}
			return fmt.Sprint(p.status, errText(err))
		}, one, nil},
		{"D7 compressed bodies", 8, []string{"415"}, nil, func(int) string {
			return raw("POST /token HTTP/1.1\r\n" + form + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b")
		}, one, nil},
		{"D8 authorization requests of strangers", 8, []string{"200", "429"}, []string{"200", "429"}, func(int) string {
			q := url.Values{"client_id": {r.site.id}, "redirect_uri": {r.site.back}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
				"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}}
			v := newVisitor(limited.at, "", "")
			v.http.Transport = strangers
			p, err := v.get(t.Context(), "/authorize?"+q.Encode())
			return fmt.Sprint(p.status, errText(err))
		}, limited, boundedRows},
		// Its address has a budget of ten: what comes after those is refused before anything is hashed.
		{"D9 sign-ins of one account, all at once", 300, []string{"503", "422", "429"}, []string{"422"}, func(int) string {
			v := bob.twin(r.f.base)
			p, err := v.get(t.Context(), "/login")
			if err == nil {
				p, err = v.submit(t.Context(), p, "login-submit", "username", v.email, "password", v.pass)
			}
			return fmt.Sprint(p.status, errText(err))
		}, one, nil},
		{"D13 paths that are none", 8, []string{"404"}, nil, func(int) string { return raw("GET /.git/config HTTP/1.1\r\n" + head + "\r\n") }, one, nil},
	}
	lasts := long(t, 2*time.Second, 30*time.Second)
	db := sqlOf(t, database)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			ada.site.base = f.at.at
			calm, lost := ada.uses(t, lasts)
			base := resident(t, f.at)
			forgetPeak(t, f.at)
			pages, rows, began := loginPages(t, f.at), interactions(t, db), time.Now()
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
			meanwhile, lostMeanwhile := ada.uses(t, lasts)
			stop()
			all.Wait()
			did := flooded{base: base, most: peak(t, f.at), pages: loginPages(t, f.at) - pages, rows: interactions(t, db) - rows, took: time.Since(began)}
			total := 0
			for _, said := range f.must {
				if answers[said] == 0 {
					t.Errorf("never answered with %q", said)
				}
			}
			for said, n := range answers {
				total += n
				if !slices.Contains(f.wants, said) {
					t.Errorf("%d times answered with %q, not with %v", n, said, f.wants)
				}
			}
			if lost+lostMeanwhile > 0 || total == 0 {
				t.Errorf("%d and %d of somebody else's requests failed; %d attempts", lost, lostMeanwhile, total)
			}
			did.attempts = total
			if f.after != nil {
				f.after(t, did)
			}
			result{fault: f.name, load: fmt.Sprintf("%d at once; another's requests (introspection, key set, refresh): p99 %d ms, without it %d ms; %d MiB resident before it, %d at most",
				f.many, p99(meanwhile).Milliseconds(), p99(calm).Milliseconds(), did.base>>20, did.most>>20), requests: int64(total), failed: lost + lostMeanwhile}.keep(t)
		})
	}
}

// flooded is what a flood did to a replica.
type flooded struct {
	attempts   int
	base, most int64   // bytes resident before it, and at most while it lasted
	pages      float64 // of sign-in that were made
	rows       int64   // of interactions that it left
	took       time.Duration
}

// worksAtFew is D3: of the streams of a connection most are never worked at. (How many are when their end comes first, TestBounds says.)
func worksAtFew(t *testing.T, f flooded) {
	t.Helper()
	if opened := float64(f.attempts) * streams; f.pages > opened/10 {
		t.Errorf("%.0f of %.0f streams that were reset at once were worked at", f.pages, opened)
	}
}

// boundedMemory is D4. Twice as many are hashed at once as there are cores, with 19 MiB each, and those before have left as much
// as garbage that the collector has not had yet; if each attempt had its 19 MiB, it would be twelve times as much in the short run.
func boundedMemory(t *testing.T, f flooded) {
	t.Helper()
	hashed := int64(2*runtime.NumCPU()) * 19 << 20
	if most := f.base + 2*hashed + 50_000_000; f.most > most {
		t.Errorf("%d MiB resident before it, %d meanwhile: more than %d", f.base>>20, f.most>>20, most>>20)
	}
}

// boundedRows is D8: strangers leave as many rows as the limit of their network lets through.
func boundedRows(t *testing.T, f flooded) {
	t.Helper()
	rule := limit.Authorize
	if most := int64(rule.Burst) + int64(f.took/rule.Every) + 1; f.rows > most {
		t.Errorf("%d attempts left %d rows, not %d at most", f.attempts, f.rows, most)
	}
}

func interactions(t *testing.T, db *sql.DB) (n int64) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM interaction`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
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

// streams are how many a connection of D3 opens.
const streams = 5000

// resets opens streams on one connection and resets each at once (CVE-2023-44487), until the server ends the connection, which it
// does where streams come faster than they can be forgotten. It gives the reason.
func resets(ctx context.Context, address string) string {
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

// another is a replica beside those that are counted.
func (r *trial) another(t *testing.T, scheme string, more ...string) *replica {
	t.Helper()
	port, admin := unusedPort(t), unusedPort(t)
	one := &replica{base: scheme + "127.0.0.1:" + port, admin: "http://127.0.0.1:" + admin, log: r.f.replicas[0].log}
	one.env = append(append(append([]string{}, r.f.replicas[0].env...), "PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin), more...)
	r.f.start(one)
	t.Cleanup(func() { r.f.kill(one) })
	return one
}

func (r *replica) at() string { return r.base }

// resident is the memory of a replica, in bytes.
func resident(t *testing.T, r *replica) int64 {
	t.Helper()
	n := metric(t, r, `process_resident_memory_bytes`)
	if n == 0 {
		t.Fatal("no such metric")
	}
	return int64(n)
}

// loginPages is how often a replica has made the page of sign-in.
func loginPages(t *testing.T, r *replica) float64 {
	t.Helper()
	return metric(t, r, `passport_http_request_duration_seconds_count\{method="GET",route="login",status="[^"]*"\}`)
}

// metric is the sum of a replica's metrics of this name.
func metric(t *testing.T, r *replica, name string) (sum float64) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^`+name+` (\S+)$`).FindAllStringSubmatch(ask(t, r.admin+"/metrics", 200), -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// peak is the most memory that a replica had since forgetPeak, in bytes: the kernel's count (proc(5)).
func peak(t *testing.T, r *replica) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(status)
	if err != nil || m == nil {
		t.Fatalf("no peak: %v", err)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

func forgetPeak(t *testing.T, r *replica) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}
