package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passport-network/passport/storage/storagetest"
)

// serving runs the program on a database until the test's end, or until stop.
func serving(t *testing.T, env []string) (base string, stop func()) {
	t.Helper()
	port, admin := unusedPort(t), unusedPort(t)
	cmd := program(t, "serve")
	cmd.Env = append(append(cmd.Env, env...), "PASSPORT_ADDR=127.0.0.1:"+port, "PASSPORT_ADMIN_ADDR=127.0.0.1:"+admin,
		"PASSPORT_LIMIT_EXEMPT=127.0.0.0/8", "PASSPORT_SHUTDOWN_DELAY=0s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	ask(t, "http://127.0.0.1:"+admin+"/readyz", 200)
	return "http://127.0.0.1:" + port, stop
}

// relies registers the site that visitors sign in to.
func relies(t *testing.T, env []string, base func() string) relying {
	t.Helper()
	s := relying{base: base, id: "shop", back: "https://shop.test/cb"}
	code, out, stderr := called(t, env, "client", "create", "--client-id", s.id, "--name", "Shop", "--redirect-uri", s.back, "--json",
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--grant-type", "client_credentials", "--scope", "openid email offline_access")
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	s.secret = made.Secret
	return s
}

// Until every server knows sealed codes, none is given (storage.SealedCodesFrom).
func TestSealedCodesWait(t *testing.T) {
	box := newMailbox(t)
	dsn := storagetest.SQLite(t)
	env := production(dsn, "PASSPORT_SMTP_URL=smtp://"+box.addr)
	var site relying
	var ada *visitor
	for _, want := range []string{"pp2c_", "pp1c_"} {
		base, stop := serving(t, env)
		at := func() string { return base }
		if ada == nil {
			site = relies(t, env, at)
			ada = registered(t, t.Context(), at, box, "ada@example.test")
			if _, err := site.authorize(t.Context(), ada); err != nil { // she is asked for consent
				t.Fatal(err)
			}
		}
		site.base = at
		code, err := site.authorize(t.Context(), ada.twin(at))
		if err != nil || !strings.HasPrefix(code, want) {
			t.Errorf("%v %s, not %s", err, code, want)
		}
		if a, err := site.redeem(t.Context(), code); err != nil || a.Access == "" {
			t.Errorf("%v %+v", err, a)
		}
		stop()
		db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(dsn, "sqlite:"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("UPDATE upgrade SET not_before = 1000000 * 9000000000"); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
	}
}

// A copy that is made under load, restored: whoever was signed in is not any more, and nothing of what was given out before works;
// accounts, sites and keys are as they were.
func TestBackup(t *testing.T) {
	type databases struct{ live, restored, byHand string }
	all := map[string]databases{"sqlite": {storagetest.SQLite(t), storagetest.SQLite(t), storagetest.SQLite(t)}}
	if storagetest.Databases() == "" {
		all["postgres"] = databases{storagetest.Postgres(t), storagetest.Postgres(t), storagetest.Postgres(t)}
	}
	for name, dbs := range all {
		t.Run(name, func(t *testing.T) {
			box := newMailbox(t)
			env := func(database string) []string {
				return production(database, "PASSPORT_SMTP_URL=smtp://"+box.addr)
			}
			ctx := t.Context()
			base, stop := serving(t, env(dbs.live))
			at := func() string { return base }
			site := relies(t, env(dbs.live), at)
			ada := registered(t, ctx, at, box, "ada@example.test")
			bob := newVisitor(at, "bob@example.test", "correct horse battery staple")
			given := hold(t, ctx, site, ada, bob, box)

			// Concurrent writers.
			loading, end := context.WithCancel(ctx)
			var load sync.WaitGroup
			var done atomic.Int64
			for range 3 {
				own := ada.twin(at)
				load.Go(func() {
					for loading.Err() == nil {
						code, err := site.authorize(loading, own)
						if err == nil {
							_, err = site.redeem(loading, code)
						}
						if err == nil {
							done.Add(1)
						} else if loading.Err() == nil {
							t.Errorf("while the copy is made: %v", err)
							return
						}
					}
				})
			}
			copyFile := filepath.Join(t.TempDir(), "copy")
			before := done.Load()
			code, out, stderr := called(t, env(dbs.live), "backup", copyFile, "--json")
			if code != 0 || !strings.Contains(out, `"bytes"`) {
				t.Fatalf("%d %s %s", code, out, stderr)
			}
			if done.Load() == before {
				t.Error("nothing was written meanwhile")
			}
			end()
			load.Wait()
			if info, err := os.Stat(copyFile); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
			if left, _ := filepath.Glob(copyFile + "?*"); len(left) > 0 {
				t.Errorf("beside the copy: %v", left)
			}
			// The live database bears no mark, and copies overwrite nothing.
			if code, _, stderr := called(t, env(dbs.live), "keys", "list"); code != 0 {
				t.Errorf("the original: %s", stderr)
			}
			if code, _, stderr := called(t, env(dbs.live), "backup", copyFile); code != 1 || !strings.Contains(stderr, "exists") {
				t.Errorf("over a file: %d %s", code, stderr)
			}
			if code, _, stderr := called(t, env(dbs.live), "restore", copyFile); code != 1 || !strings.Contains(stderr, "exists") && !strings.Contains(stderr, "not empty") {
				t.Errorf("over a database: %d %s", code, stderr)
			}
			stop()

			t.Run("nothing", func(t *testing.T) {
				database := storagetest.SQLite(t)
				if name == "postgres" {
					database = storagetest.Postgres(t)
				} else if err := os.WriteFile(strings.TrimPrefix(database, "sqlite:"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if code, _, stderr := called(t, env(database), "restore", "--in-place"); code != 1 || !strings.Contains(stderr, "there is nothing to restore") {
					t.Errorf("an empty database: %d %s", code, stderr)
				}
			})
			if name == "postgres" {
				t.Run("own dump", func(t *testing.T) {
					own := filepath.Join(t.TempDir(), "own")
					if out, err := exec.Command("pg_dump", "--format=custom", "--file="+own, "--dbname="+dbs.live).CombinedOutput(); err != nil {
						t.Fatalf("%v %s", err, out)
					}
					if code, _, stderr := called(t, env(dbs.restored), "restore", own); code != 1 || !strings.Contains(stderr, "restore it with pg_restore") {
						t.Errorf("%d %s", code, stderr)
					}
				})
			}
			t.Run("restore", func(t *testing.T) {
				code, out, stderr := called(t, env(dbs.restored), "restore", copyFile, "--json")
				if code != 0 || !strings.Contains(out, `"restored": true`) {
					t.Fatalf("%d %s %s", code, out, stderr)
				}
				given.dead(t, env(dbs.restored))
			})
			t.Run("by hand", func(t *testing.T) {
				byHand(t, dbs.byHand, copyFile)
				for _, args := range [][]string{{"client", "list"}, {"serve"}} { // a server that starts would not end
					if code, _, stderr := called(t, env(dbs.byHand), args...); code != 1 || !strings.Contains(stderr, "passport restore --in-place") {
						t.Fatalf("%v on a copy: %d %s", args, code, stderr)
					}
				}
				if code, _, stderr := called(t, env(dbs.byHand), "restore", "--in-place"); code != 0 {
					t.Fatalf("%d %s", code, stderr)
				}
				given.dead(t, env(dbs.byHand))
			})
		})
	}
}

// registered is a person whose address is confirmed.
func registered(t *testing.T, ctx context.Context, at func() string, box *mailbox, email string) *visitor {
	t.Helper()
	v := newVisitor(at, email, "correct horse battery staple")
	if err := v.register(ctx); err != nil {
		t.Fatal(err)
	}
	link, ok := box.link(email, "confirm", 20*time.Second)
	if !ok {
		t.Fatal("no mail")
	}
	if err := v.confirm(ctx, link); err != nil {
		t.Fatal(err)
	}
	return v
}

// held is what was given out before a copy was made.
type held struct {
	site            relying
	ada             *visitor
	tokens, own     answer
	codes           map[string]string // unspent ones, by how they begin
	given           time.Time         // when the codes were
	confirm, forgot string            // links
	keys            string
}

func hold(t *testing.T, ctx context.Context, site relying, ada, bob *visitor, box *mailbox) held {
	t.Helper()
	h := held{site: site, ada: ada}
	code, err := site.authorize(ctx, ada)
	if err == nil {
		h.tokens, err = site.redeem(ctx, code)
	}
	if err == nil {
		h.own, err = site.credentials(ctx)
	}
	if err != nil || h.tokens.Refresh == "" || h.own.Access == "" {
		t.Fatalf("%v %+v %+v", err, h.tokens, h.own)
	}
	// A session of its own: the load goes on with the other.
	h.ada = newVisitor(ada.base, ada.email, ada.pass)
	if err := h.ada.login(ctx); err != nil {
		t.Fatal(err)
	}
	if in, err := h.ada.signedIn(ctx); !in {
		t.Fatalf("not signed in: %v", err)
	}
	if err := bob.register(ctx); err != nil {
		t.Fatal(err)
	}
	var ok bool
	if h.confirm, ok = box.link(bob.email, "confirm", 20*time.Second); !ok {
		t.Fatal("no mail to Bob")
	}
	p, err := h.ada.get(ctx, "/recover")
	if err == nil {
		_, err = h.ada.submit(ctx, p, "recover-submit", "email", ada.email)
	}
	if err != nil {
		t.Fatal(err)
	}
	if h.forgot, ok = box.link(ada.email, "recover/password", 20*time.Second); !ok {
		t.Fatal("no mail of recovery")
	}
	_, h.keys = knock(t, "GET", ada.base()+"/jwks.json", "", "")
	h.given, h.codes = time.Now(), map[string]string{}
	for _, asks := range []bool{false, true} { // for consent: such a code has a row
		s := site
		s.asks = asks
		code, err := s.authorize(ctx, h.ada)
		if err != nil {
			t.Fatal(err)
		}
		h.codes[code[:5]] = code
	}
	if h.codes["pp1c_"] == "" || h.codes["pp2c_"] == "" {
		t.Fatalf("not both kinds of codes: %v", h.codes)
	}
	return h
}

// dead demands that nothing of what was given out works at a restored server, and that who they were given to can begin anew.
func (h held) dead(t *testing.T, env []string) {
	t.Helper()
	ctx := t.Context()
	base, stop := serving(t, env)
	defer stop()
	at := func() string { return base }
	site := h.site
	site.base = at
	if in, err := h.ada.twin(at).signedIn(ctx); in || err != nil {
		t.Errorf("the session lives: %v", err)
	}
	for kind, code := range h.codes {
		if a, err := site.redeem(ctx, code); err != nil || a.Error != "invalid_grant" {
			t.Errorf("the code %s: %v %+v", kind, err, a)
		}
	}
	if age := time.Since(h.given); age > 50*time.Second {
		t.Errorf("the codes are %s old: they may just have ended", age)
	}
	if a, err := site.refresh(ctx, h.tokens.Refresh); err != nil || a.Error != "invalid_grant" {
		t.Errorf("the refresh token: %v %+v", err, a)
	}
	for _, token := range []string{h.tokens.Access, h.own.Access} {
		if a, err := site.introspect(ctx, token); err != nil || a.Status != 200 || a.Active {
			t.Errorf("an access token: %v %+v", err, a)
		}
	}
	stranger := newVisitor(at, "", "")
	for link, button := range map[string]string{h.confirm: "confirm-submit", h.forgot: "new-password-submit"} {
		if p, err := stranger.get(ctx, link); err != nil || p.has(button) || p.status == 200 && strings.Contains(p.body, `type="password"`) {
			t.Errorf("%s still leads somewhere: %v %d", link, err, p.status)
		}
	}
	if _, keys := knock(t, "GET", base+"/jwks.json", "", ""); keys != h.keys {
		t.Error("the keys are others")
	}
	ada := newVisitor(at, h.ada.email, h.ada.pass)
	code, err := site.authorize(ctx, ada)
	if err != nil {
		t.Fatalf("the account or the site is gone: %v", err)
	}
	a, err := site.redeem(ctx, code)
	if err != nil || a.Refresh == "" {
		t.Fatalf("%v %+v", err, a)
	}
	if a, err = site.refresh(ctx, a.Refresh); err != nil || a.Status != 200 {
		t.Errorf("a new refresh token: %v %+v", err, a)
	}
}

// byHand restores a copy with other tools.
func byHand(t *testing.T, database, file string) {
	t.Helper()
	if to, ok := strings.CutPrefix(database, "sqlite:"); ok {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, section := range []string{"pre-data", "data", "post-data"} {
		if out, err := exec.Command("pg_restore", "--exit-on-error", "--no-owner", "--section="+section, "--dbname="+database, file).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		// A server that starts meanwhile must not take the empty tables for a new database.
		if code, _, stderr := called(t, production(database), "keys", "list"); code != 1 {
			t.Fatalf("after %s: %d %s", section, code, stderr)
		}
	}
}

// What is no copy is not restored, and leaves nothing behind.
func TestRestoreRefuses(t *testing.T) {
	folder := t.TempDir()
	database := "sqlite:" + filepath.Join(folder, "passport.db")
	file := func(name, content string) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, args := range map[string][]string{
		"is no SQLite database": {"restore", file("text", strings.Repeat("no database ", 1000))},
		"no such file":          {"restore", filepath.Join(folder, "nowhere")},
		"name the copy":         {"restore"},
		"takes no file":         {"restore", "x", "--in-place"},
		"no such file or":       {"restore", "--in-place"},
		"no such file or dir":   {"backup", filepath.Join(folder, "copy")},
	} {
		if code, _, stderr := called(t, production(database), args...); code == 0 || !strings.Contains(stderr, name) {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
			t.Errorf("%v left %v %v", args, left, err)
		}
	}
	// A journal that another database left would be taken for the copy's.
	if code, _, stderr := called(t, production("sqlite:"+filepath.Join(folder, "a.db")), "keys", "list"); code != 0 {
		t.Fatal(stderr)
	}
	copied := filepath.Join(folder, "copy")
	if code, _, stderr := called(t, production("sqlite:"+filepath.Join(folder, "a.db")), "backup", copied); code != 0 {
		t.Fatal(stderr)
	}
	if err := os.WriteFile(filepath.Join(folder, "b.db-wal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := called(t, production("sqlite:"+filepath.Join(folder, "b.db")), "restore", copied)
	if code != 1 || !strings.Contains(stderr, "b.db-wal") {
		t.Errorf("beside a journal: %d %s", code, stderr)
	}
	names, err := fs.Glob(os.DirFS(folder), "b.db*")
	if err != nil || !slices.Equal(names, []string{"b.db-wal"}) {
		t.Error(fmt.Sprint(names, err))
	}
}
