package fault_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// build makes the program in testdata, with or without the tag.
func build(t *testing.T, tags string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crash")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", file, "./testdata/crash")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// passes runs the program and tells how often it came by, and whether it was killed.
func passes(t *testing.T, file, fault string) (int, bool) {
	t.Helper()
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), "PASSPORT_FAULT="+fault)
	out, err := cmd.Output()
	var exit *exec.ExitError
	killed := false
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	return len(strings.Fields(string(out))), killed
}

func TestPoint(t *testing.T) {
	release, crash := build(t, ""), build(t, "fault")
	for _, c := range []struct {
		file, fault string
		passes      int
		killed      bool
	}{
		{crash, "", 5, false},
		{crash, "test.point", 1, true},
		{crash, "test.point:3", 3, true},
		{crash, "test.point:6", 5, false},
		{crash, "test.poin", 5, false},
		{crash, "test.point:x", 1, false}, // refused: it ends, but not as a crash
		{release, "test.point", 5, false},
	} {
		if n, killed := passes(t, c.file, c.fault); n != c.passes || killed != c.killed {
			t.Errorf("%s with PASSPORT_FAULT=%q: %d passes, killed %v", filepath.Base(c.file), c.fault, n, killed)
		}
	}
}
