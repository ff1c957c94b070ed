//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/passport-network/passport/storage/storagetest"
)

// TestOpenIDClient runs openid-client from npm, a relying-party library that is not ours:
// discovery, code + PKCE, userinfo, refresh, introspection, revocation.
func TestOpenIDClient(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("testdata", "openid-client"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefix", dir).CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	t.Run("sqlite", func(t *testing.T) { openIDClient(t, dir, newWorld(t, "", false)) })
	t.Run("postgres", func(t *testing.T) { openIDClient(t, dir, newWorld(t, storagetest.Postgres(t), false)) })
}

func openIDClient(t *testing.T, dir string, w *world) {
	w.start()
	password := "Blue-" + rand.Text()
	file := filepath.Join(w.dir, "password")
	check(os.WriteFile(file, []byte(password), 0o600))
	w.command("account", "create", "--email", "alice@example.test", "--password-file", file, "--confirmed", "--json")
	redirect := "http://localhost:" + freePort() + "/callback"
	id, secret := w.client(map[string]any{
		"client_name": "Node", "redirect_uris": []string{redirect},
		"grant_types": []string{"authorization_code", "refresh_token"}, "scope": "openid profile email offline_access",
	})
	cmd := exec.Command("node", filepath.Join(dir, "run.mjs"))
	cmd.Stdin = bytes.NewReader(must(json.Marshal(map[string]string{
		"issuer": w.issuer, "clientId": id, "clientSecret": secret, "redirectUri": redirect,
		"email": "alice@example.test", "password": password,
	})))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s\n%s", err, stderr.String(), w.logs)
	}
	var got struct {
		Claims, RefreshedClaims, Userinfo, Again map[string]any
		Active, Rotated                          bool
		Revoked                                  string
		Secrets                                  map[string][]string
	}
	check(json.Unmarshal(out, &got))
	w.seen.add("password", password)
	for kind, values := range got.Secrets {
		w.seen.add(kind, values...)
	}
	if got.Claims["iss"] != w.issuer || got.Claims["aud"] != id {
		t.Errorf("ID token: %v", got.Claims)
	}
	if got.Userinfo["email"] != "alice@example.test" || got.Userinfo["email_verified"] != true || got.Userinfo["sub"] != got.Claims["sub"] {
		t.Errorf("userinfo: %v", got.Userinfo)
	}
	// OpenID Connect Core §12.2: the same person and moment of authentication.
	for _, claim := range []string{"iss", "sub", "aud", "auth_time"} {
		if got.RefreshedClaims[claim] != got.Claims[claim] {
			t.Errorf("after the refresh %s is %v, was %v", claim, got.RefreshedClaims[claim], got.Claims[claim])
		}
	}
	if got.Again["sub"] != got.Claims["sub"] || !got.Active || !got.Rotated {
		t.Errorf("after the refresh: %s", out)
	}
	if got.Revoked != "invalid_grant" {
		t.Errorf("a revoked refresh token: %q", got.Revoked)
	}
	w.stop()
	w.searchSecrets("password", "code", "access_token", "refresh_token", "id_token", "client secret")
}
