package demo

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Config describes one site.
type Config struct {
	Name         string // "Fabrikam"; any other name gets Contoso's colours
	Issuer       string
	ClientID     string
	ClientSecret string
	BaseURL      string       // of the site: scheme, host and port
	HTTPClient   *http.Client // reaches the issuer; nil: the default one
}

//go:embed static pages.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages.html"))

type site struct {
	Config
	slug  string
	https bool

	mu       sync.Mutex
	provider *oidc.Provider // nil until the issuer answered once
	flows    map[string]flow
	visits   map[string]visit
}

// flow is a sign-in that is under way, by its state.
type flow struct {
	browser, nonce, verifier string
	expires                  time.Time
}

// visit is somebody who is signed in, by the session cookie.
type visit struct {
	idToken  string
	claims   map[string]any
	userinfo map[string]any
	expires  time.Time
}

const (
	flowLife  = 30 * time.Minute
	visitLife = 8 * time.Hour
	most      = 10_000 // flows, and visits: strangers must not fill the memory
)

// Handler is the site. It does not need the issuer to be up before the first sign-in.
func Handler(c Config) (http.Handler, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || base.Path != "" {
		return nil, errors.New("demo: BaseURL must be scheme, host and port")
	}
	if c.Name == "" || c.Issuer == "" || c.ClientID == "" {
		return nil, errors.New("demo: Name, Issuer and ClientID are needed")
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	s := &site{
		Config: c, slug: strings.ToLower(c.Name), https: base.Scheme == "https",
		flows: map[string]flow{}, visits: map[string]visit{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("GET /callback", s.callback)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /leave", s.leave)
	mux.HandleFunc("POST /backchannel-logout", s.told)
	mux.Handle("GET /static/", http.FileServerFS(files))
	return headers(mux), nil
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if !strings.HasPrefix(r.URL.Path, "/static/") {
			h.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// oauth is the client that discovery and the registration make; each use asks again until the issuer answers.
func (s *site) oauth(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider == nil {
		// Not the request's context: the provider keeps it for the key set's later fetches.
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.HTTPClient), s.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask the issuer for its configuration: %w", err)
		}
		s.provider = p
	}
	endpoint := s.provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return s.provider, &oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, Endpoint: endpoint,
		RedirectURL: s.BaseURL + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}, nil
}

// login sends the browser to Passport. state binds the answer to this browser, nonce the ID token to this
// request, and the PKCE verifier the code to this site.
func (s *site) login(w http.ResponseWriter, r *http.Request) {
	_, conf, err := s.oauth(r.Context())
	if err != nil {
		s.fail(w, http.StatusBadGateway, "Passport does not answer yet. Try again in a moment.")
		return
	}
	browser := s.cookie(r, "flow")
	if browser == "" {
		browser = rand.Text()
		s.setCookie(w, "flow", browser, flowLife)
	}
	f := flow{browser: browser, nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), expires: time.Now().Add(flowLife)}
	state := rand.Text()
	s.mu.Lock()
	keep(s.flows, state, f, func(f flow) time.Time { return f.expires })
	s.mu.Unlock()
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)}
	for _, name := range []string{"prompt", "max_age", "login_hint", "ui_locales"} {
		if v := r.FormValue(name); v != "" {
			options = append(options, oauth2.SetAuthURLParam(name, v))
		}
	}
	http.Redirect(w, r, conf.AuthCodeURL(state, options...), http.StatusSeeOther)
}

// callback takes the answer: it must be to a question of this browser, and from this issuer (RFC 9207).
func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	browser := s.cookie(r, "flow")
	s.mu.Lock()
	f, known := s.flows[q.Get("state")]
	if known && f.browser == browser {
		delete(s.flows, q.Get("state"))
	}
	s.mu.Unlock()
	if !known || browser == "" || f.browser != browser || time.Now().After(f.expires) {
		s.fail(w, http.StatusBadRequest, "This sign-in was not begun in this browser, or it is too old. Please start again.")
		return
	}
	if iss := q.Get("iss"); iss != "" && iss != s.Issuer {
		s.fail(w, http.StatusBadRequest, "This answer is not Passport's.")
		return
	}
	if code := q.Get("error"); code != "" {
		s.fail(w, http.StatusOK, "You were not signed in ("+code+").")
		return
	}
	v, err := s.exchange(oidc.ClientContext(r.Context(), s.HTTPClient), q.Get("code"), f)
	if err != nil {
		s.fail(w, http.StatusBadGateway, "Passport's answer could not be used. Please try again.")
		return
	}
	id := rand.Text()
	s.mu.Lock()
	delete(s.visits, s.cookie(r, "session"))
	keep(s.visits, id, v, func(v visit) time.Time { return v.expires })
	s.mu.Unlock()
	s.setCookie(w, "session", id, visitLife)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// exchange trades the code for tokens, checks the ID token and fetches the userinfo.
