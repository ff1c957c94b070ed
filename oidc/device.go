package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/limit"
)

const (
	deviceLife  = 10 * time.Minute
	devicePause = 5 // seconds between two polls (RFC 8628 §3.2)

	// The user code: 20^8 of them, easy to type on anything and without vowels, so that they spell nothing (§6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// ErrNoDevice: no device waits under this code.
var ErrNoDevice = errors.New("no device waits under this code")

// deviceAnswer is the answer of the device authorization endpoint (RFC 8628 §3.2).
type deviceAnswer struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

// deviceAuthorization is the device authorization endpoint (RFC 8628 §3.1).
func (p *Provider) deviceAuthorization(w http.ResponseWriter, r *http.Request) error {
	authn, err := p.caller(w, r)
	if err != nil {
		return fail(w, err)
	}
	c := authn.Client
	if !c.HasGrantType(client.GrantDevice) {
		return fail(w, engine.Refuse(engine.UnauthorizedClient, "This client is not registered for the device grant."))
	}
	v := url.Values{"client_id": {c.ID}, "scope": {r.PostForm.Get("scope")}, "resource": r.PostForm["resource"]}
	q := &request{params: url.Values{"client_id": {c.ID}, "scope": v["scope"]}, client: c, maxAge: -1, isDevice: true}
	for _, check := range deviceChecks {
		if bad := check(p, r.Context(), q, v); bad != nil {
			return fail(w, engine.Refuse(bad.code, bad.description))
		}
	}
	if c.Stranger() && !p.mayBegin(r, nil) {
		return fail(w, tooManyRows)
	}
	d, code, shown, err := p.newDevice(r.Context(), q)
	if err != nil {
		return fail(w, err)
	}
	uri := p.cfg.Issuer + "/device"
	return reply(w, http.StatusOK, deviceAnswer{
		DeviceCode: code, UserCode: shown, VerificationURI: uri, Complete: uri + "?user_code=" + url.QueryEscape(shown),
		ExpiresIn: int64(d.ExpiresAt.Sub(d.CreatedAt).Seconds()), Interval: d.Pause,
	})
}

// deviceChecks are those of checks that a device's request has something for.
var deviceChecks = []func(p *Provider, ctx context.Context, q *request, v url.Values) *refusal{
	(*Provider).checkScope, (*Provider).checkResources,
}

// newDevice writes a device under a code that no other has.
func (p *Provider) newDevice(ctx context.Context, q *request) (d grant.Device, code, shown string, err error) {
	for range 3 {
		var sig []byte
		if code, sig, err = p.cfg.Engine.NewDeviceCode(); err != nil {
			return d, "", "", err
		}
		if shown, err = newUserCode(); err != nil {
			return d, "", "", err
		}
		now := p.cfg.Now()
		d = grant.Device{Sig: sig, UserCode: p.userCodeHash(shown), ClientID: q.client.ID, Params: q.params.Encode(),
			State: grant.DevicePending, Pause: devicePause, CreatedAt: now, ExpiresAt: now.Add(deviceLife)}
		if err = p.cfg.Store.SaveDevice(ctx, d); !errors.Is(err, grant.ErrExists) {
			return d, code, shown, err
		}
	}
	return d, "", "", fmt.Errorf("draw a user code: %w", err)
}

// newUserCode draws one, in two groups.
func newUserCode() (string, error) {
	letters := make([]byte, 0, userCodeLength+1)
	for i := range userCodeLength {
		if i == userCodeLength/2 {
			letters = append(letters, '-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			return "", err
		}
		letters = append(letters, userCodeLetters[n.Int64()])
	}
	return string(letters), nil
}

// userCodeHash is what a row has of a user code, as it is typed: in whatever case, with or without its dash (RFC 8628
// §6.1). It is keyed: so short a code could be guessed from a plain hash. nil: it cannot be one.
func (p *Provider) userCodeHash(typed string) []byte {
	if len(typed) > 64 {
		return nil
	}
	letters := strings.Map(func(c rune) rune {
		if c == '-' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToUpper(typed))
	if len(letters) != userCodeLength || strings.Trim(letters, userCodeLetters) != "" {
		return nil
	}
	mac := hmac.New(sha256.New, p.cfg.Keys.Secret(keys.SecretDevice))
	mac.Write([]byte("user code\x00" + letters))
	return mac.Sum(nil)
}

// Device goes on for whoever typed a device's code: to sign in where that is needed, and always to the page that names
// the client and asks. ErrNoDevice when none waits under the code; a *limit.Limited when that was tried too often.
func (p *Provider) Device(w http.ResponseWriter, r *http.Request, typed string) error {
	d, err := p.findDevice(r, typed)
	if err != nil {
		return err
	}
	c, err := p.client(r.Context(), d.ClientID)
	if err != nil {
		return err
	}
	v, err := url.ParseQuery(d.Params)
	if err != nil {
		return err
	}
	v.Set(deviceParam, encoded(d.Sig))
	v.Set(userCodeParam, grouped(typed))
	v.Set(deadlineParam, strconv.FormatInt(d.ExpiresAt.Unix(), 10))
	if c == nil || !c.Enabled() {
		return ErrNoDevice
	}
	q := p.deviceRequest(r.Context(), c, v)
	if q == nil {
		return ErrNoDevice
	}
	read, err := p.readRequest(r.Context(), p.cfg.Sessions.Hash(r), c.ID)
	if err != nil {
		return err
	}
	return p.step(w, r, &flow{q: q, logins: read.Logins}, false)
}

// grouped is a code as the device shows it.
func grouped(typed string) string {
	letters := strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(typed))
	return letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:]
}

// findDevice looks a typed code up. Each try is counted before the look, and given back when it was right: a code is
// short, and must not be found by trying (RFC 8628 §5.1).
func (p *Provider) findDevice(r *http.Request, typed string) (d grant.Device, err error) {
	ip, limited := p.cfg.ClientIP(r), p.cfg.Limits != nil
	if limited {
		if err := p.cfg.Limits.TakeNetwork(r.Context(), ip, limit.DeviceIP, limit.DeviceNet); err != nil {
			return d, err
		}
	}
	hash := p.userCodeHash(typed)
	if hash == nil {
		return d, ErrNoDevice
	}
	d, err = p.cfg.Store.ReadDevice(r.Context(), hash)
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return d, ErrNoDevice
	case err != nil:
		return d, err
	case d.State != grant.DevicePending:
		return d, ErrNoDevice
	}
	if limited {
		return d, p.cfg.Limits.RefundNetwork(r.Context(), ip, limit.DeviceIP, limit.DeviceNet)
	}
	return d, nil
}

