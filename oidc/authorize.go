package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/audit"
)

// flow is a request on its way: everything that a step of it needs.
type flow struct {
	q       *request
	id      string             // the i of its URLs; empty: it has no interaction yet
	in      *grant.Interaction // nil: it has none yet
	logins  []grant.Login
	retried bool
}

// authorize is the authorization endpoint (Core §3.1.2.1), by GET and POST. A POST from anywhere is
// legitimate: there is no check of its origin.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) error {
	v, malformed, err := parameters(w, r)
	if err != nil {
		return p.onPage(w, r, err)
	}
	if i := v.Get("i"); i != "" && r.Method == http.MethodGet && !v.Has("client_id") {
		return p.resume(w, r, i)
	}
	q, bad, err := p.receive(w, r, v, malformed)
	switch {
	case errors.Is(err, errTooMany):
		return p.tooMany(w, r)
	case err != nil:
		return p.onPage(w, r, err)
	case bad != nil:
		return p.sendFault(w, r, q, bad)
	}
	session := p.cfg.Sessions.Hash(r)
	if r.Method == http.MethodPost && session == nil && p.cfg.Sessions.FlowHash(r) == nil {
		return p.park(w, r, q)
	}
	read, err := p.readRequest(r.Context(), session, q.client.ID)
	if err != nil {
		return err
	}
	return p.step(w, r, &flow{q: q, logins: read.Logins}, false)
}

// receive makes a request of what arrived: what it points to is put in its place, then its client and redirect_uri
// are proven, then all else is checked. A refusal goes to the client; an error to the person.
func (p *Provider) receive(w http.ResponseWriter, r *http.Request, v url.Values, malformed bool) (*request, *refusal, error) {
	c, err := p.identify(r, v)
	if err != nil {
		return nil, nil, err
	}
	p.cfg.NoteClient(r, c.ID)
	whole, refused, err := p.unfold(r, c, v)
	if err != nil {
		return nil, nil, err
	}
	q, err := prove(c, whole)
	if err != nil {
		return nil, nil, err
	}
	if refused != nil {
		// The parameters beside a request object that is refused tell at least where the error goes, and how.
		q.take(whole)
		for _, check := range checks[:2] {
			if bad := check(p, r.Context(), q, whole); bad != nil {
				break
			}
		}
		return q, refused, nil
	}
	return q, p.check(r.Context(), q, whole, malformed), nil
}

// park keeps a POST that came without any cookie of ours. Lax cookies are absent on a cross-site POST, so who
// is here shows on the same-site GET alone; this answer therefore sets and deletes none (requirement 84).
func (p *Provider) park(w http.ResponseWriter, r *http.Request, q *request) error {
	id, in := p.interaction(q)
	if !p.mayBegin(r, nil) {
		return p.tooMany(w, r)
	}
	if err := p.cfg.Store.SaveInteraction(r.Context(), in); err != nil {
		return err
	}
	return seeOther(w, "/authorize?i="+id)
}

// resume goes on with a parked request, for the one browser that brings its id first.
func (p *Provider) resume(w http.ResponseWriter, r *http.Request, i string) error {
	in, err := p.readInteraction(r.Context(), i)
	if err != nil {
		return p.onPage(w, r, err)
	}
	if len(in.Binding) == 0 {
		in.Binding = p.cfg.Sessions.Flow(w, r)
		err = p.cfg.Store.BindInteraction(r.Context(), in.Hash, in.Binding)
		if errors.Is(err, grant.ErrGone) {
			err = ErrNoInteraction
		}
		if err != nil {
			return p.onPage(w, r, err)
		}
	} else if !p.bound(r, in) {
		return p.onPage(w, r, ErrNoInteraction)
	}
	f, err := p.restore(r, i, in)
	if err != nil {
		return p.onPage(w, r, err)
	}
	return p.step(w, r, f, false)
}

