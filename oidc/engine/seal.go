package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// A sealed code is the id of the grant that it promises (16 bytes), and what makes that grant, encrypted for this server and its
// replicas and bound to its client. Authorizing writes nothing then, and redeeming writes the grant: that its id can be written
// once is what lets the code be used once. A sign-on that has more to write, or would make a long code, has a row for its code.

// sealedMost is how long a sealed code may be: it stands in a URL.
const sealedMost = 1024

// sealed is what is encrypted: of an AuthorizeInput what makes the grant and the code. What their lifetimes are, and whether there is
// a refresh token, follows from the configuration and the client when the code is redeemed.
type sealed struct {
	CreatedAt   int64    `json:"t"` // microseconds since 1970
	Account     string   `json:"a"`
	Login       string   `json:"l"`
	Epoch       int64    `json:"e,omitempty"`
	AuthTime    int64    `json:"u"` // seconds since 1970
	AMR         []string `json:"m,omitempty"`
	ACR         string   `json:"c,omitempty"`
	Scopes      []string `json:"s,omitempty"`
	Audience    []string `json:"r,omitempty"`
	Claims      string   `json:"q,omitempty"`
	Offline     bool     `json:"o,omitempty"`
	RedirectURI string   `json:"b,omitempty"`
	Nonce       string   `json:"n,omitempty"`
	Challenge   string   `json:"p,omitempty"`
	Method      string   `json:"h,omitempty"` // of the challenge
}

// sealable: the answer is a code and nothing else, and nothing but the grant is to be written.
func (w *work) sealable() bool {
	is := w.issue
	return slices.Equal(w.responses, []string{"code"}) && is.Consent == nil && is.Interaction == nil && is.Pushed == nil &&
		is.Grant.Cnf == "" && !w.now.Before(w.engine.cfg.SealFrom)
}

// seal makes the code of an authorization; false when it would be too long.
func (e *Engine) seal(g *grant.Grant, code *grant.Code, epoch int64) (string, bool, error) {
	id, err := uuid.Parse(g.ID)
	if err != nil {
		return "", false, err
	}
	plain, err := json.Marshal(sealed{CreatedAt: g.CreatedAt.UnixMicro(), Account: g.AccountID, Login: g.LoginID, Epoch: epoch,
		AuthTime: g.AuthTime.Unix(), AMR: g.AMR, ACR: g.ACR, Scopes: g.Scopes, Audience: g.Audience, Claims: g.Claims, Offline: g.Offline,
		RedirectURI: code.RedirectURI, Nonce: code.Nonce, Challenge: code.Challenge, Method: code.Method})
	if err != nil {
		return "", false, err
	}
	aead, err := e.tokens.aead(id)
	if err != nil {
		return "", false, err
	}
	raw := sealedPrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(id[:], nil, plain, []byte(g.ClientID)))
	return raw, len(raw) <= sealedMost, nil
}

// unseal reads a sealed code that its client presents; false when it is none, was changed, or is another client's.
func (e *Engine) unseal(raw string, c *client.Client) (grant.CodeRead, bool) {
	body, ok := strings.CutPrefix(raw, sealedPrefix)
	if !ok || strings.ContainsAny(body, "\r\n") { // which the decoder passes over
		return grant.CodeRead{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < len(uuid.UUID{}) {
		return grant.CodeRead{}, false
	}
	id := uuid.UUID(b[:16])
	aead, err := e.tokens.aead(id)
	if err != nil {
		return grant.CodeRead{}, false
	}
	plain, err := aead.Open(nil, nil, b[16:], []byte(c.ID))
	if err != nil {
		return grant.CodeRead{}, false
	}
	var s sealed
	if err := json.Unmarshal(plain, &s); err != nil {
		return grant.CodeRead{}, false
	}
	now := time.UnixMicro(s.CreatedAt).UTC()
	is := e.issuance(id.String(), now, AuthorizeInput{
		Client: c, Login: grant.Login{ID: s.Login, Person: grant.Person{AccountID: s.Account}, AuthTime: time.Unix(s.AuthTime, 0).UTC(),
			AMR: s.AMR, ACR: s.ACR, Epoch: s.Epoch},
		Scopes: s.Scopes, Audience: s.Audience, ClaimsRequest: s.Claims, Offline: s.Offline,
	})
	code := e.newCode(&is.Grant, url.Values{"redirect_uri": {s.RedirectURI}, "nonce": {s.Nonce},
		"code_challenge": {s.Challenge}, "code_challenge_method": {s.Method}})
	code.Sig = codeHash(raw)
	return grant.CodeRead{Code: *code, Grant: is.Grant, Sealed: true, Epoch: s.Epoch}, true
}

// aead has a key for this code alone, so that how many are made of one secret does not matter.
func (t *tokens) aead(id uuid.UUID) (cipher.AEAD, error) {
	block, err := aes.NewCipher(t.mac(sealedPrefix, id[:]))
	if err != nil {
		return nil, fmt.Errorf("seal a code: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
