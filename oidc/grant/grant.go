package grant

import (
	"encoding/json"
	"time"
)

// Account states, as the database has them.
const (
	Pending  = "pending"  // registered; no address proven
	Active   = "active"   // may use the network
	Disabled = "disabled" // by the operator
)

// Person is the account behind a login or a grant, read in the same statement as these.
type Person struct {
	AccountID string
	Sub       string // public subject: 128 random bits, base64url
	State     string
	Name      string
	Claims    json.RawMessage // the other standard claims (OpenID Connect Core §5.1), a JSON object
	Email     string          // the primary address, as typed
	Proven    bool            // that address is proven
	Accepted  Versions        // of the terms and the privacy policy
	UpdatedAt time.Time
}

// Versions are those of the operator's terms and privacy policy.
type Versions struct{ Terms, Privacy string }

// Allowed is the one answer to "may this person still use the network": active, with a proven address.
// Everything that issues, refreshes or honours a token asks it.
func (p *Person) Allowed() bool {
	return p != nil && p.State == Active && p.Proven
}

// Login is one account signed in in a browser.
type Login struct {
	ID       string
	Person   Person
	AuthTime time.Time // of the active authentication, whole seconds
	AMR      []string  // RFC 8176
	ACR      string
	Epoch    int64     // of the codes that are sealed for it: those of another one are void
	Event    []byte    // InteractionHash of the interaction that the last authentication served; nil: none
	Consents []Consent // what this account allowed the client that was asked for: for good, and in this login
}

// Consent is what an account has allowed a client, remembered.
type Consent struct {
	LoginID   string // not empty: it holds for this login only
	Scopes    []string
	Claims    []string // names asked for by the claims parameter
	GrantedAt time.Time
}

// Kinds of interactions.
const (
	KindAuthorize = "authorize" // an authorization request whose person is on our pages
	KindDevice    = "device"    // the same for a device that waits (RFC 8628)
	KindPushed    = "pushed"    // a request that the client has pushed (RFC 9126); nobody came with it yet
)

// Interaction is a request that waits for a person.
// Its URL carries the random id; the row has only its hash.
type Interaction struct {
	Hash      []byte // SHA-256 of the id
	Kind      string // of what follows
	ClientID  string
	Params    string // the checked request, urlencoded
	Binding   []byte // SHA-256 of the flow cookie; nil: not yet bound
	LoginID   string // the account that was chosen in it
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Grant is one authorization of a client by a person; its tokens hang on it.
type Grant struct {
	ID               string // UUIDv7
	AccountID        string
	ClientID         string
	LoginID          string
	SID              string
	Scopes           []string
	Audience         []string
	AuthTime         time.Time
	AMR              []string
	ACR              string
	Claims           string // the claims parameter as sent, JSON; empty: none
	Offline          bool   // offline_access was granted: it survives logout
	Cnf              string // confirmation key of its refresh tokens
	CreatedAt        time.Time
	Generation       int64 // of the newest refresh token; 0: none was issued; 1 before the code is redeemed, if that will give one
	RotatedAt        time.Time
	RefreshExpiresAt time.Time // idle limit of the newest refresh token
	ExpiresAt        time.Time // absolute limit
	RevokedAt        time.Time // zero: live
}

// Code is an authorization code.
type Code struct {
	Sig         []byte // SHA-256 of it
	GrantID     string
	ClientID    string
	RedirectURI string
	Challenge   string
	Method      string
	Nonce       string
	Cnf         string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	UsedAt      time.Time // zero: unused
}

// States of a device.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved" // a Code of the same Sig says what it gets
	DeviceDenied   = "denied"
)

// Device is a device that waits for its person (RFC 8628).
type Device struct {
	Sig       []byte // SHA-256 of the device code
	UserCode  []byte // keyed hash of the user code
	ClientID  string
	Params    string // the checked request, urlencoded
	State     string
	Pause     int64 // seconds between two polls
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Token is an access token's row; one that is a JWT has it too, so that it can be revoked like any other.
type Token struct {
	Sig       []byte // SHA-256 of the token
	GrantID   string // empty: client_credentials
	ClientID  string
	Scopes    []string
	Audience  []string
	Cnf       string
	IssuedAt  time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
}
