package human

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbound"
)

const (
	// verifyTime is how long a service may take to judge an answer (A21).
	verifyTime = 3 * time.Second
	// verifyBody is what is read of what it says: a few hundred bytes (A21: not a megabyte).
	verifyBody = 16 << 10
	// maxToken is longer than the answer of any service.
	maxToken = 12 << 10
	// tokenBytes are what the answers of services are made of: nothing that a firewall or a parser before one stumbles over.
	tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/=~:"
	// skew is how far the clock of a service may be from ours.
	skew = 2 * time.Minute
)

// Service is how a page shows the check of a service.
type Service struct {
	Vendor  string // one of Vendors
	Script  string // the address of its script
	Class   string // of the element that it fills; empty: it shows nothing, and Field is ours to fill
	Field   string // of the form, with its answer
	SiteKey string
	Action  string // what the answer is for: the form's name
	Data    string // what the answer must bring back, where the service can
	// Sources are what the page's policy must let in, by directive.
	Sources map[string][]string
}

// vendor is what differs between the services.
type vendor struct {
	verify, script, class, field string
	names                        bool // its answers say which form they are for (action)
	binds                        bool // … and bring our own data back (cdata)
	scores                       bool // it shows nothing, and judges by a score
	sources                      map[string][]string
}

var google = map[string][]string{
	"script-src":  {"https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"},
	"frame-src":   {"https://www.google.com/recaptcha/", "https://recaptcha.google.com/recaptcha/"},
	"connect-src": {"https://www.google.com/recaptcha/"},
}

// vendors are the services that we know, as their documentation had them in 2025:
// developers.cloudflare.com/turnstile, docs.hcaptcha.com, developers.google.com/recaptcha.
var vendors = map[string]vendor{
	"turnstile": {verify: "https://challenges.cloudflare.com/turnstile/v0/siteverify", script: "https://challenges.cloudflare.com/turnstile/v0/api.js",
		class: "cf-turnstile", field: "cf-turnstile-response", names: true, binds: true, sources: map[string][]string{
			"script-src": {"https://challenges.cloudflare.com"}, "frame-src": {"https://challenges.cloudflare.com"}}},
	"hcaptcha": {verify: "https://api.hcaptcha.com/siteverify", script: "https://js.hcaptcha.com/1/api.js",
		class: "h-captcha", field: "h-captcha-response", sources: map[string][]string{
			"script-src": {"https://hcaptcha.com", "https://*.hcaptcha.com"}, "frame-src": {"https://hcaptcha.com", "https://*.hcaptcha.com"},
			"style-src": {"https://hcaptcha.com", "https://*.hcaptcha.com"}, "connect-src": {"https://hcaptcha.com", "https://*.hcaptcha.com"}}},
	"recaptcha": {verify: "https://www.google.com/recaptcha/api/siteverify", script: "https://www.google.com/recaptcha/api.js",
		class: "g-recaptcha", field: "g-recaptcha-response", sources: google},
	"recaptcha_v3": {verify: "https://www.google.com/recaptcha/api/siteverify", script: "https://www.google.com/recaptcha/api.js?render=",
		field: "g-recaptcha-response", names: true, scores: true, sources: google},
}

// Vendors are the names of the services.
func Vendors() []string {
	var names []string
	for name := range vendors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// VerifierConfig is what a Verifier needs. All fields but URL and Score are required.
type VerifierConfig struct {
	Store    Store
	Sealer   *keys.Sealer
	Now      func() time.Time
	Outbound *outbound.Client
	Logger   *slog.Logger
	Host     string  // ours, as browsers see it: the answer must be from a page of ours
	Vendor   string  // one of Vendors
	URL      string  // of its siteverify; empty: the vendor's own
	SiteKey  string  // stands in the pages
	Secret   string  // stands nowhere
	Score    float64 // the least that a person has, of those that score; 0: 0.5
}

// Verifier is the way of a service that answers to siteverify.
type Verifier struct {
	box
	c VerifierConfig
	vendor
}

// NewVerifier refuses a configuration with something missing.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	v, known := vendors[c.Vendor]
	if !known {
		return nil, fmt.Errorf("human: no service %q", c.Vendor)
	}
	if c.Store == nil || c.Sealer == nil || c.Now == nil || c.Outbound == nil || c.Logger == nil || c.Host == "" || c.SiteKey == "" || c.Secret == "" {
		return nil, errors.New("human: Store, Sealer, Now, Outbound, Logger, Host, SiteKey and Secret are needed")
	}
	if c.URL == "" {
		c.URL = v.verify
	}
	if c.Score == 0 {
		c.Score = 0.5
	}
	return &Verifier{box: box{c.Sealer, c.Now}, c: c, vendor: v}, nil
}

// data is what the answer to a challenge must bring back.
func (c challenge) data() string { return hex.EncodeToString(c.id[:]) }

// Offer implements Way.
func (v *Verifier) Offer(at Place) (Offer, error) {
	c, challengeText, err := v.make(at)
	s := &Service{Vendor: v.c.Vendor, Script: v.script, Class: v.class, Field: v.field, SiteKey: v.c.SiteKey, Sources: v.sources}
	if v.names {
		s.Action = at.Form
	}
	if v.binds {
		s.Data = c.data()
	}
	if v.scores {
		s.Script += url.QueryEscape(v.c.SiteKey)
	}
	return Offer{Challenge: challengeText, Service: s}, err
}

