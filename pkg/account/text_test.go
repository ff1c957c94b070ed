package account_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/passport-network/passport/pkg/account"
)

var goodAddresses = map[string]string{
	"alice@example.test":                "alice@example.test",
	"Alice.B+tag@Example.TEST":          "alice.b+tag@example.test",
	"  alice@example.test\n":            "alice@example.test",
	"o'neil@sub.example.test":           "o'neil@sub.example.test",
	"a@bücher.test":                     "a@xn--bcher-kva.test",
	"a@BÜCHER.test":                     "a@xn--bcher-kva.test",
	"a@xn--bcher-kva.test":              "a@xn--bcher-kva.test",
	"!#$%&'*+-/=?^_`{|}~@x.test":        "!#$%&'*+-/=?^_`{|}~@x.test",
	"a@1.2.test":                        "a@1.2.test",
	strings.Repeat("l", 64) + "@x.test": strings.Repeat("l", 64) + "@x.test",
	"a@" + strings.Repeat(strings.Repeat("d", 49)+".", 5) + "t": "a@" + strings.Repeat(strings.Repeat("d", 49)+".", 5) + "t",
}

var badAddresses = []string{
	"", "@", "a", "a@", "@x.test", "a@localhost", "a@x", "a b@x.test", "a@x .test", "a@b@x.test",
	"a@x.test\r\nBcc: e@x", "a@x.test\nBcc:e@x.test", "\"a\r\nB\"@x.test", "\"a b\"@x.test", "\"a\"@x.test",
	"Name <a@x.test>", "a@x.test (c)", "(c)a@x.test", "<a@x.test>", "a@x.test,b@x.test", "a@x.test;b@x.test", "a@x.test b@x.test",
	"a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@1.2.3.4",
	"=?utf-8?q?a=40evil.test=3e=00?=@x.test@", "=?utf-8?q?a=40evil.test=3e=00?= <b@x.test>",
	".a@x.test", "a.@x.test", "a..b@x.test", "a@.x.test", "a@x.test.", "a@x..test", "a@-x.test", "a@x-.test", "a@x_y.test",
	strings.Repeat("l", 65) + "@x.test", "a@" + strings.Repeat("d", 64) + ".test", "a@" + strings.Repeat("dddd.", 50) + "test",
	"a\u200b@x.test", "a@x\u200b.test\u202e", "\u202ea@x.test", "ä@x.test", "a@x.test\x00", "a\x00@x.test", "a@x\u3002test", "ａ@x.test",
	"a@x.test/..", "a@x.test?b", "a%40b", "a@x.test%00@evil.test", "mailto:a@x.test", "\xff@x.test", "a@\xff.test",
	strings.Repeat("a", 10000) + "@x.test", "a@" + strings.Repeat("ü", 1000) + ".test",
}

func TestCanonical(t *testing.T) {
	t.Run("A5 address syntax", func(t *testing.T) {
		for typed, want := range goodAddresses {
			if got, err := account.Canonical(typed); err != nil || got != want {
				t.Errorf("%q: %q, %v; want %q", typed, got, err, want)
			}
		}
		for _, typed := range badAddresses {
			got, err := account.Canonical(typed)
			var f *account.FieldError
			if !errors.As(err, &f) || f.Key != "error.email.invalid" || f.Field != "register-email" {
				t.Errorf("%.60q: %q, %v", typed, got, err)
			}
		}
	})
	t.Run("D6 what is too long is not read", func(t *testing.T) {
		for _, part := range []string{"a@", "a.", "(", "\"", "<a@b.test>,", "é"} {
			typed := strings.Repeat(part, 1<<19)
			// Nothing but the refusal is made of it: a copy or a parse would be.
			if n := testing.AllocsPerRun(1, func() { _, _ = account.Canonical(typed) }); n > 3 {
				t.Errorf("%q, half a million times: %v allocations", part, n)
			}
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for typed := range goodAddresses {
		f.Add(typed)
	}
	for _, typed := range badAddresses {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := account.Canonical(typed)
		if err != nil {
			if c != "" {
				t.Errorf("refused, but %q", c)
			}
			return
		}
		if again, err := account.Canonical(c); err != nil || again != c {
			t.Errorf("%q: not its own canonical form: %q %v", c, again, err)
		}
		if up, err := account.Canonical(strings.ToUpper(c)); err != nil || up != c {
			t.Errorf("%q in capitals: %q %v", c, up, err)
		}
		if len(c) > 254 || strings.Count(c, "@") != 1 || strings.ContainsFunc(c, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>()[]\\,;:\"", r)
		}) {
			t.Errorf("%q could do harm in a mail", c)
		}
		local, domain, _ := strings.Cut(c, "@")
		if len(local) > 64 || len(domain) > 253 || !strings.Contains(domain, ".") || strings.ToLower(c) != c {
			t.Errorf("%q is out of bounds", c)
		}
	})
}

