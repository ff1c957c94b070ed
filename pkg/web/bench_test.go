package web_test

import (
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
)

// BenchmarkShell is what every request pays: notes, headers, the router, the line in the log. The document itself is
// bytes that are there already.
func BenchmarkShell(b *testing.B) {
	w := newWorld(b)
	step := func() {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, issuer+"/.well-known/openid-configuration", nil)
		if w.handler.ServeHTTP(rec, r); rec.Code != http.StatusOK {
			b.Fatalf("%d %s", rec.Code, rec.Body)
		}
		w.logs.Reset()
	}
	step()
	b.ReportAllocs()
	begun := processor(b)
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(processor(b)-begun)/float64(b.N), "cpu-ns/op")
}

// processor is the time that this process has had of the processor, in nanoseconds: others use the machine too.
func processor(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
