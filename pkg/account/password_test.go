package account_test

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // G505: of the service that is doubled here
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/pkg/outbound"
)

// refused are the tails of the keys that a password is refused with.
func refused(t *testing.T, rule account.Passwords, password, email, name string) string {
	t.Helper()
	_, err := rule.CheckPassword(t.Context(), "f", password, email, name)
	var fault *account.FieldError
	if err != nil && (!errors.As(err, &fault) || fault.Field != "f") {
		t.Fatalf("%q: %v", password, err)
	}
	if fault == nil {
		return ""
	}
	return strings.ReplaceAll(fault.Key, "error.password.", "")
}

// TestStrength: 4.5, the score and its reasons.
func TestStrength(t *testing.T) {
	const email, name = "maria.quintana@hafenweg.test", "María Quintana"
	t.Run("A23 reasons", func(t *testing.T) {
		rule := account.Passwords{Strength: 1, Brand: "Passport"}
		for password, want := range map[string]string{
			"monkey dragon":   "weak word",
			"zxcvbnm,./":      "weak keys",
			"aaaaaaaaaaab":    "weak repeat",
			"opqrstuvwx":      "weak sequence",
			"23-11-1984":      "weak date",
			"23111984":        "weak date",
			"quintana2026":    "weak personal",
			"hafenweg12":      "weak personal",
			"Passport2026":    "weak personal",
			"maria.quintana1": "common",
			"maría.quintana1": "weak personal",
			"iloveyou99":      "common",
			// What is taken without asking for more.
			"correct horse battery staple":               "",
			"correct horse battery":                      "",
			"tree boat lamp":                             "",
			"caballo grapa correcto":                     "",
			"x7Kq!p2z":                                   "",
			"kVw93hfTz0qL":                               "",
			"contraseña larga é":                         "",
			"😀😁😂🤣😃😄😅😆":                                   "",
			strings.Repeat("x7Kq!p2z", 16):               "",
			strings.Repeat("a", 60) + "b":                "weak repeat",
			strings.Repeat("a", 60) + "qT5zK0wv83nfLw2x": "",
			"qT5zK0wv83nfLw2x" + strings.Repeat("a", 60): "",
		} {
			if got := refused(t, rule, password, email, name); !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%.40q: %q, want %q", password, got, want)
			}
		}
	})
	t.Run("the operator says how strong", func(t *testing.T) {
		for strength, taken := range map[int]bool{0: true, 1: true, 2: true, 3: false, 4: false} {
			if got := refused(t, account.Passwords{Strength: strength}, "treeboatlamp", email, name); (got == "") != taken {
				t.Errorf("%d: %q", strength, got)
			}
		}
		if got := refused(t, account.Passwords{}, "zxcvbnm,./", email, name); got != "" {
			t.Errorf("0: %q", got)
		}
	})
	t.Run("A24 no text breaks it", func(t *testing.T) {
		alphabet := []rune("aA1!@4|ñé́😀漢\u202e\u200d.-/ \\\"q9")
		for range 500 {
			password := make([]rune, 8+rand.IntN(60))
			for i := range password {
				password[i] = alphabet[rand.IntN(len(alphabet))]
			}
			refused(t, account.Passwords{Strength: 4, Brand: "é"}, string(password), string(password), string(password))
		}
	})
}

// TestOneRule: whoever sets a new password, it is judged by the one rule, with the account's own words.
func TestOneRule(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		cfg := w.cfg
		cfg.Passwords = account.Passwords{Strength: 1, Brand: "Hafenweg"}
		d := must(account.New(cfg))
		ctx := t.Context()
		const weak, key = "hafenweg12", "error.password.weak error.password.personal"
		w.run(t, "register", func(t *testing.T) {
			r := form("one@rule.test", weak)
			if got := fieldKey(checked(ctx, d, r)); got != key {
				t.Error(got)
			}
			if _, err := d.Register(ctx, r); fieldKey(err) != key {
				t.Error(err)
			}
		})
		w.run(t, "confirm with a new one", func(t *testing.T) {
			_, l := w.register("confirm@rule.test", goodPassword)
			if _, err := d.Confirm(ctx, account.ConfirmInput{Token: l.confirm, FlowHash: browser(), NewPassword: weak, IP: ip()}); fieldKey(err) != key {
				t.Error(err)
			}
		})
		w.run(t, "change", func(t *testing.T) {
			who := w.member("change@rule.test", goodPassword)
			if _, err := d.ChangePassword(ctx, account.PasswordChange{AccountID: who.AccountID, Current: goodPassword, New: weak, IP: ip()}); fieldKey(err) != key {
				t.Error(err)
			}
		})
		w.run(t, "recovery", func(t *testing.T) {
			w.member("recover@rule.test", goodPassword)
			if err := d.AskRecovery(ctx, account.RecoveryRequest{Email: "recover@rule.test", Language: "en", IP: ip()}); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Recover(ctx, w.link("recover@rule.test", "recover/password"), weak, ""); fieldKey(err) != key {
				t.Error(err)
			}
		})
		w.run(t, "the operator", func(t *testing.T) {
			if _, err := d.Create(ctx, account.NewAccount{Email: "made@rule.test", Password: weak, Confirmed: true}); fieldKey(err) != key {
				t.Error(err)
			}
			who := must(d.Create(ctx, account.NewAccount{Email: "made@rule.test", Password: goodPassword, Confirmed: true}))
			password := weak
			if _, err := d.Set(ctx, who.ID, account.Change{Password: &password}); fieldKey(err) != key {
				t.Error(err)
			}
		})
	})
}