// deviceRequest makes a request out of a device's row; nil when its time is over, or the client may not ask for it any
// more.
func (p *Provider) deviceRequest(ctx context.Context, c *client.Client, v url.Values) *request {
	until, err := strconv.ParseInt(v.Get(deadlineParam), 10, 64)
	q := &request{params: url.Values{"client_id": {c.ID}}, client: c, maxAge: -1,
		isDevice: true, device: decoded(v.Get(deviceParam)), userCode: v.Get(userCodeParam), deadline: time.Unix(until, 0).UTC()}
	if err != nil || q.device == nil || !c.HasGrantType(client.GrantDevice) || !p.cfg.Now().Before(q.deadline) {
		return nil
	}
	for _, name := range []string{"scope", deviceParam, userCodeParam, deadlineParam} {
		if s := v.Get(name); s != "" {
			q.params.Set(name, s)
		}
	}
	for _, check := range deviceChecks {
		if check(p, ctx, q, v) != nil {
			return nil
		}
	}
	return q
}

// approveDevice ends the device's waiting and issues what it gets, in one transaction.
func (p *Provider) approveDevice(ctx context.Context, in engine.AuthorizeInput) error {
	return p.cfg.Store.InTx(ctx, func(ctx context.Context) error {
		if err := p.settle(ctx, in.Device, grant.DeviceApproved); err != nil {
			return err
		}
		return p.cfg.Engine.Approve(ctx, in)
	})
}

// settle ends a device's waiting. ErrNoInteraction: somebody has answered before, in another tab or browser, and that
// answer stands.
func (p *Provider) settle(ctx context.Context, device []byte, state string) error {
	err := p.cfg.Store.SettleDevice(ctx, device, state)
	if errors.Is(err, grant.ErrGone) {
		return ErrNoInteraction
	}
	return err
}

// answerDevice is respond for a device: the device asks for its answer itself, and the person is told.
func answerDevice(w http.ResponseWriter, params url.Values) error {
	if params.Has("error") {
		return seeOther(w, "/device/done?denied=1")
	}
	return seeOther(w, "/device/done")
}

// tooManyRows answers a stranger's program that leaves too many rows behind: whoever may register draws secrets, too.
var tooManyRows = &limit.Limited{Rule: interactionNetwork.Name, Retry: 30 * time.Second}
