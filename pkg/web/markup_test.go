package web_test

import (
	"io/fs"
	"net/url"
	"path"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/storage/storagetest"
	"github.com/passport-network/passport/templates"
)

// markup breaks out of text, of an attribute and of a template, where nothing hinders it; then there is an element <b9>.
const markup = `"'><b9 onclick=x()>{{7*7}}&lt;`

// marked tells whether a document shows markup as it was written, and fails where it has become a part of it.
func marked(t *testing.T, where, document string) (shown bool) {
	t.Helper()
	for n := range must(html.Parse(strings.NewReader(document))).Descendants() {
		if n.Type == html.ElementNode && n.Data == "b9" {
			t.Errorf("%s: markup reaches the page", where)
		}
		shown = shown || n.Type == html.TextNode && strings.Contains(n.Data, markup)
		for _, a := range n.Attr {
			shown = shown || strings.Contains(a.Val, markup)
			if a.Key == "onclick" {
				t.Errorf("%s: an attribute reaches the page", where)
			}
		}
	}
	return shown
}

// TestB9Markup: what people and sites call themselves is text wherever it is shown. The rows are written past the rules of
// account, which refuse most of it: what one rule lets pass, the pages must hold.
func TestB9Markup(t *testing.T) {
	dsn := storagetest.SQLite(t)
	w := newWorldOn(t, storagetest.Open(t, dsn), func(c *account.Config) {})
	w.client("app")
	w.change("app", func(c *client.Client) {
		c.Name, c.Metadata.ClientName = markup, markup
		c.Metadata.GrantTypes = append(c.Metadata.GrantTypes, client.GrantDevice)
		c.Metadata.InitiateLoginURI, c.Metadata.BackchannelLogoutURI = "https://app.test/start", "https://app.test/told"
	})
	write := func(statement string, args ...any) {
		t.Helper()
		if n := must(must(storagetest.DB(t, dsn).Exec(statement, args...)).RowsAffected()); n == 0 {
			t.Fatalf("%s: no row", statement)
		}
	}
	w.person("ada@example.test")
	w.person("grace@example.test")
	t.Run("B9 names of people and of sites, programs, questions", func(t *testing.T) {
		shown := map[string]bool{}
		b := w.browser(t)
		b.header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) "+markup+" Firefox/140.0")
		b.seen = func() {
			where, _, _ := strings.Cut(b.URL, "?")
			shown[where] = marked(t, where, b.Body) || shown[where]
		}
		b.loginWith(t, "ada@example.test", password).get("/account/recovery").want(200, "recovery-question-submit").
			submit("recovery-question-submit", "recovery-question", "Which street?", "recovery-answer", "Elm Lane").want(200, "recovery-set")
		write(`UPDATE account SET name = ?, claims = json_object('given_name', ?, 'nickname', ?)`, markup, markup, markup)
		write(`UPDATE recovery SET question = ?`, markup)

		flow := b.clone()
		flow.jar = map[string]string{}
		flow.seen = func() {
			where, _, _ := strings.Cut(flow.URL, "?")
			shown[where] = marked(t, where, flow.Body) || shown[where]
		}
		flow.get(authorizeURL("app")).want(200, "login-submit")
		i := must(url.Parse(flow.URL)).Query().Get("i")
		for _, page := range []string{"/register", "/recover", "/lookup", "/help", "/login"} {
			flow.get(page+"?i="+i).want(200, "")
		}
		flow.submit("login-submit", "username", "ada@example.test", "password", password).want(200, "consent-allow").submit("consent-allow")
		flow.get(authorizeURL("app", "prompt", "select_account")).want(200, "account-other")
		flow.get("/login?i="+must(url.Parse(flow.URL)).Query().Get("i")).want(200, "login-submit").submit("login-submit", "username", "grace@example.test", "password", password).want(200, "consent-allow").submit("consent-allow")
		flow.get(authorizeURL("app", "prompt", "select_account")).want(200, "account-choose-2")
		_, code := w.device(t, "app")
		flow.get("/device?user_code="+code).want(200, "device-submit").submit("device-submit").want(200, "account-choose-1").submit("account-choose-1").want(200, "consent-allow")
		for _, page := range []string{"/", "/register", "/sites/app/start", "/account/profile", "/account/security", "/account/sites", "/account/activity", "/account/address",
			"/account/data", "/account/close", "/account/password"} {
			flow.get(page).want(200, "")
		}
		flow.get("/logout").want(200, "logout-yes").submit("logout-yes").want(200, "told")
		b.get("/account/recovery")
		b.get("/recover").submit("recover-submit", "email", "ada@example.test").want(200, "go-on")
		b.get(w.mailed(t)).want(200, "recovery-asked")
		for _, page := range []string{"/login", "/register", "/recover", "/lookup", "/help", "/accounts", "/consent", "/", "/sites/app/start", "/account/profile", "/account/sites",
			"/account/activity", "/logout", "/logout/done", "/account/recovery", "/recover/password"} {
			if !shown[page] {
				t.Errorf("%s does not show it as it was written", page)
			}
		}
	})
	t.Run("B9 mails in HTML", func(t *testing.T) {
		data := map[string]string{"browser": markup, "system": markup, "network": markup, "time": markup, "until": markup}
		for _, purpose := range []string{"confirm", "cancel", "recover", "alarm", "address", "backup", "request", "stop", "regain", "reopen", "allow", "data", "invitation"} {
			data[purpose] = strings.Repeat("A", 40)
		}
		named := 0
		for _, file := range must(fs.Glob(templates.Mail, "mail/*.txt")) {
			name, language, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".txt"), ".")
			err := w.mailer.Send(t.Context(), mail.Message{To: "ada@example.test", Name: markup, Language: language, Template: name, Data: data})
			if err == nil {
				_, err = w.queue.RunDue(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			letter := w.inbox.List()[0]
			if marked(t, name, letter.HTML) {
				named++
			}
			if strings.Contains(letter.Text, markup) && !marked(t, "the inbox", w.browser(t).get("/dev/inbox/"+letter.ID).want(200, "").Body) {
				t.Errorf("%s: the inbox does not show it as it was written", name)
			}
		}
		if named < 20 {
			t.Errorf("%d mails name anybody", named)
		}
	})
}
