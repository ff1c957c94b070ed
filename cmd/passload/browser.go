package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// pages says how to work a provider's pages: the names of the two fields, and which buttons to press. A button is
// "#id", ".class" or "name=value".
type pages struct {
	username, password, login, consent string
	fields                             url.Values // what else is filled in, where a form has it
}

// presets are the pages that are known.
var presets = map[string]pages{
	"passport":      {"username", "password", "#login-submit", "#consent-allow", nil},
	"oidc-provider": {"login", "password", ".login-submit", ".login-submit", nil}, // its devInteractions
}

// askedForPage is the fault of a provider that asks a person where nobody is.
const askedForPage = "asked for a page"

// mostSteps bounds one way through pages and redirects.
const mostSteps = 20

// browser is one person's: cookies, redirects and forms. Scripts do not run.
type browser struct {
	agent *agent
	jar   *cookiejar.Jar
	typed bool // the password
}

func newBrowser(a *agent) *browser {
	jar, _ := cookiejar.New(nil) // fails never
	return &browser{agent: a, jar: jar}
}

func (b *browser) do(ctx context.Context, r *http.Request) (*answer, error) {
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	r.Header.Set("Accept", "text/html")
	got, err := b.agent.do(ctx, r)
	if err == nil {
		if set := got.header["Set-Cookie"]; set != nil {
			b.jar.SetCookies(r.URL, (&http.Response{Header: got.header}).Cookies())
		}
	}
	return got, err
}

// person is who signs in.
type person struct{ username, password string }

// walk begins at a request and ends when the way leads to end: then it gives the parameters there. Who may type a
// password is who; nil: a page is a failure.
func (b *browser) walk(ctx context.Context, start, end *url.URL, how pages, who *person) (url.Values, error) {
	r, err := http.NewRequest(http.MethodGet, start.String(), nil) //nolint:noctx // do has it
	if err != nil {
		return nil, err
	}
	for range mostSteps {
		got, err := b.do(ctx, r)
		if err != nil {
			return nil, err
		}
		if got.status >= 300 && got.status < 400 {
			to, err := r.URL.Parse(got.header.Get("Location"))
			if err != nil || got.header.Get("Location") == "" {
				return nil, faultf("bad redirect", "from %s", r.URL.Path)
			}
			if to.Scheme == end.Scheme && to.Host == end.Host && to.Path == end.Path {
				return to.Query(), nil
			}
			if to.Host == "" || to.Scheme != "https" && (to.Scheme != "http" || r.URL.Scheme == "https") { // nobody's password goes in the clear
				return nil, faultf("bad redirect", "from %s to %q", r.URL.Path, to.Scheme+"://"+to.Host)
			}
			// After a POST too, as browsers do (RFC 9110 §15.4); 307 and 308 repeat the POST, which no provider wants here.
			if r, err = http.NewRequest(http.MethodGet, to.String(), nil); err != nil { //nolint:noctx // do has it
				return nil, faultf("bad redirect", "%v", err)
			}
			continue
		}
		if got.status != http.StatusOK {
			return nil, statusFault(got)
		}
		if who == nil {
			return nil, faultf(askedForPage, "%s: the session or the consent is gone", got.url.Path)
		}
		if r, err = fill(got, how, *who, &b.typed); err != nil {
			return nil, err
		}
	}
	return nil, faultf("no end", "%d pages and redirects, and never back at the redirect URI", mostSteps)
}

// form is one of a page.
type form struct {
	node           *html.Node
	fields         url.Values
	names          map[string]bool // of what a person can type into
	action, method string
}

// fill answers a page: it types into the form that has the fields, or presses the button of consent.
func fill(page *answer, how pages, who person, typed *bool) (*http.Request, error) {
	doc, err := html.Parse(bytes.NewReader(page.body))
	if err != nil {
		return nil, faultf("unknown page", "%s: %v", page.url.Path, err)
	}
	forms := formsOf(doc, how.fields)
	if f := signInForm(forms, how); f != nil {
		user, password := f.names[how.username], f.names[how.password]
		f.press(find(f.node, how.login))
		if password && *typed {
			return nil, faultf("not signed in", "%s: the page came back after the password", page.url.Path)
		}
		if user {
			f.fields.Set(how.username, who.username)
		}
		if password && !strings.EqualFold(f.method, "post") {
			return nil, faultf("unknown page", "%s: its form would put the password into an address", page.url.Path)
		}
		if password {
			f.fields.Set(how.password, who.password)
			*typed = true
		}
		return f.submit(page.url)
	}
	for _, f := range forms {
		if button := find(f.node, how.consent); button != nil {
			f.press(button)
			return f.submit(page.url)
		}
	}
	return nil, faultf("unknown page", "%s (%q): no form with a field %q or %q, no button %s", page.url.Path,
		title(doc), how.username, how.password, how.consent)
}

