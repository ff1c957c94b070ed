package storagetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passport-network/passport/pkg/account"
	"github.com/passport-network/passport/storage"
)

var accountsNow = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// pendingAccount is a registration of the address, not yet inserted.
func pendingAccount(canonical string) account.Record {
	return account.Record{
		ID: uuid.NewString(), Sub: rand.Text(), State: account.Pending, Name: "Ñandú 😀 שלום", Claims: []byte(`{"nickname":"x"}`), Language: "es",
		CreatedAt: accountsNow, UpdatedAt: accountsNow, TermsAt: accountsNow, ExpiresAt: accountsNow.Add(72 * time.Hour),
		FormID: rand.Text(), BrowserHash: sum(rand.Text()), Interaction: sum("i"),
		AddressID: uuid.NewString(), Email: strings.ToUpper(canonical), Canonical: canonical, Password: "$argon2id$" + rand.Text(),
	}
}

func sum(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

func insertAccount(t *testing.T, s *storage.Store, r account.Record, links ...string) account.Record {
	t.Helper()
	if err := s.Insert(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, purpose := range links {
		l := account.Link{Purpose: purpose, Hash: sum(purpose + r.ID)}
		if err := s.SetLinks(t.Context(), r, []account.Link{l}, accountsNow, r.ExpiresAt); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func proofOf(r account.Record) account.Proof {
	return account.Proof{Hash: sum("confirm" + r.ID), AccountID: r.ID, AddressID: r.AddressID, Canonical: r.Canonical, At: accountsNow}
}

func TestAccounts(t *testing.T) {
	Each(t, func(t *testing.T, s *storage.Store) {
		ctx := t.Context()
		t.Run("what goes in comes out", func(t *testing.T) { accountRoundTrip(t, s) })
		t.Run("one form, one account", func(t *testing.T) {
			r := pendingAccount("form@s.test")
			var made, gone atomic.Int64
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					again := pendingAccount("form@s.test")
					again.FormID = r.FormID
					switch err := s.Insert(context.Background(), again); {
					case err == nil:
						made.Add(1)
					case errors.Is(err, account.ErrGone):
						gone.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if made.Load() != 1 || gone.Load() != 31 {
				t.Errorf("%d made, %d refused", made.Load(), gone.Load())
			}
		})
		t.Run("a link proves once", func(t *testing.T) {
			r := insertAccount(t, s, pendingAccount("once@s.test"), "confirm", "cancel")
			var won atomic.Int64
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					if err := s.Prove(context.Background(), proofOf(r)); err == nil {
						won.Add(1)
					} else if !errors.Is(err, account.ErrGone) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d times", won.Load())
			}
			if err := s.Cancel(ctx, r.ID, sum("cancel"+r.ID), accountsNow); !errors.Is(err, account.ErrGone) {
				t.Errorf("cancel after the proof: %v", err)
			}
		})
		t.Run("a failed proof leaves nothing", func(t *testing.T) { failedProof(t, s) })
		t.Run("which account of an address", func(t *testing.T) { accountOrder(t, s) })
		t.Run("what has expired is not read", func(t *testing.T) {
			r := insertAccount(t, s, pendingAccount("late@s.test"), "confirm")
			late := r.ExpiresAt
			if got, err := s.ByAddress(ctx, r.Canonical, nil, late); err != nil || len(got) != 0 {
				t.Errorf("ByAddress: %v %v", got, err)
			}
			if _, err := s.ByBrowser(ctx, r.BrowserHash, late); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("ByBrowser: %v", err)
			}
			if _, err := s.ByLink(ctx, "confirm", sum("confirm"+r.ID), late); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("ByLink: %v", err)
			}
			if _, err := s.ByLink(ctx, "cancel", sum("confirm"+r.ID), accountsNow); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("A3 the purpose is not in the key: %v", err)
			}
			if _, err := s.ByBrowser(ctx, nil, accountsNow); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("no browser: %v", err)
			}
		})
		t.Run("a use of a password that was just changed", func(t *testing.T) {
			r := insertAccount(t, s, pendingAccount("used@s.test"), "confirm")
			if err := s.SignedIn(ctx, r.ID, r.Password, "", accountsNow); !errors.Is(err, account.ErrGone) {
				t.Errorf("pending: %v", err)
			}
			if err := s.Prove(ctx, proofOf(r)); err != nil {
				t.Fatal(err)
			}
			if err := s.SignedIn(ctx, r.ID, r.Password, "better", accountsNow); err != nil {
				t.Error(err)
			}
			if err := s.SignedIn(ctx, r.ID, r.Password, "", accountsNow); !errors.Is(err, account.ErrGone) {
				t.Errorf("the old hash: %v", err)
			}
			if err := s.SetState(ctx, r.ID, account.Disabled, accountsNow); err != nil {
				t.Fatal(err)
			}
			if err := s.SignedIn(ctx, r.ID, "better", "", accountsNow); !errors.Is(err, account.ErrGone) {
				t.Errorf("disabled: %v", err)
			}
		})
		t.Run("A24 NUL is refused, and nothing of the row stays", func(t *testing.T) {
			r := pendingAccount("nul@s.test")
			r.Name = "a\x00b"
			if err := s.Insert(ctx, r); !errors.Is(err, storage.ErrText) {
				t.Errorf("Insert: %v", err)
			}
			if _, err := s.ByID(ctx, r.ID); !errors.Is(err, account.ErrNotFound) {
				t.Errorf("half a row: %v", err)
			}
		})
		t.Run("nothing there", func(t *testing.T) {
			for name, err := range map[string]error{
				"Delete": s.Delete(ctx, "x"), "SetState": s.SetState(ctx, "x", account.Active, accountsNow),
				"SetProfile": s.SetProfile(ctx, account.Record{ID: "x"}, accountsNow),
			} {
				if !errors.Is(err, account.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := s.SetLinks(ctx, account.Record{ID: "x"}, nil, accountsNow, accountsNow); !errors.Is(err, account.ErrGone) {
				t.Errorf("SetLinks: %v", err)
			}
		})
	})
}

func accountRoundTrip(t *testing.T, s *storage.Store) {
	ctx := t.Context()
	r := insertAccount(t, s, pendingAccount("trip@s.test"), "confirm", "cancel", "waiting")
	reads := map[string]func() (account.Record, error){
		"ByID":      func() (account.Record, error) { return s.ByID(ctx, r.ID) },
		"by sub":    func() (account.Record, error) { return s.ByID(ctx, r.Sub) },
		"ByForm":    func() (account.Record, error) { return s.ByForm(ctx, r.FormID) },
		"ByBrowser": func() (account.Record, error) { return s.ByBrowser(ctx, r.BrowserHash, accountsNow) },
		"ByLink": func() (account.Record, error) {
			return s.ByLink(ctx, "waiting", sum("waiting"+r.ID), accountsNow)
		},
	}
	for name, read := range reads {
		got, err := read()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.ID != r.ID || got.Sub != r.Sub || got.State != r.State || got.Name != r.Name || !bytes.Equal(got.Claims, r.Claims) ||
			got.Language != r.Language || !got.CreatedAt.Equal(r.CreatedAt) || !got.UpdatedAt.Equal(r.UpdatedAt) ||
			!got.TermsAt.Equal(r.TermsAt) || !got.ExpiresAt.Equal(r.ExpiresAt) || got.FormID != r.FormID ||
			!bytes.Equal(got.BrowserHash, r.BrowserHash) || !bytes.Equal(got.Interaction, r.Interaction) ||
			got.AddressID != r.AddressID || got.Email != r.Email || got.Canonical != r.Canonical || !got.ProvenAt.IsZero() || got.Password != r.Password {
			t.Errorf("%s: %+v\nnot %+v", name, got, r)
		}
	}
	if err := s.Delete(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads {
		if _, err := read(); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s after Delete: %v", name, err)
		}
	}
}

func failedProof(t *testing.T, s *storage.Store) {
	ctx := t.Context()
	loser := insertAccount(t, s, pendingAccount("taken@s.test"), "confirm", "cancel")
	owner := pendingAccount("taken@s.test")
	owner.State, owner.ProvenAt, owner.ExpiresAt = account.Active, accountsNow, time.Time{}
	insertAccount(t, s, owner)
	if err := s.Prove(ctx, proofOf(loser)); !errors.Is(err, account.ErrGone) {
		t.Fatalf("a second owner: %v", err)
	}
	if got, err := s.ByLink(ctx, "cancel", sum("cancel"+loser.ID), accountsNow); err != nil || got.State != account.Pending || got.Interaction == nil {
		t.Errorf("half of the proof was written: %+v %v", got, err)
	}
	second := pendingAccount("taken@s.test")
	second.State, second.ProvenAt = account.Active, accountsNow
	if err := s.Insert(ctx, second); !errors.Is(err, account.ErrTaken) {
		t.Errorf("Insert of a second owner: %v", err)
	}
	if _, err := s.ByID(ctx, second.ID); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("half of an account: %v", err)
	}
	if err := s.DropPending(ctx, "taken@s.test", owner.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ByAddress(ctx, "taken@s.test", nil, accountsNow); err != nil || len(got) != 1 || got[0].ID != owner.ID {
		t.Errorf("DropPending left %+v %v", got, err)
	}
}

func accountOrder(t *testing.T, s *storage.Store) {
	ctx := t.Context()
	var made []account.Record
	for i := range 3 {
		r := pendingAccount("order@s.test")
		r.CreatedAt = accountsNow.Add(time.Duration(i) * time.Microsecond)
		made = append(made, insertAccount(t, s, r, "confirm"))
	}
	first := func(browser []byte) string {
		t.Helper()
		got, err := s.ByAddress(ctx, "order@s.test", browser, accountsNow)
		if err != nil || len(got) != 2 {
			t.Fatalf("%+v %v", got, err)
		}
		return got[0].ID
	}
	if first(nil) != made[2].ID {
		t.Error("not the newest")
	}
	if first(made[0].BrowserHash) != made[0].ID {
		t.Error("not this browser's")
	}
	owner := pendingAccount("order@s.test")
	owner.State, owner.ProvenAt, owner.CreatedAt = account.Active, accountsNow, accountsNow.Add(-time.Hour)
	insertAccount(t, s, owner)
	if first(made[0].BrowserHash) != owner.ID {
		t.Error("not the one that has proven it")
	}
	got, err := s.ByAddress(ctx, "order@s.test", made[1].BrowserHash, accountsNow)
	if err != nil || got[1].ID != made[1].ID {
		t.Errorf("the second: %+v %v", got, err)
	}
}
