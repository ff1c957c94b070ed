package engine

import (
	"sync"
	"time"

	"github.com/passport-network/passport/oidc/grant"
)

// fresh are the codes that this process issued in the last seconds, as a read of the database would find them: most are
// redeemed at once, and here need no read then. It decides nothing: what redeems asks the database whether code, grant, person and
// client still are what they must be, and a code that is not here is read. Of the person it knows what held when the code was
// issued. A code is taken out by its first use, whatever becomes of that.
type fresh struct {
	mu         sync.Mutex
	young, old map[string]grant.CodeRead // by the code's signature; those put since turned, and those put before
	turned     time.Time
}

// freshMost is how many young codes are kept, of some KB each, and so how many old ones. What is issued beyond it is read.
const freshMost = 2000

// put keeps a code that was just issued.
func (f *fresh) put(read grant.CodeRead, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if age := now.Sub(f.turned); f.young == nil || age > prompt || age < 0 {
		f.young, f.old, f.turned = map[string]grant.CodeRead{}, f.young, now
	}
	if len(f.young) < freshMost {
		f.young[string(read.Code.Sig)] = read
	}
}

// take gives the code with this signature, and forgets it; false when it is not here, or no longer fresh.
func (f *fresh) take(sig string, now time.Time) (grant.CodeRead, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, codes := range []map[string]grant.CodeRead{f.young, f.old} {
		if read, ok := codes[sig]; ok {
			delete(codes, sig)
			age := now.Sub(read.Code.CreatedAt)
			return read, age >= 0 && age <= prompt
		}
	}
	return grant.CodeRead{}, false
}
