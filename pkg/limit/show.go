package limit

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// Budget is a rule as it counts for somebody.
type Budget struct {
	Rule Rule
	Of   string // whom: the parts of the key in words
	Key  []string
}

// Use tells what is left of a Budget.
type Use struct {
	Rule  string
	Of    string
	Left  int           // tries that are allowed at once
	Burst int           // of so many
	Whole time.Duration // until all of them are there again; 0 when they are
}

// networkRules count whole networks, as TakeNetwork does: narrow, wide.
var networkRules = [][2]Rule{
	{LoginIP, LoginNet}, {RegisterIP, RegisterNet}, {MailIP, MailNet}, {ClientAuthIP, ClientAuthNet},
	{DeviceIP, DeviceNet}, {ClientIP, ClientNet},
}

// Networks gives the budgets of an address, and of the wider network that it is in.
func (l *Limiter) Networks(ip netip.Addr) []Budget {
	narrow, wide := l.Network(ip)
	var out []Budget
	for _, pair := range networkRules {
		out = append(out, Budget{pair[0], narrow, []string{narrow}}, Budget{pair[1], wide, []string{wide}})
	}
	return out
}

// Show reads budgets; it spends nothing.
func (l *Limiter) Show(ctx context.Context, budgets ...Budget) ([]Use, error) {
	var out []Use
	for _, b := range budgets {
		if err := l.usable(b.Rule); err != nil {
			return nil, err
		}
		whole, err := l.store.Owed(ctx, l.hashed(b.Rule, b.Key))
		if err != nil {
			return nil, fmt.Errorf("read the limit %s: %w", b.Rule.Name, err)
		}
		spent := b.Rule.spent(whole)
		out = append(out, Use{Rule: b.Rule.Name, Of: b.Of, Left: max(0, b.Rule.Burst-spent), Burst: b.Rule.Burst, Whole: whole})
	}
	return out, nil
}