func TestCheckPassword(t *testing.T) {
	rule := account.Passwords{Strength: 1, Brand: "Passport"}
	const email, name = "alicia.keys@example.test", "Alicia Keys"
	t.Run("A23 passwords", func(t *testing.T) {
		for password, want := range map[string]string{
			"x7Kq!p2":                               "error.password.short",
			"x7Kq!p2z":                              "",
			" x7Kq!p2 z ":                           "",
			strings.Repeat("x7Kq!p2z", 8):           "",
			strings.Repeat("x7Kq!p2z", 16):          "",
			strings.Repeat("x7Kq!p2z", 16) + "1":    "error.password.long",
			strings.Repeat("x7Kq", 1<<18):           "error.password.long",
			"x7Kq!p2z\x00":                          "error.password.characters",
			"x7Kq!p2z\xff":                          "error.password.characters",
			"😀😁😂🤣😃😄😅":                               "error.password.short",
			"😀😁😂🤣😃😄😅😆":                              "",
			strings.Repeat("e\u0301", 4) + "äöü":    "error.password.short", // seven characters after NFC
			"12345678":                              "error.password.common",
			"Password1":                             "error.password.common",
			"PASSWORD":                              "error.password.common",
			"qwertyuiop":                            "error.password.common",
			"Summer2026!":                           "error.password.common",
			"aaaaaaaaaaaaaaaa":                      "error.password.common",
			"abcabcabcabc":                          "error.password.common",
			email:                                   "error.password.common",
			"ALICIA.KEYS":                           "error.password.common",
			"alicia keys":                           "error.password.common",
			"Alicia Keys99!":                        "error.password.common",
			"alicia keys plays piano":               "",
			"passwords are long when they are good": "",
		} {
			_, err := rule.CheckPassword(t.Context(), "register-password", password, email, name)
			if got := fieldKey(err); got != want {
				t.Errorf("%.40q: %q, want %q", password, got, want)
			}
		}
	})
	t.Run("A23 two ways to type one text", func(t *testing.T) {
		nfc, err1 := rule.CheckPassword(t.Context(), "f", "contraseña larga é", email, name)
		nfd, err2 := rule.CheckPassword(t.Context(), "f", norm.NFD.String("contraseña larga é"), email, name)
		if err1 != nil || err2 != nil || nfc != nfd {
			t.Errorf("%q %v, %q %v", nfc, err1, nfd, err2)
		}
	})
}

