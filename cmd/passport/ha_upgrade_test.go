//go:build fault && !e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/passport-network/passport/storage/storagetest"
)

// A new version with new migrations takes the place of the one before, replica by replica, at 50 requests a second: none
// fails. "make ha" runs it; it needs the history of this repository.
func TestHAUpgrade(t *testing.T) {
	commit := before(t)
	ours := built
	t.Cleanup(func() { built = ours })
	old := older(t, commit)
	built = func() (string, error) { return old, nil }
	f, load := behind(t, storagetest.Postgres(t), haproxy)
	load.more(t, 200)
	built = ours
	for _, r := range f.replicas {
		r.served(t)
		f.stop(r)
		f.start(r)
		load.more(t, 200)
		r.served(t)
	}
	load.end()
	for i, failed := range load.failed {
		if i == 20 {
			break
		}
		t.Error(failed.err)
	}
	load.result("rolling upgrade from "+commit[:7]+", haproxy", 0).keep(t)
}

const migrationFiles = "storage/migrations/postgres"

// before is the last commit with the first of our migrations, and not all of them.
func before(t *testing.T) string {
	t.Helper()
	ours := strings.Fields(git(t, "ls-tree", "--name-only", "HEAD", migrationFiles+"/"))
	for _, commit := range strings.Fields(git(t, "log", "--format=%H", "--", migrationFiles)) {
		parent := strings.TrimSpace(git(t, "rev-parse", commit+"^"))
		theirs := strings.Fields(git(t, "ls-tree", "--name-only", parent, migrationFiles+"/"))
		if n := len(theirs); 0 < n && n < len(ours) && slices.Equal(theirs, ours[:n]) {
			return parent
		}
	}
	t.Fatal("no commit has fewer migrations")
	return ""
}

// older builds the program of a commit. It is called in an environment of ours, and knows no keys that are newer.
func older(t *testing.T, commit string) string {
	t.Helper()
	tree, dir := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	git(t, "worktree", "add", "--detach", "--force", tree, commit)
	defer git(t, "worktree", "remove", "--force", tree)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "passport"), "./cmd/passport")
	build.Dir, build.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", commit, err, out)
	}
	script := filepath.Join(dir, "older")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nunset PASSPORT_HUMAN_CHECK\nexec "+dir+"/passport \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v", args[0], err)
	}
	return string(out)
}
