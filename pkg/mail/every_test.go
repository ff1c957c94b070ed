package mail_test

import (
	"html"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	passportmail "github.com/passport-network/passport/pkg/mail"
	"github.com/passport-network/passport/storage/storagetest"
	"github.com/passport-network/passport/templates"
)

// alarming are the mails about what was done with an account: each has the link by which its owner locks it.
var alarming = []string{"added", "backup", "changed", "closing", "data", "dropped", "guessed", "moved", "newbrowser", "removed", "reopened"}

// TestEveryMail: 4.17 and 4.19: each mail is there as text and as HTML and in both languages, leads to the same places in all
// four, and keeps its shape beside a name that runs from right to left.
func TestEveryMail(t *testing.T) {
	o := newOffice(t, storagetest.Open(t, storagetest.SQLite(t)), passportmail.Config{})
	data := map[string]string{"browser": "Firefox", "system": "Linux", "network": "203.0.113.0/24", "time": "2026-01-02 03:04 UTC", "until": "2026-02-03"}
	for i, purpose := range []string{"confirm", "cancel", "recover", "alarm", "address", "backup", "request", "stop", "regain", "reopen", "allow", "data", "invitation"} {
		data[purpose] = strings.Repeat(string(rune('A'+i)), len(token))
	}
	url := regexp.MustCompile(`https://[^\s"<]+`)
	leads := func(body string) []string {
		found := url.FindAllString(html.UnescapeString(body), -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	files, err := fs.Glob(templates.Mail, "mail/*.en.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d mails: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".en.txt")
		t.Run(name, func(t *testing.T) {
			var links []string
			subjects := map[string]bool{}
			for _, lang := range []string{"en", "es"} {
				o.send(passportmail.Message{To: "alice@example.test", Name: "דנה", Language: lang, Template: name, Register: true, Data: data})
				m := o.Inbox().List()[0]
				subjects[m.Subject] = true
				if links == nil {
					links = leads(m.Text)
				}
				if !slices.Equal(leads(m.Text), links) || !slices.Equal(leads(m.HTML), links) {
					t.Errorf("%s leads to %v, as HTML to %v, in English to %v", lang, leads(m.Text), leads(m.HTML), links)
				}
				if has := strings.Contains(m.Text, "/alarm?t="+data["alarm"]); has != slices.Contains(alarming, name) {
					t.Errorf(`%s: "this wasn't me" is in it: %v`, lang, has)
				}
				greets := strings.Count(m.HTML, "דנה")
				if greets != strings.Count(m.HTML, "<bdi>דנה</bdi>") || (greets > 0) != strings.Contains(m.Text, "דנה") || strings.Contains(m.Subject, "דנה") {
					t.Errorf("%s: the name is not set apart:\n%s", lang, m.HTML)
				}
				if !strings.Contains(m.HTML, `<html lang="`+lang+`" dir="ltr">`) || strings.Contains(m.HTML, "text-align:left") || strings.Contains(m.HTML, "-left:") {
					t.Errorf("%s: language or direction:\n%s", lang, m.HTML)
				}
			}
			if len(subjects) != 2 || subjects[""] {
				t.Errorf("the subjects are %v", subjects)
			}
		})
	}
}
