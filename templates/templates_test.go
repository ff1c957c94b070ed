package templates

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/audit"
	"golang.org/x/net/html"
)

// hostile is what a stranger would call himself.
const hostile = `"><script>x</script>{{7*7}}`

// samples has every page, some in more than one state.
func samples() map[string]Page {
	site := &Site{Name: "Fabrikam", Host: "fabrikam.example", Policy: "https://fabrikam.example/privacy", Terms: "https://fabrikam.example/terms"}
	known := &Site{Name: "Fabrikam", Host: "fabrikam.example", Logo: "/sites/fabrikam/logo.png", Known: true}
	ada := Person{LoginID: "1", Name: "Ada Lovelace", Email: "ada@example.com"}
	flow := Base{Interaction: "abc", Token: "token"}
	faulty := func(id, key string) Base {
		return Base{Interaction: "abc", Token: "token", Errors: map[string]string{id: key}}
	}
	return map[string]Page{
		"login":          &Login{Base: flow, Site: site, Accounts: true},
		"login-name":     &Login{Base: flow, Site: site, NameOnly: true},
		"login-password": &Login{Base: flow, Site: site, Email: ada.Email, Named: true},
		"login-alone":    &Login{Base: Base{Token: "token", Next: "profile"}},
		"login-wrong":    &Login{Base: Base{Token: "token", Problem: "login.wrong"}, Site: site, Email: hostile},
		"accounts":       &Accounts{Base: flow, Site: site, People: []Person{ada, {LoginID: "2", Name: "Grace Hopper", Email: "grace@example.com"}}},
		"consent":        &Consent{Base: flow, Site: site, Person: ada, Items: []Item{{"claims.openid", ""}, {"claims.profile", ada.Name}, {"claims.email", ada.Email}, {"claims.phone", ""}, {"claims.address", ""}, {"claims.offline", ""}, {"claims.scope", "read:notes"}}},
		"consent-known":  &Consent{Base: flow, Site: known, Person: ada, Items: []Item{{"claims.openid", ""}}},
		"consent-evil":   &Consent{Base: flow, Site: &Site{Name: hostile, Host: "xn--exmple-cua.test"}, Person: ada, Items: []Item{{"claims.openid", ""}}},
		"register":       &Register{Base: flow, Site: site, Full: Asked{Want: "required"}},
		"register-wrong": &Register{Base: faulty("register-email", "error.email.invalid"), Email: "ada@", Full: Asked{"required", "Ada"}},
		"register-bare":  &Register{Base: flow},
		"register-all": &Register{Base: flow, Full: Asked{"optional", hostile}, Phone: Asked{"required", "+44 20 7946 0123"}, Birthdate: Asked{"optional", "1985-03-31"},
			Recovery: Asked{"optional", hostile}, Question: Asked{"required", hostile}},
		"register-phone": &Register{Base: faulty("register-phone", "error.phone.invalid"), Full: Asked{Want: "required"}, Phone: Asked{"required", hostile}},
		"register-born":  &Register{Base: faulty("register-birthdate", "error.birthdate.invalid"), Birthdate: Asked{"required", "1899-12-31"}},
		"already":        &Already{Base: flow, Site: site, People: []Person{ada, {LoginID: "2", Name: hostile, Email: "grace@example.com"}}},
		"already-alone":  &Already{Base: Base{SignedIn: true, Token: "token"}, People: []Person{ada}},
		"lookup":         &Lookup{Base: flow, Site: site},
		"lookup-wrong":   &Lookup{Base: faulty("lookup-email", "error.email.invalid"), Email: "ada@"},
		"lookup-sent":    &Notice{Title: "lookup.sent.title", Body: "lookup.sent.body", Action: "recover.back", To: "/login"},
		"help":           &Help{Base: Base{Interaction: "abc"}, Site: site, Open: true},
		"help-alone":     &Help{},
		"terms":          &Terms{Base: flow, Sealed: "c2VhbGVk", Email: ada.Email},
		"terms-wrong":    &Terms{Base: faulty("terms-email", "error.terms.mismatch"), Sealed: "c2VhbGVk", Email: ada.Email},
		"accept":         &Accept{Base: flow, Site: site, Person: ada, TermsVersion: "2026-11-01", PrivacyVersion: hostile},
		"accept-wrong":   &Accept{Base: faulty("accept-email", "error.accept.mismatch"), Person: ada, TermsVersion: "2"},
		"waiting":        &Waiting{Base: flow, Email: ada.Email, Own: true, Dev: true},
		"waiting-sent":   &Waiting{Base: flow, Email: ada.Email, Sent: true},
		"waiting-limit":  &Waiting{Base: Base{Token: "token", Problem: "waiting.limited"}, Email: ada.Email},
		"confirm":        &Confirm{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email, Own: true},
		"confirm-other":  &Confirm{Base: Base{Link: "abc", Token: "token", Errors: map[string]string{"password": "confirm.wrong"}}, Email: ada.Email},
		"confirm-fresh":  &Confirm{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email, Fresh: true},
		"confirmed":      &Notice{Title: "confirmed.title", Body: "confirmed.body", Action: "confirmed.continue", Site: "Fabrikam", To: "https://fabrikam.example/"},
		"confirmed-here": &Notice{Title: "confirmed.title", Body: "confirmed.here", Action: "confirmed.profile", To: "/account/profile"},
		"confirmed-else": &Notice{Title: "confirmed.title", Body: "confirmed.body", Action: "confirmed.signin", To: "/login"},
		"cancel":         &Cancel{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email},
		"cancelled":      &Notice{Title: "cancelled.title", Body: "cancelled.body", Action: "cancelled.home", To: "/"},
		"logout":         &Logout{Base: flow},
		"logout-site":    &Logout{Base: flow, Site: site.Name, Email: ada.Email},
		"logout-which":   &Logout{Base: flow, People: []Person{ada, {LoginID: "2", Name: hostile, Email: "b@example.com"}}},
		"loggedout":      &LoggedOut{},
		"loggedout-one":  &LoggedOut{Others: true},
		"loggedout-far":  &LoggedOut{Base: Base{Nonce: "n"}, Same: true, Sites: []Told{{"Fabrikam", "fabrikam.example", "loggedout.missed"}}, Again: "/logout/done?o=abc"},
		"loggedout-sites": &LoggedOut{Base: Base{Nonce: "n"}, Sites: []Told{{"Fabrikam", "fabrikam.example", "loggedout.told"}, {"Contoso", "contoso.example", "loggedout.asked"},
			{hostile, "evil.example", "loggedout.trying"}, {"Tailspin", "", "loggedout.cannot"}}, Frames: []string{"https://contoso.example/out?iss=x&sid=y"}, Again: "/logout/done?o=abc"},
		"loggedout-back": &LoggedOut{Base: Base{Nonce: "n"}, Sites: []Told{{"Contoso", "contoso.example", "loggedout.asked"}}, Frames: []string{"https://contoso.example/out"},
			To: "com.example.app:/out?state=x", Back: "Fabrikam"},
		"device":         &Device{Base: flow, Code: "BCDF-GHJK"},
		"device-wrong":   &Device{Base: faulty("user-code", "device.wrong"), Code: "WDJB"},
		"device-consent": &Consent{Base: flow, Site: site, Person: ada, Items: []Item{{"claims.openid", ""}}, Device: "BCDF-GHJK"},
		"start":          &Start{Base: flow, Site: known, ID: "fabrikam", To: "https://fabrikam.example/x?a=b"},
		"start-evil":     &Start{Base: flow, Site: &Site{Name: hostile, Host: "xn--exmple-cua.test"}, ID: "evil"},
		"error":          &Error{Base: Base{RequestID: "0123456789abcdef"}, Status: 404, Key: "notfound"},
		"home":           &Home{Dev: true, Open: true},
		"home-in":        &Home{Base: Base{SignedIn: true}, Person: &ada},
		"profile":        &Profile{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Full: ada.Name, Language: "es", Saved: true},
		"profile-wrong":  &Profile{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"profile-name": "error.name.link"}}, Person: ada, Full: "https://evil.example", Language: "en"},
		"profile-full": &Profile{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"profile-given-name": "error.name.link"}}, Person: ada, Nameless: true,
			Text: map[string]string{"given_name": hostile, "zoneinfo": "Europe/Madrid", "birthdate": "1985"}, Picture: "/pictures/x", Pictured: true,
			Zones: []Zones{{"Europe", []string{"Europe/London", "Europe/Madrid"}}, {hostile, []string{hostile}}}},
		"profile-photo": &Profile{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"profile-picture": "error.picture.large"}}, Person: ada},
		"login-again":   &Login{Base: Base{Next: "password", Token: "token"}, Email: ada.Email, Again: true},
		"address": &Address{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Sent: true, Dev: true, Waiting: hostile,
			Addresses: []Mailbox{{1, "a", ada.Email, true}, {2, "b", "countess@example.com", false}, {3, "c", hostile, false}}},
		"address-done":  &Address{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Done: true, Full: true, Addresses: []Mailbox{{1, "a", ada.Email, true}}},
		"address-wrong": &Address{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"new-email": "address.same"}}, Person: ada, Email: ada.Email},
		"new-address":   &NewAddress{Base: Base{Link: "abc", Token: "token"}, Person: ada, Email: "new@example.test"},
		"close":         &Close{Base: Base{SignedIn: true, Token: "token"}, Person: ada},
		"close-wrong":   &Close{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"close-email": "close.mismatch"}}, Person: ada},
		"data":          &Data{Base: Base{SignedIn: true, Token: "token"}, Person: ada},
		"data-making":   &Data{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Asked: time.Unix(1, 0), Making: true, Dev: true},
		"data-ready":    &Data{Base: Base{SignedIn: true, Token: "token"}, Person: Person{Email: hostile}, Asked: time.Unix(1, 0), Until: time.Unix(2, 0)},
		"data-file":     &DataFile{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Made: time.Unix(1, 0), Until: time.Unix(2, 0)},
		"closed":        &Notice{Title: "closed.title", Body: "closed.body", Action: "cancelled.home", To: "/"},
		"login-human":   &Login{Base: human(&Human{Challenge: "abc", Bits: 16})},
		"terms-human":   &Terms{Base: human(&Human{Challenge: "abc", Bits: 16, Picture: true}), Sealed: "c2VhbGVk", Email: ada.Email},
		"recover-human": &Recover{Base: human(&Human{Challenge: "abc", Service: &HumanService{Script: "https://js.hcaptcha.com/1/api.js", Class: "h-captcha",
			Field: "h-captcha-response", SiteKey: "key"}}), Email: ada.Email},
		"lookup-human": &Lookup{Base: human(&Human{Challenge: "abc", Service: &HumanService{Script: "https://www.google.com/recaptcha/api.js?render=key", Score: true,
			Field: "g-recaptcha-response", SiteKey: "key", Action: "lookup"}})},
		"allow":    &Allow{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email},
		"reopen":   &Reopen{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email},
		"reopened": &Notice{Title: "reopened.title", Body: "reopened.body", Action: "recovered.signin", To: "/login"},
		"security": &Security{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Browsers: []Browser{
			{ID: "1", Name: "Firefox", System: "Linux", Network: "203.0.113.0/24", This: true}, {ID: "2", Name: hostile, System: hostile}, {ID: "3"}}},
		"sites": &Sites{Base: Base{SignedIn: true, Token: "token"}, Done: true, Sites: []SiteUse{
			{ID: "a b", Name: hostile, Host: "evil.example", Keys: []string{"claims.openid", "claims.email", "claims.offline"}, Held: true},
			{ID: "own", Name: hostile, Keys: []string{"claims.openid"}}}},
		"sites-none": &Sites{Base: Base{SignedIn: true}},
		"activity": &Activity{Base: Base{SignedIn: true}, Older: "/account/activity?before=1", Entries: []Entry{
			{Key: "activity.login.succeeded", Name: "Firefox", System: "Linux", Network: "203.0.113.0/24"}, {Key: "activity.consent.granted", Site: hostile}}},
		"activity-none":  &Activity{Base: Base{SignedIn: true}},
		"closed-door":    &Notice{Title: "register.closed.title", Body: "register.closed.body", Action: "recover.back", To: "/login"},
		"invited-door":   &Notice{Title: "register.invited.title", Body: "register.invited.body", Action: "recover.back", To: "/login"},
		"login-open":     &Login{Base: flow, Site: site, Open: true},
		"recover":        &Recover{Base: flow, Site: site, Email: ada.Email},
		"recover-wrong":  &Recover{Base: faulty("recover-email", "error.email.invalid"), Email: "ada@"},
		"recover-sent":   &Notice{Title: "recover.sent.title", Body: "recover.sent.body", Action: "recover.back", To: "/login"},
		"new-password":   &NewPassword{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email},
		"recovered":      &Notice{Title: "recovered.title", Body: "recovered.body", Action: "recovered.signin", To: "/login"},
		"alarm":          &Alarm{Base: Base{Link: "abc", Token: "token"}, Email: ada.Email},
		"alarmed":        &Notice{Title: "alarmed.title", Body: "alarmed.body", Action: "alarmed.recover", To: "/recover"},
		"password":       &Password{Base: Base{SignedIn: true, Token: "token"}, Person: ada, Saved: true},
		"password-wrong": &Password{Base: Base{SignedIn: true, Token: "token", Errors: map[string]string{"password": "password.wrong"}}, Person: ada},
		"password-limit": &Password{Base: Base{SignedIn: true, Token: "token", Problem: "password.limited"}, Person: ada},
		"inbox":          &Inbox{Letters: []Letter{{ID: "1", To: ada.Email, Subject: "Confirm your address", At: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}}},
		"inbox-empty":    &Inbox{},
		"letter":         &Letter{ID: "1", To: ada.Email, Subject: "Confirm your address", Lines: []Line{{Text: "Hello,"}, {}, {Text: "http://localhost:8080/confirm?t=abc", Href: "/confirm?t=abc"}}},
		"form_post":      &FormPost{Action: "https://fabrikam.example/cb", Params: []Param{{"state", hostile}}, Script: "document.forms[0].submit()"},
	}
}

