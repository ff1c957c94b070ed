package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/account"
)

// part is one of a multipart form; one with a file's name is a file.
type part struct{ name, file, content string }

func multi(t *testing.T, parts ...part) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + p.name + `"`}}
		if p.file != "" {
			h.Set("Content-Disposition", h.Get("Content-Disposition")+`; filename="`+p.file+`"`)
		}
		if _, err := must(form.CreatePart(h)).Write([]byte(p.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return form.FormDataContentType(), b.String()
}

// upload sends the form of the picture as a browser does.
func (b *browser) upload(parts ...part) *browser {
	b.t.Helper()
	if b.get("/account/profile").has("picture-submit") {
		parts = append([]part{{name: "token", content: hidden(b.Body, "token")}}, parts...)
	}
	kind, body := multi(b.t, parts...)
	return b.send(http.MethodPost, "/account/picture", kind, body).follow()
}

func pngText(t *testing.T, w, h int) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// source is where the picture on the page is.
func source(body string) string {
	_, rest, _ := strings.Cut(body, `<img src="`)
	at, _, _ := strings.Cut(rest, `"`)
	return at
}

// TestGeneralInformation: 4.14, the page, and what sites get of it.
func TestGeneralInformation(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	b := w.browser(t).login("ada@example.test").get("/account/profile").want(200, "profile-submit")
	filled := map[string]string{
		"given_name": "Augusta", "middle_name": "Ada", "family_name": "King", "nickname": "Ada", "preferred_username": "ada.l", "gender": "female",
		"birthdate": "1915-12-10", "profile": "https://ada.test/", "website": "https://ada.test/web", "phone_number": "+44 20 7946 0123", "locale": "en-GB",
		"zoneinfo": "Europe/London", "street_address": "12 St James's Square", "postal_code": "SW1Y", "locality": "London", "region": "", "country": "UK",
	}
	fill := []string{"language", "en"}
	for _, name := range account.Editable() {
		if !b.has("profile-" + strings.ReplaceAll(name, "_", "-")) {
			t.Errorf("no field for %s", name)
		}
		fill = append(fill, name, filled[name])
	}
	t.Run("all of it is saved, and stands there again", func(t *testing.T) {
		b.submit("profile-submit", fill...).want(200, "profile-submit")
		for _, text := range []string{"Your changes are saved", `value="Augusta"`, `value="ada.l"`, `value="1915-12-10"`, `<option selected>Europe/London</option>`, `442079460123"`} {
			if !strings.Contains(b.Body, text) {
				t.Errorf("no %s", text)
			}
		}
	})
	t.Run("Q061 each scope gets its own", func(t *testing.T) {
		b.upload(part{"picture", "me.png", pngText(t, 60, 60)}).want(200, "picture-remove")
		seen := issuer + source(b.Body)
		a := must(w.people.Show(t.Context(), "ada@example.test"))
		profile := map[string]any{"name": "Ada Lovelace", "picture": seen, "updated_at": float64(a.UpdatedAt.Unix())}
		for _, name := range account.Editable()[:12] {
			if name != "phone_number" {
				profile[name] = filled[name]
			}
		}
		for scope, want := range map[string]map[string]any{
			"openid": {}, "openid profile": profile, "openid email": {"email": "ada@example.test", "email_verified": true},
			"openid phone": {"phone_number": "+442079460123"},
			"openid address": {"address": map[string]any{"street_address": "12 St James's Square", "postal_code": "SW1Y", "locality": "London", "country": "UK",
				"formatted": "12 St James's Square\nSW1Y London\nUK"}},
		} {
			got := w.userinfo(t, b, scope)
			delete(got, "sub")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, not %v", scope, got, want)
			}
		}
		var supported struct {
			Claims []string `json:"claims_supported"`
		}
		if err := json.Unmarshal([]byte(w.browser(t).get("/.well-known/openid-configuration").Body), &supported); err != nil {
			t.Fatal(err)
		}
		for name := range profile {
			if !slices.Contains(supported.Claims, name) {
				t.Errorf("discovery does not know %s", name)
			}
		}
	})
	t.Run("it is in the download", func(t *testing.T) {
		c := w.browser(t).loginWith(t, "ada@example.test", password)
		c.get("/account/data").want(200, "data-submit").submit("data-submit").want(200, "data-making")
		c.get(w.mailed(t)).want(200, "file-submit").submit("file-submit")
		var out struct {
			Account struct{ Claims map[string]any }
			Picture []byte
		}
		if err := json.Unmarshal([]byte(c.Body), &out); err != nil {
			t.Fatal(err)
		}
		if m, err := jpeg.DecodeConfig(bytes.NewReader(out.Picture)); err != nil || m.Width != 60 || out.Account.Claims["nickname"] != "Ada" || out.Account.Claims["picture"] == nil {
			t.Errorf("%v %+v %v", err, m, out.Account.Claims)
		}
	})
	t.Run("what is wrong is told beside the field, and the rest stands as it was typed", func(t *testing.T) {
		b.get("/account/profile").submit("profile-submit", "website", "javascript:alert(1)", "nickname", "Addie", "language", "en").want(422, "profile-website-error")
		if !strings.Contains(b.Body, `value="Addie"`) || strings.Contains(b.Body, "javascript:alert(1)\"") && !strings.Contains(b.Body, `value="javascript:alert(1)"`) {
			t.Error(b.Body)
		}
	})
	t.Run("a form that does not have a field does not empty it", func(t *testing.T) {
		b.get("/account/profile")
		b.post("/account/profile", url.Values{"token": {hidden(b.Body, "token")}, "name": {"Ada"}, "language": {"en"}}).want(200, "profile-submit")
		if !strings.Contains(b.Body, `value="Augusta"`) {
			t.Error("it does")
		}
	})
	t.Run("a date that the browser cannot show is not taken away", func(t *testing.T) {
		must(w.people.Set(t.Context(), "ada@example.test", account.Change{Claims: json.RawMessage(`{"birthdate":"1915","zoneinfo":"GB"}`)}))
		b.get("/account/profile")
		if !strings.Contains(b.Body, `<input id="profile-birthdate" name="birthdate" type="text" value="1915"`) || !strings.Contains(b.Body, "<option selected>GB</option>") {
			t.Error(b.Body)
		}
	})
}

