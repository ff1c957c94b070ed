package engine

import (
	"maps"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

// session is what fosite carries through a request. All that matters is in the unit of work; fosite only needs
// a subject, and places for what it computes. It is never stored (H04, H29).
type session struct {
	subject string
	claims  *jwt.IDTokenClaims
	headers *jwt.Headers
	expires map[fosite.TokenType]time.Time
}

var _ openid.Session = (*session)(nil)

func newSession(subject string) *session {
	return &session{
		subject: subject,
		claims:  &jwt.IDTokenClaims{Subject: subject},
		headers: &jwt.Headers{Extra: map[string]any{}},
		expires: map[fosite.TokenType]time.Time{},
	}
}

func (s *session) SetExpiresAt(key fosite.TokenType, exp time.Time) { s.expires[key] = exp }
func (s *session) GetExpiresAt(key fosite.TokenType) time.Time      { return s.expires[key] }
func (s *session) GetUsername() string                              { return "" }
func (s *session) GetSubject() string                               { return s.subject }
func (s *session) IDTokenClaims() *jwt.IDTokenClaims                { return s.claims }
func (s *session) IDTokenHeaders() *jwt.Headers                     { return s.headers }

// Clone is written by hand: fosite's default copies by reflection at each refresh.
func (s *session) Clone() fosite.Session {
	claims := *s.claims
	return &session{
		subject: s.subject,
		claims:  &claims,
		headers: &jwt.Headers{Extra: maps.Clone(s.headers.Extra)},
		expires: maps.Clone(s.expires),
	}
}
