package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Sign makes a JWT for the client with the algorithm that it registered for it: signed with the server's key, or for
// HS* with the client's own secret (OpenID Connect Core §10.1).
func (r *Registry) Sign(c *Client, alg string, claims any, typ string) (string, error) {
	if !strings.HasPrefix(alg, "HS") {
		key, err := r.cfg.Keys.Signer(alg)
		if err != nil {
			return "", err
		}
		return key.Sign(claims, typ)
	}
	secrets := r.values(c)
	if len(secrets) == 0 {
		return "", errors.New("sign with a client secret: there is none whose value is known")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("marshal claims: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: secrets[0]},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", fmt.Errorf("sign with a client secret: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with a client secret: %w", err)
	}
	return signed.CompactSerialize()
}
