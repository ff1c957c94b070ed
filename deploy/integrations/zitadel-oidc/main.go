// A site with "Sign in with Passport" on github.com/zitadel/oidc. It has no secret: it signs with a key of its own.
package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

var (
	issuer  = os.Getenv("PASSPORT_ISSUER")
	siteURL = os.Getenv("SITE_URL")
	secure  = strings.HasPrefix(siteURL, "https:")
)

// session is what the site keeps of a browser. A real site keeps it in its database.
type session struct {
	idToken, refreshToken string
	Email, Sub            string
	Refreshed             int
}

type site struct {
	party    rp.RelyingParty
	sessions sync.Map // cookie → session
}

func main() {
	// A new key at each start: Passport looks at jwks_uri again, once a minute at most, when none that it knows of made
	// the signature. A site of several processes gives them all the same key.
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	// The library keeps state and the PKCE verifier in two cookies that only this process can read.
	cookies := []httphelper.CookieHandlerOpt{httphelper.WithMaxAge(3600)}
	if !secure {
		cookies = append(cookies, httphelper.WithUnsecure())
	}
	party, err := rp.NewRelyingPartyOIDC(context.Background(), issuer, os.Getenv("CLIENT_ID"), "", siteURL+"/callback",
		[]string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess},
		rp.WithPKCE(httphelper.NewCookieHandler(random32(), random32(), cookies...)),
		rp.WithJWTProfile(func() (jose.Signer, error) { // private_key_jwt
			return jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		}),
		rp.WithAuthStyle(oauth2.AuthStyleInParams), // without it a secret that is not there is tried first
		rp.WithSigningAlgsFromDiscovery(),
	)
	if err != nil {
		log.Fatal(err)
	}
	s := &site{party: party}
	http.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	})
	http.HandleFunc("GET /{$}", s.home)
	http.Handle("GET /login", rp.AuthURLHandler(rand.Text, party))
	http.Handle("GET /callback", fromPassport(rp.CodeExchangeHandler(rp.UserinfoCallback(s.signedIn), party)))
	http.HandleFunc("POST /refresh", s.refresh)
	http.HandleFunc("POST /logout", s.logout)
	at, err := url.Parse(siteURL)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr: at.Host, ReadHeaderTimeout: 5 * time.Second,
		Handler: http.NewCrossOriginProtection().Handler(http.DefaultServeMux),
	}
	log.Fatal(server.ListenAndServe())
}

func random32() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}

// fromPassport refuses answers of other servers (RFC 9207), which the library does not look at.
func fromPassport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("iss") != issuer {
			http.Error(w, "This sign-in was not begun here.", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// session finds the browser's; that of whoever is signed out is empty.
func (s *site) session(r *http.Request) (id string, v session) {
	if c, err := r.Cookie("session"); err == nil {
		id = c.Value
	}
	if found, ok := s.sessions.Load(id); ok {
		v = found.(session)
	}
	return id, v
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>zitadel/oidc</title>
{{if .Sub}}<p>Signed in as <b id="email">{{.Email}}</b> (<span id="sub">{{.Sub}}</span>), refreshed <span id="refreshed">{{.Refreshed}}</span> times.
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/logout"><button id="sign-out">Sign out</button></form>
{{else}}<a id="sign-in" href="/login">Sign in with Passport</a>{{end}}`))

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	_, v := s.session(r)
	_ = page.Execute(w, v)
}

// signedIn is called when the library has proven the ID token and asked who it is about.
func (s *site) signedIn(w http.ResponseWriter, r *http.Request, tokens *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
	id := rand.Text()
	s.sessions.Store(id, session{idToken: tokens.IDToken, refreshToken: tokens.RefreshToken, Email: info.Email, Sub: info.Subject})
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) refresh(w http.ResponseWriter, r *http.Request) {
	id, v := s.session(r)
	if v.Sub == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	tokens, err := rp.RefreshTokens[*oidc.IDTokenClaims](r.Context(), s.party, v.refreshToken, "", "") // it signs here too
	if err == nil {
		v.idToken, v.refreshToken = cmp.Or(tokens.IDToken, v.idToken), cmp.Or(tokens.RefreshToken, v.refreshToken)
		v.Refreshed++
		s.sessions.Store(id, v) // before anything can fail: the refresh token from before is spent
		var info *oidc.UserInfo
		if info, err = rp.Userinfo[*oidc.UserInfo](r.Context(), tokens.AccessToken, tokens.TokenType, v.Sub, s.party); err == nil {
			v.Email = info.Email
			s.sessions.Store(id, v)
		}
	}
	if err != nil {
		log.Print(err)
		http.Error(w, "The refresh failed.", http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	id, v := s.session(r)
	s.sessions.Delete(id)
	// The browser itself must go there: rp.EndSession calls from here, and so without its cookies.
	http.Redirect(w, r, s.party.GetEndSessionEndpoint()+"?"+url.Values{
		"id_token_hint": {v.idToken}, "post_logout_redirect_uri": {siteURL + "/"},
	}.Encode(), http.StatusSeeOther)
}
