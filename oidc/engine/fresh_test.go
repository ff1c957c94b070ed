package engine

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

func TestFresh(t *testing.T) {
	var f fresh
	begin := time.Unix(1000, 0)
	put := func(sig string, after time.Duration) {
		now := begin.Add(after)
		f.put(grant.CodeRead{Code: grant.Code{Sig: []byte(sig), CreatedAt: now}}, now)
	}
	has := func(sig string, after time.Duration) bool {
		read, ok := f.take(sig, begin.Add(after))
		return ok && string(read.Code.Sig) == sig
	}
	t.Run("once, within its time", func(t *testing.T) {
		for _, c := range []struct {
			after time.Duration
			want  bool
		}{{0, true}, {prompt, true}, {prompt + 1, false}, {-1, false}} {
			put("a", 0)
			if has("a", c.after) != c.want {
				t.Errorf("after %v: %v", c.after, !c.want)
			}
			if has("a", 0) {
				t.Errorf("after %v: it is there twice", c.after)
			}
		}
	})
	t.Run("others that come do not shorten it, and end it", func(t *testing.T) {
		put("b", 4*time.Second)
		put("c", prompt+1) // b is old now
		if !has("b", 4*time.Second+prompt) {
			t.Error("b was forgotten too soon")
		}
		put("d", 0)
		put("e", 2*prompt)
		put("f", 3*prompt+1)
		if _, ok := f.take("d", begin); ok {
			t.Error("d was kept")
		}
		if n := len(f.young) + len(f.old); n != 2 {
			t.Errorf("%d codes are kept", n)
		}
	})
	t.Run("a clock that steps back", func(t *testing.T) {
		put("g", -time.Hour)
		if !has("g", -time.Hour) {
			t.Error("nothing is kept until the clock is where it was")
		}
	})
	t.Run("no more than so many", func(t *testing.T) {
		for _, after := range []time.Duration{4 * prompt, 6 * prompt} {
			for i := range freshMost + 10 {
				put(after.String()+strconv.Itoa(i), after)
			}
		}
		if len(f.young) != freshMost || len(f.old) != freshMost {
			t.Errorf("%d and %d are kept", len(f.young), len(f.old))
		}
	})
}

func TestFreshCodes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.login.AuthTime, b.login.AMR, b.login.ACR = time.Unix(1, 0).UTC(), []string{"pwd"}, "1"
		one := func() (read grant.CodeRead) {
			t.Helper()
			if len(b.fresh.young) != 1 {
				t.Fatalf("%d codes are fresh", len(b.fresh.young))
			}
			for _, read = range b.fresh.young {
				clear(b.fresh.young)
			}
			return read
		}
		t.Run("what is kept is what a read finds", func(t *testing.T) {
			in := b.input()
			in.Params.Set("nonce", "n")
			in.ClaimsRequest = `{"id_token":{"email":null}}`
			in.Audience, in.Login.Epoch = []string{"https://api.test"}, 7
			b.client.Metadata.Resources = in.Audience
			defer func() { b.client.Metadata.Resources = nil }()
			_, err := b.raw.ExecContext(ctx, "UPDATE login SET created_at = 7")
			must(t, err)
			defer func() {
				_, err := b.raw.ExecContext(ctx, "UPDATE login SET created_at = 1")
				must(t, err)
			}()
			for name, read := range map[string]func(code string, kept grant.CodeRead) (grant.CodeRead, error){
				"with a row": func(_ string, kept grant.CodeRead) (grant.CodeRead, error) {
					return b.cfg.Store.ReadCode(ctx, kept.Code.Sig)
				},
				"sealed": func(code string, _ grant.CodeRead) (grant.CodeRead, error) {
					return b.read(ctx, &work{client: b.client, shown: code}, nil)
				},
			} {
				b.cfg.SealFrom = map[bool]time.Time{true: b.now().Add(time.Hour)}[name == "with a row"]
				for range 2 {
					out, err := b.Authorize(ctx, in)
					must(t, err)
					kept := one()
					stored, err := read(out.Params.Get("code"), kept)
					must(t, err)
					first := in.Login.Person
					in.Login.Person = stored.Person // as who is signed in is read
					if first.Email == "" {
						continue
					}
					if name == "with a row" {
						kept.Epoch = 0 // that was written
					}
					if got, want := text(t, kept), text(t, stored); got != want {
						t.Errorf("%s: %s, not %s", name, got, want)
					}
				}
			}
			b.cfg.SealFrom = time.Time{}
		})
		t.Run("what a device gets is not kept", func(t *testing.T) {
			in := b.input()
			in.Device, in.DeviceExpires = []byte("device"), b.now().Add(time.Minute)
			must(t, b.Approve(ctx, in))
			if n := len(b.fresh.young) + len(b.fresh.old); n != 0 {
				t.Errorf("%d codes", n)
			}
		})
		t.Run("what was refused is not kept, nor can what was rolled back be redeemed", func(t *testing.T) {
			in := b.input()
			in.Interaction = []byte("there is no such interaction")
			if _, err := b.Authorize(ctx, in); !errors.Is(err, grant.ErrGone) || len(b.fresh.young) != 0 {
				t.Errorf("%v, %d codes", err, len(b.fresh.young))
			}
			var out AuthorizeOutput
			stop := errors.New("stop")
			err := b.cfg.Store.(interface {
				InTx(ctx context.Context, fn func(ctx context.Context) error) error
			}).InTx(ctx, func(ctx context.Context) (err error) {
				in := b.input()
				in.Consent = &grant.Consent{GrantedAt: time.Unix(1, 0)}
				if out, err = b.Authorize(ctx, in); err != nil {
					return err
				}
				return stop
			})
			if !errors.Is(err, stop) {
				t.Fatal(err)
			}
			before := b.rows(t)
			var refused *Error
			if _, err := b.exchange(ctx, b.redemption(out.Params.Get("code"))); !errors.As(err, &refused) || refused.Code != InvalidGrant {
				t.Errorf("%v", err)
			}
			if b.rows(t) != before {
				t.Error("something was written")
			}
		})
	})
}

func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return string(raw)
}
