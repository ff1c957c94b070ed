package registration_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/registration"
	"github.com/passport-network/passport/pkg/limit"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

const issuer = "https://op.test"

// world is the room over a real database and real HTTP, with a site whose documents are fetched over TLS.
type world struct {
	t       *testing.T
	store   *storage.Store
	raw     *sql.DB
	clients *client.Registry
	web     *httptest.Server
	files   sync.Map // path → body
	fetched sync.Map // path → true
	ahead   time.Duration
}

func (w *world) now() time.Time { return time.Now().UTC().Add(w.ahead).Truncate(time.Microsecond) }

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newWorld(t, storagetest.SQLite(t))) })
	if os.Getenv("PASSPORT_TEST_DATABASES") != "sqlite" {
		t.Run("postgres", func(t *testing.T) { fn(t, newWorld(t, storagetest.Postgres(t))) })
	}
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{t: t, store: storagetest.Open(t, dsn)}
	must(t, w.store.Migrate(t.Context()))
	driver, source := "pgx", dsn
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	var err error
	w.raw, err = sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { _ = w.raw.Close() })
	w.web = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.fetched.Store(r.URL.Path, true)
		body, ok := w.files.Load(r.URL.Path)
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(body.([]byte))
	}))
	t.Cleanup(w.web.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.web.Certificate().Raw}), 0o600))
	out, err := outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: ca, Issuer: issuer})
	must(t, err)
	w.clients = client.NewRegistry(client.Config{Store: w.store, Now: w.now, Issuer: issuer, Keys: storagetest.Ring(t), Outbound: out, Audit: w.store})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put has the site say something, and gives its address.
func (w *world) put(path string, body []byte) string {
	w.files.Store(path, body)
	return w.web.URL + path
}

func (w *world) count(format string, args ...any) (n int) {
	w.t.Helper()
	must(w.t, w.raw.QueryRow("SELECT count(*) FROM "+fmt.Sprintf(format, args...)).Scan(&n))
	return n
}

// door is the endpoint under one configuration.
type door struct {
	t   *testing.T
	url string
}

func (w *world) door(t *testing.T, open, verified bool, limits *limit.Limiter) *door {
	t.Helper()
	room, err := registration.New(registration.Config{
		Issuer: issuer, Clients: w.clients, Open: open, Verified: verified, Limits: limits,
		ClientIP: func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
	})
	must(t, err)
	mux := http.NewServeMux()
	for _, route := range room.Routes() {
		for _, method := range route.Methods {
			mux.HandleFunc(method+" "+route.Path, func(rw http.ResponseWriter, r *http.Request) {
				if err := route.Handler(rw, r); err != nil {
					t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
				}
			})
		}
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &door{t, server.URL}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
	doc    map[string]any
}

func (d *door) do(method, path, token, contentType string, body any) answer {
	d.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		raw, err = json.Marshal(b)
		must(d.t, err)
	}
	req, err := http.NewRequest(method, d.url+path, bytes.NewReader(raw))
	must(d.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	must(d.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(d.t, err)
	a := answer{d.t, res.StatusCode, res.Header, string(text), map[string]any{}}
	if len(text) > 0 && json.Unmarshal(text, &a.doc) != nil {
		d.t.Fatalf("%d: no JSON: %s", a.status, text)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" || len(text) > 0 && a.header.Get("Content-Type") != "application/json" {
		d.t.Errorf("%d: headers %v", a.status, a.header)
	}
	return a
}

const asJSON = "application/json"

func (d *door) register(token string, doc map[string]any) answer {
	d.t.Helper()
	return d.do("POST", "/connect/register", token, asJSON, doc)
}

// made expects a registration.
func (a answer) made() answer {
	a.t.Helper()
	if a.status != http.StatusCreated {
		a.t.Fatalf("%d %s", a.status, a.body)
	}
	return a
}

// refused expects a refusal about a member (RFC 7591 §3.2.2).
func (a answer) refused(code, field string) {
	a.t.Helper()
	description, _ := a.doc["error_description"].(string)
	if a.status != http.StatusBadRequest || a.doc["error"] != code || !strings.Contains(description, field) {
		a.t.Errorf("%d %s, not %s about %s", a.status, a.body, code, field)
	}
}

// unknown expects 401 (RFC 6750 §3).
func (a answer) unknown() {
	a.t.Helper()
	if a.status != http.StatusUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
		a.t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}

func (a answer) text(name string) string {
	s, _ := a.doc[name].(string)
	return s
}

// managed is the path of the registration that an answer made.
func (a answer) managed() string {
	a.t.Helper()
	path, ours := strings.CutPrefix(a.text("registration_client_uri"), issuer)
	if !ours {
		a.t.Fatalf("registration_client_uri %q", a.doc["registration_client_uri"])
	}
	return path
}

// shop is a good document, with changes: nil takes a member away.
func shop(changes ...any) map[string]any {
	doc := map[string]any{"client_name": "Shop", "redirect_uris": []string{"https://shop.test/cb"}}
	for i := 0; i < len(changes); i += 2 {
		if name := changes[i].(string); changes[i+1] == nil {
			delete(doc, name)
		} else {
			doc[name] = changes[i+1]
		}
	}
	return doc
}

// picture is a PNG of a size.
func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))))
	return b.Bytes()
}

