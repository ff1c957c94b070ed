package account

import (
	"strings"
	"testing"
)

// A sub is an argument of commands: one that begins with a dash would be a flag.
func TestSubIsNoFlag(t *testing.T) {
	seen := map[string]bool{}
	for range 4096 {
		sub := newSub()
		if strings.HasPrefix(sub, "-") || len(sub) != 22 || seen[sub] {
			t.Fatalf("sub %q", sub)
		}
		seen[sub] = true
	}
}
