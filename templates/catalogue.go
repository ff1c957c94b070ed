package templates

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

//go:embed messages/*.json
var messages embed.FS

// Languages are the languages that every page and mail exists in; the first is the fallback.
var Languages = []Language{
	{Code: "en", Name: "English", Dir: "ltr"},
	{Code: "es", Name: "Español", Dir: "ltr"},
}

// Language is one of the languages of our pages.
type Language struct {
	Code string // BCP 47
	Name string // in itself
	Dir  string // ltr or rtl
}

// catalogue holds the messages by language and key.
type catalogue map[string]map[string]string

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(Languages))
	for i, l := range Languages {
		tags[i] = language.MustParse(l.Code)
	}
	return language.NewMatcher(tags)
}()

// loadCatalogue reads the embedded messages.
func loadCatalogue() (catalogue, error) {
	c := catalogue{}
	for _, l := range Languages {
		raw, err := messages.ReadFile("messages/" + l.Code + ".json")
		if err != nil {
			return nil, fmt.Errorf("read messages: %w", err)
		}
		words := map[string]string{}
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, fmt.Errorf("messages %s: %w", l.Code, err)
		}
		c[l.Code] = words
	}
	return c, nil
}

// Known reports whether code is one of Languages.
func Known(code string) bool {
	return slices.ContainsFunc(Languages, func(l Language) bool { return l.Code == code })
}

// longestPreference bounds what is given to the parser: people's lists are short, attackers' are not.
const longestPreference = 256

// Match picks the language for lists of preferences, most important list first. Each is in the form of
// Accept-Language or a space-separated list as in ui_locales; broken and unknown ones are passed over.
func Match(preferences ...string) string {
	for _, p := range preferences {
		if p == "" || len(p) > longestPreference {
			continue
		}
		if !strings.ContainsAny(p, ",;") { // else its spaces are around signs (RFC 9110 §12.4.2)
			p = strings.Join(strings.Fields(p), ",")
		}
		tags, _, err := language.ParseAcceptLanguage(p)
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := matcher.Match(tags...); confidence > language.No {
			return Languages[i].Code
		}
	}
	return Languages[0].Code
}

// text gives the message with its placeholders filled; pairs are name, value, name, value …
func (c catalogue) text(lang, key string, pairs []string, wrap func(string) string) (string, error) {
	message, ok := c[lang][key]
	if !ok {
		return "", fmt.Errorf("no message %q in %q", key, lang)
	}
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("message %q: placeholder without value", key)
	}
	if len(pairs) == 0 {
		return message, nil
	}
	with := make([]string, 0, len(pairs))
	for i := 0; i < len(pairs); i += 2 {
		with = append(with, "{"+pairs[i]+"}", wrap(pairs[i+1]))
	}
	return strings.NewReplacer(with...).Replace(message), nil
}
