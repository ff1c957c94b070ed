package engine

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/grant"
)

func TestSealedCodes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		code := func(t *testing.T, change func(*AuthorizeInput)) string {
			t.Helper()
			in := b.input()
			if change != nil {
				change(&in)
			}
			out, err := b.Authorize(ctx, in)
			must(t, err)
			clear(b.fresh.young) // as on another replica
			return out.Params.Get("code")
		}
		refused := func(t *testing.T, code, why string) {
			t.Helper()
			var refused *Error
			if _, err := b.exchange(ctx, b.redemption(code)); !errors.As(err, &refused) || refused.Code != InvalidGrant {
				t.Errorf("%s: %v", why, err)
			}
		}
		t.Run("Q049 authorizing writes nothing, redeeming the grant that was promised", func(t *testing.T) {
			before := b.rows(t)
			raw := code(t, nil)
			if n := b.rows(t) - before; n != 0 {
				t.Errorf("%d rows", n)
			}
			out, err := b.exchange(ctx, b.redemption(raw))
			must(t, err)
			body, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(raw, sealedPrefix))
			must(t, err)
			read, _, err := b.ReadRefresh(ctx, out.RefreshToken)
			if err != nil || read.Grant.ID != uuid.UUID(body[:16]).String() || read.Grant.LoginID != b.login.ID {
				t.Errorf("%+v %v", read.Grant, err)
			}
		})
		t.Run("Q043 nobody can read it", func(t *testing.T) {
			raw := code(t, func(in *AuthorizeInput) { in.Params.Set("nonce", "a-nonce-that-is-easy-to-find") })
			body, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(raw, sealedPrefix))
			must(t, err)
			for _, what := range []string{"a-nonce-that", "openid", "site.test", b.login.Person.Sub} {
				if strings.Contains(string(body), what) {
					t.Errorf("%s stands there", what)
				}
			}
		})
		t.Run("G3 it is its client's, and changed it is none; the database is not asked, and it stays good", func(t *testing.T) {
			raw := code(t, nil)
			other := *b.client
			other.ID = "another"
			if _, ok := b.unseal(raw, &other); ok {
				t.Error("another client can open it")
			}
			store := b.cfg.Store
			b.cfg.Store = nil
			for i := range len(raw) {
				for _, c := range []byte{raw[i] ^ 1, 'A', '_', '='} {
					changed := raw[:i] + string(c) + raw[i+1:]
					if changed == raw {
						continue
					}
					if _, ok := b.unseal(changed, b.client); ok {
						t.Fatalf("byte %d may be %q", i, c)
					}
				}
			}
			for _, forged := range []string{sealedPrefix, sealedPrefix + "AAAA", raw[:len(raw)-1], raw + "A", raw + "\n", raw[:30],
				sealedPrefix + strings.Repeat("A", 400), sealedPrefix + strings.Repeat("A", 10_000)} {
				refused(t, forged, forged[:min(len(forged), 40)])
			}
			b.cfg.Store = store
			_, err := b.exchange(ctx, b.redemption(raw))
			must(t, err)
		})
		t.Run("G17 the id of another's grant does not open it", func(t *testing.T) {
			one, two := code(t, nil), code(t, nil)
			a, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(one, sealedPrefix))
			must(t, err)
			c, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(two, sealedPrefix))
			must(t, err)
			refused(t, sealedPrefix+base64.RawURLEncoding.EncodeToString(append(a[:16:16], c[16:]...)), "mixed")
		})
		t.Run("one of another secret is none", func(t *testing.T) {
			raw := code(t, nil)
			secret := b.tokens.secret
			b.tokens.secret = func() []byte { return []byte("another") }
			defer func() { b.tokens.secret = secret }()
			refused(t, raw, "another secret")
		})
		t.Run("what has more to write, or would be long, has a row", func(t *testing.T) {
			id := []byte("an interaction")
			for name, change := range map[string]func(*AuthorizeInput){
				"consent":     func(in *AuthorizeInput) { in.Consent = &grant.Consent{GrantedAt: time.Unix(1, 0)} },
				"interaction": func(in *AuthorizeInput) { in.Interaction = id },
				"pushed":      func(in *AuthorizeInput) { in.Pushed = id },
				"long":        func(in *AuthorizeInput) { in.Params.Set("nonce", strings.Repeat("n", 700)) },
			} {
				must(t, b.cfg.Store.SaveInteraction(ctx, grant.Interaction{Hash: id, CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(1, 0)}))
				before := b.rows(t)
				raw := code(t, change)
				if !strings.HasPrefix(raw, codePrefix) || b.rows(t) == before {
					t.Errorf("%s: %s", name, raw)
				}
				_ = b.cfg.Store.DropInteraction(ctx, id) // gone, where it was ended
				_, err := b.exchange(ctx, b.redemption(raw))
				must(t, err)
			}
			for name, change := range map[string]func(*AuthorizeInput){
				"short":  nil,
				"claims": func(in *AuthorizeInput) { in.ClaimsRequest = `{"id_token":{"email":null}}` },
			} {
				if raw := code(t, change); !strings.HasPrefix(raw, sealedPrefix) || len(raw) > sealedMost {
					t.Errorf("%s: %s", name, raw)
				}
			}
		})
		t.Run("not before every server knows them", func(t *testing.T) {
			defer func() { b.cfg.SealFrom = time.Time{} }()
			b.cfg.SealFrom = b.now().Add(time.Hour)
			if raw := code(t, nil); !strings.HasPrefix(raw, codePrefix) {
				t.Error(raw)
			}
			b.cfg.SealFrom = b.now()
			if raw := code(t, nil); !strings.HasPrefix(raw, sealedPrefix) {
				t.Error(raw)
			}
		})
		t.Run("a wrong verifier spends it: its grant is written, which gives nothing and ends soon", func(t *testing.T) {
			raw := code(t, nil)
			form := b.redemption(raw)
			form.Set("code_verifier", strings.Repeat("w", 43))
			before := b.rows(t)
			if _, err := b.exchange(ctx, form); err == nil {
				t.Error("taken")
			}
			if n := b.rows(t) - before; n != 1 {
				t.Errorf("%d rows", n)
			}
			read, _ := b.unseal(raw, b.client)
			written, err := b.cfg.Store.ReadGrant(ctx, read.Grant.ID)
			must(t, err)
			if g := &written.Grant; g.Generation != 0 || !g.RevokedAt.IsZero() || g.ExpiresAt.Sub(g.CreatedAt) > time.Hour {
				t.Errorf("%+v", g)
			}
			refused(t, raw, "afterwards")
		})
		t.Run("a client that may refresh since then", func(t *testing.T) {
			in := b.input()
			may := b.client.Metadata.GrantTypes
			b.client.Metadata.GrantTypes = []string{"authorization_code"}
			in.Scopes, in.Offline = []string{"openid"}, false
			out, err := b.Authorize(ctx, in)
			must(t, err)
			b.client.Metadata.GrantTypes = may
			for sig, read := range b.fresh.young { // kept, as it was issued
				read.Grant.Scopes = []string{"openid", "offline_access"}
				b.fresh.young[sig] = read
			}
			given, err := b.exchange(ctx, b.redemption(out.Params.Get("code")))
			must(t, err)
			if _, _, err := b.ReadRefresh(ctx, given.RefreshToken); err != nil {
				t.Errorf("%q: %v", given.RefreshToken, err)
			}
		})
		t.Run("of who comes late with it the first refresh token is of then", func(t *testing.T) {
			raw := code(t, nil)
			now := b.now
			b.now = func() time.Time { return now().Add(30 * time.Second) }
			defer func() { b.now = now }()
			out, err := b.exchange(ctx, b.redemption(raw))
			must(t, err)
			read, _, err := b.ReadRefresh(ctx, out.RefreshToken)
			must(t, err)
			if g := &read.Grant; b.now().Sub(g.RotatedAt) > 5*time.Second || g.RefreshExpiresAt.Sub(g.RotatedAt) != RefreshIdle {
				t.Errorf("%s, until %s", g.RotatedAt, g.RefreshExpiresAt)
			}
		})
	})
}
