package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/picture"
)

// MaxPicture is how many bytes a picture may have that a person sends.
const MaxPicture = 2 << 20

// pictureSide is how large a picture is served, in pixels.
const pictureSide = 512

// SetPicture draws a person's picture anew and keeps it, as the claim picture, in place of the one before, whose address
// leads nowhere from now on. Errors: *FieldError ("profile-picture"), ErrLimited, ErrNotFound.
func (d *Directory) SetPicture(ctx context.Context, accountID string, raw []byte) error {
	switch {
	case len(raw) == 0:
		return &FieldError{Field: "profile-picture", Key: "error.picture.empty"}
	case len(raw) > MaxPicture:
		return &FieldError{Field: "profile-picture", Key: "error.picture.large"}
	}
	// Counted whether it is one or not: it is the work that is counted.
	if err := d.limits.Take(ctx, limit.Picture, accountID); err != nil {
		return err
	}
	drawn, err := picture.Square(ctx, raw, picture.Limits{Bytes: MaxPicture, Side: 8192}, pictureSide)
	if errors.Is(err, picture.ErrUnfit) {
		return &FieldError{Field: "profile-picture", Key: "error.picture.invalid"}
	}
	if err != nil {
		return fmt.Errorf("draw a picture: %w", err)
	}
	return d.changeProfile(ctx, accountID, func(ctx context.Context, rec *Record, now time.Time) error {
		name := newToken() // of no meaning: who has the same picture must not be told by its address
		if err := d.store.SetPicture(ctx, rec.ID, name, drawn, now); err != nil {
			return fmt.Errorf("keep a picture: %w", err)
		}
		claims := rec.claims()
		claims["picture"] = d.pictures + name
		return rec.setClaims(claims)
	})
}

// DropPicture takes it away. ErrNotFound: there is no such account.
func (d *Directory) DropPicture(ctx context.Context, accountID string) error {
	return d.changeProfile(ctx, accountID, func(ctx context.Context, rec *Record, _ time.Time) error {
		if err := d.store.DropPicture(ctx, rec.ID); err != nil {
			return fmt.Errorf("remove a picture: %w", err)
		}
		claims := rec.claims()
		delete(claims, "picture")
		return rec.setClaims(claims)
	})
}

// ReadPicture gives a picture, a JPEG, by the last part of its address: ErrNotFound, as of an account that is not active.
func (d *Directory) ReadPicture(ctx context.Context, name string) ([]byte, error) {
	if !plausibleToken(name) {
		return nil, ErrNotFound
	}
	drawn, err := d.store.ReadPicture(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	return drawn, nil
}

// PictureOf reads an account's picture: ErrNotFound, also where it is none of ours.
func (d *Directory) PictureOf(ctx context.Context, a *Account) ([]byte, error) {
	return d.ReadPicture(ctx, d.pictureOf(Record{Claims: a.Claims}))
}

// pictureOf is the name of the account's picture; empty: it has none, or none of ours.
func (d *Directory) pictureOf(rec Record) string {
	address, _ := rec.claims()["picture"].(string)
	if name, ours := strings.CutPrefix(address, d.pictures); ours {
		return name
	}
	return ""
}