// human is a form with a check whose answer was wrong.
func human(h *Human) Base {
	b := Base{Token: "token", Nonce: "n", Human: h, Problem: "human.again"}
	if h.Picture {
		b.Problem, b.Errors = "", map[string]string{"human-answer": "human.wrong"}
	}
	return b
}

func newSet(t *testing.T) *Set {
	t.Helper()
	s, err := New(Config{Brand: "Passport", Help: "https://help.example/"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryPageRenders(t *testing.T) {
	s := newSet(t)
	shown := map[string]bool{}
	all := samples()
	maps.Copy(all, recoverySamples())
	for name, page := range all {
		shown[page.Name()] = true
		for _, l := range Languages {
			t.Run(name+" "+l.Code, func(t *testing.T) {
				var buf bytes.Buffer
				if err := s.Render(&buf, l.Code, page); err != nil {
					t.Fatal(err)
				}
				checkPage(t, buf.String(), l)
				// A page's own field must not hide the name that the language switch leads back by.
				if here := `name="page" value="` + page.Name() + `"`; page.Name() != "form_post" && !strings.Contains(buf.String(), here) {
					t.Errorf("the language switch does not lead back to %s", page.Name())
				}
			})
		}
	}
	for name := range s.pages {
		if !shown[name] {
			t.Errorf("no sample shows the page %q", name)
		}
	}
}

// checkPage holds a page to what every page must be.
func checkPage(t *testing.T, page string, l Language) {
	t.Helper()
	if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<script>x") {
		t.Error("unsafe content reached the page")
	}
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels, headings := map[string]int{}, map[string]bool{}, 0
	var inputs, refs []string
	formPost := strings.Contains(page, "document.forms[0].submit()")
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s %s>: inline code or style", n.Data, a.Key)
			}
		}
		if id := at["id"]; id != "" {
			ids[id]++
		}
		switch n.Data {
		case "html":
			if at["lang"] != l.Code || at["dir"] != l.Dir {
				t.Errorf("lang %q dir %q", at["lang"], at["dir"])
			}
		case "style":
			t.Error("a style element")
		case "script":
			src := at["src"]
			service := strings.HasPrefix(src, "https://js.hcaptcha.com/") || strings.HasPrefix(src, "https://www.google.com/recaptcha/")
			if !formPost && !((strings.HasPrefix(src, "/static/") || service) && at["nonce"] != "" && n.FirstChild == nil) {
				t.Error("a script that is not a file of ours")
			}
		case "h1":
			headings++
		case "label":
			labels[at["for"]] = true
		case "input", "select", "textarea":
			if at["type"] != "hidden" {
				inputs = append(inputs, at["id"])
				if at["autocomplete"] == "" {
					t.Errorf("input %q has no autocomplete", at["id"])
				}
			}
		case "form":
			if at["method"] != "post" {
				t.Error("a form that does not post")
			}
		}
		for _, key := range []string{"aria-describedby", "aria-labelledby"} {
			refs = append(refs, strings.Fields(at[key])...)
		}
		if n.Data == "a" && strings.HasPrefix(at["href"], "#") {
			refs = append(refs, at["href"][1:])
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q %d times", id, n)
		}
	}
	for _, id := range inputs {
		if !labels[id] {
			t.Errorf("input %q has no label", id)
		}
	}
	for _, id := range refs {
		if ids[id] == 0 {
			t.Errorf("nothing has the id %q", id)
		}
	}
	// 4.20: the foot, whose links TestFoot follows.
	if !formPost && (strings.Count(page, `<footer class="foot">`) != 1 || !strings.Contains(page, `href="https://help.example/"`)) {
		t.Error("no foot")
	}
	if headings != 1 && !formPost {
		t.Errorf("%d first headings", headings)
	}
}

