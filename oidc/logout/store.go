package logout

import (
	"context"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

// Store is what signing out reads.
type Store interface {
	NoticeStore
	// ReadRequest reads who is signed in in the browser whose session cookie hashes to session (nil or
	// unknown: an empty Request). The consents that it joins are of no interest here. grant.Store has it.
	ReadRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error)
}

// What became of telling a site.
const (
	Trying = "trying" // it was tried, and will be again
	Told   = "told"   // it answered with 2xx
	Failed = "failed" // it refused
)

// Visit is a site at which a login was used.
type Visit struct {
	LoginID  string
	ClientID string
	SID      string
	Sub      string // of the account, as no client knows it
	Notice   string // one of the above; empty: nobody has tried
}

// NoticeStore keeps what became of telling the sites.
type NoticeStore interface {
	// Visits lists the sites that logins reached, in the order of their first visit.
	Visits(ctx context.Context, loginIDs []string) ([]Visit, error)
	// SetNotice notes what became of telling a site. No row is no error: the client may be gone.
	SetNotice(ctx context.Context, loginID, clientID, notice string, at time.Time) error
}
