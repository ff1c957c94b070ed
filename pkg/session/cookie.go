package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// flowLifetime is how long a browser is known as the one in which something began: as long as the link that
// confirms a registration lives. An interaction's own row ends much earlier.
const flowLifetime = 3 * 24 * time.Hour

// knownLifetime is how long an account knows a browser that it was signed in to from.
const knownLifetime = 180 * 24 * time.Hour

// deviceBytes is how much of a User-Agent is kept.
const deviceBytes = 256

// cookie is one of ours: a random secret of 256 bits.
type cookie struct {
	name   string
	secure bool
	script bool // scripts read it, in frames of other sites too
	maxAge time.Duration
}

// value is the cookie's secret; empty when it is absent, malformed or there twice: of two, one was planted
// and nobody can tell which.
func (c cookie) value(r *http.Request) string {
	v := c.raw(r)
	if len(v) != secretLen {
		return ""
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(v); err != nil || len(raw) != 32 {
		return ""
	}
	return v
}

// raw is what the browser sent, whatever it looks like.
func (c cookie) raw(r *http.Request) string {
	found := r.CookiesNamed(c.name)
	if len(found) != 1 || found[0].Quoted {
		return ""
	}
	return found[0].Value
}

func (c cookie) hash(r *http.Request) []byte {
	v := c.value(r)
	if v == "" {
		return nil
	}
	return hash(v)
}

// set gives the browser the cookie, and r as well: what runs later in the same request sees the new one.
func (c cookie) set(w http.ResponseWriter, r *http.Request, value string) {
	c.write(w, value, int(c.maxAge/time.Second))
	c.carry(r, value)
}

// drop takes it from the browser and from r.
func (c cookie) drop(w http.ResponseWriter, r *http.Request) {
	c.write(w, "", -1)
	c.carry(r, "")
}

// write replaces what this answer says of the cookie so far: two Set-Cookie of one name are undefined
// (RFC 6265 §4.1.1).
func (c cookie) write(w http.ResponseWriter, value string, maxAge int) {
	h := w.Header()
	kept := h.Values("Set-Cookie")[:0:0]
	for _, line := range h.Values("Set-Cookie") {
		if !strings.HasPrefix(line, c.name+"=") {
			kept = append(kept, line)
		}
	}
	h.Del("Set-Cookie")
	for _, line := range kept {
		h.Add("Set-Cookie", line)
	}
	line := &http.Cookie{
		Name: c.name, Value: value, Path: "/", MaxAge: maxAge,
		// Lax, for Strict is not sent with the navigation from a site to /authorize.
		Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if c.script {
		line.HttpOnly, line.SameSite = false, http.SameSiteNoneMode
	}
	http.SetCookie(w, line)
}

func (c cookie) carry(r *http.Request, value string) {
	all := r.Cookies()
	r.Header.Del("Cookie")
	for _, other := range all {
		if other.Name != c.name {
			r.AddCookie(other)
		}
	}
	if value != "" {
		r.AddCookie(&http.Cookie{Name: c.name, Value: value})
	}
}

// secretLen is the length of 32 bytes in base64url.
const secretLen = 43

func newSecret() (secret string, sum []byte) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails: it ends the program instead
	secret = base64.RawURLEncoding.EncodeToString(raw)
	return secret, hash(secret)
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// device is a User-Agent as it is kept: valid text without control characters, of bounded length.
func device(ua string) string {
	ua = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, ua)
	if len(ua) <= deviceBytes {
		return ua
	}
	cut := deviceBytes
	for cut > 0 && !utf8.RuneStart(ua[cut]) {
		cut--
	}
	return ua[:cut]
}