// Check implements Way. A challenge of ours stands beside the service's: it binds the answer to form and browser, also where
// the service's own cannot say so, and both are spent. The challenge goes first: nobody has us ask without end.
func (v *Verifier) Check(ctx context.Context, at Place, form map[string]string) error {
	token := form[v.field]
	if token == "" {
		return ErrNone
	}
	c, err := v.answered(at, form)
	if err != nil {
		return err
	}
	if len(token) > maxToken || strings.Trim(token, tokenBytes) != "" {
		return ErrWrong
	}
	if err := v.c.Store.SpendHuman(ctx, c.id[:], c.end()); err != nil {
		return err
	}
	said, err := v.ask(ctx, token)
	if err != nil {
		// The reason alone: the answer of a service may have what we sent.
		v.c.Logger.WarnContext(ctx, "the human check cannot be judged", "service", v.c.Vendor, "reason", why(err))
		return ErrDown
	}
	if reason := v.judge(said, c, at); reason != "" {
		v.c.Logger.InfoContext(ctx, "human check", "service", v.c.Vendor, "reason", reason)
		return ErrWrong
	}
	// The services spend their answers too; that ours is spent does not hang on it.
	sum := sha256.Sum256([]byte(v.c.Vendor + " " + token))
	return v.c.Store.SpendHuman(ctx, sum[:], c.end())
}

// verdict is what siteverify says.
type verdict struct {
	Success  bool     `json:"success"`
	Time     string   `json:"challenge_ts"` // read by judge: of a refusal it may be anything
	Hostname string   `json:"hostname"`
	Errors   []string `json:"error-codes"`
	Action   string   `json:"action"`
	Data     string   `json:"cdata"`
	Score    *float64 `json:"score"`
}

// faults are the error codes that say nothing of the answer: they are about our secret, what we leave out, or the service. All
// others refuse it, those too that no documentation has: what somebody could bring about by an answer of their own making
// (bad-request; sitekey-secret-mismatch and not-using-dummy-passcode, by the answer of another site) must not pass for a
// service that is down, for signing in goes on without one (A21).
var faults = []string{"missing-input-secret", "invalid-input-secret", "missing-remoteip", "internal-error"}

// errUs: what the service says is no verdict about the answer. Its text is a code of a fixed form.
type errUs string

func (e errUs) Error() string { return string(e) }

func why(err error) string {
	var us errUs
	if errors.As(err, &us) {
		return string(us)
	}
	return outbound.Reason(err)
}

func (v *Verifier) ask(ctx context.Context, token string) (verdict, error) {
	ctx, done := context.WithTimeout(ctx, verifyTime)
	defer done()
	// Not the person's address: the services do without.
	body := url.Values{"secret": {v.c.Secret}, "response": {token}}
	if v.c.Vendor == "hcaptcha" {
		body.Set("sitekey", v.c.SiteKey)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.c.URL, strings.NewReader(body.Encode()))
	if err != nil {
		return verdict{}, errUs("url")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := v.c.Outbound.Do(req, verifyBody)
	if err != nil {
		return verdict{}, err
	}
	said, err := read(res.Status, res.Body)
	for _, code := range said.Errors {
		if slices.Contains(faults, code) {
			return verdict{}, errUs("error " + code)
		}
	}
	return said, err
}

// read is what a service says. A page that refuses the request (400, 413, a firewall's 403) refuses the answer: nothing else in
// it is from outside.
func read(status int, body []byte) (said verdict, _ error) {
	fails := json.Unmarshal(body, &said)
	switch {
	case status == http.StatusOK && fails == nil:
		return said, nil
	case status == http.StatusOK:
		return verdict{}, errUs("no JSON")
	case status < 400 || status > 499 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return verdict{}, errUs("status " + strconv.Itoa(status))
	}
	return verdict{Errors: append(said.Errors, "status-"+strconv.Itoa(status))}, nil
}

// refusal is the error codes of a verdict, as a log may have them: three, of what may stand in one.
func (v verdict) refusal() string {
	reason := "refused"
	for _, code := range v.Errors[:min(len(v.Errors), 3)] {
		reason += " " + plainCode(code)
	}
	return reason
}

// plainCode keeps of a code what may stand in a log.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, code[:min(len(code), 60)])
}

// judge is why a verdict is none of a person at this form; empty: it is one.
func (v *Verifier) judge(said verdict, c challenge, at Place) string {
	solved, noTime := time.Parse(time.RFC3339, said.Time)
	switch {
	case !said.Success:
		return said.refusal()
	case !strings.EqualFold(said.Hostname, v.c.Host):
		return "hostname"
	case noTime != nil, solved.Before(c.made.Add(-skew)), solved.After(v.now().Add(skew)):
		return "time" // solved before this form was shown, or never
	case v.names && said.Action != at.Form:
		return "action"
	case v.binds && said.Data != c.data():
		return "data"
	case v.scores && (said.Score == nil || *said.Score < v.c.Score):
		return "score"
	}
	return ""
}
