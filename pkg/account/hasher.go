package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// HasherConfig says how passwords are hashed. Zero values: 19 MiB, 2 passes, 1 thread (OWASP); twice the
// cores at once; 100 waiting.
type HasherConfig struct {
	Memory   int // KiB
	Time     int
	Threads  int
	Parallel int // at once: bounds memory
	Queue    int // waiting beyond these; negative: none
}

const (
	saltLen = 16
	keyLen  = 32
	// busyRetry is what Retry-After says: a full queue of 100 is done in about this time on two cores.
	busyRetry = 3 * time.Second
)

// params are those of one hash: PHC's m, t and p.
type params struct{ memory, time, threads uint32 }

// hasher runs argon2id, so many at once and no more. It is made on x/crypto's argon2 rather than on
// go-crypt, whose API hides the salt and the key: one derivation must be compared with two hashes.
type hasher struct {
	params params
	slots  chan struct{} // one token a run
	wait   chan struct{} // one token a run or a waiter
	dummy  phc
	runs   atomic.Uint64
	left   atomic.Uint64 // bytes that hashing has used since the collector was last called
}

func newHasher(c HasherConfig) (*hasher, error) {
	or := func(v, def int) int {
		if v == 0 {
			return def
		}
		return v
	}
	m, t, p := or(c.Memory, 19*1024), or(c.Time, 2), or(c.Threads, 1)
	if m < 8*p || m > 1<<21 || t < 1 || t > 64 || p < 1 || p > 64 {
		return nil, errors.New("argon2 parameters out of range")
	}
	parallel := max(or(c.Parallel, 2*runtime.GOMAXPROCS(0)), 1)
	h := &hasher{
		params: params{uint32(m), uint32(t), uint32(p)},
		slots:  make(chan struct{}, parallel),
		wait:   make(chan struct{}, parallel+max(or(c.Queue, 100), 0)),
	}
	h.dummy = phc{params: h.params, salt: newSalt(), key: make([]byte, keyLen)}
	return h, nil
}

func newSalt() []byte {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return salt
}

// derive is the one place that runs argon2. *Busy when too many wait already.
func (h *hasher) derive(ctx context.Context, password string, salt []byte, p params, n int) ([]byte, error) {
	select {
	case h.wait <- struct{}{}:
		defer func() { <-h.wait }()
	default:
		return nil, &Busy{Retry: busyRetry}
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a password check: %w", ctx.Err())
	}
	key := argon2.IDKey([]byte(password), salt, p.time, p.memory, uint8(p.threads), uint32(n))
	h.runs.Add(1)
	h.collect(uint64(p.memory) << 10)
	return key, nil
}

// collect has the collector run when hashing has left as much behind as half of those that may run at once use. By itself it would wait
// for as much as is live, and a flood of sign-ins would take that memory too (D4). What it costs goes with what it has to look
// through: a server that holds much leaves it more, and in the end all to the collector.
func (h *hasher) collect(left uint64) {
	all := h.left.Add(left)
	live := []metrics.Sample{{Name: "/gc/scan/heap:bytes"}}
	metrics.Read(live)
	least := max(uint64(h.params.memory)<<10*uint64(max(cap(h.slots)/2, 1)), 2*live[0].Value.Uint64())
	if all >= least && h.left.CompareAndSwap(all, 0) {
		runtime.GC()
	}
}

// hash makes the PHC string of a password: with the salt and the parameters of another one, so that one derivation tells both
// passwords; with a new salt and the parameters of now where that is empty, or cannot be read.
func (h *hasher) hash(ctx context.Context, password, like string) (string, error) {
	p, err := parsePHC(like)
	if err != nil {
		p = phc{params: h.params, salt: newSalt(), key: make([]byte, keyLen)}
	}
	if p.key, err = h.derive(ctx, password, p.salt, p.params, len(p.key)); err != nil {
		return "", err
	}
	return p.String(), nil
}

// verify runs argon2 once, by the parameters and salt of the first of the hashes that can be read, and tells
// which of them the password fits: the first that has that salt and key. -1: none.
func (h *hasher) verify(ctx context.Context, password string, hashes ...string) (int, error) {
	parsed := make([]phc, len(hashes))
	target := h.dummy
	known := false
	for i, s := range hashes {
		p, err := parsePHC(s)
		if err != nil {
			continue // no password, or one of a kind that this version cannot check: it fits nothing
		}
		parsed[i] = p
		if !known {
			target, known = p, true
		}
	}
	key, err := h.derive(ctx, password, target.salt, target.params, len(target.key))
	if err != nil || !known {
		return -1, err
	}
	fits := -1
	for i := len(parsed) - 1; i >= 0; i-- {
		p := parsed[i]
		if p.params == target.params && subtle.ConstantTimeCompare(p.salt, target.salt) == 1 &&
			subtle.ConstantTimeCompare(p.key, key) == 1 {
			fits = i
		}
	}
	return fits, nil
}

// stale tells whether a hash has other parameters than new ones get.
func (h *hasher) stale(hash string) bool {
	p, err := parsePHC(hash)
	return err != nil || p.params != h.params || len(p.key) != keyLen
}

// heir is what an account's next password is hashed like. The salt stays, for the sake of registrations of the same address
// that wait (Register), but no older parameters do.
func (h *hasher) heir(hash string) string {
	if h.stale(hash) {
		return ""
	}
	return hash
}

// phc is an argon2id hash in the PHC string format.
type phc struct {
	params
	salt, key []byte
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, b64(p.salt), b64(p.key))
}

var errHash = errors.New("not an argon2id hash")

// parsePHC reads a hash. Its parameters are bounded: a row that asks for 4 GiB must not get them.
func parsePHC(s string) (phc, error) {
	var p phc
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errHash
	}
	var rest string
	n, _ := fmt.Sscanf(parts[3]+" .", "m=%d,t=%d,p=%d %s", &p.memory, &p.time, &p.threads, &rest)
	if n != 4 || rest != "." {
		return p, errHash
	}
	if p.memory < 8 || p.memory > 1<<21 || p.time < 1 || p.time > 64 || p.threads < 1 || p.threads > 64 {
		return p, errHash
	}
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return p, errHash
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return p, errHash
	}
	return p, nil
}
