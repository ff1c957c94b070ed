package account

import (
	"context"
	"errors"
	"net/netip"

	"github.com/passport-network/passport/pkg/limit"
)

// HumanCheck says when a check is wanted that a person is there, and not a program. The zero value: never.
type HumanCheck string

// When it is wanted.
const (
	HumanNever     HumanCheck = "never"
	HumanSuspicion HumanCheck = "suspicion" // when a network, or an account, has had many tries
	HumanAlways    HumanCheck = "always"
)

// Human is what came of the check.
type Human int

// The outcomes of a check.
const (
	HumanNone    Human = iota // none was answered, or wrongly
	HumanProven               // a person is there
	HumanUnknown              // the service that knows is down
)

var (
	// ErrHuman: the human check is wanted; nothing was done, or, where the error is ErrCredentials or ErrLimited too, the next
	// try wants it.
	ErrHuman = errors.New("a human check is wanted")
	// ErrHumanDown: it is wanted, and cannot be judged.
	ErrHumanDown = errors.New("a human check is wanted, and its service is down")
)

// asks is ErrHuman where a check is wanted of who has passed none. Where its service is down it fails closed (A21): what it
// guards, registering and mails, can wait; signing in, which cannot, does not ask here.
func (c HumanCheck) asks(h Human, worn bool) error {
	if h == HumanProven || c != HumanAlways && !(c == HumanSuspicion && worn) {
		return nil
	}
	if h == HumanUnknown {
		return ErrHumanDown
	}
	return ErrHuman
}

// letRegister takes a registration out of the network's budget. ErrLimited, ErrHuman, ErrHumanDown: nothing is taken.
func (d *Directory) letRegister(ctx context.Context, r Registration) error {
	wear, err := d.limits.ReserveNetwork(ctx, r.IP, limit.RegisterIP, limit.RegisterNet)
	if err != nil {
		return err
	}
	worn := wear.Worn()
	if d.human == HumanSuspicion && !worn && !d.limits.Exempted(r.IP) { // perhaps more register than usually do, wherever they are
		if err = d.limits.Take(ctx, limit.RegisterAll); errors.Is(err, ErrLimited) {
			worn, err = true, nil
		}
	}
	if err == nil {
		err = d.human.asks(r.Human, worn)
	}
	if err != nil {
		err = errors.Join(err, d.limits.RefundNetwork(ctx, r.IP, limit.RegisterIP, limit.RegisterNet))
	}
	return err
}

// letMail takes a mail that a stranger asks for out of the network's budget. ErrLimited, ErrHuman, ErrHumanDown: nothing is
// taken.
func (d *Directory) letMail(ctx context.Context, ip netip.Addr, h Human) error {
	wear, err := d.limits.ReserveNetwork(ctx, ip, limit.MailIP, limit.MailNet)
	if err != nil {
		return err
	}
	if err := d.human.asks(h, wear.Worn()); err != nil {
		return errors.Join(err, d.limits.RefundNetwork(ctx, ip, limit.MailIP, limit.MailNet))
	}
	return nil
}

// letGuess is reserve for a sign-in. Strangers' tries that would be denied, because others have used up what strangers have of
// the address, are looked at when each passes the human check: the owner at a new device is not kept out by them. A network
// at work on whichever accounts is asked too (credential stuffing). A browser that the account knows is not.
//
// All that shows depends on the address that was typed, not on whose it is: else ten guesses at one address would tell, by
// what the next address is answered, whether both are one account's. Where strangers have used up what they have of the
// account over all of its addresses, its password is not looked at (guess.unseen), and that is answered like a wrong one.
// Errors: ErrHuman, or ErrLimited, or both.
func (d *Directory) letGuess(ctx context.Context, g *guess, h Human) error {
	wear, err := d.limits.ReserveNetwork(ctx, g.ip, limit.LoginIP, limit.LoginNet)
	if err != nil {
		return err
	}
	if g.device == "" && d.human == HumanSuspicion && wear.Worn() && h == HumanNone {
		return errors.Join(ErrHuman, d.limits.RefundNetwork(ctx, g.ip, limit.LoginIP, limit.LoginNet))
	}
	g.wears = g.device == "" && wear.Wears()
	switch {
	case g.address == "":
		return nil
	case g.device != "":
		return d.limits.Take(ctx, limit.LoginDevice, g.account, g.device)
	}
	wear, err = d.limits.Reserve(ctx, limit.LoginAddress, g.address)
	g.wears = g.wears || wear.Empty()
	if err != nil {
		return d.letProven(ctx, g, h, err)
	}
	err = d.limits.Take(ctx, limit.LoginAccount, g.account)
	if errors.Is(err, ErrLimited) {
		g.over, g.unseen = true, h != HumanProven
		return nil
	}
	return err
}

// letProven lets who passes the human check try once more, where err says that the address has had its tries.
func (d *Directory) letProven(ctx context.Context, g *guess, h Human, err error) error {
	if !errors.Is(err, ErrLimited) || d.human == "" || d.human == HumanNever || h == HumanUnknown {
		return err
	}
	if h == HumanNone {
		return errors.Join(err, ErrHuman)
	}
	g.proven = true
	return d.limits.Take(ctx, limit.LoginHuman, g.address)
}

// denied is ErrCredentials, with ErrHuman where the next try wants a check.
func (d *Directory) denied(g guess) error {
	if g.wears && d.human == HumanSuspicion {
		return errors.Join(ErrCredentials, ErrHuman)
	}
	return ErrCredentials
}
