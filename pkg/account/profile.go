package account

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/audit"
)

// Profile is the page "General information".
type Profile struct {
	Name     string
	Language string // of our pages and mails
	Email    string // the primary address; SetProfile does not change it
	// Text are the other standard claims (OpenID Connect Core §5.1) that people edit, by name, with the members of address
	// beside them. SetProfile removes one that is empty, and leaves alone what is not there.
	Text map[string]string
	// PictureURL is the claim picture, Picture the name under which ReadPicture has it; empty: none, or none of ours.
	// SetProfile changes neither.
	PictureURL, Picture string
}

// Profile reads it. ErrNotFound.
func (d *Directory) Profile(ctx context.Context, accountID string) (*Profile, error) {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return nil, err
	}
	p := &Profile{Name: rec.Name, Language: rec.Language, Email: rec.Email, Text: map[string]string{}}
	claims := rec.claims()
	for _, e := range editable {
		p.Text[e.name], _ = e.of(claims)[e.name].(string)
	}
	p.PictureURL, _ = claims["picture"].(string)
	p.Picture = d.pictureOf(rec)
	return p, nil
}

// SetProfile changes name, language and claims: a value that stands already is not judged anew, so that what the operator
// wrote does not keep the rest from being saved. Errors: *FieldError (the field "profile-" and the claim's name, with
// dashes), ErrNotFound.
func (d *Directory) SetProfile(ctx context.Context, accountID string, p Profile) error {
	name, err := checkName("profile-name", p.Name)
	if err != nil {
		return err
	}
	if name == "" && d.fields.Name == Required {
		return &FieldError{Field: "profile-name", Key: "error.name.empty"}
	}
	return d.changeProfile(ctx, accountID, func(_ context.Context, rec *Record, _ time.Time) error {
		rec.Name = name
		if p.Language != "" {
			rec.Language = languageOf(p.Language)
		}
		return d.edit(rec, p.Text)
	})
}

// changeProfile changes what sites may be told of a person, in one transaction.
func (d *Directory) changeProfile(ctx context.Context, accountID string, act func(ctx context.Context, rec *Record, now time.Time) error) error {
	return d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.store.LockAccount(ctx, accountID) // else the later of two writes brings back what the earlier removed
		if err != nil {
			return fmt.Errorf("read an account: %w", err)
		}
		if rec.State != Active {
			return ErrNotFound
		}
		now := d.now()
		if err := act(ctx, &rec, now); err != nil {
			return err
		}
		if err := d.store.SetProfile(ctx, rec, now); err != nil {
			return fmt.Errorf("change a profile: %w", err)
		}
		return d.audit.Record(ctx, audit.Event{
			Event: audit.AccountChanged, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: now,
		})
	})
}

// edit changes an account's claims.
func (d *Directory) edit(rec *Record, text map[string]string) error {
	claims := rec.claims()
	moved := false
	for _, e := range editable {
		typed, given := text[e.name]
		of := e.of(claims)
		was, _ := of[e.name].(string)
		if !given || typed == was {
			continue
		}
		v, err := e.check(d, "profile-"+strings.ReplaceAll(e.name, "_", "-"), typed)
		switch {
		case err != nil:
			return err
		case v == was: // the same, typed otherwise
			continue
		case v == "":
			delete(of, e.name)
		default:
			of[e.name] = v
		}
		if e.name == "phone_number" {
			delete(claims, "phone_number_verified") // whoever said so spoke of the other one
		}
		if e.address {
			moved, claims["address"] = true, of
		}
	}
	if moved {
		reformat(claims)
	}
	return rec.setClaims(claims)
}

// claims are the account's, to be changed.
func (r *Record) claims() map[string]any {
	claims := map[string]any{}
	_ = json.Unmarshal(r.Claims, &claims) // storage keeps a JSON object
	return claims
}

func (r *Record) setClaims(claims map[string]any) error {
	raw, err := json.Marshal(claims)
	if err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	if len(raw) > maxClaims {
		return &FieldError{Field: "profile-street-address", Key: "error.claims.long"}
	}
	r.Claims = raw
	return nil
}

// of is the object in which the claim stands.
func (e editing) of(claims map[string]any) map[string]any {
	if !e.address {
		return claims
	}
	if members, ok := claims["address"].(map[string]any); ok {
		return members
	}
	return map[string]any{}
}

// reformat makes the member formatted of an address out of the others (§5.1.1): lines, as most of the world writes them.
func reformat(claims map[string]any) {
	members, _ := claims["address"].(map[string]any)
	part := func(name string) string {
		s, _ := members[name].(string)
		return s
	}
	var lines []string
	for _, line := range []string{
		part("street_address"), strings.TrimSpace(part("postal_code") + " " + part("locality")), part("region"), part("country"),
	} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		delete(claims, "address")
		return
	}
	members["formatted"] = strings.Join(lines, "\n")
}

func (d *Directory) active(ctx context.Context, accountID string) (Record, error) {
	rec, err := d.store.ByID(ctx, accountID)
	if err != nil {
		return Record{}, fmt.Errorf("read an account: %w", err)
	}
	if rec.State != Active {
		return Record{}, ErrNotFound
	}
	return rec, nil
}
