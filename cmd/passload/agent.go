package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// agent is one worker's HTTP client: HTTP/1.1 on one kept connection a host, without goroutines. net/http's client
// costs as much as a fast answer; where generator and server share a machine, that would be measured too.
type agent struct {
	tls      *tls.Config
	timeout  time.Duration // of a whole operation
	deadline time.Time     // of the one that runs
	links    map[string]*link
	requests int64
}

func newAgent(o *options) *agent {
	return &agent{tls: o.tls, timeout: o.timeout, links: map[string]*link{}}
}

// begin gives the next operation its time.
func (a *agent) begin() { a.deadline = time.Now().Add(a.timeout) }

func (a *agent) close() {
	for host, l := range a.links {
		_ = l.conn.Close() // nothing is sent any more
		delete(a.links, host)
	}
}

// link is a connection to a host.
type link struct {
	conn net.Conn
	left *io.LimitedReader // what it may still answer
	r    *bufio.Reader     // of left
	w    *bufio.Writer
	used time.Time // when its last answer was read, or it was looked at
}

// answer is one, read to its end.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

const (
	mostBody   = 4 << 20
	mostAnswer = mostBody + 1<<20 // with its headers
	idleAtMost = time.Second      // after it a kept connection is looked at before it is used again
)

// do sends a request and reads the answer. It follows no redirects.
func (a *agent) do(ctx context.Context, r *http.Request) (*answer, error) {
	r.Header.Set("User-Agent", "passload")
	a.requests++
	l, kept, err := a.link(ctx, r.URL)
	if err != nil {
		return nil, err
	}
	got, began, err := a.exchange(ctx, l, r)
	if err != nil && kept && !began && r.Method == http.MethodGet && ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		// The server closed the connection while nobody used it. A POST may have been acted on: that one is a failure.
		if l, _, err = a.link(ctx, r.URL); err == nil {
			got, _, err = a.exchange(ctx, l, r)
		}
	}
	return got, err
}

func hostOf(u *url.URL) string { return u.Scheme + "://" + u.Host }

// link is the kept connection to a host, or a new one.
func (a *agent) link(ctx context.Context, u *url.URL) (l *link, kept bool, err error) {
	host := hostOf(u)
	if l = a.links[host]; l != nil {
		if l.alive() {
			return l, true, nil
		}
		a.drop(host)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	dialer := net.Dialer{Deadline: a.deadline}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, false, err
	}
	if u.Scheme == "https" {
		cfg := a.tls.Clone()
		cfg.ServerName = u.Hostname()
		secure := tls.Client(conn, cfg)
		if err := errors.Join(conn.SetDeadline(a.deadline), secure.HandshakeContext(ctx)); err != nil {
			_ = conn.Close()
			return nil, false, faultf("no connection", "TLS: %v", err)
		}
		conn = secure
	}
	left := &io.LimitedReader{R: conn}
	l = &link{conn: conn, left: left, r: bufio.NewReaderSize(left, 8<<10), w: bufio.NewWriterSize(conn, 8<<10)}
	a.links[host] = l
	return l, false, nil
}

// alive looks at a connection that was idle for a while: a server ends those, and says so by closing.
func (l *link) alive() bool {
	if time.Since(l.used) < idleAtMost {
		return true
	}
	if l.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	_, err := l.r.Peek(1)
	l.used = time.Now()
	return errors.Is(err, os.ErrDeadlineExceeded) // nothing came: good
}

// look finds out which connections have ended, before an operation is due: a look takes a millisecond.
func (a *agent) look() {
	for host, l := range a.links {
		if !l.alive() {
			a.drop(host)
		}
	}
}

func (a *agent) drop(host string) {
	if l := a.links[host]; l != nil {
		_ = l.conn.Close() // it is useless already
		delete(a.links, host)
	}
}

// exchange is one request and its answer; began tells that some of the answer came. After an error the connection
// is gone.
func (a *agent) exchange(ctx context.Context, l *link, r *http.Request) (got *answer, began bool, err error) {
	host := hostOf(r.URL)
	reusable := false
	defer func() {
		if !reusable {
			a.drop(host)
		}
		if err != nil && l.left.N <= 0 {
			err = endless(mostAnswer)
		}
	}()
	l.left.N = mostAnswer
	if err := l.conn.SetDeadline(a.deadline); err != nil {
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if r.GetBody != nil {
		if r.Body, err = r.GetBody(); err != nil {
			return nil, false, err
		}
	}
	if err := errors.Join(r.Write(l.w), l.w.Flush()); err != nil {
		return nil, false, err
	}
	if _, err := l.r.Peek(1); err != nil {
		return nil, false, err
	}
	res, err := http.ReadResponse(l.r, r)
	for err == nil && res.StatusCode >= 100 && res.StatusCode < 200 { // RFC 9110 §15.2: more is to come
		res, err = http.ReadResponse(l.r, r)
	}
	if err != nil {
		return nil, true, err
	}
	body, err := readBody(res)
	if err != nil {
		return nil, true, err
	}
	if l.r.Buffered() > 0 { // it would be taken for the answer to the next request
		return nil, true, faultf("an answer that nobody asked for", "after that of %s", r.URL.Path)
	}
	reusable = !res.Close
	l.used = time.Now()
	return &answer{r.URL, res.StatusCode, res.Header, body}, true, nil
}

func readBody(res *http.Response) ([]byte, error) {
	defer res.Body.Close() //nolint:errcheck // what was read is judged
	if n := res.ContentLength; n >= 0 && n <= mostBody {
		body := make([]byte, n)
		if _, err := io.ReadFull(res.Body, body); err != nil {
			return nil, err
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, mostBody+1))
	if err == nil && len(body) > mostBody {
		err = endless(mostBody)
	}
	return body, err
}

func endless(most int) error { return faultf("an endless answer", "more than %d bytes", most) }

// get asks for a document.
func (a *agent) get(ctx context.Context, u *url.URL) (*answer, error) {
	r, err := http.NewRequest(http.MethodGet, u.String(), nil) //nolint:noctx // do has it
	if err != nil {
		return nil, err
	}
	return a.do(ctx, r)
}

// post makes a request of a form.
func post(u *url.URL, form url.Values) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodPost, u.String(), bytes.NewReader([]byte(form.Encode()))) //nolint:noctx // do has it
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}
