package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/clock"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// clientRun runs `passport client …` as the shell does: each time anew, on one database.
type clientRun struct {
	t        *testing.T
	database string
	in       string
}

func newClientRun(t *testing.T) *clientRun {
	database := storagetest.SQLite(t)
	storagetest.Open(t, database)
	return &clientRun{t: t, database: database}
}

func (c *clientRun) open(cmd *cobra.Command) (*app, error) {
	s, err := storage.Open(cmd.Context(), c.database)
	if err != nil {
		return nil, err
	}
	return &app{store: s, clock: clock.New(s.Now), clients: client.NewRegistry(client.Config{
		Store: s, Now: time.Now, Keys: storagetest.Ring(c.t), Audit: s,
	})}, nil
}

func (c *clientRun) try(args ...string) (string, error) {
	c.t.Helper()
	var out bytes.Buffer
	cmd := clientCommand(c.open)
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(c.in))
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(c.t.Context())
	return out.String(), err
}

func (c *clientRun) text(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%v: %v", args, err)
	}
	return out
}

func (c *clientRun) doc(args ...string) map[string]any {
	c.t.Helper()
	var doc map[string]any
	if out := c.text(append(args, "--json")...); json.Unmarshal([]byte(out), &doc) != nil {
		c.t.Fatalf("%v: no JSON object: %s", args, out)
	}
	return doc
}

func (c *clientRun) fails(want string, args ...string) {
	c.t.Helper()
	if out, err := c.try(args...); err == nil || !strings.Contains(err.Error(), want) {
		c.t.Errorf("%v: want %q, got %v\n%s", args, want, err, out)
	}
}

