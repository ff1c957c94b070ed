package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/pkg/keys"
	"github.com/passport-network/passport/storage"
	"github.com/passport-network/passport/storage/storagetest"
)

// keysApp opens the app as each run of the command does: anew, on one database, under these secrets.
func keysApp(t *testing.T, database string, secrets ...string) openFunc {
	return func(cmd *cobra.Command) (*app, error) {
		var raw [][]byte
		for _, s := range secrets {
			raw = append(raw, []byte(strings.Repeat(s, keys.MinSecret)))
		}
		sealer, err := keys.NewSealer(raw[0], raw[1:]...)
		if err != nil {
			return nil, err
		}
		s, err := storage.Open(cmd.Context(), database)
		if err != nil {
			return nil, err
		}
		ring, err := keys.Open(cmd.Context(), keys.Config{Store: s, Sealer: sealer, Now: time.Now})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		clients := client.NewRegistry(client.Config{Store: s, Now: time.Now, Keys: ring})
		return &app{store: s, ring: ring, clients: clients}, nil
	}
}

// register makes a client.
func register(t *testing.T, open openFunc, change func(m *client.Metadata)) {
	t.Helper()
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	a, err := open(cmd)
	if err != nil {
		t.Fatal(err)
	}
	c := client.Client{RequirePKCE: true, Metadata: client.Metadata{ClientName: "App", RedirectURIs: []string{"https://app.test/cb"}}}
	change(&c.Metadata)
	if _, _, err := a.clients.Create(t.Context(), c, ""); err != nil {
		t.Fatal(err)
	}
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func runKeys(t *testing.T, open openFunc, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := keysCommand(open)
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func states(t *testing.T, out string) map[string]int {
	t.Helper()
	var list []keys.Info
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	byState := map[string]int{}
	for _, k := range list {
		byState[k.State]++
	}
	return byState
}

func TestKeysCommand(t *testing.T) {
	database := storagetest.SQLite(t)
	if err := storagetest.Open(t, database).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := runKeys(t, keysApp(t, database, "a"), args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	if got := states(t, run("list", "--json")); got[keys.Active] != 4 || len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := states(t, run("rotate", "--json")); got[keys.Active] != 4 || got[keys.Next] != 1 {
		t.Errorf("rotate what is in use, which is RS256: %v", got)
	}
	if got := states(t, run("rotate", "--alg", "PS256", "--json")); got[keys.Next] != 2 {
		t.Errorf("rotate --alg: %v", got)
	}
	if out, err := runKeys(t, keysApp(t, database, "a"), "rotate", "--alg", "none"); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("%v: %s", err, out)
	}
	register(t, keysApp(t, database, "a"), func(m *client.Metadata) { m.IDTokenSignedResponseAlg, m.UserinfoSignedResponseAlg = "EdDSA", "HS256" })
	if got := states(t, run("rotate", "--json")); got[keys.Next] != 3 {
		t.Errorf("rotate with an EdDSA client: %v", got)
	}
	if got := states(t, run("rotate", "--all", "--json")); got[keys.Active] != 4 || got[keys.Next] != 4 {
		t.Errorf("rotate --all: %v", got)
	}
	if got := states(t, run("rotate", "--all", "--now", "--json")); got[keys.Active] != 4 || got[keys.Retired] != 4 || got[keys.Next] != 0 {
		t.Errorf("rotate --now: %v", got)
	}
	var list []keys.Info
	if err := json.Unmarshal([]byte(run("list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if got := states(t, run("retire", list[0].KID, "--json")); got[keys.Active] != 4 || got[keys.Retired] != 5 {
		t.Errorf("retire: %v", got)
	}
	for _, line := range strings.Split(strings.TrimSpace(run("list")), "\n")[1:] {
		shown := strings.Contains(line, "yes")
		if retired := strings.HasPrefix(line, list[0].KID); retired == shown {
			t.Errorf("published is wrong in %q", line)
		}
	}
	if out, err := runKeys(t, keysApp(t, database, "a"), "retire", "nobody"); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := runKeys(t, keysApp(t, database, "a"), "retire"); err == nil {
		t.Errorf("retire without a key: %s", out)
	}
	if _, err := runKeys(t, keysApp(t, database, "b"), "list"); !errors.Is(err, keys.ErrWrongSecret) {
		t.Errorf("with another secret: %v", err)
	}
	before := run("list", "--json")
	out, err := runKeys(t, keysApp(t, database, "b", "a"), "reseal", "--json")
	var report []keys.Resealed
	if err != nil || json.Unmarshal([]byte(out), &report) != nil || len(report) != 6 || report[0].Resealed != 7 || report[1].Resealed != 9 {
		t.Errorf("%v: %s", err, out)
	}
	if after, err := runKeys(t, keysApp(t, database, "b"), "list", "--json"); err != nil || after != before {
		t.Errorf("after the reseal: %v\n%s", err, after)
	}
	if out, err := runKeys(t, keysApp(t, database, "b"), "reseal"); err != nil || !strings.Contains(out, "outbox") {
		t.Errorf("%v: %s", err, out)
	}
}
