package engine

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
)

// The formats of what we issue: a kind and version, then base64url without padding. A prefix is required, not
// trimmed: a refresh token is no access token, nor a code (H11, G17), and secret scanners can find them.
const (
	accessPrefix  = "pp1a_" // 32 random bytes
	codePrefix    = "pp1c_" // 32 random bytes
	sealedPrefix  = "pp2c_" // see seal.go
	devicePrefix  = "pp1d_" // 32 random bytes
	refreshPrefix = "pp1r_" // the grant's id (16 bytes), the generation (4), HMAC-SHA-256 over both (32)

	randomBytes  = 32
	randomChars  = 43
	refreshBytes = 16 + 4 + sha256.Size
)

// Kinds names what this room issues, by how it begins.
var Kinds = map[string]string{
	accessPrefix: "access token", codePrefix: "authorization code", sealedPrefix: "authorization code", devicePrefix: "device code", refreshPrefix: "refresh token",
}

// tokens makes and reads codes and tokens. To fosite, the "signature" of a code or access token is the SHA-256
// that its row has (of a sealed code, which has none, that of the whole); that of a refresh token is the token itself, once its HMAC was verified. A malformed or
// forged one has the signature "", and the adapter asks no database for it.
type tokens struct {
	engine *Engine
	secret func() []byte
}

func random(prefix string) (string, error) {
	b := make([]byte, randomBytes)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// NewDeviceCode draws a device code (RFC 8628 §3.2) and gives the SHA-256 that its row has.
func (e *Engine) NewDeviceCode() (code string, sig []byte, err error) {
	code, err = random(devicePrefix)
	return code, hashOf(devicePrefix, code), err
}

// codeHash is the SHA-256 of an authorization code, with a row or sealed; nil when raw cannot be one.
func codeHash(raw string) []byte {
	if strings.HasPrefix(raw, sealedPrefix) && len(raw) <= sealedMost {
		sum := sha256.Sum256([]byte(raw))
		return sum[:]
	}
	return hashOf(codePrefix, raw)
}

// hashOf is the SHA-256 of a code or access token with this prefix; nil when raw cannot be one.
func hashOf(prefix, raw string) []byte {
	body, ok := strings.CutPrefix(raw, prefix)
	if !ok || len(body) != randomChars {
		return nil
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(body); err != nil || len(b) != randomBytes {
		return nil
	}
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}

// refreshToken is deterministic: whoever may have the successor of a generation gets the same one, and no row
// for each token is needed to recognise an old one.
func (t *tokens) refreshToken(grantID string, generation int64) (string, error) {
	id, err := uuid.Parse(grantID)
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, refreshBytes)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(generation))
	b = append(b, t.mac(refreshPrefix, b)...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// readRefresh verifies a refresh token of ours before any database is asked.
func (t *tokens) readRefresh(raw string) (grantID string, generation int64, ok bool) {
	body, found := strings.CutPrefix(raw, refreshPrefix)
	if !found || len(body) != base64.RawURLEncoding.EncodedLen(refreshBytes) {
		return "", 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || !hmac.Equal(b[20:], t.mac(refreshPrefix, b[:20])) {
		return "", 0, false
	}
	return uuid.UUID(b[:16]).String(), int64(binary.BigEndian.Uint32(b[16:20])), true
}

func (t *tokens) mac(prefix string, b []byte) []byte {
	m := hmac.New(sha256.New, t.secret())
	m.Write([]byte(prefix)) // the kind is part of what is signed
	m.Write(b)
	return m.Sum(nil)
}

// AccessTokenSignature, and the rest below, are fosite's oauth2.CoreStrategy. The Validate methods have nothing
// to do: the adapter judged every expiry, by our clock, when it read the row.
func (t *tokens) AccessTokenSignature(_ context.Context, raw string) string {
	return string(t.engine.accessHash(raw))
}

// GenerateAccessToken makes an access token in the client's format.
func (t *tokens) GenerateAccessToken(ctx context.Context, r fosite.Requester) (string, string, error) {
	w := workOf(ctx)
	var raw string
	var err error
	if w.client.Metadata.AccessTokenFormat == client.FormatJWT {
		raw, err = t.engine.jwtAccess(ctx, w, r.GetGrantedScopes(), r.GetGrantedAudience())
	} else {
		raw, err = random(accessPrefix)
	}
	if err != nil {
		return "", "", err
	}
	w.access = raw
	sum := sha256.Sum256([]byte(raw))
	return raw, string(sum[:]), nil
}

func (t *tokens) ValidateAccessToken(context.Context, fosite.Requester, string) error { return nil }

// AuthorizeCodeSignature notes the code: the adapter unseals it.
func (t *tokens) AuthorizeCodeSignature(ctx context.Context, raw string) string {
	workOf(ctx).shown = raw
	return string(codeHash(raw))
}

// GenerateAuthorizeCode makes the code, and everything that is known of it. What fosite finds wrong with that later is answered
// without it (H27).
func (t *tokens) GenerateAuthorizeCode(ctx context.Context, r fosite.Requester) (raw, sig string, err error) {
	w := workOf(ctx)
	code := t.engine.newCode(&w.issue.Grant, r.GetRequestForm())
	if w.sealable() {
		if raw, w.sealed, err = t.engine.seal(&w.issue.Grant, code, w.issue.Epoch); err != nil {
			return "", "", err
		}
	}
	if !w.sealed {
		if raw, err = random(codePrefix); err != nil {
			return "", "", err
		}
	}
	code.Sig = codeHash(raw)
	w.issue.Code, w.rawCode = code, raw
	return raw, string(code.Sig), nil
}

func (t *tokens) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error { return nil }

func (t *tokens) RefreshTokenSignature(_ context.Context, raw string) string {
	if _, _, ok := t.readRefresh(raw); !ok {
		return ""
	}
	return raw
}

func (t *tokens) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (string, string, error) {
	w := workOf(ctx)
	raw, err := t.refreshToken(w.grantID(), w.next)
	return raw, raw, err
}

func (t *tokens) ValidateRefreshToken(context.Context, fosite.Requester, string) error { return nil }

// DeviceCodeSignature, and the rest below, are fosite's rfc8628 strategies. The adapter judges how often a device
// asks (H31): it has the row.
func (t *tokens) DeviceCodeSignature(_ context.Context, raw string) (string, error) {
	return string(hashOf(devicePrefix, raw)), nil
}

func (t *tokens) GenerateDeviceCode(context.Context) (string, string, error) {
	raw, err := random(devicePrefix)
	return raw, string(hashOf(devicePrefix, raw)), err
}

func (t *tokens) ValidateDeviceCode(context.Context, fosite.DeviceRequester, string) error {
	return nil
}
func (t *tokens) ShouldRateLimit(context.Context, string) (bool, error) { return false, nil }
