//go:build e2e

package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// person is a browser without JavaScript, as small as it goes: cookies, redirects, forms found by an id.
// Pages must work for it; that is part of what is tested.
type person struct {
	t      *testing.T
	client *http.Client
	jar    map[string]string // host+name → value; ports do not separate cookies
	stop   string            // a URL prefix at which redirects are not followed
	seen   *ledger

	URL    *url.URL
	Status int
	Body   string
	Header http.Header
	doc    *html.Node
}

func (w *world) person() *person {
	client := w.ca.httpClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &person{t: w.t, client: client, jar: map[string]string{}, seen: w.seen}
}

// get opens a page and follows redirects.
func (p *person) get(u string) *person {
	p.t.Helper()
	return p.send(http.MethodGet, u, nil)
}

func (p *person) send(method, u string, form url.Values) *person {
	p.t.Helper()
	target := must(url.Parse(u))
	for range 12 {
		var body io.Reader
		if form != nil {
			body = strings.NewReader(form.Encode())
		}
		req := must(http.NewRequest(method, target.String(), body))
		req.Header.Set("Accept", "text/html") // some sites send only a browser to the sign-in
		if form != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", target.Scheme+"://"+target.Host)
			req.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		for k, v := range p.jar {
			if name, ok := strings.CutPrefix(k, target.Hostname()+" "); ok {
				req.AddCookie(&http.Cookie{Name: name, Value: v})
			}
		}
		res, err := p.client.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		b := must(io.ReadAll(res.Body))
		res.Body.Close()
		for _, c := range res.Cookies() {
			key := target.Hostname() + " " + c.Name
			if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
				delete(p.jar, key)
			} else {
				p.jar[key] = c.Value
			}
		}
		p.URL, p.Status, p.Body, p.Header = target, res.StatusCode, string(b), res.Header
		location := res.Header.Get("Location")
		if location == "" {
			p.doc = must(html.Parse(strings.NewReader(p.Body)))
			return p
		}
		target = must(target.Parse(location))
		p.seen.add("code", target.Query().Get("code"))
		if p.stop != "" && strings.HasPrefix(target.String(), p.stop) {
			p.URL, p.doc = target, nil // the page before it is left
			return p
		}
		method, form = http.MethodGet, nil
	}
	p.t.Fatal("too many redirects")
	return p
}

// byID finds an element of the page.
func (p *person) byID(id string) *html.Node {
	for n := range p.doc.Descendants() {
		if n.Type == html.ElementNode && attr(n, "id") == id {
			return n
		}
	}
	return nil
}

func (p *person) has(id string) bool { return p.doc != nil && p.byID(id) != nil }

// submit fills in the form around the element with this id (a button or a field) and sends it.
// fields are keyed by the elements' ids.
func (p *person) submit(id string, fields map[string]string) *person {
	p.t.Helper()
	el := p.byID(id)
	if el == nil {
		p.t.Fatalf("no #%s at %s (status %d):\n%s", id, p.URL.Path, p.Status, p.Body)
	}
	form := el
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil {
		p.t.Fatalf("#%s is in no form", id)
	}
	values := url.Values{}
	for n := range form.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" || attr(n, "name") == "" {
			continue
		}
		switch attr(n, "type") {
		case "submit", "button", "checkbox", "radio":
			continue
		}
		value := attr(n, "value")
		if v, ok := fields[attr(n, "id")]; ok {
			value = v
		}
		values.Set(attr(n, "name"), value)
	}
	if el.Data == "button" && attr(el, "name") != "" {
		values.Set(attr(el, "name"), attr(el, "value"))
	}
	action := must(p.URL.Parse(attr(form, "action")))
	return p.send(strings.ToUpper(attr(form, "method")), action.String(), values)
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
