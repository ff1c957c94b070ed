package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

// waitingLifetime is how long Authenticated.Waiting shows the waiting page.
const waitingLifetime = 30 * time.Minute

// Attempt is a posted sign-in.
type Attempt struct {
	Email    string
	Password string
	FlowHash []byte // SHA-256 of the flow cookie; nil: none
	IP       netip.Addr
	Device   string // the User-Agent: for the event log
	Known    string // the device cookie, as KnowDevice made it; empty: none
	Human    Human
}

// Authenticated is who gave the right password.
type Authenticated struct {
	AccountID string
	// Credential is the id of the password that was right: the session is written only while it still is.
	Credential string
	// Pending: the address is not confirmed: show the waiting page, sign nobody in.
	Pending bool
	// Reopen: the account is closed: sign nobody in, and lead to where this token opens it again.
	Reopen string
	// Accept: the terms that hold must be accepted before anything else (MustAccept).
	Accept bool
	// Waiting: Pending, and this browser did not register: what PendingAt and ResendAt take. The
	// registration is not bound to this browser: a forged sign-in would else turn the owner's browser into
	// the one that registered, and the owner's click on "confirm" would prove the stranger's password.
	Waiting string

	tell *Record // by a mail, of a browser that it does not know; nil: not
}

// Authenticate checks a password: argon2 runs exactly once, whatever is known of the address: against the
// account that has proven it; else the pending registration of this browser; else the newest pending one;
// else a dummy. (One more run follows only where a right password's hash is upgraded.)
// Errors: ErrCredentials, ErrLimited (answer as ErrCredentials), both perhaps with ErrHuman: the next try wants a human
// check; ErrHuman alone: this one did; ErrBusy; others are failures (503).
func (d *Directory) Authenticate(ctx context.Context, a Attempt) (*Authenticated, error) {
	if d.human == HumanAlways && a.Human == HumanNone {
		return nil, ErrHuman
	}
	canonical, bad := Canonical(a.Email)
	var found []Record
	if bad == nil {
		var err error
		if found, err = d.store.ByAddress(ctx, canonical, a.FlowHash, d.now()); err != nil {
			return nil, fmt.Errorf("look an address up: %w", err)
		}
	}
	// What shows is counted by the address that was typed, all together by what it resolves to (CVE-2025-24806).
	g := guess{ip: a.IP, address: canonical, account: canonical}
	if owned(found) {
		g.account = found[0].ID
		g.device = d.device(a.Known, found[0].PasswordID)
	}
	if err := d.letGuess(ctx, &g, a.Human); err != nil {
		return nil, err
	}
	candidates := found
	if owned(found) && (g.unseen || g.device == "" && barred(found)) {
		candidates = found[1:] // not even a right one is looked at; a registration beside it is, as where nobody has the address (A15)
	}
	rec, err := d.match(ctx, a.Password, candidates)
	if err != nil {
		return nil, errors.Join(err, d.refund(ctx, g))
	}
	if rec == nil || rec.State == Disabled {
		// A disabled person is told nothing that a wrong password would not be.
		return nil, errors.Join(d.denied(g), d.guessed(ctx, found, g, a.Device))
	}
	if err := d.refund(ctx, g); err != nil {
		return nil, err
	}
	switch rec.State {
	case Pending:
		return d.waiting(ctx, *rec, a)
	case Closing:
		return d.reopening(ctx, *rec)
	}
	if err := d.used(ctx, *rec, a.Password, len(found) > 1); err != nil {
		return nil, err
	}
	out := &Authenticated{AccountID: rec.ID, Credential: rec.PasswordID, Accept: rec.Accepted != d.versions}
	if g.device == "" && !rec.first() {
		out.tell = rec
	}
	return out, nil
}

// owned tells whether the first of those that ByAddress found has proven the address.
func owned(found []Record) bool { return len(found) > 0 && !found[0].ProvenAt.IsZero() }

// match is the account that the password is right for; nil: none.
func (d *Directory) match(ctx context.Context, raw string, found []Record) (*Record, error) {
	hashes := make([]string, len(found))
	for i, r := range found {
		hashes[i] = r.Password
	}
	password, ok := normalPassword(raw)
	if !ok {
		hashes = nil // no password looks like that: the dummy
	}
	i, err := d.hasher.verify(ctx, password, hashes...)
	if err != nil || i < 0 {
		return nil, err
	}
	return &found[i], nil
}

