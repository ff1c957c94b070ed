package mail

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/url"
	"path"
	"strings"
	texttemplate "text/template"

	"github.com/passport-network/passport/templates"
)

// fallback is the language that every mail is written in.
const fallback = "en"

// texts are the parsed templates: <name>.<language>.txt, whose "subject" is the subject, and .html.
type texts map[string]*text // by name.language

type text struct {
	plain *texttemplate.Template
	html  *htmltemplate.Template
}

// fields are what a template may say. A registration's name is not among them for an address that nobody
// has proven: a stranger typed it, and the mail goes to somebody else's box.
type fields struct {
	Brand string
	Host  string // the issuer's, so that people know where the links lead
	Name  string

	SignIn, Profile, Forgotten                                                                   string // addresses of pages
	Register                                                                                     string // where an account can be created; empty: it cannot
	Confirm, Cancel, Recover, Alarm, Address, Backup, Request, Stop, Regain, Reopen, Allow, Data string // links that bear a token

	Help, Privacy, Terms string // the operator's pages; empty: there is none
	Invitation, Until    string // a link to register by, and the day that it ends

	Browser, System, Network, Time string // of a sign-in; Browser and System are empty where they are unknown
}

func loadTexts() (texts, error) {
	ts := texts{}
	files, err := fs.Glob(templates.Mail, "mail/*.*.txt")
	if err != nil || len(files) == 0 {
		return nil, errors.New("no mail templates")
	}
	for _, file := range files {
		stem := strings.TrimSuffix(path.Base(file), ".txt")
		part := "mail/parts/" + strings.TrimPrefix(path.Ext(stem), ".")
		plain, err := texttemplate.New(path.Base(file)).Option("missingkey=error").ParseFS(templates.Mail, file, part+".txt")
		if err != nil {
			return nil, fmt.Errorf("mail template: %w", err)
		}
		html, err := htmltemplate.New("layout.html").ParseFS(templates.Mail, "mail/layout.html", "mail/"+stem+".html", part+".html")
		if err != nil {
			return nil, fmt.Errorf("mail template: %w", err)
		}
		ts[stem] = &text{plain: plain, html: html}
	}
	return ts, nil
}

// language picks the nearest language in which there is this template.
func (ts texts) language(name, wanted string) (string, bool) {
	for lang := strings.ToLower(wanted); lang != ""; {
		if ts[name+"."+lang] != nil {
			return lang, true
		}
		i := strings.LastIndexByte(lang, '-')
		lang = lang[:max(i, 0)]
	}
	return fallback, ts[name+"."+fallback] != nil
}

// compose writes the letter. Errors hold nothing of the mail.
func (m *Mailer) compose(b job) (*letter, error) {
	lang, _ := m.texts.language(b.Template, b.Language)
	t := m.texts[b.Template+"."+lang]
	if t == nil {
		return nil, errors.New("no such mail template")
	}
	f := fields{Brand: m.brand, Host: m.issuer.Host, Name: b.Name, SignIn: m.link("/login", ""), Profile: m.link("/account/profile", ""), Forgotten: m.link("/recover", ""),
		Help: m.links[0], Privacy: m.links[1], Terms: m.links[2],
		Browser: b.Data["browser"], System: b.Data["system"], Network: b.Data["network"], Time: b.Data["time"]}
	if token := b.Data["invitation"]; token != "" {
		f.Invitation, f.Until = m.address("/register", url.Values{"invitation": {token}}), b.Data["until"]
	}
	if b.Register {
		f.Register = m.link("/register", "")
	}
	for purpose, at := range map[string]struct {
		link *string
		path string
	}{
		"confirm": {&f.Confirm, "/confirm"}, "cancel": {&f.Cancel, "/cancel"},
		"recover": {&f.Recover, "/recover/password"}, "alarm": {&f.Alarm, "/alarm"}, "address": {&f.Address, "/account/address/confirm"},
		"reopen": {&f.Reopen, "/reopen"}, "allow": {&f.Allow, "/allow"}, "data": {&f.Data, "/account/data/file"}, "backup": {&f.Backup, "/account/recovery/confirm"},
		"request": {&f.Request, "/recover/request/details"}, "stop": {&f.Stop, "/recover/stop"}, "regain": {&f.Regain, "/recover/regain"},
	} {
		if token := b.Data[purpose]; token != "" {
			*at.link = m.link(at.path, token)
		}
	}
	var subject, plain, html strings.Builder
	if t.plain.ExecuteTemplate(&subject, "subject", f) != nil ||
		t.plain.Execute(&plain, f) != nil || t.plain.ExecuteTemplate(&plain, "links", f) != nil || t.html.Execute(&html, f) != nil {
		return nil, errors.New("the mail cannot be written")
	}
	return &letter{
		from: m.from, brand: m.brand, to: b.To, at: m.now(),
		subject: strings.TrimSpace(subject.String()),
		text:    strings.TrimLeft(plain.String(), "\n"),
		html:    html.String(),
	}, nil
}
