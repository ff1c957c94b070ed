package account

import (
	"context"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/match"
	"github.com/ccojocar/zxcvbn-go/matching"
	"github.com/ccojocar/zxcvbn-go/scoring"
	"golang.org/x/text/unicode/norm"
)

// Passwords is the one rule about new passwords, whoever sets them and wherever.
type Passwords struct {
	Strength int       // the least score of zxcvbn that is taken, 0 (any) to 4
	Brand    string    // among the first words that others would try
	Breaches *Breaches // nil: nobody is asked
}

// CheckPassword says whether a new password can be taken (NIST SP 800-63B: length, block lists and strength, no classes of
// characters), and gives its normal form. The error is a *FieldError of that field; its further keys are the reasons.
// Email and name are those of the account as it will be; they may be empty.
func (p Passwords) CheckPassword(ctx context.Context, field, raw, email, name string) (string, error) {
	bad := func(keys ...string) (string, error) {
		for i := range keys {
			keys[i] = "error.password." + keys[i]
		}
		return "", &FieldError{Field: field, Key: strings.Join(keys, " ")}
	}
	if len(raw) > maxPasswordRaw {
		return bad("long")
	}
	if !utf8.ValidString(raw) || strings.ContainsRune(raw, 0) {
		return bad("characters")
	}
	password := norm.NFC.String(raw)
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return bad("short")
	case n > maxPassword:
		return bad("long")
	}
	if guessable(password, email, name) {
		return bad("common")
	}
	if score, why := strength(password, email, name, p.Brand); score < p.Strength {
		return bad(append([]string{"weak"}, why...)...)
	}
	if p.Breaches.known(ctx, password) {
		return bad("breached")
	}
	return password, nil
}

// What zxcvbn is given at most. It compares each part of a password with its lists, and does so once more for each way in
// which signs may stand for letters: 120 digits cost it 200 ms, and a text of many such signs seconds (D4).
const (
	maxJudged      = 40 // code points at a time
	maxLeet        = 20 // code points, for signs that stand for letters …
	maxLeetSigns   = 4  // … and different ones of these
	leetSigns      = "4@8({[<3691!|0$5+7%2"
	maxPersonal    = 100 // code points of each word about the person
	leastPersonal  = 3   // letters of a word that counts as the person's
	maxPersonalAll = 32  // words
)

// strength is zxcvbn's score, 0 to 4, and the reasons why it is not higher: the tails of message keys, the one that says
// most first.
func strength(password, email, name, brand string) (score int, why []string) {
	plain := []rune(date.ReplaceAllString(plainLetters(password), dated))
	about := personal(email, name, brand)
	var best scoring.MinEntropyMatch
	for i, end := range ends(plain) { // a long one is as good as the better of its ends
		if m := judge(end, about); i == 0 || m.Score > best.Score {
			best = m
		}
	}
	return best.Score, reasons(best.MatchSequence, date.MatchString(password))
}

// ends are what of a password is judged.
func ends(plain []rune) []string {
	if len(plain) <= maxJudged {
		return []string{string(plain)}
	}
	return []string{string(plain[:maxJudged]), string(plain[len(plain)-maxJudged:])}
}

// leet tells whether signs that stand for letters are looked for.
func leet(part string) bool {
	return utf8.RuneCountInString(part) <= maxLeet && countSigns(part) <= maxLeetSigns
}

func judge(part string, about []string) scoring.MinEntropyMatch {
	var skip []func(match.Matcher) bool
	if !leet(part) {
		skip = append(skip, matching.FilterL33tMatcher)
	}
	return zxcvbn.PasswordStrength(part, about, skip...)
}

// countSigns counts the different characters that zxcvbn may read as letters.
func countSigns(s string) (n int) {
	for _, sign := range leetSigns {
		if strings.ContainsRune(s, sign) {
			n++
		}
	}
	return n
}

// date finds 23.11.1984, 1984-11-23, 23111984: zxcvbn-go 1.0.4 loses those that it finds. There are about 2^15 that people
// choose from: one counts as dated, two characters without a meaning.
var date = regexp.MustCompile(`\b\d{1,2}[-./_ ]\d{1,2}[-./_ ](\d\d|(19|20)\d\d)\b|(19|20)\d\d[-./_ ]?\d{1,2}[-./_ ]?\d{1,2}|\d{4}(19|20)\d\d`)

const dated = "d8"

// reasons puts what zxcvbn found into words. No more than three: nobody reads on.
func reasons(found []match.Match, hasDate bool) (why []string) {
	said := map[string]bool{}
	add := func(of ...string) {
		for _, m := range found {
			reason := patternReasons[m.Pattern]
			if m.Pattern == "dictionary" && m.DictionaryName == "user_inputs" {
				reason = "personal"
			}
			for _, wanted := range of {
				if reason == wanted && !said[reason] && len(why) < 3 && len(m.Token) > 1 {
					said[reason] = true
					why = append(why, reason)
				}
			}
		}
	}
	add("personal")
	if hasDate {
		why = append(why, "date")
	}
	add("keys", "repeat", "sequence")
	add("word")
	return why
}

var patternReasons = map[string]string{
	"dictionary": "word", "spatial": "keys", "repeat": "repeat", "sequence": "sequence",
}

// personal are the words that somebody who knows the person would try.
func personal(email, name, brand string) []string {
	var words []string
	for _, text := range []string{email, name, brand} {
		if runes := []rune(strings.ToLower(plainLetters(text))); len(runes) <= maxPersonal {
			text = string(runes)
		} else {
			text = string(runes[:maxPersonal])
		}
		words = append(words, text)
		words = append(words, strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	var out []string
	for _, w := range words {
		if utf8.RuneCountInString(w) >= leastPersonal && len(out) < maxPersonalAll {
			out = append(out, w)
		}
	}
	return out
}

// plainLetters leaves accents out: the lists of zxcvbn have none, and "contraseña" is as easy to guess as "contrasena".
func plainLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s))
}
