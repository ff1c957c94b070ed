//go:build fault && !e2e

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// result is a line of deploy/ha/RESULTS.md.
type result struct {
	fault    string        // which names the line
	load     string        // in words
	requests int64         // that were sent
	failed   int           // that were answered with an error, or not at all
	lost     int           // that were acknowledged and are not there
	doubled  int           // one-time things that were done twice
	recovery time.Duration // as resultsHead says; 0: no request failed after the fault
}

const resultsHead = `# What faults do

Each line is written by the run that it names (` + "`make ha`, `make ha-db`, `make fault`" + `), never by hand. *Lost* is what was
answered with success and is not there afterwards; *doubled* is what may happen once and happened twice. *Time to recover*
goes from the fault's end (from the primary's death in ` + "`make ha-db`" + `) to the last request that failed; –: none did. Of a mail
server it is how long until every mail was out, of a killed replica how long until it was ready, of a restore the time from the order
to the first replica that is ready. *Short* is a run of
` + "`make test`" + `'s length; *changed* means that not all of the tree was committed.

| fault | load | requests | failed | lost | doubled | time to recover | when, where |
|---|---|---|---|---|---|---|---|
`

var resultsFile sync.Mutex // short runs are beside each other

// keep writes the line into the file that PASSPORT_FAULT_RESULTS names, in place of the one before; without it nowhere.
func (r result) keep(t *testing.T) {
	t.Helper()
	recovery := "–"
	if r.recovery > 0 {
		recovery = r.recovery.Round(100 * time.Millisecond).String()
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	where := strings.TrimSpace(string(commit))
	if changed(t) {
		where += " changed"
	}
	if long(t, true, false) {
		where += ", short"
	}
	line := fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %s | %s, %s, %d cores |", r.fault, r.load, r.requests, r.failed, r.lost, r.doubled,
		recovery, time.Now().UTC().Format(time.DateOnly), where, runtime.NumCPU())
	t.Log(line)
	file := os.Getenv("PASSPORT_FAULT_RESULTS")
	if file == "" {
		return
	}
	resultsFile.Lock()
	defer resultsFile.Unlock()
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(old), "|---|---|---|---|---|---|---|---|\n")
	lines := []string{line}
	for row := range strings.Lines(rows) {
		if row = strings.TrimSpace(row); row != "" && !strings.HasPrefix(row, "| "+r.fault+" |") {
			lines = append(lines, row)
		}
	}
	slices.Sort(lines)
	if err := os.WriteFile(file, []byte(resultsHead+strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// changed tells whether something is not committed: beside the file of results, which these runs write.
func changed(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command("git", "status", "--porcelain", "--", ":(top)", ":(top,exclude)deploy/ha/RESULTS.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	return len(out) > 0
}
