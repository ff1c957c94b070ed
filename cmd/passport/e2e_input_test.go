//go:build e2e

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/storage/storagetest"
)

// TestBadInput sends, at every parameter of every endpoint, every field of every form and every parameter of every
// page that takes any: nothing, the value twice, 100 KB, NUL, invalid UTF-8; and to every endpoint a wrong method
// and multipart. Each answer must be what
// its specification names, never a 5xx, and nothing may stay in the database but bounded interactions.
func TestBadInput(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { badInput(t, newWorld(t, "", false)) })
	t.Run("postgres", func(t *testing.T) { badInput(t, newWorld(t, storagetest.Postgres(t), false)) })
}

// endpoint is one that takes parameters, with a request that is good as it stands.
type endpoint struct {
	name     string
	method   string // of the good request
	path     string
	params   url.Values
	basic    [2]string
	required []string
	// wrongMethod is one that the endpoint does not have.
	wrongMethod string
}

var mutations = []struct {
	name   string
	mutate func(v url.Values, param string)
}{
	{"missing", func(v url.Values, p string) { v.Del(p) }},
	{"doubled", func(v url.Values, p string) { v.Add(p, v.Get(p)) }},
	{"100 KB", func(v url.Values, p string) { v.Set(p, strings.Repeat("a", 100<<10)) }},
	{"NUL", func(v url.Values, p string) { v.Set(p, v.Get(p)+"\x00") }},
	{"invalid UTF-8", func(v url.Values, p string) { v.Set(p, v.Get(p)+"\xff\xfe") }},
}