func TestTextFields(t *testing.T) {
	names := map[string]string{ // name → message key; empty: kept as it is
		"Alice Example": "", "María José Ñandú": "", "O'Neil-Smith": "", "Dr. A. B. Smith jr.": "", "李小龙": "",
		"J.R.R. Tolkien": "", "J.Smith": "", "St. John": "", "Mª.Ángeles Ruiz": "", "迈克尔·乔丹": "", "Conan O.Brien...": "", "Ann, Bob.": "",
		"محمد علي": "", "😀 Smile": "", "Nguyễn Văn A": "", "שלום": "", "क्षत्रिय": "",
		"":                                  "error.name.empty",
		"   ":                               "error.name.empty",
		"a\x00b":                            "error.name.characters",
		"a\r\nSubject: x":                   "error.name.characters",
		"a\xffb":                            "error.name.characters",
		"\u202etxt.exe":                     "error.name.characters",
		"a\u2066b":                          "error.name.characters",
		"a\u200bb":                          "error.name.characters",
		"\ufffd":                            "error.name.characters",
		"a" + strings.Repeat("\u0301", 100): "error.name.characters",
		"<a href=//evil>":                   "error.name.characters",
		"{{.Token}}":                        "error.name.characters",
		"https://evil.test click here":      "error.name.link",
		"see www.evil":                      "error.name.link",
		"win at evil.test now":              "error.name.link",
		"a@evil.test":                       "error.name.link",
		"evil.test?":                        "error.name.link",
		"Hurry! evil.test!":                 "error.name.link",
		"(evil.test)":                       "error.name.link",
		"evil.test:8443":                    "error.name.link",
		"evil.test.":                        "error.name.link",
		"evil.com\u200dx":                   "error.name.link",
		"evil\u3002test":                    "error.name.link",
		"evil\uff61test":                    "error.name.link",
		"ｅｖｉｌ．ｔｅｓｔ":                         "error.name.link",
		"evil\u2024test":                    "error.name.link",
		"a＠evil":                            "error.name.link",
		"http：／／evil":                       "error.name.link",
		"t.co":                              "error.name.link",
		"пример.рф":                         "error.name.link",
		"例え。みんな":                            "error.name.link",
		"xn--e1afmkfd.xn--p1ai":             "error.name.link",
		strings.Repeat("n", 101):            "error.name.long",
		strings.Repeat("n", 10000):          "error.name.long",
	}
	each(t, func(t *testing.T, w *world) {
		w.run(t, "A6 names that do harm in mails and pages", func(t *testing.T) {
			for name, want := range names {
				if want == "" {
					continue
				}
				r := form("name@a6.test", goodPassword)
				r.Name = name
				if got := fieldKey(checked(t.Context(), w.Directory, r)); got != want {
					t.Errorf("%.40q: %q, want %q", name, got, want)
				}
			}
		})
		w.run(t, "A24 what is kept comes back as it was", func(t *testing.T) {
			for name, want := range names {
				r := form("text"+strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(random(9)))+"@a24.test", goodPassword)
				r.Name = name
				id, err := w.Register(t.Context(), r)
				if (err == nil) != (want == "") || err != nil && fieldKey(err) != want {
					t.Errorf("%.40q: %v", name, err)
				}
				if err != nil {
					continue
				}
				a, err := w.Show(t.Context(), id)
				if err != nil || a.Name != norm.NFC.String(name) || !utf8.ValidString(a.Name) {
					t.Errorf("%q came back as %+v, %v", name, a, err)
				}
			}
			for _, bad := range []account.Registration{
				{Email: "a\x00@a24.test"}, {FormID: "a\x00b"}, {FormID: strings.Repeat("f", 65)}, {FormID: ""}, {Email: "\xff@a24.test"},
			} {
				r := form("bad@a24.test", goodPassword)
				if bad.Email != "" {
					r.Email, r.TermsEmail = bad.Email, bad.Email
				} else {
					r.FormID = bad.FormID
				}
				var f *account.FieldError
				if _, err := w.Register(t.Context(), r); !errors.As(err, &f) {
					t.Errorf("%+v: %v", bad, err)
				}
			}
		})
		w.run(t, "A24 a language is a language", func(t *testing.T) {
			r := form("lang@a24.test", goodPassword)
			r.Language = "x\x00'; drop"
			id, err := w.Register(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if a := must(w.Show(t.Context(), id)); a.Language != "en" {
				t.Errorf("kept as %q", a.Language)
			}
		})
	})
}
