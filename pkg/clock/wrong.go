//go:build fault

package clock

import (
	"os"
	"strings"
	"time"
)

// wrong is by how much the machine's clock is wrong: what the file of PASSPORT_FAULT_CLOCK says now, as "-10m". A machine that
// was wrong from its start and one that jumps are the same to whoever measures.
func wrong() time.Duration {
	file := os.Getenv("PASSPORT_FAULT_CLOCK")
	if file == "" {
		return 0
	}
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	by, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return by
}
