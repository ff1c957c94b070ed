package human_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/human"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbound"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().UTC().Add(time.Duration(c.ahead.Load())) }

// pass lets time go by until the end of the test.
func (c *clock) pass(t *testing.T, d time.Duration) {
	c.ahead.Add(int64(d))
	t.Cleanup(func() { c.ahead.Add(-int64(d)) })
}

func sealer() *keys.Sealer { return must(keys.NewSealer([]byte(rand.Text() + rand.Text()))) }

func browser() []byte { return []byte(rand.Text()) }

const bits = 8

// work does what the page's script does.
func work(challenge string) string {
	for n := 0; ; n++ {
		if human.Worked(challenge, strconv.Itoa(n), bits) {
			return strconv.Itoa(n)
		}
	}
}

func TestPuzzle(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		var c clock
		p := must(human.NewPuzzle(human.PuzzleConfig{Store: s, Sealer: sealer(), Now: c.now, Bits: bits}))
		check := func(at human.Place, form map[string]string) error { return p.Check(t.Context(), at, form) }
		byWork := func(challenge string) map[string]string {
			return map[string]string{human.FieldChallenge: challenge, human.FieldWork: work(challenge)}
		}
		for way, solve := range map[string]func(at human.Place, challenge string) map[string]string{
			"work": func(_ human.Place, challenge string) map[string]string { return byWork(challenge) },
			"digits": func(at human.Place, challenge string) map[string]string {
				d := p.Digits(at.Browser, challenge)
				return map[string]string{human.FieldChallenge: challenge, human.FieldWork: "", human.FieldDigits: d[:3] + " " + d[3:]}
			},
		} {
			fresh := func() (human.Place, map[string]string) {
				at := human.Place{Form: "terms", Browser: browser()}
				return at, solve(at, must(p.Offer(at)).Challenge)
			}
			t.Run("A21 "+way+": right, and replayed", func(t *testing.T) {
				at, form := fresh()
				if err := check(at, form); err != nil {
					t.Errorf("the right one: %v", err)
				}
				if err := check(at, form); !errors.Is(err, human.ErrWrong) {
					t.Errorf("once more: %v", err)
				}
				// By the other way too: a challenge is answered once.
				if err := check(at, byWork(form[human.FieldChallenge])); !errors.Is(err, human.ErrWrong) {
					t.Errorf("once more, by work: %v", err)
				}
			})
			t.Run("A21 "+way+": of another form, or browser", func(t *testing.T) {
				at, form := fresh()
				for name, other := range map[string]human.Place{
					"form": {Form: "recover", Browser: at.Browser}, "browser": {Form: at.Form, Browser: browser()}, "no browser": {Form: at.Form},
				} {
					if err := check(other, form); !errors.Is(err, human.ErrWrong) {
						t.Errorf("another %s: %v", name, err)
					}
				}
				if err := check(at, form); err != nil {
					t.Errorf("where it belongs: %v", err)
				}
			})
			t.Run("A21 "+way+": late", func(t *testing.T) {
				at, form := fresh()
				c.pass(t, human.Lifetime+time.Second)
				if err := check(at, form); !errors.Is(err, human.ErrWrong) {
					t.Error(err)
				}
			})
			t.Run("A21 "+way+": thirty times at once", func(t *testing.T) {
				at, form := fresh()
				var won atomic.Int64
				var all sync.WaitGroup
				for range 30 {
					all.Go(func() {
						if err := check(at, form); err == nil {
							won.Add(1)
						} else if !errors.Is(err, human.ErrWrong) {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if won.Load() != 1 {
					t.Errorf("%d passed", won.Load())
				}
			})
		}
		t.Run("A21 wrong", func(t *testing.T) {
			at := human.Place{Form: "login", Browser: browser()}
			challenge := must(p.Offer(at)).Challenge
			lazy := 0
			for human.Worked(challenge, strconv.Itoa(lazy), bits) {
				lazy++
			}
			for _, number := range []string{strconv.Itoa(lazy), "-1", "1e3", "x", strings.Repeat("1", 13), "1 ", strings.Repeat("9", 1<<20)} {
				if err := check(at, map[string]string{human.FieldChallenge: challenge, human.FieldWork: number}); !errors.Is(err, human.ErrWrong) {
					t.Errorf("%.20q: %v", number, err)
				}
			}
			if err := check(at, byWork(challenge)); err != nil {
				t.Errorf("lazy work has spent the challenge: %v", err)
			}
			// Digits have one try.
			challenge = must(p.Offer(at)).Challenge
			right := p.Digits(at.Browser, challenge)
			wrong := strconv.Itoa((int(right[0]-'0')+1)%10) + right[1:]
			for _, digits := range []string{wrong, right} {
				if err := check(at, map[string]string{human.FieldChallenge: challenge, human.FieldDigits: digits}); !errors.Is(err, human.ErrWrong) {
					t.Errorf("%s of %s: %v", digits, right, err)
				}
			}
		})
		t.Run("A21 empty, forged and huge", func(t *testing.T) {
			at := human.Place{Form: "login", Browser: browser()}
			challenge := must(p.Offer(at)).Challenge
			for _, form := range []map[string]string{nil, {}, {human.FieldWork: "1", human.FieldDigits: "123456"}, {human.FieldChallenge: challenge}} {
				if err := check(at, form); !errors.Is(err, human.ErrNone) {
					t.Errorf("%v: %v", form, err)
				}
			}
			for _, forged := range []string{"x", challenge + "A", challenge[1:], challenge[:len(challenge)-2] + "AA", strings.Repeat("A", 1<<20), challenge + "=", challenge + "\n"} {
				if err := check(at, map[string]string{human.FieldChallenge: forged, human.FieldWork: "1"}); !errors.Is(err, human.ErrWrong) {
					t.Errorf("%.20q: %v", forged, err)
				}
			}
			other := must(human.NewPuzzle(human.PuzzleConfig{Store: s, Sealer: sealer(), Now: c.now, Bits: bits}))
			if err := other.Check(t.Context(), at, byWork(challenge)); !errors.Is(err, human.ErrWrong) {
				t.Errorf("of another server: %v", err)
			}
		})
		t.Run("a failing database is no wrong answer", func(t *testing.T) {
			broken := must(human.NewPuzzle(human.PuzzleConfig{Store: failing{}, Sealer: sealer(), Now: c.now, Bits: bits}))
			at := human.Place{Form: "login", Browser: browser()}
			if err := broken.Check(t.Context(), at, byWork(must(broken.Offer(at)).Challenge)); !errors.Is(err, errDown) {
				t.Error(err)
			}
		})
	})
}

var errDown = errors.New("the database is down")

type failing struct{}

func (failing) SpendHuman(context.Context, []byte, time.Time) error { return errDown }

// TestDigits: what is seen and heard is one thing, drawn the same each time, and hides the answer from the address.
func TestDigits(t *testing.T) {
	var c clock
	p := must(human.NewPuzzle(human.PuzzleConfig{Store: failing{}, Sealer: sealer(), Now: c.now}))
	at := human.Place{Form: "login", Browser: browser()}
	challenge := must(p.Offer(at)).Challenge
	digits := p.Digits(at.Browser, challenge)
	if strings.Contains(challenge, digits) || len(digits) != 6 {
		t.Errorf("%s in %s", digits, challenge)
	}
	picture := must(p.Picture(at.Browser, challenge))
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil || img.Bounds().Dx() != human.PictureWidth || img.Bounds().Dy() != human.PictureHeight || len(picture) > 16<<10 {
		t.Errorf("%v, %d bytes", err, len(picture))
	}
	dark := 0
	for y := range human.PictureHeight {
		for x := range human.PictureWidth {
			if v, _, _, _ := img.At(x, y).RGBA(); v < 0x6000 {
				dark++
			}
		}
	}
	if dark < 600 || dark > human.PictureWidth*human.PictureHeight/3 {
		t.Errorf("%d dark points", dark)
	}
	for language, other := range map[string]string{"en": "es", "xx": "es", "es": "en"} {
		sound := must(p.Sound(at.Browser, challenge, language))
		if string(sound[:4]) != "RIFF" || string(sound[8:16]) != "WAVEfmt " || int(binary.LittleEndian.Uint32(sound[4:])) != len(sound)-8 ||
			int(binary.LittleEndian.Uint32(sound[40:])) != len(sound)-44 || binary.LittleEndian.Uint32(sound[24:]) != 8000 {
			t.Errorf("%s: no WAV: % x", language, sound[:44])
		}
		if seconds := len(sound) / 8000; seconds < 4 || seconds > 15 {
			t.Errorf("%s: %d s", language, seconds)
		}
		if bytes.Equal(sound, must(p.Sound(at.Browser, challenge, other))) {
			t.Errorf("%s and %s sound alike", language, other)
		}
		if !bytes.Equal(sound, must(p.Sound(at.Browser, challenge, language))) {
			t.Errorf("%s: another noise each time, which can be averaged away", language)
		}
	}
	if !bytes.Equal(picture, must(p.Picture(at.Browser, challenge))) {
		t.Error("another noise each time, which can be averaged away")
	}
	if bytes.Equal(picture, must(p.Picture(at.Browser, must(p.Offer(at)).Challenge))) {
		t.Error("two challenges look alike")
	}
	if _, err := p.Picture(browser(), challenge); !errors.Is(err, human.ErrWrong) {
		t.Errorf("another browser sees it: %v", err)
	}
	c.pass(t, human.Lifetime+time.Second)
	if _, err := p.Sound(at.Browser, challenge, "en"); !errors.Is(err, human.ErrWrong) {
		t.Errorf("late: %v", err)
	}
}

// TestScript: what the page's script finds is what the server takes.
func TestScript(t *testing.T) {
	const program = `
		const s = require(process.argv[1]), lines = require('fs').readFileSync(0, 'utf8').trim().split('\n');
		for (const l of lines) {
			let n = 0, got = -1;
			for (; got < 0; n += 500) { got = s.search(l.slice(-32), 12, n, 500); }
			console.log(got);
		}`
	var in strings.Builder
	var challenges []string
	p := must(human.NewPuzzle(human.PuzzleConfig{Store: failing{}, Sealer: sealer(), Now: time.Now}))
	for range 20 {
		challenge := must(p.Offer(human.Place{Form: "login", Browser: browser()})).Challenge
		challenges = append(challenges, challenge)
		fmt.Fprintln(&in, challenge)
	}
	cmd := exec.Command("node", "-e", program, "../../templates/static/human.js")
	cmd.Stdin = strings.NewReader(in.String())
	cmd.Dir = "."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	found := strings.Fields(string(out))
	if len(found) != len(challenges) {
		t.Fatalf("%q", out)
	}
	for i, number := range found {
		if !human.Worked(challenges[i], number, 12) {
			t.Errorf("%s for %s", number, challenges[i])
		}
		n := must(strconv.Atoi(number))
		for earlier := range n { // it has passed none over
			if human.Worked(challenges[i], strconv.Itoa(earlier), 12) {
				t.Fatalf("%d would do before %d", earlier, n)
			}
		}
	}
}

// double answers as the documentation of the services says they do.
type double struct {
	answer func(form map[string]string) (status int, body any)
	asked  atomic.Int64
	form   map[string]string

	mu  sync.Mutex // who gives up waiting leaves a handler behind
	raw http.HandlerFunc
}

// answers has it answer otherwise; nil: as documented.
func (d *double) answers(how http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.raw = how
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked.Add(1)
	d.mu.Lock()
	raw := d.raw
	d.mu.Unlock()
	if raw != nil {
		raw(w, r)
		return
	}
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.form = map[string]string{}
	for name := range r.PostForm {
		d.form[name] = r.PostForm.Get(name)
	}
	status, body := d.answer(d.form)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func TestVerifier(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		service := &double{}
		server := httptest.NewServer(service)
		t.Cleanup(server.Close)
		out := must(outbound.New(outbound.Config{Allow: []string{strings.TrimPrefix(server.URL, "http://")}}))
		var c clock
		var logs bytes.Buffer
		const secret = "0x4AAAAAAAsecret"
		for _, name := range human.Vendors() {
			v := must(human.NewVerifier(human.VerifierConfig{Store: s, Sealer: sealer(), Now: c.now, Outbound: out,
				Logger: slog.New(slog.NewTextHandler(&logs, nil)), Host: "op.test", Vendor: name, URL: server.URL, SiteKey: "site-key", Secret: secret}))
			// solved is the form that a person sends, and what the service says of it.
			solved := func(form string) (human.Place, map[string]string, map[string]any) {
				at := human.Place{Form: form, Browser: browser()}
				o := must(v.Offer(at))
				said := map[string]any{"success": true, "challenge_ts": c.now().Format("2006-01-02T15:04:05.000Z"), "hostname": "op.test", "error-codes": []string{}}
				switch name {
				case "turnstile":
					said["action"], said["cdata"] = o.Service.Action, o.Service.Data
				case "recaptcha_v3":
					said["action"], said["score"] = o.Service.Action, 0.9
				case "hcaptcha":
					said["credit"] = true
				}
				token := "token-" + rand.Text()
				service.answer = func(got map[string]string) (int, any) {
					if got["secret"] != secret || got["response"] != token {
						return http.StatusOK, map[string]any{"success": false, "error-codes": []string{"invalid-input-response"}}
					}
					return http.StatusOK, said
				}
				return at, map[string]string{human.FieldChallenge: o.Challenge, o.Service.Field: token}, said
			}
			try := func(at human.Place, form map[string]string) error { return v.Check(t.Context(), at, form) }
			t.Run("A21 "+name+": right, and replayed", func(t *testing.T) {
				at, form, _ := solved("terms")
				if err := try(at, form); err != nil {
					t.Fatalf("%v: %s", err, logs.String())
				}
				before := service.asked.Load()
				if err := try(at, form); !errors.Is(err, human.ErrWrong) || service.asked.Load() != before {
					t.Errorf("once more: %v", err)
				}
				// The service's answer, with another challenge of ours: also where the service would say yes twice.
				again, next, said := solved("terms")
				for field, token := range form {
					if field != human.FieldChallenge {
						next[field] = token
						service.answer = func(map[string]string) (int, any) { return http.StatusOK, said }
					}
				}
				if err := try(again, next); !errors.Is(err, human.ErrWrong) {
					t.Errorf("with another challenge: %v", err)
				}
			})
			t.Run("A21 "+name+": what is no person's answer", func(t *testing.T) {
				faults := map[string]func(said map[string]any){
					"refused": func(said map[string]any) {
						said["success"], said["error-codes"] = false, []string{"invalid-input-response"}
					},
					"used before": func(said map[string]any) {
						said["success"], said["error-codes"] = false, []string{"timeout-or-duplicate"}
					},
					"hostname":    func(said map[string]any) { said["hostname"] = "evil.test" },
					"no hostname": func(said map[string]any) { delete(said, "hostname") },
					"no time":     func(said map[string]any) { delete(said, "challenge_ts") },
					"old":         func(said map[string]any) { said["challenge_ts"] = c.now().Add(-5 * time.Minute).Format(time.RFC3339) },
					"of tomorrow": func(said map[string]any) { said["challenge_ts"] = c.now().Add(24 * time.Hour).Format(time.RFC3339) },
				}
				if name == "turnstile" || name == "recaptcha_v3" {
					faults["action"] = func(said map[string]any) { said["action"] = "recover" }
					faults["no action"] = func(said map[string]any) { delete(said, "action") }
				}
				if name == "turnstile" {
					faults["another challenge's data"] = func(said map[string]any) { said["cdata"] = strings.Repeat("0", 32) }
				}
				if name == "recaptcha_v3" {
					faults["score"] = func(said map[string]any) { said["score"] = 0.3 }
					faults["no score"] = func(said map[string]any) { delete(said, "score") }
				}
				for fault, spoil := range faults {
					at, form, said := solved("login")
					spoil(said)
					if err := try(at, form); !errors.Is(err, human.ErrWrong) {
						t.Errorf("%s: %v", fault, err)
					}
				}
			})
			t.Run("A21 "+name+": of another form, browser, or late", func(t *testing.T) {
				at, form, _ := solved("login")
				before := service.asked.Load()
				for _, other := range []human.Place{{Form: "terms", Browser: at.Browser}, {Form: "login", Browser: browser()}} {
					if err := try(other, form); !errors.Is(err, human.ErrWrong) {
						t.Error(err)
					}
				}
				c.pass(t, human.Lifetime+time.Second)
				if err := try(at, form); !errors.Is(err, human.ErrWrong) || service.asked.Load() != before {
					t.Errorf("late: %v", err)
				}
			})
			t.Run("A21 "+name+": empty", func(t *testing.T) {
				at, form, _ := solved("login")
				before := service.asked.Load()
				if err := try(at, map[string]string{human.FieldChallenge: form[human.FieldChallenge]}); !errors.Is(err, human.ErrNone) {
					t.Errorf("no answer: %v", err)
				}
				delete(form, human.FieldChallenge)
				if err := try(at, form); !errors.Is(err, human.ErrNone) || service.asked.Load() != before {
					t.Errorf("no challenge: %v", err)
				}
			})
			t.Run("A21 "+name+": what it learns", func(t *testing.T) {
				at, form, _ := solved("login")
				_ = try(at, form)
				delete(service.form, "sitekey")
				if len(service.form) != 2 {
					t.Errorf("%v", service.form)
				}
			})
		}
		v := must(human.NewVerifier(human.VerifierConfig{Store: s, Sealer: sealer(), Now: c.now, Outbound: out, Logger: slog.New(slog.NewTextHandler(&logs, nil)),
			Host: "op.test", Vendor: "turnstile", URL: server.URL, SiteKey: "site-key", Secret: secret}))
		says := func(status int, codes ...string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]any{"success": false, "error-codes": codes})
			}
		}
		for name, raw := range map[string]http.HandlerFunc{
			"a megabyte": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"success":true,"x":"`+strings.Repeat("x", 1<<20)+`"}`)
			},
			"slow": func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that we have left
				<-r.Context().Done()               // we must: else this has no end
			},
			"no JSON":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) },
			"an error":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
			"a yes with an error": func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(500)
				_, _ = io.WriteString(w, `{"success":true}`)
			},
			"our secret is wrong":                       says(http.StatusOK, "invalid-input-secret"),
			"our secret is wrong, by 400":               says(http.StatusBadRequest, "invalid-input-secret"),
			"our secret is wrong, and so is the answer": says(http.StatusOK, "invalid-input-response", "invalid-input-secret"),
			"its own fault":                             says(http.StatusOK, "internal-error"),
			"too many of us":                            says(http.StatusTooManyRequests, "bad-request"),
			"a timeout of its own":                      says(http.StatusRequestTimeout),
		} {
			t.Run("A21 down: "+name, func(t *testing.T) {
				service.answers(raw)
				defer service.answers(nil)
				at := human.Place{Form: "terms", Browser: browser()}
				o := must(v.Offer(at))
				logs.Reset()
				err := v.Check(t.Context(), at, map[string]string{human.FieldChallenge: o.Challenge, o.Service.Field: "the-token"})
				if !errors.Is(err, human.ErrDown) {
					t.Error(err)
				}
				if said := logs.String(); !strings.Contains(said, "cannot be judged") || strings.Contains(said, secret) || strings.Contains(said, "the-token") {
					t.Errorf("the log: %s", said)
				}
			})
		}
		// What somebody can bring about by an answer of their own making.
		for name, raw := range map[string]http.HandlerFunc{
			"bad-request":                     says(http.StatusOK, "bad-request"),
			"bad-request, by 400":             says(http.StatusBadRequest, "bad-request"),
			"sitekey-secret-mismatch":         says(http.StatusOK, "sitekey-secret-mismatch"),
			"not-using-dummy-passcode":        says(http.StatusOK, "not-using-dummy-passcode"),
			"a code that nobody has heard of": says(http.StatusOK, "browser-error\nfaked"),
			"a page for what it cannot read":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadRequest) },
			"a page for what is too large": func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "<html>", http.StatusRequestEntityTooLarge)
			},
			"a page of a firewall":            func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusForbidden) },
			"a yes that is none":              func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"success":true}`, http.StatusBadRequest) },
			"no code for what it cannot read": says(http.StatusBadRequest),
			"no code":                         says(http.StatusOK),
			"no time": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"success":false,"challenge_ts":"","hostname":null}`)
			},
		} {
			t.Run("A21 refused: "+name, func(t *testing.T) {
				service.answers(raw)
				defer service.answers(nil)
				at := human.Place{Form: "login", Browser: browser()}
				o := must(v.Offer(at))
				logs.Reset()
				err := v.Check(t.Context(), at, map[string]string{human.FieldChallenge: o.Challenge, o.Service.Field: "the-token"})
				if !errors.Is(err, human.ErrWrong) {
					t.Error(err)
				}
				if said := logs.String(); !strings.Contains(said, "refused") || strings.Count(said, "\n") != 1 || strings.Contains(said, `\n`) {
					t.Errorf("the log: %s", said)
				}
			})
		}
		t.Run("A21 what no service gave does not leave us", func(t *testing.T) {
			at := human.Place{Form: "login", Browser: browser()}
			o := must(v.Offer(at))
			before := service.asked.Load()
			for _, token := range []string{"a b", "a\r\nb", "<script>", "a'or 1=1", "ñ", "a%00", strings.Repeat("x", 20_000)} {
				if err := v.Check(t.Context(), at, map[string]string{human.FieldChallenge: o.Challenge, o.Service.Field: token}); !errors.Is(err, human.ErrWrong) {
					t.Errorf("%.20q: %v", token, err)
				}
			}
			if service.asked.Load() != before {
				t.Error("the service was asked")
			}
		})
	})
	if _, err := human.NewVerifier(human.VerifierConfig{Vendor: "nobody"}); err == nil {
		t.Error("an unknown service")
	}
	if _, err := human.NewVerifier(human.VerifierConfig{Vendor: "turnstile"}); err == nil {
		t.Error("nothing configured")
	}
}
