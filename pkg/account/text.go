package account

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

const (
	minPassword    = 8
	maxPassword    = 128  // code points
	maxPasswordRaw = 1024 // bytes, before anything is done with it
	maxName        = 100  // code points
	maxNameRaw     = 1024
	maxMarks       = 4 // combining marks in a row: more draw over the lines around
)

//go:embed common.txt
var commonList string

var common = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(commonList) {
		m[w] = true
	}
	return m
})

// normalPassword is the password as it is hashed: NFC, so that one text typed on two keyboards is one
// password; never trimmed, never cut. Not ok: no password can look like that.
func normalPassword(raw string) (string, bool) {
	if raw == "" || len(raw) > maxPasswordRaw || !utf8.ValidString(raw) || strings.ContainsRune(raw, 0) {
		return "", false
	}
	p := norm.NFC.String(raw)
	return p, utf8.RuneCountInString(p) <= maxPassword
}

// guessable: on the list (as it is, or with digits and signs at its end), one character or run repeated, or
// the address or the name.
func guessable(p, email, name string) bool {
	fold := strings.ToLower(p)
	bare := strings.TrimRight(fold, "0123456789!?.#$*-_ ")
	if common()[fold] || len(bare) >= 4 && common()[bare] && utf8.RuneCountInString(fold) < 12 {
		return true
	}
	if repeats(fold) {
		return true
	}
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	for _, context := range []string{strings.ToLower(email), local, strings.ToLower(name)} {
		context = strings.TrimSpace(context)
		if context == "" {
			continue
		}
		if fold == context || utf8.RuneCountInString(context) >= 4 && bare == context {
			return true
		}
	}
	return false
}

// repeats: made of one piece of up to four characters, over and over.
func repeats(s string) bool {
	runes := []rune(s)
	for n := 1; n <= 4; n++ {
		same := true
		for i := n; i < len(runes) && same; i++ {
			same = runes[i] == runes[i-n]
		}
		if same {
			return true
		}
	}
	return false
}

// checkName says whether a name can be shown to others: in pages, mails and at sites. It gives it in NFC,
// trimmed, with single spaces. Required or not is the caller's.
func checkName(field, raw string) (string, error) {
	name, err := checkLine(field, "error.name.", raw, maxName)
	if err == nil && looksLikeLink(name) {
		return "", &FieldError{Field: field, Key: "error.name.link"}
	}
	return name, err
}

// checkLine is checkName for any line of text, of at most so many code points; keys begins the key of what is wrong.
func checkLine(field, keys, raw string, most int) (string, error) {
	bad := func(key string) (string, error) { return "", &FieldError{Field: field, Key: keys + key} }
	if len(raw) > maxNameRaw {
		return bad("long")
	}
	if !utf8.ValidString(raw) {
		return bad("characters")
	}
	marks := 0
	for _, r := range raw {
		// Cc has NUL, which PostgreSQL cannot store; Cf the overrides that turn text around (U+202E) and
		// the zero-width ones; U+2028 ends lines in places. The joiners are letters' business in some scripts.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' ||
			r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Co, r) || r == utf8.RuneError {
			return bad("characters")
		}
		if marks++; !unicode.Is(unicode.Mn, r) {
			marks = 0
		}
		if marks > maxMarks {
			return bad("characters")
		}
	}
	name := strings.Join(strings.Fields(norm.NFC.String(raw)), " ")
	if utf8.RuneCountInString(name) > most {
		return bad("long")
	}
	if strings.ContainsAny(name, "<>{}") {
		return bad("characters")
	}
	return name, nil
}

// looksLikeLink: mail programs make links of such text, and a name stands in mails to other people's boxes. They end a link
// at a sign, and take other full stops and wide letters for the plain ones, as browsers do (UTS #46).
func looksLikeLink(name string) bool {
	fold := strings.ReplaceAll(strings.ToLower(norm.NFKC.String(name)), "\u3002", ".")
	if strings.Contains(fold, "://") || strings.Contains(fold, "www.") || strings.ContainsAny(fold, "@/\\") {
		return true
	}
	for word := range strings.FieldsFuncSeq(fold, func(r rune) bool {
		return r != '.' && r != '-' && !unicode.In(r, unicode.L, unicode.M, unicode.N)
	}) {
		if looksLikeHost(strings.Trim(word, ".-")) {
			return true
		}
	}
	return false
}

// looksLikeHost: evil.test, t.co and пример.рф, but not J.R. or J.Smith: two letters or more on both sides of the last full
// stop, that after it of a to z, for domains come up every year; or one of those that there are.
func looksLikeHost(word string) bool {
	i := strings.LastIndexByte(word, '.')
	if i < 1 {
		return false
	}
	if i >= 2 && len(word)-i > 2 && strings.Trim(word[i+1:], "abcdefghijklmnopqrstuvwxyz") == "" {
		return true
	}
	host, err := idna.ToASCII(word)
	if err != nil {
		return false
	}
	suffix, listed := publicsuffix.PublicSuffix(host)
	return suffix != host && (listed || strings.Contains(suffix, "."))
}

// languageOf keeps a language that a mail can be written in; the catalogue's fallback else.
func languageOf(s string) string {
	if len(s) < 2 || len(s) > 35 {
		return "en"
	}
	for i := range len(s) {
		if !letterOrDigit(s[i]) && s[i] != '-' {
			return "en"
		}
	}
	return s
}
