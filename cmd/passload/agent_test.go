package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// raw answers each request on a connection with what it is told, to the byte.
func raw(t *testing.T, answer func(w *bufio.Writer)) (*agent, *url.URL) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // the test is over
				r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if answer(w); w.Flush() != nil {
						return
					}
				}
			}()
		}
	}()
	a := newAgent(&options{timeout: time.Minute})
	t.Cleanup(a.close)
	return a, must(url.Parse("http://" + l.Addr().String() + "/document"))
}

// TestAnswers: an answer has an end, and is to the request before it.
func TestAnswers(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, c := range []struct {
		what, kind string // empty: it is right
		answer     func(w *bufio.Writer)
	}{
		{"right", "", func(w *bufio.Writer) { fmt.Fprint(w, good) }},
		{"large headers", "", func(w *bufio.Writer) {
			fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX: %s\r\n\r\n%s", mostBody, strings.Repeat("x", 1<<19), strings.Repeat("y", mostBody))
		}},
		{"endless headers", "an endless answer", func(w *bufio.Writer) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\n")
			for i := 0; i < 2*mostAnswer; i += 1000 {
				fmt.Fprintf(w, "X-%d: %s\r\n", i, strings.Repeat("x", 1000))
			}
			fmt.Fprint(w, "\r\n")
		}},
		{"endless 1xx", "an endless answer", func(w *bufio.Writer) {
			for i := 0; i < 2*mostAnswer; i += 20 {
				fmt.Fprint(w, "HTTP/1.1 102 Wait\r\n\r\n")
			}
		}},
		{"an endless body", "an endless answer", func(w *bufio.Writer) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+strings.Repeat("x", 2*mostAnswer))
		}},
		{"two", "an answer that nobody asked for", func(w *bufio.Writer) { fmt.Fprint(w, good+good) }},
		{"more than it says", "an answer that nobody asked for", func(w *bufio.Writer) { fmt.Fprint(w, good+"!") }},
	} {
		t.Run(c.what, func(t *testing.T) {
			a, u := raw(t, c.answer)
			for range 2 { // the limit is of each, and not of all
				a.begin()
				_, err := a.get(t.Context(), u)
				if (err == nil) != (c.kind == "") || err != nil && faultOf(err).kind != c.kind {
					t.Errorf("%v, not %q", err, c.kind)
				}
				if kept := len(a.links) == 1; kept != (c.kind == "") {
					t.Errorf("the connection is kept: %v", kept)
				}
			}
		})
	}
}
