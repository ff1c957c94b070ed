package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// memory counts Takes; what it is told to refuse, it refuses.
type memory struct {
	refuse string
	keys   []string
	spent  map[string]int
}

func (m *memory) Take(_ context.Context, key string, r Rule) (bool, time.Duration, error) {
	if r.Name == m.refuse {
		return false, 7 * time.Second, nil
	}
	m.keys = append(m.keys, key)
	m.spent[key]++
	return true, time.Duration(m.spent[key]) * r.Every, nil
}

func (m *memory) Refund(_ context.Context, key string, _ Rule) error {
	m.spent[key]--
	return nil
}

// Owed answers a minute for each Take.
func (m *memory) Owed(_ context.Context, key string) (time.Duration, error) {
	return time.Duration(m.spent[key]) * time.Minute, nil
}

func (m *memory) Clear(_ context.Context, key string) error {
	delete(m.spent, key)
	return nil
}

func limiter(m *memory, exempt ...netip.Prefix) *Limiter {
	m.spent = map[string]int{}
	return New(Config{Store: m, HashKey: []byte(strings.Repeat("k", 32)), Exempt: exempt})
}

func TestLimitedTellsWhen(t *testing.T) {
	l := limiter(&memory{refuse: LoginIP.Name})
	err := l.Take(t.Context(), LoginIP, "x")
	var limited *Limited
	if !errors.Is(err, ErrLimited) || !errors.As(err, &limited) || limited.Retry != 7*time.Second {
		t.Fatalf("%v", err)
	}
}

