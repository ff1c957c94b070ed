package keys

import (
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// ErrNotOurs says that something shown to us was not signed by this server.
var ErrNotOurs = errors.New("not signed by this server")

// MaxToken bounds what is parsed (security case G14), and so what may be signed to be shown to us later, in bytes: an
// ID token with all the claims that an account can have is smaller, and no longer access token is issued.
const MaxToken = 16 << 10

// algorithms that Verify accepts; a token whose header names another (none, HS256) is not even parsed.
var algorithms = func() (list []jose.SignatureAlgorithm) {
	for _, alg := range Algs {
		list = append(list, jose.SignatureAlgorithm(alg))
	}
	return list
}()

// Verify checks a compact JWS that this server has signed, now or with a key that was rotated out since
// (H19), and returns its payload and typ. ErrNotOurs for anything else. Times in it are the caller's question.
func (r *Ring) Verify(raw string) (payload []byte, typ string, err error) {
	if len(raw) > MaxToken {
		return nil, "", fmt.Errorf("%w: too long", ErrNotOurs)
	}
	// ParseSigned refuses crit headers that it does not know, and everything that is not three segments.
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, "", fmt.Errorf("%w: no JWS", ErrNotOurs)
	}
	header := jws.Signatures[0].Protected
	key, ok := r.Public(header.KeyID)
	// RFC 8725 §3.1: the algorithm is the key's, never the one that the token names.
	if !ok || key.Algorithm != header.Algorithm {
		return nil, "", fmt.Errorf("%w: unknown key", ErrNotOurs)
	}
	if payload, err = jws.Verify(key); err != nil {
		return nil, "", fmt.Errorf("%w: wrong signature", ErrNotOurs)
	}
	typ, _ = header.ExtraHeaders[jose.HeaderType].(string)
	return payload, typ, nil
}
