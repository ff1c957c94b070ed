package limit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrLimited says that a rule's budget is used up. errors.As with *Limited tells when to come back.
var ErrLimited = errors.New("too many tries")

// Rule is a budget: Burst tries at once, and one more every Every.
type Rule struct {
	Name  string
	Burst int
	Every time.Duration
}

// Limited is the error of a used-up budget. errors.Is(err, ErrLimited) holds for it.
type Limited struct {
	Rule  string
	Retry time.Duration // when the next try will be allowed
}

func (l *Limited) Error() string { return fmt.Sprintf("%s (%s)", ErrLimited, l.Rule) }

// Unwrap makes errors.Is(err, ErrLimited) hold.
func (l *Limited) Unwrap() error { return ErrLimited }

// Store counts. Each call is one atomic statement, and the database's clock is the only clock: replicas
// whose clocks differ share one budget. Within a transaction a unit is spent with what it is for, or neither is: right for
// mails, which are queued there too, and wrong for what somebody tries, a password or an answer. Such a try has told them what
// they wanted to know, whatever is rolled back afterwards: its Take is committed before the check.
type Store interface {
	// Take spends one unit of key's budget, and tells how long it takes to be whole again. Not ok: nothing was spent, and
	// wait says when it would be.
	Take(ctx context.Context, key string, r Rule) (ok bool, wait time.Duration, err error)
	// Refund gives one unit back that a Take has spent.
	Refund(ctx context.Context, key string, r Rule) error
	// Owed tells how long key's budget takes to be whole again; 0 when it is.
	Owed(ctx context.Context, key string) (time.Duration, error)
	// Clear makes key's budget whole.
	Clear(ctx context.Context, key string) error
}

// Config is what a Limiter needs.
type Config struct {
	Store   Store
	Exempt  []netip.Prefix // networks that no rule about networks counts
	HashKey []byte         // at least 32 bytes; the same on every replica
}

// Limiter counts tries across all replicas.
type Limiter struct {
	store  Store
	exempt []netip.Prefix
	key    []byte
}

// New makes a Limiter. One without a store, or with a hash key under 32 bytes, refuses every Take with an
// error that is not ErrLimited: without a budget the callers fail closed.
func New(c Config) *Limiter {
	l := &Limiter{store: c.Store, key: c.HashKey}
	for _, p := range c.Exempt {
		l.exempt = append(l.exempt, p.Masked())
	}
	return l
}

// Take reserves one try under a rule, before the check that it limits: what is reserved afterwards can be
// overrun by guesses in parallel. Give it back with Refund when the check succeeded.
// ErrLimited when the budget is used up; any other error means that the database could not be asked.
func (l *Limiter) Take(ctx context.Context, r Rule, parts ...string) error {
	_, err := l.Reserve(ctx, r, parts...)
	return err
}

// Wear tells how far a budget is used up. The zero value: not at all.
type Wear struct{ Spent, Burst int } // tries; this one among those that are spent

// Worn tells whether more than half was spent before this try, and so whether somebody is at work.
func (w Wear) Worn() bool { return 2*(w.Spent-1) > w.Burst }

// Wears tells whether more than half is spent with this try: whether the next one finds it worn.
func (w Wear) Wears() bool { return 2*w.Spent > w.Burst }

// Empty tells whether this try was the last.
func (w Wear) Empty() bool { return w.Burst > 0 && w.Spent >= w.Burst }

// Reserve is Take, and tells what the budget is like now, by the same statement.
func (l *Limiter) Reserve(ctx context.Context, r Rule, parts ...string) (Wear, error) {
	if err := l.usable(r); err != nil {
		return Wear{}, err
	}
	ok, wait, err := l.store.Take(ctx, l.hashed(r, parts), r)
	if err != nil {
		return Wear{}, fmt.Errorf("ask the limit %s: %w", r.Name, err)
	}
	if !ok {
		return Wear{Spent: r.Burst + 1, Burst: r.Burst}, &Limited{Rule: r.Name, Retry: wait}
	}
	return Wear{Spent: r.spent(wait), Burst: r.Burst}, nil
}

