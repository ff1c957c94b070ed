package account_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/passport-network/passport/pkg/account"
)

// told are an account's claims, as sites may be told of them.
func (w *world) told(t *testing.T, id string) map[string]any {
	t.Helper()
	claims := map[string]any{}
	if err := json.Unmarshal(must(w.Show(t.Context(), id)).Claims, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestProfile: 4.14, general information.
func TestProfile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		who := w.member("profile@p.test", goodPassword).AccountID
		set := func(pairs ...string) error {
			p := account.Profile{Name: "Alice Example", Language: "en", Text: map[string]string{}}
			for i := 0; i < len(pairs); i += 2 {
				p.Text[pairs[i]] = pairs[i+1]
			}
			return w.SetProfile(ctx, who, p)
		}
		all := map[string]string{
			"given_name": "Alicia", "middle_name": "María", "family_name": "Ñandú Example", "nickname": "Ali", "preferred_username": "ali.7",
			"gender": "female", "birthdate": "1985-03-31", "profile": "https://alice.test/me", "website": "http://alice.test", "phone_number": "+442079460123",
			"locale": "es-MX", "zoneinfo": "Europe/Madrid", "street_address": "Calle Mayor 5, 2º / B", "postal_code": "28013", "locality": "Madrid",
			"region": "Comunidad de Madrid", "country": "España",
		}
		w.run(t, "every claim is kept, and goes when it is emptied", func(t *testing.T) {
			if len(all) != len(account.Editable()) {
				t.Errorf("%d claims here, %d there", len(all), len(account.Editable()))
			}
			before := must(w.Show(ctx, who)).UpdatedAt
			w.pass(time.Minute)
			if err := w.SetProfile(ctx, who, account.Profile{Name: "Alice", Language: "es", Text: all}); err != nil {
				t.Fatal(err)
			}
			if p := must(w.Profile(ctx, who)); !maps.Equal(p.Text, all) {
				t.Errorf("came back as %v", p.Text)
			}
			want := map[string]any{"address": map[string]any{"formatted": "Calle Mayor 5, 2º / B\n28013 Madrid\nComunidad de Madrid\nEspaña"}}
			for name, v := range all {
				switch name {
				case "street_address", "postal_code", "locality", "region", "country":
					want["address"].(map[string]any)[name] = v
				default:
					want[name] = v
				}
			}
			if got := w.told(t, who); !reflect.DeepEqual(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
			if after := must(w.Show(ctx, who)); !after.UpdatedAt.After(before) || after.Name != "Alice" || after.Language != "es" {
				t.Errorf("%+v", after)
			}
			if err := set("locality", "", "nickname", " "); err != nil { // what is not there stays
				t.Fatal(err)
			}
			got := w.told(t, who)
			if _, ok := got["nickname"]; ok || got["given_name"] != "Alicia" || got["address"].(map[string]any)["formatted"] != "Calle Mayor 5, 2º / B\n28013\nComunidad de Madrid\nEspaña" {
				t.Errorf("%v", got)
			}
			none := map[string]string{}
			for name := range all {
				none[name] = ""
			}
			if err := w.SetProfile(ctx, who, account.Profile{Name: "Alice", Text: none}); err != nil {
				t.Fatal(err)
			}
			if got := w.told(t, who); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
		})
		w.run(t, "A6 A24 what can be kept, and what cannot", func(t *testing.T) {
			for claim, cases := range map[string]map[string]string{ // typed → kept, or the key of the message
				"given_name":  {" Ana  Luz ": "Ana Luz", "李小龙": "李小龙", "a\x00b": "error.name.characters", "https://evil.test": "error.name.link", "<b>": "error.name.characters", strings.Repeat("n", 101): "error.name.long"},
				"family_name": {"O'Neil": "O'Neil", "\u202eevil": "error.name.characters", "www.evil.test": "error.name.link", "a" + strings.Repeat("\u0301", 100): "error.name.characters"},
				"middle_name": {"M": "M", "a@evil.test": "error.name.link"}, "nickname": {"😀": "😀", "\xff": "error.name.characters"},
				"preferred_username": {"ali.7_x-y": "ali.7_x-y", "álvaro": "álvaro", "a b": "error.username.invalid", "a@b": "error.username.invalid", "a/b": "error.username.invalid",
					"ali\u200b": "error.text.characters", strings.Repeat("n", 61): "error.text.long", "a\x00": "error.text.characters"},
				"gender":    {"female": "female", "no binario": "no binario", "\r\nx": "error.text.characters", strings.Repeat("n", 41): "error.text.long"},
				"birthdate": {"1985-03-31": "1985-03-31", "1985": "error.birthdate.invalid", "9999-01-01": "error.birthdate.invalid", "\x00": "error.birthdate.invalid"},
				"profile": {"https://a.test/x?y=1#z": "https://a.test/x?y=1#z", " http://a.test ": "http://a.test", "https://xn--bcher-kva.test:8443/": "https://xn--bcher-kva.test:8443/",
					"javascript:alert(1)": "error.url.invalid", "JaVaScRiPt:alert(1)": "error.url.invalid", "data:text/html,x": "error.url.invalid", "//a.test": "error.url.invalid", "a.test": "error.url.invalid",
					"https://bank.test@evil.test/": "error.url.invalid", "https://": "error.url.invalid", "https:///x": "error.url.invalid", "https:\\\\a.test": "error.url.invalid", "https://a.test/\u202e": "error.url.invalid",
					"https://a.test/a b": "error.url.invalid", "https://a.test/\x00": "error.url.invalid", "ftp://a.test/": "error.url.invalid", "https://a.test/" + strings.Repeat("x", 500): "error.url.invalid", "https://a.test/\"><script>": "error.url.invalid"},
				"website":        {"https://a.test": "https://a.test", "vbscript:x": "error.url.invalid", "\xff": "error.url.invalid"},
				"phone_number":   {"+34 910 123 456": "+34910123456", "910 123 456": "error.phone.invalid", "+1\x00": "error.phone.invalid"},
				"locale":         {"es_mx": "es-MX", "EN-gb": "en-GB", "de": "de", "xx-YY-zz": "error.locale.invalid", "español": "error.locale.invalid", "und": "error.locale.invalid", "\x00": "error.locale.invalid", strings.Repeat("en-", 50): "error.locale.invalid"},
				"zoneinfo":       {"America/Mexico_City": "America/Mexico_City", "Etc/UTC": "Etc/UTC", "Mars/Olympus": "error.zone.invalid", "europe/madrid": "error.zone.invalid", "../etc/passwd": "error.zone.invalid", "Europe/Madrid\nEtc/UTC": "error.zone.invalid"},
				"street_address": {"12/4 Main St. c/o Bob": "12/4 Main St. c/o Bob", "a\nb": "error.text.characters", "\x00": "error.text.characters", "<b>": "error.text.characters", strings.Repeat("s", 201): "error.text.long", strings.Repeat("s", 1<<20): "error.text.long"},
				"locality":       {"Москва": "Москва", "\u2066x": "error.text.characters", strings.Repeat("s", 101): "error.text.long"},
				"region":         {"NRW": "NRW", "\xff": "error.text.characters"}, "postal_code": {"SW1A 1AA": "SW1A 1AA", strings.Repeat("1", 21): "error.text.long"},
				"country": {"España": "España", "{{.}}": "error.text.characters"},
			} {
				for typed, want := range cases {
					err := set(claim, typed)
					if strings.HasPrefix(want, "error.") {
						var f *account.FieldError
						if !errors.As(err, &f) || f.Key != want || f.Field != "profile-"+strings.ReplaceAll(claim, "_", "-") {
							t.Errorf("%s %.40q: %v, want %s", claim, typed, err, want)
						}
						continue
					}
					if got := must(w.Profile(ctx, who)).Text[claim]; err != nil || got != want {
						t.Errorf("%s %q came back as %q, %v", claim, typed, got, err)
					}
				}
			}
			if zone := must(w.Profile(ctx, who)).Text["zoneinfo"]; zone == "" {
				t.Error("a wrong value has emptied the field")
			}
			for _, name := range []string{"sub", "email", "email_verified", "picture", "updated_at", "address", "formatted", "name", "phone_number_verified"} {
				before := w.told(t, who)
				if err := set(name, "forged"); err != nil {
					t.Fatal(err)
				}
				if got := w.told(t, who); !reflect.DeepEqual(got, before) {
					t.Errorf("%s was set: %v", name, got)
				}
			}
		})
		w.run(t, "all the longest together are told to be too long", func(t *testing.T) {
			p := account.Profile{Name: "N", Text: map[string]string{"profile": "https://a.test/" + strings.Repeat("x", 480), "website": "https://a.test/" + strings.Repeat("y", 480)}}
			for _, name := range []string{"given_name", "middle_name", "family_name", "nickname", "locality", "region", "country"} {
				p.Text[name] = strings.Repeat("&", 100)
			}
			p.Text["street_address"] = strings.Repeat("&", 200)
			if err := w.SetProfile(ctx, who, p); fieldKey(err) != "error.claims.long" {
				t.Errorf("%v: %d bytes", err, len(must(w.Show(ctx, who)).Claims))
			}
		})
		w.run(t, "what the operator wrote stays until it is changed", func(t *testing.T) {
			wrote := `{"birthdate":"1985","zoneinfo":"US/Eastern","website":"ftp://old.test","phone_number":"5550199","phone_number_verified":true,"address":{"formatted":"One line"},"picture":"https://else.test/me.png"}`
			must(w.Set(ctx, who, account.Change{Claims: json.RawMessage(wrote)}))
			p := must(w.Profile(ctx, who))
			if p.PictureURL != "https://else.test/me.png" || p.Picture != "" {
				t.Errorf("%+v", p)
			}
			p.Text["nickname"] = "Al"
			if err := w.SetProfile(ctx, who, *p); err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			_ = json.Unmarshal([]byte(wrote), &want)
			want["nickname"] = "Al"
			if got := w.told(t, who); !reflect.DeepEqual(got, want) {
				t.Errorf("%v, not %v", got, want)
			}
			if err := set("phone_number", "+442079460123"); err != nil {
				t.Fatal(err)
			}
			if got := w.told(t, who); got["phone_number_verified"] != nil {
				t.Errorf("who vouched for the old number vouches for the new one: %v", got)
			}
		})
		w.run(t, "the name, where nobody has to have one", func(t *testing.T) {
			if err := w.SetProfile(ctx, who, account.Profile{}); fieldKey(err) != "error.name.empty" {
				t.Error(err)
			}
			cfg := w.cfg
			cfg.Fields = account.Fields{Name: account.Optional}
			if err := must(account.New(cfg)).SetProfile(ctx, who, account.Profile{}); err != nil {
				t.Error(err)
			}
			if a := must(w.Show(ctx, who)); a.Name != "" {
				t.Errorf("%+v", a)
			}
		})
		w.run(t, "who is not active changes nothing", func(t *testing.T) {
			other := w.member("disabled@p.test", goodPassword).AccountID
			must(w.Disable(ctx, other))
			if err := w.SetProfile(ctx, other, account.Profile{Name: "N"}); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
			if err := w.SetPicture(ctx, other, square(t, 9)); !errors.Is(err, account.ErrNotFound) {
				t.Error(err)
			}
		})
	})
}

