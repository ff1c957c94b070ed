package storagetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/pkg/outbox"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

func ring(t *testing.T, s keys.Store, c *handClock, sealer *keys.Sealer) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: sealer, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func poll(t *testing.T, rings ...*keys.Ring) {
	t.Helper()
	for _, r := range rings {
		if err := r.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// signs is the key that signs with an algorithm.
func signs(t *testing.T, r *keys.Ring, alg string) string {
	t.Helper()
	k, err := r.Signer(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k.KID
}

func publishes(t *testing.T, r *keys.Ring) map[string]jose.JSONWebKey {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(r.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	byKID := map[string]jose.JSONWebKey{}
	for _, k := range set.Keys {
		if !k.IsPublic() || k.Use != "sig" || k.KeyID == "" || k.Algorithm == "" {
			t.Errorf("the key set has %+v", k)
		}
		byKID[k.KeyID] = k
	}
	return byKID
}

// relyingParty caches the key set as RFC 9111 lets it, and checks what it is shown.
type relyingParty struct {
	set     map[string]jose.JSONWebKey
	fetched time.Time
}

func (rp *relyingParty) check(t *testing.T, now time.Time, from *keys.Ring, raw string) {
	t.Helper()
	if rp.set == nil || now.Sub(rp.fetched) >= from.MaxAge() {
		rp.set, rp.fetched = publishes(t, from), now
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	k, ok := rp.set[jws.Signatures[0].Header.KeyID]
	if !ok {
		t.Fatalf("a relying party with a key set of %s ago does not know the key", now.Sub(rp.fetched))
	}
	if _, err := jws.Verify(k); err != nil {
		t.Fatal(err)
	}
}

func TestRingFirstStart(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		rings := make([]*keys.Ring, 5)
		var all sync.WaitGroup
		for i := range rings {
			all.Go(func() {
				r, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: sealer, Now: clock.Now})
				if err != nil {
					t.Error(err)
				}
				rings[i] = r
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		first := rings[0]
		for _, r := range rings {
			if !bytes.Equal(r.KeySet(), first.KeySet()) || r.ETag() != first.ETag() {
				t.Error("servers that started together publish different keys")
			}
			for _, p := range []string{keys.SecretToken, keys.SecretClient, keys.SecretSID, keys.SecretPairwise, keys.SecretDevice, keys.SecretForm} {
				if v := r.Secret(p); len(v) != 32 || !bytes.Equal(v, first.Secret(p)) {
					t.Errorf("the secret %s has %d bytes, or differs", p, len(v))
				}
			}
			if err := r.Ready(); err != nil {
				t.Error(err)
			}
		}
		if len(publishes(t, first)) != 4 || signs(t, first, "RS256") == signs(t, first, "PS256") {
			t.Error("not one key an algorithm")
		}
		if bytes.Equal(first.Secret(keys.SecretToken), first.Secret(keys.SecretSID)) || first.Secret("other") != nil {
			t.Error("purposes share a secret, or there is one that nobody made")
		}
		if _, err := first.Signer("HS256"); !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("HS256: %v", err)
		}
	})
}

// rows is everything that the ring keeps, as it stands.
func ringRows(t *testing.T, s *storage.Store) string {
	t.Helper()
	signing, err := s.SigningKeys(t.Context(), keys.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := s.SealedSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", fmt.Sprint(signing, secrets))
}

func TestRingWrongSecret(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		ring(t, s, clock, testSealer(t, "a"))
		before := ringRows(t, s)
		_, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: testSealer(t, "b"), Now: clock.Now})
		if !errors.Is(err, keys.ErrWrongSecret) || !strings.Contains(err.Error(), "PASSPORT_SECRET") {
			t.Errorf("%v", err)
		}
		if ringRows(t, s) != before {
			t.Error("a start with the wrong secret changed something")
		}
		ring(t, s, clock, testSealer(t, "b", "a"))
	})
}

