//go:build fault && !e2e

package main

import (
	"crypto"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// F12: keys are rotated again and again, and twenty sites that keep the key set as long as they may verify what they get: none
// ever fails, and none fetches the set for the sake of a key that it does not know.
func TestFaultKeyRotation(t *testing.T) {
	beside(t)
	database := storagetest.Postgres(t)
	maxAge := long(t, 3*time.Second, 30*time.Second)
	r := newTrial(t, 3, database, database, "PASSPORT_KEYSET_MAX_AGE="+maxAge.String())
	r.keySetMaxAge = maxAge
	var sites [20]cachedKeys
	for i := range sites {
		sites[i].age = time.Duration(rand.Int64N(int64(maxAge)))
	}
	var mu sync.Mutex
	verified, failed := 0, 0
	kids := map[string]bool{}
	r.issued = func(token string) {
		mu.Lock()
		defer mu.Unlock()
		for i := range sites {
			if err := sites[i].verify(token, r.f.base(), maxAge); err != nil {
				if failed++; failed <= 10 {
					t.Errorf("I16: site %d: %v", i, err)
				}
			}
			verified++
		}
		head, _, _ := strings.Cut(token, ".")
		kids[head] = true
	}
	rotations := long(t, 3, 20)
	r.load(func() {
		for range rotations {
			if code, _, stderr := called(t, r.f.replicas[0].env, "keys", "rotate", "--all"); code != 0 {
				t.Fatal(stderr)
			}
			time.Sleep(maxAge + 7*time.Second) // it signs when all have seen it, and then for a while
		}
	})
	t.Logf("%d ID tokens verified under %d keys, %d not", verified, len(kids), failed)
	if len(kids) < rotations {
		t.Errorf("%d keys have signed after %d rotations", len(kids), rotations)
	}
	r.judge("F12 signing keys rotated, 20 sites verify with the key set that they hold")
}

// cachedKeys is a site's copy of the key set.
type cachedKeys struct {
	keys map[string]crypto.PublicKey
	at   time.Time
	age  time.Duration // of the first copy, so that not all are fetched at once
}

func (c *cachedKeys) verify(token, base string, maxAge time.Duration) error {
	if time.Since(c.at) > maxAge {
		keys, err := keySet(base)
		if err != nil {
			return err
		}
		c.keys, c.at = keys, time.Now().Add(-c.age)
		c.age = 0
	}
	return verify(token, c.keys)
}

// F13: PASSPORT_SECRET is changed while people go their ways, as `passport keys reseal --help` says. Nobody notices; nothing
// stands in clear anywhere; with a secret that is none of them nothing starts.
func TestFaultSecretChanges(t *testing.T) {
	beside(t)
	pg := newPostmaster(t)
	r := newTrial(t, 2, pg.url(), pg.url())
	r.folders = append(r.folders, pg.dir)
	const wrong = "PASSPORT_SECRET=99999999999999999999ghijklmnopqrstuvwxyz"
	secrets := []string{"0123456789abcdefghijklmnopqrstuvwxyz", "9876543210zyxwvutsrqponmlkjihgfedcba", "abcdefghijklmnopqrstuvwxyz9876543210"}
	plain := r.f.replicas[0].env
	r.hidden = secrets
	anew := func(env ...string) {
		for _, one := range r.f.replicas {
			r.f.aside(one)
			r.f.stop(one)
			r.f.start(one, env...)
		}
	}
	refused := func(env ...string) {
		t.Helper()
		if code, _, stderr := called(t, append(append([]string{}, plain...), env...), "keys", "list"); code == 0 || !strings.Contains(stderr, "secret") {
			t.Errorf("with a wrong secret: %d %s", code, stderr)
		}
	}
	r.load(func() {
		for n := range long(t, 1, 2) {
			old, fresh := "PASSPORT_SECRET="+secrets[n], "PASSPORT_SECRET="+secrets[n+1]
			refused(wrong)
			anew(old, "PASSPORT_SECRET_PREVIOUS="+secrets[n+1])
			anew(fresh, "PASSPORT_SECRET_PREVIOUS="+secrets[n])
			if code, _, stderr := called(t, append(append([]string{}, plain...), fresh, "PASSPORT_SECRET_PREVIOUS="+secrets[n]), "keys", "reseal"); code != 0 {
				t.Fatal(stderr)
			}
			anew(fresh)
			refused(old)
			whole := r.whole.Load()
			eventually(t, "people go their ways", func() bool { return r.whole.Load() > whole+5 })
		}
	})
	r.judge("F13 PASSPORT_SECRET changed, replica by replica")
}
