package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/oidc/logout"
)

// winners runs fn n times at the same moment and counts the answers without an error; one that is neither nil nor
// want fails the test.
func winners(t *testing.T, n int, want error, fn func() error) int {
	t.Helper()
	var won atomic.Int64
	var wait sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wait.Go(func() {
			<-start
			if err := fn(); err == nil {
				won.Add(1)
			} else if !errors.Is(err, want) {
				t.Error(err)
			}
		})
	}
	close(start)
	wait.Wait()
	return int(won.Load())
}

// TestPushed: of two that spend one pushed request at the same moment one issues.
func TestPushed(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		save := func() []byte {
			t.Helper()
			id := hash()
			err := f.SaveInteraction(ctx, grant.Interaction{Hash: id, Kind: grant.KindPushed, ClientID: f.client, CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		t.Run("both rows go", func(t *testing.T) {
			is := f.issuance()
			is.Pushed, is.Interaction = save(), save()
			if err := f.Issue(ctx, is); err != nil {
				t.Fatal(err)
			}
			if f.count(t, "interaction") != 0 {
				t.Error("a row is left")
			}
		})
		t.Run("one that is gone writes nothing", func(t *testing.T) {
			before := f.rows(t)
			is := f.issuance()
			is.Pushed, is.Interaction = hash(), save()
			gone(t, f.Issue(ctx, is))
			is.Pushed, is.Interaction = save(), hash()
			gone(t, f.Issue(ctx, is))
			if got := f.rows(t); got != before+2 { // the two that were there
				t.Errorf("%d rows, not %d", got, before+2)
			}
		})
		t.Run("in a race", func(t *testing.T) {
			pushed := save()
			grants := f.count(t, "authorization_grant")
			if n := race(16, func() error {
				is := f.issuance()
				is.Pushed = pushed
				return f.Issue(ctx, is)
			}); n != 1 {
				t.Errorf("%d won", n)
			}
			if f.count(t, "authorization_grant") != grants+1 {
				t.Error("a loser wrote a grant")
			}
		})
	})
}

func TestDevices(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		device := func() grant.Device {
			return grant.Device{Sig: hash(), UserCode: hash(), ClientID: f.client, Params: "scope=ü", State: grant.DevicePending, Pause: 5,
				CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Minute)}
		}
		d := device()
		if err := f.SaveDevice(ctx, d); err != nil {
			t.Fatal(err)
		}
		t.Run("found by its user code", func(t *testing.T) {
			got, err := f.ReadDevice(ctx, d.UserCode)
			if err != nil {
				t.Fatal(err)
			}
			same(t, d, got)
			if _, err := f.ReadDevice(ctx, hash()); !errors.Is(err, grant.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("a user code once", func(t *testing.T) {
			twin := device()
			twin.UserCode = d.UserCode
			if err := f.SaveDevice(ctx, twin); !errors.Is(err, grant.ErrExists) {
				t.Error(err)
			}
		})
		t.Run("polled too soon", func(t *testing.T) {
			for n, step := range []struct {
				at    time.Duration
				early bool
				pause int64
			}{{0, false, 5}, {time.Second, true, 10}, {5 * time.Second, true, 15}, {20 * time.Second, false, 15}, {35 * time.Second, false, 15}} {
				got, early, err := f.PollDevice(ctx, d.Sig, f.client, grantTime.Add(step.at))
				if err != nil || early != step.early || got.Pause != step.pause {
					t.Errorf("%d: %v early %v pause %d", n, err, early, got.Pause)
				}
			}
			if _, _, err := f.PollDevice(ctx, d.Sig, "another", grantTime); !errors.Is(err, grant.ErrNotFound) {
				t.Error(err)
			}
			if _, _, err := f.PollDevice(ctx, hash(), f.client, grantTime); !errors.Is(err, grant.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("settled once", func(t *testing.T) {
			if n := race(16, func() error { return f.SettleDevice(ctx, d.Sig, grant.DeviceApproved) }); n != 1 {
				t.Errorf("%d won", n)
			}
			gone(t, f.SettleDevice(ctx, d.Sig, grant.DeviceDenied))
			if got, err := f.ReadDevice(ctx, d.UserCode); err != nil || got.State != grant.DeviceApproved {
				t.Errorf("%v %s", err, got.State)
			}
		})
	})
}

// TestClientStore: what a client's keys, pictures, resources and registration tokens need.
func TestClientStore(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		t.Run("a key set is claimed once a minute", func(t *testing.T) {
			const uri = "https://app.test/jwks"
			if set, err := f.ReadKeySet(ctx, uri); err != nil || !set.TriedAt.IsZero() || set.Body != nil {
				t.Errorf("%v %+v", err, set)
			}
			claims := func(at time.Time) int {
				return winners(t, 16, errTaken, func() error {
					mine, err := f.ClaimKeySet(ctx, uri, at, at.Add(-time.Minute))
					if err == nil && !mine {
						return errTaken
					}
					return err
				})
			}
			for n, step := range []struct {
				at   time.Duration
				want int
			}{{0, 1}, {59 * time.Second, 0}, {time.Minute, 1}, {time.Minute + time.Second, 0}} {
				if got := claims(grantTime.Add(step.at)); got != step.want {
					t.Errorf("%d: %d claims", n, got)
				}
			}
			if err := f.SaveKeySet(ctx, uri, client.KeySet{EndedAt: grantTime}); err != nil {
				t.Errorf("an attempt that failed: %v", err)
			}
			want := client.KeySet{Body: []byte(`{"keys":[]}`), EndedAt: grantTime.Add(2 * time.Minute), FetchedAt: grantTime.Add(2 * time.Minute)}
			if err := f.SaveKeySet(ctx, uri, want); err != nil {
				t.Fatal(err)
			}
			want.TriedAt = grantTime.Add(time.Minute)
			got, err := f.ReadKeySet(ctx, uri)
			if err != nil {
				t.Fatal(err)
			}
			same(t, want, got)
		})
		t.Run("a jti once", func(t *testing.T) {
			key := hash()
			if n := winners(t, 16, client.ErrReplayed, func() error { return f.SpendJTI(ctx, key, grantTime.Add(time.Hour)) }); n != 1 {
				t.Errorf("%d won", n)
			}
		})
		t.Run("a registration token, as often as it may", func(t *testing.T) {
			token := client.RegistrationToken{ID: uuid.NewString(), Hash: hash(), Uses: 3, CreatedAt: grantTime, ExpiresAt: grantTime.Add(time.Hour)}
			if err := f.InsertRegistrationToken(ctx, token); err != nil {
				t.Fatal(err)
			}
			if err := f.CheckRegistrationToken(ctx, token.Hash, grantTime); err != nil {
				t.Error(err)
			}
			if n := winners(t, 16, client.ErrToken, func() error { return f.SpendRegistrationToken(ctx, token.Hash, grantTime) }); n != 3 {
				t.Errorf("%d won", n)
			}
			if err := f.CheckRegistrationToken(ctx, token.Hash, grantTime); !errors.Is(err, client.ErrToken) {
				t.Error(err)
			}
			late := token
			late.ID, late.Hash, late.Uses = uuid.NewString(), hash(), 1
			if err := f.InsertRegistrationToken(ctx, late); err != nil {
				t.Fatal(err)
			}
			list, err := f.ListRegistrationTokens(ctx, grantTime)
			if err != nil || len(list) != 1 || list[0].ID != late.ID || list[0].Uses != 1 {
				t.Errorf("%v %+v", err, list)
			}
			if err := f.SpendRegistrationToken(ctx, late.Hash, late.ExpiresAt); !errors.Is(err, client.ErrToken) {
				t.Error(err)
			}
			if err := f.DeleteRegistrationToken(ctx, late.ID); err != nil {
				t.Error(err)
			}
			if err := f.DeleteRegistrationToken(ctx, late.ID); !errors.Is(err, client.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("a picture", func(t *testing.T) {
			for _, png := range [][]byte{[]byte("one"), []byte("two")} {
				if err := f.SaveClientLogo(ctx, f.client, png); err != nil {
					t.Fatal(err)
				}
				if got, err := f.ReadClientLogo(ctx, f.client); err != nil || !bytes.Equal(got, png) {
					t.Errorf("%v %q", err, got)
				}
			}
			if err := f.SaveClientLogo(ctx, f.client, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadClientLogo(ctx, f.client); !errors.Is(err, client.ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("a resource has one server", func(t *testing.T) {
			serves := func(id string) *client.Client {
				c := fullClient(id)
				c.Metadata.ResourceServerFor = []string{"https://api.test/"}
				return c
			}
			if err := f.InTx(ctx, func(ctx context.Context) error { return f.InsertClient(ctx, serves("one")) }); err != nil {
				t.Fatal(err)
			}
			err := f.InTx(ctx, func(ctx context.Context) error { return f.InsertClient(ctx, serves("two")) })
			if !errors.Is(err, client.ErrResourceTaken) {
				t.Error(err)
			}
			if id, err := f.ReadResourceServer(ctx, "https://api.test/"); err != nil || id != "one" {
				t.Errorf("%v %q", err, id)
			}
			if _, err := f.ReadResourceServer(ctx, "https://other.test/"); !errors.Is(err, client.ErrNotFound) {
				t.Error(err)
			}
		})
	})
}

var errTaken = errors.New("another has it")

// TestVisits: where a login was used, and how far each site has been told.
func TestVisits(t *testing.T) {
	eachFlows(t, func(t *testing.T, f *flows) {
		ctx := t.Context()
		f.issue(t)
		visit := logout.Visit{LoginID: f.login, ClientID: f.client, SID: "sid", Sub: "sub"}
		look := func(want logout.Visit) {
			t.Helper()
			got, err := f.Visits(ctx, []string{f.login, "nobody's"})
			if err != nil {
				t.Fatal(err)
			}
			same(t, []logout.Visit{want}, got)
		}
		look(visit)
		for _, step := range [][2]string{{logout.Trying, logout.Trying}, {logout.Told, logout.Told}, {logout.Trying, logout.Told}, {logout.Failed, logout.Told}} {
			if err := f.SetNotice(ctx, f.login, f.client, step[0], grantTime); err != nil {
				t.Fatal(err)
			}
			visit.Notice = step[1] // what was told stays told
			look(visit)
		}
		if err := f.SetNotice(ctx, f.login, "nobody", logout.Told, grantTime); err != nil {
			t.Error(err)
		}
		if got, err := f.Visits(ctx, []string{"nobody's"}); err != nil || len(got) != 0 {
			t.Errorf("%v %v", err, got)
		}
	})
}
