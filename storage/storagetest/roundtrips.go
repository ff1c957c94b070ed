package storagetest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
)

// RoundTrips puts a proxy before PostgreSQL that counts how often a client waits for it: each Sync of the extended
// protocol and each simple Query (BEGIN, COMMIT and pings come as such). It returns the database's name through the
// proxy and the counter.
func RoundTrips(t testing.TB, database string) (through string, count func() int64) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var n atomic.Int64
	server := u.Host
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go relay(c, server, &n)
		}
	}()
	u.Host = l.Addr().String()
	return u.String(), n.Load
}

func relay(c net.Conn, server string, n *atomic.Int64) {
	defer c.Close()
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	go func() { _, _ = io.Copy(c, s) }()
	in := bufio.NewReader(c)
	// The first message has no type.
	if forward(in, s) != nil {
		return
	}
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return
		}
		if kind == 'S' || kind == 'Q' {
			n.Add(1)
		}
		if _, err := s.Write([]byte{kind}); err != nil {
			return
		}
		if forward(in, s) != nil {
			return
		}
	}
}

// forward passes on one message: its length, which counts itself, and its body.
func forward(in *bufio.Reader, out io.Writer) error {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	if _, err := out.Write(head[:]); err != nil {
		return err
	}
	_, err := io.CopyN(out, in, int64(binary.BigEndian.Uint32(head[:]))-4)
	return err
}
