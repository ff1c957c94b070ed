package main

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	look = 10 * time.Millisecond // how often the queue is looked at
	// handshake is, in looks, longer than the rest of a handshake that has begun takes, from a proxy in the same region.
	handshake = 20
	hushLimit = 200 // looks
)

// noSYN is a program for the kernel (socket filter, packet from the TCP header on): drop what begins a connection.
var noSYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x02, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
}

// hush has the kernel drop whoever begins to connect, and returns when all who have connected are accepted, or after
// hushLimit. To close a listener while somebody is in its queue resets a connection on which a proxy may have sent a request:
// a POST, which it must not send again. Who is dropped knocks again after a second (RFC 6298 §2), and finds the port closed:
// then a proxy goes elsewhere.
func hush(l net.Listener) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return errors.New("no TCP listener")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	filter := &unix.SockFprog{Len: uint16(len(noSYN)), Filter: &noSYN[0]}
	if err := on(raw, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter)
	}); err != nil {
		return err
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for n := range hushLimit {
		<-tick.C
		var waiting uint32
		err := on(raw, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				waiting = info.Unacked // of a listener: how many are in its queue
			}
			return err
		})
		if err != nil || waiting == 0 && n >= handshake {
			return err
		}
	}
	return nil
}

func on(raw syscall.RawConn, fn func(fd int) error) (err error) {
	return errors.Join(raw.Control(func(fd uintptr) { err = fn(int(fd)) }), err)
}