// scans is a JPEG whose one scan is repeated: each goes over all of the picture.
func scans(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 64, 64)), nil))
	start, end := bytes.Index(b.Bytes(), []byte{0xff, 0xda}), b.Len()-2
	return slices.Concat(b.Bytes()[:start], bytes.Repeat(b.Bytes()[start:end], n), b.Bytes()[end:])
}

// TestRegister: section B of the requirements.
func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.door(t, true, false, nil)
		t.Run("Q010 Q011 what is registered comes back, with what was filled in", func(t *testing.T) {
			a := d.register("", shop("made_up", 1, "software_statement", "x", "client_name#es", "Tienda")).made()
			for name, want := range map[string]string{
				"client_name": `"Shop"`, "client_name#es": `"Tienda"`, "redirect_uris": `["https://shop.test/cb"]`, "response_types": `["code"]`,
				"grant_types": `["authorization_code"]`, "application_type": `"web"`, "token_endpoint_auth_method": `"client_secret_basic"`,
				"id_token_signed_response_alg": `"RS256"`, "subject_type": `"public"`, "client_secret_expires_at": `0`, "made_up": `null`,
			} {
				if got, err := json.Marshal(a.doc[name]); err != nil || string(got) != want {
					t.Errorf("%s: %s, not %s", name, got, want)
				}
			}
			if len(a.text("client_secret")) < 32 || a.text("client_id") == "" || a.doc["client_id_issued_at"] == nil {
				t.Errorf("%s", a.body)
			}
			if w.count("audit WHERE event = 'client.created' AND client_id = '%s'", a.text("client_id")) != 1 {
				t.Error("nothing is recorded")
			}
		})
		t.Run("Q011 clients without a secret get none; one that signs with it gets a long one", func(t *testing.T) {
			keys := map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}}
			for _, doc := range []map[string]any{
				shop("token_endpoint_auth_method", "none"), shop("token_endpoint_auth_method", "private_key_jwt", "jwks", keys),
			} {
				if a := d.register("", doc).made(); a.doc["client_secret"] != nil || a.doc["client_secret_expires_at"] != nil {
					t.Errorf("%s", a.body)
				}
			}
			for _, doc := range []map[string]any{
				shop("token_endpoint_auth_method", "client_secret_jwt"), shop("id_token_signed_response_alg", "HS256"), shop("userinfo_signed_response_alg", "HS256"),
			} {
				if a := d.register("", doc).made(); len(a.text("client_secret")) < 64 { // HS512 takes as many octets
					t.Errorf("%s", a.body)
				}
			}
		})
		t.Run("Q014 refusals", func(t *testing.T) {
			for _, uri := range []string{"https://shop.test/cb#f", "/cb", "http://shop.test/cb", "javascript:alert(1)", "https://shop.test/*", ""} {
				d.register("", shop("redirect_uris", []string{uri})).refused("invalid_redirect_uri", "redirect_uris")
			}
			d.register("", shop("redirect_uris", nil)).refused("invalid_redirect_uri", "redirect_uris")
			d.register("", shop("response_types", []string{"id_token"}, "redirect_uris", []string{"http://localhost/cb"})).refused("invalid_redirect_uri", "redirect_uris")
			for _, doc := range []any{"", "[]", "null", "{", `{"redirect_uris":"x"}`, `{"redirect_uris":["https://a.test/"],"redirect_uris":["https://b.test/"]}`, "\xff"} {
				if a := d.do("POST", "/connect/register", "", asJSON, doc); a.status != 400 || a.doc["error"] != "invalid_client_metadata" {
					t.Errorf("%q: %d %s", doc, a.status, a.body)
				}
			}
			d.do("POST", "/connect/register", "", "text/plain", shop()).refused("invalid_client_metadata", "application/json")
			d.do("POST", "/connect/register", "", asJSON, `{"x":"`+strings.Repeat("x", 64<<10)+`"}`).refused("invalid_client_metadata", "large")
		})
		t.Run("Q015 initiate_login_uri", func(t *testing.T) {
			if a := d.register("", shop("initiate_login_uri", "https://shop.test/start")).made(); a.text("initiate_login_uri") != "https://shop.test/start" {
				t.Errorf("%s", a.body)
			}
			d.register("", shop("initiate_login_uri", "http://shop.test/start")).refused("invalid_client_metadata", "initiate_login_uri")
		})
		t.Run("Q016 sector_identifier_uri", func(t *testing.T) {
			good := w.put("/sector", []byte(`["https://shop.test/cb","https://other.test/cb"]`))
			d.register("", shop("sector_identifier_uri", good, "subject_type", "pairwise", "redirect_uris", []string{"https://shop.test/cb", "https://other.test/cb"})).made()
			for name, body := range map[string]string{"/lacks": `["https://other.test/cb"]`, "/no-list": `{"a":1}`, "/no-json": `x`, "/numbers": `[1]`} {
				d.register("", shop("sector_identifier_uri", w.put(name, []byte(body)))).refused("invalid_client_metadata", "sector_identifier_uri")
			}
			d.register("", shop("sector_identifier_uri", w.web.URL+"/gone")).refused("invalid_client_metadata", "sector_identifier_uri")
			d.register("", shop("sector_identifier_uri", "http://shop.test/sector")).refused("invalid_client_metadata", "sector_identifier_uri")
			d.register("", shop("sector_identifier_uri", w.put("/huge", bytes.Repeat([]byte(" "), 65<<10)))).refused("invalid_client_metadata", "sector_identifier_uri")
			d.register("", shop("subject_type", "pairwise", "redirect_uris", []string{"https://shop.test/cb", "https://other.test/cb"})).refused("invalid_client_metadata", "sector_identifier_uri")
			d.register("", shop("subject_type", "pairwise")).made()
		})
		t.Run("Q017 jwks and jwks_uri exclude each other", func(t *testing.T) {
			key := map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}}
			d.register("", shop("jwks", key, "jwks_uri", "https://shop.test/jwks")).refused("invalid_client_metadata", "jwks")
			d.register("", shop("jwks_uri", w.put("/jwks", []byte("{}")))).made()
			if _, asked := w.fetched.Load("/jwks"); asked {
				t.Error("it was fetched at once")
			}
		})
		t.Run("Q018 each honoured, or refused: never another silently", func(t *testing.T) {
			for name, value := range map[string]any{
				"token_endpoint_auth_method": "client_secret_post", "id_token_signed_response_alg": "PS256", "userinfo_signed_response_alg": "ES256",
				"request_object_signing_alg": "none", "subject_type": "pairwise", "default_max_age": float64(7), "require_auth_time": true,
				"default_acr_values": []any{"1"}, "response_types": []any{"code", "code id_token"}, "request_uris": []any{"https://shop.test/r#h"},
				"contacts": []any{"ann@shop.test"}, "client_uri": "https://shop.test/", "policy_uri": "https://shop.test/p", "tos_uri": "https://shop.test/t",
			} {
				doc := shop(name, value)
				if name == "response_types" {
					doc["grant_types"] = []string{"authorization_code", "implicit"}
				}
				got, err := json.Marshal(d.register("", doc).made().doc[name])
				want, _ := json.Marshal(value)
				if err != nil || string(got) != string(want) {
					t.Errorf("%s: %s, not %s", name, got, want)
				}
			}
			for name, value := range map[string]any{
				"token_endpoint_auth_method": "tls_client_auth", "token_endpoint_auth_signing_alg": "RS256", "id_token_signed_response_alg": "none",
				"userinfo_signed_response_alg": "none", "request_object_signing_alg": "HS256", "subject_type": "secret", "default_max_age": -1,
				"response_types": []string{"token"}, "grant_types": []string{"password"}, "id_token_encrypted_response_alg": "RSA-OAEP",
				"dpop_bound_access_tokens": true, "default_acr_values": []string{""}, "contacts": []string{"a\nb"}, "client_name": "a\u202eb",
				"access_token_format": "paseto", "introspection_signed_response_alg": "HS256", "request_uris": []string{"http://shop.test/r"},
			} {
				d.register("", shop(name, value)).refused("invalid_client_metadata", name)
			}
		})
		t.Run("Q019 request_uris with a fragment", func(t *testing.T) {
			a := d.register("", shop("request_uris", []string{"https://shop.test/r#hash", "https://shop.test/r"})).made()
			if list, _ := a.doc["request_uris"].([]any); len(list) != 2 || list[0] != "https://shop.test/r#hash" {
				t.Errorf("%s", a.body)
			}
		})
		t.Run("Q020 S1 the logo is drawn anew; a picture that cannot be had is none", func(t *testing.T) {
			a := d.register("", shop("logo_uri", w.put("/logo.png", picture(t, 600, 300)))).made()
			raw, err := w.clients.Logo(t.Context(), a.text("client_id"))
			must(t, err)
			size, kind, err := image.DecodeConfig(bytes.NewReader(raw))
			if err != nil || kind != "png" || size.Width != 256 || size.Height != 128 {
				t.Errorf("%v %s %+v", err, kind, size)
			}
			a = d.register("", shop("logo_uri", w.put("/progressive.jpg", scans(t, 10)))).made()
			if _, err := w.clients.Logo(t.Context(), a.text("client_id")); err != nil {
				t.Errorf("a JPEG of ten scans: %v", err)
			}
			// A stranger hears the same of each: nothing of our network.
			for name, body := range map[string][]byte{
				"/svg": []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>`), "/text": []byte("hello"), "/bomb": picture(t, 1025, 1), "/scans": scans(t, 21),
				"/empty": {}, "/cut": picture(t, 300, 300)[:60],
			} {
				a := d.register("", shop("logo_uri", w.put(name, body))).made()
				if _, err := w.clients.Logo(t.Context(), a.text("client_id")); err == nil {
					t.Errorf("%s is served", name)
				}
			}
			for _, uri := range []string{"https://169.254.169.254/latest", "https://10.0.0.1/x.png", "https://[::1]/x", w.web.URL + "/none", issuer + "/static/x.png"} {
				a := d.register("", shop("logo_uri", uri)).made()
				if _, err := w.clients.Logo(t.Context(), a.text("client_id")); err == nil || a.text("logo_uri") != uri {
					t.Errorf("%s: %v", uri, err)
				}
			}
			// The operator is told.
			c := client.Client{RequirePKCE: true}
			c.Metadata.ClientName, c.Metadata.RedirectURIs, c.Metadata.LogoURI = "X", []string{"https://x.test/cb"}, w.web.URL+"/text"
			if _, _, err := w.clients.Create(t.Context(), c, ""); err == nil {
				t.Error("the operator is not told")
			}
		})
		t.Run("G20 a stranger grants himself nothing", func(t *testing.T) {
			a := d.register("", shop("skip_consent", true, "require_pkce", true, "verified_at", 1, "owner", "x", "client_id", "mine", "client_secret", strings.Repeat("s", 64), "trusted", true)).made()
			c, err := w.clients.Get(t.Context(), a.text("client_id"))
			must(t, err)
			if c.SkipConsent || c.Verified() || c.Owner != "" || c.ID == "mine" || w.clients.HoldsSecret(c, strings.Repeat("s", 64)) {
				t.Errorf("%+v", c)
			}
			d.register("", shop("scope", "openid admin")).refused("invalid_client_metadata", "scope")
			d.register("", shop("resources", []string{"https://api.test/"})).refused("invalid_client_metadata", "resources")
			d.register("", shop("resource_server_for", []string{"https://api.test/"})).refused("invalid_client_metadata", "resource_server_for")
		})
		t.Run("require_pkce: always of public clients, not of others that register", func(t *testing.T) {
			for method, want := range map[string]bool{"none": true, "client_secret_basic": false} {
				c, err := w.clients.Get(t.Context(), d.register("", shop("token_endpoint_auth_method", method)).made().text("client_id"))
				if err != nil || c.RequirePKCE != want {
					t.Errorf("%s: %v %v", method, c.RequirePKCE, err)
				}
			}
		})
		t.Run("R5 hosts that look like others", func(t *testing.T) {
			for _, uri := range []string{"https://exämple.test/cb", "https://evil。test/", "https://ｅｖｉｌ.test/", "https://shop.test/\u202egpj.cb"} {
				d.register("", shop("redirect_uris", []string{uri})).refused("invalid_redirect_uri", "redirect_uris")
			}
			c, err := w.clients.Get(t.Context(), d.register("", shop("redirect_uris", []string{"https://xn--exmple-cua.test/cb"})).made().text("client_id"))
			if err != nil || c.Host() != "xn--exmple-cua.test" {
				t.Errorf("%v %s: a look-alike must look unlike", err, c.Host())
			}
		})
		t.Run("R2 dangerous URIs, in every member that has one", func(t *testing.T) {
			for _, name := range []string{"client_uri", "logo_uri", "policy_uri", "tos_uri", "initiate_login_uri", "backchannel_logout_uri", "frontchannel_logout_uri", "jwks_uri", "sector_identifier_uri"} {
				for _, uri := range []string{"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://u:p@shop.test/", "http:///x", "https://shop.test/#f", "mailto:a@b", "https:shop.test"} {
					d.register("", shop(name, uri)).refused("invalid_client_metadata", name)
				}
			}
			for _, uri := range []string{"javascript:alert(1)", "https://shop.test/#f", "http://shop.test/"} {
				d.register("", shop("post_logout_redirect_uris", []string{uri})).refused("invalid_client_metadata", "post_logout_redirect_uris")
			}
		})
	})
}

// TestDoors: who may register, and whom the operator then vouches for.
func TestDoors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		verified := func(t *testing.T, a answer) bool {
			t.Helper()
			c, err := w.clients.Get(t.Context(), a.made().text("client_id"))
			must(t, err)
			return c.Verified()
		}
		token := func(t *testing.T, uses int64, ttl time.Duration) string {
			t.Helper()
			_, token, err := w.clients.NewRegistrationToken(t.Context(), uses, ttl)
			must(t, err)
			return token
		}
		t.Run("token: not without one", func(t *testing.T) {
			d := w.door(t, false, false, nil)
			d.register("", shop()).unknown()
			for _, bad := range []string{"x", "pp1i_" + strings.Repeat("A", 43), "pp1g_x"} {
				d.register(bad, shop("logo_uri", w.put("/asked", nil))).unknown()
			}
			if _, asked := w.fetched.Load("/asked"); asked {
				t.Error("something was fetched for a stranger with a made-up token")
			}
			if !verified(t, d.register(token(t, 1, time.Hour), shop("scope", "openid admin", "resources", []string{"https://api.test/"}))) {
				t.Error("a client that came with a token is not verified")
			}
		})
		t.Run("token: so many uses, so long", func(t *testing.T) {
			d := w.door(t, false, false, nil)
			two := token(t, 2, time.Hour)
			d.register(two, shop()).made()
			d.register(two, shop("redirect_uris", nil)).refused("invalid_redirect_uri", "") // a refusal uses nothing up
			d.register(two, shop()).made()
			d.register(two, shop()).unknown()
			old := token(t, 1, time.Hour)
			w.ahead += time.Hour
			d.register(old, shop()).unknown()
		})
		t.Run("token: 16 registrations at the same moment with one use", func(t *testing.T) {
			d := w.door(t, false, false, nil)
			one := token(t, 1, time.Hour)
			var wait sync.WaitGroup
			statuses := make([]int, 16)
			for i := range statuses {
				wait.Go(func() { statuses[i] = d.register(one, shop()).status })
			}
			wait.Wait()
			slices.Sort(statuses)
			if statuses[0] != 201 || statuses[1] != 401 || statuses[15] != 401 {
				t.Errorf("%v", statuses)
			}
		})
		t.Run("open: unverified, or as the operator says", func(t *testing.T) {
			if verified(t, w.door(t, true, false, nil).register("", shop())) {
				t.Error("nobody vouched for it")
			}
			if !verified(t, w.door(t, true, true, nil).register("", shop())) {
				t.Error("the operator vouches for all")
			}
			if !verified(t, w.door(t, true, false, nil).register(token(t, 1, time.Hour), shop())) {
				t.Error("it came with a token")
			}
			w.door(t, true, false, nil).register("x", shop()).unknown() // a wrong token is no missing one
		})
		t.Run("strangers are limited", func(t *testing.T) {
			limits := limit.New(limit.Config{Store: w.store, HashKey: make([]byte, 32)})
			d := w.door(t, true, false, limits)
			stopped := false
			for range 200 {
				if a := d.register("", shop()); a.status == http.StatusTooManyRequests {
					stopped = a.header.Get("Retry-After") != ""
					break
				}
			}
			if !stopped {
				t.Error("two hundred registrations from one address")
			}
			d.register(token(t, 1, time.Hour), shop()).made()
		})
		t.Run("D8 changes are limited: a client's, and a stranger's by network too", func(t *testing.T) {
			// fresh is a door where nothing has been counted yet.
			fresh := func(key byte) *door {
				return w.door(t, true, false, limit.New(limit.Config{Store: w.store, HashKey: bytes.Repeat([]byte{key}, 32)}))
			}
			d := fresh(1)
			// until changes a client until that is too much, and tells how often it was not.
			until := func(a answer, again func(answer) answer) int {
				for n := range 40 {
					put := d.do("PUT", a.managed(), a.text("registration_access_token"), asJSON, shop("client_id", a.text("client_id"), "client_name", fmt.Sprint(n)))
					if put.status == http.StatusTooManyRequests && put.header.Get("Retry-After") != "" {
						return n
					} else if put.status != http.StatusOK {
						t.Fatalf("%d %s", put.status, put.body)
					}
					a = again(a)
				}
				return 40
			}
			same := func(a answer) answer { return a }
			guest := d.register(token(t, 1, time.Hour), shop()).made()
			if n := until(guest, same); n != 20 {
				t.Errorf("a client with a token: %d changes", n)
			}
			if a := d.do("DELETE", guest.managed(), guest.text("registration_access_token"), "", nil); a.status != http.StatusTooManyRequests {
				t.Errorf("a removal beyond that: %d", a.status)
			}
			d = fresh(2)
			stranger := d.register("", shop()).made()
			if n := until(stranger, same); n != 19 {
				t.Errorf("a stranger, whose registration counted: %d changes", n)
			}
			d = fresh(3)
			// Each change by another of its clients: the network is what is counted.
			var own []answer
			for range 10 {
				own = append(own, d.register("", shop()).made())
			}
			if n := until(own[0], func(answer) answer { own = append(own[1:], own[0]); return own[0] }); n != 10 {
				t.Errorf("a stranger with ten clients: %d changes", n)
			}
		})
	})
}

// TestManage: RFC 7592.
func TestManage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.door(t, true, false, nil)
		t.Run("Q012 Q013 read, replace, delete", func(t *testing.T) {
			a := d.register("", shop("initiate_login_uri", "https://shop.test/start")).made()
			path, token, id := a.managed(), a.text("registration_access_token"), a.text("client_id")
			read := d.do("GET", path, token, "", nil)
			if read.status != 200 || read.text("client_name") != "Shop" || read.text("client_id") != id || read.text("registration_access_token") != token ||
				read.text("initiate_login_uri") != "https://shop.test/start" || read.doc["client_secret"] != nil {
				t.Errorf("%d %s", read.status, read.body)
			}
			next := shop("client_id", id, "client_secret", a.text("client_secret"), "client_name", "Shop 2", "tos_uri", "https://shop.test/t")
			if put := d.do("PUT", path, token, asJSON, next); put.status != 200 || put.text("client_name") != "Shop 2" || put.doc["initiate_login_uri"] != nil || put.doc["client_secret"] != nil {
				t.Errorf("%d %s", put.status, put.body)
			}
			if gone := d.do("DELETE", path, token, "", nil); gone.status != http.StatusNoContent || gone.body != "" {
				t.Errorf("%d %s", gone.status, gone.body)
			}
			d.do("GET", path, token, "", nil).unknown()
			d.do("PUT", path, token, asJSON, next).unknown()
			d.do("DELETE", path, token, "", nil).unknown()
			if w.count("client WHERE client_id = '%s'", id) != 0 {
				t.Error("its row is there still")
			}
		})
		t.Run("Q013 tokens", func(t *testing.T) {
			one, two := d.register("", shop()).made(), d.register("", shop()).made()
			for _, token := range []string{"", "x", two.text("registration_access_token"), one.text("client_secret"), "pp1g_" + strings.Repeat("A", 43)} {
				for _, method := range []string{"GET", "PUT", "DELETE"} {
					d.do(method, one.managed(), token, asJSON, shop("client_id", one.text("client_id"))).unknown()
				}
			}
			d.do("GET", "/connect/register/nobody", one.text("registration_access_token"), "", nil).unknown()
			must(t, w.clients.Disable(t.Context(), two.text("client_id")))
			d.do("GET", two.managed(), two.text("registration_access_token"), "", nil).unknown()
			// A client of the operator's has no such token, so none fits.
			c := client.Client{ID: "own", RequirePKCE: true}
			c.Metadata.ClientName, c.Metadata.RedirectURIs = "Own", []string{"https://own.test/cb"}
			_, _, err := w.clients.Create(t.Context(), c, "")
			must(t, err)
			d.do("GET", "/connect/register/own", "pp1g_", "", nil).unknown()
			if n := w.count("client WHERE length(registration_hash) NOT IN (0, 32)"); n != 0 {
				t.Errorf("%d tokens that are not hashes", n)
			}
		})
		t.Run("Q013 what a replacement must be", func(t *testing.T) {
			a := d.register("", shop()).made()
			put := func(doc map[string]any) answer {
				return d.do("PUT", a.managed(), a.text("registration_access_token"), asJSON, doc)
			}
			put(shop()).refused("invalid_client_metadata", "client_id")
			put(shop("client_id", "another")).refused("invalid_client_metadata", "client_id")
			put(shop("client_id", a.text("client_id"), "client_secret", "chosen-by-the-client-itself-0123456789")).refused("invalid_client_metadata", "client_secret")
			put(shop("client_id", a.text("client_id"), "redirect_uris", []string{"https://shop.test/*"})).refused("invalid_redirect_uri", "redirect_uris")
			put(shop("client_id", a.text("client_id"), "scope", "admin")).refused("invalid_client_metadata", "scope")
			// A client that comes to need its secret's value gets a new one; one that becomes public loses it, and must use PKCE.
			signs := put(shop("client_id", a.text("client_id"), "id_token_signed_response_alg", "HS256"))
			if signs.status != 200 || len(signs.text("client_secret")) < 64 || signs.text("client_secret") == a.text("client_secret") || signs.doc["client_secret_expires_at"] != float64(0) {
				t.Errorf("%d %s", signs.status, signs.body)
			}
			public := put(shop("client_id", a.text("client_id"), "token_endpoint_auth_method", "none"))
			c, err := w.clients.Get(t.Context(), a.text("client_id"))
			if public.status != 200 || err != nil || len(c.Secrets) != 0 || !c.RequirePKCE {
				t.Errorf("%d %s %+v", public.status, public.body, c)
			}
		})
		t.Run("Q013 G20 what the operator gave stays, and no more comes", func(t *testing.T) {
			a := d.register("", shop("scope", "openid")).made()
			id := a.text("client_id")
			put := func(changes ...any) answer {
				return d.do("PUT", a.managed(), a.text("registration_access_token"), asJSON, shop(append([]any{"client_id", id}, changes...)...))
			}
			_, _, err := w.clients.Update(t.Context(), id, func(c *client.Client) error {
				c.VerifiedAt = w.now()
				return nil
			})
			must(t, err)
			put("scope", "openid admin").refused("invalid_client_metadata", "scope") // it is known, and asks for itself
			_, _, err = w.clients.Update(t.Context(), id, func(c *client.Client) error {
				c.Metadata.Scope, c.Metadata.Resources, c.Metadata.ResourceServerFor = "openid admin", []string{"https://api.test/"}, []string{"https://own.test/"}
				return nil
			})
			must(t, err)
			given := []any{"scope", "openid admin", "resources", []string{"https://api.test/"}, "resource_server_for", []string{"https://own.test/"}}
			if a := put(given...); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			put(append(given, "scope", "admin root")...).refused("invalid_client_metadata", "scope")
			put(append(given, "resources", []string{"https://api.test/", "https://b.test/"})...).refused("invalid_client_metadata", "resources")
			put(append(given, "resource_server_for", []string{"https://b.test/"})...).refused("invalid_client_metadata", "resource_server_for")
			if a := put("scope", "openid"); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			put("scope", "openid admin").refused("invalid_client_metadata", "scope") // given up is gone
		})
		t.Run("Q016 a sector vouches for what is added later, too", func(t *testing.T) {
			sector := w.put("/sector-later", []byte(`["https://shop.test/cb","https://shop.test/second"]`))
			a := d.register("", shop("sector_identifier_uri", sector, "subject_type", "pairwise")).made()
			put := func(uris ...string) answer {
				return d.do("PUT", a.managed(), a.text("registration_access_token"), asJSON,
					shop("client_id", a.text("client_id"), "sector_identifier_uri", sector, "subject_type", "pairwise", "redirect_uris", uris))
			}
			put("https://other.test/cb").refused("invalid_client_metadata", "sector_identifier_uri")
			put("https://shop.test/cb", "https://other.test/cb").refused("invalid_client_metadata", "sector_identifier_uri")
			if ok := put("https://shop.test/cb", "https://shop.test/second"); ok.status != 200 {
				t.Errorf("%d %s", ok.status, ok.body)
			}
		})
		t.Run("who becomes another is not vouched for any more", func(t *testing.T) {
			tokenOf := func() string {
				_, token, err := w.clients.NewRegistrationToken(t.Context(), 1, time.Hour)
				must(t, err)
				return token
			}
			for name, change := range map[string][]any{
				"client_name": {"client_name", "Bank"}, "client_name#es": {"client_name#es", "Banco"}, "client_uri": {"client_uri", "https://bank.test/"},
				"logo_uri": {"logo_uri", "https://bank.test/l.png"}, "policy_uri": {"policy_uri", "https://bank.test/p"}, "tos_uri": {"tos_uri", "https://bank.test/t"},
				"redirect_uris": {"redirect_uris", []string{"https://shop.test/cb", "https://bank.test/cb"}}, "initiate_login_uri": {"initiate_login_uri", "https://bank.test/"},
				"post_logout_redirect_uris": {"post_logout_redirect_uris", []string{"https://bank.test/"}}, "frontchannel_logout_uri": {"frontchannel_logout_uri", "https://bank.test/"},
				"nothing": {}, "keys": {"jwks_uri", "https://shop.test/keys", "contacts", []string{"ann@shop.test"}, "token_endpoint_auth_method", "client_secret_post"},
			} {
				other := name != "nothing" && name != "keys"
				for _, by := range []struct {
					token string
					door  *door
					lost  bool
				}{{"", d, other}, {tokenOf(), d, false}, {"", w.door(t, true, true, nil), false}} {
					a := by.door.register(by.token, shop()).made()
					id := a.text("client_id")
					_, _, err := w.clients.Update(t.Context(), id, func(c *client.Client) error {
						c.VerifiedAt, c.SkipConsent = w.now(), true
						return nil
					})
					must(t, err)
					if put := by.door.do("PUT", a.managed(), a.text("registration_access_token"), asJSON, shop(append([]any{"client_id", id}, change...)...)); put.status != 200 {
						t.Fatalf("%s: %d %s", name, put.status, put.body)
					}
					c, err := w.clients.Get(t.Context(), id)
					must(t, err)
					if c.Verified() == by.lost || c.SkipConsent == other {
						t.Errorf("%s, of a client that came by %q: verified %v, skip_consent %v", name, c.RegisteredBy, c.Verified(), c.SkipConsent)
					}
				}
			}
		})
		t.Run("a logo that changes, and goes", func(t *testing.T) {
			a := d.register("", shop("logo_uri", w.put("/one.png", picture(t, 10, 10)))).made()
			id, token := a.text("client_id"), a.text("registration_access_token")
			first, err := w.clients.Logo(t.Context(), id)
			must(t, err)
			_, err = w.raw.Exec("DELETE FROM client_logo WHERE client_id = '" + id + "'")
			must(t, err)
			if again, err := w.clients.Logo(t.Context(), id); err != nil || !bytes.Equal(again, first) {
				t.Errorf("each visitor asks the database: %v", err)
			}
			d.do("PUT", a.managed(), token, asJSON, shop("client_id", id, "logo_uri", w.put("/two.png", picture(t, 20, 20))))
			if second, err := w.clients.Logo(t.Context(), id); err != nil || bytes.Equal(first, second) {
				t.Errorf("%v", err)
			}
			d.do("PUT", a.managed(), token, asJSON, shop("client_id", id))
			if _, err := w.clients.Logo(t.Context(), id); err == nil || w.count("client_logo WHERE client_id = '%s'", id) != 0 {
				t.Error("the old picture is there still")
			}
		})
	})
}

// TestFails: what the database does not answer is 503, and tells nothing.
func TestFails(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	room, err := registration.New(registration.Config{Issuer: issuer, Clients: w.clients, Open: true, ClientIP: func(*http.Request) netip.Addr { return netip.Addr{} }})
	must(t, err)
	must(t, w.store.Close())
	for _, r := range []*http.Request{
		httptest.NewRequest("POST", "/connect/register", strings.NewReader(`{"redirect_uris":["https://a.test/"]}`)),
		httptest.NewRequest("GET", "/connect/register/x", nil),
	} {
		r.Header.Set("Content-Type", asJSON)
		route := room.Routes()[0]
		if r.Method == "GET" {
			route = room.Routes()[1]
			r.Header.Set("Authorization", "Bearer pp1g_x")
		}
		rec := httptest.NewRecorder()
		if err := route.Handler(rec, r); err == nil || rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "sql") {
			t.Errorf("%s: %v %d %s", r.Method, err, rec.Code, rec.Body)
		}
	}
}
