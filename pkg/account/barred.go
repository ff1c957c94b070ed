package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

const (
	// guessesMost is how many wrong passwords in a row browsers that an account does not know may give (NIST SP 800-63B
	// §3.2.2): from then on they are not looked at, until the owner, by mail, lets a browser try. It is no lock: browsers
	// that the account knows go on, and a new password by mail begins anew.
	guessesMost = 100
	// AllowLifetime is how long that mail's link holds.
	AllowLifetime = 4 * time.Hour
)

// barred tells whether the account that has proven the address has had so many.
func barred(found []Record) bool {
	return owned(found) && found[0].Guesses >= guessesMost
}

// guessed records a wrong password, and counts it where it came from a browser that the account does not know. Unknown
// addresses make the same work. The owner of a barred account has a mail, whatever the password was: nobody must learn by the
// work whether it was right.
func (d *Directory) guessed(ctx context.Context, found []Record, g guess, device string) error {
	var rec Record
	if len(found) > 0 {
		rec = found[0]
	}
	credential, tell := "", false
	if g.device == "" && !g.unseen && !rec.ProvenAt.IsZero() {
		credential = rec.PasswordID
	}
	if g.device == "" && barred(found) && rec.State == Active {
		err := d.limits.Take(ctx, limit.Guessed, rec.ID)
		if err != nil && !errors.Is(err, ErrLimited) {
			return err
		}
		tell = err == nil
	}
	return d.store.InTx(ctx, func(ctx context.Context) error {
		if tell {
			if err := d.mailAllow(ctx, rec.ID); err != nil {
				return err
			}
		}
		if g.device == "" {
			if err := d.store.CountGuess(ctx, credential); err != nil {
				return fmt.Errorf("count a wrong password: %w", err)
			}
		}
		return d.recordFailure(ctx, rec.ID, "sign-in", device)
	})
}

// mailAllow asks the owner whether it is they who sign in, in the transaction of ctx.
func (d *Directory) mailAllow(ctx context.Context, accountID string) error {
	rec, err := d.store.LockAccount(ctx, accountID)
	if errors.Is(err, ErrNotFound) || err == nil && rec.State != Active {
		return nil
	}
	token, now := newToken(), d.now()
	if err == nil {
		l := Link{Purpose: purposeAllow, Hash: hashToken(token), Email: rec.Email, Canonical: rec.Canonical}
		err = d.store.AddLink(ctx, rec.ID, l, now, now.Add(AllowLifetime))
	}
	if err == nil {
		err = d.mailNotice(ctx, rec, "guessed", map[string]string{"allow": token})
	}
	if err != nil {
		return fmt.Errorf("mail the owner of an account that is guessed at: %w", err)
	}
	return nil
}

// ReadAllow shows that mail's link; it changes nothing (A1). ErrLink.
func (d *Directory) ReadAllow(ctx context.Context, token string) (*LinkView, error) {
	rec, l, err := d.byAccountLink(ctx, purposeAllow, token)
	if err != nil {
		return nil, err
	}
	return &LinkView{Email: l.Email, Language: rec.Language}, nil
}

// Allow lets the browser that follows the link try passwords: credential is what KnowDevice takes. Nobody is signed in by it.
// ErrLink.
func (d *Directory) Allow(ctx context.Context, token string) (credential string, err error) {
	_, err = d.spend(ctx, purposeAllow, token, func(ctx context.Context, rec Record, _ Link, now time.Time) error {
		credential = rec.PasswordID
		return d.audit.Record(ctx, audit.Event{Event: audit.LoginAllowed, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now})
	})
	return credential, err
}
