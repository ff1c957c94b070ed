package keys

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func secret(c string) []byte { return []byte(strings.Repeat(c, MinSecret)) }

func sealer(t testing.TB, current []byte, previous ...[]byte) *Sealer {
	t.Helper()
	s, err := NewSealer(current, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealerBindsPlaceAndSecret(t *testing.T) {
	s := sealer(t, secret("a"))
	plain := []byte("https://op.test/confirm?t=x")
	sealed, err := s.Seal("outbox", "sealed", "row1", plain)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, plain[:8]) {
		t.Fatal("the plain text shows")
	}
	if got, err := s.Open("outbox", "sealed", "row1", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("open: %q, %v", got, err)
	}
	again, err := s.Seal("outbox", "sealed", "row1", plain)
	if err != nil || bytes.Equal(again, sealed) {
		t.Fatal("two seals of one value are equal: the nonce is not random")
	}
	for _, place := range [][3]string{{"secret", "sealed", "row1"}, {"outbox", "body", "row1"}, {"outbox", "sealed", "row2"}} {
		if _, err := s.Open(place[0], place[1], place[2], sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("opened at %v: %v", place, err)
		}
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		_, err := s.Open("outbox", "sealed", "row1", broken)
		want := ErrSealed
		if i >= 2 && i < headSize {
			want = ErrWrongSecret // the key id
		}
		if !errors.Is(err, want) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := s.Open("outbox", "sealed", "row1", sealed[:n]); err == nil {
			t.Errorf("opened when cut to %d bytes", n)
		}
	}
}

func TestSealerSecrets(t *testing.T) {
	old, both, fresh := sealer(t, secret("a")), sealer(t, secret("b"), secret("a")), sealer(t, secret("b"))
	sealed, err := old.Seal("secret", "sealed", "sid", []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open("secret", "sealed", "sid", sealed); err != nil || string(got) != "v" {
		t.Fatalf("the previous secret does not open: %v", err)
	}
	if _, err := fresh.Open("secret", "sealed", "sid", sealed); !errors.Is(err, ErrWrongSecret) {
		t.Fatalf("another secret: %v", err)
	}
	if !both.Stale(sealed) || old.Stale(sealed) || !old.Stale(nil) {
		t.Fatal("stale is judged wrongly")
	}
	if _, err := NewSealer(secret("a")[:MinSecret-1]); err == nil {
		t.Fatal("a short secret is taken")
	}
	if _, err := NewSealer(secret("a"), nil); err == nil {
		t.Fatal("an empty previous secret is taken")
	}
}
