// A site with "Sign in with Passport" on github.com/coreos/go-oidc and golang.org/x/oauth2.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	issuer  = os.Getenv("PASSPORT_ISSUER")
	siteURL = os.Getenv("SITE_URL")
)

// session is what the site keeps of a browser. A real site keeps it in its database.
type session struct {
	state, nonce, verifier string // of a sign-in that is under way
	idToken                string
	token                  *oauth2.Token
	Email, Sub             string
	Refreshed              int
}

type site struct {
	provider   *oidc.Provider
	oauth      *oauth2.Config
	verifier   *oidc.IDTokenVerifier
	endSession string

	sessions map[string]*session
}

func main() {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, issuer) // the discovery document says all the rest
	if err != nil {
		log.Fatal(err)
	}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		log.Fatal(err)
	}
	clientID := os.Getenv("CLIENT_ID")
	s := &site{
		provider: provider,
		oauth: &oauth2.Config{
			ClientID: clientID, ClientSecret: os.Getenv("CLIENT_SECRET"), Endpoint: provider.Endpoint(),
			RedirectURL: siteURL + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: clientID}), endSession: more.EndSession, sessions: map[string]*session{},
	}
	http.HandleFunc("GET /{$}", s.home)
	http.HandleFunc("GET /login", s.login)
	http.HandleFunc("GET /callback", s.callback)
	http.HandleFunc("POST /refresh", s.refresh)
	http.HandleFunc("POST /logout", s.logout)
	at, err := url.Parse(siteURL)
	if err != nil {
		log.Fatal(err)
	}
	var one sync.Mutex // a request at a time: it keeps this example short
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		http.DefaultServeMux.ServeHTTP(w, r)
	})
	server := &http.Server{Addr: at.Host, ReadHeaderTimeout: 5 * time.Second, Handler: http.NewCrossOriginProtection().Handler(handler)}
	log.Fatal(server.ListenAndServe())
}

// session finds the browser's, and makes one where there is none. Whoever signs in gets a new one.
func (s *site) session(w http.ResponseWriter, r *http.Request, fresh bool) *session {
	if c, err := r.Cookie("session"); err == nil && !fresh && s.sessions[c.Value] != nil {
		return s.sessions[c.Value]
	}
	id, v := rand.Text(), &session{}
	s.sessions[id] = v
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: siteURL[:5] == "https"})
	return v
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>go-oidc</title>
{{if .Sub}}<p>Signed in as <b id="email">{{.Email}}</b> (<span id="sub">{{.Sub}}</span>), refreshed <span id="refreshed">{{.Refreshed}}</span> times.
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/logout"><button id="sign-out">Sign out</button></form>
{{else}}<a id="sign-in" href="/login">Sign in with Passport</a>{{end}}`))

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	_ = page.Execute(w, s.session(w, r, false))
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	v := s.session(w, r, true)
	v.state, v.nonce, v.verifier = rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	http.Redirect(w, r, s.oauth.AuthCodeURL(v.state, oidc.Nonce(v.nonce), oauth2.S256ChallengeOption(v.verifier)), http.StatusSeeOther)
}

func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	v, q := s.session(w, r, false), r.URL.Query()
	if v.state == "" || q.Get("state") != v.state || q.Get("iss") != issuer { // RFC 9207: the answer is this server's
		http.Error(w, "This sign-in was not begun here.", http.StatusBadRequest)
		return
	}
	if q.Has("error") {
		http.Error(w, "Passport says: "+q.Get("error"), http.StatusForbidden)
		return
	}
	token, err := s.oauth.Exchange(r.Context(), q.Get("code"), oauth2.VerifierOption(v.verifier))
	if err == nil {
		err = s.accept(r.Context(), v, token, v.nonce)
	}
	if err != nil {
		log.Print(err)
		http.Error(w, "The sign-in failed.", http.StatusBadGateway)
		return
	}
	v.state = ""
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// accept proves the ID token and asks who it is about.
func (s *site) accept(ctx context.Context, v *session, token *oauth2.Token, nonce string) error {
	raw, _ := token.Extra("id_token").(string)
	id, err := s.verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	if id.Nonce != nonce {
		return errors.New("the ID token is of another sign-in")
	}
	info, err := s.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return err
	}
	v.token, v.idToken, v.Sub, v.Email = token, raw, id.Subject, info.Email
	return nil
}

// refresh gets a new access token; x/oauth2 does so by itself where one is used that has expired.
func (s *site) refresh(w http.ResponseWriter, r *http.Request) {
	v := s.session(w, r, false)
	if v.token == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	token, err := s.oauth.TokenSource(r.Context(), &oauth2.Token{RefreshToken: v.token.RefreshToken}).Token()
	if err == nil {
		err = s.accept(r.Context(), v, token, "")
	}
	if err != nil {
		log.Print(err)
		http.Error(w, "The refresh failed.", http.StatusBadGateway)
		return
	}
	v.Refreshed++
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	hint := s.session(w, r, false).idToken
	s.session(w, r, true)
	http.Redirect(w, r, s.endSession+"?"+url.Values{
		"id_token_hint": {hint}, "post_logout_redirect_uri": {siteURL + "/"},
	}.Encode(), http.StatusSeeOther)
}
