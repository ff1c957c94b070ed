package client

import (
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeySet = 64 << 10
	maxKeys   = 20
)

// checkKeys judges the client's key set: public keys only (RFC 7591 §2), each of which can be read.
func (m *Metadata) checkKeys(ValidateOptions) error {
	switch {
	case len(m.JWKS) == 0:
		return nil
	case m.JWKSURI != "":
		return refuse("jwks", "and jwks_uri exclude each other")
	case len(m.JWKS) > maxKeySet:
		return refuse("jwks", "must not be larger than %d bytes", maxKeySet)
	}
	members, err := object(m.JWKS)
	if err != nil {
		return refuse("jwks", "%v", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(members["keys"], &list); err != nil || len(list) == 0 || len(list) > maxKeys {
		return refuse("jwks", "must have 1 to %d keys", maxKeys)
	}
	for _, raw := range list {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || !key.Valid() {
			return refuse("jwks", "has a key that cannot be read")
		}
		// A symmetric key is never public; a private one has become known by being sent here.
		if !key.IsPublic() {
			return refuse("jwks", "must hold public keys only")
		}
	}
	return nil
}