// spent is how many tries a budget lacks that is whole again after a time.
func (r Rule) spent(whole time.Duration) int { return int((whole + r.Every - 1) / r.Every) }

// Refund gives back what a Take with the same rule and parts has reserved.
func (l *Limiter) Refund(ctx context.Context, r Rule, parts ...string) error {
	if err := l.usable(r); err != nil {
		return err
	}
	if err := l.store.Refund(ctx, l.hashed(r, parts), r); err != nil {
		return fmt.Errorf("refund the limit %s: %w", r.Name, err)
	}
	return nil
}

// Clear makes a budget whole.
func (l *Limiter) Clear(ctx context.Context, r Rule, parts ...string) error {
	if err := l.usable(r); err != nil {
		return err
	}
	if err := l.store.Clear(ctx, l.hashed(r, parts)); err != nil {
		return fmt.Errorf("clear the limit %s: %w", r.Name, err)
	}
	return nil
}

// TakeNetwork reserves one try for the address and one for the wider network it is in; both or neither.
// Exempted addresses are not counted.
func (l *Limiter) TakeNetwork(ctx context.Context, ip netip.Addr, narrow, wide Rule) error {
	_, err := l.ReserveNetwork(ctx, ip, narrow, wide)
	return err
}

// ReserveNetwork is TakeNetwork, and tells what the more worn of the two budgets is like now.
func (l *Limiter) ReserveNetwork(ctx context.Context, ip netip.Addr, narrow, wide Rule) (Wear, error) {
	if l.Exempted(ip) {
		return Wear{}, nil
	}
	n, w := l.Network(ip)
	near, err := l.Reserve(ctx, narrow, n)
	if err != nil {
		return near, err
	}
	far, err := l.Reserve(ctx, wide, w)
	if err != nil {
		return far, errors.Join(err, l.Refund(ctx, narrow, n))
	}
	if far.Spent*near.Burst > near.Spent*far.Burst {
		return far, nil
	}
	return near, nil
}

// RefundNetwork gives back what TakeNetwork has reserved.
func (l *Limiter) RefundNetwork(ctx context.Context, ip netip.Addr, narrow, wide Rule) error {
	if l.Exempted(ip) {
		return nil
	}
	n, w := l.Network(ip)
	return errors.Join(l.Refund(ctx, narrow, n), l.Refund(ctx, wide, w))
}

// Network names the two networks that an address is counted under: /32 and /24 for IPv4, /64 and /48 for
// IPv6 (a customer has at least a /64, so single addresses there mean nothing). An address that is not
// valid counts under one name of its own: unparsable must never mean unlimited.
func (l *Limiter) Network(ip netip.Addr) (narrow, wide string) {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return "invalid", "invalid"
	}
	bits := [2]int{64, 48}
	if ip.Is4() {
		bits = [2]int{32, 24}
	}
	// Prefix fails for a wrong number of bits alone, which these are not.
	n, _ := ip.Prefix(bits[0])
	w, _ := ip.Prefix(bits[1])
	return n.String(), w.String()
}

// Exempted tells whether the operator excluded this address from the rules about networks.
func (l *Limiter) Exempted(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range l.exempt {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func (l *Limiter) usable(r Rule) error {
	switch {
	case l.store == nil || len(l.key) < 32:
		return errors.New("the limiter has no store or no hash key")
	case r.Name == "" || r.Burst < 1 || r.Every < time.Microsecond:
		return fmt.Errorf("the limit %q has no burst or no period", r.Name)
	}
	return nil
}

// hashed makes the row's key. Each part goes in with its length, so that ("a", "bc") and ("ab", "c") differ.
func (l *Limiter) hashed(r Rule, parts []string) string {
	mac := hmac.New(sha256.New, l.key)
	for _, part := range append([]string{r.Name}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	return r.Name + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}
