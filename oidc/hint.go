package oidc

import (
	"encoding/json"
	"errors"
	"strings"
)

// errHint: it is no ID token of ours.
var errHint = errors.New("not an ID token of this server")

// readHint proves an id_token_hint and returns whom it is about (Core §3.1.2.1; G14). It may have expired and
// be made for another client; signature, issuer and kind must be ours.
func (p *Provider) readHint(raw string) (sub string, err error) {
	if len(raw) > maxHint {
		return "", errHint
	}
	payload, typ, err := p.cfg.Keys.Verify(raw)
	if err != nil {
		return "", err
	}
	// A logout token or a JWT access token is signed with the same keys and proves nothing of the kind.
	if typ != "" && !strings.EqualFold(typ, "JWT") {
		return "", errHint
	}
	var claims struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Issuer != p.cfg.Issuer || claims.Subject == "" {
		return "", errHint
	}
	return claims.Subject, nil
}
