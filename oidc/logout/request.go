package logout

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/keys"
)

const (
	maxURL   = 16 << 10
	maxBody  = 64 << 10
	maxState = 2 << 10
	maxURI   = 2 << 10
	formLife = 30 * time.Minute
)

// request is a wish to sign out, as far as it holds. It travels in our forms and redirects as a signed token,
// so that strangers leave no rows behind.
type request struct {
	Client   string   `json:"c,omitempty"`   // who asks; empty: nobody that is known
	Redirect string   `json:"u,omitempty"`   // registered by that client, exactly
	State    string   `json:"s,omitempty"`   // for Redirect alone
	Proven   bool     `json:"p,omitempty"`   // an ID token of ours came with it
	Own      bool     `json:"o,omitempty"`   // which that client can have signed itself (HS256)
	Sub      string   `json:"sub,omitempty"` // whom that was about
	SID      string   `json:"sid,omitempty"`
	Locales  string   `json:"l,omitempty"`
	Login    string   `json:"id,omitempty"` // what a yes ends; empty: the browser
	Ended    []string `json:"d,omitempty"`  // logins that have ended in this browser: /logout/done reports on them
	Far      []string `json:"f,omitempty"`  // and those in other ones
	Stay     Stay     `json:"y,omitempty"`
	Browser  []byte   `json:"b,omitempty"` // hash of the session cookie that the page was shown to
	Expires  int64    `json:"e"`
}

// refused is an error for the person.
type refused struct {
	status int
	key    string
}

func (e *refused) Error() string { return "refused on a page: " + e.key }

// parameters reads those of a query, or of a body and the query together.
func parameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	malformed := &refused{http.StatusBadRequest, "error.request_malformed"}
	if len(r.URL.RequestURI()) > maxURL {
		return nil, &refused{http.StatusRequestURITooLong, "error.request_too_large"}
	}
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, malformed
	}
	if r.Method == http.MethodPost {
		posted, err := body(w, r)
		if err != nil {
			return nil, err
		}
		for name, values := range posted {
			v[name] = append(v[name], values...)
		}
	}
	for name, values := range v {
		if len(values) > 1 || !clean(name) || !clean(values[0]) {
			return nil, malformed
		}
	}
	return v, nil
}

func body(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") || r.Header.Get("Content-Encoding") != "" {
		return nil, &refused{http.StatusUnsupportedMediaType, "error.request_malformed"}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &refused{http.StatusRequestEntityTooLarge, "error.request_too_large"}
	}
	posted, bad := url.ParseQuery(string(raw))
	if err != nil || bad != nil {
		return nil, &refused{http.StatusBadRequest, "error.request_malformed"}
	}
	return posted, nil
}

func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c == 0x7f })
}

// read makes a request of parameters. What does not hold is left out, not refused: a person who wants to sign
// out is shown the question, and never sent anywhere that was not proven (RP-Initiated Logout §2–4).
func (l *Logout) read(ctx context.Context, v url.Values) (request, error) {
	q := request{Locales: v.Get("ui_locales"), Expires: l.cfg.Now().Add(formLife).Unix()}
	if len(q.Locales) > 256 {
		q.Locales = ""
	}
	id, raw := v.Get("client_id"), v.Get("id_token_hint")
	if raw != "" {
		h, err := l.cfg.Clients.ReadHint(ctx, raw)
		switch {
		case errors.Is(err, client.ErrHint), err == nil && id != "" && !slices.Contains(h.Audience, id):
			return q, nil // §4: altered, unsigned, another's: it identifies nobody, and neither does what stands beside it
		case err != nil:
			return q, err
		case id == "" && len(h.Audience) == 1:
			id = h.Audience[0]
		}
		q.Proven, q.Own, q.Sub, q.SID = true, h.Own, h.Subject, h.SID
	}
	c, err := l.client(ctx, id)
	if c == nil || err != nil {
		q.Proven = false
		return q, err
	}
	q.Client = c.ID
	uri, state := v.Get("post_logout_redirect_uri"), v.Get("state")
	if uri != "" && len(uri) <= maxURI && len(state) <= maxState && c.MatchPostLogout(uri) {
		q.Redirect, q.State = uri, state
	}
	return q, nil
}

// client finds an enabled client; nil when there is none.
func (l *Logout) client(ctx context.Context, id string) (*client.Client, error) {
	c, err := l.cfg.Clients.Get(ctx, id)
	if errors.Is(err, client.ErrNotFound) || err == nil && !c.Enabled() {
		return nil, nil
	}
	return c, err
}

// What a sealed request is for. One of another kind is none: each carries what the other must not be told.
const (
	toAsk  = "ask"  // a wish, in the form of the question and on the way to it
	toShow = "done" // a report, on /logout/done
)

// seal makes the token of a request, open reads it; not ok when it is not ours, of another kind or too old.
func (l *Logout) seal(kind string, q request) string {
	var payload bytes.Buffer
	enc := json.NewEncoder(&payload)
	enc.SetEscapeHTML(false) // six bytes for a < in state would outgrow the URL
	if enc.Encode(q) != nil {
		return "" // strings, bytes and numbers only: it cannot fail
	}
	text := base64.RawURLEncoding.EncodeToString(payload.Bytes())
	return text + "." + base64.RawURLEncoding.EncodeToString(l.sign(kind, text))
}

func (l *Logout) open(kind, token string) (q request, ok bool) {
	text, mac, _ := strings.Cut(token, ".")
	sum, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(sum, l.sign(kind, text)) {
		return request{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(payload, &q) != nil || l.cfg.Now().Unix() >= q.Expires {
		return request{}, false
	}
	return q, true
}

func (l *Logout) sign(kind, text string) []byte {
	mac := hmac.New(sha256.New, l.cfg.Keys.Secret(keys.SecretForm))
	mac.Write([]byte("logout " + kind + "\x00" + text)) // the purpose: a form's token of another room is none here
	return mac.Sum(nil)
}
