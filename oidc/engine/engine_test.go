package engine

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

// bench is an engine over a real database, with one person signed in and one client.
type bench struct {
	*Engine
	raw    *sql.DB
	client *client.Client
	login  grant.Login
}

func newBench(t *testing.T, dsn string) *bench {
	t.Helper()
	s := storagetest.Open(t, dsn)
	driver, source := "pgx", dsn
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	raw, err := sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	sealer, err := keys.NewSealer([]byte(strings.Repeat("s", 32)))
	must(t, err)
	now := func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
	ring, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: sealer, Now: now})
	must(t, err)
	registry := client.NewRegistry(client.Config{Store: s, Now: now, Keys: ring})
	c := client.Client{RequirePKCE: true}
	c.Metadata.ClientName = "Site"
	c.Metadata.RedirectURIs = []string{"https://site.test/cb"}
	c.Metadata.GrantTypes = []string{"authorization_code", "refresh_token"}
	c.Metadata.Scope = "openid offline_access read"
	made, _, err := registry.Create(t.Context(), c, "")
	must(t, err)
	e, err := New(Config{Issuer: "https://id.test", Clients: registry, Store: s, Keys: ring, Now: now})
	must(t, err)
	for _, q := range []string{
		`INSERT INTO account (id, sub, state, created_at, updated_at) VALUES ('a', 'sub', 'active', 1, 1)`,
		`INSERT INTO address (id, account_id, email, canonical, is_primary, proven_at, created_at) VALUES ('d', 'a', 'e', 'e', true, 1, 1)`,
		`INSERT INTO browser (id, created_at, seen_at, expires_at) VALUES ('b', 1, 1, 2)`,
		`INSERT INTO login (id, browser_id, account_id, auth_time, amr, acr, created_at) VALUES ('l', 'b', 'a', 1000000, 'pwd', '1', 1)`,
	} {
		_, err := raw.ExecContext(t.Context(), q)
		must(t, err)
	}
	person := grant.Person{AccountID: "a", Sub: "sub", State: grant.Active, Proven: true}
	return &bench{Engine: e, raw: raw, client: made, login: grant.Login{ID: "l", Person: person, AuthTime: time.Unix(1, 0), Epoch: 1}}
}

// each runs fn on both databases.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newBench(t, storagetest.SQLite(t))) })
	if storagetest.Databases() != "sqlite" {
		t.Run("postgres", func(t *testing.T) { fn(t, newBench(t, storagetest.Postgres(t))) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const verifier = "verifier-verifier-verifier-verifier-verifier"

func (b *bench) input() AuthorizeInput {
	return AuthorizeInput{
		Params: url.Values{"response_type": {"code"}, "redirect_uri": {"https://site.test/cb"}, "state": {"s"},
			"code_challenge": {"fD3GLJ_KzCDB0w6uDOSFNNdflrHwtv8Cizh6P5pJkfQ"}, "code_challenge_method": {"S256"}},
		Client: b.client, Login: b.login, Scopes: []string{"openid", "offline_access"}, Offline: true,
	}
}

func (b *bench) rows(t *testing.T) int {
	t.Helper()
	n := 0
	for _, table := range []string{"authorization_grant", "code", "access_token", "login_client", "consent"} {
		var rows int
		must(t, b.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows))
		n += rows
	}
	return n
}

func (b *bench) exchange(ctx context.Context, form url.Values) (TokenOutput, error) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		return TokenOutput{}, err
	}
	return b.Exchange(ctx, r, client.Authn{Client: b.client})
}

func (b *bench) redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"https://site.test/cb"}, "code_verifier": {verifier}}
}

