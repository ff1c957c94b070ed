package demo

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func handler(t *testing.T, name string) http.Handler {
	t.Helper()
	h, err := Handler(Config{Name: name, Issuer: "http://localhost:1", ClientID: "x", BaseURL: "http://localhost:2"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHomeShowsTheButton(t *testing.T) {
	for _, name := range []string{"Fabrikam", "Contoso"} {
		w := get(handler(t, name), "/")
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, `id="sign-in"`) || !strings.Contains(body, "/static/"+strings.ToLower(name)+".svg") {
			t.Errorf("%s: %d %s", name, w.Code, body)
		}
		for _, inline := range []string{"<style", "style=", "<script", "onclick"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s: the page has %s", name, inline)
			}
		}
		for _, file := range []string{"site.css", strings.ToLower(name) + ".svg", "passport.svg"} {
			if w := get(handler(t, name), "/static/"+file); w.Code != http.StatusOK {
				t.Errorf("%s: %d", file, w.Code)
			}
		}
	}
}

// A site that starts before Passport does not break: it says so, and asks again next time.
func TestIssuerIsDown(t *testing.T) {
	w := get(handler(t, "Fabrikam"), "/login")
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), `id="fault"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Login CSRF: an answer that this browser did not ask for signs nobody in.
func TestAnswerToNobody(t *testing.T) {
	h := handler(t, "Contoso")
	for _, target := range []string{"/callback", "/callback?code=c&state=s", "/callback?error=%3Cb%3E&state=s"} {
		w := get(h, target, &http.Cookie{Name: "contoso_flow", Value: "b"})
		if w.Code != http.StatusBadRequest || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

func TestMapsAreBounded(t *testing.T) {
	s := &site{flows: map[string]flow{}}
	for i := range most + 10 {
		keep(s.flows, strconv.Itoa(i), flow{}, func(f flow) time.Time { return f.expires })
	}
	if len(s.flows) > most {
		t.Errorf("%d flows", len(s.flows))
	}
}
