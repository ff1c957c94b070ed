package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/engine"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/storage/storagetest"
)

// The hot paths, from the handler to the database and back, without HTTP and without the shell of pkg/web:
//
//	PASSPORT_TEST_DATABASES=sqlite go test -run '^$' -bench . ./oidc
//
// The databases of the tests do not wait for the disk, so what is measured is our own work.

// eachBench runs fn on both databases, as each does.
func eachBench(b *testing.B, fn func(b *testing.B, w *world)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, newWorld(b, storagetest.SQLite(b))) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		b.Run("postgres", func(b *testing.B) { fn(b, newWorld(b, storagetest.Postgres(b))) })
	}
}

// direct calls the handlers without a connection.
func (w *world) direct(b *testing.B) func(r *http.Request, status int) *httptest.ResponseRecorder {
	handler := w.handler()
	return func(r *http.Request, status int) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		if rec.Code != status {
			b.Fatalf("%s: %d %s", r.URL.Path, rec.Code, rec.Body)
		}
		return rec
	}
}

// loop is b.Loop with what matters on a machine that others use too: the processor's time, ours alone. On PostgreSQL
// the server's is not in it.
func loop(b *testing.B, step func()) {
	b.Helper()
	step() // the statement is prepared, the client is in the cache
	b.ReportAllocs()
	begun := processor(b)
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(processor(b)-begun)/float64(b.N), "cpu-ns/op")
}

// processor is the time that this process has had of it, in nanoseconds.
func processor(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func documentBench(b *testing.B, path string) {
	w := newWorld(b, storagetest.SQLite(b)) // no database is asked
	do := w.direct(b)
	loop(b, func() { do(httptest.NewRequest(http.MethodGet, path, nil), http.StatusOK) })
}

func BenchmarkDiscovery(b *testing.B) { documentBench(b, "/.well-known/openid-configuration") }
func BenchmarkKeySet(b *testing.B)    { documentBench(b, "/jwks.json") }

// posted is a benchmark of one endpoint; next makes each request's form.
func (s *site) posted(b *testing.B, path string, next func() url.Values, then func(*httptest.ResponseRecorder)) {
	do := s.w.direct(b)
	loop(b, func() {
		rec := do(s.request(b, path, next()), http.StatusOK)
		if then != nil {
			then(rec)
		}
	})
}

func BenchmarkClientCredentials(b *testing.B) {
	eachBench(b, func(b *testing.B, w *world) {
		form := func() url.Values { return url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}} }
		w.site(b, nil).posted(b, "/token", form, nil)
	})
}

func BenchmarkIntrospect(b *testing.B) {
	eachBench(b, func(b *testing.B, w *world) {
		here, _ := w.signedIn(b, "ada")
		s := w.site(b, nil)
		tokens := s.offline(b, here)
		s.posted(b, "/introspect", func() url.Values { return url.Values{"token": {tokens.AccessToken}} }, func(rec *httptest.ResponseRecorder) {
			if !strings.Contains(rec.Body.String(), `"active":true`) {
				b.Fatal(rec.Body)
			}
		})
	})
}

func BenchmarkUserinfo(b *testing.B) {
	eachBench(b, func(b *testing.B, w *world) {
		here, _ := w.signedIn(b, "ada")
		tokens := w.site(b, nil).offline(b, here)
		do := w.direct(b)
		loop(b, func() {
			r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
			r.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
			do(r, http.StatusOK)
		})
	})
}

// signed runs fn for each signature that an ID token may have.
func signed(b *testing.B, fn func(b *testing.B, w *world, s *site)) {
	eachBench(b, func(b *testing.B, w *world) {
		for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
			b.Run(alg, func(b *testing.B) {
				fn(b, w, w.site(b, func(c *client.Client) { c.Metadata.IDTokenSignedResponseAlg = alg }))
			})
		}
	})
}

func BenchmarkRefresh(b *testing.B) {
	signed(b, func(b *testing.B, w *world, s *site) {
		here, _ := w.signedIn(b, "ada-"+s.ID)
		token := s.offline(b, here).RefreshToken
		form := func() url.Values { return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}} }
		s.posted(b, "/token", form, func(rec *httptest.ResponseRecorder) {
			var out engine.TokenOutput
			w.must(json.Unmarshal(rec.Body.Bytes(), &out))
			token = out.RefreshToken
		})
	})
}

// BenchmarkSignOn is a person who is signed in and comes to a site: authorize, and the exchange of the code.
func BenchmarkSignOn(b *testing.B) {
	signed(b, func(b *testing.B, w *world, s *site) {
		here, _ := w.signedIn(b, "ada-"+s.ID)
		// One person signs on as often as the limits let a thousand.
		w.limits = limit.New(limit.Config{Store: w.store, HashKey: make([]byte, 32), Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		s = s.at(w.replica(b, &moody{}, nil))
		do := s.w.direct(b)
		at, err := url.Parse(w.server.URL)
		w.must(err)
		cookies := here.http.Jar.Cookies(at)
		s.posted(b, "/token", func() url.Values {
			r := httptest.NewRequest(http.MethodGet, "/authorize?"+to(s.Client, "scope", "openid").Encode(), nil)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			back, err := url.Parse(do(r, http.StatusSeeOther).Header().Get("Location"))
			w.must(err)
			return url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
		}, nil)
	})
}