// step decides, and does what was decided.
func (p *Provider) step(w http.ResponseWriter, r *http.Request, f *flow, approved bool) error {
	known := facts{approved: approved, versions: p.cfg.Versions, logins: f.logins}
	if f.in != nil {
		known.hash, known.chosen = f.in.Hash, f.in.LoginID
	}
	d := decide(f.q, known, p.cfg.Now())
	switch d.outcome {
	case toIssue:
		return p.issue(w, r, f, d.login, approved)
	case toRefuse:
		return p.refuse(w, r, f, d.refusal)
	}
	return p.show(w, r, f, d)
}

// issue writes grant, code and consent (nothing, where a sealed code is all), drops the interaction, and answers the client.
func (p *Provider) issue(w http.ResponseWriter, r *http.Request, f *flow, l *grant.Login, approved bool) error {
	if !p.mayIssue(r, l.Person.AccountID) {
		return p.tooMany(w, r)
	}
	if err := p.cfg.Clients.NoteUse(r.Context(), f.q.client); err != nil {
		return err
	}
	out, err := p.write(r.Context(), f, l, approved)
	var refused *engine.Error
	switch {
	case errors.Is(err, grant.ErrGone):
		return p.again(w, r, f)
	case errors.Is(err, ErrNoInteraction):
		return p.onPage(w, r, err)
	case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
		return p.refuse(w, r, f, &refusal{refused.Code, refused.Description})
	case err != nil:
		return err
	}
	if f.q.narrowed && out.Params.Has("access_token") {
		out.Params.Set("scope", strings.Join(f.q.scopes, " ")) // RFC 6749 §4.2.2: where it is not what was asked for
	}
	if state := p.sessionState(w, r, f.q); state != "" {
		out.Params.Set("session_state", state)
	}
	return p.respond(w, r, f.q, out.Params)
}

// write is the one write of a flow; what a person has approved is recorded in its transaction. A device has nothing of it: it
// comes for its tokens.
func (p *Provider) write(ctx context.Context, f *flow, l *grant.Login, approved bool) (out engine.AuthorizeOutput, err error) {
	in := engine.AuthorizeInput{
		Params: f.q.params, Client: f.q.client, Login: *l, Scopes: f.q.scopes, Audience: f.q.resources,
		ClaimsRequest: f.q.params.Get("claims"), Offline: f.q.offline(), Pushed: f.q.pushed,
		Device: f.q.device, DeviceExpires: f.q.deadline,
	}
	if f.in != nil {
		in.Interaction = f.in.Hash
	}
	issue := func(ctx context.Context) (err error) {
		if f.q.isDevice {
			return p.approveDevice(ctx, in)
		}
		out, err = p.cfg.Engine.Authorize(ctx, in)
		return err
	}
	if approved {
		in.Consent = remember(l, f.q, p.cfg.Now())
		err = p.recorded(ctx, audit.ConsentGranted, f, issue)
	} else {
		err = issue(ctx)
	}
	return out, err
}

// again: between the read and the write somebody signed out, was disabled, or posted the same form twice.
// What holds now is read once more; the yes that was given does not count for it.
func (p *Provider) again(w http.ResponseWriter, r *http.Request, f *flow) error {
	if f.retried {
		return p.onPage(w, r, ErrNoInteraction)
	}
	if f.in != nil {
		in, err := p.readInteraction(r.Context(), f.id)
		if err != nil {
			return p.onPage(w, r, err)
		}
		f.in = in
	}
	read, err := p.readRequest(r.Context(), p.cfg.Sessions.Hash(r), f.q.client.ID)
	if err != nil {
		return err
	}
	f.logins, f.retried = read.Logins, true
	return p.step(w, r, f, false)
}

// refuse ends the interaction and the pushed request, if there are any, and sends the error to the client.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, f *flow, bad *refusal) error {
	if err := p.drop(r.Context(), f); err != nil {
		return p.onPage(w, r, err)
	}
	return p.sendError(w, r, f.q, bad)
}

