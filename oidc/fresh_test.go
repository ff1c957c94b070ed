package oidc_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/oidc/grant"
)

// at is the same browser asking another server.
func (b *browser) at(w *world) *browser { return &browser{w: w, http: b.http, ip: b.ip} }

// TestFreshCodes: the server that issued a code redeems it without a read, and no more than any other does; whether the code is
// sealed or has a row.
func TestFreshCodes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		t.Run("sealed", func(t *testing.T) { freshCodes(t, w, true, "ReadSealed", "Issue", "SpendSealed") })
		t.Run("with a row", func(t *testing.T) { freshCodes(t, w, false, "ReadCode", "Redeem", "SpendCode") })
	})
}

func freshCodes(t *testing.T, w *world, sealed bool, reads, writes, spends string) {
	here, _ := w.signedIn(t, fmt.Sprint("ada-", sealed))
	m := &moody{}
	kind := func(c *engine.Config) {
		if !sealed {
			c.SealFrom = w.now().Add(24 * time.Hour)
		}
	}
	issuing, other := w.replica(t, m, kind), w.replica(t, &moody{}, kind)
	plain := w.site(t, nil)
	s, elsewhere := plain.at(issuing), plain.at(other)
	code := func(t *testing.T, changes ...string) string { return s.code(t, here.at(issuing), changes...) }
	// asked are the calls by which the issuing server answered.
	asked := func(fn func()) string {
		var calls []string
		m.before = func(call string) error { calls = append(calls, call); return nil }
		defer func() { m.before = nil }()
		fn()
		return strings.Join(calls, " ")
	}
	replays := func() int { return w.count("audit WHERE event = 'code.replayed'") }

	t.Run("it is read neither here, nor twice elsewhere, and gives the same", func(t *testing.T) {
		const claims = `{"id_token":{"email":null,"name":null}}`
		var out, read engine.TokenOutput
		raw := code(t, "scope", "openid profile offline_access", "claims", claims)
		if got := asked(func() { out = s.redeem(t, raw).tokens() }); got != writes {
			t.Errorf("asked for %s", got)
		}
		raw = elsewhere.code(t, here.at(other), "scope", "openid profile offline_access", "claims", claims)
		if got := asked(func() { read = s.redeem(t, raw).tokens() }); got != reads+" "+writes {
			t.Errorf("asked for %s", got)
		}
		_, one := w.idToken(t, out.IDToken)
		_, two := w.idToken(t, read.IDToken)
		for name := range two {
			if name != "iat" && name != "exp" && name != "at_hash" && fmt.Sprint(one[name]) != fmt.Sprint(two[name]) {
				t.Errorf("%s is %v, and read %v", name, one[name], two[name])
			}
		}
		if len(one) != len(two) || one["email"] == nil || out.Scope != read.Scope {
			t.Errorf("%v, read %v; scope %q, read %q", one, two, out.Scope, read.Scope)
		}
		if a, b := w.userinfo(t, out.AccessToken).body, w.userinfo(t, read.AccessToken).body; a != b {
			t.Errorf("%s, read %s", a, b)
		}
		s.refresh(t, out.RefreshToken).tokens()
	})
	t.Run("a code of a hybrid flow", func(t *testing.T) {
		s := w.site(t, front("ES256")).at(issuing)
		raw := here.at(issuing).authorize(t, to(s.Client, "response_type", "code id_token")).fragment().Get("code")
		var out engine.TokenOutput
		if got := asked(func() { out = s.redeem(t, raw).tokens() }); got != "Redeem" {
			t.Errorf("asked for %s", got)
		}
		if _, claims := w.idToken(t, out.IDToken); claims["nonce"] != "n-1" {
			t.Errorf("%v", claims)
		}
	})
	t.Run("after five seconds it is read", func(t *testing.T) {
		raw := code(t)
		w.sleep(6 * time.Second)
		if got := asked(func() { s.redeem(t, raw).tokens() }); got != reads+" "+writes {
			t.Errorf("asked for %s", got)
		}
	})
	t.Run("G4 it is over when a code is, were that sooner", func(t *testing.T) {
		issuing := w.replica(t, m, func(c *engine.Config) { kind(c); c.CodeLifetime = time.Second })
		raw := s.code(t, here.at(issuing))
		w.sleep(time.Second)
		if got := asked(func() { s.at(issuing).redeem(t, raw).fails(400, "invalid_grant") }); got != reads {
			t.Errorf("asked for %s", got)
		}
		raw = s.code(t, here.at(issuing))
		out := elsewhere.redeem(t, raw).tokens()
		w.sleep(time.Second)
		s.at(issuing).redeem(t, raw).fails(400, "invalid_grant")
		w.dead(t, out.AccessToken) // used twice all the same
	})
	t.Run("G1 G2 used elsewhere, then here: a replay, recorded once", func(t *testing.T) {
		// Who has a wrong verifier, or asks for what was not granted, tells that two have the code, too.
		for _, change := range [][]string{nil, {"code_verifier", strings.Repeat("w", 43)}, {"resource", "https://other.test"}} {
			before := replays()
			raw := code(t)
			out := elsewhere.redeem(t, raw).tokens()
			s.redeem(t, raw, change...).fails(400, "invalid_grant")
			w.dead(t, out.AccessToken)
			s.redeem(t, raw).fails(400, "invalid_grant")
			elsewhere.redeem(t, raw).fails(400, "invalid_grant")
			if n := replays() - before; n != 1 {
				t.Errorf("%d records", n)
			}
		}
	})
	t.Run("G1 used here, then elsewhere", func(t *testing.T) {
		before := replays()
		raw := code(t)
		out := s.redeem(t, raw).tokens()
		elsewhere.redeem(t, raw).fails(400, "invalid_grant")
		w.dead(t, out.AccessToken)
		if n := replays() - before; n != 1 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("G1 used elsewhere, its grant ended and then used here: recorded once", func(t *testing.T) {
		before := replays()
		raw := code(t)
		elsewhere.redeem(t, raw).tokens()
		elsewhere.redeem(t, raw).fails(400, "invalid_grant")
		s.redeem(t, raw).fails(400, "invalid_grant")
		if n := replays() - before; n != 1 {
			t.Errorf("%d records", n)
		}
	})
	t.Run("G2 H02 64 parallel redemptions, here and elsewhere", func(t *testing.T) {
		for _, sites := range [][]*site{{s}, {s, elsewhere}} {
			raw := code(t)
			answers := make([]answer, 64)
			together(64, func(i int) { answers[i] = sites[i%len(sites)].redeem(t, raw) })
			won := 0
			for _, a := range answers {
				if a.status == 200 {
					won++
					w.dead(t, a.tokens().AccessToken)
				} else {
					a.fails(400, "invalid_grant")
				}
			}
			if won != 1 {
				t.Errorf("%d redemptions won", won)
			}
		}
	})
	t.Run("G5 a wrong verifier spends it", func(t *testing.T) {
		raw := code(t)
		if got := asked(func() { s.redeem(t, raw, "code_verifier", strings.Repeat("w", 43)).fails(400, "invalid_grant") }); got != spends {
			t.Errorf("asked for %s", got)
		}
		before := replays()
		s.redeem(t, raw).fails(400, "invalid_grant")
		s.redeem(t, raw).fails(400, "invalid_grant")
		if n := replays() - before; n != 1 {
			t.Errorf("%d records: who has the verifier came after one who has not", n)
		}
	})
	t.Run("H26 another client's use changes nothing", func(t *testing.T) {
		for _, v := range []string{verifier, strings.Repeat("w", 43)} {
			raw := code(t)
			w.site(t, nil).at(issuing).redeem(t, raw, "code_verifier", v).fails(400, "invalid_grant")
			s.redeem(t, raw).tokens()
		}
	})
	t.Run("a wrong resource, or a database that is down, leaves it good", func(t *testing.T) {
		raw := code(t)
		s.redeem(t, raw, "resource", "https://other.test").fails(400, "invalid_target")
		s.redeem(t, raw).tokens()
		raw = code(t)
		m.before = func(string) error { return errDown }
		s.redeem(t, raw).fails(503, "temporarily_unavailable")
		m.before = nil
		s.redeem(t, raw).tokens()
	})
	t.Run("stopped since it was issued: nothing is given, and nothing was used twice", func(t *testing.T) {
		sql := func(q string) func(*browser, string) {
			return func(_ *browser, account string) {
				w.exec(q, map[bool]string{true: s.ID, false: account}[strings.Contains(q, "client")])
			}
		}
		for name, c := range map[string]struct {
			stop, undo func(b *browser, account string)
		}{
			"disabled": {sql(`UPDATE account SET state = 'disabled' WHERE id = '%s'`), sql(`UPDATE account SET state = 'active' WHERE id = '%s'`)},
			"unproven": {sql(`UPDATE address SET proven_at = NULL WHERE account_id = '%s'`), sql(`UPDATE address SET proven_at = 1 WHERE account_id = '%s'`)},
			"client":   {sql(`UPDATE client SET disabled_at = 1 WHERE client_id = '%s'`), sql(`UPDATE client SET disabled_at = NULL WHERE client_id = '%s'`)},
			"revoked":  {stop: func(_ *browser, account string) { w.must(w.store.RevokeAll(t.Context(), account)) }},
			"withdrawn": {stop: func(_ *browser, account string) {
				if err := w.provider.EndUse(t.Context(), account, s.ID); err != nil && !errors.Is(err, grant.ErrGone) {
					t.Error(err)
				}
			}},
			"signed out": {stop: func(b *browser, _ string) { b.post(t, "/test/end", url.Values{}) }},
			"deleted":    {stop: func(_ *browser, account string) { w.must(w.store.Delete(t.Context(), account)) }},
		} {
			before := replays()
			b, account := w.signedIn(t, strings.ReplaceAll(fmt.Sprint(name, sealed), " ", "-"))
			raw := s.code(t, b.at(issuing))
			c.stop(b, account)
			if got := asked(func() { s.redeem(t, raw).fails(400, "invalid_grant") }); got != writes+" "+reads {
				t.Errorf("%s: asked for %s", name, got)
			}
			if n := w.count("access_token t JOIN authorization_grant g ON g.id = t.grant_id WHERE g.account_id = '%s'", account); n != 0 {
				t.Errorf("%s: a token was written", name)
			}
			if n := replays() - before; n != 0 {
				t.Errorf("%s: %d records of a replay", name, n)
			}
			if c.undo == nil {
				s.redeem(t, raw).fails(400, "invalid_grant")
			} else {
				c.undo(b, account)
				s.redeem(t, raw).tokens()
			}
		}
	})
	t.Run("a scope that the client has lost since is not given", func(t *testing.T) {
		s := w.site(t, nil).at(issuing)
		raw := s.code(t, here.at(issuing), "scope", "openid email")
		_, _, err := w.clients.Update(t.Context(), s.ID, func(c *client.Client) error { c.Metadata.Scope = "openid"; return nil })
		w.must(err)
		if out := s.redeem(t, raw).tokens(); out.Scope != "openid" {
			t.Errorf("%q", out.Scope)
		}
	})
}
