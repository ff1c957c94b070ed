package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/mail"
)

// ErrInvitation: registration is by invitation, and this one is unknown, used up, late or revoked. One answer for all.
var ErrInvitation = errors.New("no invitation that holds")

// MaxInvited bounds the uses of an invitation, and MaxInvitation its life.
const (
	MaxInvited    = 10_000
	MaxInvitation = 365 * 24 * time.Hour
)

// Invitation lets people register where registration is by invitation. A use is held by a registration that waits for its
// confirmation, is spent by the confirmation, and is free again when the registration ends without one.
type Invitation struct {
	ID        string
	Hash      []byte // SHA-256 of the token
	Email     string // the one address that it is for; empty: any
	Canonical string // of it
	Uses      int64  // how many may still confirm
	Waiting   int64  // of these, how many registrations wait for their confirmation
	CreatedAt time.Time
	ExpiresAt time.Time // who has registered by then may confirm after it
}

// NewInvitation is what the operator asks for.
type NewInvitation struct {
	Email    string // the one address that it is for; empty: whoever has the link
	Uses     int64
	TTL      time.Duration
	Send     bool // mail it to Email
	Language string
}

// Invite makes an invitation, and the token of its link, which is kept nowhere.
// Errors: *FieldError ("email"), and what the numbers may not be, in words for the operator.
func (d *Directory) Invite(ctx context.Context, n NewInvitation) (Invitation, string, error) {
	token, now := newToken(), d.now()
	i := Invitation{ID: newID(), Hash: hashToken(token), Uses: n.Uses, CreatedAt: now, ExpiresAt: now.Add(n.TTL)}
	switch {
	case n.Uses < 1 || n.Uses > MaxInvited:
		return Invitation{}, "", fmt.Errorf("an invitation has from 1 to %d uses", MaxInvited)
	case n.TTL <= 0 || n.TTL > MaxInvitation:
		return Invitation{}, "", fmt.Errorf("an invitation holds for more than 0s, and for %s at most", MaxInvitation)
	case n.Email != "" && n.Uses > 1:
		return Invitation{}, "", errors.New("an invitation for one address has one use")
	case n.Email == "" && n.Send:
		return Invitation{}, "", errors.New("there is no address that it could be sent to")
	}
	if n.Email != "" {
		var err error
		if i.Email, i.Canonical, err = parseField("email", n.Email); err != nil {
			return Invitation{}, "", err
		}
		if !d.door.lets(i.Canonical) {
			return Invitation{}, "", &FieldError{Field: "email", Key: "error.email.domain"}
		}
	}
	err := d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.InsertInvitation(ctx, i); err != nil {
			return err
		}
		if err := d.operated(ctx, audit.InvitationCreated, "", map[string]any{"invitation": i.ID, "uses": i.Uses}); err != nil || !n.Send {
			return err
		}
		return d.mail.Send(ctx, mail.Message{To: i.Email, Language: languageOf(n.Language), Template: "invitation",
			Data: map[string]string{"invitation": token, "until": i.ExpiresAt.UTC().Format(time.DateOnly)}})
	})
	if err != nil {
		return Invitation{}, "", fmt.Errorf("make an invitation: %w", err)
	}
	return i, token, nil
}

// Invitations lists those that can still be used, oldest first.
func (d *Directory) Invitations(ctx context.Context) ([]Invitation, error) {
	list, err := d.store.ListInvitations(ctx, d.now())
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return list, nil
}

// RevokeInvitation ends one. Who has registered with it, and not confirmed, cannot do so any more. ErrNotFound.
func (d *Directory) RevokeInvitation(ctx context.Context, id string) error {
	return d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.DeleteInvitation(ctx, id); err != nil {
			return err
		}
		return d.operated(ctx, audit.InvitationRevoked, "", map[string]any{"invitation": id})
	})
}

// ByInvitation tells whether people register by invitation alone.
func (d *Directory) ByInvitation() bool { return d.door.Invitation && !d.door.Closed }

// ReadInvitation shows the invitation of a link; it changes nothing. ErrInvitation.
func (d *Directory) ReadInvitation(ctx context.Context, token string) (Invitation, error) {
	if !plausibleToken(token) {
		return Invitation{}, ErrInvitation
	}
	i, err := d.store.ReadInvitation(ctx, hashToken(token), d.now())
	switch {
	case errors.Is(err, ErrNotFound):
		return Invitation{}, ErrInvitation
	case err != nil:
		return Invitation{}, fmt.Errorf("read an invitation: %w", err)
	}
	return i, nil
}

// invited is the id of the invitation by which this address may register; empty where none is needed.
func (d *Directory) invited(ctx context.Context, token, canonical string) (id string, err error) {
	if !d.ByInvitation() {
		return "", nil
	}
	i, err := d.ReadInvitation(ctx, token)
	if err != nil {
		return "", err
	}
	if i.Canonical != "" && i.Canonical != canonical {
		return "", &FieldError{Field: "register-email", Key: "error.email.invited"}
	}
	return i.ID, nil
}

// hold takes a use of the invitation for a registration that was just written, in its transaction. ErrInvitation.
func (d *Directory) hold(ctx context.Context, rec Record) error {
	if rec.Invitation == "" {
		return nil
	}
	err := d.store.HoldInvitation(ctx, rec, d.now())
	if errors.Is(err, ErrGone) {
		return ErrInvitation
	}
	return err
}

// admit lets a registration be confirmed, in the transaction that does so, before all else: the invitation that it holds a
// use of is one use poorer. ErrInvitation.
func (d *Directory) admit(ctx context.Context, invitation string) error {
	if invitation == "" || !d.ByInvitation() {
		return nil
	}
	err := d.store.SpendInvitation(ctx, invitation)
	if errors.Is(err, ErrGone) {
		return ErrInvitation
	}
	return err
}
