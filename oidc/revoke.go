package oidc

import (
	"net/http"

	"github.com/passport-network/passport/oidc/engine"
)

// revoke is the revocation endpoint (RFC 7009). An access token ends alone, a refresh token ends its grant. A
// token that is unknown, or another client's, is answered like one that was revoked; only a database that failed
// is not, for then the token may live on (H07).
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	token := r.PostForm.Get("token")
	if token == "" {
		return fail(w, engine.Refuse(engine.InvalidRequest, "The token is missing."))
	}
	if err := p.cfg.Engine.Revoke(r.Context(), token, authn.Client); err != nil {
		return fail(w, err)
	}
	neverStored(w.Header())
	w.WriteHeader(http.StatusOK)
	return nil
}
