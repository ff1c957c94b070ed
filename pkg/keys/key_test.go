package keys

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func made(t testing.TB, alg string) (*Key, Row) {
	t.Helper()
	s := sealer(t, secret("k"))
	row, err := newRow(s, alg, Active, time.Unix(1, 0), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	k, err := openRow(s, row)
	if err != nil {
		t.Fatal(err)
	}
	return k, row
}

func TestSignAndVerify(t *testing.T) {
	for _, alg := range Algs {
		t.Run(alg, func(t *testing.T) {
			k, row := made(t, alg)
			pub, err := openPublic(row)
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					raw, err := k.Sign(map[string]int{"n": i}, "at+jwt")
					if err != nil {
						t.Error(err)
						return
					}
					head, err := base64.RawURLEncoding.DecodeString(raw[:strings.Index(raw, ".")])
					if err != nil {
						t.Error(err)
					}
					var h map[string]string
					if err := json.Unmarshal(head, &h); err != nil || len(h) != 3 || h["alg"] != alg || h["kid"] != k.KID || h["typ"] != "at+jwt" {
						t.Errorf("header %s", head)
					}
					sig, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
					if err != nil {
						t.Error(err)
						return
					}
					payload, err := sig.Verify(pub.Key)
					if err != nil || string(payload) != fmt.Sprintf(`{"n":%d}`, i) {
						t.Errorf("verify: %s, %v", payload, err)
					}
				})
			}
			all.Wait()
			raw, err := k.Sign([]byte("{}"), "")
			if err != nil {
				t.Fatal(err)
			}
			head, _ := base64.RawURLEncoding.DecodeString(raw[:strings.Index(raw, ".")])
			if strings.Contains(string(head), "typ") {
				t.Errorf("a typ nobody asked for: %s", head)
			}
		})
	}
}

func TestKeyHidesItsPrivateHalf(t *testing.T) {
	k, row := made(t, "ES256")
	encoded, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), string(encoded), row.Public, string(row.Sealed)} {
		if strings.Contains(shown, "D:") || strings.Contains(shown, `"d"`) {
			t.Errorf("the private half shows in %.60q", shown)
		}
	}
}

// Whoever can write to the database cannot put a public half of his own beside our sealed private one.
func TestHalvesBelongTogether(t *testing.T) {
	s := sealer(t, secret("k"))
	_, mine := made(t, "ES256")
	_, other := made(t, "ES256")
	mine.Public = other.Public
	if _, err := openRow(s, mine); err == nil {
		t.Fatal("a foreign public half is taken")
	}
	mine.Public = "{}"
	if _, err := openRow(s, mine); err == nil {
		t.Fatal("a public half that is none is taken")
	}
}

// `passport keys retire KID` is for emergencies: no key id may read as a flag there.
func TestKeyIDIsNoFlag(t *testing.T) {
	s := sealer(t, secret("k"))
	for range 500 {
		row, err := newRow(s, "EdDSA", Next, time.Unix(1, 0), time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(row.KID, "-") {
			t.Fatalf("the key id %s", row.KID)
		}
	}
}

func TestKeySetHasNothingPrivate(t *testing.T) {
	s := sealer(t, secret("k"))
	now := time.Unix(1000, 0)
	var rows []Row
	for _, alg := range Algs {
		for _, state := range []string{Retired, Next, Active} {
			r, err := newRow(s, alg, state, now, now)
			if err != nil {
				t.Fatal(err)
			}
			r.RetiredAt, r.RemoveAt = now.Add(-time.Hour), now.Add(time.Hour)
			rows = append(rows, r)
		}
	}
	snap, err := newSnapshot(s, 1, rows, nil, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(snap.set, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != len(rows) {
		t.Fatalf("%d keys of %d", len(set.Keys), len(rows))
	}
	want := map[string]string{"RSA": "alg e kid kty n use", "EC": "alg crv kid kty use x y", "OKP": "alg crv kid kty use x"}
	seen := map[string]bool{}
	for i, k := range set.Keys {
		var members []string
		for _, m := range strings.Fields("alg crv d dp dq e k kid kty n oth p q qi use x x5c x5t y") {
			if _, ok := k[m]; ok {
				members = append(members, m)
			}
		}
		if got := strings.Join(members, " "); got != want[k["kty"].(string)] || len(members) != len(k) {
			t.Errorf("key %d (%v) has the members %s", i, k["alg"], got)
		}
		if k["use"] != "sig" || seen[k["kid"].(string)] {
			t.Errorf("key %d: use %v, kid %v", i, k["use"], k["kid"])
		}
		seen[k["kid"].(string)] = true
		for _, m := range []string{"n", "e"} { // RFC 7518 §6.3.1.1: no leading zero octets
			v, ok := k[m].(string)
			if !ok {
				continue
			}
			if raw, err := base64.RawURLEncoding.DecodeString(v); err != nil || raw[0] == 0 {
				t.Errorf("key %d: %s is not minimal", i, m)
			}
		}
		for _, m := range []string{"x", "y"} { // RFC 7518 §6.2.1.2: the curve's full size
			if v, ok := k[m].(string); ok && len(v) != 43 {
				t.Errorf("key %d: %s has %d characters", i, m, len(v))
			}
		}
	}
	if set.Keys[0]["alg"] != "RS256" || set.Keys[0]["kid"] != snap.signing["RS256"].KID {
		t.Error("the first key is not the one that signs with RS256")
	}
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range Algs {
		b.Run(alg, func(b *testing.B) {
			k, _ := made(b, alg)
			claims := map[string]any{"iss": "https://op.test", "sub": "x", "aud": "y", "iat": 1, "exp": 2, "auth_time": 1, "nonce": "n", "at_hash": "z"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Sign(claims, "JWT"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
