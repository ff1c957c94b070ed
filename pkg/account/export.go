package account

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/outbox"
)

const (
	// ExportLifetime is how long the file with all that is known of a person is kept, and the link to it holds.
	ExportLifetime = 7 * 24 * time.Hour
	// makingLifetime is how long it is tried to make one.
	makingLifetime = outbox.DefaultLifetime

	// exportKind is the outbox's name for it.
	exportKind = "export"
)

// Export is such a file as it is kept.
type Export struct {
	ID        string
	AccountID string
	Hash      []byte // SHA-256 of the token of the mail's link; nil: it is being made
	Sealed    []byte // gzip, for (data_export, sealed, ID); nil: it is being made, or was not read
	AskedAt   time.Time
	MadeAt    time.Time // zero: it is being made
	ExpiresAt time.Time
}

// exportJob is what the outbox has of one that is to be made.
type exportJob struct {
	ID      string `json:"id"`
	Account string `json:"account"`
}

// AskExport has a file made of all that is known of the person, and a mail sent when it is ready. An account has one: it
// takes the place of an older one. ErrNotFound, ErrLimited.
func (d *Directory) AskExport(ctx context.Context, accountID string) error {
	rec, err := d.active(ctx, accountID)
	if err != nil {
		return err
	}
	if err := d.limits.Take(ctx, limit.Export, rec.ID); err != nil {
		return err
	}
	e := Export{ID: uuid.NewString(), AccountID: rec.ID, AskedAt: d.now(), ExpiresAt: d.now().Add(makingLifetime)}
	job, err := json.Marshal(exportJob{e.ID, e.AccountID})
	if err != nil {
		return fmt.Errorf("ask for an export: %w", err)
	}
	err = d.store.InTx(ctx, func(ctx context.Context) error {
		if err := d.store.PutExport(ctx, e); err != nil {
			return err
		}
		if err := d.queue.Put(ctx, outbox.Job{Kind: exportKind, Body: job, Expires: e.ExpiresAt}); err != nil {
			return err
		}
		return d.audit.Record(ctx, audit.Event{Event: audit.AccountExportAsked, ActorKind: audit.ActorAccount, ActorID: rec.ID, Subject: rec.ID, At: e.AskedAt})
	})
	if err != nil {
		return fmt.Errorf("ask for an export: %w", err)
	}
	return nil
}

// ReadExport is what there is of the account's file, without its content: ErrNotFound when there is none.
func (d *Directory) ReadExport(ctx context.Context, accountID string) (Export, error) {
	e, err := d.store.ReadExport(ctx, accountID)
	if err == nil && !e.ExpiresAt.After(d.now()) {
		err = ErrNotFound
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Export{}, fmt.Errorf("read an export: %w", err)
	}
	return e, err
}

// ExportLink is the file that a mail's link leads its owner to; nothing is downloaded yet. ErrLink, also for who is signed
// in with another account.
func (d *Directory) ExportLink(ctx context.Context, accountID, token string) (Export, error) {
	if !plausibleToken(token) {
		return Export{}, ErrLink
	}
	e, err := d.ReadExport(ctx, accountID)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !bytes.Equal(e.Hash, hashToken(token)):
		return Export{}, ErrLink
	case err != nil:
		return Export{}, err
	}
	return e, nil
}

// OpenExport is its content, and records that it was downloaded. It takes who is signed in, and the link of the mail: whoever
// has one of the two does not have the other. ErrLink, ErrLimited.
func (d *Directory) OpenExport(ctx context.Context, accountID, token string) ([]byte, error) {
	e, err := d.ExportLink(ctx, accountID, token)
	if err != nil {
		return nil, err
	}
	if err := d.limits.Take(ctx, limit.Download, accountID); err != nil {
		return nil, err
	}
	sealed, err := d.store.SealedExport(ctx, e.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrLink // replaced this moment
	}
	var packed, content []byte
	if err == nil {
		packed, err = d.sealer.Open("data_export", "sealed", e.ID, sealed)
	}
	if err == nil {
		content, err = unzip(packed)
	}
	if err == nil {
		err = d.audit.Record(ctx, audit.Event{Event: audit.AccountExported, ActorKind: audit.ActorAccount, ActorID: accountID, Subject: accountID, At: d.now()})
	}
	if err != nil {
		return nil, fmt.Errorf("open an export: %w", err)
	}
	return content, nil
}

// HandleExports makes the files that are asked for, of what compose says of an account. To be called once, before the outbox
// runs.
func (d *Directory) HandleExports(compose func(ctx context.Context, a *Account) ([]byte, error)) {
	d.queue.Handle(exportKind, 1, func(ctx context.Context, j outbox.Job) error {
		var job exportJob
		if err := json.Unmarshal(j.Body, &job); err != nil {
			return outbox.Permanent(outbox.Failure("malformed", err))
		}
		err := d.makeExport(ctx, job, compose)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrGone) {
			return nil // a newer one was asked for, it is made, or its account is nobody's to use
		}
		return err
	})
}

func (d *Directory) makeExport(ctx context.Context, job exportJob, compose func(ctx context.Context, a *Account) ([]byte, error)) error {
	e, err := d.ReadExport(ctx, job.Account)
	if err != nil {
		return err
	}
	if e.ID != job.ID || !e.MadeAt.IsZero() {
		return ErrGone
	}
	rec, err := d.active(ctx, job.Account)
	if err != nil {
		return err
	}
	all, err := d.whole(ctx, rec)
	if err != nil {
		return err
	}
	r, err := d.store.Recovery(ctx, rec.ID)
	if err != nil {
		return fmt.Errorf("read what was set for a recovery: %w", err)
	}
	all.Question = r.Question
	content, err := compose(ctx, all)
	if err != nil {
		return fmt.Errorf("compose an export: %w", err)
	}
	packed, err := zipped(content)
	if err != nil {
		return err
	}
	token := newToken()
	e.Hash, e.MadeAt = hashToken(token), d.now()
	e.ExpiresAt = e.MadeAt.Add(ExportLifetime)
	if e.Sealed, err = d.sealer.Seal("data_export", "sealed", e.ID, packed); err != nil {
		return fmt.Errorf("seal an export: %w", err)
	}
	return d.store.InTx(ctx, func(ctx context.Context) error {
		rec, err := d.store.LockAccount(ctx, job.Account)
		if err != nil {
			return err
		}
		if rec.State != Active {
			return ErrGone
		}
		if err := d.store.FinishExport(ctx, e); err != nil {
			return err
		}
		return d.mailNotice(ctx, rec, "data", map[string]string{"data": token})
	})
}

func zipped(plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, err := z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("compress an export: %w", err)
	}
	return buf.Bytes(), nil
}

// unzip reads what zipped wrote: it was sealed, and is nobody else's.
func unzip(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
