package outbox

import (
	"context"
	"errors"
	"time"
)

// ErrLost says that the lease has run out and that another worker has the job, or that it is done.
var ErrLost = errors.New("the lease of the job is lost")

// Row is a job as it stands in the database.
type Row struct {
	ID, Kind     string
	Sealed       []byte // the body, for (outbox, sealed, ID)
	Due, Expires time.Time
	Created      time.Time
	Attempts     int // including the one that a lease begins
}

// Store keeps the jobs. All changes but PutJob are conditional on the lease: ErrLost when it is not held.
type Store interface {
	// PutJob adds a job, in the caller's transaction when there is one.
	PutJob(ctx context.Context, r Row) error
	// LeaseJobs takes up to n jobs of the kinds that are due and not leased, until a time, under a lease of
	// this name, and counts an attempt. Two workers never get one job. The order is by due time.
	LeaseJobs(ctx context.Context, kinds []string, lease string, n int, now, until time.Time) ([]Row, error)
	// DropJob deletes a job that is done.
	DropJob(ctx context.Context, id, lease string) error
	// RetryJob gives a job back until due; reason is the error's kind.
	RetryJob(ctx context.Context, id, lease string, due time.Time, reason string) error
	// HurryJobs makes up to n jobs of a kind due that wait after a failure, and tells how many it were.
	HurryJobs(ctx context.Context, kind string, now time.Time, n int) (int, error)
	// FailJob gives a job up and empties its body; the row stays, so that the operator sees it.
	FailJob(ctx context.Context, id, lease string, at time.Time, reason string) error
}