func badInput(t *testing.T, w *world) {
	w.start()
	password := "Blue-" + rand.Text()
	file := filepath.Join(w.dir, "password")
	check(os.WriteFile(file, []byte(password), 0o600))
	w.command("account", "create", "--email", "alice@example.test", "--password-file", file, "--confirmed", "--json")
	redirect := "http://localhost:1/callback"
	id, secret := w.client(map[string]any{
		"client_name": "Bad input", "redirect_uris": []string{redirect}, "post_logout_redirect_uris": []string{"http://localhost:1/"},
		"grant_types": []string{"authorization_code", "refresh_token", "client_credentials"}, "scope": "openid profile offline_access read",
	})
	basic := [2]string{id, secret}
	postID, postSecret := w.client(map[string]any{
		"client_name": "Bad input by post", "redirect_uris": []string{redirect}, "token_endpoint_auth_method": "client_secret_post",
		"grant_types": []string{"authorization_code", "client_credentials"}, "scope": "read",
	})
	sum := sha256.Sum256([]byte(strings.Repeat("v", 43)))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	authorize := url.Values{
		"client_id": {id}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid profile"}, "state": {"a-state"},
		"nonce": {"a-nonce"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "prompt": {"login"}, "max_age": {"60"},
		"display": {"page"}, "ui_locales": {"es"}, "claims_locales": {"es"}, "login_hint": {"alice@example.test"}, "acr_values": {"1"},
		"claims": {`{"userinfo":{"name":null}}`}, "response_mode": {"query"},
	}
	endpoints := []endpoint{
		{name: "token code", method: "POST", path: "/token", basic: basic, wrongMethod: "GET", required: []string{"grant_type", "code", "redirect_uri", "code_verifier"},
			params: url.Values{"grant_type": {"authorization_code"}, "code": {"pp1c_" + strings.Repeat("x", 43)}, "redirect_uri": {redirect}, "code_verifier": {strings.Repeat("v", 43)}}},
		{name: "token refresh", method: "POST", path: "/token", basic: basic, wrongMethod: "PUT", required: []string{"grant_type", "refresh_token"},
			params: url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"pp1r_" + strings.Repeat("x", 70)}, "scope": {"openid"}}},
		{name: "token client_credentials", method: "POST", path: "/token", wrongMethod: "PATCH", required: []string{"grant_type", "client_id", "client_secret"},
			params: url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "client_id": {postID}, "client_secret": {postSecret}}},
		{name: "revoke", method: "POST", path: "/revoke", basic: basic, wrongMethod: "GET", required: []string{"token"},
			params: url.Values{"token": {"pp1a_" + strings.Repeat("x", 43)}, "token_type_hint": {"access_token"}}},
		{name: "introspect", method: "POST", path: "/introspect", basic: basic, wrongMethod: "GET", required: []string{"token"},
			params: url.Values{"token": {"pp1a_" + strings.Repeat("x", 43)}, "token_type_hint": {"access_token"}}},
		{name: "userinfo", method: "POST", path: "/userinfo", wrongMethod: "DELETE", required: []string{"access_token"},
			params: url.Values{"access_token": {"pp1a_" + strings.Repeat("x", 43)}}},
		{name: "authorize GET", method: "GET", path: "/authorize", wrongMethod: "DELETE", params: authorize, required: []string{"client_id", "redirect_uri", "response_type", "code_challenge"}},
		{name: "authorize POST", method: "POST", path: "/authorize", wrongMethod: "PUT", params: authorize, required: []string{"client_id", "redirect_uri", "response_type", "code_challenge"}},
	}
	ending := url.Values{
		"client_id": {id}, "post_logout_redirect_uri": {"http://localhost:1/"}, "state": {"a-state"}, "ui_locales": {"es"},
		"logout_hint": {"alice@example.test"}, "id_token_hint": {"e30.e30.e30"},
	}
	endpoints = append(endpoints,
		endpoint{name: "end_session GET", method: "GET", path: "/end_session", wrongMethod: "DELETE", params: ending},
		endpoint{name: "end_session POST", method: "POST", path: "/end_session", wrongMethod: "PUT", params: ending},
	)
	profile, photo, leaving, changing := w.person(), w.person(), w.person(), w.person()
	asked, chooser := w.person(), w.person()
	for _, p := range []*person{profile, photo, leaving, changing, asked, chooser} {
		p.get(w.issuer+"/login").submit("login-submit", map[string]string{"username": "alice@example.test", "password": password})
	}
	waiting := w.person()
	waiting.register(w, "new@example.test", "Blue-"+rand.Text())
	letter := w.smtp.next()
	for letter.to[0] != "new@example.test" { // alice is told of new browsers
		letter = w.smtp.next()
	}
	before := w.rows()
	for _, e := range endpoints {
		t.Run(e.name, func(t *testing.T) { w.attack(t, e, redirect) })
	}
	quiet := maps.Clone(authorize)
	delete(quiet, "prompt")
	delete(quiet, "max_age")
	silent := w.issuer + "/authorize?" + quiet.Encode()
	inFlow := w.person().get(w.issuer + "/authorize?" + authorize.Encode())
	for _, f := range []struct {
		name   string
		person *person
		id     string
	}{
		{"login", w.person().get(w.issuer + "/login"), "login-submit"},
		{"login in a flow", inFlow, "login-submit"},
		{"register", w.person().get(w.issuer + "/register"), "register-submit"},
		{"general information", profile.get(w.issuer + "/account/profile"), "profile-submit"},
		{"picture", photo.get(w.issuer + "/account/profile"), "picture-submit"},
		{"logout", leaving.get(w.issuer + "/logout"), "logout-yes"},
		{"terms", w.person().get(w.issuer+"/register").submit("register-submit", map[string]string{
			"register-email": "other@example.test", "register-password": password, "register-name": "Alice"}), "terms-submit"},
		{"waiting", waiting, "resend-submit"},
		{"recover", w.person().get(w.issuer + "/recover"), "recover-submit"},
		{"lookup", w.person().get(w.issuer + "/lookup"), "lookup-submit"},
		{"password", changing.get(w.issuer + "/account/password"), "password-submit"},
		{"confirm", w.person().get(letter.link(t, "confirm")), "confirm-submit"},
		{"cancel", w.person().get(letter.link(t, "cancel")), "cancel-submit"},
		{"consent", asked.get(silent), "consent-allow"},
		{"accounts", chooser.get(silent + "&prompt=select_account"), "chooser"},
	} {
		t.Run("page "+f.name, func(t *testing.T) { attackForm(t, f.person, f.id) })
	}
	for _, page := range []string{
		"/login?i", "/register?i", "/consent?i", "/accounts?i", "/confirm?t", "/confirm?fresh", "/confirm/done?h", "/cancel?t",
		"/login?next", "/register?next", "/register?invitation", "/lookup?i", "/terms?i", "/terms?next",
	} {
		path, param, _ := strings.Cut(page, "?")
		good := map[string]string{"i": inFlow.URL.Query().Get("i"), "t": tokenOf(letter.link(t, "confirm"))}[param]
		for _, m := range mutations[1:] { // what is missing is another page
			t.Run("page "+page+" "+m.name, func(t *testing.T) {
				v := url.Values{param: {good}}
				m.mutate(v, param)
				if res, _ := w.raw(endpoint{method: "GET", path: path}, v); res.StatusCode < 400 || res.StatusCode >= 500 {
					t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
				}
			})
		}
	}
	after := w.rows()
	// An authorize request that stands without the parameter leaves one bounded interaction; rates and audit
	// rows are counters; client_credentials without the optional scope is a good request.
	before["access_token"]++
	for table, n := range after {
		switch table {
		case "interaction", "rate", "audit", "goose_db_version":
		case "outbox": // the mail of the registration may have gone out meanwhile
			if n > before[table] {
				t.Errorf("%d mails", n)
			}
		default:
			if n != before[table] {
				t.Errorf("%s: %d rows before, %d after", table, before[table], n)
			}
		}
	}
	if strings.Contains(w.logs.String(), `"status":500`) {
		t.Error("the log has a 500")
	}
}

// attack runs every mutation at every parameter of one endpoint.
func (w *world) attack(t *testing.T, e endpoint, redirect string) {
	for _, param := range slices.Sorted(maps.Keys(e.params)) {
		for _, m := range mutations {
			t.Run(param+" "+m.name, func(t *testing.T) {
				params := url.Values{}
				for k, v := range e.params {
					params[k] = slices.Clone(v)
				}
				m.mutate(params, param)
				res, body := w.raw(e, params)
				w.judge(t, e, param, m.name, res, body, redirect)
			})
		}
	}
	t.Run("wrong method", func(t *testing.T) {
		bad := e
		bad.method = e.wrongMethod
		if res, _ := w.raw(bad, e.params); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") == "" {
			t.Errorf("%d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
		}
	})
	if e.method == "POST" {
		t.Run("multipart", func(t *testing.T) {
			if status := w.multipart(e); status != 400 && status != 415 {
				t.Errorf("%d", status)
			}
		})
	}
}

