//go:build fault

package fault

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

var hits atomic.Int64

// named is the point of PASSPORT_FAULT and the passage at which the process dies.
var named = sync.OnceValues(func() (string, int64) {
	name, count, counted := strings.Cut(os.Getenv("PASSPORT_FAULT"), ":")
	if !counted {
		return name, 1
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		// A wrong count must not make a test of a crash pass without one.
		os.Exit(2)
	}
	return name, n
})

type requestKey struct{}

// Request marks what is done for a request, for Passing.
func Request(ctx context.Context) context.Context { return context.WithValue(ctx, requestKey{}, true) }

// Passing is Point for what is done for a request, and not in the background: which passage is which can then be told.
func Passing(ctx context.Context, name string) {
	if ctx.Value(requestKey{}) != nil {
		Point(name)
	}
}

// Point kills the process when PASSPORT_FAULT names this point and it is passed the nth time.
func Point(name string) {
	at, n := named()
	if at == "" || at != name || hits.Add(1) != n {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	os.Exit(137)
}
