package outbound

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A library that asks through HTTP is under the same rules.
func TestHTTP(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
	}))
	defer site.Close()
	host := strings.TrimPrefix(site.URL, "http://")
	res, err := client(t, Config{Allow: []string{host}}).HTTP().Post(site.URL, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" || res.StatusCode != http.StatusTeapot || res.Status != "418 I'm a teapot" {
		t.Errorf("%v %s %q", err, res.Status, body)
	}
	for name, ask := range map[string]func() (*http.Response, error){
		"an address that is not listed": func() (*http.Response, error) { return client(t, Config{}).HTTP().Get(site.URL) },
		"a redirect": func() (*http.Response, error) {
			return client(t, Config{Allow: []string{host}}).HTTP().Get(site.URL + "/away")
		},
	} {
		res, err := ask()
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForbidden(t *testing.T) {
	_, err := client(t, Config{}).Do(&http.Request{URL: &url.URL{Scheme: "http", Host: "app.test"}}, 0)
	if !Forbidden(err) {
		t.Errorf("%s: a later try would be refused too", Reason(err))
	}
	for _, reason := range []string{"name", "connect", "tls", "slow", "status", "redirect", "size", "encoding", "other"} {
		if Forbidden(refuse(reason, errors.New("x"))) {
			t.Errorf("%s: a later try may fare better", reason)
		}
	}
	if Forbidden(nil) || Forbidden(errors.New("x")) {
		t.Error("no refusal is one")
	}
}