func (s *site) exchange(ctx context.Context, code string, f flow) (visit, error) {
	provider, conf, err := s.oauth(ctx)
	if err != nil {
		return visit{}, err
	}
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return visit{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: s.ClientID}).Verify(ctx, raw)
	if err != nil {
		return visit{}, fmt.Errorf("check the ID token: %w", err)
	}
	if idToken.Nonce != f.nonce {
		return visit{}, errors.New("check the ID token: another nonce")
	}
	if idToken.AccessTokenHash != "" {
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
			return visit{}, fmt.Errorf("check the access token: %w", err)
		}
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return visit{}, fmt.Errorf("fetch the userinfo: %w", err)
	}
	// OpenID Connect Core §5.3.2: the userinfo counts only when it is about the same person.
	if info.Subject != idToken.Subject {
		return visit{}, errors.New("the userinfo is about somebody else")
	}
	v := visit{idToken: raw, expires: time.Now().Add(visitLife)}
	return v, errors.Join(idToken.Claims(&v.claims), info.Claims(&v.userinfo))
}

// logout ends the session here and asks Passport to end its own (OpenID Connect RP-Initiated Logout).
func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	v, _ := s.visitor(r)
	s.forget(w, r)
	provider, _, err := s.oauth(r.Context())
	var meta struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err != nil || provider.Claims(&meta) != nil || meta.EndSession == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	q := url.Values{"client_id": {s.ClientID}, "post_logout_redirect_uri": {s.BaseURL + "/"}, "state": {"signed-out"}}
	if v.idToken != "" {
		q.Set("id_token_hint", v.idToken)
	}
	http.Redirect(w, r, meta.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

// told is Passport saying that somebody has signed out there (OpenID Connect Back-Channel Logout §2.5, §2.6): whoever
// is signed in here by that session is signed out.
func (s *site) told(w http.ResponseWriter, r *http.Request) {
	provider, _, err := s.oauth(r.Context())
	if err != nil {
		http.Error(w, "the issuer cannot be asked now", http.StatusServiceUnavailable)
		return
	}
	ctx := oidc.ClientContext(r.Context(), s.HTTPClient)
	token, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: s.ClientID}).Verify(ctx, r.PostFormValue("logout_token"))
	var claims struct {
		SID    string         `json:"sid"`
		Nonce  *string        `json:"nonce"` // an ID token has one, a logout token never
		Events map[string]any `json:"events"`
	}
	if err != nil || token.Claims(&claims) != nil || claims.SID == "" || claims.Nonce != nil ||
		claims.Events["http://schemas.openid.net/event/backchannel-logout"] == nil {
		http.Error(w, "that is no logout token for this site", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, v := range s.visits {
		if v.claims["sid"] == claims.SID {
			delete(s.visits, id)
		}
	}
}

// leave ends the session here alone.
func (s *site) leave(w http.ResponseWriter, r *http.Request) {
	s.forget(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) forget(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	delete(s.visits, s.cookie(r, "session"))
	s.mu.Unlock()
	s.setCookie(w, "session", "", -time.Second)
}

func (s *site) visitor(r *http.Request) (visit, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.visits[s.cookie(r, "session")]
	return v, ok && time.Now().Before(v.expires)
}

// keep adds to a bounded map; when it is full the expired go, and if that is not enough all do.
func keep[T any](m map[string]T, key string, v T, expires func(T) time.Time) {
	if len(m) >= most {
		for k, old := range m {
			if time.Now().After(expires(old)) {
				delete(m, k)
			}
		}
	}
	if len(m) >= most {
		clear(m)
	}
	m[key] = v
}

// Cookies know no ports: on localhost the two sites would overwrite each other's without the site's name in them.
func (s *site) cookieName(name string) string {
	if s.https {
		return "__Host-" + s.slug + "_" + name
	}
	return s.slug + "_" + name
}

func (s *site) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *site) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode,
	})
}