func TestRingRotates(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		a, b := ring(t, s, clock, sealer), ring(t, s, clock, sealer)
		etag := a.ETag()
		old := map[string]string{}
		for _, alg := range keys.Algs {
			old[alg] = signs(t, a, alg)
		}
		if err := a.Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		poll(t, b)
		for name, r := range map[string]*keys.Ring{"own": a, "other": b} {
			if n := len(publishes(t, r)); n != 8 || r.ETag() == etag {
				t.Errorf("the %s server publishes %d keys right after the rotation", name, n)
			}
		}
		if err := b.Rotate(t.Context(), false); err != nil || len(publishes(t, b)) != 8 {
			t.Errorf("a second rotation before the first one is through: %v", err)
		}
		clock.Advance(a.MaxAge())
		poll(t, a, b)
		if signs(t, a, "ES256") != old["ES256"] {
			t.Error("the next key signs before every cached key set has run out")
		}
		clock.Advance(5 * time.Second)
		// Both find the key due at once; one promotes.
		var both sync.WaitGroup
		for _, r := range []*keys.Ring{a, b} {
			both.Go(func() {
				if err := r.Poll(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		poll(t, a, b)
		for alg, kid := range old {
			if signs(t, a, alg) == kid || signs(t, a, alg) != signs(t, b, alg) {
				t.Errorf("%s: not rotated, or not on both servers", alg)
			}
			if _, ok := publishes(t, b)[kid]; !ok {
				t.Errorf("%s: the retired key is not published any more", alg)
			}
		}
		list, err := a.List(t.Context())
		if err != nil || len(list) != 8 {
			t.Fatalf("%d keys, %v", len(list), err)
		}
		states := map[string]int{}
		for _, i := range list {
			states[i.State]++
		}
		if states[keys.Active] != 4 || states[keys.Retired] != 4 {
			t.Errorf("%v", states)
		}
		clock.Advance(keys.DefaultTokenLifetime)
		poll(t, a, b)
		if n := len(publishes(t, a)); n != 8 {
			t.Errorf("%d keys are published while a token may still be looked at", n)
		}
		clock.Advance(6 * time.Second)
		poll(t, a, b)
		for _, r := range []*keys.Ring{a, b} {
			if n := len(publishes(t, r)); n != 4 {
				t.Errorf("%d keys are published after the last token has expired", n)
			}
			for alg, kid := range old {
				if k, ok := r.Public(kid); !ok || k.Algorithm != alg {
					t.Errorf("%s: a hint of the retired key is not known", alg)
				}
			}
		}
	})
}

// F12 in small: whatever is signed, by whichever server, a relying party with a cached key set can check it.
func TestRingRotationsNeverBreakARelyingParty(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		a, b := ring(t, s, clock, sealer), ring(t, s, clock, sealer)
		parties := make([]relyingParty, 5)
		kids := map[string]bool{}
		for second := 0; second < 1500; second += 10 {
			if second%400 == 0 {
				if err := a.Rotate(t.Context(), false); err != nil {
					t.Fatal(err)
				}
			}
			for n, server := range []*keys.Ring{a, b} {
				k, err := server.Signer("ES256")
				if err != nil {
					t.Fatal(err)
				}
				kids[k.KID] = true
				raw, err := k.Sign(map[string]int{"s": second}, "JWT")
				if err != nil {
					t.Fatal(err)
				}
				for i := range parties {
					if second >= i*70 {
						// Each asks the other server than the one that signed.
						parties[i].check(t, clock.Now(), []*keys.Ring{b, a}[n], raw)
					}
				}
			}
			clock.Advance(8 * time.Second)
			poll(t, a)
			clock.Advance(2 * time.Second)
			poll(t, b)
		}
		if len(kids) < 4 {
			t.Errorf("only %d keys have signed", len(kids))
		}
	})
}

func TestRingRotatesNow(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		a, b := ring(t, s, clock, sealer), ring(t, s, clock, sealer)
		old := signs(t, a, "RS256")
		if err := a.Rotate(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		poll(t, b)
		if signs(t, a, "RS256") == old || signs(t, b, "RS256") != signs(t, a, "RS256") || len(publishes(t, b)) != 8 {
			t.Error("not rotated at once, or the key before is gone")
		}
	})
}

func TestRingRetires(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		a, b := ring(t, s, clock, sealer), ring(t, s, clock, sealer)
		gone := func(kid string) {
			t.Helper()
			poll(t, b)
			for _, r := range []*keys.Ring{a, b} {
				if _, ok := publishes(t, r)[kid]; ok {
					t.Error("a key retired by hand is still published")
				}
				if _, ok := r.Public(kid); ok {
					t.Error("what a key retired by hand has signed still counts")
				}
				for _, alg := range keys.Algs {
					now := signs(t, r, alg)
					if _, ok := publishes(t, r)[now]; !ok || now == kid {
						t.Errorf("%s is signed with a key that is not published", alg)
					}
				}
			}
		}
		retire := func(kid string) {
			t.Helper()
			if err := a.Retire(t.Context(), kid); err != nil {
				t.Fatal(err)
			}
			gone(kid)
		}
		signing := signs(t, a, "EdDSA")
		retire(signing) // a new one takes over
		if err := a.Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		list, err := a.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		next := map[string]string{}
		for _, i := range list {
			if i.State == keys.Next {
				next[i.Alg] = i.KID
			}
		}
		retire(signs(t, a, "ES256")) // the next one takes over, before its time
		if signs(t, b, "ES256") != next["ES256"] {
			t.Error("the next key did not take over")
		}
		retire(next["RS256"]) // one that never signed
		clock.Advance(a.MaxAge() + 5*time.Second)
		poll(t, a, b)
		rotated := signs(t, a, "PS256")
		if rotated != next["PS256"] {
			t.Fatal("the rotation did not go on")
		}
		for _, i := range list {
			if i.Alg == "PS256" && i.State == keys.Active {
				retire(i.KID) // one that was rotated out in peace before
			}
		}
		retire(signing) // again: nothing changes
		if err := a.Retire(t.Context(), "unknown"); !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("an unknown key: %v", err)
		}
	})
}

