package oidc

import "net/http"

// token is the token endpoint (RFC 6749 §3.2; OpenID Connect Core §3.1.3, §12).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	if r.PostForm.Get("grant_type") == "client_credentials" { // no person stands behind this row
		if authn.Client.Stranger() && !p.mayBegin(r, nil) {
			return fail(w, tooManyRows)
		}
		if err := p.cfg.Clients.NoteUse(r.Context(), authn.Client); err != nil {
			return fail(w, err)
		}
	}
	out, err := p.cfg.Engine.Exchange(r.Context(), r, authn)
	if err != nil {
		return fail(w, err)
	}
	return reply(w, http.StatusOK, out)
}
