package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// The issuer of the servers that visitors come to: they speak plain HTTP behind a proxy that does not exist.
const (
	visitedHost = "passport.test"
	visited     = "https://" + visitedHost
)

// visitor is a person with a browser, over real HTTP. Nothing here fails a test: whoever kills servers expects errors.
type visitor struct {
	base  func() string // the server that the next request goes to
	http  *http.Client
	jar   map[string]string
	email string
	pass  string
}

func newVisitor(base func() string, email, pass string) *visitor {
	return &visitor{base: base, jar: map[string]string{}, email: email, pass: pass, http: &http.Client{
		Transport: http.DefaultTransport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// twin is the same browser as it is now: what a copy of its cookies can do.
func (v *visitor) twin(base func() string) *visitor {
	t := *v
	t.base, t.jar = base, maps.Clone(v.jar)
	return &t
}

// page is an answer.
type page struct {
	at, body string
	status   int
	location string // a redirect that leads away from the issuer
	header   http.Header
}

func (p page) has(id string) bool { return strings.Contains(p.body, `id="`+id+`"`) }

// wrongPage is an answer that should have been another.
type wrongPage struct {
	page
	want string
}

func (e *wrongPage) Error() string {
	return fmt.Sprintf("%s: %d %s, not %s", e.at, e.status, e.location, e.want)
}

// want is an error unless the page has the element.
func (p page) want(id string) (page, error) {
	if !p.has(id) {
		return p, &wrongPage{p, "#" + id}
	}
	return p, nil
}

// send makes a request and follows redirects within the issuer.
func (v *visitor) send(ctx context.Context, method, target string, form url.Values) (page, error) {
	for range 10 {
		var body io.Reader
		if form != nil {
			body = strings.NewReader(form.Encode())
		}
		req, err := http.NewRequestWithContext(ctx, method, v.base()+target, body)
		if err != nil {
			return page{}, err
		}
		req.Host = visitedHost
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for name, value := range v.jar {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		res, err := v.http.Do(req)
		if err != nil {
			return page{at: target}, err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return page{at: target}, err
		}
		for _, c := range res.Cookies() {
			if c.MaxAge < 0 {
				delete(v.jar, c.Name)
			} else {
				v.jar[c.Name] = c.Value
			}
		}
		p := page{at: target, status: res.StatusCode, body: string(text), header: res.Header}
		to := res.Header.Get("Location")
		if p.status < 300 || p.status >= 400 || to == "" {
			return p, nil
		}
		if to = strings.TrimPrefix(to, visited); !strings.HasPrefix(to, "/") {
			p.location = to
			return p, nil
		}
		method, target, form = http.MethodGet, to, nil
	}
	return page{}, fmt.Errorf("%s: too many redirects", target)
}

func (v *visitor) get(ctx context.Context, target string) (page, error) {
	return v.send(ctx, http.MethodGet, strings.TrimPrefix(target, visited), nil)
}

// submit sends the form of the page that holds the element; pairs are name, value.
func (v *visitor) submit(ctx context.Context, p page, id string, pairs ...string) (page, error) {
	p, err := p.want(id)
	if err != nil {
		return p, err
	}
	doc, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		return p, err
	}
	for n := range doc.Descendants() {
		if n.Data != "form" {
			continue
		}
		fields, found := url.Values{}, false
		for in := range n.Descendants() {
			a := map[string]string{}
			for _, attr := range in.Attr {
				a[attr.Key] = attr.Val
			}
			found = found || a["id"] == id
			if in.Data == "input" && a["name"] != "" && a["type"] != "checkbox" || in.Data == "button" && a["id"] == id && a["name"] != "" {
				fields.Set(a["name"], a["value"])
			}
		}
		if !found {
			continue
		}
		for i := 0; i < len(pairs); i += 2 {
			fields.Set(pairs[i], pairs[i+1])
		}
		for _, attr := range n.Attr {
			if attr.Key == "action" {
				return v.send(ctx, http.MethodPost, attr.Val, fields)
			}
		}
	}
	return p, &wrongPage{p, "a form with #" + id}
}

// register fills in both pages; the mail is then on its way.
func (v *visitor) register(ctx context.Context) error {
	p, err := v.get(ctx, "/register")
	if err != nil {
		return err
	}
	if p, err = v.submit(ctx, p, "register-submit", "email", v.email, "password", v.pass, "name", "Ada"); err != nil {
		return err
	}
	if p, err = v.submit(ctx, p, "terms-submit", "terms-email", v.email); err != nil {
		return err
	}
	if p.status != http.StatusOK || p.has("terms-submit") || p.has("register-submit") {
		return &wrongPage{p, "the waiting page"}
	}
	return nil
}

// confirm follows the link of the mail.
func (v *visitor) confirm(ctx context.Context, link string) error {
	p, err := v.get(ctx, link)
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, "confirm-submit")
	if err == nil && (p.status != http.StatusOK && p.location == "" || p.has("confirm-submit")) {
		err = &wrongPage{p, "the confirmed address"}
	}
	return err
}

// login signs in.
func (v *visitor) login(ctx context.Context) error {
	p, err := v.get(ctx, "/login")
	if err != nil {
		return err
	}
	p, err = v.submit(ctx, p, "login-submit", "username", v.email, "password", v.pass)
	if err == nil && (p.status != http.StatusOK || p.has("login-submit")) {
		err = &wrongPage{p, "a sign-in"}
	}
	return err
}

// signedIn tells whether the browser still shows somebody.
func (v *visitor) signedIn(ctx context.Context) (bool, error) {
	p, err := v.get(ctx, "/account/security")
	return err == nil && p.status == http.StatusOK && !p.has("login-submit"), err
}

// relying is the site that the visitors sign in to.
type relying struct {
	base             func() string
	id, secret, back string
	http             *http.Client // nil: the default one
	asks             bool         // for consent each time
}

const proofKey = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

// authorize brings a visitor to the site, with a code: who has been asked for consent once is asked nothing any more, and has a code
// that is sealed.
func (s relying) authorize(ctx context.Context, v *visitor) (code string, err error) {
	sum := sha256.Sum256([]byte(proofKey))
	q := url.Values{"client_id": {s.id}, "redirect_uri": {s.back}, "response_type": {"code"}, "scope": {"openid email offline_access"},
		"state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	if s.asks {
		q.Set("prompt", "consent")
	}
	p, err := v.get(ctx, "/authorize?"+q.Encode())
	if err != nil {
		return "", err
	}
	if p.has("login-submit") {
		if p, err = v.submit(ctx, p, "login-submit", "username", v.email, "password", v.pass); err != nil {
			return "", err
		}
	}
	if p.has("consent-allow") {
		if p, err = v.submit(ctx, p, "consent-allow"); err != nil {
			return "", err
		}
	}
	to, err := url.Parse(p.location)
	if err != nil {
		return "", err
	}
	if code = to.Query().Get("code"); code == "" {
		return "", &wrongPage{p, "a code"}
	}
	return code, nil
}

// answer is what the endpoints of the protocol say.
type answer struct {
	Status  int    `json:"-"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Active  bool   `json:"active"`
	Sub     string `json:"sub"`
	Client  string `json:"client_id"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
}

func (s relying) post(ctx context.Context, path string, form url.Values) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return a, err
	}
	req.Host = visitedHost
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.id != "" {
		req.SetBasicAuth(s.id, s.secret)
	}
	browser := s.http
	if browser == nil {
		browser = http.DefaultClient
	}
	res, err := browser.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	a.Status = res.StatusCode
	if len(text) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(text, &a)
	}
	return a, err
}

func (s relying) redeem(ctx context.Context, code string) (answer, error) {
	return s.post(ctx, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {s.back}, "code_verifier": {proofKey}})
}

func (s relying) refresh(ctx context.Context, token string) (answer, error) {
	return s.post(ctx, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (s relying) introspect(ctx context.Context, token string) (answer, error) {
	return s.post(ctx, "/introspect", url.Values{"token": {token}})
}

func (s relying) credentials(ctx context.Context) (answer, error) {
	return s.post(ctx, "/token", url.Values{"grant_type": {"client_credentials"}})
}
