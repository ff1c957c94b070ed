package templates

import (
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"
)

// Base is what every page has. The rooms fill the upper half, Render the lower.
type Base struct {
	Interaction string            // the id of the flow that the page belongs to, or empty
	Link        string            // the token of the mail link that led here, or empty
	Next        string            // where a sign-in outside a flow leads: a word of a fixed list
	Token       string            // proves that the form was ours
	Problem     string            // message key of what went wrong with the page as a whole
	Errors      map[string]string // id of the field → message keys, with a space between
	Nonce       string            // for scripts of this answer
	RequestID   string
	Human       *Human // nil: no check is wanted
	SignedIn    bool   // the header offers General information

	Config
	Lang  string
	Dir   string
	page  string
	words catalogue
}

// Page is a page: a struct of this package that embeds Base.
type Page interface {
	Name() string // of its template
	base() *Base
}

func (b *Base) base() *Base { return b }

// T gives the message in the page's language; pairs fill its placeholders.
func (b *Base) T(key string, pairs ...string) (string, error) {
	return b.words.text(b.Lang, key, pairs, func(v string) string { return v })
}

// Say gives several messages, one after the other; keys have a space between.
func (b *Base) Say(keys string) (string, error) {
	var said []string
	for _, key := range strings.Fields(keys) {
		text, err := b.T(key)
		if err != nil {
			return "", err
		}
		said = append(said, text)
	}
	return strings.Join(said, " "), nil
}

// B is T with each value set apart: names that other people chose stand in <bdi>, so that neither their
// markup nor their writing direction reaches our words.
func (b *Base) B(key string, pairs ...string) (template.HTML, error) {
	message, err := b.words.text(b.Lang, key, nil, nil)
	if err != nil {
		return "", err
	}
	escaped := catalogue{b.Lang: {key: html.EscapeString(message)}}
	text, err := escaped.text(b.Lang, key, pairs, func(v string) string {
		return "<bdi>" + html.EscapeString(v) + "</bdi>"
	})
	return template.HTML(text), err //nolint:gosec // G203: both parts were escaped above
}

// Here is the page's own name, for the language switch.
func (b *Base) Here() string { return b.page }

// Languages are those that the switch offers.
func (b *Base) Languages() []Language { return Languages }

// Style is the address of the style sheet.
func (b *Base) Style() string { return assetPath("app.css") }

// Icon is the address of the icon.
func (b *Base) Icon() string { return assetPath("icon.svg") }

// Faulty reports whether something has to be told at the top of the page.
func (b *Base) Faulty() bool { return b.Problem != "" || len(b.Errors) > 0 }

// Input is one labelled field.
type Input struct {
	*Base
	ID, Field, Type, Label, Hint, Auto, Value, Mode string
	Min, Max                                        string
	Focus, Optional, Fixed                          bool
	Unsaid                                          bool   // optional, as all around it: it need not be said
	List                                            string // id of a list of suggestions
}

// Input builds a field from pairs: id, name, type, label and hint (message keys), auto (autocomplete), value,
// list (id of a datalist), mode (inputmode), min and max (length), focus and fixed ("yes"), optional ("yes"), or want ("optional", "required").
func (b *Base) Input(pairs ...string) (Input, error) {
	in := Input{Base: b, Type: "text"}
	if len(pairs)%2 != 0 {
		return in, fmt.Errorf("input: odd arguments")
	}
	for i := 0; i < len(pairs); i += 2 {
		v := pairs[i+1]
		switch pairs[i] {
		case "id":
			in.ID = v
		case "name":
			in.Field = v
		case "type":
			in.Type = v
		case "label":
			in.Label = v
		case "hint":
			in.Hint = v
		case "auto":
			in.Auto = v
		case "list":
			in.List = v
		case "value":
			in.Value = v
		case "mode":
			in.Mode = v
		case "min":
			in.Min = v
		case "max":
			in.Max = v
		case "focus":
			in.Focus = v == "yes"
		case "fixed":
			in.Fixed = v == "yes"
		case "optional":
			in.Optional = v == "yes"
		case "want":
			in.Optional = v != "required"
		default:
			return in, fmt.Errorf("input: no attribute %q", pairs[i])
		}
	}
	// The summary takes the focus when there is something to say: one autofocus a page.
	in.Focus = in.Focus && !b.Faulty()
	return in, nil
}

// Error are the message keys of what is wrong with the field, or empty.
func (in Input) Error() string { return in.Errors[in.ID] }

// Described lists the ids that describe the field.
func (in Input) Described() string {
	switch {
	case in.Error() != "" && in.Hint != "":
		return in.ID + "-error " + in.ID + "-hint"
	case in.Error() != "":
		return in.ID + "-error"
	case in.Hint != "":
		return in.ID + "-hint"
	}
	return ""
}

// Step is one of the three of a registration.
type Step struct {
	*Base
	N string
}

// Step gives the n-th.
func (b *Base) Step(n int) Step { return Step{Base: b, N: strconv.Itoa(n)} }
