package main

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailbox is a mail server for everybody, by hand: libraries answer too well.
type mailbox struct {
	addr string
	on   net.Listener
	mode mailMode                          // what goes wrong; nil: nothing
	slow func() bool                       // answers come a byte a second; nil: never
	hear func(l postedLetter, said string) // told of each letter that came whole, and of the answer to it

	mu      sync.Mutex
	letters []postedLetter
	changed chan struct{} // closed and made anew with every letter
}

// postedLetter is a mail that was taken.
type postedLetter struct{ to, id, text string }

// mailMode is asked before each answer. It gives the answer in its place: nothing for silence, and whether to hang up after it.
type mailMode func(verb, answer string) (string, bool)

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mailbox{addr: on.Addr().String(), on: on, changed: make(chan struct{})}
	go func() {
		for {
			conn, err := on.Accept()
			if err != nil {
				return
			}
			go b.talk(conn)
		}
	}()
	t.Cleanup(func() { _ = on.Close() })
	return b
}

func (b *mailbox) talk(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	in := textproto.NewReader(bufio.NewReader(conn))
	verb := "HELLO"
	change := func(line string) (string, bool) {
		if b.mode == nil {
			return line, false
		}
		return b.mode(verb, line)
	}
	write := func(line string, hangUp bool) bool {
		if line == "" {
			return !hangUp
		}
		return b.send(conn, line+"\r\n") == nil && !hangUp
	}
	say := func(line string) bool { return write(change(line)) }
	if !say("220 mailbox.test") {
		return
	}
	var to string
	for {
		line, err := in.ReadLine()
		if err != nil {
			return
		}
		answer := "250 ok"
		switch verb = strings.ToUpper(line); {
		case strings.HasPrefix(verb, "RCPT TO:"):
			to = strings.Trim(line[len("RCPT TO:"):], " <>")
			to, _, _ = strings.Cut(to, ">")
		case verb == "DATA":
			if !say("354 go on") {
				return
			}
			raw, err := in.ReadDotBytes()
			if err != nil {
				return
			}
			verb = "END"
			l := read(to, raw)
			said, hangUp := change(answer)
			if b.hear != nil {
				b.hear(l, said)
			}
			if said == answer {
				b.keep(l)
			}
			if !write(said, hangUp) {
				return
			}
			continue
		case verb == "QUIT":
			say("221 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}

// send writes an answer; where it is slow, a byte a second.
func (b *mailbox) send(conn net.Conn, answer string) error {
	for ; len(answer) > 0 && b.slow != nil && b.slow(); answer = answer[1:] {
		if _, err := io.WriteString(conn, answer[:1]); err != nil {
			return err
		}
		time.Sleep(time.Second) // the fault itself
	}
	_, err := io.WriteString(conn, answer)
	return err
}

func read(to string, raw []byte) postedLetter {
	l := postedLetter{to: to}
	if m, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
		l.id, l.text = m.Header.Get("Message-ID"), plainText(m)
	}
	return l
}

func (b *mailbox) keep(l postedLetter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, l)
	close(b.changed)
	b.changed = make(chan struct{})
}

// plainText is the text part of a mail.
func plainText(m *mail.Message) string {
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil {
		return ""
	}
	return string(text)
}

var mailedLink = regexp.MustCompile(`https?://[^/\s]+/([\w/]+)\?\S+`)

// link waits for the newest letter to an address that has a link of a kind (confirm, cancel, recover/password …).
func (b *mailbox) link(to, kind string, patience time.Duration) (string, bool) {
	return b.linkBut("", to, kind, patience)
}

// linkBut is link, of another letter than that with stale.
func (b *mailbox) linkBut(stale, to, kind string, patience time.Duration) (string, bool) {
	end := time.After(patience)
	for {
		b.mu.Lock()
		letters, changed := b.letters, b.changed
		b.mu.Unlock()
		for i := len(letters) - 1; i >= 0; i-- {
			if letters[i].to != to {
				continue
			}
			for _, m := range mailedLink.FindAllStringSubmatch(letters[i].text, -1) {
				if m[1] == kind && m[0] != stale {
					return m[0], true
				}
			}
		}
		select {
		case <-changed:
		case <-end:
			return "", false
		}
	}
}