// TestFormPost: the page that fosite would write has an inline handler, which the policy blocks, and turns an
// app's own scheme into "#ZgotmplZ".
func TestFormPost(t *testing.T) {
	t.Run("H28 form_post to an app's own scheme, by one script", func(t *testing.T) {
		var buf bytes.Buffer
		page := &FormPost{Action: "com.example.app:/cb?x=1&y=2", Params: []Param{{"code", "c"}, {"state", hostile}}, Script: "document.forms[0].submit()"}
		if err := newSet(t).Render(&buf, "en", page); err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(&buf)
		if err != nil {
			t.Fatal(err)
		}
		var action string
		var scripts []string
		sent := map[string]string{}
		for n := range doc.Descendants() {
			at := map[string]string{}
			for _, a := range n.Attr {
				at[a.Key] = a.Val
				if strings.HasPrefix(a.Key, "on") {
					t.Errorf("<%s %s>", n.Data, a.Key)
				}
			}
			switch n.Data {
			case "form":
				action = at["action"]
			case "input":
				sent[at["name"]] = at["value"]
			case "script":
				scripts = append(scripts, n.FirstChild.Data)
			}
		}
		if action != "com.example.app:/cb?x=1&y=2" || len(sent) != 2 || sent["code"] != "c" || sent["state"] != hostile {
			t.Errorf("%q gets %q", action, sent)
		}
		if len(scripts) != 1 || scripts[0] != "document.forms[0].submit()" {
			t.Errorf("the scripts are %q: the policy knows the hash of one", scripts)
		}
	})
}