func square(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPicture: 4.14, the picture.
func TestPicture(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		member := func(name string) string { return w.member(name+"@picture.test", goodPassword).AccountID }
		pictured := func(t *testing.T, who string) string {
			t.Helper()
			if err := w.SetPicture(ctx, who, square(t, 40)); err != nil {
				t.Fatal(err)
			}
			p := must(w.Profile(ctx, who))
			if w.told(t, who)["picture"] != "https://op.test/pictures/"+p.Picture || len(p.Picture) != 43 || p.PictureURL == "" {
				t.Fatalf("%+v %v", p, w.told(t, who))
			}
			return p.Picture
		}
		gone := func(t *testing.T, name string) {
			t.Helper()
			if _, err := w.ReadPicture(ctx, name); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("it is still there: %v", err)
			}
		}
		w.run(t, "it is kept, replaced, and taken away", func(t *testing.T) {
			who := member("a")
			before := must(w.Show(ctx, who)).UpdatedAt
			w.pass(time.Minute)
			first := pictured(t, who)
			if m, kind, err := image.DecodeConfig(bytes.NewReader(must(w.ReadPicture(ctx, first)))); err != nil || kind != "jpeg" || m.Width != 40 {
				t.Errorf("%s %+v %v", kind, m, err)
			}
			if !must(w.Show(ctx, who)).UpdatedAt.After(before) {
				t.Error("sites are not told that something has changed")
			}
			second := pictured(t, who) // the same picture
			if second == first {
				t.Error("its address tells what it is")
			}
			gone(t, first)
			if err := w.SetProfile(ctx, who, account.Profile{Name: "N", Text: map[string]string{"nickname": "n"}}); err != nil {
				t.Fatal(err)
			}
			if w.told(t, who)["picture"] == nil {
				t.Error("the rest of the page takes it away")
			}
			if err := w.DropPicture(ctx, who); err != nil || w.told(t, who)["picture"] != nil || w.told(t, who)["nickname"] != "n" {
				t.Errorf("%v %v", w.told(t, who), err)
			}
			gone(t, second)
			for _, name := range []string{"", "x", strings.Repeat("A", 43), second + "/", url.PathEscape("../" + second)} {
				gone(t, name)
			}
		})
		w.run(t, "it goes with its account", func(t *testing.T) {
			who := member("b")
			name := pictured(t, who)
			must(w.Disable(ctx, who))
			gone(t, name)
			must(w.Enable(ctx, who))
			must(w.ReadPicture(ctx, name))
			if err := w.Close(ctx, who, "b@picture.test"); err != nil {
				t.Fatal(err)
			}
			gone(t, name)
			must(w.Enable(ctx, who)) // had back
			must(w.ReadPicture(ctx, name))
			must(w.Delete(ctx, who))
			gone(t, name)
		})
		w.run(t, "the operator's claims replace it", func(t *testing.T) {
			who := member("c")
			name := pictured(t, who)
			same := must(w.Show(ctx, who)).Claims
			must(w.Set(ctx, who, account.Change{Claims: same}))
			must(w.ReadPicture(ctx, name))
			must(w.Set(ctx, who, account.Change{Claims: json.RawMessage(`{"nickname":"x"}`)}))
			gone(t, name)
		})
		w.run(t, "what is none, and what is too much", func(t *testing.T) {
			who := member("d")
			for want, raw := range map[string][]byte{
				"error.picture.empty": {}, "error.picture.invalid": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"),
				"error.picture.large": append(square(t, 9), make([]byte, account.MaxPicture)...),
			} {
				if err := w.SetPicture(ctx, who, raw); fieldKey(err) != want {
					t.Errorf("%v, want %s", err, want)
				}
			}
			if w.told(t, who)["picture"] != nil {
				t.Error("one was kept")
			}
			exact := append(square(t, 9), make([]byte, account.MaxPicture-len(square(t, 9)))...)
			if err := w.SetPicture(ctx, who, exact); err != nil {
				t.Errorf("2 MiB: %v", err)
			}
		})
		w.run(t, "D4 the work has a limit, and what is refused unseen makes none", func(t *testing.T) {
			who, limited := member("e"), 0
			for range 14 {
				if err := w.SetPicture(ctx, who, []byte("no picture")); errors.Is(err, account.ErrLimited) {
					limited++
				}
			}
			if limited != 4 {
				t.Errorf("%d of 14 refused", limited)
			}
		})
	})
}

// TestProfileRace: of two changes at the same moment none undoes the other.
func TestProfileRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.member("race@p.test", goodPassword).AccountID
		claims := account.Editable()[:4]
		once(t, 1, nil, func(int) error { return w.SetPicture(t.Context(), who, square(t, 9)) })
		done := make(chan error, len(claims))
		for i, claim := range claims {
			d := []*account.Directory{w.Directory, w.replica()}[i%2]
			go func() {
				done <- d.SetProfile(t.Context(), who, account.Profile{Name: "N", Text: map[string]string{claim: "Value"}})
			}()
		}
		for range claims {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := w.told(t, who); len(got) != len(claims)+1 {
			t.Errorf("%v", got)
		}
	})
}