// waiting answers the right password of a registration that is not confirmed.
func (d *Directory) waiting(ctx context.Context, rec Record, a Attempt) (*Authenticated, error) {
	out := &Authenticated{AccountID: rec.ID, Pending: true}
	if rec.madeIn(a.FlowHash) {
		return out, nil
	}
	token := newToken()
	now := d.now()
	link := Link{Purpose: purposeWaiting, Hash: hashToken(token)}
	err := d.store.InTx(ctx, func(ctx context.Context) error {
		// First the address: a stranger who keeps signing in to a registration of his own could else make the
		// owner's confirmation, which ends it, fail by a deadlock.
		if err := d.store.LockAddress(ctx, rec.Canonical); err != nil {
			return err
		}
		return d.store.SetLinks(ctx, rec, []Link{link}, now, now.Add(waitingLifetime))
	})
	switch {
	case errors.Is(err, ErrGone):
		return nil, ErrCredentials // confirmed or cancelled this moment: try again
	case err != nil:
		return nil, fmt.Errorf("open the waiting page: %w", err)
	}
	out.Waiting = token
	return out, nil
}

// used records a sign-in, and brings the hash to the parameters of now where they have changed; later, where a registration of
// the same address waits, whose hash is like this one (Register).
// ErrCredentials when password or account changed while the password was checked.
func (d *Directory) used(ctx context.Context, rec Record, raw string, beside bool) error {
	upgraded := ""
	if !beside && d.hasher.stale(rec.Password) {
		password, _ := normalPassword(raw)
		var err error
		// A full queue is no reason to refuse a right password: the next sign-in upgrades it.
		if upgraded, err = d.hasher.hash(ctx, password, ""); err != nil && !errors.Is(err, ErrBusy) {
			return err
		}
	}
	err := d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.SignedIn(ctx, rec.ID, rec.Password, upgraded, d.now()); err != nil {
			return err
		}
		return d.stopRequests(ctx, rec.ID, d.now())
	})
	switch {
	case errors.Is(err, ErrGone):
		return ErrCredentials
	case err != nil:
		return fmt.Errorf("record a sign-in: %w", err)
	}
	return nil
}

// guess is what a try at a password counts for.
type guess struct {
	ip      netip.Addr
	address string // canonical, as it was typed; empty: none was
	account string // its id, else the same
	device  string // the id of the browser, where the account knows it
	proven  bool   // counted among those that passed the human check
	wears   bool   // the next one should pass it
	over    bool   // not counted by account: strangers have used that up, by whichever of its addresses
	unseen  bool   // for that reason the owner's password is not looked at, and nothing shows it
}

// budgets are those of the account in this browser, or of the address in all that the account does not know.
func (g guess) budgets() []limit.Budget {
	of := func(r limit.Rule, key ...string) limit.Budget { return limit.Budget{Rule: r, Key: key} }
	switch {
	case g.address == "":
		return nil
	case g.device != "":
		return []limit.Budget{of(limit.LoginDevice, g.account, g.device)}
	case g.proven:
		return []limit.Budget{of(limit.LoginHuman, g.address)}
	case g.over:
		return []limit.Budget{of(limit.LoginAddress, g.address)}
	}
	return []limit.Budget{of(limit.LoginAddress, g.address), of(limit.LoginAccount, g.account)}
}

// reserve takes the guess out of the budgets before the password is looked at: parallel guesses would else
// all be checked before the first is counted (CVE-2023-47111). A failing database means no guess.
func (d *Directory) reserve(ctx context.Context, g guess) error {
	if err := d.limits.TakeNetwork(ctx, g.ip, limit.LoginIP, limit.LoginNet); err != nil {
		return err
	}
	for _, b := range g.budgets() {
		if err := d.limits.Take(ctx, b.Rule, b.Key...); err != nil {
			// The network's budget is gone: whoever hammers at a full account pays for it.
			return err
		}
	}
	return nil
}

// afterwardsFor bounds what is still done for a request that is over: a database that is silent would keep it for ever.
const afterwardsFor = 2 * time.Second

// Afterwards is for what must be done although a request was broken off, or its time is over.
func Afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), afterwardsFor)
}

// refund gives the guess back: it was right, or was not checked.
func (d *Directory) refund(ctx context.Context, g guess) error {
	ctx, done := Afterwards(ctx) // its person must not pay for a request that was broken off
	defer done()
	err := d.limits.RefundNetwork(ctx, g.ip, limit.LoginIP, limit.LoginNet)
	for _, b := range g.budgets() {
		err = errors.Join(err, d.limits.Refund(ctx, b.Rule, b.Key...))
	}
	return err
}

func (d *Directory) recordFailure(ctx context.Context, subject, where, device string) error {
	detail := map[string]any{"where": where}
	if device != "" {
		detail["device"] = strings.ToValidUTF8(device[:min(len(device), 256)], "")
	}
	err := d.audit.Record(ctx, audit.Event{
		Event: audit.LoginFailed, ActorKind: audit.ActorAnonymous, Subject: subject, Detail: detail, At: d.now(),
	})
	if err != nil {
		return fmt.Errorf("record a failed sign-in: %w", err)
	}
	return nil
}