func TestAuthorize(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		t.Run("a code, and nothing else", func(t *testing.T) {
			out, err := b.Authorize(t.Context(), b.input())
			must(t, err)
			if !strings.HasPrefix(out.Params.Get("code"), "pp2c_") || len(out.Params) != 1 {
				t.Errorf("%v", out.Params)
			}
		})
		t.Run("H25 no state is no state", func(t *testing.T) {
			in := b.input()
			in.Params.Del("state")
			out, err := b.Authorize(t.Context(), in)
			must(t, err)
			if out.Params.Has("state") {
				t.Errorf("%v", out.Params)
			}
		})
		t.Run("H27 a fault that fosite finds last leaves no row", func(t *testing.T) {
			before := b.rows(t)
			for name, spoil := range map[string]func(*AuthorizeInput){
				"no challenge":     func(in *AuthorizeInput) { in.Params.Del("code_challenge") },
				"plain":            func(in *AuthorizeInput) { in.Params.Set("code_challenge_method", "plain") },
				"no redirect_uri":  func(in *AuthorizeInput) { in.Params.Del("redirect_uri") },
				"H10 http":         func(in *AuthorizeInput) { in.Params.Set("redirect_uri", "http://site.test/cb") },
				"H10 javascript":   func(in *AuthorizeInput) { in.Params.Set("redirect_uri", "javascript:alert(1)") },
				"H24 hybrid":       func(in *AuthorizeInput) { in.Params.Set("response_type", "code id_token") },
				"foreign scope":    func(in *AuthorizeInput) { in.Scopes = []string{"admin"} },
				"H30 other case":   func(in *AuthorizeInput) { in.Scopes = []string{"READ"} },
				"foreign audience": func(in *AuthorizeInput) { in.Audience = []string{"https://api.test"} },
			} {
				in := b.input()
				spoil(&in)
				var refused *Error
				if _, err := b.Authorize(t.Context(), in); !errors.As(err, &refused) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if after := b.rows(t); after != before {
				t.Errorf("%d rows more", after-before)
			}
		})
		t.Run("what no longer holds", func(t *testing.T) {
			before := b.rows(t)
			in := b.input()
			in.Interaction = []byte("there is no such interaction")
			if _, err := b.Authorize(t.Context(), in); !errors.Is(err, grant.ErrGone) {
				t.Errorf("a dropped interaction: %v", err)
			}
			in = b.input()
			in.Login.ID, in.Consent = uuid.NewString(), &grant.Consent{GrantedAt: time.Unix(1, 0)}
			if _, err := b.Authorize(t.Context(), in); !errors.Is(err, grant.ErrGone) {
				t.Errorf("an ended login: %v", err)
			}
			if after := b.rows(t); after != before {
				t.Errorf("%d rows more", after-before)
			}
		})
	})
}

func TestFailedSignature(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		out, err := b.Authorize(t.Context(), b.input())
		must(t, err)
		before := b.rows(t)
		// fosite commits before the ID token is signed; we flush after (V06).
		good := b.client
		bad := *good
		bad.Metadata.IDTokenSignedResponseAlg = "HS999"
		b.client = &bad
		var refused *Error
		if _, err := b.exchange(t.Context(), b.redemption(out.Params.Get("code"))); !errors.As(err, &refused) || refused.Code != ServerError {
			t.Fatalf("%v", err)
		}
		if b.rows(t) != before {
			t.Error("tokens were written though the answer failed")
		}
		b.client = good
		tokens, err := b.exchange(t.Context(), b.redemption(out.Params.Get("code")))
		must(t, err)
		if tokens.IDToken == "" || tokens.RefreshToken == "" {
			t.Errorf("%+v", tokens)
		}
	})
}

func TestFositeConfig(t *testing.T) {
	e := &Engine{cfg: Config{Issuer: "https://id.test", AccessLifetime: 1, IDTokenLifetime: 1, CodeLifetime: 1, RefreshIdle: 1}}
	t.Run("H22 every field is set, for getters write missing ones", func(t *testing.T) {
		// Off, empty or unused on purpose: none of their getters writes.
		off := map[string]bool{
			"SendDebugMessagesToClients": true, "EnforcePKCE": true, "EnablePKCEPlainChallengeMethod": true, "UseLegacyErrorFormat": true,
			"GrantTypeJWTBearerCanSkipClientAuth": true, "GrantTypeJWTBearerIDOptional": true, "GrantTypeJWTBearerIssuedDateOptional": true,
			"GrantTypeJWTBearerMaxDuration": true, "MessageCatalog": true, "RotatedGlobalSecrets": true, "IsPushedAuthorizeEnforced": true,
			"AuthorizeEndpointHandlers": true, "TokenEndpointHandlers": true, "TokenIntrospectionHandlers": true, "RevocationHandlers": true,
			"PushedAuthorizeEndpointHandlers": true, "DeviceEndpointHandlers": true, "DeviceVerificationURL": true,
		}
		v := reflect.ValueOf(*e.fositeConfig())
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && !off[name] {
				t.Errorf("%s is not set", name)
			}
		}
	})
	t.Run("H22 getters do not race", func(t *testing.T) {
		cfg := &config{Config: e.fositeConfig()}
		before := *cfg.Config
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, m := range getters(cfg) {
					m.Call([]reflect.Value{reflect.ValueOf(t.Context())})
				}
			})
		}
		wg.Wait()
		a, b := reflect.ValueOf(before), reflect.ValueOf(*cfg.Config)
		for i := range a.NumField() {
			if a.Field(i).IsZero() != b.Field(i).IsZero() {
				t.Errorf("a getter wrote %s", a.Type().Field(i).Name)
			}
		}
		if list := cfg.SanitationWhiteList; cap(list) != len(list) {
			t.Error("Sanitize would append to the shared list")
		}
	})
	t.Run("H08 fosite fetches nothing", func(t *testing.T) {
		called := false
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
		defer s.Close()
		if _, err := e.fositeConfig().HTTPClient.Get(s.URL); err == nil || called {
			t.Error("its client went out")
		}
		if _, err := e.fositeConfig().JWKSFetcherStrategy.Resolve(t.Context(), s.URL, true); err == nil || called {
			t.Error("its key fetcher went out")
		}
	})
	t.Run("H12 H13 fosite authenticates no client", func(t *testing.T) {
		if _, err := authenticated(t.Context(), nil, url.Values{"client_id": {"x"}}); err == nil {
			t.Error("a client without authentication")
		}
		if err := e.fositeConfig().ClientSecretsHasher.Compare(t.Context(), nil, nil); err == nil {
			t.Error("an empty secret matches an empty hash")
		}
	})
	t.Run("H19 fosite reads no hints", func(t *testing.T) {
		if _, err := (noHints{}).Decode(t.Context(), "x.y.z"); err == nil {
			t.Error("a hint was read")
		}
	})
	t.Run("H10 redirects", func(t *testing.T) {
		for raw, want := range map[string]bool{
			"https://a.test/": true, "http://a.test/": false, "http://localhost:1/": true, "http://127.0.0.1/": true, "http://[::1]:9/": true,
			"http://localhost.evil.test/": false, "javascript:alert(1)": false, "data:text/html,x": false, "com.example.app:/cb": true, "file:///x": false,
		} {
			u, err := url.Parse(raw)
			must(t, err)
			if secureRedirect(t.Context(), u) != want {
				t.Errorf("%s", raw)
			}
		}
	})
}

