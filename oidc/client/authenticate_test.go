package client_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

const issuer = "https://id.test"

// clock is a time that a test moves.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// request is a POST whose body is a parsed form; the query stays in the URL.
func request(t *testing.T, query, body string, authorization ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/token?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	secretBasic = "basic-secret-0123456789-abcdefghij"
	secretOdd   = "odd +%:/&=secret?0123456789abcdef~" // a space is refused: see register
	secretPost  = "post-secret-0123456789-abcdefghijk"
	oddID       = "https://app.test/id?a=b+c%20:x"
)

func register(t *testing.T, r *client.Registry, id, method, secret string) {
	t.Helper()
	c := client.Client{ID: id, RequirePKCE: true, Metadata: valid()}
	c.Metadata.TokenEndpointAuthMethod = method
	if _, _, err := r.Create(t.Context(), c, secret); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
}

func registry(t *testing.T, now *clock) *client.Registry {
	t.Helper()
	s := storagetest.Open(t, storagetest.SQLite(t))
	r := client.NewRegistry(client.Config{Store: s, Now: now.now, Issuer: issuer, Keys: storagetest.Ring(t), Audit: s})
	register(t, r, "basic", client.MethodBasic, secretBasic)
	register(t, r, oddID, client.MethodBasic, strings.ReplaceAll(secretOdd, " ", "_"))
	register(t, r, "post", client.MethodPost, secretPost)
	register(t, r, "public", client.MethodNone, "")
	register(t, r, "off", client.MethodBasic, secretBasic)
	if err := r.Disable(t.Context(), "off"); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAuthenticate(t *testing.T) {
	r := registry(t, newClock())
	odd := strings.ReplaceAll(secretOdd, " ", "_")
	for name, x := range map[string]struct {
		body, header, id, method string
	}{
		"Q047 basic":          {"", basic("basic", secretBasic), "basic", client.MethodBasic},
		"basic, lower case":   {"", strings.Replace(basic("basic", secretBasic), "Basic", "basic", 1), "basic", client.MethodBasic},
		"basic and client_id": {"client_id=basic", basic("basic", secretBasic), "basic", client.MethodBasic},
		"Q047 basic, encoded": {"", basic(url.QueryEscape(oddID), url.QueryEscape(odd)), oddID, client.MethodBasic},
		"post":                {"client_id=post&client_secret=" + secretPost, "", "post", client.MethodPost},
		"none":                {"client_id=public", "", "public", client.MethodNone},
		"none, empty secret":  {"client_id=public&client_secret=", "", "public", client.MethodNone},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if x.header != "" {
				headers = []string{x.header}
			}
			got, err := r.Authenticate(request(t, "", x.body, headers...))
			if err != nil || got.Client.ID != x.id || got.Method != x.method || got.Thumbprint != "" {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	r := registry(t, newClock())
	good := basic("basic", secretBasic)
	for name, x := range map[string]struct {
		query, body string
		headers     []string
		two         bool
	}{
		"G12 Basic A, body client_id B":     {"", "client_id=post", []string{good}, false},
		"G12 Basic A, body B with secret":   {"", "client_id=post&client_secret=" + secretPost, []string{good}, true},
		"G12 Basic and the same in body":    {"", "client_id=basic&client_secret=" + secretBasic, []string{good}, true},
		"G12 Basic and assertion":           {"", "client_assertion=x&client_assertion_type=y", []string{good}, true},
		"secret and assertion":              {"", "client_id=post&client_secret=" + secretPost + "&client_assertion=x", nil, true},
		"assertion alone":                   {"", "client_id=post&client_assertion=x", nil, false},
		"H13 assertion type alone":          {"", "client_id=public&client_assertion_type=x", nil, false},
		"G12 secret in query":               {"client_id=post&client_secret=" + secretPost, "", nil, false},
		"G12 secret in query, id in body":   {"client_secret=" + secretPost, "client_id=post", nil, false},
		"R13 two headers":                   {"", "", []string{good, good}, true},
		"R13 two client_id":                 {"", "client_id=public&client_id=public", nil, true},
		"R13 two client_secret":             {"", "client_id=post&client_secret=x&client_secret=" + secretPost, nil, true},
		"G12 bad base64":                    {"", "", []string{"Basic %%%"}, false},
		"base64url":                         {"", "", []string{"Basic -_-_"}, false},
		"no credentials":                    {"", "", []string{"Basic"}, false},
		"empty header":                      {"", "client_id=public", []string{""}, false},
		"G12 no colon":                      {"", "", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("basic"))}, false},
		"G12 %zz":                           {"", "", []string{basic("basic", "%zz")}, false},
		"%zz user":                          {"", "", []string{basic("%zz", secretBasic)}, false},
		"Bearer":                            {"", "client_id=public", []string{"Bearer x"}, false},
		"G12 post for a basic client":       {"", "client_id=basic&client_secret=" + secretBasic, nil, false},
		"basic for a post client":           {"", "", []string{basic("post", secretPost)}, false},
		"none for a basic client":           {"", "client_id=basic", nil, false},
		"none for a post client":            {"", "client_id=post", nil, false},
		"G12 empty secret":                  {"", "", []string{basic("basic", "")}, false},
		"G12 public client with a secret":   {"", "client_id=public&client_secret=x", nil, false},
		"public client by Basic, no secret": {"", "", []string{basic("public", "")}, false},
		"H13 public client by Basic":        {"", "", []string{basic("public", "x")}, false},
		"empty user":                        {"", "", []string{basic("", secretBasic)}, false},
		"wrong secret":                      {"", "", []string{basic("basic", secretBasic+"x")}, false},
		"half the secret":                   {"", "", []string{basic("basic", secretBasic[:20])}, false},
		"other client's secret":             {"", "", []string{basic("basic", secretPost)}, false},
		"G12 73 bytes":                      {"", "", []string{basic("basic", strings.Repeat("a", 73))}, false},
		"unknown":                           {"", "", []string{basic("nobody", secretBasic)}, false},
		"unknown in body":                   {"", "client_id=nobody", nil, false},
		"NUL":                               {"", "client_id=a%00b", nil, false},
		"not UTF-8":                         {"", "client_id=%ff", nil, false},
		"disabled":                          {"", "", []string{basic("off", secretBasic)}, false},
		"nothing":                           {"", "", nil, false},
		"oversized header":                  {"", "", []string{basic("basic", strings.Repeat("a", 100_000))}, false},
		"oversized id":                      {"", "client_id=" + strings.Repeat("a", 513), nil, false},
		"oversized secret":                  {"", "client_id=post&client_secret=" + strings.Repeat("a", 513), nil, false},
		"oversized in Basic":                {"", "", []string{basic("basic", strings.Repeat("a", 513))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.Authenticate(request(t, x.query, x.body, x.headers...))
			if got.Client != nil || err == nil {
				t.Fatalf("acts as %+v", got.Client)
			}
			var failed *client.AuthError
			switch {
			case x.two:
				if !errors.Is(err, client.ErrTwoMethods) {
					t.Error(err)
				}
			case !errors.As(err, &failed):
				t.Errorf("%#v", err)
			}
			for _, secret := range []string{secretBasic, secretPost} {
				if strings.Contains(err.Error(), secret) {
					t.Error("the error tells the secret")
				}
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	now := newClock()
	r := registry(t, now)
	works := func(secret string) bool {
		t.Helper()
		_, err := r.Authenticate(request(t, "", "", basic("basic", url.QueryEscape(secret))))
		var failed *client.AuthError
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
		return err == nil
	}
	second, err := r.RotateSecret(t.Context(), "basic", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(second) != len(client.SecretPrefix)+43 || !strings.HasPrefix(second, client.SecretPrefix) {
		t.Errorf("a secret of %d characters", len(second))
	}
	if !works(secretBasic) || !works(second) {
		t.Error("within the overlap both must work")
	}
	now.t = now.t.Add(time.Hour)
	if works(secretBasic) || !works(second) {
		t.Error("after the overlap only the new one works")
	}
	third, err := r.RotateSecret(t.Context(), "basic", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := r.RotateSecret(t.Context(), "basic", 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if works(second) || !works(third) || !works(fourth) {
		t.Error("the two newest live")
	}
	fifth, err := r.RotateSecret(t.Context(), "basic", 0)
	if err != nil {
		t.Fatal(err)
	}
	if works(third) || works(fourth) || !works(fifth) {
		t.Error("without overlap only the new one lives")
	}
	for _, overlap := range []time.Duration{-1, client.MaxOverlap + 1} {
		if _, err := r.RotateSecret(t.Context(), "basic", overlap); err == nil {
			t.Errorf("%v", overlap)
		}
	}
	if _, err := r.RotateSecret(t.Context(), "public", 0); !errors.Is(err, client.ErrNoSecret) {
		t.Error(err)
	}
	if _, err := r.RotateSecret(t.Context(), "nobody", 0); !errors.Is(err, client.ErrNotFound) {
		t.Error(err)
	}
	for _, weak := range []string{"short", strings.Repeat("a", 64), strings.Repeat("ab", 32), "with space 0123456789abcdefghijklmn",
		strings.Repeat("0123456789", 60), "0123456789abcdefghijklmnopqrstuñ"} {
		if _, _, err := r.Create(t.Context(), client.Client{RequirePKCE: true, Metadata: valid()}, weak); !errors.Is(err, client.ErrWeakSecret) {
			t.Errorf("%q: %v", weak, err)
		}
	}
}

// H13: an unknown client costs what a known one does, as far as allocations tell.
func TestUnknownClientCostsTheSame(t *testing.T) {
	r := registry(t, newClock())
	cost := func(id string) float64 {
		req := request(t, "", "", basic(id, "wrong-secret-0123456789-abcdefghij"))
		return testing.AllocsPerRun(100, func() {
			if _, err := r.Authenticate(req); err == nil {
				t.Fatal("authenticated")
			}
		})
	}
	if known, unknown := cost("basic"), cost("ghost"); known-unknown > 1 || unknown-known > 1 {
		t.Errorf("%v and %v allocations", known, unknown)
	}
}

func FuzzBasic(f *testing.F) {
	f.Add(basic("basic", secretBasic), "client_id=basic")
	f.Add("Basic", "client_secret=x")
	s := fixed{m: valid()}
	r := client.NewRegistry(client.Config{Store: s, Now: newClock().now, Issuer: issuer, Keys: storagetest.Ring(f)})
	f.Fuzz(func(t *testing.T, header, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		req := &http.Request{Method: http.MethodPost, Header: http.Header{"Authorization": {header}}, PostForm: form}
		if got, err := r.Authenticate(req.WithContext(t.Context())); err == nil {
			t.Errorf("authenticated as %s", got.Client.ID)
		}
	})
}
