package account

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What would take zxcvbn long is not given to it: it is bounded by what it reads.
func TestJudged(t *testing.T) {
	t.Run("D4 passwords", func(t *testing.T) {
		for _, password := range []string{strings.Repeat("4@8({[<3691!|0$5+7%2", 6), strings.Repeat("1234567890", 12), strings.Repeat("|1!7", 30), "4@8({[<3691!", strings.Repeat("é", 200)} {
			for _, part := range ends([]rune(password)) {
				if n := utf8.RuneCountInString(part); n > 40 || leet(part) {
					t.Errorf("%.20q: %d code points; are signs taken for letters: %v", password, n, leet(part))
				}
			}
		}
		if !leet("p4ssw0rd") || len(ends([]rune("p4ssw0rd"))) != 1 {
			t.Error("a short one is not judged as a whole")
		}
	})
	t.Run("D4 words about the person", func(t *testing.T) {
		words := personal("ada@example.test", strings.Repeat("long name ", 100), strings.Repeat("brand ", 1000))
		if len(words) > 32 {
			t.Errorf("%d words", len(words))
		}
		for _, word := range words {
			if n := utf8.RuneCountInString(word); n > 100 {
				t.Errorf("a word of %d code points", n)
			}
		}
	})
}