// A change of PASSPORT_SECRET: everything made under the old one stays as it is, under the new one.
func TestReseal(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		before := ring(t, s, clock, testSealer(t, "a"))
		token, err := mustSigner(t, before, "RS256").Sign([]byte(`{"sub":"x"}`), "JWT")
		if err != nil {
			t.Fatal(err)
		}
		old := newWorker(t, s, clock, testSealer(t, "a"))
		for range 450 { // more than two batches
			put(t, old, outbox.Job{Kind: "mail", Body: []byte("a link")})
		}
		if _, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: testSealer(t, "b"), Now: clock.Now}); !errors.Is(err, keys.ErrWrongSecret) {
			t.Fatalf("before the reseal: %v", err)
		}
		between := ring(t, s, clock, testSealer(t, "b", "a"))
		put(t, newWorker(t, s, clock, testSealer(t, "b", "a")), outbox.Job{Kind: "mail", Body: []byte("a link")})
		report, err := between.Reseal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]keys.Resealed{}
		for _, r := range report {
			got[r.Table] = r
		}
		if got["secret"].Resealed != 7 || got["signing_key"].Resealed != 4 || got["outbox"].Resealed != 450 || got["outbox"].Current != 1 {
			t.Errorf("%+v", report)
		}
		again, err := between.Reseal(t.Context())
		for _, r := range again {
			if err != nil || r.Resealed != 0 {
				t.Errorf("a second reseal: %+v, %v", r, err)
			}
		}
		after := ring(t, s, clock, testSealer(t, "b"))
		for _, p := range []string{keys.SecretToken, keys.SecretClient, keys.SecretSID, keys.SecretPairwise, keys.SecretDevice, keys.SecretForm} {
			if !bytes.Equal(before.Secret(p), after.Secret(p)) {
				t.Errorf("the secret %s has changed", p)
			}
		}
		if !bytes.Equal(before.KeySet(), after.KeySet()) || signs(t, before, "PS256") != signs(t, after, "PS256") {
			t.Error("the keys have changed")
		}
		if payload, typ, err := after.Verify(token); err != nil || typ != "JWT" || string(payload) != `{"sub":"x"}` {
			t.Errorf("a token signed before: %s %s %v", payload, typ, err)
		}
		w := newWorker(t, s, clock, testSealer(t, "b"))
		w.Handle("mail", 4, func(_ context.Context, j outbox.Job) error {
			if string(j.Body) != "a link" {
				t.Errorf("a job's body is %q", j.Body)
			}
			return nil
		})
		if n := due(t, w); n != 451 || w.counts[outbox.Done] != 451 {
			t.Errorf("%d jobs, %v", n, w.counts)
		}
		if _, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: testSealer(t, "a"), Now: clock.Now}); !errors.Is(err, keys.ErrWrongSecret) {
			t.Errorf("the old secret still opens: %v", err)
		}
		values, err := s.SealedValues(t.Context(), keys.Columns[0], "", 1)
		if err != nil || len(values) != 1 {
			t.Fatal(values, err)
		}
		if ok, err := s.ReplaceSealed(t.Context(), keys.Columns[0], values[0].Row, []byte("what stood there once"), []byte("x")); err != nil || ok {
			t.Errorf("replaced what was not read: %v, %v", ok, err)
		}
	})
}

func mustSigner(t *testing.T, r *keys.Ring, alg string) *keys.Key {
	t.Helper()
	k, err := r.Signer(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// flaky is a store that cannot be reached while it is told so.
type flaky struct {
	*storage.Store
	down  bool
	polls atomic.Int64
	poll  func() // called with each question for the revision
}

func (f *flaky) KeysRevision(ctx context.Context) (int64, error) {
	f.polls.Add(1)
	if f.poll != nil {
		f.poll()
	}
	if f.down {
		return 0, errors.New("unreachable")
	}
	return f.Store.KeysRevision(ctx)
}

func TestRingReady(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		store := &flaky{Store: s}
		r := ring(t, store, clock, testSealer(t, "a"))
		store.down = true
		clock.Advance(5 * time.Second)
		if err := r.Poll(t.Context()); err == nil {
			t.Error("a poll of an unreachable database succeeds")
		}
		if err := r.Ready(); err != nil {
			t.Errorf("not ready after a few seconds: %v", err)
		}
		clock.Advance(time.Second)
		if err := r.Ready(); err == nil {
			t.Error("ready although nobody knows whether the keys are right")
		}
		signs(t, r, "ES256") // what is at hand goes on
		store.down = false
		poll(t, r)
		if err := r.Ready(); err != nil {
			t.Errorf("not ready when the database is back: %v", err)
		}
		store.poll = func() { clock.Advance(6 * time.Second) }
		poll(t, r)
		if r.Ready() == nil {
			t.Error("ready by an answer to what was asked six seconds ago")
		}
	})
}