// breachService is a double of the range service: it answers as Have I Been Pwned's documentation says.
type breachService struct {
	lost   string // the password that it knows
	padded string // the one that stands in its padding
	asked  atomic.Int64

	mu     sync.Mutex // who gives up waiting leaves a handler behind
	answer http.HandlerFunc
	paths  []string
	header http.Header
}

// answers has it answer otherwise; nil: as documented.
func (b *breachService) answers(how http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = how
}

func suffix(password string) (prefix, rest string) {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // G401
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	return hash[:5], hash[5:]
}

func (b *breachService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.asked.Add(1)
	b.mu.Lock()
	b.paths, b.header = append(b.paths, r.URL.String()), r.Header
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	for i := range 800 {
		fmt.Fprintf(w, "%035X:%d\r\n", i, i+1)
	}
	_, rest := suffix(b.lost)
	fmt.Fprintf(w, "%s:3861493\r\n", rest)
	_, rest = suffix(b.padded)
	fmt.Fprintf(w, "%s:0\r\n", rest)
}

func TestBreaches(t *testing.T) {
	const lost, other = "sturdy anvil under rain", "another anvil under rain"
	double := &breachService{lost: lost, padded: other}
	server := httptest.NewServer(double)
	defer server.Close()
	out := must(outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(server.URL, "http://")}}))
	var logs bytes.Buffer
	counts := map[string]int{}
	rule := account.Passwords{Breaches: &account.Breaches{URL: server.URL + "/range/", Outbound: out,
		Logger: slog.New(slog.NewTextHandler(&logs, nil)), Count: func(outcome string) { counts[outcome]++ }}}
	t.Run("A23 a password that others have lost", func(t *testing.T) {
		if got := refused(t, rule, lost, "", ""); got != "breached" || counts["breached"] != 1 {
			t.Errorf("%q, %v", got, counts)
		}
		if double.header.Get("Add-Padding") != "true" || double.header.Get("Accept-Encoding") != "" {
			t.Errorf("%v", double.header)
		}
	})
	t.Run("the padding is no list", func(t *testing.T) {
		if got := refused(t, rule, other, "", ""); got != "" || counts["clean"] != 1 {
			t.Errorf("%q, %v", got, counts)
		}
	})
	t.Run("the service learns five digits", func(t *testing.T) {
		prefix, _ := suffix(lost)
		prefix2, _ := suffix(other)
		if !slices.Equal(double.paths, []string{"/range/" + prefix, "/range/" + prefix2}) {
			t.Errorf("%q", double.paths)
		}
	})
	t.Run("what is refused before is not asked about", func(t *testing.T) {
		before := double.asked.Load()
		refused(t, rule, "short", "", "")
		refused(t, rule, "password1", "", "")
		if double.asked.Load() != before {
			t.Error("it was")
		}
	})
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"a megabyte": func(w http.ResponseWriter, _ *http.Request) {
			_, rest := suffix(lost)
			fmt.Fprintf(w, "%s:3\r\n%s", rest, strings.Repeat("x", 1<<20))
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a page":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Sign in to the network</html>") },
		"nothing":    func(http.ResponseWriter, *http.Request) {},
		"silent":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, // until we leave: else this has no end
	} {
		t.Run("fails open: "+name, func(t *testing.T) {
			double.answers(answer)
			defer double.answers(nil)
			logs.Reset()
			failed := counts["failed"]
			if got := refused(t, rule, lost, "", ""); got != "" || counts["failed"] != failed+1 {
				t.Errorf("%q, %v", got, counts)
			}
			prefix, rest := suffix(lost)
			if said := logs.String(); !strings.Contains(said, "not checked") || strings.Contains(said, prefix) || strings.Contains(said, rest) || strings.Contains(said, lost) {
				t.Errorf("the log: %s", said)
			}
		})
	}
	t.Run("nobody is asked by default", func(t *testing.T) {
		if got, err := (account.Passwords{}).CheckPassword(context.Background(), "f", lost, "", ""); err != nil || got != lost {
			t.Errorf("%v", err)
		}
	})
}
