package logout

import (
	"context"

	"github.com/passport-network/passport/oidc/grant"
)

// Store is the one read of this room; grant.Store has it.
type Store interface {
	// ReadRequest reads who is signed in in the browser whose session cookie hashes to session (nil or
	// unknown: an empty Request). The consents that it joins are of no interest here.
	ReadRequest(ctx context.Context, session []byte, clientID string) (grant.Request, error)
}
