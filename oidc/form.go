package oidc

import (
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/pkg/limit"
)

// postForm reads the parameters of a POST to a JSON endpoint into r.PostForm, judging sizes and shape before
// anything looks into them (D1, D5, H09). A parameter without a value counts as absent (RFC 6749 §3.2).
func postForm(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		// Secrets and codes in a URL end in logs (RFC 6749 §2.3.1).
		return engine.Refuse(engine.InvalidRequest, "Parameters belong into the body, not into the URL.")
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if err := checkForm(r.PostForm); err != nil {
		return err
	}
	for name, values := range r.PostForm {
		if len(values) == 1 && values[0] == "" {
			delete(r.PostForm, name)
		}
	}
	return nil
}

func readForm(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Content-Encoding") != "" { // D7: nothing is unpacked
		return &engine.Error{Code: engine.InvalidRequest, Description: "Compressed bodies are not read.", Status: http.StatusUnsupportedMediaType}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return engine.Refuse(engine.InvalidRequest, "The body must be application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err = r.ParseForm()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &engine.Error{Code: engine.InvalidRequest, Description: "The body is too large.", Status: http.StatusRequestEntityTooLarge}
	} else if err != nil {
		return engine.Refuse(engine.InvalidRequest, "The body is malformed.")
	}
	return nil
}

// checkForm refuses what no parameter of these endpoints may be.
func checkForm(form url.Values) error {
	if len(form) > maxParams {
		return engine.Refuse(engine.InvalidRequest, "There are too many parameters.")
	}
	for name, values := range form {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return engine.Refuse(engine.InvalidRequest, "A parameter is there twice.") // RFC 6749 §3.2
		}
		for _, s := range append(values, name) {
			if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
				return engine.Refuse(engine.InvalidRequest, "A parameter is not text.")
			}
		}
	}
	scope := form.Get("scope")
	if len(scope) > maxScope || len(strings.Fields(scope)) > maxScopes || len(form.Get("client_id")) > client.MaxID {
		return engine.Refuse(engine.InvalidRequest, "A parameter is too long.")
	}
	return nil
}

// authenticate proves who the client is. The limits stand in this order: in the process for whoever asks; in the
// database, for all replicas, only after a failure.
func (p *Provider) authenticate(r *http.Request) (client.Authn, error) {
	authn, err := p.cfg.Clients.Authenticate(r)
	failure := (*client.AuthError)(nil)
	if !errors.As(err, &failure) {
		return authn, err
	}
	if c, err := p.client(r.Context(), failure.ClientID); err == nil && c != nil {
		p.cfg.NoteClient(r, c.ID) // claimed only, but not made up: who runs it wants to find its line
	}
	if p.cfg.Limits == nil {
		return authn, err
	}
	ip := p.cfg.ClientIP(r)
	if p.cfg.Limits.Exempted(ip) {
		return authn, err
	}
	if e := p.cfg.Limits.TakeNetwork(r.Context(), ip, limit.ClientAuthIP, limit.ClientAuthNet); e != nil {
		return authn, e
	}
	network, _ := p.cfg.Limits.Network(ip)
	if e := p.cfg.Limits.Take(r.Context(), limit.ClientAuth, failure.ClientID, network); e != nil {
		return authn, e
	}
	return authn, err
}

// caller is the client that calls a JSON endpoint: within its network's limit, with a form in the body, proven.
// A client that is known and has proved its secret costs its network nothing: a busy site is no flood.
func (p *Provider) caller(w http.ResponseWriter, r *http.Request) (client.Authn, error) {
	if err := p.admit(r); err != nil {
		return client.Authn{}, err
	}
	if err := postForm(w, r); err != nil {
		return client.Authn{}, err
	}
	authn, err := p.authenticate(r)
	if err != nil {
		return authn, err
	}
	p.cfg.NoteClient(r, authn.Client.ID)
	if !authn.Client.Stranger() {
		p.forgive(r)
	}
	return authn, nil
}

// admit is the in-process limit of the JSON endpoints: it costs no database anything.
func (p *Provider) admit(r *http.Request) error {
	ip := p.cfg.ClientIP(r)
	if p.cfg.Limits == nil || p.cfg.Limits.Exempted(ip) {
		return nil
	}
	if !p.endpoints.Allow(narrow(p.cfg.Limits, ip)) {
		return &limit.Limited{Rule: limit.Endpoint.Name, Retry: time.Second}
	}
	return nil
}

// forgive gives back what admit took.
func (p *Provider) forgive(r *http.Request) {
	if ip := p.cfg.ClientIP(r); p.cfg.Limits != nil && !p.cfg.Limits.Exempted(ip) {
		p.endpoints.Refund(narrow(p.cfg.Limits, ip))
	}
}

func narrow(l *limit.Limiter, ip netip.Addr) string {
	network, _ := l.Network(ip)
	return network
}
