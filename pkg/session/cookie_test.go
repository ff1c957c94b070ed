package session

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// none is a Store that is never asked.
type none struct{ Store }

func manager(t *testing.T, issuer string) *Manager {
	t.Helper()
	m, err := New(Config{Store: none{}, Issuer: issuer, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNames(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://passport.test": "__Host-sid", "https://localhost:8443": "__Host-sid",
		"http://localhost:8080": "passport_sid", "http://passport.localhost:8080": "passport_sid", "http://127.0.0.1:8080": "passport_sid", "http://[::1]:80": "passport_sid",
	} {
		m := manager(t, issuer)
		if m.sid.name != want || m.sid.secure != strings.HasPrefix(want, "__Host-") || m.flow.secure != m.sid.secure {
			t.Errorf("%s: %+v", issuer, m.sid)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Store: none{}, Issuer: "https://passport.test", Now: time.Now}
	for name, spoil := range map[string]func(*Config){
		"no store":   func(c *Config) { c.Store = nil },
		"no clock":   func(c *Config) { c.Now = nil },
		"no issuer":  func(c *Config) { c.Issuer = "" },
		"plain http": func(c *Config) { c.Issuer = "http://passport.test" },
		"short life": func(c *Config) { c.Lifetime = time.Second },
		"long life":  func(c *Config) { c.Lifetime = 401 * 24 * time.Hour },
		"negative":   func(c *Config) { c.Lifetime = -time.Hour },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// B7: malformed, planted and doubled cookies are none, and never an error.
func TestTossedCookies(t *testing.T) {
	m := manager(t, "https://passport.test")
	secret, sum := newSecret()
	for name, c := range map[string]struct {
		header string
		ok     bool
	}{
		"ours":             {"__Host-sid=" + secret, true},
		"among others":     {"a=b; __Host-sid=" + secret + "; c=d", true},
		"none":             {"", false},
		"another name":     {"sid=" + secret, false},
		"other case":       {"__host-sid=" + secret, false},
		"loopback's":       {"passport_sid=" + secret, false},
		"twice":            {"__Host-sid=" + secret + "; __Host-sid=" + secret, false},
		"and empty":        {"__Host-sid=; __Host-sid=" + secret, false},
		"empty":            {"__Host-sid=", false},
		"short":            {"__Host-sid=" + secret[1:], false},
		"long":             {"__Host-sid=" + secret + "A", false},
		"padded":           {"__Host-sid=" + secret + "=", false},
		"quoted":           {`__Host-sid="` + secret + `"`, false},
		"other letters":    {"__Host-sid=" + strings.Repeat("+", 43), false},
		"stray bits":       {"__Host-sid=" + strings.Repeat("A", 42) + "B", false},
		"8 KB":             {"__Host-sid=" + strings.Repeat("A", 8192), false},
		"not ASCII":        {"__Host-sid=" + strings.Repeat("é", 20) + "abc", false},
		"180 of others":    {strings.Repeat("a=b; ", 180) + "__Host-sid=" + secret, true},
		"10,000 of others": {strings.Repeat("a=b; ", 10000) + "__Host-sid=" + secret, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if c.header != "" {
			r.Header.Set("Cookie", c.header)
		}
		got := m.Hash(r)
		if c.ok && string(got) != string(sum) || !c.ok && got != nil {
			t.Errorf("%s: %x", name, got)
		}
		if !c.ok {
			if b, err := m.Current(t.Context(), r); b != nil || err != nil {
				t.Errorf("%s: %v, %v", name, b, err)
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Cookie"] = []string{"__Host-sid=" + secret, "__Host-sid=" + secret}
	if m.Hash(r) != nil {
		t.Error("in two header lines")
	}
}

func TestFlow(t *testing.T) {
	m := manager(t, "https://passport.test")
	r := httptest.NewRequest("GET", "/", nil)
	if m.FlowHash(r) != nil {
		t.Error("a hash of nothing")
	}
	w := httptest.NewRecorder()
	w.Header().Add("Set-Cookie", "other=1")
	first := m.Flow(w, r)
	if again := m.Flow(w, r); len(first) != 32 || string(again) != string(first) || string(m.FlowHash(r)) != string(first) {
		t.Error("twice in one request: two cookies")
	}
	set := w.Result().Cookies()
	if len(set) != 2 || set[0].Name != "other" {
		t.Fatalf("set: %v", set)
	}
	c := set[1]
	if c.Name != "__Host-flow" || c.MaxAge != 3*24*3600 || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("%+v", c)
	}
	// The next request keeps it, and prolongs it.
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	w = httptest.NewRecorder()
	if string(m.Flow(w, r)) != string(first) || len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].Value != c.Value {
		t.Error("the next request has another")
	}
	// A malformed one is replaced.
	r = httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", "__Host-flow=x; a=b; __Host-flow=y")
	w = httptest.NewRecorder()
	if h := m.Flow(w, r); len(h) != 32 || string(h) == string(first) || string(m.FlowHash(r)) != string(h) {
		t.Error("a malformed cookie was kept")
	}
	if a, err := r.Cookie("a"); err != nil || a.Value != "b" {
		t.Error("other cookies of the request are lost")
	}
}

func TestDevice(t *testing.T) {
	for in, want := range map[string]string{
		"Firefox": "Firefox", "": "", "a\x00b\r\nc\x7f": "abc", "\xff\xfe": "",
		strings.Repeat("a", 300): strings.Repeat("a", 256), strings.Repeat("é", 200): strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
	} {
		if got := device(in); got != want {
			t.Errorf("%.20q became %.20q of %d bytes", in, got, len(got))
		}
	}
}
