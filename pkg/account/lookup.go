package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/mail"
)

// LookUp mails to an address whether an account has it: to the account's own, as it is stored (A8), with where to sign in;
// to one that waits to be confirmed, how to do that; to any other, that there is none. The work is one, and the answer is
// one: nobody but who reads the mail learns it. A full budget of the address is no error: the mail does not go (A22). It is
// the budget of registrations, so that what the owner needs for a recovery is left.
// Errors: *FieldError ("lookup-email"), ErrLimited (of the network), ErrHuman, ErrHumanDown.
func (d *Directory) LookUp(ctx context.Context, r RecoveryRequest) error {
	send, canonical, err := parseField("lookup-email", r.Email)
	if err != nil {
		return err
	}
	if err := d.letMail(ctx, r.IP, r.Human); err != nil {
		return err
	}
	found, err := d.store.ByAddress(ctx, canonical, nil, d.now())
	if err != nil {
		return fmt.Errorf("look an address up: %w", err)
	}
	msg := mail.Message{To: send, Language: languageOf(r.Language), Template: "nobody", Register: d.door.open(canonical)}
	subject := ""
	switch {
	case len(found) > 0 && !found[0].ProvenAt.IsZero():
		owner := found[0]
		msg = mail.Message{To: owner.Email, Name: owner.Name, Language: owner.Language, Template: "found"}
		subject = owner.ID
	case len(found) > 0:
		msg.Template = "unconfirmed" // who registered is perhaps not who reads it: no name
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.takeMail(ctx, limit.MailAddressHour, limit.MailAddressDay, canonical); err != nil {
			return err
		}
		err := d.audit.Record(ctx, audit.Event{Event: audit.AccountLookedUp, ActorKind: audit.ActorAnonymous, Subject: subject, At: d.now()})
		if err != nil {
			return err
		}
		return d.mail.Send(ctx, msg)
	})
	if err != nil && !errors.Is(err, ErrLimited) {
		return fmt.Errorf("look an address up: %w", err)
	}
	return nil
}
