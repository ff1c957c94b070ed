package oidc

import (
	"net/http"
	"time"
)

// jwks serves the key set (RFC 7517 §5), for as long as a new key is published before it signs.
func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) error {
	keys := p.cfg.Keys
	set := document{"application/jwk-set+json", keys.KeySet(), keys.ETag()}
	return serve(w, r, set, int(keys.MaxAge()/time.Second))
}
