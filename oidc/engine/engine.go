package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/keys"
)

// Lifetimes of what is issued, where Config names none.
const (
	CodeLifetime    = time.Minute         // RFC 9700 wants codes short-lived
	AccessLifetime  = 30 * time.Minute    // opaque, hence revocable
	IDTokenLifetime = 30 * time.Minute    //
	RefreshIdle     = 30 * 24 * time.Hour // since the last use
	RefreshAbsolute = 90 * 24 * time.Hour // since the person agreed
	RefreshGrace    = 10 * time.Second    // see Config.RefreshGrace
)

// Config is what an Engine is made of.
type Config struct {
	Issuer  string
	Clients *client.Registry
	Store   grant.Store
	Keys    *keys.Ring
	Now     func() time.Time
	Audit   audit.Log // nil: nothing is recorded

	// Zero: the constant of the same name.
	CodeLifetime, AccessLifetime, IDTokenLifetime, RefreshIdle, RefreshAbsolute time.Duration

	// SealFrom is from when on codes may be sealed: before then they have rows, which servers of the version before know, too.
	SealFrom time.Time

	// RefreshGrace is how long the predecessor of a refresh token still gets the same successor, while that is
	// unused: a client whose answer was lost, or that has several processes, is not signed out.
	// Zero: off, every second use is reuse. The configuration's default is the constant of the same name.
	RefreshGrace time.Duration
}

// Engine issues codes and tokens.
type Engine struct {
	cfg    Config
	now    func() time.Time
	fosite *fosite.Fosite
	tokens *tokens
	fresh  fresh
}

// New refuses a Config that lacks a part.
func New(cfg Config) (*Engine, error) {
	switch {
	case cfg.Issuer == "":
		return nil, errors.New("engine: the issuer is needed")
	case cfg.Clients == nil, cfg.Store == nil, cfg.Keys == nil, cfg.Now == nil:
		return nil, errors.New("engine: Clients, Store, Keys and Now are needed")
	case cfg.RefreshGrace < 0:
		return nil, errors.New("engine: the refresh grace is negative")
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&cfg.CodeLifetime, CodeLifetime}, {&cfg.AccessLifetime, AccessLifetime},
		{&cfg.IDTokenLifetime, IDTokenLifetime}, {&cfg.RefreshIdle, RefreshIdle},
		{&cfg.RefreshAbsolute, RefreshAbsolute},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
		if *d.value < time.Second {
			return nil, errors.New("engine: a lifetime is under a second")
		}
	}
	e := &Engine{cfg: cfg, now: cfg.Now}
	e.tokens = &tokens{engine: e, secret: func() []byte { return cfg.Keys.Secret(keys.SecretToken) }}
	e.fosite = e.assemble()
	return e, nil
}

// SID is the session id that one client knows a login by (OpenID Connect Front-Channel Logout §3): two
// clients cannot compare theirs.
func (e *Engine) SID(loginID, clientID string) string {
	mac := hmac.New(sha256.New, e.cfg.Keys.Secret(keys.SecretSID))
	mac.Write([]byte(loginID + "\x00" + clientID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}