// Somebody holds the lock of changes and does not let go, as a command that was suspended does, while a next key falls due: other
// changes are seen all the same, and the key before signs on.
func TestRingWhoseLockIsHeld(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		r := ring(t, s, clock, testSealer(t, "a"))
		old := signs(t, r, "ES256")
		if err := r.Rotate(t.Context(), false, "ES256", "PS256"); err != nil {
			t.Fatal(err)
		}
		clock.Advance(keys.DefaultKeySetMaxAge + time.Minute)
		if err := s.Locked(t.Context(), "keys", func(ctx context.Context) error {
			gone := nextKey(t, r, "PS256")
			if err := s.InTx(ctx, func(ctx context.Context) error {
				return errors.Join(s.RetireSigningKey(ctx, gone, keys.Next, clock.Now(), clock.Now()), s.RaiseKeys(ctx))
			}); err != nil {
				return err
			}
			began := time.Now()
			if err := r.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("nothing tells that the key that is due cannot be promoted: %v", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("whoever changes something next waits for %s", took)
			}
			if err := r.Ready(); err != nil {
				t.Error(err)
			}
			if _, ok := publishes(t, r)[gone]; ok {
				t.Error("a change of another server is not seen")
			}
			if signs(t, r, "ES256") != old {
				t.Error("the next key signs, and the database does not know")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		poll(t, r)
		if signs(t, r, "ES256") == old {
			t.Error("the next key does not sign when the lock is free")
		}
	})
}

func nextKey(t *testing.T, r *keys.Ring, alg string) string {
	t.Helper()
	list, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		if k.Alg == alg && k.State == keys.Next {
			return k.KID
		}
	}
	t.Fatal("no next key of", alg)
	return ""
}

// Whoever is woken does not wait for the next second: twenty looks in less than ten.
func TestRingWakes(t *testing.T) {
	store := &flaky{Store: storagetest.Open(t, storagetest.SQLite(t))}
	r := ring(t, store, newHandClock(), testSealer(t, "a"))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for n := range 20 {
		before := store.polls.Load()
		r.Wake()
		for store.polls.Load() == before {
			select {
			case <-ctx.Done():
				t.Fatalf("%d looks in ten seconds", n)
			case <-time.After(time.Millisecond):
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A running server sees another's change by itself, and its readers never wait. How soon is the ring's pollEvery; here it takes
// what the machine takes.
func TestRingRunSeesChanges(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock, sealer := newHandClock(), testSealer(t, "a")
		a, b := ring(t, s, clock, sealer), ring(t, s, clock, sealer)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		if err := a.Retire(ctx, signs(t, a, "ES256")); err != nil {
			t.Fatal(err)
		}
		for signs(t, b, "ES256") != signs(t, a, "ES256") {
			if _, err := mustSigner(t, b, "ES256").Sign([]byte("{}"), "JWT"); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
	})
}

// Whoever can write to the database, but does not have the secret, cannot make a server sign or publish.
func TestRingRefusesForeignRows(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		clock := newHandClock()
		r := ring(t, s, clock, testSealer(t, "a"))
		rows, err := s.SigningKeys(t.Context(), keys.Purpose)
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{keys.Active, keys.Next, keys.Retired} {
			foreign := rows[0]
			foreign.KID, foreign.State, foreign.ActiveAt = "foreign-"+state, state, clock.Now().Add(time.Second)
			foreign.RetiredAt, foreign.RemoveAt = clock.Now(), clock.Now().Add(time.Hour)
			broken := errors.New("roll back")
			err := s.InTx(t.Context(), func(ctx context.Context) error {
				if err := s.InsertSigningKey(ctx, foreign); err != nil {
					return err
				}
				if err := s.RaiseKeys(ctx); err != nil {
					return err
				}
				if err := r.Poll(ctx); !errors.Is(err, keys.ErrSealed) {
					t.Errorf("a %s row sealed for another id: %v", state, err)
				}
				return broken
			})
			if !errors.Is(err, broken) {
				t.Fatal(err)
			}
			if _, ok := publishes(t, r)[foreign.KID]; ok {
				t.Error("it is published")
			}
			if _, ok := r.Public(foreign.KID); ok {
				t.Error("it counts for hints")
			}
		}
	})
}
