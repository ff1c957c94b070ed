package oidc

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/storage/storagetest"
)

// nobody is a store without a client.
type nobody struct{ client.Store }

func (nobody) ReadClient(context.Context, string) (*client.Client, error) {
	return nil, client.ErrNotFound
}

// FuzzRequest: whatever stands in an authorization request, by GET and by POST, beside or inside a request object: it
// is refused, or its row means the same when it is read again.
func FuzzRequest(f *testing.F) {
	const good = "client_id=app&redirect_uri=https%3A%2F%2Fapp.test%2Fcb&response_type=code&scope=openid&state=s&nonce=n"
	object := func(claims string) string {
		enc := base64.RawURLEncoding
		return enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString([]byte(claims)) + "."
	}
	f.Add(good, "")
	f.Add("", good+"&response_mode=form_post&prompt=login+consent&max_age=0")
	f.Add(good+"&claims=%7B%22userinfo%22%3A%7B%22email%22%3Anull%7D%7D&resource=https%3A%2F%2Fapi.test%2F&resource=x", "")
	f.Add(good+"&request="+object(`{"client_id":"app","state":"inside","max_age":7,"claims":{"id_token":{"sub":{"value":"x"}}}}`), "")
	f.Add("client_id=app&request="+object(`{"redirect_uri":"https://app.test/cb","response_type":"id_token code","nonce":"n","scope":"openid"}`), "")
	f.Add(good+"&state=t", "%20sub=x&%20pushed=AAAA&a=%zz&b=1;c=2")
	f.Add(good+"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&id_token_hint=x.y.z", "ui_locales=%ff%00")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	p := &Provider{cfg: Config{Issuer: "https://op.test", Now: clock, Clients: client.NewRegistry(client.Config{
		Store: nobody{}, Now: clock, Issuer: "https://op.test", Keys: storagetest.Ring(f),
	})}}
	c := &client.Client{ID: "app", VerifiedAt: now, Metadata: client.Metadata{
		RedirectURIs: []string{"https://app.test/cb"}, ResponseTypes: client.ResponseTypes, GrantTypes: client.GrantTypes,
		TokenEndpointAuthMethod: client.MethodBasic, Scope: client.StandardScopes, Resources: []string{"https://api.test/"},
	}}
	f.Fuzz(func(t *testing.T, query, body string) {
		r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/authorize", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.URL.RawQuery = query
		v, malformed, err := parameters(httptest.NewRecorder(), r)
		if err != nil {
			return
		}
		whole, bad, err := p.unfold(r, c, v)
		if err != nil || bad != nil {
			return
		}
		q, err := prove(c, whole)
		if err != nil {
			return
		}
		if q.pushed != nil {
			t.Fatal("somebody said that his request was pushed")
		}
		if bad := p.check(t.Context(), q, whole, malformed); bad != nil {
			if client.Plain(bad.description) != bad.description {
				t.Fatalf("the words of the refusal: %q", bad.description)
			}
			return
		}
		saved := q.params.Encode()
		if len(saved) > maxSaved || !clean(q.state) || q.params.Has("id_token_hint") || q.redirect != c.Metadata.RedirectURIs[0] {
			t.Fatalf("%q", saved)
		}
		row, err := url.ParseQuery(saved)
		if err != nil {
			t.Fatal(err)
		}
		again, err := prove(c, row)
		if err != nil {
			t.Fatalf("%v: %q", err, saved)
		}
		if bad := p.check(t.Context(), again, row, false); bad != nil || again.params.Encode() != saved || again.mode != q.mode || again.state != q.state ||
			again.maxAge != q.maxAge || len(again.who) != len(q.who) || strings.Join(again.scopes, " ") != strings.Join(q.scopes, " ") {
			t.Fatalf("%v: the row says %q, the request %q", bad, again.params.Encode(), saved)
		}
	})
}