func (c *clientRun) file(body string) string {
	c.t.Helper()
	name := filepath.Join(c.t.TempDir(), "client.json")
	if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

// authenticates tells whether a secret is the client's by client_secret_basic.
func (c *clientRun) authenticates(id, secret string) bool {
	c.t.Helper()
	cmd := &cobra.Command{}
	cmd.SetContext(c.t.Context())
	a, err := c.open(cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.close()
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	_, err = a.clients.Authenticate(r)
	var failed *client.AuthError
	if err != nil && !errors.As(err, &failed) {
		c.t.Fatal(err)
	}
	return err == nil
}

func same(t *testing.T, doc map[string]any, want map[string]string) {
	t.Helper()
	for name, v := range want {
		raw, err := json.Marshal(doc[name])
		if err != nil || string(raw) != v {
			t.Errorf("%s: want %s, got %s", name, v, raw)
		}
	}
}

func TestClientCreate(t *testing.T) {
	c := newClientRun(t)
	doc := c.doc("create", "--name", "Shop, Inc.", "--redirect-uri", "https://shop.example/cb?a,b", "--redirect-uri", "http://localhost:3000/cb",
		"--contact", "ann@shop.example", "--scope", "openid", "--scope", "email profile", "--default-max-age", "0", "--require-auth-time",
		"--client-uri", "https://shop.example/", "--post-logout-redirect-uri", "https://shop.example/bye",
		"--grant-type", "authorization_code", "--grant-type", "refresh_token")
	same(t, doc, map[string]string{
		"client_name": `"Shop, Inc."`, "redirect_uris": `["https://shop.example/cb?a,b","http://localhost:3000/cb"]`,
		"response_types": `["code"]`, "grant_types": `["authorization_code","refresh_token"]`, "token_endpoint_auth_method": `"client_secret_basic"`,
		"id_token_signed_response_alg": `"ES256"`, "require_pkce": `true`, "skip_consent": `false`, "scope": `"openid email profile"`,
		"default_max_age": `0`, "require_auth_time": `true`, "client_secret_expires_at": `0`, "enabled": `true`, "verified": `true`, "registered_by": `"operator"`,
		"post_logout_redirect_uris": `["https://shop.example/bye"]`, "contacts": `["ann@shop.example"]`, "application_type": `"web"`,
	})
	id, secret := doc["client_id"].(string), doc["client_secret"].(string)
	if !c.authenticates(id, secret) {
		t.Error("the secret that was shown does not authenticate")
	}
	shown := c.text("show", id, "--json") + c.text("show", id) + c.text("list", "--json") + c.text("list")
	if strings.Contains(shown, secret) || strings.Contains(shown, "client_secret\"") || !strings.Contains(shown, "Shop, Inc.") {
		t.Errorf("%s", shown)
	}
	plain := c.text("create", "--name", "B", "--redirect-uri", "https://b.example/cb", "--client-id", "b")
	if strings.Count(plain, client.SecretPrefix) != 1 {
		t.Errorf("%s", plain)
	}
	same(t, c.doc("create", "--name", "App", "--application-type", "native", "--token-endpoint-auth-method", "none",
		"--redirect-uri", "com.example.app:/cb", "--client-id", "app"), map[string]string{"client_id": `"app"`, "client_secret": `null`})
	same(t, c.doc("create", "--name", "Job", "--grant-type", "client_credentials", "--client-id", "job"),
		map[string]string{"response_types": `[]`, "redirect_uris": `null`})
	same(t, c.doc("create", "--name", "Own", "--redirect-uri", "https://own.example/cb", "--skip-consent", "--require-pkce=false"),
		map[string]string{"skip_consent": `true`, "require_pkce": `false`})

	c.fails("exists", "create", "--name", "B", "--redirect-uri", "https://b.example/cb", "--client-id", "b")
	c.fails("needs a name", "create", "--redirect-uri", "https://b.example/cb")
	c.fails("redirect_uris", "create", "--name", "B")
	c.fails("redirect_uris", "create", "--name", "B", "--redirect-uri", "javascript:alert(1)")
	c.fails("redirect_uris", "create", "--name", "B", "--redirect-uri", "http://b.example/cb")
	c.fails("PKCE", "create", "--name", "B", "--redirect-uri", "https://b.example/cb", "--token-endpoint-auth-method", "none", "--require-pkce=false")
	c.fails("token_endpoint_auth_method", "create", "--name", "B", "--redirect-uri", "https://b.example/cb", "--token-endpoint-auth-method", "private_key_jwt")
	c.fails("client_id", "create", "--name", "B", "--redirect-uri", "https://b.example/cb", "--client-id", "a b")
	c.fails("unknown flag", "create", "--nonsense")
}

func TestClientFile(t *testing.T) {
	c := newClientRun(t)
	const given = "given-secret-0123456789-abcdefghij"
	file := c.file(`{"client_id":"https://shop.example/id","client_secret":"` + given + `","client_name":"Shop","client_name#es":"Tienda",
		"redirect_uris":["https://shop.example/cb"],"id_token_signed_response_alg":"RS256","skip_consent":true,"require_pkce":false,"x":1}`)
	doc := c.doc("create", "--file", file, "--tos-uri", "https://shop.example/terms")
	same(t, doc, map[string]string{
		"client_id": `"https://shop.example/id"`, "client_secret": `"` + given + `"`, "client_name#es": `"Tienda"`, "x": `null`,
		"skip_consent": `false`, "require_pkce": `true`, "id_token_signed_response_alg": `"RS256"`, "tos_uri": `"https://shop.example/terms"`,
	})
	if !c.authenticates("https://shop.example/id", given) {
		t.Error("the given secret does not authenticate")
	}
	c.in = `{"client_name":"In","redirect_uris":["https://in.example/cb"]}`
	same(t, c.doc("create", "--file", "-", "--client-id", "in", "--name", "Flag"), map[string]string{"client_name": `"Flag"`, "client_id": `"in"`})

	c.fails("random", "create", "--file", c.file(`{"client_secret":"short","client_name":"B","redirect_uris":["https://b.example/cb"]}`))
	c.fails("client_secret", "create", "--file", c.file(`{"client_secret":"`+given+`","client_name":"B","redirect_uris":["https://b.example/cb"],"token_endpoint_auth_method":"none"}`))
	c.fails("client_id: has the wrong JSON type", "create", "--file", c.file(`{"client_id":1,"client_name":"B","redirect_uris":["https://b.example/cb"]}`))
	c.fails("not a JSON object", "create", "--file", c.file(`[]`))
	c.fails("larger than", "create", "--file", c.file(`{"x":"`+strings.Repeat("a", client.MaxDocument)+`"}`))
	c.fails("no such file", "create", "--file", filepath.Join(t.TempDir(), "none.json"))
}

func TestClientSet(t *testing.T) {
	c := newClientRun(t)
	c.doc("create", "--name", "Shop", "--redirect-uri", "https://shop.example/cb", "--contact", "a", "--client-id", "shop", "--default-max-age", "9")
	same(t, c.doc("set", "shop", "--redirect-uri", "https://shop.example/1", "--redirect-uri", "https://shop.example/2", "--contact", "",
		"--default-max-age", "-1", "--skip-consent"), map[string]string{
		"redirect_uris": `["https://shop.example/1","https://shop.example/2"]`, "contacts": `null`, "default_max_age": `null`,
		"skip_consent": `true`, "client_name": `"Shop"`, "client_secret": `null`, "id_token_signed_response_alg": `"ES256"`,
	})
	c.fails("redirect_uris", "set", "shop", "--redirect-uri", "https://shop.example/*")
	c.fails("redirect_uris", "set", "shop", "--redirect-uri", "")
	c.fails("PKCE", "set", "shop", "--token-endpoint-auth-method", "none", "--require-pkce=false")
	c.fails("no such client", "set", "nobody", "--name", "X")
	c.fails("client_secret", "set", "shop", "--file", c.file(`{"client_secret":"x","client_name":"S"}`))
	c.fails("another client", "set", "shop", "--file", c.file(`{"client_id":"x","client_name":"S"}`))
	same(t, c.doc("show", "shop"), map[string]string{"redirect_uris": `["https://shop.example/1","https://shop.example/2"]`})
	same(t, c.doc("set", "shop", "--file", c.file(`{"client_name":"New","redirect_uris":["https://new.example/cb"]}`)), map[string]string{
		"client_name": `"New"`, "redirect_uris": `["https://new.example/cb"]`, "skip_consent": `true`, "require_pkce": `true`,
	})
}

func TestClientVerbs(t *testing.T) {
	c := newClientRun(t)
	first := c.doc("create", "--name", "Shop", "--redirect-uri", "https://shop.example/cb", "--client-id", "shop")["client_secret"].(string)
	second := c.doc("rotate-secret", "shop", "--overlap", "24h")["client_secret"].(string)
	if !c.authenticates("shop", first) || !c.authenticates("shop", second) {
		t.Error("within the overlap both authenticate")
	}
	if out := c.text("rotate-secret", "shop"); !strings.Contains(out, client.SecretPrefix) {
		t.Errorf("%s", out)
	}
	if c.authenticates("shop", first) || c.authenticates("shop", second) {
		t.Error("without overlap the old ones end")
	}
	c.fails("overlap", "rotate-secret", "shop", "--overlap", "-1h")
	third := c.doc("rotate-secret", "shop")["client_secret"].(string)
	same(t, c.doc("disable", "shop"), map[string]string{"enabled": `false`})
	if c.authenticates("shop", third) {
		t.Error("a disabled client authenticates")
	}
	if out := c.text("enable", "shop"); out != "shop is enabled.\n" || !c.authenticates("shop", third) {
		t.Errorf("%s", out)
	}
	for _, answer := range []string{"", "yes\n", "shop2\n"} {
		c.in = answer
		c.fails("not deleted", "delete", "shop")
	}
	c.in = "shop\n"
	if out := c.text("delete", "shop"); out != "shop is deleted.\n" {
		t.Errorf("%s", out)
	}
	for _, verb := range []string{"show", "disable", "enable", "rotate-secret", "delete"} {
		c.fails("no such client", verb, "shop")
	}
	if out := c.text("list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
	c.doc("create", "--name", "Shop", "--redirect-uri", "https://shop.example/cb", "--client-id", "shop")
	same(t, c.doc("delete", "shop", "--yes"), map[string]string{"deleted": `true`})
}

func TestClientTrust(t *testing.T) {
	c := newClientRun(t)
	c.doc("create", "--name", "Shop", "--redirect-uri", "https://shop.example/cb", "--client-id", "shop")
	same(t, c.doc("set", "shop", "--verified=false"), map[string]string{"verified": `false`})
	same(t, c.doc("set", "shop", "--name", "Shop 2"), map[string]string{"verified": `false`})
	same(t, c.doc("set", "shop", "--verified"), map[string]string{"verified": `true`})
}

func TestRegistrationTokens(t *testing.T) {
	c := newClientRun(t)
	made := c.doc("registration-token", "create", "--uses", "2", "--ttl", "1h")
	same(t, made, map[string]string{"uses": `2`})
	token, id := made["token"].(string), made["id"].(string)
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	a, err := c.open(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	register := func() error {
		_, err := a.clients.Register(t.Context(), client.Metadata{RedirectURIs: []string{"https://app.example/cb"}}, client.RegisterOptions{Token: token})
		return err
	}
	if err := register(); err != nil {
		t.Fatal(err)
	}
	listed := c.text("registration-token", "list") + c.text("registration-token", "list", "--json")
	if strings.Contains(listed, token) || strings.Count(listed, id) != 2 || !strings.Contains(listed, `"uses": 1`) {
		t.Errorf("%s", listed)
	}
	same(t, c.doc("registration-token", "revoke", id), map[string]string{"revoked": `true`})
	if err := register(); !errors.Is(err, client.ErrToken) {
		t.Errorf("with a revoked token: %v", err)
	}
	c.fails("no such", "registration-token", "revoke", id)
	c.fails("at least one use", "registration-token", "create", "--uses", "0")
	c.fails("time to live", "registration-token", "create", "--ttl", "0s")
}