// TestFieldErrors: what is wrong stands beside the field, is tied to it, and is announced at the top.
func TestFieldErrors(t *testing.T) {
	s := newSet(t)
	shown := 0
	for name, page := range samples() {
		for id := range page.base().Errors {
			shown++
			var buf bytes.Buffer
			if err := s.Render(&buf, "en", page); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				`id="` + id + `-error"`, `role="alert"`, `<a href="#` + id + `">`,
				`<input id="` + id + `"[^>]* aria-describedby="[^"]*` + id + `-error[^>]* aria-invalid="true"`,
			} {
				if !regexp.MustCompile(want).MatchString(buf.String()) {
					t.Errorf("%s has no %s", name, want)
				}
			}
		}
	}
	if shown < 4 {
		t.Errorf("%d samples have an error", shown)
	}
}

// TestStableIDs: client tests, password managers and conformance suites hold on to these.
func TestStableIDs(t *testing.T) {
	s := newSet(t)
	all := samples()
	for name, ids := range map[string][]string{
		"login": {"username", "password", "login-submit"}, "consent": {"consent-allow", "consent-deny"},
		"register":     {"register-email", "register-password", "register-name", "register-submit"},
		"register-all": {"register-name", "register-phone", "register-birthdate", "register-recovery-address", "register-recovery-question", "register-recovery-answer"},
		"profile-full": {"profile-name", "profile-language", "profile-submit", "profile-picture", "picture-submit", "picture-remove", "profile-zoneinfo"},
		"terms":        {"terms-email"}, "confirm": {"confirm-submit"}, "cancel": {"cancel-submit"}, "logout": {"logout-yes"},
		"device": {"user-code", "device-submit"}, "start": {"start-submit"}, "loggedout-back": {"logout-continue"},
	} {
		var buf bytes.Buffer
		if err := s.Render(&buf, "en", all[name]); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if !strings.Contains(buf.String(), `id="`+id+`"`) {
				t.Errorf("%s has no #%s", name, id)
			}
		}
	}
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func TestCatalogue(t *testing.T) {
	words, err := loadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range Languages {
		raw, err := messages.ReadFile("messages/" + l.Code + ".json")
		if err != nil {
			t.Fatal(err)
		}
		// A key given twice would silently win.
		if n := strings.Count(string(raw), "\n  \""); n != len(words[l.Code]) {
			t.Errorf("%s: %d lines, %d keys", l.Code, n, len(words[l.Code]))
		}
		if !json.Valid(raw) {
			t.Errorf("%s: not JSON", l.Code)
		}
		for key, text := range words[l.Code] {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s %s is empty", l.Code, key)
			}
			other, ok := words["en"][key]
			if !ok {
				t.Errorf("%s has %q, English has not", l.Code, key)
			}
			if got, want := names(text), names(other); !slices.Equal(got, want) {
				t.Errorf("%s %s: placeholders %v, in English %v", l.Code, key, got, want)
			}
		}
		for key := range words["en"] {
			if _, ok := words[l.Code][key]; !ok {
				t.Errorf("%s lacks %q", l.Code, key)
			}
		}
	}
}

