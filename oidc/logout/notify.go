package logout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/pkg/outbox"
)

// JobKind is the kind of the outbox's jobs that are this room's.
const JobKind = "logout"

const (
	tokenLife = 2 * time.Minute // of a logout token (Back-Channel Logout §2.4)
	atOnce    = 32              // calls at the same time
)

// backchannelEvent is what a logout token says has happened.
const backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// NotifierConfig is what a Notifier is made of.
type NotifierConfig struct {
	Issuer   string
	Store    NoticeStore
	Clients  *client.Registry
	Outbound *outbound.Client
	Queue    *outbox.Queue
	Now      func() time.Time
	Logger   *slog.Logger
}

// Notifier tells the sites that somebody was signed in at that the login is over (OpenID Connect Back-Channel
// Logout 1.0), after the answer to the person and until they have heard it.
type Notifier struct {
	cfg   NotifierConfig
	calls calls
}

// NewNotifier makes a Notifier and sets it up as the queue's handler of its jobs.
func NewNotifier(cfg NotifierConfig) (*Notifier, error) {
	if cfg.Issuer == "" || cfg.Store == nil || cfg.Clients == nil || cfg.Outbound == nil || cfg.Queue == nil || cfg.Now == nil || cfg.Logger == nil {
		return nil, errors.New("logout: Issuer, Store, Clients, Outbound, Queue, Now and Logger are needed to tell sites")
	}
	n := &Notifier{cfg: cfg}
	cfg.Queue.Handle(JobKind, atOnce, n.Deliver)
	return n, nil
}

// Ended puts the telling into the outbox, in the transaction in which the logins end: session.Config.Ended. Each site
// is a job of its own, so that none waits for another. It holds what is to be told: when it is done, the account may be
// gone.
func (n *Notifier) Ended(ctx context.Context, loginIDs []string) error {
	visits, err := n.cfg.Store.Visits(ctx, loginIDs)
	if err != nil {
		return err
	}
	for _, v := range visits {
		body, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("note a sign-out: %w", err)
		}
		if err := n.cfg.Queue.Put(ctx, outbox.Job{Kind: JobKind, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// Deliver tells a site of a sign-out. An error puts it off; a site that was told is not told again, so that a job that
// is done twice does no harm.
func (n *Notifier) Deliver(ctx context.Context, j outbox.Job) error {
	var v Visit
	if err := json.Unmarshal(j.Body, &v); err != nil {
		return outbox.Permanent(outbox.Failure("malformed", err))
	}
	current, err := n.cfg.Store.Visits(ctx, []string{v.LoginID})
	if err != nil {
		return err
	}
	for _, is := range current {
		if is.ClientID == v.ClientID {
			v.Notice = is.Notice // what has become of it since the job was put
		}
	}
	if v.Notice == Told || v.Notice == Failed {
		return nil
	}
	return n.tell(ctx, v)
}

// tell tells one site, and notes what became of it.
func (n *Notifier) tell(ctx context.Context, v Visit) error {
	c, err := n.cfg.Clients.Get(ctx, v.ClientID)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return nil
	case err != nil:
		return err
	case c.Metadata.BackchannelLogoutURI == "":
		return nil
	}
	req, err := n.request(ctx, c, v)
	if err != nil {
		return outbox.Failure("sign", err)
	}
	if !n.calls.begin(c.ID, n.cfg.Now()) {
		return outbox.Failure("silent", errors.New("the site is busy, or did not answer a moment ago"))
	}
	status, err := n.call(c.ID, req)
	notice := Trying
	switch {
	case outbound.Forbidden(err):
		notice = Failed // an address that we never call: it cannot be told
		n.cfg.Logger.WarnContext(ctx, "a site cannot be told of a sign-out: its backchannel_logout_uri is not one that we may call",
			"client", c.ID, "reason", outbound.Reason(err))
		err = nil
	case err != nil:
		err = outbox.Failure(outbound.Reason(err), err)
	case status >= 200 && status < 300:
		notice = Told
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		// §2.8: it says that it will not. Asking again would not change that.
		notice = Failed
	default:
		err = outbox.Failure("status", fmt.Errorf("the site answered %d", status))
	}
	if noted := n.cfg.Store.SetNotice(ctx, v.LoginID, v.ClientID, notice, n.cfg.Now()); noted != nil {
		return noted
	}
	return err
}

// call makes a call for which a place was taken, and gives the place back.
func (n *Notifier) call(clientID string, req *http.Request) (status int, err error) {
	answered := false
	defer func() { n.calls.end(clientID, answered, n.cfg.Now()) }()
	status, err = n.cfg.Outbound.Status(req)
	answered = err == nil || outbound.Forbidden(err)
	return status, err
}

// request carries a logout token (§2.5). Each attempt has a token of its own: an old one would have expired.
func (n *Notifier) request(ctx context.Context, c *client.Client, v Visit) (*http.Request, error) {
	token, err := n.token(c, v)
	if err != nil {
		return nil, err
	}
	body := url.Values{"logout_token": {token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Metadata.BackchannelLogoutURI, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

// token makes a logout token (§2.4): signed as the client's ID tokens are, with the subject and, for a client that
// asked for it, the session id that those have; never with a nonce.
func (n *Notifier) token(c *client.Client, v Visit) (string, error) {
	now := n.cfg.Now()
	claims := map[string]any{
		"iss": n.cfg.Issuer, "aud": c.ID, "sub": n.cfg.Clients.Subject(c, v.Sub),
		"iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "jti": uuid.NewString(),
		"events": map[string]any{backchannelEvent: struct{}{}},
	}
	if c.KnowsSessions() {
		claims["sid"] = v.SID
	}
	return n.cfg.Clients.Sign(c, c.IDTokenAlg(), claims, "logout+jwt")
}