func TestKeysHideTheirParts(t *testing.T) {
	m := &memory{}
	l := limiter(m)
	for _, parts := range [][]string{{"a@b.test"}, {"a@b.test", ""}, {"a@b", ".test"}, {"", "a@b.test"}, {}} {
		if err := l.Take(t.Context(), MailAddressHour, parts...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Take(t.Context(), MailAddressDay, "a@b.test"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range m.keys {
		if strings.Contains(k, "@") || strings.Contains(k, "b.test") {
			t.Errorf("the address stands in %q", k)
		}
		if seen[k] {
			t.Errorf("two different things count under %q", k)
		}
		seen[k] = true
	}
}

func TestNetworks(t *testing.T) {
	l := limiter(&memory{})
	for in, want := range map[string]string{
		"192.0.2.7":                "192.0.2.7/32 192.0.2.0/24",
		"::ffff:192.0.2.7":         "192.0.2.7/32 192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64 2001:db8:1::/48",
		"fe80::1%eth0":             "fe80::/64 fe80::/48",
		"2001:db8:1:2:ffff::":      "2001:db8:1:2::/64 2001:db8:1::/48",
		"2001:db8:1:ffff:ffff::12": "2001:db8:1:ffff::/64 2001:db8:1::/48",
	} {
		narrow, wide := l.Network(netip.MustParseAddr(in))
		if got := narrow + " " + wide; got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if narrow, wide := l.Network(netip.Addr{}); narrow == "" || wide == "" {
		t.Error("an address that is none counts under no name")
	}
}

func TestTakeNetworkIsBothOrNeither(t *testing.T) {
	m := &memory{refuse: LoginNet.Name}
	l := limiter(m)
	ip := netip.MustParseAddr("192.0.2.7")
	if err := l.TakeNetwork(t.Context(), ip, LoginIP, LoginNet); !errors.Is(err, ErrLimited) {
		t.Fatalf("%v", err)
	}
	for k, n := range m.spent {
		if n != 0 {
			t.Errorf("%s keeps %d", k, n)
		}
	}
	m.refuse = ""
	if err := l.TakeNetwork(t.Context(), ip, LoginIP, LoginNet); err != nil {
		t.Fatal(err)
	}
	if err := l.RefundNetwork(t.Context(), ip, LoginIP, LoginNet); err != nil {
		t.Fatal(err)
	}
	for k, n := range m.spent {
		if n != 0 {
			t.Errorf("%s keeps %d after the refund", k, n)
		}
	}
}

func TestExempted(t *testing.T) {
	m := &memory{refuse: LoginIP.Name}
	l := limiter(m, netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("fd00::/8"))
	for in, want := range map[string]bool{"10.200.0.1": true, "::ffff:10.0.0.1": true, "11.0.0.1": false, "fd12::1": true, "2001:db8::1": false} {
		if got := l.Exempted(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	if l.Exempted(netip.Addr{}) {
		t.Error("an address that is none is exempted")
	}
	if err := l.TakeNetwork(t.Context(), netip.MustParseAddr("10.0.0.1"), LoginIP, LoginNet); err != nil {
		t.Errorf("an exempted network is counted: %v", err)
	}
}

func TestUnwiredFailsClosed(t *testing.T) {
	for _, l := range []*Limiter{New(Config{}), New(Config{Store: &memory{}, HashKey: []byte("short")})} {
		if err := l.Take(t.Context(), LoginIP, "x"); err == nil || errors.Is(err, ErrLimited) {
			t.Errorf("%v", err)
		}
	}
	l := limiter(&memory{})
	for _, r := range []Rule{{}, {Name: "x", Every: time.Second}, {Name: "x", Burst: 1}} {
		if err := l.Take(t.Context(), r); err == nil || errors.Is(err, ErrLimited) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBucket(Rule{"x", 3, time.Second}, func() time.Time { return now })
	allowed := func(key string, n int) (got int) {
		for range n {
			if b.Allow(key) {
				got++
			}
		}
		return got
	}
	if got := allowed("a", 10); got != 3 {
		t.Errorf("%d of a burst of 3", got)
	}
	if got := allowed("b", 1); got != 1 {
		t.Error("one key's budget is another's")
	}
	now = now.Add(2 * time.Second)
	if got := allowed("a", 10); got != 2 {
		t.Errorf("%d after two periods", got)
	}
	now = now.Add(time.Hour)
	if got := allowed("a", 10); got != 3 {
		t.Errorf("%d after a long rest", got)
	}
	b.Refund("a")
	b.Refund("nobody")
	if got := allowed("a", 10); got != 1 {
		t.Errorf("%d after a refund of one", got)
	}
}

func TestBucketIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBucket(Rule{"x", 1, time.Hour}, func() time.Time { return now })
	b.max = 100
	b.Allow("kept")
	for i := range 1000 {
		b.Allow(fmt.Sprint(i))
		if b.Allow("kept") {
			t.Fatal("a key in use was forgotten")
		}
	}
	if len(b.byKey) > 100 || b.recent.Len() > 100 {
		t.Errorf("%d keys", len(b.byKey))
	}
}

// A22: no hour sees more than 3 mails to one address, no day more than 10, however they are timed.
func TestMailRulesHoldInEveryWindow(t *testing.T) {
	for _, c := range []struct {
		rules  []Rule
		window time.Duration
		most   int
	}{
		{[]Rule{MailAddressHour}, time.Hour, 3},
		{[]Rule{MailAddressDay}, 24 * time.Hour, 10},
	} {
		now := time.Unix(0, 0)
		b := NewBucket(c.rules[0], func() time.Time { return now })
		var sent []time.Time
		for range 3 * 24 * 60 { // a try each minute for three days
			if b.Allow("a") {
				sent = append(sent, now)
			}
			now = now.Add(time.Minute)
		}
		if len(sent) < c.most {
			t.Errorf("%s allows %d in three days", c.rules[0].Name, len(sent))
		}
		for i := range sent {
			n := 0
			for _, at := range sent[i:] {
				if at.Sub(sent[i]) < c.window {
					n++
				}
			}
			if n > c.most {
				t.Errorf("%s: %d mails within %s", c.rules[0].Name, n, c.window)
			}
		}
	}
}

func TestShow(t *testing.T) {
	m := &memory{}
	l := limiter(m)
	rule := Rule{"rule", 3, time.Minute}
	b := Budget{Rule: rule, Of: "somebody", Key: []string{"a", "b"}}
	for _, want := range []Use{
		{"rule", "somebody", 3, 3, 0},
		{"rule", "somebody", 2, 3, time.Minute},
		{"rule", "somebody", 1, 3, 2 * time.Minute},
		{"rule", "somebody", 0, 3, 3 * time.Minute},
		{"rule", "somebody", 0, 3, 4 * time.Minute},
	} {
		if got, err := l.Show(t.Context(), b); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		if err := l.Take(t.Context(), rule, "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Show(t.Context(), Budget{}); err == nil {
		t.Error("a budget without a rule was read")
	}
	// What TakeNetwork takes is among what Networks shows.
	ip := netip.MustParseAddr("192.0.2.7")
	for _, pair := range networkRules {
		if err := l.TakeNetwork(t.Context(), ip, pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	uses, err := l.Show(t.Context(), l.Networks(ip)...)
	if err != nil || len(uses) != 2*len(networkRules) {
		t.Fatal(uses, err)
	}
	for _, u := range uses {
		if u.Whole != time.Minute {
			t.Errorf("%v was not counted", u)
		}
	}
}

// What a budget is like comes out of the statement that spends it.
func TestWear(t *testing.T) {
	l := limiter(&memory{})
	ip := netip.MustParseAddr("192.0.2.7")
	rule, wide := Rule{"five", 5, time.Minute}, Rule{"wide", 50, time.Minute}
	for i := 1; i <= 5; i++ {
		w, err := l.ReserveNetwork(t.Context(), ip, rule, wide)
		if err != nil || w != (Wear{i, 5}) || w.Worn() != (i > 3) || w.Wears() != (i > 2) || w.Empty() != (i == 5) {
			t.Errorf("try %d: %+v, %v", i, w, err)
		}
	}
	// The wider network is at work, this address is not.
	for range 30 {
		if err := l.Take(t.Context(), wide, "192.0.2.0/24"); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := l.ReserveNetwork(t.Context(), netip.MustParseAddr("192.0.2.8"), rule, wide); err != nil || !w.Worn() || w.Burst != 50 {
		t.Errorf("%+v, %v", w, err)
	}
	if (Wear{}).Worn() || (Wear{}).Wears() || (Wear{}).Empty() {
		t.Error("nothing is worn")
	}
	exempt := limiter(&memory{}, netip.MustParsePrefix("192.0.2.0/24"))
	if w, err := exempt.ReserveNetwork(t.Context(), ip, rule, wide); err != nil || w != (Wear{}) {
		t.Errorf("%+v, %v", w, err)
	}
}
