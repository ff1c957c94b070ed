package oidc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc"
	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
)

// TestUses: what an account has given to whom, and taking it back (4.16).
func TestUses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		here, account := w.signedIn(t, "ada")
		_, other := w.signedIn(t, "bea")
		asks := w.site(t, func(c *client.Client) { c.SkipConsent = false })
		own := w.site(t, nil)
		uses := func() (list []string) {
			t.Helper()
			all, err := w.provider.Uses(t.Context(), account)
			w.must(err)
			for _, u := range all {
				if u.Since.IsZero() || u.Last.Before(u.Since) {
					t.Errorf("%+v", u)
				}
				offline := map[bool]string{true: " offline"}[u.Offline]
				list = append(list, u.Client.ID+": "+strings.Join(u.Scopes, " ")+offline)
			}
			return list
		}
		if got := uses(); len(got) != 0 {
			t.Errorf("before anything was used: %v", got)
		}
		v := to(asks.Client, "scope", "openid profile offline_access")
		here.act(t, "approve", here.authorize(t, v).page("/consent"))
		v = to(asks.Client, "scope", "openid email")
		i := here.authorize(t, v).page("/consent")
		code := here.act(t, "approve", i).code()
		asks.redeem(t, code).tokens()
		kept := asks.offline(t, here)
		w.sleep(time.Minute)
		kept = asks.refresh(t, kept.RefreshToken).tokens()
		silent := own.redeem(t, own.code(t, here)).tokens()
		want := []string{asks.ID + ": email offline_access openid profile offline", own.ID + ": openid profile"}
		slices.Sort(want)
		if got := uses(); !slices.Equal(got, want) {
			t.Errorf("%q, not %q", got, want)
		}
		if all, err := w.provider.Uses(t.Context(), other); err != nil || len(all) != 0 {
			t.Errorf("another account has %v %v", all, err)
		}
		// What is not theirs, or does not exist, changes nothing.
		for who, what := range map[string]string{other: asks.ID, account: "nobody"} {
			if err := w.provider.EndUse(t.Context(), who, what); !errors.Is(err, grant.ErrGone) {
				t.Errorf("%s of %s: %v", what, who, err)
			}
		}
		if n := w.count("audit WHERE event = 'consent.revoked'"); n != 0 {
			t.Errorf("%d records of nothing", n)
		}
		asks.w.userinfo(t, kept.AccessToken).claims()

		w.must(w.provider.EndUse(t.Context(), account, asks.ID))
		w.dead(t, kept.AccessToken)
		asks.refresh(t, kept.RefreshToken).fails(400, "invalid_grant")
		own.w.userinfo(t, silent.AccessToken).claims()
		here.authorize(t, to(asks.Client)).page("/consent")
		if got := uses(); len(got) != 1 || !strings.HasPrefix(got[0], own.ID) {
			t.Errorf("%q", got)
		}
		if n := w.count("audit WHERE event = 'consent.revoked' AND subject = '%s' AND client_id = '%s'", account, asks.ID); n != 1 {
			t.Errorf("%d records", n)
		}
		only := func(id string) oidc.Use {
			t.Helper()
			all, err := w.provider.Uses(t.Context(), account)
			w.must(err)
			i := slices.IndexFunc(all, func(u oidc.Use) bool { return u.Client.ID == id })
			if i < 0 {
				t.Fatalf("no %s in %+v", id, all)
			}
			return all[i]
		}
		// A second yes, and each sign-in after it, is a use: it began with the first.
		here.act(t, "approve", here.authorize(t, to(asks.Client)).page("/consent"))
		first := only(asks.ID)
		w.sleep(time.Minute)
		here.act(t, "approve", here.authorize(t, to(asks.Client, "prompt", "consent")).page("/consent"))
		w.sleep(time.Minute)
		asks.redeem(t, asks.code(t, here)).tokens()
		if u := only(asks.ID); !u.Since.Equal(first.Since) || !u.Held || u.Last.Before(w.now().Add(-time.Second)) {
			t.Errorf("%+v, first %+v, now %s", u, first, w.now())
		}
		// What the operator lets ask nobody holds nothing any more: where they were signed in stands there all the same.
		first = only(own.ID)
		w.sleep(3 * 365 * 24 * time.Hour)
		if u := only(own.ID); u.Held || !u.Since.Equal(first.Since) || strings.Join(u.Scopes, " ") != own.Metadata.Scope {
			t.Errorf("%+v, first %+v", u, first)
		}
		w.must(w.clients.Delete(t.Context(), own.ID))
		if got := uses(); len(got) != 1 || !strings.HasPrefix(got[0], asks.ID) {
			t.Errorf("of a site that is gone: %v", got)
		}
	})
}