// judge holds one answer against what the endpoint's specification names.
func (w *world) judge(t *testing.T, e endpoint, param, mutation string, res *http.Response, body string, redirect string) {
	t.Helper()
	status := res.StatusCode
	if status >= 500 {
		t.Fatalf("%d\n%s", status, body)
	}
	required := slices.Contains(e.required, param)
	switch {
	case mutation == "100 KB":
		if status != 413 && status != 414 && status != 431 {
			t.Errorf("%d, not 413, 414 or 431", status)
		}
	case mutation == "missing" && !required:
		// An optional parameter: the request stands without it.
	case e.path == "/authorize" && (param == "client_id" || param == "redirect_uri"):
		// RFC 6749 §4.1.2.1: nothing is proven, so our page and no redirect.
		if status < 400 || res.Header.Get("Location") != "" {
			t.Errorf("%d to %q", status, res.Header.Get("Location"))
		}
	case e.path == "/authorize":
		location, err := res.Location()
		if err != nil || !strings.HasPrefix(location.String(), redirect+"?") || location.Query().Get("error") == "" {
			t.Errorf("%d to %q, not an error at the client", status, res.Header.Get("Location"))
		}
	case status < 400:
		t.Errorf("%d\n%s", status, body)
	}
}

func (w *world) raw(e endpoint, params url.Values) (*http.Response, string) {
	w.t.Helper()
	target := w.issuer + e.path
	var body io.Reader
	if e.method == "GET" || e.method == "DELETE" {
		target += "?" + params.Encode()
	} else {
		body = strings.NewReader(params.Encode())
	}
	req := must(http.NewRequest(e.method, target, body))
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return w.do(req, e.basic)
}

func (w *world) do(req *http.Request, basic [2]string) (*http.Response, string) {
	w.t.Helper()
	if basic[0] != "" {
		req.SetBasicAuth(url.QueryEscape(basic[0]), url.QueryEscape(basic[1]))
	}
	client := w.ca.httpClient()
	defer client.CloseIdleConnections()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	return res, string(must(io.ReadAll(res.Body)))
}

func (w *world) multipart(e endpoint) int {
	w.t.Helper()
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	for k, v := range e.params {
		check(form.WriteField(k, v[0]))
	}
	check(form.Close())
	req := must(http.NewRequest(e.method, w.issuer+e.path, &buf))
	req.Header.Set("Content-Type", form.FormDataContentType())
	res, _ := w.do(req, e.basic)
	return res.StatusCode
}

// attackForm mutates every field of a page's form as a browser would send it.
func attackForm(t *testing.T, p *person, id string) {
	form := p.byID(id)
	if form == nil {
		t.Fatalf("no #%s at %s (status %d)\n%s", id, p.URL.Path, p.Status, p.Body)
	}
	for form.Data != "form" {
		form = form.Parent
	}
	good := url.Values{}
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attr(n, "name") != "" {
			good.Set(attr(n, "name"), attr(n, "value"))
			if attr(n, "value") == "" {
				good.Set(attr(n, "name"), "Something-4711")
			}
		}
	}
	for n := range form.Descendants() {
		if name := attr(n, "name"); n.Type == html.ElementNode && n.Data == "button" && name != "" && !good.Has(name) {
			good.Set(name, attr(n, "value"))
		}
	}
	if id == "confirm-submit" {
		good.Del("username") // for password managers alone
	}
	action := must(p.URL.Parse(attr(form, "action"))).String()
	cookies := maps.Clone(p.jar)
	for _, field := range slices.Sorted(maps.Keys(good)) {
		for _, m := range mutations {
			t.Run(fmt.Sprintf("%s %s", field, m.name), func(t *testing.T) {
				v := url.Values{}
				for k, list := range good {
					v[k] = slices.Clone(list)
				}
				m.mutate(v, field)
				p.jar = maps.Clone(cookies)
				p.send("POST", action, v)
				if p.Status < 400 || p.Status >= 500 {
					t.Errorf("%d\n%s", p.Status, p.Body)
				}
			})
		}
	}
}

// rows counts the rows of every table.
func (w *world) rows() map[string]int {
	w.t.Helper()
	driver, dsn := "pgx", w.database()
	list := "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
		list = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	}
	db := must(sql.Open(driver, dsn))
	defer db.Close()
	names := must(db.Query(list))
	var tables []string
	for names.Next() {
		var name string
		check(names.Scan(&name))
		tables = append(tables, name)
	}
	check(names.Err())
	counts := map[string]int{}
	for _, table := range tables {
		var n int
		check(db.QueryRow("SELECT count(*) FROM " + table).Scan(&n))
		counts[table] = n
	}
	return counts
}