// signInForm is the one with one of the two fields and the button; without the button the first with a field; nil: there is none.
func signInForm(forms []*form, how pages) (first *form) {
	for _, f := range forms {
		if !f.names[how.username] && !f.names[how.password] {
			continue
		}
		if find(f.node, how.login) != nil {
			return f
		}
		if first == nil {
			first = f
		}
	}
	return first
}

// formsOf finds the forms with what a browser would send of them (HTML, form submission), filled in as is given.
func formsOf(doc *html.Node, given url.Values) (all []*form) {
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f := &form{n, url.Values{}, map[string]bool{}, attr(n, "action"), attr(n, "method")}
		for in := range n.Descendants() {
			if in.Type == html.ElementNode && attr(in, "name") != "" && !has(in, "disabled") {
				f.control(in, given[attr(in, "name")])
			}
		}
		all = append(all, f)
	}
	return all
}

// control adds what a control sends; given are the values for its name: boxes of one name have one each.
func (f *form) control(in *html.Node, given []string) {
	name, kind := attr(in, "name"), strings.ToLower(attr(in, "type"))
	value := ""
	switch in.Data {
	case "input":
		value = attr(in, "value")
	case "textarea":
		value = text(in)
	case "select":
		kind, value = "select", selected(in)
	default:
		return
	}
	switch kind {
	case "submit", "button", "image", "reset", "file":
		return
	case "checkbox", "radio":
		value = attrOr(in, "value", "on")
		if chosen := slices.Contains(given, value); chosen || has(in, "checked") && (kind == "checkbox" || len(given) == 0) {
			f.fields.Add(name, value)
		}
		return
	}
	if len(given) > 0 {
		value = given[0]
	}
	f.fields.Add(name, value)
	f.names[name] = kind != "hidden"
}

// selected is what a list sends: the option that is selected, else the first.
func selected(list *html.Node) (value string) {
	var chosen *html.Node
	for n := range list.Descendants() {
		if n.Type == html.ElementNode && n.Data == "option" && (chosen == nil || has(n, "selected")) {
			chosen = n
		}
	}
	if chosen == nil {
		return ""
	}
	return attrOr(chosen, "value", strings.TrimSpace(text(chosen)))
}

func text(n *html.Node) (all string) {
	for in := range n.Descendants() {
		if in.Type == html.TextNode {
			all += in.Data
		}
	}
	return all
}

// press adds what a button sends of itself, and where it says to send it.
func (f *form) press(button *html.Node) {
	if button == nil {
		return
	}
	if name := attr(button, "name"); name != "" {
		f.fields.Set(name, attr(button, "value"))
	}
	f.action, f.method = attrOr(button, "formaction", f.action), attrOr(button, "formmethod", f.method)
}

// submit makes the form's request.
func (f *form) submit(page *url.URL) (*http.Request, error) {
	to, err := page.Parse(f.action)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, faultf("unknown page", "%s: its form leads nowhere", page.Path)
	}
	if page.Scheme == "https" && to.Scheme != "https" {
		return nil, faultf("unknown page", "%s: its form leads to plain http", page.Path) // there is a password in it
	}
	if !strings.EqualFold(f.method, "post") {
		to.RawQuery = f.fields.Encode()
		return http.NewRequest(http.MethodGet, to.String(), nil) //nolint:noctx // do has it
	}
	r, err := post(to, f.fields)
	if err == nil { // as a browser does: servers refuse what comes from elsewhere
		r.Header.Set("Origin", hostOf(page))
		r.Header.Set("Referer", page.String())
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r, err
}

// find looks for an element by "#id", ".class" or "name=value".
func find(in *html.Node, selector string) *html.Node {
	if selector == "" {
		return nil
	}
	for n := range in.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		name, value, pair := strings.Cut(selector, "=")
		switch {
		case selector[0] == '#' && attr(n, "id") == selector[1:],
			selector[0] == '.' && slices.Contains(strings.Fields(attr(n, "class")), selector[1:]),
			pair && attr(n, "name") == name && attr(n, "value") == value:
			return n
		}
	}
	return nil
}

// checkSelector tells what find cannot read.
func checkSelector(s string) error {
	if len(s) > 1 && (s[0] == '#' || s[0] == '.') || strings.Index(s, "=") > 0 {
		return nil
	}
	return fmt.Errorf("%q is no button: give #id, .class or name=value", s)
}

func attr(n *html.Node, key string) string { return attrOr(n, key, "") }

func attrOr(n *html.Node, key, missing string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return missing
}

func has(n *html.Node, key string) bool { return attrOr(n, key, "\x00") != "\x00" }

func title(doc *html.Node) string {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "title" && n.FirstChild != nil {
			return strings.TrimSpace(n.FirstChild.Data)
		}
	}
	return ""
}