// sendFault answers a faulty request. RFC 9700 §4.11.2, R11: as long as nobody vouches for the client, a link
// to us must not carry a stranger who is not signed in on to it; such a fault is shown here. prompt=none, which forbids
// every page, is the one exception.
func (p *Provider) sendFault(w http.ResponseWriter, r *http.Request, q *request, bad *refusal) error {
	if q.client.Verified() || strings.TrimSpace(q.params.Get("prompt")) == "none" {
		return p.sendError(w, r, q, bad)
	}
	read, err := p.readRequest(r.Context(), p.cfg.Sessions.Hash(r), q.client.ID)
	switch {
	case err != nil:
		return err
	case len(read.Logins) == 0:
		return p.onPage(w, r, &pageError{http.StatusBadRequest, "error.request_malformed"})
	}
	return p.sendError(w, r, q, bad)
}

// sendError answers the client with an error (RFC 6749 §4.1.2.1). The words are ours alone: nothing of what
// was sent comes back but state (H20).
func (p *Provider) sendError(w http.ResponseWriter, r *http.Request, q *request, bad *refusal) error {
	note(w, bad.code+": "+bad.description)
	return p.respond(w, r, q, url.Values{"error": {bad.code}, "error_description": {client.Plain(bad.description)}})
}

// respond delivers a response in the request's mode, with state exactly as sent (Core §3.1.2.5) and iss
// (RFC 9207 §2) in each.
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, q *request, params url.Values) error {
	if q.isDevice {
		return answerDevice(w, params)
	}
	if q.state != "" {
		params.Set("state", q.state)
	}
	params.Set("iss", p.cfg.Issuer)
	w.Header().Set("Cache-Control", "no-store")
	switch q.mode {
	case modeFormPost:
		p.cfg.Pages.FormPost(w, r, q.redirect, params)
		return nil
	case modeFragment:
		return seeOther(w, q.redirect+"#"+params.Encode())
	}
	return seeOther(w, client.WithQuery(q.redirect, params))
}

// sessionState is what the site compares later to know whether somebody else is here (Session Management §2, §3.2): a
// hash of itself, its origin and the browser's state. Empty for an app, which has no frames.
func (p *Provider) sessionState(w http.ResponseWriter, r *http.Request, q *request) string {
	u, err := url.Parse(q.redirect)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails since Go 1.24
	salted := encoded(salt[:])
	sum := sha256.Sum256([]byte(q.client.ID + " " + client.Origin(u) + " " + p.cfg.Sessions.State(w, r) + " " + salted))
	return encoded(sum[:]) + "." + salted
}

// seeOther is the only redirect there is: 307 and 308 would post a password on (RFC 9700 §4.12, R10).
func seeOther(w http.ResponseWriter, location string) error {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// onPage shows an error that belongs to the person; others are returned.
func (p *Provider) onPage(w http.ResponseWriter, r *http.Request, err error) error {
	var page *pageError
	switch {
	case errors.As(err, &page):
		p.cfg.Pages.Error(w, r, page.status, page.key)
	case errors.Is(err, ErrNoInteraction):
		p.cfg.Pages.Error(w, r, http.StatusBadRequest, "error.interaction_gone")
	default:
		return err
	}
	return nil
}

// client reads a client; nil when there is none.
func (p *Provider) client(ctx context.Context, id string) (*client.Client, error) {
	c, err := p.cfg.Clients.Get(ctx, id)
	if errors.Is(err, client.ErrNotFound) {
		return nil, nil
	}
	return c, err
}

// readBody reads an urlencoded body, which MaxBytesReader bounds.
func readBody(r *http.Request) (string, error) {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return "", &pageError{http.StatusRequestEntityTooLarge, "error.request_too_large"}
	}
	if err != nil {
		return "", &pageError{http.StatusBadRequest, "error.request_malformed"}
	}
	return string(body), nil
}
