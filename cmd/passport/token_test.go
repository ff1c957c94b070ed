package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// inspected is what `passport token inspect` prints of a JWT with these claims.
func inspected(t *testing.T, claims map[string]any, args ...string) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	cmd := tokenCommand(nil)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetIn(strings.NewReader(b64([]byte(`{"alg":"ES256","typ":"at+jwt"}`)) + "." + b64(raw) + ".c2ln\n"))
	cmd.SetArgs(append([]string{"inspect", "-"}, args...))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTokenInspect(t *testing.T) {
	shown := inspected(t, map[string]any{"sub": "año", "exp": 1_800_000_000, "aud": []string{"a", "b"}})
	for _, want := range []string{"access token", "año", "1800000000 (2027-01-15 08:00:00Z)", `["a","b"]`} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	// A token is a stranger's text: it must not move the cursor, nor write another line of this table.
	for _, evil := range []string{"\x1b[2Jkind", "a\nkind\tlogout token", "\u202eevil", "\u009b2J"} {
		for _, claims := range []map[string]any{{"sub": evil}, {evil: "x"}, {"aud": []string{evil}}} {
			shown := inspected(t, claims)
			if strings.Contains(shown, "\x1b") || strings.ContainsAny(shown, "\u202e\u009b") || strings.Count(shown, "\n") != 5 {
				t.Errorf("%q", shown)
			}
		}
	}
}