// userinfo is what a site learns that asks for scopes.
func (w *world) userinfo(t *testing.T, b *browser, scope string) map[string]any {
	t.Helper()
	id := "site-" + strings.ReplaceAll(strings.TrimPrefix(scope, "openid"), " ", "")
	_, _, err := w.clients.Create(t.Context(), client.Client{ID: id, Name: "Site", SkipConsent: true, RequirePKCE: true, Metadata: client.Metadata{
		ClientName: "Site", RedirectURIs: []string{callback}, TokenEndpointAuthMethod: "none", Scope: scope, IDTokenSignedResponseAlg: "ES256"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.clients.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := b.clone()
	c.send(http.MethodGet, authorizeURL(id, "scope", scope), "", "")
	code := must(url.Parse(c.Header.Get("Location"))).Query().Get("code")
	c.post("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(c.Body), &token); err != nil {
		t.Fatalf("%s: %s", err, c.Body)
	}
	c.header.Set("Authorization", "Bearer "+token.Access)
	out := map[string]any{}
	if err := json.Unmarshal([]byte(c.get("/userinfo").Body), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// lateBody is a body before whose end something happens.
type lateBody struct {
	io.Reader
	then func()
}

func (b *lateBody) Read(p []byte) (int, error) {
	if b.then != nil {
		b.then()
		b.then = nil
	}
	return b.Reader.Read(p)
}

// TestPicture: 4.14, a picture comes by the one form that takes files, and is served to everybody who knows where.
func TestPicture(t *testing.T) {
	w := newWorld(t)
	w.person("ada@example.test")
	w.person("bob@example.test")
	b := w.browser(t).login("ada@example.test")
	me := part{"picture", "me.png", pngText(t, 600, 400)}
	t.Run("it is drawn anew and served to other sites", func(t *testing.T) {
		b.upload(me).want(200, "picture-remove")
		at := source(b.Body)
		other := w.browser(t)
		other.header.Set("Sec-Fetch-Site", "cross-site")
		other.get(at)
		m, err := jpeg.DecodeConfig(strings.NewReader(other.Body))
		if err != nil || m.Width != 400 || m.Height != 400 || len(other.Cookies) != 0 {
			t.Errorf("%+v %v", m, err)
		}
		for name, want := range map[string]string{"Content-Type": "image/jpeg", "Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'", "Cache-Control": "public, max-age=86400, immutable", "Cross-Origin-Opener-Policy": ""} {
			if got := other.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		b.upload(part{name: "remove", content: "1"}).want(200, "picture-submit")
		if b.has("picture-remove") || other.get(at).Status != http.StatusNotFound || other.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", other.Status, other.Header)
		}
	})
	t.Run("what is none is told beside the field", func(t *testing.T) {
		large := me
		large.content += strings.Repeat("\x00", account.MaxPicture+1-len(me.content))
		huge := me
		huge.content = strings.Repeat("\x00", account.MaxPicture+(1<<20))
		for _, c := range []struct {
			file   part
			status int
			text   string
		}{
			{part{"picture", "x.svg", `<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>`}, 422, "not a picture"},
			{part{"picture", "x.png", me.content[:100]}, 422, "not a picture"},
			{part{"picture", "x.png", pngText(t, 9000, 1)}, 422, "not a picture"},
			{part{"picture", "", ""}, 422, "choose a picture"},
			{part{"other", "", "x"}, 422, "choose a picture"},
			{large, 413, "too large"}, {huge, 413, "too large"},
		} {
			b.upload(c.file).want(c.status, "profile-picture-error")
			if !strings.Contains(b.Body, c.text) {
				t.Errorf("no %q", c.text)
			}
		}
	})
	t.Run("B1 B10 the form is ours, and of who is signed in", func(t *testing.T) {
		bob := w.browser(t).login("bob@example.test").get("/account/profile")
		for name, token := range map[string]string{"none": "", "another's": hidden(bob.Body, "token")} {
			kind, body := multi(t, part{"token", "", token}, me)
			if b.send(http.MethodPost, "/account/picture", kind, body); b.Status != http.StatusForbidden {
				t.Errorf("%s: %d", name, b.Status)
			}
		}
		b.get("/account/profile")
		kind, body := multi(t, part{"token", "", hidden(b.Body, "token")}, me)
		evil := b.clone()
		evil.header.Set("Sec-Fetch-Site", "cross-site")
		if evil.send(http.MethodPost, "/account/picture", kind, body); evil.Status != http.StatusForbidden {
			t.Errorf("from another site: %d", evil.Status)
		}
		if nobody := w.browser(t).send(http.MethodPost, "/account/picture", kind, body); nobody.Status != http.StatusSeeOther || !strings.HasPrefix(nobody.Header.Get("Location"), "/login") {
			t.Errorf("nobody: %d", nobody.Status)
		}
	})
	t.Run("A24 D1 what is no such form", func(t *testing.T) {
		b.get("/account/profile")
		token := part{"token", "", hidden(b.Body, "token")}
		for name, parts := range map[string][]part{
			"twice": {token, token, me}, "two files": {token, me, me}, "a file as a field": {{"token", "t.txt", token.content}, me},
			"NUL": {token, {"remove", "", "1\x00"}}, "invalid UTF-8": {token, {"\xff", "", "1"}}, "a long field": {token, {"remove", "", strings.Repeat("a", 17<<10)}},
		} {
			kind, body := multi(t, parts...)
			if b.send(http.MethodPost, "/account/picture", kind, body); b.Status != http.StatusBadRequest {
				t.Errorf("%s: %d", name, b.Status)
			}
		}
		many := []part{token}
		for i := range 70 {
			many = append(many, part{"f" + strings.Repeat("x", i), "", ""})
		}
		kind, body := multi(t, many...)
		if b.send(http.MethodPost, "/account/picture", kind, body); b.Status != http.StatusBadRequest {
			t.Errorf("70 fields: %d", b.Status)
		}
		// Beside the file no more comes in than in any other form.
		many = []part{token}
		for i := range 60 {
			many = append(many, part{"f" + strings.Repeat("x", i), "", strings.Repeat("a", 16<<10)})
		}
		many = append(many, part{"picture", "me.png", strings.Repeat("\x00", account.MaxPicture)})
		kind, body = multi(t, many...)
		if b.send(http.MethodPost, "/account/picture", kind, body); b.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("a body beyond: %d", b.Status)
		}
		kind, body = multi(t, token, me)
		for name, c := range map[string][2]string{"no boundary": {"multipart/form-data", body}, "mixed": {strings.Replace(kind, "form-data", "mixed", 1), body},
			"urlencoded": {formType, "token=" + token.content}, "cut": {kind, body[:len(body)-20]}, "none": {"", ""}} {
			if b.send(http.MethodPost, "/account/picture", c[0], c[1]); b.Status != http.StatusBadRequest && b.Status != http.StatusUnsupportedMediaType {
				t.Errorf("%s: %d", name, b.Status)
			}
		}
		b.header.Set("Content-Encoding", "gzip")
		if b.send(http.MethodPost, "/account/picture", kind, body); b.Status != http.StatusUnsupportedMediaType {
			t.Errorf("D7: %d", b.Status)
		}
		b.header.Del("Content-Encoding")
	})
	t.Run("A17 a session that ended while the file came changes nothing", func(t *testing.T) {
		for name, act := range map[string]part{"a picture": me, "none": {"remove", "", "1"}} {
			before := must(w.people.Show(t.Context(), "bob@example.test")).Claims
			bob := w.browser(t).login("bob@example.test").get("/account/profile")
			kind, body := multi(t, part{"token", "", hidden(bob.Body, "token")}, act)
			arrives := &lateBody{Reader: strings.NewReader(body), then: func() {
				if err := w.session.EndAll(t.Context(), must(w.people.Show(t.Context(), "bob@example.test")).ID, ""); err != nil {
					t.Error(err)
				}
			}}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/account/picture", arrives)
			r.RequestURI, r.Host = "/account/picture", "op.test"
			r.Header.Set("Content-Type", kind)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for name, value := range bob.jar {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if to := rec.Header().Get("Location"); rec.Code != http.StatusSeeOther || to != "/login?next=profile" {
				t.Errorf("%s: %d to %q", name, rec.Code, to)
			}
			if after := must(w.people.Show(t.Context(), "bob@example.test")).Claims; string(after) != string(before) {
				t.Errorf("%s: %s, before it %s", name, after, before)
			}
		}
	})
	t.Run("D1 of one account two files are in memory at once, of all sixteen", func(t *testing.T) {
		begin := func(b *browser) (end func()) {
			body, rest := io.Pipe()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/account/picture", body)
			r.RequestURI, r.Host = "/account/picture", "op.test"
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			for name, value := range b.jar {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			var done sync.WaitGroup
			done.Go(func() { w.handler.ServeHTTP(httptest.NewRecorder(), r) })
			// What was written has been read: the file is on its way.
			if _, err := io.WriteString(rest, "--x\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"me.png\"\r\n\r\nx"); err != nil {
				t.Error(err)
			}
			return func() {
				_ = rest.CloseWithError(io.ErrUnexpectedEOF)
				done.Wait()
			}
		}
		bob := w.browser(t).login("bob@example.test")
		var ends []func()
		end := func() {
			for _, end := range ends {
				end()
			}
			ends = nil
		}
		defer end()
		for range 2 {
			ends = append(ends, begin(b))
		}
		if b.upload(me); b.Status != http.StatusServiceUnavailable || b.Header.Get("Retry-After") == "" {
			t.Errorf("a third file of one account: %d", b.Status)
		}
		bob.upload(me).want(200, "picture-remove")
		for i := range 7 {
			email := fmt.Sprintf("u%d@example.test", i)
			w.person(email)
			some := w.browser(t).login(email)
			ends = append(ends, begin(some), begin(some))
		}
		if bob.upload(me); bob.Status != http.StatusServiceUnavailable {
			t.Errorf("a seventeenth file: %d", bob.Status)
		}
		end()
		b.upload(me).want(200, "picture-remove")
	})
	t.Run("no other route takes such a form, or so much", func(t *testing.T) {
		b.get("/account/profile")
		token := part{"token", "", hidden(b.Body, "token")}
		kind, body := multi(t, token, part{"name", "", "Eve"}, part{"language", "", "en"}, me)
		_, large := multi(t, token, part{"picture", "me.png", strings.Repeat("\x00", 65<<10)})
		for _, route := range w.site.Routes() {
			if !slices.Contains(route.Methods, http.MethodPost) || route.Upload {
				continue
			}
			c := b.clone()
			if c.send(http.MethodPost, address(route.Path), kind, body); c.Status < 400 || c.Status > 415 {
				t.Errorf("%s: %d", route.Path, c.Status)
			}
			if c.send(http.MethodPost, address(route.Path), kind, large); c.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("%s takes 65 KiB: %d", route.Path, c.Status)
			}
		}
	})
}