func getters(cfg *config) (out []reflect.Value) {
	v := reflect.ValueOf(cfg)
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		if strings.HasPrefix(m.Name, "Get") && m.Type.NumIn() == 2 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
			out = append(out, v.Method(i))
		}
	}
	return out
}

func TestTokens(t *testing.T) {
	long := make([]byte, 64)
	_, _ = rand.Read(long)
	same := append(append([]byte{}, long[:32]...), make([]byte, 32)...)
	tk := &tokens{secret: func() []byte { return long }}
	id := uuid.Must(uuid.NewV7()).String()
	raw, err := tk.refreshToken(id, 7)
	must(t, err)
	t.Run("refresh tokens are deterministic and tell what they are", func(t *testing.T) {
		again, _ := tk.refreshToken(id, 7)
		next, _ := tk.refreshToken(id, 8)
		if raw != again || raw == next || !strings.HasPrefix(raw, "pp1r_") || len(raw) != 5+70 {
			t.Errorf("%s", raw)
		}
		if got, generation, ok := tk.readRefresh(raw); got != id || generation != 7 || !ok {
			t.Error(got, generation, ok)
		}
	})
	t.Run("H16 the whole secret counts", func(t *testing.T) {
		if _, _, ok := (&tokens{secret: func() []byte { return same }}).readRefresh(raw); ok {
			t.Error("a secret with the same first 32 bytes verifies")
		}
	})
	t.Run("H11 each kind has its own format", func(t *testing.T) {
		access, err := random(accessPrefix)
		must(t, err)
		if hashOf(accessPrefix, access) == nil {
			t.Error("an access token is none")
		}
		for _, other := range []string{"pp1c_" + access[5:], access[5:], access + "A", access[:47], " " + access, raw, ""} {
			if hashOf(accessPrefix, other) != nil {
				t.Errorf("%q passes for an access token", other)
			}
		}
	})
}

func TestTranslated(t *testing.T) {
	t.Run("H20d codes that are fosite's own never leave", func(t *testing.T) {
		for want, list := range map[string][]error{
			InvalidGrant:   {fosite.ErrInvalidGrant, fosite.ErrInactiveToken, fosite.ErrTokenExpired, fosite.ErrNotFound, fosite.ErrScopeNotGranted, fosite.ErrRequestUnauthorized},
			InvalidRequest: {fosite.ErrInvalidRequest, fosite.ErrInvalidState, fosite.ErrInsufficientEntropy},
			ServerError:    {fosite.ErrServerError, fosite.ErrMisconfiguration, fosite.ErrUnknownRequest, fosite.ErrJTIKnown, errors.New("x")},
			InvalidScope:   {fosite.ErrInvalidScope},
		} {
			for _, err := range list {
				if got := translated(err); got.Code != want {
					t.Errorf("%v became %s", err, got.Code)
				}
			}
		}
	})
	t.Run("H33 hints and causes stay inside", func(t *testing.T) {
		got := translated(fosite.ErrInvalidGrant.WithHint("sent: \"x\"").WithDebug("SQL").WithWrap(errors.New("secret")))
		if strings.Contains(got.Description, "x\"") || strings.Contains(got.Description, "SQL") || !errors.Is(got, fosite.ErrInvalidGrant) {
			t.Errorf("%q", got.Description)
		}
	})
	t.Run("the database's failure stays one through fosite", func(t *testing.T) {
		if got := translated(fosite.ErrServerError.WithWrap(Failed(errors.New("down")))); got.Status != http.StatusServiceUnavailable {
			t.Errorf("%v", got)
		}
	})
	t.Run("H20f characters", func(t *testing.T) {
		if got := client.Plain("a\"b\\c\nd\x00é~!"); got != "abcd~!" {
			t.Errorf("%q", got)
		}
	})
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an empty Config passes")
	}
}
