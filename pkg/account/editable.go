package account

import (
	_ "embed"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// editing is a standard claim that people edit themselves.
type editing struct {
	name    string
	address bool // a member of the claim address
	check   func(d *Directory, field, typed string) (string, error)
}

// editable are all of them, in the order of the page.
var editable = []editing{
	{name: "given_name", check: plainly(checkName)},
	{name: "middle_name", check: plainly(checkName)},
	{name: "family_name", check: plainly(checkName)},
	{name: "nickname", check: plainly(checkName)},
	{name: "preferred_username", check: plainly(checkUsername)},
	{name: "gender", check: upTo(40)},
	{name: "birthdate", check: (*Directory).checkBirthDate},
	{name: "profile", check: plainly(checkWebsite)},
	{name: "website", check: plainly(checkWebsite)},
	{name: "phone_number", check: plainly(checkPhone)},
	{name: "locale", check: plainly(checkLocale)},
	{name: "zoneinfo", check: plainly(checkZone)},
	{name: "street_address", address: true, check: upTo(200)},
	{name: "postal_code", address: true, check: upTo(20)},
	{name: "locality", address: true, check: upTo(100)},
	{name: "region", address: true, check: upTo(100)},
	{name: "country", address: true, check: upTo(100)},
}

// Editable names the claims of Profile.Text.
func Editable() []string {
	names := make([]string, len(editable))
	for i, e := range editable {
		names[i] = e.name
	}
	return names
}

func plainly(check func(field, typed string) (string, error)) func(*Directory, string, string) (string, error) {
	return func(_ *Directory, field, typed string) (string, error) { return check(field, typed) }
}

// upTo takes a line of text. It stands in no mail of ours, and addresses have slashes: links are no matter.
func upTo(most int) func(*Directory, string, string) (string, error) {
	return func(_ *Directory, field, typed string) (string, error) {
		return checkLine(field, "error.text.", typed, most)
	}
}

const (
	maxUsername = 60  // code points
	maxURL      = 500 // bytes
)

// checkUsername takes letters, digits, dots, hyphens and underscores. Nobody must take it for a key: it is not unique (§5.7).
func checkUsername(field, typed string) (string, error) {
	name, err := checkLine(field, "error.text.", typed, maxUsername)
	if err != nil {
		return "", err
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune("._-", r)
	}) {
		return "", &FieldError{Field: field, Key: "error.username.invalid"}
	}
	return name, nil
}

// checkWebsite takes the address of a page. Sites make links of it: javascript: and data: would run there, and a user's part
// would show another host than the one that is opened.
func checkWebsite(field, typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", nil
	}
	bad := &FieldError{Field: field, Key: "error.url.invalid"}
	if len(typed) > maxURL || !utf8.ValidString(typed) || strings.ContainsFunc(typed, func(r rune) bool {
		return r <= ' ' || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) || strings.ContainsRune(`\"<>{}`, r) || r == utf8.RuneError
	}) {
		return "", bad
	}
	u, err := url.Parse(typed)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(u.String()) > maxURL {
		return "", bad
	}
	return u.String(), nil
}

// checkLocale takes a language tag (BCP 47), and writes it as it should be: es-MX.
func checkLocale(field, typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", nil
	}
	bad := &FieldError{Field: field, Key: "error.locale.invalid"}
	if len(typed) > 35 { // RFC 5646 §4.4.1
		return "", bad
	}
	tag, err := language.Parse(typed)
	if err != nil || tag == language.Und {
		return "", bad
	}
	return tag.String(), nil
}

//go:embed zones.txt
var zoneList string

// Zones are the names of time zones that a person can choose from: those of the places in the IANA database's zone.tab
// (2025b), and Etc/UTC.
var Zones = sync.OnceValue(func() []string { return strings.Fields(zoneList) })

func checkZone(field, typed string) (string, error) {
	if typed != "" && !slices.Contains(Zones(), typed) {
		return "", &FieldError{Field: field, Key: "error.zone.invalid"}
	}
	return typed, nil
}