func names(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// TestKeys: every key that a template or the code names exists, and every key that exists is named.
func TestKeys(t *testing.T) {
	words, err := loadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)+)"`)
	tail := regexp.MustCompile(`(?:Key: |pageError\{[^"]*)"(?:error\.)?([a-z_]+)"`)
	named := map[string]bool{}
	walk(t, func(path, source string) {
		for _, m := range key.FindAllStringSubmatch(source, -1) {
			named[m[1]] = true
			named[m[1]+".title"], named[m[1]+".body"] = true, true
		}
		for _, m := range tail.FindAllStringSubmatch(source, -1) {
			named["error."+m[1]+".title"], named["error."+m[1]+".body"] = true, true
		}
	})
	// Keys that are put together: the group of claims, the reason of a name or password.
	for _, prefix := range []string{"claims.", "error.name.", "error.text.", "error.password."} {
		for k := range words["en"] {
			if strings.HasPrefix(k, prefix) {
				named[k] = true
			}
		}
	}
	// What happened with an account, by the names of the log of events.
	for k := range words["en"] {
		if event, ok := strings.CutPrefix(k, "activity."); ok && audit.Valid(event) {
			named[k] = true
		}
	}
	for k := range maps.Keys(words["en"]) {
		if !named[k] {
			t.Errorf("nothing uses %q", k)
		}
	}
	pages := regexp.MustCompile(`\.[TB] "([a-z_.]+)"|"(?:label|hint)" "([a-z_.]+)"`)
	err = fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		source, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range pages.FindAllStringSubmatch(string(source), -1) {
			if k := m[1] + m[2]; words["en"][k] == "" {
				t.Errorf("%s: no message %q", path, k)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`(?:Key: |Error\(w, r, [^,]+, |pageError\{[^"}]*)"(?:error\.)?([a-z_.]+)"`)
	walk(t, func(path, source string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "templates") {
			return
		}
		for _, m := range used.FindAllStringSubmatch(source, -1) {
			k := "error." + m[1]
			if words["en"][k] == "" && words["en"][k+".title"] == "" && words["en"][m[1]] == "" && !strings.HasSuffix(m[1], ".") {
				t.Errorf("%s: no message %q", path, k)
			}
		}
	})
}

