package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Algs are the signature algorithms, in the order of the key set: a relying party that takes the first key
// finds the one that OIDC Core 15.1 makes every provider have.
var Algs = []string{string(jose.RS256), string(jose.PS256), string(jose.ES256), string(jose.EdDSA)}

// rsaBits: NIST SP 800-57 allows 2048 until 2030; signing with 3072 costs three times as much.
const rsaBits = 2048

// Key is one that signs. Safe for concurrent use.
type Key struct {
	KID, Alg string
	Private  crypto.Signer
	Public   crypto.PublicKey

	signers sync.Map // typ → jose.Signer, each made once
}

// Sign makes a compact JWS (RFC 7515) of claims, which is marshalled as JSON unless it is []byte. The header
// has alg, kid and, unless it is empty, typ.
func (k *Key) Sign(claims any, typ string) (string, error) {
	payload, raw := claims.([]byte)
	if !raw {
		var err error
		if payload, err = json.Marshal(claims); err != nil {
			return "", fmt.Errorf("marshal claims: %w", err)
		}
	}
	signer, err := k.signer(typ)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", k.Alg, err)
	}
	return signed.CompactSerialize()
}

func (k *Key) signer(typ string) (jose.Signer, error) {
	if s, ok := k.signers.Load(typ); ok {
		return s.(jose.Signer), nil
	}
	opts := &jose.SignerOptions{}
	if typ != "" {
		opts.WithType(jose.ContentType(typ))
	}
	key := jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(k.Alg),
		Key:       jose.JSONWebKey{Key: k.Private, KeyID: k.KID},
	}
	s, err := jose.NewSigner(key, opts)
	if err != nil {
		return nil, fmt.Errorf("make a signer for %s: %w", k.Alg, err)
	}
	kept, _ := k.signers.LoadOrStore(typ, s)
	return kept.(jose.Signer), nil
}

// The private half must not come into a log by accident.

func (k *Key) String() string               { return k.Alg + " key " + k.KID }
func (k *Key) GoString() string             { return k.String() }
func (k *Key) LogValue() slog.Value         { return slog.StringValue(k.String()) }
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// generate makes a key pair for an algorithm.
func generate(alg string) (crypto.Signer, error) {
	switch jose.SignatureAlgorithm(alg) {
	case jose.RS256, jose.PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("no keys are made for %q", alg)
}

// newRow makes a key and seals it. Its id is the RFC 7638 thumbprint: PS256 has its own RSA key, so no two
// keys share one.
func newRow(s *Sealer, alg, state string, now, active time.Time) (Row, error) {
	private, err := generate(alg)
	if err != nil {
		return Row{}, fmt.Errorf("make a %s key: %w", alg, err)
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: alg, Use: "sig"}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return Row{}, fmt.Errorf("name a %s key: %w", alg, err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(print)
	if public.KeyID[0] == '-' { // one in 64 would read as a flag in `passport keys retire KID`
		return newRow(s, alg, state, now, active)
	}
	publicJSON, err := public.MarshalJSON()
	if err != nil {
		return Row{}, fmt.Errorf("encode a %s key: %w", alg, err)
	}
	secret := jose.JSONWebKey{Key: private, KeyID: public.KeyID, Algorithm: alg, Use: "sig"}
	privateJSON, err := secret.MarshalJSON()
	if err != nil {
		return Row{}, fmt.Errorf("encode a %s key: %w", alg, err)
	}
	sealed, err := s.Seal("signing_key", "sealed", public.KeyID, privateJSON)
	if err != nil {
		return Row{}, fmt.Errorf("seal a %s key: %w", alg, err)
	}
	return Row{KID: public.KeyID, Purpose: Purpose, Alg: alg, State: state, Public: string(publicJSON),
		Sealed: sealed, CreatedAt: now, ActiveAt: active}, nil
}

// openRow makes a Key out of a row, and proves that its two halves belong together.
func openRow(s *Sealer, r Row) (*Key, error) {
	plain, err := s.Open("signing_key", "sealed", r.KID, r.Sealed)
	if err != nil {
		return nil, err
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(plain); err != nil {
		return nil, fmt.Errorf("read the %s key %s: %w", r.Alg, r.KID, ErrSealed)
	}
	private, ok := jwk.Key.(crypto.Signer)
	if !ok || jwk.KeyID != r.KID || jwk.Algorithm != r.Alg {
		return nil, fmt.Errorf("read the %s key %s: %w", r.Alg, r.KID, ErrSealed)
	}
	if k, ok := private.(*rsa.PrivateKey); ok {
		k.Precompute() // the CRT values: four times as fast
	}
	public, err := openPublic(r)
	if err != nil {
		return nil, err
	}
	if same, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(public.Key) {
		// Whoever can write to the database must not publish a key of his own under our key id.
		return nil, fmt.Errorf("the public half of the %s key %s is another key's: %w", r.Alg, r.KID, ErrSealed)
	}
	return &Key{KID: r.KID, Alg: r.Alg, Private: private, Public: public.Key}, nil
}

func openPublic(r Row) (jose.JSONWebKey, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON([]byte(r.Public)); err != nil {
		return jwk, fmt.Errorf("read the public key %s: %w", r.KID, err)
	}
	if !jwk.Valid() || !jwk.IsPublic() {
		return jwk, errors.New("the public key " + r.KID + " is not one")
	}
	jwk.KeyID, jwk.Algorithm, jwk.Use = r.KID, r.Alg, "sig"
	return jwk, nil
}

// byAlg orders algorithms as the key set has them.
func byAlg(a, b string) int { return slices.Index(Algs, a) - slices.Index(Algs, b) }
