package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// TestEven: by when an answer begins nobody learns what was found (A15).
func TestEven(t *testing.T) {
	for _, tt := range []struct {
		name       string
		work, want time.Duration
		answer     func(w http.ResponseWriter)
	}{
		{"nothing to do", 0, evenStep, func(w http.ResponseWriter) { w.WriteHeader(http.StatusSeeOther) }},
		{"an address that is not there", 4 * time.Millisecond, evenStep, func(w http.ResponseWriter) { _, _ = w.Write([]byte("sent")) }},
		{"one that is", 5 * time.Millisecond, evenStep, func(w http.ResponseWriter) { _, _ = w.Write([]byte("sent")) }},
		{"more than a step", evenStep + time.Millisecond, 2 * evenStep, func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }},
		{"many steps", 4*evenStep + time.Millisecond, 5 * evenStep, func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }},
		{"an answer without a word", time.Millisecond, evenStep, func(http.ResponseWriter) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				came, out := time.Now(), &firstByte{ResponseWriter: httptest.NewRecorder()}
				e := newEven(out, httptest.NewRequest(http.MethodPost, "/", nil))
				time.Sleep(tt.work) // of the bubble's clock
				tt.answer(e)
				e.wait()
				if got := time.Since(came); got != tt.want {
					t.Errorf("it was over after %v, not %v", got, tt.want)
				}
				if !out.at.IsZero() && out.at.Sub(came) != tt.want {
					t.Errorf("the first byte came after %v, not %v", out.at.Sub(came), tt.want)
				}
			})
		})
	}
	t.Run("nobody waits for who has gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, gone := context.WithCancel(t.Context())
			e := newEven(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil).WithContext(ctx))
			came := time.Now()
			gone()
			e.wait()
			if time.Since(came) != 0 {
				t.Errorf("it waited %v", time.Since(came))
			}
		})
	})
}

type firstByte struct {
	http.ResponseWriter
	at time.Time
}

func (f *firstByte) WriteHeader(status int) {
	f.at = time.Now()
	f.ResponseWriter.WriteHeader(status)
}

func (f *firstByte) Write(b []byte) (int, error) {
	f.at = time.Now()
	return f.ResponseWriter.Write(b)
}