// walk gives every source of the rooms that speak to people.
func walk(t *testing.T, visit func(path, source string)) {
	t.Helper()
	for _, root := range []string{".", "../pkg/web", "../pkg/account", "../oidc"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") ||
				!strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".html") {
				return err
			}
			source, err := os.ReadFile(path) //nolint:gosec // G304: our own tree
			if err != nil {
				return err
			}
			visit(path, string(source))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStyleSheet(t *testing.T) {
	css := string(assets["app.css"].Body)
	if m := regexp.MustCompile(`(?:^|[\s;{-])(?:left|right)\s*:|(?:margin|padding|border)-(?:left|right)|text-align:\s*(?:left|right)`).FindString(css); m != "" {
		t.Errorf("physical property %q", m)
	}
	if strings.Contains(css, "url(guilloche.svg)") || strings.Contains(css, "http") {
		t.Error("the sheet names a file without its hash, or another host")
	}
	if !regexp.MustCompile(`(?m)^:focus-visible \{ outline: [2-9]px solid`).MatchString(css) {
		t.Error("focus is not seen")
	}
	if open, closed := strings.Count(css, "{"), strings.Count(css, "}"); open != closed {
		t.Errorf("%d braces open, %d close", open, closed)
	}
}

// TestContrast: WCAG 2.2 AA in both modes, 4.5:1 for text, 3:1 for the edges of fields and the ring of focus.
func TestContrast(t *testing.T) {
	css := string(assets["app.css"].Body)
	light, rest, _ := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, "\n}\n")
	value := regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6});`)
	for mode, block := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]float64{}
		for _, m := range value.FindAllStringSubmatch(block, -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, pair := range []struct {
			ink, ground string
			least       float64
		}{
			{"ink", "paper", 7}, {"ink", "card", 7}, {"ink", "tint", 7}, {"quiet", "card", 4.5}, {"quiet", "paper", 4.5},
			{"accent", "card", 4.5}, {"accent", "paper", 4.5}, {"accent", "tint", 4.5}, {"accent-down", "card", 4.5},
			{"accent-ink", "accent", 4.5}, {"accent-ink", "accent-down", 4.5}, {"wrong", "card", 4.5}, {"wrong", "wrong-tint", 4.5}, {"edge", "card", 3},
		} {
			a, b := colour[pair.ink], colour[pair.ground]
			if got := (max(a, b) + .05) / (min(a, b) + .05); got < pair.least {
				t.Errorf("%s: %s on %s is %.2f:1, less than %.1f:1", mode, pair.ink, pair.ground, got, pair.least)
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	var sum float64
	for i, weight := range []float64{.2126, .7152, .0722} {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(v) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		prefs []string
		want  string
	}{
		{nil, "en"},
		{[]string{"", "es-MX,es;q=0.9,en;q=0.8"}, "es"},
		{[]string{"es-MX, es; q=0.9, en ; q = 0.8"}, "es"},
		{[]string{"es; q=0.9"}, "es"},
		{[]string{" es  fr "}, "es"},
		{[]string{"fr es", "en"}, "es"},
		{[]string{"es", "en"}, "es"},
		{[]string{"de", "es"}, "es"},
		{[]string{"\x00;q=x", "es"}, "es"},
		{[]string{strings.Repeat("es,", 1000)}, "en"},
		{[]string{"de"}, "en"},
	} {
		if got := Match(c.prefs...); got != c.want {
			t.Errorf("Match(%.40q) = %q, want %q", c.prefs, got, c.want)
		}
	}
	t.Run("D6 what is too long is not read", func(t *testing.T) {
		for _, part := range []string{"es,", "a-", "x;q=0.1,", " "} {
			typed := strings.Repeat(part, 1<<19)
			if n := testing.AllocsPerRun(1, func() { Match(typed) }); n > 0 {
				t.Errorf("%q, half a million times: %v allocations", part, n)
			}
		}
	})
}

// TestFoot: what the operator says in every page's foot, and the way back in for who cannot sign in.
func TestFoot(t *testing.T) {
	for name, c := range map[string]Config{"all": {Brand: "P", Help: "https://help.example/?a=b&c", Privacy: "https://p.example/", Terms: "https://t.example/"}, "none": {Brand: "P"}} {
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []bool{false, true} {
			var page strings.Builder
			if err := s.Render(&page, "en", &Home{Base: Base{SignedIn: in}, Person: &Person{Name: "Ada"}}); err != nil {
				t.Fatal(err)
			}
			for _, link := range []string{`href="https://help.example/?a=b&amp;c"`, `href="https://p.example/"`, `href="https://t.example/"`} {
				if strings.Contains(page.String(), link) != (name == "all") {
					t.Errorf("%s: %s", name, link)
				}
			}
			if !strings.Contains(page.String(), `id="cannot-sign-in"`) {
				t.Errorf("signed in %v: the way back in", in)
			}
		}
	}
}
